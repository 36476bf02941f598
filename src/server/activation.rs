//! Listening sockets that a service manager has opened: systemd's socket activation.
//!
//! ```text
//! LISTEN_PID      the process that they are for
//! LISTEN_FDS      how many there are: the descriptors 3, 4, ...
//! LISTEN_FDNAMES  their names, with colons between them
//! ```
//!
//! The name says what a socket is for: `http`, `https` or `admin`. Any other name, and none,
//! is plain HTTP, or whatever the command serves in plain text. The sockets take the place of
//! the default endpoints; what the operator chooses by an option is opened in addition, unless
//! it is one of them.
//!
//! The variables stay in the environment. They can't be taken for its own by another process,
//! because they name this one, and because the descriptors are closed on exec from now on.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::RawFd;

use super::ServerError;
use super::error::Faults;
use crate::config::{self, Config, Protocol};
use crate::reactor::{Endpoint, Listener, TlsAcceptor};

/// The first descriptor that is passed (`SD_LISTEN_FDS_START`).
const FIRST: RawFd = 3;
/// Most sockets that are taken.
const MOST: usize = 128;

/// What a socket is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Purpose {
    /// The protocol of the command, in plain text.
    Plain,
    /// The protocol of the command, over TLS.
    Tls,
    /// The service for operators.
    Admin,
}

/// A descriptor that is passed to this process.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Passed {
    number: RawFd,
    name: String,
    purpose: Purpose,
}

impl Passed {
    fn new(at: usize, name: &str) -> Self {
        let purpose = match name {
            "https" => Purpose::Tls,
            "admin" => Purpose::Admin,
            _ => Purpose::Plain,
        };
        // At most `MOST`.
        Self { number: FIRST + at as RawFd, name: name.to_owned(), purpose }
    }

    /// An error about it.
    fn wrong(&self, why: impl std::fmt::Display) -> String {
        let name = if self.name.is_empty() { String::new() } else { format!(" ({})", self.name.escape_debug()) };
        format!("the passed socket {}{name} can't be used: {why}", self.number)
    }
}

/// The sockets that are passed to the process `pid`, by the variables of its environment.
///
/// # Errors
/// If the variables are malformed or don't fit each other.
fn parse(pid: u32, variable: impl Fn(&str) -> Option<OsString>) -> Result<Vec<Passed>, String> {
    let text = |name: &str| variable(name).map(|value| value.to_string_lossy().into_owned());
    let number = |name: &str, value: &str| {
        let wrong = |_| format!("the variable {name} is no number: {value:?}");
        value.parse::<u32>().map_err(wrong)
    };
    let (Some(owner), Some(count)) = (text("LISTEN_PID"), text("LISTEN_FDS")) else { return Ok(Vec::new()) };
    if number("LISTEN_PID", &owner)? != pid {
        return Ok(Vec::new());
    }
    let count = number("LISTEN_FDS", &count)? as usize;
    if count > MOST {
        return Err(format!("{count} sockets are passed (LISTEN_FDS), at most {MOST} can be used"));
    }
    let Some(names) = text("LISTEN_FDNAMES") else { return Ok((0..count).map(|at| Passed::new(at, "")).collect()) };
    let names: Vec<_> = if count == 0 { Vec::new() } else { names.split(':').collect() };
    if names.len() != count {
        return Err(format!("LISTEN_FDNAMES has {} names for the {count} sockets of LISTEN_FDS", names.len()));
    }
    Ok(names.into_iter().enumerate().map(|(at, name)| Passed::new(at, name)).collect())
}

/// The sockets that were passed to this process.
#[derive(Default)]
pub(super) struct Activation {
    /// Each with the number of the configured listener that it belongs to, and whether it is
    /// for TLS.
    sockets: Vec<(usize, bool, Listener)>,
    /// There are such sockets, even if they can't be used.
    is_active: bool,
}

impl Activation {
    /// Takes the sockets that were passed to this process. To be called once. One for operators adds
    /// its listener to the configuration.
    pub(super) fn take(config: &mut Config, faults: &mut Faults) -> Self {
        let passed = match parse(std::process::id(), |name| std::env::var_os(name)) {
            Ok(passed) => passed,
            Err(why) => {
                faults.wrong(why);
                return Self { is_active: true, ..Self::default() };
            }
        };
        if config.process.mailbox.is_some() && !passed.is_empty() {
            faults.wrong("a mailbox opens its sockets itself; it can't use those of a service manager");
            return Self { is_active: true, ..Self::default() };
        }
        let mut this = Self { sockets: Vec::new(), is_active: !passed.is_empty() };
        let has_admin = config.listeners.iter().any(|listener| listener.protocol == Protocol::Admin);
        if !has_admin && passed.iter().any(|passed| passed.purpose == Purpose::Admin) {
            config.listeners.push(config.listeners[0].admin_beside(Vec::new()));
        }
        for passed in passed {
            match place(config, passed.purpose) {
                Ok(at) => {
                    let socket = Listener::passed(passed.number);
                    let socket = socket.map_err(|error| ServerError::Config(passed.wrong(error)));
                    let is_tls = passed.purpose == Purpose::Tls;
                    this.sockets.extend(faults.keep(socket).map(|socket| (at, is_tls, socket)));
                }
                Err(why) => faults.wrong(passed.wrong(why)),
            }
        }
        let mut secure = config.listeners.iter().filter(|listener| listener.tls.is_some()).peekable();
        let has_tls = this.sockets.iter().any(|(_, is_tls, _)| *is_tls);
        if !has_tls && secure.peek().is_some() && !secure.any(|listener| this.leaves(listener)) {
            log::warn!("no passed socket has the name https, so nothing speaks TLS");
        }
        this
    }

    /// Whether a listener is opened at its own endpoints.
    pub(super) fn leaves(&self, listener: &config::Listener) -> bool {
        !self.is_active || listener.is_chosen()
    }

    /// The endpoints, among those of a listener, that are to be opened: not those of passed
    /// sockets. None if there are none left. (An empty list is the default.)
    pub(super) fn rest(&self, listener: &config::Listener, endpoints: &[Endpoint]) -> Option<Vec<Endpoint>> {
        if !self.leaves(listener) {
            return None;
        }
        let passed: Vec<_> = self.sockets.iter().map(|(.., socket)| socket.endpoint()).collect();
        let defaults = [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()]
            .map(|ip| Endpoint::Tcp(SocketAddr::new(ip, listener.port)));
        let all = if endpoints.is_empty() { &defaults[..] } else { endpoints };
        let rest: Vec<_> = all.iter().filter(|endpoint| !passed.contains(endpoint)).cloned().collect();
        if rest.len() == all.len() { Some(endpoints.to_vec()) } else { Some(rest).filter(|rest| !rest.is_empty()) }
    }

    /// Adds the endpoints of the sockets to those of each listener, as far as they are left.
    pub(super) fn add_to(&self, listeners: &[config::Listener], endpoints: &mut [Option<Vec<Endpoint>>]) {
        for (at, (listener, endpoints)) in listeners.iter().zip(endpoints).enumerate() {
            let Some(endpoints) = endpoints else { continue };
            if !self.leaves(listener) {
                endpoints.clear();
            }
            let of_it = self.sockets.iter().filter(|(number, ..)| *number == at);
            endpoints.extend(of_it.map(|(.., socket)| socket.endpoint()));
        }
    }

    /// Takes the sockets of a listener.
    pub(super) fn sockets(&mut self, at: usize, acceptor: Option<&TlsAcceptor>) -> Vec<Listener> {
        let of_it = self.sockets.extract_if(.., |(number, ..)| *number == at);
        let finished = of_it.map(|(_, is_tls, socket)| match acceptor.filter(|_| is_tls) {
            Some(acceptor) => socket.with_tls(acceptor.clone()),
            None => socket,
        });
        finished.collect()
    }
}

/// The number of the listener whose settings a socket for this purpose has.
fn place(config: &Config, purpose: Purpose) -> Result<usize, &'static str> {
    let is_admin = |listener: &config::Listener| listener.protocol == Protocol::Admin;
    let find = |tls| config.listeners.iter().position(|one| one.tls.is_some() == tls && !is_admin(one));
    match purpose {
        Purpose::Plain => Ok(find(false).unwrap_or_default()),
        Purpose::Tls => find(true).ok_or("HTTPS needs a certificate: give --tls"),
        Purpose::Admin => config.listeners.iter().position(is_admin).ok_or("there is no service for operators"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Host, Process, Tls};

    fn passed(variables: &[(&str, &str)]) -> Result<Vec<Passed>, String> {
        parse(7, |name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into()))
    }

    #[test]
    fn the_variables_name_the_sockets_and_their_purpose() {
        let names = "http:https:admin:miod.socket:";
        let found = passed(&[("LISTEN_PID", "7"), ("LISTEN_FDS", "5"), ("LISTEN_FDNAMES", names)]).unwrap();
        let found: Vec<_> = found.iter().map(|passed| (passed.number, &passed.name[..], passed.purpose)).collect();
        assert_eq!(
            found,
            [
                (3, "http", Purpose::Plain),
                (4, "https", Purpose::Tls),
                (5, "admin", Purpose::Admin),
                (6, "miod.socket", Purpose::Plain),
                (7, "", Purpose::Plain),
            ]
        );
        let found = passed(&[("LISTEN_PID", "7"), ("LISTEN_FDS", "2")]).unwrap();
        assert_eq!(found, [Passed::new(0, ""), Passed::new(1, "")]);
    }

    #[test]
    fn variables_for_another_process_are_ignored() {
        for variables in [
            &[][..],
            &[("LISTEN_FDS", "1")],
            &[("LISTEN_PID", "7")],
            &[("LISTEN_PID", "8"), ("LISTEN_FDS", "many")],
            &[("LISTEN_PID", "7"), ("LISTEN_FDS", "0"), ("LISTEN_FDNAMES", "")],
        ] {
            assert_eq!(passed(variables), Ok(Vec::new()), "{variables:?}");
        }
    }

    #[test]
    fn malformed_variables_are_errors() {
        for (variables, part) in [
            (&[("LISTEN_PID", "x"), ("LISTEN_FDS", "1")][..], "LISTEN_PID"),
            (&[("LISTEN_PID", "7"), ("LISTEN_FDS", "-1")], "LISTEN_FDS"),
            (&[("LISTEN_PID", "7"), ("LISTEN_FDS", "4294967295")], "at most 128"),
            (&[("LISTEN_PID", "7"), ("LISTEN_FDS", "2"), ("LISTEN_FDNAMES", "a")], "1 names for the 2"),
            (&[("LISTEN_PID", "7"), ("LISTEN_FDS", "1"), ("LISTEN_FDNAMES", "a:b")], "2 names for the 1"),
        ] {
            let error = passed(variables).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_socket_has_the_settings_of_a_listener_of_its_kind() {
        let tls = Some(Tls { auto: true, ..Tls::default() });
        let mut config = Config::single(Process::default(), config::Listener::default(), Host::default());
        assert_eq!(place(&config, Purpose::Plain), Ok(0));
        assert!(place(&config, Purpose::Tls).unwrap_err().contains("--tls"));
        assert!(place(&config, Purpose::Admin).is_err());
        config.listeners.push(config::Listener { tls: tls.clone(), ..config::Listener::default() });
        assert_eq!(place(&config, Purpose::Tls), Ok(1));
        let listener = config::Listener { protocol: Protocol::Echo, tls, ..config::Listener::default() };
        let config = Config { process: Process::default(), listeners: vec![listener], hosts: Vec::new() };
        assert_eq!((place(&config, Purpose::Plain), place(&config, Purpose::Tls)), (Ok(0), Ok(0)));
    }

    #[test]
    fn passed_sockets_take_the_place_of_the_defaults_only() {
        let active = Activation { is_active: true, ..Activation::default() };
        let default = config::Listener::default();
        let chosen = config::Listener { port_is_chosen: true, ..default.clone() };
        let bound = config::Listener { bind: vec!["127.0.0.1".to_owned()], ..default.clone() };
        let left = |activation: &Activation| [&default, &chosen, &bound].map(|listener| activation.leaves(listener));
        assert_eq!(left(&active), [false, true, true]);
        assert_eq!(left(&Activation::default()), [true, true, true]);
        let at = vec![Endpoint::Tcp(([127, 0, 0, 1], 80).into())];
        let mut endpoints = [Some(at.clone()), Some(at.clone())];
        active.add_to(&[default, chosen], &mut endpoints);
        assert_eq!(endpoints, [Some(Vec::new()), Some(at)]);
    }

    #[test]
    fn a_descriptor_of_this_process_is_not_taken() {
        use std::os::fd::AsRawFd;
        let own = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        for number in [own.as_raw_fd(), -1, 1, 1_000_000] {
            let error = Listener::passed(number).err().unwrap().to_string();
            assert!(error.contains("wasn't passed"), "{number}: {error}");
        }
    }
}
