//! The text of unit files: systemd's syntax, and which settings a server gets.

use std::fmt::Write;
use std::path::Path;

use crate::reactor::Endpoint;
use crate::server::access::Allowed;

/// The service's own directories, which systemd makes: the setting and the path.
const OWN: [(&str, &str); 3] =
    [("StateDirectory", "/var/lib/miod"), ("RuntimeDirectory", "/run/miod"), ("LogsDirectory", "/var/log/miod")];

/// What every service may not do.
const ALWAYS: &str = "NoNewPrivileges=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources @keyring @memlock
SystemCallFilter=landlock_create_ruleset landlock_add_rule landlock_restrict_self
SystemCallErrorNumber=EPERM
";

/// What a service of the system may not do either.
const SYSTEM: &str = "ProtectSystem=strict
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
ProtectProc=invisible
ProcSubset=pid
RemoveIPC=yes
";

/// Sockets that systemd opens.
pub(super) struct Socket {
    pub(super) is_tls: bool,
    pub(super) endpoints: Vec<Endpoint>,
}

impl Socket {
    /// What the socket is for, and the name of its unit.
    fn names(&self) -> (&'static str, &'static str) {
        if self.is_tls { ("https", "miod-https.socket") } else { ("http", "miod.socket") }
    }

    fn unit(&self) -> String {
        let (name, _) = self.names();
        let mut text = format!("[Unit]\nDescription=miod: the sockets for {name}\n\n[Socket]\n");
        for endpoint in &self.endpoints {
            let shown = match endpoint {
                Endpoint::Tcp(address) => address.to_string(),
                Endpoint::Unix(path) => path.display().to_string().replace('%', "%%"),
            };
            // Writing to a string can't fail.
            let _ = writeln!(text, "ListenStream={shown}");
        }
        let _ = writeln!(text, "FileDescriptorName={name}\nService=miod.service");
        text += "BindIPv6Only=ipv6-only\nBacklog=4096\nNoDelay=yes\nSocketMode=0660\n";
        text + "\n[Install]\nWantedBy=sockets.target\n"
    }
}

/// Stands for the name of the instance in an argument. No argument has this character.
const INSTANCE: char = '\0';

/// An argument that ends with the name of a file, with the name of the instance in it: behind the
/// stem, `access-%i.log`.
pub(super) fn of_instance(argument: &str) -> String {
    let name = argument.rfind(['/', '=']).map_or(0, |at| at + 1);
    let stem = argument[name..].rfind('.').filter(|at| *at > 0).map_or(argument.len(), |at| name + at);
    format!("{}-{INSTANCE}{}", &argument[..stem], &argument[stem..])
}

/// A service.
pub(super) struct Service<'a> {
    pub(super) program: &'a Path,
    /// There are several processes with the same options.
    pub(super) is_template: bool,
    pub(super) arguments: &'a [String],
    pub(super) secrets: &'a [String],
    pub(super) per_user: bool,
    /// The user and group of `--user`.
    pub(super) user: Option<&'a str>,
    /// The directories that are written.
    pub(super) writes: Vec<&'a Path>,
    /// Files must belong to a user that exists.
    pub(super) files: bool,
    pub(super) needs: &'a [Allowed],
    /// What the server opens itself.
    pub(super) bound: &'a [Endpoint],
    pub(super) passed: &'a [Socket],
}

impl Service<'_> {
    /// All units, each after a comment with the name of its file.
    pub(super) fn units(&self) -> String {
        let directory = if self.per_user { "~/.config/systemd/user" } else { "/etc/systemd/system" };
        let mut text = format!("# {directory}/{}\n{}", self.name(), self.unit());
        for socket in self.passed {
            let _ = write!(text, "\n# {directory}/{}\n{}", socket.names().1, socket.unit());
        }
        text
    }

    /// The name of the service's file.
    fn name(&self) -> &'static str {
        if self.is_template { "miod@.service" } else { "miod.service" }
    }

    fn unit(&self) -> String {
        let which = if self.is_template { ", process %i" } else { "" };
        let mut text = format!("[Unit]\nDescription=miod: an HTTP server{which}\n");
        if !self.per_user {
            let target = if self.needs_network() { "network-online" } else { "network" };
            let _ = writeln!(text, "After={target}.target");
            if self.needs_network() {
                text += "Wants=network-online.target\n";
            }
        }
        if !self.passed.is_empty() {
            let names: Vec<_> = self.passed.iter().map(|socket| socket.names().1).collect();
            let _ = writeln!(text, "Requires={}", names.join(" "));
        }
        text += "\n[Service]\nType=notify\n";
        let words: Vec<_> = self.arguments.iter().map(|word| quote(word, true)).collect();
        let program = quote(&self.program.display().to_string(), false);
        let _ = writeln!(text, "ExecStart={program} {}", words.join(" "));
        text += "ExecReload=/bin/kill -HUP $MAINPID\n";
        text += "Restart=on-failure\nRestartPreventExitStatus=2 78\n";
        text += "TimeoutStopSec=20\nWatchdogSec=30\nLimitNOFILE=65536\nUMask=0027\n";
        if !self.secrets.is_empty() {
            let file = if self.per_user { "%h/.config/miod.env" } else { "/etc/miod.env" };
            let _ = writeln!(text, "# This file, for its owner only, has {}=...", self.secrets.join("=..., "));
            let _ = writeln!(text, "EnvironmentFile={file}");
        }
        text += "StateDirectory=miod\nStateDirectoryMode=0700\nEnvironment=XDG_STATE_HOME=%S\n";
        if !self.per_user {
            self.user_and_files(&mut text);
        }
        text += ALWAYS;
        let _ = writeln!(text, "RestrictAddressFamilies={}", self.families());
        let target = if self.per_user { "default" } else { "multi-user" };
        text + "\n[Install]\nWantedBy=" + target + ".target\n"
    }

    /// The settings of a service of the system: its user, its files and its capabilities.
    fn user_and_files(&self, text: &mut String) {
        if let Some(user) = self.user {
            let (user, group) = user.split_once(':').map_or((user, None), |(user, group)| (user, Some(group)));
            let _ = writeln!(text, "User={}", user.replace('%', "%%"));
            if let Some(group) = group {
                let _ = writeln!(text, "Group={}", group.replace('%', "%%"));
            }
        } else if self.files {
            *text += "# useradd --system --shell /usr/sbin/nologin miod\n";
            *text += "# It must be able to read keys and passwords, and to write what ReadWritePaths names.\n";
            *text += "User=miod\nGroup=miod\n";
        } else {
            *text += "DynamicUser=yes\n";
            if self.is_template {
                *text += "# Only processes of one user share an address.\nUser=miod\n";
            }
        }
        *text += "RuntimeDirectory=miod\n";
        // Neither the sockets nor the files of other processes are removed with this one.
        if self.is_template || !self.passed.is_empty() {
            *text += "RuntimeDirectoryPreserve=yes\n";
        }
        if self.writes.iter().any(|path| path.starts_with(OWN[2].1)) {
            *text += "LogsDirectory=miod\n";
        }
        for path in self.writes.iter().filter(|path| !is_own(path)) {
            let _ = writeln!(text, "ReadWritePaths={}", quote(&format!("-{}", path.display()), false));
        }
        let is_low = |at: &Endpoint| matches!(at, Endpoint::Tcp(at) if (1..1024).contains(&at.port()));
        if self.bound.iter().any(is_low) {
            *text += "CapabilityBoundingSet=CAP_NET_BIND_SERVICE\nAmbientCapabilities=CAP_NET_BIND_SERVICE\n";
        } else {
            *text += "CapabilityBoundingSet=\nAmbientCapabilities=\nPrivateUsers=yes\n";
        }
        let home = if self.uses(&["/home", "/root", "/run/user"]) { "read-only" } else { "yes" };
        let _ = writeln!(text, "ProtectHome={home}");
        // A private /tmp doesn't have these files. DynamicUser has always one.
        if !self.uses(&["/tmp", "/var/tmp"]) {
            *text += "PrivateTmp=yes\n";
        }
        if !self.uses_network() {
            *text += "PrivateNetwork=yes\n";
        }
        *text += SYSTEM;
    }

    /// Whether it needs a path below one of these.
    fn uses(&self, parents: &[&str]) -> bool {
        let needed = self.needs.iter().filter_map(|needed| match needed {
            Allowed::Read(path) | Allowed::Create(path) | Allowed::Write(path) => Some(path.as_path()),
            Allowed::Bind(_) | Allowed::Connect(_) | Allowed::ConnectAnywhere => None,
        });
        let below = |path: &Path| parents.iter().any(|parent| path.starts_with(parent));
        needed.chain([self.program]).any(below)
    }

    /// Whether it opens sockets of its own.
    fn uses_network(&self) -> bool {
        self.needs
            .iter()
            .any(|needed| matches!(needed, Allowed::Bind(_) | Allowed::Connect(_) | Allowed::ConnectAnywhere))
    }

    /// Whether addresses of the machine must be there when it starts.
    fn needs_network(&self) -> bool {
        let is_special = |at: &Endpoint| match at {
            Endpoint::Tcp(at) => !at.ip().is_loopback() && !at.ip().is_unspecified(),
            Endpoint::Unix(_) => false,
        };
        self.bound.iter().any(is_special)
            || self.needs.iter().any(|needed| matches!(needed, Allowed::Connect(_) | Allowed::ConnectAnywhere))
    }

    /// The families of sockets that it opens. Notifications go to a unix-domain socket.
    fn families(&self) -> &'static str {
        if self.uses_network() { "AF_UNIX AF_INET AF_INET6" } else { "AF_UNIX" }
    }
}

/// Whether a path is in a directory that systemd makes for the service.
pub(super) fn is_own(path: &Path) -> bool {
    OWN.iter().any(|(_, own)| path.starts_with(own))
}

/// Checks that a path can be in a unit.
///
/// # Errors
/// A sentence.
pub(super) fn check(path: &Path) -> Result<(), String> {
    match path.to_str() {
        Some(text) if !text.contains(char::is_control) && !text.ends_with('\\') => Ok(()),
        _ => Err(format!("{path:?} can't be in a unit")),
    }
}

/// A word as systemd reads it. In a command line, variables are replaced too.
pub(super) fn quote(word: &str, is_argument: bool) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=/.,:@+~[]".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    let mut quoted = String::from("\"");
    for character in word.chars() {
        match character {
            '%' => quoted += "%%",
            INSTANCE => quoted += "%i",
            '$' if is_argument => quoted += "$$",
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted += "\\n",
            '\t' => quoted += "\\t",
            control if control.is_ascii_control() => {
                // Writing to a string can't fail.
                let _ = write!(quoted, "\\x{:02x}", u32::from(control));
            }
            other => quoted.push(other),
        }
    }
    quoted + "\""
}
