//! A bulletin board: posts, newest first. New posts are sent to open pages as events.
//!
//! ```text
//! GET    /            the newest posts; ?before=N older ones
//! POST   /            text=..., as a form (303) or as JSON (201)
//! GET    /N           one post
//! DELETE /N           deletes an own post: 204
//! POST   /N/delete    the same for a form: 303, or 204 for clients that prefer JSON
//! GET    /events      new and deleted posts as events; Last-Event-ID or ?after=N
//! ```
//!
//! A client owns the posts of its user name, if it is logged in, and those with the hash of
//! the secret in its session. With a store on disk, a post is durable before any client gets
//! it, also its author.

mod posts;

use std::ops::Not;

use askama::Template;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use serde::Serialize;
use serde_json::json;

pub(crate) use posts::CAPACITY;
use posts::{Post, Posts, TEXT};

use super::form_fields::FormFields;
use super::page::{self, Foot, Moment, Script};
use super::{Answer, App, Call, Methods, Outcome, Request, Response};
use crate::durable::{Store, WriteError, Written};
use crate::http::head::Method;
use crate::http::{Reject, Status, event_stream, negotiate};
use crate::reactor::JobClass;
use crate::session::Id;
use crate::text::json;

/// Posts on one page.
const PAGE: usize = 20;
/// The key of the user's name in the session; the login sets it.
const USER: &str = "user";
/// The key of the board's secret in the session.
const SECRET: &str = "board";

/// The application.
pub(crate) struct Board(Posts);

/// Posts, as a page or as JSON.
#[derive(Template, Serialize)]
#[template(path = "board.html", config = "src/askama.toml")]
struct Listed<'a> {
    posts: Vec<Shown>,
    /// The address of older posts.
    #[serde(skip_serializing_if = "Option::is_none")]
    older: Option<String>,
    /// The number of the last event, if these are the newest posts.
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<u64>,
    #[serde(skip)]
    user: Option<String>,
    #[serde(skip)]
    most: usize,
    /// What is wrong with the text that was posted; may be empty.
    #[serde(skip)]
    problem: &'a str,
    /// The text that was posted then.
    #[serde(skip)]
    draft: &'a str,
    #[serde(skip)]
    here: &'a str,
    #[serde(skip)]
    mount: &'a str,
    #[serde(skip)]
    foot: Foot,
}

/// A post, as it is shown.
#[derive(Serialize)]
struct Shown {
    id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    text: String,
    /// In Unix seconds.
    at: i64,
    /// The same as text, in UTC.
    when: String,
    /// The same for programs (RFC 3339).
    #[serde(skip)]
    datetime: String,
    /// The client may delete it.
    #[serde(skip_serializing_if = "Not::not")]
    own: bool,
}

/// A change that is being written.
struct Change {
    what: What,
    /// A new secret, for a client that has none.
    secret: Option<String>,
    result: Result<bool, WriteError>,
}

#[derive(Clone, Copy)]
enum What {
    Posted(u64),
    Deleted,
}

impl Board {
    /// A board with the posts in a store.
    pub(crate) fn new(store: Store) -> Self {
        Self(Posts::of(store))
    }
}

impl App for Board {
    fn methods(&self, path: &[u8]) -> Methods {
        Methods::Only(match Place::of(path) {
            Place::Board => &[Method::Get, Method::Head, Method::Post],
            Place::Post(_) => &[Method::Get, Method::Head, Method::Delete],
            Place::Delete(_) => &[Method::Post],
            Place::Events | Place::Script | Place::Nowhere => &[Method::Get, Method::Head],
        })
    }

    fn reads_session(&self) -> bool {
        true
    }

    fn handle(&mut self, request: &Request<'_>, call: &mut Call<'_>) -> Answer {
        self.0.begin(call.time);
        match (Place::of(request.path), request.head.method) {
            (Place::Board, Method::Post) => self.post(request, call),
            (Place::Board, _) => self.list(request, call),
            (Place::Post(post), Method::Delete) | (Place::Delete(post), _) => self.delete(post, request, call),
            (Place::Post(post), _) => self.one(post, request, call),
            (Place::Events, _) => {
                let fields = &request.head.fields;
                let after = || event_stream::number(request.query("after")?.as_bytes());
                Answer::Watch(event_stream::last_seen(fields).or_else(after).unwrap_or_else(|| self.0.last()))
            }
            (Place::Script, _) => {
                let script = concat!(include_str!("../live.js"), include_str!("board.js"));
                Answer::now(Response::new(Status::OK).content("text/javascript", script.as_bytes()))
            }
            (Place::Nowhere, _) => Answer::Refused(Reject::new(Status::NOT_FOUND, "the board has no such page")),
        }
    }

    fn resume(&mut self, request: &Request<'_>, call: &mut Call<'_>, done: Outcome) -> Answer {
        let change = *done.downcast::<Change>().expect("the job's type");
        self.changed(change, request, call)
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        self.0.figures()
    }

    fn events(&mut self, seen: u64, out: &mut Vec<u8>, room: usize) -> u64 {
        self.0.events(seen, out, room, |id, post| json::to_string(&Shown::of(id, post, false)))
    }
}

impl Board {
    fn list(&mut self, request: &Request<'_>, call: &mut Call<'_>) -> Answer {
        let before = match request.query("before").map(|text| event_stream::number(text.as_bytes())) {
            Some(None) => return Answer::Refused(Reject::bad_request("before must be the number of a post")),
            Some(number) => number,
            None => None,
        };
        Answer::now(self.page(before, ("", ""), request, call))
    }

    /// The posts before a number. If they are the newest, they have a form above them, which
    /// shows a `draft` and its `problem`.
    fn page(
        &mut self,
        before: Option<u64>,
        (problem, draft): (&str, &str),
        request: &Request<'_>,
        call: &mut Call<'_>,
    ) -> Response {
        let author = Author::of(call);
        let (posts, more) = self.0.before(before, PAGE);
        let posts: Vec<_> = posts.into_iter().map(|(id, post)| author.shown(id, post)).collect();
        let older = posts.last().filter(|_| more).map(|post| format!("{}?before={}", request.here(), post.id));
        let last = before.is_none().then(|| self.0.last());
        respond(request, Listed { posts, older, last, problem, draft, ..Listed::of(author, request, call) })
    }

    fn one(&mut self, id: u64, request: &Request<'_>, call: &mut Call<'_>) -> Answer {
        let Some(post) = self.0.get(id) else { return Answer::Refused(NO_SUCH_POST) };
        let author = Author::of(call);
        let posts = vec![author.shown(id, post)];
        Answer::now(respond(request, Listed { posts, ..Listed::of(author, request, call) }))
    }

    fn post(&mut self, request: &Request<'_>, call: &mut Call<'_>) -> Answer {
        let body = match FormFields::read(request) {
            Ok(body) => body,
            Err(reject) => return Answer::Refused(reject),
        };
        let text = clean(&body.text("text").unwrap_or_default());
        let (status, problem) = match text.chars().count() {
            0 => (Status::BAD_REQUEST, "a post needs a text"),
            1..=TEXT => (Status::OK, ""),
            _ => (Status::CONTENT_TOO_LARGE, "a text has 1,000 characters at most"),
        };
        if status != Status::OK {
            if negotiate::prefers_json(&request.head.fields) {
                return Answer::Refused(Reject::new(status, problem));
            }
            let page = self.page(None, (problem, &text), request, call);
            return Answer::now(Response { status, ..page });
        }
        let author = Author::of(call);
        let new = author.secret.is_none().then(|| Id::new().to_string());
        let owner = hash(author.secret.as_deref().or(new.as_deref()).unwrap_or_default());
        let post = Post { at: call.time.unix_seconds, name: author.user, owner, text };
        match self.0.add(post) {
            Ok((number, written)) => self.write(What::Posted(number), new, written, request, call),
            Err(error) => Answer::Refused(not_stored(error)),
        }
    }

    fn delete(&mut self, id: u64, request: &Request<'_>, call: &mut Call<'_>) -> Answer {
        let Some(post) = self.0.get(id) else { return Answer::Refused(NO_SUCH_POST) };
        if !Author::of(call).owns(&post) {
            return Answer::Refused(Reject::new(Status::FORBIDDEN, "the post belongs to another user"));
        }
        match self.0.remove(id) {
            Ok(written) => self.write(What::Deleted, None, written, request, call),
            Err(error) => Answer::Refused(not_stored(error)),
        }
    }

    fn write(
        &mut self,
        what: What,
        secret: Option<String>,
        written: Written,
        request: &Request<'_>,
        call: &mut Call<'_>,
    ) -> Answer {
        match written {
            Written::Now(was) => self.changed(Change { what, secret, result: Ok(was) }, request, call),
            Written::Later(commit) => {
                Answer::later(JobClass::Commit, move || Change { what, secret, result: commit.wait() })
            }
        }
    }

    /// A change is written, or failed.
    fn changed(&mut self, change: Change, request: &Request<'_>, call: &mut Call<'_>) -> Answer {
        if let Err(error) = change.result {
            return Answer::Refused(not_stored(error));
        }
        call.news = true;
        if let Some(secret) = change.secret {
            call.session().set(SECRET, secret);
        }
        let json = negotiate::prefers_json(&request.head.fields);
        let here = request.here().to_owned();
        Answer::now(match change.what {
            What::Posted(id) if json => {
                let response = Response::new(Status::CREATED).field("Location", format!("{}/{id}", request.mount));
                response.json(&json!({ "id": id }))
            }
            What::Deleted if json || request.head.method == Method::Delete => Response::new(Status::NO_CONTENT),
            What::Posted(_) | What::Deleted => Response::new(Status::SEE_OTHER).field("Location", here),
        })
    }
}

const NO_SUCH_POST: Reject = Reject::new(Status::NOT_FOUND, "there is no such post");

fn not_stored(error: WriteError) -> Reject {
    match error {
        WriteError::Full | WriteError::NoSpace => {
            Reject::new(Status::INSUFFICIENT_STORAGE, "there is no room for another post")
        }
        WriteError::Failed => Reject::new(Status::SERVICE_UNAVAILABLE, "posts can't be stored at the moment"),
    }
}

impl<'a> Listed<'a> {
    /// No posts, for this client.
    fn of(author: Author, request: &'a Request<'_>, call: &Call<'_>) -> Self {
        let (here, mount, foot) = (request.here(), request.mount, Foot::of(call));
        let (problem, draft) = ("", "");
        Self {
            posts: Vec::new(),
            older: None,
            last: None,
            user: author.user,
            most: TEXT,
            problem,
            draft,
            here,
            mount,
            foot,
        }
    }
}

fn respond(request: &Request<'_>, listed: Listed<'_>) -> Response {
    page::page_or_json(request, &listed, Script::Own)
}

/// Text as it is stored: lines end in a line feed, and there are no other control characters.
fn clean(text: &str) -> String {
    let lines = text.replace("\r\n", "\n").replace('\r', "\n");
    lines.trim().replace(|c: char| c.is_control() && !matches!(c, '\n' | '\t'), "\u{fffd}")
}

/// The hash of a secret, which is stored with a post.
fn hash(secret: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, secret.as_bytes()))
}

impl Shown {
    fn of(id: u64, post: Post, own: bool) -> Self {
        let Moment { datetime, when } = Moment::of(post.at);
        Self { id, name: post.name, text: post.text, at: post.at, when, datetime, own }
    }
}

/// The author that a client is.
struct Author {
    user: Option<String>,
    secret: Option<String>,
}

impl Author {
    fn of(call: &mut Call<'_>) -> Self {
        let text = |name| call.session.as_ref()?.get(name)?.as_str().map(str::to_owned);
        Self { user: text(USER), secret: text(SECRET) }
    }

    fn shown(&self, id: u64, post: Post) -> Shown {
        let own = self.owns(&post);
        Shown::of(id, post, own)
    }

    fn owns(&self, post: &Post) -> bool {
        let by_name = self.user.is_some() && self.user == post.name;
        by_name || self.secret.as_deref().is_some_and(|secret| hash(secret) == post.owner)
    }
}

/// What a path of the board names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Board,
    Events,
    Script,
    Post(u64),
    Delete(u64),
    Nowhere,
}

impl Place {
    fn of(path: &[u8]) -> Self {
        let post = |text: &[u8]| event_stream::number(text);
        match path.strip_prefix(b"/").unwrap_or_default() {
            b"" => Self::Board,
            b"events" => Self::Events,
            b"board.js" => Self::Script,
            below => match (post(below), below.strip_suffix(b"/delete").and_then(post)) {
                (Some(number), _) => Self::Post(number),
                (_, Some(number)) => Self::Delete(number),
                _ => Self::Nowhere,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::testing::{content, visit};
    use crate::session::Session;

    fn ask(board: &mut Board, session: &mut Session, head: &str, body: &str) -> Response {
        let head = format!("{head} HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded");
        match visit(board, "/board", &head, body.as_bytes(), Some(session)) {
            Answer::Now(response) => response,
            Answer::Refused(reject) => Response::new(reject.status),
            _ => panic!("in memory it is done at once"),
        }
    }

    fn user(name: &str) -> Session {
        let mut session = Session::none(0);
        session.set(USER, name);
        session
    }

    #[test]
    fn a_user_posts_by_name_and_deletes_posts_of_that_name() {
        let mut board = Board::new(Store::in_memory(CAPACITY));
        assert_eq!(ask(&mut board, &mut user("alice"), "POST /board", "text=a").status, Status::SEE_OTHER);
        let page = ask(&mut board, &mut user("alice"), "GET /board", "");
        let page = String::from_utf8_lossy(content(&page)).into_owned();
        assert!(page.contains("<strong class=\"who\">alice</strong>") && page.contains("say, alice?"), "{page}");
        assert!(page.contains("/1/delete"), "{page}");
        for (mut session, status) in [
            (user("bob"), Status::FORBIDDEN),
            (Session::none(0), Status::FORBIDDEN),
            (user("alice"), Status::NO_CONTENT),
            (user("alice"), Status::NOT_FOUND),
        ] {
            assert_eq!(ask(&mut board, &mut session, "DELETE /board/1", "").status, status);
        }
    }

    #[test]
    fn a_secret_is_made_once_and_survives_a_new_session_identifier() {
        let mut board = Board::new(Store::in_memory(CAPACITY));
        let mut session = Session::none(0);
        ask(&mut board, &mut session, "POST /board", "text=a");
        let secret = session.get(SECRET).cloned();
        ask(&mut board, &mut session, "POST /board", "text=b");
        assert!(secret.is_some() && session.get(SECRET) == secret.as_ref());
        session.renew();
        assert_eq!(ask(&mut board, &mut session, "DELETE /board/1", "").status, Status::NO_CONTENT);
        // Without a name and a secret, a client owns no post.
        assert!(!Author { user: None, secret: None }.owns(&Post {
            at: 0,
            name: None,
            owner: hash(""),
            text: "a".into()
        }));
    }

    #[test]
    fn paths_are_recognised() {
        for (path, place) in [
            ("", Place::Board),
            ("/", Place::Board),
            ("/events", Place::Events),
            ("/board.js", Place::Script),
            ("/7", Place::Post(7)),
            ("/7/delete", Place::Delete(7)),
            ("/07", Place::Post(7)),
            ("/-7", Place::Nowhere),
            ("/7/", Place::Nowhere),
            ("/delete", Place::Nowhere),
            ("//delete", Place::Nowhere),
            ("/events/", Place::Nowhere),
            ("/99999999999999999999", Place::Nowhere),
        ] {
            assert_eq!(Place::of(path.as_bytes()), place, "{path}");
        }
    }
}
