//! What several processes at one address don't share: said or refused at the start.

use super::error::Faults;
use crate::config::{Config, SessionStore};

/// Checks a configuration with `--reuse-port`.
pub(super) fn check(config: &Config, reads_sessions: bool, notices: &mut Vec<String>, faults: &mut Faults) {
    if !config.listeners[0].reuse_port {
        return;
    }
    if config.process.data.is_some() {
        faults.wrong("--data can't be combined with --reuse-port: only one process can have the stores open");
    }
    match &config.process.sessions.store {
        SessionStore::Directory(_) => {
            faults.wrong("--sessions file:DIR can't be combined with --reuse-port: only one process can have it open");
        }
        SessionStore::Memory if reads_sessions => notices.push(
            "sessions are in the memory of this process; another one at this address doesn't know them: use \
             --sessions cookie, or a Redis"
                .to_owned(),
        ),
        SessionStore::Memory | SessionStore::Cookie | SessionStore::Remote(_) => {}
    }
    if config.hosts.iter().any(|host| host.is_key_value()) && config.process.data.is_none() {
        notices.push(
            "keys and values are in the memory of this process; another one at this address has others".to_owned(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Host, Listener, Process};

    #[test]
    fn what_is_not_shared_is_said_or_refused() {
        let check = |reuse_port, reads_sessions, adjust: fn(&mut Process)| {
            let mut process = Process::default();
            adjust(&mut process);
            let listener = Listener { reuse_port, ..Listener::default() };
            let (mut notices, mut faults) = (Vec::new(), Faults::default());
            check(&Config::single(process, listener, Host::default()), reads_sessions, &mut notices, &mut faults);
            (notices.len(), faults.finish().is_ok())
        };
        assert_eq!(check(false, true, |process| process.data = Some("d".into())), (0, true));
        assert_eq!(check(true, false, |_| {}), (0, true));
        assert_eq!(check(true, true, |_| {}), (1, true));
        assert_eq!(check(true, true, |process| process.sessions.store = SessionStore::Cookie), (0, true));
        assert_eq!(check(true, false, |process| process.data = Some("d".into())), (0, false));
        let on_disk = |process: &mut Process| process.sessions.store = SessionStore::Directory("d".into());
        assert_eq!(check(true, false, on_disk), (0, false));
    }
}
