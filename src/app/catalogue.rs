//! The built-in applications, with their names and usual paths.

use super::board::{self, Board};
use super::counter::Counter;
use super::login::{Home, Login, Logout};
use super::quiz::{Quiz, Quizzing};
use super::{App, lab};
use crate::auth::Users;
use crate::durable::Store;
use crate::session::{self, key::Keys};

/// What built-in applications need.
pub struct Supplies {
    /// The users who can log in.
    pub users: Users,
    /// The keys that sign.
    pub keys: Keys,
    /// The name of the session's cookie.
    pub session_cookie: String,
    /// The questions of the quiz.
    pub quiz: Quiz,
    /// The store of the board's posts. If there is none, or for a second board, they are in
    /// memory.
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
    /// Its name in options.
    pub name: &'static str,
    /// Its usual path.
    pub path: &'static str,
    /// Makes it.
    pub make: fn(&mut Supplies) -> Box<dyn App>,
    /// It is useful only if there are users.
    pub for_users: bool,
}

/// All built-in applications.
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

/// The application with this name.
pub fn find(name: &str) -> Option<&'static Entry> {
    ALL.iter().find(|entry| entry.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::Routes;

    #[test]
    fn names_and_paths_are_unique_and_can_be_mounted() {
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
