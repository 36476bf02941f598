//! The messages that were received by mail, kept for those who look at them.
//!
//! ```text
//!   receive ──▶ in memory: kept at once, an event
//!          └──▶ on disk:  WriteJob ── a helper thread writes, syncs, renames ──▶ kept, an event
//!   remove, clear ──▶ RemoveJob ── it removes the files ──▶ gone, an event
//! ```
//!
//! In memory a message has its content with it. On disk only what the list shows is in memory, and the
//! content is read from its file by a helper thread. A message is kept byte for byte as it was received.
//!
//! **Memory follows the disk.** A job leaves what it did in the directory that it shares with the mailbox,
//! and each call applies that first. So a message is in the list once its file is durable, and leaves it
//! once its file is removed, even if nobody waits for the job any more.
//!
//! There is room for a number of messages and of bytes. When there is too much, the oldest go; their files
//! are removed by the next job. A client that follows the events and missed too many starts again with the list.
//!
//! This layer has no socket and reads no clock.

mod about;
mod directory;
mod job;
mod message;
pub mod mime;
mod news;

use std::cell::{RefCell, RefMut};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

pub use about::{About, Envelope, MessageId};
pub use job::{RemoveJob, WriteJob, Written};
pub use message::{Content, Message};
pub use news::Event;

use directory::{Directory, Finished};
use mime::Summary;
use news::News;

use crate::limits;

/// How much there is room for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// The most messages.
    pub messages: usize,
    /// The most bytes of all messages together, with their envelopes. The newest message stays, also if
    /// it is larger.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { messages: limits::MAILBOX_MESSAGES, bytes: limits::MAILBOX_BYTES }
    }
}

/// What became of a message that was received.
pub enum Receiving {
    /// It is kept.
    Kept(MessageId),
    /// It is kept once this job is done.
    Write(WriteJob),
}

/// What became of messages that are to be removed.
pub enum Removing {
    /// They are removed.
    Done,
    /// They are removed once this job is done.
    Job(RemoveJob),
}

/// The messages.
pub struct Mailbox {
    limits: Limits,
    messages: BTreeMap<MessageId, Message>,
    /// What they take, as the limits count it.
    bytes: u64,
    /// The number of the next message.
    next: MessageId,
    news: News,
    directory: Option<Arc<Directory>>,
}

impl Mailbox {
    /// An empty mailbox in memory.
    pub fn in_memory(limits: Limits) -> Self {
        let news = News::default();
        Self { limits, messages: BTreeMap::new(), bytes: 0, next: MessageId::FIRST, news, directory: None }
    }

    /// The mailbox in a directory, which is created if it doesn't exist. Files that are damaged, or none of
    /// ours, are skipped with a warning. Blocks.
    ///
    /// # Errors
    /// `ResourceBusy` if another process has it open, and those of the system.
    pub fn open(path: &Path, limits: Limits) -> io::Result<Self> {
        let (directory, found) = Directory::open(path)?;
        let mut mailbox = Self::in_memory(limits);
        mailbox.next = found.next;
        mailbox.directory = Some(Arc::new(directory));
        for (id, about) in found.messages {
            mailbox.keep(id, about, None);
        }
        // Nobody has seen these; what happened before is no news.
        mailbox.news = News::default();
        if let Some(directory) = &mailbox.directory {
            directory.remove_doomed();
        }
        Ok(mailbox)
    }

    /// Takes a message, as it came after unstuffing, at this Unix second.
    pub fn receive(&mut self, envelope: Envelope, mut content: Vec<u8>, now: i64) -> Receiving {
        self.settle();
        let id = self.next;
        self.next = id.next();
        let summary = Summary::of(&content);
        let about = About { received: now, size: content.len() as u64, envelope, summary };
        match &self.directory {
            None => {
                content.shrink_to_fit();
                self.keep(id, about, Some(Arc::new(content)));
                Receiving::Kept(id)
            }
            Some(directory) => Receiving::Write(WriteJob::new(Arc::clone(directory), id, about, content)),
        }
    }

    /// The result of a job of [`receive`](Self::receive): the message is kept.
    ///
    /// # Errors
    /// Those of the disk. Then the message isn't kept.
    pub fn written(&mut self, written: Written) -> io::Result<MessageId> {
        self.settle();
        written.result
    }

    /// All messages, the oldest first.
    pub fn list(&mut self) -> impl DoubleEndedIterator<Item = &Message> + ExactSizeIterator {
        self.settle();
        self.messages.values()
    }

    /// A message, if there is one with this number.
    pub fn get(&mut self, id: MessageId) -> Option<&Message> {
        self.settle();
        self.messages.get(&id)
    }

    /// Removes a message. None if there is none with this number.
    pub fn remove(&mut self, id: MessageId) -> Option<Removing> {
        self.settle();
        self.messages.contains_key(&id).then(|| self.remove_all(vec![id]))
    }

    /// Removes all messages that are there now.
    pub fn clear(&mut self) -> Removing {
        self.settle();
        self.remove_all(self.messages.keys().copied().collect())
    }

    /// The number of the last event.
    pub fn last_event(&mut self) -> u64 {
        self.settle();
        self.news.last()
    }

    /// The events after number `seen`, with their numbers. None if some of them are gone, or `seen` is the
    /// number of an event of another mailbox: then only the list helps.
    pub fn events(&mut self, seen: u64) -> Option<impl Iterator<Item = (u64, Event)>> {
        self.settle();
        self.news.after(seen)
    }

    /// What all messages take, in bytes, as the limits count it.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn remove_all(&mut self, ids: Vec<MessageId>) -> Removing {
        match &self.directory {
            None => {
                self.forget(&ids);
                Removing::Done
            }
            Some(directory) => Removing::Job(RemoveJob::new(Arc::clone(directory), ids)),
        }
    }

    /// Applies what jobs have done.
    fn settle(&mut self) {
        let Some(directory) = &self.directory else { return };
        for finished in directory.take_finished() {
            match finished {
                Finished::Written(id, about) => self.keep(id, about, None),
                Finished::Removed(ids) => self.forget(&ids),
            }
        }
    }

    /// Puts a message into the list, whose content is on disk if it isn't here.
    fn keep(&mut self, id: MessageId, about: About, content: Option<Arc<Vec<u8>>>) {
        let content = match (content, &self.directory) {
            (Some(content), _) => Content::Memory(content),
            (None, Some(directory)) => Content::Disk(Arc::clone(directory), id),
            (None, None) => return,
        };
        let message = Message { id, about, content };
        self.bytes += message.about.cost();
        if let Some(old) = self.messages.insert(id, message) {
            self.bytes -= old.about.cost();
        }
        self.news.push(Event::New(id));
        while self.messages.len() > self.limits.messages.max(1)
            || (self.bytes > self.limits.bytes && self.messages.len() > 1)
        {
            let Some((oldest, message)) = self.messages.pop_first() else { break };
            self.bytes -= message.about.cost();
            self.news.push(Event::Removed(oldest));
            if let Some(directory) = &self.directory {
                directory.doom(oldest);
            }
        }
    }

    /// Takes messages out of the list.
    fn forget(&mut self, ids: &[MessageId]) {
        let removed: Vec<_> = ids.iter().filter_map(|id| self.messages.remove(id)).collect();
        self.bytes -= removed.iter().map(|message| message.about.cost()).sum::<u64>();
        if self.messages.is_empty() && removed.len() > 1 {
            self.news.push(Event::Cleared);
        } else {
            removed.iter().for_each(|message| self.news.push(Event::Removed(message.id)));
        }
    }
}

/// A mailbox that a mail server and an application share.
pub struct SharedMailbox(RefCell<Mailbox>);

impl SharedMailbox {
    /// Shares a mailbox.
    pub fn new(mailbox: Mailbox) -> Rc<Self> {
        Rc::new(Self(RefCell::new(mailbox)))
    }

    /// The mailbox, for one call.
    pub fn borrow(&self) -> RefMut<'_, Mailbox> {
        self.0.borrow_mut()
    }
}

#[cfg(test)]
mod tests;
