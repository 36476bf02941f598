//! The built-in applications, with their names and usual paths.

use super::board::{self, Board};
use super::counter::Counter;
use super::login::{Home, Login, Logout};
use super::quiz::{Quiz, Quizzing};
use super::{App, lab};
use crate::auth::Users;
use crate::durable::Store;
use crate::http::language::Languages;
use crate::session::{self, key::Keys};

/// What built-in applications need.
pub struct Supplies {
    /// The users who can log in.
    pub users: Users,
    /// The users are those of the demonstration.
    pub demonstration: bool,
    /// The prefixes and names of all applications that are mounted beside them.
    pub mounted: Vec<(String, String)>,
    /// The order of languages in which files are chosen.
    pub languages: Languages,
    /// The keys that sign.
    pub keys: Keys,
    /// The name of the session's cookie.
    pub session_cookie: String,
    /// The questions of the quiz. If there are none, it has the built-in ones, which are read when it is made: most
    /// hosts have no quiz.
    pub quiz: Option<Quiz>,
    /// The store of the board's posts. If there is none, or for a second board, they are in
    /// memory.
    pub posts: Option<Store>,
}

impl Default for Supplies {
    fn default() -> Self {
        Self {
            users: Users::empty(),
            demonstration: false,
            mounted: Vec::new(),
            languages: languages(),
            keys: Keys::random(),
            session_cookie: session::COOKIE.to_owned(),
            quiz: None,
            posts: None,
        }
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
    /// If it is a part of the laboratory: what it does, and what makes its path an example.
    lab: Option<(&'static str, Option<&'static str>)>,
}

/// All built-in applications.
pub const ALL: &[Entry] = &[
    for_users("login", "/login", |supplies| Box::new(Login::new(supplies.users.clone(), supplies.demonstration))),
    for_users("home", "/home", |_| Box::new(Home)),
    for_users("logout", "/logout", |_| Box::new(Logout)),
    entry("counter", "/counter", |_| Box::new(Counter)),
    entry("quiz", "/quiz", |supplies| Box::new(Quizzing(supplies.quiz.clone().unwrap_or_else(Quiz::built_in)))),
    entry("board", "/board", |supplies| {
        let store = supplies.posts.take();
        Box::new(Board::new(store.unwrap_or_else(|| Store::in_memory(board::CAPACITY))))
    }),
    entry("lab", "/lab", |supplies| Box::new(lab::Index { parts: lab_parts(&supplies.mounted) })),
    entry("hello", "/lab/hello", |_| Box::new(lab::Hello)).in_lab("a greeting", Some("?name=Ada")),
    entry("status", "/lab/status", |_| Box::new(lab::StatusCode))
        .in_lab("a response with this status code", Some("/404")),
    entry("echo", "/lab/echo", |_| Box::new(lab::Echo)).in_lab("the body of the request: curl -d TEXT", None),
    entry("digest", "/lab/digest", |_| Box::new(lab::Digest))
        .in_lab("the SHA-256 and the size of an upload: curl -T FILE", None),
    entry("inspect", "/lab/inspect", |_| Box::new(lab::Inspect))
        .in_lab("the request as the server parsed it", Some("?colour=blue")),
    entry("tls", "/lab/tls", |_| Box::new(lab::Tls))
        .in_lab("what protects this connection, and what everybody on the way reads of it", Some("")),
    entry("mixed", "/lab/mixed", |_| Box::new(lab::Mixed))
        .in_lab("a page over https with parts over http, and cookies over both", Some("")),
    for_users("login-only", "/lab/login-only", |supplies| {
        let login = supplies.mounted.iter().find(|(_, name)| name == "login").map(|(prefix, _)| prefix.clone());
        Box::new(lab::LoginOnly::new(supplies.users.clone(), supplies.demonstration, login))
    })
    .in_lab("a login by HTTPS with a session by HTTP, and what is wrong with it", Some("")),
    entry("cookies", "/lab/cookies", |supplies| Box::new(lab::Cookies { reserved: supplies.session_cookie.clone() }))
        .in_lab("the cookies of the request", Some("")),
    entry("negotiate", "/lab/negotiate", |supplies| {
        Box::new(lab::Negotiate { linked: supplies.demonstration, languages: supplies.languages.clone() })
    })
    .in_lab("which of several representations the client gets, and why", Some("")),
    entry("stream", "/lab/stream", |_| Box::new(lab::Stream))
        .in_lab("ten chunks, one every 300 ms", Some("?chunks=10&ms=300")),
    entry("track", "/lab/track", |supplies| Box::new(lab::Track { keys: supplies.keys.clone() }))
        .in_lab("a count in a cookie, a form field and a query string", Some("")),
    entry("badge", "/lab/badge", |_| Box::new(lab::Badge))
        .in_lab("a picture of the numbers of connection and request", Some("?n=1")),
    entry("panic", "/lab/panic", |_| Box::new(lab::Panic))
        .in_lab("an application that panics; the response is a 500", Some("")),
];

/// The languages of the demonstration, in their order.
pub fn languages() -> Languages {
    Languages::parse("en,de,zh-CN").unwrap_or_default()
}

const fn entry(name: &'static str, path: &'static str, make: fn(&mut Supplies) -> Box<dyn App>) -> Entry {
    Entry { name, path, make, for_users: false, lab: None }
}

const fn for_users(name: &'static str, path: &'static str, make: fn(&mut Supplies) -> Box<dyn App>) -> Entry {
    Entry { for_users: true, ..entry(name, path, make) }
}

impl Entry {
    /// Whether a server that has users has it, without being asked for it. The laboratory is for
    /// the demonstration, and for those who ask for it.
    pub fn is_usual_for_users(&self) -> bool {
        self.for_users && self.lab.is_none()
    }

    /// As a part of the laboratory.
    const fn in_lab(self, about: &'static str, example: Option<&'static str>) -> Self {
        Self { lab: Some((about, example)), ..self }
    }
}

/// The parts of the laboratory among these applications.
fn lab_parts(mounted: &[(String, String)]) -> Vec<lab::Part> {
    let parts = mounted.iter().filter_map(|(prefix, name)| {
        let (about, example) = find(name)?.lab?;
        Some(lab::Part { path: prefix.trim_end_matches('/').to_owned(), about, example })
    });
    parts.collect()
}

/// The application with this name.
pub fn find(name: &str) -> Option<&'static Entry> {
    ALL.iter().find(|entry| entry.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::prefix_map;

    #[test]
    fn names_and_paths_are_unique_and_can_be_mounted() {
        for (at, entry) in ALL.iter().enumerate() {
            assert!(ALL[..at].iter().all(|other| other.name != entry.name && other.path != entry.path));
            assert!(prefix_map::normalise(entry.path).is_some());
            (entry.make)(&mut Supplies::default());
            assert!(find(entry.name).is_some_and(|found| found.path == entry.path));
        }
        for name in ["", "Hello", "hello/", "laboratory"] {
            assert!(find(name).is_none(), "{name}");
        }
    }
}
