use super::*;
use crate::smtp::reply::ReplyError;

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn plan() -> Plan {
    Plan {
        name: "client.example".to_owned(),
        helo: false,
        tls: StartTls::Offered,
        login: None,
        from: address("ada@example.org"),
        to: vec![address("bob@example.org"), address("eve@example.org")],
        size: 100,
        eight_bit: false,
        utf8: false,
    }
}

fn login(mechanism: Option<Mechanism>) -> Option<Login> {
    Some(Login { user: "ada".to_owned(), password: "apple".to_owned(), mechanism, in_plain_text: true })
}

/// A client that went as far as a script.
struct Played {
    client: Client,
    /// What it sent and did.
    did: Vec<String>,
}

impl Played {
    fn outcome(&self) -> Result<String, Failure> {
        self.client.outcome().expect("it is over").clone().map(|reply| reply.to_string())
    }

    fn failure(&self) -> Failure {
        self.outcome().expect_err("it failed")
    }

    /// Whether the dialogue ended with QUIT.
    fn quits(&self) -> bool {
        self.did.last().is_some_and(|last| last == "QUIT")
    }
}

/// Plays with a server that sends these replies, one each time that one is awaited, and then
/// closes. Each reply is cut at `cut`.
fn play_cut(plan: &Plan, replies: &[&str], cut: usize) -> Played {
    let (mut client, mut did, mut replies) = (Client::new(plan.clone(), false), Vec::new(), replies.iter());
    for _ in 0..1_000 {
        match client.next() {
            Next::Send(command) => did.push(command.line),
            Next::Secure => {
                did.push("(TLS)".to_owned());
                client.secured();
            }
            Next::SendMessage => {
                did.push("(message)".to_owned());
                client.message_sent();
            }
            Next::Await(step) => {
                assert_eq!(client.step(), step);
                let Some(reply) = replies.next() else {
                    client.closed();
                    continue;
                };
                let (one, two) = reply.as_bytes().split_at(cut.min(reply.len()));
                let mut input = Vec::new();
                for piece in [one, two] {
                    input.extend_from_slice(piece);
                    while !input.is_empty() {
                        let received = client.receive(&input);
                        input.drain(..received.used);
                        if received.used == 0 {
                            break;
                        }
                    }
                }
            }
            Next::Close => {
                assert_eq!(client.next(), Next::Close);
                return Played { client, did };
            }
        }
    }
    panic!("it never ends: {did:?}");
}

/// The same, and it makes no difference where replies are cut.
fn play(plan: &Plan, replies: &[&str]) -> Played {
    let whole = play_cut(plan, replies, 0);
    for cut in 1..replies.iter().map(|reply| reply.len()).max().unwrap_or(0) {
        let other = play_cut(plan, replies, cut);
        assert_eq!((&other.did, other.client.outcome()), (&whole.did, whole.client.outcome()), "cut at {cut}");
    }
    whole
}

const GREETING: &str = "220 mail.example.org ESMTP\r\n";
const EHLO: &str = "250-mail.example.org\r\n250 8BITMIME\r\n";
const OK: &str = "250 ok\r\n";
const DATA: &str = "354 go ahead\r\n";
const BYE: &str = "221 bye\r\n";

#[test]
fn the_dialogue_of_the_textbook() {
    let played = play(&plan(), &[GREETING, EHLO, OK, OK, OK, DATA, "250 2.0.0 queued as 1\r\n", BYE]);
    assert_eq!(
        played.did,
        [
            "EHLO client.example",
            "MAIL FROM:<ada@example.org>",
            "RCPT TO:<bob@example.org>",
            "RCPT TO:<eve@example.org>",
            "DATA",
            "(message)",
            "QUIT",
        ]
    );
    assert_eq!(played.outcome().as_deref(), Ok("250 2.0.0 queued as 1"));
    assert_eq!(played.client.recipients().filter(|(_, reply)| reply.code == 250).count(), 2);
    // A missing reply to QUIT costs nothing.
    assert!(play(&plan(), &[GREETING, EHLO, OK, OK, OK, DATA, OK]).outcome().is_ok());
    assert!(play(&plan(), &[GREETING, EHLO, OK, OK, OK, DATA, OK, "500 what\r\n"]).outcome().is_ok());
    assert!(play(&plan(), &[GREETING, EHLO, OK, OK, OK, DATA, OK, "odd\r\n"]).outcome().is_ok());
}

#[test]
fn helo_is_for_servers_without_ehlo() {
    for refusal in ["500 what\r\n", "501 no\r\n", "502 5.5.1 not implemented\r\n", "503 bad\r\n", "550 no\r\n"] {
        let played = play(&plan(), &[GREETING, refusal, OK, OK, OK, OK, DATA, OK, BYE]);
        assert_eq!(played.did[..2], ["EHLO client.example", "HELO client.example"], "{refusal}");
        assert!(played.outcome().is_ok());
    }
    let first = Plan { helo: true, ..plan() };
    assert_eq!(play(&first, &[GREETING, OK, OK, OK, OK, DATA, OK, BYE]).did[0], "HELO client.example");
    let ended = play(&plan(), &[GREETING, "421 too busy\r\n"]);
    assert!(matches!(ended.failure(), Failure::Refused(Step::Ehlo, _)) && !ended.quits());
    let later = play(&plan(), &[GREETING, "450 later\r\n", BYE]);
    assert!(matches!(later.failure(), Failure::Refused(Step::Ehlo, _)) && later.quits());
    // HELO offers neither TLS nor a login.
    let strict = Plan { tls: StartTls::Required, ..first.clone() };
    assert_eq!(play(&strict, &[GREETING, OK, BYE]).failure(), Failure::NoTls(None));
    let user = Plan { login: login(None), ..first };
    assert_eq!(play(&user, &[GREETING, OK, BYE]).failure(), Failure::Login(LoginFailure::NotOffered));
}

/// The replies of a dialogue with every step, and these steps.
fn all_steps() -> (Plan, Vec<(Step, &'static str)>) {
    let plan = Plan { login: login(Some(Mechanism::Login)), ..plan() };
    let offers = "250-host\r\n250-AUTH LOGIN\r\n250 STARTTLS\r\n";
    let replies = vec![
        (Step::Greeting, GREETING),
        (Step::Ehlo, offers),
        (Step::StartTls, "220 go\r\n"),
        (Step::Ehlo, offers),
        (Step::Auth, "334 VXNlcm5hbWU6\r\n"),
        (Step::User, "334 UGFzc3dvcmQ6\r\n"),
        (Step::Password, "235 in\r\n"),
        (Step::Mail, OK),
        (Step::Rcpt, OK),
        (Step::Rcpt, "251 elsewhere\r\n"),
        (Step::Data, DATA),
        (Step::Message, OK),
        (Step::Quit, BYE),
    ];
    (plan, replies)
}

/// The dialogue with every step, with this reply instead at one of them; then the server agrees
/// to QUIT.
fn with(at: usize, reply: &'static str) -> Played {
    let (plan, replies) = all_steps();
    let replies: Vec<_> = replies[..at].iter().map(|(_, reply)| *reply).chain([reply, BYE]).collect();
    play(&plan, &replies)
}

#[test]
fn each_step_may_be_refused() {
    let (plan, replies) = all_steps();
    let texts: Vec<_> = replies.iter().map(|(_, reply)| *reply).collect();
    let played = play(&plan, &texts);
    assert!(played.outcome().is_ok());
    assert_eq!(
        played.did[..8],
        [
            "EHLO client.example",
            "STARTTLS",
            "(TLS)",
            "EHLO client.example",
            "AUTH LOGIN",
            "YWRh",
            "YXBwbGU=",
            "MAIL FROM:<ada@example.org>"
        ]
    );
    for (at, &(step, _)) in replies.iter().enumerate().take(replies.len() - 1) {
        let ended = with(at, "421 4.3.2 shutting down\r\n");
        let Failure::Refused(refused, reply) = ended.failure() else { panic!("{:?}", ended.failure()) };
        assert_eq!((refused, reply.code, ended.quits()), (step, 421, false));
        for refusal in ["450 4.0.0 later\r\n", "550 5.0.0 never\r\n"] {
            let played = match step {
                // Others may be accepted, and it goes on with HELO, or without TLS.
                Step::Rcpt | Step::StartTls => continue,
                Step::Ehlo if refusal.starts_with('5') => continue,
                _ => with(at, refusal),
            };
            let text = &refusal[..refusal.len() - 2];
            match (step, played.failure()) {
                (Step::Auth | Step::User | Step::Password, Failure::Login(LoginFailure::Denied(reply))) => {
                    assert_eq!(reply.to_string(), text);
                }
                (_, Failure::Refused(refused, reply)) => assert_eq!((refused, &*reply.to_string()), (step, text)),
                (_, other) => panic!("{step:?}: {other:?}"),
            }
            assert!(played.quits(), "{step:?} {refusal}");
        }
    }
}

#[test]
fn replies_that_do_not_fit_or_are_none_end_the_dialogue() {
    let (_, replies) = all_steps();
    for (at, &(step, _)) in replies.iter().enumerate().take(replies.len() - 1) {
        let odd = if matches!(step, Step::Auth | Step::User) { "250 what\r\n" } else { "334 what\r\n" };
        let odd = if step == Step::Data { "250 what\r\n" } else { odd };
        if (step, odd) != (Step::Auth, "250 what\r\n") {
            let played = with(at, odd);
            assert!(matches!(played.failure(), Failure::Unexpected(found, _) if found == step), "{step:?}");
            assert!(!played.quits());
        }
        for (bytes, error) in [
            ("garbage\r\n", ReplyError::Code),
            ("250 bare\n", ReplyError::LineEnd),
            ("250-a\r\n251 b\r\n", ReplyError::Codes),
        ] {
            let played = with(at, bytes);
            assert_eq!(played.failure(), Failure::Malformed(step, error), "{step:?} {bytes:?}");
            assert!(!played.quits());
        }
        let (plan, replies) = all_steps();
        let before: Vec<_> = replies[..at].iter().map(|(_, reply)| *reply).collect();
        assert_eq!(play(&plan, &before).failure(), Failure::Closed(step));
    }
}

#[test]
fn some_recipients_may_be_refused() {
    let played = play(&plan(), &[GREETING, EHLO, OK, "550 5.1.1 no bob\r\n", OK, DATA, OK, BYE]);
    assert!(played.outcome().is_ok());
    let replies: Vec<_> = played.client.recipients().map(|(to, reply)| (to.as_str(), reply.code)).collect();
    assert_eq!(replies, [("bob@example.org", 550), ("eve@example.org", 250)]);
    let none = play(&plan(), &[GREETING, EHLO, OK, "550 5.1.1 no bob\r\n", "451 later\r\n", BYE]);
    assert_eq!(none.failure().to_string(), "the server refuses RCPT TO: 550 5.1.1 no bob");
    assert!(none.quits() && !none.did.contains(&"DATA".to_owned()));
}

#[test]
fn mail_and_rcpt_leave_together_if_that_is_offered() {
    let mut client = Client::new(plan(), false);
    let receive = |client: &mut Client, text: &str| assert_eq!(client.receive(text.as_bytes()).used, text.len());
    receive(&mut client, GREETING);
    assert!(matches!(client.next(), Next::Send(_)));
    receive(&mut client, "250-host\r\n250 PIPELINING\r\n");
    let sent: Vec<_> = (0..3).map(|_| client.next()).collect();
    assert!(sent.iter().all(|next| matches!(next, Next::Send(_))), "{sent:?}");
    assert_eq!(client.next(), Next::Await(Step::Mail));
    // The sender is refused, and so is each recipient; all replies are read.
    receive(&mut client, "550 no\r\n");
    for _ in 0..2 {
        assert_eq!(client.next(), Next::Await(Step::Rcpt));
        receive(&mut client, "503 no sender\r\n");
    }
    assert_eq!(client.next(), Next::Send(Command::new("QUIT")));
    assert!(matches!(client.outcome(), Some(Err(Failure::Refused(Step::Mail, reply))) if reply.code == 550));
    assert_eq!(client.recipients().count(), 0);
    // Nothing but RCPT is pipelined.
    let all = play(&plan(), &[GREETING, "250-host\r\n250 PIPELINING\r\n", OK, OK, OK, DATA, OK, BYE]);
    assert!(all.outcome().is_ok());
}

#[test]
fn parameters_are_sent_as_offered() {
    let full = "250-host\r\n250-SIZE 100\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n";
    let mail = |plan: &Plan, ehlo| play(plan, &[GREETING, ehlo, OK, OK, OK, DATA, OK, BYE]).did[1].clone();
    assert_eq!(mail(&plan(), full), "MAIL FROM:<ada@example.org> SIZE=100");
    let special = Plan { eight_bit: true, utf8: true, ..plan() };
    assert_eq!(mail(&special, full), "MAIL FROM:<ada@example.org> SIZE=100 BODY=8BITMIME SMTPUTF8");
    assert_eq!(mail(&plan(), EHLO), "MAIL FROM:<ada@example.org>");
    let lack = |plan: &Plan, ehlo| {
        let played = play(plan, &[GREETING, ehlo, BYE]);
        assert!(played.quits());
        match played.failure() {
            Failure::Lacks(lack) => lack,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(lack(&Plan { eight_bit: true, ..plan() }, "250 host\r\n"), Lack::EightBit);
    assert_eq!(lack(&Plan { to: vec![address("j\u{fc}@a")], ..plan() }, EHLO), Lack::Utf8);
    assert_eq!(lack(&Plan { from: address("j\u{fc}@a"), ..plan() }, EHLO), Lack::Utf8);
    assert_eq!(lack(&Plan { size: 101, ..plan() }, full), Lack::Size { size: 101, limit: 100 });
}

#[test]
fn tls_begins_if_it_is_offered_or_required() {
    let offers = "250-host\r\n250 STARTTLS\r\n";
    let with = |tls, replies: &[&str]| play(&Plan { tls, ..plan() }, replies);
    let no = with(StartTls::No, &[GREETING, offers, OK, OK, OK, DATA, OK, BYE]);
    assert!(no.outcome().is_ok() && !no.did.contains(&"STARTTLS".to_owned()));
    let missing = with(StartTls::Required, &[GREETING, EHLO, BYE]);
    assert!(missing.failure() == Failure::NoTls(None) && missing.quits());
    let refused = with(StartTls::Required, &[GREETING, offers, "454 4.7.0 not now\r\n", BYE]);
    assert_eq!(refused.failure().to_string(), "the server refuses STARTTLS: 454 4.7.0 not now");
    let without = with(StartTls::Offered, &[GREETING, offers, "454 4.7.0 not now\r\n", OK, OK, OK, DATA, OK, BYE]);
    assert!(without.outcome().is_ok());
    // What was offered before TLS doesn't count.
    let forged = "250-host\r\n250-SIZE 1\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n";
    let play = with(StartTls::Required, &[GREETING, forged, "220 go\r\n", "250 host\r\n", OK, OK, OK, DATA, OK, BYE]);
    assert!(play.outcome().is_ok());
}

#[test]
fn bytes_behind_the_reply_to_starttls_are_an_error() {
    let offers = "250-host\r\n250 STARTTLS\r\n";
    for more in ["250-host\r\n250 AUTH PLAIN\r\n", "4", "421 bye\r\n", "\r\n"] {
        let reply = format!("220 go\r\n{more}");
        let played = play(&plan(), &[GREETING, offers, &reply]);
        assert_eq!(played.failure(), Failure::Injected, "{more:?}");
        assert!(!played.did.contains(&"(TLS)".to_owned()));
    }
    // A forged reply to STARTTLS, before it was sent.
    let early = format!("{offers}220 go\r\n");
    assert_eq!(play(&plan(), &[GREETING, &early]).failure(), Failure::Unasked(Step::StartTls));
}

#[test]
fn nobody_is_answered_without_a_command() {
    let two = format!("{GREETING}{EHLO}");
    assert_eq!(play(&plan(), &[&two]).failure(), Failure::Unasked(Step::Ehlo));
    let ended = format!("{EHLO}421 4.4.2 too slow\r\n");
    assert!(matches!(play(&plan(), &[GREETING, &ended]).failure(), Failure::Refused(Step::Mail, _)));
    let odd = format!("{EHLO}42\r\n");
    assert_eq!(play(&plan(), &[GREETING, &odd]).failure(), Failure::Unasked(Step::Mail));
    let later = format!("{EHLO}421-a\r\n421 b\r\n");
    assert!(matches!(play(&plan(), &[GREETING, &later]).failure(), Failure::Refused(Step::Mail, _)));
}

#[test]
fn the_login_uses_what_is_offered() {
    let both = "250-host\r\n250 AUTH LOGIN PLAIN\r\n";
    let old = "250-host\r\n250 AUTH=LOGIN\r\n";
    let with = |mechanism, replies: &[&str]| play(&Plan { login: login(mechanism), ..plan() }, replies);
    let plain = with(None, &[GREETING, both, "235 in\r\n", OK, OK, OK, DATA, OK, BYE]);
    assert!(plain.outcome().is_ok());
    assert_eq!(plain.did[1], "AUTH PLAIN AGFkYQBhcHBsZQ==");
    let asks = ["334 VXNlcm5hbWU6\r\n", "334 UGFzc3dvcmQ6\r\n", "235 in\r\n"];
    for (mechanism, ehlo) in [(None, old), (Some(Mechanism::Login), both)] {
        let replies = [&[GREETING, ehlo], &asks[..], &[OK, OK, OK, DATA, OK, BYE]].concat();
        let played = with(mechanism, &replies);
        assert!(played.outcome().is_ok());
        assert_eq!(played.did[1..4], ["AUTH LOGIN", "YWRh", "YXBwbGU="]);
    }
    let failure = |mechanism, replies: &[&str]| match with(mechanism, replies).failure() {
        Failure::Login(failure) => failure,
        other => panic!("{other:?}"),
    };
    assert_eq!(failure(Some(Mechanism::Plain), &[GREETING, old, BYE]), LoginFailure::NotOffered);
    assert_eq!(failure(None, &[GREETING, EHLO, BYE]), LoginFailure::NotOffered);
    for refusal in ["535 5.7.8 wrong\r\n", "503 no\r\n", "454 later\r\n"] {
        assert!(matches!(failure(None, &[GREETING, both, refusal, BYE]), LoginFailure::Denied(_)), "{refusal}");
    }
}

#[test]
fn a_password_needs_tls() {
    let user = login(None).map(|login| Login { in_plain_text: false, ..login });
    let plan = Plan { login: user, ..plan() };
    let both = "250-host\r\n250 AUTH LOGIN PLAIN\r\n";
    let played = play(&plan, &[GREETING, both, BYE]);
    assert_eq!(played.failure(), Failure::Login(LoginFailure::PlainText));
    assert!(!played.did.iter().any(|line| line.starts_with("AUTH")));
    let offers = "250-host\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n";
    let replies = [GREETING, offers, "220 go\r\n", both, "235 in\r\n", OK, OK, OK, DATA, OK, BYE];
    assert!(play(&plan, &replies).outcome().is_ok());
    // Nor is it sent if TLS was refused.
    let refused = play(&plan, &[GREETING, offers, "454 not now\r\n", BYE]);
    assert_eq!(refused.failure(), Failure::Login(LoginFailure::PlainText));
    // With TLS from the beginning it is sent.
    let mut client = Client::new(Plan { tls: StartTls::No, ..plan }, true);
    client.receive(GREETING.as_bytes());
    client.next();
    client.receive(both.as_bytes());
    let Next::Send(command) = client.next() else { panic!("no login") };
    assert_eq!((command.line.as_str(), command.shown()), ("AUTH PLAIN AGFkYQBhcHBsZQ==", "AUTH PLAIN ***"));
}

#[test]
fn a_server_may_refuse_a_message_before_its_end() {
    let mut client = Client::new(plan(), false);
    for text in [GREETING, EHLO, OK, OK, OK, DATA] {
        while let Next::Send(_) = client.next() {}
        client.receive(text.as_bytes());
    }
    assert_eq!(client.next(), Next::SendMessage);
    assert_eq!(client.next(), Next::Await(Step::Message));
    client.receive(b"552 5.3.4 too large\r\n");
    assert!(matches!(client.outcome(), Some(Err(Failure::Refused(Step::Message, _)))));
    // In the middle of the message no command can be sent.
    assert_eq!(client.next(), Next::Close);
}
