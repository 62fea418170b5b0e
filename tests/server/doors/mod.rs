//! Authentication of people and machines: challenges, the token endpoint, registry tokens, refresh tokens,
//! and the rate limit of wrong ones.

mod browsers;
mod challenges;
mod mounts;
mod people;
mod refusals;
mod scopes;
mod sign_ins;
mod tokens;
mod uploads;
