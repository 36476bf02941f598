//! `miod mail` with the real binary, against a server that follows a script and checks each byte
//! that comes.

mod support;

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use support::site::{Certificate, certificate};
use support::sockets::Deaf;
use support::terminal::Terminal;
use support::{Ended, Outcome, Root, TIMEOUT, UNKNOWN, kill, miod, pattern, run_to_end, uninterrupted};

/// What a server does next.
#[derive(Clone)]
enum Act {
    /// Sends this.
    Say(&'static str),
    /// Receives exactly this line.
    Hear(&'static str),
    /// Receives this line, and replies.
    Reply(&'static str, &'static str),
    /// Receives a message and its end.
    Message,
    /// Receives this many bytes at least.
    Some(usize),
    /// TLS begins.
    Tls,
    /// Waits until the client closes.
    Wait,
}
use Act::{Hear, Message, Reply, Say, Tls, Wait};

/// A connection in plain text or in TLS.
enum Wire {
    Plain(TcpStream),
    Secure(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Read for Wire {
    fn read(&mut self, space: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(space),
            Self::Secure(stream) => stream.read(space),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Secure(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Secure(stream) => stream.flush(),
        }
    }
}

impl Wire {
    /// A line with its CR LF. Nothing behind it may have come with it.
    fn line(&mut self) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            let mut byte = [0];
            let count = uninterrupted(|| self.read(&mut byte)).unwrap();
            assert_eq!(count, 1, "the client closed behind {:?}", line.escape_ascii());
            line.push(byte[0]);
        }
        String::from_utf8(line).unwrap()
    }

    /// A message without added dots. Each CR and LF in it is a part of a line end, and nothing
    /// follows its end.
    fn message(&mut self) -> Vec<u8> {
        let (mut wire, mut piece) = (Vec::new(), vec![0; 64 * 1024]);
        while !(wire.ends_with(b"\r\n.\r\n") || wire == b".\r\n") {
            let count = uninterrupted(|| self.read(&mut piece)).unwrap();
            assert!(count > 0, "the client closed in the message");
            wire.extend_from_slice(&piece[..count]);
        }
        let mut message = Vec::new();
        let lines: Vec<_> = wire.split_inclusive(|&byte| byte == b'\n').collect();
        for (number, line) in lines.iter().enumerate() {
            let text = line.strip_suffix(b"\r\n").unwrap_or_else(|| panic!("a bare LF: {}", line.escape_ascii()));
            assert!(!text.contains(&b'\r') && text.len() <= 998, "{}", line.escape_ascii());
            assert_eq!(text == b".", number == lines.len() - 1, "the end is in line {number}");
            message.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
        }
        message.truncate(message.len() - 2);
        message
    }
}

/// A server for one connection.
struct Scripted {
    address: SocketAddr,
    thread: JoinHandle<Vec<u8>>,
}

impl Scripted {
    fn start(acts: Vec<Act>) -> Self {
        Self::secured(acts, None)
    }

    /// With this certificate for TLS.
    fn secured(acts: Vec<Act>, certificate: Option<&Certificate>) -> Self {
        let tls = certificate.map(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let thread = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            // A second connection would be refused.
            drop(listener);
            stream.set_read_timeout(Some(TIMEOUT)).unwrap();
            play(stream, acts, tls)
        });
        Self { address, thread }
    }

    /// What it received as the message, if it went as the script says.
    fn message(self) -> Vec<u8> {
        self.thread.join().expect("the client does what the script says")
    }
}

fn config(certificate: &Certificate) -> Arc<ServerConfig> {
    let (chain, key) = certificate.pair.split_once(',').unwrap();
    let chain = CertificateDer::pem_file_iter(chain).unwrap().map(Result::unwrap).collect();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(key).unwrap());
    Arc::new(config.unwrap())
}

fn play(stream: TcpStream, acts: Vec<Act>, tls: Option<Arc<ServerConfig>>) -> Vec<u8> {
    let (mut wire, mut message) = (Wire::Plain(stream), Vec::new());
    for act in acts {
        match act {
            Say(text) => wire.write_all(text.as_bytes()).unwrap(),
            Hear(line) => assert_eq!(wire.line(), format!("{line}\r\n")),
            Reply(line, reply) => {
                assert_eq!(wire.line(), format!("{line}\r\n"));
                // The client may be gone already.
                let _ = wire.write_all(reply.as_bytes());
            }
            Message => message = wire.message(),
            Act::Some(count) => wire.read_exact(&mut vec![0; count]).unwrap(),
            Tls => {
                let Wire::Plain(stream) = wire else { panic!("TLS in TLS") };
                let connection = ServerConnection::new(Arc::clone(tls.as_ref().unwrap())).unwrap();
                wire = Wire::Secure(Box::new(StreamOwned::new(connection, stream)));
            }
            Wait => {
                let mut rest = Vec::new();
                if let Err(error) = wire.read_to_end(&mut rest) {
                    assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof), "{error}");
                }
                assert_eq!(rest.escape_ascii().to_string(), "");
            }
        }
    }
    if let Wire::Plain(stream) = &mut wire {
        // A close before all is read would be a reset.
        let _ = stream.shutdown(Shutdown::Write);
        let _ = std::io::copy(stream, &mut std::io::sink());
    }
    message
}

/// Sends something from ada by this server.
fn command(server: &str) -> Command {
    let mut command = miod();
    command.args(["mail", "--server", server, "--name", "client.example", "-f", "ada@example.org"]);
    command
}

/// Sends `text` from ada by the server at this address.
fn mail(server: SocketAddr, options: &[&str], text: &str) -> Outcome {
    run_to_end(command(&format!("localhost:{}", server.port())).args(options), text.as_bytes())
}

const GREETING: Act = Say("220 mail.example.org ESMTP\r\n");
const EHLO: Act = Reply("EHLO client.example", "250-mail.example.org\r\n250 8BITMIME\r\n");
const MAIL: Act = Reply("MAIL FROM:<ada@example.org>", "250 2.1.0 ok\r\n");
const BOB: Act = Reply("RCPT TO:<bob@example.org>", "250 2.1.5 ok\r\n");
const DATA: Act = Reply("DATA", "354 go ahead\r\n");
const QUIT: Act = Reply("QUIT", "221 bye\r\n");

/// The dialogue up to a step, then these acts.
fn until(step: usize, then: &[Act]) -> Vec<Act> {
    let all = [GREETING, EHLO, MAIL, BOB, DATA, Message, Say("250 2.0.0 queued as 1\r\n"), QUIT];
    [&all[..step], then].concat()
}

#[test]
fn the_dialogue_of_the_textbook_is_shown() {
    let server = Scripted::start(until(8, &[Wait]));
    let outcome = mail(server.address, &["-v", "-s", "Hello", "bob@example.org"], "one\n.two\n.\nthree");
    let message = server.message();
    let expected = format!(
        "S: 220 mail.example.org ESMTP\n\
         C: EHLO client.example\n\
         S: 250-mail.example.org\n\
         S: 250 8BITMIME\n\
         C: MAIL FROM:<ada@example.org>\n\
         S: 250 2.1.0 ok\n\
         C: RCPT TO:<bob@example.org>\n\
         S: 250 2.1.5 ok\n\
         C: DATA\n\
         S: 354 go ahead\n\
         C: (the message, {} bytes)\n\
         C: .\n\
         S: 250 2.0.0 queued as 1\n\
         C: QUIT\n\
         S: 221 bye\n",
        message.len()
    );
    assert_eq!((outcome.errors, outcome.out.len(), outcome.code), (expected, 0, Some(0)));
    let message = String::from_utf8(message).unwrap();
    assert!(message.contains("Subject: Hello\r\n") && message.ends_with("\r\n\r\none\r\n.two\r\n.\r\nthree\r\n"));
}

#[test]
fn a_ready_message_and_large_files_arrive_byte_for_byte() {
    let root = Root::new();
    root.file("ready.eml", ".a: b\nSubject: x\n\n..\n.\n\ny");
    let server = Scripted::start(until(8, &[]));
    let ready = root.at("ready.eml").display().to_string();
    assert_eq!(mail(server.address, &["--message", &ready, "bob@example.org"], "").code, Some(0));
    assert_eq!(server.message(), b".a: b\r\nSubject: x\r\n\r\n..\r\n.\r\n\r\ny\r\n");

    root.file("large.bin", pattern(5_000_000));
    let large = root.at("large.bin").display().to_string();
    let server = Scripted::start(until(8, &[]));
    let outcome = mail(server.address, &["--trace", "-a", &large, "bob@example.org"], "text");
    assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
    for step in ["resolve  0.", "connect  0.", "the connection: 0.", "MAIL FROM: 0.", "the message: "] {
        assert!(outcome.errors.contains(step), "{}", outcome.errors);
    }
    let message = String::from_utf8(server.message()).unwrap();
    let part = message.split("filename=\"large.bin\"\r\n\r\n").nth(1).unwrap().split("\r\n--").next().unwrap();
    let content = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, part.replace("\r\n", ""));
    assert!(content.unwrap() == pattern(5_000_000));
}

#[test]
fn a_dry_run_prints_the_message_and_connects_to_nobody() {
    let options = ["mail", "--dry-run", "--server", "127.0.0.1:1", "-f", "ada@example.org", "--bcc", "eve@example.org"];
    let outcome = run_to_end(miod().args(options).args(["-u", "ada", "-s", "H\u{e4}", "bob@example.org"]), b"t\n");
    assert_eq!((outcome.code, outcome.errors.as_str()), (Some(0), ""));
    let text = outcome.text();
    assert!(text.contains("Subject: =?utf-8?") && text.ends_with("\r\n\r\nt\r\n") && !text.contains("eve@"), "{text}");
    assert_eq!(text.replace("\r\n", "").matches(['\r', '\n']).count(), 0);
    let zone = |name: &str| run_to_end(miod().args(options).arg("bob@example.org").env("TZ", name), b"t\n").text();
    assert!(zone("XYZ-05:30").contains(" +0530\r\n"), "{}", zone("XYZ-05:30"));
    assert!(zone("UTC").contains(" +0000\r\n"));
}

#[test]
fn each_refusal_is_quoted_with_its_step() {
    for (acts, step) in [
        (vec![Say("554 5.3.2 no\r\n"), QUIT], "the connection: 554 5.3.2 no"),
        (until(1, &[Reply("EHLO client.example", "421 4.3.2 busy\r\n"), Wait]), "EHLO: 421 4.3.2 busy"),
        (until(2, &[Reply("MAIL FROM:<ada@example.org>", "550 5.7.1 go away\r\n"), QUIT]), "MAIL FROM: 550 5.7.1 go"),
        (
            until(3, &[Reply("RCPT TO:<bob@example.org>", "550-5.1.1 no\r\n550 bob\r\n"), QUIT]),
            "RCPT TO: 550 5.1.1 no bob",
        ),
        (until(4, &[Reply("DATA", "451 4.3.0 later\r\n"), QUIT]), "DATA: 451 4.3.0 later"),
        (until(6, &[Say("554 5.7.1 spam\r\n"), QUIT]), "the message: 554 5.7.1 spam"),
    ] {
        let server = Scripted::start(acts);
        let port = server.address.port();
        let outcome = mail(server.address, &["bob@example.org"], "text");
        server.message();
        assert_eq!(outcome.code, Some(5), "{}", outcome.errors);
        let sentence = format!("miod: localhost, port {port}: the server refuses {step}");
        assert!(outcome.errors.contains(&sentence), "{}", outcome.errors);
    }
}

#[test]
fn a_message_that_is_refused_in_its_middle_is_not_sent_to_its_end() {
    let root = Root::new();
    root.file("large.bin", pattern(20_000_000));
    let large = root.at("large.bin").display().to_string();
    let server = Scripted::start(until(5, &[Act::Some(100_000), Say("552 5.3.4 too large\r\n")]));
    let outcome = mail(server.address, &["-a", &large, "bob@example.org"], "text");
    server.message();
    // What the server said may be lost with the connection.
    assert!(outcome.code == Some(5) || outcome.code == Some(56), "{}", outcome.errors);
    assert!(outcome.code == Some(56) || outcome.errors.contains("552 5.3.4"), "{}", outcome.errors);
}

#[test]
fn the_others_get_what_some_refuse() {
    let to = ["bob@example.org", "Eve <eve@example.org>"];
    let eve = Reply("RCPT TO:<eve@example.org>", "550 5.1.1 no eve\r\n");
    let server = Scripted::start([until(4, std::slice::from_ref(&eve)), until(8, &[])[4..].to_vec()].concat());
    let outcome = mail(server.address, &[&["--json"][..], &to].concat(), "text");
    let message = String::from_utf8(server.message()).unwrap();
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.errors.contains("miod: eve@example.org is refused: 550 5.1.1 no eve\n"), "{}", outcome.errors);
    assert!(outcome.errors.contains("1 of 2 recipients are refused"), "{}", outcome.errors);
    let id = message.split("Message-ID: ").nth(1).unwrap().split("\r\n").next().unwrap();
    let json = format!(
        "{{\"message_id\":\"{id}\",\"accepted\":[\"bob@example.org\"],\"refused\":[{{\"address\":\"eve@example.org\",\
         \"code\":550,\"status\":\"5.1.1\",\"reply\":\"550 5.1.1 no eve\"}}],\"reply\":\"250 2.0.0 queued as 1\"}}\n"
    );
    assert_eq!(outcome.text(), json);

    // Nobody gets it if the message is refused later.
    let server = Scripted::start([until(4, &[eve]), vec![DATA, Message, Say("550 no\r\n"), QUIT]].concat());
    let outcome = mail(server.address, &[&["--json"][..], &to].concat(), "text");
    server.message();
    assert_eq!(outcome.code, Some(5));
    assert!(outcome.text().contains("\"accepted\":[],"), "{}", outcome.text());
}

#[test]
fn blind_copies_are_recipients_that_the_header_does_not_name() {
    let dan = Reply("RCPT TO:<dan@example.org>", "250 ok\r\n");
    let server = Scripted::start([until(4, &[dan]), until(8, &[])[4..].to_vec()].concat());
    let outcome = mail(server.address, &["--bcc", "dan@example.org", "bob@example.org"], "text");
    let message = String::from_utf8(server.message()).unwrap();
    assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
    assert!(!message.contains("dan") && !message.to_lowercase().contains("bcc"), "{message}");
}

#[test]
fn the_server_may_speak_helo_only_or_offer_pipelining() {
    let helo = Reply("HELO client.example", "250 mail.example.org\r\n");
    for acts in [&[Reply("EHLO client.example", "502 what\r\n"), helo.clone()][..], &[helo]] {
        let options = if acts.len() == 1 { &["--helo", "bob@example.org"][..] } else { &["bob@example.org"] };
        let server = Scripted::start([until(1, acts), until(8, &[])[2..].to_vec()].concat());
        assert_eq!(mail(server.address, options, "text").code, Some(0));
        server.message();
    }
    // Replies come when all commands are there.
    let together = [
        Reply("EHLO client.example", "250-mail.example.org\r\n250 PIPELINING\r\n"),
        Hear("MAIL FROM:<ada@example.org>"),
        Hear("RCPT TO:<bob@example.org>"),
        Hear("RCPT TO:<eve@example.org>"),
        Say("250 ok\r\n250 ok\r\n250 ok\r\n"),
    ];
    let server = Scripted::start([until(1, &together), until(8, &[])[4..].to_vec()].concat());
    let outcome = mail(server.address, &["bob@example.org", "eve@example.org"], "text");
    server.message();
    assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
}

#[test]
fn broken_servers_have_their_exit_codes() {
    for (acts, code, sentence) in [
        (vec![Say("garbage\r\n"), Wait], 8, "the reply to the connection is malformed"),
        (vec![Say("220 bare\n"), Wait], 8, "doesn't end with CR LF"),
        (until(2, &[Reply("MAIL FROM:<ada@example.org>", "354 what\r\n"), Wait]), 8, "doesn't fit: 354 what"),
        (until(1, &[Reply("EHLO client.example", "250 a\r\n250 b\r\n"), Wait]), 8, "nobody asked for"),
        (vec![], 56, "before it replied to the connection"),
        (until(2, &[]), 56, "before it replied to MAIL FROM"),
        (until(6, &[]), 56, "before it replied to the message"),
    ] {
        let server = Scripted::start(acts);
        let outcome = mail(server.address, &["bob@example.org"], "text");
        server.message();
        assert_eq!(outcome.code, Some(code), "{}", outcome.errors);
        assert!(outcome.errors.contains(sentence), "{}", outcome.errors);
    }
    // A server that closes before it replies to QUIT has the message all the same.
    let server = Scripted::start(until(7, &[Hear("QUIT")]));
    assert_eq!(mail(server.address, &["bob@example.org"], "text").code, Some(0));
    server.message();
}

#[test]
fn servers_that_cannot_be_reached_have_their_exit_codes() {
    let unused = Deaf::new();
    let refused = mail(unused.address, &["bob@example.org"], "text");
    assert_eq!(refused.code, Some(7), "{}", refused.errors);
    let unknown = run_to_end(miod().args(["mail", "--server", UNKNOWN, "-f", "a@a", "b@b"]), b"text");
    assert_eq!(unknown.code, Some(6), "{}", unknown.errors);
    let server = Scripted::start(vec![Wait]);
    let silent = mail(server.address, &["--timeout", "0.2", "bob@example.org"], "text");
    server.message();
    assert_eq!(silent.code, Some(28), "{}", silent.errors);
    assert!(silent.errors.contains("no reply to the connection within 200ms"), "{}", silent.errors);
    let server = Scripted::start(until(2, &[Hear("MAIL FROM:<ada@example.org>"), Wait]));
    let late = mail(server.address, &["-m", "0.5", "bob@example.org"], "text");
    // On a busy machine the time is up before it gets so far.
    let _ = server.thread.join();
    assert_eq!(late.code, Some(28), "{}", late.errors);
}

#[test]
fn files_that_cannot_be_sent_cost_no_connection() {
    let root = Root::new();
    root.file("binary", [0xff, 0xfe]).file("mac.eml", "a: b\r\rtext").file("bcc.eml", "a: b\nBcc: eve@e\n\ntext");
    let path = |name: &str| root.at(name).display().to_string();
    for (options, hint) in [
        (vec!["-a".to_owned(), path("none")], "no such file"),
        (vec!["-a".to_owned(), path("")], "directory"),
        (vec!["--text".to_owned(), path("binary")], "UTF-8"),
        (vec!["--message".to_owned(), path("mac.eml")], "a CR without LF"),
        (vec!["--message".to_owned(), path("bcc.eml")], "Bcc"),
    ] {
        let options: Vec<_> = options.iter().map(String::as_str).chain(["bob@example.org"]).collect();
        let outcome = mail(([127, 0, 0, 1], 1).into(), &options, "text");
        assert_eq!(outcome.code, Some(26), "{}", outcome.errors);
        assert!(outcome.errors.contains(hint), "{}", outcome.errors);
    }
    let injected = mail(([127, 0, 0, 1], 1).into(), &["-s", "a\r\nBcc: eve@e", "bob@example.org"], "text");
    assert_eq!(injected.code, Some(2), "{}", injected.errors);
}

// ---- TLS and logins

const OFFERS: Act = Reply("EHLO client.example", "250-mail.example.org\r\n250-STARTTLS\r\n250 AUTH PLAIN LOGIN\r\n");
const START: Act = Reply("STARTTLS", "220 go ahead\r\n");

/// The rest of a dialogue after EHLO.
fn rest() -> Vec<Act> {
    until(8, &[])[2..].to_vec()
}

fn trusting(certificate: &Certificate) -> [&str; 2] {
    ["--cacert", &certificate.authority]
}

#[test]
fn starttls_and_a_login_show_no_password() {
    let root = Root::new();
    let certificate = certificate(&root, "tls", &["localhost"]);
    root.file("password", "apple\n").file("log", "");
    let login = [
        Reply("AUTH LOGIN", "334 VXNlcm5hbWU6\r\n"),
        Reply("YWRh", "334 UGFzc3dvcmQ6\r\n"),
        Reply("YXBwbGU=", "235 2.7.0 welcome\r\n"),
    ];
    let acts = [&[GREETING, OFFERS, START, Tls, OFFERS][..], &login, &rest()].concat();
    let server = Scripted::secured(acts, Some(&certificate));
    let (file, log) = (root.at("password").display().to_string(), root.at("log").display().to_string());
    let options =
        ["-v", "-u", "ada", "--password-file", &file, "--auth", "login", "--tls-keylog", &log, "bob@example.org"];
    let outcome = mail(server.address, &[&trusting(&certificate), &options[..]].concat(), "text");
    server.message();
    assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
    let errors = &outcome.errors;
    assert!(errors.contains("C: STARTTLS\nS: 220 go ahead\n* TLSv1.3, "), "{errors}");
    assert!(
        errors.contains("C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: YWRh\nS: 334 UGFzc3dvcmQ6\nC: ***\nS: 235"),
        "{errors}"
    );
    assert!(!errors.contains("YXBwbGU") && !errors.contains("apple"), "{errors}");
    assert!(std::fs::read_to_string(log).unwrap().contains("CLIENT_TRAFFIC_SECRET_0 "));
}

#[test]
fn tls_may_be_there_from_the_beginning() {
    let root = Root::new();
    let certificate = certificate(&root, "tls", &["localhost"]);
    let login = Reply("AUTH PLAIN AGFkYQBhcHBsZQ==", "235 2.7.0 welcome\r\n");
    let acts = [&[Tls, GREETING, OFFERS, login][..], &rest()].concat();
    let server = Scripted::secured(acts, Some(&certificate));
    let mut command = command(&format!("smtps://localhost:{}/", server.address.port()));
    command
        .args(trusting(&certificate))
        .args(["-v", "-u", "ada", "bob@example.org"])
        .env("MIOD_MAIL_PASSWORD", "apple");
    let outcome = run_to_end(&mut command, b"text");
    server.message();
    assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
    assert!(outcome.errors.contains("C: AUTH PLAIN ***\n") && !outcome.errors.contains("AGFk"), "{}", outcome.errors);
}

#[test]
fn tls_that_fails_or_is_missing_has_its_exit_code() {
    let root = Root::new();
    let certificate = certificate(&root, "tls", &["localhost"]);
    let other = support::site::certificate(&root, "other", &["localhost"]);
    let run = |acts: Vec<Act>, options: &[&str]| {
        let server = Scripted::secured(acts, Some(&certificate));
        let outcome = mail(server.address, &[options, &["bob@example.org"]].concat(), "text");
        // A handshake that fails makes the server panic.
        let _ = server.thread.join();
        outcome
    };
    let tls = || vec![GREETING, OFFERS, START, Tls, Wait];
    for (acts, options, code, sentence) in [
        (tls(), &trusting(&other)[..], 60, "isn't trusted"),
        (
            vec![GREETING, OFFERS, Reply("STARTTLS", "220 go\r\n"), Say("no TLS\r\n"), Act::Some(100)],
            &["-k"],
            35,
            "handshake",
        ),
        (
            vec![GREETING, OFFERS, Reply("STARTTLS", "220 go\r\n250 injected\r\n"), Wait],
            &["-k"],
            8,
            "STARTTLS and before TLS",
        ),
        (vec![GREETING, EHLO, QUIT], &["--tls", "starttls"], 64, "doesn't offer STARTTLS"),
        (
            vec![GREETING, OFFERS, Reply("STARTTLS", "454 4.7.0 no\r\n"), QUIT],
            &["--tls", "starttls"],
            64,
            "454 4.7.0 no",
        ),
        (vec![Say("220 plain\r\n"), Act::Some(1)], &["--tls", "implicit", "-k"], 35, "handshake"),
    ] {
        let outcome = run(acts, options);
        assert_eq!(outcome.code, Some(code), "{sentence}: {}", outcome.errors);
        assert!(outcome.errors.contains(sentence), "{}", outcome.errors);
    }
    // Without insisting, the message is sent in plain text.
    let refused = [&[GREETING, OFFERS, Reply("STARTTLS", "454 4.7.0 no\r\n")][..], &rest()].concat();
    assert_eq!(run(refused, &[]).code, Some(0));
    let missing = run(tls(), &["--cacert", "/none/such"]);
    assert_eq!(missing.code, Some(77), "{}", missing.errors);
}

#[test]
fn logins_that_fail_have_their_exit_code() {
    let run = |acts: Vec<Act>, options: &[&str], password: Option<&str>| {
        let server = Scripted::start(acts);
        let mut command = command(&format!("localhost:{}", server.address.port()));
        command.args(options).args(["-u", "ada", "--tls", "none", "bob@example.org"]);
        command.envs(password.map(|password| ("MIOD_MAIL_PASSWORD", password)));
        let outcome = run_to_end(&mut command, b"text");
        server.message();
        outcome
    };
    let denied = "535 5.7.8 wrong\r\n";
    let plain = Reply("AUTH PLAIN AGFkYQBhcHBsZQ==", denied);
    let outcome = run(vec![GREETING, OFFERS, plain, QUIT], &[], Some("apple"));
    assert_eq!(outcome.code, Some(67));
    assert!(outcome.errors.contains("the login is denied: 535 5.7.8 wrong"), "{}", outcome.errors);
    let outcome = run(vec![GREETING, EHLO, QUIT], &[], Some("apple"));
    assert_eq!(outcome.code, Some(67));
    assert!(outcome.errors.contains("offers no login"), "{}", outcome.errors);
    let missing = mail(([127, 0, 0, 1], 1).into(), &["-u", "ada", "bob@example.org"], "text");
    assert_eq!(missing.code, Some(26));
    assert!(missing.errors.contains("MIOD_MAIL_PASSWORD"), "{}", missing.errors);
}

#[test]
fn on_a_terminal_the_password_is_asked_for_and_the_progress_is_shown() {
    let root = Root::new();
    root.file("large.bin", pattern(2_000_000));
    let login = Reply("AUTH PLAIN AGFkYQBhcHBsZQ==", "235 2.7.0 welcome\r\n");
    let offers = Reply("EHLO client.example", "250-mail.example.org\r\n250 AUTH PLAIN LOGIN\r\n");
    let server = Scripted::start([&[GREETING, offers, login][..], &rest()].concat());
    let mut command = command(&format!("localhost:{}", server.address.port()));
    command.args(["-u", "ada", "--body", "text", "-a"]).arg(root.at("large.bin")).arg("bob@example.org");
    let mut terminal = Terminal::start(command);
    terminal.expect("Password of ada: ");
    terminal.write("apple\n");
    terminal.expect("100 % [########################] 2.6 MiB of 2.6 MiB");
    assert_eq!(terminal.code(), Some(0), "{}", terminal.seen);
    server.message();
    assert!(!terminal.seen.contains("apple"), "{}", terminal.seen);
}

#[test]
fn ctrl_c_ends_it_at_once() {
    let server = Scripted::start(until(2, &[Hear("MAIL FROM:<ada@example.org>"), Wait]));
    let mut command = command(&format!("localhost:{}", server.address.port()));
    command.args(["-v", "--body", "text", "bob@example.org"]).stderr(Stdio::piped());
    let mut child = Ended(command.spawn().unwrap());
    let mut lines = BufReader::new(child.0.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().starts_with("C: MAIL")));
    kill("INT", child.0.id());
    assert_eq!(child.0.wait().unwrap().signal(), Some(2));
    // What is shown may be on its way yet.
    let _ = server.thread.join();
}
