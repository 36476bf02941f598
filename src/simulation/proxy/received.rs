//! A request as an origin receives it.

/// A request, as far as it was received.
pub(super) struct Request {
    pub(super) id: u64,
    pub(super) head: String,
    pub(super) content: Vec<u8>,
    framing: Framing,
    pub(super) is_complete: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Framing {
    Length(usize),
    Chunked,
}

impl Request {
    pub(super) fn new(head: String) -> Self {
        let mut this = Self { id: 0, head, content: Vec::new(), framing: Framing::Length(0), is_complete: false };
        this.id = u64::from_str_radix(this.field("X-Req").expect("a number"), 16).expect("a number");
        if let Some(length) = this.field("Content-Length") {
            this.framing = Framing::Length(length.parse().expect("a length"));
        } else if this.field("Transfer-Encoding").is_some() {
            this.framing = Framing::Chunked;
        }
        this
    }

    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub(super) fn method(&self) -> &str {
        self.head.split(' ').next().unwrap_or_default()
    }

    pub(super) fn target(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    /// Reads content.
    pub(super) fn read(&mut self, received: &mut Vec<u8>) {
        while !self.is_complete {
            match self.framing {
                Framing::Length(length) => {
                    let count = received.len().min(length - self.content.len());
                    self.content.extend(received.drain(..count));
                    self.is_complete = self.content.len() == length;
                    break;
                }
                Framing::Chunked => {
                    let Some(line) = memchr::memmem::find(received, b"\r\n") else { break };
                    let size = std::str::from_utf8(&received[..line]).expect("a size");
                    let size = usize::from_str_radix(size, 16).expect("a size");
                    let Some(chunk) = received.get(line + 2..line + 2 + size + 2) else { break };
                    assert!(chunk.ends_with(b"\r\n"), "a chunk ends in CRLF");
                    self.content.extend_from_slice(&chunk[..size]);
                    received.drain(..line + 2 + size + 2);
                    self.is_complete = size == 0;
                }
            }
        }
    }
}
