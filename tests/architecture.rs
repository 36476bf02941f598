//! Conventions that people forget are tests: which layer may import which, and
//! which file alone may make certain calls.

use std::path::{Path, PathBuf};

/// Layers and what they may import of ours, beside themselves and the limits.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("limits", &[]),
    ("manual", &[]),
    ("http", &[]),
    ("text", &[]),
    ("random", &[]),
    ("panics", &[]),
    ("reactor", &["panics"]),
    ("durable", &[]),
    ("logging", &["http", "reactor"]),
    ("files", &["http", "text", "reactor"]),
    ("auth", &["http"]),
    ("session", &["durable", "http", "reactor"]),
    ("app", &["auth", "durable", "http", "panics", "text", "reactor", "session"]),
    ("names", &["text"]),
    ("probe", &["reactor"]),
    ("console", &["logging", "reactor"]),
    ("config", &["auth", "files", "http", "logging", "names", "reactor", "session"]),
    ("client", &["console", "http", "logging", "names", "probe", "text", "reactor"]),
    (
        "service",
        &["app", "auth", "console", "files", "http", "text", "probe", "random", "reactor", "logging", "session"],
    ),
    (
        "server",
        &[
            "app", "auth", "config", "console", "durable", "files", "http", "reactor", "logging", "names", "service",
            "session",
        ],
    ),
    (
        "cli",
        &[
            "app", "auth", "client", "config", "durable", "files", "http", "logging", "names", "reactor", "server",
            "service", "session", "text",
        ],
    ),
];

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The code of each file below `src` without comments and tests, by its path there.
fn code() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 40, "only {} files found", files.len());
    files
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
            let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
            (name, lines.collect::<Vec<_>>().join("\n"))
        })
        .filter(|(name, _)| !name.contains("test") && !name.contains("scratch") && !name.contains("simulation"))
        .collect()
}

/// The layer of a file or of a path `crate::layer::…`.
fn layer(path: &str) -> &str {
    path.split(['/', '.', ':', ';', ' ', ',', '{', '}', '\n']).next().unwrap_or_default()
}

#[test]
fn imports_go_down_only() {
    for (name, code) in code() {
        let own = layer(&name);
        if matches!(own, "lib" | "main") {
            continue;
        }
        let (_, allowed) = MAY_IMPORT.iter().find(|(layer, _)| *layer == own).unwrap_or_else(|| {
            panic!("{name} belongs to no layer: give it one here and on the map in src/lib.rs");
        });
        for (at, _) in code.match_indices("crate::") {
            let imported = layer(&code[at + "crate::".len()..]);
            let fine = imported == own || imported == "limits" || allowed.contains(&imported);
            assert!(fine, "{name} imports {imported}, which its layer may not know");
        }
    }
}

#[test]
fn some_calls_are_made_in_one_place_alone() {
    for (call, places) in [
        // The log's sink has patience for its last lines, when the loop is over.
        ("sys::clock", &["reactor/clock.rs"][..]),
        ("Instant::now", &["logging/sink.rs"]),
        ("SystemTime::now", &["logging/mod.rs"]),
        ("rustix::net::send", &["reactor/transport.rs"]),
        ("rustix::fs::sendfile", &["reactor/transport.rs"]),
        (".shutdown(", &["reactor/transport.rs"]),
        ("Stream::connect(", &["reactor/transport.rs", "reactor/listener.rs"]),
        ("mio::net::UdpSocket", &["reactor/datagram_socket.rs"]),
        ("rustix::net::recv(", &["reactor/transport.rs"]),
        ("rustix::net::recvfrom(", &["reactor/datagram_socket.rs"]),
        ("send_to(", &["reactor/datagram_socket.rs"]),
        ("thread::Builder", &["reactor/helpers.rs"]),
        ("to_socket_addrs", &["names.rs"]),
        ("rustix::fs::openat2", &["files/resolve.rs"]),
        ("unsafe {", &["reactor/sys.rs"]),
        ("unsafe_code", &["reactor/sys.rs"]),
    ] {
        let users: Vec<_> = code().into_iter().filter(|(_, code)| code.contains(call)).map(|(name, _)| name).collect();
        assert!(
            users.iter().all(|name| places.contains(&name.as_str())),
            "{call} belongs into {places:?} alone, not into {users:?}"
        );
    }
}

#[test]
fn nothing_is_printed_past_the_command_line_and_nothing_sleeps() {
    for (name, code) in code() {
        for call in ["println!", "eprintln!", "print!(", "thread::sleep", "process::exit", "static mut", "Rc<RefCell"] {
            assert!(!code.contains(call), "{call} in {name}");
        }
    }
}
