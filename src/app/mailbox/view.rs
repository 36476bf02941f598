//! The forms in which a message is shown, and the list.

use std::borrow::Cow;
use std::io;

use askama::Template;
use serde::Serialize;

use super::super::page::{self, Foot, Moment};
use super::super::{Body, Response};
use super::{NO_MESSAGE, html};
use crate::http::event_stream::number;
use crate::http::{Reject, Status};
use crate::mailbox::mime::{Address, Field, Parsed, Part};
use crate::mailbox::{About, Content, Envelope, Message, MessageId};
use crate::text::size;

/// Recipients that the page names.
const NAMED: usize = 3;
/// Longest file name of a download, in characters.
const NAME: usize = 100;

/// A form in which a message is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum View {
    /// A page.
    Page,
    /// JSON.
    Data,
    /// As it was received.
    Raw,
    /// The same as plain text.
    Source,
    Text,
    Html,
    /// The content of the part with this number.
    Part(usize),
}

/// What a page needs to know beside its content.
pub(super) struct Site {
    pub(super) mount: String,
    pub(super) foot: Foot,
}

/// A response that a helper thread has made. ([`Response`] can have content that stays on its thread.)
pub(super) struct Ready {
    fields: Vec<(&'static str, Cow<'static, str>)>,
    body: Cow<'static, [u8]>,
}

impl Ready {
    /// A response 200 with content that isn't made over time.
    pub(super) fn of(response: Response) -> Self {
        let body = if let Body::Bytes(bytes) = response.body { bytes } else { Cow::Borrowed(&b""[..]) };
        Self { fields: response.fields, body }
    }

    /// It has a secret, like a code or the link to a new password, beside text that others chose: they
    /// can send messages, too.
    pub(super) fn response(self) -> Response {
        Response { fields: self.fields, body: Body::Bytes(self.body), ..Response::new(Status::OK) }.with_secrets()
    }
}

/// A message in the list, for programs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct Row {
    id: MessageId,
    /// The sender of the envelope.
    from: String,
    /// The recipients of the envelope.
    to: Vec<String>,
    /// The field From.
    sender: String,
    subject: String,
    /// In bytes.
    size: u64,
    /// The same for people.
    size_text: String,
    /// When it was received (RFC 3339).
    time: String,
    #[serde(skip)]
    when: String,
}

impl Row {
    pub(super) fn of(message: &Message) -> Self {
        Self::about(message.id, &message.about)
    }

    fn about(id: MessageId, about: &About) -> Self {
        let Moment { datetime, when } = Moment::of(about.received);
        Self {
            id,
            from: about.envelope.from.clone(),
            to: about.envelope.recipients.clone(),
            sender: about.summary.from.clone(),
            subject: about.summary.subject.clone(),
            size: about.size,
            size_text: size::shown(about.size),
            time: datetime,
            when,
        }
    }

    /// Who wrote it, as far as anybody says.
    fn who(&self) -> &str {
        [&*self.sender, &*self.from].into_iter().find(|text| !text.is_empty()).unwrap_or("Nobody")
    }

    fn to_whom(&self) -> String {
        let named: Vec<_> = self.to.iter().take(NAMED).map(String::as_str).collect();
        let more = self.to.len() - named.len();
        named.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
    }

    fn title(&self) -> &str {
        if self.subject.is_empty() { "No subject" } else { &self.subject }
    }
}

#[derive(Template)]
#[template(path = "mailbox.html", config = "src/askama.toml")]
struct ListPage {
    rows: Vec<Row>,
    /// The message before which older ones are.
    older: Option<MessageId>,
    /// The number of the last event, if these are the newest messages.
    last: Option<u64>,
    mount: String,
    foot: Foot,
}

/// The page with these messages. `has_more` if there are older ones.
pub(super) fn list(rows: Vec<Row>, has_more: bool, last: Option<u64>, site: Site) -> Ready {
    let older = rows.last().filter(|_| has_more).map(|row| row.id);
    let page = ListPage { rows, older, last, mount: site.mount, foot: site.foot };
    Ready::of(page::page_with_script(Response::new(Status::OK), &page).no_store())
}

#[derive(Template)]
#[template(path = "message.html", config = "src/askama.toml")]
struct MessagePage<'a> {
    row: Row,
    about: &'a About,
    parsed: Parsed,
    mount: String,
    foot: Foot,
}

impl MessagePage<'_> {
    fn size_of(&self, part: &Part) -> String {
        size::shown(part.size as u64)
    }
}

/// A message for programs.
#[derive(Serialize)]
struct Data<'a> {
    #[serde(flatten)]
    row: Row,
    envelope: &'a Envelope,
    header: HeaderData<'a>,
    text: Option<&'a str>,
    html: Option<&'a str>,
    attachments: Vec<PartData<'a>>,
    /// The message is too large or has too many parts: something is left out here.
    cut: bool,
}

#[derive(Serialize)]
struct HeaderData<'a> {
    from: &'a [Address],
    to: &'a [Address],
    cc: &'a [Address],
    reply_to: &'a [Address],
    subject: Option<&'a str>,
    date: Option<&'a str>,
    message_id: Option<&'a str>,
    fields: &'a [Field],
}

#[derive(Serialize)]
struct PartData<'a> {
    part: usize,
    name: Option<&'a str>,
    #[serde(rename = "type")]
    media_type: &'a str,
    content_id: Option<&'a str>,
    size: usize,
    /// Where its content is.
    url: String,
}

impl<'a> PartData<'a> {
    fn of(part: &'a Part, mount: &str, id: MessageId) -> Self {
        Self {
            part: part.number,
            name: part.name.as_deref(),
            media_type: &part.media_type,
            content_id: part.content_id.as_deref(),
            size: part.size,
            url: format!("{mount}/messages/{id}/parts/{}", part.number),
        }
    }
}

impl View {
    /// The form of these segments of a path, behind the number of a message.
    pub(super) fn of(segments: &[&[u8]]) -> Option<Self> {
        match segments {
            [] => Some(Self::Data),
            [b"raw"] => Some(Self::Raw),
            [b"source"] => Some(Self::Source),
            [b"text"] => Some(Self::Text),
            [b"html"] => Some(Self::Html),
            [b"parts", part] => Some(Self::Part(usize::try_from(number(part)?).ok()?)),
            _ => None,
        }
    }

    /// Makes the response. Blocks: for a helper thread.
    pub(super) fn make(self, id: MessageId, about: &About, content: Content, site: Site) -> Result<Ready, Reject> {
        let content = content.read().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => NO_MESSAGE,
            _ => {
                log::error!("message {id} can't be read: {error}");
                Reject::new(Status::INTERNAL_SERVER_ERROR, "the message can't be read")
            }
        })?;
        let ok = || Response::new(Status::OK).no_store();
        let response = match self {
            Self::Page => {
                let row = Row::about(id, about);
                let page = MessagePage { row, about, parsed: Parsed::of(&content), mount: site.mount, foot: site.foot };
                page::page_with_frame(ok(), &page)
            }
            Self::Data => data(ok(), id, about, &Parsed::of(&content), &site.mount),
            Self::Raw => download(ok(), "message/rfc822", &format!("message-{id}.eml"), content.to_vec()),
            Self::Source => ok().content("text/plain; charset=utf-8", content.to_vec()),
            Self::Text => {
                let no_text = Reject::new(Status::NOT_FOUND, "the message has no plain text");
                ok().text(Parsed::of(&content).text.ok_or(no_text)?.text)
            }
            Self::Html => {
                let no_html = Reject::new(Status::NOT_FOUND, "the message has no HTML");
                html::respond(ok(), &Parsed::of(&content).html.ok_or(no_html)?.text, &content)
            }
            Self::Part(part) => {
                let no_part = Reject::new(Status::NOT_FOUND, "the message has no such part");
                let (part, content) = Parsed::part(&content, part).ok_or(no_part)?;
                download(ok(), &part.media_type, &file_name(&part), content)
            }
        };
        Ok(Ready::of(response))
    }
}

fn data(response: Response, id: MessageId, about: &About, parsed: &Parsed, mount: &str) -> Response {
    let Parsed { header, text, html, parts, has_more_parts } = parsed;
    response.json(&Data {
        row: Row::about(id, about),
        envelope: &about.envelope,
        header: HeaderData {
            from: &header.from,
            to: &header.to,
            cc: &header.cc,
            reply_to: &header.reply_to,
            subject: header.subject.as_deref(),
            date: header.date.as_deref(),
            message_id: header.message_id.as_deref(),
            fields: &header.fields,
        },
        text: text.as_ref().map(|text| &*text.text),
        html: html.as_ref().map(|html| &*html.text),
        attachments: parts.iter().map(|part| PartData::of(part, mount, id)).collect(),
        cut: *has_more_parts || [text, html].into_iter().flatten().any(|text| text.is_cut),
    })
}

/// Content that browsers store and don't show, whatever it is.
fn download(response: Response, media_type: &str, name: &str, content: Vec<u8>) -> Response {
    let response = response.content(media_type.to_owned(), content);
    // A browser that shows it all the same runs nothing in it.
    let response = response.field("Content-Security-Policy", "sandbox; default-src 'none'");
    response.field("Content-Disposition", disposition(name))
}

/// The value of Content-Disposition (RFC 6266): the name for all clients, and in UTF-8 (RFC 8187).
fn disposition(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ' ' | '(' | ')');
    let ascii = name.replace(|c| !plain(c), "_");
    if ascii == name {
        return format!("attachment; filename=\"{name}\"");
    }
    let encoded = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
    format!("attachment; filename=\"{ascii}\"; filename*=UTF-8''{encoded}")
}

/// The name of a part as a file: of the sender's name only what stays in a directory, and hides nothing.
fn file_name(part: &Part) -> String {
    let extension = match &*part.media_type {
        "text/plain" => ".txt",
        "text/html" => ".html",
        "message/rfc822" => ".eml",
        _ => "",
    };
    let own = || format!("part-{}{extension}", part.number);
    let Some(name) = &part.name else { return own() };
    let is_hidden = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let has_meaning = |c: char| c.is_control() || is_hidden(c) || "/\\:*?\"<>|".contains(c);
    let name: String = name.chars().take(NAME).map(|c| if has_meaning(c) { '_' } else { c }).collect();
    let name = name.trim_matches(|c: char| c == '.' || c.is_whitespace());
    if name.is_empty() { own() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_safe() {
        let part = |name: &str| Part {
            number: 3,
            media_type: "text/html".to_owned(),
            name: Some(name.to_owned()).filter(|name| !name.is_empty()),
            content_id: None,
            size: 0,
        };
        for (name, expected, field) in [
            ("a b.pdf", "a b.pdf", "attachment; filename=\"a b.pdf\""),
            ("", "part-3.html", "attachment; filename=\"part-3.html\""),
            ("..", "part-3.html", "attachment; filename=\"part-3.html\""),
            ("../../etc/passwd", "_.._etc_passwd", "attachment; filename=\"_.._etc_passwd\""),
            (".bashrc", "bashrc", "attachment; filename=\"bashrc\""),
            ("C:\\a\"b", "C__a_b", "attachment; filename=\"C__a_b\""),
            ("a\r\nSet-Cookie: b", "a__Set-Cookie_ b", "attachment; filename=\"a__Set-Cookie_ b\""),
            ("a\u{202e}fdp.exe", "a_fdp.exe", "attachment; filename=\"a_fdp.exe\""),
            ("ä';x", "ä';x", "attachment; filename=\"___x\"; filename*=UTF-8''%C3%A4%27%3Bx"),
        ] {
            let name = file_name(&part(name));
            assert_eq!((&*name, &*disposition(&name)), (expected, field));
        }
        assert_eq!(file_name(&part(&"x".repeat(999))).len(), NAME);
    }
}
