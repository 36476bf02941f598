//! Dialogues as tables: what a client says, and what it is told.

use super::*;
use crate::testing::every_split;
use proptest::prelude::*;

fn settings() -> Settings {
    Settings { name: "mx.test".to_owned(), size: 2_000, login: Login::Allowed, faults: Vec::new() }
}

/// What comes of a dialogue.
#[derive(PartialEq, Eq, Debug, Default)]
struct Course {
    said: String,
    messages: Vec<Message>,
    closed: bool,
}

impl Course {
    /// The codes of the replies, with those of lines that go on left out.
    fn codes(&self) -> Vec<&str> {
        let last = self.said.lines().filter(|line| line.as_bytes()[3] == b' ');
        last.map(|line| &line[..3]).collect()
    }

    /// The last reply.
    fn last(&self) -> &str {
        self.said.lines().last().unwrap()
    }
}

/// A dialogue on this machine, whose pieces come one after the other. Ada's password is `secret`.
fn converse(mut server: Server, pieces: &mut dyn Iterator<Item = &[u8]>) -> Course {
    let (mut course, mut input, mut out) = (Course::default(), Vec::new(), Vec::new());
    let mut next = server.greet(&mut out);
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match next {
                Next::Close => course.closed = true,
                Next::Secure => server.secured(),
                Next::Read => {}
                Next::Login(credentials) => {
                    let is_right = credentials.user == "ada" && credentials.password == "secret";
                    next = server.logged_in(if is_right { LoggedIn::Yes } else { LoggedIn::No }, &mut out);
                    continue;
                }
                Next::Keep(message) => {
                    course.messages.push(message);
                    next = server.kept(Ok("1"), &mut out);
                    continue;
                }
            }
            let used;
            (used, next) = server.receive(&input, &mut out);
            input.drain(..used);
            if used == 0 || course.closed {
                break;
            }
        }
    }
    course.closed |= matches!(next, Next::Close);
    course.said = String::from_utf8(out).unwrap();
    course
}

fn course(settings: Settings, tls: Tls, local: bool, wire: &[u8]) -> Course {
    let settings = Rc::new(settings);
    every_split(wire, &[], |pieces| converse(Server::new(Rc::clone(&settings), tls, local), pieces))
}

fn say(wire: &str) -> Course {
    course(settings(), Tls::Offered, true, wire.as_bytes())
}

/// The dialogue behind EHLO, in one piece.
fn after_hello(settings: Settings, wire: &[u8]) -> Course {
    let wire = [b"EHLO a\r\n", wire].concat();
    converse(Server::new(Rc::new(settings), Tls::Offered, true), &mut [&wire[..]].into_iter())
}

#[test]
fn a_message_is_received_however_it_is_cut() {
    let course = say("EHLO client\r\nMAIL FROM:<ada@a.test> SIZE=20\r\nRCPT TO:<b@b.test>\r\nRCPT TO:<c@c.test>\r\n\
        DATA\r\nSubject: x\r\n\r\n..dot\r\n.\r\nQUIT\r\n");
    assert_eq!(
        course.said,
        "220 mx.test ESMTP miod mailbox\r\n\
         250-mx.test Hello\r\n250-SIZE 2000\r\n250-8BITMIME\r\n250-PIPELINING\r\n250-SMTPUTF8\r\n\
         250-ENHANCEDSTATUSCODES\r\n250-HELP\r\n250-STARTTLS\r\n250 AUTH PLAIN LOGIN\r\n\
         250 2.1.0 Sender accepted\r\n250 2.1.5 Recipient accepted\r\n250 2.1.5 Recipient accepted\r\n\
         354 End the message with a dot alone in a line\r\n250 2.0.0 Kept as 1\r\n221 2.0.0 Goodbye\r\n"
    );
    let address = |text| Address::parse(text).unwrap();
    let message = Message {
        hello: "client".to_owned(),
        user: None,
        from: Some(address("ada@a.test")),
        recipients: vec![address("b@b.test"), address("c@c.test")],
        content: b"Subject: x\r\n\r\n.dot\r\n".to_vec(),
    };
    assert_eq!(course.messages, [message]);
    assert!(course.closed);
}

/// Where a dialogue is: how it got there, on a connection without TLS.
const STATES: [(&str, &str); 5] = [
    ("greeted", ""),
    ("helo", "HELO a\r\n"),
    ("ehlo", "EHLO a\r\n"),
    ("mail", "EHLO a\r\nMAIL FROM:<a@a.test>\r\n"),
    ("rcpt", "EHLO a\r\nMAIL FROM:<a@a.test>\r\nRCPT TO:<b@b.test>\r\n"),
];

#[test]
fn each_command_has_a_reply_in_each_state() {
    for (command, codes) in [
        ("EHLO a", [250, 250, 250, 250, 250]),
        ("helo a", [250, 250, 250, 250, 250]),
        ("STARTTLS", [503, 503, 220, 220, 220]),
        ("AUTH PLAIN AGFkYQBzZWNyZXQ=", [503, 503, 235, 503, 503]),
        ("AUTH LOGIN", [503, 503, 334, 503, 503]),
        ("MAIL FROM:<c@c.test>", [503, 250, 250, 503, 503]),
        ("MAIL FROM:<c@c.test> BODY=8BITMIME", [503, 555, 250, 503, 503]),
        ("RCPT TO:<c@c.test>", [503, 503, 503, 250, 250]),
        ("DATA", [503, 503, 503, 554, 354]),
        ("RSET", [250, 250, 250, 250, 250]),
        ("NOOP anything", [250, 250, 250, 250, 250]),
        ("VRFY ada", [252, 252, 252, 252, 252]),
        ("EXPN list", [502, 502, 502, 502, 502]),
        ("HELP", [214, 214, 214, 214, 214]),
        ("QUIT", [221, 221, 221, 221, 221]),
        ("BDAT 4 LAST", [500, 500, 500, 500, 500]),
        ("", [500, 500, 500, 500, 500]),
        ("DATA now", [501, 501, 501, 501, 501]),
    ] {
        for ((state, before), code) in STATES.iter().zip(codes) {
            let course = say(&format!("{before}{command}\r\n"));
            assert_eq!(course.codes().last(), Some(&code.to_string().as_str()), "{command} when {state}");
            assert_eq!(course.closed, command == "QUIT", "{command} when {state}");
        }
    }
}

#[test]
fn what_a_line_says_decides_its_reply() {
    for (line, reply) in [
        (&b"EHLO"[..], "501 5.5.4"),
        (b"EHLO a b", "501 5.5.4"),
        (b"HELO", "501 5.5.4"),
        (b"AUTH", "501 5.5.4"),
        (b"AUTH CRAM-MD5", "504 5.5.4"),
        (b"AUTH PLAIN a b", "501 5.5.4"),
        (b"AUTH PLAIN =", "501 5.5.2"),
        (b"AUTH PLAIN x!", "501 5.5.2"),
        (b"AUTH PLAIN AGFkYQ==", "501 5.5.2"),
        (b"AUTH PLAIN Ym9iAGFkYQBzZWNyZXQ=", "535 5.7.8"),
        (b"auth plain YWRhAGFkYQBzZWNyZXQ=", "235 2.7.0"),
        (b"AUTH PLAIN AGFkYQB3cm9uZw==", "535 5.7.8"),
        (b"MAIL", "501 5.5.4"),
        (b"MAIL FROM", "501 5.5.4"),
        (b"MAIL FROM:a@a.test", "501 5.5.4"),
        (b"MAIL FROM:<a@a.test", "501 5.5.4"),
        (b"MAIL FROM:<a@a.test>SIZE=1", "501 5.5.4"),
        (b"MAIL FROM:<a a@a.test>", "501 5.1.7"),
        (b"MAIL FROM:<>", "250 2.1.0"),
        (b"mail from: <a@a.test> ", "250 2.1.0"),
        (b"MAIL FROM:<\"a>b\"@a.test>", "250 2.1.0"),
        (b"MAIL FROM:<@x.test,@y.test:a@a.test>", "250 2.1.0"),
        (b"MAIL FROM:<a@a.test> SIZE=2000 BODY=7bit SMTPUTF8 AUTH=<>", "250 2.1.0"),
        (b"MAIL FROM:<a@a.test> SIZE=2001", "552 5.3.4"),
        (b"MAIL FROM:<a@a.test> SIZE=99999999999999999999", "552 5.3.4"),
        (b"MAIL FROM:<a@a.test> SIZE=999999999999999999999", "501 5.5.4"),
        (b"MAIL FROM:<a@a.test> SIZE=+1", "501 5.5.4"),
        (b"MAIL FROM:<a@a.test> SIZE", "501 5.5.4"),
        (b"MAIL FROM:<a@a.test> SIZE=1 size=1", "501 5.5.4"),
        (b"MAIL FROM:<a@a.test> BODY=BINARYMIME", "501 5.5.4"),
        (b"MAIL FROM:<a@a.test> SMTPUTF8=1", "501 5.5.4"),
        (b"MAIL FROM:<a@a.test> RET=FULL", "555 5.5.4"),
        ("MAIL FROM:<\u{e4}@a.test>".as_bytes(), "553 5.6.7"),
        ("MAIL FROM:<\u{e4}@a.test> SMTPUTF8".as_bytes(), "250 2.1.0"),
        (b"MAIL FROM:<\xe4@a.test> SMTPUTF8", "501 5.5.2"),
        (b"RCPT TO:<>", "501 5.1.3"),
        (b"RCPT TO:<a@-.test>", "501 5.1.3"),
        (b"RCPT TO:<a@a.test> NOTIFY=NEVER", "555 5.5.4"),
        (b"RCPT TO:<postmaster>", "503 5.5.1"),
        (b"VRFY", "501 5.5.4"),
        (b"NOOP a\rb", "501 5.5.2"),
        (b"NOOP a\0b", "501 5.5.2"),
        (b"NOOP\ta", "501 5.5.2"),
        (b"NOOP\x1b[2J", "501 5.5.2"),
        (b"NOOP\x7f", "501 5.5.2"),
        (b"NOOP\r", "501 5.5.2"),
    ] {
        let course = after_hello(settings(), &[line, b"\r\n"].concat());
        assert!(course.last().starts_with(reply), "{}: {}", line.escape_ascii(), course.last());
    }
}

#[test]
fn a_command_ends_with_cr_lf() {
    let course = say("EHLO a\nNOOP\r\n");
    assert_eq!(course.codes(), ["220", "501", "250"]);
    assert!(course.said.contains("501 5.5.2 End each line with CR LF"));
}

#[test]
fn lines_have_limits_and_the_next_one_is_read_again() {
    let line = |start: &str, length: usize| start.to_owned() + &"x".repeat(length - start.len() - 2) + "\r\nRSET\r\n";
    for (start, limit, reply) in [("NOOP ", 512, "500 5.5.2"), ("AUTH PLAIN ", 12_288, "500 5.5.6")] {
        let fits = after_hello(settings(), line(start, limit).as_bytes());
        assert!(!fits.said.contains("too long"));
        let mut server = Server::new(Rc::new(settings()), Tls::Offered, true);
        let long = ["EHLO a\r\n", &line(start, limit + 1)].concat();
        for size in [1, 7, 513, 100_000] {
            let course = converse(server, &mut long.as_bytes().chunks(size));
            let mut last = course.said.lines().rev();
            assert_eq!(last.next(), Some("250 2.0.0 Forgotten"));
            assert!(last.next().unwrap().starts_with(reply), "{start} in pieces of {size}");
            server = Server::new(Rc::new(settings()), Tls::Offered, true);
        }
    }
    // An address and its parameters fit.
    let address = format!("{}@{}", "a".repeat(64), "b.".repeat(94) + "c");
    let mail = format!("MAIL FROM:<{address}> SIZE=1 AUTH={}\r\n", "x".repeat(450));
    assert!(mail.len() > 512);
    assert_eq!(after_hello(settings(), mail.as_bytes()).codes().last(), Some(&"250"));
}

#[test]
fn a_line_that_is_too_long_isnt_kept() {
    let mut server = Server::new(Rc::new(settings()), Tls::Offered, true);
    let mut out = Vec::new();
    assert_eq!(server.receive(&[b'x'; 511], &mut out).0, 0, "it may still end");
    for _ in 0..100 {
        assert_eq!(server.receive(&[b'x'; 600], &mut out), (600, Next::Read));
    }
    assert!(out.is_empty() && server.memory() == 0);
}

#[test]
fn login_goes_on_by_challenges() {
    for (lines, codes) in [
        ("AUTH LOGIN\r\nYWRh\r\nc2VjcmV0\r\nAUTH LOGIN\r\n", &["334", "334", "235", "503"][..]),
        ("AUTH LOGIN YWRh\r\nc2VjcmV0\r\nNOOP\r\n", &["334", "235", "250"]),
        ("AUTH LOGIN\r\n\r\n\r\nNOOP\r\n", &["334", "334", "535", "250"]),
        ("AUTH LOGIN\r\n*\r\nNOOP\r\n", &["334", "501", "250"]),
        ("AUTH LOGIN\r\nYWRh\r\n*\r\nNOOP\r\n", &["334", "334", "501", "250"]),
        ("AUTH LOGIN\r\nNOOP!\r\nNOOP\r\n", &["334", "501", "250"]),
        ("AUTH LOGIN\r\nYWRh\nNOOP\r\n", &["334", "501", "250"]),
        ("AUTH PLAIN\r\nAGFkYQBzZWNyZXQ=\r\nMAIL FROM:<>\r\n", &["334", "235", "250"]),
        // EHLO doesn't forget who has logged in.
        ("AUTH PLAIN AGFkYQBzZWNyZXQ=\r\nEHLO a\r\nAUTH LOGIN\r\n", &["235", "250", "503"]),
    ] {
        let course = say(&format!("EHLO a\r\n{lines}"));
        assert_eq!(course.codes()[2..], *codes, "{lines}");
    }
    let said = say("EHLO a\r\nAUTH LOGIN\r\nYWRh\r\n").said;
    assert!(said.ends_with("334 VXNlcm5hbWU6\r\n334 UGFzc3dvcmQ6\r\n"));
    assert!(say("EHLO a\r\nAUTH PLAIN\r\n").said.ends_with("\r\n334 \r\n"));
    let long = format!("EHLO a\r\nAUTH LOGIN\r\n{}\r\n{}\r\nNOOP\r\n", "YWRh".repeat(3_000), "x".repeat(12_287));
    let course = converse(Server::new(Rc::new(settings()), Tls::Offered, true), &mut long.as_bytes().chunks(999));
    assert_eq!(course.codes()[2..], ["334", "334", "500", "250"]);
}

#[test]
fn passwords_are_asked_for_in_private_only() {
    for (tls, local, offered, code) in
        [(Tls::Offered, true, true, "334"), (Tls::Active, false, true, "334"), (Tls::Offered, false, false, "538")]
    {
        let course = course(settings(), tls, local, b"EHLO a\r\nAUTH LOGIN\r\n");
        assert_eq!(course.said.contains("AUTH PLAIN LOGIN"), offered);
        assert_eq!(course.said.contains("STARTTLS\r\n"), tls == Tls::Offered);
        assert_eq!(course.codes().last(), Some(&code));
    }
    let none = after_hello(Settings { login: Login::No, ..settings() }, b"AUTH LOGIN\r\n");
    assert!(!none.said.contains("AUTH"));
    assert_eq!(none.codes().last(), Some(&"502"));
}

#[test]
fn who_must_log_in_cannot_send_before() {
    let required = Settings { login: Login::Required, ..settings() };
    let course = after_hello(
        required,
        b"MAIL FROM:<>\r\nAUTH PLAIN AGFkYQBzZWNyZXQ=\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nDATA\r\n.\r\n",
    );
    assert_eq!(course.codes()[2..], ["530", "235", "250", "250", "354", "250"]);
    assert_eq!(course.messages[0].user.as_deref(), Some("ada"));
    assert_eq!(course.messages[0].from, None);
}

#[test]
fn a_password_may_not_be_checked_now() {
    let (mut server, mut out) = (Server::new(Rc::new(settings()), Tls::Offered, true), Vec::new());
    let mut rest = &b"EHLO a\r\nAUTH PLAIN AGFkYQBzZWNyZXQ=\r\nNOOP\r\n"[..];
    while !matches!(server.receive(rest, &mut out), (used, Next::Read) if { rest = &rest[used..]; used > 0 }) {}
    // The first turn of the loop took EHLO; the second one takes AUTH.
    let (used, next) = server.receive(rest, &mut out);
    assert!(matches!(next, Next::Login(_)));
    rest = &rest[used..];
    assert_eq!(server.receive(rest, &mut out), (0, Next::Read), "NOOP waits");
    out.clear();
    assert_eq!(server.logged_in(LoggedIn::Later, &mut out), Next::Read);
    assert!(out.starts_with(b"454 4.7.0"));
    assert_eq!(server.receive(rest, &mut out), (6, Next::Read));
}

#[test]
fn nothing_is_known_after_tls_has_begun() {
    let (mut server, mut out) = (Server::new(Rc::new(settings()), Tls::Offered, true), Vec::new());
    for line in ["EHLO plain\r\n", "AUTH PLAIN AGFkYQBzZWNyZXQ=\r\n", "MAIL FROM:<a@a.test>\r\n"] {
        let (used, next) = server.receive(line.as_bytes(), &mut out);
        assert_eq!(used, line.len());
        if matches!(next, Next::Login(_)) {
            server.logged_in(LoggedIn::Yes, &mut out);
        }
    }
    assert_eq!(server.receive(b"STARTTLS\r\n", &mut out), (10, Next::Secure));
    server.secured();
    for (line, reply) in [
        ("RCPT TO:<a@a.test>\r\n", "503"),
        ("MAIL FROM:<a@a.test>\r\n", "503"),
        ("AUTH LOGIN\r\n", "503"),
        ("STARTTLS\r\n", "503"),
        ("EHLO tls\r\n", "250-"),
        ("STARTTLS\r\n", "503"),
    ] {
        out.clear();
        server.receive(line.as_bytes(), &mut out);
        assert!(out.starts_with(reply.as_bytes()), "{line}: {}", out.escape_ascii());
        assert!(!out.windows(8).any(|text| text == b"STARTTLS"));
    }
}

#[test]
fn nothing_may_follow_starttls() {
    // In one piece: the reply says so. Nothing of it is obeyed.
    let injected = after_hello(settings(), b"STARTTLS\r\nMAIL FROM:<a@a.test>\r\n");
    assert!(injected.last().starts_with("554 5.5.1") && injected.closed);
    assert_eq!(injected.codes(), ["220", "250", "554"]);
    // Behind the reply, and before TLS.
    let (mut server, mut out) = (Server::new(Rc::new(settings()), Tls::Offered, true), Vec::new());
    server.receive(b"EHLO a\r\n", &mut out);
    assert_eq!(server.receive(b"STARTTLS\r\n", &mut out), (10, Next::Secure));
    assert_eq!(server.receive(b"", &mut out), (0, Next::Read));
    assert_eq!(server.receive(b"NOOP\r\n", &mut out), (6, Next::Close));
    // Without a certificate it is a command like others.
    let none = course(settings(), Tls::No, true, b"EHLO a\r\nSTARTTLS\r\nNOOP\r\n");
    assert_eq!(none.codes(), ["220", "250", "502", "250"]);
}

/// A message with this content, and a command behind it.
fn deliver(settings: Settings, content: &[u8]) -> Course {
    let wire = [b"MAIL FROM:<a@a.test>\r\nRCPT TO:<b@b.test>\r\nDATA\r\n", content, b"RSET\r\n"].concat();
    after_hello(settings, &wire)
}

#[test]
fn no_message_hides_in_another_one() {
    let hidden = "MAIL FROM:<x@x.test>\r\nRCPT TO:<y@y.test>\r\nDATA\r\nhidden\r\n.\r\n";
    for end in [
        "\n.\n",
        "\n.\r\n",
        "\r.\r",
        "\r.\r\n",
        "\r\n.\n",
        "\r\n.\r",
        "\n\n.\r\n",
        "\r\r\n.\r\n",
        "\r\n.\0\r\n",
        "\0\r\n.\r",
    ] {
        let course = deliver(settings(), format!("text{end}{hidden}").as_bytes());
        assert_eq!(course.messages, [], "{}", end.escape_debug());
        assert!(course.said.contains("550 5.6.0"), "{}: {}", end.escape_debug(), course.said);
        assert!(course.last().starts_with("421 4.7.0") && course.closed, "{}: {}", end.escape_debug(), course.said);
    }
}

#[test]
fn contents_have_limits() {
    let line = |length: usize| [&vec![b'x'; length - 2][..], b"\r\n"].concat();
    let end = &b".\r\n"[..];
    for (content, reply) in [
        (line(1_000), "250 2.0.0"),
        (line(1_001), "500 5.5.2"),
        ([b".", &line(1_000)[..]].concat(), "250 2.0.0"),
        ([line(1_000), line(1_000)].concat(), "250 2.0.0"),
        ([line(1_000), line(1_000), b"\r\n".to_vec()].concat(), "552 5.3.4"),
        (Vec::new(), "250 2.0.0"),
    ] {
        let course = deliver(settings(), &[&content, end].concat());
        let replies: Vec<_> = course.said.lines().collect();
        assert!(replies[replies.len() - 2].starts_with(reply), "{}", course.said);
        assert_eq!(course.last(), "250 2.0.0 Forgotten", "the next command is read");
        let kept: Vec<_> = course.messages.iter().map(|message| message.content.len()).collect();
        let length = content.len() - usize::from(content.first() == Some(&b'.'));
        assert_eq!(kept, if reply.starts_with("250") { vec![length] } else { vec![] });
    }
}

#[test]
fn a_content_that_isnt_accepted_isnt_kept_in_memory() {
    let (mut server, mut out) = (Server::new(Rc::new(settings()), Tls::Offered, true), Vec::new());
    for line in ["HELO a\r\n", "MAIL FROM:<>\r\n", "RCPT TO:<a@b>\r\n", "DATA\r\n"] {
        server.receive(line.as_bytes(), &mut out);
    }
    let before = server.memory();
    assert!(server.is_receiving() && before < 100);
    server.receive(&[b'x'; 500], &mut out);
    assert!(server.memory() >= before + 500);
    for _ in 0..100 {
        server.receive(&[b'x'; 1_000], &mut out);
        assert_eq!(server.memory(), before);
    }
}

#[test]
fn there_may_be_so_many_recipients() {
    let recipients = "RCPT TO:<a@b>\r\n".repeat(limits::MAILBOX_RECIPIENTS + 30);
    let course = after_hello(settings(), format!("MAIL FROM:<>\r\n{recipients}DATA\r\n.\r\n").as_bytes());
    let codes = course.codes();
    assert_eq!(codes.iter().filter(|code| **code == "452").count(), 30, "they aren't errors of the client");
    assert_eq!(codes[codes.len() - 2..], ["354", "250"]);
    assert_eq!(course.messages[0].recipients.len(), limits::MAILBOX_RECIPIENTS);
    assert!(course.said.contains("452 4.5.3"));
}

#[test]
fn a_client_that_makes_errors_only_is_sent_away() {
    let course = say(&"x\r\n".repeat(30));
    assert_eq!(course.codes().len(), 1 + 20 + 1);
    assert!(course.last().starts_with("421 4.7.0") && course.closed);
    // A line that is too long is an error like others.
    let long = ("x".repeat(600) + "\r\n").repeat(30);
    let course = after_hello(settings(), long.as_bytes());
    assert_eq!((course.codes().len(), course.closed), (2 + 20 + 1, true));
    let fine = "MAIL FROM:<>\r\nRCPT TO:<a@b>\r\nDATA\r\n.\r\n";
    let course = say(&format!("EHLO a\r\n{0}{fine}{0}", "x\r\n".repeat(19)));
    assert!(!course.closed, "a message that was kept shows that it is one");
}

#[test]
fn steps_fail_on_demand() {
    let dialogue = "EHLO a\r\nHELO a\r\nEHLO a\r\nAUTH PLAIN AGFkYQBzZWNyZXQ=\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n";
    for (fault, codes) in [
        ("GREETING=554", "554 503 503 503 503 503 503 503 500 500 221"),
        ("GREETING=421", "421"),
        ("ehlo=502", "220 502 250 502 503 250 250 354 250 221"),
        ("AUTH=535", "220 250 250 250 535 250 250 354 250 221"),
        ("MAIL=451", "220 250 250 250 235 451 503 503 500 500 221"),
        ("RCPT=550", "220 250 250 250 235 250 550 554 500 500 221"),
        ("DATA=451", "220 250 250 250 235 250 250 451 500 500 221"),
        ("BODY=552", "220 250 250 250 235 250 250 354 552 221"),
        ("BODY=421", "220 250 250 250 235 250 250 354 421"),
        ("STARTTLS=454", "220 250 250 250 235 250 250 354 250 221"),
    ] {
        let faults = vec![Fault::parse(fault).unwrap()];
        let course = course(Settings { faults: faults.clone(), ..settings() }, Tls::Offered, true, dialogue.as_bytes());
        assert_eq!(course.codes().join(" "), codes, "{fault}");
        assert!(course.closed);
        assert_eq!(course.messages.is_empty(), !codes.contains("354 250"), "{fault}");
        assert!(fault == "STARTTLS=454" || course.said.contains(&format!("As asked for by --fail {}", faults[0])));
    }
    let faults = vec![Fault::parse("STARTTLS=454").unwrap(), Fault::parse("RCPT=450").unwrap()];
    let server = Server::new(Rc::new(Settings { faults, ..settings() }), Tls::Offered, true);
    let lines = "EHLO a\r\nSTARTTLS\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\n";
    let course = converse(server, &mut lines.as_bytes().split_inclusive(|&byte| byte == b'\n'));
    assert_eq!(course.codes(), ["220", "250", "454", "250", "450"]);
    assert!(course.said.contains("454 4.0.0 As asked for by --fail STARTTLS=454"));
    for wrong in ["", "RCPT", "RCPT=", "RCPT=250", "RCPT=600", "RCPT=+50", "RCPT=0450", "TO=550", "=550"] {
        assert!(Fault::parse(wrong).is_err(), "{wrong}");
    }
    let error = Fault::parse("TO=550").unwrap_err();
    assert_eq!(error, "'TO' is no step; there are GREETING, EHLO, STARTTLS, AUTH, MAIL, RCPT, DATA, BODY");
}

#[test]
fn a_message_that_cannot_be_kept_is_refused_for_now() {
    let (mut server, mut out) = (Server::new(Rc::new(settings()), Tls::Offered, true), Vec::new());
    for line in ["HELO a\r\n", "MAIL FROM:<>\r\n", "RCPT TO:<a@b>\r\n", "DATA\r\n"] {
        server.receive(line.as_bytes(), &mut out);
    }
    out.clear();
    let (used, next) = server.receive(b"x\r\n.\r\nMAIL FROM:<>\r\n", &mut out);
    assert!(matches!(next, Next::Keep(_)) && out.is_empty(), "it isn't kept yet");
    assert_eq!((used, server.receive(b"MAIL FROM:<>\r\n", &mut out).0), (6, 0));
    server.kept(Err(()), &mut out);
    server.receive(b"MAIL FROM:<>\r\n", &mut out);
    assert_eq!(out, b"452 4.3.1 The message can't be stored\r\n250 2.1.0 Sender accepted\r\n");
}

#[test]
fn a_browser_is_told_where_it_is() {
    let course = say("POST / HTTP/1.1\r\nHost: localhost:2525\r\n\r\nEHLO a\r\n");
    assert_eq!(course.codes(), ["220", "554"]);
    assert!(course.closed);
}

#[test]
fn a_server_may_end_the_dialogue_by_itself() {
    for (why, reply) in [(End::Silence, "421 4.4.2"), (End::Shutdown, "421 4.3.2"), (End::Overload, "421 4.3.2")] {
        let (mut server, mut out) = (Server::new(Rc::new(settings()), Tls::Offered, true), Vec::new());
        assert_eq!(server.end(why, &mut out), Next::Close);
        assert!(out.starts_with(reply.as_bytes()) && out.ends_with(b"\r\n"));
        assert_eq!(server.receive(b"NOOP\r\n", &mut out), (6, Next::Close));
    }
}

/// Bytes of which clients' lines are made, and any other ones.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let words = "EHLO a\r\n|MAIL FROM:<a@b>|RCPT TO:<|>|DATA\r\n|AUTH LOGIN\r\n|AUTH PLAIN |STARTTLS|\r|\n|.|\r\n.\r\n|QUIT|YWRh\r\n|\\|\"|:|@| SIZE=|RSET\r\n|\0";
    let word = proptest::sample::select(words.split('|').map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>());
    let any = proptest::collection::vec(any::<u8>(), 0..20);
    proptest::collection::vec(prop_oneof![4 => word, 1 => any], 0..40).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn any_bytes_are_answered_and_never_panic(wire in noise(), size in 1_usize..50) {
        let whole = converse(Server::new(Rc::new(settings()), Tls::Offered, true), &mut [&wire[..]].into_iter());
        let cut = converse(Server::new(Rc::new(settings()), Tls::Offered, true), &mut wire.chunks(size));
        // What follows STARTTLS is refused if it came with it.
        if !wire.windows(8).any(|text| text.eq_ignore_ascii_case(b"STARTTLS")) {
            prop_assert_eq!(&whole, &cut);
        }
        for line in whole.said.lines().chain(cut.said.lines()) {
            prop_assert!(line.len() <= 510 && line[..3].parse::<u16>().is_ok() && line.is_ascii());
        }
    }
}
