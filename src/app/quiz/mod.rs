//! A quiz: one question a page, answered by choosing, scored here and not there.
//!
//! ```text
//! GET  /            the question that is next, or after the last how it went
//! POST /            question=N&choice=K, as a form or as JSON: 303 to the next
//! GET  /?question=N&choice=K    the same for who has but a link
//! POST /restart     from the beginning
//! ```
//!
//! An answer names its question, and only one to the current question counts. Sent
//! twice, or from a page that the visitor went back to, it leads to where the
//! visitor is. `questions` reads what is asked, `game` keeps what was answered.

mod game;
mod questions;

use askama::Template;
use serde::Serialize;

pub use game::{Game, Taken};
pub use questions::{Question, Quiz};

use super::body::Body;
use super::page::{self, Foot, Script};
use super::{Answer, App, Call, Methods, Request, Response};
use crate::http::head::Method;
use crate::http::{Reject, Status, origin};

/// What the answers are kept under.
const KEY: &str = "quiz";

/// The application.
pub(super) struct Quizzing(pub(super) Quiz);

/// The page, or the JSON, of a question.
#[derive(Template, Serialize)]
#[template(path = "question.html", config = "src/app/templates/askama.toml")]
struct Asking<'a> {
    title: &'a str,
    question: usize,
    of: usize,
    score: usize,
    text: &'a str,
    choices: &'a [String],
    #[serde(skip)]
    here: &'a str,
    #[serde(skip)]
    foot: Foot,
}

/// The page, or the JSON, behind the last question.
#[derive(Template, Serialize)]
#[template(path = "results.html", config = "src/app/templates/askama.toml")]
struct Results<'a> {
    title: &'a str,
    score: usize,
    of: usize,
    answers: Vec<Explained<'a>>,
    #[serde(skip)]
    mount: &'a str,
    #[serde(skip)]
    foot: Foot,
}

/// An answered question, explained.
#[derive(Serialize)]
struct Explained<'a> {
    question: &'a str,
    given: &'a str,
    answer: &'a str,
    right: bool,
    explanation: &'a str,
    source: &'a str,
}

impl App for Quizzing {
    fn methods(&self, path: &[u8]) -> Methods {
        Methods::Only(match path {
            b"" | b"/" => &[Method::Get, Method::Head, Method::Post],
            b"/restart" => &[Method::Post],
            _ => &[Method::Get, Method::Head],
        })
    }

    fn reads_session(&self) -> bool {
        true
    }

    fn handle(&mut self, request: &Request<'_>, call: &mut Call<'_>) -> Answer {
        match (request.path, request.head.method) {
            (b"" | b"/", Method::Post) => match Body::read(request) {
                Ok(body) => {
                    let field = |name| match body.text(name) {
                        Some(text) => number(&text),
                        None => number(&request.query(name)?),
                    };
                    self.take(field("question"), field("choice"), request, call)
                }
                Err(reject) => Answer::Refused(reject),
            },
            (b"" | b"/", Method::Get) if request.query("question").is_some() => {
                // A link can be anywhere; from another site it counts as little as a form.
                if origin::is_cross_origin(request.head, call.secure) {
                    return Answer::Refused(Reject::new(Status::FORBIDDEN, "another site caused this request"));
                }
                let field = |name| number(&request.query(name)?);
                self.take(field("question"), field("choice"), request, call)
            }
            (b"" | b"/", _) => self.show(request, call),
            (b"/restart", _) => {
                call.session().remove(KEY);
                to_the_quiz(request)
            }
            _ => Answer::Refused(Reject::new(Status::NOT_FOUND, "the quiz has no such page")),
        }
    }
}

impl Quizzing {
    /// How far the visitor is.
    fn game(&self, call: &mut Call<'_>) -> Game {
        let kept = call.session().get(KEY).cloned();
        kept.and_then(|value| Game::restore(value, &self.0)).unwrap_or_else(|| Game::new(&self.0))
    }

    fn take(
        &self,
        question: Option<usize>,
        choice: Option<usize>,
        request: &Request<'_>,
        call: &mut Call<'_>,
    ) -> Answer {
        const INCOMPLETE: Reject =
            Reject::bad_request("an answer names its question and the choice, each by its number from 1");
        let (Some(question), Some(choice)) = (question, choice) else {
            return Answer::Refused(INCOMPLETE);
        };
        let mut game = self.game(call);
        match game.answer(&self.0, question, choice) {
            Taken::Counted => {
                // It is numbers and a list of them, which JSON can hold.
                let kept = serde_json::to_value(&game).expect("numbers");
                call.session().set(KEY, kept);
                to_the_quiz(request)
            }
            Taken::Stale => to_the_quiz(request),
            Taken::NoSuchChoice => Answer::Refused(Reject::bad_request("the question has no choice of that number")),
        }
    }

    fn show(&self, request: &Request<'_>, call: &mut Call<'_>) -> Answer {
        let game = self.game(call);
        let Quiz { title, questions } = &self.0;
        let (of, score) = (questions.len(), game.score(&self.0));
        let (here, foot) = (request.here(), Foot::of(call));
        Answer::now(match game.current(&self.0) {
            Some(question) => {
                let Question { text, choices, .. } = &questions[question - 1];
                page::page_or_json(
                    request,
                    &Asking { title, question, of, score, text, choices, here, foot },
                    Script::No,
                )
            }
            None => {
                let answers = game.given(&self.0).map(explain).collect();
                page::page_or_json(
                    request,
                    &Results { title, score, of, answers, mount: request.mount, foot },
                    Script::No,
                )
            }
        })
    }
}

fn explain((question, given): (&Question, usize)) -> Explained<'_> {
    let choice = |number: usize| question.choices.get(number - 1).map_or("", |choice| choice);
    Explained {
        question: &question.text,
        given: choice(given),
        answer: choice(question.answer),
        right: given == question.answer,
        explanation: &question.explanation,
        source: &question.source,
    }
}

/// A number as pages write it: digits alone.
fn number(text: &str) -> Option<usize> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Where the visitor is is there.
fn to_the_quiz(request: &Request<'_>) -> Answer {
    Answer::now(Response::new(Status::SEE_OTHER).field("Location", request.here().to_owned()))
}
