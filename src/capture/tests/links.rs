//! What comes before an IP packet, and IP packets in pieces.

use super::*;

fn pcap(link: u32, packets: &[Vec<u8>]) -> Vec<u8> {
    let header = [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, SNAPLEN, link];
    let mut out: Vec<u8> = header.iter().flat_map(|word| word.to_le_bytes()).collect();
    for packet in packets {
        let length = packet.len() as u32;
        out.extend([1_u32, 2, length, length].iter().flat_map(|word| word.to_le_bytes()));
        out.extend(packet);
    }
    out
}

/// A connection over IPv4 and one over IPv6.
fn both() -> Vec<Vec<u8>> {
    let acts = [Act::Open, client(GET), server(OK), Act::Close(Side::Server), Act::Close(Side::Client)];
    let v6 = packets_of(["[2001:db8::1]:50001", "[2001:db8::2]:80"], ISN, 1_460, &acts);
    [packets(&acts), v6].concat()
}

fn is_v6(packet: &[u8]) -> bool {
    packet[0] >> 4 == 6
}

#[test]
fn packets_are_found_behind_each_link_type() {
    let list = both();
    let expected = lines(&report(&capture(&list)));
    assert_eq!(expected.len(), 4);
    let kind = |packet: &[u8]| if is_v6(packet) { [0x86, 0xdd] } else { [0x08, 0x00] };
    let ethernet = |tags: &[u8], packet: &[u8]| [&[2; 12][..], tags, &kind(packet), packet, &[0; 6]].concat();
    type Wrap<'a> = &'a dyn Fn(&[u8]) -> Vec<u8>;
    let links: [(u32, Wrap<'_>); 14] = [
        (1, &|packet| ethernet(&[], packet)),
        (1, &|packet| ethernet(&[0x81, 0, 0, 5], packet)),
        (1, &|packet| ethernet(&[0x88, 0xa8, 0, 5, 0x81, 0, 0, 7], packet)),
        (0, &|packet| [&[2, 0, 0, 0], packet].concat()),
        (0, &|packet| [&[0, 0, 0, 30], packet].concat()),
        (108, &|packet| [&[0, 0, 0, 24], packet].concat()),
        (101, &<[u8]>::to_vec),
        (12, &<[u8]>::to_vec),
        (14, &<[u8]>::to_vec),
        (228, &<[u8]>::to_vec),
        (229, &<[u8]>::to_vec),
        (113, &|packet| [&[0, 0, 3, 4, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0], &kind(packet)[..], packet].concat()),
        (276, &|packet| {
            let kind = kind(packet);
            [&[kind[0], kind[1], 0, 0, 0, 0, 0, 1, 3, 4, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0], packet].concat()
        }),
        // The upper bits tell about check sequences.
        (0xf400_0001, &|packet| ethernet(&[], packet)),
    ];
    for (link, wrap) in links {
        let wrapped: Vec<_> = list.iter().map(|packet| wrap(packet)).collect();
        let report = report(&pcap(link, &wrapped));
        assert_eq!(lines(&report), expected, "{link}");
        assert_eq!(report.unread, Unread::default());
        // With less than a whole header nothing is found, and nothing else happens.
        for length in 0..60 {
            let short: Vec<_> = wrapped.iter().map(|packet| packet[..packet.len().min(length)].to_vec()).collect();
            super::report(&pcap(link, &short));
        }
    }
}

#[test]
fn what_is_not_read_is_counted() {
    let arp = [&[0xff; 12][..], &[0x08, 0x06], &[0; 28]].concat();
    let mut ping = both().remove(0);
    ping[9] = 1;
    let report = report(&pcap(1, &[arp, ping.clone(), [&[0; 12][..], &[0x08, 0x00], &ping].concat()]));
    assert_eq!(report.unread.other, 3);
    let report = super::report(&pcap(105, &[ping.clone(), ping]));
    assert_eq!(report.unread.links, [(105, 2)].into());
}

/// A packet in pieces whose payloads have `size` bytes.
fn fragments(packet: &[u8], size: usize) -> Vec<Vec<u8>> {
    let header = if is_v6(packet) { 40 } else { 20 };
    let payload = &packet[header..];
    let pieces = payload.chunks(size).count();
    let piece = |(at, data): (usize, &[u8])| {
        let (offset, more) = ((at * size) as u16, u16::from(at + 1 < pieces));
        let mut out = packet[..header].to_vec();
        if is_v6(packet) {
            out[4..6].copy_from_slice(&(8 + data.len() as u16).to_be_bytes());
            out[6] = 44;
            out.extend([packet[6], 0]);
            out.extend((offset | more).to_be_bytes());
            out.extend([0, 0, 0, 9]);
        } else {
            out[2..4].copy_from_slice(&(20 + data.len() as u16).to_be_bytes());
            out[4..6].copy_from_slice(&9_u16.to_be_bytes());
            out[6..8].copy_from_slice(&((offset / 8) | (more << 13)).to_be_bytes());
        }
        [out, data.to_vec()].concat()
    };
    payload.chunks(size).enumerate().map(piece).collect()
}

#[test]
fn fragments_are_joined_in_any_order() {
    let list = both();
    let expected = lines(&report(&capture(&list)));
    let mut random = SplitMix64::new(3);
    for size in [8, 16, 32, 64] {
        for _ in 0..20 {
            let pieces: Vec<_> = list
                .iter()
                .flat_map(|packet| {
                    let mut pieces = fragments(packet, size);
                    shuffle(&mut pieces, &mut random);
                    pieces
                })
                .collect();
            let report = report(&capture(&pieces));
            assert_eq!(lines(&report), expected);
            assert_eq!(report.unread, Unread::default());
        }
    }
}

#[test]
fn fragments_that_never_become_whole_are_limited() {
    let packet = both().remove(3);
    let mut list = Vec::new();
    for number in 0..1_000_u16 {
        let mut piece = fragments(&packet, 8).remove(0);
        piece[4..6].copy_from_slice(&number.to_be_bytes());
        list.push(piece);
    }
    // Pieces that contradict each other.
    let mut end = fragments(&packet, 8).pop().unwrap();
    end[4..6].copy_from_slice(&999_u16.to_be_bytes());
    let mut other = fragments(&packet, 16).pop().unwrap();
    other[4..6].copy_from_slice(&999_u16.to_be_bytes());
    list.extend([end, other]);
    // The rest of a packet that is given up.
    let late = fragments(&packet, 8).into_iter().skip(1);
    list.extend(late.map(|mut piece| {
        piece[4..6].copy_from_slice(&0_u16.to_be_bytes());
        piece
    }));
    let report = report(&capture(&list));
    assert_eq!(report.unread.fragments, list.len() as u64);
    assert!(report.streams.is_empty());
}

#[test]
fn extension_headers_of_ipv6_are_skipped_and_may_be_cut_off() {
    let list = both().into_iter().filter(|packet| is_v6(packet)).collect::<Vec<_>>();
    let expected = lines(&report(&capture(&list)));
    // Hop-by-hop options, routing, destination options, a fragment header of a whole packet.
    let kinds = [0, 43, 60, 44];
    let extended = |packet: &Vec<u8>| {
        let mut out = packet[..40].to_vec();
        out[4..6].copy_from_slice(&(packet.len() as u16 - 40 + 48).to_be_bytes());
        out[6] = kinds[0];
        for (at, kind) in kinds.iter().enumerate() {
            let next = kinds.get(at + 1).copied().unwrap_or(6);
            // All but the fragment header have a length, in units of 8 bytes beyond the first 8.
            let units = if *kind == 60 { 2 } else { 0 };
            out.extend([next, units, 0, 0, 0, 0, 0, 0]);
            out.extend(vec![0; 8 * usize::from(units)]);
        }
        [&out, &packet[40..]].concat()
    };
    let extended: Vec<_> = list.iter().map(extended).collect();
    assert_eq!(lines(&report(&capture(&extended))), expected);
    for cut in 0..130 {
        let short: Vec<_> = extended.iter().map(|packet| packet[..packet.len().min(cut)].to_vec()).collect();
        report(&capture(&short));
    }
    // Each says that another one follows, until the end.
    for kind in [0, 43, 44, 51, 60] {
        let mut packet = extended[3].clone();
        for at in [6, 40, 48, 56, 80] {
            packet[at] = kind;
        }
        for length in 0..=255 {
            packet[49] = length;
            report(&capture(&[packet.clone()]));
        }
    }
}
