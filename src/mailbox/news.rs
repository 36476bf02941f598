//! What happened to the mailbox, in numbered events for clients that follow it.
//!
//! The last events are kept, once for all clients. The first number is a random one: so the number of an
//! event of another mailbox, like the one before a restart, is hardly ever a number of this one.

use std::collections::VecDeque;

use super::about::MessageId;
use crate::limits;

/// Something that happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// A message is new.
    New(MessageId),
    /// A message is gone.
    Removed(MessageId),
    /// All messages are gone.
    Cleared,
}

/// The last events.
pub(super) struct News {
    events: VecDeque<Event>,
    /// The number of the last event.
    last: u64,
}

impl Default for News {
    fn default() -> Self {
        let mut random = [0; 4];
        // Without random numbers, events of an earlier mailbox may be taken for events of this one.
        let _ = getrandom::fill(&mut random);
        // Exact in JavaScript, and a million events away from the next.
        Self { events: VecDeque::new(), last: u64::from(u32::from_le_bytes(random)) << 20 }
    }
}

impl News {
    /// The number of the last event.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Adds an event. The oldest is forgotten if there are too many.
    pub(super) fn push(&mut self, event: Event) {
        self.last += 1;
        self.events.push_back(event);
        if self.events.len() > limits::MAILBOX_EVENTS {
            self.events.pop_front();
        }
    }

    /// The events after number `seen`; none if some of them aren't kept, or there is no such number.
    pub(super) fn after(&self, seen: u64) -> Option<impl Iterator<Item = (u64, Event)>> {
        let missed = usize::try_from(self.last.checked_sub(seen)?).ok()?;
        let first = self.events.len().checked_sub(missed)?;
        Some((seen + 1..).zip(self.events.range(first..).copied()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_events_are_kept_and_numbers_of_others_are_unknown() {
        let mut news = News::default();
        let begin = news.last();
        assert_eq!(news.after(begin).unwrap().count(), 0);
        for _ in 0..limits::MAILBOX_EVENTS {
            news.push(Event::Cleared);
        }
        news.push(Event::New(MessageId::FIRST));
        let last = news.last();
        assert_eq!(last, begin + limits::MAILBOX_EVENTS as u64 + 1);
        assert_eq!(news.after(last - 1).unwrap().collect::<Vec<_>>(), [(last, Event::New(MessageId::FIRST))]);
        assert_eq!(news.after(begin + 1).unwrap().count(), limits::MAILBOX_EVENTS);
        for seen in [begin, begin.wrapping_sub(1), last + 1, u64::MAX] {
            assert!(news.after(seen).is_none(), "{seen}");
        }
    }
}
