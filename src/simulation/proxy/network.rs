//! All connections, and what passes between them: as in the reactor, a message is delivered at once,
//! and its receiver gets a turn later.

use std::collections::{HashMap, VecDeque};
use std::io;

use super::client::{Client, Close};
use super::connection::{Connection, Party};
use super::origin::Origin;
use super::world::World;
use crate::limits;
use crate::reactor::{Accepted, Ending, Finish, Handle, JobId, JobResult, Protocol};
use crate::service::http::HostsId;
use crate::service::proxy::{FromUpstream, LARGE_WINDOW, ToUpstream};
use crate::service::testing::ends;
use crate::service::{Kind, Message, Outcome, Service};

/// Content that is under way between two connections, in bytes: to the upstream, and from it.
#[derive(Default)]
struct Flow {
    bytes: [usize; 2],
    is_over: [bool; 2],
}

pub(super) struct Network<'t> {
    pub(super) world: World<'t>,
    pub(super) connections: Vec<Connection>,
    /// By the client's connection, the number of its request, and the upstream's connection.
    flows: HashMap<(Handle, u32, Handle), Flow>,
    /// Results of jobs that aren't delivered yet; those of shared jobs are for no connection.
    results: VecDeque<(Handle, JobId, JobResult<Outcome>)>,
}

impl<'t> Network<'t> {
    pub(super) fn new(world: World<'t>) -> Self {
        Self { world, connections: Vec::new(), flows: HashMap::new(), results: VecDeque::new() }
    }

    /// A client connects.
    pub(super) fn open(&mut self, client: Client) {
        let time = self.world.time();
        let World { shared, context, .. } = &mut self.world;
        let handle = context.reserve();
        context.turn_to(handle);
        let accepted = Accepted { listener: Kind::Http(HostsId::default()), ends: ends(), overloaded: false };
        let service = Service::open(&accepted, &mut context.context(shared, time, false)).expect("HTTP accepts all");
        for case in &client.cases {
            self.world.log(|| format!("client {} asks {}, {} bytes", handle.number(), case.name(), case.bytes.len()));
        }
        self.connections.push(Connection::new(handle, service, Party::Client(Box::new(client))));
        self.turn(handle);
    }

    fn at(&mut self, handle: Handle) -> Option<&mut Connection> {
        self.connections.iter_mut().find(|connection| connection.handle == handle)
    }

    /// Gives a connection its turn, and does what follows from it.
    pub(super) fn turn(&mut self, handle: Handle) {
        let place = self.connections.iter().position(|connection| connection.handle == handle);
        let Some(connection) = place.map(|place| &mut self.connections[place]) else { return };
        if connection.lingers.is_some() {
            connection.is_queued = false;
            return;
        }
        if self.world.dice.one_in(100) {
            let is_short = self.world.dice.one_in(2);
            self.world.context.set_memory_short(is_short);
        }
        connection.turn(&mut self.world);
        self.take_effects();
        self.end_if_over(handle);
    }

    /// Closes a connection if the service wants it.
    pub(super) fn end_if_over(&mut self, handle: Handle) {
        let Some(connection) = self.at(handle) else { return };
        let Some(close) = connection.over().filter(|_| connection.lingers.is_none()) else { return };
        let lingers = matches!(connection.want.finish, Finish::Linger | Finish::Cut) && close == Close::Proper;
        if lingers && self.world.dice.one_in(3) {
            let until = self.world.now.after(limits::LINGER);
            self.at(handle).expect("it is there").lingers = Some(until);
        } else {
            let gone = close == Close::Reset;
            self.close(handle, close, gone.then_some(io::ErrorKind::ConnectionReset));
        }
    }

    /// The connection is over. What the other end didn't take is lost after a reset.
    pub(super) fn close(&mut self, handle: Handle, close: Close, error: Option<io::ErrorKind>) {
        let place = self.connections.iter().position(|connection| connection.handle == handle).expect("it is there");
        let mut connection = self.connections.swap_remove(place);
        self.world.log(|| format!("{} closes: {close:?}, {:?}", connection.name(), connection.want.finish));
        let is_own = connection.want.finish == Finish::Abort;
        let ending =
            Ending { unsent: connection.peer.output.pending(), error: error.filter(|_| !is_own).map(Into::into) };
        let (time, draining) = (self.world.time(), self.world.draining);
        let World { shared, context, .. } = &mut self.world;
        context.turn_to(handle);
        connection.service.closed(ending, ends(), &mut context.context(shared, time, draining));
        self.flows.retain(|(client, _, upstream), _| ![*client, *upstream].contains(&handle));
        match connection.party {
            Party::Client(client) if connection.vanished.is_some() || connection.peer.gone => {
                client.leave(&mut self.world)
            }
            Party::Client(client) => client.closed(close, &mut self.world),
            Party::Origin(origin) => origin.closed(&mut self.world),
        }
        self.take_effects();
        self.world.context.release(handle);
    }

    /// Opens the connections that were asked for, and delivers messages.
    fn take_effects(&mut self) {
        for (handle, service) in self.world.context.connecting() {
            let origin = Origin::draw(&mut self.world);
            self.connections.push(Connection::new(handle, service, Party::Origin(Box::new(origin))));
        }
        for (from, to, message) in self.world.context.messages() {
            self.account(to, &message);
            self.world.log(|| format!("{} to {}: {}", from.number(), to.number(), summary(&message)));
            if let Some(connection) = self.at(to) {
                connection.service.deliver(message);
                connection.is_queued = true;
            } else if let Some(connection) = self.at(from) {
                connection.service.undelivered(to, message);
                connection.is_queued = true;
            }
        }
    }

    /// Counts the content that is under way.
    fn account(&mut self, to: Handle, message: &Message) {
        let (client, request, upstream, direction, sent, room, is_over) = match message {
            Message::ToUpstream(id, message) => {
                let (direction, sent, room, is_over) = match message {
                    ToUpstream::Piece(bytes) => (0, bytes.len(), 0, false),
                    ToUpstream::End | ToUpstream::Cancel => (0, 0, 0, true),
                    ToUpstream::Room(taken) => (1, 0, taken.bytes, false),
                    _ => return,
                };
                (id.client, id.request, to, direction, sent, room, is_over)
            }
            Message::FromUpstream(upstream, id, message) => {
                let (direction, sent, room, is_over) = match message {
                    FromUpstream::Piece(bytes) => (1, bytes.len(), 0, false),
                    FromUpstream::End | FromUpstream::Failed(_) => (1, 0, 0, true),
                    FromUpstream::Room(taken) => (0, 0, taken.bytes, false),
                    _ => return,
                };
                (id.client, id.request, *upstream, direction, sent, room, is_over)
            }
            _ => return,
        };
        if self.at(client).is_none() || self.at(upstream).is_none() {
            return;
        }
        let flow = self.flows.entry((client, request, upstream)).or_default();
        flow.bytes[direction] += sent;
        assert!(flow.bytes[direction] <= LARGE_WINDOW, "more is under way than there is room for");
        assert!(flow.bytes[direction] >= room, "room for bytes that weren't sent");
        flow.bytes[direction] -= room;
        flow.is_over[direction] |= is_over;
    }

    /// Nothing moves any more: all that was sent was received, and that was said.
    pub(super) fn check_quiet(&self) {
        let is_calm = !self.world.is_rough && self.world.given.iter().all(|given| given.is_whole);
        if is_calm {
            // A connection that lingers has ended for its client.
            let is_waiting = |one: &Connection| matches!(&one.party, Party::Client(client) if client.is_waiting());
            let waits = |one: &&Connection| one.lingers.is_none() && is_waiting(one);
            let found = self.connections.iter().find(waits).map(Connection::name);
            assert_eq!(found, None, "it waits, and nothing moves");
        }
        for ((client, request, upstream), flow) in &self.flows {
            let find = |handle| self.connections.iter().find(|connection| connection.handle == handle);
            let Some((client, upstream)) = find(*client).zip(find(*upstream)) else { continue };
            let is_excused = client.is_faulty() || upstream.is_faulty();
            // After the end of the response nobody needs room.
            for direction in [0, 1].into_iter().filter(|_| !is_excused && !flow.is_over[1]) {
                let (bytes, is_over) = (flow.bytes[direction], flow.is_over[direction]);
                let name = client.name();
                assert!(
                    is_over || bytes == 0,
                    "{name}, request {request}: {bytes} bytes of room are lost ({direction})"
                );
            }
        }
    }

    /// Runs the jobs that wait. False if there are none.
    pub(super) fn run_jobs(&mut self) -> bool {
        let results = self.world.context.run_all_jobs();
        let is_any = !results.is_empty();
        self.results.extend(results);
        is_any
    }

    /// Delivers the next result of a job. False if there is none.
    pub(super) fn deliver_result(&mut self) -> bool {
        let Some((handle, job, result)) = self.results.pop_front() else { return false };
        if handle == Handle::NONE {
            let (time, draining) = (self.world.time(), self.world.draining);
            let World { shared, context, .. } = &mut self.world;
            context.turn_to(handle);
            Service::shared_job_ended(result, &mut context.context(shared, time, draining));
            self.take_effects();
        } else if let Some(connection) = self.at(handle) {
            connection.service.job_ended(job, result);
            connection.is_queued = true;
        }
        true
    }

    /// Gives those a turn whose deadlines have passed, and closes those that are given up.
    pub(super) fn wake(&mut self) {
        let now = self.world.now;
        for handle in self.handles() {
            let Some(connection) = self.at(handle) else { continue };
            if connection.is_given_up(now) {
                let (close, error) = match connection.lingers {
                    Some(_) => (Close::Proper, None),
                    None => (Close::Reset, Some(io::ErrorKind::TimedOut)),
                };
                self.close(handle, close, error);
            } else if connection.deadline().is_some_and(|deadline| deadline <= now) {
                self.turn(handle);
            }
        }
    }

    pub(super) fn handles(&self) -> Vec<Handle> {
        self.connections.iter().map(|connection| connection.handle).collect()
    }

    /// Compares the counts of the service with its connections.
    pub(super) fn audit(&self) {
        Service::audit(&self.world.shared, &mut self.connections.iter().map(|connection| &connection.service));
    }
}

fn summary(message: &Message) -> String {
    let text = format!("{message:?}");
    let end = text.char_indices().nth(120).map_or(text.len(), |(end, _)| end);
    text[..end].to_owned()
}
