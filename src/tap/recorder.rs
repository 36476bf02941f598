//! The loop's side: copies what it is told, and hands it over between turns.
//!
//! A turn is about one connection. What a protocol says in a turn about the bytes that were received
//! last is said of a record of the same batch, because a batch isn't handed over within a turn. What it
//! says about bytes that are sent next waits until they are.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::batch::{Batch, Fact, add_line};
use super::conversations::Conversations;
use super::handover::Queue;
use super::store::Store;
use crate::capture::Timestamp;
use crate::limits;
use crate::reactor::{Handle, NoteOn, Tap, TapEvent, Tick, Time, start_worker};

/// A batch of this many bytes is handed over.
const BATCH: usize = 64 * 1024;
/// One with less is, when this time has passed.
const WAIT: Duration = Duration::from_millis(100);
/// Two dumps because of incidents are this far apart.
const INCIDENTS: Duration = Duration::from_secs(10);
/// Most connections with notes that wait.
const NOTES: usize = 1024;

/// The tap of a reactor.
pub(super) struct Recorder {
    batch: Batch,
    /// When the first record of the batch came.
    since: Option<Tick>,
    /// The connection of the last event.
    current: Handle,
    /// The record of what it received last, if it is in the batch.
    received: Option<usize>,
    /// The record of what it sent last, if it is.
    sent: Option<usize>,
    /// What is said about bytes that aren't sent yet, once for each connection.
    notes: Vec<(Handle, String)>,
    has_ring: bool,
    /// The ring is to be written when the batch is handed over.
    asked: bool,
    /// When it was last written because of an incident.
    incident: Option<Tick>,
    queue: Arc<Queue>,
    /// The thread's part, before there is a thread.
    store: Option<Box<dyn Store + Send>>,
    /// Says that the thread has ended.
    done: Option<Receiver<()>>,
}

impl Recorder {
    pub(super) fn new(store: Box<dyn Store + Send>, has_ring: bool) -> Self {
        Self {
            batch: Batch::default(),
            since: None,
            current: Handle::NONE,
            received: None,
            sent: None,
            notes: Vec::new(),
            has_ring,
            asked: false,
            incident: None,
            queue: Arc::default(),
            store: Some(store),
            done: None,
        }
    }

    /// Hands the batch over, which a thread takes.
    fn hand_over(&mut self, time: Timestamp) {
        if std::mem::take(&mut self.asked) {
            self.batch.push(Handle::NONE, time, Fact::Asked);
        }
        (self.since, self.received, self.sent) = (None, None, None);
        if self.batch.is_empty() {
            return;
        }
        self.batch = self.queue.push(std::mem::take(&mut self.batch));
        if let Some(store) = self.store.take() {
            self.start(store);
        }
    }

    /// Starts the thread.
    fn start(&mut self, store: Box<dyn Store + Send>) {
        let (queue, (done, is_done)) = (Arc::clone(&self.queue), channel());
        let mut conversations = Conversations::new(store);
        let started = start_worker("tap", move || {
            while let Some(delivery) = queue.next() {
                conversations.take(&delivery);
                queue.give_back(delivery.batch);
            }
            conversations.finish();
            // The loop waits for that, or is gone.
            let _ = done.send(());
        });
        match started {
            Ok(()) => self.done = Some(is_done),
            Err(error) => log::error!("no thread for the tap: {error}; nothing is written to its file"),
        }
    }

    /// What waits to be said about the next bytes of a connection.
    fn take_notes(&mut self, of: Handle) -> String {
        let at = self.notes.iter().position(|(other, _)| *other == of);
        at.map_or_else(String::new, |at| self.notes.swap_remove(at).1)
    }

    fn note(&mut self, of: Handle, on: NoteOn, text: fmt::Arguments<'_>) {
        let at = match on {
            NoteOn::Received => self.received,
            NoteOn::Sent => self.sent,
            NoteOn::Sending => None,
        };
        if self.current == of
            && let Some(record) = at.and_then(|at| self.batch.records.get_mut(at))
        {
            return record.comment(text);
        }
        let is_full = self.notes.len() == NOTES;
        let at = match self.notes.iter().position(|(other, _)| *other == of) {
            Some(at) => at,
            // So many peers don't read what they are sent.
            None if is_full => return,
            None => {
                self.notes.push((of, String::new()));
                self.notes.len() - 1
            }
        };
        add_line(&mut self.notes[at].1, text);
    }

    /// Something went wrong: the ring is written, but not too often.
    fn incident(&mut self, now: Tick) {
        if self.has_ring && self.incident.is_none_or(|last| now.since(last) >= INCIDENTS) {
            self.incident = Some(now);
            self.asked = true;
        }
    }
}

impl Tap for Recorder {
    fn event(&mut self, of: Handle, time: Time, event: TapEvent<'_>) {
        let now = timestamp(time);
        if self.current != of {
            if self.batch.filled() >= BATCH {
                self.hand_over(now);
            }
            (self.current, self.received, self.sent) = (of, None, None);
        }
        self.since.get_or_insert(time.now);
        let batch = &mut self.batch;
        match event {
            TapEvent::Accepted(ends) => _ = batch.push(of, now, Fact::Accepted(Box::new(ends))),
            TapEvent::Dialled(ends) => _ = batch.push(of, now, Fact::Dialled(Box::new(ends))),
            TapEvent::Connected => _ = batch.push(of, now, Fact::Connected),
            TapEvent::PeerEnded => _ = batch.push(of, now, Fact::PeerEnded),
            TapEvent::Received(bytes) => {
                let piece = batch.piece(bytes);
                self.received = Some(batch.records.len());
                batch.push(of, now, Fact::Received(piece));
            }
            TapEvent::Sent(bytes) => {
                let piece = batch.piece(bytes);
                let comment = self.take_notes(of);
                self.sent = Some(self.batch.records.len());
                self.batch.push(of, now, Fact::Sent(piece)).comment = comment;
            }
            TapEvent::Ended => {
                let comment = self.take_notes(of);
                self.batch.push(of, now, Fact::Ended).comment = comment;
            }
            TapEvent::Closed(end, why) => {
                let comment = self.take_notes(of);
                let record = self.batch.push(of, now, Fact::Closed(end));
                record.comment = comment;
                if let Some(why) = why {
                    record.comment(format_args!("connection {} closed: {why}", of.number()));
                }
            }
            TapEvent::Datagram { from, to, bytes } => {
                let piece = batch.piece(bytes);
                batch.push(of, now, Fact::Datagram(Box::new((from, to)), piece));
            }
            TapEvent::Secrets(lines) => {
                let piece = batch.piece(lines);
                let at = self.received.unwrap_or(batch.records.len());
                batch.insert(at, of, now, Fact::Secrets(piece));
                self.received = self.received.map(|at| at + 1);
                self.sent = self.sent.map(|sent| if sent >= at { sent + 1 } else { sent });
            }
            TapEvent::Note(on, text) => self.note(of, on, text),
            TapEvent::Incident => self.incident(time.now),
            TapEvent::Asked => self.asked |= self.has_ring,
        }
    }

    fn before_wait(&mut self, time: Time, quiet: bool) -> Option<Duration> {
        self.current = Handle::NONE;
        let since = self.since?;
        let waited = time.now.since(since);
        if quiet || self.asked || waited >= WAIT || self.batch.filled() >= BATCH {
            self.hand_over(timestamp(time));
            return None;
        }
        Some(WAIT - waited)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let last = self.batch.records.last().map(|record| record.time).unwrap_or_default();
        self.hand_over(last);
        self.queue.close();
        if let Some(done) = &self.done
            && done.recv_timeout(limits::TAP_PATIENCE).is_err()
        {
            log::error!("the tap isn't written to its end: the disk is too slow");
        }
    }
}

fn timestamp(time: Time) -> Timestamp {
    Timestamp((time.unix_seconds * 1_000_000 + i64::from(time.unix_micros)) * 1_000)
}
