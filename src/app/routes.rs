//! Which application serves which path.

use std::rc::Rc;

use super::App;
use super::boundary::Application;
use crate::http::prefix_map::{self, PrefixMap};

/// Applications by the [prefix](prefix_map) of their paths.
#[derive(Default)]
pub struct Routes {
    mounts: PrefixMap<Rc<Application>>,
}

impl Routes {
    /// Mounts `app` at `prefix`, in place of what is there.
    ///
    /// # Errors
    /// If the prefix doesn't begin with a slash, or holds what a decoded path
    /// can't hold (an empty or dot segment).
    pub fn mount(&mut self, prefix: &str, app: Box<dyn App>) -> Result<(), String> {
        let path = prefix_map::normalise(prefix)
            .ok_or_else(|| format!("an application can't be mounted at {prefix:?}: give an absolute path"))?;
        self.mounts.set(path, Rc::new(Application::new(app)));
        Ok(())
    }

    /// The application for a decoded path (which begins with a slash), and the length
    /// of its prefix in bytes.
    pub fn find(&self, path: &[u8]) -> Option<(&Rc<Application>, usize)> {
        let (prefix, app) = self.mounts.get(self.mounts.find(path)?);
        Some((app, prefix.len()))
    }

    /// Whether an application reads sessions.
    pub fn read_sessions(&self) -> bool {
        self.mounts.values().any(|app| app.reads_session() == Ok(true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{Answer, Call, Methods, Request, Response};
    use crate::http::Status;

    struct Nothing;
    impl App for Nothing {
        fn methods(&self, path: &[u8]) -> Methods {
            if path == b"/any" { Methods::Any } else { Methods::Only(&[]) }
        }

        fn handle(&mut self, _: &Request<'_>, _: &mut Call<'_>) -> Answer {
            Answer::now(Response::new(Status::OK))
        }
    }

    #[test]
    fn applications_are_found_by_the_longest_prefix() {
        let mut routes = Routes::default();
        for prefix in ["/a", "/a/b/"] {
            routes.mount(prefix, Box::new(Nothing)).unwrap();
        }
        let (app, mount) = routes.find(b"/a/b/any").unwrap();
        assert_eq!(mount, "/a/b".len());
        assert_eq!(app.methods(b"/any"), Ok(Methods::Any));
        assert_eq!(app.methods(b""), Ok(Methods::Only(&[])));
        assert!(routes.find(b"/b").is_none());
        assert!(routes.mount("b", Box::new(Nothing)).unwrap_err().contains("absolute path"));
    }
}
