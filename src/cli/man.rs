//! `miod man`: the manual page miod(1), in roff.

use std::ffi::OsString;
use std::fmt::Write;

use super::commands::{CommandText, Flag, all};
use super::{Command, UsageError};
use crate::config::options::GROUPS;

const HELP: &str = "miod man prints the manual page.

Usage: miod man

Examples:
  miod man | man -l -
  miod man > /usr/local/share/man/man1/miod.1
";

/// Parses the arguments after the command.
pub(super) fn parse(arguments: Vec<OsString>) -> Result<Command, UsageError> {
    match arguments.first().map(|first| first.to_string_lossy().into_owned()).as_deref() {
        None => Ok(Command::Help(page())),
        Some("-h" | "--help") => Ok(Command::Help(HELP.to_owned())),
        Some(other) => Err(UsageError(format!("unexpected argument {other:?}"))),
    }
}

/// Text without a meaning in roff.
fn plain(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('\u{2026}', "...");
    match text.starts_with(['.', '\'']) {
        true => format!("\\&{text}"),
        false => text,
    }
}

fn option(text: &mut String, flag: &Flag) {
    let short = flag.short.map(|short| format!("\\fB\\-{short}\\fR, ")).unwrap_or_default();
    let value = flag.value.map(|value| format!(" \\fI{}\\fR", plain(value))).unwrap_or_default();
    // Writing to a string can't fail.
    let _ = writeln!(text, ".TP\n{short}\\fB\\-\\-{}\\fR{value}", plain(flag.long));
    let _ = writeln!(text, "{}.", plain(flag.help));
    if let Some(variable) = &flag.variable {
        let _ = writeln!(text, "Variable: \\fB{variable}\\fR.");
    }
}

fn page() -> String {
    let commands = all();
    let mut text = format!(".TH MIOD 1 \"\" \"miod {}\" \"User Commands\"\n", env!("CARGO_PKG_VERSION"));
    text += ".SH NAME\nmiod \\- a small HTTP daemon\n.SH SYNOPSIS\n";
    text += "\\fBmiod\\fR [\\fBserve\\fR] [\\fIOPTIONS\\fR] [\\fIROOT\\fR]\n.br\n\\fBmiod\\fR \\fICOMMAND\\fR [\\fIOPTIONS\\fR] ...\n";
    text += ".SH DESCRIPTION\nmiod serves the files of the directory \\fIROOT\\fR and small applications over HTTP and HTTPS, \
             on one thread. Without \\fIROOT\\fR it serves \\fI./public\\fR, if there is one, or the current directory.\n";
    text += ".SH COMMANDS\n";
    for CommandText { name, about, .. } in &commands {
        let _ = writeln!(text, ".TP\n\\fB{name}\\fR\n{}.", plain(about));
    }
    text += "Each has its own \\fB\\-\\-help\\fR.\n.SH OPTIONS\n";
    let mut written: Vec<(&str, &str)> = Vec::new();
    for group in GROUPS {
        let of_group = commands[..4].iter().flat_map(|command| &command.flags).filter(|flag| flag.group == *group);
        let mut heading = false;
        for flag in of_group {
            if written.iter().any(|(long, _)| *long == flag.long) {
                continue;
            }
            if !std::mem::replace(&mut heading, true) {
                let _ = writeln!(text, ".SS {group}");
            }
            written.push((flag.long, flag.help));
            option(&mut text, flag);
        }
    }
    for CommandText { name, flags, .. } in &commands[4..] {
        let own: Vec<&Flag> =
            flags.iter().filter(|flag| flag.variable.is_none() && !written.contains(&(flag.long, flag.help))).collect();
        if !own.is_empty() {
            let _ = writeln!(text, ".SS miod {name}");
            own.into_iter().for_each(|flag| option(&mut text, flag));
        }
    }
    text + REST
}

/// The end of the page.
const REST: &str = r#".SH CONFIGURATION FILE
The file of \fB\-\-config\fR is TOML. Each long option is a key. \fB[[host]]\fR has \fInames\fR, \fIroot\fR, \fItls\fR and
the options of a site; \fB[[host.route]]\fR inside it has a \fIpath\fR, at most one of \fIroot\fR, \fIapp\fR,
\fIredirect\fR and \fIrespond\fR, and rules: \fIauth\fR, \fIallow\fR, \fIdeny\fR, \fImethods\fR, \fIrate\fR,
\fIbody\-limit\fR, \fIheaders\fR, \fIcache\-control\fR, \fIcors\fR, \fIlog\fR. \fB[[host.header]]\fR sets fields of files
by a \fIglob\fR. An option overrides its variable, and the variable the file.
.SH SIGNALS
.TP
\fBSIGTERM\fR, \fBSIGINT\fR
Finish requests and end; a second one ends at once.
.TP
\fBSIGHUP\fR
Load the configuration again, all or nothing.
.TP
\fBSIGUSR1\fR
Reopen the access log, and read certificates that have changed.
.TP
\fBSIGUSR2\fR
Maintenance on or off: every request gets 503.
.TP
\fBSIGWINCH\fR
With \fB\-\-tap\-ring\fR, write the last packets to the file.
.SH EXIT STATUS
0 success; 1 an error while running; 2 the command line is wrong; 69 an address is in use; 77 the system forbids it; 78
the configuration is wrong.
.SH EXAMPLES
.nf
miod \-p 0 \-\-listing ~/site
miod check \-c /etc/miod/miod.toml
miod \-c /etc/miod/miod.toml
miod unit \-c /etc/miod/miod.toml > /etc/systemd/system/miod.service
.fi
"#;
