//! The service for operators: what it says, to whom, and that it answers when nothing else does.

mod support;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use support::reload::reload;
use support::site::Site;
use support::{Client, Response, Root, Server, eventually, get, get_with, miod, run_to_end};

/// A server for the root with a service for operators, and the address of that.
fn serve(root: &Root, arguments: &[&str]) -> (Server, SocketAddr) {
    let server = Server::start(root, &[&["--admin", "127.0.0.1:0"], arguments].concat());
    let address = server.operators();
    (server, address)
}

fn ask(address: SocketAddr, request: impl AsRef<[u8]>) -> Response {
    let mut client = Client::connect(address);
    client.send(request);
    client.response()
}

/// The samples of the figures.
fn samples(address: SocketAddr) -> BTreeMap<String, f64> {
    let text = ask(address, get("/metrics")).text();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}

#[test]
fn its_pages_are_there_and_nowhere_else() {
    let root = Root::new();
    root.file("index.html", "hello").file("metrics", "a file");
    let (server, address) = serve(&root, &[]);
    for (path, status, text) in [
        ("/", 200, "/health\n/ready\n/metrics\n/config\n/cache\n/cache/purge\n"),
        ("/health", 200, "healthy\n"),
        ("/ready", 200, "ready\n"),
        ("/health/x", 404, "no such page"),
        ("/nope", 404, ""),
        ("/index.html", 404, ""),
    ] {
        let response = ask(address, get(path));
        assert_eq!(response.status, status, "{path}");
        assert!(response.text().contains(text), "{path}: {}", response.text());
    }
    assert_eq!(ask(address, get("/health")).field("Cache-Control"), Some("no-store"));
    assert_eq!(ask(address, "POST /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n").status, 405);
    let mut client = Client::connect(address);
    client.send(get("/metrics").replace("GET", "HEAD"));
    assert_eq!(client.response_to("HEAD").status, 200);
    client.send(get("/health"));
    assert_eq!(client.response().text(), "healthy\n", "the connection persists");
    assert_eq!(server.get("/metrics").text(), "a file", "the site has its own paths");
    assert_eq!(server.get("/ready").status, 404);
}

#[test]
fn only_this_machine_is_answered_and_under_its_own_name() {
    let root = Root::new();
    let (_server, address) = serve(&root, &[]);
    let with_host =
        |host: &str, line: &str| ask(address, format!("GET /health HTTP/1.1\r\nHost: {host}\r\n{line}\r\n")).status;
    assert_eq!(with_host("localhost:9180", ""), 200);
    assert_eq!(with_host("evil.example", ""), 421);
    assert_eq!(with_host("localhost", "X-Forwarded-For: 192.0.2.1\r\n"), 403);
    let refused = run_to_end(miod().args(["-p", "0", "--admin", "0.0.0.0:0"]).arg(root.path()), b"");
    assert_eq!(refused.code, Some(78));
    assert!(refused.errors.contains("would be open to other machines"), "{}", refused.errors);
    let (_server, address) = serve(&root, &["--admin-public"]);
    let request = "GET /health HTTP/1.1\r\nHost: m.example\r\nVia: 1.1 proxy\r\n\r\n";
    assert_eq!(ask(address, request).status, 200);
}

#[test]
fn a_socket_in_the_file_system_has_no_name() {
    let (root, sockets) = (Root::new(), Root::new());
    let path = sockets.at("admin");
    let at = format!("unix:{}", path.display());
    let server = Server::start(&root, &["--admin", &at]);
    assert!(server.banner.contains("for operators on"), "{}", server.banner);
    let mut stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
    std::io::Write::write_all(&mut stream, b"GET /health HTTP/1.1\r\nHost: anything\r\nConnection: close\r\n\r\n")
        .unwrap();
    let text = std::io::read_to_string(&stream).unwrap();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
}

#[test]
fn requests_and_connections_are_counted() {
    let root = Root::new();
    root.old_file("small", [b'x'; 300]).old_file("large", vec![b'x'; 300_000]);
    let (server, address) = serve(&root, &[]);
    let (before, mut asked) = (samples(address), 0.0);
    for path in ["/small", "/small", "/large", "/none", "/none"] {
        server.get(path);
    }
    let mut client = server.connect();
    client.send("nonsense\r\n\r\n");
    assert_eq!(client.response().status, 400);
    drop(client);
    // A new connection may be served before the end of the last one is seen.
    let mut after = BTreeMap::new();
    assert!(eventually(|| {
        after = samples(address);
        asked += 1.0;
        after["miod_http_connections{phase=\"head\"}"] + after["miod_http_connections{phase=\"idle\"}"] == 1.0
    }));
    let grew =
        |name: &str| after.get(name).copied().unwrap_or_default() - before.get(name).copied().unwrap_or_default();
    assert_eq!(grew("miod_http_requests_total{host=\"_default\",method=\"GET\",code=\"2xx\"}"), 3.0);
    assert_eq!(grew("miod_http_requests_total{host=\"_default\",method=\"GET\",code=\"4xx\"}"), 2.0);
    assert_eq!(grew("miod_http_requests_total{host=\"_admin\",method=\"GET\",code=\"2xx\"}"), asked);
    assert_eq!(grew("miod_http_malformed_requests_total"), 1.0);
    assert_eq!(grew("miod_http_request_duration_seconds_count"), 5.0 + asked);
    assert_eq!(grew("miod_http_response_size_bytes_bucket{le=\"1024.0\"}"), 4.0, "two files and two errors");
    assert!(grew("miod_http_response_size_bytes_sum") > 300_600.0);
    assert_eq!(grew("miod_connections_accepted_total"), 6.0 + asked);
    assert!(grew("miod_sent_bytes_total") > 300_600.0);
    // The pages of errors are looked for, too.
    assert!(grew("miod_file_cache_hits_total") >= 2.0 && grew("miod_file_cache_misses_total") >= 3.0);
    assert!(after["miod_loop_pass_duration_seconds_count"] > 0.0);
    assert!(after["process_open_fds"] > 5.0 && after["process_resident_memory_bytes"] > 1e6);
    assert_eq!(after["miod_ready"], 1.0);
}

#[test]
fn applications_say_how_much_they_hold() {
    let root = Root::new();
    let (_server, address) = serve(&root, &["--kv", "127.0.0.1:0", "--app", "/notes=board"]);
    let figures = samples(address);
    let kv = |name: &str| figures[&format!("miod_application_figures{{host=\"_kv\",path=\"/\",name=\"{name}\"}}")];
    assert_eq!((kv("records"), kv("bytes"), kv("watchers")), (0.0, 0.0, 0.0));
    assert_eq!(kv("capacity"), 67_108_864.0);
    assert_eq!(figures["miod_application_figures{host=\"_default\",path=\"/notes\",name=\"records\"}"], 0.0);
}

#[test]
fn both_formats_are_announced() {
    let (_server, address) = serve(&Root::new(), &[]);
    let plain = ask(address, get("/metrics"));
    assert_eq!(plain.field("Content-Type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let open = ask(address, get_with("/metrics", "Accept: application/openmetrics-text\r\n"));
    assert_eq!(open.field("Content-Type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    assert!(open.text().ends_with("# EOF\n") && !plain.text().contains("# EOF"));
}

#[test]
fn the_configuration_is_shown_without_secrets() {
    let root = Root::new();
    root.file("site/index.html", "hello").file(
        "miod.toml",
        "root = \"site\"\nbind = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nkv = \"127.0.0.1:0\"\ntoken = \"hidden\"\n\
         sessions = \"redis://:hidden@127.0.0.1:1/0\"\n",
    );
    let mut command = miod();
    command.arg("-c").arg(root.at("miod.toml"));
    let server = Server::run(command);
    let text = ask(server.operators(), get("/config")).text();
    assert!(
        text.contains("miod.toml:1") && text.contains("token = ***") && text.contains("given-up = nothing"),
        "{text}"
    );
    let json = ask(server.operators(), get_with("/config", "Accept: application/json\r\n"));
    assert_eq!(json.field("Content-Type"), Some("application/json"));
    let parsed: serde_json::Value = serde_json::from_str(&json.text()).unwrap();
    assert_eq!(parsed["admin"]["value"][0], "127.0.0.1:0");
    assert!(!text.contains("hidden") && !json.text().contains("hidden"));
}

#[test]
fn it_answers_while_everything_else_ends() {
    let root = Root::new();
    root.file("index.html", "hello");
    let (mut server, address) = serve(&root, &[]);
    // A request in flight holds the shutdown up.
    let mut slow = server.connect();
    slow.send("POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nab");
    let mut idle = Client::connect(address);
    idle.send(get("/health"));
    assert_eq!(idle.response().status, 200);
    assert!(eventually(|| samples(address)["miod_http_connections{phase=\"body\"}"] == 1.0));
    server.signal("TERM");
    assert!(eventually(|| TcpStream::connect(server.address()).is_err()), "the public listener is closed");
    let response = ask(address, get("/ready"));
    assert_eq!((response.status, response.text().as_str()), (503, "not ready: the server is shutting down\n"));
    assert_eq!(ask(address, get("/health")).status, 200);
    assert_eq!(samples(address)["miod_draining"], 1.0);
    slow.send("cde");
    assert_eq!(slow.response().status, 405);
    // It doesn't wait for operators.
    let waiting = Client::connect(address);
    assert!(server.wait().success());
    drop((waiting, idle));
}

#[test]
fn it_answers_under_maintenance_and_when_there_are_too_many_connections() {
    let root = Root::new();
    root.file("index.html", "hello");
    let (server, address) = serve(&root, &["--max-connections", "2", "--max-per-address", "50"]);
    server.signal("USR2");
    assert!(eventually(|| server.get("/").status == 503));
    let response = ask(address, get("/ready"));
    assert_eq!((response.status, response.text().as_str()), (503, "not ready: the server is under maintenance\n"));
    server.signal("USR2");
    assert!(eventually(|| ask(address, get("/ready")).status == 200));
    // More than the limit and its reserve.
    let crowd: Vec<_> = (0..40)
        .map(|_| {
            let mut client = server.connect();
            client.send("GET / HTTP/1.1\r\n");
            client
        })
        .collect();
    assert_eq!(ask(address, get("/health")).status, 200);
    let refused = || samples(address).get("miod_connections_refused_total{reason=\"full\"}").copied();
    assert!(eventually(|| refused().is_some_and(|count| count > 0.0)));
    drop(crowd);
}

#[test]
fn it_is_ready_only_while_the_session_store_answers() {
    let kv = |at: &str| {
        let mut command = miod();
        command.args(["kv", "-b", at]);
        Server::run(command)
    };
    let root = Root::new();
    let mut store = kv("127.0.0.1:0");
    let at = store.address().to_string();
    let (_server, address) = serve(&root, &["--sessions", &format!("http://{at}/")]);
    assert_eq!(ask(address, get("/ready")).status, 200);
    store.signal("KILL");
    store.wait();
    let response = ask(address, get("/ready"));
    assert_eq!(response.status, 503);
    assert!(response.text().contains("session store is unavailable"), "{}", response.text());
    let up = || samples(address)["miod_session_store_up"];
    assert_eq!((up(), samples(address)["miod_ready"]), (0.0, 0.0));
    let _store = kv(&at);
    // Nobody else asks the store.
    assert!(eventually(|| ask(address, get("/ready")).status == 200));
    assert_eq!((up(), samples(address)["miod_ready"]), (1.0, 1.0));
}

#[test]
fn figures_survive_a_reload_and_the_service_moves() {
    let root = Root::new();
    root.file("a/index.html", "a").file("b/index.html", "b");
    let config = |site: &str, admin: &str| {
        format!("bind = \"127.0.0.1:0\"\n{admin}\n[[host]]\nnames = [\"x.example\"]\nroot = \"{site}\"\n")
    };
    let server = support::reload::serve(&root, &config("a", "admin = \"127.0.0.1:0\""));
    let address = server.operators();
    let request = "GET / HTTP/1.1\r\nHost: x.example\r\n\r\n";
    assert_eq!(server.exchange(request).text(), "a");
    assert_eq!(server.get("/").status, 421);
    assert!(reload(&server, &root, &config("b", "admin = \"127.0.0.1:0\"")));
    assert_eq!(server.exchange(request).text(), "b");
    let figures = samples(address);
    assert!(figures["miod_http_requests_total{host=\"x.example\",method=\"GET\",code=\"2xx\"}"] >= 2.0);
    assert_eq!(figures["miod_http_requests_total{host=\"_unknown\",method=\"GET\",code=\"4xx\"}"], 1.0);
    assert_eq!(figures["miod_reloads_total{result=\"success\"}"], 1.0);
    assert!(ask(address, get("/config")).text().contains("host[0].root = "), "the settings are new");
    assert!(!reload(&server, &root, "broken"));
    assert_eq!(samples(address)["miod_reloads_total{result=\"failure\"}"], 1.0);
    assert!(reload(&server, &root, &config("b", "")));
    assert!(eventually(|| TcpStream::connect(address).is_err()), "the service is gone");
    assert_eq!(server.exchange(request).text(), "b");
}

#[test]
fn handshakes_are_counted() {
    let site = Site::start(&["--tls", "auto", "--admin", "127.0.0.1:0"]);
    let address = site.server.operators();
    assert_eq!(site.get(&["--cacert", &site.authority()], "/").code, Some(0));
    let figures = samples(address);
    assert_eq!(figures["miod_tls_handshakes_total{resumed=\"no\"}"], 1.0);
    let mut client = site.connect();
    client.send([22, 3, 1, 0, 5, 1, 0, 0, 1, 0]);
    client.rest_or_reset();
    assert_eq!(samples(address)["miod_tls_failed_handshakes_total"], 1.0);
}

#[test]
#[ignore = "needs promtool, of prometheus"]
fn promtool_finds_nothing_wrong() {
    let root = Root::new();
    root.file("index.html", "hello");
    let (server, address) = serve(&root, &["--kv", "127.0.0.1:0"]);
    server.get("/");
    server.get("/none");
    let text = ask(address, get("/metrics")).text();
    let outcome = run_to_end(Command::new("promtool").args(["check", "metrics"]), text.as_bytes());
    assert_eq!((outcome.code, outcome.text().as_str()), (Some(0), ""), "{}", outcome.errors);
    assert_eq!(outcome.errors, "", "it has no advice either");
}

#[test]
#[ignore = "needs prometheus"]
fn prometheus_scrapes_the_figures() {
    let root = Root::new();
    root.file("site/index.html", "hello");
    let (server, address) = serve(&root, &[]);
    server.get("/");
    root.file(
        "prometheus.yml",
        format!(
            "global:\n  scrape_interval: 1s\nscrape_configs:\n  - job_name: miod\n    static_configs:\n      - targets: \
             ['{address}']\n"
        ),
    );
    // Prometheus can't choose a free port itself.
    let at: SocketAddr = ([127, 0, 0, 1], support::sockets::free_port()).into();
    let mut command = Command::new("prometheus");
    command
        .arg(format!("--config.file={}", root.at("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", root.at("data").display()))
        .arg(format!("--web.listen-address={at}"));
    let mut prometheus = command.stderr(std::process::Stdio::null()).spawn().unwrap();
    let query = get("/api/v1/query?query=miod_http_requests_total");
    let found = eventually(|| {
        let Ok(stream) = TcpStream::connect(at) else { return false };
        let mut client = Client::over(stream);
        client.send(query.replace("HTTP/1.1\r\n", "HTTP/1.1\r\nConnection: close\r\n"));
        let text = String::from_utf8_lossy(&client.rest_or_reset().0).into_owned();
        text.contains("\"__name__\":\"miod_http_requests_total\"") && text.contains("\"code\":\"2xx\"")
    });
    support::kill("TERM", prometheus.id());
    prometheus.wait().unwrap();
    assert!(found, "Prometheus has no figures");
}
