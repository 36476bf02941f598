//! Writing the head of a request (RFC 9112 §3).

use super::HttpError;
use crate::http::grammar::{is_field_text, is_token, trim_ows};
use crate::http::response::{content_length, field};
use crate::http::target::valid_host;

/// A request to be written. The caller sends a body of the given length after the head.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method; case matters.
    pub method: &'a str,
    /// The request-target, percent-encoded.
    pub target: &'a str,
    /// The Host field: `host` or `host:port`.
    pub host: &'a str,
    /// Further fields, in order; without those that this type writes itself.
    pub fields: &'a [(String, String)],
    /// The length of the content; none if there is no content. For a POST that differs from
    /// empty content.
    pub length: Option<u64>,
}

/// Fields that can't be given, because the end of the request and its host must be unambiguous.
const DECIDED: [&str; 3] = ["host", "content-length", "transfer-encoding"];

impl Request<'_> {
    /// Appends the head.
    ///
    /// # Errors
    /// If a part would be read as something else: line ends, spaces and control bytes are
    /// refused. Nothing is written then.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<(), HttpError> {
        self.check()?;
        for part in [self.method, " ", self.target, " HTTP/1.1\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
        field(out, "Host", self.host.as_bytes());
        for (name, value) in self.fields {
            field(out, name, trim_ows(value.as_bytes()));
        }
        if let Some(length) = self.length {
            content_length(out, length);
        }
        out.extend_from_slice(b"\r\n");
        Ok(())
    }

    fn check(&self) -> Result<(), HttpError> {
        if !is_token(self.method.as_bytes()) {
            return Err(HttpError::Malformed("the method isn't a token"));
        }
        if self.target.is_empty() || !self.target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
            return Err(HttpError::Malformed("the request-target contains a byte that must be encoded"));
        }
        if !valid_host(self.host.as_bytes()) {
            return Err(HttpError::Malformed("the host is malformed"));
        }
        for (name, value) in self.fields {
            check_field(name, value)?;
        }
        Ok(())
    }
}

/// Checks one of [`Request::fields`].
///
/// # Errors
/// If it is not allowed.
pub fn check_field(name: &str, value: &str) -> Result<(), HttpError> {
    if !is_token(name.as_bytes()) {
        return Err(HttpError::Malformed("the field name isn't a token"));
    }
    if !value.bytes().all(is_field_text) {
        return Err(HttpError::Malformed("the field value contains a control byte"));
    }
    if DECIDED.iter().any(|decided| name.eq_ignore_ascii_case(decided)) {
        return Err(HttpError::Malformed("Host, Content-Length and Transfer-Encoding can't be given as fields"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::FieldLines;
    use crate::http::framing::Framing;
    use crate::http::head::{self, Method};
    use proptest::prelude::*;

    const GET: Request<'_> = Request { method: "GET", target: "/", host: "a", fields: &[], length: None };

    fn written(request: &Request<'_>) -> Result<String, HttpError> {
        let mut out = Vec::new();
        let result = request.write(&mut out);
        assert!(result.is_ok() || out.is_empty(), "a part of a refused request is written");
        result.map(|()| String::from_utf8(out).unwrap())
    }

    fn fields(lines: &[(&str, &str)]) -> Vec<(String, String)> {
        lines.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn heads_are_written() {
        assert_eq!(written(&GET).unwrap(), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let fields = fields(&[("A", " b\t"), ("C", "")]);
        let post = Request { method: "POST", target: "/a?b", host: "[::1]:80", fields: &fields, length: Some(0) };
        assert_eq!(
            written(&post).unwrap(),
            "POST /a?b HTTP/1.1\r\nHost: [::1]:80\r\nA: b\r\nC: \r\nContent-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn parts_that_would_be_read_as_something_else_are_refused() {
        for method in ["", "GE T", "GET\r\n", "G\0"] {
            assert!(written(&Request { method, ..GET }).is_err(), "{method:?}");
        }
        for target in ["", "/a b", "/\r\n", "/\u{e4}", "/a#b", "/\x7f"] {
            assert!(written(&Request { target, ..GET }).is_err(), "{target:?}");
        }
        for host in ["", "a b", "a\r\nX: y", "a@b", "a/b"] {
            assert!(written(&Request { host, ..GET }).is_err(), "{host:?}");
        }
        for line in [
            ("", "a"),
            ("a b", ""),
            ("a:", ""),
            ("a", "b\r\nc: d"),
            ("a", "\n"),
            ("a", "\0"),
            ("HOST", "b"),
            ("content-length", "1"),
            ("Transfer-Encoding", "chunked"),
        ] {
            assert!(written(&Request { fields: &fields(&[line]), ..GET }).is_err(), "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn the_server_reads_what_the_client_writes(
            target in "/[!-\"$-~]{0,30}",
            lines in proptest::collection::vec(("x-[a-z]{1,9}", "[ -~]{0,20}"), 0..5),
            length in proptest::option::of(any::<u64>()),
        ) {
            let request = Request { method: "PUT", target: &target, host: "h:1", fields: &lines, length };
            let wire = written(&request).unwrap().into_bytes();
            let mut room = FieldLines::default();
            let head = head::parse(&wire, &mut room).unwrap().unwrap();
            prop_assert_eq!(head.method, Method::Put);
            prop_assert_eq!(head.raw_target, target.as_bytes());
            let framing = length.filter(|&length| length > 0).map_or(Framing::None, Framing::Length);
            prop_assert_eq!(head.framing, framing);
            for (at, (name, value)) in lines.iter().enumerate() {
                let (found, content) = head.fields.iter().nth(at + 1).unwrap();
                prop_assert_eq!(found, name.as_bytes());
                prop_assert_eq!(content, value.trim_matches(' ').as_bytes());
            }
        }
    }
}
