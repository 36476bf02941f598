//! What a server tells once it listens: on a terminal for people, else in one
//! line for whoever started it.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;

use crate::config::Config;
use crate::reactor::Endpoint;

/// What there is to tell.
#[derive(Clone, Debug)]
pub struct BannerInfo<'a> {
    /// What is served.
    pub service: Served<'a>,
    /// Where, as it came out.
    pub endpoints: &'a [Endpoint],
    /// Most connections at once, as it came out.
    pub connections: usize,
}

/// What a server serves.
#[derive(Clone, Debug)]
pub enum Served<'a> {
    /// Files and applications.
    Http {
        /// The directory, absolute.
        root: &'a Path,
        /// The limits.
        config: &'a Config,
        /// The applications: prefix and name.
        apps: &'a [(String, String)],
    },
    /// Every octet goes back.
    Echo,
    /// Every line goes back in upper case.
    Upper,
}

/// The banner, with the end of its last line.
pub fn banner(info: &BannerInfo<'_>, terminal: bool) -> String {
    let mut text = format!("miod {} {}", env!("CARGO_PKG_VERSION"), what(&info.service));
    let places = info.endpoints.iter().map(|endpoint| url(&info.service, endpoint));
    if !terminal {
        for (at, place) in places.enumerate() {
            text += if at == 0 { " on " } else { " " };
            text += &place;
        }
        return text + "\n";
    }
    text += "\n";
    for place in places {
        text += &format!("  at      {place}\n");
    }
    // What can't be formatted isn't there: writing to a String succeeds.
    if let Served::Http { config, apps, .. } = &info.service {
        if !apps.is_empty() {
            let apps: Vec<_> = apps.iter().map(|(prefix, name)| format!("{prefix} ({name})")).collect();
            let _ = writeln!(text, "  apps    {}", apps.join(", "));
        }
        let _ = writeln!(
            text,
            "  limits  {} connections; heads within {:?}, idle for {:?}, bodies up to {} octets",
            info.connections, config.header_timeout, config.idle_timeout, config.body_limit
        );
    } else {
        let _ = writeln!(text, "  limits  {} connections", info.connections);
    }
    for (at, line) in examples(info).iter().enumerate() {
        let _ = writeln!(text, "  {}     {line}", if at == 0 { "try" } else { "   " });
    }
    text
}

fn what(service: &Served<'_>) -> String {
    match service {
        Served::Http { root, .. } => format!("serves {}", root.display()),
        Served::Echo => "echoes".to_owned(),
        Served::Upper => "answers in upper case".to_owned(),
    }
}

fn url(service: &Served<'_>, endpoint: &Endpoint) -> String {
    match (service, endpoint) {
        (Served::Http { .. }, Endpoint::Tcp(address)) if address.port() == 80 => match address {
            SocketAddr::V4(address) => format!("http://{}/", address.ip()),
            SocketAddr::V6(address) => format!("http://[{}]/", address.ip()),
        },
        (Served::Http { .. }, Endpoint::Tcp(address)) => format!("http://{address}/"),
        _ => endpoint.to_string(),
    }
}

/// Two commands that reach the first endpoint from this machine.
fn examples(info: &BannerInfo<'_>) -> Vec<String> {
    let Some(first) = info.endpoints.first() else { return Vec::new() };
    let local = match first {
        // One can listen at all addresses, but not connect to them.
        Endpoint::Tcp(address) if address.ip().is_unspecified() => {
            let ip = if address.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() };
            Endpoint::Tcp(SocketAddr::new(ip, address.port()))
        }
        other => other.clone(),
    };
    match (&info.service, &local) {
        (Served::Http { .. }, Endpoint::Unix(path)) => {
            let path = path.display();
            vec![
                format!("curl -i --unix-socket {path} http://localhost/"),
                format!("curl -I --unix-socket {path} http://localhost/"),
            ]
        }
        (Served::Http { .. }, Endpoint::Tcp(_)) => {
            // A shell would take the brackets of IPv6 for a pattern, and so would curl.
            let url = url(&info.service, &local);
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

    #[test]
    fn one_line_for_programs() {
        let config = Config::default();
        let service = Served::Http { root: Path::new("/path"), config: &config, apps: &[] };
        let endpoints = [at("127.0.0.1:8080"), at("[::1]:80"), Endpoint::Unix(PathBuf::from("/run/s"))];
        let info = BannerInfo { service, endpoints: &endpoints, connections: 10 };
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            banner(&info, false),
            format!("miod {version} serves /path on http://127.0.0.1:8080/ http://[::1]/ unix:/run/s\n")
        );
        let info = BannerInfo { service: Served::Echo, endpoints: &endpoints[..1], connections: 10 };
        assert_eq!(banner(&info, false), format!("miod {version} echoes on 127.0.0.1:8080\n"));
    }

    #[test]
    fn several_for_people() {
        let config = Config::default();
        let apps = [("/lab".to_owned(), "lab".to_owned())];
        let service = Served::Http { root: Path::new("/path"), config: &config, apps: &apps };
        let info = BannerInfo { service, endpoints: &[at("0.0.0.0:8080"), at("[::]:8080")], connections: 10 };
        let expected = "serves /path
  at      http://0.0.0.0:8080/
  at      http://[::]:8080/
  apps    /lab (lab)
  limits  10 connections; heads within 10s, idle for 60s, bodies up to 1048576 octets
  try     curl -i 'http://127.0.0.1:8080/'
          curl -I 'http://127.0.0.1:8080/'
";
        let text = banner(&info, true);
        assert!(text.ends_with(expected), "{text}");

        let info = BannerInfo { service: Served::Upper, endpoints: &[at("[::1]:12000")], connections: 10 };
        let text = banner(&info, true);
        assert!(text.contains("in upper case\n  at      [::1]:12000\n") && text.contains("nc ::1 12000"), "{text}");
        let endpoints = [Endpoint::Unix(PathBuf::from("/run/s"))];
        for service in [Served::Echo, Served::Http { root: Path::new("/"), config: &config, apps: &[] }] {
            let text = banner(&BannerInfo { service, endpoints: &endpoints, connections: 1 }, true);
            assert!(text.contains("/run/s"), "{text}");
        }
    }
}
