//! `stowage check-config`: whether the configuration is valid, and what the effective settings are.

use std::path::Path;

use serde_json::{Value, json};

use super::command::Command;
use super::context::Context;
use super::data_dir;
use super::errors::{Exit, Failure};
use super::output::{self, Form};
use crate::config::{self, Environment, Flags, Loaded, SettingProblem};
use crate::server::Tls;

/// Check the configuration without starting anything
#[derive(clap::Args)]
#[command(after_help = "Exit codes: 0 valid, 3 not valid\n\nExamples:\n  stowage check-config\n  \
                  stowage check-config --config stowage.toml --show --sources")]
pub(super) struct Options {
    /// Print every effective setting
    #[arg(long)]
    show: bool,
    /// Also print where each setting comes from
    #[arg(long, requires = "show")]
    sources: bool,
    #[command(flatten)]
    form: Form,
}

impl Command for Options {
    fn name(&self) -> &'static str {
        "check-config"
    }

    fn form(&self) -> Form {
        self.form
    }

    fn run(&self, context: &Context) -> Result<Exit, Failure> {
        let loaded = context.load(Flags::default())?;
        let tls = Tls::load(&loaded.config.server.tls, &context.environment)?;
        let (data_dir, blob_dir) = context.directories(&loaded)?;
        let mut warnings = loaded.warnings(&context.environment, !data_dir::has_store(&data_dir));
        let certificate = tls.map(|tls| tls.warnings()).unwrap_or_default().into_iter();
        warnings.extend(certificate.map(|message| SettingProblem {
            key: "server.tls.cert_file",
            message,
            fix: String::new(),
        }));
        let shown = if self.show {
            shown(&effective(&loaded, &context.environment, &data_dir, &blob_dir))?
        } else {
            Vec::new()
        };
        let mut data = json!({"file": loaded.file});
        if self.show {
            let setting = |(key, value, source): &(String, Value, String)| json!({"key": key, "value": value, "source": source});
            data["settings"] = shown.iter().map(setting).collect();
        }
        output::with_warnings(context.format(), context.name, None, &warnings, &data, || {
            text(self, &loaded, &shown)
        })?;
        Ok(Exit::Done)
    }
}

fn text(options: &Options, loaded: &Loaded, shown: &[(String, Value, String)]) -> String {
    if !options.show {
        return match &loaded.file {
            Some(file) => format!("{} is valid", file.display()),
            None => "there is no configuration file; the effective settings are valid".to_owned(),
        };
    }
    // The configuration contains no secrets, only the paths of files that do.
    let width =
        shown.iter().map(|(key, value, _)| key.len() + value.to_string().len() + 3).max().unwrap_or(0);
    let line = |(key, value, source): &(String, Value, String)| {
        let setting = format!("{key} = {value}");
        if options.sources { format!("{setting:<width$}  # {source}") } else { setting }
    };
    shown.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The configuration, with the default paths where a setting is empty.
fn effective(loaded: &Loaded, environment: &Environment, data_dir: &Path, blob_dir: &Path) -> Loaded {
    let mut shown = loaded.clone();
    if let Some(socket) = config::admin_socket(loaded, environment, data_dir) {
        shown.config.auth.admin_socket.path = socket;
    }
    data_dir.clone_into(&mut shown.config.storage.data_dir);
    blob_dir.clone_into(&mut shown.config.storage.blob_dir);
    shown
}

/// Every setting, its value and its source.
fn shown(loaded: &Loaded) -> Result<Vec<(String, Value, String)>, Failure> {
    let values = serde_json::to_value(&loaded.config)
        .map_err(|error| Failure::new(Exit::Failed, "CONFIG_SHOW", error.to_string()))?;
    let setting = |setting: config::Setting| {
        let value =
            values.pointer(&format!("/{}", setting.key.replace('.', "/"))).cloned().unwrap_or_default();
        let source = loaded.source(&setting.key).to_string();
        (setting.key, value, source)
    };
    Ok(config::settings().into_iter().map(setting).collect())
}
