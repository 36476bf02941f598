//! What the system knows about this process: the figures that monitoring expects of every
//! process, under their usual names.

use rustix::process::{Resource, getrlimit};

use crate::metrics::{Exposition, Kind};

/// Beyond so many connections, descriptors are counted only if that is cheap.
const MANY: usize = 1_000;

/// The numbers of `/proc/self/stat` (proc_pid_stat(5)).
#[derive(Clone, Copy, PartialEq, Debug)]
struct Stat {
    cpu_seconds: f64,
    threads: u64,
    virtual_bytes: u64,
    resident_bytes: u64,
}

impl Stat {
    /// Parses the file. A second of the processor has so many ticks, and a page so many bytes.
    fn parse(text: &str, ticks: u64, page: u64) -> Option<Self> {
        // The name of the program is in parentheses, and may have any character.
        let (_, rest) = text.rsplit_once(") ")?;
        // The first is the state, the third field of the file.
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        Some(Self {
            cpu_seconds: (number(14)? + number(15)?) as f64 / ticks as f64,
            threads: number(20)?,
            virtual_bytes: number(23)?,
            resident_bytes: number(24)? * page,
        })
    }
}

/// Writes the figures of the process, which began at `started` and has so many connections.
pub(super) fn write(out: &mut Exposition, started: i64, connections: usize) {
    let (ticks, page) = (rustix::param::clock_ticks_per_second(), rustix::param::page_size() as u64);
    let stat = std::fs::read_to_string("/proc/self/stat").ok();
    if let Some(stat) = stat.and_then(|text| Stat::parse(&text, ticks, page)) {
        let cpu = "Processor time of the process, by user and system.";
        out.one("process_cpu_seconds", Kind::Counter, cpu, stat.cpu_seconds);
        out.one("process_resident_memory_bytes", Kind::Gauge, "Resident memory.", stat.resident_bytes);
        out.one("process_virtual_memory_bytes", Kind::Gauge, "Virtual memory.", stat.virtual_bytes);
        out.one("process_threads", Kind::Gauge, "Threads: the loop and its helpers.", stat.threads);
    }
    out.one("process_start_time_seconds", Kind::Gauge, "Start of the server, in Unix seconds.", started);
    if let Some(open) = open_descriptors(connections) {
        out.one("process_open_fds", Kind::Gauge, "Open file descriptors.", open);
    }
    if let Some(most) = getrlimit(Resource::Nofile).current {
        out.one("process_max_fds", Kind::Gauge, "Most file descriptors.", most);
    }
}

/// The number of open descriptors. The system tells it at once since Linux 6.2; before that the
/// directory must be read, which takes too long if there are many.
fn open_descriptors(connections: usize) -> Option<u64> {
    const DIRECTORY: &str = "/proc/self/fd";
    let told = std::fs::metadata(DIRECTORY).map(|metadata| metadata.len()).unwrap_or(0);
    match told {
        0 if connections > MANY => None,
        // Without the one that reads the directory.
        0 => std::fs::read_dir(DIRECTORY).ok().map(|entries| entries.count() as u64 - 1),
        told => Some(told),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_program_may_be_anything() {
        let text = "7 (a) b (c) R 1 7 7 0 -1 4194560 2 0 0 0 150 50 0 0 20 0 3 0 123 1048576 16 \
                    18446744073709551615 1 1";
        let expected = Stat { cpu_seconds: 2.0, threads: 3, virtual_bytes: 1_048_576, resident_bytes: 65_536 };
        assert_eq!(Stat::parse(text, 100, 4096), Some(expected));
        for wrong in ["", "7 (a) R", "7 a R 1 2 3"] {
            assert_eq!(Stat::parse(wrong, 100, 4096), None);
        }
        assert!(open_descriptors(0).unwrap() > 2);
    }
}
