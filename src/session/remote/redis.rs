//! Sessions in Redis: a string under `miod:session:ID`, with an expiry.

use super::resp::{self, Value};
use super::{Answer, Command, Fault};
use crate::session::Id;

/// What our keys begin with.
pub const PREFIX: &str = "miod:session:";

/// The key of a session.
pub fn key(id: Id) -> String {
    format!("{PREFIX}{id}")
}

/// What a connection must say first.
pub(super) struct Redis {
    user: Option<String>,
    password: Option<String>,
    database: u32,
}

impl Redis {
    pub(super) fn new(user: Option<String>, password: Option<String>, database: u32) -> Self {
        Self { user, password, database }
    }

    /// Writes who we are and which database it is about; how many answers come.
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

/// One answer, if it is whole, and the bytes it takes.
pub(super) fn read(input: &[u8]) -> Result<(usize, Option<Answer>), Fault> {
    let Some((value, length)) = resp::parse(input).map_err(|_| Fault("it doesn't speak RESP2".to_owned()))? else {
        return Ok((0, None));
    };
    let answer = match value {
        Value::Bulk(value) => Answer::Value(value),
        Value::Nil => Answer::Nothing,
        Value::Error(why) => Answer::Refused(why),
        Value::Simple(_) | Value::Integer(_) => Answer::Done,
        Value::Array(_) => return Err(super::unasked()),
    };
    Ok((length, Some(answer)))
}
