//! Another simulation: a mail client and a mail server, joined by two streams of bytes.
//!
//! A seed decides what is to be sent, how, which step fails, and in which pieces the bytes arrive.
//! Then the same dialogue is cut behind each of its bytes. What the client believes must hold: a
//! message that was acknowledged is kept, exactly once, with each of its bytes and recipients; and
//! one that was refused is not. Only if the end is lost the client can't know.

use std::rc::Rc;

use super::Dice;
use crate::smtp::address::Address;
use crate::smtp::client::{self, Client, Plan, StartTls};
use crate::smtp::dots::Stuffer;
use crate::smtp::server::{self, Credentials, Fault, LoggedIn, Message, Server, Settings, Tls};

/// How many seeds a run of the tests tries.
const SEEDS: u64 = 300;

/// What is simulated.
struct Case {
    plan: Plan,
    content: Vec<u8>,
    settings: Rc<Settings>,
    /// The server offers STARTTLS.
    offers_tls: bool,
    /// Most bytes of a piece.
    piece: usize,
}

impl Case {
    fn draw(dice: &mut Dice) -> Self {
        let lines: &[&[u8]] = &[b"text", b".", b"..", b".\r\n.", b"", b"QUIT", b"x.", &[b'y'; 900]];
        let content: Vec<u8> =
            (0..dice.below(8)).flat_map(|_| [lines[dice.below(lines.len())], b"\r\n"].concat()).collect();
        let address = |text: &str| Address::parse(text).unwrap();
        let login = dice.one_in(2).then(|| client::Login {
            user: "ada".to_owned(),
            password: dice.pick(&["secret", "secret", "wrong"]).to_owned(),
            mechanism: dice.pick(&[None, Some(client::Mechanism::Plain), Some(client::Mechanism::Login)]),
            in_plain_text: true,
        });
        let faults =
            ["GREETING=554", "EHLO=502", "STARTTLS=454", "AUTH=454", "MAIL=421", "RCPT=450", "DATA=451", "BODY=552"];
        let faults: Vec<_> = dice.one_in(2).then(|| Fault::parse(dice.pick(&faults)).unwrap()).into_iter().collect();
        Self {
            plan: Plan {
                name: "client.test".to_owned(),
                helo: dice.one_in(5),
                tls: dice.pick(&[StartTls::No, StartTls::Offered, StartTls::Required]),
                login,
                from: address("ada@a.test"),
                to: (0..1 + dice.below(3)).map(|number| address(&format!("bob{number}@b.test"))).collect(),
                size: content.len() as u64,
                eight_bit: false,
                utf8: false,
            },
            content,
            settings: Rc::new(Settings {
                name: "server.test".to_owned(),
                size: dice.pick(&[100, 10_000, 10_000]),
                login: dice.pick(&[server::Login::No, server::Login::Allowed, server::Login::Required]),
                faults,
            }),
            offers_tls: dice.one_in(2),
            piece: dice.pick(&[1, 2, 7, 100, 10_000]),
        }
    }

    /// What comes of the dialogue, of which so many bytes arrive in all.
    fn run(&self, seed: u64, bytes: usize) -> Course {
        let mut dice = Dice::new(seed);
        let tls = if self.offers_tls { Tls::Offered } else { Tls::No };
        let mut world = World {
            case: self,
            client: Client::new(self.plan.clone(), false),
            server: Server::new(Rc::clone(&self.settings), tls, true),
            to_server: Stream::default(),
            to_client: Stream::default(),
            securing: false,
            closed: false,
            kept: Vec::new(),
            left: bytes,
        };
        let mut said = Vec::new();
        let next = world.server.greet(&mut said);
        world.follow(next, said);
        while world.step(&mut dice) {}
        world.client.closed();
        let accepted = matches!(world.client.outcome(), Some(Ok(_)));
        Course { accepted, kept: world.kept, used: bytes - world.left, is_cut: world.left == 0 }
    }
}

/// What has come of a dialogue.
struct Course {
    /// The client believes that the message was accepted.
    accepted: bool,
    kept: Vec<Message>,
    /// Bytes that arrived.
    used: usize,
    is_cut: bool,
}

/// Bytes on their way to one of the two, and those that it has not used.
#[derive(Default)]
struct Stream {
    under_way: Vec<u8>,
    arrived: Vec<u8>,
}

struct World<'a> {
    case: &'a Case,
    client: Client,
    server: Server,
    to_server: Stream,
    to_client: Stream,
    /// The server waits for TLS.
    securing: bool,
    /// The server has closed.
    closed: bool,
    kept: Vec<Message>,
    /// How many bytes may still arrive.
    left: usize,
}

impl World<'_> {
    /// Lets the client act, and then some bytes arrive. False if nothing more happens.
    fn step(&mut self, dice: &mut Dice) -> bool {
        let mut moves = true;
        match self.client.next() {
            client::Next::Send(command) => {
                self.to_server.under_way.extend_from_slice(command.line.as_bytes());
                self.to_server.under_way.extend_from_slice(b"\r\n");
            }
            client::Next::SendMessage => {
                let mut stuffer = Stuffer::default();
                stuffer.encode(&self.case.content, &mut self.to_server.under_way);
                stuffer.finish(&mut self.to_server.under_way);
                self.client.message_sent();
            }
            client::Next::Secure => {
                assert!(std::mem::take(&mut self.securing), "the server hasn't said so");
                assert!(self.to_server.is_empty() && self.to_client.is_empty());
                self.client.secured();
                self.server.secured();
            }
            client::Next::Close => return false,
            client::Next::Await(_) => moves = false,
        }
        if self.left == 0 {
            return false;
        }
        let arrived = self.to_server.arrive(self.case.piece, &mut self.left, dice);
        moves |= arrived > 0;
        while !self.to_server.arrived.is_empty() && !self.closed {
            let mut said = Vec::new();
            let (used, next) = self.server.receive(&self.to_server.arrived, &mut said);
            self.to_server.arrived.drain(..used);
            self.follow(next, said);
            if used == 0 {
                break;
            }
        }
        moves |= self.to_client.arrive(self.case.piece, &mut self.left, dice) > 0;
        while !self.to_client.arrived.is_empty() {
            let received = self.client.receive(&self.to_client.arrived);
            self.to_client.arrived.drain(..received.used);
            if received.reply.is_none() || self.client.step() == client::Step::StartTls {
                break;
            }
        }
        assert!(moves || self.closed, "both wait at {:?}", self.client.step());
        moves
    }

    /// What the server said, and what it wants.
    fn follow(&mut self, mut next: server::Next, mut said: Vec<u8>) {
        loop {
            next = match next {
                server::Next::Read => break,
                server::Next::Secure => {
                    self.securing = true;
                    break;
                }
                server::Next::Close => {
                    self.closed = true;
                    break;
                }
                server::Next::Login(Credentials { user, password }) => {
                    let is_right = user == "ada" && password == "secret";
                    self.server.logged_in(if is_right { LoggedIn::Yes } else { LoggedIn::No }, &mut said)
                }
                server::Next::Keep(message) => {
                    self.kept.push(message);
                    self.server.kept(Ok("1"), &mut said)
                }
            };
        }
        self.to_client.under_way.append(&mut said);
    }
}

impl Stream {
    /// Some bytes arrive. Returns how many.
    fn arrive(&mut self, most: usize, left: &mut usize, dice: &mut Dice) -> usize {
        let count = if self.under_way.is_empty() { 0 } else { 1 + dice.below(most.min(self.under_way.len())) };
        let count = count.min(*left);
        *left -= count;
        self.arrived.extend(self.under_way.drain(..count));
        count
    }

    fn is_empty(&self) -> bool {
        self.under_way.is_empty() && self.arrived.is_empty()
    }
}

/// Checks what the client believes.
fn check(case: &Case, course: &Course, what: &str) {
    assert!(course.kept.len() <= 1, "{what}: it is kept {} times", course.kept.len());
    assert!(!course.accepted || course.kept.len() == 1, "{what}: it is acknowledged and not kept");
    // Without a cut the client knows.
    assert!(course.accepted || course.is_cut || course.kept.is_empty(), "{what}: it is refused and kept");
    for message in &course.kept {
        assert!(message.content == case.content, "{what}: {}", message.content.escape_ascii());
        assert_eq!((&message.recipients, message.from.as_ref()), (&case.plan.to, Some(&case.plan.from)), "{what}");
        assert!(message.user.is_some() || case.settings.login != server::Login::Required, "{what}");
    }
}

#[test]
fn what_a_mail_client_believes_holds() {
    let mut accepted = 0;
    for seed in 0..SEEDS {
        let case = Case::draw(&mut Dice::new(seed));
        let whole = case.run(seed, usize::MAX);
        check(&case, &whole, &format!("seed {seed}"));
        accepted += u64::from(whole.accepted);
    }
    assert!((SEEDS / 10..SEEDS / 2).contains(&accepted), "{accepted} of {SEEDS} messages are accepted");
}

#[test]
fn a_dialogue_may_be_cut_behind_each_byte() {
    for seed in 0..SEEDS / 10 {
        let case = Case::draw(&mut Dice::new(seed));
        let whole = case.run(seed, usize::MAX).used;
        for bytes in 0..whole {
            check(&case, &case.run(seed, bytes), &format!("seed {seed}, cut at {bytes}"));
        }
    }
}
