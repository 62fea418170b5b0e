//! The environment as a layer of settings: `STOWAGE__TABLE__KEY`.
//!
//! The type of a value is the type of the setting, never guessed from the text: a name of `12345` stays text.

use std::ffi::OsStr;

use figment::Figment;
use figment::error::Kind as Kinds;
use figment::value::Value;

use super::environment::Environment;
use super::layer::{Layer, defaults};
use super::schema::{Kind, PREFIX, Setting};
use super::settings::Config;
use super::{suggest, wrong};

/// What is wrong with one variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VariableProblem {
    /// Its full name.
    pub variable: String,
    /// What is wrong.
    pub message: String,
    /// What to do; may be empty.
    pub fix: String,
}

/// The settings from the environment: key, variable, value.
pub(super) fn values(
    environment: &Environment,
    settings: &[Setting],
) -> Result<Vec<(String, String, Value)>, Vec<VariableProblem>> {
    let mut values = Vec::new();
    let mut problems = Vec::new();
    for (name, value) in environment.iter() {
        let variable = name.to_string_lossy().into_owned();
        if !variable.starts_with(PREFIX) {
            continue;
        }
        match one(settings, &variable, value) {
            Ok((key, value)) => values.push((key, variable, value)),
            Err((message, fix)) => problems.push(VariableProblem { variable, message, fix }),
        }
    }
    if problems.is_empty() { Ok(values) } else { Err(problems) }
}

fn one(settings: &[Setting], variable: &str, value: &OsStr) -> Result<(String, Value), (String, String)> {
    let setting = settings
        .iter()
        .find(|setting| setting.variable() == variable)
        .ok_or_else(|| ("there is no such setting".to_owned(), suggest::for_variable(settings, variable)))?;
    let text = value.to_str().ok_or_else(|| ("the value is not UTF-8".to_owned(), String::new()))?;
    let wrong = |message| (message, wrong::variable(setting, text));
    let value = typed(setting.kind, text).map_err(wrong)?;
    // Checks the type of the value. Here its variable is still known.
    let layer = Layer::one(&setting.key, value.clone());
    match Figment::from(defaults()).merge(layer).extract::<Config>() {
        Ok(_) => Ok((setting.key.clone(), value)),
        Err(error) => Err(wrong(match &error.kind {
            Kinds::UnknownVariant(found, allowed) => wrong::variant(setting, found, allowed),
            other => other.to_string(),
        })),
    }
}

fn typed(kind: Kind, text: &str) -> Result<Value, String> {
    match kind {
        Kind::Text => Ok(Value::from(text)),
        Kind::Switch => {
            text.parse::<bool>().map(Value::from).map_err(|_| format!("`{text}` is neither true nor false"))
        }
        Kind::Number => {
            text.parse::<u64>().map(Value::from).map_err(|_| format!("`{text}` is not a whole number"))
        }
        Kind::List if text.is_empty() => Ok(Value::from(Vec::<Value>::new())),
        Kind::List => Ok(Value::from(text.split(',').map(Value::from).collect::<Vec<_>>())),
    }
}
