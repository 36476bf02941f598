//! RESP2, the protocol of Redis and Valkey: commands are arrays of strings, replies are
//! values.
//!
//! A reply is parsed from its beginning until it is complete.

/// Most values in one array: a page of SCAN.
const ARRAY: usize = 4_096;
/// Deepest nesting of arrays: a reply to SCAN has two levels.
const DEPTH: usize = 4;
/// Longest line in bytes: the text of an error or a number.
const LINE: usize = 1_024;

/// A value in a reply.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// A simple string, such as OK.
    Simple(String),
    /// An error: a code and a text.
    Error(String),
    /// An integer.
    Integer(i64),
    /// A bulk string.
    Bulk(Vec<u8>),
    /// An array.
    Array(Vec<Value>),
    /// No value.
    Nil,
}

/// The input isn't RESP2.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed;

/// Appends a command.
pub fn command(parts: &[&[u8]], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("*{}\r\n", parts.len()).as_bytes());
    for part in parts {
        out.extend_from_slice(format!("${}\r\n", part.len()).as_bytes());
        out.extend_from_slice(part);
        out.extend_from_slice(b"\r\n");
    }
}

/// The value at the beginning of `input` and its length in bytes; none if it is incomplete.
///
/// # Errors
/// If the input isn't RESP2, whatever follows.
pub fn parse(input: &[u8]) -> Result<Option<(Value, usize)>, Malformed> {
    let mut cursor = Cursor { input, at: 0 };
    Ok(cursor.value(0)?.map(|value| (value, cursor.at)))
}

struct Cursor<'a> {
    input: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn value(&mut self, depth: usize) -> Result<Option<Value>, Malformed> {
        let Some(line) = self.line()? else { return Ok(None) };
        let (kind, rest) = line.split_first().ok_or(Malformed)?;
        Ok(Some(match kind {
            b'+' => Value::Simple(String::from_utf8_lossy(rest).into_owned()),
            b'-' => Value::Error(String::from_utf8_lossy(rest).into_owned()),
            b':' => Value::Integer(number(rest)?),
            b'$' => match length(rest)? {
                None => Value::Nil,
                Some(length) => {
                    let Some(bytes) = self.bytes(length)? else { return Ok(None) };
                    Value::Bulk(bytes.to_vec())
                }
            },
            b'*' => match length(rest)? {
                None => Value::Nil,
                Some(length) if length > ARRAY || depth == DEPTH => return Err(Malformed),
                Some(length) => {
                    let mut values = Vec::new();
                    for _ in 0..length {
                        let Some(value) = self.value(depth + 1)? else { return Ok(None) };
                        values.push(value);
                    }
                    Value::Array(values)
                }
            },
            _ => return Err(Malformed),
        }))
    }

    /// The next line without its line end.
    fn line(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        let rest = &self.input[self.at..];
        if rest.first().is_some_and(|kind| !b"+-:$*".contains(kind)) {
            return Err(Malformed);
        }
        let Some(end) = memchr::memchr(b'\n', &rest[..rest.len().min(LINE)]) else {
            return if rest.len() >= LINE { Err(Malformed) } else { Ok(None) };
        };
        self.at += end + 1;
        rest[..end].strip_suffix(b"\r").map(Some).ok_or(Malformed)
    }

    /// `length` bytes and a line end.
    fn bytes(&mut self, length: usize) -> Result<Option<&'a [u8]>, Malformed> {
        let rest = &self.input[self.at..];
        let Some((bytes, end)) = rest.split_at_checked(length) else { return Ok(None) };
        if !b"\r\n".starts_with(&end[..end.len().min(2)]) {
            return Err(Malformed);
        }
        if end.len() < 2 {
            return Ok(None);
        }
        self.at += length + 2;
        Ok(Some(bytes))
    }
}

fn number(text: &[u8]) -> Result<i64, Malformed> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Malformed);
    }
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(Malformed)
}

/// A length; none for -1, which means no value. Lengths above 32 bits are malformed.
fn length(text: &[u8]) -> Result<Option<usize>, Malformed> {
    match number(text)? {
        -1 => Ok(None),
        length => u32::try_from(length).map(|length| Some(length as usize)).map_err(|_| Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::every_split;
    use proptest::prelude::*;

    fn read(pieces: &mut dyn Iterator<Item = &[u8]>) -> Result<Option<(Value, usize)>, Malformed> {
        let mut input = Vec::new();
        for piece in pieces {
            input.extend_from_slice(piece);
            match parse(&input) {
                Ok(None) => {}
                other => return other,
            }
        }
        Ok(None)
    }

    fn bulk(text: &str) -> Value {
        Value::Bulk(text.into())
    }

    #[test]
    fn every_kind_of_value_is_parsed_from_any_pieces() {
        let scan = Value::Array(vec![bulk("0"), Value::Array(vec![bulk("a"), Value::Nil])]);
        for (bytes, value) in [
            ("+OK\r\n", Value::Simple("OK".into())),
            ("+\r\n", Value::Simple(String::new())),
            ("-ERR no such\r\n", Value::Error("ERR no such".into())),
            (":-12\r\n", Value::Integer(-12)),
            ("$5\r\nhe\r\no\r\n", bulk("he\r\no")),
            ("$0\r\n\r\n", bulk("")),
            ("$-1\r\n", Value::Nil),
            ("*-1\r\n", Value::Nil),
            ("*0\r\n", Value::Array(vec![])),
            ("*2\r\n$1\r\n0\r\n*2\r\n$1\r\na\r\n$-1\r\n", scan),
        ] {
            let read = every_split(bytes.as_bytes(), &[b"+", b"\r\n", b"$9\r\n"], read);
            assert_eq!(read, Ok(Some((value, bytes.len()))), "{bytes}");
        }
    }

    #[test]
    fn malformed_replies_are_errors() {
        for bytes in [
            "HTTP/1.1 400 Bad Request\r\n",
            "\r\n",
            "OK\r\n",
            ":\r\n",
            ":1x\r\n",
            ":+1\r\n",
            ":99999999999999999999\r\n",
            "$-2\r\n",
            "$99999999999\r\n",
            "$1\r\nab\r\n",
            "$1\r\na\n\n",
            "+OK\n",
            "*99999\r\n",
            "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
            "%1\r\n",
        ] {
            assert_eq!(every_split(bytes.as_bytes(), &[], read), Err(Malformed), "{bytes}");
        }
        // A line without end is malformed once it is too long.
        assert_eq!(parse(&[b'+'; LINE]), Err(Malformed));
    }

    #[test]
    fn a_command_is_an_array_of_bulk_strings() {
        let mut out = Vec::new();
        command(&[b"GET", b"a\r\nb", b""], &mut out);
        assert_eq!(out, b"*3\r\n$3\r\nGET\r\n$4\r\na\r\nb\r\n$0\r\n\r\n");
    }

    proptest! {
        #[test]
        fn parsing_never_panics(input in "[-+:$*0-9a\r\n]{0,60}") {
            if let Ok(Some((_, length))) = parse(input.as_bytes()) {
                prop_assert!(length <= input.len());
            }
        }
    }
}
