//! What a server tells once it listens: on a terminal for people, else in one
//! line for whoever started it.

use std::fmt::Write;
use std::net::SocketAddr;

use crate::config::Config;
use crate::reactor::Endpoint;
use crate::server::Ready;

/// What a server serves.
#[derive(Clone, Copy, Debug)]
pub enum Served<'a> {
    /// Files and applications.
    Http(&'a Config),
    /// Keys and values.
    Kv(&'a Config),
    /// Every octet goes back.
    Echo,
    /// Every line goes back in upper case.
    Upper,
}

/// The banner, with the end of its last line.
pub fn banner(service: Served<'_>, ready: &Ready, terminal: bool) -> String {
    let mut text = format!("miod {} {}", env!("CARGO_PKG_VERSION"), what(service, ready));
    let places = ready.endpoints.iter().map(|endpoint| url(service, endpoint));
    if !terminal {
        for (at, place) in places.enumerate() {
            text += if at == 0 { " on " } else { " " };
            text += &place;
        }
        for (at, endpoint) in ready.kv.iter().enumerate() {
            text += if at == 0 { ", keys and values on " } else { " " };
            text += &url(service, endpoint);
        }
        return text + "\n";
    }
    text += "\n";
    for place in places {
        text += &format!("  at      {place}\n");
    }
    for endpoint in &ready.kv {
        text += &format!("  kv      {}\n", url(service, endpoint));
    }
    // What can't be formatted isn't there: writing to a String succeeds.
    if !ready.apps.is_empty() {
        let apps: Vec<_> = ready.apps.iter().map(|(prefix, name)| format!("{prefix} ({name})")).collect();
        let _ = writeln!(text, "  apps    {}", apps.join(", "));
    }
    if let Some(sessions) = &ready.sessions {
        let _ = writeln!(text, "  state   {sessions}");
    }
    if ready.no_links {
        text += "  note    this system lacks openat2: symbolic links are not followed\n";
    }
    if let Served::Kv(config) | Served::Http(config) = service
        && (matches!(service, Served::Kv(_)) || !ready.kv.is_empty())
    {
        text += &match &config.data {
            Some(directory) => format!("  data    {}\n", directory.display()),
            None => "  data    in memory: gone when this ends; --data DIR keeps it\n".to_owned(),
        };
    }
    let _ = write!(text, "  limits  {} connections", ready.connections);
    if let Served::Http(config) | Served::Kv(config) = service {
        let _ = write!(
            text,
            "; heads within {:?}, idle for {:?}, bodies up to {} octets",
            config.header_timeout, config.idle_timeout, config.body_limit
        );
    }
    text += "\n";
    for (at, line) in examples(service, ready).iter().enumerate() {
        let _ = writeln!(text, "  {}     {line}", if at == 0 { "try" } else { "   " });
    }
    text
}

fn what(service: Served<'_>, ready: &Ready) -> String {
    match (service, &ready.root) {
        (Served::Http(_), Some(root)) => format!("serves {}", root.display()),
        (Served::Http(_), None) => "serves applications".to_owned(),
        (Served::Kv(_), _) => "keeps keys and values".to_owned(),
        (Served::Echo, _) => "echoes".to_owned(),
        (Served::Upper, _) => "answers in upper case".to_owned(),
    }
}

fn url(service: Served<'_>, endpoint: &Endpoint) -> String {
    match (service, endpoint) {
        (Served::Http(_) | Served::Kv(_), Endpoint::Tcp(address)) if address.port() == 80 => match address {
            SocketAddr::V4(address) => format!("http://{}/", address.ip()),
            SocketAddr::V6(address) => format!("http://[{}]/", address.ip()),
        },
        (Served::Http(_) | Served::Kv(_), Endpoint::Tcp(address)) => format!("http://{address}/"),
        _ => endpoint.to_string(),
    }
}

/// Two commands that reach the first endpoint from this machine.
fn examples(service: Served<'_>, ready: &Ready) -> Vec<String> {
    let Some(first) = ready.endpoints.first() else { return Vec::new() };
    let local = match first {
        // One can listen at all addresses, but not connect to them.
        Endpoint::Tcp(address) if address.ip().is_unspecified() => {
            let ip = if address.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() };
            Endpoint::Tcp(SocketAddr::new(ip, address.port()))
        }
        other => other.clone(),
    };
    match (service, &local) {
        (Served::Http(_) | Served::Kv(_), Endpoint::Unix(path)) => {
            let path = path.display();
            vec![
                format!("curl -i --unix-socket {path} http://localhost/"),
                format!("curl -I --unix-socket {path} http://localhost/"),
            ]
        }
        (Served::Http(_) | Served::Kv(_), Endpoint::Tcp(_)) => {
            // A shell would take the brackets of IPv6 for a pattern, and so would curl.
            let url = url(service, &local);
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
    use std::path::PathBuf;

    fn at(text: &str) -> Endpoint {
        Endpoint::Tcp(text.parse().unwrap())
    }

    fn ready(endpoints: &[Endpoint]) -> Ready {
        let root = Some(PathBuf::from("/path"));
        Ready {
            endpoints: endpoints.to_vec(),
            kv: Vec::new(),
            root,
            no_links: false,
            apps: Vec::new(),
            sessions: None,
            connections: 10,
        }
    }

    #[test]
    fn one_line_for_programs() {
        let config = Config::default();
        let endpoints = [at("127.0.0.1:8080"), at("[::1]:80"), Endpoint::Unix(PathBuf::from("/run/s"))];
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            banner(Served::Http(&config), &ready(&endpoints), false),
            format!("miod {version} serves /path on http://127.0.0.1:8080/ http://[::1]/ unix:/run/s\n")
        );
        assert_eq!(
            banner(Served::Echo, &ready(&endpoints[..1]), false),
            format!("miod {version} echoes on 127.0.0.1:8080\n")
        );
    }

    #[test]
    fn several_for_people() {
        let config = Config::default();
        let mut info = ready(&[at("0.0.0.0:8080"), at("[::]:8080")]);
        info.apps.push(("/lab".to_owned(), "lab".to_owned()));
        info.sessions = Some("sessions are in memory, gone at exit".to_owned());
        let expected = "serves /path
  at      http://0.0.0.0:8080/
  at      http://[::]:8080/
  apps    /lab (lab)
  state   sessions are in memory, gone at exit
  limits  10 connections; heads within 10s, idle for 60s, bodies up to 1048576 octets
  try     curl -i 'http://127.0.0.1:8080/'
          curl -I 'http://127.0.0.1:8080/'
";
        let text = banner(Served::Http(&config), &info, true);
        assert!(text.ends_with(expected), "{text}");
        info.no_links = true;
        assert!(banner(Served::Http(&config), &info, true).contains("links are not followed"));

        let text = banner(Served::Upper, &ready(&[at("[::1]:12000")]), true);
        assert!(text.contains("in upper case\n  at      [::1]:12000\n") && text.contains("nc ::1 12000"), "{text}");
        for service in [Served::Echo, Served::Http(&config)] {
            let text = banner(service, &ready(&[Endpoint::Unix(PathBuf::from("/run/s"))]), true);
            assert!(text.contains("/run/s"), "{text}");
        }
    }
}
