//! What is known about a message without its content: its number, its envelope, its size.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::mime::Summary;

/// What a message takes beside its content and its envelope, in bytes.
const OVERHEAD: usize = 512;

/// The number of a message; later ones have greater numbers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub struct MessageId(u64);

impl MessageId {
    /// The number of the first message.
    pub(super) const FIRST: Self = Self(1);
    /// Longest number, in digits: all of them are exact in JavaScript.
    const DIGITS: usize = 15;

    /// The number after it.
    pub(super) fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// A number as it is shown: digits, without a zero at the beginning.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let is_number = text.len() <= Self::DIGITS && text.first()? != &b'0' && text.iter().all(u8::is_ascii_digit);
        is_number.then(|| std::str::from_utf8(text).ok()?.parse().ok().map(Self)).flatten()
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What the client said about a message outside of it (RFC 5321 §2.3.1), and which client that was.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Envelope {
    /// The address of MAIL FROM; empty for a notice that expects no answer.
    pub from: String,
    /// The addresses of RCPT TO.
    pub recipients: Vec<String>,
    /// The address of the client.
    pub peer: String,
    /// What the client calls itself in EHLO or HELO.
    pub helo: String,
    /// The user, if the client has logged in.
    pub user: Option<String>,
    /// Whether the client used TLS.
    pub tls: bool,
}

impl Envelope {
    fn length(&self) -> usize {
        let texts = [&self.from, &self.peer, &self.helo].into_iter().chain(&self.user);
        let lengths = texts.map(String::len).chain(self.recipients.iter().map(|to| to.len() + size_of::<String>()));
        lengths.fold(0, usize::saturating_add)
    }
}

/// What is known about a message without its content.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct About {
    /// The Unix second at which it was received.
    pub received: i64,
    /// The length of its content in bytes.
    pub size: u64,
    /// Its envelope.
    pub envelope: Envelope,
    /// What the list shows of its header.
    pub summary: Summary,
}

impl About {
    /// What the message takes, as the limits of the mailbox count it.
    pub(super) fn cost(&self) -> u64 {
        let beside = self.envelope.length().saturating_add(self.summary.length()).saturating_add(OVERHEAD);
        self.size.saturating_add(beside as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_as_it_is_shown() {
        for number in ["1", "42", "999999999999999"] {
            assert_eq!(MessageId::parse(number.as_bytes()).unwrap().to_string(), number);
        }
        for text in ["", "0", "01", "+1", "-1", " 1", "1 ", "1x", "1000000000000000", "\u{661}"] {
            assert_eq!(MessageId::parse(text.as_bytes()), None, "{text}");
        }
    }
}
