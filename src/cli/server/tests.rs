use std::time::Duration;

use super::super::parse;
use super::*;
use crate::certificates::PemFiles;
use crate::config::{
    Apps, CachePlace, Config, Demonstration, Handler, Host, Listener, Process, Protocol, ProxyCache, ProxyRoute, Route,
    Sandbox, SessionConfig, SessionStore, Tls, Trust, UpstreamTimeouts, UpstreamUrl,
};
use crate::files::ErrorPage;
use crate::files::resolve::Symlinks;
use crate::http::compressible::CompressibleTypes;
use crate::http::content_coding::Codings;
use crate::http::forwarded::Proxies;
use crate::http::rate::Rate;
use crate::logging::{AccessLog, DiagnosticFormat, LogFormat, LogOptions};
use crate::reactor::{Endpoint, SendLimit};
use crate::session::record::Lifetime;
use crate::session::remote::StoreUrl;
use crate::tap::TapSettings;

fn run(arguments: &str, variables: &[(&str, &str)]) -> Result<Command, UsageError> {
    let variable = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| OsString::from(value));
    // An underscore behind a colon is a space in an argument.
    parse(arguments.split_whitespace().map(|word| OsString::from(word.replace(":_", ": "))), variable)
}

/// The configuration, without the settings as they are shown.
fn serve(arguments: &str, variables: &[(&str, &str)]) -> Config {
    match run(arguments, variables) {
        Ok(Command::Server(plan)) => {
            let mut config = plan.load().unwrap();
            assert!(!std::mem::take(&mut config.process.shown).is_empty());
            config
        }
        other => panic!("{arguments}: {other:?}"),
    }
}

/// The main listener and its host.
fn main_of(config: &Config) -> (&Listener, &Host) {
    (&config.listeners[0], &config.hosts[0])
}

fn wrong(arguments: &str, variables: &[(&str, &str)]) -> String {
    run(arguments, variables).expect_err(arguments).0
}

fn at(listener: &Listener) -> Vec<String> {
    listener.endpoints().unwrap().iter().map(Endpoint::to_string).collect()
}

#[test]
fn no_arguments_mean_serve_with_the_defaults() {
    let config = serve("", &[]);
    let host = Host { root: Some(default_root()), demonstration: Demonstration::IfLocal, ..Host::default() };
    let expected = Config::single(Process::default(), Listener::at(8080), host);
    assert_eq!(format!("{config:?}"), format!("{expected:?}"));
}

#[test]
fn every_option_sets_its_field() {
    let config = serve(
        "serve -b 0.0.0.0 --bind=[::1]:81 -b unix:/tmp/s -p 9000 --reuse-port --listing --symlinks none --cache-control max-age=60 --cache-control /a/**:_max-age=5 --index a.html --index b.htm --pretty-urls --security-headers --compress off --compress-types text/* --compress-types=a/b,c/d --compress-level 7 --no-precompressed \
         --cache-size 2M --max-memory 9M --etag-inode --media-type x=text/x --media-type=y=text/y --spa index.html \
         --error-page 404=gone.html --error-page 5xx=a/sorry.html \
         --header-timeout 1 --idle-timeout 2.5 --body-timeout 3 --send-timeout 4 --body-limit 5K \
         --tls a.pem --tls b.pem,b.key --tls-bind 127.0.0.3:444 --tls-min 1.3 --client-ca /tmp/clients \
         --tls-keylog /tmp/keys --redirect-https --hsts 77 --max-connections 6 --proxy /p=http://a:1,https://b --connect-timeout 11 --upstream-timeout 12 --upstream-idle-timeout 13 --tunnel-timeout 14 --proxy-cache /tmp/cache --proxy-cache-size 2M --proxy-cache-memory 1M \
         --upstream-ca /tmp/upstreams --pid-file /tmp/pid --user www:web --admin 127.0.0.4 --admin unix:/tmp/admin --admin-public --sandbox require --max-per-address 7 --limit-rate 64K/s --rate 5/s:9 --auth /a=b=c --auth /d=e --users f --trusted-proxy 10.0.0.0/8 \
         --trusted-proxy unix --no-server-header --access-log /tmp/log --log-format logfmt --diagnostics json --app /a=lab \
         --apps=one,two --demo --quiz /q.json --kv 127.0.0.1 --data /tmp/d --token t --capacity 1M \
         --sessions rediss://store/1 --sessions-ca /tmp/ca --session-key /tmp/key --session-cookie sid --session-idle 5m \
         --session-max 7d --tap /tmp/tap --tap-plain --tap-secrets --tap-size 1M --tap-files 3 --tap-public -vv -q /srv",
        &[],
    );
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    let mut trusted_proxies = Proxies::default();
    trusted_proxies.add("10.0.0.0/8").and_then(|()| trusted_proxies.add("unix")).unwrap();
    let process = Process {
        config_file: None,
        user: Some("www:web".to_owned()),
        admin_public: true,
        shown: Vec::new(),
        sandbox: Sandbox::Require,
        max_memory: 9 << 20,
        max_connections: Some(6),
        pid_file: Some("/tmp/pid".into()),
        cache_size: 2 << 20,
        data: Some(PathBuf::from("/tmp/d")),
        trusted_proxies,
        upstream_timeouts: UpstreamTimeouts {
            connect: Duration::from_secs(11),
            response: Duration::from_secs(12),
            idle: Duration::from_secs(13),
            tunnel: Duration::from_secs(14),
        },
        upstream_trust: Trust::File(PathBuf::from("/tmp/upstreams")),
        proxy_cache: ProxyCache {
            place: CachePlace::Directory(PathBuf::from("/tmp/cache")),
            size: 2 << 20,
            memory: 1 << 20,
        },
        mailbox: None,
        sessions: SessionConfig {
            store: SessionStore::Remote(StoreUrl::parse("rediss://store/1").unwrap()),
            trust: Trust::File(PathBuf::from("/tmp/ca")),
            key: Some(PathBuf::from("/tmp/key")),
            cookie: "sid".to_owned(),
            lifetime: Lifetime { idle: Duration::from_secs(300), max_age: Duration::from_secs(604_800) },
        },
        logging: LogOptions {
            verbosity: 1,
            access: AccessLog::File(PathBuf::from("/tmp/log")),
            format: LogFormat::Logfmt,
            diagnostics: DiagnosticFormat::Json,
        },
        tap: TapSettings {
            file: Some(PathBuf::from("/tmp/tap")),
            plain: true,
            secrets: Some(Arc::default()),
            size: Some(1 << 20),
            files: Some(3),
            ring: None,
            public: true,
        },
    };
    let listener = Listener {
        bind: ["0.0.0.0", "[::1]:81", "unix:/tmp/s"].map(str::to_owned).to_vec(),
        port: 9000,
        port_is_chosen: true,
        protocol: Protocol::Http,
        tls: None,
        hosts: vec![0],
        header_timeout: Duration::from_secs(1),
        idle_timeout: Duration::from_millis(2500),
        body_timeout: Duration::from_secs(3),
        send_timeout: Duration::from_secs(4),
        reuse_port: true,
        strict_hosts: false,
        max_per_address: Some(7),
        limit_rate: SendLimit::per_second(65536),
        delay: Duration::ZERO,
        chaos: None,
    };
    let upstreams = ["http://a:1", "https://b"].map(|url| UpstreamUrl::parse(url).unwrap().into()).to_vec();
    let proxy = ProxyRoute { upstreams, ..ProxyRoute::default() };
    let route =
        |prefix: &str, auth: &str| Route { prefix: prefix.to_owned(), auth: Some(auth.into()), ..Route::default() };
    let mut types = CompressibleTypes::none();
    ["text/*", "a/b", "c/d"].iter().try_for_each(|name| types.add(name)).unwrap();
    let host = Host {
        root: Some(PathBuf::from("/srv")),
        listing: true,
        symlinks: Symlinks::None,
        cache_control: "max-age=60".to_owned(),
        cache_rules: vec![pair("/a/**", "max-age=5")],
        index: vec!["a.html".to_owned(), "b.htm".to_owned()],
        pretty_urls: true,
        compress: Codings::NONE,
        compress_types: Some(types),
        compress_level: 7,
        precompressed: false,
        security_headers: true,
        rate: Some(Rate { per_second: 5, burst: 9 }),
        etag_inode: true,
        media_types: vec![pair("x", "text/x"), pair("y", "text/y")],
        spa: Some("index.html".to_owned()),
        error_pages: [("404", "gone.html"), ("5xx", "a/sorry.html")]
            .map(|(at, file)| ErrorPage::new(at, file).unwrap())
            .to_vec(),
        redirect_https: true,
        hsts: Some(Duration::from_secs(77)),
        server_field: false,
        body_limit: 5120,
        users: Some("f".into()),
        apps: Apps::Only(vec!["one".to_owned(), "two".to_owned()]),
        demonstration: Demonstration::On,
        quiz: Some(PathBuf::from("/q.json")),
        routes: vec![
            Route { handler: Some(Handler::Proxy(proxy)), prefix: "/p".to_owned(), ..Route::default() },
            Route { handler: Some(Handler::App("lab".to_owned())), ..route("/a", "b=c") },
            route("/d", "e"),
        ],
        ..Host::default()
    };
    let mut expected = Config::single(process, listener.clone(), host);
    let tls = Tls {
        certificates: ["a.pem", "b.pem,b.key"].map(|files| PemFiles::parse(files).unwrap()).to_vec(),
        auto: false,
        only_tls13: true,
        client_ca: Some(PathBuf::from("/tmp/clients")),
        key_log: Some(PathBuf::from("/tmp/keys")),
    };
    let https = Listener { bind: vec!["127.0.0.3:444".to_owned()], port: 8443, tls: Some(tls), ..listener.clone() };
    expected.listeners.push(Listener { hosts: vec![0], ..https });
    let kv = Route { token: Some("t".to_owned()), capacity: 1 << 20, ..Route::default() };
    let kv = Host {
        server_field: false,
        body_limit: 5120,
        rate: Some(Rate { per_second: 5, burst: 9 }),
        ..Host::key_value(kv)
    };
    expected.add(Listener { bind: vec!["127.0.0.1".to_owned()], port: 5100, ..listener.clone() }, kv);
    expected.listeners.push(Listener {
        bind: ["127.0.0.4", "unix:/tmp/admin"].map(str::to_owned).to_vec(),
        port: 9180,
        port_is_chosen: false,
        protocol: Protocol::Admin,
        hosts: Vec::new(),
        reuse_port: false,
        ..listener
    });
    assert_eq!(format!("{config:?}"), format!("{expected:?}"));
    assert_eq!(at(&config.listeners[0]), ["0.0.0.0:9000", "[::1]:81", "unix:/tmp/s"]);
    assert_eq!(at(&config.listeners[1]), ["127.0.0.3:444"]);
    assert_eq!(at(&config.listeners[2]), ["127.0.0.1:5100"]);
    assert_eq!(at(&config.listeners[3]), ["127.0.0.4:9180", "unix:/tmp/admin"]);
    let logging = serve("--access-log - -qq", &[]).process.logging;
    assert_eq!(logging, LogOptions { verbosity: -2, access: AccessLog::Stdout, ..LogOptions::default() });
}

#[test]
fn a_site_is_the_demonstration_only_if_nothing_else_is_chosen() {
    use Demonstration::*;
    // The tests run in the package's directory, whose `public` has the mark.
    for (arguments, expected) in [
        ("", IfLocal),
        ("--listing", IfLocal),
        ("--auth /a=users", IfLocal),
        ("public", Off),
        ("--apps", Off),
        ("--apps=hello", Off),
        ("--no-apps", Off),
        ("--app /a=hello", Off),
        ("--users users", Off),
        ("--demo", On),
        ("--demo public", On),
        ("--demo --apps=hello src", On),
    ] {
        assert_eq!(main_of(&serve(arguments, &[])).1.demonstration, expected, "{arguments}");
    }
    let host = Host::default();
    assert_eq!(demonstration_of(&host, Path::new("src")), Off, "a root without the mark");
}

#[test]
fn a_later_option_for_the_same_prefix_replaces_the_earlier() {
    let config = serve("--app /a=hello --app /a=echo", &[]);
    let routes = &main_of(&config).1.routes;
    assert_eq!((routes.len(), routes[0].app()), (1, Some("echo")));
}

#[test]
fn apps_and_no_apps_choose_the_applications() {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    for (arguments, variables, expected) in [
        ("", &[][..], Apps::Usual),
        ("--apps", &[], Apps::AllBut(names(&[]))),
        ("--no-apps", &[], Apps::Only(names(&[]))),
        ("--no-apps=a,b", &[], Apps::AllBut(names(&["a", "b"]))),
        ("", &[("MIOD_APPS", "1")], Apps::AllBut(names(&[]))),
        ("", &[("MIOD_APPS", "0")], Apps::Usual),
        ("", &[("MIOD_APPS", "a,b")], Apps::Only(names(&["a", "b"]))),
        ("", &[("MIOD_NO_APPS", "yes")], Apps::Only(names(&[]))),
        ("--apps=c", &[("MIOD_NO_APPS", "a")], Apps::Only(names(&["c"]))),
    ] {
        assert_eq!(main_of(&serve(arguments, variables)).1.apps, expected, "{arguments} {variables:?}");
    }
}

#[test]
fn options_override_variables_and_variables_override_defaults() {
    let variables = [
        ("MIOD_IDLE_TIMEOUT", "7"),
        ("MIOD_BIND", "127.0.0.1,::1"),
        ("MIOD_PORT", "81"),
        ("MIOD_LISTING", "true"),
        ("MIOD_ETAG_INODE", "0"),
        ("MIOD_SPA", ""),
    ];
    let config = serve("", &variables);
    let (listener, host) = main_of(&config);
    assert_eq!(listener.idle_timeout, Duration::from_secs(7));
    assert_eq!(at(listener), ["127.0.0.1:81", "[::1]:81"]);
    assert_eq!((host.listing, host.etag_inode, &host.spa), (true, false, &None));
    let config = serve("--idle-timeout 8 -b 127.0.0.2", &variables);
    assert_eq!(main_of(&config).0.idle_timeout, Duration::from_secs(8));
    assert_eq!(at(main_of(&config).0), ["127.0.0.2:81"]);
    assert_eq!(
        wrong("", &[("MIOD_IDLE_TIMEOUT", "x")]),
        "MIOD_IDLE_TIMEOUT=x: give seconds of at least 0.001, like 10 or 2.5"
    );
}

#[test]
fn a_mailbox_has_a_page_and_listeners_for_mail() {
    let config = serve(
        "mailbox -b 127.0.0.1 -p 25 --http 127.0.0.2:80 --smtps 127.0.0.3 --tls a.pem --users f --fail RCPT=450 \
         --fail BODY=554 --fail rcpt=550 --size-limit 5K --name [127.0.0.1] --data /tmp/mail --admin 127.0.0.4",
        &[("MIOD_MAX_CONNECTIONS", "9")],
    );
    let shown: Vec<_> = config
        .listeners
        .iter()
        .map(|one| (one.protocol, one.bind.concat(), one.port, one.tls.is_some(), one.speaks_tls()))
        .collect();
    assert_eq!(
        shown,
        [
            (Protocol::Http, "127.0.0.2:80".to_owned(), 8025, false, false),
            (Protocol::Smtp, "127.0.0.1".to_owned(), 25, true, false),
            (Protocol::Smtps, "127.0.0.3".to_owned(), 2465, true, true),
            (Protocol::Admin, "127.0.0.4".to_owned(), 9180, false, false),
        ]
    );
    let mailbox = config.process.mailbox.unwrap();
    let faults: Vec<_> = mailbox.faults.iter().map(ToString::to_string).collect();
    assert_eq!(faults, ["BODY=554", "RCPT=550"], "the last one for a step counts");
    assert_eq!((mailbox.size_limit, mailbox.users, mailbox.any_login), (5 << 10, Some(PathBuf::from("f")), false));
    assert_eq!(mailbox.name.as_deref(), Some("[127.0.0.1]"));
    assert_eq!((config.process.data, config.process.max_connections), (Some(PathBuf::from("/tmp/mail")), Some(9)));
    assert!(config.hosts.len() == 1 && config.hosts[0].root.is_none() && config.hosts[0].users.is_none());
    let free = serve("mailbox -p 0 --any-login", &[]);
    assert!(free.listeners.iter().all(|listener| listener.port == 0) && free.process.mailbox.unwrap().any_login);
    let ports: Vec<_> = serve("mailbox", &[]).listeners.iter().map(|listener| listener.port).collect();
    assert_eq!(ports, [8025, 2525]);
    assert_eq!(wrong("mailbox --reuse-port", &[]), "mailbox has no option --reuse-port");
}

#[test]
fn echo_and_upper_have_a_listener_without_hosts() {
    let variables = [("MIOD_MAX_CONNECTIONS", "9"), ("MIOD_LISTING", "perhaps")];
    let echo = serve("-v echo --send-timeout 1 --delay 5 --chaos 7", &variables);
    let [listener] = &echo.listeners[..] else { panic!("{echo:?}") };
    assert_eq!(
        (listener.protocol, listener.port, listener.send_timeout),
        (Protocol::Echo, 5555, Duration::from_secs(1))
    );
    assert_eq!((listener.delay, listener.chaos), (Duration::from_millis(5), Some(7)));
    assert_eq!((echo.process.max_connections, echo.process.logging.verbosity), (Some(9), 1));
    assert!(listener.bind.is_empty() && echo.hosts.is_empty());
    assert_eq!(serve("upper -p0", &[]).listeners[0].port, 0);
    assert_eq!(serve("upper", &[]).listeners[0].port, 12_000);
    assert_eq!(wrong("echo --listing", &[]), "echo has no option --listing");
    assert_eq!(wrong("echo site", &[]), "unexpected argument \"site\"");
}

#[test]
fn help_and_version_replace_the_command() {
    assert!(matches!(run("--help", &[]), Ok(Command::Help(text)) if text.contains("Examples")));
    assert!(matches!(run("echo -h", &[]), Ok(Command::Help(text)) if text.contains("5555")));
    assert!(matches!(run("upper -V", &[]), Ok(Command::Version)));
}

#[test]
fn mistakes_get_a_hint() {
    for (arguments, expected) in [
        ("--listng", "unknown option --listng; did you mean --listing?"),
        ("--frobnicate", "unknown option --frobnicate"),
        ("-x", "unknown option -x"),
        ("ehco", "unknown command or directory ehco; did you mean echo?"),
        ("tets", "unknown command or directory tets; did you mean tests?"),
        ("frobnicate", "unknown command or directory frobnicate"),
        ("--port", "--port needs a value: PORT"),
        ("--port 99999", "--port=99999: give a port from 0 to 65535; 0 means any free port"),
        ("--bind 8080", "--bind=8080: give an address, like 127.0.0.1 or 0.0.0.0; a port alone is --port 8080"),
        ("--symlinks all", "--symlinks=all: give inside or none"),
        ("--error-page 404", "--error-page=404: give two parts with an equals sign between them"),
        ("--error-page 200=x", "--error-page=200=x: give a status from 400 to 599, 4xx or 5xx, like 404=missing.html"),
        ("--error-page 404=/x", "--error-page=404=/x: give a path relative to the root, like index.html"),
        ("--spa ../x", "--spa=../x: give a path relative to the root, like index.html"),
        (
            "--sessions disk",
            "--sessions: give memory, cookie, file:DIR, http://HOST:PORT/ or redis://[:PASS@]HOST:PORT/DB",
        ),
        ("--session-cookie a;b", "--session-cookie=a;b: a cookie name contains only letters, digits and a few signs"),
        ("--session-cookie __Host-a", "--session-cookie=__Host-a: a cookie of this name must be Secure"),
        ("--session-max 0", "--session-max=0: give whole seconds, like 90, or 30m, 12h or 7d"),
        ("--app lab=lab", "--app=lab=lab: give a path that begins with a slash, like /lab=lab"),
        ("--auth /a", "--auth=/a: give two parts with an equals sign between them"),
        (
            "--proxy http://a:1",
            "--proxy=http://a:1: give a path that begins with a slash, and a URL, like /api=http://127.0.0.1:3000",
        ),
        ("--auth a=b", "--auth=a=b: give a path that begins with a slash, like /private=FILE"),
        ("--trusted-proxy a", "--trusted-proxy=a: give an address or a block of addresses, like 10.0.0.0/8 or ::1"),
        ("paswd", "unknown command or directory paswd; did you mean passwd?"),
        ("--media-type x", "--media-type=x: give two parts with an equals sign between them"),
        ("/a /b", "unexpected argument \"/b\""),
    ] {
        assert_eq!(wrong(arguments, &[]), expected, "{arguments}");
    }
    assert!(wrong("--listing=yes", &[]).contains("listing"));
    assert!(wrong("--media-type .x=text/x", &[]).contains("without the dot"));
}

#[test]
fn a_directory_may_be_named_like_a_command() {
    assert_eq!(serve("./echo", &[]).hosts[0].root, Some(PathBuf::from("./echo")));
    assert_eq!(serve("serve echo", &[]).hosts[0].root, Some(PathBuf::from("echo")));
}

#[test]
fn https_has_a_listener_of_its_own_beside_plain_http() {
    for (arguments, plain, https) in [
        ("--tls a.pem", "", ""),
        ("--tls auto -b 127.0.0.1:81 -b [::1]:82", "127.0.0.1:81 [::1]:82", "127.0.0.1:8443 [::1]:8443"),
        ("--tls auto -b 127.0.0.1 -b unix:/s", "127.0.0.1:8080 unix:/s", "127.0.0.1:8443"),
        ("--tls auto --tls-bind 127.0.0.2:444", "", "127.0.0.2:444"),
    ] {
        let config = serve(arguments, &[]);
        let [main, beside] = &config.listeners[..] else { panic!("{arguments}") };
        assert!(main.tls.is_none() && beside.tls.is_some() && beside.hosts == main.hosts, "{arguments}");
        assert_eq!((at(main).join(" ").as_str(), at(beside).join(" ").as_str(), beside.port), (plain, https, 8443));
    }
    let free = serve("--tls auto -p 0", &[]);
    assert_eq!(free.listeners.iter().map(|listener| listener.port).collect::<Vec<_>>(), [0, 0]);
    // These speak nothing else.
    for command in ["kv", "echo", "upper"] {
        let config = serve(&format!("{command} --tls auto"), &[]);
        assert!(config.listeners.len() == 1 && config.listeners[0].tls.is_some(), "{command}");
    }
}

#[test]
fn a_variable_for_several_certificates_has_semicolons_between_them() {
    let config = serve("", &[("MIOD_TLS", "a.pem,a-key.pem;b.pem")]);
    let files: Vec<_> =
        config.listeners[1].tls.as_ref().unwrap().certificates.iter().map(|pem| pem.to_string()).collect();
    assert_eq!(files, ["a.pem,a-key.pem", "b.pem"]);
}

#[test]
fn options_that_do_nothing_without_tls_are_mistakes() {
    for (arguments, expected) in [
        ("--tls-min 1.3", "need --tls"),
        ("--client-ca f", "need --tls"),
        ("--tls-keylog f", "need --tls"),
        ("--tls-bind 127.0.0.1", "--tls-bind needs --tls"),
        ("--redirect-https", "need --tls"),
        ("--hsts 1", "need --tls"),
        ("--sessions-ca f", "needs a store behind TLS"),
        ("--sessions-ca f --sessions redis://localhost/0", "needs a store behind TLS"),
        ("--sessions-ca f --sessions http://localhost/", "needs a store behind TLS"),
        ("--tls auto --tls a.pem", "auto can't be combined with files"),
        ("--tls auto --tls-min 1.1", "give 1.2 or 1.3"),
        ("--tls auto --hsts x", "whole seconds"),
        ("echo --tls auto --tls-bind 127.0.0.1", "echo has no option --tls-bind"),
    ] {
        let message = wrong(arguments, &[]);
        assert!(message.contains(expected), "{arguments}: {message}");
    }
    serve("--hsts 1 --redirect-https --trusted-proxy 127.0.0.1", &[]);
    serve("--sessions-ca f --sessions rediss://localhost/0", &[]);
}
