//! The message: its header (RFC 5322) and its parts (MIME, RFC 2045 to 2047).
//!
//! ```text
//! multipart/mixed                    if there are attachments
//! ├ multipart/alternative            if there are text and HTML
//! │ ├ text/plain
//! │ └ multipart/related              if there are images for the HTML
//! │   ├ text/html
//! │   └ image/png                    shown by <img src="cid:NAME">
//! └ application/pdf                  an attachment
//! ```
//!
//! The encodings are mail-builder's: words beyond ASCII in the header (RFC 2047), text as it is
//! or as quoted-printable, and lines that are short enough. Files are in base64. The time and the
//! random numbers come from the caller, so the same draft gives the same bytes.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mail_builder::MessageBuilder;
use mail_builder::headers::address::Address as Mailboxes;
use mail_builder::headers::content_type::ContentType;
use mail_builder::headers::raw::Raw;
use mail_builder::headers::text::Text as Unstructured;
use mail_builder::mime::{BodyPart, MimePart};
use time::{OffsetDateTime, UtcOffset};
use uuid::Uuid;

use crate::http::media_type::MediaTypes;
use crate::smtp::address::{Mailbox, is_domain};

/// The parts of a message.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// The recipients that the header names.
    pub to: Vec<Mailbox>,
    /// Those that get a copy.
    pub cc: Vec<Mailbox>,
    /// Who gets the answers.
    pub reply_to: Vec<Mailbox>,
    /// The subject.
    pub subject: Option<String>,
    /// Further fields.
    pub fields: Vec<(String, String)>,
    /// The text.
    pub text: Option<Text>,
    /// A file with the text as HTML.
    pub html: Option<PathBuf>,
    /// Files for the HTML.
    pub inline: Vec<PathBuf>,
    /// Attachments.
    pub attach: Vec<PathBuf>,
}

/// Where the text comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Text {
    /// The command line.
    Given(String),
    /// Standard input.
    Stdin,
    /// A file.
    File(PathBuf),
}

/// What the files of a draft contain.
#[derive(Clone, Debug, Default)]
pub(super) struct Files {
    pub(super) text: Option<String>,
    pub(super) html: Option<String>,
    pub(super) inline: Vec<Vec<u8>>,
    pub(super) attached: Vec<Vec<u8>>,
}

/// When a message is written, and by what it differs from all others.
#[derive(Clone, Debug)]
pub struct Stamp {
    date: OffsetDateTime,
    id: Uuid,
}

impl Stamp {
    /// For a message that is written now. The local time is known only while the process has one
    /// thread; else the date is in UTC.
    pub fn now(unix_seconds: i64) -> Self {
        let date = OffsetDateTime::from_unix_timestamp(unix_seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let offset = UtcOffset::local_offset_at(date).unwrap_or(UtcOffset::UTC);
        Self { date: date.checked_to_offset(offset).unwrap_or(date), id: Uuid::new_v4() }
    }

    /// The date as in the header (RFC 5322 §3.3).
    fn date(&self) -> String {
        let (date, offset) = (self.date, self.date.offset());
        let name = |name: String| name.chars().take(3).collect::<String>();
        format!(
            "{}, {} {} {:04} {:02}:{:02}:{:02} {}{:02}{:02}",
            name(date.weekday().to_string()),
            date.day(),
            name(date.month().to_string()),
            date.year(),
            date.hour(),
            date.minute(),
            date.second(),
            if offset.is_negative() { '-' } else { '+' },
            offset.whole_hours().unsigned_abs(),
            offset.minutes_past_hour().unsigned_abs()
        )
    }

    /// A name of the message that no other one has.
    fn message_id(&self, from: &Mailbox) -> String {
        let domain = from.address.domain();
        let domain = if is_domain(domain) && domain.is_ascii() { domain } else { "localhost" };
        format!("<{}@{domain}>", self.id)
    }

    /// What separates the parts of a multipart. Neither quoted-printable nor base64 has `=_`.
    fn boundary(&self, number: usize) -> String {
        format!("=_{}_{number}", self.id.simple())
    }

    fn multipart<'x>(&self, kind: &'static str, number: usize, parts: Vec<MimePart<'x>>) -> MimePart<'x> {
        MimePart::new(ContentType::new(kind).attribute("boundary", self.boundary(number)), BodyPart::Multipart(parts))
    }
}

impl Draft {
    /// The message of a sender. It names nobody who gets a blind copy.
    pub(super) fn build(&self, from: &Mailbox, files: Files, stamp: &Stamp) -> Vec<u8> {
        let undisclosed = || Mailboxes::new_group(Some("undisclosed-recipients"), Vec::new());
        let mut message = MessageBuilder::new().header("From", mailboxes(std::slice::from_ref(from)));
        let lists = [("To", &self.to), ("Cc", &self.cc), ("Reply-To", &self.reply_to)];
        for (name, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
            message = message.header(name, mailboxes(list));
        }
        if self.to.is_empty() && self.cc.is_empty() {
            message = message.header("To", undisclosed());
        }
        if let Some(subject) = &self.subject {
            message = message.header("Subject", Unstructured::new(subject));
        }
        message = message.header("Date", Raw::new(stamp.date())).header("Message-ID", Raw::new(stamp.message_id(from)));
        for (name, value) in &self.fields {
            message = message.header(name.as_str(), Unstructured::new(value));
        }
        let message = message.header("MIME-Version", Raw::new("1.0")).body(self.body(files, stamp));
        let mut bytes = Vec::new();
        message.serialize(&mut bytes);
        bytes
    }

    fn body(&self, files: Files, stamp: &Stamp) -> MimePart<'_> {
        let types = MediaTypes::new();
        let Files { text, html, inline, attached } = files;
        let images: Vec<_> =
            self.inline.iter().zip(inline).map(|(path, content)| image(path, content, &types)).collect();
        let html = html.map(|html| {
            let html = MimePart::new("text/html", BodyPart::Text(html.into()));
            if images.is_empty() {
                return html;
            }
            stamp.multipart("multipart/related", 3, std::iter::once(html).chain(images).collect())
        });
        let text = text.map(|text| MimePart::new("text/plain", BodyPart::Text(text.into())));
        let body = match (text, html) {
            (Some(text), Some(html)) => stamp.multipart("multipart/alternative", 2, vec![text, html]),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => MimePart::new("text/plain", ""),
        };
        if attached.is_empty() {
            return body;
        }
        let attached = self.attach.iter().zip(attached).map(|(path, content)| attachment(path, content, &types));
        stamp.multipart("multipart/mixed", 1, std::iter::once(body).chain(attached).collect())
    }
}

fn mailboxes(list: &[Mailbox]) -> Mailboxes<'_> {
    let one = |mailbox: &Mailbox| {
        Mailboxes::new_address(mailbox.name.clone().map(Cow::Owned), mailbox.address.as_str().to_owned())
    };
    match list {
        [mailbox] => one(mailbox),
        list => Mailboxes::new_list(list.iter().map(one).collect()),
    }
}

/// The name of a file, without its directories.
pub fn file_name(path: &Path) -> Cow<'_, str> {
    path.file_name().map_or(Cow::Borrowed("file"), |name| name.to_string_lossy())
}

/// Base64 in lines of 76 characters (RFC 2045 §6.8).
fn base64_lines(content: &[u8]) -> String {
    let mut lines = String::with_capacity(content.len() / 57 * 78 + 80);
    for (number, piece) in content.chunks(57).enumerate() {
        lines += if number == 0 { "" } else { "\r\n" };
        STANDARD.encode_string(piece, &mut lines);
    }
    lines
}

/// A part in base64 with the type that the extension of its file says.
fn file<'x>(path: &'x Path, content: Vec<u8>, types: &MediaTypes) -> (MimePart<'x>, Cow<'x, str>) {
    let name = file_name(path);
    let media_type = types.of(name.as_bytes());
    let media_type = media_type.split(';').next().unwrap_or(media_type).to_owned();
    let content_type = ContentType::new(media_type).attribute("name", name.clone().into_owned());
    // By itself mail-builder would change the line ends of a file of text.
    let part = MimePart::new(content_type, BodyPart::Text(base64_lines(&content).into()));
    let part = part.transfer_encoding("base64");
    (part, name)
}

fn attachment<'x>(path: &'x Path, content: Vec<u8>, types: &MediaTypes) -> MimePart<'x> {
    let (part, name) = file(path, content, types);
    part.attachment(name)
}

/// A file that the HTML shows by `cid:NAME`.
fn image<'x>(path: &'x Path, content: Vec<u8>, types: &MediaTypes) -> MimePart<'x> {
    let (part, name) = file(path, content, types);
    part.inline().cid(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailbox(text: &str) -> Mailbox {
        Mailbox::parse(text).unwrap()
    }

    fn stamp(hours: i8, minutes: i8) -> Stamp {
        let offset = UtcOffset::from_hms(hours, minutes, 0).unwrap();
        let date = OffsetDateTime::from_unix_timestamp(784_111_777).unwrap().to_offset(offset);
        Stamp { date, id: Uuid::from_u128(1) }
    }

    fn build(draft: &Draft, files: Files) -> String {
        String::from_utf8(draft.build(&mailbox("Ada <ada@example.org>"), files, &stamp(0, 0))).unwrap()
    }

    fn text(text: &str) -> Files {
        Files { text: Some(text.to_owned()), ..Files::default() }
    }

    #[test]
    fn a_short_text_is_sent_as_it_is() {
        let draft = Draft { to: vec![mailbox("bob@example.org")], subject: Some("Hello".into()), ..Draft::default() };
        let expected = "From: \"Ada\" <ada@example.org>\r\n\
            To: <bob@example.org>\r\n\
            Subject: Hello\r\n\
            Date: Sun, 6 Nov 1994 08:49:37 +0000\r\n\
            Message-ID: <00000000-0000-0000-0000-000000000001@example.org>\r\n\
            MIME-Version: 1.0\r\n\
            Content-Type: text/plain; charset=\"utf-8\"\r\n\
            Content-Transfer-Encoding: 7bit\r\n\
            \r\n\
            one\r\n.two\r\n";
        assert_eq!(build(&draft, text("one\n.two\n")), expected);
    }

    #[test]
    fn the_date_has_the_local_offset() {
        assert_eq!(stamp(5, 30).date(), "Sun, 6 Nov 1994 14:19:37 +0530");
        assert_eq!(stamp(-9, -30).date(), "Sat, 5 Nov 1994 23:19:37 -0930");
        assert_eq!(stamp(0, -30).date(), "Sun, 6 Nov 1994 08:19:37 -0030");
    }

    #[test]
    fn lines_are_short_and_ascii_whatever_the_text_is() {
        let long = "\u{e4}\u{20ac} ".repeat(500) + &"x".repeat(2_000);
        let draft = Draft {
            to: (0..50).map(|number| mailbox(&format!("\u{dc} {number} <{number}@example.org>"))).collect(),
            subject: Some(long.clone()),
            fields: vec![("X-Long".to_owned(), long.clone())],
            attach: vec![PathBuf::from(format!("dir/{}.txt", "\u{e4}".repeat(100)))],
            ..Draft::default()
        };
        let files = Files { text: Some(long), attached: vec![vec![0xff; 10_000]], ..Files::default() };
        let message = build(&draft, files);
        assert!(message.is_ascii());
        let longest = message.split("\r\n").map(str::len).max().unwrap();
        assert!(longest <= 78, "{longest}");
        assert!(message.replace("\r\n", "").bytes().all(|byte| byte != b'\r' && byte != b'\n'));
    }

    #[test]
    fn text_html_images_and_attachments_have_their_places() {
        let draft = Draft {
            to: vec![mailbox("bob@example.org")],
            inline: vec!["a.png".into()],
            attach: vec!["dir/b.pdf".into(), "c.txt".into()],
            ..Draft::default()
        };
        let files = Files {
            text: Some("text".into()),
            html: Some("<p>".into()),
            inline: vec![b"image".to_vec()],
            attached: vec![b"pdf".to_vec(), b"a\nb\r\n".to_vec()],
        };
        let message = build(&draft, files.clone());
        let types: Vec<_> =
            message.split("Content-Type: ").skip(1).map(|rest| rest.split(';').next().unwrap()).collect();
        let all = ["multipart/mixed", "multipart/alternative", "text/plain", "multipart/related", "text/html"];
        assert_eq!(types, [&all[..], &["image/png", "application/pdf", "text/plain"]].concat());
        assert!(message.contains("Content-ID: <a.png>\r\n") && message.contains("filename=\"b.pdf\""), "{message}");
        // Files are sent byte for byte.
        assert!(message.contains("\r\n\r\nYQpiDQo=\r\n"), "{message}");
        let html = Files { text: None, html: files.html, ..Files::default() };
        assert!(build(&Draft::default(), html).contains("Content-Type: text/html"));
    }

    #[test]
    fn without_recipients_in_the_header_it_says_so() {
        let message = build(&Draft::default(), text("a"));
        assert!(
            message.contains("To: \"undisclosed-recipients\":;\r\n")
                || message.contains("To: undisclosed-recipients:;"),
            "{message}"
        );
        assert!(!message.to_lowercase().contains("bcc"));
    }

    #[test]
    fn the_identifier_has_a_domain_of_ascii() {
        let id = |from: &str| stamp(0, 0).message_id(&mailbox(from));
        assert!(id("a@example.org").ends_with("@example.org>"));
        assert!(id("a@b\u{fc}cher.example").ends_with("@localhost>"));
        assert!(id("a@[192.0.2.1]").ends_with("@localhost>"));
    }
}
