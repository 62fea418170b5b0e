//! The first admin of a store without users: every such start creates one, with a given or a generated
//! password.

use std::io;
use std::path::Path;

use super::Options;
use crate::app::FirstAdmin;
use crate::cli::data_dir;
use crate::cli::errors::Failure;
use crate::config::{Environment, Loaded, SecretFileError};
use crate::telemetry::Secret;

/// Decides about the first admin: without one, no user could sign in, whatever the settings are.
pub(super) fn choose(
    options: &Options,
    loaded: &Loaded,
    environment: &Environment,
    data_dir: &Path,
) -> Result<FirstAdmin, Failure> {
    // An open registry needs no sign-in, and the store is temporary.
    if options.ephemeral && options.anonymous {
        return Ok(FirstAdmin::No);
    }
    let password_file = &loaded.config.auth.initial_admin_password_file;
    if password_file.is_set() {
        return match password_file.read(environment) {
            Ok(password) => Ok(FirstAdmin::Password(Secret::new(password))),
            // The store is not new, so the file was probably removed after the first start, as it should be.
            // If there is no user after all (the store was an open registry), the admin gets a generated
            // password.
            Err(SecretFileError::Read { source, .. })
                if source.kind() == io::ErrorKind::NotFound && data_dir::has_store(data_dir) =>
            {
                Ok(FirstAdmin::Generate)
            }
            Err(error) => Err(error.into()),
        };
    }
    Ok(FirstAdmin::Generate)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::config::{Config, SecretFile};

    fn chosen(file: Option<&str>, password_file: Option<&Path>, flags: [bool; 2], data_dir: &Path) -> String {
        let mut config = Config::default();
        if let Some(path) = password_file {
            config.auth.initial_admin_password_file = SecretFile::new(path.to_str().unwrap());
        }
        let loaded = Loaded { config, file: file.map(Into::into), sources: BTreeMap::new() };
        let [ephemeral, anonymous] = flags;
        let options = Options { listen: vec![], data_dir: None, ephemeral, anonymous, log_level: None };
        match choose(&options, &loaded, &Environment::default(), data_dir) {
            Ok(FirstAdmin::No) => "no".to_owned(),
            Ok(FirstAdmin::Generate) => "generate".to_owned(),
            Ok(FirstAdmin::Password(password)) => format!("password {}", password.expose()),
            Err(failure) => failure.code,
        }
    }

    #[test]
    fn a_store_without_users_gets_an_admin_whatever_is_configured() {
        let data = tempfile::tempdir().unwrap();
        let password = data.path().join("password");
        std::fs::write(&password, "maple\n").unwrap();
        std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o600)).unwrap();
        let (file, secret) = (Some("/etc/stowage/stowage.toml"), Some(password.as_path()));

        assert_eq!(chosen(None, None, [false, false], data.path()), "generate");
        assert_eq!(chosen(file, None, [false, false], data.path()), "generate");
        assert_eq!(chosen(file, secret, [false, false], data.path()), "password maple");
        assert_eq!(chosen(None, secret, [false, false], data.path()), "password maple");
        assert_eq!(chosen(None, None, [false, true], data.path()), "generate");
        assert_eq!(chosen(file, None, [true, false], data.path()), "generate");
        assert_eq!(chosen(file, secret, [true, true], data.path()), "no");
    }

    #[test]
    fn a_password_file_may_go_after_the_first_start() {
        let data = tempfile::tempdir().unwrap();
        let gone = data.path().join("gone");
        assert_eq!(chosen(None, Some(&gone), [false, false], data.path()), "SECRET_UNUSABLE");
        std::fs::write(data.path().join("stowage.redb"), "").unwrap();
        assert_eq!(chosen(None, Some(&gone), [false, false], data.path()), "generate");
    }
}
