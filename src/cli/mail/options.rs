//! The table of options of `miod mail`.

use std::path::PathBuf;
use std::time::Duration;

use super::super::arguments::Tool;
use super::super::client_options::{ClientDraft, HasClientDraft, cacert, insecure, max_time, tls_keylog};
use crate::client::mail::{Draft as Letter, MailShow, Text, file_name};
use crate::config::options::{Draft, Opt, SetResult, Setter, Value, assign};
use crate::config::value_text::seconds;
use crate::config::values;
use crate::smtp::address::{Mailbox, is_domain, is_literal};
use crate::smtp::client::Mechanism;

/// Longest password, and name of a user, in bytes.
pub(super) const SECRET: usize = 255;

/// The options, before they are put together.
pub(in super::super) struct MailDraft {
    pub(super) server: Option<String>,
    pub(super) from: Option<Mailbox>,
    pub(super) bcc: Vec<Mailbox>,
    pub(super) letter: Letter,
    pub(super) ready: Option<PathBuf>,
    pub(super) tls: TlsChoice,
    pub(super) user: Option<String>,
    pub(super) password_file: Option<PathBuf>,
    pub(super) mechanism: Option<Mechanism>,
    pub(super) insecure_auth: bool,
    pub(super) helo: bool,
    pub(super) name: Option<String>,
    pub(super) dry_run: bool,
    pub(super) show: MailShow,
    pub(super) connect_timeout: Duration,
    pub(super) timeout: Duration,
    pub(super) client: ClientDraft,
}

impl Default for MailDraft {
    fn default() -> Self {
        Self {
            server: None,
            from: None,
            bcc: Vec::new(),
            letter: Letter::default(),
            ready: None,
            tls: TlsChoice::Auto,
            user: None,
            password_file: None,
            mechanism: None,
            insecure_auth: false,
            helo: false,
            name: None,
            dry_run: false,
            show: MailShow::default(),
            connect_timeout: Duration::from_secs(20),
            // As RFC 5321 §4.5.3.2 has it for most commands.
            timeout: Duration::from_secs(300),
            client: ClientDraft::default(),
        }
    }
}

impl HasClientDraft for MailDraft {
    fn client(&mut self) -> &mut ClientDraft {
        &mut self.client
    }
}

/// What `--tls` says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum TlsChoice {
    #[default]
    Auto,
    StartTls,
    Implicit,
    None,
}

const MAILBOX: &str = "ADDRESS";

pub(in super::super) const TOOL: Tool<MailDraft> = Tool {
    usage: "miod mail sends a message to a mail server (SMTP).

Usage: miod mail [OPTIONS] TO...

TO is an address, like ada@example.org or 'Ada Example <ada@example.org>'. The text of the message
is read from standard input, unless it is given.
",
    options: &[
        Opt {
            long: "server",
            value: Value::Required("HOST[:PORT]"),
            help: "the mail server; also smtp://HOST or smtps://HOST (default: localhost, port 587; 465 with implicit \
                   TLS, 25 with --tls none)",
            set: Setter::Command(|draft, text| {
                draft.server = Some(text.to_owned());
                Ok(())
            }),
            ..Opt::DEFAULT
        },
        Opt {
            long: "from",
            short: Some('f'),
            value: Value::Required(MAILBOX),
            help: "the sender",
            set: assign!(Command.from = Some(mailbox)),
            ..Opt::DEFAULT
        },
        Opt {
            long: "subject",
            short: Some('s'),
            value: Value::Required("TEXT"),
            help: "the subject",
            set: assign!(Command.letter.subject = Some(one_line)),
            ..Opt::DEFAULT
        },
        Opt {
            long: "cc",
            value: Value::Required(MAILBOX),
            help: "who gets a copy",
            repeatable: true,
            set: Setter::Command(|draft, text| add(&mut draft.letter.cc, text)),
            ..Opt::DEFAULT
        },
        Opt {
            long: "bcc",
            value: Value::Required(MAILBOX),
            help: "who gets a copy that the others don't see",
            repeatable: true,
            set: Setter::Command(|draft, text| add(&mut draft.bcc, text)),
            ..Opt::DEFAULT
        },
        Opt {
            long: "reply-to",
            value: Value::Required(MAILBOX),
            help: "who gets the answers",
            repeatable: true,
            set: Setter::Command(|draft, text| add(&mut draft.letter.reply_to, text)),
            ..Opt::DEFAULT
        },
        Opt {
            long: "header",
            short: Some('H'),
            value: Value::Required("FIELD"),
            help: "another field, like 'X-Job: backup'",
            repeatable: true,
            set: Setter::Command(set_field),
            ..Opt::DEFAULT
        },
        Opt {
            long: "text",
            value: Value::Required("FILE|-"),
            help: "the text, from a file or standard input",
            set: Setter::Command(|draft, text| {
                set_text(draft, if text == "-" { Text::Stdin } else { Text::File(PathBuf::from(text)) })
            }),
            ..Opt::DEFAULT
        },
        Opt {
            long: "body",
            value: Value::Required("TEXT"),
            help: "the text itself",
            set: Setter::Command(|draft, text| set_text(draft, Text::Given(text.to_owned()))),
            ..Opt::DEFAULT
        },
        Opt {
            long: "html",
            value: Value::Required("FILE"),
            help: "the text as HTML; with a text, readers choose one of them",
            set: Setter::Command(|draft, text| {
                draft.letter.html = Some(PathBuf::from(text));
                Ok(())
            }),
            ..Opt::DEFAULT
        },
        Opt {
            long: "attach",
            short: Some('a'),
            value: Value::Required("FILE"),
            help: "attach a file; its media type comes from its extension; all files together up to 64 MiB",
            repeatable: true,
            set: Setter::Command(|draft, text| add_file(&mut draft.letter.attach, text)),
            ..Opt::DEFAULT
        },
        Opt {
            long: "inline",
            value: Value::Required("FILE"),
            help: "an image that the HTML shows by <img src=\"cid:NAME\">",
            repeatable: true,
            set: Setter::Command(|draft, text| add_inline(&mut draft.letter.inline, text)),
            ..Opt::DEFAULT
        },
        Opt {
            long: "message",
            value: Value::Required("FILE|-"),
            help: "send this message with its header as it is (RFC 5322)",
            set: Setter::Command(|draft, text| {
                draft.ready = Some(PathBuf::from(text));
                Ok(())
            }),
            ..Opt::DEFAULT
        },
        Opt {
            long: "tls",
            value: Value::Required("auto|starttls|implicit|none"),
            help: "auto: implicit on port 465, else STARTTLS if the server offers it; starttls: insist on it \
                   (default: auto)",
            set: Setter::Command(|draft, text| {
                draft.tls = match text {
                    "auto" => TlsChoice::Auto,
                    "starttls" => TlsChoice::StartTls,
                    "implicit" => TlsChoice::Implicit,
                    "none" => TlsChoice::None,
                    _ => return Err("give auto, starttls, implicit or none".to_owned()),
                };
                Ok(())
            }),
            ..Opt::DEFAULT
        },
        cacert(),
        insecure(),
        tls_keylog(),
        Opt {
            long: "user",
            short: Some('u'),
            value: Value::Required("NAME"),
            help: "log in; the password comes from MIOD_MAIL_PASSWORD, from --password-file, or is asked for",
            set: Setter::Command(|draft, text| {
                let user = one_line(text)?;
                if user.is_empty() || user.len() > SECRET {
                    return Err(format!("give a name of 1 to {SECRET} bytes"));
                }
                draft.user = Some(user);
                Ok(())
            }),
            ..Opt::DEFAULT
        },
        Opt {
            long: "password-file",
            value: Value::Required("FILE"),
            help: "the password is the first line of this file",
            set: Setter::Command(|draft, text| {
                draft.password_file = Some(PathBuf::from(text));
                Ok(())
            }),
            ..Opt::DEFAULT
        },
        Opt {
            long: "auth",
            value: Value::Required("login|plain|auto"),
            help: "how to log in (default: auto, which is PLAIN if the server offers it, else LOGIN)",
            set: Setter::Command(|draft, text| {
                draft.mechanism = match text {
                    "login" => Some(Mechanism::Login),
                    "plain" => Some(Mechanism::Plain),
                    "auto" => None,
                    _ => return Err("give login, plain or auto".to_owned()),
                };
                Ok(())
            }),
            ..Opt::DEFAULT
        },
        Opt {
            long: "insecure-auth",
            help: "send the password even without TLS; to this machine it is in any case",
            set: assign!(Command.insecure_auth = true),
            ..Opt::DEFAULT
        },
        Opt {
            long: "helo",
            help: "begin with HELO instead of EHLO",
            set: assign!(Command.helo = true),
            ..Opt::DEFAULT
        },
        Opt {
            long: "name",
            value: Value::Required("HOST"),
            help: "what to call ourselves (default: the name of this machine)",
            set: Setter::Command(|draft, text| {
                if !text.is_ascii() || !(is_domain(text) || is_literal(text)) {
                    return Err("give a host name, or an address like [192.0.2.1]".to_owned());
                }
                draft.name = Some(text.to_owned());
                Ok(())
            }),
            ..Opt::DEFAULT
        },
        Opt {
            long: "dry-run",
            help: "print the message and send nothing",
            set: assign!(Command.dry_run = true),
            ..Opt::DEFAULT
        },
        Opt {
            long: "verbose",
            short: Some('v'),
            help: "show commands and replies, and the server's certificate, on standard error; passwords are ***",
            set: assign!(Command.show.dialogue = true),
            ..Opt::DEFAULT
        },
        Opt {
            long: "trace",
            help: "show the time of each step, on standard error",
            set: assign!(Command.show.trace = true),
            ..Opt::DEFAULT
        },
        Opt {
            long: "json",
            help: "print an object with message_id, accepted, refused and the server's reply",
            set: assign!(Command.show.json = true),
            ..Opt::DEFAULT
        },
        Opt {
            long: "connect-timeout",
            value: Value::Required("SECONDS"),
            help: "for resolving the name, for connecting to an address, and for the TLS handshake",
            default: |draft| seconds(draft.command.connect_timeout),
            set: assign!(Command.connect_timeout = values::seconds),
            ..Opt::DEFAULT
        },
        Opt {
            long: "timeout",
            value: Value::Required("SECONDS"),
            help: "for a reply, and for a message without progress",
            default: |draft| seconds(draft.command.timeout),
            set: assign!(Command.timeout = values::seconds),
            ..Opt::DEFAULT
        },
        max_time(),
    ],
    tap: Opt::TAP_OF_CLIENT,
    defaults: Draft::default,
    more: "Exit codes, as curl's: 0 accepted for all recipients; 1 for some, or another error; 2 usage error; 5
refused by the server; 6 unknown host name; 7 connection refused or unreachable; 8 malformed reply;
26 a file can't be read, or be sent; 28 timeout; 35 TLS handshake failed; 56 connection lost; 60
certificate not trusted; 64 STARTTLS isn't offered; 67 login denied or not offered; 77 the file of
--cacert can't be used.

Examples:
  date | miod mail --server mail.example.org -f cron@example.org -s 'It runs' ada@example.org
  miod mail --server localhost:2525 -v --body hello -f ada@example.org bob@example.org
                                                     show the dialogue
  miod mail --server smtps://mail.example.org -u ada -f ada@example.org -s 'A picture' \\
    --body 'See below.' -a photo.jpg bob@example.org
  miod mail --dry-run --body hello -f ada@example.org bob@example.org
                                                     the message only
",
};

pub(super) fn mailbox(text: &str) -> Result<Mailbox, String> {
    Mailbox::parse(text).map_err(|error| error.to_string())
}

fn add(list: &mut Vec<Mailbox>, text: &str) -> SetResult {
    list.push(mailbox(text)?);
    Ok(())
}

/// A text without control characters: in a header they would begin another field.
fn one_line(text: &str) -> Result<String, String> {
    if text.contains(char::is_control) {
        return Err("it has a control character, like a line end".to_owned());
    }
    Ok(text.to_owned())
}

fn set_text(draft: &mut MailDraft, text: Text) -> SetResult {
    if draft.letter.text.replace(text).is_some() {
        return Err("there is a text already".to_owned());
    }
    Ok(())
}

/// The fields that are written in any case, or by an option.
const OWN_FIELDS: [&str; 13] = [
    "bcc",
    "cc",
    "content-disposition",
    "content-id",
    "content-transfer-encoding",
    "content-type",
    "date",
    "from",
    "message-id",
    "mime-version",
    "reply-to",
    "subject",
    "to",
];

/// `Name: value`.
fn set_field(draft: &mut MailDraft, text: &str) -> SetResult {
    let (name, value) = text.split_once(':').ok_or("give a field, like 'X-Job: backup'")?;
    // RFC 5322 §2.2.
    if name.is_empty() || name.len() > 76 || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("the name of a field has letters, digits and hyphens".to_owned());
    }
    if OWN_FIELDS.iter().any(|own| name.eq_ignore_ascii_case(own)) {
        return Err("this field is written by miod, or has an option of its own".to_owned());
    }
    let value = one_line(value)?.trim().to_owned();
    draft.letter.fields.push((name.to_owned(), value));
    Ok(())
}

fn add_file(list: &mut Vec<PathBuf>, text: &str) -> SetResult {
    list.push(PathBuf::from(one_line(text)?));
    Ok(())
}

/// An image whose name the HTML has in a URL.
fn add_inline(list: &mut Vec<PathBuf>, text: &str) -> SetResult {
    let path = PathBuf::from(text);
    let name = file_name(&path);
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-@+".contains(&byte)) {
        return Err("the name of the file may have letters, digits and ._-@+".to_owned());
    }
    if list.iter().any(|other| file_name(other) == name) {
        return Err("there is a file of this name already".to_owned());
    }
    list.push(path);
    Ok(())
}
