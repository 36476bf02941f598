//! Captures that are damaged at random: nothing panics, and what is wrong has a place.

use super::super::hello::tests::hello;
use super::super::segments::datagram;
use super::*;

/// A capture with something of everything.
fn seed() -> Vec<u8> {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let acts = [
        Act::Open,
        client(GET),
        server(OK),
        client(&GET.repeat(3)),
        server(chunked),
        server(&OK.repeat(2)),
        Act::Close(Side::Client),
        Act::Close(Side::Server),
    ];
    let mut list = packets_of([CLIENT, SERVER], ISN, 40, &acts);
    list.extend(packets_of(["[::1]:9", "[::1]:8"], ISN, 90, &acts));
    list.extend(packets_of(["127.0.0.1:9", "127.0.0.1:8"], ISN, 90, &[Act::Open, Act::Client(hello(Some("a"), 30))]));
    let [a, b] = [CLIENT, SERVER].map(|end| end.parse().unwrap());
    datagram(a, b, b"datagram", &mut |header: &[u8], payload: &[u8]| list.push([header, payload].concat()));
    capture(&list)
}

/// What holds for each file.
fn check(file: &[u8]) {
    let (report, outcome) = read(file, &Filter { stream: Some(0), ..Filter::default() });
    report.totals();
    if let Err(error) = outcome {
        assert!(error.offset <= file.len() as u64, "{error}");
    }
    let (report, _) = read(file, &Filter::default());
    for stream in &report.streams {
        let received: u64 = stream.requests.iter().map(|request| request.bytes).sum();
        let lost = stream.problems.lost > 0 || stream.requests.iter().any(|request| request.bytes > (1 << 30));
        assert!(received <= stream.bytes.server || lost || stream.closed_by.is_some(), "{received}");
    }
}

#[test]
fn damaged_captures() {
    let seed = seed();
    check(&seed);
    let mut random = SplitMix64::new(1);
    for round in 0..3_000 {
        let mut file = seed.clone();
        for _ in 0..=round % 8 {
            let at = random.below(file.len());
            match random.below(6) {
                0 => file[at] = random.below(256) as u8,
                1 => file[at] ^= 1 << random.below(8),
                2 => file.truncate(at),
                3 => {
                    let word = [0_u32, 1, 0xffff_ffff, 0x7fff_ffff, 0x0a0d_0d0a, 262_144][random.below(6)];
                    let at = at & !3;
                    let end = (at + 4).min(file.len());
                    file[at..end].copy_from_slice(&word.to_le_bytes()[..end - at]);
                }
                4 => {
                    let end = (at + random.below(100)).min(file.len());
                    let piece = file[at..end].to_vec();
                    let to = random.below(file.len());
                    file.splice(to..to, piece);
                }
                _ => {
                    let end = (at + random.below(60)).min(file.len());
                    file.drain(at..end);
                }
            }
            if file.is_empty() {
                break;
            }
        }
        check(&file);
    }
}

/// Only what is in the packets is damaged, so that it is read.
#[test]
fn damaged_packets() {
    let mut list = Vec::new();
    let file = seed();
    let mut reader = Reader::new(&file[..]).unwrap();
    while let Some(packet) = reader.next_packet().unwrap() {
        list.push(packet.data.to_vec());
    }
    let mut random = SplitMix64::new(2);
    for _ in 0..3_000 {
        let mut damaged = list.clone();
        for _ in 0..=random.below(6) {
            let which = random.below(damaged.len());
            let length = damaged[which].len();
            let at = random.below(length);
            match random.below(5) {
                0 => damaged[which][at] = random.below(256) as u8,
                1 => damaged[which].truncate(at),
                2 => drop(damaged.remove(which)),
                3 => {
                    let copy = damaged[which].clone();
                    damaged.insert(random.below(damaged.len()), copy);
                }
                _ => {
                    let other = random.below(damaged.len());
                    damaged.swap(which, other);
                }
            }
            damaged.retain(|packet| !packet.is_empty());
        }
        check(&capture(&damaged));
    }
}
