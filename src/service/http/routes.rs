//! What answers the requests below which path.

use std::rc::Rc;

use super::admin::page::Page;
use super::fixed::{FixedResponse, Redirect};
use super::tree::Tree;
use crate::app::App;
use crate::app::boundary::Application;
use crate::http::prefix_map::{self, PrefixMap};
use crate::service::proxy::Proxy;

/// What answers a request.
#[derive(Clone)]
pub enum RouteHandler {
    /// The files of the host.
    Files,
    /// Files of another directory. The prefix isn't part of their paths.
    Tree(Rc<Tree>),
    /// An application.
    App(Rc<Application>),
    /// A redirect.
    Redirect(Rc<Redirect>),
    /// Always the same response.
    Fixed(Rc<FixedResponse>),
    /// A page for operators.
    Admin(Page),
    /// Other servers.
    Proxy(Rc<Proxy>),
}

/// Handlers by the [prefix](prefix_map) of their paths. The host's files answer all others.
#[derive(Default)]
pub struct Routes {
    handlers: PrefixMap<RouteHandler>,
}

impl Routes {
    /// Mounts `app` at `prefix`, in place of what is there.
    ///
    /// # Errors
    /// If the prefix doesn't begin with a slash, or holds what a decoded path
    /// can't hold (an empty or dot segment).
    pub fn mount(&mut self, prefix: &str, app: Box<dyn App>) -> Result<(), String> {
        self.set(prefix, RouteHandler::App(Rc::new(Application::new(app))))
    }

    /// Sets the handler of `prefix`, in place of what is there.
    ///
    /// # Errors
    /// As [`mount`](Self::mount).
    pub fn set(&mut self, prefix: &str, handler: RouteHandler) -> Result<(), String> {
        let path = prefix_map::normalise(prefix)
            .ok_or_else(|| format!("nothing can be mounted at {prefix:?}: give an absolute path"))?;
        self.handlers.set(path, handler);
        Ok(())
    }

    /// The handler for a decoded path (which begins with a slash), and the length of its prefix
    /// in bytes.
    pub fn find(&self, path: &[u8]) -> Option<(&RouteHandler, usize)> {
        let (prefix, handler) = self.handlers.get(self.handlers.find(path)?);
        Some((handler, prefix.len()))
    }

    /// The application for a decoded path.
    pub fn app(&self, path: &[u8]) -> Option<&Rc<Application>> {
        if let Some((RouteHandler::App(app), _)) = self.find(path) { Some(app) } else { None }
    }

    /// All applications, each with its prefix.
    pub fn mounted(&self) -> impl Iterator<Item = (&str, &Application)> {
        self.handlers.iter().filter_map(|(prefix, handler)| match handler {
            RouteHandler::App(app) => Some((prefix, &**app)),
            _ => None,
        })
    }

    /// All gateways, each with its prefix.
    pub fn proxies(&self) -> impl Iterator<Item = (&str, &Rc<Proxy>)> {
        self.handlers.iter().filter_map(|(prefix, handler)| match handler {
            RouteHandler::Proxy(proxy) => Some((prefix, proxy)),
            _ => None,
        })
    }

    /// All applications.
    pub fn apps(&self) -> impl Iterator<Item = &Rc<Application>> {
        self.handlers.values().filter_map(|handler| if let RouteHandler::App(app) = handler { Some(app) } else { None })
    }

    /// The directories that aren't those of the host.
    pub fn trees(&self) -> impl Iterator<Item = &Rc<Tree>> {
        self.handlers
            .values()
            .filter_map(|handler| if let RouteHandler::Tree(site) = handler { Some(site) } else { None })
    }

    /// Whether an application reads sessions.
    pub fn read_sessions(&self) -> bool {
        self.apps().any(|app| app.reads_session() == Ok(true))
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
    fn handlers_are_found_by_the_longest_prefix() {
        let mut routes = Routes::default();
        for prefix in ["/a", "/a/b/"] {
            routes.mount(prefix, Box::new(Nothing)).unwrap();
        }
        routes.set("/a/b/c", RouteHandler::Files).unwrap();
        assert_eq!(routes.app(b"/a/b/any").unwrap().methods(b"/any"), Ok(Methods::Any));
        assert_eq!(routes.find(b"/a/b/any").unwrap().1, 4);
        assert!(matches!(routes.find(b"/a/b/c/x"), Some((RouteHandler::Files, 6))) && routes.app(b"/a/b/c").is_none());
        assert!(routes.find(b"/ab").is_none());
        assert!(routes.mount("a", Box::new(Nothing)).is_err());
        assert_eq!((routes.apps().count(), routes.read_sessions()), (2, false));
    }
}
