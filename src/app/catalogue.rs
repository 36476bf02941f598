//! The built-in applications: what they are called, and where they usually are.

use super::counter::Counter;
use super::{App, lab};

/// A built-in application.
pub struct Entry {
    /// By which options name it.
    pub name: &'static str,
    /// Where it is mounted usually.
    pub path: &'static str,
    /// A new one.
    pub make: fn() -> Box<dyn App>,
}

/// All of them.
pub const ALL: &[Entry] = &[
    Entry { name: "counter", path: "/counter", make: || Box::new(Counter) },
    Entry { name: "hello", path: "/lab/hello", make: || Box::new(lab::Hello) },
    Entry { name: "status", path: "/lab/status", make: || Box::new(lab::StatusCode) },
    Entry { name: "echo", path: "/lab/echo", make: || Box::new(lab::Echo) },
    Entry { name: "inspect", path: "/lab/inspect", make: || Box::new(lab::Inspect) },
    Entry { name: "cookies", path: "/lab/cookies", make: || Box::new(lab::Cookies) },
    Entry { name: "stream", path: "/lab/stream", make: || Box::new(lab::Stream) },
    Entry { name: "badge", path: "/lab/badge", make: || Box::new(lab::Badge) },
    Entry { name: "panic", path: "/lab/panic", make: || Box::new(lab::Panic) },
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
            routes.mount(entry.path, (entry.make)()).unwrap();
            assert!(find(entry.name).is_some_and(|found| found.path == entry.path));
        }
        for name in ["", "Hello", "hello/", "lab"] {
            assert!(find(name).is_none(), "{name}");
        }
    }
}
