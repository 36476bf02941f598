use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::config::layers::Layers;
use crate::config::{Config, Content, Handler, Redirect, Respond};
use crate::http::redirect::RedirectTarget;

fn read(text: &str) -> (FileSettings, Vec<Mistake>) {
    parse(&Arc::new(Source::new("/etc/miod.toml", text.to_owned())), ServerCommand::Serve)
}

fn config(text: &str) -> Config {
    let (file, mistakes) = read(text);
    assert_eq!(mistakes, [], "{text}");
    let layers = Layers { command: ServerCommand::Serve, arguments: Vec::new(), variables: Vec::new(), file };
    let hosts = layers.hosts().unwrap();
    layers.draft().unwrap().build(ServerCommand::Serve, hosts)
}

/// The mistakes, as `LINE:COLUMN MESSAGE`.
fn mistakes(text: &str) -> Vec<String> {
    let show = |mistake: &Mistake| {
        let Mistake { position, message } = mistake;
        format!("{}:{} {message}", position.line(), position.column())
    };
    read(text).1.iter().map(show).collect()
}

#[test]
fn each_option_is_a_key() {
    let config = config(
        "port = 81\nidle_timeout = 2.5\nbody-limit = \"5K\"\nlisting = true\netag-inode = false\n\
         media-type = [\"a=b/c\", \"d=e/f\"]\napps = [\"lab\", \"board\"]\nverbose = 2\naccess-log = \"log/a\"\n\
         auth = \"/a=users\"\nbind = [\"127.0.0.1\", \"unix:s\"]\nroot = \"/srv\"\nmax-memory = 0x10_00_000\n",
    );
    let listener = &config.listeners[0];
    assert_eq!((listener.port, listener.idle_timeout.as_secs_f64()), (81, 2.5));
    assert_eq!(listener.bind, ["127.0.0.1", "unix:/etc/s"]);
    let host = &config.hosts[0];
    assert_eq!((host.body_limit, host.listing, host.etag_inode, host.media_types.len()), (5120, true, false, 2));
    assert_eq!(host.apps, crate::config::Apps::Only(vec!["lab".to_owned(), "board".to_owned()]));
    assert_eq!(host.root, Some(PathBuf::from("/srv")));
    assert_eq!(host.routes[0].auth, Some(PathBuf::from("/etc/users")));
    assert_eq!(config.process.logging.verbosity, 2);
    assert_eq!(config.process.max_memory, 0x0100_0000);
    assert_eq!(config.process.logging.access, crate::config::AccessLog::File("/etc/log/a".into()));
}

#[test]
fn every_option_of_the_table_can_be_a_key() {
    for option in server_options().filter(|option| option.belongs_to(ServerCommand::Serve) && option.long != "config") {
        let (_, mistakes) = read(&format!("{} = {{}}\n", option.long));
        assert_eq!(mistakes.len(), 1, "{}", option.long);
        assert!(mistakes[0].message.starts_with(&format!("{}: give ", option.long)), "{mistakes:?}");
    }
    assert_eq!(mistakes("config = \"x\"\n"), ["1:1 unknown key config"]);
}

#[test]
fn hosts_have_names_options_and_routes() {
    let text = r#"
listing = true
cache-control = "no-cache"
[[host]]
root = "default"
[[host]]
names = ["Example.org.", "*.example.org"]
tls = "cert.pem,key.pem"
root = "site"
listing = false
[[host.route]]
path = "/old/"
redirect = { to = "/new$path" }
[[host.route]]
path = "/health"
respond = { body = "ok\n" }
log = false
compress = false
[[host.route]]
path = "/docs"
root = "/srv/docs"
auth = "users"
headers = { set = { X-A = "1" }, add = { X-B = ["2", "3"] }, remove = "Server" }
allow = "10.0.0.0/8"
[[host.header]]
glob = "*.woff2"
set = { Cache-Control = "max-age=31536000, immutable" }
"#;
    let config = config(text);
    let [default, site] = &config.hosts[..] else { panic!("{config:?}") };
    assert!(default.names.is_empty() && default.listing && default.root == Some("/etc/default".into()));
    assert!(!site.listing && site.cache_control == "no-cache", "its own value beats the one for all");
    assert_eq!(site.names.iter().map(ToString::to_string).collect::<Vec<_>>(), ["example.org", "*.example.org"]);
    let [old, health, docs] = &site.routes[..] else { panic!("{site:?}") };
    let to = RedirectTarget::parse("/new$path").unwrap();
    assert_eq!((old.prefix.as_str(), &old.handler), ("/old", &Some(Handler::Redirect(Redirect { status: 308, to }))));
    let respond = Respond { status: 200, media_type: None, content: Content::Text("ok\n".to_owned()) };
    assert_eq!(health.handler, Some(Handler::Respond(respond)));
    assert_eq!((health.rules.log, health.rules.compress), (Some(false), Some(false)));
    assert_eq!(docs.handler, Some(Handler::Root("/srv/docs".into())));
    assert_eq!(docs.auth, Some("/etc/users".into()));
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(docs.rules.headers.add, [pair("X-B", "2"), pair("X-B", "3")]);
    assert_eq!(docs.rules.headers.remove, ["Server"]);
    assert_eq!(site.file_fields[0].set, [pair("Cache-Control", "max-age=31536000, immutable")]);
    // The certificates of hosts are those of the listener for HTTPS, which has all hosts.
    let https = &config.listeners[1];
    assert_eq!((https.hosts.as_slice(), https.tls.as_ref().unwrap().certificates.len()), (&[0, 1][..], 1));
    assert_eq!(site.positions.of("root").unwrap().line(), 9);
    assert_eq!(site.positions.of("users").unwrap().line(), 6);
}

#[test]
fn all_mistakes_are_reported_with_their_places() {
    let text = "prot = 80\nport = \"x\"\nlisting = 1\nidle-timeout = [1]\n\n[[host]]\nnames = [\"a\", \"b:80\"]\n\
                root = 5\nrooot = \"x\"\n[[host.route]]\nredirect = { status = 300, to = \"$path\" }\napp = \"x\"\n\
                [[host]]\nnames = \"a\"\n[[host.route]]\npath = \"/x\"\n[[host.route]]\npath = \"/x/\"\n";
    assert_eq!(
        mistakes(text),
        [
            "1:1 unknown key prot; did you mean port?",
            "2:8 port: give a port from 0 to 65535; 0 means any free port",
            "3:11 listing: give true or false",
            "4:16 idle-timeout: give one value, not a list",
            "7:9 names: b:80: give the name alone, without scheme, port and path",
            "9:1 unknown key rooot; did you mean root?",
            "10:1 a route needs a path, like path = \"/app\"",
            "11:23 status: give 301, 302, 303, 307 or 308",
            "11:33 to: a client could redirect to any host with that: begin with a path like /new, or with \
             https://example.org or https://$host, followed by a slash, $path or a question mark",
            "17:1 the route in line 15 is for /x already",
        ]
    );
}

#[test]
fn names_and_keys_are_unique() {
    for (text, expected) in [
        ("port = 1\nport = 2\n", "2:1 this is no TOML: duplicate key"),
        ("idle-timeout = 1\nidle_timeout = 2\n", "2:1 idle-timeout is given twice, with hyphens and with underscores"),
        (
            "[[host]]\n[[host]]\n",
            "2:1 the host in line 1 has no names, too, and only one can be the default: give names",
        ),
        ("[[host]]\nnames=\"a\"\n[[host]]\nnames=[\"b\", \"A.\"]\n", "4:1 a is also a name of the host in line 2"),
        ("[host]\nnames=\"a\"\n", "1:2 write [[host]] above the settings of each, with two brackets"),
        ("host = 1\n", "1:1 write [[host]] above the settings of each, with two brackets"),
        (
            "[[host]]\n[host.route]\npath=\"/\"\n",
            "2:7 write [[host.route]] above the settings of each, with two brackets",
        ),
    ] {
        assert_eq!(mistakes(text), [expected], "{text}");
    }
}

#[test]
fn rules_are_checked() {
    let route = |lines: &str| format!("[[host]]\n[[host.route]]\npath = \"/\"\n{lines}\n");
    for (lines, expected) in [
        ("root = \"a\"\napp = \"b\"", "2:1 a route has at most one of root, app, proxy, redirect, respond"),
        ("headers = { set = { ETag = \"x\" } }", "4:21 the server itself decides about ETag"),
        (
            "headers = { set = { X = \"a\\nb\" } }",
            "4:21 a field value has no control characters, and no spaces at its ends",
        ),
        ("headers = { sett = { X = \"a\" } }", "4:13 unknown key sett; did you mean set?"),
        ("cors = { }", "4:1 cors needs origins, like origins = [\"https://example.org\"], or \"*\" for all"),
        (
            "cors = { origins = \"*\", credentials = true }",
            "4:1 with credentials, name the origins: all of them could act for the user",
        ),
        ("methods = [\"get\"]", "4:11 methods: give methods in capitals, like [\"GET\", \"POST\"]"),
        (
            "allow = [\"10.0.0.1/8\"]",
            "4:9 allow: 10.0.0.1/8: there are bits after the mask; of 10.0.0.0/8 only the first eight bits count",
        ),
        ("respond = { body = \"a\", file = \"b\" }", "4:1 a response has a body or a file, not both"),
        ("respond = { status = 204, body = \"a\" }", "4:1 a response with the status 204 has no content"),
        ("body-limit = true", "4:14 body-limit: give a text, in quotation marks"),
        ("log = 1", "4:7 log: give true or false"),
        ("compress = \"gzip\"", "4:12 compress: give true or false"),
        ("proxy = []", "4:9 proxy: give at least one URL, like http://127.0.0.1:3000"),
        ("proxy = [\"http://a\", 1]", "4:22 proxy: give a text, in quotation marks"),
        (
            "proxy = [\"http://a\", { url = \"http://a\", weight = 2 }]",
            "4:22 proxy: http://a is given twice; give it a weight",
        ),
        ("proxy = { url = \"http://a\", weight = 0 }", "4:38 weight: give a weight from 1 to 1000"),
        ("proxy = [{ weight = 2 }]", "4:10 an upstream needs a URL, like url = \"http://127.0.0.1:3000\""),
        ("proxy = [{ url = \"a\" }]", "4:18 url: a: give http://HOST:PORT, https://HOST:PORT or unix:PATH"),
        ("proxy = [{ url = \"http://a\", weigth = 2 }]", "4:30 unknown key weigth; did you mean weight?"),
        ("proxy = \"http://a\"\nmax_in_flight = 0", "5:17 max-in-flight: give a whole number of at least 1"),
        ("proxy = \"http://a\"\nhealth = \"a b\"", "5:10 health: give a path from the root, encoded, like /health"),
        ("proxy = \"http://a\"\nhealth-interval = 2", "2:1 health-interval is for a route with health"),
        ("strip = true", "2:1 strip, host, max-in-flight, health, health-interval, cache are for a route with proxy"),
    ] {
        assert_eq!(mistakes(&route(lines)), [expected], "{lines}");
    }
    assert_eq!(mistakes("[[host]]\n[[host.header]]\nglob = \"a/b\"\n").len(), 2);
}

#[test]
fn syntax_errors_have_places() {
    for (text, place) in [
        ("port = \n", "1:8"),
        ("a b = 1\n", "1:3"),
        ("[[host\n", "1:7"),
        ("x = \"a\n", "1:7"),
        ("\u{feff}x = ?\n", "1:6"),
    ] {
        let found = mistakes(text);
        assert!(found[0].starts_with(&format!("{place} this is no TOML: ")), "{text}: {found:?}");
    }
    assert_eq!(mistakes("\u{feff}port = 1\n"), [] as [String; 0]);
}

proptest! {
    #[test]
    fn no_text_panics(text in "([\\[\\]{}=,.\"'#\n a-z0-9$*/\\\\-]|host|route|port|names|path|é|\u{0}){0,60}") {
        for mistake in read(&text).1 {
            prop_assert!(mistake.position.line() <= text.matches('\n').count() + 1);
            prop_assert!(!mistake.position.excerpt().is_empty() && !mistake.message.is_empty());
        }
    }

    #[test]
    fn no_change_of_a_good_file_panics(at in 0_usize..200, with in "[\\[\\]{}=\"\n a-z0-9]{0,3}") {
        let good = "port = 1\nlisting = true\n[[host]]\nnames = [\"a\"]\nroot = \"/s\"\n[[host.route]]\npath = \"/x\"\n\
                    redirect = { status = 301, to = \"/y\" }\nheaders = { set = { A = \"b\" } }\n";
        let at = at.min(good.len() - 1);
        read(&format!("{}{with}{}", &good[..at], &good[at + 1..]));
    }
}

#[test]
fn the_files_in_the_manual_have_no_mistake() {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/manual");
    let mut count = 0;
    for chapter in std::fs::read_dir(directory).unwrap() {
        let path = chapter.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        for block in text.split("\n```toml\n").skip(1) {
            let file = block.split("\n```").next().unwrap();
            assert_eq!(mistakes(file), [] as [String; 0], "{}: {file}", path.display());
            count += 1;
        }
    }
    assert!(count >= 4, "{count}");
}
