//! Methods, paths and the choice of the handler.

use super::*;

#[test]
fn methods_are_refused_with_the_right_status_and_allow_field() {
    for (request, status, allow) in [
        ("DELETE / HTTP/1.1", 405, Some("GET, HEAD, OPTIONS")),
        ("TRACE / HTTP/1.1", 405, Some("GET, HEAD, OPTIONS")),
        ("TRACE /lab/echo HTTP/1.1", 405, Some("GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS")),
        ("BREW / HTTP/1.1", 501, None),
        ("get / HTTP/1.1", 501, None),
        ("OPTIONS / HTTP/1.1", 204, Some("GET, HEAD, OPTIONS")),
        ("OPTIONS * HTTP/1.1", 204, Some("GET, HEAD, OPTIONS")),
        ("OPTIONS /lab/hello HTTP/1.1", 204, Some("GET, HEAD, OPTIONS")),
        ("CONNECT x:1 HTTP/1.1", 405, Some("GET, HEAD, OPTIONS")),
        ("CONNECT / HTTP/1.1", 400, None),
        ("BREW /lab/echo HTTP/1.1", 200, None),
    ] {
        let mut bench = Bench::new();
        let (response, _) = bench.exchange(format!("{request}\r\nHost: x\r\n\r\n"));
        assert_eq!(statuses(&response), [status], "{request}");
        let expected = allow.map(|allow| format!("Allow: {allow}\r\n"));
        assert!(expected.is_none_or(|line| response.contains(&line)), "{request}: {response}");
    }
}

#[test]
fn head_has_the_fields_of_get_and_no_body() {
    for path in ["/", "/large.bin", "/nope", "/lab/hello", "/lab/stream?chunks=2&ms=0", "/lab/status/500"] {
        let head_of = |method: &str| {
            let mut bench = Bench::new();
            bench.exchange(format!("{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n")).0
        };
        let (get, head) = (head_of("GET"), head_of("HEAD"));
        assert_eq!(get.split_once("\r\n\r\n").unwrap().0.to_owned() + "\r\n\r\n", head, "{path}");
    }
}

#[test]
fn applications_take_precedence_over_files_for_every_spelling_of_a_path() {
    for path in ["/lab/hello", "/lab/%68ello", "/lab//hello", "//lab/hello"] {
        let (response, _) = Bench::new().exchange(get(path));
        assert!(response.contains("Hello"), "{path}: {response}");
    }
    for path in ["/..", "/%2e%2e/x", "/a%2fb", "/a%00", "/a\\b", "/%zz"] {
        assert_eq!(statuses(&Bench::new().exchange(get(path)).0), [400], "{path}");
    }
}

#[test]
fn a_response_that_is_no_content_or_an_error_needs_no_coding() {
    for (method, path, status) in [
        ("OPTIONS", "/lab/hello", 204),
        ("OPTIONS", "*", 204),
        ("POST", "/", 405),
        ("PATCH", "/lab/hello", 405),
        ("GET", "/none", 404),
        ("GET", "/lab/status/204", 204),
        ("GET", "/lab/status/404", 404),
        ("GET", "/lab/status/302", 302),
        ("POST", "/lab/echo", 200),
        ("GET", "/lab/hello", 406),
        ("HEAD", "/lab/hello", 406),
    ] {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nAccept-Encoding: identity;q=0\r\n\r\n"
        );
        assert_eq!(statuses(&Bench::new().exchange(request).0), [status], "{method} {path}");
    }
}

#[test]
fn a_request_that_forbids_the_identity_coding_gets_406() {
    for (value, status) in [("gzip, identity;q=0", 406), ("*;q=0", 406), ("gzip", 200), ("*;q=0, identity", 200)] {
        for path in ["/", "/lab/hello"] {
            let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nAccept-Encoding: {value}\r\n\r\n");
            assert_eq!(statuses(&Bench::new().exchange(request).0), [status], "{path} {value}");
        }
    }
}
