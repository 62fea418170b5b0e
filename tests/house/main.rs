//! What holds for the sources, the settings and the pages of this repository, and the model of the collector:
//! all without a server.

mod architecture;
mod collector_model;
mod config_example;
mod fuzz_corpus;
