//! What waits for the disk, as jobs for a helper thread.

use std::io;
use std::sync::Arc;

use super::about::{About, MessageId};
use super::directory::Directory;

/// Writes a message. If it is dropped, the message isn't kept.
#[must_use]
pub struct WriteJob {
    directory: Arc<Directory>,
    id: MessageId,
    about: Box<About>,
    content: Vec<u8>,
}

/// The result of a [`WriteJob`].
#[must_use]
pub struct Written {
    pub(super) result: io::Result<MessageId>,
}

impl WriteJob {
    pub(super) fn new(directory: Arc<Directory>, id: MessageId, about: About, content: Vec<u8>) -> Self {
        Self { directory, id, about: Box::new(about), content }
    }

    /// Bytes of memory that it holds.
    pub fn memory(&self) -> usize {
        self.content.capacity()
    }

    /// Writes the message; it is durable when this returns. Blocks.
    pub fn run(self) -> Written {
        let Self { directory, id, about, content } = self;
        Written { result: directory.write(id, *about, &content).map(|()| id) }
    }
}

/// Removes messages. If it is dropped, they stay.
#[must_use]
pub struct RemoveJob {
    directory: Arc<Directory>,
    ids: Vec<MessageId>,
}

impl RemoveJob {
    pub(super) fn new(directory: Arc<Directory>, ids: Vec<MessageId>) -> Self {
        Self { directory, ids }
    }

    /// Removes the files of the messages. Blocks.
    ///
    /// # Errors
    /// The first error of the disk. Messages whose files are still there stay in the mailbox.
    pub fn run(self) -> io::Result<()> {
        self.directory.remove(self.ids)
    }
}
