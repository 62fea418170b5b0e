//! Acknowledged changes survive kills, full and failing disks, damage, and other faults of the environment.

mod behind;
mod compaction;
mod damaged_content;
mod damaged_database;
mod dice;
mod directories;
mod disk_end;
mod displaced;
mod exchange;
mod faults;
mod first_start;
mod full_disk;
mod kills;
mod memory;
mod old_stores;
mod process;
mod read_only_disk;
mod read_only_load;
mod rehearsal;
mod repair;
mod rounds;
mod second_server;
mod shared_uploads;
mod slow_disk;
mod stops;
mod strangers;
#[path = "../support/mod.rs"]
mod support;
mod unread_log;
mod volume;
