//! What is different over TLS, and the rules about requests in plain text.

use super::*;

const HSTS: &str = "Strict-Transport-Security: max-age=77\r\n";

/// A server with HSTS and, if so, a redirect to HTTPS at port 8443.
fn bench(redirect: bool, security: Security<'static>) -> Bench {
    let host = |host: &mut Host| {
        host.redirect_https = redirect;
        host.set_rules(Rules { hsts: Some(Duration::from_secs(77)), ..Rules::default() });
    };
    let mut bench = Bench::build(host, |shared| shared.ports.https = Some(8443), false);
    bench.peer.security = security;
    bench
}

#[test]
fn each_response_over_tls_has_the_strict_field_and_none_in_plain_text() {
    let old = "If-Modified-Since: Fri, 01 Jan 2027 00:00:00 GMT\r\n";
    for (method, path, lines, status) in [
        ("GET", "/", "", 200),
        ("GET", "/", "", 200),
        ("HEAD", "/", "", 200),
        ("GET", "/", old, 304),
        ("GET", "/", "Range: bytes=0-1\r\n", 206),
        ("GET", "/", "Range: bytes=900-\r\n", 416),
        ("GET", "/large.bin", "", 200),
        ("GET", "/large.bin", "Range: bytes=0-1,5-6\r\n", 206),
        ("GET", "/none", "", 404),
        ("GET", "/lab/inspect", "", 200),
        ("OPTIONS", "/", "", 204),
        ("GET", "no path", "", 400),
    ] {
        let mut bench = bench(false, Security::Plain);
        for (security, count) in
            [(Security::Plain, 0), (Security::Tls(None), 1), (Security::Plain, 0), (Security::Tls(None), 1)]
        {
            bench.reconnect(security);
            let (response, _) = bench.exchange(format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{lines}\r\n"));
            assert_eq!(statuses(&response), [status], "{method} {path}: {response}");
            assert_eq!(response.matches(HSTS).count(), count, "{method} {path}: {response}");
            let at = response.find(HSTS);
            assert!(at.is_none_or(|at| at < response.find("\r\n\r\n").unwrap()), "{method} {path}: {response}");
        }
    }
}

/// The status of a response, and its Location.
fn moved(response: &str) -> (u16, Option<&str>) {
    let location = response.lines().find_map(|line| line.strip_prefix("Location: "));
    (statuses(response)[0], location)
}

#[test]
fn requests_in_plain_text_are_redirected_to_the_same_url() {
    for (request, status, location) in [
        ("GET / HTTP/1.1\r\nHost: a.example", 308, Some("https://a.example:8443/")),
        ("GET /x?y=z&w HTTP/1.1\r\nHost: a.example:8080", 308, Some("https://a.example:8443/x?y=z&w")),
        ("GET /a%20b%2Fc? HTTP/1.1\r\nHost: a", 308, Some("https://a:8443/a%20b%2Fc?")),
        ("GET /\u{e9} HTTP/1.1\r\nHost: a", 400, None),
        ("GET //evil.example/ HTTP/1.1\r\nHost: a", 308, Some("https://a:8443//evil.example/")),
        ("POST /counter HTTP/1.1\r\nHost: a\r\nContent-Length: 0", 308, Some("https://a:8443/counter")),
        ("HEAD / HTTP/1.1\r\nHost: [::1]:8080", 308, Some("https://[::1]:8443/")),
        ("GET http://b.example/x HTTP/1.1\r\nHost: b.example", 308, Some("https://b.example:8443/x")),
        ("GET / HTTP/1.0", 400, None),
        ("GET / HTTP/1.1\r\nHost:", 400, None),
        ("GET / HTTP/1.1\r\nHost: a/b", 400, None),
        ("GET / HTTP/1.1\r\nHost: a@b", 400, None),
        ("GET / HTTP/1.1\r\nHost: a\tb", 400, None),
        ("GET / HTTP/1.1\r\nHost: a\u{e9}", 400, None),
        ("GET / HTTP/1.1\r\nHost: a:x", 400, None),
        ("OPTIONS * HTTP/1.1\r\nHost: a", 204, None),
        ("GET /.well-known/acme-challenge/none HTTP/1.1\r\nHost: a", 404, None),
        ("GET /.well-known/acme-challenge HTTP/1.1\r\nHost: a", 308, Some("https://a:8443/.well-known/acme-challenge")),
        ("GET /.well-known/acme-challenge/../../x HTTP/1.1\r\nHost: a", 400, None),
    ] {
        let mut bench = bench(true, Security::Plain);
        let (response, _) = bench.exchange(format!("{request}\r\n\r\n"));
        assert_eq!(moved(&response), (status, location), "{request}: {response}");
        assert!(!response.contains("Strict-Transport"), "{response}");
    }
    let mut usual = bench(true, Security::Plain);
    usual.shared.http.ports.https = None;
    assert_eq!(moved(&usual.exchange(get("/a")).0), (308, Some("https://x/a")));
    let mut tls = bench(true, Security::Tls(None));
    assert_eq!(statuses(&tls.exchange(get("/")).0), [200]);
}

#[test]
fn a_trusted_proxy_says_whether_the_client_used_tls() {
    for (security, proto, status) in [
        (Security::Plain, "https", 200),
        (Security::Plain, "http", 308),
        (Security::Tls(None), "https", 200),
        // The proxy speaks TLS with us, but not with the client.
        (Security::Tls(None), "http", 308),
        (Security::Tls(None), "", 200),
    ] {
        let mut bench = bench(true, security);
        bench.shared.http.proxies.add("192.0.2.0/24").unwrap();
        let field = if proto.is_empty() { String::new() } else { format!("X-Forwarded-Proto: {proto}\r\n") };
        let (response, _) = bench.exchange(format!("GET / HTTP/1.1\r\nHost: x\r\n{field}\r\n"));
        assert_eq!(statuses(&response), [status], "{security:?} {proto}");
        assert_eq!(response.contains(HSTS), status == 200, "{response}");
    }
}

#[test]
fn plain_text_at_a_port_for_https_is_told_so_and_nothing_else() {
    for (request, text) in [
        ("GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n", "This port speaks HTTPS: https://x:8443/a?b\n"),
        ("POST /counter HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na=b", "https://x:8443/counter\n"),
        ("GET / HTTP/1.0\r\n\r\n", "This port speaks HTTPS.\n"),
        ("GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-Proto: https\r\n\r\n", "https://x:8443/\n"),
        ("GET /private/ HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", "https://x:8443/private/\n"),
    ] {
        let mut bench = bench(false, Security::PlainAtTls);
        bench.shared.http.proxies.add("192.0.2.0/24").unwrap();
        let (response, want) = bench.exchange(request);
        assert_eq!(statuses(&response), [400], "{request}: {response}");
        assert!(body(&response).ends_with(text) && response.contains("Connection: close\r\n"), "{response}");
        assert_ne!(want.finish, Finish::No, "{request}");
        assert!(!response.contains("Strict-Transport"), "{response}");
    }
}

#[test]
fn plain_text_at_a_port_for_https_is_answered_the_same_however_it_is_cut() {
    let request = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n";
    every_split(request, &[], |pieces| {
        let mut bench = bench(false, Security::PlainAtTls);
        let mut response = String::new();
        for piece in pieces {
            response += &bench.exchange(piece).0;
        }
        assert_eq!(statuses(&response), [400]);
        assert!(response.ends_with("https://x:8443/a\n"), "{response}");
    });
}

#[test]
fn an_application_knows_the_other_port_unless_a_proxy_is_before_it() {
    for (security, trusted, end) in [
        (Security::Plain, false, "compare: https://x:8443/lab/tls\n"),
        (Security::Tls(None), false, "compare: http://x:8080/lab/tls\n"),
        (Security::Plain, true, "miod --tls auto\n"),
        (Security::Tls(None), true, "miod --tls auto\n"),
    ] {
        let mut bench = bench(false, security);
        bench.shared.http.ports.http = Some(8080);
        if trusted {
            bench.shared.http.proxies.add("192.0.2.0/24").unwrap();
        }
        let (response, _) = bench.exchange(get("/lab/tls"));
        assert!(response.ends_with(end), "{security:?} {trusted}: {response}");
    }
}
