//! One TLS connection, as a filter between ciphertext and plain text.

use std::sync::Arc;

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::pki_types::ServerName;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus, WriteTraffic};
use rustls::{ClientConfig, CommonState, HandshakeKind, ProtocolVersion, ServerConfig};

use super::super::buffers::Leftover;
use super::super::input::{Input, RECORD};
use super::super::security::TlsFacts;
use super::ciphertext::Ciphertext;
use super::failure::TlsFailure;
use super::resolver::Resolver;

/// What rustls holds for a connection on the heap beside its own size, in bytes: measured, and
/// rounded up.
const HELD: usize = 2_560;
/// The same in the handshake.
const HELD_IN_HANDSHAKE: usize = 8_192;

/// What a record takes beyond its plain text, at most.
const OVERHEAD: usize = 64;

/// How far a connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// Nothing was received or sent yet.
    New,
    Handshake,
    Open,
    /// Our close_notify is sealed: nothing follows it.
    Closed,
    /// An alert is sealed, if there was one to send: nothing follows it.
    Failed,
}

/// One TLS connection.
pub(in super::super) struct TlsConnection {
    side: Side,
    stage: Stage,
    /// Whole records may wait in the ciphertext: the input was full.
    unread: bool,
    /// The peer's close_notify came.
    peer_closed: bool,
    /// The socket has reached its end.
    pub(in super::super) socket_ended: bool,
    protocols: &'static [&'static str],
    facts: Option<Box<TlsFacts>>,
    /// Ciphertext between two turns.
    leftover: Leftover,
}

/// Either side.
enum Side {
    Server(UnbufferedServerConnection, Arc<Resolver>),
    Client(UnbufferedClientConnection, Option<Box<str>>),
}

/// The same for either side.
macro_rules! either {
    ($either:expr, $side:ident => $body:expr) => {
        match $either {
            Side::Server($side, _) => $body,
            Side::Client($side, _) => $body,
        }
    };
}

/// What both sides have in common.
trait Records {
    type Data;
    fn process<'c, 'i>(&'c mut self, received: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
    /// Whether there is a message to seal.
    fn has_message(&self) -> bool;
}

impl Records for UnbufferedServerConnection {
    type Data = ServerConnectionData;
    fn process<'c, 'i>(&'c mut self, received: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(received)
    }
    fn has_message(&self) -> bool {
        self.wants_write()
    }
}

impl Records for UnbufferedClientConnection {
    type Data = ClientConnectionData;
    fn process<'c, 'i>(&'c mut self, received: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(received)
    }
    fn has_message(&self) -> bool {
        self.wants_write()
    }
}

/// How a step ended.
enum Step {
    /// There may be more to do.
    Again,
    /// Plain text came.
    Read,
    /// More ciphertext is needed.
    Starved,
    /// The peer's close_notify came.
    PeerClosed,
    /// The connection failed.
    Failed(TlsFailure),
}

impl TlsConnection {
    pub(super) fn server(
        config: Arc<ServerConfig>,
        resolver: Arc<Resolver>,
        protocols: &'static [&'static str],
    ) -> Result<Self, TlsFailure> {
        let side =
            Side::Server(UnbufferedServerConnection::new(config).map_err(|error| TlsFailure::new(&error))?, resolver);
        Ok(Self::new(side, protocols))
    }

    pub(super) fn client(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
        protocols: &'static [&'static str],
    ) -> Result<Self, TlsFailure> {
        let asked = if let ServerName::DnsName(name) = &name { Some(name.as_ref().into()) } else { None };
        let side = Side::Client(
            UnbufferedClientConnection::new(config, name).map_err(|error| TlsFailure::new(&error))?,
            asked,
        );
        Ok(Self::new(side, protocols))
    }

    fn new(side: Side, protocols: &'static [&'static str]) -> Self {
        Self {
            side,
            stage: Stage::New,
            unread: false,
            peer_closed: false,
            socket_ended: false,
            protocols,
            facts: None,
            leftover: Leftover::default(),
        }
    }

    /// Whether it isn't known yet that plain text can be exchanged.
    pub(in super::super) fn is_handshaking(&self) -> bool {
        matches!(self.stage, Stage::New | Stage::Handshake)
    }

    /// Whether it failed.
    pub(in super::super) fn has_failed(&self) -> bool {
        self.stage == Stage::Failed
    }

    /// Whether plain text may be had without reading from the socket.
    pub(in super::super) fn has_unread(&self) -> bool {
        self.unread
    }

    /// Whether the input is over: the peer's close_notify came, or the socket's end did.
    pub(in super::super) fn has_ended(&self) -> bool {
        !self.unread && (self.peer_closed || self.socket_ended)
    }

    /// Whether the input ended without close_notify: it may have been cut short.
    pub(in super::super) fn is_truncated(&self) -> bool {
        self.socket_ended && !self.peer_closed
    }

    /// Whether there would be something to send if the protocol had nothing; `ending` if it has
    /// ended its output.
    pub(in super::super) fn has_output(&self, ending: bool) -> bool {
        match (&self.side, self.stage) {
            (Side::Client(..), Stage::New) => true,
            (_, Stage::Open) => ending,
            _ => false,
        }
    }

    /// What the handshake has agreed on, when it is over.
    pub(in super::super) fn facts(&self) -> Option<&TlsFacts> {
        self.facts.as_deref()
    }

    /// Puts what was left over back into the lent buffers.
    pub(in super::super) fn restore(&mut self, lent: &mut Ciphertext) {
        self.leftover.restore(&mut lent.received, &mut lent.sealed);
    }

    /// Keeps what is left in the lent buffers.
    pub(in super::super) fn save(&mut self, lent: &mut Ciphertext) {
        if !(lent.received.is_empty() && lent.sealed.is_empty()) {
            self.leftover.save(&mut lent.received, &mut lent.sealed);
        }
    }

    /// Ciphertext between two turns that isn't sent yet, in bytes.
    pub(in super::super) fn unsent(&self) -> u64 {
        self.leftover.unsent()
    }

    /// Bytes of memory that it takes.
    pub(in super::super) fn memory(&self) -> usize {
        let held = if self.is_handshaking() { HELD_IN_HANDSHAKE } else { HELD };
        size_of::<Self>() + held + self.leftover.memory()
    }

    /// Whether the first bytes of a connection to a server are plain text: each protocol that
    /// is text begins with a character, and no record of TLS does.
    pub(in super::super) fn is_plain_text(&self, received: &Input) -> bool {
        let is_server = matches!(self.side, Side::Server(..));
        let first = received.bytes().first();
        is_server && self.stage == Stage::New && first.is_some_and(|byte| matches!(byte, b'\n' | b'\r' | b' '..=b'~'))
    }

    /// Decrypts what was received into `input`, as far as there is room. Answers of the
    /// handshake are sealed. Without anything received it begins a client's handshake.
    ///
    /// # Errors
    /// Why the connection failed; an alert is sealed then.
    pub(in super::super) fn open_records(
        &mut self,
        lent: &mut Ciphertext,
        input: &mut Input,
    ) -> Result<(), TlsFailure> {
        if matches!(self.stage, Stage::Failed) {
            return Ok(());
        }
        if self.stage == Stage::New {
            self.stage = Stage::Handshake;
        }
        loop {
            let step = either!(&mut self.side, side => step(side, lent, input));
            if self.stage == Stage::Handshake && !self.common().is_handshaking() {
                self.stage = Stage::Open;
                self.facts = Some(Box::new(self.agreed()));
            }
            match step {
                Step::Again => {}
                // A record fits behind an input that isn't full.
                Step::Read => {
                    self.unread = input.is_full();
                    if self.unread {
                        return Ok(());
                    }
                }
                Step::PeerClosed => self.peer_closed = true,
                Step::Starved => {
                    self.unread = false;
                    if self.peer_closed {
                        // What comes behind close_notify is ignored (RFC 8446 §6.1).
                        lent.received.clear();
                    } else if lent.received.is_full() {
                        // It holds more than a handshake message, and none was found.
                        return self.fail(lent, TlsFailure::Handshake("a message is too long".to_owned()));
                    }
                    return Ok(());
                }
                Step::Failed(failure) => return self.fail(lent, failure),
            }
        }
    }

    fn fail(&mut self, lent: &mut Ciphertext, failure: TlsFailure) -> Result<(), TlsFailure> {
        self.stage = Stage::Failed;
        self.unread = false;
        either!(&mut self.side, side => seal_alert(side, lent));
        lent.received.clear();
        Err(failure)
    }

    /// Encrypts plain text, if the handshake is over. Returns how many bytes of it: all, or
    /// none.
    ///
    /// # Errors
    /// If it can't encrypt any more.
    pub(in super::super) fn seal(&mut self, text: &[u8], lent: &mut Ciphertext) -> Result<usize, TlsFailure> {
        if self.stage != Stage::Open {
            return Ok(0);
        }
        let space = text.len() + (text.len() / RECORD + 2) * OVERHEAD;
        self.peer_closed |= either!(&mut self.side, side => write(side, self.unread, lent, |traffic, out| {
            append(out, space, |space| traffic.encrypt(text, space))
        })?);
        Ok(text.len())
    }

    /// Seals close_notify, once. Nothing can be sealed behind it.
    ///
    /// # Errors
    /// If it can't encrypt any more.
    pub(in super::super) fn seal_close(&mut self, lent: &mut Ciphertext) -> Result<(), TlsFailure> {
        if self.stage != Stage::Open {
            return Ok(());
        }
        self.stage = Stage::Closed;
        self.peer_closed |= either!(&mut self.side, side => write(side, self.unread, lent, |traffic, out| {
            append(out, OVERHEAD, |space| traffic.queue_close_notify(space))
        })?);
        Ok(())
    }

    fn common(&self) -> &CommonState {
        either!(&self.side, side => side)
    }

    fn agreed(&mut self) -> TlsFacts {
        let server_name = match &mut self.side {
            Side::Server(_, resolver) => resolver.take_asked(),
            Side::Client(_, asked) => asked.take(),
        };
        let common = self.common();
        let alpn = common.alpn_protocol();
        let suite = common.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
        let group = common.negotiated_key_exchange_group().and_then(|group| group.name().as_str());
        TlsFacts {
            version: match common.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
                _ => "TLSv1.3",
            },
            cipher_suite: suite.map_or("", iana_name),
            group: group.unwrap_or_default(),
            server_name,
            alpn: self.protocols.iter().copied().find(|protocol| alpn == Some(protocol.as_bytes())),
            resumed: common.handshake_kind() == Some(HandshakeKind::Resumed),
            certificate: common.peer_certificates().and_then(<[_]>::first).map(|first| first.as_ref().into()),
        }
    }
}

/// The name of a cipher suite in the registry; rustls has the version in its own.
fn iana_name(suite: &'static str) -> &'static str {
    match suite {
        "TLS13_AES_128_GCM_SHA256" => "TLS_AES_128_GCM_SHA256",
        "TLS13_AES_256_GCM_SHA384" => "TLS_AES_256_GCM_SHA384",
        "TLS13_CHACHA20_POLY1305_SHA256" => "TLS_CHACHA20_POLY1305_SHA256",
        other => other,
    }
}

/// Processes a record, or seals a message of the handshake.
fn step<R: Records>(connection: &mut R, lent: &mut Ciphertext, input: &mut Input) -> Step {
    let UnbufferedStatus { mut discard, state } = connection.process(lent.received.bytes_mut());
    let step = match state {
        Ok(ConnectionState::ReadTraffic(mut traffic)) => {
            let mut step = Step::Read;
            while let Some(record) = traffic.next_record() {
                match record {
                    Ok(record) => {
                        discard += record.discard;
                        input.extend(record.payload);
                    }
                    Err(error) => step = Step::Failed(TlsFailure::new(&error)),
                }
            }
            step
        }
        Ok(ConnectionState::EncodeTlsData(mut data)) => {
            let encoded = append(lent.sealed.buffer(), 0, |space| data.encode(space));
            encoded.map_or_else(Step::Failed, |()| Step::Again)
        }
        Ok(ConnectionState::TransmitTlsData(data)) => {
            data.done();
            Step::Again
        }
        Ok(ConnectionState::PeerClosed) => Step::PeerClosed,
        Ok(ConnectionState::ReadEarlyData(_)) => {
            Step::Failed(TlsFailure::Handshake("early data isn't offered".to_owned()))
        }
        Ok(_) => Step::Starved,
        Err(error) => Step::Failed(TlsFailure::new(&error)),
    };
    lent.received.consume(discard);
    step
}

/// Seals the alert that rustls has for the peer after an error, and looks at no further record.
fn seal_alert<R: Records>(connection: &mut R, lent: &mut Ciphertext) {
    while connection.has_message() {
        let Ok(ConnectionState::EncodeTlsData(mut data)) = connection.process(lent.received.bytes_mut()).state else {
            break;
        };
        if append(lent.sealed.buffer(), 0, |space| data.encode(space)).is_err() {
            break;
        }
    }
}

/// Has `seal` write, when what rustls has to send before is sealed. Returns whether the peer's
/// close_notify turned out to be there.
fn write<R: Records>(
    connection: &mut R,
    unread: bool,
    lent: &mut Ciphertext,
    seal: impl FnOnce(&mut WriteTraffic<'_, R::Data>, &mut Vec<u8>) -> Result<(), TlsFailure>,
) -> Result<bool, TlsFailure> {
    let mut peer_closed = false;
    loop {
        // Whole records that wait are for `open_records`. A part of one must be shown.
        let received = if unread { &mut [][..] } else { lent.received.bytes_mut() };
        match connection.process(received).state {
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                seal(&mut traffic, lent.sealed.buffer())?;
                return Ok(peer_closed);
            }
            Ok(ConnectionState::EncodeTlsData(mut data)) => {
                append(lent.sealed.buffer(), 0, |space| data.encode(space))?;
            }
            Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
            Ok(ConnectionState::PeerClosed) => peer_closed = true,
            Ok(_) => return Err(TlsFailure::Handshake("the connection is over".to_owned())),
            Err(error) => return Err(TlsFailure::new(&error)),
        }
    }
}

/// Appends what `encode` writes into `space` bytes, or into as many as it asks for.
fn append<E: Space>(
    out: &mut Vec<u8>,
    space: usize,
    mut encode: impl FnMut(&mut [u8]) -> Result<usize, E>,
) -> Result<(), TlsFailure> {
    let start = out.len();
    let mut space = space;
    for _ in 0..2 {
        out.resize(start + space, 0);
        match encode(&mut out[start..]) {
            Ok(count) => {
                out.truncate(start + count);
                return Ok(());
            }
            Err(error) => match error.required() {
                Some(required) => space = required,
                None => break,
            },
        }
    }
    out.truncate(start);
    Err(TlsFailure::Handshake("no more can be encrypted".to_owned()))
}

/// An error that may say how many bytes are needed.
trait Space {
    fn required(&self) -> Option<usize>;
}

impl Space for EncodeError {
    fn required(&self) -> Option<usize> {
        if let Self::InsufficientSize(error) = self { Some(error.required_size) } else { None }
    }
}

impl Space for EncryptError {
    fn required(&self) -> Option<usize> {
        if let Self::InsufficientSize(error) = self { Some(error.required_size) } else { None }
    }
}
