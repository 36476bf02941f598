//! Conventions that are easy to forget: which layer may import which, and which file alone
//! may make certain calls.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Layers, and the layers that each may import besides itself and the limits.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("limits", &[]),
    ("manual", &[]),
    ("http", &[]),
    ("smtp", &[]),
    ("text", &[]),
    ("compression", &[]),
    ("random", &[]),
    ("panics", &[]),
    ("metrics", &[]),
    ("capture", &["http", "text"]),
    ("certificates", &["text"]),
    ("reactor", &["metrics", "panics"]),
    ("durable", &["panics"]),
    ("logging", &["http", "panics", "reactor"]),
    ("files", &["compression", "http", "text", "reactor"]),
    ("auth", &["http"]),
    ("cache", &["http", "panics", "reactor"]),
    ("session", &["durable", "http", "reactor"]),
    ("mailbox", &["panics", "text"]),
    ("app", &["auth", "certificates", "durable", "http", "mailbox", "panics", "text", "reactor", "session"]),
    ("names", &["text"]),
    ("tap", &["capture", "reactor", "text"]),
    ("probe", &["reactor"]),
    ("console", &["logging", "reactor", "tap"]),
    (
        "config",
        &[
            "auth",
            "certificates",
            "files",
            "http",
            "logging",
            "names",
            "reactor",
            "session",
            "smtp",
            "tap",
            "text",
            "trust",
        ],
    ),
    ("trust", &["certificates", "reactor"]),
    (
        "client",
        &["certificates", "console", "http", "logging", "names", "probe", "smtp", "tap", "text", "reactor", "trust"],
    ),
    (
        "service",
        &[
            "app",
            "auth",
            "cache",
            "certificates",
            "compression",
            "console",
            "files",
            "http",
            "metrics",
            "names",
            "text",
            "probe",
            "random",
            "reactor",
            "logging",
            "mailbox",
            "session",
            "smtp",
        ],
    ),
    (
        "server",
        &[
            "app",
            "auth",
            "cache",
            "certificates",
            "config",
            "console",
            "durable",
            "files",
            "http",
            "reactor",
            "logging",
            "mailbox",
            "names",
            "service",
            "session",
            "smtp",
            "tap",
            "text",
        ],
    ),
    (
        "cli",
        &[
            "app",
            "auth",
            "cache",
            "capture",
            "certificates",
            "client",
            "config",
            "durable",
            "files",
            "http",
            "logging",
            "mailbox",
            "names",
            "reactor",
            "server",
            "service",
            "session",
            "smtp",
            "tap",
            "text",
            "trust",
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

/// The path of each file below `src`, and its code without comments and tests.
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
    path.split(['/', '.', ':', ';', ' ', ',', '{', '}', ')', '\n']).next().unwrap_or_default()
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
            assert!(fine, "{name} imports {imported}, which its layer may not import");
        }
    }
}

#[test]
fn some_calls_are_made_in_one_place_only() {
    for (call, places) in [
        // After the loop has ended, the log's sink waits a limited time for its last lines.
        ("sys::clock", &["reactor/clock.rs"][..]),
        ("Instant::now", &["logging/sink.rs"]),
        ("SystemTime::now", &["logging/diagnostics.rs"]),
        ("rustix::net::send", &["reactor/socket.rs"]),
        ("rustix::fs::sendfile", &["reactor/socket.rs"]),
        (".shutdown(", &["reactor/socket.rs"]),
        ("Stream::connect(", &["reactor/socket.rs", "reactor/listener.rs", "cli/blocking.rs"]),
        ("mio::net::UdpSocket", &["reactor/datagram_socket.rs"]),
        ("rustix::net::recv(", &["reactor/socket.rs"]),
        ("rustix::net::recvfrom(", &["reactor/datagram_socket.rs"]),
        ("send_to(", &["reactor/datagram_socket.rs"]),
        ("thread::Builder", &["reactor/helpers.rs"]),
        ("to_socket_addrs", &["names.rs"]),
        (
            "rustls::",
            &[
                "reactor/tls/acceptor.rs",
                "reactor/tls/connector.rs",
                "reactor/tls/failure.rs",
                "reactor/tls/key_log.rs",
                "reactor/tls/mod.rs",
                "reactor/tls/resolver.rs",
                "reactor/tls/connection.rs",
            ],
        ),
        ("rustix::fs::openat2", &["files/resolve.rs"]),
        ("unsafe {", &["reactor/sys.rs"]),
        ("unsafe_code", &["reactor/sys.rs"]),
    ] {
        let users: Vec<_> = code().into_iter().filter(|(_, code)| code.contains(call)).map(|(name, _)| name).collect();
        assert!(
            users.iter().all(|name| places.contains(&name.as_str())),
            "{call} is allowed in {places:?} only, not in {users:?}"
        );
    }
}

#[test]
fn nothing_prints_directly_or_sleeps() {
    for (name, code) in code() {
        for call in ["println!", "eprintln!", "print!(", "thread::sleep", "process::exit", "static mut", "Rc<RefCell"] {
            assert!(!code.contains(call), "{call} in {name}");
        }
    }
}

/// The module of a file: its path without `.rs` and `/mod.rs`, in segments.
fn module(name: &str) -> Vec<&str> {
    let mut segments: Vec<_> = name.trim_end_matches(".rs").split('/').collect();
    if segments.last() == Some(&"mod") {
        segments.pop();
    }
    segments
}

/// The name and the code of each file, by its module.
type Files = BTreeMap<Vec<String>, (String, String)>;

/// The paths that the `use` items of a file name, each in segments: those that it re-exports, or the others.
fn used_paths(code: &str, reexported: bool) -> Vec<Vec<&str>> {
    let items = code.split("\n").scan(0, |at, line| {
        let begin = *at;
        *at += line.len() + 1;
        Some((begin, line))
    });
    let items = items.filter_map(|(begin, line)| {
        let is_public = line.starts_with("pub");
        let path = line.split_once("use ").filter(|(before, _)| before.is_empty() || before.starts_with("pub"));
        path.filter(|_| is_public == reexported).map(|(before, _)| &code[begin + before.len() + 4..])
    });
    let mut paths = Vec::new();
    for item in items {
        let item = item.split(';').next().unwrap();
        let (common, names) = item.split_once('{').unwrap_or((item, ""));
        for name in names.trim_end_matches(['}', '\n', ' ']).split(',') {
            let segments = common.split("::").chain(name.split("::")).map(str::trim);
            let segments = segments.map(|segment| segment.split(' ').next().unwrap());
            paths.push(segments.filter(|segment| !matches!(*segment, "" | "self")).collect());
        }
    }
    paths
}

/// The file that has what `path` names in the file `name`, and the name of that there.
fn named_in<'a>(name: &str, path: &[&'a str], files: &'a Files) -> Option<(&'a str, Option<&'a str>)> {
    let mut target: Vec<_> = module(name).into_iter().map(str::to_owned).collect();
    for segment in path {
        match *segment {
            "super" => _ = target.pop(),
            "crate" => target.clear(),
            _ => target.push((*segment).to_owned()),
        }
    }
    // The longest part of the path that is a file.
    let (length, file) = (1..=target.len()).rev().find_map(|length| Some((length, files.get(&target[..length])?)))?;
    Some((&file.0, path.get((path.len() + length).saturating_sub(target.len())).copied()))
}

/// The same; what a `mod.rs` re-exports is where that has it from.
fn file_of<'a>(name: &str, path: &[&'a str], files: &'a Files) -> Option<&'a str> {
    let (mut file, mut wanted) = named_in(name, path, files)?;
    while let Some(name) = wanted {
        let paths = used_paths(&files.values().find(|(other, _)| other == file)?.1, true);
        let found = paths.iter().find(|path| path.last() == Some(&name)).and_then(|path| named_in(file, path, files));
        // Others are of another crate.
        let Some((next, further)) = found.filter(|(next, _)| *next != file) else { break };
        (file, wanted) = (next, further);
    }
    Some(file)
}

/// The files that a file imports from. It may name what the `mod.rs` above it defines: that is what the files of
/// a directory have in common.
fn imported_files<'a>(name: &str, code: &'a str, files: &'a Files) -> BTreeSet<&'a str> {
    let found = used_paths(code, false).into_iter().filter_map(|path| file_of(name, &path, files));
    let is_above = |file: &str| file.strip_suffix("mod.rs").is_some_and(|directory| name.starts_with(directory));
    found.filter(|file| *file != name && !is_above(file)).collect()
}

#[test]
fn imports_between_files_have_no_cycle() {
    let code = code();
    let key = |name| module(name).into_iter().map(str::to_owned).collect();
    let files: Files = code.iter().map(|(name, code)| (key(name), (name.clone(), code.clone()))).collect();
    let mut imports: BTreeMap<&str, BTreeSet<&str>> =
        code.iter().map(|(name, code)| (name.as_str(), imported_files(name, code, &files))).collect();
    assert!(imports.values().map(BTreeSet::len).sum::<usize>() > 200, "too few imports were found");
    // Files that import none of the others, or that none of them imports, are removed repeatedly; cycles remain.
    loop {
        let left: BTreeSet<_> = imports.keys().copied().collect();
        let imported: BTreeSet<_> = imports.values().flatten().copied().collect();
        imports.retain(|name, targets| {
            targets.retain(|target| left.contains(target));
            !targets.is_empty() && imported.contains(name)
        });
        if imports.len() == left.len() {
            break;
        }
    }
    assert!(imports.is_empty(), "these files contain a cycle: {imports:#?}");
}
