//! The ciphertext that is lent to a connection for its turn.

use super::super::buffers::Output;
use super::super::input::Input;

/// Buffers for ciphertext, made for the first TLS connection.
#[derive(Default)]
pub(in super::super) struct Ciphertext {
    /// Received and not yet decrypted.
    pub(in super::super) received: Input,
    /// Encrypted and not yet sent.
    pub(in super::super) sealed: Output,
    /// A piece of a file, before it is encrypted.
    pub(in super::super) piece: Vec<u8>,
}

/// The lent buffers, made for the first connection that needs them.
pub(in super::super) type LentCiphertext = Option<Box<Ciphertext>>;

impl Ciphertext {
    /// Drops everything.
    pub(in super::super) fn clear(&mut self) {
        self.received.clear();
        self.sealed.clear();
    }

    /// Has the buffers take so many bytes at once, from now on.
    pub(in super::super) fn set_window(&mut self, window: usize) {
        self.received.set_window(window);
        self.sealed.set_window(window);
    }

    /// Most bytes that are encrypted at once.
    pub(in super::super) fn most(&self) -> usize {
        self.sealed.most() / 2
    }

    /// Whether so much is encrypted that it should be sent before more is.
    pub(in super::super) fn is_full(&self) -> bool {
        self.sealed.room() == 0
    }
}
