//! Sessions in Redis: a string with the key `miod:session:ID`, with an expiry.

use super::resp::{self, Value};
use super::{Command, CommandReply, ProtocolError};
use crate::session::Id;

/// The prefix of all keys.
pub const PREFIX: &str = "miod:session:";

/// The key of a session.
pub fn key(id: Id) -> String {
    format!("{PREFIX}{id}")
}

/// The credentials and the database of a connection.
pub(super) struct Redis {
    user: Option<String>,
    password: Option<String>,
    database: u32,
}

impl Redis {
    pub(super) fn new(user: Option<String>, password: Option<String>, database: u32) -> Self {
        Self { user, password, database }
    }

    /// Writes the commands for login and database. Returns how many replies will come.
    pub(super) fn begin(&self, out: &mut Vec<u8>) -> usize {
        let mut count = 0;
        if let Some(password) = &self.password {
            let user = self.user.as_deref();
            let parts: Vec<&[u8]> =
                ["AUTH"].into_iter().chain(user).chain([password.as_str()]).map(str::as_bytes).collect();
            resp::command(&parts, out);
            count += 1;
        }
        if self.database != 0 {
            resp::command(&[b"SELECT", self.database.to_string().as_bytes()], out);
            count += 1;
        }
        count
    }
}

pub(super) fn write(command: Command, id: Id, value: Option<(&[u8], i64)>, out: &mut Vec<u8>) {
    let key = key(id);
    let key = key.as_bytes();
    match (command, value) {
        (Command::Put, Some((text, seconds))) => {
            resp::command(&[b"SET", key, text, b"EX", seconds.max(1).to_string().as_bytes()], out);
        }
        (Command::Delete, _) => resp::command(&[b"DEL", key], out),
        _ => resp::command(&[b"GET", key], out),
    }
}

/// Whether an error means that this server can't serve at all, and another one may: it became
/// a replica, it is still loading, its master or its cluster is down, or the key is elsewhere.
pub(super) fn is_wrong_server(error: &str) -> bool {
    let code = error.split(' ').next().unwrap_or_default();
    matches!(code, "READONLY" | "LOADING" | "MASTERDOWN" | "CLUSTERDOWN" | "MOVED" | "ASK")
}

/// One reply, if it is complete, and its length in bytes.
pub(super) fn read(input: &[u8]) -> Result<(usize, Option<CommandReply>), ProtocolError> {
    let Some((value, length)) = resp::parse(input).map_err(|_| ProtocolError("the reply is not RESP2".to_owned()))?
    else {
        return Ok((0, None));
    };
    let reply = match value {
        Value::Bulk(value) => CommandReply::Value(value),
        Value::Nil => CommandReply::Missing,
        Value::Error(text) => CommandReply::Error(text),
        Value::Simple(_) | Value::Integer(_) => CommandReply::Done,
        Value::Array(_) => return Err(super::unexpected()),
    };
    Ok((length, Some(reply)))
}
