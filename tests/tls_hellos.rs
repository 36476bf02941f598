//! ClientHellos (RFC 8446 §4.1.2) that are many, long, or cut into pieces.

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, Stream, SupportedProtocolVersion};

use support::TIMEOUT;
use support::site::Site;

/// Bytes after their count, which takes `width` bytes.
fn counted(width: usize, bytes: &[u8]) -> Vec<u8> {
    [&bytes.len().to_be_bytes()[size_of::<usize>() - width..], bytes].concat()
}

/// A ClientHello of TLS 1.3 in one record, that asks for a name.
fn client_hello(name: &[u8]) -> Vec<u8> {
    let extension = |kind: u16, content: &[u8]| [&kind.to_be_bytes(), &*counted(2, content)].concat();
    let key_share = [&[0, 29][..], &counted(2, &[9; 32])].concat();
    let extensions = [
        extension(0, &counted(2, &[&[0], &*counted(2, name)].concat())), // server_name
        extension(10, &counted(2, &[0, 29])),                            // supported_groups: X25519
        extension(13, &counted(2, &[4, 3])),                             // signature_algorithms: ECDSA, P-256
        extension(43, &counted(1, &[3, 4])),                             // supported_versions
        extension(51, &counted(2, &key_share)),
    ];
    let (random, session) = ([7; 32], counted(1, &[8; 32]));
    let (ciphers, compressions) = (counted(2, &[0x13, 0x01]), counted(1, &[0]));
    let hello = [&[3, 3], &random[..], &session, &ciphers, &compressions, &counted(2, &extensions.concat())].concat();
    record(&[&[1], &*counted(3, &hello)].concat())
}

/// A handshake record.
fn record(content: &[u8]) -> Vec<u8> {
    [&[22, 3, 1], &*counted(2, content)].concat()
}

/// A name that nobody asked for before: short, as long as a name may be, or longer and no
/// name at all.
fn name(number: usize) -> Vec<u8> {
    let label = format!("{number:07}{}.", "x".repeat(56));
    match number % 3 {
        0 => format!("{number}.example").into_bytes(),
        1 => label.repeat(4).into_bytes()[..253].to_vec(),
        _ => format!("{number:0255}").into_bytes(),
    }
}

#[test]
fn many_names_take_no_memory() {
    const ROUNDS: usize = 40;
    const TOGETHER: usize = 100;
    let site = Site::start(&["--tls", "auto"]);
    let mut after_some = 0;
    for round in 0..ROUNDS {
        let numbers = round * TOGETHER..(round + 1) * TOGETHER;
        let clients = numbers.map(|number| {
            let mut client = site.connect();
            client.send(client_hello(&name(number)));
            (number, client)
        });
        for (number, mut client) in clients.collect::<Vec<_>>() {
            let answer = client.take(7);
            // A ServerHello, or the alert illegal_parameter.
            let expected = match number % 3 {
                2 => answer == [21, 3, 3, 0, 2, 2, 47],
                _ => (answer[0], answer[5]) == (22, 2),
            };
            assert!(expected, "{number}: {answer:?}");
        }
        if round == ROUNDS / 4 {
            after_some = site.server.memory();
        }
    }
    let more = site.server.memory().saturating_sub(after_some);
    assert!(more < 200 * 1024, "{more} bytes more");
    assert_eq!(site.get(&["-k"], "/").out, b"hello");
    // They are no faults of the server, and fill no log.
    let errors = site.server.errors();
    assert!(errors.len() < 4_000, "{errors}");
}

/// A client of this version that trusts the site's authority.
fn client(site: &Site, version: &'static SupportedProtocolVersion) -> ClientConnection {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(site.authority()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap()
}

/// A connection that sends each byte in a segment of its own, and receives byte by byte.
struct Drip(TcpStream);

impl Drip {
    fn connect(site: &Site) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], site.port()));
        let stream = TcpStream::connect_timeout(&address, TIMEOUT).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }
}

impl Read for Drip {
    fn read(&mut self, space: &mut [u8]) -> std::io::Result<usize> {
        let most = space.len().min(1);
        self.0.read(&mut space[..most])
    }
}

impl Write for Drip {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(&bytes[..bytes.len().min(1)])
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// A request on this connection. The response ends with close_notify, or this panics.
fn check_request(tls: &mut ClientConnection, socket: &mut (impl Read + Write)) {
    let mut stream = Stream::new(tls, socket);
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    assert!(response.starts_with("HTTP/1.1 200 ") && response.ends_with("\r\n\r\nhello"), "{response}");
}

#[test]
fn a_hello_may_be_cut_anywhere() {
    let site = Site::start(&["--tls", "auto"]);
    for version in [&TLS12, &TLS13] {
        // The type, the length, and the content of the message; its last byte.
        for cut in [1, 2, 4, 5, 38, 100, usize::MAX] {
            let (mut tls, mut socket) = (client(&site, version), Drip::connect(&site).0);
            let mut hello = Vec::new();
            tls.write_tls(&mut hello).unwrap();
            let message = &hello[5..];
            let (first, second) = message.split_at(cut.min(message.len() - 1));
            socket.write_all(&record(first)).unwrap();
            socket.write_all(&record(second)).unwrap();
            check_request(&mut tls, &mut socket);
        }
        check_request(&mut client(&site, version), &mut Drip::connect(&site));
    }
}

#[test]
fn a_hello_that_never_ends_is_refused() {
    // The limit of the handshake isn't what ends it.
    let site = Site::start(&["--tls", "auto", "--header-timeout", "60"]);
    let before = site.server.memory();
    let mut client = site.connect();
    // The begin of a message of 16 MiB, in records that are each as long as may be.
    let mut piece = vec![0; 16_384];
    piece[..4].copy_from_slice(&[1, 0xff, 0xff, 0xff]);
    let piece = record(&piece);
    // It may be refused before it is sent.
    let _ = (0..1000).try_for_each(|_| client.stream.write_all(&piece));
    client.rest_or_reset();
    assert!(site.server.memory().saturating_sub(before) < 1 << 20);
    assert_eq!(site.get(&["-k"], "/").out, b"hello");
}
