//! The access logs of hosts that have their own.
//!
//! A host names its log by a [`HostLog`], and a request keeps the host that it began with. So a
//! log is closed when nothing names it any longer: after a reload, with the last request of the
//! old host.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::sink::Sink;

/// Names an open access log of hosts.
#[derive(Clone, Debug)]
pub struct HostLog(Arc<usize>);

/// All that are open.
#[derive(Default)]
pub(super) struct HostLogs {
    /// By number.
    places: Vec<Option<(HostLog, Sink)>>,
    /// The lines that closed ones have lost.
    lost: u64,
}

impl HostLogs {
    /// Opens a file, whether it is open already or not: it may have been rotated.
    pub(super) fn open(&mut self, path: &Path) -> io::Result<HostLog> {
        // Older lines for the same file come first.
        self.sinks().for_each(Sink::flush);
        self.close_unused();
        let sink = Sink::file(path)?;
        let number = self.places.iter().position(Option::is_none).unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        });
        let log = HostLog(Arc::new(number));
        self.places[number] = Some((log.clone(), sink));
        Ok(log)
    }

    /// The sink of a log, which is open as long as it has a name.
    pub(super) fn get(&mut self, log: &HostLog) -> Option<&mut Sink> {
        self.places.get_mut(*log.0)?.as_mut().map(|(_, sink)| sink)
    }

    /// All sinks.
    pub(super) fn sinks(&mut self) -> impl Iterator<Item = &mut Sink> {
        self.places.iter_mut().flatten().map(|(_, sink)| sink)
    }

    /// Whether lines are pending.
    pub(super) fn is_pending(&self) -> bool {
        self.places.iter().flatten().any(|(_, sink)| sink.is_pending())
    }

    /// Closes those that nothing names, and that have no pending lines.
    pub(super) fn close_unused(&mut self) {
        for place in &mut self.places {
            if let Some((log, sink)) = place
                && Arc::strong_count(&log.0) == 1
                && !sink.is_pending()
            {
                self.lost += sink.lost();
                *place = None;
            }
        }
    }

    /// The lines that were lost since the start.
    pub(super) fn lost(&self) -> u64 {
        self.lost + self.places.iter().flatten().map(|(_, sink)| sink.lost()).sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_log_is_closed_with_its_last_name_and_its_pending_lines_are_written() {
        let path = |name: &str| std::env::temp_dir().join(format!("miod-host-log-{name}-{}", std::process::id()));
        let (one, two) = (path("one"), path("two"));
        let mut logs = HostLogs::default();
        let first = logs.open(&one).unwrap();
        let same = first.clone();
        logs.get(&first).unwrap().collect(|out| out.extend_from_slice(b"line\n"));
        drop(first);
        logs.close_unused();
        assert_eq!((logs.sinks().count(), logs.is_pending()), (1, true));
        drop(same);
        logs.close_unused();
        assert_eq!(logs.sinks().count(), 1, "its line is pending");
        // The next one has its place.
        let second = logs.open(&two).unwrap();
        assert_eq!((logs.places.len(), logs.sinks().count(), logs.is_pending()), (1, 1, false));
        assert_eq!(fs::read(&one).unwrap(), b"line\n");
        assert!(logs.get(&second).is_some() && logs.open(Path::new("/")).is_err());
        for path in [one, two] {
            fs::remove_file(path).unwrap();
        }
    }
}
