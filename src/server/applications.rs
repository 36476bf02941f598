//! Which applications are mounted, and what they are made of.

use super::Failure;
use crate::app::catalogue::{self, Supplies};
use crate::app::quiz::Quiz;
use crate::app::{Routes, board};
use crate::auth::Users;
use crate::config::{Apps, Config};
use crate::durable;
use crate::session::key::Keys;

/// Mounts the applications that are asked for, or that are harmless here. Also
/// tells which: prefix and name.
pub(super) fn mount(
    config: &Config,
    local: bool,
    users: Option<&Users>,
    keys: &Keys,
) -> Result<(Routes, Vec<(String, String)>), Failure> {
    let named = |names: &[String], name: &str| names.iter().any(|n| n == name);
    let usual = catalogue::ALL.iter().filter(|entry| match &config.apps {
        Apps::IfLocal => {
            if entry.for_users {
                users.is_some()
            } else {
                local
            }
        }
        Apps::Only(names) => named(names, entry.name),
        Apps::AllBut(names) => !named(names, entry.name) && (users.is_some() || !entry.for_users),
    });
    let mut apps: Vec<_> = usual.map(|entry| (entry.path.to_owned(), entry.name.to_owned())).collect();
    apps.extend(config.mounts.iter().cloned());

    let mut supplies = supplies(config, keys, users, &apps)?;
    let mut routes = Routes::default();
    for (prefix, name) in &apps {
        let entry = catalogue::find(name).ok_or_else(|| unknown(name))?;
        if entry.for_users && users.is_none() {
            return Err(Failure::Config(format!("{name} needs users, by --users FILE: others can connect here")));
        }
        routes.mount(prefix, (entry.make)(&mut supplies)).map_err(Failure::Config)?;
    }
    if let Apps::Only(names) | Apps::AllBut(names) = &config.apps
        && let Some(name) = names.iter().find(|name| catalogue::find(name).is_none())
    {
        return Err(unknown(name));
    }
    Ok((routes, apps))
}

/// What the applications are made of.
fn supplies(
    config: &Config,
    keys: &Keys,
    users: Option<&Users>,
    apps: &[(String, String)],
) -> Result<Supplies, Failure> {
    let quiz = match &config.quiz {
        None => Quiz::built_in(),
        Some(path) => {
            let wrong = |why: String| Failure::Config(format!("the quiz {}: {why}", path.display()));
            let json = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
            Quiz::parse(&json).map_err(wrong)?
        }
    };
    let boards = apps.iter().filter(|(_, name)| name == "board").count();
    let posts = match &config.data {
        Some(_) if boards > 1 => {
            return Err(Failure::Config("one board alone can be kept on disk; mount it once".to_owned()));
        }
        Some(directory) if boards == 1 => {
            Some(durable::Store::open(directory, "board", board::CAPACITY).map_err(Failure::Store)?)
        }
        _ => None,
    };
    let users = users.cloned().unwrap_or_else(Users::nobody);
    Ok(Supplies { users, keys: keys.clone(), session_cookie: config.session_cookie.clone(), quiz, posts })
}

fn unknown(name: &str) -> Failure {
    let names: Vec<_> = catalogue::ALL.iter().map(|entry| entry.name).collect();
    Failure::Config(format!("there is no application {name:?}; there are {}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn login_is_where_there_are_users_and_the_rest_where_only_this_machine_can_connect() {
        let mounted = |config: &Config, local, has_users: bool| {
            let users = Users::nobody();
            let mounted = mount(config, local, has_users.then_some(&users), &Keys::random()).map_err(|_| ())?;
            let has = |name: &str| mounted.1.iter().any(|(_, found)| found == name);
            Ok::<_, ()>((has("login") && has("home") && has("logout"), has("hello")))
        };
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        for (apps, local, has_users, expected) in [
            (Apps::IfLocal, true, true, Ok((true, true))),
            (Apps::IfLocal, false, true, Ok((true, false))),
            (Apps::IfLocal, false, false, Ok((false, false))),
            (Apps::AllBut(names(&[])), false, true, Ok((true, true))),
            (Apps::AllBut(names(&[])), false, false, Ok((false, true))),
            (Apps::AllBut(names(&["login"])), true, true, Ok((false, true))),
            (Apps::Only(names(&["login", "home", "logout"])), false, true, Ok((true, false))),
            (Apps::Only(names(&["login"])), false, false, Err(())),
            (Apps::Only(names(&[])), true, true, Ok((false, false))),
        ] {
            let config = Config { apps, ..Config::default() };
            assert_eq!(mounted(&config, local, has_users), expected, "{:?} {local} {has_users}", config.apps);
        }
        let config = Config { mounts: vec![("/in".to_owned(), "login".to_owned())], ..Config::default() };
        assert_eq!(mounted(&config, false, false), Err(()));
    }
}
