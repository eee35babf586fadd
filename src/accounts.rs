//! Accounts that clients made, in a file of the data folder that nobody else may read. Both digests of
//! the standard need the password itself, so it stands there in the clear.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dvrgate_auth::{Level, Secret, User, Users};
use dvrgate_device::Accounts;
use dvrgate_model::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::tls::write_private;

/// In the data folder.
const FILE: &str = "users.json";

/// The file.
#[derive(Debug)]
pub struct AccountFile(PathBuf);

#[derive(Deserialize, Serialize)]
struct Entry {
    name: String,
    level: String,
    password: String,
}

impl AccountFile {
    /// The file of a data folder; there need not be one yet.
    pub fn new(data_dir: &Path) -> Self {
        Self(data_dir.join(FILE))
    }

    /// Adds what the file holds to the users of the configuration. Whoever is in both is the one of
    /// the configuration.
    pub fn load_into(&self, users: &Users) -> Result<()> {
        let text = match fs::read(&self.0) {
            Ok(text) => text,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(self.unusable().because(e)),
        };
        let entries: Vec<Entry> =
            serde_json::from_slice(&text).map_err(|e| self.unusable().because(e))?;
        let mut added = Vec::new();
        for entry in entries {
            if users.is_fixed(&entry.name) {
                tracing::warn!(user = %entry.name, "is in the configuration now, which counts");
                continue;
            }
            let level = level(&entry.level).ok_or_else(|| self.unusable())?;
            let password = Secret::new(entry.password);
            added.push(Arc::new(User { name: entry.name, level, password }));
        }
        users.replace_added(added)
    }

    fn unusable(&self) -> Error {
        Error::invalid(format!(
            "{} cannot be read; it holds the users that clients made, without it there are those of \
             the configuration only",
            self.0.display()
        ))
    }
}

impl Accounts for AccountFile {
    fn save(&self, accounts: &[Arc<User>]) -> Result<()> {
        let entry = |u: &Arc<User>| Entry {
            name: u.name.clone(),
            level: u.level.name().to_owned(),
            password: u.password.reveal().to_owned(),
        };
        let entries: Vec<Entry> = accounts.iter().map(entry).collect();
        let text = serde_json::to_string_pretty(&entries)
            .map_err(|e| Error::internal("accounts cannot be written").because(e))?;
        write_private(&self.0, &text).map_err(|e| {
            Error::internal(format!("{} cannot be written", self.0.display())).because(e)
        })
    }
}

fn level(name: &str) -> Option<Level> {
    [Level::Administrator, Level::Operator, Level::User].into_iter().find(|l| l.name() == name)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn user(name: &str, level: Level) -> User {
        User { name: name.into(), level, password: format!("pw of {name}").as_str().into() }
    }

    fn configured() -> Users {
        Users::new(vec![user("admin", Level::Administrator)]).unwrap()
    }

    /// RH5-7, RH5-9: accounts live on over a restart, for the gateway's eyes only.
    #[test]
    fn what_is_saved_is_loaded_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let file = AccountFile::new(dir.path());
        let users = configured();
        file.load_into(&users).unwrap();
        assert_eq!(users.len(), 1, "no file is no accounts");
        let made = [user("wall", Level::User), user("guard", Level::Operator)].map(Arc::new);
        file.save(&made).unwrap();
        let mode = fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let again = configured();
        file.load_into(&again).unwrap();
        let guard = again.get("guard").unwrap();
        assert_eq!((guard.level, guard.password.reveal()), (Level::Operator, "pw of guard"));
        assert_eq!(again.len(), 3);

        // The configuration took one of the names: it counts.
        let taken = Users::new(vec![user("guard", Level::Administrator)]).unwrap();
        file.load_into(&taken).unwrap();
        assert_eq!(taken.get("guard").unwrap().level, Level::Administrator);
        assert_eq!(taken.len(), 2);
    }

    #[test]
    fn a_damaged_file_is_named_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        for text in
            ["", "[{\"name\":\"a\"}]", "[{\"name\":\"a\",\"level\":\"x\",\"password\":\"p\"}]"]
        {
            fs::write(&path, text).unwrap();
            let said = AccountFile::new(dir.path()).load_into(&configured()).unwrap_err();
            assert!(said.to_string().contains("users.json cannot be read"), "{said}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }
}
