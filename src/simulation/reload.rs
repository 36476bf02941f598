//! Configurations that take each other's place while requests are in flight.
//!
//! A configuration follows from its number: whether it has the host, and what its routes are. All
//! that the host sends has the number. So a client knows of each response by which configuration
//! it was made, and whether that one was in use between the request and the response.

use std::rc::Rc;

use super::Dice;
use super::response::Response;
use crate::app::{Answer, App, Call, Methods, Outcome, Request, Response as Answered};
use crate::http::Status;
use crate::http::host_names::HostName;
use crate::reactor::JobClass;
use crate::service::http::{FixedResponse, Host, Hosts, RouteHandler, Rules};

/// The name of the host.
pub(super) const NAME: &str = "changing.example";
/// The paths of its routes.
pub(super) const PATHS: [&str; 3] = ["/a", "/b", "/b/c"];

/// What answers at a path.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Route {
    Nothing,
    Fixed,
    App,
}

/// The configuration with a number: its routes, or none if it doesn't have the host.
fn configuration(number: u64) -> Option<[Route; PATHS.len()]> {
    let mut dice = Dice::new(number);
    (!dice.one_in(4)).then(|| PATHS.map(|_| dice.pick(&[Route::Nothing, Route::Fixed, Route::App])))
}

/// The hosts of the configuration with a number. `default` is in each.
pub(super) fn hosts(number: u64, default: &Rc<Host>) -> Hosts {
    let mut hosts = Hosts::new(Some(Rc::clone(default)), true);
    let Some(routes) = configuration(number) else { return hosts };
    let rules = Rules { lines: format!("Configuration: {number}\r\n").into_bytes(), ..Rules::default() };
    let mut host = Host::new(rules);
    for (path, route) in PATHS.iter().zip(routes) {
        let content = format!("{number} {path}");
        let set = match route {
            Route::Nothing => continue,
            Route::Fixed => {
                let (media_type, content) = ("text/plain".to_owned(), content.into_bytes().into());
                let fixed = FixedResponse { status: Status::OK, media_type, content };
                host.routes.set(path, RouteHandler::Fixed(Rc::new(fixed)))
            }
            Route::App => host.routes.mount(path, Box::new(Numbered(content))),
        };
        set.expect("a path");
    }
    hosts.insert(&HostName::parse(NAME).expect("a name"), &Rc::new(host));
    hosts
}

/// An application that answers after a job.
struct Numbered(String);

impl App for Numbered {
    fn methods(&self, _path: &[u8]) -> Methods {
        Methods::Any
    }

    fn handle(&mut self, _: &Request<'_>, _: &mut Call<'_>) -> Answer {
        let content = self.0.clone();
        Answer::later(JobClass::Files, move || content)
    }

    fn resume(&mut self, _: &Request<'_>, _: &mut Call<'_>, done: Outcome) -> Answer {
        assert_eq!(done.downcast_ref::<String>(), Some(&self.0), "the result of another application");
        Answer::now(Answered::new(Status::OK).text(self.0.clone()))
    }
}

/// Checks a response: it was made by one configuration of those that were in use meanwhile, from
/// number `from` to `to`.
pub(super) fn check(path: &str, response: &Response, from: u64, to: u64) {
    let number = response.field("Configuration").map(|number| number.parse::<u64>().expect("a number"));
    let Some(number) = number else {
        assert_eq!(response.status, 404, "the default host has nothing at {path}");
        assert!((from..=to).any(|number| configuration(number).is_none()), "the host was always there: {from} to {to}");
        return;
    };
    assert!((from..=to).contains(&number), "{path} by configuration {number}, in use were {from} to {to}");
    let routes = configuration(number).expect("it has the host");
    // The longest prefix decides.
    let found = PATHS.iter().zip(routes).rev().find(|(prefix, route)| {
        *route != Route::Nothing
            && path.strip_prefix(**prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    });
    match found {
        None => assert_eq!(response.status, 404, "{path} by configuration {number}"),
        Some((prefix, _)) => {
            assert_eq!((response.status, response.text()), (200, format!("{number} {prefix}")), "{path}");
        }
    }
}
