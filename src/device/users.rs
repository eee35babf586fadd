//! Accounts that clients make, change and delete (ONVIF Core 8.4.3 to 8.4.6). Those of the gateway's
//! configuration are fixed: they ensure that its operator gets in.

use std::fmt;
use std::sync::Arc;

use dvrgate_auth::{Level, MAX_NAME_BYTES, MAX_PASSWORD_BYTES, Secret, User as Account, Users};
use dvrgate_model::{Error, Result as ModelResult};
use dvrgate_soap::{Call, Fault};

use crate::faults;
use crate::service::{Device, This};
use crate::wire::{Done, User, UserLevel, UserList, UserNames};

/// Where accounts that clients made are kept over restarts.
pub trait Accounts: fmt::Debug + Send + Sync {
    /// Keeps exactly these, or fails and keeps what there was.
    fn save(&self, accounts: &[Arc<Account>]) -> ModelResult<()>;
}

/// Accounts in all, those of the configuration included.
pub(crate) const MAX_USERS: usize = 64;

impl Device {
    /// RH5-6.
    pub(crate) async fn get_users(self: This, call: Call, _: Done) -> Result<UserList, Fault> {
        let one = |u: Arc<Account>| User {
            name: u.name.clone(),
            password: None,
            level: level_of(u.level),
        };
        Ok(UserList { users: call.host.door().users().list().into_iter().map(one).collect() })
    }

    /// RH5-7: all or nothing.
    pub(crate) async fn create_users(
        self: This,
        call: Call,
        request: UserList,
    ) -> Result<Done, Fault> {
        self.change(&call, |users, added| {
            if request.users.is_empty() {
                return Err(Fault::invalid_args("User is missing"));
            }
            for user in request.users {
                if users.is_fixed(&user.name) || added.iter().any(|a| a.name == user.name) {
                    return Err(faults::username_clash(&user.name));
                }
                let weak = |_| faults::weak_password("Password");
                added.push(Arc::new(account(user).map_err(|e| e.or(weak))?));
            }
            match users.len() - users.added().len() + added.len() > MAX_USERS {
                true => Err(faults::too_many_users(MAX_USERS)),
                false => Ok(()),
            }
        })
        .await
    }

    /// RH5-8: all or nothing.
    pub(crate) async fn delete_users(
        self: This,
        call: Call,
        request: UserNames,
    ) -> Result<Done, Fault> {
        self.change(&call, |users, added| {
            if request.names.is_empty() {
                return Err(Fault::invalid_args("Username is missing"));
            }
            for name in &request.names {
                let at = position(users, added, name)?;
                added.remove(at);
            }
            Ok(())
        })
        .await
    }

    /// RH5-9: all or nothing. Without a password it would be cleared, which is too weak.
    pub(crate) async fn set_user(self: This, call: Call, request: UserList) -> Result<Done, Fault> {
        self.change(&call, |users, added| {
            if request.users.is_empty() {
                return Err(Fault::invalid_args("User is missing"));
            }
            let names: Vec<&str> = request.users.iter().map(|u| u.name.as_str()).collect();
            if let Some(twice) = names.iter().enumerate().find(|(i, n)| names[..*i].contains(n)) {
                return Err(faults::username_twice(twice.1));
            }
            for user in request.users {
                let at = position(users, added, &user.name)?;
                let weak = |_| faults::weak_password("PasswordTooWeak");
                added[at] = Arc::new(account(user).map_err(|e| e.or(weak))?);
            }
            Ok(())
        })
        .await
    }

    /// One change at a time: made on a copy, kept, and only then in force.
    async fn change<F>(&self, call: &Call, change: F) -> Result<Done, Fault>
    where
        F: FnOnce(&Users, &mut Vec<Arc<Account>>) -> Result<(), Fault>,
    {
        let Some(accounts) = self.settings.accounts.clone() else {
            return Err(Fault::not_supported(call.operation()));
        };
        let _turn = self.changing_users.lock().await;
        let users = call.host.door().users();
        let mut added = users.added();
        change(users, &mut added)?;
        let kept = added.clone();
        let saving = tokio::task::spawn_blocking(move || accounts.save(&kept)).await;
        saving
            .unwrap_or_else(|e| Err(Error::internal("accounts were not kept").because(e)))
            .and_then(|()| users.replace_added(added))
            .map_err(|e| call.fault(&e))?;
        Ok(Done {})
    }
}

/// Where a user stands among those that may be changed.
fn position(users: &Users, added: &[Arc<Account>], name: &str) -> Result<usize, Fault> {
    if users.is_fixed(name) {
        return Err(faults::fixed_user(name));
    }
    added.iter().position(|a| a.name == name).ok_or_else(|| faults::no_user(name))
}

/// Why no account can be made of a request; a missing password is named differently by operation.
enum Bad {
    NoPassword,
    Other(Fault),
}

impl Bad {
    fn or(self, weak: impl FnOnce(()) -> Fault) -> Fault {
        match self {
            Bad::NoPassword => weak(()),
            Bad::Other(fault) => fault,
        }
    }
}

fn account(user: User) -> Result<Account, Bad> {
    let level = match user.level {
        UserLevel::Administrator => Level::Administrator,
        UserLevel::Operator => Level::Operator,
        UserLevel::User => Level::User,
        UserLevel::Anonymous => return Err(Bad::Other(faults::anonymous())),
    };
    match user.name.len() {
        0 => return Err(Bad::Other(faults::username_too_short())),
        n if n > MAX_NAME_BYTES => return Err(Bad::Other(faults::username_too_long())),
        _ => {}
    }
    // The colon parts name from realm in what digest hashes; a quote would end the name in it.
    if user.name.contains([':', '"']) || user.name.chars().any(char::is_control) {
        return Err(Bad::Other(faults::bad_username()));
    }
    let password = user.password.unwrap_or_default();
    match password.len() {
        0 => Err(Bad::NoPassword),
        n if n > MAX_PASSWORD_BYTES => Err(Bad::Other(faults::password_too_long())),
        _ => Ok(Account { name: user.name, level, password: Secret::new(password) }),
    }
}

fn level_of(level: Level) -> UserLevel {
    match level {
        Level::Administrator => UserLevel::Administrator,
        Level::Operator => UserLevel::Operator,
        Level::User => UserLevel::User,
        Level::Anonymous => UserLevel::Anonymous,
    }
}
