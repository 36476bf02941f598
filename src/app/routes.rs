//! Which application serves which path.

use super::{App, Methods};

/// Applications by the prefix of their paths.
///
/// A prefix matches itself and what continues it with a slash: `/lab` matches
/// `/lab` and `/lab/x`, not `/labour`. The longest wins; the root `/` matches all.
#[derive(Default)]
pub struct Routes {
    /// Longest prefix first. Without a slash at the end, so the root's is empty.
    mounts: Vec<(String, Box<dyn App>)>,
    /// What all prefixes begin with: most requests for files are told apart by it.
    common: String,
}

impl Routes {
    /// Mounts `app` at `prefix`, in place of what is there.
    ///
    /// # Errors
    /// If the prefix doesn't begin with a slash, or holds what a decoded path
    /// can't hold (an empty or dot segment).
    pub fn mount(&mut self, prefix: &str, app: Box<dyn App>) -> Result<(), String> {
        let path = prefix.strip_suffix('/').unwrap_or(prefix);
        let proper = path.is_empty()
            || path.strip_prefix('/').is_some_and(|p| p.split('/').all(|s| !matches!(s, "" | "." | "..")));
        if prefix.is_empty() || !proper {
            return Err(format!("an application can't be mounted at {prefix:?}: give an absolute path"));
        }
        self.mounts.retain(|(mounted, _)| mounted != path);
        self.mounts.push((path.to_owned(), app));
        self.mounts.sort_by(|(a, _), (b, _)| b.len().cmp(&a.len()).then(a.cmp(b)));
        self.common = self.mounts.iter().map(|(path, _)| path.as_str()).reduce(common_start).unwrap_or("").to_owned();
        Ok(())
    }

    /// The application for a decoded path (which begins with a slash): its
    /// number, if there is one.
    #[inline]
    pub fn find(&self, path: &[u8]) -> Option<usize> {
        if !path.starts_with(self.common.as_bytes()) {
            return None;
        }
        self.mounts.iter().position(|(prefix, _)| {
            path.strip_prefix(prefix.as_bytes()).is_some_and(|rest| rest.first().is_none_or(|&octet| octet == b'/'))
        })
    }

    /// What application `index` serves at a path that it was found for.
    pub fn methods(&self, index: usize, path: &[u8]) -> Methods {
        let (prefix, app) = &self.mounts[index];
        app.methods(path.get(prefix.len()..).unwrap_or_default())
    }

    /// Whether an application reads the visitor's session.
    pub fn read_sessions(&self) -> bool {
        self.mounts.iter().any(|(_, app)| app.reads_session())
    }

    /// Application `index` with its prefix.
    pub fn get(&mut self, index: usize) -> (&str, &mut dyn App) {
        let (prefix, app) = &mut self.mounts[index];
        (prefix, app.as_mut())
    }
}

fn common_start<'a>(a: &'a str, b: &'a str) -> &'a str {
    let length = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    // ASCII or not, where two valid strings differ may lie within a character.
    a.get(..length).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{Answer, Request, Response, Visit};
    use crate::http::Status;

    struct Nothing;
    impl App for Nothing {
        fn handle(&mut self, _: &Request<'_>, _: &mut Visit<'_>) -> Answer {
            Answer::now(Response::new(Status::OK))
        }
    }

    fn routes(prefixes: &[&str]) -> Routes {
        let mut routes = Routes::default();
        for prefix in prefixes {
            routes.mount(prefix, Box::new(Nothing)).unwrap();
        }
        routes
    }

    fn found(routes: &mut Routes, path: &str) -> Option<String> {
        routes.find(path.as_bytes()).map(|index| routes.get(index).0.to_owned())
    }

    #[test]
    fn the_longest_prefix_wins_at_segment_bounds() {
        let mut routes = routes(&["/lab", "/lab/echo", "/lab/e"]);
        for (path, expected) in [
            ("/lab", Some("/lab")),
            ("/lab/", Some("/lab")),
            ("/lab/x", Some("/lab")),
            ("/lab/echo", Some("/lab/echo")),
            ("/lab/echo/x", Some("/lab/echo")),
            ("/lab/echoes", Some("/lab")),
            ("/labour", None),
            ("/", None),
            ("/index.html", None),
        ] {
            assert_eq!(found(&mut routes, path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn the_root_takes_what_nobody_else_does() {
        let mut routes = routes(&["/", "/lab/"]);
        assert_eq!(found(&mut routes, "/x").as_deref(), Some(""));
        assert_eq!(found(&mut routes, "/").as_deref(), Some(""));
        assert_eq!(found(&mut routes, "/lab/x").as_deref(), Some("/lab"));
    }

    #[test]
    fn nothing_is_found_where_nothing_is_mounted_and_bad_prefixes_are_told() {
        assert_eq!(Routes::default().find(b"/"), None);
        for prefix in ["", "lab", "//", "/a//b", "/a/../b", "/."] {
            assert!(Routes::default().mount(prefix, Box::new(Nothing)).is_err(), "{prefix:?}");
        }
    }

    #[test]
    fn prefixes_that_differ_within_a_character_do_not_panic() {
        let mut routes = routes(&["/\u{e9}", "/\u{e8}"]);
        assert_eq!(found(&mut routes, "/\u{e8}").as_deref(), Some("/\u{e8}"));
    }
}
