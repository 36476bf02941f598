//! The commands of a client (RFC 5321 §4.1), each in one line.
//!
//! ```text
//! MAIL FROM:<ada@example.org> SIZE=1000 BODY=8BITMIME
//! ^^^^       ^^^^^^^^^^^^^^^  ^^^^^^^^^^^^^^^^^^^^^^^
//! verb       path             parameters of extensions
//! ```
//!
//! A line is checked as a whole first: two programs that take a control character differently
//! would see different commands. Spaces behind the colon are accepted, though RFC 5321 §3.3 has
//! none: textbooks write them.

use crate::limits;

use crate::smtp::address::Address;
use crate::smtp::reply::Reply;

/// A command, as far as its line alone tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command<'a> {
    /// The client's name follows; `extended`: EHLO, not HELO.
    Hello { name: &'a str, extended: bool },
    /// Begin TLS (RFC 3207).
    StartTls,
    /// Log in (RFC 4954): the mechanism, and the first thing that the client says in it.
    Auth { mechanism: &'a str, initial: Option<&'a str> },
    /// A message begins: its sender, none for one that nobody should answer.
    Mail(Option<Address>, Parameters),
    /// A recipient.
    Rcpt(Address),
    /// The content follows.
    Data,
    /// Forget the message.
    Reset,
    /// Nothing.
    Noop,
    /// Is there such a user?
    Verify,
    /// Who is on this list?
    Expand,
    /// What commands are there?
    Help,
    /// The end.
    Quit,
    /// Not SMTP but HTTP: a browser was sent here.
    Http,
}

/// The parameters of MAIL that are known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Parameters {
    /// There is one.
    pub any: bool,
    /// SIZE (RFC 1870), in bytes.
    pub size: Option<u64>,
    /// SMTPUTF8 (RFC 6531).
    pub utf8: bool,
}

/// Whether a line that begins with `start` is AUTH, which may be long.
pub fn is_auth(start: &[u8]) -> bool {
    begins_with(start, b"AUTH ")
}

/// The limit of another line that begins with `start`, its line end included. MAIL may have
/// parameters (RFC 1870 §4, RFC 6152 §2, RFC 6531 §3.4, RFC 4954 §3).
pub fn line_limit(start: &[u8]) -> usize {
    if begins_with(start, b"MAIL ") { limits::COMMAND_LINE + 26 + 17 + 10 + 500 } else { limits::COMMAND_LINE }
}

fn begins_with(start: &[u8], verb: &[u8]) -> bool {
    start.get(..verb.len()).is_some_and(|start| start.eq_ignore_ascii_case(verb))
}

/// The text of a line without its line end.
///
/// # Errors
/// The reply, if it doesn't end with CR LF or has bytes that no command has.
pub fn text(line: &[u8]) -> Result<&str, Reply> {
    let line = line.strip_suffix(b"\r\n").ok_or_else(|| Reply::new(501, "5.5.2 End each line with CR LF"))?;
    if line.iter().any(u8::is_ascii_control) {
        return Err(Reply::new(501, "5.5.2 There is a control character in the command"));
    }
    std::str::from_utf8(line).map_err(|_| Reply::new(501, "5.5.2 The command isn't UTF-8"))
}

/// Parses a line without its line end.
///
/// # Errors
/// The reply to it, if it is no command.
pub fn parse(line: &str) -> Result<Command<'_>, Reply> {
    let line = line.trim_end_matches(' ');
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    let rest = rest.trim_start_matches(' ');
    let bare = |command| match rest {
        "" => Ok(command),
        _ => Err(Reply::new(501, "5.5.4 This command has no parameters")),
    };
    match verb.to_ascii_uppercase().as_str() {
        "EHLO" => hello(rest, true),
        "HELO" => hello(rest, false),
        "STARTTLS" => bare(Command::StartTls),
        "AUTH" => auth(rest),
        "MAIL" => mail(rest),
        "RCPT" => recipient(rest),
        "DATA" => bare(Command::Data),
        "RSET" => bare(Command::Reset),
        "NOOP" => Ok(Command::Noop),
        "VRFY" if rest.is_empty() => Err(Reply::new(501, "5.5.4 Say whom: VRFY name")),
        "VRFY" => Ok(Command::Verify),
        "EXPN" => Ok(Command::Expand),
        "HELP" => Ok(Command::Help),
        "QUIT" => bare(Command::Quit),
        "GET" | "HEAD" | "POST" | "PUT" | "OPTIONS" | "CONNECT" => Ok(Command::Http),
        _ => Err(Reply::new(500, "5.5.1 Unknown command; HELP lists those there are")),
    }
}

fn hello(name: &str, extended: bool) -> Result<Command<'_>, Reply> {
    // Many clients have no domain, so any word is accepted (RFC 5321 §4.1.4).
    if name.is_empty() || name.contains(' ') {
        let syntax = if extended { "5.5.4 Say who you are: EHLO name" } else { "5.5.4 Say who you are: HELO name" };
        return Err(Reply::new(501, syntax));
    }
    Ok(Command::Hello { name, extended })
}

fn auth(rest: &str) -> Result<Command<'_>, Reply> {
    let mut words = rest.split(' ').filter(|word| !word.is_empty());
    match (words.next(), words.next(), words.next()) {
        (Some(mechanism), initial, None) => Ok(Command::Auth { mechanism, initial }),
        _ => Err(Reply::new(501, "5.5.4 Say how: AUTH PLAIN or AUTH LOGIN")),
    }
}

fn mail(rest: &str) -> Result<Command<'_>, Reply> {
    let (path, rest) = path(rest, "FROM:").ok_or_else(|| Reply::new(501, "5.5.4 Write MAIL FROM:<address>"))?;
    let from = match path {
        "" => None,
        _ => Some(Address::parse(path).map_err(|error| Reply::new(501, format!("5.1.7 This is no address: {error}")))?),
    };
    Ok(Command::Mail(from, parameters(rest)?))
}

fn recipient(rest: &str) -> Result<Command<'_>, Reply> {
    let (path, rest) = path(rest, "TO:").ok_or_else(|| Reply::new(501, "5.5.4 Write RCPT TO:<address>"))?;
    let to = Address::parse(path).map_err(|error| Reply::new(501, format!("5.1.3 This is no address: {error}")))?;
    match rest.trim_start_matches(' ') {
        "" => Ok(Command::Rcpt(to)),
        _ => Err(unknown_parameter()),
    }
}

/// The path behind a keyword, without its brackets, and what follows it.
fn path<'a>(rest: &'a str, keyword: &str) -> Option<(&'a str, &'a str)> {
    let (start, rest) = rest.split_at_checked(keyword.len())?;
    let inner = rest.trim_start_matches(' ').strip_prefix('<').filter(|_| start.eq_ignore_ascii_case(keyword))?;
    let (mut quoted, mut escaped) = (false, false);
    let end = inner.char_indices().find_map(|(at, char)| {
        if escaped {
            escaped = false;
            return None;
        }
        match char {
            '\\' => escaped = quoted,
            '"' => quoted = !quoted,
            '>' if !quoted => return Some(at),
            _ => {}
        }
        None
    })?;
    let (path, rest) = (&inner[..end], &inner[end + 1..]);
    // A route through other hosts is accepted and ignored (RFC 5321 §C).
    let path = if path.starts_with('@') { path.split_once(':')?.1 } else { path };
    (rest.is_empty() || rest.starts_with(' ')).then_some((path, rest))
}

fn parameters(rest: &str) -> Result<Parameters, Reply> {
    let wrong = |what: &str| Reply::new(501, format!("5.5.4 {what}"));
    let (mut all, mut seen) = (Parameters::default(), Vec::new());
    for word in rest.split(' ').filter(|word| !word.is_empty()) {
        all.any = true;
        let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
        let name = name.to_ascii_uppercase();
        match (name.as_str(), value) {
            ("SIZE", Some(value)) => all.size = Some(size(value).ok_or_else(|| wrong("SIZE isn't a number"))?),
            ("BODY", Some(value)) if ["7BIT", "8BITMIME"].iter().any(|it| it.eq_ignore_ascii_case(value)) => {}
            ("BODY", _) => return Err(wrong("BODY is 7BIT or 8BITMIME")),
            ("SMTPUTF8", None) => all.utf8 = true,
            // Who has written the message: a server that relays it would say so (RFC 4954 §5).
            ("AUTH", Some(value)) if !value.is_empty() => {}
            ("SIZE" | "SMTPUTF8" | "AUTH", _) => return Err(wrong("A parameter has no value, or one too many")),
            _ => return Err(unknown_parameter()),
        }
        if seen.contains(&name) {
            return Err(wrong("A parameter is there twice"));
        }
        seen.push(name);
    }
    Ok(all)
}

/// A size of up to 20 digits (RFC 1870 §4). One that doesn't fit is larger than any limit.
fn size(value: &str) -> Option<u64> {
    let is_number = (1..=20).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| value.parse().unwrap_or(u64::MAX))
}

fn unknown_parameter() -> Reply {
    Reply::new(555, "5.5.4 There is a parameter that isn't known")
}
