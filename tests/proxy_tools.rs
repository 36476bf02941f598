//! Real clients and real upstreams, with the proxy between them: what is sent arrives, also in
//! part, in pieces, and at once.

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use support::upstreams::{Kind, Upstream};
use support::{Ended, Root, Server, pattern, run_to_end};

const SIZE: usize = 3_000_000;

/// A server of this kind with a large file and a directory, and the proxy in front of it.
struct Pair {
    upstream: Upstream,
    proxy: Server,
    /// What the clients write.
    root: Root,
}

impl Pair {
    fn start(kind: Kind) -> Self {
        let upstream = Upstream::start(kind);
        let files = upstream.files();
        std::fs::write(files.join("large"), pattern(SIZE)).unwrap();
        std::fs::create_dir(files.join("directory")).unwrap();
        for name in ["a", "b"] {
            std::fs::write(files.join("directory").join(name), name).unwrap();
        }
        let root = Root::new();
        root.file("content", pattern(SIZE)).directory("site");
        let proxy = Server::start_with(Root::new(), &["--proxy", &format!("/={}", upstream.url())]);
        Self { upstream, proxy, root }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.proxy.address())
    }

    /// Runs a client where its files are. It must succeed. Returns its output.
    fn run(&self, program: &str, arguments: &[&str]) -> Vec<u8> {
        let mut command = Command::new(program);
        command.current_dir(self.root.path()).args(arguments).env("no_proxy", "*");
        let outcome = run_to_end(&mut command, b"");
        assert_eq!(outcome.code, Some(0), "{program} {arguments:?}: {} {}", outcome.text(), outcome.errors);
        outcome.out
    }

    fn curl(&self, path: &str, arguments: &[&str]) -> Vec<u8> {
        let always = ["--silent", "--show-error", "--fail-with-body", "--noproxy", "*", "--max-time", "20"];
        self.run("curl", &[&always, arguments, &[&self.url(path)]].concat())
    }

    fn text(&self, path: &str, arguments: &[&str]) -> String {
        String::from_utf8(self.curl(path, arguments)).unwrap()
    }

    fn wget(&self, path: &str, arguments: &[&str]) -> Vec<u8> {
        let always = ["--no-verbose", "--no-proxy", "--tries=1", "--timeout=20"];
        self.run("wget", &[&always, arguments, &[&self.url(path)]].concat())
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.root.at(name)).unwrap()
    }
}

/// Whole files, parts of them, and their validators.
fn files_arrive(kind: Kind) {
    let pair = Pair::start(kind);
    let content = pattern(SIZE);
    assert!(pair.curl("/large", &[]) == content);
    assert!(pair.curl("/large", &["--http1.0"]) == content);
    let head = pair.text("/large", &["--head"]).to_ascii_lowercase();
    assert!(head.contains(&format!("content-length: {SIZE}\r\n")), "{head}");
    if kind != Kind::Python {
        // It knows no ranges.
        assert_eq!(pair.curl("/large", &["--range", "1000-1999"]), content[1_000..2_000]);
        pair.root.file("curl", &content[..1_234_567]).file("large", &content[..2_345_678]);
        pair.curl("/large", &["--continue-at", "-", "--output", "curl"]);
        assert!(pair.read("curl") == content);
        pair.wget("/large", &["--continue"]);
        assert!(pair.read("large") == content);
        assert!(pair.wget("/large", &["--start-pos=2999990", "--output-document=-"]) == content[2_999_990..]);
    }
    pair.curl("/large", &["--output", "new", "--remote-time"]);
    let again = ["--time-cond", "new", "--output", "never", "--write-out", "%{http_code}"];
    assert_eq!(pair.text("/large", &again), "304");
    pair.wget("/large", &["--spider"]);
    // The upstream's redirect leads back to the proxy.
    let target = pair.text("/directory", &["--output", "never", "--write-out", "%{redirect_url}"]);
    assert_eq!(target, pair.url("/directory/"));
    let url = pair.url("/large");
    let twice = ["--output", "first", "--output", "second", "--write-out", "%{num_connects} ", &url];
    assert_eq!(pair.text("/large", &twice), "1 0 ", "the connection persists");
    assert!(pair.read("first") == content && pair.read("second") == content);
}

#[test]
#[ignore = "needs nginx, curl and wget"]
fn files_of_nginx_arrive() {
    files_arrive(Kind::Nginx);
}

#[test]
#[ignore = "needs apache2, curl and wget"]
fn files_of_apache_arrive() {
    files_arrive(Kind::Apache);
}

#[test]
#[ignore = "needs lighttpd, curl and wget"]
fn files_of_lighttpd_arrive() {
    files_arrive(Kind::Lighttpd);
}

#[test]
#[ignore = "needs python3, curl and wget"]
fn files_of_the_server_of_python_arrive() {
    files_arrive(Kind::Python);
}

#[test]
#[ignore = "needs python3 and wget"]
fn wget_mirrors_a_directory() {
    let pair = Pair::start(Kind::Python);
    pair.wget("/directory/", &["--mirror", "--no-host-directories"]);
    assert_eq!((pair.read("directory/a"), pair.read("directory/b")), (b"a".to_vec(), b"b".to_vec()));
}

/// Content from clients, with each framing, and after `100 Continue`.
fn uploads_arrive(kind: Kind) {
    let pair = Pair::start(kind);
    let expected = format!("/upload {SIZE}\n");
    for arguments in [
        &["--data-binary", "@content"][..],
        &["--upload-file", "content"],
        &["--header", "Expect: 100-continue", "--upload-file", "content"],
        &["--header", "Expect:", "--upload-file", "content"],
        &["--header", "Transfer-Encoding: chunked", "--data-binary", "@content"],
        &["--header", "Transfer-Encoding: chunked", "--header", "Expect: 100-continue", "--upload-file", "content"],
        &["--http1.0", "--data-binary", "@content"],
    ] {
        assert_eq!(pair.text("/upload", arguments), expected, "{arguments:?}");
    }
    assert_eq!(pair.text("/upload", &["--data", ""]), "/upload 0\n");
    assert_eq!(pair.wget("/upload", &["--post-file=content", "--output-document=-"]), expected.as_bytes());
    assert_eq!(pair.wget("/upload", &["--method=PUT", "--body-file=content", "-O", "-"]), expected.as_bytes());
}

#[test]
#[ignore = "needs gunicorn, curl and wget"]
fn uploads_to_gunicorn_arrive() {
    uploads_arrive(Kind::Gunicorn);
}

#[test]
#[ignore = "needs nodejs, curl and wget"]
fn uploads_to_node_arrive() {
    uploads_arrive(Kind::Node);
}

#[test]
#[ignore = "needs nodejs and curl"]
fn content_streams_through_node_and_back() {
    let pair = Pair::start(Kind::Node);
    assert!(pair.curl("/echo", &["--upload-file", "content"]) == pattern(SIZE));
    let chunked = ["--header", "Transfer-Encoding: chunked", "--upload-file", "content"];
    assert!(pair.curl("/echo", &chunked) == pattern(SIZE));
}

#[test]
#[ignore = "needs nodejs and curl"]
fn events_arrive_at_once() {
    let pair = Pair::start(Kind::Node);
    let mut command = Command::new("curl");
    command.args(["--silent", "--no-buffer", "--noproxy", "*", "--max-time", "20", &pair.url("/events")]);
    let mut client = Ended(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(client.0.stdout.take().unwrap()).lines();
    for number in 0..20 {
        // The next event is sent only when this one has arrived.
        let mut line = || lines.next().expect("an event").unwrap();
        assert_eq!((line(), line()), (format!("data: {number}"), String::new()));
        pair.curl(&format!("/seen/{}", number + 1), &[]);
    }
}

/// Requests on one connection with this program, each of whose lines says whether one was right.
fn client_agrees(kind: Kind, program: &str, option: &str, script: &str) {
    let pair = Pair::start(kind);
    let address = pair.proxy.address();
    let output = pair.run(program, &[option, script, &address.ip().to_string(), &address.port().to_string()]);
    assert_eq!(String::from_utf8(output).unwrap(), "right\n".repeat(100));
}

#[test]
#[ignore = "needs gunicorn and python3"]
fn the_client_of_python_keeps_its_connection() {
    let script = "import http.client, sys\n\
        connection = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=20)\n\
        connection.connect()\nsocket = connection.sock\n\
        for number in range(100):\n    \
            pieces = [b'x' * 100] * number\n    \
            body = [None, b''.join(pieces), iter(pieces)][number % 3]\n    \
            connection.request('POST', f'/{number}', body, encode_chunked=number % 3 == 2,\n        \
                headers={'Transfer-Encoding': 'chunked'} if number % 3 == 2 else {})\n    \
            response = connection.getresponse()\n    \
            expected = f'/{number} {number * 100 if number % 3 else 0}\\n'\n    \
            is_right = response.status == 200 and response.read() == expected.encode() and connection.sock is socket\n    \
            print('right' if is_right else (number, response.status))";
    client_agrees(Kind::Gunicorn, "python3", "-c", script);
}

#[test]
#[ignore = "needs nodejs"]
fn the_client_of_node_agrees() {
    let script = "const [address, port] = process.argv.slice(-2)\n\
        const ask = async number => {\n  \
          const init = number % 2 ? { method: 'POST', body: 'x'.repeat(number * 1000) } : {}\n  \
          const response = await fetch(`http://${address}:${port}/${number}`, init)\n  \
          return await response.text() == `/${number} ${number % 2 ? number * 1000 : 0}\\n` ? 'right' : `${number} isn't`\n\
        }\n\
        Promise.all([...Array(100).keys()].map(ask)).then(lines => console.log(lines.join('\\n')))";
    client_agrees(Kind::Node, "node", "-e", script);
}

#[test]
#[ignore = "needs nginx, lighttpd and curl"]
fn an_upstream_that_restarts_is_used_again() {
    let Pair { upstream, proxy, root } = Pair::start(Kind::Nginx);
    let (address, path) = (upstream.address, "/directory/a");
    assert_eq!(proxy.get(path).text(), "a");
    upstream.end();
    assert_eq!(proxy.get(path).status, 502);
    let pair = Pair { upstream: Upstream::start_at(Kind::Lighttpd, address), proxy, root };
    std::fs::write(pair.upstream.files().join("new"), "new").unwrap();
    assert_eq!(pair.text("/new", &[]), "new");
}
