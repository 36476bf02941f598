//! The fields that are for one connection only (RFC 9110 §7.6.1): those that are known, and those
//! that Connection names.

use crate::http::Fields;

/// Fields for one connection, whether Connection names them or not. `Content-Length` is here
/// because the framing is written anew.
const KNOWN: [&str; 10] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The lengths of their names, a bit for each: most fields have another.
const LENGTHS: u32 = {
    let (mut lengths, mut at) = (0, 0);
    while at < KNOWN.len() {
        lengths |= 1 << KNOWN[at].len();
        at += 1;
    }
    lengths
};

/// What Connection can't name: without these a message means something else. (A client
/// that sends `Connection: Host` wants to confuse the next server.)
const KEPT: [&[u8]; 1] = [b"host"];

/// The fields of one message that are for its connection only.
#[derive(Clone, Copy)]
pub struct HopFields<'a> {
    fields: Fields<'a>,
    /// Connection may name some.
    named: bool,
}

impl<'a> HopFields<'a> {
    /// Those among these fields.
    pub fn of(fields: Fields<'a>) -> Self {
        // Most messages have no Connection, or one of these options.
        let named = fields
            .tokens("connection")
            .any(|option| !option.eq_ignore_ascii_case(b"close") && !option.eq_ignore_ascii_case(b"keep-alive"));
        Self { fields, named }
    }

    /// Whether the field with this name is one.
    pub fn contain(&self, name: &[u8]) -> bool {
        is_known(name) || self.are_named(name)
    }

    fn are_named(&self, name: &[u8]) -> bool {
        let is_kept = || KEPT.iter().any(|kept| name.eq_ignore_ascii_case(kept));
        self.named && self.fields.tokens("connection").any(|option| option.eq_ignore_ascii_case(name)) && !is_kept()
    }

    /// The others, with their values, in their order.
    pub fn others(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.fields.iter().filter(move |(name, _)| !self.contain(name))
    }
}

fn is_known(name: &[u8]) -> bool {
    let has_length = u32::try_from(name.len()).is_ok_and(|length| LENGTHS.checked_shr(length).unwrap_or(0) & 1 == 1);
    has_length && KNOWN.iter().any(|known| is_alike(name, known.as_bytes()))
}

/// Whether two names are one for some server: in any case, and with `_` for `-`. Servers that pass
/// fields to programs as variables (RFC 3875 §4.1.18) can't tell `Content_Length` from the real one.
pub fn is_alike(name: &[u8], known: &[u8]) -> bool {
    let plain = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    name.len() == known.len() && name.iter().zip(known).all(|(one, other)| plain(*one) == plain(*other))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::FieldLines;

    fn others(lines: &[(&str, &str)]) -> Vec<String> {
        let all = FieldLines::of(lines.iter().map(|(name, value)| (*name, value.as_bytes())));
        let others = HopFields::of(all.fields()).others();
        others.map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect()
    }

    #[test]
    fn what_is_for_one_connection_stays_behind() {
        for (lines, expected) in [
            (&[("A", "1"), ("Connection", "close"), ("B", "2")][..], &["A", "B"][..]),
            (&[("Connection", "x-a, X-B"), ("X-A", "1"), ("x-b", "2"), ("X-C", "3")], &["X-C"]),
            (&[("Connection", "x-a"), ("connection", "x-b"), ("X-A", "1"), ("X-B", "2")], &[]),
            (&[("TE", "trailers"), ("Trailer", "A"), ("Transfer-Encoding", "chunked"), ("Content-Length", "1")], &[]),
            (&[("Keep-Alive", "1"), ("Proxy-Connection", "x"), ("Upgrade", "a"), ("Proxy-Authorization", "b")], &[]),
            (&[("Connection", "Host, Cookie"), ("Host", "a"), ("Cookie", "b")], &["Host"]),
            (&[("Connection", ",, ,"), ("A", "")], &["A"]),
            (&[("Content_Length", "1"), ("TRANSFER_Encoding", "x"), ("Content_Type", "a")], &["Content_Type"]),
            (&[("Connectio", "A"), ("A", "")], &["Connectio", "A"]),
        ] {
            assert_eq!(others(lines), expected, "{lines:?}");
        }
    }
}
