//! What is known about logging in to a recorder's web server.

use dvrgate_model::Result;
use parking_lot::Mutex;

use super::Credentials;
use super::login::Challenge;

/// See the module documentation. The number rises with every change, so that a request can tell
/// whether another one logged in meanwhile.
#[derive(Default)]
pub(super) struct Session(Mutex<(u64, Known)>);

#[derive(Default)]
pub(super) enum Known {
    /// Nothing was sent yet.
    #[default]
    Nothing,
    /// It answers without credentials.
    Open,
    /// Credentials were accepted with this challenge.
    LoggedIn(Challenge),
}

/// How to send a request.
pub(super) enum Ready {
    /// Not known.
    No,
    /// Without credentials.
    Bare,
    /// With this header.
    With(String),
}

impl Session {
    pub fn number(&self) -> u64 {
        self.0.lock().0
    }

    pub fn learn(&self, known: Known) {
        let mut session = self.0.lock();
        session.0 += 1;
        session.1 = known;
    }

    /// How to send a request with what is known, and the number of what is known.
    pub fn ready(
        &self,
        credentials: &Credentials,
        method: &http::Method,
        target: &str,
        body: &[u8],
    ) -> Result<(u64, Ready)> {
        let mut session = self.0.lock();
        let ready = match &mut session.1 {
            Known::Nothing => Ready::No,
            Known::Open => Ready::Bare,
            Known::LoggedIn(challenge) => {
                Ready::With(challenge.answer(credentials, method, target, body)?)
            }
        };
        Ok((session.0, ready))
    }
}
