//! The process that owns a port in use, from Linux's /proc. Processes of other users are
//! hidden, and other systems have no /proc.
//!
//! /proc/net/tcp lists the inode of each listening socket, /proc/net/udp of each datagram
//! socket. /proc/PID/fd has a link `socket:[INODE]` for each socket of a process.

use std::fs;
use std::path::Path;

/// The tables of one type of sockets, and the state of a socket that any peer can reach.
pub(super) struct SocketTables {
    tables: [&'static str; 2],
    state: &'static str,
}

/// Listening TCP sockets.
pub(super) const TCP: SocketTables = SocketTables { tables: ["/proc/net/tcp", "/proc/net/tcp6"], state: "0A" };
/// Unconnected UDP sockets.
pub(super) const UDP: SocketTables = SocketTables { tables: ["/proc/net/udp", "/proc/net/udp6"], state: "07" };

/// The owner of `port`, as `name (process 123)`.
pub(super) fn port_owner(sockets: SocketTables, port: u16) -> Option<String> {
    let tables = sockets.tables.map(|table| fs::read_to_string(table).unwrap_or_default());
    let listening = tables.iter().flat_map(|table| listening(table, sockets.state, port));
    let links: Vec<String> = listening.map(|inode| format!("socket:[{inode}]")).collect();
    if links.is_empty() {
        return None;
    }
    fs::read_dir("/proc").ok()?.filter_map(Result::ok).find_map(|process| {
        // Not every entry is a process.
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        let process = process.path();
        if !has_socket(&process, &links) {
            return None;
        }
        let name = fs::read_to_string(process.join("comm")).ok()?;
        Some(format!("{} (process {pid})", name.trim_end().escape_debug()))
    })
}

/// The inodes of the sockets at `port` in a table of /proc/net.
fn listening<'a>(table: &'a str, state: &'static str, port: u16) -> impl Iterator<Item = &'a str> {
    // "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ..."
    table.lines().skip(1).filter_map(move |line| {
        let mut columns = line.split_ascii_whitespace().skip(1);
        let (_, local) = columns.next()?.rsplit_once(':')?;
        let matches = columns.nth(1)? == state && u16::from_str_radix(local, 16) == Ok(port);
        columns.nth(5).filter(|_| matches)
    })
}

fn has_socket(process: &Path, sockets: &[String]) -> bool {
    let Ok(descriptors) = fs::read_dir(process.join("fd")) else { return false };
    let mut links = descriptors.filter_map(Result::ok).filter_map(|entry| fs::read_link(entry.path()).ok());
    links.any(|link| link.to_str().is_some_and(|link| sockets.iter().any(|socket| socket == link)))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn tables_are_parsed() {
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
    fn the_owner_of_a_port_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let owner = port_owner(TCP, listener.local_addr().unwrap().port()).unwrap();
        assert!(owner.ends_with(&format!("(process {})", std::process::id())), "{owner}");
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let owner = port_owner(UDP, socket.local_addr().unwrap().port()).unwrap();
        assert!(owner.ends_with(&format!("(process {})", std::process::id())), "{owner}");
    }
}
