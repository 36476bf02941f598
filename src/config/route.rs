//! The paths below a prefix: what answers there, and by which rules.
//!
//! The longest prefix decides what answers. A rule that it leaves open is that of the route
//! around it, and so on to the host: a route below a protected one is protected, too.

use std::fmt;
use std::path::PathBuf;

use super::{Positions, ProxyRoute};
use crate::http::address_blocks::AddressBlocks;
use crate::http::cors::Cors;
use crate::http::rate::Rate;
use crate::http::redirect::RedirectTarget;
use crate::limits;

/// The paths below a prefix.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Route {
    /// An absolute path, decoded; it also covers the paths below it.
    pub prefix: String,
    /// What answers; `None`: what answers for the route around it, in the end the host's files.
    pub handler: Option<Handler>,
    /// The password file of the users who are allowed; `None`: everybody, or those of the route
    /// around it.
    pub auth: Option<PathBuf>,
    /// The bearer token that clients of the key-value service must send; `None`: no token.
    pub token: Option<String>,
    /// Most bytes of the keys and values of the key-value service.
    pub capacity: usize,
    /// Rules for all requests.
    pub rules: Rules,
    /// Where its settings are in the configuration file.
    pub positions: Positions,
}

impl Route {
    /// The name of its application, if one answers.
    pub fn app(&self) -> Option<&str> {
        if let Some(Handler::App(name)) = &self.handler { Some(name) } else { None }
    }
}

impl Default for Route {
    fn default() -> Self {
        Self {
            prefix: "/".to_owned(),
            handler: None,
            auth: None,
            token: None,
            capacity: limits::KV_STORE,
            rules: Rules::default(),
            positions: Positions::default(),
        }
    }
}

/// What answers the requests of a route.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Handler {
    /// The files of the host.
    Files,
    /// The files of this directory. The prefix isn't part of their paths.
    Root(PathBuf),
    /// The application of this name.
    App(String),
    /// A redirect.
    Redirect(Redirect),
    /// Always the same response.
    Respond(Respond),
    /// Other servers.
    Proxy(ProxyRoute),
}

/// A redirect.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Redirect {
    /// The status: 301, 302, 303, 307 or 308.
    pub status: u16,
    /// Where to.
    pub to: RedirectTarget,
}

/// A response that is always the same.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Respond {
    /// The status: 200 to 599.
    pub status: u16,
    /// The media type of the content; `None`: plain text, or that of the file.
    pub media_type: Option<String>,
    /// Its content.
    pub content: Content,
}

/// The content of a fixed response.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Content {
    /// This text.
    Text(String),
    /// The content of this file at the start; its name decides the media type.
    File(PathBuf),
}

/// Rules for the requests of a host or a route. What is `None` or empty is that of the route
/// around it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rules {
    /// Changes of response fields.
    pub headers: FieldChanges,
    /// The Cache-Control field of files.
    pub cache_control: Option<String>,
    /// Which pages of other origins may read responses.
    pub cors: Option<Cors>,
    /// The methods that are allowed, besides OPTIONS; `None`: those of the handler.
    pub methods: Option<Vec<String>>,
    /// Largest request body that an application gets, in bytes.
    pub body_limit: Option<u64>,
    /// The addresses of clients that are allowed; empty: all.
    pub allow: AddressBlocks,
    /// The addresses of clients that are refused, also if they are allowed.
    pub deny: AddressBlocks,
    /// Most requests of an address.
    pub rate: Option<Rate>,
    /// Requests get a line in the access log.
    pub log: Option<bool>,
    /// Responses are compressed.
    pub compress: Option<bool>,
}

impl Rules {
    /// With the rules of the route around it for what is left open.
    pub fn within(self, outer: &Self) -> Self {
        fn or<T: Clone + Default + PartialEq>(own: T, outer: &T) -> T {
            if own == T::default() { outer.clone() } else { own }
        }
        Self {
            headers: or(self.headers, &outer.headers),
            cache_control: or(self.cache_control, &outer.cache_control),
            cors: or(self.cors, &outer.cors),
            methods: or(self.methods, &outer.methods),
            body_limit: or(self.body_limit, &outer.body_limit),
            allow: or(self.allow, &outer.allow),
            deny: or(self.deny, &outer.deny),
            rate: or(self.rate, &outer.rate),
            log: or(self.log, &outer.log),
            compress: or(self.compress, &outer.compress),
        }
    }
}

/// Changes of response fields: what is removed or set replaces what the handler writes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FieldChanges {
    /// Field lines in place of the handler's: name and value.
    pub set: Vec<(String, String)>,
    /// Field lines in addition to the handler's.
    pub add: Vec<(String, String)>,
    /// Names of fields that are left out.
    pub remove: Vec<String>,
}

/// The fields of files by their names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileFields {
    /// Which files: `*.woff2` in any directory, `/assets/**` by the path.
    pub glob: String,
    /// The field lines: name and value.
    pub set: Vec<(String, String)>,
}

impl FieldChanges {
    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && self.remove.is_empty()
    }
}

impl fmt::Display for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Files => f.write_str("files"),
            Self::Root(path) => write!(f, "root {}", path.display()),
            Self::App(name) => write!(f, "app {name}"),
            Self::Redirect(redirect) => write!(f, "redirect {} {}", redirect.status, redirect.to),
            Self::Respond(respond) => write!(f, "respond {}", respond.status),
            Self::Proxy(proxy) => {
                f.write_str("proxy")?;
                proxy.upstreams.iter().try_for_each(|upstream| write!(f, " {}", upstream.url))
            }
        }
    }
}
