//! The server's side of a dialogue (RFC 5321 §3), in which any number of messages is received.
//!
//! ```text
//!             ┌───────────────── Server ─────────────────┐
//! input ────▶ │ line ─▶ Command ─▶ state ─▶ Reply        │ ───▶ output
//!             │ content ─▶ Content (dots, sizes)         │
//!             └──────────┬───────────────────────────────┘
//!                        ▼
//!   Next: Login, Message, Secure, Close: what only its caller can do
//! ```
//!
//! [`Server::receive`] takes one line, or what there is of a content. An incomplete line stays with
//! the caller, so a client that says nothing costs no buffer. When the caller has something to do,
//! nothing is received until it says what came of it: so replies keep the order of the
//! commands, which may come all at once (PIPELINING, RFC 2920).
//!
//! **STARTTLS** is the exception: what came behind it came in plain text, perhaps from somebody
//! between the two, and must not count as said in TLS. So it ends the dialogue. After the handshake
//! nothing is known of the client, as at the beginning (RFC 3207 §4.2).
//!
//! **Line ends** are CR LF. A command with another one is refused. In a content only CR LF . CR LF
//! is the end; one with a CR or LF alone is refused at its end, and the dialogue ends: a program that
//! passed it on may have seen its end elsewhere, so what follows may be a message that somebody has
//! hidden in this one (SMTP smuggling).

mod boundary;
mod command;
mod content;
mod credentials;
mod faults;
#[cfg(test)]
mod tests;

use std::rc::Rc;

use super::address::Address;
use super::reply::{Kind, Reply};
use crate::limits;
pub use boundary::{End, LoggedIn, Login, Message, Next, Settings, Tls};
use command::{Command, Parameters};
use content::Content;
pub use credentials::Credentials;
use credentials::{Answer, Missing};
pub use faults::Fault;
use faults::Step;

/// What is said to a line that is too long.
const LONG_LINE: &str = "5.5.2 The line is too long";
const LONG_AUTH_LINE: &str = "5.5.6 The line is too long";

/// A dialogue.
pub struct Server {
    settings: Rc<Settings>,
    tls: Tls,
    /// The client is on this machine.
    local: bool,
    hello: Option<Hello>,
    user: Option<String>,
    transaction: Option<Transaction>,
    state: State,
    /// The rest of a line that is too long is skipped; then this is said.
    skipping: Option<&'static str>,
    /// Errors since the last message that was kept.
    errors: u8,
}

/// What a client has called itself.
struct Hello {
    name: String,
    /// By EHLO, so it knows extensions.
    extended: bool,
}

/// A message before its content.
struct Transaction {
    from: Option<Address>,
    recipients: Vec<Address>,
    /// Addresses may have characters beyond ASCII.
    utf8: bool,
}

/// What is received next.
enum State {
    Command,
    /// An answer that belongs to AUTH.
    Auth(Missing),
    Content(Transaction, Content),
    /// Nothing: a password is being checked, of this user.
    CheckingPassword(String),
    /// Nothing: the message is being kept.
    Keeping,
    /// Nothing but TLS.
    Securing,
    /// Nothing any more.
    Over,
}

impl Server {
    /// A dialogue that begins with [`greet`](Self::greet). `local`: the client is on this machine.
    pub fn new(settings: Rc<Settings>, tls: Tls, local: bool) -> Self {
        Self {
            settings,
            tls,
            local,
            hello: None,
            user: None,
            transaction: None,
            state: State::Command,
            skipping: None,
            errors: 0,
        }
    }

    /// Says the first line.
    pub fn greet(&mut self, out: &mut Vec<u8>) -> Next {
        match self.fault(Step::Greeting) {
            Some(reply) => self.say(&reply, out),
            None => self.say(&Reply::new(220, format!("{} ESMTP miod mailbox", self.settings.name)), out),
        }
    }

    /// Takes a line, or what there is of a content. Returns how many bytes are used: 0 if there is
    /// no whole line, or something else to be done first.
    pub fn receive(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Next) {
        match &mut self.state {
            State::Command | State::Auth(_) => self.receive_line(input, out),
            State::Content(_, content) => {
                let (used, result) = content.receive(input);
                (used, result.map_or(Next::Read, |result| self.take_content(result, out)))
            }
            State::Securing if !input.is_empty() => (input.len(), self.refuse_injection(out)),
            State::Over => (input.len(), Next::Close),
            State::CheckingPassword(_) | State::Keeping | State::Securing => (0, Next::Read),
        }
    }

    /// The password is checked.
    pub fn logged_in(&mut self, result: LoggedIn, out: &mut Vec<u8>) -> Next {
        let State::CheckingPassword(user) = std::mem::replace(&mut self.state, State::Command) else {
            return Next::Read;
        };
        let reply = match (result, self.fault(Step::Auth)) {
            (_, Some(reply)) => return self.say(&reply, out),
            (LoggedIn::Yes, None) => {
                self.user = Some(user);
                Reply::new(235, "2.7.0 Welcome")
            }
            (LoggedIn::No, None) => return self.refuse(&Reply::new(535, "5.7.8 Name or password is wrong"), out),
            (LoggedIn::Later, None) => Reply::new(454, "4.7.0 The password can't be checked now"),
        };
        self.say(&reply, out)
    }

    /// The message is kept under this name, or can't be.
    pub fn kept(&mut self, name: Result<&str, ()>, out: &mut Vec<u8>) -> Next {
        self.state = State::Command;
        match name {
            Ok(name) => {
                self.errors = 0;
                self.say(&Reply::new(250, format!("2.0.0 Kept as {name}")), out)
            }
            Err(()) => self.say(&Reply::new(452, "4.3.1 The message can't be stored"), out),
        }
    }

    /// TLS has begun: nothing is known of the client.
    pub fn secured(&mut self) {
        *self = Self::new(Rc::clone(&self.settings), Tls::Active, self.local);
    }

    /// Ends the dialogue.
    pub fn end(&mut self, why: End, out: &mut Vec<u8>) -> Next {
        let text = match why {
            End::Silence => "4.4.2 You said nothing for too long",
            End::Shutdown => "4.3.2 The server shuts down",
            End::Overload => "4.3.2 There are too many connections",
            End::Errors => "4.7.0 There were too many errors",
            End::LineEnds => "4.7.0 What follows wrong line ends may be part of the message",
        };
        self.say(&Reply::new(421, text), out)
    }

    /// Whether it is receiving a content.
    pub fn is_receiving(&self) -> bool {
        matches!(self.state, State::Content(..))
    }

    /// Bytes of memory that it holds beyond its own size.
    pub fn memory(&self) -> usize {
        let (transaction, held) = match &self.state {
            State::Content(transaction, content) => (Some(transaction), content.memory()),
            State::Auth(Missing::Password(user)) | State::CheckingPassword(user) => (None, user.len()),
            _ => (self.transaction.as_ref(), 0),
        };
        let recipients = transaction.iter().flat_map(|transaction| &transaction.recipients);
        let recipients = recipients.map(|to| size_of::<Address>() + to.as_str().len()).sum::<usize>();
        let names = self.hello.iter().map(|hello| &hello.name).chain(&self.user).map(String::len).sum::<usize>();
        held + recipients + names
    }

    fn receive_line(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Next) {
        let (limit, text) = match self.state {
            State::Auth(_) => (limits::AUTH_LINE, LONG_AUTH_LINE),
            _ if command::is_auth(input) => (limits::AUTH_LINE, LONG_AUTH_LINE),
            _ => (command::line_limit(input), LONG_LINE),
        };
        let end = memchr::memchr(b'\n', input).map(|at| at + 1);
        if self.skipping.is_none() && end.unwrap_or(input.len() + 1) > limit {
            self.skipping = Some(text);
        }
        let Some(used) = end else {
            return (if self.skipping.is_some() { input.len() } else { 0 }, Next::Read);
        };
        let state = std::mem::replace(&mut self.state, State::Command);
        let (line, rest) = input.split_at(used);
        let next = match (self.skipping.take(), command::text(line), state) {
            (Some(text), ..) => self.refuse(&Reply::new(500, text), out),
            (None, Err(reply), _) => self.refuse(&reply, out),
            (None, Ok(line), State::Auth(missing)) => self.answer(missing, line, out),
            (None, Ok(line), _) => match command::parse(line) {
                Ok(Command::StartTls) if self.tls == Tls::Offered && !rest.is_empty() => {
                    return (input.len(), self.refuse_injection(out));
                }
                Ok(command) => self.obey(command, out),
                Err(reply) => self.refuse(&reply, out),
            },
        };
        (used, next)
    }

    fn obey(&mut self, command: Command<'_>, out: &mut Vec<u8>) -> Next {
        // After a refusal as greeting nothing else is done (RFC 5321 §3.1).
        if self.fault(Step::Greeting).is_some() && command != Command::Quit {
            return self.refuse(&Reply::new(503, "5.5.1 This server takes no mail now"), out);
        }
        let (code, text) = match command {
            Command::Hello { name, extended } => return self.hello(name, extended, out),
            Command::StartTls => return self.start_tls(out),
            Command::Auth { mechanism, initial } => return self.auth(mechanism, initial, out),
            Command::Mail(from, parameters) => return self.mail(from, parameters, out),
            Command::Rcpt(to) => return self.recipient(to, out),
            Command::Data => return self.data(out),
            Command::Reset => {
                self.transaction = None;
                (250, "2.0.0 Forgotten")
            }
            Command::Noop => (250, "2.0.0 Fine"),
            Command::Verify => (252, "2.5.0 Every recipient is accepted"),
            Command::Expand => (502, "5.5.1 There are no lists"),
            Command::Help => (214, "2.0.0 EHLO HELO STARTTLS AUTH MAIL RCPT DATA RSET NOOP VRFY HELP QUIT"),
            Command::Quit => {
                self.state = State::Over;
                (221, "2.0.0 Goodbye")
            }
            Command::Http => {
                self.state = State::Over;
                (554, "5.5.1 This is SMTP, not HTTP")
            }
        };
        self.refuse_or_say(&Reply::new(code, text), out)
    }

    fn hello(&mut self, name: &str, extended: bool, out: &mut Vec<u8>) -> Next {
        if let Some(reply) = self.fault(Step::Ehlo).filter(|_| extended) {
            return self.say(&reply, out);
        }
        self.transaction = None;
        self.hello = Some(Hello { name: name.to_owned(), extended });
        let mut lines = vec![format!("{} Hello", self.settings.name)];
        if extended {
            let words = ["8BITMIME", "PIPELINING", "SMTPUTF8", "ENHANCEDSTATUSCODES", "HELP"];
            lines.push(format!("SIZE {}", self.settings.size));
            lines.extend(words.map(str::to_owned));
            lines.extend((self.tls == Tls::Offered).then(|| "STARTTLS".to_owned()));
            lines
                .extend((self.settings.login != Login::No && self.is_private()).then(|| "AUTH PLAIN LOGIN".to_owned()));
        }
        self.say(&Reply { code: 250, lines: lines.into_iter().map(String::into_bytes).collect() }, out)
    }

    /// Whether nobody between the two can read a password.
    fn is_private(&self) -> bool {
        self.tls == Tls::Active || self.local
    }

    /// Whether the client has said EHLO.
    fn is_extended(&self) -> bool {
        self.hello.as_ref().is_some_and(|hello| hello.extended)
    }

    fn start_tls(&mut self, out: &mut Vec<u8>) -> Next {
        let wrong = match () {
            () if self.tls == Tls::Active => Some((503, "5.5.1 There is TLS already")),
            () if self.tls == Tls::No => Some((502, "5.5.1 This server has no certificate")),
            () if !self.is_extended() => Some((503, "5.5.1 Say EHLO first")),
            () => None,
        };
        if let Some((code, text)) = wrong {
            return self.refuse(&Reply::new(code, text), out);
        }
        if let Some(reply) = self.fault(Step::StartTls) {
            return self.say(&reply, out);
        }
        self.state = State::Securing;
        Reply::new(220, "2.0.0 Begin TLS").write(out);
        Next::Secure
    }

    /// Somebody may have added to what the client said (CVE-2011-0411).
    fn refuse_injection(&mut self, out: &mut Vec<u8>) -> Next {
        self.state = State::Over;
        self.say(&Reply::new(554, "5.5.1 Nothing may follow STARTTLS before its reply"), out)
    }

    fn auth(&mut self, mechanism: &str, initial: Option<&str>, out: &mut Vec<u8>) -> Next {
        let wrong = match (self.settings.login, Missing::of(mechanism)) {
            (Login::No, _) => Err((502, "5.5.1 Nobody needs to log in here")),
            _ if !self.is_extended() => Err((503, "5.5.1 Say EHLO first")),
            _ if self.user.is_some() => Err((503, "5.5.1 You are logged in already")),
            _ if self.transaction.is_some() => Err((503, "5.5.1 Not within a message")),
            _ if !self.is_private() => Err((538, "5.7.11 Begin TLS before you send a password")),
            (_, None) => Err((504, "5.5.4 There are PLAIN and LOGIN")),
            (_, Some(missing)) => Ok(missing),
        };
        match (wrong, initial) {
            (Err((code, text)), _) => self.refuse(&Reply::new(code, text), out),
            (Ok(missing), None) => self.ask(missing, out),
            // An empty answer is written as `=` here (RFC 4954 §4).
            (Ok(missing), Some(initial)) => self.answer(missing, if initial == "=" { "" } else { initial }, out),
        }
    }

    fn ask(&mut self, missing: Missing, out: &mut Vec<u8>) -> Next {
        let challenge = missing.challenge();
        self.state = State::Auth(missing);
        self.say(&challenge, out)
    }

    fn answer(&mut self, missing: Missing, line: &str, out: &mut Vec<u8>) -> Next {
        match missing.answer(line) {
            Ok(Answer::Incomplete(missing)) => self.ask(missing, out),
            Ok(Answer::Complete(credentials)) => {
                self.state = State::CheckingPassword(credentials.user.clone());
                Next::Login(credentials)
            }
            Err(reply) => self.refuse(&reply, out),
        }
    }

    fn mail(&mut self, from: Option<Address>, parameters: Parameters, out: &mut Vec<u8>) -> Next {
        let needs_utf8 = from.as_ref().is_some_and(Address::needs_utf8);
        let wrong = match () {
            () if self.hello.is_none() => Some(Reply::new(503, "5.5.1 Say EHLO or HELO first")),
            () if self.settings.login == Login::Required && self.user.is_none() => {
                Some(Reply::new(530, "5.7.0 Log in first"))
            }
            () if self.transaction.is_some() => Some(Reply::new(503, "5.5.1 MAIL was there already")),
            () if parameters.any && !self.is_extended() => {
                Some(Reply::new(555, "5.5.4 Parameters need EHLO, not HELO"))
            }
            () if parameters.size.is_some_and(|size| size > self.settings.size) => Some(content::too_large()),
            () if needs_utf8 && !parameters.utf8 => Some(needs_smtputf8()),
            () => None,
        };
        if let Some(reply) = wrong {
            return self.refuse(&reply, out);
        }
        if let Some(reply) = self.fault(Step::Mail) {
            return self.say(&reply, out);
        }
        self.transaction = Some(Transaction { from, recipients: Vec::new(), utf8: parameters.utf8 });
        self.say(&Reply::new(250, "2.1.0 Sender accepted"), out)
    }

    fn recipient(&mut self, to: Address, out: &mut Vec<u8>) -> Next {
        let fault = self.fault(Step::Rcpt);
        let Some(transaction) = &mut self.transaction else {
            return self.refuse(&Reply::new(503, "5.5.1 Say MAIL first"), out);
        };
        if to.needs_utf8() && !transaction.utf8 {
            return self.refuse(&needs_smtputf8(), out);
        }
        if let Some(reply) = fault {
            return self.say(&reply, out);
        }
        if transaction.recipients.len() >= limits::MAILBOX_RECIPIENTS {
            return self.say(&Reply::new(452, "4.5.3 There are too many recipients"), out);
        }
        transaction.recipients.push(to);
        self.say(&Reply::new(250, "2.1.5 Recipient accepted"), out)
    }

    fn data(&mut self, out: &mut Vec<u8>) -> Next {
        let fault = self.fault(Step::Data);
        match (self.transaction.take(), fault) {
            (None, _) => return self.refuse(&Reply::new(503, "5.5.1 Say MAIL and RCPT first"), out),
            (Some(transaction), _) if transaction.recipients.is_empty() => {
                self.transaction = Some(transaction);
                return self.refuse(&Reply::new(554, "5.5.1 There is no recipient"), out);
            }
            (Some(transaction), Some(reply)) => {
                self.transaction = Some(transaction);
                return self.say(&reply, out);
            }
            (Some(transaction), None) => {
                self.state = State::Content(transaction, Content::new(self.settings.size));
            }
        }
        self.say(&Reply::new(354, "End the message with a dot alone in a line"), out)
    }

    /// The end of the content is there, and with it that of the message.
    fn take_content(&mut self, result: Result<Vec<u8>, content::Fault>, out: &mut Vec<u8>) -> Next {
        let State::Content(transaction, _) = std::mem::replace(&mut self.state, State::Command) else {
            return Next::Read;
        };
        match (result, self.fault(Step::Body)) {
            (Err(fault), _) => {
                let next = self.refuse(&fault.reply(), out);
                if fault == content::Fault::Malformed && next != Next::Close {
                    self.end(End::LineEnds, out)
                } else {
                    next
                }
            }
            (Ok(_), Some(reply)) => self.say(&reply, out),
            (Ok(content), None) => {
                self.state = State::Keeping;
                let hello = self.hello.as_ref().map(|hello| hello.name.clone()).unwrap_or_default();
                let Transaction { from, recipients, .. } = transaction;
                Next::Keep(Message { hello, user: self.user.clone(), from, recipients, content })
            }
        }
    }

    /// The reply to a step that is made to fail.
    fn fault(&self, step: Step) -> Option<Reply> {
        self.settings.faults.iter().find(|fault| fault.step == step).map(|fault| fault.reply())
    }

    fn refuse_or_say(&mut self, reply: &Reply, out: &mut Vec<u8>) -> Next {
        if reply.kind() == Kind::Permanent { self.refuse(reply, out) } else { self.say(reply, out) }
    }

    /// Says what the client does wrong. A client that goes on like that isn't one.
    fn refuse(&mut self, reply: &Reply, out: &mut Vec<u8>) -> Next {
        self.errors = self.errors.saturating_add(1);
        let next = self.say(reply, out);
        if self.errors < limits::MAIL_ERRORS || next == Next::Close { next } else { self.end(End::Errors, out) }
    }

    fn say(&mut self, reply: &Reply, out: &mut Vec<u8>) -> Next {
        reply.write(out);
        if reply.code == 421 {
            self.state = State::Over;
        }
        if matches!(self.state, State::Over) { Next::Close } else { Next::Read }
    }
}

fn needs_smtputf8() -> Reply {
    Reply::new(553, "5.6.7 An address beyond ASCII needs SMTPUTF8")
}
