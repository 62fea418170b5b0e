//! How people and machines enter: challenges, the token endpoint, registry tokens, refresh tokens, and the
//! rate at which wrong ones are heard.

mod browsers;
mod challenges;
mod mounts;
mod people;
mod refusals;
mod scopes;
mod sign_ins;
mod tokens;
mod uploads;
