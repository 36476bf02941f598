//! What the process needs of the file system and of the network: computed from the
//! configuration alone.
//!
//! The sandbox, the change of the user and the unit for a service manager have the same
//! question: which files does the server read, which does it write, and where does it listen?
//!
//! A file is replaced by renaming another one to it. So what must be readable or writable is
//! the directory that it is in.

use std::path::{Path, PathBuf};

use crate::config::{AccessLog, CachePlace, Config, Content, Handler, Respond, SessionStore, Trust, UpstreamUrl};
use crate::reactor::Endpoint;

/// Something that the process needs. A directory includes everything below it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Allowed {
    /// A directory or file is read.
    Read(PathBuf),
    /// A directory or file is written at the start, and only read later.
    Create(PathBuf),
    /// A directory or file is written at any time.
    Write(PathBuf),
    /// A TCP port is listened at.
    Bind(u16),
    /// Connections are made to a TCP port.
    Connect(u16),
    /// Connections are made to any TCP port.
    ConnectAnywhere,
}

/// What a server with this configuration needs, each once. `endpoints` is where it listens,
/// and `state` the directory for what belongs to no option.
pub(crate) fn access(config: &Config, endpoints: &[Endpoint], state: Option<&Path>) -> Vec<Allowed> {
    let mut all: Vec<_> = read_files(config).iter().map(|path| Allowed::Read(around(path))).collect();
    of_process(config, state, &mut all);
    of_listeners(config, state, &mut all);
    of_hosts(config, &mut all);
    for endpoint in endpoints {
        match endpoint {
            Endpoint::Tcp(address) => all.push(Allowed::Bind(address.port())),
            // Its file is removed at the end.
            Endpoint::Unix(path) => all.push(Allowed::Write(around(path))),
        }
    }
    all.sort();
    all.dedup();
    all
}

fn of_process(config: &Config, state: Option<&Path>, all: &mut Vec<Allowed>) {
    let process = &config.process;
    if let AccessLog::File(path) = &process.logging.access {
        all.push(Allowed::Write(around(path)));
    }
    all.extend(process.data.iter().map(|directory| Allowed::Write(directory.clone())));
    if let CachePlace::Directory(directory) = &process.proxy_cache.place {
        all.push(Allowed::Write(directory.clone()));
    }
    all.extend(process.tap.file.iter().map(|path| Allowed::Write(around(path))));
    all.extend(process.pid_file.iter().map(|path| Allowed::Write(around(path))));
    match &process.sessions.store {
        SessionStore::Directory(directory) => all.push(Allowed::Write(directory.clone())),
        SessionStore::Remote(url) => all.push(Allowed::Connect(url.port)),
        SessionStore::Cookie if process.sessions.key.is_none() => {
            all.extend(state.map(|at| Allowed::Create(at.into())))
        }
        SessionStore::Memory | SessionStore::Cookie => {}
    }
    all.extend(process.sessions.key.iter().map(|path| Allowed::Create(around(path))));
}

fn of_listeners(config: &Config, state: Option<&Path>, all: &mut Vec<Allowed>) {
    for tls in config.listeners.iter().filter_map(|listener| listener.tls.as_ref()) {
        if tls.auto {
            // The certificate is made again before it expires.
            all.extend(state.map(|at| Allowed::Write(at.join("tls"))));
        }
        all.extend(tls.key_log.iter().map(|path| Allowed::Create(around(path))));
    }
}

fn of_hosts(config: &Config, all: &mut Vec<Allowed>) {
    for host in &config.hosts {
        all.extend(host.root.iter().map(|root| Allowed::Read(root.clone())));
        all.extend(host.access_log.iter().map(|path| Allowed::Write(around(path))));
        all.extend(host.routes.iter().filter_map(|route| match &route.handler {
            Some(Handler::Root(root)) => Some(Allowed::Read(root.clone())),
            _ => None,
        }));
        all.extend(host.forward.iter().map(|_| Allowed::ConnectAnywhere));
        let proxies = host.routes.iter().filter_map(|route| match &route.handler {
            Some(Handler::Proxy(proxy)) => Some(&proxy.upstreams),
            _ => None,
        });
        all.extend(proxies.flatten().map(|upstream| match &upstream.url {
            UpstreamUrl::Tcp(server) => Allowed::Connect(server.port),
            UpstreamUrl::Unix(path) => Allowed::Read(around(path)),
        }));
    }
}

/// The files that are read at any time. Each may be a link.
pub(super) fn read_files(config: &Config) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = config.process.config_file.iter().cloned().collect();
    for trust in [&config.process.sessions.trust, &config.process.upstream_trust] {
        if let Trust::File(path) = trust {
            files.push(path.clone());
        }
    }
    for tls in config.listeners.iter().filter_map(|listener| listener.tls.as_ref()) {
        let pairs = tls.certificates.iter().flat_map(|files| [Some(&files.certificate), files.key.as_ref()]);
        files.extend(pairs.flatten().chain(&tls.client_ca).cloned());
    }
    files.extend(config.process.mailbox.iter().filter_map(|mailbox| mailbox.users.clone()));
    for host in &config.hosts {
        let auth = host.routes.iter().filter_map(|route| route.auth.as_ref());
        files.extend(host.users.iter().chain(auth).chain(&host.quiz).cloned());
        files.extend(host.routes.iter().filter_map(|route| match &route.handler {
            Some(Handler::Respond(Respond { content: Content::File(path), .. })) => Some(path.clone()),
            _ => None,
        }));
    }
    files
}

/// The directory that a file is in. A device is alone.
fn around(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if parent == Path::new("/dev") => path.to_owned(),
        Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) => parent.to_owned(),
        None => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificates::PemFiles;
    use crate::config::{Host, Listener, LogOptions, Process, Route, SessionConfig, StoreUrl, Tls};

    fn config(process: Process, tls: Option<Tls>, host: Host) -> Config {
        Config::single(process, Listener { tls, ..Listener::default() }, host)
    }

    fn log(path: &str) -> LogOptions {
        LogOptions { access: AccessLog::File(path.into()), ..LogOptions::default() }
    }

    #[test]
    fn each_option_that_names_a_file_is_included() {
        let sessions = SessionConfig {
            store: SessionStore::Directory("/sessions".into()),
            key: Some("/keys/session.key".into()),
            trust: Trust::File("/ca/ca.pem".into()),
            ..SessionConfig::default()
        };
        let process = Process {
            config_file: Some("/etc/miod.toml".into()),
            data: Some("/data".into()),
            pid_file: Some("/run/miod.pid".into()),
            logging: log("/log/access"),
            sessions,
            ..Process::default()
        };
        let tls = Tls {
            certificates: vec![
                PemFiles::parse("/cert/a.pem,/key/a.pem").unwrap(),
                PemFiles::parse("/both.pem").unwrap(),
            ],
            client_ca: Some("/clients/ca.pem".into()),
            key_log: Some("/secrets/log".into()),
            ..Tls::default()
        };
        let fixed =
            Handler::Respond(Respond { status: 200, content: Content::File("/fixed/file".into()), media_type: None });
        let host = Host {
            root: Some("/srv".into()),
            users: Some("/users/file".into()),
            quiz: Some("quiz.json".into()),
            access_log: Some("/hostlog/file".into()),
            routes: vec![
                Route { auth: Some("/auth/file".into()), ..Route::default() },
                Route { handler: Some(Handler::Root("/other".into())), ..Route::default() },
                Route { handler: Some(fixed), ..Route::default() },
            ],
            ..Host::default()
        };
        let endpoints = [Endpoint::Tcp(([127, 0, 0, 1], 80).into()), Endpoint::Unix("/sockets/s".into())];
        let found = access(&config(process, Some(tls), host), &endpoints, Some(Path::new("/state")));
        let paths = |list: &[&str]| list.iter().map(PathBuf::from).collect::<Vec<_>>();
        let mut expected = Vec::new();
        let read = paths(&[
            "/", "/auth", "/ca", "/cert", "/clients", "/etc", "/fixed", "/key", "/other", "/srv", "/users", ".",
        ]);
        expected.extend(read.into_iter().map(Allowed::Read));
        expected.extend(paths(&["/keys", "/secrets"]).into_iter().map(Allowed::Create));
        expected.extend(
            paths(&["/data", "/hostlog", "/log", "/run", "/sessions", "/sockets"]).into_iter().map(Allowed::Write),
        );
        expected.push(Allowed::Bind(80));
        assert_eq!(found, expected);
    }

    #[test]
    fn the_state_directory_is_needed_for_what_is_made() {
        let state = Some(Path::new("/state"));
        let root = Allowed::Read(".".into());
        assert_eq!(access(&config(Process::default(), None, Host::default()), &[], state), vec![root.clone()]);
        let sessions = SessionConfig { store: SessionStore::Cookie, ..SessionConfig::default() };
        let process = Process { sessions, ..Process::default() };
        let tls = Some(Tls { auto: true, ..Tls::default() });
        let config = config(process, tls, Host::default());
        let expected = [root.clone(), Allowed::Create("/state".into()), Allowed::Write("/state/tls".into())];
        assert_eq!(access(&config, &[], state), expected);
        assert_eq!(access(&config, &[], None), [root]);
    }

    #[test]
    fn only_the_port_of_a_remote_store_is_connected_to_and_a_device_is_alone() {
        let store = SessionStore::Remote(StoreUrl::parse("redis://h:7000/0").unwrap());
        let sessions = SessionConfig { store, ..SessionConfig::default() };
        let process = Process { sessions, logging: log("/dev/null"), ..Process::default() };
        let host = Host { root: None, ..Host::default() };
        let found = access(&config(process, None, host), &[], None);
        assert_eq!(found, [Allowed::Write("/dev/null".into()), Allowed::Connect(7000)]);
    }
}
