//! Greets the world, or the name in `?name=`.

use super::format::Format;
use crate::app::{Answer, App, Call, Request, Response};
use crate::http::Status;
use crate::text::{html, json};

pub(crate) struct Hello;

impl App for Hello {
    fn handle(&mut self, request: &Request<'_>, _call: &mut Call<'_>) -> Answer {
        let name = request.query("name").filter(|name| !name.trim().is_empty());
        // A link must not be able to control a terminal.
        let name = name.map_or("world".to_owned(), |name| name.trim().replace(char::is_control, "\u{fffd}"));
        let greeting = format!("Hello, {name}!");
        let response = Response::new(Status::OK).field("Vary", "Accept").field("Cache-Control", "no-cache");
        Answer::now(match Format::of(&request.head.fields) {
            Format::Text => response.text(greeting + "\n"),
            Format::Html => response.html(html::page("Hello", &format!("<h1>{}</h1>", html::escape(&greeting)))),
            Format::Json => response.json(format!("{{\"greeting\":{}}}\n", json::string(&greeting))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::testing::{ask, field, text};

    #[test]
    fn greets_the_world_or_the_name() {
        for (target, expected) in [
            ("/lab/x", "Hello, world!\n"),
            ("/lab/x?name=", "Hello, world!\n"),
            ("/lab/x?name=+", "Hello, world!\n"),
            ("/lab/x?name=Ad%C3%A4le+L.&name=x", "Hello, Ad\u{e4}le L.!\n"),
            ("/lab/x?name=%1b[1m<b>%0a", "Hello, \u{fffd}[1m<b>!\n"),
        ] {
            let response = ask(&mut Hello, target, &[]);
            assert_eq!((response.status, text(&response)), (Status::OK, expected), "{target}");
            assert_eq!(field(&response, "Content-Type"), Some("text/plain; charset=utf-8"));
            assert_eq!(field(&response, "Vary"), Some("Accept"));
        }
    }

    #[test]
    fn a_name_is_escaped_in_each_format() {
        let target = "/lab/x?name=%3Cscript%3E%22";
        let page = ask(&mut Hello, target, &["Accept: text/html"]);
        assert_eq!(field(&page, "Content-Type"), Some("text/html; charset=utf-8"));
        assert!(text(&page).contains("<h1>Hello, &lt;script&gt;&quot;!</h1>"));
        let json = ask(&mut Hello, target, &["Accept: application/json"]);
        assert_eq!(field(&json, "Content-Type"), Some("application/json"));
        assert_eq!(text(&json), "{\"greeting\":\"Hello, <script>\\\"!\"}\n");
    }
}
