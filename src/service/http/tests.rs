//! The exchange, phase by phase, without a socket or a clock.

mod bodies;
mod checking;
mod heads;
mod hostile;
mod listing;
mod parked;
mod routes;
mod sending;
mod sessions;
mod state;
mod streaming;
mod truncated;
mod watching;

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::auth::Users;
use crate::files::scratch::Scratch;
use crate::limits;
use crate::reactor::{Accepted, Want};
use crate::reactor::{Finish, Handle, TestContext, Tick, Time};
use crate::service::Kind;
use crate::service::testing::{self, Peer, ends};
use crate::session::key::Keys;
use crate::session::pending::{Pending, Question, Reply, Ticket};
use crate::session::signed::Signed;
use crate::session::{Id, Store};
use crate::testing::every_split;

/// One connection with everything that it shares with nobody.
struct Bench {
    shared: super::super::Shared,
    http: Http,
    peer: Peer,
    draining: bool,
    now: Tick,
    context: TestContext<Service>,
    files: Scratch,
}

const PHASES: [&str; 8] = ["Idle", "Head", "Body", "Waiting", "SendingFile", "Sending", "Watching", "Closing"];

const SECOND: Duration = Duration::from_secs(1);

impl Bench {
    fn new() -> Self {
        Self::of(|_| {}, |_| {}, false)
    }

    /// With what all connections share adjusted.
    fn with(adjust: impl FnOnce(&mut Shared), overloaded: bool) -> Self {
        Self::of(|_| {}, adjust, overloaded)
    }

    /// With the host adjusted.
    fn with_host(adjust: impl FnOnce(&mut Host)) -> Self {
        Self::of(adjust, |_| {}, false)
    }

    fn of(host: impl FnOnce(&mut Host), adjust: impl FnOnce(&mut Shared), overloaded: bool) -> Self {
        let files = testing::files();
        let mut shared = testing::shared_with(&files, host);
        adjust(&mut shared.http);
        let http = Self::connect(&mut shared, overloaded);
        let context = TestContext::default();
        Self { shared, http, peer: Peer::default(), draining: false, now: Tick::default(), context, files }
    }

    /// A connection more.
    fn connect(shared: &mut super::super::Shared, overloaded: bool) -> Http {
        let time = Time { now: Tick::default(), unix_seconds: 1_800_000_000, unix_micros: 0 };
        let accepted = Accepted { listener: Kind::Http(HostId::default()), ends: ends(), overloaded };
        Http::open(&accepted, HostId::default(), &mut TestContext::default().context(shared, time, false))
    }

    fn settle(&mut self) -> Want {
        let Self { shared, http, peer, context, draining, now, .. } = self;
        let time = Time { now: *now, unix_seconds: 1_800_000_000, unix_micros: 0 };
        peer.turn(|io| http.advance(io, &mut context.context(shared, time, *draining)))
    }

    /// Sends bytes and settles.
    fn send(&mut self, bytes: impl AsRef<[u8]>) -> Want {
        self.peer.send(bytes.as_ref());
        self.settle()
    }

    /// All that was answered since the last call; files as the bytes they are.
    fn responses(&mut self) -> String {
        let output = std::mem::take(&mut self.peer.output);
        let mut text = String::from_utf8_lossy(output.bytes()).into_owned();
        for range in output.files() {
            text.push_str(&format!("<{}-{}>", range.start, range.end));
        }
        text
    }

    /// Sends, and tells what was answered until nothing more comes.
    fn exchange(&mut self, bytes: impl AsRef<[u8]>) -> (String, Want) {
        let mut want = self.send(bytes);
        let mut text = String::new();
        loop {
            let full = self.peer.output.room() == 0;
            text.push_str(&self.responses());
            if !full {
                return (text, want);
            }
            want = self.settle();
        }
    }

    /// Runs the jobs that were asked for and delivers what came of them.
    fn run_jobs(&mut self) -> Want {
        for (job, result) in self.context.run_jobs() {
            self.http.job_ended(job, result);
        }
        self.settle()
    }

    /// Another connection asks the same server; what it was answered. Tells also
    /// whom it sent messages, and has them delivered.
    fn exchange_on_another(&mut self, request: &str) -> (String, Vec<Handle>) {
        let mut other = Peer::default();
        let mut context = TestContext::of(Handle::for_test(2));
        let time = Time { now: self.now, unix_seconds: 1_800_000_000, unix_micros: 0 };
        let accepted = Accepted { listener: Kind::Http(HostId::default()), ends: ends(), overloaded: false };
        let mut http = Http::open(&accepted, HostId::default(), &mut context.context(&mut self.shared, time, false));
        other.send(request.as_bytes());
        other.turn(|io| http.advance(io, &mut context.context(&mut self.shared, time, false)));
        http.closed(0, ends(), &mut context.context(&mut self.shared, time, false));
        let notified = context.sent().into_iter().map(|(to, _)| to).collect();
        (String::from_utf8(other.received()).unwrap(), notified)
    }

    fn pass(&mut self, span: Duration) -> Want {
        self.now = self.now.after(span);
        self.settle()
    }

    fn phase(&self) -> &'static str {
        PHASES[self.http.phase() as usize]
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            audit(&self.shared.http, &mut [&self.http].into_iter());
            let time = Time { now: self.now, unix_seconds: 0, unix_micros: 0 };
            let mut cx = self.context.context(&mut self.shared, time, false);
            self.http.closed(0, ends(), &mut cx);
            assert_eq!(self.shared.http.census, Census::default());
        }
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")
}

/// The statuses in what was answered.
fn statuses(responses: &str) -> Vec<u16> {
    responses.split("HTTP/1.1 ").skip(1).map(|response| response[..3].parse().unwrap()).collect()
}

/// What stands behind the first head.
fn body(response: &str) -> &str {
    response.split_once("\r\n\r\n").unwrap().1
}
