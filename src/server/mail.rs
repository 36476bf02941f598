//! The mailbox of a server: where its messages are, who can log in, and the page that shows them.

use std::rc::Rc;

use super::ServerError;
use super::error::Faults;
use super::state::State;
use crate::app::{App, mailbox};
use crate::auth::Users;
use crate::config::{Config, Mailbox as Settings};
use crate::mailbox::{Limits, Mailbox, SharedMailbox};
use crate::names;
use crate::service::http::LocalOnly;
use crate::service::mailbox::{Logins, Shared};
use crate::smtp::address::is_domain;
use crate::smtp::server;

/// Where the page is mounted.
const PAGE: &str = "/";

/// Whom the page answers, if it listens only for this machine. No page of another site can read the mail
/// by leading its name to this machine.
pub(super) static LOCAL: LocalOnly = LocalOnly {
    through_proxy: "the mailbox does not answer requests that come through a proxy; --http with an address that \
                    isn't loopback lets it",
    other_name: "the mailbox answers only to localhost and loopback addresses; --http with another address lets it \
                 answer to other names",
    sockets_too: false,
};

/// Opens the mailbox, if there is one, and mounts its page. A check opens no files.
pub(super) fn open(
    config: &Config,
    apps: &mut Vec<(String, Box<dyn App>)>,
    faults: &mut Faults,
) -> Option<Rc<SharedMailbox>> {
    config.process.mailbox.as_ref()?;
    let limits = Limits::default();
    let opened = match config.process.data.as_ref().filter(|_| faults.may_create()) {
        None => Ok(Mailbox::in_memory(limits)),
        Some(directory) => Mailbox::open(directory, limits)
            .map_err(|error| ServerError::Config(format!("--data {}: {error}", directory.display()))),
    };
    let mailbox = SharedMailbox::new(faults.keep(opened)?);
    apps.push((PAGE.to_owned(), Box::new(mailbox::new(Rc::clone(&mailbox)))));
    Some(mailbox)
}

/// What the mail server needs, if there is a mailbox.
pub(super) fn serve(
    config: &Config,
    mailbox: Option<Rc<SharedMailbox>>,
    state: &State,
    faults: &mut Faults,
) -> Option<Rc<Shared>> {
    let (settings, mailbox) = (config.process.mailbox.as_ref()?, mailbox?);
    let logins = logins(settings, faults)?;
    let (_, app) = state.mounted().find(|(prefix, _)| *prefix == PAGE)?;
    let own = || names::own().filter(|name| is_domain(name)).unwrap_or_else(|| "localhost".to_owned());
    let settings = server::Settings {
        name: settings.name.clone().unwrap_or_else(own),
        size: settings.size_limit,
        login: logins.kind(),
        faults: settings.faults.clone(),
    };
    Some(Rc::new(Shared::new(settings, logins, mailbox, app)))
}

fn logins(settings: &Settings, faults: &mut Faults) -> Option<Logins> {
    match &settings.users {
        Some(file) => {
            let users = faults.keep(Users::open(file).map_err(ServerError::Config))?;
            Some(Logins::Users(Box::new(users)))
        }
        None if settings.any_login => Some(Logins::Anybody),
        None => Some(Logins::Nobody),
    }
}
