//! Who listens at a port that is taken: found where Linux tells it, as far as it
//! tells us. Other users' processes are hidden, other systems have no /proc.
//!
//! /proc/net/tcp names the inode of each listening socket (/proc/net/udp of each for datagrams), /proc/PID/fd has a
//! link `socket:[INODE]` for each socket that the process holds.

use std::fs;
use std::path::Path;

/// A kind of sockets: its tables, and the state of one that receives from all.
pub(super) struct Kind {
    tables: [&'static str; 2],
    state: &'static str,
}

/// Those that listen for connections.
pub(super) const TCP: Kind = Kind { tables: ["/proc/net/tcp", "/proc/net/tcp6"], state: "0A" };
/// Those for datagrams that aren't connected.
pub(super) const UDP: Kind = Kind { tables: ["/proc/net/udp", "/proc/net/udp6"], state: "07" };

/// The process that listens at `port`, as `name (process 123)`.
pub(super) fn holder(kind: Kind, port: u16) -> Option<String> {
    let tables = kind.tables.map(|table| fs::read_to_string(table).unwrap_or_default());
    let listening = tables.iter().flat_map(|table| listening(table, kind.state, port));
    let sockets: Vec<String> = listening.map(|inode| format!("socket:[{inode}]")).collect();
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
fn listening<'a>(table: &'a str, state: &'static str, port: u16) -> impl Iterator<Item = &'a str> {
    // "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ..."
    table.lines().skip(1).filter_map(move |line| {
        let mut columns = line.split_ascii_whitespace().skip(1);
        let (_, local) = columns.next()?.rsplit_once(':')?;
        let is_ours = columns.nth(1)? == state && u16::from_str_radix(local, 16) == Ok(port);
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
        assert_eq!(listening(table, "0A", 8080).collect::<Vec<_>>(), ["12345"]);
        assert_eq!(listening(table, "0A", 1).count(), 0);
        assert_eq!(listening("", "0A", 1).count(), 0);
    }

    #[test]
    fn we_are_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let holder = holder(TCP, listener.local_addr().unwrap().port()).unwrap();
        assert!(holder.ends_with(&format!("(process {})", std::process::id())), "{holder}");
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let holder = super::holder(UDP, socket.local_addr().unwrap().port()).unwrap();
        assert!(holder.ends_with(&format!("(process {})", std::process::id())), "{holder}");
    }
}
