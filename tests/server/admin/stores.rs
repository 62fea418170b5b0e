//! Unexpected directories: foreign files, a missing or damaged database.

use std::fs;

use crate::admin::program::{Place, Ran};
use crate::support::content;

impl Place {
    /// A start that must be refused.
    fn refused(&self, flags: &[&str], environment: &[(&str, &str)]) -> Ran {
        let serve = [&["serve", "--listen", "127.0.0.1:0"], flags].concat();
        self.run_elsewhere(&serve, environment).expect(3)
    }
}

#[test]
fn a_new_store_is_refused_in_a_directory_with_other_files() {
    let place = Place::new();
    let home = place.directory.path().join("home");
    for name in ["uploads", "photos", ".config"] {
        fs::create_dir_all(home.join(name)).unwrap();
    }
    fs::write(home.join("uploads/thesis.tex"), "years").unwrap();
    let dir = home.to_str().unwrap();
    let ran = place.refused(&["--data-dir", dir], &[]);
    assert_eq!(
        ran.stderr,
        format!(
            "error: {dir} is not empty: a new store needs a directory of its own\n  \
               found: photos, uploads\n  \
               why:   the store removes files from directories such as uploads\n  \
               fix:   use a directory below it: stowage serve --data-dir {dir}/stowage\n         \
                      or move the other files away\n"
        )
    );
    let names: Vec<_> = fs::read_dir(&home).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 3, "the refused start has made something: {names:?}");

    let data = place.data();
    let blobs = [("STOWAGE__STORAGE__BLOB_DIR", dir)];
    let ran = place.refused(&["--data-dir", data.to_str().unwrap()], &blobs);
    assert!(ran.stderr.contains(&format!("use a directory below it: storage.blob_dir = \"{dir}/stowage\"")));
    assert!(!data.exists());
}

#[test]
fn an_existing_store_and_the_files_of_the_settings_are_never_refused() {
    let place = Place::new();
    let data = place.data();
    fs::create_dir_all(data.join("config")).unwrap();
    for name in ["lost+found", "@eaDir", ".snapshots", "blobs", "blobs/lost+found", "dumps"] {
        fs::create_dir(data.join(name)).unwrap();
    }
    let file = data.join("config/stowage.toml");
    fs::write(&file, "[log]\nlevel = \"info\"\n").unwrap();
    let (data, file) = (data.to_str().unwrap().to_owned(), file.to_str().unwrap().to_owned());
    let flags = ["--data-dir", &data, "--config", &file];
    place.serve_as(&flags, &[]).stop();
    fs::write(place.data().join("notes.txt"), "later").unwrap();
    place.serve_as(&flags, &[]).stop();
}

#[test]
fn a_missing_database_is_the_same_truth_for_every_command() {
    let place = Place::new();
    let (server, admin) = place.serve_with_admin();
    content::push_image(&admin, "team/app", "1", b"layer");
    server.stop();
    let database = place.data().join("stowage.redb");
    let kept = place.directory.path().join("kept");
    fs::rename(&database, &kept).unwrap();
    for command in [&["status"][..], &["user", "list"], &["serve", "--listen", "127.0.0.1:0"]] {
        let ran = place.run(command).expect(7);
        assert_eq!(ran.error(), "error: the database is missing", "{ran:?}");
        for part in [
            format!("path:  {}\n", database.display()),
            "why:   the file is missing, but its store was here\n".to_owned(),
            format!("stowage rebuild --into NEW-DIR --data-dir {}\n", place.data().display()),
        ] {
            assert!(ran.stderr.contains(&part), "{part:?} is not in {ran:?}");
        }
        assert!(!database.exists());
    }
    let ran = place.run(&["fsck"]).expect(7);
    assert!(ran.stdout.contains("the file is missing, but its store was here"), "{ran:?}");
    fs::rename(&kept, &database).unwrap();
    place.run(&["fsck"]).expect(0);
}

#[test]
fn a_damaged_database_is_described_in_words() {
    let place = Place::new();
    place.serve().stop();
    let database = place.data().join("stowage.redb");
    let whole = fs::read(&database).unwrap();
    let half = &whole[..whole.len() / 2];
    for (content, why) in [
        (half, "the file is shorter than its content needs: it has "),
        (&[0; 8192][..], "the file does not begin like a database: it was overwritten"),
        (b"", "the file is empty"),
        (b"short", "the file is shorter than its content needs: it has "),
    ] {
        fs::write(&database, content).unwrap();
        for command in [&["status"][..], &["serve", "--listen", "127.0.0.1:0"]] {
            let ran = place.run(command).expect(7);
            assert!(ran.stderr.contains(&format!("why:   {why}")), "{ran:?}");
        }
        let ran = place.run(&["fsck"]).expect(7);
        assert!(ran.stdout.contains(why), "{ran:?}");
    }
}
