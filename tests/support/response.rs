//! The parser of responses in all tests. It is independent of the parser in the client tools,
//! so that a mistake there isn't also a mistake here.

use std::time::SystemTime;

/// A response with its transfer coding decoded.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    /// Status line and fields, with the empty line.
    pub head: String,
    pub body: Vec<u8>,
    /// It ends with the connection.
    pub open_ended: bool,
    /// Its length on the connection.
    pub length: usize,
}

impl Response {
    /// The response at the beginning of `received`, if it is complete. `method` is the method of
    /// the request. `ended` means that no more bytes follow.
    ///
    /// # Panics
    /// If the bytes can't be the beginning of a response.
    pub fn parse(received: &[u8], method: &str, ended: bool) -> Option<Self> {
        let end = received.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let head = String::from_utf8(received[..end].to_vec()).expect("a head is text");
        let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status line: {head:?}"));
        let mut response = Self { status, head, body: Vec::new(), open_ended: false, length: end };
        let rest = &received[end..];
        if method == "HEAD" || status < 200 || matches!(status, 204 | 304) {
            return Some(response);
        }
        if let Some(length) = response.field("Content-Length") {
            response.body = rest.get(..length.parse().expect("a length"))?.to_vec();
            response.length += response.body.len();
        } else if response.field("Transfer-Encoding") == Some("chunked") {
            response.length += take_chunks(rest, &mut response.body)?;
        } else if ended {
            response.open_ended = true;
            response.body = rest.to_vec();
            response.length += rest.len();
        } else {
            return None;
        }
        Some(response)
    }

    /// The value of the first field of that name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// How many fields have that name.
    pub fn count(&self, name: &str) -> usize {
        self.fields().filter(|(field, _)| field.eq_ignore_ascii_case(name)).count()
    }

    /// Name and value of each field line.
    fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.map(|(name, value)| (name, value.trim()))
    }

    /// The date in a field.
    pub fn date(&self, name: &str) -> SystemTime {
        let value = self.field(name).unwrap_or_else(|| panic!("no {name} in {}", self.head));
        httpdate::parse_http_date(value).unwrap()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Appends the content of chunks that begin in `rest` to `body`, also if the last one isn't
/// there yet. Returns the length of all chunks, if they are complete.
pub fn take_chunks(rest: &[u8], body: &mut Vec<u8>) -> Option<usize> {
    let mut at = 0;
    loop {
        let line = rest[at..].windows(2).position(|window| window == b"\r\n")?;
        let size = std::str::from_utf8(&rest[at..at + line]).expect("a size is text");
        let size = usize::from_str_radix(size, 16).unwrap_or_else(|_| panic!("no chunk size: {size:?}"));
        let begin = at + line + 2;
        let chunk = rest.get(begin..begin + size + 2)?;
        assert!(chunk.ends_with(b"\r\n"), "a chunk ends in CRLF");
        body.extend_from_slice(&chunk[..size]);
        at = begin + size + 2;
        if size == 0 {
            return Some(at);
        }
    }
}
