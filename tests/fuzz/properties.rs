//! Properties that hold for every input of a parser. Each function panics if one doesn't hold,
//! and returns whether the input was accepted.

use miod::capture::{self, CaptureError, Filter, Reader};
use miod::config;
use miod::http::FieldLines;
use miod::http::Status;
use miod::http::chunked::{Decoder, LAST_CHUNK, encode_chunk};
use miod::http::client::{HttpError, RequestKind, ResponseReader};
use miod::http::head;
use miod::http::range::{self, Ranges};
use miod::http::target::{self, Form};
use miod::limits;

/// Content and consumed bytes of a chunked body that arrives in `pieces`; `None`
/// if it isn't complete.
fn decode<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<Option<(Vec<u8>, usize)>, Status> {
    let mut decoder = Decoder::new();
    let (mut content, mut consumed) = (Vec::new(), 0);
    for mut piece in pieces {
        loop {
            let progress = decoder.read(piece).map_err(|reject| reject.status)?;
            assert!(progress.content.start <= progress.content.end && progress.content.end <= progress.consumed);
            content.extend_from_slice(&piece[progress.content]);
            consumed += progress.consumed;
            piece = &piece[progress.consumed..];
            if progress.done {
                return Ok(Some((content, consumed)));
            }
            if progress.consumed == 0 {
                assert!(piece.is_empty(), "stuck");
                break;
            }
        }
    }
    Ok(None)
}

/// A chunked body and the bytes after it. Its end depends neither on the pieces nor on the
/// bytes after it, and its content survives another encoding.
pub fn chunked(data: &[u8]) -> bool {
    let result = decode([data].into_iter());
    assert_eq!(decode(data.chunks(1)), result);
    assert_eq!(decode(data.chunks(7)), result);
    let Ok(Some((content, consumed))) = result else {
        assert!(matches!(result, Ok(None) | Err(Status::BAD_REQUEST | Status::HEADER_FIELDS_TOO_LARGE)));
        return false;
    };
    let body = &data[..consumed];
    assert!(body.ends_with(b"\r\n\r\n"));
    assert_eq!(decode([body].into_iter()), Ok(Some((content.clone(), consumed))));
    assert_eq!(decode([&body[..consumed - 1]].into_iter()), Ok(None), "complete without its last byte");

    let mut again = Vec::new();
    encode_chunk(&content, &mut again);
    again.extend_from_slice(LAST_CHUNK);
    let length = again.len();
    assert_eq!(decode([&again[..]].into_iter()), Ok(Some((content, length))));
    true
}

/// The size of a file, LF, and a Range field. The resulting ranges are within the file, never
/// empty, and don't overlap.
pub fn range(data: &[u8]) -> bool {
    let end = data.iter().position(|&byte| byte == b'\n').unwrap_or(0);
    let (size, field) = data.split_at(end);
    let size = std::str::from_utf8(size).ok().and_then(|size| size.parse().ok()).unwrap_or(1000);
    let mut ranges = match range::parse(field.strip_prefix(b"\n").unwrap_or(field), size) {
        Ranges::Ignored => return false,
        Ranges::Unsatisfiable => return true,
        Ranges::One(range) => vec![range],
        Ranges::Several(ranges) => {
            assert!((2..=limits::RANGE_PARTS).contains(&ranges.len()));
            ranges
        }
    };
    ranges.sort_unstable_by_key(|range| range.start);
    let mut free = 0;
    for range in &ranges {
        assert!(free <= range.start && range.start < range.end && range.end <= size, "{ranges:?} of {size}");
        free = range.end;
    }
    true
}

/// A request-target. It is split without loss. Its decoded path stays below the root and
/// survives another encoding. It is accepted if it has such a path.
pub fn target(data: &[u8]) -> bool {
    target::valid_host(data);
    let Ok(target) = target::parse(data) else { return false };
    if target.form == Form::Asterisk {
        return data == b"*";
    }
    assert!(target.path.starts_with(b"/"));
    assert_eq!(target.authority.is_some(), target.form == Form::Absolute);
    assert!(target.authority.is_none_or(target::valid_host));
    if target.form == Form::Origin {
        let query: Vec<u8> = target.query.map(|query| [b"?", query].concat()).unwrap_or_default();
        assert_eq!([target.path, &query].concat(), data);
    }

    let mut path = Vec::new();
    if target::decode_path(target.path, &mut path).is_err() {
        assert!(path.is_empty(), "a refused path leaves bytes in the buffer");
        return false;
    }
    assert!(path.iter().all(|&byte| !byte.is_ascii_control() && byte != b'\\'));
    let segments = path.strip_suffix(b"/").unwrap_or(&path).split(|&byte| byte == b'/');
    for segment in segments {
        assert!(segment != b"." && segment != b".." && (!segment.is_empty() || path.is_empty()));
    }
    let (mut encoded, mut again) = (b"/".to_vec(), Vec::new());
    target::encode_path(&path, &mut encoded);
    assert_eq!(target::parse(&encoded).map(|target| target.path), Ok(&encoded[..]));
    assert_eq!(target::decode_path(&encoded, &mut again), Ok(()));
    assert_eq!(again, path);
    true
}

/// The result for a head: incomplete, or its length and its meaning as text.
type Parsed = Result<Option<(usize, String)>, Status>;

/// The result is the same whether the field lines are remembered or not.
fn parse(data: &[u8]) -> Parsed {
    let first = parse_with(data, &mut FieldLines::default());
    let mut lines = FieldLines::remembering();
    for _ in 0..2 {
        assert_eq!(parse_with(data, &mut lines), first, "remembered lines change the result");
    }
    first
}

fn parse_with(data: &[u8], lines: &mut FieldLines) -> Parsed {
    let parsed = head::parse(data, lines).map_err(|reject| reject.status)?;
    Ok(parsed.map(|head| {
        assert!(head.raw.ends_with(b"\r\n\r\n") && head.length >= head.raw.len());
        for line in head.raw.split_inclusive(|&byte| byte == b'\n') {
            assert!(line.ends_with(b"\r\n"), "a bare LF");
            let line = &line[..line.len() - 2];
            assert!(!line.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t'), "a control byte");
        }
        assert!(head.fields.len() <= limits::FIELDS && head.raw_target.len() <= limits::TARGET);
        let text = format!(
            "{} {} 1.{} {:?} {} {:?} {:?}",
            head.method_name,
            head.raw_target.escape_ascii(),
            head.minor,
            head.framing,
            head.persistent,
            head.expect,
            head.fields
        );
        (head.length, text)
    }))
}

/// A request head and the bytes after it. Its meaning depends neither on the pieces nor on the
/// bytes after it. What is refused early is refused when it is complete.
pub fn head(data: &[u8]) -> bool {
    let complete = parse(data);
    let step = data.len() / 512 + 1;
    for end in (0..data.len()).step_by(step) {
        match (parse(&data[..end]), &complete) {
            (Ok(None), Ok(Some((length, _)))) => assert!(end < *length, "a complete head wasn't parsed"),
            (Ok(Some(early)), Ok(Some(later))) => assert_eq!(early, *later, "bytes after the head change the result"),
            (Ok(Some(_)), _) => panic!("accepted first and then not"),
            // The error may differ: the first detected error counts.
            (Err(_), Err(_)) => {}
            (Err(_), _) => panic!("refused first and then not"),
            (Ok(None), _) => {}
        }
    }
    let Ok(Some((length, _))) = &complete else { return false };
    assert_eq!(parse(&data[..*length]), complete, "bytes after the head change the result");
    true
}

/// The result for a response: its length, its statuses, its content, whether it is complete,
/// and whether the connection persists.
type ReadResponse = Result<(usize, Vec<u16>, Vec<u8>, bool, bool), HttpError>;

fn read_response(kind: RequestKind, pieces: &mut dyn Iterator<Item = &[u8]>) -> ReadResponse {
    let mut reader = ResponseReader::new(kind);
    let (mut input, mut statuses, mut content, mut total) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for piece in pieces {
        input.extend_from_slice(piece);
        while !reader.is_done() {
            let consumed = if reader.awaits_head() {
                let mut lines = FieldLines::default();
                let Some(head) = reader.head(&mut input, &mut lines)? else { break };
                statuses.push(head.status.0);
                assert!(head.raw.len() == head.length && head.length <= limits::HEAD);
                head.length
            } else {
                let progress = reader.read(&input)?;
                assert!(progress.content.start <= progress.content.end && progress.content.end <= progress.consumed);
                content.extend_from_slice(&input[progress.content]);
                progress.consumed
            };
            input.drain(..consumed);
            total += consumed;
            if consumed == 0 {
                break;
            }
        }
    }
    let done = reader.is_done();
    let end = reader.end(&mut input);
    assert_eq!(end.is_ok(), reader.is_done());
    assert!(
        done || end.is_err() || !reader.is_persistent(),
        "a response that ends with the connection doesn't let it persist"
    );
    if let Err(fault @ (HttpError::Malformed(_) | HttpError::TooLarge(_))) = end {
        return Err(fault);
    }
    Ok((total, statuses, content, reader.is_done(), reader.is_persistent()))
}

/// A response to each kind of request, and the bytes after it. Its meaning depends neither on
/// the pieces nor, once it is complete, on the bytes after it. It is accepted if it is a
/// complete response to GET.
pub fn response(data: &[u8]) -> bool {
    let step = data.len() / 512 + 1;
    for kind in [RequestKind::HeadOnly, RequestKind::Tunnel, RequestKind::Upgrade, RequestKind::Content] {
        let complete = read_response(kind, &mut [data].into_iter());
        assert_eq!(read_response(kind, &mut data.chunks(step)), complete);
        if let Ok((length, statuses, content, true, persistent)) = &complete {
            assert!(statuses.len() <= usize::from(limits::INTERIM) + 1);
            assert_eq!(read_response(kind, &mut [&data[..*length]].into_iter()), complete);
            if *persistent {
                let cut = read_response(kind, &mut [&data[..*length - 1]].into_iter());
                assert!(matches!(cut, Ok((_, _, _, false, _))), "complete without its last byte");
            }
            assert!(content.is_empty() || kind != RequestKind::HeadOnly);
        }
        if kind == RequestKind::Content {
            return matches!(complete, Ok((_, _, _, true, _)));
        }
    }
    false
}

/// A configuration file. Each mistake has a position in it, and can be shown.
pub fn config(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let mistakes = config::mistakes(text.to_owned());
    for mistake in &mistakes {
        let bytes = mistake.position.bytes();
        assert!(text.get(bytes).is_some(), "{mistake:?} is beside the file");
        assert!(mistake.position.line() <= text.matches('\n').count() + 1);
        assert!(!mistake.message.is_empty() && mistake.position.excerpt().lines().count() == 2, "{mistake:?}");
    }
    assert!(mistakes.is_sorted_by_key(|mistake| mistake.position.bytes().start));
    mistakes.is_empty()
}

/// Values with a grammar of their own, and how a file has them.
const VALUES: [(&str, &str); 12] = [
    ("allow", "[[host]]\n[[host.route]]\npath = '/x'\nallow = [VALUE]\n"),
    ("bind", "bind = VALUE\n"),
    ("cache-control", "cache-control = VALUE\n"),
    ("cors", "[[host]]\n[[host.route]]\npath = '/x'\ncors = { origins = [VALUE] }\n"),
    ("error-page", "error-page = VALUE\n"),
    ("glob", "[[host]]\n[[host.header]]\nglob = VALUE\nset = { A = 'b' }\n"),
    ("max-memory", "max-memory = VALUE\n"),
    ("names", "[[host]]\nnames = [VALUE]\n"),
    ("path", "[[host]]\n[[host.route]]\npath = VALUE\nrespond = { body = 'x' }\n"),
    ("rate", "[[host]]\n[[host.route]]\npath = '/x'\nrate = VALUE\n"),
    ("redirect", "[[host]]\n[[host.route]]\npath = '/x'\nredirect = { to = VALUE }\n"),
    ("sessions", "sessions = VALUE\n"),
];

/// The name of a value, LF, and the value. It is read, or else there is one mistake, at the value or
/// its key.
pub fn config_value(data: &[u8]) -> bool {
    let Some((name, value)) = std::str::from_utf8(data).ok().and_then(|text| text.split_once('\n')) else {
        return false;
    };
    let Some((_, file)) = VALUES.iter().find(|(known, _)| *known == name) else { return false };
    let quoted: String = value.chars().map(|char| format!("\\U{:08X}", u32::from(char))).collect();
    let text = file.replace("VALUE", &format!("\"{quoted}\""));
    let line = 1 + file[..file.find("VALUE").unwrap_or_default()].matches('\n').count();
    assert!(config(text.as_bytes()) == config::mistakes(text.clone()).is_empty());
    let mistakes = config::mistakes(text);
    assert!(mistakes.iter().all(|mistake| mistake.position.line() == line), "{mistakes:?}");
    assert!(mistakes.len() <= 1, "{mistakes:?}");
    mistakes.is_empty()
}

/// The packets of a capture, and the error after them.
fn packets(data: &[u8]) -> (Vec<(i64, Vec<u8>)>, Option<CaptureError>) {
    let mut packets = Vec::new();
    let mut read = || {
        let mut reader = Reader::new(data)?;
        while let Some(packet) = reader.next_packet()? {
            packets.push((packet.time.0, packet.data.to_vec()));
        }
        Ok(())
    };
    let error = read().err();
    (packets, error)
}

/// A capture. What is wrong has a place in the file; the beginning of a file has the first packets; each
/// stream has a number of its own, and no request that it can't have.
pub fn capture(data: &[u8]) -> bool {
    let (whole, error) = packets(data);
    assert!(whole.iter().map(|(_, packet)| packet.len()).sum::<usize>() <= data.len());
    if let Some(error) = &error {
        assert!(error.offset <= data.len() as u64, "{error}");
        let before = usize::try_from(error.offset).unwrap_or(0);
        assert_eq!(packets(&data[..before]).0, whole, "what is wrong isn't in the packets before");
    }
    let (half, _) = packets(&data[..data.len() / 2]);
    assert!(whole.starts_with(&half));

    let (report, outcome) = capture::read(data, &Filter::default());
    assert_eq!(outcome.is_err(), error.is_some());
    let mut numbers: Vec<_> =
        report.streams.iter().map(|stream| (stream.protocol == capture::Protocol::Udp, stream.number)).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), report.streams.len());
    let totals = report.totals();
    assert!(totals.parallel <= totals.connections && totals.connections + totals.flows <= whole.len() as u64);
    assert!(
        report
            .streams
            .iter()
            .all(|stream| stream.end >= stream.start || stream.packets.client + stream.packets.server > 1)
    );
    error.is_none() && !report.streams.is_empty()
}
