//! Server-Sent Events (WHATWG HTML §9.2): a text of events without an end.
//!
//! An event is a few lines and an empty one. A client that reconnects names the id of the
//! last event in `Last-Event-ID`, so that it misses none.

use super::Fields;

/// The media type.
pub const MEDIA_TYPE: &str = "text/event-stream";

/// A comment, which clients ignore: it shows that the connection is alive.
pub const COMMENT: &[u8] = b":\n\n";

/// How long a client waits before it reconnects, in milliseconds.
const RETRY_MS: u32 = 2_000;

/// The beginning of a stream: how long to wait before reconnecting, and the number of the last
/// event that the client has.
pub fn begin(seen: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("retry: {RETRY_MS}\nid: {seen}\n\n").as_bytes());
}

/// An event with its number, its name (one word) and its data (any text).
pub fn event(id: u64, name: &str, data: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("id: {id}\nevent: {name}\n").as_bytes());
    // CRLF is one line end; CR or LF alone are line ends too.
    for line in data.replace("\r\n", "\n").split(['\r', '\n']) {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
    }
    out.push(b'\n');
}

/// The number of the last event that the client has, if it sends a valid one.
pub fn last_seen(fields: &Fields<'_>) -> Option<u64> {
    number(fields.get("last-event-id")?)
}

/// A decimal number as [`event`] writes it: digits only.
pub fn number(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    digits.then(|| std::str::from_utf8(text).ok()?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Parses a stream as the specification says: the last id, and name and data of each event.
    /// id, and name and data of each event.
    fn read(stream: &str) -> (String, Vec<(String, String)>) {
        let (mut id, mut name, mut data, mut events) = (String::new(), String::new(), String::new(), Vec::new());
        for line in stream.replace("\r\n", "\n").split(['\r', '\n']) {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "" if line.is_empty() && !data.is_empty() => {
                    let text = std::mem::take(&mut data);
                    events.push((std::mem::take(&mut name), text.strip_suffix('\n').unwrap().to_owned()));
                }
                "id" => id = value.to_owned(),
                "event" => name = value.to_owned(),
                "data" => data += &format!("{value}\n"),
                _ => {}
            }
        }
        (id, events)
    }

    #[test]
    fn a_stream_is_written_as_the_specification_says() {
        let mut out = Vec::new();
        begin(41, &mut out);
        event(42, "post", "a\r\nb\n\rc", &mut out);
        out.extend(COMMENT);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "retry: 2000\nid: 41\n\nid: 42\nevent: post\ndata: a\ndata: b\ndata: \ndata: c\n\n:\n\n");
        assert_eq!(read(&text), ("42".to_owned(), vec![("post".to_owned(), "a\nb\n\nc".to_owned())]));
    }

    #[test]
    fn a_number_consists_of_digits() {
        for (text, expected) in [
            ("0", Some(0)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("", None),
            ("+1", None),
            ("-1", None),
            (" 1", None),
            ("1x", None),
            ("\u{661}", None),
        ] {
            assert_eq!(number(text.as_bytes()), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn data_never_becomes_a_field_or_another_event(data in "(id: 7|data|event|:| |\r|\n|x){0,12}") {
            let mut out = Vec::new();
            event(1, "a", &data, &mut out);
            event(2, "b", "end", &mut out);
            let (id, events) = read(std::str::from_utf8(&out).unwrap());
            let lines = data.replace("\r\n", "\n").replace('\r', "\n");
            prop_assert_eq!(id, "2");
            prop_assert_eq!(events, vec![("a".to_owned(), lines), ("b".to_owned(), "end".to_owned())]);
        }
    }
}
