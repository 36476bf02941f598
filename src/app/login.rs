//! Login and logout: `login` is the form, `home` is a page for users, `logout` ends the
//! session.
//!
//! They are three applications that are mounted side by side. They share the user's name in
//! the client's session ([`user`]). A job on a helper thread checks the password. An unknown
//! name takes as long as a wrong password, and gets the same response. At a login the
//! session gets a new identifier, so an attacker who knew the old one has nothing (session
//! fixation).

use askama::Template;
use serde_json::json;

use super::form_fields::FormFields;
use super::page::{self, Foot};
use super::ports::encoded;
use super::{Answer, App, Call, Methods, Outcome, Request, Response};
use crate::auth::{Check, Checked, Users, Verdict};
use crate::http::basic::Credentials;
use crate::http::head::Method;
use crate::http::target::{self, Form};
use crate::http::{Reject, Status, form, negotiate};
use crate::reactor::JobClass;
use crate::session::Session;

/// The key of the user's name in the session.
const USER: &str = "user";

/// The user who is logged in with this session.
pub(super) fn user(session: &Session) -> Option<&str> {
    session.get(USER)?.as_str()
}

/// The login form.
pub(super) struct Login {
    users: Users,
    /// The form says what to try.
    demonstration: bool,
}

impl Login {
    /// The form for these users. `demonstration`: they are those of the demonstration, so the
    /// form says what to try.
    pub(super) fn new(users: Users, demonstration: bool) -> Self {
        Self { users, demonstration }
    }

    /// The form as a page; as JSON the user who is logged in.
    fn show(&self, request: &Request<'_>, call: &mut Call<'_>) -> Response {
        if negotiate::prefers_json(&request.head.fields) {
            return Response::new(Status::OK).json(&json!({ "user": user(call.session()) })).field("Vary", "Accept");
        }
        let next = request.query("next").filter(|next| local(next).is_some()).unwrap_or_default();
        let username = user(call.session()).unwrap_or_default().to_owned();
        let (foot, here, demonstration) = (Foot::of(call), &here(request), self.demonstration);
        let secure = secure_form(request, call);
        let page = LoginPage { here, username: &username, next: &next, problem: "", demonstration, secure, foot };
        page::page(Response::new(Status::OK), &page).field("Vary", "Accept")
    }

    /// Refuses an attempt.
    fn refuse(&self, attempt: &Attempt, problem: &Problem, request: &Request<'_>, call: &Call<'_>) -> Answer {
        let &Problem { status, text: problem, wait } = problem;
        let response = if negotiate::prefers_json(&request.head.fields) {
            Response::new(status).json(&json!({ "error": problem }))
        } else {
            let (next, username) = (attempt.next.as_deref().unwrap_or_default(), attempt.name.as_str());
            let (foot, here, demonstration) = (Foot::of(call), &here(request), self.demonstration);
            let secure = secure_form(request, call);
            page::page(Response::new(status), &LoginPage { here, username, next, problem, demonstration, secure, foot })
        };
        Answer::now(match status {
            Status::UNAUTHORIZED => ask_for_login(response, request),
            _ => response.field("Retry-After", wait.to_string()),
        })
    }
}

#[derive(Template)]
#[template(path = "login.html", config = "src/askama.toml")]
struct LoginPage<'a> {
    /// Where the application is mounted.
    here: &'a str,
    username: &'a str,
    /// The address to go to after the login.
    next: &'a str,
    /// The error message; may be empty.
    problem: &'a str,
    demonstration: bool,
    /// The form over https, if this is plain text.
    secure: Option<String>,
    foot: Foot,
}

/// The URL of the form over https, if the request came in plain text and there is one.
fn secure_form(request: &Request<'_>, call: &Call<'_>) -> Option<String> {
    if call.secure { None } else { call.ports.url(request, true) }
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
            return Answer::now(self.show(request, call));
        }
        let attempt = match Attempt::of(request) {
            Ok(attempt) => attempt,
            Err(reject) => return Answer::Refused(reject),
        };
        match judge(&mut self.users, &attempt, call) {
            Judgement::Right => Answer::now(attempt.admit(request, call)),
            Judgement::Ask(check) => Answer::later(JobClass::Hashing, move || check.run()),
            Judgement::Refused(problem) => self.refuse(&attempt, &problem, request, call),
        }
    }

    fn resume(&mut self, request: &Request<'_>, call: &mut Call<'_>, done: Outcome) -> Answer {
        let attempt = match Attempt::of(request) {
            Ok(attempt) => attempt,
            Err(reject) => return Answer::Refused(reject),
        };
        match settle(&mut self.users, done, call) {
            Ok(()) => Answer::now(attempt.admit(request, call)),
            Err(problem) => self.refuse(&attempt, &problem, request, call),
        }
    }
}

/// What is known about an attempt at once.
pub(super) enum Judgement {
    Right,
    /// A job must check the password; then [`settle`] knows.
    Ask(Check),
    Refused(Problem),
}

/// Why an attempt is refused.
pub(super) struct Problem {
    pub(super) status: Status,
    /// A sentence or two for the user.
    pub(super) text: &'static str,
    /// Seconds until the next attempt.
    pub(super) wait: u64,
}

/// Whether these users can log in so.
pub(super) fn judge(users: &mut Users, attempt: &Attempt, call: &Call<'_>) -> Judgement {
    let credentials = Credentials { name: attempt.name.clone(), password: attempt.password.clone() };
    match users.check(credentials, call.client, call.time.now.as_secs()) {
        Verdict::Right => Judgement::Right,
        Verdict::Ask(check) => Judgement::Ask(check),
        Verdict::Busy => Judgement::Refused(Problem {
            status: Status::SERVICE_UNAVAILABLE,
            text: "Too many passwords are being checked. Try again in a moment.",
            wait: 1,
        }),
        Verdict::TooMany(wait) => Judgement::Refused(Problem {
            status: Status::TOO_MANY_REQUESTS,
            text: "There were too many wrong passwords. Try again in a while.",
            wait,
        }),
    }
}

/// The result of a check.
///
/// # Errors
/// The name or the password is wrong.
pub(super) fn settle(users: &mut Users, done: Outcome, call: &Call<'_>) -> Result<(), Problem> {
    let checked = done.downcast::<Checked>().expect("the job's type");
    if users.settle(&checked, call.time.now.as_secs()) {
        return Ok(());
    }
    Err(Problem { status: Status::UNAUTHORIZED, text: "The name or the password is wrong.", wait: 0 })
}

/// The content of the form.
pub(super) struct Attempt {
    pub(super) name: String,
    password: String,
    next: Option<String>,
}

impl Attempt {
    /// Reads it.
    ///
    /// # Errors
    /// It isn't the content of such a form.
    pub(super) fn of(request: &Request<'_>) -> Result<Self, Reject> {
        let body = FormFields::read(request)?;
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
            // A user must not get the session of another user.
            session.end();
        }
        session.renew();
        session.set(USER, self.name.as_str());
        let next = self.next.unwrap_or_else(|| beside(request, "home"));
        let response = Response::new(Status::SEE_OTHER).field("Location", next);
        if !negotiate::prefers_json(&request.head.fields) {
            return response;
        }
        response.json(&json!({ "user": self.name }))
    }
}

/// The page for users who are logged in.
pub(super) struct Home;

#[derive(Template)]
#[template(path = "home.html", config = "src/askama.toml")]
struct HomePage<'a> {
    user: &'a str,
    /// The address of the logout.
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
            (Some(user), true) => Response::new(Status::OK).json(&json!({ "user": user })),
            (Some(user), false) => {
                let logout = beside(request, "logout");
                page::page(Response::new(Status::OK), &HomePage { user: &user, logout: &logout, foot: Foot::of(call) })
            }
            (None, true) => {
                let response = Response::new(Status::UNAUTHORIZED).json(&json!({ "error": "this page needs a login" }));
                ask_for_login(response, request)
            }
            (None, false) => {
                // After the login the browser returns to this address.
                let login = format!("{}?next={}", beside(request, "login"), form::encode(&here(request)));
                Response::new(Status::SEE_OTHER).field("Location", login)
            }
        };
        Answer::now(response.field("Vary", "Accept"))
    }
}

/// The logout: it ends the session with all its values.
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

/// RFC 9110 §15.5.2 requires a challenge with a 401. Browsers don't know this scheme, so they
/// show the page instead of a dialog.
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

/// `address`, if it is a path on this server. Browsers take `//host` and `/\host` for
/// another server.
fn local(address: &str) -> Option<&str> {
    let is_path = target::parse(address.as_bytes()).is_ok_and(|target| target.form == Form::Origin);
    (is_path && !address.starts_with("//") && !address.contains('\\')).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_this_server_are_redirected_to() {
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
