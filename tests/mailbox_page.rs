//! The page of `miod mailbox`: what a program and a browser get of the messages that `miod mail` sends.

mod support;

use std::process::Command;

use serde_json::Value;
use support::browser::until;
use support::{Client, Root, Server, miod, run_to_end};

/// HTML that tries what it can.
const HTML: &str = "<!DOCTYPE html><h1>Hello</h1><p>Please confirm your address.</p>\
    <img src=\"cid:photo.jpg\" width=200 alt=photo><img src=\"http://127.0.0.1:1/remote.gif\" alt=remote>\
    <script>document.body.textContent = 'script ran'; parent.document.title = 'hacked'</script>\
    <form action=\"http://127.0.0.1:1/\"><button autofocus>Send</button></form>";

fn mailbox() -> Server {
    let mut command = miod();
    command.args(["mailbox", "-b", "127.0.0.1", "-p", "0", "--http", "127.0.0.1"]);
    Server::run(command)
}

/// A command that sends a message with HTML, a picture and an attachment to the mailbox.
fn mail(server: &Server, place: &Root) -> Command {
    let address = server.banner.split([' ', ',', '\n']).find(|word| word.starts_with("smtp://")).unwrap();
    std::fs::copy("public/files/photo.jpg", place.at("photo.jpg")).unwrap();
    place.file("page.html", HTML);
    place.file("notes.txt", "Notes\n");
    let mut command = miod();
    command.args(["mail", "--server", address, "-s", "Welcome <b>Ada</b>", "--body", "The text.", "--html"]);
    command.arg(place.at("page.html")).arg("--inline").arg(place.at("photo.jpg")).arg("-a").arg(place.at("notes.txt"));
    command.args(["-f", "Shop <shop@example.org>", "--bcc", "eve@example.org", "ada@example.org"]);
    command
}

fn json(server: &Server, path: &str) -> Value {
    let response = server.get(path);
    assert_eq!(response.status, 200, "{path}: {}", response.head);
    serde_json::from_slice(&response.body).unwrap()
}

#[test]
fn a_message_that_miod_mail_sends_is_told_shown_and_deleted() {
    let (server, place) = (mailbox(), Root::new());
    let mut watcher = Client::connect(server.address());
    watcher.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    until(&mut watcher, "retry: ");
    let sent = run_to_end(&mut mail(&server, &place), b"");
    assert_eq!(sent.code, Some(0), "{}", sent.errors);
    // The list has it as soon as it is sent, and those who watch are told.
    let list = json(&server, "/messages");
    assert_eq!(list.as_array().unwrap().len(), 1, "{list}");
    assert_eq!((&list[0]["id"], &list[0]["from"]), (&Value::from(1), &Value::from("shop@example.org")));
    assert_eq!(list[0]["to"], serde_json::json!(["ada@example.org", "eve@example.org"]), "the blind copy, too");
    assert_eq!(
        (&list[0]["sender"], &list[0]["subject"]),
        (&"Shop <shop@example.org>".into(), &"Welcome <b>Ada</b>".into())
    );
    until(&mut watcher, "event: new\ndata: {\"id\":1,");
    let message = json(&server, "/messages/1");
    assert_eq!((&message["text"], &message["html"]), (&"The text.".into(), &HTML.into()));
    for (at, name) in ["photo.jpg", "notes.txt"].into_iter().enumerate() {
        let part = &message["attachments"][at];
        assert_eq!(part["name"], name, "{message}");
        let response = server.get(part["url"].as_str().unwrap());
        assert!(response.body == std::fs::read(place.at(name)).unwrap(), "{name} isn't what was sent");
    }
    let raw = server.get("/messages/1/raw");
    assert_eq!(Value::from(raw.body.len()), list[0]["size"]);
    let deleted = server.exchange("DELETE /messages HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert_eq!(deleted.status, 204, "{}", deleted.head);
    until(&mut watcher, "event: removed\ndata: 1\n");
    assert_eq!(json(&server, "/messages"), serde_json::json!([]));
}

#[test]
#[ignore = "needs chromium and python3"]
fn a_message_appears_by_itself_and_its_html_can_do_nothing() {
    let (server, place) = (mailbox(), Root::new());
    let mail = mail(&server, &place);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mailbox_browser.py");
    let mut command = Command::new("timeout");
    command.args(["180", "python3", script]).arg(format!("http://{}", server.address()));
    let output = command.arg("--").arg(mail.get_program()).args(mail.get_args()).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && printed.contains("mailbox: passed"), "{printed}");
}
