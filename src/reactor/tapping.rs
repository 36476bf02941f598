//! How a reactor gets a tap, and what it and protocols tell it beside what the system calls do.

use std::fmt;
use std::io;

use super::protocol::{Context, Protocol};
use super::signals::Signals;
use super::slots::Handle;
use super::tap::{Ended, NoteOn, Observer, Tap, TapEnd, TapEvent, TapOptions};
use super::{Reactor, TAP_SIGNAL};

impl<P: Protocol> Reactor<P> {
    /// Has all that comes and goes told to a tap, from now on.
    ///
    /// # Errors
    /// If the system refuses the signal that asks the tap.
    pub fn tap(&mut self, tap: Box<dyn Tap>, options: TapOptions) -> io::Result<()> {
        let asks = options.by_signal.then(|| Signals::of_window(self.poll.registry(), TAP_SIGNAL)).transpose()?;
        self.tap = Some(Box::new(Observer::new(tap, options, asks)));
        Ok(())
    }

    /// Tells the tap that the connections end which are still there at the end.
    pub(super) fn end_tap(&mut self) {
        let Some(tap) = self.tap.as_mut().filter(|_| self.over) else { return };
        for handle in self.slots.handles() {
            tap.tell(handle, TapEvent::Closed(TapEnd::Orderly, None));
        }
    }

    /// A signal asks the tap.
    pub(super) fn tap_asked(&mut self) {
        if let Some(tap) = &mut self.tap {
            tap.asked();
        }
    }

    /// Tells the tap that a connection was closed, in this way. None: before its first turn.
    pub(super) fn tell_closed(&mut self, handle: Handle, how: Option<Ended>) {
        if let Some(tap) = &mut self.tap {
            let (end, why) = how.unwrap_or((TapEnd::Orderly, None));
            tap.tell(handle, TapEvent::Closed(end, why.as_ref()));
        }
    }
}

impl<P: Protocol> Context<'_, P> {
    /// Whether there is a tap.
    #[inline(always)]
    pub fn is_tapped(&self) -> bool {
        self.tap.is_some()
    }

    /// Tells the tap something about bytes of this connection, if there is a tap.
    #[cold]
    pub fn note(&mut self, on: NoteOn, text: fmt::Arguments<'_>) {
        if let Some(tap) = self.tap {
            tap.tell(self.handle, TapEvent::Note(on, text));
        }
    }

    /// Tells the tap that something went wrong, if there is a tap.
    #[cold]
    pub fn incident(&mut self) {
        if let Some(tap) = self.tap {
            tap.tell(self.handle, TapEvent::Incident);
        }
    }
}
