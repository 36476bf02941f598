//! Tests of the exchange in each of its phases, without a socket or a clock.

mod bodies;
mod checking;
mod files;
mod forms;
mod heads;
mod hostile;
mod https;
mod listing;
mod parked;
mod purging;
mod routes;
mod sending;
mod sessions;
mod state;
mod streaming;
mod truncated;
mod tunnel;
mod upstreams;
mod watching;

use std::rc::Rc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::auth::Users;
use crate::files::scratch::Scratch;
use crate::limits;
use crate::reactor::{Accepted, Finish, Handle, Security, TestContext, Tick, Time, Want};
use crate::service::testing::{self, Peer, ends};
use crate::service::{Kind, Service};
use crate::session::key::Keys;
use crate::session::pending::{Operation, Pending, Reply, Ticket};
use crate::session::record::Lifetime;
use crate::session::signed::Signed;
use crate::session::{Id, Sessions, Store};
use crate::testing::every_split;

/// A connection with its own server.
struct Bench {
    shared: super::super::Shared,
    http: Http,
    peer: Peer,
    draining: bool,
    now: Tick,
    context: TestContext<Service>,
    files: Scratch,
}

const PHASES: [&str; 10] =
    ["Idle", "Head", "Body", "Waiting", "SendingFile", "Sending", "Watching", "Proxied", "Tunnel", "Closing"];

const SECOND: Duration = Duration::from_secs(1);

impl Bench {
    fn new() -> Self {
        Self::build(|_| {}, |_| {}, false)
    }

    /// With adjusted shared state.
    fn with(adjust: impl FnOnce(&mut Shared), overloaded: bool) -> Self {
        Self::build(|_| {}, adjust, overloaded)
    }

    /// With an adjusted host.
    fn with_host(adjust: impl FnOnce(&mut Host)) -> Self {
        Self::build(adjust, |_| {}, false)
    }

    fn build(host: impl FnOnce(&mut Host), adjust: impl FnOnce(&mut Shared), overloaded: bool) -> Self {
        let files = testing::files();
        let mut shared = testing::shared_with(&files, host);
        adjust(&mut shared.http);
        let http = Self::connect(&mut shared, overloaded);
        let context = TestContext::default();
        Self { shared, http, peer: Peer::default(), draining: false, now: Tick::default(), context, files }
    }

    /// Opens another connection.
    fn connect(shared: &mut super::super::Shared, overloaded: bool) -> Http {
        let time = Time { now: Tick::default(), unix_seconds: 1_800_000_000, unix_micros: 0 };
        let accepted = Accepted { listener: Kind::Http(HostsId::default()), ends: ends(), overloaded };
        Http::open(&accepted, HostsId::default(), &mut TestContext::default().context(shared, time, false))
    }

    /// Closes the connection, and opens another one.
    fn reconnect(&mut self, security: Security<'static>) {
        self.http.closed(0, ends(), &mut self.context.context(&mut self.shared, Time::default(), false));
        self.http = Self::connect(&mut self.shared, false);
        self.peer = Peer::default();
        self.peer.security = security;
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

    /// The output since the last call. A part of a file is shown as its range of bytes.
    fn responses(&mut self) -> String {
        let output = std::mem::take(&mut self.peer.output);
        let mut text = String::from_utf8_lossy(output.bytes()).into_owned();
        for range in output.files() {
            text.push_str(&format!("<{}-{}>", range.start, range.end));
        }
        text
    }

    /// Sends bytes. Returns all output that follows, and the last `Want`.
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

    /// Runs the queued jobs and delivers their results.
    fn run_jobs(&mut self) -> Want {
        for (job, result) in self.context.run_jobs() {
            self.http.job_ended(job, result);
        }
        self.settle()
    }

    /// Sends a request to the same server on another connection. Returns the response and the
    /// connections that the server sent messages to.
    fn exchange_on_another(&mut self, request: &str) -> (String, Vec<Handle>) {
        let mut other = Peer::default();
        let mut context = TestContext::of(Handle::for_test(2));
        let time = Time { now: self.now, unix_seconds: 1_800_000_000, unix_micros: 0 };
        let accepted = Accepted { listener: Kind::Http(HostsId::default()), ends: ends(), overloaded: false };
        let mut http = Http::open(&accepted, HostsId::default(), &mut context.context(&mut self.shared, time, false));
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

/// The statuses of the responses.
fn statuses(responses: &str) -> Vec<u16> {
    responses.split("HTTP/1.1 ").skip(1).map(|response| response[..3].parse().unwrap()).collect()
}

/// Everything after the first head.
fn body(response: &str) -> &str {
    response.split_once("\r\n\r\n").unwrap().1
}
