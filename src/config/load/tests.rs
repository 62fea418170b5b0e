use std::fs;

use tempfile::TempDir;

use super::*;
use crate::config::LogFormat;

struct Machine {
    directory: TempDir,
    environment: Vec<(&'static str, &'static str)>,
    flags: Flags,
    named: Option<&'static str>,
}

fn machine() -> Machine {
    Machine {
        directory: tempfile::tempdir().unwrap(),
        environment: Vec::new(),
        flags: Flags::default(),
        named: None,
    }
}

impl Machine {
    fn with(self, file: &str, content: &str) -> Self {
        let path = self.path(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    fn path(&self, file: &str) -> PathBuf {
        self.directory.path().join(file)
    }

    fn load(&self) -> Result<Loaded, ConfigError> {
        load(&Request {
            file: self.named.map(|named| self.path(named)),
            environment: self.environment.iter().copied().collect(),
            flags: self.flags.clone(),
            system_file: self.path("stowage.toml"),
        })
    }
}

#[test]
fn without_anything_the_defaults_are_in_force() {
    let loaded = machine().load().unwrap();
    assert_eq!(loaded.config, Config::default());
    assert_eq!(loaded.file, None);
    assert!(loaded.sources.is_empty());
    assert_eq!(loaded.source("server.listen"), Source::Default);
}

#[test]
fn later_layers_win_key_by_key() {
    let mut machine = machine()
        .with(
            "stowage.toml",
            "[server]\nworkers = 1\nmax_connections = 1\nlisten = [\"10.0.0.1:1\"]\n[log]\naccess = false",
        )
        .with("conf.d/20-b.toml", "[server]\nworkers = 3\nkeep_alive = \"3s\"")
        .with("conf.d/10-a.toml", "[server]\nworkers = 2\nmax_connections = 2\nkeep_alive = \"2s\"");
    machine.environment = vec![("STOWAGE__SERVER__KEEP_ALIVE", "4s"), ("STOWAGE__LOG__LEVEL", "debug")];
    machine.flags = Flags {
        listen: vec!["127.0.0.1:5".parse().unwrap(), "[::1]:5".parse().unwrap()],
        data_dir: Some("/flag".into()),
        log_level: Some("warn".parse().unwrap()),
    };
    let loaded = machine.load().unwrap();
    let config = &loaded.config;
    assert!(!config.log.access);
    assert_eq!(config.server.max_connections, 2);
    assert_eq!(config.server.workers, 3);
    assert_eq!(config.server.keep_alive.as_secs(), 4);
    assert_eq!(config.server.listen, machine.flags.listen, "lists are replaced, not joined");
    assert_eq!(config.storage.data_dir, Path::new("/flag"));
    assert_eq!(config.log.level.to_string(), "warn");
    assert_eq!(config.server.client_header_timeout.as_secs(), 15, "the rest stays at its default");

    assert_eq!(loaded.file, Some(machine.path("stowage.toml")));
    assert_eq!(loaded.source("log.access"), Source::File { path: machine.path("stowage.toml"), line: 6 });
    assert_eq!(
        loaded.source("server.workers"),
        Source::File { path: machine.path("conf.d/20-b.toml"), line: 2 }
    );
    assert_eq!(loaded.source("server.keep_alive").to_string(), "STOWAGE__SERVER__KEEP_ALIVE");
    assert_eq!(loaded.source("server.listen").to_string(), "--listen");
    assert_eq!(loaded.source("log.level").to_string(), "--log-level");
}

#[test]
fn a_named_file_replaces_the_systems_and_brings_what_is_beside_it() {
    let mut machine = machine()
        .with("stowage.toml", "[server]\nworkers = 1")
        .with("conf.d/10.toml", "[server]\nmax_connections = 1")
        .with("own/my.toml", "[server]\nworkers = 2")
        .with("own/conf.d/10.toml", "[log]\nformat = \"json\"")
        .with("own/conf.d/.hidden.toml", "nonsense")
        .with("own/conf.d/notes.txt", "nonsense");
    machine.named = Some("own/my.toml");
    let by_flag = machine.load().unwrap();
    machine.named = None;
    let path = machine.path("own/my.toml").to_str().unwrap().to_owned();
    machine.environment = vec![("STOWAGE_CONFIG", path.leak())];
    let by_variable = machine.load().unwrap();
    for loaded in [by_flag, by_variable] {
        assert_eq!(loaded.config.server.workers, 2);
        assert_eq!(loaded.config.server.max_connections, 4096);
        assert_eq!(loaded.config.log.format, LogFormat::Json);
        assert_eq!(loaded.file, Some(machine.path("own/my.toml")));
    }
    machine.environment = vec![("STOWAGE_CONFIG", "")];
    assert_eq!(machine.load().unwrap().config.server.workers, 1, "an empty variable is none");
}

#[test]
fn a_named_file_must_be_there() {
    let mut machine = machine();
    machine.named = Some("none.toml");
    let error = machine.load().unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot read the configuration file {}", machine.path("none.toml").display())
    );
}

#[test]
fn conf_d_counts_without_a_main_file() {
    let machine = machine().with("conf.d/10.toml", "[server]\nworkers = 9");
    let loaded = machine.load().unwrap();
    assert_eq!(loaded.config.server.workers, 9);
    assert_eq!(loaded.file, Some(machine.path("stowage.toml")));
}

#[test]
fn a_problem_names_the_file_it_is_in() {
    let machine = machine().with("stowage.toml", "").with("conf.d/10.toml", "[sever]");
    match machine.load().unwrap_err() {
        ConfigError::File { path, problems } => {
            assert_eq!(path, machine.path("conf.d/10.toml"));
            assert_eq!(problems[0].fix, "did you mean [server]?");
        }
        other => panic!("{other}"),
    }
}

fn by_environment(name: &'static str, value: &'static str) -> Result<Config, (String, String)> {
    let mut machine = machine();
    machine.environment = vec![(name, value)];
    match machine.load() {
        Ok(loaded) => Ok(loaded.config),
        Err(ConfigError::Environment { problems }) => {
            assert_eq!((problems.len(), problems[0].variable.as_str()), (1, name));
            Err((problems[0].message.clone(), problems[0].fix.clone()))
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn the_environment_takes_the_type_of_the_setting() {
    assert_eq!(by_environment("STOWAGE__AUTH__INITIAL_ADMIN", "12345").unwrap().auth.initial_admin, "12345");
    assert_eq!(by_environment("STOWAGE__AUTH__INITIAL_ADMIN", "true").unwrap().auth.initial_admin, "true");
    assert_eq!(by_environment("STOWAGE__AUTH__INITIAL_ADMIN", " a ").unwrap().auth.initial_admin, " a ");
    assert_eq!(by_environment("STOWAGE__AUTH__INITIAL_ADMIN", "[a]").unwrap().auth.initial_admin, "[a]");
    assert_eq!(by_environment("STOWAGE__SERVER__WORKERS", "7").unwrap().server.workers, 7);
    assert!(
        !by_environment("STOWAGE__REGISTRY__REQUIRE_REFERENCES", "false")
            .unwrap()
            .registry
            .require_references
    );
    assert_eq!(
        by_environment("STOWAGE__STORAGE__GC__PROMISE", "2h").unwrap().storage.gc.promise.as_secs(),
        7200
    );
    let listen = by_environment("STOWAGE__SERVER__LISTEN", "0.0.0.0:5000,[::]:5001").unwrap().server.listen;
    assert_eq!(listen, ["0.0.0.0:5000".parse().unwrap(), "[::]:5001".parse().unwrap()]);
    assert!(by_environment("STOWAGE__SERVER__LISTEN", "").unwrap().server.listen.is_empty());
}

#[test]
fn a_wrong_variable_is_named_with_what_is_wrong() {
    let message = |name, value| by_environment(name, value).unwrap_err().0;
    assert_eq!(message("STOWAGE__SERVER__WORKERS", "many"), "`many` is not a whole number");
    assert_eq!(message("STOWAGE__LOG__ACCESS", "yes"), "`yes` is neither true nor false");
    assert_eq!(
        message("STOWAGE__STORAGE__GC__PROMISE", "6 moons"),
        "`6 moons` is not a duration: write a whole number and s, m, h, d or w, such as 30s, 15m or 7d, or 0s"
    );
    assert_eq!(
        message("STOWAGE__SERVER__LISTEN", "localhost:80"),
        "`localhost:80` is not an address and a port; write `127.0.0.1:80`"
    );
    assert_eq!(
        message("STOWAGE__LOG__LEVEL", "loud"),
        "`loud` is not a log level; use error, warn, info, debug, trace or off"
    );
}

#[test]
fn an_unknown_variable_is_an_error_with_a_suggestion() {
    let unknown = |name| by_environment(name, "x").unwrap_err();
    let no_such = "there is no such setting".to_owned();
    assert_eq!(
        unknown("STOWAGE__SERVER__LISTN"),
        (no_such.clone(), "did you mean STOWAGE__SERVER__LISTEN?".to_owned())
    );
    assert_eq!(
        unknown("STOWAGE__server__listen"),
        (no_such.clone(), "did you mean STOWAGE__SERVER__LISTEN?".to_owned())
    );
    assert_eq!(
        unknown("STOWAGE__AUTH__INITIAL_ADMIN_PASSWORD").1,
        "did you mean STOWAGE__AUTH__INITIAL_ADMIN_PASSWORD_FILE?"
    );
    assert_eq!(
        unknown("STOWAGE__SERVER"),
        (
            no_such,
            "unset STOWAGE__SERVER; the names are STOWAGE__<TABLE>__<KEY>, for example STOWAGE__AUTH__ADMIN_SOCKET__ENABLED"
                .to_owned()
        )
    );
    assert!(by_environment("STOWAGE_TOKEN", "x").is_ok(), "other names are not ours to judge here");
}

#[test]
#[cfg(not(feature = "test-hooks"))]
fn an_unsafe_value_is_told_with_where_it_was_set() {
    let mut machine = machine().with("stowage.toml", "[registry]\nmax_concurrent_uploads = 0");
    machine.environment = vec![("STOWAGE__STORAGE__GC__PROMISE", "5m")];
    match machine.load().unwrap().checked().unwrap_err() {
        ConfigError::Values { problems } => {
            let shown: Vec<String> =
                problems.iter().map(|(problem, source)| format!("{} from {source}", problem.key)).collect();
            assert_eq!(
                shown,
                [
                    "storage.gc.promise from STOWAGE__STORAGE__GC__PROMISE".to_owned(),
                    format!(
                        "registry.max_concurrent_uploads from {}, line 2",
                        machine.path("stowage.toml").display()
                    ),
                ]
            );
        }
        other => panic!("{other}"),
    }
    assert!(machine.load().is_ok(), "the types alone are satisfied");
}
