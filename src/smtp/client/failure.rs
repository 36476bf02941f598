//! Why a dialogue failed, and at which step.

use std::fmt;

use super::super::reply::{Reply, ReplyError};

/// A step of the dialogue: what the server replies to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// The connection.
    Greeting,
    /// EHLO.
    Ehlo,
    /// HELO.
    Helo,
    /// STARTTLS.
    StartTls,
    /// AUTH.
    Auth,
    /// The name of the user.
    User,
    /// The password.
    Password,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA.
    Data,
    /// The message and its end.
    Message,
    /// QUIT.
    Quit,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Greeting => "the connection",
            Self::Ehlo => "EHLO",
            Self::Helo => "HELO",
            Self::StartTls => "STARTTLS",
            Self::Auth => "AUTH",
            Self::User => "the user's name",
            Self::Password => "the password",
            Self::Mail => "MAIL FROM",
            Self::Rcpt => "RCPT TO",
            Self::Data => "DATA",
            Self::Message => "the message",
            Self::Quit => "QUIT",
        })
    }
}

/// Why a message wasn't accepted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// The server refused this step: 4xx, 5xx, or 421 at any time.
    Refused(Step, Reply),
    /// The server doesn't offer what the message needs.
    Lacks(Lack),
    /// A reply that doesn't fit the step.
    Unexpected(Step, Reply),
    /// What came is no reply.
    Malformed(Step, ReplyError),
    /// Bytes came that nobody asked for, before this step.
    Unasked(Step),
    /// Bytes came behind the reply to STARTTLS, before TLS.
    Injected,
    /// TLS is required, and isn't offered, or was refused.
    NoTls(Option<Reply>),
    /// The login failed.
    Login(LoginFailure),
    /// The server closed the connection at this step.
    Closed(Step),
}

/// What a server doesn't offer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lack {
    /// SMTPUTF8.
    Utf8,
    /// 8BITMIME.
    EightBit,
    /// Messages of this size, in bytes.
    Size {
        /// The size of the message.
        size: u64,
        /// The limit of the server.
        limit: u64,
    },
}

/// Why a login failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LoginFailure {
    /// The server refused it.
    Denied(Reply),
    /// The server offers none, or no mechanism that can be used.
    NotOffered,
    /// The password would be sent without TLS.
    PlainText,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(step, reply) => write!(f, "the server refuses {step}: {reply}"),
            Self::Lacks(Lack::Utf8) => f.write_str(
                "the server doesn't offer SMTPUTF8, which an address or the header of the message needs: it has \
                 characters beyond ASCII",
            ),
            Self::Lacks(Lack::EightBit) => {
                f.write_str("the server doesn't offer 8BITMIME, and the message has bytes beyond ASCII")
            }
            Self::Lacks(Lack::Size { size, limit }) => {
                write!(f, "the message has {size} bytes, and the server takes no more than {limit}")
            }
            Self::Unexpected(step, reply) => write!(f, "the reply to {step} doesn't fit: {reply}"),
            Self::Malformed(step, error) => write!(f, "the reply to {step} is malformed: {error}"),
            Self::Injected => {
                f.write_str("bytes came behind the reply to STARTTLS and before TLS: somebody may have added them")
            }
            Self::Unasked(step) => write!(f, "the server sent bytes before {step} that nobody asked for"),
            Self::NoTls(None) => f.write_str("the server doesn't offer STARTTLS; --tls auto goes on without it"),
            Self::NoTls(Some(reply)) => write!(f, "the server refuses STARTTLS: {reply}"),
            Self::Login(LoginFailure::Denied(reply)) => write!(f, "the login is denied: {reply}"),
            Self::Login(LoginFailure::NotOffered) => f.write_str("the server offers no login that can be used"),
            Self::Login(LoginFailure::PlainText) => f.write_str(
                "the password isn't sent, because there is no TLS and the server isn't on this machine; \
                 --insecure-auth sends it",
            ),
            Self::Closed(step) => write!(f, "the server closed the connection before it replied to {step}"),
        }
    }
}

impl std::error::Error for Failure {}
