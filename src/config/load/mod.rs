//! Merges the layers: defaults, the file, `conf.d`, the environment, flags.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use figment::Figment;

use super::environment::Environment;
use super::error::ConfigError;
use super::layer::{Layer, defaults};
use super::loaded::{Loaded, Source};
use super::log_filter::LogFilter;
use super::paths::PACKAGED_FILE;
use super::settings::Config;
use super::{file, schema, variables};

/// The sources of a configuration.
#[derive(Clone, Debug)]
pub struct Request {
    /// The file named by `--config`.
    pub file: Option<PathBuf>,
    /// The environment: `STOWAGE_CONFIG` and `STOWAGE__...`.
    pub environment: Environment,
    /// Settings made by flags.
    pub flags: Flags,
    /// The file to read when none is named.
    pub system_file: PathBuf,
}

/// Settings that have a flag.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--listen`, any number of them; empty: not given.
    pub listen: Vec<SocketAddr>,
    /// `--data-dir`
    pub data_dir: Option<PathBuf>,
    /// `--log-level`
    pub log_level: Option<LogFilter>,
}

impl Request {
    /// A request with this `environment` and the usual system file.
    pub fn new(file: Option<PathBuf>, environment: Environment, flags: Flags) -> Self {
        Self { file, environment, flags, system_file: PathBuf::from(PACKAGED_FILE) }
    }
}

impl Loaded {
    /// Returns itself if every value is safe.
    ///
    /// # Errors
    /// [`ConfigError::Values`] with all that are not, and where each was set.
    pub fn checked(self) -> Result<Self, ConfigError> {
        let mut problems = self.config.check();
        problems.extend(super::check::relative_paths(&self.config, |key| self.source(key)));
        if problems.is_empty() {
            return Ok(self);
        }
        let with_source = |problem: super::SettingProblem| {
            let source = self.source(problem.key);
            (problem, source)
        };
        Err(ConfigError::Values { problems: problems.into_iter().map(with_source).collect() })
    }
}

/// Reads and merges every layer. Each value is valid by its type; [`Loaded::checked`] checks that the values
/// are safe.
///
/// # Errors
/// A file that cannot be read, an unknown setting, or a value of a wrong type, with its place.
pub fn load(request: &Request) -> Result<Loaded, ConfigError> {
    let settings = schema::settings();
    let (file, files) = files(request)?;
    let mut figment = Figment::from(defaults());
    let mut sources = BTreeMap::new();
    for path in files {
        let layer = file::read(&path, &settings)?;
        for (key, line) in layer.lines {
            sources.insert(key, Source::File { path: path.clone(), line });
        }
        figment = figment.merge(Layer::of(layer.values));
    }
    let variables = variables::values(&request.environment, &settings)
        .map_err(|problems| ConfigError::Environment { problems })?;
    for (key, variable, value) in variables {
        figment = figment.merge(Layer::one(&key, value));
        sources.insert(key, Source::Variable(variable));
    }
    let mut config = figment.extract().map_err(|error| ConfigError::Merge(Box::new(error)))?;
    request.flags.apply(&mut config, &mut sources);
    Ok(Loaded { config, file, sources })
}

/// The main file, and all files in the order in which they are read.
fn files(request: &Request) -> Result<(Option<PathBuf>, Vec<PathBuf>), ConfigError> {
    let named = request.file.clone().or_else(|| request.environment.get("STOWAGE_CONFIG").map(PathBuf::from));
    let is_named = named.is_some();
    let main = named.unwrap_or_else(|| request.system_file.clone());
    let mut files = conf_d(&main)?;
    // `conf.d` is read even without a main file, so that its settings do not vanish when the main file does.
    let exists =
        is_named || main.try_exists().map_err(|source| ConfigError::Read { path: main.clone(), source })?;
    let in_force = exists || !files.is_empty();
    if exists {
        files.insert(0, main.clone());
    }
    Ok((in_force.then_some(main), files))
}

fn conf_d(main: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let directory = main.parent().unwrap_or(Path::new("")).join("conf.d");
    let read_error = |source| ConfigError::Read { path: directory.clone(), source };
    let entries = match std::fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(read_error(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(read_error)?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

impl Flags {
    fn apply(&self, config: &mut Config, sources: &mut BTreeMap<String, Source>) {
        let mut from = |key: &str, flag| sources.insert(key.to_owned(), Source::Flag(flag));
        if !self.listen.is_empty() {
            config.server.listen.clone_from(&self.listen);
            from("server.listen", "--listen");
        }
        if let Some(data_dir) = &self.data_dir {
            config.storage.data_dir.clone_from(data_dir);
            from("storage.data_dir", "--data-dir");
        }
        if let Some(level) = &self.log_level {
            config.log.level.clone_from(level);
            from("log.level", "--log-level");
        }
    }
}

#[cfg(test)]
mod tests;
