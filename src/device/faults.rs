//! The faults of ONVIF Core 8 that are raised here.

use dvrgate_soap::Fault;

/// GetCapabilities: a category that this device does not have.
pub(crate) fn no_such_service(category: &str) -> Fault {
    Fault::receiver("ActionNotSupported", format!("there is no service of category {category}"))
        .and("NoSuchService")
}

/// SetScopes, AddScopes: the list would get too long.
pub(crate) fn too_many_scopes(limit: usize) -> Fault {
    Fault::receiver("Action", format!("at most {limit} scopes can be set")).and("TooManyScopes")
}

/// RemoveScopes: a scope that belongs to the device.
pub(crate) fn fixed_scope(scope: &str) -> Fault {
    Fault::sender("OperationProhibited", format!("{scope} is fixed")).and("FixedScope")
}

/// RemoveScopes: a scope that is not there.
pub(crate) fn no_scope(scope: &str) -> Fault {
    Fault::invalid_value("NoScope", format!("{scope} is not among the scopes"))
}

/// A scope that is not a URI, or too long.
pub(crate) fn bad_scope() -> Fault {
    Fault::sender("InvalidArgVal", "a scope has to be a URI of at most 256 characters")
}

/// CreateUsers: the name is taken.
pub(crate) fn username_clash(name: &str) -> Fault {
    Fault::sender("OperationProhibited", format!("there is a user {name}")).and("UsernameClash")
}

/// CreateUsers: no name.
pub(crate) fn username_too_short() -> Fault {
    Fault::sender("OperationProhibited", "a user needs a name").and("UsernameTooShort")
}

/// CreateUsers: the name is too long.
pub(crate) fn username_too_long() -> Fault {
    Fault::sender("OperationProhibited", "the name is too long").and("UsernameTooLong")
}

/// CreateUsers, SetUser: a name that digest cannot carry.
pub(crate) fn bad_username() -> Fault {
    Fault::sender("InvalidArgVal", "a name has neither colon nor quote")
}

/// CreateUsers, SetUser: the password is too long.
pub(crate) fn password_too_long() -> Fault {
    Fault::sender("OperationProhibited", "the password is too long").and("PasswordTooLong")
}

/// CreateUsers (`Password`), SetUser (`PasswordTooWeak`): no password.
pub(crate) fn weak_password(subcode: &'static str) -> Fault {
    Fault::sender("OperationProhibited", "a user needs a password").and(subcode)
}

/// CreateUsers, SetUser: the level of nobody in particular.
pub(crate) fn anonymous() -> Fault {
    Fault::sender("OperationProhibited", "no user can be anonymous").and("AnonymousNotAllowed")
}

/// CreateUsers: more than can be kept.
pub(crate) fn too_many_users(limit: usize) -> Fault {
    Fault::receiver("Action", format!("there can be at most {limit} users")).and("TooManyUsers")
}

/// DeleteUsers, SetUser: nobody of that name.
pub(crate) fn no_user(name: &str) -> Fault {
    Fault::invalid_value("UsernameMissing", format!("there is no user {name}"))
}

/// SetUser: one name twice.
pub(crate) fn username_twice(name: &str) -> Fault {
    Fault::sender("InvalidArgVal", format!("{name} is there twice"))
}

/// DeleteUsers, SetUser: a user of the configuration.
pub(crate) fn fixed_user(name: &str) -> Fault {
    Fault::invalid_value("FixedUser", format!("{name} is set in the gateway's configuration"))
}
