//! The file descriptors of the process. Their number bounds everything else.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Listener;
use crate::limits;
use crate::reactor::{CAPACITY, Options};

/// The shares of the file descriptors.
pub(super) struct Descriptors {
    /// For connections.
    pub(super) connections: usize,
    /// For connections over the limit, which get 503.
    pub(super) reserve: usize,
    /// For files that are kept open.
    pub(super) files: usize,
    /// All that the process can have.
    available: usize,
}

impl Descriptors {
    /// Raises the soft limit to the hard limit, and computes the shares. So many directories are
    /// served besides the first, or logs of hosts written, and there are at most so many connections.
    pub(super) fn raise(further: usize, most: Option<usize>) -> Self {
        let limit = getrlimit(Resource::Nofile);
        // After an error the limit stays as it is.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
        let available = getrlimit(Resource::Nofile).current.and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
        Self::share(available, further, most)
    }

    /// Options with this share of the descriptors.
    pub(super) fn options(&self, memory: usize, listener: &Listener) -> Options {
        let Self { connections, reserve, .. } = *self;
        let (send_timeout, send_limit) = (listener.send_timeout, listener.limit_rate);
        Options { connections, reserve, memory, send_timeout, send_limit, ..Options::default() }
    }

    /// What the operator should know: there are fewer connections than were asked for, or few.
    pub(super) fn notice(&self, most: Option<usize>) -> Option<String> {
        let Self { connections, available, .. } = self;
        let asked = match most {
            Some(most) if most > *connections => format!("{most} were asked for"),
            None if *connections < FEW => "that is little".to_owned(),
            _ => return None,
        };
        Some(format!(
            "there are at most {connections} connections, and {asked}: the limit of file descriptors is {available} \
             (ulimit -n, or LimitNOFILE)"
        ))
    }

    fn share(available: usize, further: usize, most: Option<usize>) -> Self {
        // Standard streams, poll, waker, signals, watch, log, listeners, the file of the
        // request that is being answered, and connections of operators.
        const OWN: usize = 18 + limits::OPERATOR_CONNECTIONS;
        // Each directory and log is open, and once more during a reload.
        let own = OWN + 2 * further;
        let files = limits::OPEN_FILES.min(available / 8);
        let reserve = limits::CONNECTION_RESERVE.min(available / 16).max(1);
        let connections = available.saturating_sub(own + files + reserve).clamp(1, CAPACITY - reserve);
        Self { connections: connections.min(most.unwrap_or(usize::MAX)).max(1), reserve, files, available }
    }
}

/// So few connections are worth a word.
const FEW: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_never_exceed_the_descriptors() {
        for available in [0, 1, 32, 64, 1024, 20_000, 1 << 20, usize::MAX] {
            let budget = Descriptors::share(available, 0, None);
            assert!(budget.connections >= 1 && budget.reserve >= 1);
            assert!(budget.connections + budget.reserve <= CAPACITY);
            if available >= 64 {
                assert!(budget.connections + budget.reserve + budget.files < available);
            }
        }
        assert_eq!(Descriptors::share(1024, 0, Some(5)).connections, 5);
        let connections = |directories| Descriptors::share(1024, directories, None).connections;
        assert_eq!(connections(0) - connections(100), 200);
        assert_eq!(connections(5_000), 1);
        let notice = |available, most| Descriptors::share(available, 0, most).notice(most);
        assert!(notice(1024, Some(100)).is_none() && notice(1024, None).is_none());
        assert!(notice(1024, Some(5_000)).unwrap().contains("5000 were asked for"));
        assert!(notice(256, None).unwrap().contains("descriptors is 256"));
    }
}
