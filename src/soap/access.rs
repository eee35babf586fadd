//! Access classes and the default access policy (ONVIF Core 5.9.4.3 and 5.9.4.4).

use dvrgate_auth::Level;

/// What an operation touches.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Access {
    /// Needs no log-in.
    PreAuth,
    /// Reads configuration.
    ReadSystem,
    /// Reads configuration that not everybody should see.
    ReadSystemSensitive,
    /// Reads secrets.
    ReadSystemSecret,
    /// Changes configuration.
    WriteSystem,
    /// Changes configuration for good.
    Unrecoverable,
    /// Reads what was recorded.
    ReadMedia,
    /// Changes what the system is doing.
    Actuate,
}

impl Access {
    /// Whether the default policy lets a level use operations of this class.
    pub const fn allows(self, level: Level) -> bool {
        use Access::*;
        match level {
            Level::Administrator => true,
            Level::Operator => {
                matches!(self, PreAuth | ReadSystem | ReadSystemSensitive | ReadMedia | Actuate)
            }
            Level::User => matches!(self, PreAuth | ReadSystem | ReadMedia),
            Level::Anonymous => matches!(self, PreAuth),
        }
    }

    /// The name in the specifications.
    pub const fn name(self) -> &'static str {
        match self {
            Access::PreAuth => "PRE_AUTH",
            Access::ReadSystem => "READ_SYSTEM",
            Access::ReadSystemSensitive => "READ_SYSTEM_SENSITIVE",
            Access::ReadSystemSecret => "READ_SYSTEM_SECRET",
            Access::WriteSystem => "WRITE_SYSTEM",
            Access::Unrecoverable => "UNRECOVERABLE",
            Access::ReadMedia => "READ_MEDIA",
            Access::Actuate => "ACTUATE",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RH2-5, restated as a picture: A administrator, O operator, U user, N nobody.
    #[test]
    fn the_policy_is_that_of_table_7() {
        use Access::*;
        for (access, picture) in [
            (PreAuth, "AOUN"),
            (ReadSystem, "AOU"),
            (ReadSystemSensitive, "AO"),
            (ReadSystemSecret, "A"),
            (WriteSystem, "A"),
            (Unrecoverable, "A"),
            (ReadMedia, "AOU"),
            (Actuate, "AO"),
        ] {
            for (letter, level) in [
                ('A', Level::Administrator),
                ('O', Level::Operator),
                ('U', Level::User),
                ('N', Level::Anonymous),
            ] {
                assert_eq!(
                    access.allows(level),
                    picture.contains(letter),
                    "{} {level:?}",
                    access.name()
                );
            }
        }
    }
}
