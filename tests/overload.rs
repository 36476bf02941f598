//! Overload: excess connections get 503 or wait, and none is lost.

mod support;

use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit};
use support::{Client, Root, Server, eventually, get, get_with, pattern, raise_limit, with_small_buffer};

fn site() -> Root {
    let root = Root::new();
    root.old_file("index.html", "index").old_file("large", pattern(100_000));
    root
}

/// A connection that has received a response and persists.
fn connect_and_request(server: &Server) -> Client {
    let mut client = server.connect();
    client.send(get("/"));
    assert_eq!(client.response().status, 200);
    client
}

/// Sends one more request on a persistent connection.
fn still_served(client: &mut Client) -> bool {
    client.send(get("/"));
    client.response().status == 200
}

fn assert_refused(client: &mut Client) {
    let response = client.response();
    assert_eq!(response.status, 503);
    assert!(response.field("Retry-After").unwrap().parse::<u32>().unwrap() > 0);
    assert_eq!(response.field("Connection"), Some("close"));
    assert!(client.is_closed());
}

#[test]
fn connections_over_the_limit_get_503_until_one_closes() {
    let server = Server::start_with(site(), &["--max-connections", "2"]);
    let (first, mut second) = (connect_and_request(&server), connect_and_request(&server));
    for _ in 0..3 {
        let mut third = server.connect();
        // It is closed, whatever follows in its request.
        third.send(get("/") + &get("/"));
        assert_refused(&mut third);
    }
    assert!(still_served(&mut second));
    drop(first);
    let mut next = None;
    assert!(eventually(|| {
        // A refused connection counts until the client has closed it.
        next = None;
        let mut client = server.connect();
        let served = still_served(&mut client);
        next = Some(client);
        served
    }));
    assert!(still_served(&mut next.unwrap()) && still_served(&mut second));
}

#[test]
fn closed_connections_do_not_count() {
    let server = Server::start_with(site(), &["--max-connections", "1"]);
    for _ in 0..200 {
        let response = server.get_with("/", "Connection: close\r\n");
        assert_eq!(response.status, 200);
    }
}

#[test]
fn the_limit_per_address_does_not_affect_other_addresses() {
    let server = Server::start_with(site(), &["--max-per-address", "2", "-b", "127.0.0.1", "-b", "127.0.0.2"]);
    let port = server.address().port();
    let (first, mut second) = (connect_and_request(&server), connect_and_request(&server));
    let mut third = server.connect();
    third.send(get("/"));
    assert_refused(&mut third);
    // The client binds to 127.0.0.2, so it has another address.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let other = |port| std::net::SocketAddr::from(([127, 0, 0, 2], port));
    socket.bind(&other(0).into()).unwrap();
    socket.connect(&other(port).into()).unwrap();
    assert!(still_served(&mut Client::over(socket.into())));
    assert!(still_served(&mut second));
    drop(first);
    assert!(eventually(|| server.get("/").status == 200));
}

#[test]
fn few_descriptors_suffice_for_many_clients() {
    let root = site();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 32 && exec \"$0\" \"$@\""]).arg(support::miod().get_program());
    command.arg("serve").arg(root.path()).args(["-p", "0"]);
    let server = Server::run(command);
    let mut clients: Vec<Client> = (0..60).map(|_| server.connect()).collect();
    for (at, client) in clients.iter_mut().enumerate() {
        client.send(get(if at % 2 == 0 { "/" } else { "/large" }));
    }
    let mut served = Vec::new();
    for mut client in clients {
        let response = client.response();
        match response.status {
            200 => served.push(client),
            503 => assert!(client.is_closed()),
            status => panic!("{status}"),
        }
    }
    assert!(!served.is_empty());
    let before = server.cpu();
    assert!(served[0].is_silent_for(Duration::from_millis(300)));
    assert!(server.cpu() - before < 0.1, "it spins");
    assert!(served.iter_mut().all(still_served));
    drop(served);
    assert!(eventually(|| server.get("/large").status == 200));
}

#[test]
fn without_free_descriptors_connections_wait_and_nothing_spins() {
    let server = Server::start_with(site(), &["--idle-timeout", "20"]);
    let mut first = connect_and_request(&server);
    // Three descriptors are left; the kernel assigns the lowest free number.
    let open = std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap();
    let open: Vec<u64> = open.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect();
    let limit = Some((0..).filter(|number| !open.contains(number)).nth(3).unwrap());
    let pid = Pid::from_raw(server.pid().try_into().unwrap());
    rustix::process::prlimit(pid, Resource::Nofile, Rlimit { current: limit, maximum: limit }).unwrap();
    let mut clients: Vec<Client> = (0..12).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send(get("/"));
    }
    // Three are accepted, in order; the others wait.
    let mut waiting = clients.split_off(3);
    for client in &mut clients {
        assert_eq!(client.response().status, 200);
    }
    let before = server.cpu();
    assert!(waiting[0].is_silent_for(Duration::from_millis(500)));
    assert!(server.cpu() - before < 0.2, "it spins: {} s", server.cpu() - before);
    assert!(still_served(&mut first));
    let told = || server.errors().matches("can't accept").count();
    assert!(eventually(|| told() > 0));
    assert_eq!(told(), 1, "{}", server.errors());
    drop(clients);
    for mut client in waiting {
        assert_eq!(client.response().status, 200);
    }
}

#[test]
fn two_thousand_idle_connections_use_little_memory() {
    const COUNT: usize = 2_000;
    raise_limit();
    let server = Server::start_with(site(), &[]);
    // One-time allocations have already happened.
    let warm: Vec<Client> = (0..50).map(|_| connect_and_request(&server)).collect();
    let before = server.memory();
    let mut clients: Vec<Client> = (0..COUNT).map(|_| server.connect()).collect();
    let request = get("/") + &get("/large");
    for client in &mut clients {
        client.send(&request);
    }
    for client in &mut clients {
        assert_eq!(client.response().text(), "index");
        assert_eq!(client.response().body.len(), 100_000);
    }
    // All are idle now; the memory of their busy time is free again.
    for client in &mut clients {
        assert!(still_served(client));
    }
    let each = server.memory().saturating_sub(before) as usize / COUNT;
    assert!(each < 1024, "{each} bytes for an idle connection");
    drop((warm, clients));
    assert!(eventually(|| server.get("/").status == 200));
}

#[test]
fn memory_stays_below_its_limit() {
    let server = Server::start_with(site(), &["--max-memory", "1M", "--cache-size", "0"]);
    let mut kept = connect_and_request(&server);
    // Incomplete heads: one MiB has room for 34 of them.
    let incomplete = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}", "a".repeat(30_000));
    let mut incomplete_clients: Vec<Client> = (0..60).map(|_| server.connect()).collect();
    for client in &mut incomplete_clients {
        // Some are closed while they send.
        let _ = std::io::Write::write_all(&mut client.stream, incomplete.as_bytes());
    }
    assert!(eventually(|| server.errors().contains("needs more memory than is left")), "{}", server.errors());
    // A new connection gets 503, an older one is served.
    assert!(eventually(|| {
        let mut client = server.connect();
        client.send(get("/"));
        client.response().status == 503
    }));
    assert!(still_served(&mut kept));
    drop(incomplete_clients);
    assert!(eventually(|| {
        let mut client = server.connect();
        client.send(get("/"));
        client.response().status == 200
    }));
}

#[test]
fn many_slow_clients_of_a_proxy_share_little_memory() {
    const COUNT: usize = 80;
    let content = pattern(1 << 20);
    let root = Root::new();
    root.old_file("large", &content);
    let origin = Server::start_with(root, &[]);
    let proxied = format!("/=http://{}", origin.address());
    let server = Server::start_with(site(), &["--proxy", &proxied, "--max-memory", "4M", "--cache-size", "0"]);
    let mut clients: Vec<Client> = (0..COUNT).map(|_| with_small_buffer(server.address())).collect();
    for client in &mut clients {
        client.send(get("/large"));
    }
    for client in &mut clients {
        assert_eq!(client.response_to("HEAD").status, 200);
    }
    // While one reads, all others wait.
    for piece in content.chunks(64 * 1024) {
        for client in &mut clients {
            assert!(client.take(piece.len()) == piece, "{}", server.errors());
        }
    }
}

#[test]
fn memory_is_released_after_a_peak() {
    const BODY: usize = 30_000;
    const COUNT: usize = 1_000;
    raise_limit();
    let server = Server::start_with(site(), &["--app", "/echo=echo"]);
    let request = format!("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", BODY + 1);
    // Incomplete bodies, which the server holds.
    let hold_bodies = |count: usize| -> Vec<Client> {
        let clients = (0..count).map(|_| {
            let mut client = server.connect();
            client.send(&request);
            client.send([b'x'; BODY]);
            client
        });
        clients.collect()
    };
    drop(hold_bodies(10));
    assert!(eventually(|| server.get("/").status == 200));
    let before = server.memory();
    let clients = hold_bodies(COUNT);
    assert!(eventually(|| server.memory() > before + (COUNT * BODY) as u64 / 2), "the bodies are held");
    drop(clients);
    const MOST: u64 = 4 * 1024 * 1024;
    assert!(eventually(|| server.memory() < before + MOST), "{} of {before} bytes", server.memory());
}

#[test]
fn listings_and_log_entries_count_as_memory() {
    raise_limit();
    let root = Root::new();
    root.file("large", vec![b'x'; 4 << 20]);
    for number in 0..2_000 {
        root.file(&format!("many/a file with a long name, number {number}"), "");
    }
    let log = Root::new();
    let path = log.at("access.log");
    let arguments = ["--listing", "--max-memory", "4M", "--cache-size", "0", "--access-log", path.to_str().unwrap()];
    let server = Server::start(&root, &arguments);
    let mut kept = connect_and_request(&server);
    let before = server.memory();
    // Each entry of the log holds a user agent of 20 kB until its download ends; each
    // listing has another order, so none is shared.
    let agent = "a".repeat(20_000);
    let mut clients: Vec<Client> = Vec::new();
    for number in 0..300 {
        let mut client = server.connect();
        client.send(get_with("/large", &format!("User-Agent: {agent}\r\n")));
        clients.push(client);
        let mut client = server.connect();
        let order = ["name", "size", "modified"][number % 3];
        client.send(get(&format!("/many/?sort={order}&order={}", ["asc", "desc"][number / 3 % 2])));
        clients.push(client);
    }
    assert!(eventually(|| server.errors().contains("needs more memory than is left")), "{}", server.errors());
    assert!(still_served(&mut kept));
    let grown = server.memory().saturating_sub(before);
    assert!(grown < 12 << 20, "{grown} bytes");
    drop(clients);
    assert!(eventually(|| server.get("/large").status == 200));
}
