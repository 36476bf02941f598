//! The messages of a mailbox, as pages and as JSON.
//!
//! ```text
//! GET    /                      the page that lists messages, newest first; ?before=N older ones
//! GET    /m/N                   the page of one message
//! POST   /m/N/delete, /delete   deletes one, or all: 303 to the list
//! GET    /messages              all messages as JSON, oldest first
//! DELETE /messages              deletes all: 204
//! GET    /messages/N            one message as JSON, with everything that is in it
//! DELETE /messages/N            deletes it: 204
//! GET    /messages/N/raw        the message as it was received; /source as plain text
//! GET    /messages/N/text       its text; /html its HTML, made safe
//! GET    /messages/N/parts/P    the content of a part, as a download
//! GET    /events                new and deleted messages; Last-Event-ID or ?after=N
//! ```
//!
//! Everything in a message is from somebody who may want harm. On pages it is escaped. HTML is shown as
//! a document of its own, in a sandbox: no scripts, no forms, nothing from the network (`html.rs`). Parts
//! are downloads, never pages. Taking a message apart is a job for a helper thread.
//!
//! Pages of other sites have no access (`guard`): they may only link here.

mod html;
mod view;

use std::io;
use std::rc::Rc;

use view::{Ready, Row, Site, View};

use super::page::Foot;
use super::{Answer, App, Call, Methods, Outcome, Request, Response};
use crate::http::head::{Method, RequestHead};
use crate::http::{Reject, Status, event_stream, origin};
use crate::mailbox::{Event, MessageId, Removing, SharedMailbox};
use crate::reactor::JobClass;
use crate::text::json;

/// Messages on one page.
const PAGE: usize = 100;
const NO_MESSAGE: Reject = Reject::new(Status::NOT_FOUND, "there is no such message");

/// The application.
pub struct Mailbox(Rc<SharedMailbox>);

/// The application that shows this mailbox. What else adds messages tells its watchers.
pub fn new(mailbox: Rc<SharedMailbox>) -> Mailbox {
    Mailbox(mailbox)
}

/// What a path names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    List,
    Script,
    Events,
    /// All messages, as data.
    Messages,
    /// One message, in some form.
    Message(MessageId, View),
    /// Deletes one message, or all, for a form.
    Delete(Option<MessageId>),
    Nowhere,
}

/// The result of a job.
enum Done {
    Made(Result<Ready, Reject>),
    Deleted(io::Result<()>),
}

impl App for Mailbox {
    fn methods(&self, path: &[u8]) -> Methods {
        Methods::Only(match Place::of(path) {
            Place::Messages | Place::Message(_, View::Data) => &[Method::Get, Method::Head, Method::Delete],
            Place::Delete(_) => &[Method::Post],
            _ => &[Method::Get, Method::Head],
        })
    }

    fn handle(&mut self, request: &Request<'_>, call: &mut Call<'_>) -> Answer {
        if let Err(reject) = guard(request.head, call) {
            return Answer::Refused(reject);
        }
        match (Place::of(request.path), request.head.method) {
            (Place::List, _) => self.list(request, call),
            (Place::Script, _) => {
                let script = concat!(include_str!("../live.js"), include_str!("mailbox.js"));
                Answer::now(Response::new(Status::OK).content("text/javascript", script.as_bytes()))
            }
            (Place::Events, _) => {
                let after = || event_stream::number(request.query("after")?.as_bytes());
                let seen = event_stream::last_seen(&request.head.fields).or_else(after);
                Answer::Watch(seen.unwrap_or_else(|| self.0.borrow().last_event()))
            }
            (Place::Messages, Method::Delete) | (Place::Delete(None), _) => {
                let removing = self.0.borrow().clear();
                Self::delete(removing, request, call)
            }
            (Place::Message(id, _), Method::Delete) | (Place::Delete(Some(id)), _) => {
                let removing = self.0.borrow().remove(id);
                removing.map_or(Answer::Refused(NO_MESSAGE), |removing| Self::delete(removing, request, call))
            }
            (Place::Messages, _) => {
                let rows: Vec<_> = self.0.borrow().list().map(Row::of).collect();
                make(move || Ok(Ready::of(Response::new(Status::OK).json(&rows).no_store())))
            }
            (Place::Message(id, view), _) => {
                let Some((message, content)) = self
                    .0
                    .borrow()
                    .get(id)
                    .map(|message| ((message.id, message.about.clone()), message.content.clone()))
                else {
                    return Answer::Refused(NO_MESSAGE);
                };
                let site = Site { mount: request.mount.to_owned(), foot: Foot::of(call) };
                make(move || view.make(message.0, &message.1, content, site))
            }
            (Place::Nowhere, _) => Answer::Refused(Reject::new(Status::NOT_FOUND, "the mailbox has no such page")),
        }
    }

    fn resume(&mut self, request: &Request<'_>, call: &mut Call<'_>, done: Outcome) -> Answer {
        match *done.downcast::<Done>().expect("the job's type") {
            Done::Made(Ok(ready)) => Answer::now(ready.response()),
            Done::Made(Err(reject)) => Answer::Refused(reject),
            Done::Deleted(result) => deleted(result, request, call),
        }
    }

    fn events(&mut self, seen: u64, out: &mut Vec<u8>, room: usize) -> u64 {
        let mut mailbox = self.0.borrow();
        let full = out.len() + room;
        let Some(events) = mailbox.events(seen) else {
            let last = mailbox.last_event();
            event_stream::event(last, "reload", "", out);
            return last;
        };
        let mut told = seen;
        // Most of the time there are one or two.
        for (number, event) in events.collect::<Vec<_>>() {
            if out.len() >= full {
                break;
            }
            match event {
                Event::New(id) => {
                    // One that is gone again has an event for that.
                    if let Some(message) = mailbox.get(id) {
                        event_stream::event(number, "new", &json::to_string(&Row::of(message)), out);
                    }
                }
                Event::Removed(id) => event_stream::event(number, "removed", &id.to_string(), out),
                Event::Cleared => event_stream::event(number, "cleared", "", out),
            }
            told = number;
        }
        told
    }

    fn figures(&self) -> Vec<(&'static str, u64)> {
        let mut mailbox = self.0.borrow();
        let messages = mailbox.list().len() as u64;
        vec![("messages", messages), ("bytes", mailbox.bytes())]
    }
}

impl Mailbox {
    /// The page that lists messages.
    fn list(&self, request: &Request<'_>, call: &Call<'_>) -> Answer {
        let before = match request.query("before").map(|text| MessageId::parse(text.as_bytes())) {
            Some(None) => return Answer::Refused(Reject::bad_request("before must be the number of a message")),
            Some(number) => number,
            None => None,
        };
        let mut mailbox = self.0.borrow();
        let last = before.is_none().then(|| mailbox.last_event());
        let mut older = mailbox.list().rev().filter(|message| before.is_none_or(|before| message.id < before));
        let rows: Vec<_> = older.by_ref().take(PAGE).map(Row::of).collect();
        let has_more = older.next().is_some();
        let site = Site { mount: request.mount.to_owned(), foot: Foot::of(call) };
        make(move || Ok(view::list(rows, has_more, last, site)))
    }

    fn delete(removing: Removing, request: &Request<'_>, call: &mut Call<'_>) -> Answer {
        match removing {
            Removing::Done => deleted(Ok(()), request, call),
            Removing::Job(job) => Answer::later(JobClass::Commit, move || Done::Deleted(job.run())),
        }
    }
}

/// A job that makes a response.
fn make(job: impl FnOnce() -> Result<Ready, Reject> + Send + 'static) -> Answer {
    Answer::later(JobClass::Files, move || Done::Made(job()))
}

/// The response when messages were deleted, or some couldn't be.
fn deleted(result: io::Result<()>, request: &Request<'_>, call: &mut Call<'_>) -> Answer {
    call.news = true;
    match result {
        Ok(()) if request.head.method == Method::Delete => Answer::now(Response::new(Status::NO_CONTENT)),
        Ok(()) => Answer::now(Response::new(Status::SEE_OTHER).field("Location", request.here().to_owned())),
        Err(error) => {
            log::error!("a message can't be removed: {error}");
            Answer::Refused(Reject::new(Status::INTERNAL_SERVER_ERROR, "not all messages could be deleted"))
        }
    }
}

/// Whether a request may pass. Pages of other sites have no access, but for links that a user follows: they
/// change nothing, and the other site doesn't see where they lead. On loopback the host must have a local
/// name, since with DNS rebinding a name of another site leads here.
fn guard(head: &RequestHead<'_>, call: &Call<'_>) -> Result<(), Reject> {
    let is = |name: &str, value: &[u8]| head.fields.get(name) == Some(value);
    let is_link = matches!(head.method, Method::Get | Method::Head)
        && is("sec-fetch-mode", b"navigate")
        && is("sec-fetch-dest", b"document");
    if !is_link && origin::is_cross_origin(head, call.secure) {
        return Err(Reject::new(Status::FORBIDDEN, "requests of other sites are not served"));
    }
    let is_loopback = call.ends.local().is_some_and(|local| local.ip().is_loopback());
    if is_loopback && !head.host().is_none_or(|host| origin::is_local_name(host, |_| true)) {
        return Err(Reject::new(
            Status::MISDIRECTED_REQUEST,
            "on loopback the mailbox answers only to localhost and addresses",
        ));
    }
    Ok(())
}

impl Place {
    fn of(path: &[u8]) -> Self {
        match path {
            b"" | b"/" => return Self::List,
            b"/mailbox.js" => return Self::Script,
            b"/events" => return Self::Events,
            b"/messages" => return Self::Messages,
            b"/delete" => return Self::Delete(None),
            _ => {}
        }
        let mut segments = path.split(|&byte| byte == b'/').skip(1);
        let (first, id) = (segments.next(), segments.next().and_then(MessageId::parse));
        let rest: Vec<_> = segments.take(3).collect();
        match (first, id, &rest[..]) {
            (Some(b"m"), Some(id), []) => Self::Message(id, View::Page),
            (Some(b"m"), Some(id), [b"delete"]) => Self::Delete(Some(id)),
            (Some(b"messages"), Some(id), form) => View::of(form).map_or(Self::Nowhere, |view| Self::Message(id, view)),
            _ => Self::Nowhere,
        }
    }
}

#[cfg(test)]
mod tests;
