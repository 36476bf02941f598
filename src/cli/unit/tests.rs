use std::ffi::OsString;

use super::super::{Command, parse};
use super::*;

/// What `miod unit` prints for these arguments.
fn units(arguments: &[&str]) -> Result<String, String> {
    let words = ["unit", "--program", "/usr/bin/miod"].iter().chain(arguments).map(OsString::from);
    match parse(words, |_| panic!("the environment isn't read")) {
        Ok(Command::Unit(plan)) => run(&plan).map_err(|errors| errors.0[0].message.clone()),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.0),
    }
}

/// The values of a setting.
fn values<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    text.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

#[test]
fn a_service_has_what_its_options_need_and_no_more() {
    let text = units(&["/srv/www"]).unwrap();
    assert!(text.starts_with("# /etc/systemd/system/miod.service\n[Unit]\n"), "{text}");
    for (key, expected) in [
        ("ExecStart", &["/usr/bin/miod /srv/www"][..]),
        ("ExecReload", &["/bin/kill -HUP $MAINPID"]),
        ("Type", &["notify"]),
        ("DynamicUser", &["yes"]),
        ("User", &[]),
        ("ReadWritePaths", &[]),
        ("CapabilityBoundingSet", &[""]),
        ("AmbientCapabilities", &[""]),
        ("PrivateUsers", &["yes"]),
        ("ProtectHome", &["yes"]),
        ("PrivateTmp", &["yes"]),
        ("PrivateNetwork", &[]),
        ("RestrictAddressFamilies", &["AF_UNIX AF_INET AF_INET6"]),
        ("LogsDirectory", &[]),
        ("WantedBy", &["multi-user.target"]),
        ("After", &["network.target"]),
    ] {
        assert_eq!(values(&text, key), expected, "{key}: {text}");
    }
}

#[test]
fn several_processes_have_a_template_and_no_common_file() {
    let options = ["--reuse-port", "--pid-file=/run/miod/pid", "--access-log", "/var/log/miod/50%.log", "/srv/www"];
    let text = units(&options).unwrap();
    assert!(text.starts_with("# /etc/systemd/system/miod@.service\n[Unit]\n"), "{text}");
    let start = "/usr/bin/miod --reuse-port \"--pid-file=/run/miod/pid-%i\" \
                 \"--access-log=/var/log/miod/50%%-%i.log\" /srv/www";
    assert_eq!(values(&text, "ExecStart"), [start]);
    // Another user could not share the address.
    assert_eq!((values(&text, "DynamicUser"), values(&text, "User")), (vec!["yes"], vec!["miod"]));
    assert_eq!(values(&text, "RuntimeDirectoryPreserve"), ["yes"]);
    let text = units(&["--reuse-port", "--access-log", "/var/log.d/.hidden", "/srv/www"]).unwrap();
    assert!(text.contains("\"--access-log=/var/log.d/.hidden-%i\""), "{text}");
    // What goes to standard output is no file.
    let text = units(&["--reuse-port", "--access-log=-", "/srv/www"]).unwrap();
    assert!(text.contains("miod --reuse-port --access-log=- /srv/www\n"), "{text}");
    let text = units(&["--socket", "--reuse-port", "-p80", "--pid-file=/run/miod/pid", "/srv/www"]).unwrap();
    assert!(text.starts_with("# /etc/systemd/system/miod.service\n") && !text.contains("%i"), "{text}");
}

#[test]
fn a_common_file_that_only_the_configuration_file_names_is_refused() {
    let files = crate::files::scratch::Scratch::new();
    files.file("m.toml", "reuse-port = true\npid-file = \"/run/miod/pid\"\nroot = \"/srv/www\"\n");
    let file = files.at("m.toml").display().to_string();
    let error = units(&["-c", &file]).unwrap_err();
    assert!(error.contains("give --pid-file here, too"), "{error}");
    let text = units(&["-c", &file, "--pid-file=/run/miod/pid"]).unwrap();
    assert!(text.contains("miod@.service") && text.contains("pid-%i"), "{text}");
}

#[test]
fn a_low_port_needs_one_capability() {
    let text = units(&["-b", "192.0.2.1", "-p80", "/srv/www"]).unwrap();
    for key in ["CapabilityBoundingSet", "AmbientCapabilities"] {
        assert_eq!(values(&text, key), ["CAP_NET_BIND_SERVICE"]);
    }
    assert!(values(&text, "PrivateUsers").is_empty());
    assert_eq!(values(&text, "ExecStart"), ["/usr/bin/miod --bind=192.0.2.1 --port=80 /srv/www"]);
    assert_eq!(values(&text, "Wants"), ["network-online.target"]);
    let text = units(&["--tls", "auto", "--tls-bind", "0.0.0.0:443", "/srv/www"]).unwrap();
    assert_eq!(values(&text, "AmbientCapabilities"), ["CAP_NET_BIND_SERVICE"]);
}

#[test]
fn directories_that_are_written_are_named() {
    let text = units(&["kv", "--data=/var/lib/miod/kv", "--access-log=/var/log/miod/log", "--pid-file=/run/miod/pid"]);
    let text = text.unwrap();
    assert_eq!(values(&text, "LogsDirectory"), ["miod"]);
    assert_eq!((values(&text, "DynamicUser"), values(&text, "ReadWritePaths")), (vec!["yes"], vec![]));
    let text = units(&["--data", "/srv/my data", "--access-log", "/logs/a", "/home/me/site"]).unwrap();
    assert_eq!(values(&text, "ReadWritePaths"), ["-/logs", "\"-/srv/my data\""]);
    assert_eq!((values(&text, "User"), values(&text, "DynamicUser")), (vec!["miod"], vec![]));
    assert_eq!(values(&text, "ProtectHome"), ["read-only"]);
    let text = units(&["--user", "www-data:web", "/srv"]).unwrap();
    assert_eq!((values(&text, "User"), values(&text, "Group")), (vec!["www-data"], vec!["web"]));
    assert!(!text.contains("--user") && values(&text, "DynamicUser").is_empty(), "{text}");
    let text = units(&["/tmp/site"]).unwrap();
    assert!(values(&text, "PrivateTmp").is_empty() && values(&text, "DynamicUser").is_empty(), "{text}");
    for files in [["--tls", "/cert.pem"], ["--auth", "/a=/users"], ["--users", "/users"]] {
        assert_eq!(values(&units(&[files[0], files[1], "/srv"]).unwrap(), "User"), ["miod"], "{files:?}");
    }
}

#[test]
fn systemd_opens_the_sockets() {
    let text =
        units(&["--socket", "-b", "0.0.0.0", "-b", "unix:/run/a%b.sock", "-p", "80", "--tls", "auto", "/srv/www"]);
    let text = text.unwrap();
    let mut files = text.split("# /etc/systemd/system/");
    let [_, service, http, https] = [(); 4].map(|()| files.next().unwrap_or_default());
    assert_eq!(values(service, "ExecStart"), ["/usr/bin/miod --tls=auto /srv/www"]);
    assert_eq!(values(service, "Requires"), ["miod.socket miod-https.socket"]);
    assert_eq!(values(service, "PrivateNetwork"), ["yes"]);
    assert_eq!(values(service, "RestrictAddressFamilies"), ["AF_UNIX"]);
    assert_eq!(values(service, "CapabilityBoundingSet"), [""]);
    assert!(http.starts_with("miod.socket\n") && https.starts_with("miod-https.socket\n"), "{text}");
    assert_eq!(values(http, "ListenStream"), ["0.0.0.0:80", "/run/a%%b.sock"]);
    assert_eq!(values(http, "FileDescriptorName"), ["http"]);
    assert_eq!(values(https, "ListenStream"), ["0.0.0.0:8443"]);
    assert_eq!((values(https, "FileDescriptorName"), values(https, "Service")), (vec!["https"], vec!["miod.service"]));
    assert!(files.next().is_none());
    // The server opens what else it needs.
    let text = units(&["--socket", "--kv", "127.0.0.1", "/srv"]).unwrap();
    assert!(values(&text, "PrivateNetwork").is_empty(), "{text}");
    assert_eq!(values(&text, "ExecStart"), ["/usr/bin/miod --kv=127.0.0.1 /srv"]);
    assert_eq!(values(&text, "ListenStream"), ["127.0.0.1:8080", "[::1]:8080"]);
    let text = units(&["--socket", "echo", "--tls", "auto"]).unwrap();
    assert!(text.contains("/miod-https.socket\n") && !text.contains("/miod.socket\n"), "{text}");
    assert!(units(&["--socket", "-p", "0", "/srv"]).unwrap_err().contains("needs a port"));
}

#[test]
fn a_user_has_a_smaller_service() {
    let text = units(&["--per-user", "/home/me/site"]).unwrap();
    assert!(text.starts_with("# ~/.config/systemd/user/miod.service\n"), "{text}");
    assert_eq!(values(&text, "WantedBy"), ["default.target"]);
    for key in ["DynamicUser", "User", "CapabilityBoundingSet", "ProtectSystem", "PrivateTmp", "After"] {
        assert!(values(&text, key).is_empty(), "{key}");
    }
    assert_eq!(values(&text, "NoNewPrivileges"), ["yes"]);
}

#[test]
fn words_are_quoted_as_systemd_reads_them() {
    for (word, argument, setting) in [
        ("/srv/www", "/srv/www", "/srv/www"),
        ("", "\"\"", "\"\""),
        (";", "\";\"", "\";\""),
        ("a b", "\"a b\"", "\"a b\""),
        ("100%", "\"100%%\"", "\"100%%\""),
        ("$HOME", "\"$$HOME\"", "\"$HOME\""),
        ("a\"b'c\\", "\"a\\\"b'c\\\\\"", "\"a\\\"b'c\\\\\""),
        ("a\nb\tc\u{1}", "\"a\\nb\\tc\\x01\"", "\"a\\nb\\tc\\x01\""),
        ("ü", "\"ü\"", "\"ü\""),
    ] {
        assert_eq!(text::quote(word, true), argument);
        assert_eq!(text::quote(word, false), setting);
    }
    let text = units(&["--cache-control", "max-age=60, \"$x\" 5%", "/srv/my site"]).unwrap();
    let expected = r#"/usr/bin/miod "--cache-control=max-age=60, \"$$x\" 5%%" "/srv/my site""#;
    assert_eq!(values(&text, "ExecStart"), [expected]);
}

#[test]
fn secrets_are_not_in_a_unit() {
    let text = units(&["--sessions", "redis://:s3cret@h/0", "kv", "--token", "s3cret"]);
    assert!(text.unwrap_err().contains("kv has no option --sessions"));
    let text = units(&["kv", "--token", "s3cret"]).unwrap();
    assert!(!text.contains("s3cret") && text.contains("has MIOD_TOKEN=...\nEnvironmentFile=/etc/miod.env\n"), "{text}");
    let text = units(&["--sessions", "redis://:s3cret@h:7/0", "/srv"]).unwrap();
    assert!(!text.contains("s3cret") && text.contains("MIOD_SESSIONS"), "{text}");
    let text = units(&["--sessions", "cookie", "/srv"]).unwrap();
    assert!(text.contains("--sessions=cookie") && !text.contains("EnvironmentFile"), "{text}");
}

#[test]
fn a_configuration_file_has_needs_too() {
    let file = std::env::temp_dir().join(format!("miod-unit-{}.toml", std::process::id()));
    std::fs::write(&file, "root = \"/home/me/site\"\nport = 443\naccess-log = \"/logs/a\"\n").unwrap();
    let text = units(&["--config", file.to_str().unwrap()]).unwrap();
    let rootless = std::fs::write(&file, "port = 8000\n").map(|()| units(&["--config", file.to_str().unwrap()]));
    std::fs::remove_file(&file).unwrap();
    assert_eq!(values(&text, "ExecStart"), [format!("/usr/bin/miod --config={}", file.display())]);
    assert_eq!(values(&text, "ReadWritePaths"), ["-/logs"]);
    assert_eq!(values(&text, "AmbientCapabilities"), ["CAP_NET_BIND_SERVICE"]);
    assert_eq!(values(&text, "ProtectHome"), ["read-only"]);
    assert!(rootless.unwrap().unwrap_err().contains("isn't absolute"));
    assert!(units(&["--config", "/none"]).unwrap_err().contains("no such file"));
}

#[test]
fn what_cannot_be_a_service_is_an_error() {
    for (arguments, part) in [
        (&["--listng", "/srv"][..], "did you mean --listing?"),
        (&["--pid-file", "/run/a\nb/pid", "/srv"], "can't be in a unit"),
        (&["--program"], "--program needs a value"),
        (&["--program=miod", "/srv"], "isn't absolute"),
        (&["echo", "--spa", "x"], "echo has no option --spa"),
    ] {
        let error = units(arguments).unwrap_err();
        assert!(error.contains(part), "{arguments:?}: {error}");
    }
    let Ok(Command::Help(text)) = parse(["unit".into(), "--help".into()], |_| None) else { panic!("no help") };
    assert!(text.contains("Examples:") && text.lines().all(|line| line.len() <= 100), "{text}");
    // Relative paths are those of the current directory.
    let text = units(&["--access-log=log", "-b", "unix:s", "src"]).unwrap();
    let here = std::env::current_dir().unwrap();
    let here = here.display();
    let expected = format!("/usr/bin/miod --access-log={here}/log --bind=unix:{here}/s {here}/src");
    assert_eq!(values(&text, "ExecStart"), [expected]);
    assert_eq!(values(&text, "ReadWritePaths"), [format!("-{here}")]);
}
