//! The exchange, phase by phase, without a socket or a clock.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::auth::Users;
use crate::files::scratch::Scratch;
use crate::reactor::{Finish, Handle, Solitude, Tick, Time};
use crate::service::Message;
use crate::service::testing::{self, Peer, ends};
use crate::session::key::Keys;
use crate::session::pending::{Pending, Question, Reply, Ticket};
use crate::session::signed::Signed;
use crate::session::{Id, Store};
use crate::testing::every_split;

/// One connection with everything that it shares with nobody.
struct Bench {
    shared: super::super::Shared,
    http: Http,
    peer: Peer,
    draining: bool,
    now: Tick,
    solitude: Solitude<Service>,
    files: Scratch,
}

const SECOND: Duration = Duration::from_secs(1);

impl Bench {
    fn new() -> Self {
        Self::with(|_| {}, false)
    }

    fn with(adjust: impl FnOnce(&mut Shared), overloaded: bool) -> Self {
        let files = testing::files();
        let mut shared = testing::shared(&files);
        adjust(&mut shared.http);
        let http = Self::connect(&mut shared, overloaded);
        let solitude = Solitude::default();
        Self { shared, http, peer: Peer::default(), draining: false, now: Tick::default(), solitude, files }
    }

    /// A connection more.
    fn connect(shared: &mut super::super::Shared, overloaded: bool) -> Http {
        let time = Time { now: Tick::default(), unix_seconds: 1_800_000_000, unix_micros: 0 };
        let accepted = Accepted { service: 0, ends: ends(), overloaded };
        Http::open(&accepted, &mut Solitude::default().context(shared, time, false))
    }

    fn settle(&mut self) -> Want {
        let Self { shared, http, peer, solitude, draining, now, .. } = self;
        let time = Time { now: *now, unix_seconds: 1_800_000_000, unix_micros: 0 };
        peer.turn(|io| http.advance(io, &mut solitude.context(shared, time, *draining)))
    }

    /// Sends octets and settles.
    fn send(&mut self, octets: impl AsRef<[u8]>) -> Want {
        self.peer.send(octets.as_ref());
        self.settle()
    }

    /// All that was answered since the last call; files as the octets they are.
    fn answers(&mut self) -> String {
        let output = std::mem::take(&mut self.peer.output);
        let mut text = String::from_utf8_lossy(output.bytes()).into_owned();
        for range in output.files() {
            text.push_str(&format!("<{}-{}>", range.start, range.end));
        }
        text
    }

    /// Sends, and tells what was answered until nothing more comes.
    fn ask(&mut self, octets: impl AsRef<[u8]>) -> (String, Want) {
        let mut want = self.send(octets);
        let mut text = String::new();
        loop {
            let full = self.peer.output.room() == 0;
            text.push_str(&self.answers());
            if !full {
                return (text, want);
            }
            want = self.settle();
        }
    }

    /// Runs the jobs that were asked for and delivers what came of them.
    fn run_jobs(&mut self) -> Want {
        for message in self.solitude.run_jobs() {
            self.deliver(message);
        }
        self.settle()
    }

    fn deliver(&mut self, message: Message) {
        match message {
            Message::Done { ticket, outcome } => self.http.deliver(ticket, outcome),
            Message::Checked { ticket, checked } => self.http.deliver_check(ticket, checked),
            Message::News | Message::Session => {}
        }
    }

    /// Another connection asks the same server; what it was answered. Tells also
    /// whom it sent messages, and has them delivered.
    fn another_asks(&mut self, request: &str) -> (String, Vec<Handle>) {
        let mut other = Peer::default();
        let mut solitude = Solitude::of(Handle::imagined(2));
        let time = Time { now: self.now, unix_seconds: 1_800_000_000, unix_micros: 0 };
        let accepted = Accepted { service: 0, ends: ends(), overloaded: false };
        let mut http = Http::open(&accepted, &mut solitude.context(&mut self.shared, time, false));
        other.send(request.as_bytes());
        other.turn(|io| http.advance(io, &mut solitude.context(&mut self.shared, time, false)));
        http.closed(0, ends(), &mut solitude.context(&mut self.shared, time, false));
        let told = solitude.sent().into_iter().map(|(to, message)| {
            self.deliver(message);
            to
        });
        let told = told.collect();
        (String::from_utf8(other.received()).unwrap(), told)
    }

    fn pass(&mut self, span: Duration) -> Want {
        self.now = self.now.after(span);
        self.settle()
    }

    fn phase(&self) -> &'static str {
        self.http.phase.name()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            audit(&self.shared.http, &mut [&self.http].into_iter());
            let time = Time { now: self.now, unix_seconds: 0, unix_micros: 0 };
            let mut cx = self.solitude.context(&mut self.shared, time, false);
            self.http.closed(0, ends(), &mut cx);
            assert_eq!(self.shared.http.census, Census::default());
        }
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")
}

/// The statuses in what was answered.
fn statuses(answers: &str) -> Vec<u16> {
    answers.split("HTTP/1.1 ").skip(1).map(|answer| answer[..3].parse().unwrap()).collect()
}

/// What stands behind the first head.
fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

// ---- Idle and Head

#[test]
fn any_number_of_requests_however_they_are_cut_are_answered_in_order() {
    let requests: Vec<u8> =
        ["/", "/lab/hello?name=a", "/nope", "/lab/status/204", "/", "/lab/echo"].map(get).concat().into_bytes();
    let answers = every_split(&requests, &[], |pieces| {
        let mut bench = Bench::new();
        let mut answers = String::new();
        for piece in pieces {
            let (text, want) = bench.ask(piece);
            assert!(want.read && want.finish == Finish::No);
            answers.push_str(&text);
        }
        answers
    });
    assert_eq!(statuses(&answers), [200, 200, 404, 204, 200, 200]);
}

#[test]
fn a_train_of_requests_longer_than_the_output_waits_for_room() {
    let mut bench = Bench::new();
    let train = get("/").repeat(1000);
    let (answers, want) = bench.ask(train);
    assert_eq!(statuses(&answers), [200; 1000]);
    assert!(want.read);
    assert_eq!(bench.phase(), "Idle");
}

#[test]
fn an_error_in_the_middle_answers_what_came_before_then_itself_then_closes() {
    let mut bench = Bench::new();
    let (answers, want) = bench.ask(get("/") + "GET / HTTP/1.1\r\nHost: a b\r\n\r\n" + &get("/"));
    assert_eq!(statuses(&answers), [200, 400]);
    assert_eq!(want.finish, Finish::Linger);
    assert!(answers.contains("Connection: close\r\n") && answers.contains("request 1/2"), "{answers}");
}

#[test]
fn garbage_is_refused_before_it_ends() {
    for garbage in [&b"\x16\x03\x01"[..], b"GET /\r\n", b"\0"] {
        let mut bench = Bench::new();
        let (answers, want) = bench.ask(garbage);
        assert_eq!((statuses(&answers), want.finish), (vec![400], Finish::Linger));
    }
}

#[test]
fn an_error_in_answer_to_what_begins_as_head_has_no_content() {
    for request in ["HEAD / HTTP/1.1\r\nHost: a b\r\n\r\n", "HEAD  /", "\r\nHEAD / HTTP/2.0\r\n\r\n"] {
        let (answer, want) = Bench::new().ask(request);
        assert_eq!((body(&answer), want.finish), ("", Finish::Linger), "{request:?}");
        assert!(answer.contains("\r\nContent-Length: "), "{answer}");
    }
}

#[test]
fn the_connection_persists_as_both_sides_want() {
    for (request, line, finish) in [
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", None, Finish::No),
        ("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", Some("Connection: close\r\n"), Finish::Close),
        ("GET / HTTP/1.0\r\n\r\n", Some("Connection: close\r\n"), Finish::Close),
        ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", Some("Connection: keep-alive\r\n"), Finish::No),
        ("GET /nope HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", Some("Connection: keep-alive\r\n"), Finish::No),
    ] {
        let mut bench = Bench::new();
        let (answer, want) = bench.ask(request);
        assert_eq!(want.finish, finish, "{request:?}");
        assert_eq!(answer.contains("Connection: "), line.is_some(), "{answer}");
        assert!(line.is_none_or(|line| answer.contains(line)), "{answer}");
    }
}

#[test]
fn a_slow_head_gets_408_and_silence_gets_nothing() {
    let mut bench = Bench::new();
    assert_eq!(bench.settle(), Want::READ.by(Tick::default().after(10 * SECOND)));
    assert_eq!(bench.pass(10 * SECOND).finish, Finish::Close);
    assert_eq!(bench.answers(), "");

    let mut bench = Bench::new();
    bench.send("G");
    // The head has its time as a whole: more octets don't prolong it.
    bench.pass(9 * SECOND);
    assert_eq!(bench.send("ET").wake, Some(Tick::default().after(10 * SECOND)));
    let want = bench.pass(SECOND);
    assert_eq!((statuses(&bench.answers()), want.finish), (vec![408], Finish::Linger));
}

#[test]
fn between_requests_another_timeout_holds_and_it_closes_silently() {
    let mut bench = Bench::new();
    let (_, want) = bench.ask(get("/"));
    assert_eq!(want, Want::READ.by(Tick::default().after(60 * SECOND)));
    bench.pass(50 * SECOND);
    // A begun request has its own time, from its first octet.
    assert_eq!(bench.send("GET").wake, Some(bench.now.after(10 * SECOND)));
    let (answer, want) = bench.ask(" / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(statuses(&answer), [200]);
    assert_eq!(want.wake, Some(bench.now.after(60 * SECOND)));
    assert_eq!(bench.pass(60 * SECOND).finish, Finish::Close);
    assert_eq!(bench.answers(), "");
}

#[test]
fn an_end_of_input_closes_after_the_answers() {
    for (input, answered) in [("", 0), ("GET / HTT", 0), (&*(get("/") + &get("/nope") + "GET"), 2)] {
        let mut bench = Bench::new();
        bench.peer.end();
        let (answers, want) = bench.ask(input);
        assert_eq!((statuses(&answers).len(), want.finish), (answered, Finish::Close));
    }
}

// ---- Methods and routes

#[test]
fn methods_are_refused_in_the_right_words() {
    for (request, status, allow) in [
        ("DELETE / HTTP/1.1", 405, Some("GET, HEAD, OPTIONS")),
        ("TRACE / HTTP/1.1", 405, Some("GET, HEAD, OPTIONS")),
        ("TRACE /lab/echo HTTP/1.1", 405, Some("GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS")),
        ("BREW / HTTP/1.1", 501, None),
        ("get / HTTP/1.1", 501, None),
        ("OPTIONS / HTTP/1.1", 204, Some("GET, HEAD, OPTIONS")),
        ("OPTIONS * HTTP/1.1", 204, Some("GET, HEAD, OPTIONS")),
        ("OPTIONS /lab/hello HTTP/1.1", 204, Some("GET, HEAD, OPTIONS")),
        ("CONNECT x:1 HTTP/1.1", 400, None),
        ("BREW /lab/echo HTTP/1.1", 200, None),
    ] {
        let mut bench = Bench::new();
        let (answer, _) = bench.ask(format!("{request}\r\nHost: x\r\n\r\n"));
        assert_eq!(statuses(&answer), [status], "{request}");
        let expected = allow.map(|allow| format!("Allow: {allow}\r\n"));
        assert!(expected.is_none_or(|line| answer.contains(&line)), "{request}: {answer}");
    }
}

#[test]
fn head_has_the_fields_of_get_and_no_body() {
    for path in ["/", "/large.bin", "/nope", "/lab/hello", "/lab/stream?chunks=2&ms=0", "/lab/status/500"] {
        let head_of = |method: &str| {
            let mut bench = Bench::new();
            bench.ask(format!("{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n")).0
        };
        let (get, head) = (head_of("GET"), head_of("HEAD"));
        assert_eq!(get.split_once("\r\n\r\n").unwrap().0.to_owned() + "\r\n\r\n", head, "{path}");
    }
}

#[test]
fn applications_come_before_files_and_percent_escapes_do_not_hide_them() {
    for path in ["/lab/hello", "/lab/%68ello", "/lab//hello", "//lab/hello"] {
        let (answer, _) = Bench::new().ask(get(path));
        assert!(answer.contains("Hello"), "{path}: {answer}");
    }
    for path in ["/..", "/%2e%2e/x", "/a%2fb", "/a%00", "/a\\b", "/%zz"] {
        assert_eq!(statuses(&Bench::new().ask(get(path)).0), [400], "{path}");
    }
}

#[test]
fn who_forbids_the_only_coding_there_is_gets_406() {
    for (value, status) in [("gzip, identity;q=0", 406), ("*;q=0", 406), ("gzip", 200), ("*;q=0, identity", 200)] {
        for path in ["/", "/lab/hello"] {
            let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nAccept-Encoding: {value}\r\n\r\n");
            assert_eq!(statuses(&Bench::new().ask(request).0), [status], "{path} {value}");
        }
    }
}

// ---- Body

#[test]
fn a_body_arrives_whole_whatever_its_framing_and_the_next_request_behind_it() {
    let requests = b"POST /lab/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello\
        POST /lab/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nwor\r\n2\r\nld\r\n0\r\nT: t\r\n\r\n";
    let answers = every_split(requests, &[], |pieces| {
        let mut bench = Bench::new();
        pieces.map(|piece| bench.ask(piece).0).collect::<String>()
    });
    assert_eq!(statuses(&answers), [200, 200]);
    assert!(answers.contains("\r\n\r\nhelloHTTP/1.1") && answers.ends_with("\r\n\r\nworld"), "{answers}");
}

#[test]
fn continue_is_said_when_the_body_is_wanted_and_only_then() {
    let request = |path: &str, expect: &str| {
        format!("POST {path} HTTP/1.1\r\nHost: x\r\nExpect: {expect}\r\nContent-Length: 2\r\n\r\n")
    };
    let mut bench = Bench::new();
    assert_eq!(bench.ask(request("/lab/echo", "100-continue")).0, "HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(body(&bench.ask("ok").0), "ok");
    for (path, expect, status) in [("/", "100-continue", 405), ("/lab/echo", "200-ok", 417)] {
        let mut bench = Bench::new();
        let (answer, want) = bench.ask(request(path, expect));
        assert_eq!((statuses(&answer), want.finish), (vec![status], Finish::Linger));
        assert!(answer.contains("Connection: close"));
    }
}

#[test]
fn an_unwanted_body_is_read_up_to_a_bound() {
    let mut bench = Bench::new();
    let (answers, want) = bench.ask(format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc{}", get("/")));
    assert_eq!((statuses(&answers), want.finish), (vec![405, 200], Finish::No));

    let mut bench = Bench::new();
    let (answers, want) = bench.ask("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n");
    assert_eq!((statuses(&answers), want.finish), (vec![405], Finish::Linger));

    let mut bench = Bench::new();
    bench.send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    let chunk = format!("4000\r\n{}\r\n", "a".repeat(0x4000));
    for _ in 0..4 {
        assert_eq!(bench.ask(&chunk).0, "");
    }
    let (answers, want) = bench.ask(&chunk);
    assert_eq!((statuses(&answers), want.finish), (vec![405], Finish::Linger));
}

#[test]
fn a_body_over_the_limit_gets_413() {
    for framing in ["Content-Length: 11\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n"] {
        let mut bench = Bench::with(|http| http.limits.body = 10, false);
        let (answers, want) = bench.ask(format!("POST /lab/echo HTTP/1.1\r\nHost: x\r\n{framing}"));
        assert_eq!((statuses(&answers), want.finish), (vec![413], Finish::Linger), "{framing:?}");
    }
}

#[test]
fn a_malformed_body_gets_400_wanted_or_not() {
    for path in ["/", "/lab/echo"] {
        let mut bench = Bench::new();
        let (answers, want) =
            bench.ask(format!("POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\r\n"));
        assert_eq!((statuses(&answers), want.finish), (vec![400], Finish::Linger));
    }
    let mut bench = Bench::new();
    bench.peer.end();
    let (answers, _) = bench.ask("POST /lab/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabc");
    assert_eq!(statuses(&answers), [400]);
}

#[test]
fn a_slow_body_gets_408() {
    let mut bench = Bench::new();
    let want = bench.send("POST /lab/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n");
    assert_eq!(want.wake, Some(Tick::default().after(20 * SECOND)));
    bench.now = bench.now.after(10 * SECOND);
    // Alive, but below the least rate.
    let want = bench.send("a");
    assert_eq!((statuses(&bench.answers()), want.finish), (vec![408], Finish::Linger));
}

// ---- Checking

/// Alice's password is apple; `/private/` has a small file, and a large one.
fn protected(prefix: &str) -> Bench {
    let bench = Bench::with(
        |http| {
            let users = Users::fixed("alice:$2y$04$MLhQcSVSXWZEBa76VTowc.Dn8tyrxSjlY.gu8AkQrojRxxZtcQUQW").unwrap();
            http.guard.protect(prefix, Some(users)).unwrap();
        },
        false,
    );
    bench.files.directory("private");
    testing::old_file(&bench.files, "private/index.html", "<p>private");
    testing::old_file(&bench.files, "private/large.bin", &"0123456789abcdef".repeat(1024));
    bench
}

/// alice:apple and alice:pear.
const RIGHT: &str = "Authorization: Basic YWxpY2U6YXBwbGU=\r\n";
const WRONG: &str = "Authorization: Basic YWxpY2U6cGVhcg==\r\n";

fn ask_for(path: &str, lines: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n{lines}\r\n")
}

#[test]
fn what_is_under_protection_needs_the_right_password_once_in_a_while() {
    let mut bench = protected("/private");
    let (answer, want) = bench.ask(get("/private/"));
    assert_eq!((statuses(&answer), want.finish), (vec![401], Finish::No));
    assert!(answer.contains("WWW-Authenticate: Basic realm=\"/private/\", charset=\"UTF-8\"\r\n"), "{answer}");
    assert!(answer.contains("Cache-Control: no-store\r\n"));

    for (lines, status) in [(WRONG, 401), (RIGHT, 200)] {
        let want = bench.send(ask_for("/private/", lines));
        assert_eq!(want, Want::NOTHING.by(Tick::default().after(limits::JOB_TIMEOUT)));
        assert_eq!((bench.phase(), bench.answers()), ("Checking", String::new()));
        bench.run_jobs();
        let answer = bench.answers();
        assert_eq!(statuses(&answer), [status]);
        assert_eq!(answer.contains("WWW-Authenticate"), status == 401);
    }
    // From now on it costs no check.
    let (answers, _) = bench.ask(ask_for("/private/", RIGHT) + &ask_for("/private/", RIGHT));
    assert_eq!(statuses(&answers), [200, 200]);
    bench.now = bench.now.after(Duration::from_secs(limits::VERIFIED_FOR));
    bench.send(ask_for("/private/", RIGHT));
    assert_eq!(bench.phase(), "Checking");
}

#[test]
fn no_way_of_writing_a_path_gets_around() {
    let mut bench = protected("/private");
    for path in [
        "/private",
        "/private/",
        "//private/",
        "/./private/",
        "/private//",
        "/private/./",
        "/%70rivate/",
        "/p%72ivate/index.html",
        "/private/%2e/index.html",
        "/private/nothing",
        "/private?x",
        "/private/?x",
        "http://x/private/",
        "http://x//%70rivate",
    ] {
        assert_eq!(statuses(&bench.ask(get(path)).0), [401], "{path}");
    }
    for path in ["/privat", "/privates/", "/lab/private/", "/%2570rivate/", "/Private/"] {
        assert_eq!(statuses(&bench.ask(get(path)).0), [404], "{path}");
    }
    for path in ["/private%2findex.html", "/x/../private/", "/private\\index.html", "/%70rivate/%2e%2e/private/"] {
        assert_eq!(statuses(&bench.ask(get(path)).0), [400], "{path}");
    }
    for method in ["HEAD", "POST", "OPTIONS", "DELETE", "BREW"] {
        let (answer, _) = bench.ask(format!("{method} /private/ HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert_eq!(statuses(&answer), [401], "{method}");
    }
}

#[test]
fn applications_are_under_protection_too_and_get_the_body() {
    let mut bench = protected("/lab/echo");
    let post = |lines: &str| format!("POST /lab/echo HTTP/1.1\r\nHost: x\r\n{lines}Content-Length: 4\r\n\r\nping");
    bench.send(post(RIGHT) + &get("/"));
    assert_eq!(bench.phase(), "Checking");
    bench.run_jobs();
    let answers = bench.answers();
    assert_eq!(statuses(&answers), [200, 200]);
    assert!(answers.contains("\r\n\r\npingHTTP/1.1"), "{answers}");
    assert!(answers.contains("Cache-Control: no-store\r\n") && !answers.contains("private"), "{answers}");
    // Nobody's body isn't read for long, nor asked for.
    assert_eq!(statuses(&bench.ask(post("") + &get("/")).0), [401, 200]);
    let (answer, want) = bench.ask("POST /lab/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n");
    assert_eq!((statuses(&answer), want.finish), (vec![401], Finish::Linger));
    let mut bench = protected("/lab/echo");
    let (answer, _) = bench.ask(post("Expect: 100-continue\r\n"));
    assert_eq!(statuses(&answer)[0], 401);
}

#[test]
fn what_is_under_protection_is_not_for_shared_caches() {
    let mut bench = protected("/");
    bench.send(ask_for("/private/", RIGHT));
    bench.run_jobs();
    let answer = bench.answers();
    assert!(answer.contains("Cache-Control: private, no-cache\r\n") && answer.ends_with("<p>private"), "{answer}");
    for (path, lines, status) in [
        ("/private/", "If-None-Match: *\r\n", 304),
        ("/private/", "Range: bytes=0-1\r\n", 206),
        ("/private", "", 301),
        ("/lab/hello", "", 200),
        ("/lab/stream?chunks=1&ms=0", "", 200),
    ] {
        let (answer, _) = bench.ask(ask_for(path, &format!("{RIGHT}{lines}")));
        assert_eq!(statuses(&answer), [status], "{path}");
        let line = answer.lines().find(|line| line.starts_with("Cache-Control")).expect(path);
        assert!(line.contains("private") || line.contains("no-store"), "{path}: {line}");
    }
    bench.send(ask_for("/private/large.bin", RIGHT) + &ask_for("/", RIGHT));
    let head = bench.answers();
    assert!(head.contains("Cache-Control: private, no-cache\r\n") && head.ends_with("\r\n\r\n<0-16384>"), "{head}");
    bench.settle();
    assert_eq!(statuses(&bench.answers()), [200]);
    // Elsewhere nothing changes.
    let mut bench = protected("/private");
    assert!(bench.ask(get("/")).0.contains("Cache-Control: no-cache\r\n"));
}

#[test]
fn a_check_that_takes_too_long_is_a_503_and_what_comes_of_it_is_for_nobody() {
    let mut bench = protected("/private");
    bench.send(ask_for("/private/", RIGHT));
    let jobs = bench.solitude.run_jobs();
    bench.pass(limits::JOB_TIMEOUT);
    assert_eq!(statuses(&bench.answers()), [503]);
    bench.send(ask_for("/private/", WRONG));
    jobs.into_iter().for_each(|message| bench.deliver(message));
    bench.settle();
    assert_eq!((bench.phase(), bench.answers()), ("Checking", String::new()));
    bench.run_jobs();
    assert_eq!(statuses(&bench.answers()), [401]);
}

#[test]
fn who_guesses_is_told_to_wait_and_so_is_who_asks_for_too_much() {
    let mut bench = protected("/private");
    let guess = |number: u32| {
        let encoded = STANDARD.encode(format!("alice:{number}"));
        ask_for("/private/", &format!("Authorization: Basic {encoded}\r\n"))
    };
    for number in 0..10 {
        bench.send(guess(number));
        bench.run_jobs();
        assert_eq!(statuses(&bench.answers()), [401]);
    }
    let (answer, _) = bench.ask(guess(10));
    assert_eq!(statuses(&answer), [429]);
    assert!(answer.contains("Retry-After: 6\r\n"), "{answer}");
    assert_eq!(statuses(&bench.ask(get("/")).0), [200]);
}

#[test]
fn where_nobody_may_pass_nobody_does() {
    let mut bench = Bench::with(|http| http.guard.protect("/private", None).unwrap(), false);
    for lines in ["", RIGHT] {
        assert_eq!(statuses(&bench.ask(ask_for("/private/", lines)).0), [403]);
    }
}

// ---- Parked

#[test]
fn a_late_answer_parks_the_exchange_and_the_next_request_waits() {
    let mut bench = Bench::new();
    let post = "POST /slow/a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc".to_owned();
    let (answer, want) = bench.ask(post + &get("/"));
    assert_eq!((bench.phase(), &*answer), ("Parked", ""));
    assert_eq!(want, Want::NOTHING.by(Tick::default().after(limits::JOB_TIMEOUT)));
    bench.run_jobs();
    let answers = bench.answers();
    assert_eq!(statuses(&answers), [200, 200]);
    assert!(answers.contains("\r\n\r\n/A 3HTTP/1.1"), "{answers}");
}

#[test]
fn a_job_that_panics_is_a_500_and_one_that_takes_too_long_a_503() {
    let mut bench = Bench::new();
    bench.send(get("/slow/panic"));
    assert!(bench.run_jobs().read);
    assert_eq!(statuses(&bench.answers()), [500]);

    bench.send(get("/slow/a"));
    let jobs = bench.solitude.run_jobs();
    bench.pass(limits::JOB_TIMEOUT);
    let answer = bench.answers();
    assert_eq!(statuses(&answer), [503]);
    assert!(answer.contains("Retry-After: "));
    // The answer that comes too late is for a request that is over.
    bench.send(get("/slow/b"));
    jobs.into_iter().for_each(|message| bench.deliver(message));
    bench.settle();
    assert_eq!((bench.phase(), bench.answers()), ("Parked", String::new()));
    bench.run_jobs();
    assert!(bench.answers().ends_with("/B 0"));
}

#[test]
fn an_application_can_answer_later_more_than_once() {
    let mut bench = Bench::new();
    bench.send(get("/slow/again"));
    bench.run_jobs();
    assert_eq!((bench.phase(), bench.answers()), ("Parked", String::new()));
    bench.run_jobs();
    assert!(bench.answers().ends_with("twice 0"));
}

// ---- Sending

#[test]
fn a_panic_becomes_a_500_and_the_connection_lives() {
    let mut bench = Bench::new();
    let (answers, want) = bench.ask(get("/lab/panic") + &get("/"));
    assert_eq!((statuses(&answers), want.finish), (vec![500, 200], Finish::No));
}

#[test]
fn a_panic_in_the_middle_of_the_content_leaves_it_without_an_end() {
    let mut bench = Bench::new();
    let (answer, want) = bench.ask(get("/half"));
    assert_eq!((body(&answer), want.finish), ("4\r\nhalf\r\n", Finish::Linger));
    // Without chunks, only a reset tells a part from the whole.
    let (_, want) = Bench::new().ask("GET /half HTTP/1.0\r\n\r\n");
    assert_eq!(want.finish, Finish::Abort);
}

#[test]
fn content_over_time_is_chunked_and_wakes_by_a_timer() {
    let mut bench = Bench::new();
    let (answer, want) = bench.ask(get("/lab/stream?chunks=3&ms=500"));
    assert!(answer.contains("Transfer-Encoding: chunked\r\n"));
    assert_eq!(body(&answer), "18\r\nchunk 1 of 3 after 0 ms\n\r\n");
    assert_eq!(want, Want::NOTHING.by(Tick::default().after(SECOND / 2)));
    bench.pass(SECOND / 2);
    assert_eq!(bench.answers(), "1A\r\nchunk 2 of 3 after 500 ms\n\r\n");
    let want = bench.pass(SECOND / 2);
    assert_eq!(bench.answers(), "1B\r\nchunk 3 of 3 after 1000 ms\n\r\n0\r\n\r\n");
    assert!(want.read && bench.phase() == "Idle");
}

#[test]
fn to_an_old_client_such_content_ends_with_the_connection() {
    let mut bench = Bench::new();
    let (answer, want) = bench.ask("GET /lab/stream?chunks=2&ms=0 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert!(answer.contains("Connection: close\r\n") && !answer.contains("Transfer-Encoding"));
    assert_eq!(body(&answer), "chunk 1 of 2 after 0 ms\nchunk 2 of 2 after 0 ms\n");
    // It asked to keep the connection, so its next request may be under way.
    assert_eq!(want.finish, Finish::Linger);
}

#[test]
fn content_larger_than_the_output_goes_in_pieces() {
    let mut bench = Bench::new();
    let content = "x".repeat(200_000);
    let request = format!("POST /lab/echo HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{content}", content.len());
    let mut answer = String::new();
    for piece in request.as_bytes().chunks(50_000) {
        answer.push_str(&bench.ask(piece).0);
    }
    assert_eq!(body(&answer), content);
    assert_eq!(bench.phase(), "Idle");
}

#[test]
fn a_large_file_is_a_head_and_a_stretch_and_what_follows_waits_for_it() {
    let mut bench = Bench::new();
    let want = bench.send(get("/large.bin") + &get("/"));
    assert_eq!(want, Want::NOTHING);
    assert_eq!(bench.phase(), "SendingFile");
    assert!(bench.answers().ends_with("\r\n\r\n<0-16384>"));
    bench.settle();
    assert_eq!(statuses(&bench.answers()), [200]);
}

#[test]
fn the_exchange_goes_on_when_the_file_is_gone_though_the_end_of_a_multipart_answer_is_not() {
    let mut bench = Bench::new();
    bench.send("GET /large.bin HTTP/1.1\r\nHost: x\r\nRange: bytes=0-4999,8000-12999\r\n\r\n".to_owned() + &get("/"));
    while bench.peer.output.has_file() {
        assert_eq!(bench.phase(), "SendingFile");
        bench.peer.output.take(1000);
    }
    // The peer takes no more for now; there is room, so this is the last call.
    assert!(bench.peer.output.pending() > 0);
    let want = bench.settle();
    assert_eq!((bench.phase(), want.read), ("Idle", true));
    assert!(bench.answers().ends_with("<p>index"));
}

// ---- Watching

fn post(text: &str) -> String {
    format!("POST /feed HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{text}", text.len())
}

#[test]
fn a_watcher_gets_what_was_missed_and_then_each_event_when_it_happens() {
    let mut bench = Bench::new();
    for text in ["one", "two"] {
        let (answer, told) = bench.another_asks(&post(text));
        assert_eq!((statuses(&answer), told), (vec![204], vec![]), "nobody watches");
    }
    let (answer, want) = bench.ask(get("/feed/1") + &get("/"));
    assert!(answer.contains("Content-Type: text/event-stream\r\nCache-Control: no-store\r\n"), "{answer}");
    assert_eq!(body(&answer), "13\r\nretry: 2000\nid: 1\n\n\r\n1D\r\nid: 2\nevent: said\ndata: two\n\n\r\n");
    assert_eq!((bench.phase(), want.read), ("Watching", false));
    let (_, told) = bench.another_asks(&post("three"));
    assert_eq!(told, [Handle::imagined(1)]);
    assert_eq!(bench.settle(), want);
    assert_eq!(bench.answers(), "1F\r\nid: 3\nevent: said\ndata: three\n\n\r\n");
    // Nothing is between two events but signs of life, each at its time.
    let beat = want.wake.unwrap();
    assert!((15..25).contains(&beat.since(bench.now).as_secs()));
    bench.now = Tick::from_micros(beat.as_micros() - 1);
    assert_eq!((bench.settle(), bench.answers()), (want, String::new()));
    bench.now = beat;
    assert!(bench.settle().wake.unwrap() > beat);
    assert_eq!(bench.answers(), "3\r\n:\n\n\r\n");
    // A shut-down ends it in good order.
    bench.draining = true;
    assert_eq!(bench.settle().finish, Finish::Linger);
    assert_eq!(bench.answers(), "0\r\n\r\n");
    assert_eq!(bench.another_asks(&post("four")).1, [], "it watches no more");
}

#[test]
fn a_head_of_events_ends_and_an_old_client_gets_them_without_chunks() {
    let mut bench = Bench::new();
    let (answers, want) = bench.ask(get("/feed").replace("GET", "HEAD") + &get("/"));
    assert_eq!((statuses(&answers), bench.phase(), want.read), (vec![200, 200], "Idle", true));
    assert!(answers.contains("Content-Type: text/event-stream\r\n"), "{answers}");

    let (answer, _) = bench.ask("GET /feed HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert!(answer.contains("Connection: close\r\n") && !answer.contains("Transfer-Encoding"), "{answer}");
    assert_eq!(body(&answer), "retry: 2000\nid: 0\n\n");
    bench.another_asks(&post("a"));
    bench.settle();
    assert_eq!(bench.answers(), "id: 1\nevent: said\ndata: a\n\n");
    // Who sends no more may still want to hear.
    bench.peer.end();
    bench.another_asks(&post("b"));
    assert_eq!(bench.settle().finish, Finish::No);
    assert_eq!(bench.answers(), "id: 2\nevent: said\ndata: b\n\n");
    // Who is gone altogether doesn't.
    bench.peer.gone = true;
    assert_eq!(bench.settle().finish, Finish::Abort);
}

#[test]
fn a_watcher_takes_events_as_it_can_and_the_others_do_not_wait_for_it() {
    let mut bench = Bench::new();
    bench.ask(get("/feed"));
    let line = "x".repeat(1000);
    let mut sent = String::new();
    for _ in 0..300 {
        bench.another_asks(&post(&line));
        bench.settle();
    }
    // It holds as much as the output has room for, whatever happens.
    assert!(bench.peer.output.pending() < 70_000, "{}", bench.peer.output.pending());
    while bench.peer.output.pending() > 0 {
        sent.push_str(&bench.answers());
        bench.settle();
    }
    assert_eq!(sent.matches(&line).count(), 300);
    assert!(sent.contains("id: 300\n"));
}

#[test]
fn a_panic_in_the_events_ends_them_without_an_end() {
    let mut bench = Bench::new();
    let (answer, want) = bench.ask(get("/feed/panic"));
    assert_eq!((statuses(&answer), want.finish), (vec![200], Finish::No));
    bench.another_asks(&post("a"));
    assert_eq!((bench.settle().finish, bench.answers()), (Finish::Linger, String::new()));
}

// ---- The whole server's state

#[test]
fn while_shutting_down_what_is_there_is_answered_and_closed() {
    let mut bench = Bench::new();
    bench.draining = true;
    let (answer, want) = bench.ask(get("/"));
    assert!(answer.contains("Connection: close\r\n"));
    assert_eq!(want.finish, Finish::Linger);

    let mut bench = Bench::new();
    bench.ask(get("/"));
    bench.draining = true;
    assert_eq!(bench.settle().finish, Finish::Close);
}

#[test]
fn maintenance_answers_503_and_keeps_the_connection() {
    let mut bench = Bench::new();
    bench.shared.http.maintenance = true;
    let (answers, want) = bench.ask(get("/") + &get("/lab/hello"));
    assert_eq!((statuses(&answers), want.finish), (vec![503, 503], Finish::No));
    assert!(answers.contains("Retry-After: 5\r\n"));
    bench.shared.http.maintenance = false;
    assert_eq!(statuses(&bench.ask(get("/")).0), [200]);
}

#[test]
fn a_connection_too_many_is_told_so_and_closed() {
    let mut bench = Bench::with(|_| {}, true);
    let (answer, want) = bench.ask(get("/"));
    assert_eq!((statuses(&answer), want.finish), (vec![503], Finish::Linger));
    assert!(answer.contains("Retry-After: 5\r\n") && answer.contains("Connection: close\r\n"));

    let mut bench = Bench::with(|http| http.limits.per_address = Some(0), false);
    assert_eq!(statuses(&bench.ask(get("/")).0), [503]);
}

#[test]
fn an_error_is_a_page_or_a_line_as_the_client_takes_it() {
    let mut bench = Bench::new();
    let (page, _) = bench.ask("GET /nope HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\n\r\n");
    assert!(page.contains("Content-Type: text/html") && body(&page).starts_with("<!doctype html>"));
    let (line, _) = bench.ask("GET /nope HTTP/1.1\r\nHost: x\r\nAccept: application/json\r\n\r\n");
    assert!(body(&line).starts_with("404 Not Found\n") && body(&line).contains("Request 1/2"));
}

// ---- Sessions

/// A request for `path` with a session's cookie, if there is one.
fn visit(path: &str, cookie: &str) -> String {
    format!("GET /visits{path} HTTP/1.1\r\nHost: x\r\n{}\r\n", line_of(cookie))
}

fn line_of(cookie: &str) -> String {
    if cookie.is_empty() { String::new() } else { format!("Cookie: {cookie}\r\n") }
}

/// The cookie that an answer sets, name and value; none if it sets none.
fn cookie_in(answer: &str) -> Option<String> {
    assert!(answer.matches("Set-Cookie: ").count() <= 1, "{answer}");
    let line = answer.lines().find_map(|line| line.strip_prefix("Set-Cookie: "))?;
    let (cookie, attributes) = line.split_once("; ").unwrap();
    assert!(attributes.ends_with("HttpOnly; SameSite=Lax; Path=/"), "{line}");
    Some(cookie.to_owned())
}

/// Bench with a store that must be asked.
fn with_pending() -> Bench {
    Bench::with(|http| http.sessions.store = Store::Pending(Pending::default()), false)
}

impl Bench {
    fn pending(&mut self) -> &mut Pending {
        let Store::Pending(pending) = &mut self.shared.http.sessions.store else { panic!("another store") };
        pending
    }

    /// What the store is asked next.
    fn question(&mut self) -> (Ticket, Question) {
        self.pending().next_question().expect("a question")
    }

    fn reply(&mut self, ticket: Ticket, reply: Reply) -> Want {
        self.pending().answer(ticket, reply);
        self.settle()
    }
}

#[test]
fn a_session_begins_when_something_is_written_and_goes_on_by_its_cookie() {
    let mut bench = Bench::new();
    let (answer, _) = bench.ask(visit("/look", ""));
    assert_eq!((body(&answer), cookie_in(&answer)), ("0", None), "nothing was written");
    assert_eq!(answer.matches("Cache-Control: private, no-store\r\n").count(), 1);
    assert!(answer.contains("Vary: Cookie\r\n") && !answer.contains("max-age"), "{answer}");
    let (answer, _) = bench.ask(visit("", ""));
    assert_eq!(body(&answer), "1");
    let cookie = cookie_in(&answer).unwrap();
    assert!(cookie.starts_with("sessionId="));
    for (path, count) in [("", "2"), ("/look", "2"), ("", "3"), ("/later", "4"), ("", "5")] {
        bench.send(visit(path, &cookie));
        bench.run_jobs();
        let answer = bench.answers();
        assert_eq!((body(&answer), cookie_in(&answer)), (count, None), "{path}");
    }
    // Among other cookies, and on another connection.
    let (answer, _) = bench.ask(visit("", &format!("a=b; sessionId=junk; {cookie}; c")));
    assert_eq!((body(&answer), cookie_in(&answer)), ("6", None));
    assert_eq!(body(&bench.ask(visit("", "")).0), "1", "another visitor");
}

#[test]
fn an_identifier_that_was_not_given_out_is_not_adopted() {
    let mut bench = Bench::new();
    let planted = format!("sessionId={}", Id::new());
    let (answer, _) = bench.ask(visit("", &planted));
    let cookie = cookie_in(&answer).unwrap();
    assert_eq!(body(&answer), "1");
    assert_ne!(cookie, planted);
    assert_eq!(body(&bench.ask(visit("/look", &planted)).0), "0");
    assert_eq!(body(&bench.ask(visit("/look", &cookie)).0), "1");
}

#[test]
fn a_renewed_session_keeps_its_values_and_its_old_identifier_is_nobodys() {
    let mut bench = Bench::new();
    let old = cookie_in(&bench.ask(visit("", "")).0).unwrap();
    let (answer, _) = bench.ask(visit("/renew", &old));
    let new = cookie_in(&answer).unwrap();
    assert_eq!(body(&answer), "2");
    assert_ne!(old, new);
    assert_eq!(body(&bench.ask(visit("/look", &old)).0), "0");
    assert_eq!(body(&bench.ask(visit("/look", &new)).0), "2");
}

#[test]
fn an_ended_session_takes_its_cookie_back_and_the_next_begins_anew() {
    let mut bench = Bench::new();
    let cookie = cookie_in(&bench.ask(visit("", "")).0).unwrap();
    let (answer, _) = bench.ask(visit("/end", &cookie));
    assert_eq!(cookie_in(&answer).as_deref(), Some("sessionId="));
    assert!(answer.contains("sessionId=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; "), "{answer}");
    let (answer, _) = bench.ask(visit("", &cookie));
    assert_eq!(body(&answer), "1");
    assert_ne!(cookie_in(&answer).unwrap(), cookie);
}

#[test]
fn what_is_too_large_or_panics_is_not_kept() {
    let mut bench = Bench::new();
    let cookie = cookie_in(&bench.ask(visit("", "")).0).unwrap();
    for (path, status) in [("/large", 507), ("/panic", 500)] {
        let (answer, want) = bench.ask(visit(path, &cookie));
        assert_eq!((statuses(&answer), want.finish, cookie_in(&answer)), (vec![status], Finish::No, None));
        assert_eq!(body(&bench.ask(visit("/look", &cookie)).0), "1");
    }
}

#[test]
fn what_another_site_causes_is_refused_if_it_could_change_something() {
    for (request, lines, status) in [
        ("POST /visits", "Origin: http://evil.example\r\n", 403),
        ("POST /visits", "Sec-Fetch-Site: cross-site\r\n", 403),
        ("PUT /visits", "Origin: null\r\n", 403),
        ("BREW /visits", "Origin: null\r\n", 403),
        ("POST /visits", "Origin: http://x\r\nSec-Fetch-Site: same-origin\r\n", 200),
        ("POST /visits", "", 200),
        ("GET /visits", "Origin: http://evil.example\r\nSec-Fetch-Site: cross-site\r\n", 200),
        ("HEAD /visits", "Origin: http://evil.example\r\n", 200),
        // It reads no session.
        ("POST /lab/echo", "Origin: http://evil.example\r\n", 200),
    ] {
        let mut bench = Bench::new();
        let (answer, _) = bench.ask(format!("{request} HTTP/1.1\r\nHost: x\r\n{lines}\r\n"));
        assert_eq!(statuses(&answer), [status], "{request} {lines}");
    }
}

#[test]
fn files_and_other_applications_touch_no_session() {
    let mut bench = with_pending();
    let cookie = format!("Cookie: sessionId={}\r\n", Id::new());
    for path in ["/", "/large.bin", "/nope", "/lab/hello"] {
        let (answer, _) = bench.ask(format!("GET {path} HTTP/1.1\r\nHost: x\r\n{cookie}\r\n"));
        assert!(!answer.contains("Set-Cookie") && !answer.contains("Vary: Cookie"), "{answer}");
        bench.settle();
        bench.answers();
    }
    assert_eq!(bench.pending().next_question(), None);
}

#[test]
fn a_store_that_must_be_asked_parks_the_exchange_before_and_after() {
    let mut bench = with_pending();
    // Who has no session needs no question, until there is something to be kept.
    let (answer, want) = bench.ask(visit("", ""));
    assert_eq!((bench.phase(), &*answer), ("Parked", ""));
    assert_eq!(want, Want::NOTHING.by(bench.now.after(limits::STORE_TIMEOUT)));
    let (ticket, Question::Save { id, was: None, text, seconds: 1800 }) = bench.question() else { panic!("no save") };
    assert_eq!(text, br#"{"@":[1800000000,1800000000],"count":1}"#);
    bench.reply(ticket, Reply::Saved);
    let answer = bench.answers();
    let cookie = format!("sessionId={id}");
    assert_eq!((body(&answer), cookie_in(&answer).as_ref()), ("1", Some(&cookie)));

    bench.send(visit("", &cookie) + &get("/"));
    let (load, Question::Load(asked)) = bench.question() else { panic!("no load") };
    assert_eq!((asked, bench.phase(), bench.answers().as_str()), (id, "Parked", ""));
    bench.reply(load, Reply::Loaded(Some(text)));
    let (ticket, Question::Save { was, text, .. }) = bench.question() else { panic!("no save") };
    assert_eq!(was, Some(id));
    assert!(text.ends_with(br#""count":2}"#));
    bench.reply(ticket, Reply::Saved);
    let answers = bench.answers();
    assert_eq!(statuses(&answers), [200, 200], "and the next request");
    assert!(answers.contains("\r\n\r\n2HTTP/1.1") && cookie_in(&answers).is_none(), "{answers}");
    assert!(bench.pending().is_empty());
}

#[test]
fn the_session_is_loaded_again_when_a_job_is_done() {
    let mut bench = with_pending();
    let id = Id::new();
    let text = |count: u32| Some(format!("{{\"@\":[1799999999,1799999999],\"count\":{count}}}").into_bytes());
    bench.send(visit("/later", &format!("sessionId={id}")));
    let (load, _) = bench.question();
    bench.reply(load, Reply::Loaded(text(1)));
    // While the job runs, somebody else counts.
    bench.run_jobs();
    let (load, question) = bench.question();
    assert_eq!(question, Question::Load(id));
    bench.reply(load, Reply::Loaded(text(5)));
    let (save, _) = bench.question();
    bench.reply(save, Reply::Saved);
    assert_eq!(body(&bench.answers()), "6");
}

#[test]
fn a_store_that_fails_or_takes_too_long_is_a_503_for_who_needs_it() {
    let cookie = format!("sessionId={}", Id::new());
    let refused = |bench: &mut Bench| {
        let answer = bench.answers();
        assert_eq!(statuses(&answer), [503]);
        assert!(answer.contains("Retry-After: ") && cookie_in(&answer).is_none(), "{answer}");
        assert!(bench.pending().is_empty(), "nobody waits any more");
        assert_eq!(statuses(&bench.ask(get("/")).0), [200], "the connection lives");
    };
    for saving in [false, true] {
        let mut bench = with_pending();
        let ask = |bench: &mut Bench| {
            bench.send(visit("", if saving { "" } else { &cookie }));
            bench.question().0
        };
        let ticket = ask(&mut bench);
        bench.reply(ticket, Reply::Failed);
        refused(&mut bench);
        // An answer to something else.
        let ticket = ask(&mut bench);
        bench.reply(ticket, if saving { Reply::Loaded(None) } else { Reply::Saved });
        refused(&mut bench);
        let ticket = ask(&mut bench);
        bench.pass(limits::STORE_TIMEOUT);
        refused(&mut bench);
        bench.reply(ticket, if saving { Reply::Saved } else { Reply::Loaded(None) });
        assert_eq!(bench.answers(), "", "too late");
        ask(&mut bench);
        bench.pending().unavailable();
        bench.settle();
        refused(&mut bench);
        // As long as it is gone, nobody waits.
        bench.send(visit("", if saving { "" } else { &cookie }));
        refused(&mut bench);
    }
}

#[test]
fn who_leaves_while_the_store_is_asked_is_forgotten() {
    let mut bench = with_pending();
    bench.send(visit("", ""));
    let Bench { shared, http, solitude, now, .. } = &mut bench;
    let time = Time { now: *now, unix_seconds: 0, unix_micros: 0 };
    http.closed(0, ends(), &mut solitude.context(shared, time, false));
    assert!(bench.pending().is_empty());
    // For the end of the bench, which closes it once more.
    bench.http = Bench::connect(&mut bench.shared, false);
}

#[test]
fn in_a_signed_cookie_the_visitor_carries_it_all() {
    let mut bench = Bench::with(|http| http.sessions.store = Store::Signed(Signed::new(Keys::random())), false);
    let (answer, _) = bench.ask(visit("", ""));
    let first = cookie_in(&answer).unwrap();
    let (answer, _) = bench.ask(visit("", &first));
    let second = cookie_in(&answer).unwrap();
    assert_eq!(body(&answer), "2");
    let (answer, _) = bench.ask(visit("/look", &second));
    assert_eq!((body(&answer), cookie_in(&answer)), ("2", None));
    let (answer, _) = bench.ask(visit("/look", &second.replace("sessionId=", "sessionId=x")));
    assert_eq!(body(&answer), "0", "not as it was signed");
    let (answer, _) = bench.ask(visit("/large", &second));
    assert_eq!(statuses(&answer), [507]);
    let (answer, _) = bench.ask(visit("/end", &second));
    assert_eq!(cookie_in(&answer).as_deref(), Some("sessionId="));
}
