//! What can't change in a running process.

use crate::config::{Config, Route};

/// Puts back the settings that can't change in a running process. Returns the options that would
/// change after a restart.
pub(super) fn keep(old: &Config, new: &mut Config) -> Vec<&'static str> {
    let mut kept = Vec::new();
    let (was, is) = (&old.process, &mut new.process);
    /// Keeps one setting, if it would change.
    fn one<T: Clone + PartialEq>(option: &'static str, was: &T, is: &mut T, kept: &mut Vec<&'static str>) {
        if was != is {
            is.clone_from(was);
            kept.push(option);
        }
    }
    one("--data", &was.data, &mut is.data, &mut kept);
    one("--proxy-cache and its sizes", &was.proxy_cache, &mut is.proxy_cache, &mut kept);
    one("the settings of the mailbox", &was.mailbox, &mut is.mailbox, &mut kept);
    one("--pid-file", &was.pid_file, &mut is.pid_file, &mut kept);
    one("--user", &was.user, &mut is.user, &mut kept);
    one("--sandbox", &was.sandbox, &mut is.sandbox, &mut kept);
    one("--verbose or --quiet", &was.logging.verbosity, &mut is.logging.verbosity, &mut kept);
    one("--diagnostics", &was.logging.diagnostics, &mut is.logging.diagnostics, &mut kept);
    one("--tap and its options", &was.tap, &mut is.tap, &mut kept);
    // Also the place where TLS leaves its secrets.
    is.tap.clone_from(&was.tap);
    let (was, is) = (&old.listeners[0], &mut new.listeners[0]);
    one("--delay", &was.delay, &mut is.delay, &mut kept);
    one("--chaos", &was.chaos, &mut is.chaos, &mut kept);
    let key_value = |config: &Config| {
        let host = config.hosts.iter().find(|host| host.is_key_value())?;
        host.routes.first().map(|Route { token, capacity, .. }| (token.clone(), *capacity))
    };
    if let (Some(was), Some(is)) = (key_value(old), key_value(new))
        && was != is
    {
        kept.push("--token and --capacity");
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Host, Listener, Mailbox, Process};

    #[test]
    fn what_needs_a_restart_stays_and_is_named() {
        let old = Config::single(Process::default(), Listener::at(80), Host::default());
        let mut new = old.clone();
        assert!(keep(&old, &mut new).is_empty());
        new.process.data = Some("/data".into());
        new.process.cache_size = 1;
        assert_eq!(keep(&old, &mut new), ["--data"]);
        assert_eq!((&new.process.data, new.process.cache_size), (&None, 1));
        new.process.mailbox = Some(Mailbox::default());
        assert_eq!(keep(&old, &mut new), ["the settings of the mailbox"]);
    }
}
