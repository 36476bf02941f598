//! The options of logging.

use std::path::PathBuf;

/// The options of logging.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LogOptions {
    /// 0 is info; each step up (debug, trace) logs more, each step down (warn, error) less.
    /// `RUST_LOG` overrides it.
    pub verbosity: i8,
    /// Where access lines go.
    pub access: AccessLog,
    /// The format of access lines.
    pub format: LogFormat,
    /// The format of diagnostics.
    pub diagnostics: DiagnosticFormat,
}

impl LogOptions {
    /// Without access lines, and with the default formats.
    pub fn diagnostics_only(verbosity: i8) -> Self {
        Self { verbosity, access: AccessLog::Off, ..Self::default() }
    }
}

/// Where access lines go.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum AccessLog {
    /// To standard error if that is a terminal, else nowhere.
    #[default]
    Auto,
    /// Nowhere.
    Off,
    /// To the end of this file.
    File(PathBuf),
    /// To standard output.
    Stdout,
}

/// The format of access lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LogFormat {
    /// The combined log format with further fields at its end.
    #[default]
    Combined,
    /// The Common Log Format.
    Common,
    /// A JSON object in each line.
    Json,
    /// Pairs of `key=value`.
    Logfmt,
}

impl LogFormat {
    /// All formats.
    pub const ALL: [Self; 4] = [Self::Combined, Self::Common, Self::Json, Self::Logfmt];

    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Combined => "combined",
            Self::Common => "common",
            Self::Json => "json",
            Self::Logfmt => "logfmt",
        }
    }

    /// Whether a line has named facts, and so more of them.
    pub fn is_structured(self) -> bool {
        matches!(self, Self::Json | Self::Logfmt)
    }
}

/// The format of diagnostics.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum DiagnosticFormat {
    /// Time, level, target and message.
    #[default]
    Text,
    /// The same as a JSON object.
    Json,
}

impl DiagnosticFormat {
    /// All formats.
    pub const ALL: [Self; 2] = [Self::Text, Self::Json];

    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}
