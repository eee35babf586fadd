//! The WS-Security header block, as far as user names go (WS-UsernameToken Profile 1.1).

use std::fmt;

use dvrgate_auth::{Secret, TokenPassword, UsernameToken};

use crate::{Element, ns};

/// A username token, owned. `Debug` shows the user only.
#[derive(Clone)]
pub struct Security {
    username: String,
    password: Secret,
    digest: bool,
    nonce: Option<String>,
    created: Option<String>,
}

impl Security {
    /// Reads the block; `None` without a readable token.
    pub(crate) fn read(block: &Element) -> Option<Self> {
        let token = block.child(ns::WSSE, "UsernameToken")?;
        let password = token.child(ns::WSSE, "Password")?;
        // Without a type it is text (profile, 3.1).
        let digest = password.attribute("Type").is_some_and(|t| t.ends_with("#PasswordDigest"));
        let text = |ns: &str, local: &str| token.child_text(ns, local).map(Into::into);
        Some(Self {
            username: token.child(ns::WSSE, "Username")?.raw_text().into_owned(),
            password: Secret::new(password.raw_text()),
            digest,
            nonce: text(ns::WSSE, "Nonce"),
            created: text(ns::WSU, "Created"),
        })
    }

    /// The name that is claimed.
    pub fn username(&self) -> &str {
        &self.username
    }

    /// For the gate.
    pub fn token(&self) -> UsernameToken<'_> {
        let password = self.password.reveal();
        UsernameToken {
            username: &self.username,
            password: match self.digest {
                true => TokenPassword::Digest(password),
                false => TokenPassword::Text(password),
            },
            nonce: self.nonce.as_deref(),
            created: self.created.as_deref(),
        }
    }
}

impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Security").field("username", &self.username).finish_non_exhaustive()
    }
}
