//! The formats of files.

use super::super::source::ByteOrder;
use super::*;

/// A packet: its time, link type and bytes.
type Packet = (i64, u32, Vec<u8>);

/// All packets of a file, and what is wrong with it.
fn all(file: &[u8]) -> (Vec<Packet>, Option<CaptureError>) {
    let mut packets = Vec::new();
    let mut reader = match Reader::new(file) {
        Ok(reader) => reader,
        Err(error) => return (packets, Some(error)),
    };
    loop {
        match reader.next_packet() {
            Ok(Some(packet)) => packets.push((packet.time.0, packet.link, packet.data.to_vec())),
            Ok(None) => return (packets, None),
            Err(error) => return (packets, Some(error)),
        }
    }
}

fn u32s(order: ByteOrder, words: &[u32]) -> Vec<u8> {
    let bytes = |word: &u32| match order {
        ByteOrder::Little => word.to_le_bytes(),
        ByteOrder::Big => word.to_be_bytes(),
    };
    words.iter().flat_map(bytes).collect()
}

fn u16s(order: ByteOrder, words: &[u16]) -> Vec<u8> {
    let bytes = |word: &u16| match order {
        ByteOrder::Little => word.to_le_bytes(),
        ByteOrder::Big => word.to_be_bytes(),
    };
    words.iter().flat_map(bytes).collect()
}

fn pcap(order: ByteOrder, magic: u32, packets: &[&[u8]]) -> Vec<u8> {
    let mut out = u32s(order, &[magic]);
    out.extend(u16s(order, &[2, 4]));
    out.extend(u32s(order, &[0, 0, SNAPLEN, 101]));
    for packet in packets {
        out.extend(u32s(order, &[1_700_000_000, 123_456, packet.len() as u32, packet.len() as u32]));
        if magic == 0xa1b2_cd34 {
            out.extend([9; 8]);
        }
        out.extend_from_slice(packet);
    }
    out
}

const ORDERS: [ByteOrder; 2] = [ByteOrder::Little, ByteOrder::Big];

#[test]
fn every_magic_number_of_pcap() {
    let second = 1_700_000_000_000_000_000;
    for order in ORDERS {
        for (magic, nanos) in [(0xa1b2_c3d4, 123_456_000), (0xa1b2_3c4d, 123_456), (0xa1b2_cd34, 123_456_000)] {
            let (packets, error) = all(&pcap(order, magic, &[b"a", b"", b"bcd"]));
            let time = second + nanos;
            let expected: Vec<_> = ["a", "", "bcd"].map(|text| (time, 101, text.as_bytes().to_vec())).into();
            assert_eq!((packets, error.is_none()), (expected, true), "{order:?} {magic:x}");
        }
    }
}

fn block(order: ByteOrder, kind: u32, body: &[u8]) -> Vec<u8> {
    let mut body = body.to_vec();
    body.resize(body.len().next_multiple_of(4), 0);
    let length = body.len() as u32 + 12;
    [u32s(order, &[kind, length]), body, u32s(order, &[length])].concat()
}

fn section(order: ByteOrder) -> Vec<u8> {
    let body = [u32s(order, &[0x1a2b_3c4d]), u16s(order, &[1, 0]), vec![0xff; 8]].concat();
    block(order, 0x0a0d_0d0a, &body)
}

fn interface(order: ByteOrder, link: u16, options: &[u8]) -> Vec<u8> {
    block(order, 1, &[u16s(order, &[link, 0]), u32s(order, &[3]), options.to_vec()].concat())
}

fn option(order: ByteOrder, kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = [u16s(order, &[kind, value.len() as u16]), value.to_vec()].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn packet(order: ByteOrder, number: u32, units: u64, data: &[u8]) -> Vec<u8> {
    let length = data.len() as u32;
    let header = u32s(order, &[number, (units >> 32) as u32, units as u32, length, length + 9]);
    let padded = [data, &[0; 3][..data.len().wrapping_neg() % 4]].concat();
    block(order, 6, &[header, padded, option(order, 1, b"a comment")].concat())
}

#[test]
fn sections_interfaces_and_blocks_of_pcapng() {
    let mut file = Vec::new();
    let mut expected = Vec::new();
    for order in ORDERS {
        file.extend(section(order));
        file.extend(block(order, 0x0000_0bad, b"unknown"));
        file.extend(interface(order, 101, b""));
        // A resolution of 10^-9, 2^-20 and 10^0 seconds, the last with an offset; and one that is too fine.
        let named = [option(order, 2, b"eth0"), option(order, 9, &[9]), option(order, 0, b"")].concat();
        file.extend(interface(order, 1, &named));
        file.extend(interface(order, 113, &option(order, 9, &[0x94])));
        let hour = match order {
            ByteOrder::Little => 3_600_i64.to_le_bytes(),
            ByteOrder::Big => 3_600_i64.to_be_bytes(),
        };
        file.extend(interface(order, 276, &[option(order, 14, &hour), option(order, 9, &[0])].concat()));
        file.extend(interface(order, 0, &option(order, 9, &[0xff])));
        for (number, link, units, nanos) in [
            (0, 101, 1_700_000_000_123_456, 1_700_000_000_123_456_000),
            (1, 1, 1_700_000_000_123_456_789, 1_700_000_000_123_456_789),
            (2, 113, (1_700_000_000 << 20) + (1 << 19), 1_700_000_000_500_000_000),
            (3, 276, 1_700_000_000, 1_700_003_600_000_000_000),
            (4, 0, 5, 0),
        ] {
            for data in [&b""[..], b"a", b"ab", b"abc", b"abcd"] {
                file.extend(packet(order, number, units, data));
                expected.push((nanos, link, data.to_vec()));
            }
        }
        // An old packet, and a simple one: it has no time, and the snapshot length of its interface.
        let units = 7_000_000_u32;
        let old = [u16s(order, &[1, 3]), u32s(order, &[0, units, 2, 2]), b"xy".to_vec()].concat();
        file.extend(block(order, 2, &old));
        expected.push((7_000_000, 1, b"xy".to_vec()));
        file.extend(block(order, 3, &[u32s(order, &[5]), b"abc".to_vec()].concat()));
        expected.push((7_000_000, 101, b"abc".to_vec()));
        for kind in [4, 5, 10] {
            file.extend(block(order, kind, &[0; 24]));
        }
    }
    let (packets, error) = all(&file);
    assert!(error.is_none(), "{error:?}");
    assert_eq!(packets, expected);
}

#[test]
fn what_is_written_is_read() {
    for resolution in [Resolution::Micro, Resolution::Nano] {
        let mut file = Vec::new();
        pcapng::section(&mut file, "miod");
        pcapng::interface(&mut file, "lo", resolution);
        pcapng::names(&mut file, [([127, 0, 0, 1].into(), "local"), ([0; 16].into(), "any")]);
        let mut expected = Vec::new();
        for length in 0..6 {
            let data = &b"abcdef"[..length];
            pcapng::secrets(&mut file, data);
            let time = 1_700_000_000_123_456_000 + length as i64;
            pcapng::packet(&mut file, resolution, Timestamp(time), &[data, b"+"], Some("a comment"));
            let time = if resolution == Resolution::Nano { time } else { time / 1_000 * 1_000 };
            expected.push((time, 101, [data, b"+"].concat()));
        }
        pcapng::statistics(&mut file, resolution, Timestamp(9), 7, 1);
        let (packets, error) = all(&file);
        assert!(error.is_none(), "{error:?}");
        assert_eq!(packets, expected);
    }
}

#[test]
fn a_file_that_is_cut_off_says_where() {
    let ng = |order| {
        let parts = [section(order), interface(order, 101, b""), packet(order, 0, 1, b"abc"), packet(order, 0, 2, b"")];
        parts.concat()
    };
    for (file, records) in [
        (pcap(ByteOrder::Little, 0xa1b2_c3d4, &[b"abc", b"", b"d"]), vec![0, 24, 43, 59, 76]),
        (ng(ByteOrder::Little), vec![0, 28, 48, 100, 148]),
        (ng(ByteOrder::Big), vec![0, 28, 48, 100, 148]),
    ] {
        let (whole, error) = all(&file);
        assert!(error.is_none());
        assert_eq!(file.len(), *records.last().unwrap());
        for cut in 0..file.len() {
            let (packets, error) = all(&file[..cut]);
            assert_eq!(packets[..], whole[..packets.len()]);
            let record = *records.iter().rfind(|&&begin| begin <= cut).unwrap();
            match error {
                None => assert_eq!(record, cut),
                Some(error) => {
                    assert_eq!(error.offset, record as u64, "cut at {cut}");
                    assert!(matches!(error.damage, Damage::CutOff) || cut == 0, "{error}");
                }
            }
        }
    }
}

#[test]
fn hostile_lengths_are_errors_at_their_record() {
    let order = ByteOrder::Little;
    let file = [section(order), interface(order, 101, &option(order, 9, &[6])), packet(order, 0, 1, b"abcd")].concat();
    let lengths = [0, 1, 4, 11, 12, 13, 16, 27, 28, 40, 0xffff, 262_145, 0x7fff_ffff, u32::MAX - 3, u32::MAX];
    // The lengths of blocks, options and the packet.
    let begins = [(0, 4), (0, 24), (28, 32), (28, 44), (28, 52), (56, 60), (56, 76), (56, 104)];
    for (record, at) in begins {
        for length in lengths {
            let mut changed = file.clone();
            if changed[at..at + 4] == length.to_le_bytes() {
                continue;
            }
            changed[at..at + 4].copy_from_slice(&length.to_le_bytes());
            if let (_, Some(error)) = all(&changed) {
                assert!(error.offset >= record && error.offset < file.len() as u64, "{at} {length}: {error}");
            }
        }
    }
    for (file, hint) in [
        (pcap(order, 0xa1b2_c3d4, &[&[0; 262_145]]), "more than 262,144 bytes, at offset 24"),
        (vec![], "the file is empty, at offset 0"),
        (b"GET / HTTP/1.1".to_vec(), "neither pcap nor pcapng"),
        (vec![0x1f, 0x8b, 8, 0], "compressed; decompress it with gunzip"),
        ([section(order), packet(order, 0, 1, b"")].concat(), "unknown interface, at offset 28"),
        ([section(order), block(order, 3, &[0; 8])].concat(), "unknown interface, at offset 28"),
        ([&section(order)[..8], &[0; 20]].concat(), "no byte order"),
        ([section(order), interface(order, 1, b"").repeat(4_097)].concat(), "more than 4,096 interfaces"),
        ([section(order), block(order, 6, &[0; 8])].concat(), "shorter than what is in it, at offset 28"),
    ] {
        let (_, error) = all(&file);
        let error = error.expect(hint).to_string();
        assert!(error.contains(hint), "{error}");
    }
}

#[test]
fn the_whole_packet_may_be_larger_than_what_was_captured_and_the_other_way_round() {
    let mut file = pcap(ByteOrder::Big, 0xa1b2_c3d4, &[b"abc"]);
    for original in [0_u32, 2, 70_000] {
        file[36..40].copy_from_slice(&original.to_be_bytes());
        assert_eq!(all(&file).0[0].2, b"abc");
    }
}
