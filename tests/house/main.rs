//! What holds for the sources, the settings and the pages of this repository, without a server.

mod architecture;
mod config_example;
mod fuzz_corpus;
