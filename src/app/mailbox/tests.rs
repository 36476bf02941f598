//! Every route, with messages of somebody who wants harm.

use std::cell::Cell;

use serde_json::{Value, json};

use super::*;
use crate::app::testing::{Visit, content, field, text};
use crate::files::scratch::Scratch;
use crate::mailbox::{self, Envelope, Limits, Receiving};

/// HTML with an image, text, and attachments, each with something that should be escaped.
const HOSTILE: &str = "From: \"<script>from()</script>\" <ada@example.org>\r\n\
    To: <b>\"<i>\" <bob@example.org>\r\n\
    Subject: <script>subject()</script>\r\n\
    X-<u>: </pre><script>field()</script>\r\n\
    Content-Type: multipart/mixed; boundary=b\r\n\
    \r\n\
    --b\r\n\
    Content-Type: text/plain\r\n\
    \r\n\
    </pre><script>text()</script>\r\n\
    --b\r\n\
    Content-Type: text/html\r\n\
    \r\n\
    <!DOCTYPE html><script>html()</script><img src=\"cid:a@b\">\r\n\
    --b\r\n\
    Content-Type: image/png\r\n\
    Content-ID: <a@b>\r\n\
    \r\n\
    PNG\r\n\
    --b\r\n\
    Content-Type: text/html\r\n\
    Content-Disposition: attachment; filename*=utf-8''%3Cscript%3E%0D%0ASet-Cookie%3A%20a%22.html\r\n\
    \r\n\
    <script>part()</script>\r\n\
    --b--\r\n";

fn envelope() -> Envelope {
    Envelope {
        from: "<script>sender()</script>".to_owned(),
        recipients: vec!["bob@example.org".to_owned(), "<s>@example.org".to_owned()],
        peer: "192.0.2.7:4711".to_owned(),
        helo: "<script>helo()</script>".to_owned(),
        user: Some("<script>user()</script>".to_owned()),
        tls: true,
    }
}

fn receive(shared: &SharedMailbox, content: &str) -> String {
    let receiving = shared.borrow().receive(envelope(), content.as_bytes().to_vec(), 1_800_000_000);
    let id = match receiving {
        Receiving::Kept(id) => id,
        Receiving::Write(job) => shared.borrow().written(job.run()).unwrap(),
    };
    id.to_string()
}

/// The application, with a mailbox that has this message.
fn with(message: &str) -> (Rc<SharedMailbox>, Mailbox) {
    let shared = SharedMailbox::new(mailbox::Mailbox::in_memory(Limits::default()));
    receive(&shared, message);
    (Rc::clone(&shared), new(shared))
}

/// The answer to a request, mounted at `/box`; and whether there was news.
fn ask_all(app: &mut Mailbox, head: &str) -> (Result<Response, Status>, bool) {
    let news = Cell::new(false);
    let visit = Visit { news: Some(&news), ..Visit::default() };
    let (line, fields) = head.split_once("\r\n").map_or((head, ""), |(line, rest)| (line, rest));
    let separator = if fields.is_empty() { "" } else { "\r\n" };
    let answer = visit.answer(app, "/box", &format!("{line} HTTP/1.1{separator}{fields}"), b"");
    let response = match answer {
        Answer::Now(response) => Ok(response),
        Answer::Refused(reject) => Err(reject.status),
        _ => panic!("its job is done"),
    };
    (response, news.get())
}

fn ask(app: &mut Mailbox, head: &str) -> Response {
    ask_all(app, head).0.unwrap_or_else(|status| panic!("{head}: {status:?}"))
}

fn get(app: &mut Mailbox, path: &str) -> Response {
    ask(app, &format!("GET /box{path}"))
}

fn json_of(response: &Response) -> Value {
    assert_eq!(field(response, "Content-Type"), Some("application/json"));
    serde_json::from_str(text(response)).unwrap()
}

#[test]
fn the_list_is_for_programs_and_for_readers() {
    let (shared, mut app) = with("Subject: =?utf-8?Q?=C3=A4?=\r\nFrom: Ada <ada@example.org>\r\n\r\nx");
    receive(&shared, "no header");
    let list = get(&mut app, "/messages");
    let first = json!({
        "id": 1, "from": "<script>sender()</script>", "to": ["bob@example.org", "<s>@example.org"],
        "sender": "Ada <ada@example.org>", "subject": "ä", "size": 61, "size_text": "61 B",
        "time": "2027-01-15T08:00:00Z"
    });
    let list = json_of(&list);
    assert_eq!(
        (&list[0], &list[1]["id"], &list[1]["subject"], list.as_array().unwrap().len()),
        (&first, &json!(2), &json!(""), 2)
    );
    let page = get(&mut app, "/");
    let page = text(&page);
    let places = ["/box/m/2\">No subject", "&#60;script&#62;sender()", "/box/m/1\">ä", "Ada &#60;ada@example.org&#62;"];
    let found: Vec<_> =
        places.iter().map(|part| page.find(part).unwrap_or_else(|| panic!("{part} in {page}"))).collect();
    assert!(found.is_sorted(), "the newest is first: {page}");
    assert!(page.contains("15 Jan 2027 08:00 UTC") && page.contains(">61 B<") && !page.contains("<s>"), "{page}");
    assert!(page.contains("/box/events?after=") && page.contains("action=\"/box/delete\""), "{page}");
    assert_eq!(text(&get(&mut app, "")).matches("<article").count(), 3, "with the blank one");
}

#[test]
fn what_shows_messages_is_never_compressed() {
    let (_, mut app) = with(HOSTILE);
    let message = ["", "/raw", "/source", "/text", "/html", "/parts/2"].map(|form| format!("/messages/1{form}"));
    for path in ["/", "/m/1", "/messages"].map(str::to_owned).iter().chain(&message) {
        assert!(get(&mut app, path).mixes_secrets, "{path}");
    }
    assert!(!get(&mut app, "/mailbox.js").mixes_secrets);
}

#[test]
fn long_lists_are_cut_into_pages() {
    let (shared, mut app) = with("a");
    for _ in 1..PAGE + 5 {
        receive(&shared, "a");
    }
    let page = get(&mut app, "/");
    assert!(text(&page).contains("/box/?before=6\"") && !text(&page).contains("\"message-5\""), "{}", text(&page));
    let page = get(&mut app, "/?before=6");
    let page = text(&page);
    assert!(
        page.contains("\"message-5\"") && page.contains("\"message-1\"") && !page.contains("\"message-6\""),
        "{page}"
    );
    assert!(!page.contains("?before=") && !page.contains("/events") && !page.contains("<script"), "{page}");
    assert_eq!(ask_all(&mut app, "GET /box/?before=x").0.err(), Some(Status::BAD_REQUEST));
    assert_eq!(json_of(&get(&mut app, "/messages")).as_array().unwrap().len(), PAGE + 5);
}

#[test]
fn nothing_that_a_sender_wrote_is_markup_or_a_field() {
    let (_, mut app) = with(HOSTILE);
    for path in ["/", "/m/1"] {
        let response = get(&mut app, path);
        let page = text(&response);
        let own = page.matches("<script src=\"/box/mailbox.js\"").count();
        assert_eq!((page.matches("<script").count(), own), (usize::from(path == "/"), own), "{path}: {page}");
        for tag in ["<i>", "<u>", "<s>", "</pre><script"] {
            assert!(!page.contains(tag), "{tag} in {path}: {page}");
        }
        let policy = field(&response, "Content-Security-Policy").unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        assert_eq!((policy.contains("script-src"), policy.contains("frame-src 'self'")), (path == "/", path == "/m/1"));
    }
    let page = get(&mut app, "/m/1");
    for shown in ["from()", "sender()", "subject()", "field()", "text()", "helo()", "user()", "with TLS", "192.0.2.7"] {
        assert!(text(&page).contains(shown), "{shown}: {}", text(&page));
    }
    assert!(text(&page).contains("src=\"/box/messages/1/html\" sandbox=\"allow-popups"), "{}", text(&page));
    let part = get(&mut app, "/messages/1/parts/4");
    assert_eq!(content(&part), b"<script>part()</script>");
    assert_eq!(field(&part, "Content-Type"), Some("text/html"));
    assert_eq!(field(&part, "X-Content-Type-Options"), Some("nosniff"));
    let disposition = "attachment; filename=\"_script_  Set-Cookie_ a_.html\"";
    assert_eq!(field(&part, "Content-Disposition"), Some(disposition));
    assert!(field(&part, "Content-Security-Policy").unwrap().starts_with("sandbox;"));
}

#[test]
fn html_is_a_sandbox_with_the_images_of_the_message() {
    let (_, mut app) = with(HOSTILE);
    let html = get(&mut app, "/messages/1/html");
    let policy = field(&html, "Content-Security-Policy").unwrap();
    assert!(policy.starts_with("sandbox ") && policy.contains("default-src 'none'"), "{policy}");
    assert!(
        !policy.contains("script") && !policy.contains("allow-same-origin") && !policy.contains("http"),
        "{policy}"
    );
    assert_eq!(field(&html, "Content-Type"), Some("text/html; charset=utf-8"));
    let document =
        "<!DOCTYPE html><base target=\"_blank\"><script>html()</script><img src=\"data:image/png;base64,UE5H\">";
    assert_eq!(text(&html), document);
}

#[test]
fn a_message_has_all_its_forms() {
    let (_, mut app) = with(HOSTILE);
    let raw = get(&mut app, "/messages/1/raw");
    assert_eq!((content(&raw), field(&raw, "Content-Type")), (HOSTILE.as_bytes(), Some("message/rfc822")));
    assert_eq!(field(&raw, "Content-Disposition"), Some("attachment; filename=\"message-1.eml\""));
    let source = get(&mut app, "/messages/1/source");
    let plain = Some("text/plain; charset=utf-8");
    assert_eq!((content(&source), field(&source, "Content-Type")), (HOSTILE.as_bytes(), plain));
    let shown = get(&mut app, "/messages/1/text");
    assert_eq!((text(&shown), field(&shown, "Content-Type")), ("</pre><script>text()</script>", plain));
    assert_eq!(content(&get(&mut app, "/messages/1/parts/3")), b"PNG");
    let data = json_of(&get(&mut app, "/messages/1"));
    assert_eq!((&data["id"], &data["size"]), (&json!(1), &json!(HOSTILE.len())));
    assert_eq!(data["subject"], "<script>subject()</script>");
    assert_eq!(data["envelope"], serde_json::to_value(envelope()).unwrap());
    assert_eq!(data["header"]["from"], json!([{"name": "<script>from()</script>", "address": "ada@example.org"}]));
    assert_eq!(data["header"]["fields"][2], json!({"name": "Subject", "value": "<script>subject()</script>"}));
    assert_eq!((&data["header"]["date"], &data["cut"]), (&Value::Null, &json!(false)));
    assert_eq!(data["text"], "</pre><script>text()</script>");
    assert!(data["html"].as_str().unwrap().contains("cid:a@b"), "as it was sent");
    let image = json!({
        "part": 3, "name": null, "type": "image/png", "content_id": "a@b", "size": 3, "url": "/box/messages/1/parts/3"
    });
    assert_eq!((&data["attachments"][0], data["attachments"].as_array().unwrap().len()), (&image, 2));
}

#[test]
fn what_is_not_there_is_404() {
    let (_, mut app) = with("Content-Type: image/png\r\n\r\nx");
    for path in [
        "/messages/2",
        "/messages/2/raw",
        "/m/2",
        "/m/0",
        "/m/01",
        "/m/",
        "/m",
        "/m/1/",
        "/m/1/x",
        "/messages/",
        "/messages/1/",
        "/messages/x",
        "/messages/1/parts",
        "/messages/1/parts/0",
        "/messages/1/parts/2",
        "/messages/1/parts/x",
        "/messages/1/parts/99999999999999999999",
        "/messages/1/parts/1/x",
        "/messages/1/text",
        "/messages/1/html",
        "/x",
        "/mailbox.js/",
        "//",
    ] {
        assert_eq!(ask_all(&mut app, &format!("GET /box{path}")).0.err(), Some(Status::NOT_FOUND), "{path}");
    }
    for head in ["DELETE /box/messages/2", "POST /box/m/2/delete"] {
        assert_eq!(ask_all(&mut app, head).0.err(), Some(Status::NOT_FOUND), "{head}");
    }
    assert_eq!(content(&get(&mut app, "/messages/1/parts/1")), b"x");
}

#[test]
fn each_path_has_its_methods() {
    let (_, app) = with("a");
    let read: &[Method] = &[Method::Get, Method::Head];
    let data: &[Method] = &[Method::Get, Method::Head, Method::Delete];
    for (path, methods) in [
        ("", read),
        ("/", read),
        ("/messages", data),
        ("/messages/1", data),
        ("/messages/1/raw", read),
        ("/m/1", read),
        ("/m/1/delete", &[Method::Post]),
        ("/delete", &[Method::Post]),
        ("/events", read),
        ("/x", read),
    ] {
        assert_eq!(app.methods(path.as_bytes()), Methods::Only(methods), "{path}");
    }
}

#[test]
fn messages_are_deleted_in_memory_and_on_disk() {
    let files = Scratch::new();
    let on_disk = mailbox::Mailbox::open(files.path(), Limits::default()).unwrap();
    for mailbox in [mailbox::Mailbox::in_memory(Limits::default()), on_disk] {
        let shared = SharedMailbox::new(mailbox);
        let mut app = new(Rc::clone(&shared));
        for _ in 0..4 {
            receive(&shared, "a");
        }
        let mut status = |head: &str| {
            let (response, news) = ask_all(&mut app, head);
            let response = response.unwrap();
            (response.status, field(&response, "Location").map(str::to_owned), news)
        };
        assert_eq!(status("DELETE /box/messages/2"), (Status::NO_CONTENT, None, true));
        assert_eq!(status("POST /box/m/3/delete"), (Status::SEE_OTHER, Some("/box".to_owned()), true));
        assert_eq!(status("GET /box/messages/4"), (Status::OK, None, false));
        let left: Vec<_> = shared.borrow().list().map(|message| message.id.to_string()).collect();
        assert_eq!(left, ["1", "4"]);
        assert_eq!(status("DELETE /box/messages"), (Status::NO_CONTENT, None, true));
        receive(&shared, "a");
        assert_eq!(status("POST /box/delete"), (Status::SEE_OTHER, Some("/box".to_owned()), true));
        assert_eq!(shared.borrow().list().len(), 0);
        assert!(text(&get(&mut app, "/")).contains("There are no messages yet."));
    }
    // What can't be removed stays, and the client is told.
    let shared = SharedMailbox::new(mailbox::Mailbox::open(&files.at("other"), Limits::default()).unwrap());
    receive(&shared, "a");
    std::fs::remove_file(files.at("other/1.mail")).unwrap();
    files.directory("other/1.mail");
    let mut app = new(Rc::clone(&shared));
    assert_eq!(ask_all(&mut app, "DELETE /box/messages/1").0.err(), Some(Status::INTERNAL_SERVER_ERROR));
    assert_eq!(ask_all(&mut app, "GET /box/messages/1/raw").0.err(), Some(Status::INTERNAL_SERVER_ERROR));
    assert_eq!(shared.borrow().list().len(), 1);
}

#[test]
fn events_tell_what_is_new_and_what_is_gone() {
    let (shared, mut app) = with("Subject: one\r\n\r\n");
    let seen = shared.borrow().last_event();
    let mut events = |seen, room| {
        let mut out = Vec::new();
        let told = app.events(seen, &mut out, room);
        (String::from_utf8(out).unwrap(), told)
    };
    assert_eq!(events(seen, 999), (String::new(), seen));
    receive(&shared, "Subject: <two>\r\n\r\n");
    let (text, told) = events(seen, 999);
    assert!(text.starts_with(&format!("id: {}\nevent: new\ndata: {{\"id\":2,", seen + 1)), "{text}");
    assert!(text.contains("\"subject\":\"<two>\"") && text.ends_with("}\n\n") && told == seen + 1, "{text}");
    receive(&shared, "Subject: three\r\n\r\n");
    let two = MessageId::parse(b"2").unwrap();
    let _ = shared.borrow().remove(two);
    let _ = shared.borrow().clear();
    // Messages that are gone again aren't shown, and no number is skipped.
    let rest = format!("id: {}\nevent: removed\ndata: 2\n\nid: {}\nevent: cleared\ndata: \n\n", seen + 3, seen + 4);
    assert_eq!(events(seen, 999), (rest, seen + 4));
    assert_eq!(events(seen + 2, 1).1, seen + 3);
    let reload = format!("id: {}\nevent: reload\ndata: \n\n", seen + 4);
    assert_eq!(events(seen + 5, 999), (reload, seen + 4));
    for (head, from) in [
        ("GET /box/events", seen + 4),
        ("GET /box/events?after=7", 7),
        ("GET /box/events?after=7\r\nLast-Event-ID: 8", 8),
    ] {
        let (line, fields) = head.split_once("\r\n").map_or((head, None), |(line, rest)| (line, Some(rest)));
        let head = [Some(&*format!("{line} HTTP/1.1")), fields].into_iter().flatten().collect::<Vec<_>>().join("\r\n");
        let answer = Visit::default().answer(&mut app, "/box", &head, b"");
        assert!(matches!(answer, Answer::Watch(number) if number == from), "{head}");
    }
}

#[test]
fn pages_of_other_sites_have_no_access() {
    let (_, mut app) = with("a");
    let mut status = |at, head: &str| {
        let visit = Visit { at: Some(at), ..Visit::default() };
        match visit.answer(&mut app, "/box", head, b"") {
            Answer::Now(response) => response.status.0,
            Answer::Refused(reject) => reject.status.0,
            _ => panic!("its job is done"),
        }
    };
    let local = ("127.0.0.1:8025", "localhost:8025");
    let other = "Origin: http://evil.example\r\nSec-Fetch-Site: cross-site";
    let link = "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document";
    for (line, fields, expected) in [
        ("GET /box/messages HTTP/1.1", "Accept: */*", 200),
        ("GET /box/messages HTTP/1.1", "Sec-Fetch-Site: same-origin", 200),
        ("GET /box/messages HTTP/1.1", other, 403),
        ("GET /box/messages/1/raw HTTP/1.1", "Sec-Fetch-Site: same-site", 403),
        ("GET /box/m/1 HTTP/1.1", link, 200),
        (
            "GET /box/m/1 HTTP/1.1",
            "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe",
            403,
        ),
        ("POST /box/delete HTTP/1.1", link, 403),
        ("POST /box/delete HTTP/1.1", other, 403),
        ("DELETE /box/messages HTTP/1.1", other, 403),
        ("POST /box/m/1/delete HTTP/1.1", "Origin: null", 403),
        ("POST /box/m/1/delete HTTP/1.1", "Origin: http://localhost:8025\r\nSec-Fetch-Site: same-origin", 303),
    ] {
        assert_eq!(status(local, &format!("{line}\r\n{fields}")), expected, "{line} {fields}");
    }
    for (local, host, expected) in [
        ("127.0.0.1:8025", "127.0.0.1:8025", 200),
        ("[::1]:8025", "[::1]:8025", 200),
        ("127.0.0.1:8025", "evil.example:8025", 421),
        ("127.0.0.1:8025", "localhost.evil.example", 421),
        ("192.0.2.1:8025", "mail.example", 200),
    ] {
        assert_eq!(status((local, host), "GET /box/messages HTTP/1.1"), expected, "{local} {host}");
    }
}
