//! `miod cache` and the cache in the service for operators, with the real binary: what is stored is
//! listed, shown, checked and purged, and is there after a restart.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use support::{Client, Outcome, Response, Root, Script, Server, eventually, get, get_with, miod, pattern, run_to_end};

/// An origin that says in each response how many requests it had. `/tag/NAME` is tagged, `/by-accept`
/// varies, `/large` is a file of its own in the cache, and `/none` isn't stored.
struct Origin {
    script: Script,
    asked: Arc<AtomicUsize>,
}

const LARGE: usize = 200_000;

impl Origin {
    fn start() -> Self {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let script = Script::answering(move |head| {
            let number = count.fetch_add(1, Ordering::SeqCst) + 1;
            let numbered = format!("number {number}\n").into_bytes();
            let (further, body) = match head.split(' ').nth(1).unwrap() {
                "/by-accept" => ("Vary: Accept\r\n".to_owned(), numbered),
                "/large" => ("Content-Type: image/png\r\n".to_owned(), pattern(LARGE)),
                "/none" => ("Cache-Control: no-store\r\n".to_owned(), numbered),
                path => match path.strip_prefix("/tag/") {
                    Some(tag) => (format!("Cache-Tag: all, {tag}\r\n"), numbered),
                    None => (String::new(), numbered),
                },
            };
            let length = body.len();
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nCache-Control: max-age=3600\r\n{further}\r\n");
            [head.into_bytes(), body].concat()
        });
        Self { script, asked }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// A site whose responses come from an origin, and are stored.
struct Site {
    root: Root,
    origin: Origin,
    server: Server,
}

impl Site {
    fn start() -> Self {
        let (root, origin) = (Root::new(), Origin::start());
        let config = format!(
            "bind = \"127.0.0.1:0\"\nadmin = [\"127.0.0.1:0\", \"unix:{}\"]\nproxy-cache = \"cache\"\n\n[[host]]\n\
             [[host.route]]\npath = \"/\"\nproxy = \"{}\"\ncache = true\n",
            root.at("admin").display(),
            origin.script.url("")
        );
        root.file("miod.toml", config);
        let server = Self::run(&root);
        Self { root, origin, server }
    }

    fn run(root: &Root) -> Server {
        let mut command = miod();
        command.arg("-c").arg(root.at("miod.toml"));
        Server::run(command)
    }

    /// Ends the server in order.
    fn stop(&mut self) {
        self.server.signal("TERM");
        assert!(self.server.wait().success());
    }

    /// Starts another server.
    fn restart(&mut self) {
        self.server = Self::run(&self.root);
    }

    fn directory(&self) -> PathBuf {
        self.root.at("cache")
    }

    fn ask(&self, request: &str) -> Response {
        let mut client = Client::connect(self.server.operators());
        client.send(request);
        client.response()
    }

    /// A value of `GET /cache`.
    fn figure(&self, name: &str) -> u64 {
        let text = self.ask(&get("/cache")).text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name}: {text}")).parse().unwrap()
    }

    /// Requests paths, and waits until all is on the disk.
    fn fill(&self, paths: &[&str]) {
        for path in paths {
            assert_eq!(self.server.get(path).status, 200, "{path}");
        }
        let entries = self.figure("entries") as usize;
        assert!(eventually(|| run(&["check"], &self.directory(), &[]).text().starts_with(&format!("{entries} resp"))));
    }

    /// The URL of a path, as it is stored.
    fn url(path: &str) -> String {
        format!("http://localhost{path}")
    }

    /// Whether the response to a path comes from the cache.
    fn hits(&self, path: &str) -> bool {
        self.server.get(path).field("X-Cache") == Some("HIT")
    }
}

/// Runs `miod cache`, with a directory between the arguments.
fn run(before: &[&str], directory: &Path, after: &[&str]) -> Outcome {
    run_to_end(miod().arg("cache").args(before).arg(directory).args(after), b"")
}

/// The lines of a list by the path of their URL.
fn list(site: &Site) -> BTreeMap<String, String> {
    let listed = run(&["list"], &site.directory(), &[]);
    assert_eq!((listed.code, listed.errors.as_str()), (Some(0), ""), "{listed:?}");
    let text = listed.text();
    let lines = text.lines().filter_map(|line| Some((line.split_once("http://localhost")?.1, line)));
    lines.map(|(path, line)| (path.to_owned(), line.to_owned())).collect()
}

#[test]
fn what_is_stored_is_listed_and_is_there_after_a_restart() {
    let mut site = Site::start();
    site.fill(&["/a", "/a", "/large", "/none", "/tag/x"]);
    site.server.get_with("/by-accept", "Accept: text/html\r\n");
    site.fill(&["/by-accept"]);
    assert_eq!(site.origin.asked(), 6);
    // Also while the server has it.
    let while_served = list(&site);
    site.stop();
    let listed = list(&site);
    let paths: Vec<_> = listed.keys().map(String::as_str).collect();
    assert_eq!(paths, ["/a", "/by-accept  by accept", "/large", "/tag/x"]);
    assert_eq!(while_served.len(), 4);
    let words: Vec<_> = listed["/large"].split_whitespace().collect();
    assert_eq!((words[0], words[1], words[3]), ("200", "200000", "fresh"), "{words:?}");
    let last = run(&["list"], &site.directory(), &[]).text().lines().last().unwrap().to_owned();
    assert_eq!(last, "5 responses, 5 of them fresh; 195.3 KiB");
    let json = run(&["list", "--json"], &site.directory(), &[]).text();
    let objects: Vec<serde_json::Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let large = objects.iter().find(|object| object["uri"] == Site::url("/large")).unwrap();
    assert_eq!((&large["status"], &large["size"], &large["fresh"]), (&200.into(), &LARGE.into(), &true.into()));
    assert!(large["fresh_for"].as_i64().unwrap() > 3_000 && large["age"].as_u64().unwrap() < 600, "{large}");
    assert_eq!(objects.iter().filter(|object| object["vary"] == serde_json::json!(["accept"])).count(), 2);
    site.restart();
    assert!(eventually(|| site.figure("scanning") == 0));
    assert_eq!(site.figure("entries"), 5);
    for path in ["/a", "/large", "/tag/x", "/by-accept"] {
        assert!(site.hits(path), "{path}");
    }
    assert_eq!(site.origin.asked(), 6, "nothing was asked for again");
    assert_eq!((site.figure("requests_hit"), site.figure("disk_loads")), (4, 4));
}

#[test]
fn responses_are_shown_as_they_are_stored() {
    let mut site = Site::start();
    site.server.get_with("/by-accept", "Accept: text/html\r\n");
    site.fill(&["/a", "/large", "/by-accept"]);
    site.stop();
    let show =
        |arguments: &[&str], path: &str| run(&[&["show"], arguments].concat(), &site.directory(), &[&Site::url(path)]);
    let shown = show(&[], "/a");
    let (head, body) = shown.text().split_once("\r\n\r\n").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    assert!(head.starts_with("HTTP/1.1 200 \r\n") && head.contains("Cache-Control: max-age=3600"), "{head}");
    assert_eq!((body.as_str(), shown.code), ("number 2\n", Some(0)));
    assert_eq!(show(&["--head"], "/a").text(), head + "\r\n\r\n");
    let large = show(&[], "/large");
    assert!(large.out.ends_with(&pattern(LARGE)), "{} bytes", large.out.len());
    let both = show(&[], "/by-accept").text();
    let (first, second) = both.split_once("\n\n==> no accept <==\n").or_else(|| both.split_once("\n\n==> ")).unwrap();
    assert!(both.contains("==> accept: text/html <==\n") && both.contains("==> no accept <==\n"), "{both}");
    assert!(first.contains("number ") && second.contains("number "), "{both}");
    let none = show(&[], "/none");
    assert_eq!((none.code, none.errors.as_str()), (Some(1), "miod: nothing is stored for http://localhost/none\n"));
    let other = run(&["show"], site.root.path(), &["http://a/"]);
    assert_eq!(other.code, Some(1));
    assert!(other.errors.contains("it isn't the directory of a cache"), "{}", other.errors);
}

#[test]
fn damage_is_found() {
    let mut site = Site::start();
    site.fill(&["/a", "/large", "/tag/x"]);
    site.stop();
    let check = || run(&["check"], &site.directory(), &[]);
    let fine = check();
    assert_eq!(fine.text(), "3 responses are as they were stored; 195.3 KiB\n");
    assert_eq!((fine.code, fine.errors.as_str()), (Some(0), ""));
    // One bit of the large body.
    let folders = fs::read_dir(site.directory()).unwrap().map(|entry| entry.unwrap().path());
    let files = folders.filter(|path| path.is_dir()).flat_map(|path| fs::read_dir(path).unwrap());
    let mut files = files.map(|entry| entry.unwrap().path());
    let body = files.find(|path| path.extension().is_some_and(|extension| extension == "body")).unwrap();
    let mut bytes = fs::read(&body).unwrap();
    bytes[LARGE / 2] ^= 1;
    fs::write(&body, bytes).unwrap();
    let damaged = check();
    let name = body.file_stem().unwrap().to_str().unwrap();
    assert!(damaged.text().starts_with(&format!("{}/{name}: ", &name[..2])), "{}", damaged.text());
    assert_eq!(damaged.text().lines().nth(1), Some("2 responses are as they were stored; 18 B"));
    assert_eq!((damaged.code, damaged.errors.starts_with("miod: damaged: 1;")), (Some(1), true), "{}", damaged.errors);
    let shown = run(&["show"], &site.directory(), &[&Site::url("/large")]);
    assert_eq!((shown.code, shown.out.len()), (Some(1), 0));
    assert!(shown.errors.contains(name), "{}", shown.errors);
    // A server asks for it again.
    site.restart();
    assert!(eventually(|| site.figure("scanning") == 0));
    let asked = site.origin.asked();
    assert_eq!(site.server.get("/large").body, pattern(LARGE));
    assert_eq!((site.origin.asked(), site.figure("errors")), (asked + 1, 1));
}

#[test]
fn a_directory_is_purged_while_no_server_has_it() {
    let mut site = Site::start();
    site.server.get_with("/by-accept", "Accept: text/html\r\n");
    site.fill(&["/a", "/a/b", "/a/c", "/large", "/tag/x", "/tag/y", "/by-accept"]);
    let purge = |site: &Site, arguments: &[&str]| run(&["purge"], &site.directory(), arguments);
    let refused = purge(&site, &["--all"]);
    assert_eq!(refused.code, Some(69));
    assert!(refused.errors.contains("another process uses it") && refused.errors.contains("--admin"), "{refused:?}");
    site.stop();
    let removed = |arguments: &[&str]| {
        let outcome = purge(&site, arguments);
        assert_eq!((outcome.code, outcome.errors.as_str()), (Some(0), ""));
        outcome.text().trim().strip_prefix("removed ").unwrap().parse::<usize>().unwrap()
    };
    assert_eq!(removed(&[&Site::url("/by-accept")]), 2, "all variants");
    assert_eq!(removed(&[&Site::url("/b"), &Site::url("/a")]), 1);
    assert_eq!(removed(&["--prefix", &Site::url("/a/")]), 2);
    assert_eq!(removed(&["--tag", "x", "--tag", "z"]), 1);
    assert_eq!(list(&site).keys().map(String::as_str).collect::<Vec<_>>(), ["/large", "/tag/y"]);
    assert_eq!(removed(&["--all"]), 2);
    assert!(list(&site).is_empty());
    site.restart();
    assert!(!site.hits("/a"));
}

#[test]
fn a_running_server_purges() {
    let mut site = Site::start();
    site.server.get_with("/by-accept", "Accept: text/html\r\n");
    site.fill(&["/a", "/a/b", "/a/c", "/large", "/tag/x", "/tag/y", "/by-accept"]);
    let post = |query: &str| site.ask(&format!("POST /cache/purge{query} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    let purge = |query: &str| {
        let response = post(query);
        assert_eq!((response.status, response.field("Content-Type")), (200, Some("application/json")));
        response.text()
    };
    assert_eq!(purge("?url=http://LOCALHOST:80/by-accept"), "{\"removed\":2}\n");
    assert_eq!(purge("?url=http%3A%2F%2Flocalhost%2Fa"), "{\"removed\":1}\n");
    assert!(!site.hits("/a") && site.hits("/a/b") && site.hits("/large"));
    let (address, socket) = (site.server.operators().to_string(), format!("unix:{}", site.root.at("admin").display()));
    let command = |admin: &str, arguments: &[&str]| {
        run_to_end(miod().args(["cache", "purge", "--admin", admin]).args(arguments), b"")
    };
    let outcome = command(&address, &["--prefix", "http://localhost/a/", "--tag", "x", "http://localhost/%C3%A4"]);
    assert_eq!((outcome.text().as_str(), outcome.code), ("removed 3\n", Some(0)), "{outcome:?}");
    assert!(!site.hits("/a/b") && !site.hits("/tag/x") && site.hits("/tag/y"));
    let outcome = command(&socket, &["--all"]);
    assert_eq!((outcome.text().as_str(), outcome.code), ("removed 5\n", Some(0)), "{outcome:?}");
    assert!(!site.hits("/large"));
    assert!(eventually(|| site.server.errors().contains("5 stored responses were removed")));
    // What was removed stays so.
    site.fill(&["/a"]);
    site.stop();
    assert_eq!(list(&site).keys().map(String::as_str).collect::<Vec<_>>(), ["/a", "/large"]);
    let gone = command(&address, &["--all"]);
    assert_eq!((gone.code, gone.errors.contains("connection refused")), (Some(1), true), "{gone:?}");
}

#[test]
fn only_operators_purge() {
    let site = Site::start();
    let ask =
        |line: &str, fields: &str| site.ask(&format!("{line} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n")).status;
    for (line, fields, status) in [
        ("GET /cache/purge?all=1", "", 405),
        ("DELETE /cache/purge?all=1", "", 405),
        ("POST /cache", "", 405),
        ("POST /cache/purge", "", 400),
        ("POST /cache/purge?url=/a", "", 400),
        ("POST /cache/purge?url=http://a/?b&c", "", 400),
        ("POST /cache/purge/x?all=1", "", 404),
        ("POST /cache/purge?all=1", "Origin: http://evil.example\r\n", 403),
        ("POST /cache/purge?all=1", "Sec-Fetch-Site: cross-site\r\n", 403),
        ("POST /cache/purge?all=1", "X-Forwarded-For: 192.0.2.1\r\n", 403),
        ("POST /cache/purge?all=1", "Content-Length: 0\r\n", 200),
        ("POST /cache/purge?all=1", "", 200),
    ] {
        assert_eq!(ask(line, fields), status, "{line} {fields}");
    }
    let rebound = site.ask("POST /cache/purge?all=1 HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    assert_eq!(rebound.status, 421);
    let refused = site.ask(&get("/cache/purge"));
    assert_eq!((refused.status, refused.field("Allow")), (405, Some("POST, OPTIONS")));
    assert_eq!(site.server.get("/cache/purge").field("Allow"), None, "the site has no such page");
    // Without a cache.
    let root = Root::new();
    let server = Server::start(&root, &["--admin", "127.0.0.1:0"]);
    for request in [get("/cache"), "POST /cache/purge?all=1 HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned()] {
        let mut client = Client::connect(server.operators());
        client.send(request);
        let response = client.response();
        assert_eq!(response.status, 404);
        assert!(response.text().contains("No proxy stores responses"), "{}", response.text());
    }
}

#[test]
fn the_figures_tell_what_the_cache_does() {
    let site = Site::start();
    site.fill(&["/a", "/a", "/large"]);
    site.server.get_with("/b", "Cache-Control: only-if-cached\r\n");
    let metrics = site.ask(&get("/metrics")).text();
    for line in [
        "miod_proxy_cache_requests_total{result=\"hit\"} 1",
        "miod_proxy_cache_requests_total{result=\"uri-miss\"} 2",
        "miod_proxy_cache_entries 2",
        "miod_proxy_cache_growing 0",
        "miod_proxy_cache_evictions_total 0",
        "miod_proxy_cache_errors_total 0",
    ] {
        assert!(metrics.lines().any(|own| own == line), "{line}: {metrics}");
    }
    let disk = metrics.lines().find_map(|line| line.strip_prefix("miod_proxy_cache_bytes{place=\"disk\"} ")).unwrap();
    assert!(disk.parse::<u64>().unwrap() > LARGE as u64, "{disk}");
    let json = site.ask(&get_with("/cache", "Accept: application/json\r\n"));
    let figures: serde_json::Value = serde_json::from_str(&json.text()).unwrap();
    assert_eq!((&figures["entries"], &figures["requests_uri_miss"]), (&2.into(), &2.into()));
}

#[test]
#[ignore = "needs promtool, of prometheus"]
fn promtool_finds_nothing_wrong_with_the_figures_of_the_cache() {
    let site = Site::start();
    site.fill(&["/a", "/a"]);
    let text = site.ask(&get("/metrics")).text();
    let outcome = run_to_end(Command::new("promtool").args(["check", "metrics"]), text.as_bytes());
    assert_eq!((outcome.code, outcome.text().as_str(), outcome.errors.as_str()), (Some(0), "", ""));
}

#[test]
fn check_tells_where_responses_are_stored() {
    let mut site = Site::start();
    // Its socket is in use.
    site.stop();
    let check = |arguments: &[&str]| {
        let mut command = miod();
        command.args(["check", "-c"]).arg(site.root.at("miod.toml")).args(["--bind", "127.0.0.1:0"]).args(arguments);
        run_to_end(&mut command, b"").text()
    };
    let line = format!("cache = {} (1G)", site.directory().display());
    assert!(check(&[]).lines().any(|own| own.starts_with(&line)), "{}", check(&[]));
    assert!(check(&["--proxy-cache", "memory"]).contains("\ncache = in memory (32M), lost at exit "));
    assert!(!check(&["--proxy-cache", "off"]).contains("\ncache = "));
    assert!(eventually(|| site.server.errors().contains(&format!("cache: {} (1G)", site.directory().display()))));
}
