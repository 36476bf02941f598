//! A message that is kept, and where its content is.

use std::io;
use std::sync::Arc;

use super::about::{About, MessageId};
use super::directory::Directory;

/// A message.
pub struct Message {
    /// Its number.
    pub id: MessageId,
    /// What is known about it.
    pub about: About,
    /// Its content.
    pub content: Content,
}

/// The content of a message: header section and body as they were received.
#[derive(Clone)]
pub enum Content {
    /// It is here.
    Memory(Arc<Vec<u8>>),
    /// It is in the file of the message.
    Disk(Arc<Directory>, MessageId),
}

impl Content {
    /// Reads it. Blocks if it is on disk: for a helper thread.
    ///
    /// # Errors
    /// `NotFound` if the message was removed, `InvalidData` if its file is damaged, and those of the system.
    pub fn read(self) -> io::Result<Arc<Vec<u8>>> {
        match self {
            Self::Memory(content) => Ok(content),
            Self::Disk(directory, id) => directory.read(id).map(Arc::new),
        }
    }
}
