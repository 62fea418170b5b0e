//! A first start that is killed leaves a directory that the next start can use.

use std::time::{Duration, Instant};

use crate::dice::{self, Dice};
use crate::process::{Stowage, assert_whole, directory_in_memory, note};
use crate::support::content::push_image;

const KILLS: u64 = 30;

#[test]
fn a_first_start_may_be_killed_at_any_moment() {
    let mut dice = Dice::new(dice::seed());
    let begun = Instant::now();
    let dir = directory_in_memory();
    Stowage::start(dir.path()).kill();
    let whole_us = u64::try_from(begun.elapsed().as_micros()).unwrap();

    for kill in 0..KILLS {
        let dir = directory_in_memory();
        // In every second case the server creates the directory itself.
        let data = if kill % 2 == 0 { dir.path().to_owned() } else { dir.path().join("a/b") };
        let server = Stowage::launch(&data, &[]);
        let delay_us = dice.below(whole_us);
        std::thread::sleep(Duration::from_micros(delay_us));
        server.kill();
        note(&format!("killed after {delay_us} us of {whole_us}"));
        let server = Stowage::start(&data);
        assert!(!data.join("stowage.redb.new").exists());
        if kill % 10 == 0 {
            push_image(&server.client(), "team/app", "latest", b"layer");
            server.stop();
            assert_whole(&data);
        }
    }
}
