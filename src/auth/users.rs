//! Users and their levels (ONVIF Core 5.9.4.2).

use std::fmt;
use std::sync::Arc;

use dvrgate_model::{Error, Result};
use parking_lot::RwLock;
use zeroize::Zeroizing;

/// What a user may do; the access classes of each operation are compared with it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Level {
    /// Everything.
    Administrator,
    /// Everything but the configuration of the system.
    Operator,
    /// Looking only.
    User,
    /// Nobody has shown credentials.
    Anonymous,
}

impl Level {
    /// The word of the `tt:UserLevel` enumeration.
    pub const fn name(self) -> &'static str {
        match self {
            Level::Administrator => "Administrator",
            Level::Operator => "Operator",
            Level::User => "User",
            Level::Anonymous => "Anonymous",
        }
    }
}

/// A password. `Debug` prints nothing of it, and its memory is wiped when it is dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text as it is.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text, for hashing. Named so that it stands out in a review.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

/// One account.
#[derive(Clone, Debug)]
pub struct User {
    /// As typed at log-in; case matters.
    pub name: String,
    /// What it may do.
    pub level: Level,
    /// Its password. Kept in the clear in memory, because both digests need it.
    pub password: Secret,
}

/// All accounts: the fixed ones of the configuration, and those that clients added. Cheap to clone;
/// clones share what is added.
#[derive(Clone, Debug)]
pub struct Users(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    fixed: Vec<Arc<User>>,
    added: RwLock<Vec<Arc<User>>>,
}

impl Users {
    /// Refuses two users of one name, names and passwords out of bounds, and users of the anonymous
    /// level (ONVIF Core 5.9.4.2 forbids them).
    pub fn new(fixed: Vec<User>) -> Result<Self> {
        let fixed: Vec<Arc<User>> = fixed.into_iter().map(Arc::new).collect();
        check(&[], &fixed)?;
        Ok(Self(Arc::new(Inner { fixed, added: RwLock::default() })))
    }

    /// By name.
    pub fn get(&self, name: &str) -> Option<Arc<User>> {
        let fixed = self.0.fixed.iter().find(|u| u.name == name).cloned();
        fixed.or_else(|| self.0.added.read().iter().find(|u| u.name == name).cloned())
    }

    /// In the order of the configuration, then in that of their making.
    pub fn list(&self) -> Vec<Arc<User>> {
        self.0.fixed.iter().chain(&*self.0.added.read()).cloned().collect()
    }

    /// Those that clients added.
    pub fn added(&self) -> Vec<Arc<User>> {
        self.0.added.read().clone()
    }

    /// Whether the configuration has that user, so that no client may change it.
    pub fn is_fixed(&self, name: &str) -> bool {
        self.0.fixed.iter().any(|u| u.name == name)
    }

    /// Replaces those that clients added, under the same rules as [`Users::new`].
    pub fn replace_added(&self, added: Vec<Arc<User>>) -> Result<()> {
        check(&self.0.fixed, &added)?;
        *self.0.added.write() = added;
        Ok(())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.fixed.len() + self.0.added.read().len()
    }

    /// Whether nobody can log in.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn check(before: &[Arc<User>], users: &[Arc<User>]) -> Result<()> {
    for (i, user) in users.iter().enumerate() {
        if user.name.is_empty() || user.name.len() > MAX_NAME_BYTES {
            return Err(Error::invalid(format!(
                "a user's name must have 1 to {MAX_NAME_BYTES} bytes, not {}",
                user.name.len()
            )));
        }
        if user.password.reveal().len() > MAX_PASSWORD_BYTES {
            return Err(Error::invalid(format!(
                "the password of user {:?} is longer than {MAX_PASSWORD_BYTES} bytes",
                user.name
            )));
        }
        if user.level == Level::Anonymous {
            return Err(Error::invalid(format!("user {:?} cannot be anonymous", user.name)));
        }
        if before.iter().chain(&users[..i]).any(|other| other.name == user.name) {
            return Err(Error::invalid(format!("user {:?} is there twice", user.name)));
        }
    }
    Ok(())
}

/// Who a request comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identity {
    /// The user's name; empty for anonymous.
    pub name: Arc<str>,
    /// What it may do.
    pub level: Level,
}

impl Identity {
    /// Nobody has shown credentials.
    pub fn anonymous() -> Self {
        Self { name: Arc::from(""), level: Level::Anonymous }
    }
}

impl From<&User> for Identity {
    fn from(user: &User) -> Self {
        Self { name: Arc::from(user.name.as_str()), level: user.level }
    }
}

/// The longest user name.
pub const MAX_NAME_BYTES: usize = 128;

/// The longest password.
pub const MAX_PASSWORD_BYTES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str, level: Level) -> User {
        User { name: name.into(), level, password: "pw-of-user".into() }
    }

    #[test]
    fn debug_hides_the_password() {
        let users = Users::new(vec![user("admin", Level::Administrator)]).unwrap();
        let text = format!("{users:?}");
        assert!(text.contains("admin") && !text.contains("pw-of-user"), "{text}");
    }

    #[test]
    fn twins_and_users_who_cannot_be_are_refused() {
        for bad in [
            vec![user("a", Level::User), user("a", Level::Operator)],
            vec![user("a", Level::Anonymous)],
            vec![user("", Level::User)],
            vec![user(&"x".repeat(MAX_NAME_BYTES + 1), Level::User)],
            vec![User {
                password: "x".repeat(MAX_PASSWORD_BYTES + 1).as_str().into(),
                ..user("a", Level::User)
            }],
        ] {
            assert!(Users::new(bad).is_err());
        }
        assert!(Users::new(vec![user("a", Level::User), user("A", Level::User)]).is_ok());
    }

    #[test]
    fn what_is_added_is_seen_by_every_clone_and_never_hides_a_fixed_user() {
        let users = Users::new(vec![user("admin", Level::Administrator)]).unwrap();
        let gate = users.clone();
        let one = Arc::new(user("guard", Level::Operator));
        users.replace_added(vec![Arc::clone(&one)]).unwrap();
        assert_eq!(gate.get("guard").unwrap().level, Level::Operator);
        assert_eq!((gate.len(), gate.list()[1].name.as_str()), (2, "guard"));
        assert!(users.is_fixed("admin") && !users.is_fixed("guard"));
        for bad in [vec![one.clone(), one], vec![Arc::new(user("admin", Level::User))]] {
            assert!(users.replace_added(bad).is_err());
        }
        assert_eq!(users.added().len(), 1, "a refused change changes nothing");
        users.replace_added(Vec::new()).unwrap();
        assert!(gate.get("guard").is_none());
    }
}
