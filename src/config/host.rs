//! A site: its files, applications and protected paths.

use std::path::PathBuf;
use std::time::Duration;

use super::{FileFields, ForwardProxy, Handler, KV, Positions, Route};
use crate::certificates::PemFiles;
use crate::files::ErrorPage;
use crate::files::resolve::Symlinks;
use crate::http::compressible::{CompressibleTypes, LEVEL};
use crate::http::content_coding::{Codings, ContentCoding};
use crate::http::host_names::HostName;
use crate::http::language::Languages;
use crate::http::rate::Rate;
use crate::limits;

/// A site.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Host {
    /// Its names; none: it is the default host, for requests that are for no other.
    pub names: Vec<HostName>,
    /// Its certificates, in addition to those of the listener.
    pub certificates: Vec<PemFiles>,
    /// The directory whose files are served; `None`: no files.
    pub root: Option<PathBuf>,
    /// List directories without an index file.
    pub listing: bool,
    /// Which symbolic links are followed.
    pub symlinks: Symlinks,
    /// The Cache-Control field of files.
    pub cache_control: String,
    /// The content codings that responses get; empty: none.
    pub compress: Codings,
    /// The media types that get them; `None`: the built-in ones.
    pub compress_types: Option<CompressibleTypes>,
    /// From 1, the fastest, to 9, the smallest result.
    pub compress_level: u8,
    /// Files that are there in a coding, like `a.html.br`, are sent in place of the plain ones.
    pub precompressed: bool,
    /// Entity-tags contain inode and ctime: finer, but different on each machine.
    pub etag_inode: bool,
    /// The names of index files, in their order; empty: `index.html`.
    pub index: Vec<String>,
    /// `/about` shows `about.html`.
    pub pretty_urls: bool,
    /// Files that differ in language or type are representations of one resource.
    pub negotiate: bool,
    /// Their languages, the default first.
    pub languages: Languages,
    /// What the client doesn't accept isn't sent.
    pub strict_negotiation: bool,
    /// The Cache-Control of files by their names: pattern and value. The last that matches counts.
    pub cache_rules: Vec<(String, String)>,
    /// Most requests of an address.
    pub rate: Option<Rate>,
    /// Responses have the fields that tell browsers to be careful.
    pub security_headers: bool,
    /// Media types in addition to the built-in ones: extension and type.
    pub media_types: Vec<(String, String)>,
    /// The file, relative to the root, that is sent with 200 for paths that aren't found.
    pub spa: Option<String>,
    /// The files, relative to the root, that are the content of error responses.
    pub error_pages: Vec<ErrorPage>,
    /// Requests in plain text are redirected to HTTPS.
    pub redirect_https: bool,
    /// How long browsers shall use HTTPS only (RFC 6797). `None`: as they like.
    pub hsts: Option<Duration>,
    /// Responses have the field `Server: miod`.
    pub server_field: bool,
    /// Largest request body that an application gets, in bytes.
    pub body_limit: u64,
    /// The file for the lines of its requests in place of the access log of the process.
    pub access_log: Option<PathBuf>,
    /// The password file of the users who can log in. With `None` only the demonstration
    /// has a user.
    pub users: Option<PathBuf>,
    /// The applications at their usual paths.
    pub apps: Apps,
    /// The demonstration: all applications, and `/private/` for a user whose password is
    /// known to everybody.
    pub demonstration: Demonstration,
    /// The questions of the quiz; `None`: the built-in ones.
    pub quiz: Option<PathBuf>,
    /// Paths with their own application or password file. If none has a password file,
    /// `/private/` is for the users who can log in.
    pub routes: Vec<Route>,
    /// It is a forward proxy, and nothing else.
    pub forward: Option<ForwardProxy>,
    /// Fields of files by their names. The last that matches a file sets a field.
    pub file_fields: Vec<FileFields>,
    /// Where its settings are in the configuration file.
    pub positions: Positions,
}

impl Host {
    /// The key-value service: one route for all paths.
    pub fn key_value(route: Route) -> Self {
        let route = Route { prefix: "/".to_owned(), handler: Some(Handler::App(KV.to_owned())), ..route };
        // Its entity-tags are compared with If-Match, so they must be strong.
        let compress = Codings::NONE;
        Self { root: None, apps: Apps::Only(Vec::new()), routes: vec![route], compress, ..Self::default() }
    }

    /// The page of a mailbox, whose application is mounted at `/`.
    pub fn mailbox(self) -> Self {
        Self { root: None, apps: Apps::Only(Vec::new()), users: None, ..self }
    }

    /// This host as a forward proxy for this machine and the clients that it allows.
    pub fn into_forward_proxy(mut self) -> Self {
        let forward = self.forward.get_or_insert_default().clone();
        let mut allow = forward.allow;
        for loopback in ["127.0.0.0/8", "::1"] {
            allow.add(loopback).expect("these are blocks");
        }
        self.route("/").rules.allow = allow;
        // Its responses are those of other servers.
        Self { root: None, apps: Apps::Only(Vec::new()), server_field: false, compress: Codings::NONE, ..self }
    }

    /// Whether it is a forward proxy.
    pub fn is_forward_proxy(&self) -> bool {
        self.forward.is_some()
    }

    /// Whether it is the key-value service.
    pub fn is_key_value(&self) -> bool {
        self.root.is_none() && self.routes.iter().any(|route| route.app() == Some(KV))
    }

    /// The route of a prefix, which is added if there is none.
    pub fn route(&mut self, prefix: &str) -> &mut Route {
        let bare = |prefix: &str| prefix.strip_suffix('/').unwrap_or(prefix).to_owned();
        let is_same = |route: &Route| bare(&route.prefix) == bare(prefix);
        let at = self.routes.iter().position(is_same).unwrap_or_else(|| {
            self.routes.push(Route { prefix: prefix.to_owned(), ..Route::default() });
            self.routes.len() - 1
        });
        &mut self.routes[at]
    }
}

impl Default for Host {
    fn default() -> Self {
        Self {
            names: Vec::new(),
            certificates: Vec::new(),
            root: Some(PathBuf::from(".")),
            listing: false,
            symlinks: Symlinks::Inside,
            cache_control: "no-cache".to_owned(),
            compress: Codings::NONE.with(ContentCoding::Gzip),
            compress_types: None,
            compress_level: LEVEL,
            precompressed: true,
            etag_inode: false,
            index: Vec::new(),
            pretty_urls: false,
            negotiate: false,
            languages: Languages::default(),
            strict_negotiation: false,
            cache_rules: Vec::new(),
            rate: None,
            security_headers: false,
            media_types: Vec::new(),
            spa: None,
            error_pages: Vec::new(),
            redirect_https: false,
            hsts: None,
            server_field: true,
            body_limit: limits::BODY,
            access_log: None,
            users: None,
            apps: Apps::Usual,
            demonstration: Demonstration::Off,
            quiz: None,
            routes: Vec::new(),
            forward: None,
            file_fields: Vec::new(),
            positions: Positions::default(),
        }
    }
}

/// The built-in applications that are mounted at their usual paths.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Apps {
    /// All in the demonstration. Elsewhere login, home and logout if there are users, else
    /// none.
    Usual,
    /// These.
    Only(Vec<String>),
    /// All but these.
    AllBut(Vec<String>),
}

/// Whether a host is the demonstration. It never answers to other machines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Demonstration {
    /// It isn't.
    Off,
    /// It is, if only this machine can connect.
    IfLocal,
    /// It is. A listener that other machines can reach is an error.
    On,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_has_one_route() {
        let mut host = Host::default();
        host.route("/a").handler = Some(Handler::App("lab".to_owned()));
        host.route("/b").auth = Some("users".into());
        host.route("/a").auth = Some("users".into());
        let shown: Vec<_> = host.routes.iter().map(|route| (route.prefix.as_str(), route.app().is_some())).collect();
        assert_eq!(shown, [("/a", true), ("/b", false)]);
        assert!(host.routes.iter().all(|route| route.auth.is_some()));
    }

    #[test]
    fn the_key_value_service_is_a_host_with_one_route() {
        let host = Host::key_value(Route { capacity: 5, ..Route::default() });
        assert!(host.is_key_value() && !Host::default().is_key_value());
        assert_eq!((host.routes.len(), host.routes[0].prefix.as_str(), host.routes[0].capacity), (1, "/", 5));
    }
}
