//! Shows the cookies of a request, one `name=value` on a line. `set` sets a cookie with any
//! attributes: `set?name=value&Max-Age=60&Path=/&HttpOnly`.

use crate::app::{Answer, App, Call, Request, Response};
use crate::http::cookie::{self, SameSite, SetCookie};
use crate::http::{Reject, Status, date, form, origin};

pub(crate) struct Cookies {
    /// The name of the session's cookie, which can't be set here: a link that sets it would
    /// give the client a session of another client.
    pub(crate) reserved: String,
}

impl App for Cookies {
    fn handle(&mut self, request: &Request<'_>, call: &mut Call<'_>) -> Answer {
        match request.path {
            b"" | b"/" => Answer::now(text(Status::OK, came(request))),
            b"/set" => self.set(request, call),
            _ => Answer::Refused(Reject::new(Status::NOT_FOUND, "there are /lab/cookies and /lab/cookies/set")),
        }
    }
}

fn text(status: Status, text: Vec<u8>) -> Response {
    Response::new(status).content("text/plain; charset=utf-8", text).no_store().with_secrets()
}

fn came(request: &Request<'_>) -> Vec<u8> {
    let mut lines = Vec::new();
    for (name, value) in cookie::pairs(&request.head.fields) {
        lines.extend_from_slice(&[name, b"=", value, b"\n"].concat());
    }
    lines
}

impl Cookies {
    fn set(&self, request: &Request<'_>, call: &Call<'_>) -> Answer {
        if origin::is_cross_origin(request.head, call.secure) {
            return Answer::Refused(Reject::new(Status::FORBIDDEN, "another site caused this request"));
        }
        let line = read(request.head.target.query.unwrap_or_default(), call.time.unix_seconds).and_then(|cookie| {
            if cookie.name.strip_prefix(cookie::HOST).unwrap_or(&cookie.name) == self.reserved {
                Err("this cookie is the session's own")
            } else {
                cookie.line()
            }
        });
        match line {
            Ok(line) => {
                let shown = format!("Set-Cookie: {line}\n").into_bytes();
                Answer::now(text(Status::OK, shown).field("Set-Cookie", line))
            }
            Err(why) => Answer::Refused(Reject::bad_request(why)),
        }
    }
}

/// The cookie that a query describes: name and value first, then its attributes.
fn read(query: &[u8], now: i64) -> Result<SetCookie, &'static str> {
    let mut pairs = form::pairs(query);
    let (name, value) = pairs.next().ok_or("say which cookie, like ?name=value&Max-Age=60")?;
    let mut cookie = SetCookie { name: name.into_owned(), value: value.into_owned(), ..SetCookie::default() };
    for (attribute, value) in pairs {
        let is_on = || !matches!(&*value, "0" | "false" | "off" | "no");
        match attribute.to_ascii_lowercase().as_str() {
            "max-age" => cookie.max_age = Some(value.parse().map_err(|_| "Max-Age is a number of seconds")?),
            "expires" => {
                let moment = date::parse(value.as_bytes(), now).or_else(|| value.parse().ok());
                cookie.expires = Some(moment.ok_or("Expires is a date of HTTP, or seconds since 1970")?);
            }
            "domain" => cookie.domain = Some(value.into_owned()),
            "path" => cookie.path = Some(value.into_owned()),
            "secure" => cookie.secure = is_on(),
            "httponly" => cookie.http_only = is_on(),
            "samesite" => {
                let known = [SameSite::Strict, SameSite::Lax, SameSite::None];
                let found = known.into_iter().find(|known| known.as_str().eq_ignore_ascii_case(&value));
                cookie.same_site = Some(found.ok_or("SameSite is Strict, Lax or None")?);
            }
            _ => return Err("the attributes are Max-Age, Expires, Domain, Path, Secure, HttpOnly and SameSite"),
        }
    }
    Ok(cookie)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::testing::{ask, field, refused, text};

    fn cookies() -> Cookies {
        Cookies { reserved: "sid".to_owned() }
    }

    #[test]
    fn a_line_for_each_cookie_in_order() {
        let response = ask(&mut cookies(), "/lab/x", &["Cookie: b=1; a=\"2 3\"; junk", "cookie: a=<i>"]);
        assert_eq!((response.status, text(&response)), (Status::OK, "b=1\na=2 3\na=<i>\n"));
        assert_eq!(field(&response, "Content-Type"), Some("text/plain; charset=utf-8"));
        assert_eq!(field(&response, "Cache-Control"), Some("no-store"));
        assert_eq!(text(&ask(&mut cookies(), "/lab/x", &[])), "");
    }

    #[test]
    fn sets_one_with_any_attributes() {
        for (query, line) in [
            ("name=v", "name=v"),
            ("a=", "a="),
            ("a=b&Max-Age=60&path=/lab", "a=b; Max-Age=60; Path=/lab"),
            ("a=b&Max-Age=-1&Expires=0", "a=b; Max-Age=-1; Expires=Thu, 01 Jan 1970 00:00:00 GMT"),
            ("a=b&Expires=Sun,+06+Nov+1994+08:49:37+GMT", "a=b; Expires=Sun, 06 Nov 1994 08:49:37 GMT"),
            (
                "a=b&Domain=a.example&Secure&HttpOnly=1&SameSite=none",
                "a=b; Domain=a.example; Secure; HttpOnly; SameSite=None",
            ),
            ("a=b&Secure=0", "a=b"),
            ("Path=x&Path=/", "Path=x; Path=/"),
        ] {
            let response = ask(&mut cookies(), &format!("/lab/x/set?{query}"), &["Sec-Fetch-Site: none"]);
            assert_eq!(field(&response, "Set-Cookie"), Some(line), "{query}");
            assert_eq!(text(&response), format!("Set-Cookie: {line}\n"));
        }
    }

    #[test]
    fn what_cannot_be_set_or_comes_from_elsewhere_is_refused() {
        for query in [
            "",
            "a=b%0d%0aX:+y",
            "a=b;c",
            "%20=b",
            "=b",
            "a=b&Path=x",
            "a=b&Domain=.",
            "a=b&Max-Age=soon",
            "a=b&Expires=soon",
            "a=b&SameSite=x",
            "a=b&SameSite=None",
            "a=b&c=d",
            "__Host-a=b",
            "sid=x",
        ] {
            assert_eq!(refused(&mut cookies(), &format!("/lab/x/set?{query}"), &[]), Status::BAD_REQUEST, "{query}");
        }
        let elsewhere = ["Sec-Fetch-Site: cross-site"];
        assert_eq!(refused(&mut cookies(), "/lab/x/set?a=b", &elsewhere), Status::FORBIDDEN);
        assert_eq!(refused(&mut cookies(), "/lab/x/get", &[]), Status::NOT_FOUND);
    }
}
