//! The state machine of a delivery: the connection around the dialogue.
//!
//! ```text
//! Opening ──► Open ──the dialogue is over──► outcome
//!    ▲         │
//!    └─────────┴─ STARTTLS: the handshake, then the dialogue goes on
//! ```
//!
//! The addresses of the server are tried in turn until one accepts the connection. From then on
//! there is one dialogue: a server that refuses the message is not asked again at another address.
//!
//! What comes is handed to the dialogue before it is asked what to do, so bytes that came too early
//! are noticed. The message goes out in pieces, as the socket takes it, while replies are read: a
//! server may refuse it before its end.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;

use super::plan::{MailPlan, MailSettings, TlsMode};
use crate::client::opening::Opening;
use crate::client::steps::{Steps, seconds};
use crate::client::{ClientError, NOT_DONE};
use crate::console::OutputQueue;
use crate::reactor::{Ending, Finish, Io, Tick, TlsFailure, Want};
use crate::smtp::client::{Client, Failure, Next as Dialogue, Step};
use crate::smtp::dots::Stuffer;
use crate::smtp::reply::{Kind, Reply};
use crate::text::json;

/// Longest wait for the reply to QUIT: the outcome is known by then.
const FAREWELL: Duration = Duration::from_secs(5);

/// How much of the message gets its dots at once, in bytes.
const PIECE: usize = 16 * 1024;

/// What the connection does next.
pub(super) enum Next {
    /// Wait for this.
    Go(Want),
    /// Begin TLS, before this time.
    Secure(Tick),
}

#[derive(Debug)]
enum Stage {
    /// The connection is being opened, or TLS begins on it.
    Opening(Opening),
    /// The dialogue goes on.
    Open,
}

/// The message on its way.
#[derive(Debug)]
struct Sending {
    /// What adds the dots; none when the end is written.
    stuffer: Option<Stuffer>,
    /// How many bytes of the message have their dots.
    done: usize,
    /// How many of them the socket has taken.
    moved: u64,
}

/// One delivery.
#[derive(Debug)]
pub(super) struct Delivery {
    settings: MailSettings,
    /// The message as it is on the wire, without added dots, and its name.
    message: Vec<u8>,
    message_id: Option<String>,
    begun: Tick,
    stage: Stage,
    steps: Steps,
    /// Addresses that haven't been tried.
    untried: VecDeque<SocketAddr>,
    client: Client,
    /// TLS has begun by STARTTLS.
    starts_tls: bool,
    sending: Option<Sending>,
    /// When something was sent, or came.
    progressed: Tick,
    /// When each step without a reply was sent.
    sent: VecDeque<Tick>,
    failure: Option<ClientError>,
}

/// The result for programs.
#[derive(Serialize)]
struct Report<'a> {
    message_id: Option<&'a str>,
    accepted: Vec<&'a str>,
    refused: Vec<Refused<'a>>,
    /// The reply to the message, if it is accepted.
    reply: Option<String>,
}

/// A recipient that the server refused.
#[derive(Serialize)]
struct Refused<'a> {
    address: &'a str,
    code: u16,
    /// The enhanced status code.
    status: Option<String>,
    reply: String,
}

impl Delivery {
    /// A delivery that began at `begun` by resolving the name of the server.
    pub(super) fn new(plan: MailPlan, addresses: Vec<SocketAddr>, begun: Tick) -> Self {
        let MailPlan { settings, dialogue, message, message_id } = plan;
        Self {
            begun,
            stage: Stage::Opening(Opening::NEW),
            steps: Steps { times: settings.show.trace, facts: settings.show.dialogue },
            untried: addresses.into(),
            client: Client::new(dialogue, settings.tls == TlsMode::Implicit),
            starts_tls: false,
            sending: None,
            progressed: begun,
            sent: VecDeque::new(),
            failure: None,
            settings,
            message,
            message_id,
        }
    }

    pub(super) fn settings(&self) -> &MailSettings {
        &self.settings
    }

    /// The name of the server is resolved.
    pub(super) fn resolved(&mut self, now: Tick, output: &mut OutputQueue) {
        let addresses = self.untried.make_contiguous();
        self.steps.resolved(&self.settings.server.host, addresses, now.since(self.begun), output);
    }

    /// The address of the next connection, if one is needed.
    pub(super) fn next_address(&mut self) -> Option<SocketAddr> {
        let is_needed = self.failure.is_none() && matches!(self.stage, Stage::Opening(_));
        let address = self.untried.pop_front().filter(|_| is_needed)?;
        self.stage = Stage::Opening(Opening::NEW);
        Some(address)
    }

    /// The bytes of the message that are on their way, and all.
    pub(super) fn progress(&self) -> Option<(u64, u64)> {
        let all = self.message.len() as u64;
        let is_there = matches!(self.client.outcome(), Some(Ok(_)));
        self.sending.as_ref().map(|sending| (if is_there { all } else { sending.moved }, all))
    }

    pub(super) fn fail(&mut self, failure: ClientError) {
        // What the server said counts, whatever happens to the connection afterwards.
        if self.client.outcome().is_none() && self.failure.is_none() {
            self.failure = Some(failure);
        }
    }

    /// Does all that can be done on this connection.
    pub(super) fn advance(&mut self, io: &mut Io<'_>, now: Tick, output: &mut OutputQueue) -> Next {
        let end = self.settings.max_time.map(|most| self.begun.after(most));
        if let (Some(most), Some(end)) = (self.settings.max_time, end)
            && now >= end
        {
            self.fail(ClientError::TimedOut(NOT_DONE, most));
        }
        // Until TLS is there it isn't to be taken for an open connection.
        let changes = self.starts_tls && !io.ends.security().is_tls();
        if let Stage::Opening(opening) = &mut self.stage
            && !changes
            && opening.advance(io, now, self.steps, output)
        {
            self.opened(io, now);
        }
        let mut secures = false;
        if matches!(self.stage, Stage::Open) && self.failure.is_none() {
            match self.talk(io, now, output) {
                Dialogue::Close => return Next::Go(self.close(io)),
                Dialogue::Secure => {
                    (self.starts_tls, secures) = (true, true);
                    self.stage = Stage::Opening(Opening::Handshaking { since: now });
                }
                _ => {}
            }
        }
        if self.failure.is_some() {
            return Next::Go(Want::finish(Finish::Abort));
        }
        let deadline = self.deadline(now);
        let wake = end.map_or(deadline, |end| end.min(deadline));
        if secures {
            return Next::Secure(wake);
        }
        if now < wake {
            return Next::Go(Want { wake: Some(wake), ..Want::READ });
        }
        self.time_out(now);
        Next::Go(Want::finish(Finish::Abort))
    }

    fn opened(&mut self, io: &Io<'_>, now: Tick) {
        self.stage = Stage::Open;
        self.progressed = now;
        if self.starts_tls {
            self.client.secured();
            return;
        }
        // The greeting is a reply to the connection.
        self.sent.push_back(now);
        if io.ends.peer().is_some_and(|peer| peer.ip().to_canonical().is_loopback()) {
            self.client.allow_plain_text();
        }
    }

    /// Ends the connection. What is left of a message that was refused isn't sent.
    fn close(&self, io: &Io<'_>) -> Want {
        Want::finish(if io.output.is_empty() { Finish::Close } else { Finish::Abort })
    }

    /// When the step that it is in times out.
    fn deadline(&self, now: Tick) -> Tick {
        match &self.stage {
            Stage::Opening(opening) => opening.since(now).after(self.settings.connect_timeout),
            Stage::Open if self.client.outcome().is_some() => {
                self.progressed.after(self.settings.timeout.min(FAREWELL))
            }
            Stage::Open => self.progressed.after(self.settings.timeout),
        }
    }

    fn time_out(&mut self, now: Tick) {
        match &self.stage {
            Stage::Opening(opening) => {
                // While connecting, the next address is tried.
                if let Some(what) = opening.timeout() {
                    self.fail(ClientError::TimedOut(what, self.settings.connect_timeout));
                }
            }
            Stage::Open => {
                let step = self.client.step();
                self.fail(ClientError::NoReply(step, now.since(self.progressed).min(self.settings.timeout)));
            }
        }
    }

    /// Has the dialogue go on as far as it can. Returns what it waits for.
    fn talk(&mut self, io: &mut Io<'_>, now: Tick, output: &mut OutputQueue) -> Dialogue {
        loop {
            self.receive(io, now, output);
            if io.ended && self.client.outcome().is_none() {
                self.client.closed();
            }
            match self.client.next() {
                Dialogue::Send(command) => {
                    io.output.write(command.line.as_bytes());
                    io.output.write(b"\r\n");
                    self.sent.push_back(now);
                    self.progressed = now;
                    if self.settings.show.dialogue {
                        output.note(format_args!("C: {}", command.shown()));
                    }
                }
                Dialogue::SendMessage => {
                    self.sending = Some(Sending { stuffer: Some(Stuffer::default()), done: 0, moved: 0 });
                    self.sent.push_back(now);
                    if self.settings.show.dialogue {
                        output.note(format_args!("C: (the message, {} bytes)", self.message.len()));
                        output.note("C: .");
                    }
                }
                Dialogue::Await(_) if io.ended => return Dialogue::Close,
                Dialogue::Await(step) => {
                    self.send(io);
                    if !io.output.is_empty() {
                        self.progressed = now;
                    }
                    return Dialogue::Await(step);
                }
                over @ (Dialogue::Secure | Dialogue::Close) => return over,
            }
        }
    }

    /// Hands what came to the dialogue.
    fn receive(&mut self, io: &mut Io<'_>, now: Tick, output: &mut OutputQueue) {
        while !io.input.is_empty() {
            let received = self.client.receive(io.input.bytes());
            io.input.consume(received.used);
            if received.used > 0 {
                self.progressed = now;
            }
            match received.reply {
                Some((step, reply)) => self.show(step, &reply, now, output),
                None if received.used == 0 => return,
                None => {}
            }
        }
    }

    fn show(&mut self, step: Step, reply: &Reply, now: Tick, output: &mut OutputQueue) {
        if self.settings.show.dialogue {
            reply.shown_lines().for_each(|line| output.note(format_args!("S: {line}")));
        }
        let sent = self.sent.pop_front().unwrap_or(now);
        if self.steps.times {
            output.note(format_args!("{step}: {}  {}", seconds(now.since(sent)), reply.code));
        }
    }

    /// Sends of the message what there is room for.
    fn send(&mut self, io: &mut Io<'_>) {
        let Some(sending) = &mut self.sending else { return };
        let message = &self.message;
        while io.output.room() > 0
            && let Some(stuffer) = &mut sending.stuffer
        {
            let piece = &message[sending.done..message.len().min(sending.done + PIECE)];
            stuffer.encode(piece, io.output.buffer());
            sending.done += piece.len();
            if sending.done == message.len() {
                stuffer.finish(io.output.buffer());
                sending.stuffer = None;
                self.client.message_sent();
            }
        }
        sending.moved = (sending.done as u64).saturating_sub(io.output.pending());
    }

    /// The connection has ended.
    pub(super) fn closed(&mut self, ending: Ending, peer: Option<SocketAddr>, now: Tick) {
        if let Some(failure) = ending.error.as_ref().and_then(TlsFailure::of) {
            return self.fail(ClientError::Tls(failure.clone()));
        }
        match (&self.stage, ending.error) {
            (Stage::Opening(opening), error) => {
                if let Some(failure) = opening.closed(error, peer, !self.untried.is_empty()) {
                    self.fail(failure);
                }
            }
            (Stage::Open, Some(error)) if error.kind() == std::io::ErrorKind::TimedOut => {
                self.fail(ClientError::TimedOut("the server doesn't read the message", now.since(self.progressed)));
            }
            (Stage::Open, Some(error)) => self.fail(ClientError::Broken(self.client.step(), error)),
            (Stage::Open, None) => self.fail(ClientError::Mail(Failure::Closed(self.client.step()))),
        }
    }

    /// The result, which is printed.
    pub(super) fn finish(&mut self, output: &mut OutputQueue) -> Result<(), ClientError> {
        let (mut accepted, mut refused) = (Vec::new(), Vec::new());
        let outcome = self.client.outcome();
        let message = outcome.and_then(|outcome| outcome.as_ref().ok());
        for (address, reply) in self.client.recipients() {
            match reply.kind() {
                Kind::Done if message.is_some() => accepted.push(address.as_str()),
                Kind::Done => {}
                _ => refused.push((address.as_str(), reply)),
            }
        }
        let result = match (self.failure.take(), outcome) {
            (Some(failure), _) => Err(failure),
            (None, Some(Err(failure))) => Err(ClientError::Mail(failure.clone())),
            (None, Some(Ok(_))) if !refused.is_empty() => {
                Err(ClientError::Partial(refused.len(), accepted.len() + refused.len()))
            }
            (None, Some(Ok(_))) => Ok(()),
            (None, None) => Err(ClientError::Mail(Failure::Closed(self.client.step()))),
        };
        for (address, reply) in &refused {
            output.note(format_args!("miod: {address} is refused: {reply}"));
        }
        if self.settings.show.json {
            let refused = refused.into_iter().map(|(address, reply)| Refused {
                address,
                code: reply.code,
                status: reply.status().map(|status| status.to_string()),
                reply: reply.to_string(),
            });
            let report = Report {
                message_id: self.message_id.as_deref(),
                accepted,
                refused: refused.collect(),
                reply: message.map(ToString::to_string),
            };
            output.line(json::to_string(&report));
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Target;
    use crate::client::mail::MailShow;
    use crate::reactor::{Ends, Input, Output, Security, TlsFacts};
    use crate::smtp::address::Address;
    use crate::smtp::client::{Login, LoginFailure, Plan, StartTls};
    use crate::tap::TapSettings;
    use crate::trust::Trust;

    fn plan(tls: TlsMode) -> MailPlan {
        let address = |text: &str| Address::parse(text).unwrap();
        MailPlan {
            settings: MailSettings {
                server: Target { host: "mail.example.org".to_owned(), port: 587 },
                tls,
                trust: Trust::System,
                key_log: None,
                tap: TapSettings::default(),
                show: MailShow::default(),
                connect_timeout: Duration::from_secs(10),
                timeout: Duration::from_secs(60),
                max_time: None,
            },
            dialogue: Plan {
                name: "client.example".to_owned(),
                helo: false,
                tls: if let TlsMode::StartTls(tls) = tls { tls } else { StartTls::No },
                login: None,
                from: address("ada@a"),
                to: vec![address("bob@b")],
                size: 6,
                eight_bit: false,
                utf8: false,
            },
            message: b".text\r\n".to_vec(),
            message_id: None,
        }
    }

    fn at(seconds: u64) -> Tick {
        Tick::from_micros(seconds * 1_000_000)
    }

    /// A delivery on a connection without a socket.
    struct Bench {
        delivery: Delivery,
        output: OutputQueue,
        input: Input,
        sent: Output,
        established: bool,
        ended: bool,
        tls: Option<TlsFacts>,
        peer: SocketAddr,
    }

    impl Bench {
        fn new(plan: MailPlan) -> Self {
            let peers = ["192.0.2.1:587", "[2001:db8::1]:587"].map(|text| text.parse().unwrap());
            Self {
                delivery: Delivery::new(plan, peers.to_vec(), at(0)),
                output: OutputQueue::default(),
                input: Input::default(),
                sent: Output::default(),
                established: false,
                ended: false,
                tls: None,
                peer: peers[0],
            }
        }

        /// One with an open connection.
        fn open(plan: MailPlan) -> Self {
            let mut bench = Self::new(plan);
            bench.delivery.next_address().unwrap();
            bench.established = true;
            bench
        }

        fn advance(&mut self, now: u64) -> Next {
            let local = self.peer;
            let security = self.tls.as_ref().map_or(Security::Plain, |facts| Security::Tls(Some(facts)));
            let mut io = Io {
                input: &mut self.input,
                output: &mut self.sent,
                ended: self.ended,
                truncated: false,
                unread: false,
                gone: false,
                established: self.established,
                ends: Ends::secured_for_test(self.peer, &local, security),
            };
            self.delivery.advance(&mut io, at(now), &mut self.output)
        }

        /// The server says this. Returns what is sent then.
        fn hear(&mut self, text: &str, now: u64) -> String {
            self.input.extend(text.as_bytes());
            self.advance(now);
            String::from_utf8(self.sent.take(usize::MAX)).unwrap()
        }

        fn closed(&mut self, error: Option<std::io::ErrorKind>, now: u64) {
            self.delivery.closed(Ending { unsent: 0, error: error.map(Into::into) }, Some(self.peer), at(now));
        }

        fn result(&mut self) -> Result<(), ClientError> {
            self.delivery.finish(&mut self.output)
        }
    }

    fn want(next: Next) -> Want {
        match next {
            Next::Go(want) => want,
            Next::Secure(_) => panic!("it wants TLS"),
        }
    }

    const OFFERED: TlsMode = TlsMode::StartTls(StartTls::Offered);

    #[test]
    fn a_message_is_delivered() {
        let mut bench = Bench::open(plan(OFFERED));
        assert_eq!(bench.hear("220 hello\r\n", 0), "EHLO client.example\r\n");
        assert_eq!(bench.hear("250 host\r\n", 1), "MAIL FROM:<ada@a>\r\n");
        assert_eq!(bench.hear("250 ok\r\n", 2), "RCPT TO:<bob@b>\r\n");
        assert_eq!(bench.hear("250 ok\r\n", 3), "DATA\r\n");
        assert_eq!(bench.hear("354 go\r\n", 4), "..text\r\n.\r\n");
        assert_eq!(bench.hear("250 ok\r\n", 5), "QUIT\r\n");
        bench.input.extend(b"221 bye\r\n");
        assert_eq!(want(bench.advance(6)).finish, Finish::Close);
        bench.closed(None, 6);
        assert_eq!(bench.delivery.next_address(), None);
        assert!(bench.result().is_ok());
    }

    #[test]
    fn addresses_are_tried_in_turn_until_one_accepts() {
        let mut bench = Bench::new(plan(OFFERED));
        for is_last in [false, true] {
            assert!(bench.delivery.next_address().is_some());
            assert_eq!(want(bench.advance(0)), Want::READ.by(at(10)));
            assert_eq!(want(bench.advance(10)).finish, Finish::Abort);
            bench.closed(None, 10);
            assert_eq!(bench.delivery.failure.is_some(), is_last);
        }
        assert_eq!(bench.delivery.next_address(), None);
        assert!(
            matches!(bench.result(), Err(ClientError::Connect(_, error)) if error.kind() == std::io::ErrorKind::TimedOut)
        );
        // One that accepted the connection is the only one that is asked.
        let mut bench = Bench::open(plan(OFFERED));
        bench.hear("554 no\r\n", 0);
        bench.closed(None, 0);
        assert_eq!(bench.delivery.next_address(), None);
        assert!(matches!(bench.result(), Err(ClientError::Mail(Failure::Refused(Step::Greeting, _)))));
    }

    #[test]
    fn a_reply_that_does_not_come_times_out() {
        let mut bench = Bench::open(plan(OFFERED));
        assert_eq!(want(bench.advance(0)), Want::READ.by(at(60)));
        bench.hear("220 hello\r\n", 30);
        assert_eq!(want(bench.advance(89)), Want::READ.by(at(90)));
        assert_eq!(want(bench.advance(90)).finish, Finish::Abort);
        bench.closed(None, 90);
        let Err(error) = bench.result() else { panic!("it isn't delivered") };
        assert_eq!(error.to_string(), "timed out: no reply to EHLO within 60s");

        let mut plan = plan(OFFERED);
        plan.settings.max_time = Some(Duration::from_secs(5));
        let mut bench = Bench::open(plan);
        assert_eq!(want(bench.advance(0)), Want::READ.by(at(5)));
        assert_eq!(want(bench.advance(5)).finish, Finish::Abort);
        assert!(matches!(bench.result(), Err(ClientError::TimedOut(NOT_DONE, _))));
    }

    #[test]
    fn nobody_waits_long_for_the_reply_to_quit() {
        let mut bench = Bench::open(plan(OFFERED));
        for text in ["220 hello\r\n", "250 host\r\n", "250 ok\r\n", "250 ok\r\n", "354 go\r\n", "250 ok\r\n"] {
            bench.hear(text, 1);
        }
        assert_eq!(want(bench.advance(2)), Want::READ.by(at(6)));
        assert_eq!(want(bench.advance(6)).finish, Finish::Abort);
        bench.closed(Some(std::io::ErrorKind::ConnectionReset), 6);
        assert!(bench.result().is_ok());
    }

    #[test]
    fn the_dialogue_waits_until_tls_is_there() {
        let mut bench = Bench::open(plan(OFFERED));
        bench.hear("220 hello\r\n", 0);
        bench.hear("250-host\r\n250 STARTTLS\r\n", 0);
        bench.input.extend(b"220 go\r\n");
        assert!(matches!(bench.advance(1), Next::Secure(by) if by == at(11)));
        // In the same turn the connection may still look open.
        want(bench.advance(1));
        bench.established = false;
        want(bench.advance(2));
        assert!(bench.sent.is_empty());
        (bench.established, bench.tls) = (true, Some(TlsFacts::default()));
        assert_eq!(bench.hear("", 3), "EHLO client.example\r\n");
        // Without an answer the handshake times out.
        let mut bench = Bench::open(plan(OFFERED));
        bench.hear("220 hello\r\n", 0);
        bench.hear("250-host\r\n250 STARTTLS\r\n", 0);
        bench.hear("220 go\r\n", 1);
        assert_eq!(want(bench.advance(11)).finish, Finish::Abort);
        assert!(matches!(bench.result(), Err(ClientError::TimedOut("the TLS handshake", _))));
    }

    #[test]
    fn a_password_is_sent_in_plain_text_on_this_machine_only() {
        for (peer, code) in [("192.0.2.1:587", None), ("127.0.0.1:587", Some("AUTH")), ("[::1]:587", Some("AUTH"))] {
            let mut plan = plan(TlsMode::StartTls(StartTls::No));
            let (user, password) = ("ada".to_owned(), "apple".to_owned());
            plan.dialogue.login = Some(Login { user, password, mechanism: None, in_plain_text: false });
            let mut bench = Bench { peer: peer.parse().unwrap(), ..Bench::open(plan) };
            bench.hear("220 hello\r\n", 0);
            let sent = bench.hear("250-host\r\n250 AUTH PLAIN\r\n", 0);
            assert_eq!(sent.split(' ').next().filter(|word| *word == "AUTH"), code, "{peer}: {sent}");
            if code.is_none() {
                assert_eq!(sent, "QUIT\r\n");
                let failure = Failure::Login(LoginFailure::PlainText);
                assert!(matches!(bench.result(), Err(ClientError::Mail(found)) if found == failure));
            }
        }
    }

    #[test]
    fn a_connection_that_ends_names_the_step() {
        let replies = ["220 hello\r\n", "250 host\r\n", "250 ok\r\n", "250 ok\r\n", "354 go\r\n"];
        let steps = ["the connection", "EHLO", "MAIL FROM", "RCPT TO", "DATA", "the message"];
        for (heard, step) in steps.into_iter().enumerate() {
            let there = || {
                let mut bench = Bench::open(plan(OFFERED));
                want(bench.advance(0));
                for reply in &replies[..heard] {
                    bench.hear(reply, 0);
                }
                bench
            };
            let message = |mut bench: Bench| bench.result().unwrap_err().to_string();
            let mut bench = there();
            bench.ended = true;
            assert_eq!(want(bench.advance(1)).finish, Finish::Close);
            assert_eq!(message(bench), format!("the server closed the connection before it replied to {step}"));
            let mut bench = there();
            bench.closed(Some(std::io::ErrorKind::ConnectionReset), 1);
            let expected = format!("the connection broke before the server replied to {step}: connection reset");
            assert_eq!(message(bench), expected);
        }
    }
}
