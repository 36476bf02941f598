//! The client's side of a dialogue that delivers one message (RFC 5321 §3).
//!
//! ```text
//! greeting ─▶ EHLO ─┬─▶ STARTTLS ─▶ (TLS) ─▶ EHLO ─┬─▶ AUTH ─┬─▶ MAIL ─▶ RCPT… ─▶ DATA ─▶ message ─▶ QUIT
//!             │     └──────────────────────────────┴─────────┘
//!             └ refused ─▶ HELO, which offers nothing
//! ```
//!
//! [`Client::next`] says what is to be done now, [`Client::receive`] takes what came. A client has
//! no sockets and no clock: it knows commands and replies. Each reply belongs to the oldest
//! command without one. MAIL and all RCPT leave together if the server offers PIPELINING
//! (RFC 2920); DATA waits for their replies, so no message is begun that nobody gets.
//!
//! Bytes that nobody asked for are an error, and 421, by which a server may end a dialogue at any
//! time. So nothing that came in plain text is taken for a reply that came in TLS: somebody
//! between the two could have added it behind the reply to STARTTLS.

mod failure;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::address::Address;
use super::extensions::{AuthMechanisms, Extensions};
use super::reply::{Kind, Reply, ReplyReader};
pub use failure::{Failure, Lack, LoginFailure, Step};

/// What a client is to deliver, and how.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What it calls itself: a domain or an address literal.
    pub name: String,
    /// Begin with HELO.
    pub helo: bool,
    /// Whether TLS is to begin by STARTTLS.
    pub tls: StartTls,
    /// Who logs in, if anybody does.
    pub login: Option<Login>,
    /// The sender.
    pub from: Address,
    /// The recipients.
    pub to: Vec<Address>,
    /// The bytes of the message, without added dots.
    pub size: u64,
    /// The message has bytes beyond ASCII.
    pub eight_bit: bool,
    /// The header of the message has bytes beyond ASCII.
    pub utf8: bool,
}

/// Whether TLS is to begin by STARTTLS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StartTls {
    /// No: there is TLS already, or none is wanted.
    No,
    /// If the server offers it.
    Offered,
    /// In any case.
    Required,
}

/// Who logs in (RFC 4954).
#[derive(Clone, Debug)]
pub struct Login {
    /// The name of the user.
    pub user: String,
    /// The password.
    pub password: String,
    /// The mechanism; none: one that the server offers.
    pub mechanism: Option<Mechanism>,
    /// The password may be sent without TLS.
    pub in_plain_text: bool,
}

/// How a password is sent. Neither hides it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mechanism {
    /// All in one line (RFC 4616).
    Plain,
    /// Name and password in two, each when the server asks for it.
    Login,
}

/// A command without its line end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Command {
    /// What is sent.
    pub line: String,
    /// What may be shown instead, if there is a secret in it.
    shown: Option<String>,
}

impl Command {
    fn new(line: impl Into<String>) -> Self {
        Self { line: line.into(), shown: None }
    }

    fn secret(line: String, shown: &str) -> Self {
        Self { line, shown: Some(shown.to_owned()) }
    }

    /// The command without its secret.
    pub fn shown(&self) -> &str {
        self.shown.as_deref().unwrap_or(&self.line)
    }
}

/// What is to be done now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Next {
    /// Send this.
    Send(Command),
    /// Wait for the reply to this.
    Await(Step),
    /// Begin TLS; [`Client::secured`] follows.
    Secure,
    /// Send the message, with its dots; [`Client::message_sent`] follows. The server may reply
    /// before.
    SendMessage,
    /// The dialogue is over.
    Close,
}

/// What has to be done when all replies are there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Todo {
    Nothing,
    Ehlo,
    Helo,
    StartTls,
    Secure,
    Auth(Mechanism),
    Password(Step),
    Mail,
    Rcpt(usize),
    Data,
    Message,
    Quit,
    Close,
}

/// What came.
#[derive(Debug)]
pub struct Received {
    /// How many bytes are used.
    pub used: usize,
    /// The step that was replied to, and the reply, if it is complete.
    pub reply: Option<(Step, Reply)>,
}

/// A dialogue.
#[derive(Debug)]
pub struct Client {
    plan: Plan,
    reader: ReplyReader,
    /// The steps whose replies are missing, the oldest first.
    pending: VecDeque<Step>,
    todo: Todo,
    extensions: Extensions,
    /// There is TLS: from the beginning, or since STARTTLS.
    secured: bool,
    /// The replies of RCPT, in the order of the recipients.
    recipients: Vec<Reply>,
    /// The message isn't sent completely.
    amid_message: bool,
    outcome: Option<Result<Reply, Failure>>,
}

impl Client {
    /// A dialogue that begins with the greeting of the server. `implicit_tls`: it is all in TLS.
    pub fn new(plan: Plan, implicit_tls: bool) -> Self {
        Self {
            plan,
            reader: ReplyReader::default(),
            pending: VecDeque::from([Step::Greeting]),
            todo: Todo::Nothing,
            extensions: Extensions::default(),
            secured: implicit_tls,
            recipients: Vec::new(),
            amid_message: false,
            outcome: None,
        }
    }

    /// The step that it is in: the oldest one without a reply, or else the next one.
    pub fn step(&self) -> Step {
        if let Some(step) = self.pending.front() {
            return *step;
        }
        match self.todo {
            Todo::Ehlo => Step::Ehlo,
            Todo::Helo => Step::Helo,
            Todo::StartTls | Todo::Secure => Step::StartTls,
            Todo::Auth(_) => Step::Auth,
            Todo::Password(step) => step,
            Todo::Mail => Step::Mail,
            Todo::Rcpt(_) => Step::Rcpt,
            Todo::Data => Step::Data,
            Todo::Message => Step::Message,
            Todo::Nothing | Todo::Quit | Todo::Close => Step::Quit,
        }
    }

    /// What came of it: the reply to the message, or why there is none. None while it goes on.
    pub fn outcome(&self) -> Option<&Result<Reply, Failure>> {
        self.outcome.as_ref()
    }

    /// The recipients with the replies to them, as far as there are any.
    pub fn recipients(&self) -> impl Iterator<Item = (&Address, &Reply)> {
        self.plan.to.iter().zip(&self.recipients)
    }

    /// What is to be done now. What came must have been [received](Self::receive) before.
    pub fn next(&mut self) -> Next {
        // Only RCPT is pipelined, behind MAIL.
        let goes_on = self.extensions.pipelining && matches!(self.todo, Todo::Rcpt(_));
        if let Some(step) = self.pending.front().filter(|_| !goes_on) {
            return Next::Await(*step);
        }
        let (step, command, then) = match self.todo {
            Todo::Nothing | Todo::Close => return Next::Close,
            Todo::Secure => return Next::Secure,
            Todo::Message => {
                (self.todo, self.amid_message) = (Todo::Nothing, true);
                self.pending.push_back(Step::Message);
                return Next::SendMessage;
            }
            Todo::Ehlo => (Step::Ehlo, Command::new(format!("EHLO {}", self.plan.name)), Todo::Nothing),
            Todo::Helo => (Step::Helo, Command::new(format!("HELO {}", self.plan.name)), Todo::Nothing),
            Todo::StartTls => (Step::StartTls, Command::new("STARTTLS"), Todo::Nothing),
            Todo::Auth(mechanism) => (Step::Auth, self.auth(mechanism), Todo::Nothing),
            Todo::Password(step) => (step, self.password(step), Todo::Nothing),
            Todo::Mail => (Step::Mail, self.mail(), Todo::Rcpt(0)),
            Todo::Rcpt(index) => match self.plan.to.get(index) {
                Some(to) => (Step::Rcpt, Command::new(format!("RCPT TO:<{to}>")), Todo::Rcpt(index + 1)),
                None => {
                    self.todo = Todo::Nothing;
                    return self.next();
                }
            },
            Todo::Data => (Step::Data, Command::new("DATA"), Todo::Nothing),
            Todo::Quit => (Step::Quit, Command::new("QUIT"), Todo::Close),
        };
        self.pending.push_back(step);
        self.todo = then;
        Next::Send(command)
    }

    /// Takes what came: one reply at most.
    pub fn receive(&mut self, input: &[u8]) -> Received {
        let none = |used| Received { used, reply: None };
        if input.is_empty() {
            return none(0);
        }
        if matches!(self.outcome, Some(Err(_))) && self.pending.is_empty() {
            return none(input.len());
        }
        let asked = !self.pending.is_empty();
        let step = self.step();
        if self.todo == Todo::Secure {
            self.fail(Failure::Injected, Todo::Close);
            return none(input.len());
        }
        // A server may end the dialogue at any time.
        if !asked && !self.reader.is_amid() && !is_begin(input, b"421") {
            self.fail(Failure::Unasked(step), Todo::Close);
            return none(input.len());
        }
        match self.reader.read(input) {
            Ok((used, None)) => none(used),
            Ok((used, Some(reply))) => {
                self.pending.pop_front();
                match reply.code {
                    421 => self.fail(Failure::Refused(step, reply.clone()), Todo::Close),
                    _ if !asked => self.fail(Failure::Unasked(step), Todo::Close),
                    _ => self.take(step, &reply),
                }
                Received { used, reply: Some((step, reply)) }
            }
            Err(error) => {
                self.fail(Failure::Malformed(step, error), Todo::Close);
                none(input.len())
            }
        }
    }

    /// A password may be sent without TLS: the server is on this machine.
    pub fn allow_plain_text(&mut self) {
        if let Some(login) = &mut self.plan.login {
            login.in_plain_text = true;
        }
    }

    /// The handshake of TLS is over: what the server said before counts for nothing (RFC 3207
    /// §4.2).
    pub fn secured(&mut self) {
        self.secured = true;
        self.extensions = Extensions::default();
        self.todo = Todo::Ehlo;
    }

    /// The message and its end are sent.
    pub fn message_sent(&mut self) {
        self.amid_message = false;
    }

    /// The server closed the connection.
    pub fn closed(&mut self) {
        let step = self.step();
        self.fail(Failure::Closed(step), Todo::Close);
    }

    /// Ends the dialogue. An outcome that is known already stays.
    fn fail(&mut self, failure: Failure, todo: Todo) {
        // In the middle of a message there are no commands.
        self.todo = if self.amid_message { Todo::Close } else { todo };
        if self.todo == Todo::Close {
            self.pending.clear();
        }
        if self.outcome.is_none() {
            self.outcome = Some(Err(failure));
        }
    }

    fn take(&mut self, step: Step, reply: &Reply) {
        // After a failure the replies to what was pipelined still come.
        if self.outcome.is_some() {
            return;
        }
        match (step, reply.kind()) {
            (Step::Ehlo, Kind::Permanent) => self.todo = Todo::Helo,
            (Step::StartTls, Kind::Transient | Kind::Permanent) => match self.plan.tls {
                StartTls::Required => self.fail(Failure::NoTls(Some(reply.clone())), Todo::Quit),
                StartTls::No | StartTls::Offered => self.log_in(),
            },
            (Step::Auth | Step::User | Step::Password, Kind::Transient | Kind::Permanent) => {
                self.fail(Failure::Login(LoginFailure::Denied(reply.clone())), Todo::Quit);
            }
            (Step::Rcpt, Kind::Done | Kind::Transient | Kind::Permanent) => {
                self.recipients.push(reply.clone());
                self.conclude_recipients();
            }
            (_, Kind::Transient | Kind::Permanent) => {
                self.fail(Failure::Refused(step, reply.clone()), Todo::Quit);
            }
            (Step::Greeting, Kind::Done) => self.todo = if self.plan.helo { Todo::Helo } else { Todo::Ehlo },
            (Step::Ehlo, Kind::Done) => {
                self.extensions = Extensions::of(reply);
                self.choose_tls();
            }
            (Step::Helo, Kind::Done) => {
                self.extensions = Extensions::default();
                self.choose_tls();
            }
            (Step::StartTls, Kind::Done) => self.todo = Todo::Secure,
            (Step::Auth | Step::Password, Kind::Done) => self.begin(),
            (Step::Auth, Kind::More) if self.mechanism() == Some(Mechanism::Login) => {
                self.todo = Todo::Password(Step::User);
            }
            (Step::User, Kind::More) => self.todo = Todo::Password(Step::Password),
            // RCPT follows in any case.
            (Step::Mail, Kind::Done) => {}
            (Step::Data, Kind::More) => self.todo = Todo::Message,
            (Step::Message, Kind::Done) if !self.amid_message => {
                (self.outcome, self.todo) = (Some(Ok(reply.clone())), Todo::Quit);
            }
            _ => self.fail(Failure::Unexpected(step, reply.clone()), Todo::Close),
        }
    }

    fn choose_tls(&mut self) {
        match (self.plan.tls, self.extensions.start_tls) {
            _ if self.secured => self.log_in(),
            (StartTls::Offered | StartTls::Required, true) => self.todo = Todo::StartTls,
            (StartTls::Required, false) => self.fail(Failure::NoTls(None), Todo::Quit),
            _ => self.log_in(),
        }
    }

    /// The mechanism that is used.
    fn mechanism(&self) -> Option<Mechanism> {
        let AuthMechanisms { plain, login } = self.extensions.auth;
        let offered = [(Mechanism::Plain, plain), (Mechanism::Login, login)];
        let wanted = self.plan.login.as_ref()?.mechanism;
        let fits = |mechanism: &Mechanism| wanted.is_none_or(|wanted| wanted == *mechanism);
        offered.into_iter().filter(|(_, is_offered)| *is_offered).map(|(mechanism, _)| mechanism).find(fits)
    }

    fn log_in(&mut self) {
        let Some(login) = &self.plan.login else { return self.begin() };
        if !(self.secured || login.in_plain_text) {
            return self.fail(Failure::Login(LoginFailure::PlainText), Todo::Quit);
        }
        match self.mechanism() {
            Some(mechanism) => self.todo = Todo::Auth(mechanism),
            None => self.fail(Failure::Login(LoginFailure::NotOffered), Todo::Quit),
        }
    }

    /// Begins the transaction, if the server can take the message.
    fn begin(&mut self) {
        let lack = match self.extensions {
            Extensions { utf8: false, .. } if self.needs_utf8() => Some(Lack::Utf8),
            Extensions { eight_bit: false, .. } if self.plan.eight_bit => Some(Lack::EightBit),
            Extensions { size: Some(Some(limit)), .. } if limit < self.plan.size => {
                Some(Lack::Size { size: self.plan.size, limit })
            }
            _ => None,
        };
        match lack {
            Some(lack) => self.fail(Failure::Lacks(lack), Todo::Quit),
            None => self.todo = Todo::Mail,
        }
    }

    fn needs_utf8(&self) -> bool {
        self.plan.utf8 || self.plan.from.needs_utf8() || self.plan.to.iter().any(Address::needs_utf8)
    }

    /// What follows when there is a reply for each recipient.
    fn conclude_recipients(&mut self) {
        if self.recipients.len() < self.plan.to.len() {
            return;
        }
        if self.recipients.iter().any(|reply| reply.kind() == Kind::Done) {
            self.todo = Todo::Data;
        } else if let Some(reply) = self.recipients.first() {
            let refused = Failure::Refused(Step::Rcpt, reply.clone());
            self.fail(refused, Todo::Quit);
        }
    }

    fn mail(&self) -> Command {
        let mut line = format!("MAIL FROM:<{}>", self.plan.from);
        if self.extensions.size.is_some() {
            line += &format!(" SIZE={}", self.plan.size);
        }
        if self.plan.eight_bit {
            line += " BODY=8BITMIME";
        }
        if self.needs_utf8() {
            line += " SMTPUTF8";
        }
        Command::new(line)
    }

    fn auth(&self, mechanism: Mechanism) -> Command {
        match (mechanism, &self.plan.login) {
            (Mechanism::Plain, Some(Login { user, password, .. })) => {
                let secret = STANDARD.encode(format!("\0{user}\0{password}"));
                Command::secret(format!("AUTH PLAIN {secret}"), "AUTH PLAIN ***")
            }
            // Strict servers refuse a name in this line.
            _ => Command::new("AUTH LOGIN"),
        }
    }

    /// The name of the user, or the password.
    fn password(&self, step: Step) -> Command {
        match &self.plan.login {
            Some(Login { user, .. }) if step == Step::User => Command::new(STANDARD.encode(user)),
            Some(Login { password, .. }) => Command::secret(STANDARD.encode(password), "***"),
            None => Command::new("*"),
        }
    }
}

/// Whether `input` begins with `text`, as far as it goes.
fn is_begin(input: &[u8], text: &[u8]) -> bool {
    input.starts_with(text) || text.starts_with(input)
}
