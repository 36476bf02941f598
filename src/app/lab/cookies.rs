//! Shows the cookies that came, one `name=value` line for each.

use crate::app::{Answer, App, Request, Response, Visit};
use crate::http::{Status, cookie};

pub(crate) struct Cookies;

impl App for Cookies {
    fn handle(&mut self, request: &Request<'_>, _visit: &mut Visit<'_>) -> Answer {
        let mut lines = Vec::new();
        for (name, value) in cookie::pairs(&request.head.fields) {
            lines.extend_from_slice(&[name, b"=", value, b"\n"].concat());
        }
        Answer::now(
            Response::new(Status::OK)
                .content("text/plain; charset=utf-8", lines)
                .field("X-Content-Type-Options", "nosniff")
                .no_store(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ask, field, text};
    use super::*;

    #[test]
    fn a_line_for_each_cookie_in_order() {
        let response = ask(&mut Cookies, "/lab/x", &["Cookie: b=1; a=\"2 3\"; junk", "cookie: a=<i>"]);
        assert_eq!((response.status, text(&response)), (Status::OK, "b=1\na=2 3\na=<i>\n"));
        assert_eq!(field(&response, "Content-Type"), Some("text/plain; charset=utf-8"));
        assert_eq!(field(&response, "Cache-Control"), Some("no-store"));
        assert_eq!(text(&ask(&mut Cookies, "/lab/x", &[])), "");
    }
}
