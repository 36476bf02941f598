//! A login whose password alone is protected: the form is sent by HTTPS, all else comes by HTTP.
//! Many sites once were so.
//!
//! ```text
//! GET  http://…   the form ─────────┐   everybody on the way can read and change it
//! POST https://…  name, password ◀──┘   encrypted
//! 303, Set-Cookie without Secure ───┐   encrypted
//! GET  http://…   Cookie ◀──────────┘   everybody on the way can copy the cookie
//! ```
//!
//! The page says so, and shows how the cookie is used by somebody else. So the cookie is its own:
//! it opens nothing but this page, and is no session. The names, the passwords and the limits for
//! guessing are those of the login.
//!
//! The form comes from another origin than it is sent to (RFC 6454): the scheme and the port
//! differ. So exactly that origin is allowed, and no other.

use std::collections::VecDeque;

use askama::Template;
use serde_json::json;

use super::format::Format;
use super::local::is_local;
use crate::app::login::{self, Attempt, Judgement, Problem};
use crate::app::page::{self, Beyond, Foot};
use crate::app::{Answer, App, Call, Methods, Outcome, Ports, Request, Response, ports};
use crate::auth::Users;
use crate::http::cookie::{self, SameSite, SetCookie};
use crate::http::head::{Method, RequestHead};
use crate::http::{Reject, Status, origin};
use crate::reactor::JobClass;
use crate::session::Id;

const COOKIE: &str = "lab-login";

/// How long somebody stays logged in, in seconds.
const LIFETIME: u64 = 600;

/// Most who are logged in at once.
const MOST: usize = 1_000;

pub(crate) struct LoginOnly {
    users: Users,
    /// The form says what to try.
    demonstration: bool,
    /// Where the login is whose session is protected too.
    login: Option<String>,
    guests: Guests,
}

impl LoginOnly {
    /// The page for these users; `login` is the path of the application that does it right.
    pub(crate) fn new(users: Users, demonstration: bool, login: Option<String>) -> Self {
        Self { users, demonstration, login, guests: Guests::default() }
    }
}

impl App for LoginOnly {
    fn methods(&self, path: &[u8]) -> Methods {
        if path == b"/logout" {
            Methods::Only(&[Method::Post])
        } else {
            Methods::Only(&[Method::Get, Method::Head, Method::Post])
        }
    }

    fn handle(&mut self, request: &Request<'_>, call: &mut Call<'_>) -> Answer {
        match (request.path, request.head.method) {
            (b"", Method::Post) => self.attempt(request, call),
            (b"", _) => Answer::now(self.show(request, call)),
            (b"/logout", _) if origin::is_cross_origin(request.head, call.secure) => Answer::Refused(FOREIGN),
            (b"/logout", _) => Answer::now(self.log_out(request)),
            _ => Answer::Refused(Reject::new(Status::NOT_FOUND, "there is no such page")),
        }
    }

    fn resume(&mut self, request: &Request<'_>, call: &mut Call<'_>, done: Outcome) -> Answer {
        let settled = login::settle(&mut self.users, done, call);
        match (Attempt::of(request), settled) {
            (Ok(attempt), Ok(())) => Answer::now(self.admit(attempt, request, call)),
            (Ok(attempt), Err(problem)) => Answer::now(self.refuse(&attempt, &problem, request, call)),
            (Err(reject), _) => Answer::Refused(reject),
        }
    }
}

const FOREIGN: Reject = Reject::new(Status::FORBIDDEN, "another site caused this request");

impl LoginOnly {
    fn attempt(&mut self, request: &Request<'_>, call: &Call<'_>) -> Answer {
        if !call.secure {
            let why = "the password was sent in plain text, so it could be read on the way: send it by https";
            return Answer::Refused(Reject::new(Status::FORBIDDEN, why));
        }
        if !comes_from_the_form(request.head, call.ports) {
            return Answer::Refused(FOREIGN);
        }
        let attempt = match Attempt::of(request) {
            Ok(attempt) => attempt,
            Err(reject) => return Answer::Refused(reject),
        };
        match login::judge(&mut self.users, &attempt, call) {
            Judgement::Right => Answer::now(self.admit(attempt, request, call)),
            Judgement::Ask(check) => Answer::later(JobClass::Hashing, move || check.run()),
            Judgement::Refused(problem) => Answer::now(self.refuse(&attempt, &problem, request, call)),
        }
    }

    /// The password was right: back to http, with a cookie that goes there too.
    fn admit(&mut self, attempt: Attempt, request: &Request<'_>, call: &Call<'_>) -> Response {
        let token = self.guests.admit(attempt.name, call.time.now.as_secs());
        let next = call.ports.url(request, false).unwrap_or_else(|| ports::encoded(request.here()));
        let line = set_cookie(token.to_string(), i64::try_from(LIFETIME).unwrap_or_default(), request);
        Response::new(Status::SEE_OTHER).field("Location", next).private(Some(line))
    }

    fn log_out(&mut self, request: &Request<'_>) -> Response {
        tokens(request).for_each(|token| self.guests.remove(token));
        let line = set_cookie(String::new(), 0, request);
        Response::new(Status::SEE_OTHER).field("Location", ports::encoded(request.here())).private(Some(line))
    }

    fn refuse(&self, attempt: &Attempt, problem: &Problem, request: &Request<'_>, call: &Call<'_>) -> Response {
        let response = Response::new(problem.status);
        let response = match problem.status {
            Status::UNAUTHORIZED => {
                // RFC 9110 §15.5.2 requires a challenge. Browsers show the page instead of a dialog.
                response.field("WWW-Authenticate", format!("Form action=\"{}\"", ports::encoded(request.here())))
            }
            _ => response.field("Retry-After", problem.wait.to_string()),
        };
        match Format::of(&request.head.fields) {
            Format::Text => response.text(problem.text.to_owned() + "\n").private(None),
            Format::Json => response.json(&json!({ "error": problem.text })).private(None),
            Format::Html => self.page(response, problem.text, &attempt.name, request, call),
        }
    }

    /// The greeting, or the form.
    fn show(&self, request: &Request<'_>, call: &Call<'_>) -> Response {
        let now = call.time.now.as_secs();
        let user = tokens(request).find_map(|token| self.guests.find(token, now));
        let response = Response::new(Status::OK).field("Vary", "Accept");
        match Format::of(&request.head.fields) {
            Format::Json => response.json(&json!({ "user": user })).private(None),
            Format::Text => {
                let text = match (user, call.ports.url(request, true)) {
                    (Some(user), _) => format!("Hello, {user}.\n"),
                    (None, Some(url)) => format!("Nobody is logged in. Send username and password to {url}\n"),
                    (None, None) => "Nobody is logged in, and there is no HTTPS: miod --tls auto\n".to_owned(),
                };
                response.text(text).private(None)
            }
            Format::Html => self.page(response, "", "", request, call),
        }
    }

    fn page(
        &self,
        response: Response,
        problem: &str,
        username: &str,
        request: &Request<'_>,
        call: &Call<'_>,
    ) -> Response {
        let now = call.time.now.as_secs();
        // Over https the page is no example of what it says.
        let token = tokens(request).find(|&token| !call.secure && self.guests.find(token, now).is_some());
        let https = call.ports.origin(request.head, true);
        let page = LoginOnlyPage {
            user: token.and_then(|token| self.guests.find(token, now)),
            token: token.map(|token| format!("{COOKIE}={token}")),
            secure: call.secure,
            local: is_local(request),
            problem,
            username,
            demonstration: self.demonstration,
            plain: call.ports.url(request, false),
            form: call.ports.url(request, true),
            logout: ports::encoded(request.mount) + "/logout",
            whole: https.as_ref().zip(self.login.as_ref()).map(|(origin, path)| origin.clone() + &ports::encoded(path)),
            foot: Foot::of(call),
        };
        let forms = [call.ports.origin(request.head, false), https];
        let forms = forms.into_iter().flatten().collect::<Vec<_>>().join(" ");
        // It shows the cookie.
        let beyond = Beyond { images: "", scripts: None, forms: &forms };
        page::page_beyond(response, &page, &beyond).private(None).with_secrets()
    }
}

#[derive(Template)]
#[template(path = "login_only.html", config = "src/askama.toml")]
struct LoginOnlyPage<'a> {
    user: Option<&'a str>,
    /// The cookie, as it was sent.
    token: Option<String>,
    secure: bool,
    local: bool,
    problem: &'a str,
    username: &'a str,
    demonstration: bool,
    /// This page over http, and where the form goes.
    plain: Option<String>,
    form: Option<String>,
    logout: String,
    /// The login whose session is protected too.
    whole: Option<String>,
    foot: Foot,
}

/// Whether a form that is sent by https comes from this page, over http or https, or from no page
/// at all. `Sec-Fetch-Site` calls http another site, so it says nothing here.
fn comes_from_the_form(head: &RequestHead<'_>, ports: Ports) -> bool {
    let mut origins = head.fields.all("origin");
    let from_http = match (origins.next(), origins.next(), ports.origin(head, false)) {
        (Some(only), None, Some(ours)) => only.eq_ignore_ascii_case(ours.as_bytes()),
        _ => false,
    };
    from_http || !origin::is_cross_origin(head, true)
}

/// The tokens that a request has.
fn tokens<'a>(request: &Request<'a>) -> impl Iterator<Item = Id> + use<'a> {
    cookie::values(&request.head.fields, COOKIE).filter_map(Id::parse)
}

/// The cookie, without Secure.
fn set_cookie(value: String, max_age: i64, request: &Request<'_>) -> String {
    let cookie = SetCookie {
        name: COOKIE.to_owned(),
        value,
        max_age: Some(max_age),
        path: Some(ports::encoded(request.here())),
        http_only: true,
        same_site: Some(SameSite::Lax),
        ..SetCookie::default()
    };
    cookie.line().expect("a valid cookie")
}

/// Who is logged in, the longest first.
#[derive(Default)]
struct Guests(VecDeque<Guest>);

struct Guest {
    token: Id,
    user: String,
    /// The second at which it ends.
    until: u64,
}

impl Guests {
    /// Gives a user a new token. If there are too many, the oldest ends.
    fn admit(&mut self, user: String, now: u64) -> Id {
        self.0.retain(|guest| guest.until > now);
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        let token = Id::new();
        self.0.push_back(Guest { token, user, until: now + LIFETIME });
        token
    }

    fn find(&self, token: Id, now: u64) -> Option<&str> {
        self.0.iter().find(|guest| guest.token == token && guest.until > now).map(|guest| guest.user.as_str())
    }

    fn remove(&mut self, token: Id) {
        self.0.retain(|guest| guest.token != token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::testing::{Visit, field, text};

    /// alice with the password apple, at cost 4.
    fn app() -> LoginOnly {
        let users = "alice:$2y$04$Im0z16.DTEB3DDCKewmGnuoTXtBavQMwSiNl3R4rR7ofB0rN/w5B6";
        LoginOnly::new(Users::fixed(users).unwrap(), false, Some("/a b/login".to_owned()))
    }

    const PORTS: Ports = Ports { http: Some(8080), https: Some(8443) };
    const RIGHT: &[u8] = b"username=alice&password=apple";

    fn answer(app: &mut LoginOnly, secure: bool, request: &str, lines: &str, body: &[u8]) -> Answer {
        let head = format!("{request} HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded{lines}");
        Visit { secure, ports: PORTS, ..Visit::default() }.answer(app, "/lab/x", &head, body)
    }

    fn post(app: &mut LoginOnly, secure: bool, lines: &str, body: &[u8]) -> Result<Response, Status> {
        match answer(app, secure, "POST /lab/x", lines, body) {
            Answer::Now(response) => Ok(response),
            Answer::Refused(reject) => Err(reject.status),
            _ => panic!("neither"),
        }
    }

    fn get(app: &mut LoginOnly, secure: bool, fields: &[&str]) -> Response {
        Visit { secure, ports: PORTS, ..Visit::default() }.ask(app, "/lab/x", fields)
    }

    /// Logs in, and gives back the Cookie line.
    fn log_in(app: &mut LoginOnly) -> String {
        let done = post(app, true, "", RIGHT).unwrap();
        let line = field(&done, "Set-Cookie").unwrap();
        format!("Cookie: {}", line.split(';').next().unwrap())
    }

    #[test]
    fn the_password_goes_by_https_and_the_cookie_by_http() {
        let app = &mut app();
        let form = get(app, false, &["Accept: text/html"]);
        assert!(text(&form).contains("action=\"https://example.org:8443/lab/x\""), "{}", text(&form));
        assert!(text(&form).contains("href=\"https://example.org:8443/a%20b/login\""), "{}", text(&form));
        let policy = field(&form, "Content-Security-Policy").unwrap();
        assert!(policy.contains("form-action 'self' http://example.org:8080 https://example.org:8443;"), "{policy}");

        let done = post(app, true, "", RIGHT).unwrap();
        assert_eq!(done.status, Status::SEE_OTHER);
        assert_eq!(field(&done, "Location"), Some("http://example.org:8080/lab/x"));
        let line = field(&done, "Set-Cookie").unwrap();
        let token = line.strip_prefix("lab-login=").unwrap().split(';').next().unwrap();
        assert_eq!(line, format!("lab-login={token}; Max-Age=600; HttpOnly; SameSite=Lax; Path=/lab/x"));

        let cookie = format!("Cookie: lab-login=x; lab-login={token}");
        let greeting = get(app, false, &["Accept: text/html", &cookie]);
        let page = text(&greeting);
        let command = format!("curl -b lab-login={token} http://example.org:8080/lab/x");
        assert!(page.contains("Hello, alice.") && page.contains(&command), "{page}");
        assert_eq!(field(&greeting, "Cache-Control"), Some("private, no-store"));
        // Somebody else with the cookie.
        assert_eq!(text(&get(app, false, &[&cookie])), "Hello, alice.\n");
        assert_eq!(text(&get(app, false, &["Accept: application/json", &cookie])), "{\"user\":\"alice\"}\n");
        assert!(text(&get(app, false, &["Cookie: lab-login=x"])).starts_with("Nobody is logged in."));
        let over_https = get(app, true, &["Accept: text/html", &cookie]);
        let page = text(&over_https);
        assert!(!page.contains(token) && page.contains("href=\"http://example.org:8080/lab/x\""), "{page}");
    }

    #[test]
    fn a_password_in_plain_text_or_from_elsewhere_is_refused() {
        let app = &mut app();
        assert_eq!(post(app, false, "", RIGHT).err(), Some(Status::FORBIDDEN));
        for (lines, fine) in [
            ("", true),
            ("\r\nOrigin: http://example.org:8080\r\nSec-Fetch-Site: cross-site", true),
            ("\r\nSec-Fetch-Site: cross-site", false),
            ("\r\nOrigin: http://example.org", false),
            ("\r\nOrigin: http://example.org:8081", false),
            ("\r\nOrigin: https://example.org:8080", false),
            ("\r\nOrigin: http://evil.example:8080", false),
            ("\r\nOrigin: http://example.org:8080\r\nOrigin: http://evil.example", false),
            ("\r\nOrigin: http://example.org:8080, http://evil.example", false),
            ("\r\nOrigin: null", false),
            ("\r\nOrigin: null\r\nSec-Fetch-Site: cross-site", false),
        ] {
            let done = post(app, true, lines, RIGHT).map(|response| response.status);
            assert_eq!(done, if fine { Ok(Status::SEE_OTHER) } else { Err(Status::FORBIDDEN) }, "{lines}");
        }
        let direct = Visit { secure: true, ports: Ports::default(), ..Visit::default() };
        let head = "POST /lab/x HTTP/1.1\r\nOrigin: http://example.org\r\nContent-Length: 0";
        assert!(matches!(direct.answer(app, "/lab/x", head, b""), Answer::Refused(reject) if reject.status.0 == 403));
    }

    #[test]
    fn wrong_passwords_are_counted_and_give_no_cookie() {
        let app = &mut app();
        assert_eq!(post(app, true, "", b"username=alice").err(), Some(Status::BAD_REQUEST));
        for number in 0..10 {
            let wrong = format!("username=%3Cb%3E&password={number}");
            let response = post(app, true, "\r\nAccept: text/html", wrong.as_bytes()).unwrap();
            assert_eq!((response.status, field(&response, "Set-Cookie")), (Status::UNAUTHORIZED, None));
            assert_eq!(field(&response, "WWW-Authenticate"), Some("Form action=\"/lab/x\""));
            let page = text(&response);
            assert!(
                page.contains("The name or the password is wrong.") && page.contains("value=\"&#60;b&#62;\""),
                "{page}"
            );
        }
        let response = post(app, true, "\r\nAccept: application/json", RIGHT).unwrap();
        assert_eq!((response.status, field(&response, "Retry-After")), (Status::TOO_MANY_REQUESTS, Some("6")));
        assert!(text(&response).starts_with("{\"error\":"), "{}", text(&response));
    }

    #[test]
    fn logging_out_ends_it() {
        let app = &mut app();
        let (one, other) = (log_in(app), log_in(app));
        let lines = format!("\r\n{one}\r\nOrigin: http://evil.example");
        assert!(matches!(answer(app, false, "POST /lab/x/logout", &lines, b""), Answer::Refused(_)));
        assert_eq!(text(&get(app, false, &[&one])), "Hello, alice.\n");
        let Answer::Now(out) = answer(app, false, "POST /lab/x/logout", &format!("\r\n{one}"), b"") else { panic!() };
        assert!(field(&out, "Set-Cookie").unwrap().starts_with("lab-login=; Max-Age=0;"));
        assert!(text(&get(app, false, &[&one])).starts_with("Nobody"));
        assert_eq!(text(&get(app, false, &[&other])), "Hello, alice.\n");
        assert_eq!(app.methods(b"/logout"), Methods::Only(&[Method::Post]));
    }

    #[test]
    fn tokens_end_after_a_while_and_are_limited() {
        let mut guests = Guests::default();
        let token = guests.admit("a".to_owned(), 5);
        assert_eq!(guests.find(token, 4 + LIFETIME), Some("a"));
        assert_eq!(guests.find(token, 5 + LIFETIME), None);
        let tokens: Vec<_> = (0..MOST).map(|_| guests.admit("b".to_owned(), 6)).collect();
        assert_eq!((guests.0.len(), guests.find(token, 6), guests.find(tokens[0], 6)), (MOST, None, Some("b")));
        guests.admit("c".to_owned(), 6 + LIFETIME);
        assert_eq!(guests.0.len(), 1);
    }

    #[test]
    fn without_https_it_says_how_to_start_it() {
        let ports = Ports { https: None, ..PORTS };
        let app = &mut app();
        let page = Visit { ports, ..Visit::default() }.ask(app, "/lab/x", &["Accept: text/html"]);
        assert!(text(&page).contains("miod --tls auto") && !text(&page).contains("<form"), "{}", text(&page));
        let page = Visit { ports, ..Visit::default() }.ask(app, "/lab/x", &[]);
        assert!(text(&page).ends_with("miod --tls auto\n"), "{}", text(&page));
    }
}
