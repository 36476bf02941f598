//! The command line of `miod mail`.

mod options;

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use super::error::{CommandError, READ};
use super::prompt::password;
use super::{Command, UsageError};
use crate::client::Target;
use crate::client::mail::{Draft as Letter, MailRequest, MailSettings, MessageSource, Text, TlsMode};
use crate::config::options::Draft;
use crate::config::values;
use crate::limits;
use crate::names;
use crate::smtp::address::{Address, Mailbox, is_domain};
use crate::smtp::client::{Login, Mechanism, StartTls};
use crate::tap::TapSettings;
use crate::text::io_error::describe;

pub(super) use options::TOOL;
use options::{MailDraft, SECRET, TlsChoice, mailbox};

/// The variable of the environment with the password.
const PASSWORD: &str = "MIOD_MAIL_PASSWORD";

/// The ports of submission, of submission by TLS (RFC 8314), and of servers among each other.
const SUBMISSION: u16 = 587;
const SUBMISSIONS: u16 = 465;
const RELAY: u16 = 25;

/// A message to be sent, before its files are read.
#[derive(Debug)]
pub struct MailCommand {
    request: MailRequest,
    /// Who logs in, with the file of the password.
    user: Option<(String, Option<PathBuf>)>,
    mechanism: Option<Mechanism>,
    insecure_auth: bool,
    /// Print the message, and send nothing.
    pub dry_run: bool,
}

impl MailCommand {
    /// What to send. Asks for the password, if one is needed and nobody gave it.
    ///
    /// # Errors
    /// If the password can't be read.
    pub fn request(self) -> Result<MailRequest, CommandError> {
        let Self { mut request, user, mechanism, insecure_auth, dry_run } = self;
        if let Some((user, file)) = user.filter(|_| !dry_run) {
            let password = match (file, std::env::var_os(PASSWORD)) {
                (Some(file), _) => read_password(&file)?,
                (None, Some(password)) => password
                    .into_string()
                    .map_err(|_| CommandError::new(READ, format!("the value of {PASSWORD} is not UTF-8")))?,
                (None, None) if std::io::stdin().is_terminal() => password(&format!("Password of {user}: "))?,
                (None, None) => {
                    let hint = format!("there is no password: set {PASSWORD}, or give --password-file");
                    return Err(CommandError::new(READ, hint));
                }
            };
            if password.len() > SECRET || password.contains('\0') {
                return Err(CommandError::new(READ, "the password is too long, or has a NUL"));
            }
            request.login = Some(Login { user, password, mechanism, in_plain_text: insecure_auth });
        }
        Ok(request)
    }
}

/// The first line of a file.
fn read_password(path: &Path) -> Result<String, CommandError> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(SECRET as u64 + 3).read_to_string(&mut text));
    read.map_err(|error| CommandError::new(READ, format!("can't read {}: {}", path.display(), describe(&error))))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

pub(super) fn parse(arguments: Vec<OsString>) -> Result<Command, UsageError> {
    TOOL.parse(arguments, |Draft { command: draft, process, .. }, positional| {
        let to = positional.iter().map(|text| mailbox(text).map_err(|hint| UsageError(format!("{text:?}: {hint}"))));
        let to = to.collect::<Result<Vec<_>, _>>()?;
        let mut command = command(draft, to)?;
        command.request.settings.tap = process.tap;
        Ok(Command::Mail(Box::new(command)))
    })
}

fn command(draft: MailDraft, to: Vec<Mailbox>) -> Result<MailCommand, UsageError> {
    let letter = &draft.letter;
    let is_letter = letter.subject.is_some()
        || letter.text.is_some()
        || letter.html.is_some()
        || ![&letter.cc, &draft.bcc, &letter.reply_to].iter().all(|list| list.is_empty())
        || !(letter.fields.is_empty() && letter.attach.is_empty() && letter.inline.is_empty());
    let has_login = draft.password_file.is_some() || draft.mechanism.is_some() || draft.insecure_auth;
    let contradictions = [
        (draft.ready.is_some() && is_letter, "--message can't be combined with parts of a message"),
        (!letter.inline.is_empty() && letter.html.is_none(), "--inline needs --html"),
        (draft.user.is_none() && has_login, "--password-file, --auth and --insecure-auth need --user"),
    ];
    if let Some((_, why)) = contradictions.iter().find(|(found, _)| *found) {
        return Err(UsageError((*why).to_owned()));
    }
    let from = draft.from.ok_or_else(|| UsageError("give the sender: --from ADDRESS".to_owned()))?;
    let mut seen = HashSet::new();
    let all = to.iter().chain(&letter.cc).chain(&draft.bcc).map(|mailbox| mailbox.address.clone());
    let recipients: Vec<Address> = all.filter(|address| seen.insert(address.clone())).collect();
    if recipients.is_empty() {
        return Err(UsageError("give a recipient".to_owned()));
    }
    if recipients.len() > limits::RECIPIENTS {
        return Err(UsageError(format!("more than {} recipients", limits::RECIPIENTS)));
    }
    let (server, tls) = server(draft.server.as_deref().unwrap_or("localhost"), draft.tls).map_err(UsageError)?;
    let own = || names::own().filter(|name| is_domain(name)).unwrap_or_else(|| "localhost".to_owned());
    let message = match draft.ready {
        Some(path) => MessageSource::Ready(path),
        None => {
            let text = draft.letter.text.or_else(|| draft.letter.html.is_none().then_some(Text::Stdin));
            MessageSource::Draft(Box::new(Letter { to, text, ..draft.letter }))
        }
    };
    Ok(MailCommand {
        request: MailRequest {
            settings: MailSettings {
                server,
                tls,
                trust: draft.client.trust,
                key_log: draft.client.key_log,
                tap: TapSettings::default(),
                show: draft.show,
                connect_timeout: draft.connect_timeout,
                timeout: draft.timeout,
                max_time: draft.client.max_time,
            },
            name: draft.name.unwrap_or_else(own),
            helo: draft.helo,
            login: None,
            from,
            recipients,
            message,
        },
        user: draft.user.map(|user| (user, draft.password_file)),
        mechanism: draft.mechanism,
        insecure_auth: draft.insecure_auth,
        dry_run: draft.dry_run,
    })
}

/// `HOST[:PORT]`, perhaps as a URL, and how TLS begins there.
fn server(text: &str, tls: TlsChoice) -> Result<(Target, TlsMode), String> {
    let wrong = |hint: &str| Err(format!("--server={text}: {hint}"));
    let (scheme, rest) = text.split_once("://").map_or((None, text), |(scheme, rest)| (Some(scheme), rest));
    let rest = if scheme.is_some() { rest.strip_suffix('/').unwrap_or(rest) } else { rest };
    if rest.contains('@') {
        return wrong("give the user by --user, and the password by MIOD_MAIL_PASSWORD");
    }
    if rest.contains(|char: char| char.is_control() || char.is_whitespace() || char == '/') {
        return wrong("give HOST or HOST:PORT, like mail.example.org:587");
    }
    let is_secure = match scheme {
        None | Some("smtp") => false,
        Some("smtps") => true,
        Some(_) => return wrong("a URL begins with smtp:// or smtps://"),
    };
    if is_secure && matches!(tls, TlsChoice::StartTls | TlsChoice::None) {
        return wrong("smtps:// is TLS from the beginning: leave --tls out");
    }
    let (host, port) = values::target(rest, 0).map_err(|hint| format!("--server={text}: {hint}"))?;
    let mode = match tls {
        TlsChoice::Implicit => TlsMode::Implicit,
        TlsChoice::Auto if is_secure || port == SUBMISSIONS => TlsMode::Implicit,
        TlsChoice::Auto => TlsMode::StartTls(StartTls::Offered),
        TlsChoice::StartTls => TlsMode::StartTls(StartTls::Required),
        TlsChoice::None => TlsMode::StartTls(StartTls::No),
    };
    let usual = match mode {
        TlsMode::Implicit => SUBMISSIONS,
        TlsMode::StartTls(StartTls::No) => RELAY,
        TlsMode::StartTls(_) => SUBMISSION,
    };
    Ok((Target { host, port: if port == 0 { usual } else { port } }, mode))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::client::mail::MailShow;
    use crate::trust::Trust;

    fn parse(arguments: &[&str]) -> Result<MailCommand, String> {
        match super::parse(arguments.iter().map(OsString::from).collect()) {
            Ok(Command::Mail(command)) => Ok(*command),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.0),
        }
    }

    /// A command with these options.
    fn with(options: &[&str]) -> Result<MailCommand, String> {
        parse(&[options, &["-f", "ada@a", "bob@b"]].concat())
    }

    fn letter(command: &MailCommand) -> &Letter {
        match &command.request.message {
            MessageSource::Draft(letter) => letter,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_server_decides_about_tls_and_the_port() {
        let offered = TlsMode::StartTls(StartTls::Offered);
        for (options, host, port, mode) in [
            (&[][..], "localhost", 587, offered),
            (&["--server", "m"], "m", 587, offered),
            (&["--server", "m:2525"], "m", 2525, offered),
            (&["--server", "m:465"], "m", 465, TlsMode::Implicit),
            (&["--server", "smtp://m/"], "m", 587, offered),
            (&["--server", "smtps://m"], "m", 465, TlsMode::Implicit),
            (&["--server", "smtps://m:2465/", "--tls", "auto"], "m", 2465, TlsMode::Implicit),
            (&["--server", "[::1]:25"], "::1", 25, offered),
            (&["--server", "::1", "--tls", "none"], "::1", 25, TlsMode::StartTls(StartTls::No)),
            (&["--server", "m:465", "--tls", "starttls"], "m", 465, TlsMode::StartTls(StartTls::Required)),
            (&["--server", "m", "--tls", "implicit"], "m", 465, TlsMode::Implicit),
        ] {
            let settings = with(options).unwrap().request.settings;
            assert_eq!((settings.server.host.as_str(), settings.server.port, settings.tls), (host, port, mode));
        }
        for (options, hint) in [
            (&["--server", "smtps://m", "--tls", "none"][..], "leave --tls out"),
            (&["--server", "http://m"], "smtp:// or smtps://"),
            (&["--server", "smtp://ada:apple@m"], "--user"),
            (&["--server", "m:0"], "port"),
            (&["--server", "m/path"], "HOST:PORT"),
            (&["--server", ""], "give a name"),
            (&["--tls", "yes"], "starttls"),
        ] {
            let error = with(options).unwrap_err();
            assert!(error.contains(hint), "{error}");
        }
    }

    #[test]
    fn every_option_sets_its_field() {
        let options = "-s|Hello|--cc|Eve <eve@e>|--bcc|dan@d|--reply-to|r@r|-H|X-A: b|--body|text|--html|page|--inline|dir/a.png|-a|b|-a|c|-u|ada\
            |--password-file|p|--auth|login|--insecure-auth|--helo|--name|host|--dry-run|-v|--trace|--json|--connect-timeout|1|--timeout|2|-m|3|--tls-keylog|k|-k";
        let command = with(&options.split('|').collect::<Vec<_>>()).unwrap();
        let letter = letter(&command);
        assert_eq!((letter.subject.as_deref(), letter.text.clone()), (Some("Hello"), Some(Text::Given("text".into()))));
        assert_eq!(letter.html, Some(PathBuf::from("page")));
        assert_eq!((letter.inline.len(), letter.attach.len(), letter.cc.len(), letter.reply_to.len()), (1, 2, 1, 1));
        assert_eq!(letter.fields, [("X-A".to_owned(), "b".to_owned())]);
        let MailCommand { request, user, mechanism, insecure_auth, dry_run } = &command;
        let settings = &request.settings;
        let recipients: Vec<_> = request.recipients.iter().map(Address::as_str).collect();
        assert_eq!(recipients, ["bob@b", "eve@e", "dan@d"]);
        assert_eq!(*user, Some(("ada".to_owned(), Some(PathBuf::from("p")))));
        assert!(*mechanism == Some(Mechanism::Login) && *insecure_auth && *dry_run && request.helo);
        assert_eq!((request.name.as_str(), settings.trust.clone()), ("host", Trust::Anybody));
        assert_eq!(settings.show, MailShow { dialogue: true, trace: true, json: true });
        let times = [Some(settings.connect_timeout), Some(settings.timeout), settings.max_time];
        assert_eq!(times, [1, 2, 3].map(|seconds| Some(Duration::from_secs(seconds))));
        assert_eq!(settings.key_log, Some(PathBuf::from("k")));
    }

    #[test]
    fn the_text_comes_from_somewhere() {
        let text = |options: &[&str]| letter(&with(options).unwrap()).text.clone();
        assert_eq!(text(&[]), Some(Text::Stdin));
        assert_eq!(text(&["--text", "-"]), Some(Text::Stdin));
        assert_eq!(text(&["--text", "f"]), Some(Text::File("f".into())));
        assert_eq!(text(&["--html", "f"]), None);
        assert_eq!(text(&["--html", "f", "--body", "a\nb"]), Some(Text::Given("a\nb".into())));
        let ready = parse(&["-f", "a@a", "--message", "m", "b@b", "b@b", "c@c"]).unwrap();
        assert!(matches!(ready.request.message, MessageSource::Ready(_)));
        assert_eq!(ready.request.recipients.len(), 2, "each gets it once");
    }

    #[test]
    fn line_ends_and_contradictions_are_refused() {
        for (options, hint) in [
            (&["-s", "a\r\nBcc: eve@e"][..], "control character"),
            (&["-s", "a\n"], "control character"),
            (&["--cc", "a@a\r\nDATA"], "control character"),
            (&["--bcc", "Name\n <a@a>"], "control character"),
            (&["--reply-to", "a@a\0"], "control character"),
            (&["-H", "X: a\r\n\r\nbody"], "control character"),
            (&["-H", "X Y: a"], "name of a field"),
            (&["-H", "X\n: a"], "name of a field"),
            (&["-H", "no colon"], "give a field"),
            (&["-H", "Subject: a"], "option of its own"),
            (&["-H", "bcc: a"], "option of its own"),
            (&["-u", "a\nb"], "control character"),
            (&["--name", "a\r\nRCPT"], "host name"),
            (&["--server", "a\r\nb"], "HOST:PORT"),
            (&["-a", "a\nb"], "control character"),
            (&["--html", "h", "--inline", "a b.png"], "letters, digits"),
            (&["--html", "h", "--inline", "x/a.png", "--inline", "y/a.png"], "of this name already"),
            (&["--inline", "a.png"], "needs --html"),
            (&["--body", "a", "--text", "b"], "a text already"),
            (&["--message", "m", "-s", "a"], "can't be combined"),
            (&["--message", "m", "--bcc", "a@a"], "can't be combined"),
            (&["--auth", "plain"], "need --user"),
            (&["--auth", "cram-md5", "-u", "a"], "login, plain or auto"),
            (&["--timeout", "0"], "seconds"),
        ] {
            let error = with(options).unwrap_err();
            assert!(error.contains(hint), "{options:?}: {error}");
        }
        assert!(parse(&["b@b"]).unwrap_err().contains("--from"));
        assert!(parse(&["-f", "a@a"]).unwrap_err().contains("recipient"));
        assert!(parse(&["-f", "a@a", "b@b\nRCPT TO:<c@c>"]).unwrap_err().contains("control character"));
        assert!(parse(&["-f", "a\r\n@a", "b@b"]).unwrap_err().contains("control character"));
        let many: Vec<_> = (0..=limits::RECIPIENTS).map(|number| format!("b{number}@b")).collect();
        let many: Vec<_> = ["-f", "a@a"].into_iter().chain(many.iter().map(String::as_str)).collect();
        assert!(parse(&many).unwrap_err().contains("recipients"));
    }
}
