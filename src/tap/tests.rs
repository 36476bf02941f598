//! The path from events to files, with events that are made here.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::batch::{Batch, Fact};
use super::conversations::Conversations;
use super::files::Files;
use super::handover::{Delivery, Queue};
use super::recorder::Recorder;
use super::ring::Ring;
use super::settings::{LEAST, TapSettings};
use super::store::Store;
use crate::capture::{Filter, Report, Timestamp, Totals, read};
use crate::files::scratch::Scratch;
use crate::limits;
use crate::reactor::{Handle, NoteOn, Tap, TapEnd, TapEnds, TapEvent, Tick, Time};

const FIRST: Handle = Handle::for_test(1);
const SECOND: Handle = Handle::for_test(2);
const REQUEST: &[u8] = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab";

/// Events with a time each millisecond.
struct Events(Recorder, u64);

impl Events {
    fn new(store: impl Store + Send + 'static, has_ring: bool) -> Self {
        Self(Recorder::new(Box::new(store), has_ring), 0)
    }

    fn time(&self) -> Time {
        let now = Tick::from_micros(self.1 * 1000);
        Time { now, unix_seconds: 1_700_000_000 + self.1 as i64 / 1000, unix_micros: (self.1 % 1000) as u32 * 1000 }
    }

    fn tell(&mut self, of: Handle, event: TapEvent<'_>) {
        self.1 += 1;
        self.0.event(of, self.time(), event);
    }

    fn ends(&self, of: Handle) -> TapEnds {
        let peer = format!("127.0.0.1:{}", 50_000 + of.number());
        TapEnds { local: Some("127.0.0.1:80".parse().unwrap()), peer: peer.parse().ok(), path: None }
    }

    /// A connection with a request and its response.
    fn exchange(&mut self, of: Handle) {
        self.tell(of, TapEvent::Accepted(self.ends(of)));
        self.tell(of, TapEvent::Received(REQUEST));
        self.tell(of, TapEvent::Note(NoteOn::Received, format_args!("request of {}", of.number())));
        self.tell(of, TapEvent::Note(NoteOn::Sending, format_args!("response of {}", of.number())));
        self.tell(of, TapEvent::Sent(RESPONSE));
        self.tell(of, TapEvent::PeerEnded);
        self.tell(of, TapEvent::Closed(TapEnd::Orderly, None));
    }
}

/// The rows of a capture, without a problem in it.
fn report(path: &Path) -> Report {
    let file = fs::File::open(path).unwrap();
    let (report, error) = read(file, &Filter::default());
    assert!(error.is_ok(), "{error:?}");
    report
}

/// The comments of packets in their order, from the bytes of a file.
fn comments(file: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = file;
    let word = |bytes: &[u8]| u32::from_le_bytes(bytes[..4].try_into().unwrap()) as usize;
    while rest.len() >= 12 {
        let (kind, length) = (word(rest), word(&rest[4..]));
        if kind == 6 {
            let captured = word(&rest[20..]);
            let options = &rest[28 + captured.next_multiple_of(4)..length - 4];
            if let Some([1, 0, low, high]) = options.get(..4) {
                let length = usize::from(u16::from_le_bytes([*low, *high]));
                found.push(String::from_utf8(options[4..4 + length].to_vec()).unwrap());
            }
        }
        rest = &rest[length..];
    }
    found
}

/// The kinds of blocks in their order.
fn kinds(file: &[u8]) -> Vec<u32> {
    let mut found = Vec::new();
    let mut rest = file;
    let word = |bytes: &[u8]| u32::from_le_bytes(bytes[..4].try_into().unwrap());
    while rest.len() >= 12 {
        found.push(word(rest));
        rest = &rest[word(&rest[4..]) as usize..];
    }
    found
}

#[test]
fn an_exchange_is_read_again_and_its_packets_have_their_comments() {
    let scratch = Scratch::new();
    let file = scratch.at("a.pcapng");
    let mut events = Events::new(Files::open(&file, 1, None).unwrap(), false);
    events.exchange(FIRST);
    // What one says while another is tapped stays its own.
    events.tell(SECOND, TapEvent::Dialled(events.ends(SECOND)));
    events.tell(SECOND, TapEvent::Note(NoteOn::Sending, format_args!("of the second")));
    events.tell(SECOND, TapEvent::Connected);
    events.tell(SECOND, TapEvent::Sent(REQUEST));
    let error = std::io::ErrorKind::ConnectionReset.into();
    events.tell(SECOND, TapEvent::Closed(TapEnd::PeerReset, Some(&error)));
    drop(events);
    let Totals { connections, requests, .. } = report(&file).totals();
    assert_eq!((connections, requests), (2, 2));
    let closed = format!("connection 2 closed: {error}");
    let bytes = fs::read(&file).unwrap();
    assert_eq!(comments(&bytes), ["request of 1", "response of 1", "of the second", &closed]);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    // 3 of the handshake, 2 of data, 3 of the end; 1 and 2, 1, 1.
    let kinds = kinds(&bytes);
    assert_eq!(kinds.iter().filter(|kind| **kind == 6).count(), 13);
    assert_eq!(kinds.last(), Some(&5), "statistics are the end");
}

#[test]
fn secrets_come_before_the_bytes_that_need_them() {
    let scratch = Scratch::new();
    let file = scratch.at("a.pcapng");
    let mut events = Events::new(Files::open(&file, 1, None).unwrap(), false);
    events.tell(FIRST, TapEvent::Dialled(events.ends(FIRST)));
    events.tell(FIRST, TapEvent::Connected);
    events.tell(FIRST, TapEvent::Sent(b"hello"));
    // They are known when the bytes have come.
    events.tell(FIRST, TapEvent::Received(b"hello"));
    events.tell(FIRST, TapEvent::Secrets(b"CLIENT_RANDOM 00 00\n"));
    events.tell(FIRST, TapEvent::Note(NoteOn::Received, format_args!("last")));
    drop(events);
    let bytes = fs::read(&file).unwrap();
    assert_eq!(kinds(&bytes)[2..], [6, 6, 6, 6, 10, 6, 5]);
    assert_eq!(comments(&bytes), ["last"]);
}

#[test]
fn a_unix_socket_has_an_address_that_is_named() {
    let scratch = Scratch::new();
    let file = scratch.at("a.pcapng");
    let mut events = Events::new(Files::open(&file, 1, None).unwrap(), false);
    for of in [FIRST, SECOND] {
        events.tell(of, TapEvent::Accepted(TapEnds { local: None, peer: None, path: Some("/run/s".into()) }));
        events.tell(of, TapEvent::Received(REQUEST));
    }
    drop(events);
    let bytes = fs::read(&file).unwrap();
    assert!(bytes.windows(16).any(|window| window == [&[127, 1, 0, 1][..], b"unix:/run/s\0"].concat()));
    assert_eq!(kinds(&bytes).iter().filter(|kind| **kind == 4).count(), 1, "it is named once");
    let clients: Vec<_> = report(&file).streams.iter().map(|stream| stream.client.to_string()).collect();
    assert_eq!(clients, ["127.0.0.1:1024", "127.0.0.1:1025"]);
}

#[test]
fn files_are_limited_and_each_is_whole() {
    let scratch = Scratch::new();
    let file = scratch.at("a.pcapng");
    let mut events = Events::new(Files::open(&file, 3, Some(LEAST)).unwrap(), false);
    events.tell(FIRST, TapEvent::Accepted(TapEnds { path: Some("/run/s".into()), local: None, peer: None }));
    events.tell(FIRST, TapEvent::Secrets(b"CLIENT_RANDOM 00 00\n"));
    for _ in 0..40 {
        events.tell(FIRST, TapEvent::Received(&[b'x'; 30_000]));
    }
    drop(events);
    let name = |number| if number == 0 { file.clone() } else { scratch.at(&format!("a.pcapng.{number}")) };
    for number in 0..3 {
        let bytes = fs::read(name(number)).unwrap();
        assert!(bytes.len() as u64 <= LEAST);
        let kinds = kinds(&bytes);
        assert_eq!(kinds[..4], [0x0a0d_0d0a, 1, 4, 10], "section, interface, names, secrets");
        assert_eq!(kinds.last(), Some(&5));
        report(&name(number));
    }
    assert!(!name(3).exists());
    // A single file is the end of the tap.
    let mut events = Events::new(Files::open(&file, 1, Some(LEAST)).unwrap(), false);
    events.tell(FIRST, TapEvent::Accepted(events.ends(FIRST)));
    for _ in 0..40 {
        events.tell(FIRST, TapEvent::Received(&[b'x'; 30_000]));
    }
    drop(events);
    assert!(fs::metadata(&file).unwrap().len() <= LEAST);
    report(&file);
}

#[test]
fn a_ring_has_the_last_packets_and_is_written_when_asked() {
    let scratch = Scratch::new();
    let file = scratch.at("a.pcapng");
    fs::write(&file, "old").unwrap();
    let mut events = Events::new(Ring::open(&file, 2, LEAST as usize).unwrap(), true);
    events.tell(FIRST, TapEvent::Accepted(events.ends(FIRST)));
    events.tell(FIRST, TapEvent::Received(b"x"));
    events.tell(FIRST, TapEvent::Secrets(b"CLIENT_RANDOM 00 00\n"));
    for _ in 0..40 {
        events.tell(FIRST, TapEvent::Received(&[b'x'; 30_000]));
    }
    // The second incident comes too early.
    for _ in 0..2 {
        events.tell(FIRST, TapEvent::Incident);
        let time = events.time();
        assert_eq!(events.0.before_wait(time, true), None);
    }
    events.tell(SECOND, TapEvent::Accepted(events.ends(SECOND)));
    drop(events);
    let (last, first) = (fs::read(&file).unwrap(), fs::read(scratch.at("a.pcapng.1")).unwrap());
    assert!(!scratch.at("a.pcapng.2").exists());
    for bytes in [&last, &first] {
        assert!(bytes.len() > 100_000 && bytes.len() as u64 <= LEAST + 1000);
        assert_eq!(kinds(bytes)[..4], [0x0a0d_0d0a, 1, 10, 6]);
    }
    assert_eq!(report(&file).streams.len(), 2);
}

#[test]
fn a_full_queue_drops_bytes_and_then_batches() {
    let queue = Queue::default();
    let packet = || {
        let mut batch = Batch::default();
        let piece = batch.piece(&vec![b'x'; 1 << 20]);
        batch.push(FIRST, Timestamp(0), Fact::Received(piece));
        batch
    };
    let whole = limits::TAP_QUEUE / (1 << 20) - 1;
    for _ in 0..whole + 10 {
        assert!(queue.push(packet()).is_empty());
    }
    queue.close();
    let all: Vec<Delivery> = std::iter::from_fn(|| queue.next()).collect();
    let has_bytes = |delivery: &&Delivery| match delivery.batch.records[0].fact {
        Fact::Received(piece) => delivery.batch.bytes(piece).is_some(),
        _ => false,
    };
    assert_eq!((all.len(), all.iter().filter(has_bytes).count()), (whole + 10, whole));
    // The next one is told how many are missing.
    let queue = Queue::default();
    let many = || {
        let mut batch = packet();
        (0..100_000).for_each(|_| _ = batch.push(FIRST, Timestamp(0), Fact::PeerEnded));
        batch
    };
    (0..10).for_each(|_| _ = queue.push(many()));
    let held = std::iter::from_fn(|| queue.has_batch().then(|| queue.next()).flatten()).count();
    assert!((1..10).contains(&held), "{held}");
    queue.push(packet());
    assert_eq!(queue.next().map(|delivery| delivery.lost), Some((10 - held as u64) * 100_001));
}

/// A batch of this many records with a long comment each.
fn commented(count: usize) -> Batch {
    let (mut batch, text) = (Batch::default(), "x".repeat(10_000));
    (0..count).for_each(|_| batch.push(FIRST, Timestamp(0), Fact::PeerEnded).comment(format_args!("{text}")));
    batch
}

#[test]
fn all_memory_of_a_batch_counts() {
    let with = |fact: &dyn Fn(&mut Batch) -> Fact| {
        let mut batch = Batch::default();
        for _ in 0..1000 {
            let fact = fact(&mut batch);
            batch.push(FIRST, Timestamp(0), fact);
        }
        batch.memory()
    };
    let address = || "[::1]:1".parse().unwrap();
    let ends = || TapEnds { local: None, peer: None, path: Some("x".repeat(500).into()) };
    let records = with(&|_| Fact::PeerEnded);
    assert!(records >= 1000 * size_of::<Fact>());
    for (memory, each) in [
        (commented(1000).memory(), 4096),
        (with(&|_| Fact::Accepted(Box::new(ends()))), 500 + size_of::<TapEnds>()),
        (with(&|batch| Fact::Received(batch.piece(&[0; 1000]))), 1000),
        (with(&|batch| Fact::Datagram(Box::new((address(), address())), batch.piece(b""))), 64),
    ] {
        // A vector that grows may have room for as much again.
        assert!((each..=2 * each).contains(&((memory - records) / 1000)), "{each}: {memory}");
    }
}

#[test]
fn comments_fill_the_queue() {
    let queue = Queue::default();
    // The queue and its reserve.
    let most = (limits::TAP_QUEUE + limits::TAP_QUEUE / 4) / (100 * 4096);
    for _ in 0..2 * most {
        assert!(queue.push(commented(100)).is_empty());
    }
    queue.close();
    let held = std::iter::from_fn(|| queue.next()).count();
    assert!((most / 2..=most).contains(&held), "{held} of {most}");
}

#[test]
fn a_gap_is_as_long_as_what_is_missing() {
    let scratch = Scratch::new();
    let file = scratch.at("a.pcapng");
    let mut conversations = Conversations::new(Box::new(Files::open(&file, 1, None).unwrap()));
    let mut deliver = |facts: &dyn Fn(&mut Batch), stripped: bool| {
        let mut batch = Batch::default();
        facts(&mut batch);
        if stripped {
            batch.strip();
        }
        conversations.take(&Delivery { batch, lost: 0 });
    };
    let ends = || TapEnds { local: "[::1]:80".parse().ok(), peer: "[::1]:9".parse().ok(), path: None };
    let received = |batch: &mut Batch| {
        let piece = batch.piece(REQUEST);
        batch.push(FIRST, Timestamp(0), Fact::Received(piece));
    };
    deliver(&|batch| _ = batch.push(FIRST, Timestamp(0), Fact::Accepted(Box::new(ends()))), false);
    deliver(&received, false);
    deliver(&received, true);
    deliver(&received, false);
    // Of this one nothing is known.
    deliver(&|batch| _ = batch.push(SECOND, Timestamp(0), Fact::PeerEnded), false);
    conversations.finish();
    let report = report(&file);
    assert_eq!(report.streams[0].problems.lost, 1);
    let bytes = fs::read(&file).unwrap();
    // 5 packets of 6, and the options of the statistics.
    assert_eq!(bytes[bytes.len() - 28..bytes.len() - 20], 6_u64.to_le_bytes());
    assert_eq!(bytes[bytes.len() - 16..bytes.len() - 8], 1_u64.to_le_bytes());
}

#[test]
fn only_regular_files_are_replaced() {
    let scratch = Scratch::new();
    let file = scratch.at("a.pcapng");
    fs::write(scratch.at("other"), "precious").unwrap();
    std::os::unix::fs::symlink(scratch.at("other"), &file).unwrap();
    let directory = scratch.at("directory");
    fs::create_dir(&directory).unwrap();
    for path in [&file, &directory, Path::new("/dev/null")] {
        let error = Files::open(path, 1, None).err().unwrap();
        assert!(error.to_string().contains("regular file"), "{error}");
    }
    assert_eq!(fs::read(scratch.at("other")).unwrap(), b"precious");
}

#[test]
fn settings_must_fit_together() {
    let tap = TapSettings { file: Some("f".into()), ..TapSettings::default() };
    assert_eq!((tap.check(), tap.files(), tap.dumps()), (Ok(()), 1, 10));
    assert!(tap.check_tls().unwrap_err().contains("--tap-secrets"));
    assert!(TapSettings { secrets: Some(Default::default()), ..tap.clone() }.check_tls().is_ok());
    for (settings, hint) in [
        (TapSettings { plain: true, ..TapSettings::default() }, "--tap-plain needs --tap FILE"),
        (TapSettings { size: Some(LEAST), ring: Some(1), ..tap.clone() }, "can't be combined"),
        (TapSettings { files: Some(2), ..tap.clone() }, "needs --tap-size or --tap-ring"),
    ] {
        assert!(settings.check().unwrap_err().contains(hint));
    }
    let mut tap = tap;
    assert!(tap.set_size(LEAST - 1).is_err() && tap.set_ring(1).is_err() && tap.set_files(1001).is_err());
}
