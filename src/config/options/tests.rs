use std::time::Duration;

use super::super::value_text::{size, span};
use super::super::values;
use super::*;
use crate::limits;

#[test]
fn each_name_and_letter_is_used_once() {
    let all: Vec<_> = server_options().collect();
    for (at, option) in all.iter().enumerate() {
        let before = &all[..at];
        assert!(option.long.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{}", option.long);
        assert!(before.iter().all(|other| other.long != option.long), "{} twice", option.long);
        assert!(option.short.is_none() || before.iter().all(|other| other.short != option.short), "{}", option.long);
        assert!(!option.help.is_empty() && GROUPS.contains(&option.group), "{}", option.long);
        assert!(!["help", "version"].contains(&option.long) && ![Some('h'), Some('V')].contains(&option.short));
    }
    assert_eq!(all.iter().find(|option| option.long == "idle-timeout").unwrap().variable(), "MIOD_IDLE_TIMEOUT");
}

#[test]
fn each_option_has_the_scope_of_the_struct_that_it_sets() {
    let scope = |long: &str| match server_options().find(|option| option.long == long).unwrap().set {
        Setter::Process(_) => "process",
        Setter::Listener(_) => "listener",
        Setter::Host(_) => "host",
        Setter::Route(_) => "route",
        Setter::Command(_) => "command",
    };
    for (long, expected) in [
        ("max-memory", "process"),
        ("sessions", "process"),
        ("verbose", "process"),
        ("bind", "listener"),
        ("idle-timeout", "listener"),
        ("chaos", "listener"),
        ("listing", "host"),
        ("auth", "host"),
        ("token", "route"),
        ("kv", "command"),
    ] {
        assert_eq!(scope(long), expected, "{long}");
    }
}

#[test]
fn each_default_is_an_acceptable_value() {
    let draft = Draft::default();
    for option in server_options() {
        let default = (option.default)(&draft);
        if !default.is_empty() {
            assert_eq!(option.apply(&mut Draft::default(), &default), Ok(()), "--{} {default}", option.long);
        }
    }
}

#[test]
fn times_are_shown_as_an_operator_writes_them() {
    for seconds in [1, 59, 60, 90, 3_600, 86_400, 7 * 86_400] {
        assert_eq!(values::span(&span(Duration::from_secs(seconds))), Ok(Duration::from_secs(seconds)));
    }
    assert_eq!(span(limits::SESSION_MAX_AGE), "24h");
}

#[test]
fn sizes_are_shown_as_an_operator_writes_them() {
    for bytes in [0, 1, 1023, 1024, 1 << 20, 3 << 30, (1 << 30) + 1024] {
        assert_eq!(values::size(&size(bytes)), Ok(bytes));
    }
    assert_eq!(size(32 << 20), "32M");
}

#[test]
fn a_key_value_service_beside_the_web_server_has_a_listener_and_a_host_of_its_own() {
    let mut draft = Draft::at(8080);
    draft.command = ServerDraft { kv: vec!["127.0.0.1".to_owned()], ..ServerDraft::default() };
    draft.route.token = Some("secret".to_owned());
    let config = draft.clone().build(ServerCommand::Serve, Vec::new());
    let [main, kv] = &config.listeners[..] else { panic!("{config:?}") };
    assert_eq!((main.port, kv.port), (8080, 5100));
    assert!(!config.default_host(main).unwrap().is_key_value());
    let host = config.default_host(kv).unwrap();
    assert!(host.is_key_value() && host.routes[0].token.as_deref() == Some("secret"));
    // `miod kv` alone builds the same host.
    let alone = draft.build(ServerCommand::Kv, Vec::new());
    assert_eq!(alone.default_host(&alone.listeners[0]), Some(host));
}
