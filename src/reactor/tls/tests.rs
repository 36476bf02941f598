use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::super::buffers::FileSlice;
use super::super::bytes::Bytes;
use super::super::input::{BUFFER, Input};
use super::super::protocol::{Accepted, Context, Ending, Ends, Io, NoDatagrams, Protocol};
use super::super::want::{Finish, Want};
use super::super::{Dial, Listener, Options, Reactor, Until};
use super::*;

const HTTP: &[&str] = &["http/1.1"];

/// An authority for tests.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    fn certificate(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    /// A certificate for `names`.
    fn issue(&self, names: &[&str]) -> TlsIdentity {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let mut params = CertificateParams::new(names.clone()).unwrap();
        params.distinguished_name.push(DnType::CommonName, names[0].clone());
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        TlsIdentity { chain: vec![certificate.der().clone()], key, names }
    }

    fn trust(&self) -> TlsTrust {
        TlsTrust::Authorities(vec![self.certificate()])
    }

    fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::new(self.settings()).unwrap()
    }

    fn settings(&self) -> TlsServerSettings {
        let identities = vec![self.issue(&["localhost"])];
        TlsServerSettings { identities, protocols: HTTP, ..TlsServerSettings::default() }
    }

    fn connector(&self) -> TlsConnector {
        TlsConnector::new(self.trust(), HTTP).unwrap()
    }
}

/// A tls with its buffers.
struct End {
    tls: TlsConnection,
    lent: Ciphertext,
    input: Input,
    received: Vec<u8>,
}

impl End {
    fn new(tls: TlsConnection) -> Self {
        Self { tls, lent: Ciphertext::default(), input: Input::default(), received: Vec::new() }
    }

    fn open(&mut self) -> Result<(), TlsFailure> {
        let opened = self.tls.open_records(&mut self.lent, &mut self.input);
        self.take();
        opened
    }

    fn take(&mut self) {
        self.received.extend_from_slice(self.input.bytes());
        self.input.consume(self.input.bytes().len());
    }

    /// Puts everything away, as between two turns.
    fn pause(&mut self) {
        self.tls.save(&mut self.lent);
        assert!(self.lent.received.is_empty() && self.lent.sealed.is_empty());
        self.tls.restore(&mut self.lent);
    }

    fn seal(&mut self, text: &[u8]) {
        assert_eq!(self.tls.seal(text, &mut self.lent), Ok(text.len()));
    }

    /// Gets what `from` has sealed, at most `most` bytes at once, with a pause between.
    fn receive(&mut self, from: &mut Self, most: usize) -> Result<bool, TlsFailure> {
        let mut moved = false;
        while !from.lent.sealed.is_empty() {
            let bytes = from.lent.sealed.bytes();
            let count = bytes.len().min(most).min(self.lent.received.make_room());
            self.lent.received.extend(&bytes[..count]);
            from.lent.sealed.sent(count);
            self.open()?;
            while self.tls.has_unread() {
                self.open()?;
            }
            self.pause();
            moved = true;
        }
        Ok(moved)
    }
}

/// The two ends of a connection.
struct Pair {
    client: End,
    server: End,
    most: usize,
}

impl Pair {
    fn new(client: &TlsClient, acceptor: &TlsAcceptor) -> Self {
        let (client, server) = (client.connect().unwrap(), acceptor.accept().unwrap());
        Self { client: End::new(client), server: End::new(server), most: usize::MAX }
    }

    /// Moves everything until nothing moves.
    fn run(&mut self) -> Result<(), (TlsFailure, Option<TlsFailure>)> {
        if self.client.tls.has_output(false) {
            self.client.open().unwrap();
        }
        loop {
            let mut moved = match self.server.receive(&mut self.client, self.most) {
                Ok(moved) => moved,
                // The client gets the alert.
                Err(failure) => return Err((failure, self.client.receive(&mut self.server, self.most).err())),
            };
            match self.client.receive(&mut self.server, self.most) {
                Ok(more) => moved |= more,
                Err(failure) => return Err((failure, self.server.receive(&mut self.client, self.most).err())),
            }
            if !moved {
                return Ok(());
            }
        }
    }

    fn connect(authority: &Authority) -> Self {
        let mut pair = Self::new(&authority.connector().to("localhost").unwrap(), &authority.acceptor());
        pair.run().unwrap();
        assert!(!pair.client.tls.is_handshaking() && !pair.server.tls.is_handshaking());
        pair
    }
}

#[test]
fn text_arrives_however_the_ciphertext_is_cut() {
    let authority = Authority::new("authority");
    let (connector, acceptor) = (authority.connector(), authority.acceptor());
    let text: Vec<u8> = (0..100_000_u32).map(|number| (number % 251) as u8).collect();
    for most in [1, 2, 3, 4, 5, 6, 7, 16, 1_000, 16_384, 16_385, usize::MAX] {
        let mut pair = Pair { most, ..Pair::new(&connector.to("localhost").unwrap(), &acceptor) };
        pair.run().unwrap();
        let lengths = [0, 1, 2, 16_383, 16_384, 16_385, if most < 1_000 { 3 } else { 65_536 }];
        for length in lengths {
            pair.client.seal(&text[..length]);
            pair.server.seal(&text[text.len() - length..]);
            pair.run().unwrap();
            assert!(pair.server.received == text[..length], "{most}, {length}");
            assert!(pair.client.received == text[text.len() - length..], "{most}, {length}");
            (pair.server.received, pair.client.received) = (Vec::new(), Vec::new());
        }
    }
}

#[test]
fn the_facts_are_those_of_the_handshake() {
    let authority = Authority::new("authority");
    let (connector, acceptor) = (authority.connector(), authority.acceptor());
    let client = connector.to("LocalHost").unwrap();
    for resumed in [false, true] {
        let mut pair = Pair::new(&client, &acceptor);
        assert_eq!((pair.client.tls.facts(), pair.server.tls.facts()), (None, None));
        pair.run().unwrap();
        let facts = pair.server.tls.facts().unwrap();
        assert_eq!((facts.version, facts.cipher_suite, facts.group), ("TLSv1.3", "TLS_AES_256_GCM_SHA384", "X25519"));
        assert_eq!((facts.server_name.as_deref(), facts.alpn), (Some("localhost"), Some("http/1.1")));
        assert_eq!((facts.resumed, &facts.certificate), (resumed, &None));
        let facts = pair.client.tls.facts().unwrap();
        assert_eq!((facts.alpn, facts.resumed, facts.certificate.is_some()), (Some("http/1.1"), resumed, true));
    }
}

#[test]
fn a_client_gets_the_certificate_of_the_name_that_it_asks_for() {
    let authority = Authority::new("authority");
    let names = [&["a.example", "b.example"][..], &["*.a.example"], &["b.example"]];
    let identities: Vec<TlsIdentity> = names.iter().map(|names| authority.issue(names)).collect();
    let chosen: Vec<_> = identities.iter().map(|identity| identity.chain[0].as_ref().to_vec()).collect();
    let settings = TlsServerSettings { identities, ..TlsServerSettings::default() };
    let acceptor = TlsAcceptor::new(settings).unwrap();
    let anybody = TlsConnector::new(TlsTrust::Anybody, &[]).unwrap();
    for (name, expected) in [
        ("a.example", 0),
        ("A.Example", 0),
        ("b.example", 0),
        ("x.a.example", 1),
        ("x.y.a.example", 0),
        ("other", 0),
        ("192.0.2.1", 0),
    ] {
        let mut pair = Pair::new(&anybody.to(name).unwrap(), &acceptor);
        pair.run().unwrap();
        let certificate = pair.client.tls.facts().unwrap().certificate.clone().unwrap();
        assert_eq!(certificate.as_ref(), chosen[expected], "{name}");
    }
    assert!(anybody.to("").is_none() && anybody.to("a b").is_none() && anybody.to("[::1]").is_some());
}

#[test]
fn only_trusted_servers_of_the_right_name_are_trusted() {
    let (authority, other) = (Authority::new("authority"), Authority::new("other"));
    let acceptor = authority.acceptor();
    for (connector, name, expected) in [
        (other.connector(), "localhost", "its issuer is unknown"),
        (authority.connector(), "example.org", "it is for another name"),
        (authority.connector(), "127.0.0.1", "it is for another name"),
    ] {
        let failure = Pair::new(&connector.to(name).unwrap(), &acceptor).run().unwrap_err();
        assert_eq!(failure.0, TlsFailure::Untrusted(expected.to_owned()));
        let Some(TlsFailure::Handshake(alert)) = failure.1 else { panic!("no alert") };
        assert!(alert.contains("alert"), "{alert}");
    }
    let anybody = TlsConnector::new(TlsTrust::Anybody, HTTP).unwrap();
    Pair::new(&anybody.to("example.org").unwrap(), &acceptor).run().unwrap();
}

#[test]
fn a_client_with_other_protocols_gets_the_alert_and_one_without_is_served() {
    let authority = Authority::new("authority");
    let acceptor = authority.acceptor();
    let offers = |protocols| TlsConnector::new(authority.trust(), protocols).unwrap().to("localhost").unwrap();
    let failure = Pair::new(&offers(&["h2", "foo"]), &acceptor).run().unwrap_err();
    assert_eq!(failure.0, TlsFailure::Handshake("no common application protocol (ALPN)".to_owned()));
    assert_eq!(failure.1, Some(TlsFailure::Handshake("the peer sent the alert NoApplicationProtocol".to_owned())));
    for (protocols, expected) in [(&[][..], None), (&["h2", "http/1.1"], Some("http/1.1"))] {
        let mut pair = Pair::new(&offers(protocols), &acceptor);
        pair.run().unwrap();
        assert_eq!(pair.server.tls.facts().unwrap().alpn, expected);
    }
}

#[test]
fn the_end_is_orderly_with_close_notify_only() {
    let authority = Authority::new("authority");
    let mut pair = Pair::connect(&authority);
    pair.server.seal(b"last");
    pair.server.tls.seal_close(&mut pair.server.lent).unwrap();
    pair.server.tls.seal_close(&mut pair.server.lent).unwrap();
    assert_eq!(pair.server.tls.seal(b"more", &mut pair.server.lent), Ok(0), "nothing follows it");
    pair.run().unwrap();
    assert_eq!(pair.client.received, b"last");
    assert!(pair.client.tls.has_ended() && !pair.client.tls.is_truncated());
    // The other direction goes on.
    pair.client.seal(b"still");
    pair.run().unwrap();
    assert_eq!(pair.server.received, b"still");
    assert!(!pair.server.tls.has_ended());
    pair.server.tls.socket_ended = true;
    assert!(pair.server.tls.has_ended() && pair.server.tls.is_truncated());
}

#[test]
fn text_waits_while_the_input_is_full() {
    let authority = Authority::new("authority");
    let mut pair = Pair::connect(&authority);
    let text: Vec<u8> = (0..200_000_u32).map(|number| (number % 253) as u8).collect();
    pair.client.seal(&text);
    pair.client.tls.seal_close(&mut pair.client.lent).unwrap();
    let sealed = pair.client.lent.sealed.bytes().to_vec();
    let (server, mut given) = (&mut pair.server, 0);
    let mut got = Vec::new();
    for _ in 0..100 {
        let count = (sealed.len() - given).min(server.lent.received.make_room());
        server.lent.received.extend(&sealed[given..given + count]);
        given += count;
        server.tls.open_records(&mut server.lent, &mut server.input).unwrap();
        assert_eq!(server.tls.has_unread(), server.input.is_full());
        // It can answer though ciphertext waits.
        assert_eq!(server.tls.seal(b"answer", &mut server.lent), Ok(6));
        server.pause();
        if !server.input.is_full() && given == sealed.len() && !server.tls.has_unread() {
            got.extend_from_slice(server.input.bytes());
            break;
        }
        got.extend_from_slice(&server.input.bytes()[..BUFFER / 3]);
        server.input.consume(BUFFER / 3);
    }
    assert!(got == text && server.tls.has_ended());
}

#[test]
fn garbage_in_place_of_any_record_is_an_alert_and_never_a_panic() {
    let authority = Authority::new("authority");
    let (connector, acceptor) = (authority.connector(), authority.acceptor());
    for at in (0..1_500).step_by(7) {
        for flip in [0x01, 0x80, 0xff] {
            let mut pair = Pair::new(&connector.to("localhost").unwrap(), &acceptor);
            pair.client.open().unwrap();
            let mut seen = 0;
            for _ in 0..4 {
                let mut bytes = pair.client.lent.sealed.bytes().to_vec();
                pair.client.lent.sealed.clear();
                if (seen..seen + bytes.len()).contains(&at) {
                    bytes[at - seen] ^= flip;
                }
                seen += bytes.len();
                pair.server.lent.received.extend(&bytes);
                if pair.server.open().is_err() {
                    assert!(pair.server.tls.has_failed());
                    assert_eq!(pair.server.open(), Ok(()), "it stays quiet");
                    break;
                }
                if pair.client.receive(&mut pair.server, usize::MAX).is_err() {
                    break;
                }
            }
        }
    }
}

#[test]
fn a_message_that_never_ends_is_refused() {
    let authority = Authority::new("authority");
    let mut server = End::new(authority.acceptor().accept().unwrap());
    // A ClientHello of 60,000 bytes, a byte in each record.
    let mut failed = false;
    for number in 0..60_000 {
        let byte = match number {
            0 => 1,
            2 => 0xea,
            3 => 0x60,
            _ => 0,
        };
        server.lent.received.extend(&[22, 3, 1, 0, 1, byte]);
        if server.open().is_err() {
            failed = true;
            break;
        }
    }
    assert!(failed && server.tls.memory() < 3 * BUFFER);
}

#[test]
fn plain_text_is_recognised_by_its_first_byte() {
    let authority = Authority::new("authority");
    for (bytes, expected) in
        [(&b"GET / HTTP/1.1\r\n"[..], true), (b"\r\nGET", true), (b"\x16\x03\x01", false), (b"", false)]
    {
        let mut server = End::new(authority.acceptor().accept().unwrap());
        server.lent.received.extend(bytes);
        assert_eq!(server.tls.is_plain_text(&server.lent.received), expected);
    }
    let pair = Pair::connect(&authority);
    let mut received = Input::default();
    received.extend(b"GET");
    assert!(!pair.server.tls.is_plain_text(&received), "a handshake came");
}

#[test]
fn new_settings_are_for_new_handshakes_and_sessions_outlive_them() {
    let authority = Authority::new("authority");
    let (connector, acceptor) = (authority.connector(), authority.acceptor());
    let client = connector.to("localhost").unwrap();
    Pair::new(&client, &acceptor).run().unwrap();
    let settings = authority.settings();
    let certificate = settings.identities[0].chain[0].clone();
    acceptor.replace(settings).unwrap();
    let mut pair = Pair::new(&client, &acceptor);
    pair.run().unwrap();
    assert!(pair.server.tls.facts().unwrap().resumed);
    let fresh = authority.connector().to("localhost").unwrap();
    let mut pair = Pair::new(&fresh, &acceptor);
    pair.run().unwrap();
    let facts = pair.client.tls.facts().unwrap();
    assert_eq!(facts.certificate.as_deref(), Some(certificate.as_ref()));
    // A pair that doesn't match changes nothing.
    let mut mismatch = authority.settings();
    mismatch.identities[0].key = authority.issue(&["localhost"]).key;
    assert_eq!(acceptor.replace(mismatch), Err(TlsSettingsError::KeyMismatch(0)));
    Pair::new(&client, &acceptor).run().unwrap();
    assert_eq!(TlsAcceptor::new(TlsServerSettings::default()).err(), Some(TlsSettingsError::NoCertificate));
}

#[test]
fn clients_need_a_certificate_if_authorities_are_set_and_no_ticket_helps() {
    let (authority, clients) = (Authority::new("authority"), Authority::new("clients"));
    let acceptor = authority.acceptor();
    let anonymous = authority.connector().to("localhost").unwrap();
    Pair::new(&anonymous, &acceptor).run().unwrap();
    acceptor
        .replace(TlsServerSettings { client_authorities: vec![clients.certificate()], ..authority.settings() })
        .unwrap();
    let failure = Pair::new(&anonymous, &acceptor).run().unwrap_err();
    assert_eq!(failure.0, TlsFailure::Handshake("the peer sent no certificate".to_owned()));
    assert_eq!(failure.1, Some(TlsFailure::Handshake("the peer sent the alert CertificateRequired".to_owned())));

    let identity = clients.issue(&["student"]);
    let certificate = identity.chain[0].as_ref().to_vec();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.certificate()).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(identity.chain, identity.key)
        .unwrap();
    let tls = TlsConnection::client(Arc::new(config), "localhost".try_into().unwrap(), &[]).unwrap();
    let mut pair = Pair { client: End::new(tls), ..Pair::new(&anonymous, &acceptor) };
    pair.run().unwrap();
    assert_eq!(pair.server.tls.facts().unwrap().certificate.as_deref(), Some(&certificate[..]));
}

#[test]
fn the_older_version_is_spoken_unless_it_is_refused() {
    let authority = Authority::new("authority");
    let old = || {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(authority.certificate()).unwrap();
        let config = rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        TlsConnection::client(Arc::new(config), "localhost".try_into().unwrap(), &[]).unwrap()
    };
    let mut pair = Pair { client: End::new(old()), ..Pair::connect(&authority) };
    pair.server = End::new(authority.acceptor().accept().unwrap());
    pair.most = 1;
    pair.run().unwrap();
    let facts = pair.server.tls.facts().unwrap();
    assert_eq!((facts.version, facts.cipher_suite), ("TLSv1.2", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"));
    pair.server.seal(b"hello");
    pair.run().unwrap();
    assert_eq!(pair.client.received, b"hello");

    let strict = TlsAcceptor::new(TlsServerSettings { only_tls13: true, ..authority.settings() }).unwrap();
    let mut pair = Pair { client: End::new(old()), server: End::new(strict.accept().unwrap()), most: usize::MAX };
    let failure = pair.run().unwrap_err();
    assert_eq!(failure.1, Some(TlsFailure::Handshake("the peer sent the alert ProtocolVersion".to_owned())));
}

/// What the two ends of real connections found out.
#[derive(Default)]
struct Seen {
    /// What the client received.
    received: Vec<u8>,
    /// Whether its input ended, and was cut short.
    ended: Option<bool>,
    errors: Vec<io::Error>,
    /// What the server sends, and how it ends.
    file: Option<FileSlice>,
    finish: Option<Finish>,
    /// What the server received.
    asked: usize,
}

/// The server sends a file when it has received as many bytes as that has, and ends; the client
/// sends that many.
enum Transfer {
    Server { sent: bool },
    Client { to_send: usize },
}

impl Protocol for Transfer {
    type Shared = Seen;
    type Listener = ();
    type Message = ();
    type Outcome = ();
    type Datagrams = NoDatagrams;

    fn open(_: &Accepted<'_, ()>, _: &mut Context<'_, Self>) -> Option<Self> {
        Some(Self::Server { sent: false })
    }

    fn advance(&mut self, io: &mut Io<'_>, cx: &mut Context<'_, Self>) -> Want {
        let length = cx.shared.file.as_ref().map_or(0, |file| file.length as usize);
        let deadline = cx.time.now.after(Duration::from_secs(20));
        match self {
            Self::Server { sent } => {
                cx.shared.asked += io.input.bytes().len();
                io.input.consume(io.input.bytes().len());
                if cx.shared.asked < length {
                    return Want::READ.by(deadline);
                }
                if !std::mem::replace(sent, true) {
                    io.output.write(b"head ");
                    io.output.file(cx.shared.file.clone().unwrap());
                }
                let finish = if io.ended { Finish::Close } else { cx.shared.finish.unwrap() };
                Want { read: true, ..Want::finish(finish) }.by(deadline)
            }
            Self::Client { to_send } => {
                cx.shared.received.extend_from_slice(io.input.bytes());
                io.input.consume(io.input.bytes().len());
                let count = io.output.room().min(*to_send);
                io.output.share(Bytes::copy(&vec![b'x'; count]));
                *to_send -= count;
                if io.ended {
                    cx.shared.ended = Some(io.truncated);
                    return Want::finish(Finish::Close);
                }
                Want::READ.by(deadline)
            }
        }
    }

    fn closed(&mut self, ending: Ending, _: Ends<'_>, cx: &mut Context<'_, Self>) {
        cx.shared.errors.extend(ending.error);
    }
}

/// A transfer of a file of `content` over real sockets; the file claims to have `length` bytes.
fn transfer(content: &[u8], length: usize, finish: Finish) -> Seen {
    let path = std::env::temp_dir().join(format!("miod-tls-{}-{length}-{finish:?}", std::process::id()));
    std::fs::write(&path, content).unwrap();
    let file = Rc::new(std::fs::File::open(&path).unwrap().into());
    std::fs::remove_file(&path).unwrap();
    let authority = Authority::new("authority");
    let file = Some(FileSlice { file, offset: 0, length: length as u64 });
    let shared = Seen { file, finish: Some(finish), ..Seen::default() };
    let mut reactor = Reactor::<Transfer>::new(shared, Options::default()).unwrap();
    let listener = Listener::bind(&super::super::Endpoint::Tcp("127.0.0.1:0".parse().unwrap())).unwrap();
    let endpoint = listener.endpoint();
    reactor.listen(listener.with_tls(authority.acceptor()), ()).unwrap();
    let tls = authority.connector().to("localhost");
    reactor.connect(Dial { endpoint, tls }, Transfer::Client { to_send: length });
    reactor.run(Until::Connections(1)).unwrap();
    std::mem::take(reactor.shared())
}

#[test]
fn files_and_large_bodies_pass_real_sockets_in_both_directions() {
    for length in [0, 1, 16_383, 16_384, 16_385, 65_535, 65_536, 1 << 20, 10_000_000] {
        let content: Vec<u8> = (0..length).map(|number: usize| (number % 251) as u8).collect();
        for finish in [Finish::Close, Finish::Linger, Finish::HalfClose] {
            let seen = transfer(&content, length, finish);
            assert_eq!((seen.asked, seen.ended, seen.received.len()), (length, Some(false), length + 5), "{finish:?}");
            assert!(seen.received[..5] == *b"head " && seen.received[5..] == content, "{length} {finish:?}");
            assert!(seen.errors.is_empty(), "{:?}", seen.errors);
        }
    }
}

#[test]
fn content_that_is_cut_short_ends_without_close_notify() {
    let seen = transfer(&[b'a'; 100_000], 100_000, Finish::Cut);
    assert_eq!((seen.ended, seen.received.len()), (Some(true), 100_005));
    // The file is shorter than was promised: a reset.
    let seen = transfer(&[b'a'; 100_000], 200_000, Finish::Close);
    assert_eq!(seen.ended, None);
    assert!(seen.errors.iter().any(|error| error.kind() == io::ErrorKind::UnexpectedEof), "{:?}", seen.errors);
}

/// What the two ends say before TLS and in it.
#[derive(Clone, Default)]
struct Script {
    /// What the server sends before its `go\n`, and what follows that in the same piece.
    before: usize,
    after: &'static [u8],
    /// What follows the client's `tls\n` in the same piece.
    early: &'static [u8],
    acceptor: Option<TlsAcceptor>,
    client: Option<TlsClient>,
    /// What the two received in TLS, and how each connection ended.
    received: Vec<u8>,
    endings: Vec<String>,
}

/// The two ends of a connection on which TLS begins later.
enum Upgrade {
    Server { asked: bool, got: Vec<u8> },
    Client { asked: bool, said: bool, plain: usize },
}

impl Upgrade {
    fn serve(&mut self, io: &mut Io<'_>, cx: &mut Context<'_, Self>) -> Want {
        let Self::Server { asked, got } = self else { panic!("it is a client") };
        if !*asked {
            if !io.input.bytes().starts_with(b"tls\n") {
                return Want::READ;
            }
            *asked = true;
            io.input.consume(4);
            io.output.write(&vec![b'.'; cx.shared.before]);
            io.output.write(b"go\n");
            io.output.write(cx.shared.after);
            cx.secure(TlsSide::Server(cx.shared.acceptor.clone().unwrap()));
            return Want::NOTHING;
        }
        if !io.established {
            assert!(io.ends.security().is_tls() && io.input.is_empty());
            // It may want what it likes: nothing is read in plain text.
            return Want::READ;
        }
        got.extend_from_slice(io.input.bytes());
        io.input.consume(io.input.bytes().len());
        if got == b"hello" {
            got.clear();
            io.output.write(b"HELLO");
        }
        if io.ended { Want::finish(Finish::Close) } else { Want::READ }
    }

    fn ask(&mut self, io: &mut Io<'_>, cx: &mut Context<'_, Self>) -> Want {
        let Self::Client { asked, said, plain } = self else { panic!("it is a server") };
        if !io.established {
            return Want::READ;
        }
        if !io.ends.security().is_tls() {
            if !std::mem::replace(asked, true) {
                io.output.write(b"tls\n");
                io.output.write(cx.shared.early);
            }
            let dots = io.input.bytes().iter().take_while(|byte| **byte == b'.').count();
            *plain += dots;
            io.input.consume(dots);
            if !io.input.bytes().starts_with(b"go\n") {
                return Want::READ;
            }
            assert_eq!(*plain, cx.shared.before);
            io.input.consume(3);
            cx.secure(TlsSide::Client(cx.shared.client.clone().unwrap()));
            return Want::NOTHING;
        }
        if !std::mem::replace(said, true) {
            io.output.write(b"hello");
        }
        cx.shared.received.extend_from_slice(io.input.bytes());
        io.input.consume(io.input.bytes().len());
        if cx.shared.received == b"HELLO" { Want::finish(Finish::Close) } else { Want::READ }
    }
}

impl Protocol for Upgrade {
    type Shared = Script;
    type Listener = ();
    type Message = ();
    type Outcome = ();
    type Datagrams = NoDatagrams;

    fn open(_: &Accepted<'_, ()>, _: &mut Context<'_, Self>) -> Option<Self> {
        Some(Self::Server { asked: false, got: Vec::new() })
    }

    fn advance(&mut self, io: &mut Io<'_>, cx: &mut Context<'_, Self>) -> Want {
        let deadline = cx.time.now.after(Duration::from_secs(20));
        let want = if let Self::Server { .. } = self { self.serve(io, cx) } else { self.ask(io, cx) };
        want.by(deadline)
    }

    fn closed(&mut self, ending: Ending, ends: Ends<'_>, cx: &mut Context<'_, Self>) {
        let side = if let Self::Server { .. } = self { "server" } else { "client" };
        let version = ends.security().facts().map_or("plain", |facts| facts.version);
        let how = ending.error.map_or_else(String::new, |error| format!(": {error}"));
        cx.shared.endings.push(format!("{side} {version}{how}"));
    }
}

/// Plays a script over real sockets.
fn upgrade(script: Script) -> Script {
    let authority = Authority::new("authority");
    let (acceptor, client) = (Some(authority.acceptor()), authority.connector().to("localhost"));
    let mut reactor = Reactor::<Upgrade>::new(Script { acceptor, client, ..script }, Options::default()).unwrap();
    let listener = Listener::bind(&super::super::Endpoint::Tcp("127.0.0.1:0".parse().unwrap())).unwrap();
    let endpoint = listener.endpoint();
    reactor.listen(listener, ()).unwrap();
    reactor.connect(endpoint, Upgrade::Client { asked: false, said: false, plain: 0 });
    reactor.run(Until::Connections(1)).unwrap();
    let mut script = std::mem::take(reactor.shared());
    script.endings.sort();
    script
}

#[test]
fn tls_begins_on_an_open_connection_when_the_plain_text_is_sent() {
    // The socket can't take ten million bytes at once.
    for before in [0, 1, BUFFER, 10_000_000] {
        let script = upgrade(Script { before, ..Script::default() });
        assert_eq!(script.received, b"HELLO", "{before}");
        assert_eq!(script.endings, ["client TLSv1.3", "server TLSv1.3"], "{before}");
    }
}

#[test]
fn plain_text_behind_the_request_for_tls_ends_the_connection() {
    let script = upgrade(Script { early: b"more\n", ..Script::default() });
    assert_eq!(script.endings[1], "server plain: the peer sent plain text where TLS begins");
    assert!(script.endings[0].starts_with("client plain: ") && script.received.is_empty(), "{:?}", script.endings);

    let script = upgrade(Script { after: b"more\n", ..Script::default() });
    assert_eq!(script.endings[0], "client plain: the peer sent plain text where TLS begins");
    assert!(script.received.is_empty());
}
