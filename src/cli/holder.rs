//! Who listens at a port that is taken: found where Linux tells it, as far as it
//! tells us. Other users' processes are hidden, other systems have no /proc.
//!
//! /proc/net/tcp names the inode of each listening socket, /proc/PID/fd has a
//! link `socket:[INODE]` for each socket that the process holds.

use std::fs;
use std::path::Path;

/// The process that listens at `port`, as `name (process 123)`.
pub(super) fn holder(port: u16) -> Option<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
    let sockets: Vec<String> =
        tables.iter().flat_map(|table| listening(table, port)).map(|inode| format!("socket:[{inode}]")).collect();
    if sockets.is_empty() {
        return None;
    }
    fs::read_dir("/proc").ok()?.filter_map(Result::ok).find_map(|process| {
        // Not everything there is a process.
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        let process = process.path();
        if !holds(&process, &sockets) {
            return None;
        }
        let name = fs::read_to_string(process.join("comm")).ok()?;
        Some(format!("{} (process {pid})", name.trim_end().escape_debug()))
    })
}

/// The inodes of the sockets that listen at `port` by a table of /proc/net.
fn listening(table: &str, port: u16) -> impl Iterator<Item = &str> {
    // "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ..."
    table.lines().skip(1).filter_map(move |line| {
        let mut columns = line.split_ascii_whitespace().skip(1);
        let (_, local) = columns.next()?.rsplit_once(':')?;
        let state = columns.nth(1)?;
        let is_ours = u16::from_str_radix(local, 16) == Ok(port) && state == "0A";
        columns.nth(5).filter(|_| is_ours)
    })
}

fn holds(process: &Path, sockets: &[String]) -> bool {
    let Ok(descriptors) = fs::read_dir(process.join("fd")) else { return false };
    let mut links = descriptors.filter_map(Result::ok).filter_map(|entry| fs::read_link(entry.path()).ok());
    links.any(|link| link.to_str().is_some_and(|link| sockets.iter().any(|socket| socket == link)))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn tables_are_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 12345 1 0000 100 0 0 10 0
   1: 0100007F:1F90 0100007F:A2C4 01 00000000:00000000 00:00000000 00000000  1000        0 12346 1 0000 20 4 30 10 -1
   2: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 12347 1 0000 100 0 0 10 0
   torn line
";
        assert_eq!(listening(table, 8080).collect::<Vec<_>>(), ["12345"]);
        assert_eq!(listening(table, 1).count(), 0);
        assert_eq!(listening("", 1).count(), 0);
    }

    #[test]
    fn we_are_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let holder = holder(listener.local_addr().unwrap().port()).unwrap();
        assert!(holder.ends_with(&format!("(process {})", std::process::id())), "{holder}");
    }
}
