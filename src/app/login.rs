//! Logging in and out: `login` asks for a name and a password, `home` is for who
//! did that, `logout` ends it.
//!
//! They are three applications, mounted side by side, and what they have in common
//! is a name in the visitor's session ([`user`]). A password is checked on the helper
//! thread; an unknown name takes as long as a wrong password and gets the same
//! answer. At a login the session gets another identifier, so one that somebody
//! gave to the visitor is worth nothing.

use askama::Template;

use super::body::Body;
use super::page::{self, Foot};
use super::{Answer, App, Call, Methods, Outcome, Request, Response};
use crate::auth::{Checked, Users, Verdict};
use crate::http::basic::Credentials;
use crate::http::head::Method;
use crate::http::target::{self, Form};
use crate::http::{Reject, Status, form, negotiate};
use crate::reactor::JobClass;
use crate::session::Session;
use crate::text::json;

/// What the user's name is kept under.
const USER: &str = "user";

/// Who has logged in, in this session.
pub(super) fn user(session: &Session) -> Option<&str> {
    session.get(USER)?.as_str()
}

/// The page that asks for a name and a password.
pub(super) struct Login {
    users: Users,
}

impl Login {
    /// For these users.
    pub(super) fn new(users: Users) -> Self {
        Self { users }
    }
}

#[derive(Template)]
#[template(path = "login.html", config = "src/app/templates/askama.toml")]
struct LoginPage<'a> {
    /// Where the application is mounted.
    here: &'a str,
    username: &'a str,
    /// Where to go then.
    next: &'a str,
    /// What went wrong.
    problem: &'a str,
    foot: Foot,
}

impl App for Login {
    fn methods(&self, _path: &[u8]) -> Methods {
        Methods::Only(&[Method::Get, Method::Head, Method::Post])
    }

    fn reads_session(&self) -> bool {
        true
    }

    fn handle(&mut self, request: &Request<'_>, call: &mut Call<'_>) -> Answer {
        if !request.path.is_empty() {
            return Answer::Refused(NO_SUCH_PAGE);
        }
        if request.head.method != Method::Post {
            return Answer::now(show(request, call));
        }
        let attempt = match Attempt::of(request) {
            Ok(attempt) => attempt,
            Err(reject) => return Answer::Refused(reject),
        };
        let who = Credentials { name: attempt.name.clone(), password: attempt.password.clone() };
        match self.users.check(who, call.client, call.time.now.as_secs()) {
            Verdict::Right => Answer::now(attempt.admit(request, call)),
            Verdict::Ask(check) => Answer::later(JobClass::Hashing, move || check.run()),
            Verdict::Busy => {
                let problem = "Too many passwords are being checked. Try again in a moment.";
                Answer::now(attempt.turn_away(Status::SERVICE_UNAVAILABLE, problem, 1, request, call))
            }
            Verdict::TooMany(wait) => {
                let problem = "There were too many wrong passwords. Try again in a while.";
                Answer::now(attempt.turn_away(Status::TOO_MANY_REQUESTS, problem, wait, request, call))
            }
        }
    }

    fn resume(&mut self, request: &Request<'_>, call: &mut Call<'_>, done: Outcome) -> Answer {
        let attempt = match Attempt::of(request) {
            Ok(attempt) => attempt,
            Err(reject) => return Answer::Refused(reject),
        };
        let checked = done.downcast::<Checked>().expect("what the job returned");
        if self.users.settle(&checked, call.time.now.as_secs()) {
            return Answer::now(attempt.admit(request, call));
        }
        Answer::now(attempt.turn_away(Status::UNAUTHORIZED, "The name or the password is wrong.", 0, request, call))
    }
}

/// What somebody sent to log in.
struct Attempt {
    name: String,
    password: String,
    next: Option<String>,
}

impl Attempt {
    fn of(request: &Request<'_>) -> Result<Self, Reject> {
        let body = Body::read(request)?;
        match (body.text("username"), body.text("password")) {
            (Some(name), Some(password)) => Ok(Self {
                name: name.into_owned(),
                password: password.into_owned(),
                next: body.text("next").and_then(|next| local(&next).map(str::to_owned)),
            }),
            _ => Err(Reject::bad_request("the fields username and password are needed")),
        }
    }

    /// The password was right.
    fn admit(self, request: &Request<'_>, call: &mut Call<'_>) -> Response {
        let session = call.session();
        if user(session).is_some_and(|user| user != self.name) {
            // What was one user's isn't another's.
            session.end();
        }
        session.renew();
        session.set(USER, self.name.as_str());
        let next = self.next.unwrap_or_else(|| beside(request, "home"));
        let response = Response::new(Status::SEE_OTHER).field("Location", next);
        if !negotiate::prefers_json(&request.head.fields) {
            return response;
        }
        response.json(format!("{{\"user\":{}}}\n", json::string(&self.name)))
    }

    fn turn_away(
        self,
        status: Status,
        problem: &str,
        wait: u64,
        request: &Request<'_>,
        call: &mut Call<'_>,
    ) -> Response {
        let response = if negotiate::prefers_json(&request.head.fields) {
            Response::new(status).json(format!("{{\"error\":{}}}\n", json::string(problem)))
        } else {
            let next = self.next.as_deref().unwrap_or_default();
            let (here, username) = (&here(request), self.name.as_str());
            page::page(Response::new(status), &LoginPage { here, username, next, problem, foot: Foot::of(call) })
        };
        match (status, wait) {
            (Status::UNAUTHORIZED, _) => ask_for_login(response, request),
            _ => response.field("Retry-After", wait.to_string()),
        }
    }
}

/// The form, or who is logged in.
fn show(request: &Request<'_>, call: &mut Call<'_>) -> Response {
    if negotiate::prefers_json(&request.head.fields) {
        let name = user(call.session()).map_or_else(|| "null".to_owned(), |user| json::string(user).to_string());
        return Response::new(Status::OK).json(format!("{{\"user\":{name}}}\n")).field("Vary", "Accept");
    }
    let next = request.query("next").filter(|next| local(next).is_some()).unwrap_or_default();
    let username = user(call.session()).unwrap_or_default().to_owned();
    let (foot, here) = (Foot::of(call), here(request));
    let page = LoginPage { here: &here, username: &username, next: &next, problem: "", foot };
    page::page(Response::new(Status::OK), &page).field("Vary", "Accept")
}

/// The page of who has logged in.
pub(super) struct Home;

#[derive(Template)]
#[template(path = "home.html", config = "src/app/templates/askama.toml")]
struct HomePage<'a> {
    user: &'a str,
    /// Where one logs out.
    logout: &'a str,
    foot: Foot,
}

impl App for Home {
    fn reads_session(&self) -> bool {
        true
    }

    fn handle(&mut self, request: &Request<'_>, call: &mut Call<'_>) -> Answer {
        if !request.path.is_empty() {
            return Answer::Refused(NO_SUCH_PAGE);
        }
        let as_json = negotiate::prefers_json(&request.head.fields);
        let user = user(call.session()).map(str::to_owned);
        let response = match (user, as_json) {
            (Some(user), true) => Response::new(Status::OK).json(format!("{{\"user\":{}}}\n", json::string(&user))),
            (Some(user), false) => {
                let logout = beside(request, "logout");
                page::page(Response::new(Status::OK), &HomePage { user: &user, logout: &logout, foot: Foot::of(call) })
            }
            (None, true) => {
                let response = Response::new(Status::UNAUTHORIZED).json("{\"error\":\"nobody has logged in\"}\n");
                ask_for_login(response, request)
            }
            (None, false) => {
                // Back to here then, as it was asked for.
                let login = format!("{}?next={}", beside(request, "login"), form::encode(&here(request)));
                Response::new(Status::SEE_OTHER).field("Location", login)
            }
        };
        Answer::now(response.field("Vary", "Accept"))
    }
}

/// The end: the session goes with all that is in it.
pub(super) struct Logout;

impl App for Logout {
    fn methods(&self, _path: &[u8]) -> Methods {
        // A link, or a picture of that address, must not log anybody out.
        Methods::Only(&[Method::Post])
    }

    fn reads_session(&self) -> bool {
        true
    }

    fn handle(&mut self, request: &Request<'_>, call: &mut Call<'_>) -> Answer {
        if !request.path.is_empty() {
            return Answer::Refused(NO_SUCH_PAGE);
        }
        call.session().end();
        Answer::now(Response::new(Status::SEE_OTHER).field("Location", beside(request, "login")))
    }
}

const NO_SUCH_PAGE: Reject = Reject::new(Status::NOT_FOUND, "there is no such page");

/// RFC 9110 §15.5.2 wants a challenge with a 401. This one, of no scheme that
/// browsers know, has them show the page instead of asking themselves.
fn ask_for_login(response: Response, request: &Request<'_>) -> Response {
    response.field("WWW-Authenticate", format!("Form action=\"{}\"", beside(request, "login")))
}

/// The address of the application itself.
fn here(request: &Request<'_>) -> String {
    encoded(if request.mount.is_empty() { "/" } else { request.mount })
}

/// The address of an application that is mounted beside this one.
fn beside(request: &Request<'_>, name: &str) -> String {
    let parent = request.mount.rsplit_once('/').map_or("", |(parent, _)| parent);
    encoded(&format!("{parent}/{name}"))
}

/// A path as it is written in an address.
fn encoded(path: &str) -> String {
    let mut address = Vec::new();
    target::encode_path(path.as_bytes(), &mut address);
    // That is ASCII.
    String::from_utf8_lossy(&address).into_owned()
}

/// `address`, if it is one on this server: a path, which no browser takes for the
/// name of another (`//elsewhere`, `/\elsewhere`).
fn local(address: &str) -> Option<&str> {
    let is_path = target::parse(address.as_bytes()).is_ok_and(|target| target.form == Form::Origin);
    (is_path && !address.starts_with("//") && !address.contains('\\')).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_this_server_are_gone_to() {
        for fine in ["/", "/home", "/a/b?c=d&e=//f", "/%2F%2Felsewhere", "/.//elsewhere"] {
            assert_eq!(local(fine), Some(fine));
        }
        for wrong in [
            "",
            "home",
            "*",
            "//elsewhere",
            "///elsewhere",
            "/\\elsewhere",
            "\\\\elsewhere",
            "http://elsewhere/",
            "https:elsewhere",
            "javascript:alert(1)",
            " /home",
            "/a b",
            "/\t/elsewhere",
            "/\r\nSet-Cookie: a=b",
            "/a#b",
            "/\u{e4}",
        ] {
            assert_eq!(local(wrong), None, "{wrong:?}");
        }
    }
}
