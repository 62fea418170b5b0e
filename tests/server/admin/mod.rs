//! Users and tokens through the command line, the admin socket and the admin API.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod access_log;
mod answer_types;
mod api;
mod checks;
mod compact;
mod configuration;
mod content;
mod exits;
mod fake;
mod finding;
mod first_start;
mod forms;
mod gc;
mod help;
mod hostile_names;
mod job_commands;
mod jobs;
mod lists;
mod manifests;
mod openapi;
mod pins;
mod program;
mod prompts;
mod remote;
mod samples;
mod schedules;
mod scrub;
mod status;
mod stops;
mod stores;
mod terminal;
mod tokens;
mod trash;
mod usage;
mod users;
mod words;
