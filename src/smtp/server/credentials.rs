//! What a client says to log in (RFC 4954): a name and a password, in base64.
//!
//! ```text
//! AUTH PLAIN AGFkYQBzZWNyZXQ=      NUL ada NUL secret (RFC 4616), or behind a first `334 `
//! AUTH LOGIN
//! 334 VXNlcm5hbWU6                 Username:
//! YWRh                             ada
//! 334 UGFzc3dvcmQ6                 Password:
//! c2VjcmV0                         secret
//! ```

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::smtp::reply::Reply;

/// A name and a password.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub struct Credentials {
    /// The name of the user.
    pub user: String,
    /// The password.
    pub password: String,
}

/// What is missing of the credentials.
#[derive(Clone, PartialEq, Eq)]
pub enum Missing {
    /// All, in one line.
    Plain,
    /// The name, and then the password.
    User,
    /// The password of this user.
    Password(String),
}

/// What comes of a line.
pub enum Answer {
    /// All is there.
    Complete(Credentials),
    /// Something is missing.
    Incomplete(Missing),
}

impl Missing {
    /// What a mechanism begins with; none if it isn't known.
    pub fn of(mechanism: &str) -> Option<Self> {
        match mechanism.to_ascii_uppercase().as_str() {
            "PLAIN" => Some(Self::Plain),
            "LOGIN" => Some(Self::User),
            _ => None,
        }
    }

    /// What the client is asked.
    pub fn challenge(&self) -> Reply {
        Reply::new(
            334,
            match self {
                Self::Plain => "",
                Self::User => "VXNlcm5hbWU6",
                Self::Password(_) => "UGFzc3dvcmQ6",
            },
        )
    }

    /// Takes the answer, without its line end.
    ///
    /// # Errors
    /// The reply, if the exchange is over.
    pub fn answer(self, line: &str) -> Result<Answer, Reply> {
        if line == "*" {
            return Err(Reply::new(501, "5.7.0 Login cancelled"));
        }
        let text = STANDARD.decode(line).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let text = text.ok_or_else(|| Reply::new(501, "5.5.2 This isn't base64 of a text in UTF-8"))?;
        match self {
            Self::User => Ok(Answer::Incomplete(Self::Password(text))),
            Self::Password(user) => Ok(Answer::Complete(Credentials { user, password: text })),
            Self::Plain => plain(&text).map(Answer::Complete),
        }
    }
}

/// The credentials of PLAIN. Nobody may act for somebody else.
fn plain(text: &str) -> Result<Credentials, Reply> {
    let mut parts = text.split('\0');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(acts_for), Some(user), Some(password), None) if acts_for.is_empty() || acts_for == user => {
            Ok(Credentials { user: user.to_owned(), password: password.to_owned() })
        }
        (Some(_), Some(_), Some(_), None) => Err(Reply::new(535, "5.7.8 You can't act for another user")),
        _ => Err(Reply::new(501, "5.5.2 This isn't NUL, name, NUL, password")),
    }
}
