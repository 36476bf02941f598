//! Chooses the applications of a host, and makes them.

use std::rc::Rc;

use super::ServerError;
use super::error::Faults;
use super::site::languages;
use super::surroundings::Surroundings;
use crate::app::App;
use crate::app::board::{Board, CAPACITY};
use crate::app::boundary::Application;
use crate::app::catalogue::{self, Supplies};
use crate::app::quiz::Quiz;
use crate::auth::Users;
use crate::config::{Apps, Host};
use crate::service::http::{RouteHandler, Routes};

/// Mounts the applications of a host. Also returns their prefixes and names.
pub(super) fn mount(
    host: &Host,
    surroundings: &Surroundings<'_>,
    users: Option<&Users>,
    faults: &mut Faults,
) -> (Routes, Vec<(String, String)>) {
    let named = |names: &[String], name: &str| names.iter().any(|n| n == name);
    let usual = catalogue::ALL.iter().filter(|entry| match &host.apps {
        Apps::Usual if entry.is_usual_for_users() => users.is_some(),
        Apps::Usual => surroundings.demonstration && (users.is_some() || !entry.for_users),
        Apps::Only(names) => named(names, entry.name),
        Apps::AllBut(names) => !named(names, entry.name) && (users.is_some() || !entry.for_users),
    });
    let mut apps: Vec<_> = usual.map(|entry| (entry.path.to_owned(), entry.name.to_owned())).collect();
    // Where each is written: those of the host, and then those of routes.
    let mut places = vec![host.positions.of("apps"); apps.len()];
    for route in &host.routes {
        if let Some(name) = route.app() {
            apps.push((route.prefix.clone(), name.to_owned()));
            places.push(route.positions.of("app").or(host.positions.of("app")));
        }
    }

    let mut supplies = supplies(host, surroundings, users, &apps, faults);
    let mut routes = Routes::default();
    for ((prefix, name), place) in apps.iter().zip(places) {
        faults.place(place);
        let Some(entry) = catalogue::find(name) else {
            faults.wrong(unknown(name));
            continue;
        };
        if entry.for_users && users.is_none() {
            faults.wrong(format!("the application {name} needs --users FILE"));
        }
        let app = if name == "board" {
            board(host, prefix, surroundings, faults)
        } else {
            Some(Rc::new(Application::new((entry.make)(&mut supplies))))
        };
        let set = app.map(|app| routes.set(prefix, RouteHandler::App(app)));
        faults.keep(set.unwrap_or(Ok(())).map_err(ServerError::Config));
    }
    faults.place(host.positions.of("apps"));
    if let Apps::Only(names) | Apps::AllBut(names) = &host.apps {
        names.iter().filter(|name| catalogue::find(name).is_none()).for_each(|name| faults.wrong(unknown(name)));
    }
    faults.place(host.positions.of(""));
    (routes, apps)
}

/// The board at a prefix, which has a store: the present one, or else a new one.
fn board(
    host: &Host,
    prefix: &str,
    Surroundings { state, boards, .. }: &Surroundings<'_>,
    faults: &mut Faults,
) -> Option<Rc<Application>> {
    if *boards > 1 && state.is_durable() {
        faults.wrong("only one board can be on disk; mount it once");
    }
    if !faults.may_create() {
        return None;
    }
    let host = host.names.first().map(ToString::to_string).unwrap_or_default();
    let make = || Ok(Box::new(Board::new(state.store("board", CAPACITY)?)) as Box<dyn App>);
    faults.keep(state.keep(format!("board {host} {prefix}"), make))
}

/// What the applications need.
fn supplies(
    host: &Host,
    Surroundings { process, state, demonstration, .. }: &Surroundings<'_>,
    users: Option<&Users>,
    apps: &[(String, String)],
    faults: &mut Faults,
) -> Supplies {
    let quiz = host.quiz.as_ref().and_then(|path| {
        let json = std::fs::read(path).map_err(|error| error.to_string());
        let quiz = json.and_then(|json| Quiz::parse(&json));
        faults.keep(quiz.map_err(|why| ServerError::Config(format!("the quiz {}: {why}", path.display()))))
    });
    let users = users.cloned().unwrap_or_else(Users::empty);
    Supplies {
        users,
        demonstration: *demonstration && host.users.is_none(),
        mounted: apps.to_vec(),
        languages: languages(host),
        keys: state.keys.keys.clone(),
        session_cookie: process.sessions.cookie.clone(),
        quiz,
        posts: None,
    }
}

fn unknown(name: &str) -> String {
    let names: Vec<_> = catalogue::ALL.iter().map(|entry| entry.name).collect();
    format!("unknown application {name:?}; known are {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::state::State;
    use super::*;
    use crate::config::{Config, Handler, Listener, Process};

    #[test]
    fn login_needs_users_and_the_others_the_demonstration() {
        let config = Config::single(Process::default(), Listener::default(), Host::default());
        let state = State::open(&config, true, Vec::new(), &mut Faults::default());
        let mounted = |host: &Host, demonstration, has_users: bool| {
            let users = Users::empty();
            let surroundings = Surroundings {
                is_local: true,
                process: &config.process,
                state: &state,
                demonstration,
                open_files: 1,
                trees: 0,
                boards: 0,
            };
            let mut faults = Faults::default();
            let mounted = mount(host, &surroundings, has_users.then_some(&users), &mut faults);
            faults.finish().map_err(drop)?;
            let has = |name: &str| mounted.1.iter().any(|(_, found)| found == name);
            // The page that gives away its cookie is there only with the laboratory.
            assert_eq!(has("login-only"), has("hello") && has_users);
            Ok::<_, ()>((has("login") && has("home") && has("logout"), has("hello")))
        };
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        for (apps, demonstration, has_users, expected) in [
            (Apps::Usual, true, true, Ok((true, true))),
            (Apps::Usual, false, true, Ok((true, false))),
            (Apps::Usual, false, false, Ok((false, false))),
            (Apps::AllBut(names(&[])), false, true, Ok((true, true))),
            (Apps::AllBut(names(&[])), false, false, Ok((false, true))),
            (Apps::AllBut(names(&["login"])), true, true, Ok((false, true))),
            (Apps::Only(names(&["login", "home", "logout"])), false, true, Ok((true, false))),
            (Apps::Only(names(&["login"])), false, false, Err(())),
            (Apps::Only(names(&[])), true, true, Ok((false, false))),
        ] {
            let host = Host { apps, ..Host::default() };
            assert_eq!(
                mounted(&host, demonstration, has_users),
                expected,
                "{:?} {demonstration} {has_users}",
                host.apps
            );
        }
        let mut host = Host::default();
        host.route("/in").handler = Some(Handler::App("login".to_owned()));
        assert_eq!(mounted(&host, false, false), Err(()));
    }
}
