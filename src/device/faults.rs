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
