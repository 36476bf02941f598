//! The built-in applications: what they are called, and where they usually are.

use super::board::{self, Board};
use super::counter::Counter;
use super::quiz::{Quiz, Quizzing};
use super::{App, lab};
use crate::durable::Store;
use crate::session::{self, key::Keys};

/// What applications are made of, beside their code.
pub struct Supplies {
    /// What signs.
    pub keys: Keys,
    /// The name of the session's cookie.
    pub session_cookie: String,
    /// What the quiz asks.
    pub quiz: Quiz,
    /// Where the board keeps its posts; without it, or for a second board, in memory.
    pub posts: Option<Store>,
}

impl Default for Supplies {
    fn default() -> Self {
        let (keys, session_cookie) = (Keys::random(), session::COOKIE.to_owned());
        Self { keys, session_cookie, quiz: Quiz::built_in(), posts: None }
    }
}

/// A built-in application.
pub struct Entry {
    /// By which options name it.
    pub name: &'static str,
    /// Where it is mounted usually.
    pub path: &'static str,
    /// A new one.
    pub make: fn(&mut Supplies) -> Box<dyn App>,
}

/// All of them.
pub const ALL: &[Entry] = &[
    Entry { name: "counter", path: "/counter", make: |_| Box::new(Counter) },
    Entry { name: "quiz", path: "/quiz", make: |supplies| Box::new(Quizzing(supplies.quiz.clone())) },
    Entry {
        name: "board",
        path: "/board",
        make: |supplies| {
            let store = supplies.posts.take();
            Box::new(Board::new(store.unwrap_or_else(|| Store::in_memory(board::CAPACITY))))
        },
    },
    Entry { name: "hello", path: "/lab/hello", make: |_| Box::new(lab::Hello) },
    Entry { name: "status", path: "/lab/status", make: |_| Box::new(lab::StatusCode) },
    Entry { name: "echo", path: "/lab/echo", make: |_| Box::new(lab::Echo) },
    Entry { name: "inspect", path: "/lab/inspect", make: |_| Box::new(lab::Inspect) },
    Entry {
        name: "cookies",
        path: "/lab/cookies",
        make: |supplies| Box::new(lab::Cookies { reserved: supplies.session_cookie.clone() }),
    },
    Entry { name: "stream", path: "/lab/stream", make: |_| Box::new(lab::Stream) },
    Entry { name: "track", path: "/lab/track", make: |supplies| Box::new(lab::Track { keys: supplies.keys.clone() }) },
    Entry { name: "badge", path: "/lab/badge", make: |_| Box::new(lab::Badge) },
    Entry { name: "panic", path: "/lab/panic", make: |_| Box::new(lab::Panic) },
];

/// The one of that name.
pub fn find(name: &str) -> Option<&'static Entry> {
    ALL.iter().find(|entry| entry.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::Routes;

    #[test]
    fn names_and_places_are_taken_once_and_can_be_mounted() {
        let mut routes = Routes::default();
        for (at, entry) in ALL.iter().enumerate() {
            assert!(ALL[..at].iter().all(|other| other.name != entry.name && other.path != entry.path));
            routes.mount(entry.path, (entry.make)(&mut Supplies::default())).unwrap();
            assert!(find(entry.name).is_some_and(|found| found.path == entry.path));
        }
        for name in ["", "Hello", "hello/", "lab"] {
            assert!(find(name).is_none(), "{name}");
        }
    }
}
