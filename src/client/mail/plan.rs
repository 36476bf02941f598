//! What to send and to whom, as plain data; and the files that it names.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::message::{Draft, Files, Stamp, Text};
use crate::client::{ClientError, STDIN, Target};
use crate::limits;
use crate::smtp::address::{Address, Mailbox};
use crate::smtp::client::{Login, StartTls};
use crate::smtp::lines::canonical;
use crate::tap::TapSettings;
use crate::trust::Trust;

/// The server, how to talk to it, and what is printed.
#[derive(Clone, Debug)]
pub struct MailSettings {
    /// The server.
    pub server: Target,
    /// How TLS begins.
    pub tls: TlsMode,
    /// Which servers are trusted.
    pub trust: Trust,
    /// Where the secrets of TLS are written.
    pub key_log: Option<PathBuf>,
    /// Where what is received and sent is written.
    pub tap: TapSettings,
    /// What is printed.
    pub show: MailShow,
    /// The limit for resolving the name, for connecting to an address, and for a TLS handshake.
    pub connect_timeout: Duration,
    /// The limit for a reply, and for a message without progress.
    pub timeout: Duration,
    /// The limit for everything together.
    pub max_time: Option<Duration>,
}

/// A plan whose files aren't read.
#[derive(Clone, Debug)]
pub struct MailRequest {
    /// What isn't about the message.
    pub settings: MailSettings,
    /// What we call ourselves.
    pub name: String,
    /// Begin with HELO.
    pub helo: bool,
    /// Who logs in.
    pub login: Option<Login>,
    /// The sender.
    pub from: Mailbox,
    /// All recipients, each once.
    pub recipients: Vec<Address>,
    /// The message.
    pub message: MessageSource,
}

/// How TLS begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TlsMode {
    /// With the connection.
    Implicit,
    /// By STARTTLS, or not at all.
    StartTls(StartTls),
}

/// Where the message comes from.
#[derive(Clone, Debug)]
pub enum MessageSource {
    /// It is made of parts.
    Draft(Box<Draft>),
    /// A file has all of it.
    Ready(PathBuf),
}

/// What is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MailShow {
    /// Commands and replies, on standard error.
    pub dialogue: bool,
    /// The time of each step, on standard error.
    pub trace: bool,
    /// The result as a JSON object.
    pub json: bool,
}

/// What to send and to whom.
#[derive(Clone, Debug)]
pub struct MailPlan {
    /// What isn't about the message.
    pub settings: MailSettings,
    /// The dialogue.
    pub dialogue: crate::smtp::client::Plan,
    /// The message as it is on the wire, without added dots.
    pub message: Vec<u8>,
    /// The value of its field Message-ID, if it has one.
    pub message_id: Option<String>,
}

impl MailRequest {
    /// Reads the files, and makes the message.
    ///
    /// # Errors
    /// If a file can't be read, or be sent.
    pub fn open(self, stamp: &Stamp) -> Result<MailPlan, ClientError> {
        let message = match &self.message {
            MessageSource::Draft(draft) => {
                let files = draft.read(Reader::default())?;
                let built = draft.build(&self.from, files, stamp);
                // A line of the header may be too long: an address can't be folded.
                canonical(&built).map_err(|error| unusable("the message".into(), error))?
            }
            MessageSource::Ready(path) => {
                let mut reader = Reader::default();
                let (path, read) = match path.as_os_str() == "-" {
                    true => (Path::new(STDIN), reader.stdin()),
                    false => (path.as_path(), reader.file(path)),
                };
                let message = canonical(&read?).map_err(|error| unusable(path.to_owned(), error))?;
                if field(&message, "bcc").is_some() {
                    return Err(unusable(path.to_owned(), "it has a field Bcc, which each recipient would see"));
                }
                message
            }
        };
        let dialogue = crate::smtp::client::Plan {
            name: self.name,
            helo: self.helo,
            tls: if let TlsMode::StartTls(tls) = self.settings.tls { tls } else { StartTls::No },
            login: self.login,
            from: self.from.address,
            to: self.recipients,
            size: message.len() as u64,
            eight_bit: !message.is_ascii(),
            utf8: !header(&message).is_ascii(),
        };
        Ok(MailPlan { settings: self.settings, dialogue, message_id: field(&message, "message-id"), message })
    }
}

/// A file whose content can't be sent.
fn unusable(path: PathBuf, why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ClientError {
    ClientError::Input(path, io::Error::new(io::ErrorKind::InvalidData, why))
}

/// The header of a message, up to the empty line.
fn header(message: &[u8]) -> &[u8] {
    if message.starts_with(b"\r\n") {
        return &[];
    }
    memchr::memmem::find(message, b"\r\n\r\n").map_or(message, |end| &message[..end])
}

/// The value of a field of the header, if it is there and in one line.
fn field(message: &[u8], name: &str) -> Option<String> {
    let mut lines = header(message).split(|&byte| byte == b'\n');
    let value = lines.find_map(|line| {
        let (start, value) = line.split_at_checked(name.len())?;
        let value = value.trim_ascii_start().strip_prefix(b":")?;
        start.eq_ignore_ascii_case(name.as_bytes()).then_some(value)
    })?;
    Some(String::from_utf8_lossy(value.trim_ascii()).into_owned())
}

impl Draft {
    /// Reads the files.
    fn read(&self, mut reader: Reader) -> Result<Files, ClientError> {
        let text = |path: &Path, bytes: Vec<u8>| {
            let text = String::from_utf8(bytes).map_err(|_| unusable(path.to_owned(), "it isn't UTF-8 text"))?;
            Ok::<_, ClientError>(one_line_end(&text))
        };
        let body = match &self.text {
            None => None,
            Some(Text::Given(body)) => Some(one_line_end(body)),
            Some(Text::Stdin) => Some(text(Path::new(STDIN), reader.stdin()?)?),
            Some(Text::File(path)) => Some(text(path, reader.file(path)?)?),
        };
        let html = match &self.html {
            None => None,
            Some(path) => Some(text(path, reader.file(path)?)?),
        };
        let mut all = |paths: &[PathBuf]| paths.iter().map(|path| reader.file(path)).collect::<Result<_, _>>();
        Ok(Files { text: body, html, inline: all(&self.inline)?, attached: all(&self.attach)? })
    }
}

/// A text whose lines end with LF, whatever they ended with.
fn one_line_end(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

/// Reads files up to a limit for all of them.
struct Reader {
    left: u64,
}

impl Default for Reader {
    fn default() -> Self {
        Self { left: limits::MESSAGE }
    }
}

impl Reader {
    fn file(&mut self, path: &Path) -> Result<Vec<u8>, ClientError> {
        let read = File::open(path).and_then(|file| self.read(file));
        read.map_err(|error| ClientError::Input(path.to_owned(), error))
    }

    fn stdin(&mut self) -> Result<Vec<u8>, ClientError> {
        self.read(io::stdin().lock()).map_err(|error| ClientError::Input(STDIN.into(), error))
    }

    fn read(&mut self, source: impl Read) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        source.take(self.left + 1).read_to_end(&mut content)?;
        match self.left.checked_sub(content.len() as u64) {
            Some(left) => self.left = left,
            None => {
                let most = limits::MESSAGE >> 20;
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("the files of a message have more than {most} MiB"),
                ));
            }
        }
        Ok(content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_ends_at_the_empty_line() {
        let message = b"Subject: a\r\nMessage-ID:  <1@a> \r\nX: b\r\n\r\nBcc: c\r\n";
        assert_eq!(field(message, "message-id").as_deref(), Some("<1@a>"));
        assert_eq!(field(message, "subject").as_deref(), Some("a"));
        assert_eq!(field(message, "bcc"), None);
        assert_eq!(field(b"BCC : eve@a\r\n", "bcc").as_deref(), Some("eve@a"));
        assert_eq!(field(b"\r\nBcc: a\r\n", "bcc"), None);
        assert_eq!(header(b"A: b\r\n"), b"A: b\r\n");
    }

    #[test]
    fn all_files_together_have_a_limit() {
        let mut reader = Reader { left: 10 };
        assert_eq!(reader.read(&b"12345678"[..]).unwrap(), b"12345678");
        assert_eq!(reader.read(&b"90"[..]).unwrap(), b"90");
        assert!(reader.read(&b"1"[..]).unwrap_err().to_string().contains("more than 64 MiB"));
        assert!(reader.read(&b""[..]).unwrap().is_empty());
    }
}
