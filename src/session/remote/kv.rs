//! Sessions in a key-value service over HTTP: the key is the identifier, the value is JSON.

use super::{Command, CommandReply, ProtocolError, REPLY, too_long};
use crate::http::FieldLines;
use crate::http::Status;
use crate::http::client::{Request, RequestKind, ResponseReader};
use crate::session::Id;

/// The client's side of one connection.
pub(super) struct Kv {
    host: String,
    authorization: Vec<(String, String)>,
    reader: ResponseReader,
    status: Status,
    content: Vec<u8>,
    /// The service closes the connection after its last response.
    closing: bool,
}

impl Kv {
    pub(super) fn new(host: String, token: Option<&str>) -> Self {
        let bearer = |token| ("Authorization".to_owned(), format!("Bearer {token}"));
        Self {
            host,
            authorization: token.map(bearer).into_iter().collect(),
            reader: ResponseReader::new(RequestKind::Content),
            status: Status::OK,
            content: Vec::new(),
            closing: false,
        }
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing
    }

    pub(super) fn write(&mut self, command: Command, id: Id, value: Option<(&[u8], i64)>, out: &mut Vec<u8>) {
        let mut fields = self.authorization.clone();
        let (method, target) = match (command, value) {
            (Command::Put, Some((_, seconds))) => {
                fields.push(("Content-Type".to_owned(), "application/json".to_owned()));
                ("PUT", format!("/{id}?ttl={}", seconds.max(1)))
            }
            (Command::Delete, _) => ("DELETE", format!("/{id}")),
            _ => ("GET", format!("/{id}")),
        };
        let length = value.map(|(text, _)| text.len() as u64);
        let request = Request { method, target: &target, host: &self.host, fields: &fields, length };
        // The parts were checked when the URL was parsed.
        if request.write(out).is_ok()
            && let Some((text, _)) = value
        {
            out.extend_from_slice(text);
        }
    }

    /// Reads on. Returns the bytes consumed, and a reply when it is complete.
    pub(super) fn read(&mut self, input: &mut [u8]) -> Result<(usize, Option<CommandReply>), ProtocolError> {
        let mut consumed = 0;
        let malformed = |fault: crate::http::client::HttpError| ProtocolError(fault.to_string());
        while !self.reader.is_done() {
            let rest = &mut input[consumed..];
            if self.reader.awaits_head() {
                let mut lines = FieldLines::default();
                let Some(head) = self.reader.head(rest, &mut lines).map_err(malformed)? else {
                    return Ok((consumed, None));
                };
                self.status = head.status;
                consumed += head.length;
            } else {
                let progress = self.reader.read(rest).map_err(malformed)?;
                self.content.extend_from_slice(&rest[progress.content]);
                if self.content.len() > REPLY {
                    return Err(too_long());
                }
                consumed += progress.consumed;
                if progress.consumed == 0 && !self.reader.is_done() {
                    return Ok((consumed, None));
                }
            }
        }
        self.closing |= !self.reader.is_persistent();
        self.reader = ResponseReader::new(RequestKind::Content);
        let content = std::mem::take(&mut self.content);
        let reply = match self.status {
            Status::OK => CommandReply::Value(content),
            Status::CREATED | Status::NO_CONTENT => CommandReply::Done,
            Status::NOT_FOUND => CommandReply::Missing,
            Status(code) => {
                let text = String::from_utf8_lossy(&content[..content.len().min(200)]).into_owned();
                CommandReply::Error(format!("{code} {}", text.lines().next().unwrap_or_default()))
            }
        };
        Ok((consumed, Some(reply)))
    }
}
