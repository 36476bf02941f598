//! Requests that wait because each upstream has as many as it should have.
//!
//! First come, first served. An exchange that ends sends a message to the first that waits, which
//! then looks whether there is room for it; when it goes on, it tells the next. One that goes away
//! leaves the queue, and so does one that has waited too long.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use super::ExchangeId;
use crate::limits;
use crate::reactor::Tick;
use crate::service::{Cx, Message};

/// The exchanges that wait for the upstreams of a proxy.
#[derive(Default)]
pub struct Queue {
    waiting: RefCell<VecDeque<ExchangeId>>,
}

/// A place in a queue; it is left when this is dropped.
pub struct Place {
    queue: Rc<Queue>,
    exchange: ExchangeId,
    until: Tick,
}

impl Queue {
    /// The last place; none if too many wait.
    pub(super) fn enter(self: &Rc<Self>, exchange: ExchangeId, now: Tick) -> Option<Place> {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() >= limits::UPSTREAM_QUEUE {
            return None;
        }
        waiting.push_back(exchange);
        Some(Place { queue: Rc::clone(self), exchange, until: now.after(limits::UPSTREAM_QUEUE_TIMEOUT) })
    }

    /// Whether nobody has waited longer than this exchange.
    pub(super) fn is_turn_of(&self, exchange: ExchangeId) -> bool {
        self.waiting.borrow().front().is_none_or(|first| *first == exchange)
    }

    /// An exchange has ended, or has left the queue: the first of the others looks whether there is
    /// room for it.
    pub(crate) fn wake(&self, ended: ExchangeId, cx: &mut Cx<'_>) {
        if let Some(first) = self.waiting.borrow().iter().find(|one| **one != ended) {
            cx.send(first.client, Message::Room);
        }
    }
}

impl Place {
    /// When it has waited long enough.
    pub(crate) fn until(&self) -> Tick {
        self.until
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.queue.waiting.borrow_mut().retain(|one| *one != self.exchange);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reactor::Handle;

    fn exchange(request: u32) -> ExchangeId {
        ExchangeId { client: Handle::for_test(1), request }
    }

    #[test]
    fn it_is_first_come_first_served_and_limited() {
        let queue = Rc::new(Queue::default());
        let now = Tick::default();
        assert!(queue.is_turn_of(exchange(7)), "nobody waits");
        let mut places: Vec<Place> = (0..).map_while(|number| queue.enter(exchange(number), now)).collect();
        assert_eq!(places.len(), limits::UPSTREAM_QUEUE);
        assert_eq!(places[0].until(), now.after(limits::UPSTREAM_QUEUE_TIMEOUT));
        assert!(queue.is_turn_of(exchange(0)) && !queue.is_turn_of(exchange(1)) && !queue.is_turn_of(exchange(9_999)));
        drop(places.remove(1));
        assert!(queue.enter(exchange(9_999), now).is_some());
        drop(places.remove(0));
        assert!(queue.is_turn_of(exchange(2)));
    }
}
