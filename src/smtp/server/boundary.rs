//! What a server and its caller say to each other.

use super::credentials::Credentials;
use super::faults::Fault;
use crate::smtp::address::Address;

/// What holds for all dialogues of a server.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What it calls itself: a domain or an address literal.
    pub name: String,
    /// Most bytes of a message.
    pub size: u64,
    /// Whether clients can log in.
    pub login: Login,
    /// What is made to fail.
    pub faults: Vec<Fault>,
}

/// Whether clients can log in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Login {
    /// No.
    No,
    /// They may.
    Allowed,
    /// They must, before MAIL.
    Required,
}

/// Whether there is TLS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tls {
    /// No, and there is no certificate for it.
    No,
    /// No, but STARTTLS is offered.
    Offered,
    /// Yes.
    Active,
}

/// What a caller has to do.
#[derive(PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub enum Next {
    /// Bring more input.
    Read,
    /// Check a password; [`super::Server::logged_in`] follows.
    Login(Credentials),
    /// Keep a message; [`super::Server::kept`] follows.
    Keep(Message),
    /// Begin TLS when the output is sent; [`super::Server::secured`] follows.
    Secure,
    /// Close the connection when the output is sent.
    Close,
}

/// What came of a login.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LoggedIn {
    /// The password is right.
    Yes,
    /// It isn't, or there is no such user.
    No,
    /// It wasn't checked: there are too many checks, or failures.
    Later,
}

/// A message that was received.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// What the client called itself.
    pub hello: String,
    /// Who has logged in.
    pub user: Option<String>,
    /// The sender; none for a message that nobody should answer.
    pub from: Option<Address>,
    /// The recipients, at least one.
    pub recipients: Vec<Address>,
    /// The content as it was sent, without added dots.
    pub content: Vec<u8>,
}

/// Why a server ends a dialogue by itself, with 421.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// The client said nothing for too long.
    Silence,
    /// The server shuts down.
    Shutdown,
    /// There are too many clients.
    Overload,
    /// There were too many errors.
    Errors,
    /// A content had other line ends than CR LF.
    LineEnds,
}
