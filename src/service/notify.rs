//! What the server tells its service manager: systemd's notifications (sd_notify(3)).
//!
//! A notification is a datagram of lines `NAME=value` to the unix-domain socket that
//! `NOTIFY_SOCKET` names. The loop sends it between two turns, without waiting: if the manager
//! doesn't take it, it is lost, and that is logged once.
//!
//! With `WATCHDOG_USEC` the manager restarts a server that hasn't said for so long that it is
//! alive. It says so twice as often, from the loop: a loop that is stuck says nothing.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crate::reactor::{Tick, Time};

/// The way to the service manager, and what it was told.
pub struct Notifier {
    socket: UnixDatagram,
    to: SocketAddr,
    watchdog: Option<Watchdog>,
    /// What is served, for the operator.
    serves: String,
    /// The state that isn't the usual one; empty if there is none.
    note: String,
    /// An error was logged.
    failed: bool,
}

/// When the manager is told that the loop runs.
struct Watchdog {
    every: Duration,
    next: Tick,
}

impl Notifier {
    /// The way that the environment of the process `pid` names, if it names one. What it names
    /// and can't be used is logged.
    pub fn from_environment(pid: u32, variable: impl Fn(&str) -> Option<OsString>) -> Option<Self> {
        let name = variable("NOTIFY_SOCKET").filter(|name| !name.is_empty())?;
        let open = || {
            let to = address(&name)?;
            let socket = UnixDatagram::unbound()?;
            socket.set_nonblocking(true)?;
            Ok((socket, to))
        };
        match open() {
            Ok((socket, to)) => {
                let watchdog = interval(pid, variable).map(|every| Watchdog { every, next: Tick::default() });
                Some(Self { socket, to, watchdog, serves: String::new(), note: String::new(), failed: false })
            }
            Err(error) => {
                let error: io::Error = error;
                log::warn!("the service manager gets no notifications: {name:?} (NOTIFY_SOCKET): {error}");
                None
            }
        }
    }

    /// Sets what is served, for the next notification.
    pub fn serves(&mut self, serves: String) {
        self.serves = serves;
    }

    /// Clients can connect: the start, or a reload, is over.
    pub fn ready(&mut self) {
        self.tell(&format!("READY=1\nMAINPID={}\n", std::process::id()));
    }

    /// A reload begins. [`ready`](Self::ready) ends it, whether it succeeds or not.
    pub fn reloading(&mut self) {
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={}\n", Time::monotonic_micros()));
    }

    /// A shut-down begins.
    pub fn stopping(&mut self) {
        "finishing requests".clone_into(&mut self.note);
        self.tell("STOPPING=1\n");
    }

    /// Tells a state that isn't the usual one; or, if `note` is empty, that it is over.
    pub fn note(&mut self, note: &str) {
        note.clone_into(&mut self.note);
        self.tell("");
    }

    /// Tells the manager that the loop runs, if that is due. Returns when it is due again.
    pub fn before_wait(&mut self, now: Tick) -> Option<Duration> {
        let Watchdog { every, next } = self.watchdog.as_mut()?;
        if *next <= now {
            *next = now.after(*every);
            self.send("WATCHDOG=1\n");
        }
        self.watchdog.as_ref().map(|watchdog| watchdog.next.since(now))
    }

    /// Sends lines and the status.
    fn tell(&mut self, lines: &str) {
        let separator = if self.note.is_empty() || self.serves.is_empty() { "" } else { "; " };
        let status = format!("{}{separator}{}", self.note, self.serves);
        // A line end in a path would begin another line.
        let status = status.replace(char::is_control, "\u{fffd}");
        self.send(&format!("{lines}STATUS={status}\n"));
    }

    fn send(&mut self, text: &str) {
        if let Err(error) = self.socket.send_to_addr(text.as_bytes(), &self.to)
            && !self.failed
        {
            self.failed = true;
            log::warn!("the service manager doesn't take a notification: {error}");
        }
    }
}

/// The address that a value of `NOTIFY_SOCKET` means: a path, or `@` and an abstract name.
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes() {
        [b'/', ..] => SocketAddr::from_pathname(name),
        #[cfg(target_os = "linux")]
        [b'@', name @ ..] => <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name),
        _ => Err(io::Error::other("it is neither a path nor an abstract socket")),
    }
}

/// How often the manager of the process `pid` is told that the loop runs.
fn interval(pid: u32, variable: impl Fn(&str) -> Option<OsString>) -> Option<Duration> {
    let number = |name: &str| variable(name).map(|value| value.to_str().and_then(|value| value.parse::<u64>().ok()));
    let limit = number("WATCHDOG_USEC")?;
    if number("WATCHDOG_PID").is_some_and(|owner| owner != Some(u64::from(pid))) {
        return None;
    }
    let Some(limit @ 1..) = limit else {
        log::warn!("WATCHDOG_USEC is no number of microseconds, so the service manager has no watchdog");
        return None;
    };
    // Not more often than deadlines can be kept.
    Some(Duration::from_micros(limit / 2).max(Duration::from_millis(1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::scratch::Scratch;

    /// A service manager.
    struct Manager {
        socket: UnixDatagram,
        files: Scratch,
    }

    impl Manager {
        fn new() -> Self {
            let files = Scratch::new();
            let socket = UnixDatagram::bind(files.at("notify")).unwrap();
            socket.set_nonblocking(true).unwrap();
            Self { socket, files }
        }

        fn notifier(&self, variables: &[(&str, &str)]) -> Notifier {
            let path = self.files.at("notify").into_os_string();
            let notifier = Notifier::from_environment(7, |name| match name {
                "NOTIFY_SOCKET" => Some(path.clone()),
                name => variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into()),
            });
            notifier.unwrap()
        }

        /// The next notification; empty if there is none.
        fn next(&self) -> String {
            let mut bytes = [0; 1024];
            let count = self.socket.recv(&mut bytes).unwrap_or_default();
            String::from_utf8(bytes[..count].to_vec()).unwrap()
        }
    }

    fn at(millis: u64) -> Tick {
        Tick::from_micros(millis * 1000)
    }

    #[test]
    fn the_manager_is_told_each_change_of_state() {
        let manager = Manager::new();
        let mut notifier = manager.notifier(&[]);
        notifier.serves("serves /a\nMAINPID=1".to_owned());
        notifier.ready();
        let pid = std::process::id();
        let status = "serves /a\u{fffd}MAINPID=1";
        assert_eq!(manager.next(), format!("READY=1\nMAINPID={pid}\nSTATUS={status}\n"));
        notifier.note("maintenance");
        assert_eq!(manager.next(), format!("STATUS=maintenance; {status}\n"));
        let before = Time::monotonic_micros();
        notifier.reloading();
        let text = manager.next();
        let time = text.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").and_then(|rest| rest.split_once('\n')).unwrap().0;
        assert!((before..=Time::monotonic_micros()).contains(&time.parse().unwrap()), "{text}");
        assert!(text.ends_with(&format!("\nSTATUS=maintenance; {status}\n")), "{text}");
        notifier.note("");
        assert_eq!(manager.next(), format!("STATUS={status}\n"));
        notifier.stopping();
        assert_eq!(manager.next(), format!("STOPPING=1\nSTATUS=finishing requests; {status}\n"));
        assert_eq!(notifier.before_wait(at(0)), None);
        assert_eq!(manager.next(), "");
    }

    #[test]
    fn the_watchdog_is_told_twice_as_often_as_it_asks() {
        let manager = Manager::new();
        let mut notifier = manager.notifier(&[("WATCHDOG_USEC", "3000000"), ("WATCHDOG_PID", "7")]);
        for (now, told, rest) in [(5, true, 1500), (6, false, 1499), (1504, false, 1), (1505, true, 1500)] {
            assert_eq!(notifier.before_wait(at(now)), Some(Duration::from_millis(rest)), "{now}");
            assert_eq!(manager.next(), if told { "WATCHDOG=1\n" } else { "" }, "{now}");
        }
        for variables in [
            &[("WATCHDOG_USEC", "3000000"), ("WATCHDOG_PID", "8")][..],
            &[("WATCHDOG_USEC", "3000000"), ("WATCHDOG_PID", "x")],
            &[("WATCHDOG_USEC", "0")],
            &[("WATCHDOG_USEC", "soon")],
            &[("WATCHDOG_PID", "7")],
        ] {
            assert_eq!(manager.notifier(variables).before_wait(at(9)), None, "{variables:?}");
        }
        let least = manager.notifier(&[("WATCHDOG_USEC", "1")]).before_wait(at(9));
        assert_eq!(least, Some(Duration::from_millis(1)));
    }

    #[test]
    fn a_manager_that_takes_nothing_is_not_waited_for() {
        let manager = Manager::new();
        let mut notifier = manager.notifier(&[]);
        // More than its queue holds.
        for _ in 0..10_000 {
            notifier.note("");
        }
        assert!(notifier.failed);
        drop(manager);
        notifier.ready();
    }

    #[test]
    fn without_a_manager_there_is_no_notifier() {
        let none = |value: &'static str| Notifier::from_environment(7, |_| Some(value.into()).filter(|_| value != "-"));
        assert!(none("-").is_none() && none("").is_none());
        let long = "/".repeat(200);
        for name in ["relative", "vsock:2:1", &long] {
            assert!(Notifier::from_environment(7, |_| Some(name.into())).is_none(), "{name}");
        }
    }
}
