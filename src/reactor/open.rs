//! How connections come to be, by accepting or by connecting, and how a shut-down begins.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::endpoint::Endpoint;
use super::peer::Peer;
use super::protocol::{Accepted, Context, Ending, Ends, Protocol};
use super::security::Security;
use super::slot::{Queued, Reading, Slot};
use super::slots::Handle;
use super::tap::{TapEnds, TapEvent};
use super::tls::TlsFailure;
use super::transport::Transport;
use super::work::Work;
use super::{ACCEPTS, CAPACITY, DRAIN_ACCEPTS, Drain, NO_LISTENER, PAUSE, Reactor};
use crate::limits;

impl<P: Protocol> Reactor<P> {
    pub(super) fn begin_drain(&mut self, grace: Duration) {
        if self.drain.is_some() {
            return;
        }
        self.later.clear();
        self.drain = Some(Drain { by: self.time.now.after(grace), waiting_for: 0, said: self.time.now });
        // Connections that the kernel has established are accepted first: closing
        // a listener resets what waits there.
        self.listeners.latch_own();
        for _ in 0..DRAIN_ACCEPTS {
            if !self.can_accept() {
                break;
            }
            self.accept_all();
        }
        self.listeners.close();
        self.listeners.pause_until = None;
        // Each connection gets a turn now. The idle ones close, so the shut-down doesn't wait
        // for them.
        for handle in self.slots.handles() {
            if let Some(slot) = self.slots.get(handle) {
                self.run_queue.push(handle, slot, Queued::Soon);
            }
        }
        self.enqueue_all_datagrams();
        self.work = Work::UNLIMITED;
        self.run_soon();
    }

    /// Most connections at once, the reserve included.
    fn most(&self) -> usize {
        (self.options.connections + self.options.reserve).min(CAPACITY)
    }

    /// Whether a connection may be accepted at a listener that is [apart](super::Listener::apart),
    /// or at another one.
    fn may_accept(&self, apart: bool) -> bool {
        let most = if apart { (self.most() + limits::OPERATOR_CONNECTIONS).min(CAPACITY) } else { self.most() };
        self.slots.len() < most && self.figures.accepted < self.accept_limit
    }

    pub(super) fn can_accept(&self) -> bool {
        [false, true].into_iter().any(|apart| self.listeners.any_latched(apart) && self.may_accept(apart))
            && self.listeners.pause_until.is_none_or(|t| t <= self.time.now)
    }

    /// How many connections a shutdown waits for.
    pub(super) fn awaited(&self) -> usize {
        let apart = self.slots.iter().filter(|slot| self.listeners.is_apart(slot.listener)).count();
        self.open() - apart
    }

    /// Starts the connections that protocols have asked for. Those that they ask for because
    /// one failed at once are started in the next pass: events come first.
    pub(super) fn dial_all(&mut self) {
        let (now, is_draining) = (self.time.now, self.drain.is_some());
        for (_, to, protocol) in self.later.extract_if(.., |(at, ..)| *at <= now || is_draining).collect::<Vec<_>>() {
            if !is_draining {
                self.connect(to, protocol);
            }
        }
        if self.dials.is_empty() {
            return;
        }
        for _ in 0..self.dials.len() {
            let Some((handle, to, mut protocol)) = self.dials.pop_front() else { break };
            self.figures.dialled += 1;
            // It has its slot already.
            let fits = self.slots.len() - self.dials.len() <= self.most();
            let transport = if fits { Transport::connect(&to) } else { Err(io::Error::other("too many connections")) };
            match transport {
                Ok(transport) => {
                    if let Some(tap) = &mut self.tap {
                        let path = path_of(&to.endpoint);
                        let (local, peer) = (transport.socket.local(), transport.peer.address());
                        tap.tell(handle, TapEvent::Dialled(TapEnds { local, peer, path }));
                    }
                    self.slots.put(handle, Slot::new(transport, protocol, Reading::No, NO_LISTENER));
                    self.newcomers.push(handle);
                }
                Err(error) => {
                    log::debug!("#{} can't be connected: {error}", handle.number());
                    let peer = Peer::of(&to.endpoint);
                    let ends = Ends { peer, listener: None, socket: None, security: Security::Plain, connected: false };
                    self.ended(handle, &mut protocol, Ending { unsent: 0, error: Some(error) }, ends);
                    self.apply_effects();
                }
            }
        }
        self.hear_newcomers();
    }

    pub(super) fn accept_all(&mut self) {
        self.listeners.pause_until = None;
        for index in 0..self.listeners.len() {
            self.accept_from(index, ACCEPTS);
        }
        self.hear_newcomers();
    }

    /// Takes at most so many connections of one listener.
    pub(super) fn accept_from(&mut self, index: usize, most: usize) {
        for _ in 0..most {
            if self.slots.len() >= self.options.connections {
                // Those that were just taken may be over in one turn.
                self.hear_newcomers();
            }
            if !self.may_accept(self.listeners.is_apart(index as u8)) || !self.accept_one(index) {
                break;
            }
        }
    }

    /// Gives the connections just taken their first turn, as far as the work of a phase
    /// goes: a first turn may be a TLS handshake. They may be younger
    /// than the events of this pass, so the sources are asked once more: what
    /// happened there before a client connected must be known when it is answered.
    fn hear_newcomers(&mut self) {
        if self.newcomers.is_empty() {
            return;
        }
        for source in 0..self.sources {
            P::source_ready(source, &mut self.shared);
        }
        let mut newcomers = std::mem::take(&mut self.newcomers);
        self.work = Work::phase();
        for handle in newcomers.drain(..) {
            if !self.work.is_spent() {
                self.pump(handle);
            } else if let Some(slot) = self.slots.get(handle) {
                self.run_queue.push(handle, slot, Queued::Soon);
            }
        }
        // Empty, but its memory is of use.
        self.newcomers = newcomers;
    }

    /// Ends a connection for which TLS can't be set up.
    #[cold]
    fn refuse(&mut self, handle: Handle, mut protocol: P, failure: TlsFailure, peer: Peer) {
        log::error!("#{}: TLS can't be set up: {failure}", handle.number());
        let ends = Ends { peer, listener: None, socket: None, security: Security::Tls(None), connected: true };
        self.ended(handle, &mut protocol, Ending { unsent: 0, error: Some(failure.into()) }, ends);
        self.tell_closed(handle, None);
        self.apply_effects();
    }

    /// Accepts one connection, which gets its turn soon. False if none is pending.
    fn accept_one(&mut self, index: usize) -> bool {
        // New connections are refused before open ones have to be closed.
        let is_full = self.slots.len() >= self.options.connections || self.figures.held >= self.options.memory / 8 * 7;
        let Some(listening) = self.listeners.get(index).filter(|listening| listening.latched) else { return false };
        let value = listening.value;
        let (socket, peer, readable) = match listening.listener.accept() {
            Ok(accepted) => accepted,
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => {
                    listening.latched = false;
                    return false;
                }
                // That one is gone; the next may be there.
                io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => return true,
                _ => {
                    // No descriptors or no memory: the latch stays, and the
                    // kernel keeps the connections for us.
                    if !self.listeners.starved {
                        log::warn!("can't accept: {error}");
                        self.listeners.starved = true;
                        self.figures.starved += 1;
                    }
                    self.listeners.pause_until = Some(self.time.now.after(PAUSE));
                    return false;
                }
            },
        };
        let is_tls = listening.listener.is_tls();
        let path = self.tap.as_ref().and_then(|_| path_of(&listening.listener.endpoint()));
        let overloaded = is_full && !listening.listener.is_apart();
        self.listeners.starved = false;
        self.figures.accepted += 1;
        let handle = self.slots.reserve();
        let (time, draining) = (self.time, self.drain.is_some());
        let Self { shared, helpers, slots, effects, figures, listeners, tap, .. } = self;
        let security = if is_tls { Security::Tls(None) } else { Security::Plain };
        let ends =
            Ends { peer, listener: listeners.address(index as u8), socket: Some(&socket), security, connected: true };
        if let Some(tap) = tap {
            tap.tell(handle, TapEvent::Accepted(TapEnds { local: ends.local(), peer: ends.peer(), path }));
        }
        let work = Work::turn();
        let mut cx = Context { shared, time, handle, draining, work, helpers, slots, effects, figures, tap };
        let protocol = P::open(&Accepted { listener: value, ends, overloaded }, &mut cx);
        self.apply_effects();
        let Some(protocol) = protocol else {
            self.slots.free(handle);
            self.figures.closed += 1;
            self.tell_closed(handle, None);
            return true;
        };
        // The protocol may have replaced the certificates.
        let tls = self.listeners.get(index).map_or(Ok(None), |listening| listening.listener.tls());
        match tls {
            Ok(tls) => {
                // With deferred accept the first bytes are there. During a shut-down a connection
                // that has sent nothing is closed without waiting for an event.
                let readable = readable || draining;
                let transport = Transport::new(socket, peer, readable, tls);
                let reading = if readable { Reading::Usual } else { Reading::No };
                self.slots.put(handle, Slot::new(transport, protocol, reading, index as u8));
                self.newcomers.push(handle);
            }
            Err(failure) => self.refuse(handle, protocol, failure, peer),
        }
        true
    }
}

/// The path of a unix-domain socket.
fn path_of(endpoint: &Endpoint) -> Option<PathBuf> {
    match endpoint {
        Endpoint::Tcp(_) => None,
        Endpoint::Unix(path) => Some(path.clone()),
    }
}
