//! The bulletin board: posts, their deletion, and events.

mod support;

use std::time::{Duration, Instant};

use support::browser::{Browser, until};
use support::{Client, Root, Server, eventually, get_with, miod};

/// The number of the last post.
fn last(server: &Server) -> u64 {
    let json = Browser::new(server).json("/board").text();
    let (_, rest) = json.rsplit_once("\"last\":").unwrap();
    rest.trim_end_matches(['}', '\n']).parse().unwrap()
}

fn watch(server: &Server, path: &str, lines: &str) -> Client {
    let mut client = server.connect();
    client.send(get_with(path, lines));
    until(&mut client, "retry: 2000");
    client
}

#[test]
fn posts_are_listed_newest_first_page_by_page() {
    let server = Server::start_with(Root::new(), &["--apps"]);
    let mut browser = Browser::new(&server);
    assert!(browser.get("/board").text().contains("There are no posts yet"));
    assert_eq!(browser.cookie, None, "reading creates no session");
    for number in 1..=25 {
        let response = browser.post("/board", &format!("text=number+{number}."));
        assert_eq!((response.status, response.field("location")), (303, Some("/board")));
    }
    let page = browser.get("/board").text();
    let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text}: {page}"));
    assert!(at("number 25.") < at("number 24.") && at("number 7.") < at("number 6."));
    assert!(!page.contains("number 5."));
    let (_, older) = page.split_once("<a href=\"/board?before=").unwrap();
    let older = browser.get(&format!("/board?before={}", older.split('"').next().unwrap())).text();
    assert!(older.contains("number 5.") && older.contains("number 1.") && !older.contains("number 6."), "{older}");
    assert!(!older.contains("?before=") && !older.contains("<script"), "{older}");
    let json = browser.json("/board").text();
    assert_eq!(json.matches("\"own\":true").count(), 20, "{json}");
    assert!(json.contains("\"older\":\"/board?before="), "{json}");
    assert_eq!(browser.get("/board?before=x").status, 400);
    assert_eq!(browser.get("/board/nowhere").status, 404);
}

#[test]
fn posts_are_escaped_and_limited() {
    let server = Server::start_with(Root::new(), &["--apps"]);
    let mut browser = Browser::new(&server);
    assert_eq!(browser.post("/board", "text=%3Cscript%3Ealert(1)%3C/script%3E%0D%0Asecond%1b[1m").status, 303);
    let page = browser.get("/board").text();
    assert!(page.contains("&#60;script&#62;alert(1)&#60;/script&#62;\nsecond\u{fffd}[1m"), "{page}");
    let policy = browser.get("/board");
    let policy = policy.field("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'self'"), "{policy}");
    for (body, status) in [
        ("text=", 400),
        ("text=+%0D%0A+", 400),
        ("other=x", 400),
        (&*format!("text={}", "x".repeat(1001)), 413),
        (&format!("text={}", "%C3%A4".repeat(1000)), 303),
        (&format!("text={}x", "%0D%0A".repeat(1000)), 303),
    ] {
        assert_eq!(browser.post("/board", body).status, status, "{}", &body[..body.len().min(40)]);
    }
    // The page says so beside the form, and nothing that was typed is lost.
    let page = browser.post("/board", &format!("text=%3C{}", "x".repeat(1001))).text();
    assert!(page.contains(&format!("autofocus>&#60;{}</textarea>", "x".repeat(1001))), "{page}");
    assert!(page.contains("id=\"problem\" role=\"alert\">Nothing was posted: a text has 1,000"), "{page}");
    let refused = browser.post_json("/board", "{\"text\":\" \"}");
    assert!(refused.status == 400 && refused.text().contains("A post needs a text."), "{}", refused.text());
    assert_eq!(browser.post_json("/board", "{\"text\":\"a\"").status, 400);
    assert_eq!(browser.exchange("POST /board", "Content-Type: text/plain\r\n", "text=a").status, 415);
    assert_eq!(browser.exchange("POST /board", "Sec-Fetch-Site: cross-site\r\nContent-Length: 0\r\n", "").status, 403);
}

#[test]
fn only_the_author_can_delete_a_post() {
    let server = Server::start_with(Root::new(), &["--apps"]);
    let (mut author, mut other) = (Browser::new(&server), Browser::new(&server));
    let post = |browser: &mut Browser<'_>| {
        let response = browser.post_json("/board", "{\"text\": \"mine\"}");
        assert_eq!(response.status, 201);
        let place = response.field("location").unwrap().to_owned();
        assert!(response.text().contains(place.rsplit('/').next().unwrap()), "{}", response.text());
        place
    };
    let (first, second, third) = (post(&mut author), post(&mut author), post(&mut author));
    assert_eq!(other.post("/board", "text=theirs").status, 303);
    let json = other.json("/board").text();
    assert_eq!((json.matches("\"own\":true").count(), json.matches("mine").count()), (1, 3), "{json}");
    let cookie = author.cookie.clone().unwrap();
    assert!(!json.contains("owner") && !json.contains(cookie.split_once('=').unwrap().1), "{json}");
    let page = other.get("/board").text();
    assert!(!page.contains(&format!("{first}/delete")), "{page}");
    assert!(author.get("/board").text().contains(&format!("{first}/delete")));

    let json = "Accept: application/json\r\nContent-Length: 0\r\n";
    for (line, lines) in
        [(format!("DELETE {first}"), ""), (format!("POST {first}/delete"), json), (format!("DELETE {first}"), json)]
    {
        assert_eq!(other.exchange(&line, lines, "").status, 403, "{line}");
    }
    assert_eq!(author.json(&first).status, 200);
    let form = author.post(&format!("{first}/delete"), "");
    assert_eq!((form.status, form.field("location")), (303, Some("/board")));
    assert_eq!(author.exchange(&format!("POST {second}/delete"), json, "").status, 204);
    assert_eq!(author.exchange(&format!("DELETE {third}"), "", "").status, 204);
    for line in [format!("DELETE {first}"), "DELETE /board/1".to_owned(), format!("GET {first}")] {
        assert_eq!(author.exchange(&line, "", "").status, 404, "{line}");
    }
    assert!(!author.get("/board").text().contains("mine"));
}

#[test]
fn watchers_get_events_at_once_and_missed_events_when_they_reconnect() {
    let server = Server::start_with(Root::new(), &["--apps"]);
    let mut browser = Browser::new(&server);
    assert_eq!(browser.post("/board", "text=before").status, 303);
    let seen = last(&server);
    let mut watcher = watch(&server, &format!("/board/events?after={seen}"), "");
    let mut old = server.connect();
    old.send("GET /board/events HTTP/1.0\r\n\r\n");
    assert!(until(&mut old, "retry: 2000").contains("Connection: close"));
    browser.post("/board", "text=one%0Atwo");
    for client in [&mut watcher, &mut old] {
        let event = until(client, "two\"");
        assert!(event.contains(&format!("id: {}\nevent: post\ndata: {{\"id\":{}", seen + 1, seen + 1)), "{event}");
        assert!(event.contains("\"text\":\"one\\ntwo\"") && !event.contains("own") && !event.contains("before"));
    }
    let gone = format!("/board/{}", seen + 1);
    assert_eq!(browser.exchange(&format!("DELETE {gone}"), "", "").status, 204);
    assert!(until(&mut watcher, "event: gone").contains(&format!("id: {}\n", seen + 2)));
    browser.post("/board", "text=three");
    // A client that reconnects gets the missed events, without the deleted post.
    let mut back = server.connect();
    let lines = format!("Last-Event-ID: {seen}\r\n");
    back.send(get_with("/board/events?after=1", &lines));
    let missed = until(&mut back, "three");
    assert!(missed.contains("event: gone") && !missed.contains("two"), "{missed}");
    // A client with a number of another board gets a reload event.
    for id in ["5", "99999999999999"] {
        let mut stale = server.connect();
        stale.send(get_with("/board/events", &format!("Last-Event-ID: {id}\r\n")));
        assert!(until(&mut stale, "event: reload").contains("text/event-stream"));
    }
    let head = server.head("/board/events");
    assert_eq!((head.status, head.field("content-type")), (200, Some("text/event-stream")));
}

#[test]
fn a_half_closed_watcher_gets_events_and_a_reset_one_is_removed() {
    let (root, logs) = (Root::new(), Root::new());
    let log = logs.at("access.log");
    let server = Server::start(&root, &["--apps", "--access-log", log.to_str().unwrap()]);
    let mut browser = Browser::new(&server);
    browser.post("/board", "text=a");
    let mut half = watch(&server, "/board/events?half", "");
    half.end();
    browser.post("/board", "text=still+there");
    until(&mut half, "still there");
    let gone = watch(&server, "/board/events?gone", "");
    let seen = |what: &str| std::fs::read_to_string(&log).unwrap_or_default().contains(what);
    assert!(!seen("?gone"));
    // A reset, as after a restart of the client's machine.
    socket2::SockRef::from(&gone.stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(gone);
    assert!(eventually(|| seen("?gone")), "its line is written when it ends");
    assert!(!seen("?half"));
}

#[test]
fn watchers_do_not_delay_shutdown() {
    let mut server = Server::start_with(Root::new(), &["--apps"]);
    let mut watchers: Vec<_> = (0..5).map(|_| watch(&server, "/board/events", "")).collect();
    let begin = Instant::now();
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    for watcher in &mut watchers {
        let rest = String::from_utf8(watcher.rest()).unwrap();
        assert!(rest.ends_with("0\r\n\r\n"), "{rest:?}");
    }
}

#[test]
fn acknowledged_posts_survive_a_kill() {
    let (root, data) = (Root::new(), Root::new());
    let directory = data.at("made");
    let arguments = ["--apps", "--data", directory.to_str().unwrap()];
    let mut server = Server::start(&root, &arguments);
    let mut texts = Vec::new();
    for round in 0..4 {
        let mut browser = Browser::new(&server);
        let seen = last(&server);
        let mut watcher = watch(&server, &format!("/board/events?after={seen}"), "");
        for number in 0..5 {
            let text = format!("post-{round}-{number}");
            assert_eq!(browser.post("/board", &format!("text={text}")).status, 303);
            until(&mut watcher, &text);
            texts.push(text);
        }
        server.signal("KILL");
        server.wait();
        drop(server);
        server = Server::start(&root, &arguments);
        let json = Browser::new(&server).json("/board").text();
        for text in &texts {
            assert!(json.contains(&format!("\"{text}\"")), "{text}: {json}");
        }
    }
    // The numbers continue, so watching clients miss nothing.
    let seen = last(&server) - 1;
    let mut back = server.connect();
    back.send(get_with("/board/events", &format!("Last-Event-ID: {seen}\r\n")));
    until(&mut back, "post-3-4");
    let second = miod().args(["-p", "0"]).args(arguments).arg(root.path()).output().unwrap();
    assert_eq!(second.status.code(), Some(69), "{}", String::from_utf8_lossy(&second.stderr));
    let two = ["--apps", "--app", "/other=board"];
    let two = miod().args(["-p", "0", "--data"]).arg(data.at("two")).args(two).arg(root.path()).output().unwrap();
    assert_eq!(two.status.code(), Some(78), "{}", String::from_utf8_lossy(&two.stderr));
}
