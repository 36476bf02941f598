//! The fields of a header section (RFC 5322 §3.6), decoded (RFC 2047).

use std::borrow::Cow;
use std::fmt;

use mail_parser::parsers::MessageStream;
use mail_parser::{Message, MessageParser};
use serde::Serialize;

/// Longest header section that is read, in bytes: what is behind it is ignored.
const SECTION: usize = 64 * 1024;
/// Most fields that are shown.
const FIELDS: usize = 500;
/// Most addresses of a field.
const ADDRESSES: usize = 1_000;

/// The header of a message.
#[derive(PartialEq, Eq, Default, Debug)]
pub struct Header {
    /// Who wrote it.
    pub from: Vec<Address>,
    /// To whom it is.
    pub to: Vec<Address>,
    /// Who gets a copy.
    pub cc: Vec<Address>,
    /// Who gets answers.
    pub reply_to: Vec<Address>,
    /// What it is about.
    pub subject: Option<String>,
    /// When it was written (RFC 3339), if the field is valid.
    pub date: Option<String>,
    /// Its Message-ID, without the angle brackets.
    pub message_id: Option<String>,
    /// All fields in their order.
    pub fields: Vec<Field>,
}

/// An address, which may have a name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Address {
    /// The name, if there is one.
    pub name: Option<String>,
    /// The address itself; empty if there is only a name.
    pub address: String,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) if self.address.is_empty() => f.write_str(name),
            Some(name) => write!(f, "{name} <{}>", self.address),
            None => f.write_str(&self.address),
        }
    }
}

/// A field of the header.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Field {
    /// Its name, as it was written.
    pub name: String,
    /// Its value on one line, with encoded words decoded.
    pub value: String,
}

/// A header section as `mail-parser` reads it: it needs an empty line at the end.
pub(super) fn complete(section: &[u8]) -> Vec<u8> {
    let section = section.get(..SECTION).unwrap_or(section);
    [section, b"\n\n"].concat()
}

/// The fields of a [complete] header section.
pub(super) fn parse<'a>(parser: &MessageParser, section: &'a [u8]) -> Message<'a> {
    parser.parse_headers(section).unwrap_or_default()
}

impl Header {
    /// The header in a header section.
    pub(super) fn of(section: &[u8]) -> Self {
        let section = complete(section);
        let message = parse(&MessageParser::default(), &section);
        if message.parts.is_empty() {
            return Self::default();
        }
        let date = message.date().filter(|date| date.is_valid()).map(|date| date.to_rfc3339());
        Self {
            from: addresses(message.from()),
            to: addresses(message.to()),
            cc: addresses(message.cc()),
            reply_to: addresses(message.reply_to()),
            subject: message.subject().map(one_line),
            date,
            message_id: message.message_id().map(one_line),
            fields: fields(&message, &section),
        }
    }
}

fn addresses(field: Option<&mail_parser::Address<'_>>) -> Vec<Address> {
    let all = field.into_iter().flat_map(|field| field.iter()).take(ADDRESSES);
    let all = all.map(|address| Address {
        name: address.name().map(one_line).filter(|name| !name.is_empty()),
        address: address.address().map(one_line).unwrap_or_default(),
    });
    all.collect()
}

fn fields(message: &Message<'_>, section: &[u8]) -> Vec<Field> {
    let fields = message.headers().iter().take(FIELDS).map(|header| {
        let raw = section.get(header.offset_start as usize..header.offset_end as usize).unwrap_or_default();
        let name = section.get(header.offset_field as usize..(header.offset_start as usize).saturating_sub(1));
        let name = name.map_or(Cow::Borrowed(header.name()), String::from_utf8_lossy);
        let value = MessageStream::new(raw).parse_unstructured().into_text();
        Field { name: one_line(name.trim()), value: value.map(|value| one_line(&value)).unwrap_or_default() }
    });
    fields.collect()
}

/// Text without control characters, which encoded words can have.
pub(super) fn one_line(text: &str) -> String {
    text.replace(|c: char| c.is_control(), " ")
}
