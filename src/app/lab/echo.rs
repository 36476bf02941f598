//! Sends the content of a request back.
//!
//! On a public server, anybody could make pages in its name that way: a form on another site
//! posts a script, and the response comes from here. So the response is sandboxed (it has no
//! origin, and no script runs), and browsers must not guess its type.

use crate::app::{Answer, App, Call, Methods, Request, Response};
use crate::http::Status;

pub(crate) struct Echo;

impl App for Echo {
    fn methods(&self, _path: &[u8]) -> Methods {
        Methods::Any
    }

    fn handle(&mut self, request: &Request<'_>, _call: &mut Call<'_>) -> Answer {
        let media_type = request.head.fields.get("content-type").and_then(|value| std::str::from_utf8(value).ok());
        Answer::now(
            Response::new(Status::OK)
                .content(media_type.unwrap_or("application/octet-stream").to_owned(), request.body.to_vec())
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
    fn the_content_comes_back_unchanged() {
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
    fn the_response_runs_no_script() {
        let response = ask_with(&mut Echo, "/lab/echo", "POST /lab/echo HTTP/1.1", b"<script>");
        assert_eq!(field(&response, "X-Content-Type-Options"), Some("nosniff"));
        assert_eq!(field(&response, "Content-Security-Policy"), Some("sandbox"));
        assert_eq!(field(&response, "Cache-Control"), Some("no-store"));
    }
}
