//! The URL of a remote store: `redis://[[USER]:PASS@]HOST[:PORT][/DB]` and
//! `http://[:TOKEN@]HOST[:PORT]/`, or the same by TLS with `rediss` and `https`.

use std::fmt;

use percent_encoding::percent_decode_str;

use crate::http::target::valid_host;
use crate::http::uri::split_host_port;

/// The URL of a remote store, with its credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreUrl {
    /// A name or an address; IPv6 without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The connection is by TLS.
    pub tls: bool,
    /// The protocol.
    pub protocol: StoreProtocol,
}

/// The protocol of a store, and the credentials.
#[derive(Clone, PartialEq, Eq)]
pub enum StoreProtocol {
    /// Redis or Valkey.
    Redis {
        /// The user name; none for the default user.
        user: Option<String>,
        /// The password.
        password: Option<String>,
        /// The number of the database.
        database: u32,
    },
    /// A key-value service over HTTP.
    Kv {
        /// The bearer token.
        token: Option<String>,
    },
}

impl StoreProtocol {
    /// What is offered by ALPN over TLS: Redis has no name there.
    pub fn alpn(&self) -> &'static [&'static str] {
        match self {
            Self::Redis { .. } => &[],
            Self::Kv { .. } => &["http/1.1"],
        }
    }
}

impl StoreUrl {
    /// Parses a URL.
    ///
    /// # Errors
    /// A hint for the user.
    pub fn parse(url: &str) -> Result<Self, String> {
        let (is_redis, tls, rest) = match url.split_once("://") {
            Some(("redis", rest)) => (true, false, rest),
            Some(("rediss", rest)) => (true, true, rest),
            Some(("http", rest)) => (false, false, rest),
            Some(("https", rest)) => (false, true, rest),
            _ => {
                return Err("give redis://[:PASS@]HOST:PORT/DB or http://HOST:PORT/, or rediss:// or https:// for TLS"
                    .to_owned());
            }
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user_info, host) = match authority.rsplit_once('@') {
            Some((user_info, host)) => (user_info, host),
            None => ("", authority),
        };
        if !valid_host(host.as_bytes()) {
            let hint = if path.contains('@') { "; write / in a password as %2F" } else { "" };
            return Err(format!("give a valid HOST:PORT{hint}"));
        }
        let (host, port) = split_host_port(host);
        let port = match (port, is_redis) {
            ("", true) => 6379,
            ("", false) => {
                if tls {
                    443
                } else {
                    80
                }
            }
            (port, _) => port.parse().ok().filter(|port| *port != 0).ok_or("give a port from 1 to 65535")?,
        };
        let (user, secret) = user_info.split_once(':').unwrap_or((user_info, ""));
        let (user, secret) = (decode(user)?, decode(secret)?);
        let protocol = if is_redis {
            let database = if path.is_empty() { Ok(0) } else { path.parse() };
            let database = database.map_err(|_| "the database is a number, like the 0 of redis://HOST:PORT/0")?;
            if user.is_some() && secret.is_none() {
                // Without a password the connection would be that of the default user.
                return Err("give the password of the user: redis://USER:PASS@HOST:PORT/DB".to_owned());
            }
            StoreProtocol::Redis { user, password: secret, database }
        } else if !path.is_empty() {
            return Err("a key-value service has no path: give http://HOST:PORT/".to_owned());
        } else if user.is_some() {
            return Err("give a token after a colon: http://:TOKEN@HOST:PORT/".to_owned());
        } else {
            StoreProtocol::Kv { token: secret }
        };
        Ok(Self { host: host.to_owned(), port, tls, protocol })
    }

    /// The host and port as in a Host field.
    pub fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

/// Without the credentials.
impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = if self.tls { "s" } else { "" };
        match &self.protocol {
            StoreProtocol::Redis { database, .. } => write!(f, "redis{s}://{}/{database}", self.authority()),
            StoreProtocol::Kv { .. } => write!(f, "http{s}://{}/", self.authority()),
        }
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The decoded text; none if it is empty.
fn decode(text: &str) -> Result<Option<String>, String> {
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| "the part before @ is not UTF-8")?;
    if decoded.chars().any(char::is_control) {
        return Err("the part before @ contains a control character".to_owned());
    }
    Ok((!decoded.is_empty()).then(|| decoded.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_parsed_and_shown_without_credentials() {
        let redis = |user: Option<&str>, password: Option<&str>, database| StoreProtocol::Redis {
            user: user.map(str::to_owned),
            password: password.map(str::to_owned),
            database,
        };
        let kv = |token: Option<&str>| StoreProtocol::Kv { token: token.map(str::to_owned) };
        for (url, host, port, protocol, shown) in [
            ("redis://localhost:6380/2", "localhost", 6380, redis(None, None, 2), "redis://localhost:6380/2"),
            ("redis://127.0.0.1", "127.0.0.1", 6379, redis(None, None, 0), "redis://127.0.0.1:6379/0"),
            ("redis://:p%40ss@h:1/", "h", 1, redis(None, Some("p@ss"), 0), "redis://h:1/0"),
            ("redis://u:p@[::1]:1/0", "::1", 1, redis(Some("u"), Some("p"), 0), "redis://[::1]:1/0"),
            ("redis://:a@b@[::1]", "::1", 6379, redis(None, Some("a@b"), 0), "redis://[::1]:6379/0"),
            ("http://127.0.0.1:5100/", "127.0.0.1", 5100, kv(None), "http://127.0.0.1:5100/"),
            ("http://:t@kv", "kv", 80, kv(Some("t")), "http://kv:80/"),
            ("https://:t@kv", "kv", 443, kv(Some("t")), "https://kv:443/"),
            ("rediss://h", "h", 6379, redis(None, None, 0), "rediss://h:6379/0"),
        ] {
            let parsed = StoreUrl::parse(url).unwrap_or_else(|why| panic!("{url}: {why}"));
            assert_eq!(parsed.to_string(), shown);
            let tls = shown.starts_with("rediss") || shown.starts_with("https");
            assert!(parsed == StoreUrl { host: host.to_owned(), port, tls, protocol }, "{url}");
        }
        for url in [
            "",
            "redis",
            "redis://",
            "redisss://h",
            "://h",
            "redis://h:0",
            "redis://h:65536",
            "redis://h/x",
            "redis://u@h/0",
            "redis://u:@h/0",
            "redis://h/0/1",
            "http://h/path",
            "http://u@h/",
            "http://:%0d%0a@h/",
            "http://:%ff@h/",
            "http://a b/",
        ] {
            assert!(StoreUrl::parse(url).is_err(), "{url}");
        }
    }
}
