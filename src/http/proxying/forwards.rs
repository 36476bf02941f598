//! How many more proxies may pass a request on: Max-Forwards (RFC 9110 §7.6.2). With it a client finds
//! out which proxies its requests pass, or where one of them goes in circles.

use crate::http::head::{Method, RequestHead};

/// How many more proxies may pass on this request; none if that isn't limited. The field means
/// something for TRACE and OPTIONS only.
pub fn forwards_left(head: &RequestHead<'_>) -> Option<u64> {
    if !matches!(head.method, Method::Trace | Method::Options) {
        return None;
    }
    let digits = head.fields.get("max-forwards").filter(|value| value.iter().all(u8::is_ascii_digit))?;
    // A number that is too large for us is no limit.
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{FieldLines, head};

    #[test]
    fn it_is_a_number_and_only_for_trace_and_options() {
        for (method, value, expected) in [
            ("TRACE", "0", Some(0)),
            ("OPTIONS", "007", Some(7)),
            ("GET", "0", None),
            ("HEAD", "1", None),
            ("TRACE", "", None),
            ("TRACE", "+1", None),
            ("TRACE", "1, 2", None),
            ("TRACE", "99999999999999999999999", None),
        ] {
            let raw = format!("{method} / HTTP/1.1\r\nHost: a\r\nMax-Forwards: {value}\r\n\r\n");
            let mut lines = FieldLines::default();
            let head = head::parse(raw.as_bytes(), &mut lines).unwrap().unwrap();
            assert_eq!(forwards_left(&head), expected, "{method} {value}");
        }
    }
}
