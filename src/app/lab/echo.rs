//! Sends back the content of a request, as it came.
//!
//! On a public server that would let anybody write pages in its name: a form
//! elsewhere posts a script, and the answer comes from here. So the answer is
//! sandboxed (it has no origin, no script runs) and its type isn't guessed.

use crate::app::{Answer, App, Methods, Request, Response, Visit};
use crate::http::Status;

pub(crate) struct Echo;

impl App for Echo {
    fn methods(&self, _path: &[u8]) -> Methods {
        Methods::Any
    }

    fn handle(&mut self, request: &Request<'_>, _visit: &mut Visit<'_>) -> Answer {
        let media_type = request.head.fields.get("content-type").and_then(|value| std::str::from_utf8(value).ok());
        Answer::now(
            Response::new(Status::OK)
                .content(media_type.unwrap_or("application/octet-stream").to_owned(), request.body.to_vec())
                .field("X-Content-Type-Options", "nosniff")
                .field("Content-Security-Policy", "sandbox")
                .no_store(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::testing::{ask_with, content, field};

    #[test]
    fn sends_back_exactly_what_came() {
        let every_byte: Vec<u8> = (0..=255).collect();
        for (head, media_type) in [
            ("POST /lab/echo HTTP/1.1\r\nContent-Type: text/html; charset=x", "text/html; charset=x"),
            ("BREW /lab/echo/x?y HTTP/1.1", "application/octet-stream"),
            ("GET /lab/echo HTTP/1.0\r\nContent-Type: \u{e4}", "\u{e4}"),
        ] {
            let response = ask_with(&mut Echo, "/lab/echo", head, &every_byte);
            assert_eq!((response.status, content(&response)), (Status::OK, &every_byte[..]));
            assert_eq!(field(&response, "Content-Type"), Some(media_type));
        }
        assert_eq!(Echo.methods(b""), Methods::Any);
    }

    #[test]
    fn what_comes_back_runs_no_script() {
        let response = ask_with(&mut Echo, "/lab/echo", "POST /lab/echo HTTP/1.1", b"<script>");
        assert_eq!(field(&response, "X-Content-Type-Options"), Some("nosniff"));
        assert_eq!(field(&response, "Content-Security-Policy"), Some("sandbox"));
        assert_eq!(field(&response, "Cache-Control"), Some("no-store"));
    }
}
