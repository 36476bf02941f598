//! Segments in every order, and connections that begin and end in every way.

use super::super::segments::datagram;
use super::super::streams::Streams;
use super::*;

fn conversation() -> Vec<Act> {
    let long = "x".repeat(5_000);
    vec![
        Act::Open,
        client(GET),
        server(&format!("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{long}")),
        client(&format!("POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 5000\r\n\r\n{long}")),
        server(OK),
        client(GET),
        server(OK),
        Act::Close(Side::Client),
        Act::Close(Side::Server),
    ]
}

fn found(packets: &[Vec<u8>]) -> Vec<String> {
    lines(&report(&capture(packets)))
}

#[test]
fn the_order_of_packets_does_not_matter() {
    for isn in [ISN, Both { client: u32::MAX - 2_000, server: u32::MAX - 3_000 }, Both { client: 0, server: 0 }] {
        let mut list = packets_of([CLIENT, SERVER], isn, 700, &conversation());
        let expected = found(&list);
        assert_eq!(expected.len(), 4, "{expected:?}");
        assert!(expected[0].ends_with(" 0/0/0"), "{expected:?}");
        let mut random = SplitMix64::new(7);
        for _ in 0..300 {
            // The SYNs say where both sides begin.
            shuffle(&mut list[2..], &mut random);
            assert_eq!(found(&list)[1..], expected[1..]);
        }
    }
}

#[test]
fn repeated_segments_are_counted() {
    let list = packets_of([CLIENT, SERVER], ISN, 700, &conversation());
    let expected = found(&list);
    for at in 0..list.len() {
        let mut twice = list.clone();
        twice.insert(at, list[at].clone());
        let has_data_or_syn = list[at].len() > 40;
        let found = found(&twice);
        assert_eq!(found[1..], expected[1..]);
        assert_eq!(found[0].ends_with(" 1/0/0"), has_data_or_syn, "packet {at}: {found:?}");
    }
}

#[test]
fn a_gap_that_is_filled_at_once_is_reordered_else_retransmitted() {
    let mut list: Vec<_> = packets_of([CLIENT, SERVER], ISN, 700, &conversation())
        .into_iter()
        .enumerate()
        .map(|(at, packet)| (at as i64 * 1_000_000, packet))
        .collect();
    let expected = lines(&report(&timed(&list)));
    // Two segments of the first response.
    assert!(list[5].1.len() > 700 && list[6].1.len() > 700);
    (list[5].1, list[6].1) = (list[6].1.clone(), list[5].1.clone());
    list[6].0 = list[5].0 + 10_000;
    let swapped = lines(&report(&timed(&list)));
    assert!(swapped[0].ends_with(" 0/1/0"), "{swapped:?}");
    assert_eq!(swapped[1..], expected[1..]);
    let late = list.remove(6);
    list.insert(8, (list[7].0, late.1));
    let late = lines(&report(&timed(&list)));
    assert!(late[0].ends_with(" 1/0/0"), "{late:?}");
    assert_eq!(late[1..], expected[1..]);
}

#[test]
fn a_packet_that_was_not_captured_costs_little() {
    let list = packets_of([CLIENT, SERVER], ISN, 700, &conversation());
    let expected = found(&list);
    for at in 3..list.len() {
        let mut without = list.clone();
        let missing = without.remove(at);
        let found = found(&without);
        if missing.len() > 40 {
            assert!(found[0].ends_with(" 0/0/1"), "packet {at}: {found:?}");
        }
        // Bodies are skipped by their length; a head that is lost can't be known.
        let is_in_body = missing[40..].iter().all(|&byte| byte == b'x');
        if is_in_body {
            assert_eq!(found[1..], expected[1..], "packet {at}");
        } else {
            assert!(found.len() >= 3 && found.iter().any(|line| line.contains(" 200 ")), "packet {at}: {found:?}");
        }
    }
}

#[test]
fn captures_may_begin_and_end_anywhere() {
    let list = packets_of([CLIENT, SERVER], ISN, 700, &conversation());
    for begin in 0..list.len() {
        let found = found(&list[begin..]);
        assert!(found[0].contains(" 50000 80 "), "from packet {begin}: {found:?}");
        if begin < list.len() - 6 {
            assert!(found.last().unwrap().starts_with("GET /a 200 "), "from packet {begin}: {found:?}");
        }
        super::report(&capture(&list[..begin]));
    }
    // The ports don't tell who the client is, but the data does.
    let odd = packets_of(["192.0.2.1:80", "192.0.2.2:50000"], ISN, 700, &conversation());
    for begin in [2, 3, 4] {
        let found = self::found(&odd[begin..]);
        assert!(found[0].contains(" 80 50000 "), "from packet {begin}: {found:?}");
    }
}

#[test]
fn packets_may_be_cut_short() {
    let long = "x".repeat(1_400);
    let list = packets(&[
        Act::Open,
        client(GET),
        server(&format!("HTTP/1.1 200 OK\r\nContent-Length: 1400\r\n\r\n{long}")),
        client(GET),
        server(OK),
    ]);
    let expected = found(&list);
    let short: Vec<_> = list.iter().map(|packet| packet[..packet.len().min(200)].to_vec()).collect();
    assert_eq!(found(&short)[1..], expected[1..]);
    assert!(found(&short)[0].ends_with(" 0/0/0"));
    for length in 0..100 {
        let short: Vec<_> = list.iter().map(|packet| packet[..packet.len().min(length)].to_vec()).collect();
        report(&capture(&short));
    }
}

#[test]
fn who_closes_is_told() {
    for (acts, expected) in [
        (vec![Act::Close(Side::Client), Act::Close(Side::Server)], "Some(Closed(Client))"),
        (vec![Act::Close(Side::Server), Act::Close(Side::Client)], "Some(Closed(Server))"),
        (vec![Act::Reset(Side::Client)], "Some(Reset(Client))"),
        (vec![Act::Reset(Side::Server)], "Some(Reset(Server))"),
        (vec![Act::Close(Side::Client), Act::Reset(Side::Server)], "Some(Closed(Client))"),
        (vec![], "None"),
    ] {
        let list = packets(&[&[Act::Open, client(GET), server(OK)][..], &acts].concat());
        let found = found(&list);
        assert!(found[0].contains(expected), "{acts:?}: {found:?}");
        assert_eq!(found.len(), 2);
    }
}

#[test]
fn streams_are_numbered_by_their_first_packets() {
    let acts = [Act::Open, client(GET), server(OK), Act::Close(Side::Client), Act::Close(Side::Server)];
    let of = |port: u16, isn: u32| {
        packets_of([&format!("192.0.2.1:{port}"), SERVER], Both { client: isn, server: 1 }, 1_460, &acts)
    };
    let (a, b, again, other) = (of(5_001, 1), of(5_002, 1), of(5_001, 77), of(5_003, 5));
    // Two at a time; then a port is used again; then a capture that begins in the middle.
    let list = [&a[..4], &b[..], &a[4..], &again[..], &other[3..]].concat();
    let report = report(&capture(&list));
    let numbers: Vec<_> = report.streams.iter().map(|stream| (stream.number, stream.client.port())).collect();
    assert_eq!(numbers, [(0, 5_001), (1, 5_002), (2, 5_001), (3, 5_003)]);
    assert!(report.streams.iter().all(|stream| stream.requests.len() == 1));
    let totals = report.totals();
    assert_eq!((totals.connections, totals.requests, totals.parallel), (4, 4, 2));
    assert_eq!(totals.requests_per_connection(), Some(1.0));
    assert_eq!(totals.statuses, [(200, 4)].into());
}

#[test]
fn filters_select_streams_and_requests() {
    let missing = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    let acts = [Act::Open, client(GET), server(OK), client(GET), server(missing)];
    let one = packets_of(["192.0.2.1:5001", "192.0.2.9:80"], ISN, 1_460, &acts);
    let two = packets_of(["192.0.2.2:5001", "192.0.2.9:81"], ISN, 1_460, &acts[..3]);
    let file = capture(&[one, two].concat());
    let all = Filter::default;
    for (filter, expected) in [
        (all(), vec![(0, 2), (1, 1)]),
        (Filter { host: Some([192, 0, 2, 9].into()), ..all() }, vec![(0, 2), (1, 1)]),
        (Filter { host: Some([192, 0, 2, 2].into()), ..all() }, vec![(1, 1)]),
        (Filter { port: Some(80), ..all() }, vec![(0, 2)]),
        (Filter { status: Some(StatusFilter::One(404)), ..all() }, vec![(0, 1)]),
        (Filter { status: Some(StatusFilter::Class(2)), ..all() }, vec![(0, 1), (1, 1)]),
        (Filter { stream: Some(1), ..all() }, vec![(1, 1)]),
        (Filter { stream: Some(1), port: Some(80), ..all() }, vec![]),
    ] {
        let (report, outcome) = read(&file[..], &filter);
        outcome.unwrap();
        let found: Vec<_> = report.streams.iter().map(|stream| (stream.number, stream.requests.len())).collect();
        assert_eq!(found, expected, "{filter:?}");
    }
}

#[test]
fn datagrams_are_flows() {
    let mut list = Vec::new();
    let emit = &mut |header: &[u8], payload: &[u8]| list.push([header, payload].concat());
    let [a, b] = ["[2001:db8::1]:9000", "[2001:db8::2]:53"].map(|end| end.parse().unwrap());
    datagram(a, b, b"ask", emit);
    datagram(b, a, b"answer", emit);
    datagram(a, b, b"more", emit);
    let report = report(&capture(&list));
    let flow = &report.streams[0];
    assert_eq!((flow.protocol, flow.client, flow.server), (Protocol::Udp, a, b));
    assert_eq!((flow.packets, flow.bytes), (Both { client: 2, server: 1 }, Both { client: 7, server: 6 }));
    assert_eq!(report.totals().flows, 1);
    assert_eq!(report.totals().connections, 0);
}

#[test]
fn what_waits_is_limited() {
    // A gap at the beginning, and then more than may wait.
    let data = Act::Client(vec![b'x'; 6 * 1024 * 1024]);
    let mut list = packets_of([CLIENT, SERVER], ISN, 60_000, &[Act::Open, data, Act::Close(Side::Client)]);
    list.remove(3);
    let mut streams = Streams::new(None);
    for packet in &list {
        streams.add(&Captured { time: Timestamp(0), link: LINK_RAW.into(), data: packet });
        assert!(streams.list[0].waiting() <= 4 * 1024 * 1024);
    }
    streams.finish_all();
    assert_eq!(streams.list[0].problems, Problems { lost: 1, ..Problems::default() });
    assert_eq!(streams.list[0].bytes.client, 6 * 1024 * 1024 - 60_000);
}

#[test]
fn rows_are_limited() {
    let acts = [Act::Open, client(GET), server(OK), client(GET), server(OK)];
    let mut streams = Streams::new(None);
    streams.room.left = 2_000;
    for packet in [packets(&acts), packets_of(["192.0.2.1:9", SERVER], ISN, 1_460, &acts)].concat() {
        streams.add(&Captured { time: Timestamp(0), link: LINK_RAW.into(), data: &packet });
    }
    streams.finish_all();
    assert!(streams.list.len() <= 1 && streams.room.unlisted > 0 && streams.room.left < 2_000);
}

#[test]
fn what_was_acknowledged_but_not_captured_is_lost() {
    let acts = [Act::Open, client(GET), Act::Close(Side::Server), Act::Close(Side::Client)];
    let mut list = packets(&acts);
    list.remove(3);
    assert!(found(&list)[0].ends_with(" 0/0/1"), "{:?}", found(&list));
}

#[test]
fn connections_one_after_another_are_not_parallel() {
    let acts = [Act::Open, Act::Close(Side::Client), Act::Close(Side::Server)];
    let of = |port: u16| packets_of([&format!("192.0.2.1:{port}"), SERVER], ISN, 1_460, &acts);
    let report = report(&capture(&[of(1), of(2), of(3)].concat()));
    assert_eq!((report.totals().connections, report.totals().parallel), (3, 1));
}
