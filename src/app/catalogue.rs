//! The built-in applications: what they are called, and where they usually are.

use super::board::{self, Board};
use super::counter::Counter;
use super::login::{Home, Login, Logout};
use super::quiz::{Quiz, Quizzing};
use super::{App, lab};
use crate::auth::Users;
use crate::durable::Store;
use crate::session::{self, key::Keys};

/// What applications are made of, beside their code.
pub struct Supplies {
    /// Who can log in.
    pub users: Users,
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
        Self { users: Users::empty(), keys, session_cookie, quiz: Quiz::built_in(), posts: None }
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
    /// It makes sense only if there are users.
    pub for_users: bool,
}

/// All of them.
pub const ALL: &[Entry] = &[
    for_users("login", "/login", |supplies| Box::new(Login::new(supplies.users.clone()))),
    for_users("home", "/home", |_| Box::new(Home)),
    for_users("logout", "/logout", |_| Box::new(Logout)),
    entry("counter", "/counter", |_| Box::new(Counter)),
    entry("quiz", "/quiz", |supplies| Box::new(Quizzing(supplies.quiz.clone()))),
    entry("board", "/board", |supplies| {
        let store = supplies.posts.take();
        Box::new(Board::new(store.unwrap_or_else(|| Store::in_memory(board::CAPACITY))))
    }),
    entry("hello", "/lab/hello", |_| Box::new(lab::Hello)),
    entry("status", "/lab/status", |_| Box::new(lab::StatusCode)),
    entry("echo", "/lab/echo", |_| Box::new(lab::Echo)),
    entry("digest", "/lab/digest", |_| Box::new(lab::Digest)),
    entry("inspect", "/lab/inspect", |_| Box::new(lab::Inspect)),
    entry("cookies", "/lab/cookies", |supplies| Box::new(lab::Cookies { reserved: supplies.session_cookie.clone() })),
    entry("stream", "/lab/stream", |_| Box::new(lab::Stream)),
    entry("track", "/lab/track", |supplies| Box::new(lab::Track { keys: supplies.keys.clone() })),
    entry("badge", "/lab/badge", |_| Box::new(lab::Badge)),
    entry("panic", "/lab/panic", |_| Box::new(lab::Panic)),
];

const fn entry(name: &'static str, path: &'static str, make: fn(&mut Supplies) -> Box<dyn App>) -> Entry {
    Entry { name, path, make, for_users: false }
}

const fn for_users(name: &'static str, path: &'static str, make: fn(&mut Supplies) -> Box<dyn App>) -> Entry {
    Entry { name, path, make, for_users: true }
}

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
