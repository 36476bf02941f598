//! A mail server to try things out with.

use std::path::PathBuf;

use crate::limits;
use crate::smtp::server::Fault;

/// A mail server that keeps what it gets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mailbox {
    /// What it calls itself: a domain or an address literal. None: the name of the machine.
    pub name: Option<String>,
    /// Most bytes of a message.
    pub size_limit: u64,
    /// The password file of the users who can log in, and must.
    pub users: Option<PathBuf>,
    /// Everybody can log in, with any password.
    pub any_login: bool,
    /// What is made to fail.
    pub(crate) faults: Vec<Fault>,
}

impl Default for Mailbox {
    fn default() -> Self {
        Self { name: None, size_limit: limits::MAILBOX_MESSAGE, users: None, any_login: false, faults: Vec::new() }
    }
}
