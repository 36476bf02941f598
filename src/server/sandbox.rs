//! A sandbox of the kernel around the running server: landlock(7).
//!
//! When all is open, the process gives up what it won't need: all files but those of
//! [`access`](super::access), and all TCP ports but its own and that of the session store. It
//! can't be undone, and holds for all threads that start later. Helper threads start at the first
//! job, so there is only one thread by then. What was opened before stays open.
//!
//! A kernel can be older than a restriction. Then it holds as far as it can, or, if the operator
//! requires it, the server doesn't start.
//!
//! It is off by default, because a rule is for the directory that a path leads to at the start.
//! A site that is deployed by changing the link that is its root, a root that is moved away and
//! made again, and all that a reload adds to the configuration would be refused.

use std::path::{Path, PathBuf};

use super::ServerError;
use super::access::{Allowed, access, read_files};
use crate::config::{Config, Sandbox};
use crate::reactor::Endpoint;

/// Files that the C library reads to resolve the name of a session store again.
const NAMES: [&str; 4] = ["/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/gai.conf"];
/// The authorities that the system trusts.
const TRUST: &str = "/etc/ssl/certs";

/// An exception from the restrictions.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Rule {
    /// What is at or below this path may be read.
    Read(PathBuf),
    /// What is at or below this path may be read, written, made and removed.
    Write(PathBuf),
    /// This TCP port may be listened at.
    Bind(u16),
    /// Connections may be made to this TCP port.
    Connect(u16),
    /// Connections may be made to all of them.
    ConnectAnywhere,
}

/// What of the restrictions holds.
struct Held {
    /// All that was asked for.
    is_full: bool,
    /// It for the operator.
    text: String,
}

/// What a server will need.
pub(super) struct Plan {
    mode: Sandbox,
    allowed: Vec<Allowed>,
    files: Vec<PathBuf>,
}

impl Plan {
    /// What a server with this configuration will need.
    pub(super) fn new(config: &Config, state: Option<&Path>) -> Self {
        let bind = config.listeners.iter().flat_map(|listener| &listener.bind);
        let sockets = bind.filter_map(|bind| bind.strip_prefix("unix:").map(|path| Endpoint::Unix(path.into())));
        let allowed = access(config, &sockets.collect::<Vec<_>>(), state);
        let mut files = read_files(config);
        // A root that is a file is replaced by another one, too.
        files.extend(allowed.iter().filter_map(|needed| match needed {
            Allowed::Read(path) if path.is_file() => Some(path.clone()),
            _ => None,
        }));
        Self { mode: config.process.sandbox, allowed, files }
    }

    /// Restricts a server that listens at these endpoints. Returns what holds, for the operator;
    /// none if the sandbox is off.
    ///
    /// # Errors
    /// If all of it is required, and doesn't hold.
    pub(super) fn apply<'a>(self, at: impl Iterator<Item = &'a Endpoint>) -> Result<Option<String>, ServerError> {
        let ports = at.filter_map(|endpoint| match endpoint {
            Endpoint::Tcp(address) => Some(Allowed::Bind(address.port())),
            Endpoint::Unix(_) => None,
        });
        // A file may be a link to one elsewhere.
        let real = self.files.iter().filter_map(|file| std::fs::canonicalize(file).ok());
        let real = real.filter_map(|file| file.parent().map(|parent| Allowed::Read(parent.to_owned())));
        let held = match self.mode {
            Sandbox::Off => return Ok(None),
            Sandbox::Auto | Sandbox::Require => restrict(&rules(self.allowed.into_iter().chain(ports).chain(real))),
        };
        judge(self.mode, held).map_err(ServerError::Config)
    }
}

/// What the operator is told, or why the server doesn't start.
fn judge(mode: Sandbox, held: Result<Held, String>) -> Result<Option<String>, String> {
    match (mode, held) {
        (Sandbox::Require, Ok(Held { is_full: false, text })) => {
            Err(format!("--sandbox require: this kernel can't do all of it, but only {text}"))
        }
        (Sandbox::Require, Err(why)) => Err(format!("--sandbox require: {why}")),
        (_, Ok(Held { text, .. })) => Ok(Some(text)),
        (_, Err(why)) => Ok(Some(format!("none: {why}"))),
    }
}

/// The exceptions for what is needed, each once.
fn rules(needs: impl Iterator<Item = Allowed>) -> Vec<Rule> {
    let mut rules = Vec::new();
    for needed in needs {
        match needed {
            // What is made at the start is there.
            Allowed::Read(path) | Allowed::Create(path) => rules.push(Rule::Read(path)),
            Allowed::Write(path) => rules.push(Rule::Write(path)),
            Allowed::Bind(port) => rules.push(Rule::Bind(port)),
            Allowed::Connect(_) | Allowed::ConnectAnywhere => {
                rules.push(match needed {
                    Allowed::Connect(port) => Rule::Connect(port),
                    _ => Rule::ConnectAnywhere,
                });
                rules.extend(NAMES.into_iter().chain([TRUST]).map(|path| Rule::Read(path.into())));
            }
        }
    }
    rules.sort();
    rules.dedup();
    rules
}

/// Restricts this process to the exceptions, for good.
///
/// # Errors
/// Why nothing is restricted.
#[cfg(target_os = "linux")]
fn restrict(rules: &[Rule]) -> Result<Held, String> {
    use landlock::{
        ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, LandlockStatus, NetPort, PathBeneath, PathFd,
        Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus,
    };
    // Linux 6.10. What came later restricts signals and abstract sockets between processes.
    let abi = ABI::V5;
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let change = AccessFs::WriteFile | AccessFs::Truncate | AccessFs::MakeReg | AccessFs::MakeDir;
    let write = read | change | AccessFs::RemoveFile | AccessFs::RemoveDir | AccessFs::Refer;
    // It would hold for this thread and for those that it starts, and for no others.
    let threads = std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    if threads > 1 {
        return Err(format!("there are {threads} threads already"));
    }
    let net = match rules.contains(&Rule::ConnectAnywhere) {
        true => AccessNet::BindTcp.into(),
        false => AccessNet::BindTcp | AccessNet::ConnectTcp,
    };
    let apply = || {
        let mut ruleset = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(abi))?
            .handle_access(net)?
            .create()?;
        for rule in rules {
            ruleset = match rule {
                Rule::Read(path) | Rule::Write(path) => {
                    let all = if matches!(rule, Rule::Write(_)) { write } else { read };
                    let all = if path.is_dir() { all } else { all & AccessFs::from_file(abi) };
                    match PathFd::new(path) {
                        Ok(open) => ruleset.add_rule(PathBeneath::new(open, all))?,
                        // It isn't there, so the server has no use for it.
                        Err(_) => ruleset,
                    }
                }
                Rule::Bind(port) => ruleset.add_rule(NetPort::new(*port, AccessNet::BindTcp))?,
                Rule::Connect(port) if !net.contains(AccessNet::ConnectTcp) => ruleset,
                Rule::Connect(port) => ruleset.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?,
                Rule::ConnectAnywhere => ruleset,
            };
        }
        ruleset.restrict_self()
    };
    let status = apply().map_err(|error: landlock::RulesetError| format!("the kernel refuses landlock: {error}"))?;
    let LandlockStatus::Available { effective_abi, .. } = status.landlock else {
        return Err("this kernel has no landlock".to_owned());
    };
    if status.ruleset == RulesetStatus::NotEnforced {
        return Err("this kernel enforces no rule of landlock".to_owned());
    }
    let what = if effective_abi >= ABI::V4 { "files and TCP ports" } else { "files" };
    let text = format!("landlock ABI {}: {what}", effective_abi as i32);
    Ok(Held { is_full: status.ruleset == RulesetStatus::FullyEnforced, text })
}

/// No other system has it.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
fn restrict(_: &[Rule]) -> Result<Held, String> {
    Err("this system has no landlock".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Host, Listener, Process};

    #[test]
    fn what_is_needed_is_excepted() {
        let needs = [
            Allowed::Read("/srv".into()),
            Allowed::Create("/keys".into()),
            Allowed::Write("/data".into()),
            Allowed::Bind(443),
            Allowed::Bind(80),
            Allowed::Bind(443),
        ];
        let (read, write) = (|path: &str| Rule::Read(path.into()), |path: &str| Rule::Write(path.into()));
        let expected = [read("/keys"), read("/srv"), write("/data"), Rule::Bind(80), Rule::Bind(443)];
        assert_eq!(rules(needs.into_iter()), expected);
        // The store's name may be resolved again.
        let found = rules([Allowed::Connect(6379)].into_iter());
        assert!(found.contains(&Rule::Connect(6379)) && found.contains(&read("/etc/resolv.conf")), "{found:?}");
        assert!(rules(std::iter::empty()).is_empty());
    }

    #[test]
    fn what_holds_is_judged() {
        let held = |is_full| Ok(Held { is_full, text: "files".to_owned() });
        let none = || Err("no landlock".to_owned());
        assert_eq!(judge(Sandbox::Auto, held(false)), Ok(Some("files".to_owned())));
        assert_eq!(judge(Sandbox::Auto, none()), Ok(Some("none: no landlock".to_owned())));
        assert_eq!(judge(Sandbox::Require, held(true)), Ok(Some("files".to_owned())));
        assert!(judge(Sandbox::Require, held(false)).unwrap_err().contains("only files"));
        assert!(judge(Sandbox::Require, none()).unwrap_err().contains("no landlock"));
    }

    #[test]
    fn nothing_is_restricted_that_is_not_asked_for() {
        let config = Config::single(Process::default(), Listener::default(), Host::default());
        assert_eq!(config.process.sandbox, Sandbox::Off);
        assert!(matches!(Plan::new(&config, None).apply(std::iter::empty()), Ok(None)));
        assert!(std::fs::read_dir("/").is_ok());
    }
}
