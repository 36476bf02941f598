//! `miod mailbox` with the real binary: mail comes by `miod mail`, by lines as they are, and by
//! the clients of others; what has come is read back from the page.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;

use serde_json::Value;

use support::reload::reload;
use support::site::{Certificate, certificate};
use support::{Outcome, Root, Server, TIMEOUT, get_with, miod, pattern, run_to_end, uninterrupted};

/// The password of ada in [`USERS`].
const PASSWORD: &str = "apple";
const USERS: &str = "ada:$2y$04$MLhQcSVSXWZEBa76VTowc.Dn8tyrxSjlY.gu8AkQrojRxxZtcQUQW\n";

/// A mailbox for this machine.
fn mailbox(options: &[&str]) -> Server {
    let mut command = miod();
    command.args(["mailbox", "-b", "127.0.0.1", "-p", "0", "--http", "127.0.0.1"]).args(options);
    Server::run(command)
}

/// Where the mailbox receives mail: `smtp`, or `smtps`.
fn at(server: &Server, scheme: &str) -> SocketAddr {
    let start = format!("{scheme}://");
    let address = server.banner.split([' ', ',', '\n']).find_map(|word| word.strip_prefix(&start));
    address.unwrap_or_else(|| panic!("no {scheme} in {}", server.banner)).parse().unwrap()
}

/// The messages that are there, the newest first.
fn messages(server: &Server) -> Vec<Value> {
    let response = server.get("/messages");
    assert_eq!(response.status, 200, "{}", response.head);
    serde_json::from_slice::<Value>(&response.body).unwrap().as_array().unwrap().iter().rev().cloned().collect()
}

/// A message as it was received.
fn raw(server: &Server, message: &Value) -> Vec<u8> {
    let response = server.get(&format!("/messages/{}/raw", message["id"]));
    assert_eq!(response.status, 200, "{}", response.head);
    response.body
}

/// A client that says what it is told to.
struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// A client that has heard the greeting.
    fn greeted(server: &Server) -> Self {
        let mut client = Self::connect(server);
        let greeting = client.reply();
        assert!(greeting.starts_with("220 ") && greeting.ends_with(" ESMTP miod mailbox\r\n"), "{greeting}");
        client
    }

    fn connect(server: &Server) -> Self {
        let stream = TcpStream::connect_timeout(&at(server, "smtp"), TIMEOUT).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        Self { stream: BufReader::new(stream) }
    }

    /// The next reply, of one line or several.
    fn reply(&mut self) -> String {
        let mut reply = String::new();
        loop {
            let start = reply.len();
            assert!(self.stream.read_line(&mut reply).unwrap() > 0, "the server closed behind {reply:?}");
            if reply.as_bytes().get(start + 3) == Some(&b' ') {
                return reply;
            }
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).unwrap();
    }

    fn say(&mut self, bytes: impl AsRef<[u8]>) -> String {
        self.send(bytes.as_ref());
        self.reply()
    }

    /// Everything until the server closes.
    fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.stream.read_to_string(&mut rest).unwrap();
        rest
    }

    /// Begins a message, up to its content.
    fn begin(&mut self) {
        self.say("EHLO client.test\r\n");
        self.say("MAIL FROM:<ada@a.test>\r\n");
        self.say("RCPT TO:<bob@b.test>\r\n");
        assert!(self.say("DATA\r\n").starts_with("354 "));
    }
}

/// Sends a message by `miod mail` to `address`, which may be a URL.
fn mail(address: &str, options: &[&str], text: &str) -> Outcome {
    let mut command = miod();
    command.args(["mail", "--server", address, "-f", "ada@a.test", "-s", "Hello", "bob@b.test"]).args(options);
    run_to_end(command.env("MIOD_MAIL_PASSWORD", PASSWORD), text.as_bytes())
}

#[test]
fn the_server_speaks_first_and_the_dialogue_of_the_textbook_works() {
    let server = mailbox(&["--name", "mail.test"]);
    let mut client = Client::connect(&server);
    assert_eq!(client.reply(), "220 mail.test ESMTP miod mailbox\r\n");
    for (line, code) in [
        ("HELO crepes.fr\r\n", "250 "),
        ("MAIL FROM: <alice@crepes.fr>\r\n", "250 2.1.0"),
        ("RCPT TO: <bob@hamburger.edu>\r\n", "250 2.1.5"),
        ("DATA\r\n", "354 "),
        ("Do you like ketchup?\r\nHow about pickles?\r\n.\r\n", "250 2.0.0 Kept as 1"),
        ("QUIT\r\n", "221 2.0.0"),
    ] {
        let reply = client.say(line);
        assert!(reply.starts_with(code), "{line}{reply}");
    }
    assert_eq!(client.rest(), "");
    let all = messages(&server);
    assert_eq!((&all[0]["from"], &all[0]["to"][0]), (&"alice@crepes.fr".into(), &"bob@hamburger.edu".into()));
    assert_eq!(raw(&server, &all[0]), b"Do you like ketchup?\r\nHow about pickles?\r\n");
}

#[test]
fn our_own_client_is_understood_byte_for_byte() {
    let root = Root::new();
    let tls = certificate(&root, "tls", &["localhost"]);
    let server = mailbox(&["--tls", &tls.pair, "--smtps", "127.0.0.1", "--any-login"]);
    let binary: String = pattern(100_000).iter().map(|byte| format!("{byte:02x}")).collect();
    let lines: Vec<_> = binary.as_bytes().chunks(900).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    let message = format!("Subject: gr\u{fc}n\r\n\r\n.\r\n..dot\r\n{}\r\n", lines.join("\r\n."));
    root.file("message", &message);
    let file = root.at("message").display().to_string();
    let (plain, secure) = (at(&server, "smtp"), at(&server, "smtps"));
    for (number, (address, options)) in [
        (plain.to_string(), &["--tls", "none"][..]),
        (format!("localhost:{}", plain.port()), &["--tls", "starttls"]),
        (format!("smtps://localhost:{}", secure.port()), &[]),
        (format!("localhost:{}", plain.port()), &["-u", "ada", "--auth", "plain"]),
        (format!("localhost:{}", plain.port()), &["-u", "ada", "--auth", "login"]),
    ]
    .into_iter()
    .enumerate()
    {
        let mut command = miod();
        command.args(["mail", "--server", &address, "-f", "ada@a.test", "--message", &file, "bob@b.test"]);
        command.args(["--cacert", &tls.authority]).args(options).env("MIOD_MAIL_PASSWORD", PASSWORD);
        let outcome = run_to_end(&mut command, b"");
        assert_eq!(outcome.code, Some(0), "{options:?}: {}", outcome.errors);
        let all = messages(&server);
        assert_eq!(all.len(), number + 1);
        assert!(raw(&server, &all[0]) == message.as_bytes(), "{options:?}");
    }
}

/// A mailbox for ada, with TLS.
fn protected(root: &Root) -> (Server, Certificate) {
    root.file("users", USERS);
    let tls = certificate(root, "tls", &["localhost"]);
    let server = mailbox(&["--tls", &tls.pair, "--users", &root.at("users").display().to_string()]);
    (server, tls)
}

#[test]
fn users_must_log_in() {
    let root = Root::new();
    let (server, tls) = protected(&root);
    let address = format!("localhost:{}", at(&server, "smtp").port());
    for (options, code, quoted) in [
        (&[][..], 5, "530 5.7.0"),
        (&["-u", "ada"], 0, ""),
        (&["-u", "bob"], 67, "535 5.7.8"),
        (&["-u", "ada", "--auth", "login"], 0, ""),
    ] {
        let outcome = mail(&address, &[&["--cacert", &tls.authority], options].concat(), "text");
        assert_eq!(outcome.code, Some(code), "{options:?}: {}", outcome.errors);
        assert!(outcome.errors.contains(quoted), "{options:?}: {}", outcome.errors);
    }
    assert_eq!(messages(&server).len(), 2);
}

#[test]
fn nothing_that_came_in_plain_text_counts_in_tls() {
    let root = Root::new();
    let (server, _) = protected(&root);
    let mut client = Client::greeted(&server);
    assert!(client.say("EHLO a\r\n").contains("STARTTLS\r\n"));
    client.send(b"STARTTLS\r\nMAIL FROM:<x@x.test>\r\n");
    assert!(client.rest().starts_with("554 5.5.1"));
    // A handshake that isn't one ends the connection, and nobody else's.
    let mut client = Client::greeted(&server);
    client.say("EHLO a\r\n");
    assert!(client.say("STARTTLS\r\n").starts_with("220 2.0.0"));
    client.send(b"NOOP\r\n");
    let mut rest = Vec::new();
    let _ = client.stream.read_to_end(&mut rest);
    assert!(!rest.starts_with(b"250"));
    Client::greeted(&server).say("NOOP\r\n");
}

#[test]
fn no_message_is_smuggled_in_another_one() {
    let server = mailbox(&[]);
    let hidden = "MAIL FROM:<x@x.test>\r\nRCPT TO:<y@y.test>\r\nDATA\r\nhidden\r\n.\r\nQUIT\r\n";
    for end in ["\n.\n", "\n.\r\n", "\r.\r", "\r\n.\n", "\r\n.\r", "\r\r\n.\r\n", "\r\n\0.\r\n"] {
        let mut client = Client::greeted(&server);
        client.begin();
        client.send(format!("text{end}{hidden}").as_bytes());
        let said = client.rest();
        assert!(said.starts_with("550 5.6.0") && said.contains("\r\n421 4.7.0"), "{end:?}: {said}");
        assert_eq!(said.lines().count(), 2, "{end:?}: {said}");
    }
    assert_eq!(messages(&server), [] as [Value; 0]);
}

#[test]
fn a_whole_dialogue_may_come_at_once() {
    let server = mailbox(&["--size-limit", "1K"]);
    let mut client = Client::connect(&server);
    let large = "x".repeat(70) + "\r\n";
    let message = |content: &str| format!("MAIL FROM:<>\r\nRCPT TO:<a@b.test>\r\nDATA\r\n{content}.\r\n");
    client.send((String::from("EHLO a\r\n") + &message("one\r\n") + &message(&large.repeat(2_000))).as_bytes());
    client.send((String::from("MAIL FROM:<> SIZE=1025\r\n") + &message("two\r\n") + "QUIT\r\n").as_bytes());
    let said = client.rest();
    let codes: Vec<_> = said.lines().filter(|line| line.as_bytes()[3] == b' ').map(|line| &line[..3]).collect();
    let expected = "220 250 250 250 354 250 250 250 354 552 552 250 250 354 250 221";
    assert_eq!(codes.join(" "), expected, "{said}");
    assert_eq!(messages(&server).len(), 2);
}

#[test]
fn each_step_can_be_made_to_fail() {
    for (fault, options, code, quoted) in [
        ("GREETING=554", &[][..], 5, "554 5.0.0 As asked for by --fail GREETING=554"),
        ("GREETING=421", &[], 5, "421 4.0.0"),
        ("EHLO=502", &[], 0, ""),
        ("STARTTLS=454", &["--tls", "starttls"], 64, "454 4.0.0"),
        ("AUTH=535", &["-u", "ada"], 67, "535 5.0.0"),
        ("MAIL=451", &[], 5, "451 4.0.0"),
        ("RCPT=450", &[], 5, "450 4.0.0"),
        ("DATA=421", &[], 5, "421 4.0.0"),
        ("BODY=554", &[], 5, "554 5.0.0"),
    ] {
        let root = Root::new();
        let tls = certificate(&root, "tls", &["localhost"]);
        let server = mailbox(&["--fail", fault, "--any-login", "--tls", &tls.pair]);
        let address = format!("localhost:{}", at(&server, "smtp").port());
        let outcome = mail(&address, &[&["--cacert", &tls.authority], options].concat(), "text");
        assert_eq!(outcome.code, Some(code), "{fault}: {}", outcome.errors);
        assert!(outcome.errors.contains(quoted), "{fault}: {}", outcome.errors);
        assert_eq!(messages(&server).len(), usize::from(code == 0), "{fault}");
    }
}

#[test]
fn no_acknowledged_message_is_lost_by_a_kill() {
    let root = Root::new();
    let data = root.at("data").display().to_string();
    let mut acknowledged = 0;
    for round in 0..4 {
        let mut server = mailbox(&["--data", &data]);
        let all = messages(&server);
        assert!(
            (acknowledged..=acknowledged + 1).contains(&all.len()),
            "round {round}: {} of {acknowledged}",
            all.len()
        );
        for (at, message) in all.iter().rev().enumerate() {
            let content = raw(&server, message);
            let text = String::from_utf8(content).unwrap();
            assert!(text.starts_with("Subject: kept\r\n\r\n") && text.ends_with(".end\r\n"), "message {at}");
        }
        acknowledged = all.len();
        let mut client = Client::greeted(&server);
        for number in 0..5 {
            client.begin();
            let text = format!("Subject: kept\r\n\r\n{}..end\r\n.\r\n", "y\r\n".repeat(1_000 * number));
            assert!(client.say(text).starts_with("250 2.0.0"));
            acknowledged += 1;
        }
        // One more is on its way.
        client.begin();
        client.send(b"Subject: kept\r\n\r\n..end\r\n.\r\n");
        server.signal("KILL");
        server.wait();
    }
}

#[test]
#[ignore = "mounts a small disk in a namespace of its own, by unshare"]
fn on_a_full_disk_messages_are_refused_for_now() {
    let root = Root::new();
    root.directory("disk");
    let script = "mount -t tmpfs -o size=1m tmpfs disk && exec \"$0\" mailbox -b 127.0.0.1 -p 0 --data disk";
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script]).arg(env!("CARGO_BIN_EXE_miod")).current_dir(root.path());
    let server = Server::run(command);
    let text = "x".repeat(900) + "\r\n";
    let mut client = Client::greeted(&server);
    let mut send = |lines: usize| {
        client.begin();
        client.say(text.repeat(lines) + ".\r\n")
    };
    let kept = (0..).find(|_| !send(200).starts_with("250 ")).unwrap();
    assert!((2..6).contains(&kept), "{kept}");
    assert!(send(200).starts_with("452 4.3.1"));
    assert!(send(1).starts_with("250 "), "a small one still fits");
    assert_eq!(messages(&server).len(), kept + 1);
}

#[test]
fn a_shutdown_is_announced() {
    let mut server = mailbox(&[]);
    let (mut idle, mut amid) = (Client::greeted(&server), Client::greeted(&server));
    amid.begin();
    server.signal("TERM");
    assert!(idle.rest().starts_with("421 4.3.2"));
    assert!(amid.say("text\r\n.\r\n").starts_with("250 2.0.0"));
    assert!(amid.rest().starts_with("421 4.3.2"));
    assert!(server.wait().success());
}

#[test]
fn clients_beyond_the_limit_are_told() {
    let server = mailbox(&["--max-connections", "2"]);
    let (mut first, mut second) = (Client::greeted(&server), Client::greeted(&server));
    assert!(Client::connect(&server).rest().starts_with("421 4.3.2"));
    first.say("NOOP\r\n");
    second.say("QUIT\r\n");
    second.rest();
    drop(second);
    let server = mailbox(&["--max-per-address", "1"]);
    let _first = Client::greeted(&server);
    assert!(Client::connect(&server).rest().starts_with("421 4.3.2"));
}

#[test]
fn those_who_watch_see_what_comes() {
    let server = mailbox(&[]);
    let mut watcher = TcpStream::connect_timeout(&server.address(), TIMEOUT).unwrap();
    watcher.set_read_timeout(Some(TIMEOUT)).unwrap();
    watcher.write_all(get_with("/events", "").as_bytes()).unwrap();
    let mut seen = Vec::new();
    let mut until = |text: &str| {
        while !String::from_utf8_lossy(&seen).contains(text) {
            let mut piece = [0; 4096];
            let count = uninterrupted(|| watcher.read(&mut piece)).unwrap();
            assert!(count > 0, "{text} isn't in {}", seen.escape_ascii());
            seen.extend_from_slice(&piece[..count]);
        }
    };
    until("\r\n\r\n");
    assert_eq!(mail(&at(&server, "smtp").to_string(), &["--tls", "none"], "text").code, Some(0));
    until("event:");
}

#[test]
fn the_page_is_for_this_machine_alone() {
    let server = mailbox(&[]);
    let by_another_name = "GET /messages HTTP/1.1\r\nHost: evil.test\r\n\r\n";
    assert_eq!(server.exchange(by_another_name).status, 421);
    assert_eq!(server.get_with("/messages", "X-Forwarded-For: 192.0.2.1\r\n").status, 403);
}

#[test]
fn a_reload_keeps_the_messages_and_the_settings_of_mail() {
    let root = Root::new();
    let config = "bind = [\"127.0.0.1\"]\nport = 0\nhttp = [\"127.0.0.1\"]\n";
    root.file("miod.toml", config);
    let mut command = miod();
    command.args(["mailbox", "-c"]).arg(root.at("miod.toml"));
    let server = Server::run(command);
    let address = at(&server, "smtp").to_string();
    assert_eq!(mail(&address, &["--tls", "none"], "one").code, Some(0));
    let mut client = Client::greeted(&server);
    assert!(reload(&server, &root, &format!("{config}fail = [\"RCPT=450\"]\nmax-per-address = 1\n")));
    assert!(server.errors().contains("the settings of the mailbox can't change before a restart"));
    client.begin();
    assert!(client.say(".\r\n").starts_with("250 2.0.0 Kept as 2"));
    assert_eq!(messages(&server).len(), 2);
    // What isn't a setting of the mailbox holds for the next connections.
    let _first = Client::greeted(&server);
    assert!(Client::connect(&server).rest().starts_with("421 4.3.2"));
}

#[test]
fn a_client_that_half_closes_is_still_answered() {
    let server = mailbox(&[]);
    let mut client = Client::greeted(&server);
    client.send(b"EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.test>\r\nDATA\r\ntext\r\n.\r\nQUIT\r\n");
    client.stream.get_mut().shutdown(Shutdown::Write).unwrap();
    assert!(client.rest().ends_with("250 2.0.0 Kept as 1\r\n221 2.0.0 Goodbye\r\n"));
}

#[test]
fn options_that_do_not_fit_together_are_refused() {
    for (options, hint) in [
        (&["--smtps", "127.0.0.1"][..], "--smtps needs --tls"),
        (&["--any-login", "--users", "f"], "--any-login can't be combined with --users"),
        (&["--fail", "RCPT=250"], "a number from 400 to 599"),
        (&["--fail", "TO=550"], "'TO' is no step"),
        (&["--size-limit", "0"], "give at least 1"),
        (&["--name", "a b"], "give a domain"),
        (&["--listing"], "mailbox has no option --listing"),
        (&["site"], "unexpected argument"),
    ] {
        let outcome = run_to_end(miod().arg("mailbox").args(options), b"");
        assert_eq!(outcome.code, Some(2), "{options:?}: {}", outcome.errors);
        assert!(outcome.errors.contains(hint), "{options:?}: {}", outcome.errors);
    }
    let outcome = run_to_end(miod().args(["mailbox", "-p", "0", "--users", "/none/such"]), b"");
    assert_eq!(outcome.code, Some(78), "{}", outcome.errors);
    let outcome = run_to_end(miod().args(["mailbox", "-p", "0", "--data", "/proc/none"]), b"");
    assert!(outcome.code != Some(0) && outcome.errors.contains("/proc/none"), "{}", outcome.errors);
}

#[test]
fn check_finds_mistakes_and_opens_nothing() {
    let root = Root::new();
    let data = root.at("data");
    let check = |options: &[&str]| run_to_end(miod().args(["check", "mailbox", "-p", "0"]).args(options), b"");
    let outcome = check(&["--data", &data.display().to_string(), "--fail", "RCPT=450"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
    assert!(outcome.text().contains("RCPT=450") && !data.exists(), "{}", outcome.text());
    assert_eq!(check(&["--users", "/none/such"]).code, Some(78));
}

/// A message from each client of others: its program and arguments, with `PORT` for the port.
fn others(client: &str, script: &[&str], input: &str) {
    let root = Root::new();
    root.file("users", USERS);
    let tls = certificate(&root, "tls", &["localhost"]);
    let users = root.at("users").display().to_string();
    let server = mailbox(&["--tls", &tls.pair, "--smtps", "127.0.0.1", "--users", &users]);
    let (plain, secure) = (at(&server, "smtp").port().to_string(), at(&server, "smtps").port().to_string());
    let fill = |text: &str| text.replace("SECURE", &secure).replace("PORT", &plain).replace("CA", &tls.authority);
    let outcome = run_to_end(Command::new(client).args(script.iter().map(|text| fill(text))), fill(input).as_bytes());
    assert_eq!(outcome.code, Some(0), "{} {}", outcome.text(), outcome.errors);
    let all = messages(&server);
    assert!(!all.is_empty());
    for message in &all {
        assert_eq!(message["subject"], "Hello", "{message}");
        let content = raw(&server, message);
        // One of them adds an empty line.
        assert!(content.trim_ascii_end().ends_with(b"\r\n.\r\n..text"), "{}", content.escape_ascii());
    }
}

#[test]
#[ignore = "needs curl"]
fn curl_delivers() {
    let message = "Subject: Hello\r\n\r\n.\r\n..text\r\n";
    for url in ["smtp://localhost:PORT", "smtps://localhost:SECURE"] {
        let tls = ["-sS", "--ssl-reqd", "--cacert", "CA", "--user", "ada:apple", "--mail-from", "ada@a.test"];
        let rest = ["--mail-rcpt", "bob@b.test", "--mail-rcpt", "eve@b.test", "-T", "-", url];
        others("curl", &[&tls[..], &rest].concat(), message);
    }
}

#[test]
#[ignore = "needs python3"]
fn smtplib_delivers() {
    let script = "import smtplib, ssl
trust = ssl.create_default_context(cafile='CA')
message = 'Subject: Hello\\r\\n\\r\\n.\\r\\n..text\\r\\n'
with smtplib.SMTP('localhost', PORT) as server:
    server.starttls(context=trust)
    server.login('ada', 'apple')
    server.sendmail('ada@a.test', ['bob@b.test', 'eve@b.test'], message)
    assert server.verify('bob')[0] == 252
    server.sendmail('ada@a.test', ['bob@b.test'], message)
with smtplib.SMTP_SSL('localhost', SECURE, context=trust) as server:
    server.user, server.password = 'ada', 'apple'
    server.ehlo()
    server.auth('LOGIN', server.auth_login)
    server.sendmail('ada@a.test', ['bob@b.test'], message)
";
    others("/usr/bin/python3", &["-"], script);
}

#[test]
#[ignore = "needs swaks"]
fn swaks_delivers() {
    let common = ["--server", "localhost", "--from", "ada@a.test", "--to", "bob@b.test,eve@b.test"];
    let login = ["--auth-user", "ada", "--auth-password", "apple", "--data", "Subject: Hello\\n\\n.\\n..text\\n"];
    for tls in [
        &["--port", "PORT", "-tls", "--auth", "LOGIN"][..],
        &["--port", "SECURE", "--tls-on-connect", "--auth", "PLAIN"],
        &["--port", "PORT", "-tls", "--pipeline"],
    ] {
        others("swaks", &[&common[..], &login, tls].concat(), "");
    }
}
