//! Hosts, routes and rules of a configuration file, with the real server.

mod support;

use support::site::certificate;
use support::{Response, Root, Server, get, miod};

/// A server with this configuration file below the root, at a free port.
fn serve(root: &Root, config: &str) -> Server {
    root.file("miod.toml", format!("bind = \"127.0.0.1:0\"\n{config}"));
    let mut command = miod();
    command.arg("-c").arg(root.at("miod.toml"));
    Server::run(command)
}

/// The response to a request for a host.
fn ask(server: &Server, line: &str, host: &str, lines: &str) -> Response {
    let mut client = server.connect();
    client.send(format!("{line} HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n"));
    client.response_to(line.split(' ').next().unwrap())
}

fn text(response: &Response) -> String {
    String::from_utf8_lossy(&response.body).into_owned()
}

#[test]
fn each_host_has_its_files() {
    let root = Root::new();
    root.file("default/index.html", "default").file("a/index.html", "a").file("b/index.html", "b");
    let server = serve(
        &root,
        "[[host]]\nroot = \"default\"\n[[host]]\nnames = [\"a.example\", \"*.a.example\"]\nroot = \"a\"\n\
         [[host]]\nnames = \"b.example\"\nroot = \"b\"\n",
    );
    for (host, expected) in [
        ("a.example", "a"),
        ("A.EXAMPLE.:8080", "a"),
        ("www.a.example", "a"),
        ("x.www.a.example", "default"),
        ("b.example", "b"),
        ("www.b.example", "default"),
        ("127.0.0.1", "default"),
    ] {
        assert_eq!(text(&ask(&server, "GET /", host, "")), expected, "{host}");
    }
    // The target counts more than the field, and one connection is for several hosts.
    let mut client = server.connect();
    client.send("GET http://b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\nGET / HTTP/1.1\r\nHost: a.example\r\n\r\nGET / HTTP/1.0\r\n\r\n");
    for expected in ["b", "a", "default"] {
        assert_eq!(text(&client.response()), expected);
    }
}

#[test]
fn unknown_hosts_are_refused_without_a_default_and_if_strict() {
    let root = Root::new();
    root.file("a/index.html", "a").file("default/index.html", "default");
    let named = "[[host]]\nnames = \"a.example\"\nroot = \"a\"\n";
    for config in [named.to_owned(), format!("strict-hosts = true\n{named}[[host]]\nroot = \"default\"\n")] {
        let server = serve(&root, &config);
        assert_eq!(ask(&server, "GET /", "a.example", "").status, 200);
        for line in ["GET /", "GET /none", "OPTIONS *", "DELETE /", "HEAD /"] {
            assert_eq!(ask(&server, line, "b.example", "").status, 421, "{line} {config}");
        }
        let mut client = server.connect();
        client.send("GET / HTTP/1.0\r\n\r\n");
        assert_eq!(client.response().status, 421);
    }
}

const ROUTES: &str = r##"
listing = true
[[host]]
root = "site"
[[host.route]]
path = "/docs"
root = "docs"
[[host.route]]
path = "/docs/inner"
[[host.route]]
path = "/old"
redirect = { to = "https://new.example$path?$query" }
[[host.route]]
path = "/moved"
redirect = { status = 302, to = "/docs/" }
[[host.route]]
path = "/same"
redirect = { status = 307, to = "https://$host/x" }
[[host.route]]
path = "/health"
respond = { body = "ok\n" }
log = false
[[host.route]]
path = "/version"
respond = { status = 203, type = "application/json", body = "{}" }
[[host.route]]
path = "/gone"
respond = { status = 410, file = "gone.html" }
[[host.route]]
path = "/upload"
app = "echo"
body-limit = 5
"##;

#[test]
fn the_longest_prefix_answers() {
    let root = Root::new();
    root.file("site/index.html", "site").file("site/docs/inner/a.txt", "inner").file("docs/a.txt", "docs");
    root.file("docs/sub/index.html", "sub").file("gone.html", "<p>gone").directory("docs/listed");
    let server = serve(&root, ROUTES);
    let get = |path: &str| ask(&server, &format!("GET {path}"), "h.example:1", "");
    for (path, status, expected) in [
        ("/", 200, "site"),
        ("/docs/a.txt", 200, "docs"),
        ("/docs/sub/", 200, "sub"),
        ("/docs/inner/a.txt", 200, "inner"),
        ("/health", 200, "ok\n"),
        ("/health/x", 200, "ok\n"),
        ("/version", 203, "{}"),
        ("/gone", 410, "<p>gone"),
    ] {
        let response = get(path);
        assert_eq!((response.status, text(&response).as_str()), (status, expected), "{path}");
    }
    assert_eq!(get("/version").field("Content-Type"), Some("application/json"));
    assert_eq!(get("/gone").field("Content-Type"), Some("text/html; charset=utf-8"));
    for (path, status, location) in [
        ("/docs", 301, "/docs/"),
        ("/docs?x", 301, "/docs/?x"),
        ("/docs/sub?q=1", 301, "/docs/sub/?q=1"),
        ("/old", 308, "https://new.example/old"),
        ("/old/%7ea%20b//c?x=%20", 308, "https://new.example/old/~a%20b/c?x=%20"),
        ("/moved/x", 302, "/docs/"),
        ("/same", 307, "https://h.example/x"),
    ] {
        let response = get(path);
        assert_eq!((response.status, response.field("Location")), (status, Some(location)), "{path}");
    }
    for path in ["/docsx", "/healthy", "/docs/..%2fsite/index.html"] {
        assert!(get(path).status >= 400, "{path}");
    }
    assert!(text(&get("/docs/")).contains("a.txt"), "it is listed");
    assert_eq!(ask(&server, "POST /old", "a", "Content-Length: 0\r\n").status, 308);
    assert_eq!(ask(&server, "HEAD /health", "a", "").field("Content-Length"), Some("3"));
    let mut client = server.connect();
    client.send("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n123456");
    assert_eq!(client.response().status, 413, "the limit of the route");
}

const RULES: &str = r##"
cache-control = "no-cache"
access-log = "log"
[[host]]
root = "site"
[[host.header]]
glob = "*.css"
set = { Cache-Control = "max-age=60" }
[[host.header]]
glob = "/assets/**"
set = { Cache-Control = "max-age=31536000, immutable", X-Asset = "yes" }
[[host.route]]
path = "/"
headers = { set = { X-Frame-Options = "DENY" }, add = { Link = ["<a>", "<b>"] }, remove = ["Server"] }
[[host.route]]
path = "/short"
cache-control = "max-age=5"
log = false
[[host.route]]
path = "/read"
methods = "GET"
[[host.route]]
path = "/closed"
deny = ["127.0.0.0/8", "::1"]
[[host.route]]
path = "/closed/open"
headers = { set = { X-Inner = "1" } }
[[host.route]]
path = "/elsewhere"
allow = "192.0.2.0/24"
[[host.route]]
path = "/api"
app = "lab"
cors = { origins = ["https://page.example"], methods = ["GET", "POST"], headers = "X-A", max-age = 600, credentials = true }
"##;

#[test]
fn rules_decide_about_fields_methods_and_addresses() {
    let root = Root::new();
    for name in ["index.html", "a.css", "assets/a.css", "assets/deep/b.js", "short/a.txt", "read/a.txt", "closed/a"] {
        root.old_file(&format!("site/{name}"), "x");
    }
    root.old_file("site/elsewhere/a", "x").old_file("site/closed/open/a", "x");
    let mut server = serve(&root, RULES);
    let get = |path: &str, lines: &str| ask(&server, &format!("GET {path}"), "a", lines);
    for lines in ["", "Range: bytes=0-0\r\n", "If-Modified-Since: Fri, 01 Jan 2027 00:00:00 GMT\r\n"] {
        for path in ["/", "/none"] {
            let response = get(path, lines);
            assert_eq!(
                (response.field("X-Frame-Options"), response.count("Server")),
                (Some("DENY"), 0),
                "{path} {lines}"
            );
            assert_eq!(response.count("Link"), 2, "{path} {lines}");
        }
    }
    for (path, cache_control, asset) in [
        ("/", "no-cache", None),
        ("/a.css", "max-age=60", None),
        ("/assets/a.css", "max-age=31536000, immutable", Some("yes")),
        ("/assets/deep/b.js", "max-age=31536000, immutable", Some("yes")),
        ("/short/a.txt", "max-age=5", None),
    ] {
        for _ in 0..2 {
            let response = get(path, "");
            assert_eq!(response.field("Cache-Control"), Some(cache_control), "{path}");
            assert_eq!((response.count("Cache-Control"), response.field("X-Asset")), (1, asset), "{path}");
        }
    }
    for (line, status, allow) in [
        ("GET /read/a.txt", 200, None),
        ("HEAD /read/a.txt", 200, None),
        ("POST /read/a.txt", 405, Some("GET, OPTIONS")),
        ("OPTIONS /read/a.txt", 204, Some("GET, OPTIONS")),
        ("GET /closed/a", 403, None),
        ("GET /closed/open/a", 403, None),
        ("GET /elsewhere/a", 403, None),
    ] {
        let response = ask(&server, line, "a", "");
        assert_eq!((response.status, response.field("Allow")), (status, allow), "{line}");
    }
    server.signal("TERM");
    assert!(server.wait().success());
    let log = std::fs::read_to_string(root.at("log")).unwrap();
    assert!(log.contains("/read/a.txt") && !log.contains("/short/"), "{log}");
}

#[test]
fn pages_of_allowed_origins_may_read_responses() {
    let root = Root::new();
    root.file("site/index.html", "x");
    let server = serve(&root, RULES);
    let get = |origin: &str| ask(&server, "GET /api/hello", "a", &format!("Origin: {origin}\r\n"));
    let allowed = get("https://page.example");
    assert_eq!(allowed.field("Access-Control-Allow-Origin"), Some("https://page.example"));
    assert_eq!(allowed.field("Access-Control-Allow-Credentials"), Some("true"));
    let other = get("https://other.example");
    assert_eq!((other.field("Access-Control-Allow-Origin"), other.field("Vary")), (None, Some("Origin")));
    let preflight = "Origin: https://page.example\r\nAccess-Control-Request-Method: POST\r\n";
    let response = ask(&server, "OPTIONS /api/echo", "a", preflight);
    assert_eq!(response.status, 204);
    assert_eq!(response.field("Access-Control-Allow-Methods"), Some("GET, POST"));
    assert_eq!(response.field("Access-Control-Allow-Headers"), Some("X-A"));
    assert_eq!(response.field("Access-Control-Max-Age"), Some("600"));
}

#[test]
fn a_route_is_protected_with_all_routes_below_it() {
    let root = Root::new();
    root.file("site/private/deep/a", "x");
    root.file("users", "alice:$2y$04$MLhQcSVSXWZEBa76VTowc.Dn8tyrxSjlY.gu8AkQrojRxxZtcQUQW\n");
    let server = serve(
        &root,
        "[[host]]\nroot = \"site\"\n[[host.route]]\npath = \"/private\"\nauth = \"users\"\n[[host.route]]\n\
         path = \"/private/deep\"\nheaders = { set = { X-Deep = \"1\" } }\n",
    );
    let response = ask(&server, "GET /private/deep/a", "a", "");
    assert_eq!((response.status, response.field("X-Deep")), (401, Some("1")));
    let response = ask(&server, "GET /private/deep/a", "a", "Authorization: Basic YWxpY2U6YXBwbGU=\r\n");
    assert_eq!((response.status, response.field("Cache-Control")), (200, Some("private, no-cache")));
}

#[test]
#[ignore = "needs openssl"]
fn over_tls_a_host_needs_the_certificate_of_the_connection() {
    let root = Root::new();
    root.file("a/index.html", "a").file("b/index.html", "b");
    let a = certificate(&root, "tls-a", &["a.example"]);
    let b = certificate(&root, "tls-b", &["b.example"]);
    let server = serve(
        &root,
        &format!(
            "tls-bind = \"127.0.0.1:0\"\n[[host]]\nnames = \"a.example\"\nroot = \"a\"\ntls = \"{}\"\n[[host]]\n\
             names = \"b.example\"\nroot = \"b\"\ntls = \"{}\"\n",
            a.pair, b.pair
        ),
    );
    let port = server.banner.split("https://127.0.0.1:").nth(1).unwrap().split('/').next().unwrap().to_owned();
    let status = |asked: Option<&str>, host: &str| {
        let mut command = std::process::Command::new("openssl");
        command.args(["s_client", "-quiet", "-connect", &format!("127.0.0.1:{port}")]);
        match asked {
            Some(asked) => command.args(["-servername", asked]),
            None => command.arg("-noservername"),
        };
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let outcome = support::run_to_end(&mut command, request.as_bytes());
        let text = outcome.text();
        let status: u16 = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
        (status, text.rsplit("\r\n\r\n").next().unwrap_or_default().to_owned())
    };
    for (asked, host, expected) in [
        (Some("a.example"), "a.example", 200),
        (Some("a.example"), "A.example:443", 200),
        (Some("b.example"), "b.example", 200),
        (Some("a.example"), "b.example", 421),
        (Some("b.example"), "a.example", 421),
        (Some("b.example"), "unknown.example", 421),
        (None, "a.example", 200),
        (None, "b.example", 421),
        (None, "unknown.example", 421),
    ] {
        let (status, body) = status(asked, host);
        assert_eq!(status, expected, "{asked:?} {host}");
        assert!(status != 200 || host.to_lowercase().starts_with(&body), "{asked:?} {host} {body}");
    }
    // In plain text the name is enough.
    assert_eq!(text(&ask(&server, "GET /", "b.example", "")), "b");
}

#[test]
fn an_address_has_a_rate_for_each_route_that_sets_one() {
    let root = Root::new();
    root.file("site/index.html", "x").file("site/a/index.html", "x").file("site/a/b/index.html", "x");
    let server = serve(
        &root,
        "rate = \"1/s:3\"\n[[host]]\nroot = \"site\"\n[[host.route]]\npath = \"/a\"\nrate = \"1/s:1\"\n\
         [[host.route]]\npath = \"/a/b\"\nlog = false\n",
    );
    // They come at once: in a second there is room for one more.
    let mut client = server.connect();
    client.send(["/", "/", "/", "/", "/a/", "/a/b/", "/a/"].map(get).concat());
    let mut status = || client.response().status;
    assert_eq!([(); 4].map(|()| status()), [200, 200, 200, 429]);
    assert_eq!([(); 2].map(|()| status()), [200, 429], "the inner route has the limit of the outer one");
    let response = client.response();
    assert_eq!((response.status, response.field("Retry-After")), (429, Some("1")));
    assert_eq!(response.field("RateLimit-Policy"), Some("\"address\";q=1;w=1"));
    assert_eq!(response.field("RateLimit"), Some("\"address\";r=0;t=1"));
}

#[test]
fn ten_thousand_hosts_are_found_and_three_hundred_directories_served() {
    use std::fmt::Write;
    let root = Root::new();
    let mut config = String::new();
    for number in 0..300 {
        root.file(&format!("site{number}/index.html"), format!("site {number}"));
        let _ = write!(config, "[[host]]\nnames = \"site{number}.example\"\nroot = \"site{number}\"\n");
    }
    for number in 0..9_700 {
        let _ = write!(
            config,
            "[[host]]\nnames = [\"h{number}.example\"]\n[[host.route]]\npath = \"/\"\nrespond = {{ body = \"{number}\" }}\n"
        );
    }
    let server = serve(&root, &config);
    for number in [0, 150, 299] {
        let response = ask(&server, "GET /", &format!("site{number}.example"), "");
        assert_eq!(text(&response), format!("site {number}"));
    }
    for number in [0, 5_000, 9_699] {
        assert_eq!(text(&ask(&server, "GET /", &format!("H{number}.example:80"), "")), number.to_string());
    }
    assert_eq!(ask(&server, "GET /", "h9700.example", "").status, 421);
    let open = std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count();
    assert!(open < 400 && !server.errors().contains("can't watch"), "{open} {}", server.errors());
}
