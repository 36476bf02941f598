//! The mail server of a mailbox: a connection of it, and what all of them share.
//!
//! ```text
//! input ═▶ Server (pure) ═▶ output
//!            │ Login ──▶ Users ──▶ a helper thread checks the password ──┐
//!            │ Keep ───▶ Mailbox ─▶ a helper thread writes the message ──┼─▶ its reply
//!            │ Secure ─▶ TLS begins                                      │
//!            └ Close            what watchers of the application see ◀───┘
//! ```
//!
//! The server speaks first. The dialogue is that of `smtp/server/`; this file
//! does what only a connection can do. A message is kept before 250 is said: if this process or
//! the machine ends in between, the client sends it again, and there are two; the other way there
//! would be none.
//!
//! **Deadlines.** A reply must be asked for within [`limits::MAIL_SILENCE`] of the last one, so a
//! command can't come byte by byte for ever. In a content each byte counts: people type it, too. A
//! job has [`limits::JOB_TIMEOUT`]; what comes later has no reply, but a message is kept all the
//! same.

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Cx, Outcome, http};
use crate::app::boundary::Application;
use crate::auth::{Users, Verdict};
use crate::http::basic;
use crate::limits;
use crate::mailbox::{Envelope, MessageId, Receiving, SharedMailbox};
use crate::reactor::{Accepted, Finish, Io, JobClass, JobId, JobResult, Tick, TlsSide, Want};
use crate::smtp::server::{Credentials, End, LoggedIn, Login, Message, Next, Server, Settings, Tls};

/// What the connections of a mailbox share.
pub struct Shared {
    settings: Rc<Settings>,
    /// Whose passwords are right.
    logins: RefCell<Logins>,
    mailbox: Rc<SharedMailbox>,
    /// The application that shows the messages.
    app: Rc<Application>,
    /// Bytes of messages that are to be written, by jobs that may outlive their connections.
    writing: Arc<AtomicUsize>,
}

/// Whose passwords are right.
pub enum Logins {
    /// Nobody can log in.
    Nobody,
    /// Everybody can, with any password.
    Anybody,
    /// These users can, and must.
    Users(Box<Users>),
}

impl Logins {
    /// Whether clients can log in.
    pub fn kind(&self) -> Login {
        match self {
            Self::Nobody => Login::No,
            Self::Anybody => Login::Allowed,
            Self::Users(_) => Login::Required,
        }
    }
}

impl Shared {
    /// What a server with these settings needs. `app` shows the messages of `mailbox`.
    pub fn new(settings: Settings, logins: Logins, mailbox: Rc<SharedMailbox>, app: Rc<Application>) -> Self {
        Self { settings: Rc::new(settings), logins: RefCell::new(logins), mailbox, app, writing: Arc::default() }
    }
}

/// Bytes of a message that is to be written; it counts as long as this is there.
struct Writing {
    all: Arc<AtomicUsize>,
    bytes: usize,
}

impl Writing {
    /// None if there are too many already.
    fn begin(all: &Arc<AtomicUsize>, bytes: usize) -> Option<Self> {
        // Only this thread adds to it.
        let before = all.load(Ordering::Relaxed);
        let fits = before == 0 || before.saturating_add(bytes) <= limits::MAILBOX_WRITING;
        fits.then(|| {
            all.fetch_add(bytes, Ordering::Relaxed);
            Self { all: Arc::clone(all), bytes }
        })
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// One connection.
pub struct Connection {
    shared: Rc<Shared>,
    server: Server,
    phase: Phase,
    /// When it ends, or its job counts as failed.
    until: Tick,
    /// It counts as one of this address.
    counted: Option<IpAddr>,
}

enum Phase {
    /// Nothing is said. `overloaded`: there are too many connections.
    Opening { overloaded: bool },
    /// The dialogue.
    Talking,
    /// TLS begins.
    Securing,
    /// A job of this connection runs.
    Waiting { job: JobId, purpose: Purpose, result: Option<JobResult<Outcome>> },
    /// All is said.
    Over,
}

/// What a job is for.
#[derive(Clone, Copy)]
enum Purpose {
    Login,
    /// So many bytes are written.
    Keep(usize),
}

impl Connection {
    /// A connection that was accepted.
    pub fn open(accepted: &Accepted<'_, super::Kind>, shared: &Rc<Shared>, cx: &mut Cx<'_>) -> Self {
        let ends = accepted.ends;
        let peer = ends.peer().map(|peer| peer.ip());
        let tls = match &cx.shared.certificates {
            _ if ends.security().is_tls() => Tls::Active,
            Some(_) => Tls::Offered,
            None => Tls::No,
        };
        let is_local = peer.is_none_or(|peer| peer.to_canonical().is_loopback());
        let allowed = peer.and_then(|peer| cx.shared.http.count(peer));
        let overloaded = accepted.overloaded || allowed == Some(false);
        Self {
            shared: Rc::clone(shared),
            server: Server::new(Rc::clone(&shared.settings), tls, is_local),
            phase: Phase::Opening { overloaded },
            until: cx.time.now.after(limits::MAIL_SILENCE),
            counted: peer.filter(|_| allowed.is_some()),
        }
    }

    /// The connection is over.
    pub fn closed(&self, cx: &mut Cx<'_>) {
        self.counted.into_iter().for_each(|peer| cx.shared.http.uncount(peer));
    }

    /// Bytes of memory that it holds.
    pub fn memory(&self) -> usize {
        let writing = if let Phase::Waiting { purpose: Purpose::Keep(bytes), .. } = self.phase { bytes } else { 0 };
        size_of::<Self>() + self.server.memory() + writing
    }

    /// Stores the result of a job.
    pub fn job_ended(&mut self, ended: JobId, came: JobResult<Outcome>) {
        if let Phase::Waiting { job, result, .. } = &mut self.phase
            && *job == ended
        {
            *result = Some(came);
        }
    }

    /// Does all that can be done now.
    pub fn advance(&mut self, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Want {
        loop {
            if io.gone {
                return Want::finish(Finish::Abort);
            }
            let is_late = cx.time.now >= self.until;
            let next = match &mut self.phase {
                Phase::Over => return Want::over(io.ended),
                Phase::Opening { overloaded } => {
                    let overloaded = *overloaded;
                    self.phase = Phase::Talking;
                    match overloaded {
                        true => self.server.end(End::Overload, io.output.buffer()),
                        false => self.server.greet(io.output.buffer()),
                    }
                }
                Phase::Securing if io.ends.security().facts().is_some() => {
                    self.server.secured();
                    self.phase = Phase::Talking;
                    Next::Read
                }
                Phase::Securing if is_late => return Want::finish(Finish::Abort),
                Phase::Securing => return Want::NOTHING.by(self.until),
                Phase::Waiting { result: None, .. } if !is_late => return Want::NOTHING.by(self.until),
                Phase::Waiting { purpose, result, .. } => {
                    let (purpose, result) = (*purpose, result.take());
                    self.phase = Phase::Talking;
                    self.conclude(purpose, result, io, cx)
                }
                Phase::Talking => match self.talk(io, cx) {
                    Ok(next) => next,
                    Err(want) => return want,
                },
            };
            self.follow(next, io, cx);
        }
    }

    /// Takes a line, or what there is of a content.
    fn talk(&mut self, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Result<Next, Want> {
        // A message that is on its way may still arrive.
        if cx.draining && !self.server.is_receiving() {
            return Ok(self.server.end(End::Shutdown, io.output.buffer()));
        }
        if io.output.room() == 0 {
            return Err(Want::NOTHING);
        }
        if cx.work.is_spent() && !io.input.is_empty() {
            return Err(Want::AGAIN);
        }
        let said = io.output.pending();
        let (used, next) = self.server.receive(io.input.bytes(), io.output.buffer());
        io.input.consume(used);
        cx.work.spend(1);
        cx.work.spend_bytes(used);
        if io.output.pending() > said || (used > 0 && self.server.is_receiving()) {
            self.until = cx.time.now.after(limits::MAIL_SILENCE);
        }
        if used > 0 || !matches!(next, Next::Read) {
            return Ok(next);
        }
        if io.ended {
            return Err(Want::finish(Finish::Close));
        }
        if cx.time.now >= self.until {
            return Ok(self.server.end(End::Silence, io.output.buffer()));
        }
        Err(Want::READ.by(self.until))
    }

    /// Does what the server can't do itself.
    fn follow(&mut self, mut next: Next, io: &mut Io<'_>, cx: &mut Cx<'_>) {
        loop {
            let replied = match next {
                Next::Read => return,
                Next::Close => {
                    self.phase = Phase::Over;
                    return;
                }
                Next::Secure => return self.secure(cx),
                Next::Login(credentials) => self.check(credentials, io, cx),
                Next::Keep(message) => self.keep(message, io, cx),
            };
            let Some(reply) = replied else { return };
            next = reply;
        }
    }

    fn secure(&mut self, cx: &mut Cx<'_>) {
        let Some(certificates) = &mut cx.shared.certificates else {
            self.phase = Phase::Over;
            return;
        };
        certificates.refresh(cx.time);
        let acceptor = certificates.acceptor();
        cx.secure(TlsSide::Server(acceptor));
        self.phase = Phase::Securing;
        self.until = cx.time.now.after(limits::HEADER_TIMEOUT);
    }

    /// Checks a password. Returns what follows, if that is known at once.
    fn check(&mut self, credentials: Credentials, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Option<Next> {
        let Credentials { user: name, password } = credentials;
        let now = u64::try_from(cx.time.unix_seconds).unwrap_or_default();
        let verdict = match &mut *self.shared.logins.borrow_mut() {
            Logins::Nobody => Verdict::Busy,
            Logins::Anybody => Verdict::Right,
            Logins::Users(users) => {
                users.check(basic::Credentials { name, password }, io.ends.peer().map(|peer| peer.ip()), now)
            }
        };
        let result = match verdict {
            Verdict::Right => LoggedIn::Yes,
            Verdict::Ask(check) => match cx.run(JobClass::Hashing, move || Outcome::Checked(check.run())) {
                Ok(job) => {
                    self.wait(job, Purpose::Login, cx);
                    return None;
                }
                Err(_) => LoggedIn::Later,
            },
            Verdict::Busy | Verdict::TooMany(_) => LoggedIn::Later,
        };
        Some(self.server.logged_in(result, io.output.buffer()))
    }

    /// Keeps a message. Returns what follows, if that is known at once.
    fn keep(&mut self, message: Message, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Option<Next> {
        let Message { hello: helo, user, from, recipients, content } = message;
        let envelope = Envelope {
            from: from.map_or_else(String::new, |from| from.to_string()),
            recipients: recipients.iter().map(ToString::to_string).collect(),
            peer: io.ends.peer().map_or_else(String::new, |peer| peer.ip().to_canonical().to_string()),
            helo,
            user,
            tls: io.ends.security().is_tls(),
        };
        let receiving = self.shared.mailbox.borrow().receive(envelope, content, cx.time.unix_seconds);
        let kept = match receiving {
            Receiving::Kept(id) => Some(id),
            Receiving::Write(job) => {
                let bytes = job.memory();
                let started = Writing::begin(&self.shared.writing, bytes).and_then(|writing| {
                    let run = move || {
                        let _counted = writing;
                        Outcome::Mail(job.run())
                    };
                    cx.run(JobClass::Commit, run).ok()
                });
                if let Some(job) = started {
                    self.wait(job, Purpose::Keep(bytes), cx);
                    return None;
                }
                None
            }
        };
        Some(self.reply_to_message(kept, io, cx))
    }

    fn wait(&mut self, job: JobId, purpose: Purpose, cx: &Cx<'_>) {
        self.phase = Phase::Waiting { job, purpose, result: None };
        self.until = cx.time.now.after(limits::JOB_TIMEOUT);
    }

    /// Replies when a job has ended, or took too long.
    fn conclude(
        &mut self,
        purpose: Purpose,
        result: Option<JobResult<Outcome>>,
        io: &mut Io<'_>,
        cx: &mut Cx<'_>,
    ) -> Next {
        self.until = cx.time.now.after(limits::MAIL_SILENCE);
        match (purpose, result) {
            (Purpose::Login, Some(Ok(Outcome::Checked(checked)))) => {
                let now = u64::try_from(cx.time.unix_seconds).unwrap_or_default();
                let is_right = match &mut *self.shared.logins.borrow_mut() {
                    Logins::Users(users) => users.settle(&checked, now),
                    Logins::Nobody | Logins::Anybody => false,
                };
                let result = if is_right { LoggedIn::Yes } else { LoggedIn::No };
                self.server.logged_in(result, io.output.buffer())
            }
            (Purpose::Login, _) => self.server.logged_in(LoggedIn::Later, io.output.buffer()),
            (Purpose::Keep(_), Some(Ok(Outcome::Mail(written)))) => {
                let written = self.shared.mailbox.borrow().written(written);
                let kept = written.inspect_err(|error| log::error!("a message can't be stored: {error}")).ok();
                self.reply_to_message(kept, io, cx)
            }
            (Purpose::Keep(_), _) => self.reply_to_message(None, io, cx),
        }
    }

    /// Replies to a message, and tells those who watch the mailbox.
    fn reply_to_message(&mut self, kept: Option<MessageId>, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Next {
        let Some(id) = kept else { return self.server.kept(Err(()), io.output.buffer()) };
        log::info!("#{} message {id} is kept", cx.handle.number());
        http::notify(&self.shared.app, cx);
        self.server.kept(Ok(&id.to_string()), io.output.buffer())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::testing::{Peer, ends};
    use super::super::{Kind, Message as News};
    use super::*;
    use crate::app::{Answer, App, Call, Request, Response};
    use crate::files::scratch::Scratch;
    use crate::http::Status;
    use crate::logging::Log;
    use crate::mailbox::{Limits, Mailbox};
    use crate::reactor::{BUFFER, Handle, TestContext, Time};
    use crate::service::Service;
    use crate::smtp::server::Fault;

    /// What watchers watch.
    struct Page;

    impl App for Page {
        fn handle(&mut self, _: &Request<'_>, _: &mut Call<'_>) -> Answer {
            Answer::now(Response::new(Status::OK))
        }
    }

    /// A connection to a mailbox, from another machine.
    struct Bench {
        shared: super::super::Shared,
        connection: Connection,
        peer: Peer,
        context: TestContext<Service>,
        now: Tick,
        draining: bool,
    }

    impl Bench {
        fn new(mailbox: Mailbox, logins: Logins) -> Self {
            Self::build(mailbox, logins, false, None)
        }

        fn build(mailbox: Mailbox, logins: Logins, overloaded: bool, per_address: Option<u32>) -> Self {
            let mailbox = SharedMailbox::new(mailbox);
            let app = Rc::new(Application::new(Box::new(Page)));
            let settings = Settings {
                name: "mx.test".to_owned(),
                size: 200_000,
                login: logins.kind(),
                faults: Vec::<Fault>::new(),
            };
            let limits = http::Limits { per_address, ..http::Limits::default() };
            let http = http::Shared::new(limits, http::Host::default());
            let mut shared = super::super::Shared::new(http, Log::default());
            let mail = Rc::new(Shared::new(settings, logins, mailbox, app));
            let mut context = TestContext::default();
            let now = Tick::default();
            let accepted = Accepted { listener: Kind::Mail, ends: ends(), overloaded };
            let time = Time { now, unix_seconds: 1_000_000, unix_micros: 0 };
            let connection = Connection::open(&accepted, &mail, &mut context.context(&mut shared, time, false));
            Self { shared, connection, peer: Peer::default(), context, now, draining: false }
        }

        fn in_memory() -> Self {
            let mut bench = Self::new(Mailbox::in_memory(Limits::default()), Logins::Nobody);
            assert_eq!(bench.said(), "220 mx.test ESMTP miod mailbox\r\n");
            bench
        }

        fn turn(&mut self) -> Want {
            let Self { shared, connection, peer, context, now, draining } = self;
            let time = Time { now: *now, unix_seconds: 1_000_000, unix_micros: 0 };
            peer.turn(|io| connection.advance(io, &mut context.context(shared, time, *draining)))
        }

        /// What it says now.
        fn said(&mut self) -> String {
            self.turn();
            String::from_utf8(self.peer.received()).unwrap()
        }

        /// What it says to this.
        fn say(&mut self, bytes: &str) -> String {
            self.peer.send(bytes.as_bytes());
            self.said()
        }

        fn run_jobs(&mut self) {
            for (job, result) in self.context.run_jobs() {
                self.connection.job_ended(job, result);
            }
        }

        fn pass(&mut self, span: Duration) {
            self.now = self.now.after(span);
        }

        fn kept(&self) -> usize {
            self.connection.shared.mailbox.borrow().list().len()
        }
    }

    const SECOND: Duration = Duration::from_secs(1);
    /// A transaction up to its content.
    const BEGIN: &str = "EHLO a\r\nMAIL FROM:<a@a.test>\r\nRCPT TO:<b@b.test>\r\nDATA\r\n";
    const USERS: &str = "alice:$2y$04$MLhQcSVSXWZEBa76VTowc.Dn8tyrxSjlY.gu8AkQrojRxxZtcQUQW";

    #[test]
    fn a_message_is_kept_before_it_is_acknowledged_and_watchers_are_told() {
        let mut bench = Bench::in_memory();
        assert_eq!(bench.turn(), Want::READ.by(bench.now.after(limits::MAIL_SILENCE)));
        let watcher = Handle::for_test(7);
        bench.connection.shared.app.watch(watcher);
        bench.say(BEGIN);
        let before = bench.connection.memory();
        bench.say("Subject: x\r\n");
        assert!(bench.connection.memory() > before, "what is received counts");
        assert_eq!(bench.say(".\r\nQUIT\r\n"), "250 2.0.0 Kept as 1\r\n221 2.0.0 Goodbye\r\n");
        assert_eq!(bench.turn(), Want::finish(Finish::Linger));
        let mut mailbox = bench.connection.shared.mailbox.borrow();
        let message = mailbox.list().next().unwrap();
        let envelope = &message.about.envelope;
        assert_eq!((&*envelope.from, &*envelope.helo, &*envelope.peer), ("a@a.test", "a", "192.0.2.1"));
        assert_eq!(
            (&envelope.recipients[..], &envelope.user, envelope.tls),
            (&["b@b.test".to_owned()][..], &None, false)
        );
        assert_eq!(message.about.received, 1_000_000);
        drop(mailbox);
        assert!(matches!(bench.context.sent()[..], [(to, News::News)] if to == watcher));
    }

    #[test]
    fn on_disk_the_reply_waits_for_the_disk() {
        let directory = Scratch::new();
        let mut bench = Bench::new(Mailbox::open(directory.path(), Limits::default()).unwrap(), Logins::Nobody);
        bench.say(BEGIN);
        assert_eq!(bench.say(&format!("{}\r\n.\r\nNOOP\r\n", "x".repeat(900))), "");
        assert_eq!(bench.peer.waiting(), 6, "NOOP waits, too");
        assert_eq!(bench.turn(), Want::NOTHING.by(bench.now.after(limits::JOB_TIMEOUT)));
        assert!(bench.connection.memory() > 900);
        bench.draining = true;
        bench.run_jobs();
        assert!(bench.said().starts_with("250 2.0.0 Kept as 1\r\n421 4.3.2"), "a shutdown waits for the disk");
        assert_eq!(bench.kept(), 1);
    }

    #[test]
    fn what_waits_for_the_disk_is_limited_also_when_its_clients_are_gone() {
        let directory = Scratch::new();
        let mut bench = Bench::new(Mailbox::open(directory.path(), Limits::default()).unwrap(), Logins::Nobody);
        let writing = Arc::clone(&bench.connection.shared.writing);
        bench.say(BEGIN);
        bench.say("x\r\n.\r\n");
        let bytes = writing.load(Ordering::Relaxed);
        assert!(bytes >= 3);
        bench.run_jobs();
        assert_eq!(writing.load(Ordering::Relaxed), 0);
        assert!(bench.said().starts_with("250 "));
        let others = Writing::begin(&writing, limits::MAILBOX_WRITING - bytes + 1).unwrap();
        bench.say("MAIL FROM:<>\r\nRCPT TO:<b@b.test>\r\nDATA\r\n");
        assert!(bench.say("x\r\n.\r\n").starts_with("452 4.3.1"));
        drop(others);
        assert_eq!((writing.load(Ordering::Relaxed), bench.kept()), (0, 1));
        assert!(Writing::begin(&writing, usize::MAX).is_some(), "a single one may be larger");
    }

    #[test]
    fn a_message_that_cannot_be_written_is_refused_for_now() {
        let directory = Scratch::new();
        directory.directory("mail");
        let mut bench = Bench::new(Mailbox::open(&directory.at("mail"), Limits::default()).unwrap(), Logins::Nobody);
        std::fs::remove_dir_all(directory.at("mail")).unwrap();
        bench.say(BEGIN);
        bench.say("x\r\n.\r\n");
        bench.run_jobs();
        assert_eq!(bench.say("NOOP\r\n"), "452 4.3.1 The message can't be stored\r\n250 2.0.0 Fine\r\n");
        // And so is one that takes too long; its late result is of no use.
        bench.say("MAIL FROM:<>\r\nRCPT TO:<b@b.test>\r\nDATA\r\n");
        bench.say("x\r\n.\r\n");
        bench.pass(limits::JOB_TIMEOUT);
        assert!(bench.said().starts_with("452 4.3.1"));
        bench.run_jobs();
        assert_eq!((bench.said(), bench.kept()), (String::new(), 0));
    }

    #[test]
    fn a_client_that_says_nothing_is_sent_away() {
        for (before, piece, is_content) in [("", "NO", false), ("EHLO a\r\nAUTH", " LOGIN", false), (BEGIN, "x", true)]
        {
            let mut bench = Bench::in_memory();
            bench.say(before);
            bench.pass(limits::MAIL_SILENCE - SECOND);
            assert_eq!(bench.say(piece), "");
            bench.pass(SECOND);
            let said = bench.said();
            assert_eq!(said.starts_with("421 4.4.2"), !is_content, "{before}: {said}");
            assert_eq!(bench.turn().finish == Finish::Linger, !is_content);
            bench.pass(limits::MAIL_SILENCE);
            assert_eq!(bench.said().starts_with("421 4.4.2"), is_content);
        }
        let mut bench = Bench::in_memory();
        // A line that is too long doesn't count as said.
        for _ in 0..5 {
            bench.pass(limits::MAIL_SILENCE / 5);
            bench.peer.send(&[b'x'; 600]);
            bench.turn();
        }
        assert!(bench.said().starts_with("421 4.4.2") || bench.turn().finish == Finish::Linger);
    }

    #[test]
    fn a_shutdown_lets_a_message_arrive_and_nothing_else_begin() {
        let mut bench = Bench::in_memory();
        bench.draining = true;
        assert!(bench.said().starts_with("421 4.3.2"));
        let mut bench = Bench::in_memory();
        bench.say(BEGIN);
        bench.draining = true;
        assert_eq!(bench.say("x\r\n"), "");
        assert!(bench.say(".\r\n").starts_with("250 2.0.0 Kept as 1\r\n421 4.3.2"));
        assert_eq!(bench.turn(), Want::finish(Finish::Linger));
    }

    #[test]
    fn with_too_many_connections_the_next_is_told() {
        let mailbox = || Mailbox::in_memory(Limits::default());
        let mut bench = Bench::build(mailbox(), Logins::Nobody, true, None);
        assert_eq!(bench.said(), "421 4.3.2 There are too many connections\r\n");
        assert_eq!(bench.turn(), Want::finish(Finish::Linger));
        let mut bench = Bench::build(mailbox(), Logins::Nobody, false, Some(0));
        assert!(bench.said().starts_with("421 4.3.2"));
        // It is counted for its address no longer than it lasts.
        let Bench { shared, connection, context, .. } = &mut bench;
        let address = "192.0.2.1".parse().unwrap();
        shared.http.limits.per_address = Some(1);
        assert_eq!(shared.http.count(address), Some(false));
        shared.http.uncount(address);
        let time = Time { now: Tick::default(), unix_seconds: 0, unix_micros: 0 };
        connection.closed(&mut context.context(shared, time, false));
        assert_eq!(shared.http.count(address), Some(true));
    }

    #[test]
    fn a_client_that_does_not_read_is_not_read_from() {
        let mut bench = Bench::in_memory();
        bench.peer.clog(0);
        bench.peer.send(b"NOOP\r\nQUIT\r\n");
        assert_eq!(bench.turn(), Want::NOTHING);
        assert_eq!(bench.peer.waiting(), 12);
        bench.peer.received();
        assert!(bench.said().ends_with("221 2.0.0 Goodbye\r\n"));
        // Replies of one turn exceed what there is room for by one at most.
        let mut bench = Bench::in_memory();
        bench.peer.send("NOOP\r\n".repeat(BUFFER / 6).as_bytes());
        bench.turn();
        assert!(bench.peer.received().len() < BUFFER + 100 && bench.peer.waiting() > 0);
    }

    #[test]
    fn a_client_that_closes_within_a_message_has_sent_none() {
        let mut bench = Bench::in_memory();
        bench.say(BEGIN);
        bench.peer.send(b"half\r\n");
        bench.peer.end();
        assert_eq!(bench.turn(), Want::finish(Finish::Close));
        assert_eq!(bench.kept(), 0);
        // What it said before it closed is done.
        let mut bench = Bench::in_memory();
        bench.peer.send(format!("{BEGIN}x\r\n.\r\nNOO").as_bytes());
        bench.peer.end();
        assert_eq!(bench.turn(), Want::finish(Finish::Close));
        assert_eq!(bench.kept(), 1);
    }

    #[test]
    fn passwords_are_checked_by_a_helper_thread() {
        // This peer isn't on this machine, so it must be in TLS.
        let users = || Logins::Users(Box::new(Users::fixed(USERS).unwrap()));
        let login = |logins: Logins, password: &str| {
            let mut bench = Bench::new(Mailbox::in_memory(Limits::default()), logins);
            bench.connection.server = Server::new(Rc::clone(&bench.connection.shared.settings), Tls::Active, false);
            bench.say("EHLO a\r\n");
            use base64::Engine;
            let text = base64::engine::general_purpose::STANDARD.encode(format!("\0alice\0{password}"));
            let said = bench.say(&format!("AUTH PLAIN {text}\r\n"));
            (bench, said)
        };
        for (password, reply) in [("apple", "235 2.7.0"), ("pear", "535 5.7.8")] {
            let (mut bench, said) = login(users(), password);
            assert_eq!(said, "", "it is being checked");
            bench.run_jobs();
            assert!(bench.said().starts_with(reply), "{password}");
        }
        let (mut bench, _) = login(users(), "apple");
        bench.pass(limits::JOB_TIMEOUT);
        assert!(bench.said().starts_with("454 4.7.0"));
        assert!(login(Logins::Anybody, "pear").1.starts_with("235 2.7.0"));
        assert!(login(Logins::Nobody, "pear").1.starts_with("502 5.5.1"));
    }

    #[test]
    fn a_client_that_is_gone_is_let_go() {
        let mut bench = Bench::in_memory();
        bench.peer.gone = true;
        assert_eq!(bench.turn(), Want::finish(Finish::Abort));
    }
}
