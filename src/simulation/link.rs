//! A connection of the service in memory, and what may happen on it.

use std::collections::VecDeque;

use super::client::Client;
use super::world::World;
use crate::limits;
use crate::reactor::{
    Accepted, BUFFER, Ending, Finish, Handle, JobClass, JobId, JobResult, Protocol, TestContext, Tick, Want,
};
use crate::service::http::HostsId;
use crate::service::testing::{Peer, ends};
use crate::service::{Kind, Message, Outcome, Service};

/// A connection: both its sides, and the bytes and events between them.
pub(super) struct Link {
    pub(super) number: usize,
    pub(super) client: Client,
    /// The client doesn't send, receive or close any more.
    pub(super) vanished: bool,
    peer: Peer,
    pub(super) service: Service,
    context: TestContext<Service>,
    want: Want,
    /// The output had no room when the service was called last.
    full: bool,
    /// Messages and results that aren't delivered yet.
    arrivals: VecDeque<Arrival>,
    /// When the client last took output.
    taken: Tick,
}

/// An event for a link that doesn't come from its client.
enum Arrival {
    Message(Message),
    Job(JobId, JobResult<Outcome>),
}

impl Link {
    /// The handle of link `number`.
    pub(super) fn handle_of(number: usize) -> Handle {
        Handle::for_test(number as u32 + 1)
    }

    /// Opens a link. If it is `crowded`, the queues of its jobs are full.
    pub(super) fn open(number: usize, client: Client, crowded: bool, world: &mut World<'_>) -> Self {
        let mut context = TestContext::of(Self::handle_of(number));
        let listener = Kind::Http(HostsId::default());
        let accepted = Accepted { listener, ends: ends(), overloaded: client.overloaded };
        let time = world.time();
        let mut cx = context.context(&mut world.shared, time, world.draining);
        let service = Service::open(&accepted, &mut cx).expect("HTTP accepts every connection");
        if crowded {
            for class in [JobClass::Hashing, JobClass::Files, JobClass::Commit] {
                while cx.run(class, || Outcome::Session).is_ok() {}
            }
        }
        let (peer, arrivals) = (Peer::default(), VecDeque::new());
        let (want, taken) = (Want::NOTHING, world.now);
        let mut link =
            Self { number, client, vanished: false, peer, service, context, want, full: false, arrivals, taken };
        link.client.crowded = crowded;
        world.log(|| format!("link {number} opens; overloaded: {}, crowded: {crowded}", link.client.overloaded));
        for (index, case) in link.client.cases.iter().enumerate() {
            world.log(|| format!("    request {index}: {} ({} bytes)", case.name(), case.bytes.len()));
        }
        link.settle(world);
        link
    }

    /// Calls the service, and checks that what it wants is possible.
    pub(super) fn settle(&mut self, world: &mut World<'_>) {
        let Self { peer, service, context, .. } = self;
        let time = world.time();
        let draining = world.draining;
        let shared = &mut world.shared;
        self.want = peer.turn(|io| service.advance(io, &mut context.context(shared, time, draining)));
        world.take_effects(&mut self.context);
        self.full = self.peer.output.room() == 0;
        let Want { read, in_bulk: _, wake, finish, again: _ } = self.want;
        let output = &self.peer.output;
        assert!(output.bytes().len() <= 2 * BUFFER, "the output is too large");
        assert!(output.pending() <= (2 * BUFFER + super::HUGE) as u64, "a second response behind a file");
        assert!(!(read && self.peer.input.is_full()), "it waits for input without room for it");
        assert!(finish != Finish::No || wake.is_some() || !self.peer.output.is_empty(), "no deadline");
        assert!(finish != Finish::HalfClose, "not a way to end");
    }

    /// Whether nothing more comes from the service.
    pub(super) fn is_over(&self) -> bool {
        self.want.finish != Finish::No && self.peer.output.is_empty()
    }

    /// The next deadline of the service, or of the reactor on its behalf.
    pub(super) fn deadline(&self) -> Option<Tick> {
        let sending = self.vanished && !self.peer.output.is_empty();
        self.want.wake.into_iter().chain(sending.then(|| self.taken.after(limits::SEND_TIMEOUT))).min()
    }

    /// Whether the reactor closes the connection, because the peer doesn't take its output.
    pub(super) fn send_timed_out(&self, now: Tick) -> bool {
        self.vanished && !self.peer.output.is_empty() && now >= self.taken.after(limits::SEND_TIMEOUT)
    }

    /// The client vanishes.
    pub(super) fn vanish(&mut self, world: &World<'_>) {
        world.log(|| format!("link {} vanishes", self.number));
        self.vanished = true;
        self.taken = world.now;
    }

    /// The server reads at most `most` bytes, or EOF; false if it can't.
    pub(super) fn send(&mut self, most: usize, world: &mut World<'_>) -> bool {
        let ends_here = self.client.unsent() == 0 && !self.peer.ended;
        if self.vanished || !self.want.read || (self.client.unsent() == 0 && !ends_here) {
            return false;
        }
        let most = most.min(BUFFER - self.peer.waiting());
        if ends_here {
            world.log(|| format!("link {} sends EOF", self.number));
            self.peer.end();
        } else {
            let bytes = self.client.send(most, world);
            world.log(|| format!("link {} sends {} bytes", self.number, bytes.len()));
            self.peer.send(bytes);
        }
        self.settle(world);
        true
    }

    /// The client takes at most `most` bytes; false if there are none.
    pub(super) fn take(&mut self, most: usize, world: &mut World<'_>) -> bool {
        if self.vanished {
            return false;
        }
        let taken = self.peer.output.take(most);
        if taken.is_empty() {
            return false;
        }
        world.log(|| format!("link {} takes {} bytes, {} left", self.number, taken.len(), self.peer.output.pending()));
        self.client.receive(&taken, world);
        if self.full {
            self.settle(world);
        }
        true
    }

    /// Runs the jobs. Their results arrive later; if they are lost, never.
    pub(super) fn run_jobs(&mut self, world: &World<'_>, lost: impl FnOnce() -> bool) -> bool {
        let results = self.context.run_jobs();
        if results.is_empty() {
            return false;
        }
        let lost = lost();
        world.log(|| format!("link {} has its jobs run; their results are lost: {lost}", self.number));
        if !lost {
            self.arrivals.extend(results.into_iter().map(|(job, result)| Arrival::Job(job, result)));
        }
        true
    }

    /// A message is on its way to this link.
    pub(super) fn message(&mut self, message: Message) {
        self.arrivals.push_back(Arrival::Message(message));
    }

    /// Delivers the next message or result; false if there is none.
    pub(super) fn deliver(&mut self, world: &mut World<'_>) -> bool {
        let Some(arrival) = self.arrivals.pop_front() else { return false };
        match arrival {
            Arrival::Message(message) => {
                world.log(|| format!("link {} gets {message:?}", self.number));
                self.service.deliver(message);
            }
            Arrival::Job(job, result) => {
                world.log(|| format!("link {} gets a result", self.number));
                self.service.job_ended(job, result);
            }
        }
        self.settle(world);
        true
    }

    /// Calls the service if its deadline has come.
    pub(super) fn wake(&mut self, world: &mut World<'_>) {
        if self.want.wake.is_some_and(|wake| wake <= world.now) {
            world.log(|| format!("link {} is woken", self.number));
            self.settle(world);
        }
    }

    /// The connection ends: the service wants it, or the client is gone.
    pub(super) fn close(mut self, gone: bool, world: &mut World<'_>) {
        world.log(|| format!("link {} closes; the client is gone: {gone}", self.number));
        let time = world.time();
        let unsent = self.peer.output.pending();
        let mut cx = self.context.context(&mut world.shared, time, world.draining);
        self.service.closed(Ending { unsent, error: None }, ends(), &mut cx);
        world.take_effects(&mut self.context);
        if !gone {
            self.client.closed(world);
        }
    }
}
