//! Which application serves which path.

use super::{App, Methods};
use crate::http::prefixes::{self, Prefixes};

/// Applications by the [prefix](prefixes) of their paths.
#[derive(Default)]
pub struct Routes {
    mounts: Prefixes<Box<dyn App>>,
}

impl Routes {
    /// Mounts `app` at `prefix`, in place of what is there.
    ///
    /// # Errors
    /// If the prefix doesn't begin with a slash, or holds what a decoded path
    /// can't hold (an empty or dot segment).
    pub fn mount(&mut self, prefix: &str, app: Box<dyn App>) -> Result<(), String> {
        let path = prefixes::tidy(prefix)
            .ok_or_else(|| format!("an application can't be mounted at {prefix:?}: give an absolute path"))?;
        self.mounts.set(path, app);
        Ok(())
    }

    /// The application for a decoded path (which begins with a slash): its
    /// number, if there is one.
    #[inline]
    pub fn find(&self, path: &[u8]) -> Option<usize> {
        self.mounts.find(path)
    }

    /// What application `index` serves at a path that it was found for.
    pub fn methods(&self, index: usize, path: &[u8]) -> Methods {
        let (prefix, app) = self.mounts.get(index);
        app.methods(path.get(prefix.len()..).unwrap_or_default())
    }

    /// Whether an application reads the visitor's session.
    pub fn read_sessions(&self) -> bool {
        self.mounts.values().any(|app| app.reads_session())
    }

    /// Application `index` with its prefix.
    pub fn get(&mut self, index: usize) -> (&str, &mut dyn App) {
        let (prefix, app) = self.mounts.get_mut(index);
        (prefix, app.as_mut())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{Answer, Request, Response, Visit};
    use crate::http::Status;

    struct Nothing;
    impl App for Nothing {
        fn methods(&self, path: &[u8]) -> Methods {
            if path == b"/any" { Methods::Any } else { Methods::Only(&[]) }
        }

        fn handle(&mut self, _: &Request<'_>, _: &mut Visit<'_>) -> Answer {
            Answer::now(Response::new(Status::OK))
        }
    }

    #[test]
    fn applications_are_found_with_their_prefix_and_know_the_path_behind_it() {
        let mut routes = Routes::default();
        for prefix in ["/a", "/a/b/"] {
            routes.mount(prefix, Box::new(Nothing)).unwrap();
        }
        let index = routes.find(b"/a/b/any").unwrap();
        assert_eq!(routes.get(index).0, "/a/b");
        assert_eq!(routes.methods(index, b"/a/b/any"), Methods::Any);
        assert_eq!(routes.methods(index, b"/a/b"), Methods::Only(&[]));
        assert_eq!(routes.find(b"/b"), None);
        assert!(routes.mount("b", Box::new(Nothing)).unwrap_err().contains("absolute path"));
    }
}
