//! What protects a connection, as its protocol may know it.
//!
//! TLS ends in the transport, so a protocol reads and writes plain text in any case. What it
//! may want to know is here: whether the peer's bytes were protected, and how.

/// What protects a connection.
#[derive(Clone, Copy, Debug, Default)]
pub enum Security<'a> {
    /// Nothing, and nothing should.
    #[default]
    Plain,
    /// Nothing, though the listener is for TLS: the peer speaks plain text. A protocol sees
    /// this only if it [answers plain text](super::Protocol::answers_plain_text); it is to
    /// say so and close.
    PlainAtTls,
    /// TLS. The facts are there when the handshake is over.
    Tls(Option<&'a TlsFacts>),
}

impl<'a> Security<'a> {
    /// Whether it is TLS.
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// What the handshake has agreed on; none without TLS, or before its end.
    pub fn facts(self) -> Option<&'a TlsFacts> {
        if let Self::Tls(facts) = self { facts } else { None }
    }
}

/// What a TLS handshake has agreed on.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TlsFacts {
    /// The version of the protocol: `TLSv1.3` or `TLSv1.2`.
    pub version: &'static str,
    /// The cipher suite, by its name in the IANA registry.
    pub cipher_suite: &'static str,
    /// The group of the key exchange, by its name in the IANA registry; empty if a session was
    /// resumed without one.
    pub group: &'static str,
    /// The host name that the client asked for (SNI, RFC 6066 §3), in lower case.
    pub server_name: Option<Box<str>>,
    /// The protocol that was agreed on (ALPN, RFC 7301).
    pub alpn: Option<&'static str>,
    /// An earlier session was resumed.
    pub resumed: bool,
    /// The peer's certificate (X.509, DER), if it sent one.
    pub certificate: Option<Box<[u8]>>,
}
