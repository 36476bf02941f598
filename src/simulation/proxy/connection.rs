//! A connection of the service, and who is at its other end.

use super::client::{Client, Close};
use super::origin::{Life, Origin};
use super::world::World;
use crate::limits;
use crate::reactor::{BUFFER, Finish, Handle, Protocol, Tick, Want};
use crate::service::Service;
use crate::service::proxy::LARGE_WINDOW;
use crate::service::testing::Peer;

/// Who is at the other end.
pub(super) enum Party {
    Client(Box<Client>),
    Origin(Box<Origin>),
}

pub(super) struct Connection {
    pub(super) handle: Handle,
    pub(super) service: Service,
    pub(super) peer: Peer,
    pub(super) party: Party,
    pub(super) want: Want,
    /// The service has news, and needs a turn.
    pub(super) is_queued: bool,
    /// The output had no room when the service was called last.
    is_full: bool,
    /// How many bytes the other end has taken.
    taken: u64,
    /// The other end neither sends nor takes anything, since this moment.
    pub(super) vanished: Option<Tick>,
    /// The service has ended, and waits for the other end until this moment.
    pub(super) lingers: Option<Tick>,
    told_end: bool,
}

impl Connection {
    pub(super) fn new(handle: Handle, service: Service, party: Party) -> Self {
        let mut peer = Peer::default();
        // What waits for a message may have no deadline; that it comes is checked at the end.
        (peer.has_partner, peer.connecting) = (true, matches!(party, Party::Origin(_)));
        Self {
            handle,
            service,
            peer,
            party,
            want: Want::NOTHING,
            is_queued: true,
            is_full: false,
            taken: 0,
            vanished: None,
            lingers: None,
            told_end: false,
        }
    }

    pub(super) fn name(&self) -> String {
        let kind = if matches!(self.party, Party::Client(_)) { "client" } else { "origin" };
        format!("{kind} {}", self.handle.number())
    }

    /// Calls the service.
    pub(super) fn turn(&mut self, world: &mut World<'_>) {
        self.is_queued = false;
        let Self { handle, service, peer, .. } = self;
        let (time, draining) = (world.time(), world.draining);
        let World { shared, context, .. } = world;
        context.turn_to(*handle);
        self.want = peer.turn(|io| service.advance(io, &mut context.context(shared, time, draining)));
        self.is_full = self.peer.output.room() == 0;
        let output = self.peer.output.bytes().len();
        assert!(output <= 2 * BUFFER + LARGE_WINDOW, "the output is too large: {output}");
        assert!(!(self.want.read && self.peer.input.is_full()), "it waits for input without room for it");
        assert!(self.service.memory() <= 6 * LARGE_WINDOW, "it holds {} bytes", self.service.memory());
        if let Party::Client(client) = &mut self.party {
            client.produce(self.taken + self.peer.output.pending(), world);
        }
        self.tell_end(world);
    }

    /// Tells the other end that nothing more comes.
    fn tell_end(&mut self, world: &mut World<'_>) {
        if self.want.finish == Finish::HalfClose && self.peer.output.is_empty() && !self.told_end {
            self.told_end = true;
            match &mut self.party {
                Party::Client(client) => client.is_tunnel_over = true,
                Party::Origin(origin) => origin.end(world),
            }
        }
    }

    /// How the service ends the connection, if it does now.
    pub(super) fn over(&self) -> Option<Close> {
        let is_sent = self.peer.output.is_empty();
        match self.want.finish {
            _ if self.peer.gone && (self.want.read || !is_sent) => Some(Close::Reset),
            Finish::Abort => Some(Close::Reset),
            Finish::Close | Finish::Linger | Finish::Cut if is_sent || self.peer.connecting => Some(Close::Proper),
            _ => None,
        }
    }

    /// The service reads at most `most` bytes, or the end. False if nothing changed.
    pub(super) fn feed(&mut self, most: usize, world: &mut World<'_>) -> bool {
        let is_stopped = self.vanished.is_some() || self.lingers.is_some() || self.peer.connecting;
        if is_stopped || !self.want.read || self.peer.ended || self.peer.gone {
            return false;
        }
        let most = most.min(self.peer.input_room());
        match &mut self.party {
            Party::Client(client) => match client.next(most, world) {
                None => return false,
                Some([]) => self.peer.end(),
                Some(bytes) => self.peer.send(bytes),
            },
            Party::Origin(origin) => match origin.next(most, world) {
                super::origin::Next::Nothing => return false,
                super::origin::Next::Bytes(bytes) => self.peer.send(bytes),
                super::origin::Next::Eof => self.peer.end(),
                super::origin::Next::Reset => self.peer.gone = true,
            },
        }
        let (waiting, ended) = (self.peer.waiting(), self.peer.ended);
        world.log(|| format!("{} has sent: {waiting} bytes wait, ended: {ended}", self.name()));
        self.is_queued = true;
        true
    }

    /// The other end takes at most `most` bytes. False if there are none.
    pub(super) fn take(&mut self, most: usize, world: &mut World<'_>) -> bool {
        if self.vanished.is_some() || self.peer.connecting {
            return false;
        }
        let bytes = self.peer.output.take(most);
        if bytes.is_empty() {
            return false;
        }
        world.log(|| format!("{} takes {} bytes", self.name(), bytes.len()));
        self.taken += bytes.len() as u64;
        match &mut self.party {
            Party::Client(client) => client.receive(&bytes, world),
            Party::Origin(origin) => {
                origin.receive(&bytes, world);
            }
        }
        self.is_queued |= self.is_full && self.peer.output.room() > 0;
        self.tell_end(world);
        true
    }

    /// The origin accepts the connection, or acts on what it has received. False if nothing changed.
    pub(super) fn think(&mut self, world: &mut World<'_>) -> bool {
        let Party::Origin(origin) = &mut self.party else { return false };
        if self.vanished.is_some() {
            return false;
        }
        if origin.life == Life::Waits {
            origin.life = Life::Open;
            (self.peer.connecting, self.is_queued) = (false, true);
            return true;
        }
        origin.think(world)
    }

    /// Whether the origin refuses the connection.
    pub(super) fn is_refused(&self) -> bool {
        matches!(&self.party, Party::Origin(origin) if origin.life == Life::Refuses)
    }

    /// The other end neither sends nor takes anything any more.
    pub(super) fn vanish(&mut self, world: &mut World<'_>) {
        if self.vanished.is_none() {
            world.lasting_fault("vanished");
            self.vanished = Some(world.now);
            match &mut self.party {
                Party::Origin(origin) => origin.is_faulty = true,
                Party::Client(client) => client.leave(world),
            }
        }
    }

    /// When the reactor gives the connection up, since its output isn't taken.
    fn send_deadline(&self) -> Option<Tick> {
        let is_blocked = !self.peer.output.is_empty() && !self.peer.connecting;
        self.vanished.filter(|_| is_blocked).map(|since| since.after(limits::SEND_TIMEOUT))
    }

    pub(super) fn deadline(&self) -> Option<Tick> {
        match self.lingers {
            Some(until) => Some(until),
            None => self.want.wake.into_iter().chain(self.send_deadline()).min(),
        }
    }

    /// Whether the reactor gives the connection up now.
    pub(super) fn is_given_up(&self, now: Tick) -> bool {
        self.send_deadline().is_some_and(|deadline| deadline <= now) || self.lingers.is_some_and(|until| until <= now)
    }

    /// Whether something is under way here that needs no further event.
    pub(super) fn is_faulty(&self) -> bool {
        self.vanished.is_some() || matches!(&self.party, Party::Origin(origin) if origin.is_faulty)
    }
}
