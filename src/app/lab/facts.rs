//! Facts about a request or a connection, which an application shows as text, HTML or JSON.

use std::fmt::Write;
use std::net::SocketAddr;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::app::Request;

/// A name, and what it is.
pub(super) type Fact = (&'static str, Value);

/// The value of a fact.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Value {
    Text(String),
    Number(u64),
    Flag(bool),
    Absent,
}

impl Value {
    /// Bytes of the network as text.
    pub(super) fn bytes(bytes: &[u8]) -> Self {
        Self::Text(printable(bytes))
    }

    pub(super) fn address(address: Option<SocketAddr>) -> Self {
        address.map_or(Self::Absent, |address| Self::Text(address.to_string()))
    }

    /// As people read it.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
            Self::Flag(flag) => if *flag { "yes" } else { "no" }.to_owned(),
            Self::Absent => "none".to_owned(),
        }
    }
}

/// The facts as lines.
pub(super) fn lines(facts: &[Fact]) -> String {
    let mut out = String::new();
    for (name, value) in facts {
        // Writing to a String can't fail.
        let _ = writeln!(out, "{name}: {}", value.shown());
    }
    out
}

/// The facts as entries of an object. A key has no spaces, and nothing in brackets.
pub(super) fn entries<S: SerializeMap>(facts: &[Fact], map: &mut S) -> Result<(), S::Error> {
    facts.iter().try_for_each(|(name, value)| {
        let (name, _) = name.split_once(" (").unwrap_or((name, ""));
        map.serialize_entry(&name.replace(' ', "_"), value)
    })
}

/// Facts as an object.
pub(super) fn object<S: Serializer>(facts: &[Fact], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(facts.len()))?;
    entries(facts, &mut map)?;
    map.end()
}

/// Name and value of a field line.
#[derive(Serialize)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) value: String,
}

impl Field {
    /// All field lines of a request.
    pub(super) fn all(request: &Request<'_>) -> Vec<Self> {
        let fields = request.head.fields.iter();
        fields.map(|(name, value)| Self { name: printable(name), value: printable(value) }).collect()
    }
}

/// Text without control characters, so that a request can't control a terminal. C1 controls
/// are valid UTF-8.
pub(super) fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(char::is_control, "\u{fffd}")
}
