//! What a server prints when it is ready: several lines on a terminal, else one line for
//! the program that started it.

use std::fmt::Write;
use std::net::SocketAddr;

use crate::config::value_text::size;
use crate::config::{Config, Demonstration, Host, Listener, Protocol};
use crate::files::nothing_to_show;
use crate::reactor::Endpoint;
use crate::server::{Authority, Protection, Ready};

/// The banner of a server, with a line end.
pub fn banner(config: &Config, ready: &Ready, terminal: bool) -> String {
    let scheme = Scheme::of(&config.listeners[0]);
    let text = format!("miod {} {}", env!("CARGO_PKG_VERSION"), purpose(config, ready));
    if terminal { text + "\n" + &details(config, ready) } else { text + &addresses(scheme, ready) + "\n" }
}

/// The addresses, for a banner of one line.
fn addresses(scheme: Scheme, ready: &Ready) -> String {
    let mut text = String::new();
    for (first, scheme, endpoints) in [
        (" on ", Scheme::Smtp, &ready.mail),
        (" ", Scheme::Smtps, &ready.mails),
        (if ready.mail.is_empty() { " on " } else { ", shown on " }, scheme, &ready.endpoints),
        (" ", Scheme::Https, &ready.https),
        (", keys and values on ", Scheme::Http, &ready.kv),
        (", for operators on ", Scheme::Http, &ready.admin),
    ] {
        for (at, endpoint) in endpoints.iter().enumerate() {
            text += if at == 0 { first } else { " " };
            text += &url(scheme, endpoint);
        }
    }
    text
}

/// Whether the host of the main listener is of this kind.
fn is(config: &Config, kind: fn(&Host) -> bool) -> bool {
    config.default_host(&config.listeners[0]).is_some_and(kind)
}

/// The further lines, for people.
fn details(config: &Config, ready: &Ready) -> String {
    let listener = &config.listeners[0];
    let scheme = Scheme::of(listener);
    let mut text = String::new();
    for (name, scheme, endpoints) in [
        ("mail", Scheme::Smtp, &ready.mail),
        ("mail", Scheme::Smtps, &ready.mails),
        (if ready.mail.is_empty() { "at" } else { "shown" }, scheme, &ready.endpoints),
        ("at", Scheme::Https, &ready.https),
        ("kv", Scheme::Http, &ready.kv),
        ("admin", Scheme::Http, &ready.admin),
    ] {
        for endpoint in endpoints {
            text += &format!("  {name:<7} {}\n", url(scheme, endpoint));
        }
    }
    text += &trust(ready);
    // Writing to a string can't fail.
    if !ready.apps.is_empty() {
        let apps: Vec<_> = ready.apps.iter().map(|(prefix, name)| format!("{prefix} ({name})")).collect();
        let _ = writeln!(text, "  apps    {}", apps.join(", "));
    }
    if let Some(sessions) = &ready.sessions {
        let _ = writeln!(text, "  state   {sessions}");
    }
    if let Some(cache) = &ready.cache {
        let _ = writeln!(text, "  cache   {cache}");
    }
    for (prefix, protection) in &ready.protected {
        let _ = match protection {
            Protection::File(file, users) => writeln!(text, "  auth    {prefix} ({}, users: {users})", file.display()),
            Protection::Demonstration => writeln!(text, "  auth    {prefix} (alice, password apple: a demonstration)"),
            Protection::Open => {
                writeln!(text, "  note    {prefix} is open to everybody; --auth {prefix}=FILE protects it")
            }
        };
    }
    if ready.demonstration {
        text += "  note    this is the demonstration, for this machine only; miod ROOT serves your own site\n";
    } else if config.default_host(listener).is_some_and(|host| host.demonstration == Demonstration::IfLocal) {
        text += "  note    other machines can connect, so the demonstration is off; --apps turns applications on\n";
    }
    if let (true, Some(root)) = (ready.bare_root, &ready.root) {
        let _ = writeln!(text, "  note    {}", nothing_to_show(root));
    }
    if ready.no_links {
        text += "  note    this system lacks openat2: symbolic links are not followed\n";
    }
    if is(config, Host::is_key_value) || !ready.kv.is_empty() || config.process.mailbox.is_some() {
        text += &match &config.process.data {
            Some(directory) => format!("  data    {}\n", directory.display()),
            None => "  data    in memory, lost at exit; --data DIR keeps it\n".to_owned(),
        };
    }
    text += &limits(config, ready);
    for (at, line) in examples(config, scheme, ready).iter().enumerate() {
        let _ = writeln!(text, "  {}     {line}", if at == 0 { "try" } else { "   " });
    }
    text
}

/// What the server restricts itself to.
fn limits(config: &Config, ready: &Ready) -> String {
    let mut text = String::new();
    let listener = &config.listeners[0];
    if let Some(sandbox) = &ready.sandbox {
        let _ = writeln!(text, "  sandbox {sandbox}");
    }
    if let Some(tap) = &ready.tap {
        let _ = writeln!(text, "  tap     {tap}");
    }
    let _ = write!(text, "  limits  {} connections", ready.connections);
    if let Some(mailbox) = &config.process.mailbox {
        let _ = write!(text, "; messages up to {}", size(mailbox.size_limit));
    } else if let Some(host) = config.default_host(listener) {
        let _ = write!(
            text,
            "; heads within {:?}, idle for {:?}, bodies up to {}",
            listener.header_timeout,
            listener.idle_timeout,
            size(host.body_limit)
        );
    }
    text += "\n";
    text
}

fn purpose(config: &Config, ready: &Ready) -> String {
    match (config.listeners[0].protocol, &ready.root) {
        _ if config.process.mailbox.is_some() => "receives mail".to_owned(),
        (Protocol::Http | Protocol::Admin, Some(root)) => format!("serves {}", root.display()),
        (Protocol::Http, None) if is(config, Host::is_key_value) => "keeps keys and values".to_owned(),
        (Protocol::Http, None) if is(config, Host::is_forward_proxy) => "is a forward proxy".to_owned(),
        (Protocol::Http | Protocol::Admin, None) => "serves applications".to_owned(),
        (Protocol::Echo, _) => "echoes".to_owned(),
        (Protocol::Upper, _) => "answers in upper case".to_owned(),
        (Protocol::Smtp | Protocol::Smtps, _) => "receives mail".to_owned(),
    }
}

/// How the endpoints of a listener are shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
    Smtp,
    Smtps,
    /// They have no URL.
    Lines,
}

impl Scheme {
    fn of(listener: &Listener) -> Self {
        match (listener.protocol, &listener.tls) {
            (Protocol::Http | Protocol::Admin, None) => Self::Http,
            (Protocol::Http | Protocol::Admin, Some(_)) => Self::Https,
            (Protocol::Echo | Protocol::Upper, _) => Self::Lines,
            (Protocol::Smtp, _) => Self::Smtp,
            (Protocol::Smtps, _) => Self::Smtps,
        }
    }

    fn name_and_port(self) -> (&'static str, u16) {
        match self {
            Self::Http | Self::Lines => ("http", 80),
            Self::Https => ("https", 443),
            Self::Smtp => ("smtp", 25),
            Self::Smtps => ("smtps", 465),
        }
    }
}

/// What to know about the certificates, and whom clients must trust.
fn trust(ready: &Ready) -> String {
    let mut text = String::new();
    if let Some(Authority { file, fingerprint }) = &ready.authority {
        let file = file.display();
        let port = ready.https.iter().chain(&ready.endpoints).find_map(|endpoint| match endpoint {
            Endpoint::Tcp(address) => Some(address.port()),
            Endpoint::Unix(_) => None,
        });
        // Writing to a string can't fail.
        let _ = writeln!(text, "  tls     certificate of your own authority in {file}");
        let _ = writeln!(text, "          its SHA-256 is {fingerprint}");
        if ready.mail.is_empty() {
            let _ = writeln!(text, "          curl --cacert {file} https://localhost:{}/", port.unwrap_or(443));
            text += "          a browser trusts it when it is imported there as an authority\n";
        } else {
            let _ = writeln!(text, "          miod mail --cacert {file} trusts it");
        }
    }
    for notice in &ready.notices {
        let _ = writeln!(text, "  WARNING {notice}");
    }
    text
}

fn url(scheme: Scheme, endpoint: &Endpoint) -> String {
    let (name, default_port) = scheme.name_and_port();
    match (scheme, endpoint) {
        (Scheme::Lines, _) | (_, Endpoint::Unix(_)) => endpoint.to_string(),
        (Scheme::Smtp | Scheme::Smtps, Endpoint::Tcp(address)) => format!("{name}://{address}"),
        (_, Endpoint::Tcp(address)) if address.port() == default_port => match address {
            SocketAddr::V4(address) => format!("{name}://{}/", address.ip()),
            SocketAddr::V6(address) => format!("{name}://[{}]/", address.ip()),
        },
        (_, Endpoint::Tcp(address)) => format!("{name}://{address}/"),
    }
}

/// How this machine connects to an endpoint.
fn local(endpoint: &Endpoint) -> Endpoint {
    match endpoint {
        // A client can't connect to the unspecified address.
        Endpoint::Tcp(address) if address.ip().is_unspecified() => {
            let ip = if address.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() };
            Endpoint::Tcp(SocketAddr::new(ip, address.port()))
        }
        other => other.clone(),
    }
}

/// One command or two that connect to the first endpoint from this machine.
fn examples(config: &Config, scheme: Scheme, ready: &Ready) -> Vec<String> {
    if let Some(mail) = ready.mail.first() {
        let server = url(Scheme::Smtp, &local(mail));
        return vec![format!("miod mail --server '{server}' --from ada@example.org --body Hello bob@example.org")];
    }
    let Some(first) = ready.endpoints.first() else { return Vec::new() };
    let local = local(first);
    match (scheme, &local) {
        (Scheme::Http | Scheme::Https, Endpoint::Tcp(_)) if is(config, Host::is_forward_proxy) => {
            let proxy = url(scheme, &local);
            vec![
                format!("http_proxy={proxy} curl -i http://www.example.org/"),
                format!("curl -i {proxy}www.example.org/"),
            ]
        }
        (Scheme::Http | Scheme::Https, Endpoint::Unix(path)) => {
            let path = path.display();
            vec![
                format!("curl -i --unix-socket {path} http://localhost/"),
                format!("curl -I --unix-socket {path} http://localhost/"),
            ]
        }
        (Scheme::Http | Scheme::Https, Endpoint::Tcp(_)) => {
            // The brackets of IPv6 are a pattern for a shell and for curl.
            let url = url(scheme, &local);
            let g = if url.contains('[') { " -g" } else { "" };
            vec![format!("curl{g} -i '{url}'"), format!("curl{g} -I '{url}'")]
        }
        (_, Endpoint::Unix(path)) => {
            let path = path.display();
            vec![format!("echo hello | nc -N -U {path}"), format!("nc -U {path}")]
        }
        (_, Endpoint::Tcp(address)) => {
            let (ip, port) = (address.ip(), address.port());
            vec![format!("echo hello | nc -N {ip} {port}"), format!("nc {ip} {port}")]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Process;
    use std::path::PathBuf;

    fn at(text: &str) -> Endpoint {
        Endpoint::Tcp(text.parse().unwrap())
    }

    fn web() -> Config {
        Config::single(Process::default(), Listener::default(), Host::default())
    }

    fn lines(protocol: Protocol) -> Config {
        let listener = Listener { protocol, ..Listener::default() };
        Config { process: Process::default(), listeners: vec![listener], hosts: Vec::new() }
    }

    fn ready(endpoints: &[Endpoint]) -> Ready {
        let root = Some(PathBuf::from("/path"));
        Ready { endpoints: endpoints.to_vec(), root, connections: 10, ..Ready::default() }
    }

    #[test]
    fn without_a_terminal_the_banner_is_one_line() {
        let config = web();
        let endpoints = [at("127.0.0.1:8080"), at("[::1]:80"), Endpoint::Unix(PathBuf::from("/run/s"))];
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            banner(&config, &ready(&endpoints), false),
            format!("miod {version} serves /path on http://127.0.0.1:8080/ http://[::1]/ unix:/run/s\n")
        );
        assert_eq!(
            banner(&lines(Protocol::Echo), &ready(&endpoints[..1]), false),
            format!("miod {version} echoes on 127.0.0.1:8080\n")
        );
    }

    #[test]
    fn a_terminal_gets_details() {
        let config = web();
        let mut info = ready(&[at("0.0.0.0:8080"), at("[::]:8080")]);
        info.apps.push(("/lab".to_owned(), "lab".to_owned()));
        info.sessions = Some("sessions are in memory and lost at exit".to_owned());
        info.cache = Some("/srv/cache (1G)".to_owned());
        let expected = "serves /path
  at      http://0.0.0.0:8080/
  at      http://[::]:8080/
  apps    /lab (lab)
  state   sessions are in memory and lost at exit
  cache   /srv/cache (1G)
  limits  10 connections; heads within 10s, idle for 60s, bodies up to 1M
  try     curl -i 'http://127.0.0.1:8080/'
          curl -I 'http://127.0.0.1:8080/'
";
        let text = banner(&config, &info, true);
        assert!(text.ends_with(expected), "{text}");
        let users = Protection::File(PathBuf::from("file"), 3);
        info.protected = vec![("/a".to_owned(), users), ("/b/".to_owned(), Protection::Demonstration)];
        let text = banner(&config, &info, true);
        assert!(text.contains("\n  auth    /a (file, users: 3)\n  auth    /b/ (alice, password apple"), "{text}");
        info.bare_root = true;
        let text = banner(&config, &info, true);
        assert!(text.contains("\n  note    /path has no index.html; --listing shows"), "{text}");
        info.no_links = true;
        assert!(banner(&config, &info, true).contains("links are not followed"));

        let text = banner(&lines(Protocol::Upper), &ready(&[at("[::1]:12000")]), true);
        assert!(text.contains("in upper case\n  at      [::1]:12000\n") && text.contains("nc ::1 12000"), "{text}");
        for config in [&lines(Protocol::Echo), &config] {
            let text = banner(config, &ready(&[Endpoint::Unix(PathBuf::from("/run/s"))]), true);
            assert!(text.contains("/run/s"), "{text}");
        }
    }
}
