//! Builds a host: its files, applications, protected paths, routes and rules.

use std::cell::RefCell;
use std::rc::Rc;

use super::applications;
use super::error::Faults;
use super::protection::{self, Protection};
use super::proxies;
use super::routes;
use super::site::{negotiates, site_settings};
use super::surroundings::Surroundings;
use super::{Ready, ServerError};
use crate::app::App;
use crate::app::kv::Kv;
use crate::auth::Guard;
use crate::config::{Host, KV, Route};
use crate::files::Site;
use crate::files::resolve::{Opened, Root};
use crate::service::http;
use crate::service::http::{RouteHandler, Routes};
use crate::service::proxy::Forward;

/// The parts of a host.
#[derive(Default)]
pub(super) struct Built {
    routes: Routes,
    guard: Guard,
    site: Option<Site>,
    forward: Option<Forward>,
    demonstration: bool,
    /// Symbolic links aren't followed.
    no_links: bool,
    /// The applications: prefix and name.
    apps: Vec<(String, String)>,
    /// The protected paths, and who is allowed.
    protected: Vec<(String, Protection)>,
}

impl Built {
    /// The host for the exchanges. What the operator should know about it is added to
    /// `report`.
    pub(super) fn into_host(self, config: &Host, report: &mut Ready, faults: &mut Faults) -> http::Host {
        if let Some(root) = &config.root {
            report.root = Some(std::path::absolute(root).unwrap_or_else(|_| root.clone()));
        }
        let covered = self.routes.find(b"/").is_some();
        report.bare_root |= !covered && self.site.as_ref().is_some_and(Site::is_bare);
        report.no_links |= self.no_links;
        report.apps.extend(self.apps);
        report.protected.extend(self.protected);
        let mut host = routes::with_rules(config, faults);
        host.name = config.names.first().map(ToString::to_string).unwrap_or_default();
        host.redirect_https = config.redirect_https;
        host.local_only = self.demonstration.then_some(&http::DEMONSTRATION);
        host.routes = self.routes;
        host.forward = self.forward.map(Rc::new);
        host.guard = RefCell::new(self.guard);
        host.files = self.site.map(|site| Rc::new(site.into()));
        host
    }
}

impl Built {
    /// Builds a host, whose root is open.
    pub(super) fn build(
        host: &Host,
        root: Option<Root>,
        surroundings: &Surroundings<'_>,
        faults: &mut Faults,
    ) -> Built {
        if let Some(route) = host.routes.iter().find(|_| host.is_key_value()) {
            let service = faults.may_create().then(|| Self::key_value(route, surroundings));
            return service.and_then(|service| faults.keep(service)).unwrap_or_default();
        }
        faults.place(host.positions.of("users"));
        let users = protection::users(host, surroundings.demonstration, faults);
        faults.place(host.positions.of(""));
        let (guard, mut protected) = protection::protect(host, users.as_ref(), negotiates(host, surroundings), faults);
        let (mut handlers, apps) =
            applications::mount(host, surroundings, users.as_ref().map(|(users, _)| users), faults);
        if let Some((_, protection)) = users {
            let logins = apps.iter().filter(|(_, name)| name == "login");
            protected.extend(logins.map(|(prefix, _)| (prefix.clone(), protection.clone())));
        }
        let no_links = root.as_ref().is_some_and(Root::fallback);
        if let Some(root) = &root {
            check_files(host, root, faults);
        }
        let site = root.map(|root| Site::new(root, site_settings(host, surroundings, faults)));
        routes::add(host, &mut handlers, surroundings, faults);
        let forward = host.forward.as_ref().map(|proxy| proxies::build_forward(proxy, surroundings, faults));
        let demonstration = surroundings.demonstration;
        Built { routes: handlers, guard, site, forward, demonstration, no_links, apps, protected }
    }

    fn key_value(route: &Route, surroundings: &Surroundings<'_>) -> Result<Built, ServerError> {
        let state = surroundings.state;
        let make = || Ok(Box::new(Kv::new(state.store(KV, route.capacity)?, route.token.clone())) as Box<dyn App>);
        let mut routes = Routes::default();
        let app = state.keep(KV.to_owned(), make)?;
        routes.set(&route.prefix, RouteHandler::App(app)).map_err(ServerError::Config)?;
        Ok(Built { routes, ..Built::default() })
    }
}

/// Checks that the files of options are below the root.
fn check_files(host: &Host, root: &Root, faults: &mut Faults) {
    let error_pages = host.error_pages.iter().map(|page| ("error-page", page.file()));
    for (option, file) in host.spa.iter().map(|file| ("spa", file.as_str())).chain(error_pages) {
        if !matches!(root.get(file.as_bytes()), Ok(Opened::File { .. })) {
            let sentence = format!("--{option} needs the file {file}, which isn't below {}", root.path().display());
            faults.wrong_at(host.positions.of(option), sentence);
        }
    }
}
