//! How many connections are in each phase.

/// The phases of a connection, in the order of a request's life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// Between two requests.
    Idle,
    /// A head is read.
    Head,
    /// A body is read.
    Body,
    /// The request waits for a job or a store.
    Waiting,
    /// A file is sent.
    SendingFile,
    /// Other content is sent.
    Sending,
    /// Events are sent as they happen.
    Watching,
    /// Another server answers.
    Proxied,
    /// Bytes pass unchanged between the client and another server.
    Tunnel,
    /// The connection ends.
    Closing,
}

impl Phase {
    const COUNT: usize = Self::Closing as usize + 1;
    /// Their names, in their order.
    const NAMES: [&str; Self::COUNT] =
        ["idle", "head", "body", "waiting", "sending_file", "sending", "watching", "proxied", "tunnel", "closing"];
}

/// The number of connections in each phase.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Census([u32; Phase::COUNT]);

impl Census {
    /// Each phase with its number of connections.
    pub(super) fn all(&self) -> impl Iterator<Item = (&'static str, u32)> {
        Phase::NAMES.into_iter().zip(self.0)
    }

    /// Counts a connection that enters this phase.
    pub(super) fn enter(&mut self, phase: Phase) {
        self.0[phase as usize] += 1;
    }

    /// Counts a connection that leaves this phase.
    pub(super) fn leave(&mut self, phase: Phase) {
        self.0[phase as usize] -= 1;
    }
}
