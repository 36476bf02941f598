//! `miod get` with the real binary: against miod, against other servers, and against one that
//! misbehaves.

mod support;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::sockets::{Deaf, free_port};
use support::{Ended, Outcome, Root, Script, Server, UNKNOWN, eventually, miod, pattern, read_head, run_to_end};

fn get(arguments: &[&str]) -> Outcome {
    run_to_end(miod().arg("get").args(arguments), b"")
}

fn site() -> Server {
    let root = Root::new();
    root.old_file("index.html", "index").old_file("large.bin", pattern(3_000_000)).file("folder/index.html", "index");
    Server::start_with(root, &["--apps"])
}

// ---- Against miod

#[test]
fn a_file_is_fetched_by_url_or_by_host_port_and_path() {
    let server = site();
    let (host, port) = (server.address().ip().to_string(), server.address().port().to_string());
    for arguments in [
        &[&*format!("http://{}/index.html", server.address())][..],
        &[&*host, &*port, "index.html"],
        &["localhost", &*port, "/index.html"],
    ] {
        let outcome = get(arguments);
        assert_eq!((outcome.code, outcome.text().as_str(), outcome.errors.as_str()), (Some(0), "index", ""));
    }
    let large = get(&[&host, &port, "large.bin"]);
    assert!(large.out == pattern(3_000_000), "{} bytes", large.out.len());
}

#[test]
fn ranges_heads_methods_and_fields_are_sent() {
    let server = site();
    let url = |path: &str| format!("http://{}{path}", server.address());
    assert_eq!(get(&["-r", "1-3", &url("/")]).text(), "nde");
    let head = get(&["-i", "-X", "HEAD", &url("/large.bin")]);
    assert!(head.text().contains("\r\nContent-Length: 3000000\r\n") && head.text().ends_with("\r\n\r\n"));
    let shown = get(&["-v", "-H", "X-Mine: yes", &url("/lab/inspect")]);
    assert!(shown.errors.contains("> X-Mine: yes\n") && shown.errors.contains("< HTTP/1.1 200 OK\n"));
    assert!(shown.text().contains("X-Mine"), "{}", shown.text());
    assert_eq!(get(&["-d", "a=1", "-d", "b=2", &url("/lab/echo")]).text(), "a=1&b=2");
    let root = Root::new();
    root.file("upload", pattern(300_000));
    let upload = get(&["-d", &format!("@{}", root.at("upload").display()), "-X", "PUT", &url("/lab/echo")]);
    assert!(upload.out == pattern(300_000), "{}", upload.errors);
}

#[test]
fn error_responses_are_printed_or_are_failures() {
    let server = site();
    let url = format!("http://{}/lab/status/503", server.address());
    let printed = get(&[&url]);
    assert!(printed.code == Some(0) && !printed.out.is_empty());
    let failed = get(&["-f", &url]);
    assert_eq!((failed.code, failed.out.len()), (Some(22), 0));
    assert!(failed.errors.contains("503 Service Unavailable"), "{}", failed.errors);
}

#[test]
fn redirects_are_followed_if_requested() {
    let server = site();
    let url = format!("http://{}/folder", server.address());
    assert!(get(&["-i", &url]).text().starts_with("HTTP/1.1 301 "));
    let followed = get(&["-L", "-i", "-v", &url]);
    assert!(followed.errors.contains("> GET /folder/ HTTP/1.1\n"), "{}", followed.errors);
}

#[test]
fn many_requests_use_one_connection() {
    let server = site();
    let url = format!("http://{}/lab/inspect", server.address());
    for arguments in [&["--repeat", "5"][..], &["--pipeline", "5"], &["--repeat", "5", "--pipeline", "2"]] {
        let outcome = get(&[arguments, &["--trace", &url]].concat());
        assert_eq!(outcome.code, Some(0));
        // Each request increases the number on the same connection.
        for number in 1..=5 {
            assert!(outcome.text().contains(&format!("request: {number}\n")), "{}", outcome.text());
        }
        let trace = outcome.errors;
        assert_eq!(trace.matches("connect  ").count(), 1, "{trace}");
        assert!(trace.contains("request 5: first byte 0.") && trace.contains("5 requests, "), "{trace}");
    }
}

#[test]
fn a_download_is_resumed() {
    let server = site();
    let url = format!("http://{}/large.bin", server.address());
    let root = Root::new();
    let file = root.at("copy");
    let arguments = ["-o", file.to_str().unwrap(), "-C", "-", "--trace", &url];
    root.file("copy", &pattern(3_000_000)[..1_234_567]);
    let outcome = get(&arguments);
    assert_eq!((outcome.code, outcome.out.len()), (Some(0), 0), "{}", outcome.errors);
    assert!(outcome.errors.contains("status 206, 1765433 bytes"), "{}", outcome.errors);
    assert!(std::fs::read(&file).unwrap() == pattern(3_000_000));
    // Nothing is missing, or everything.
    assert!(get(&arguments).errors.contains("status 416"));
    assert!(std::fs::read(&file).unwrap() == pattern(3_000_000));
    std::fs::remove_file(&file).unwrap();
    assert_eq!(get(&arguments).code, Some(0));
    assert!(std::fs::read(&file).unwrap() == pattern(3_000_000));
    // A complete response would damage the existing part.
    let complete = Script::responding("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole");
    assert_eq!(get(&["-o", file.to_str().unwrap(), "-C", "-", &complete.url("/")]).code, Some(33));
    assert!(std::fs::read(&file).unwrap() == pattern(3_000_000));
}

#[test]
fn the_output_file_is_written_only_if_there_is_a_response() {
    let server = site();
    let root = Root::new();
    let file = root.at("out");
    let path = file.to_str().unwrap();
    assert_eq!(get(&["-f", "-o", path, &format!("http://{}/none", server.address())]).code, Some(22));
    assert!(!file.exists());
    let empty = Script::responding("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(get(&["-o", path, &empty.url("/")]).code, Some(0));
    assert_eq!(std::fs::read(&file).unwrap(), b"");
    let nowhere = get(&["-o", "/none/such/file", &format!("http://{}/", server.address())]);
    assert_eq!(nowhere.code, Some(23));
    assert!(nowhere.errors.contains("/none/such/file"), "{}", nowhere.errors);
    assert_eq!(get(&["-d", "@/none/such/file", "http://127.0.0.1:1/"]).code, Some(26));
}

#[test]
fn a_closed_pipe_ends_the_command_without_a_message() {
    let server = site();
    let command = format!("{} get http://{}/large.bin | head -c 10", env!("CARGO_BIN_EXE_miod"), server.address());
    let outcome = run_to_end(Command::new("bash").args(["-c", &format!("set -o pipefail; {command}")]), b"");
    assert_eq!((outcome.code, outcome.errors.as_str()), (Some(0), ""));
    assert!(outcome.out == pattern(10));
}

// ---- Without a server

#[test]
fn an_unreachable_server_is_reported_with_the_reason() {
    let nobody = Deaf::new();
    let unused = nobody.address;
    let refused = get(&[&format!("http://{unused}/")]);
    assert_eq!(refused.code, Some(7));
    assert_eq!(refused.errors, format!("miod: can't connect to {unused}: connection refused\n"));
    let unknown = get(&[&format!("http://{UNKNOWN}/")]);
    assert_eq!(unknown.code, Some(6));
    assert!(unknown.errors.contains(UNKNOWN), "{}", unknown.errors);
}

#[test]
fn a_silent_server_times_out() {
    let silent = Script::start(|_, stream| {
        read_head(stream);
        // Until the client closes.
        read_head(stream);
    });
    let begin = Instant::now();
    let outcome = get(&["--timeout", "0.3", &silent.url("/")]);
    assert_eq!(outcome.code, Some(28));
    assert!(outcome.errors.contains(&silent.url("/")) && outcome.errors.contains("timed out"), "{}", outcome.errors);
    assert!(begin.elapsed() >= Duration::from_millis(300));
}

#[test]
fn slow_responses_are_limited_only_by_the_total_time() {
    let drip = || {
        Script::start(|_, stream| {
            read_head(stream);
            let response = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
            for byte in response.chunks(1) {
                if stream.write_all(byte).is_err() {
                    return;
                }
                // Nothing is written to it, so this is a pause.
                let (never, _writer) = std::io::pipe().unwrap();
                let most = Duration::from_millis(20).try_into().unwrap();
                let mut fds = [rustix::event::PollFd::new(&never, rustix::event::PollFlags::IN)];
                let _ = rustix::event::poll(&mut fds, Some(&most));
            }
        })
    };
    let slow = drip();
    assert_eq!(get(&["--timeout", "5", &slow.url("/")]).text(), "abc");
    let slow = drip();
    let outcome = get(&["--max-time", "0.2", &slow.url("/")]);
    assert_eq!((outcome.code, outcome.out.len()), (Some(28), 0));
}

// ---- Misbehaviour

/// The exit code and the output after this response.
fn outcome_of(response: impl Into<Vec<u8>>) -> (Option<i32>, String) {
    let server = Script::responding(response);
    let outcome = get(&["-L", &server.url("/")]);
    assert_eq!(outcome.code == Some(0), outcome.errors.is_empty(), "{}", outcome.errors);
    (outcome.code, outcome.text())
}

#[test]
fn truncated_responses_are_errors() {
    let ok = "HTTP/1.1 200 OK\r\n";
    for (response, printed) in [
        (format!("{ok}Content-Length: 10\r\n\r\nhello"), "hello"),
        (format!("{ok}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nwo"), "hellowo"),
        (format!("{ok}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"), "hello"),
        (format!("{ok}Content-Len"), ""),
        ("HTTP/1.1 100 Continue\r\n\r\n".to_owned(), ""),
    ] {
        assert_eq!(outcome_of(&*response), (Some(18), printed.to_owned()), "{response:?}");
    }
    assert_eq!(outcome_of(""), (Some(52), String::new()));
    // Complete: EOF ends the content.
    assert_eq!(outcome_of(format!("{ok}\r\nhello")), (Some(0), "hello".to_owned()));
    assert_eq!(outcome_of("HTTP/1.0 200 OK\r\n\r\nhello"), (Some(0), "hello".to_owned()));
}

#[test]
fn malformed_responses_are_errors() {
    let ok = "HTTP/1.1 200 OK\r\n";
    for response in [
        "hello\r\n".to_owned(),
        "\u{0}\u{1}\u{2}".to_owned(),
        "HTTP/2.0 200 OK\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n".to_owned(),
        format!("{ok}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"),
        format!("{ok}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("{ok}Content-Length: -5\r\n\r\nhello"),
        format!("{ok}Transfer-Encoding: gzip\r\n\r\nhello"),
        format!("{ok}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello"),
        format!("{ok}Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n"),
        format!("{ok}{}", "A: b\r\n".repeat(1000)),
        format!("{ok}A: {}", "b".repeat(100_000)),
        "HTTP/1.1 100 Continue\r\n\r\n".repeat(1000),
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n".to_owned(),
    ] {
        let (code, printed) = outcome_of(&*response);
        assert_eq!((code, printed.as_str()), (Some(8), ""), "{response:.60}");
    }
    // The chunk before the malformed one was received.
    let late = format!("{ok}Transfer-Encoding: chunked\r\n\r\n5\r\nhelloworld\r\n0\r\n\r\n");
    assert_eq!(outcome_of(late), (Some(8), "hello".to_owned()));
}

#[test]
fn excess_bytes_are_not_printed() {
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(outcome_of(format!("{ok}, world")), (Some(0), "hello".to_owned()));
    let none = "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(outcome_of(none), (Some(0), String::new()));
}

#[test]
fn failed_redirects_are_errors() {
    let to = |location: &str| format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(outcome_of(to("/again")).0, Some(47));
    assert_eq!(outcome_of(to("ftp://127.0.0.1/")).0, Some(1));
    assert_eq!(outcome_of(to(&format!("http://{UNKNOWN}/"))).0, Some(6));
}

#[test]
fn a_redirect_leads_to_another_server_after_the_first_has_closed() {
    let second = Script::responding("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond");
    let to = format!("http://localhost:{}/", second.address.port());
    let first = Script::responding(format!("HTTP/1.1 307 X\r\nLocation: {to}\r\nConnection: close\r\n\r\n"));
    let outcome = get(&["-L", "--trace", "-H", "Authorization: Basic x", "-v", &first.url("/")]);
    assert_eq!((outcome.code, outcome.text().as_str()), (Some(0), "second"), "{}", outcome.errors);
    assert_eq!(outcome.errors.matches("resolve  ").count(), 2, "{}", outcome.errors);
    assert_eq!(outcome.errors.matches("> Authorization").count(), 1, "{}", outcome.errors);
}

#[test]
fn the_remaining_requests_are_sent_again_when_the_server_closes() {
    let closing = Script::responding("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
    for arguments in [&["--repeat", "3"][..], &["--pipeline", "3"]] {
        let outcome = get(&[arguments, &["--trace", &closing.url("/")]].concat());
        assert_eq!((outcome.code, outcome.text().as_str()), (Some(0), "okokok"), "{}", outcome.errors);
        assert_eq!(outcome.errors.matches("connect  ").count(), 3, "{}", outcome.errors);
    }
}

#[test]
fn a_reset_during_the_response_is_reported() {
    let server = Script::start(|_, stream| {
        read_head(stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello").unwrap();
        let _ = socket2::SockRef::from(&*stream).set_linger(Some(Duration::ZERO));
    });
    let outcome = get(&[&server.url("/")]);
    assert_eq!(outcome.code, Some(56));
    assert!(outcome.errors.contains("connection reset"), "{}", outcome.errors);
}

// ---- Other servers

#[test]
#[ignore = "needs python3"]
fn files_are_fetched_from_the_http_server_of_python() {
    let root = Root::new();
    root.file("a b.txt", "python").file("large.bin", pattern(1_000_000));
    let port = free_port().to_string();
    let server = Command::new("python3")
        .args(["-m", "http.server", "--bind", "127.0.0.1", "--directory"])
        .args([root.path().to_str().unwrap(), &port])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _server = Ended(server);
    assert!(eventually(|| get(&["127.0.0.1", &port, "a b.txt"]).text() == "python"));
    assert!(get(&["127.0.0.1", &port, "large.bin"]).out == pattern(1_000_000));
    // It responds in HTTP/1.0 and closes each time.
    let twice = get(&["--repeat", "2", "--trace", &format!("http://127.0.0.1:{port}/a%20b.txt")]);
    assert_eq!((twice.code, twice.text().as_str()), (Some(0), "pythonpython"));
    assert_eq!(get(&["-f", "127.0.0.1", &port, "none"]).code, Some(22));
    assert!(get(&["-i", "127.0.0.1", &port, ""]).text().contains("large.bin"));
}

/// nginx in the foreground, as the user that runs the test.
fn nginx(root: &Path, port: u16) -> Ended {
    let config = format!(
        "daemon off; pid {root}/pid; error_log stderr; events {{}}
         http {{
           access_log off; client_body_temp_path {root}/b; proxy_temp_path {root}/p;
           fastcgi_temp_path {root}/f; uwsgi_temp_path {root}/u; scgi_temp_path {root}/s;
           server {{
             listen 127.0.0.1:{port}; root {root}/www;
             location /moved {{ return 301 /index.html; }}
             location /none {{ return 204; }}
             location /chunked {{ ssi on; ssi_types *; alias {root}/www/; }}
           }}
         }}",
        root = root.display()
    );
    std::fs::write(root.join("nginx.conf"), config).unwrap();
    let child = Command::new("nginx")
        .args(["-e", "stderr", "-p"])
        .arg(root)
        .arg("-c")
        .arg(root.join("nginx.conf"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    Ended(child)
}

#[test]
#[ignore = "needs nginx"]
fn files_are_fetched_from_nginx() {
    let root = Root::new();
    root.file("www/index.html", "nginx").file("www/large.bin", pattern(2_000_000));
    root.file("www/page.shtml", "<!--#echo var=\"request_method\" -->!");
    let port = free_port();
    // Its workers run as the user `nobody` and must be able to read it.
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(root.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let server = nginx(root.path(), port);
    let url = |path: &str| format!("http://127.0.0.1:{port}{path}");
    assert!(eventually(|| get(&[&url("/")]).text() == "nginx"));
    assert!(get(&[&url("/large.bin")]).out == pattern(2_000_000));
    assert_eq!(get(&["-r", "0-4,1999990-", &url("/large.bin")]).text().matches("Content-Range: bytes ").count(), 2);
    let file = root.at("copy");
    root.file("copy", &pattern(2_000_000)[..77]);
    assert_eq!(get(&["-C", "-", "-o", file.to_str().unwrap(), &url("/large.bin")]).code, Some(0));
    assert!(std::fs::read(&file).unwrap() == pattern(2_000_000));
    assert_eq!(get(&["-L", &url("/moved")]).text(), "nginx");
    let none = get(&["-i", &url("/none")]);
    assert!(none.text().starts_with("HTTP/1.1 204 ") && none.text().ends_with("\r\n\r\n"));
    let chunked = get(&["-i", &url("/chunked/page.shtml")]);
    assert!(
        chunked.text().contains("Transfer-Encoding: chunked") && chunked.text().ends_with("GET!"),
        "{}",
        chunked.text()
    );
    let trace = get(&["--pipeline", "20", "--trace", &url("/")]).errors;
    assert_eq!((trace.matches("connect  ").count(), trace.matches("status 200").count()), (1, 20), "{trace}");
    assert_eq!(get(&["-f", &url("/nothing")]).code, Some(22));
    // The master process ends its workers.
    support::kill("TERM", server.0.id());
    let mut server = server;
    server.0.wait().unwrap();
}
