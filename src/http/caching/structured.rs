//! Dictionaries of Structured Fields (RFC 9651 §3.2, §4.2.2), the syntax of CDN-Cache-Control.
//!
//! A field with any error is ignored as a whole, so all of it is parsed before a member counts.

/// The value of a member. Its parameters are ignored (RFC 9213 §2.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Item<'a> {
    /// `?1`, or no value; `?0`.
    Boolean(bool),
    /// The digits, with their sign.
    Integer(&'a [u8]),
    /// The content between the quotes; escapes are kept.
    Text(&'a [u8]),
    /// Any other type.
    Other,
}

/// Calls `member` for each member of a dictionary, in order, duplicates too. Returns false at
/// the first error; what was called before must then be forgotten.
pub(super) fn dictionary<'a>(line: &'a [u8], mut member: impl FnMut(&'a [u8], Item<'a>)) -> bool {
    let mut rest = line.trim_ascii();
    if rest.is_empty() {
        return true;
    }
    loop {
        let Some(key) = key(&mut rest) else { return false };
        let value = match rest {
            [b'=', after @ ..] => {
                rest = after;
                match rest {
                    [b'(', after @ ..] => {
                        rest = after;
                        inner_list(&mut rest)
                    }
                    _ => bare_item(&mut rest),
                }
            }
            _ => Some(Item::Boolean(true)),
        };
        let (Some(value), Some(())) = (value, parameters(&mut rest)) else { return false };
        member(key, value);
        skip(&mut rest, b" \t");
        match rest {
            [] => return true,
            [b',', after @ ..] => rest = after,
            _ => return false,
        }
        skip(&mut rest, b" \t");
        if rest.is_empty() {
            return false;
        }
    }
}

fn skip(rest: &mut &[u8], bytes: &[u8]) {
    let length = rest.iter().position(|byte| !bytes.contains(byte)).unwrap_or(rest.len());
    *rest = &rest[length..];
}

/// Consumes the longest beginning of `rest` with such bytes.
fn take<'a>(rest: &mut &'a [u8], is_part: impl Fn(u8) -> bool) -> &'a [u8] {
    let length = rest.iter().position(|&byte| !is_part(byte)).unwrap_or(rest.len());
    let (taken, after) = rest.split_at(length);
    *rest = after;
    taken
}

fn key<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    if !matches!(rest.first()?, b'a'..=b'z' | b'*') {
        return None;
    }
    Some(take(rest, |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'*')))
}

fn parameters(rest: &mut &[u8]) -> Option<()> {
    while let [b';', after @ ..] = *rest {
        *rest = after;
        skip(rest, b" ");
        key(rest)?;
        if let [b'=', after @ ..] = *rest {
            *rest = after;
            bare_item(rest)?;
        }
    }
    Some(())
}

/// After the opening bracket.
fn inner_list<'a>(rest: &mut &'a [u8]) -> Option<Item<'a>> {
    loop {
        skip(rest, b" ");
        if let [b')', after @ ..] = *rest {
            *rest = after;
            return Some(Item::Other);
        }
        bare_item(rest)?;
        parameters(rest)?;
        if !matches!(rest.first(), Some(b' ' | b')')) {
            return None;
        }
    }
}

fn bare_item<'a>(rest: &mut &'a [u8]) -> Option<Item<'a>> {
    let whole = *rest;
    match *whole.first()? {
        b'-' | b'0'..=b'9' => number(rest),
        b'"' => {
            *rest = &whole[1..];
            Some(Item::Text(string(rest)?))
        }
        b'?' => {
            *rest = whole.get(2..)?;
            match whole[1] {
                b'0' => Some(Item::Boolean(false)),
                b'1' => Some(Item::Boolean(true)),
                _ => None,
            }
        }
        b':' => {
            *rest = &whole[1..];
            take(rest, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='));
            *rest = rest.strip_prefix(b":")?;
            Some(Item::Other)
        }
        b'@' => {
            *rest = &whole[1..];
            matches!(number(rest)?, Item::Integer(_)).then_some(Item::Other)
        }
        b'%' => {
            *rest = whole.strip_prefix(b"%\"")?;
            take(rest, |byte| matches!(byte, b' '..=b'~') && byte != b'"');
            *rest = rest.strip_prefix(b"\"")?;
            Some(Item::Other)
        }
        first if first.is_ascii_alphabetic() || first == b'*' => {
            take(rest, |byte| crate::http::grammar::is_tchar(byte) || matches!(byte, b':' | b'/'));
            Some(Item::Other)
        }
        _ => None,
    }
}

/// An integer has at most 15 digits; a decimal 12 and 3.
fn number<'a>(rest: &mut &'a [u8]) -> Option<Item<'a>> {
    let whole = *rest;
    *rest = whole.strip_prefix(b"-").unwrap_or(whole);
    let digits = take(rest, |byte| byte.is_ascii_digit()).len();
    if let [b'.', after @ ..] = *rest {
        *rest = after;
        let decimals = take(rest, |byte| byte.is_ascii_digit()).len();
        return ((1..=12).contains(&digits) && (1..=3).contains(&decimals)).then_some(Item::Other);
    }
    (1..=15).contains(&digits).then(|| Item::Integer(&whole[..whole.len() - rest.len()]))
}

/// After the opening quote.
fn string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let whole = *rest;
    let mut at = 0;
    loop {
        match *whole.get(at)? {
            b'"' => {
                *rest = &whole[at + 1..];
                return Some(&whole[..at]);
            }
            b'\\' => match whole.get(at + 1)? {
                b'"' | b'\\' => at += 2,
                _ => return None,
            },
            b' '..=b'~' => at += 1,
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(line: &str) -> Option<String> {
        let mut found = String::new();
        let valid = dictionary(line.as_bytes(), |key, item| {
            let value = match item {
                Item::Boolean(value) => value.to_string(),
                Item::Integer(digits) => String::from_utf8_lossy(digits).into_owned(),
                Item::Text(text) => format!("{:?}", String::from_utf8_lossy(text)),
                Item::Other => "other".to_owned(),
            };
            found += &format!("{}={value} ", String::from_utf8_lossy(key));
        });
        valid.then_some(found.trim_end().to_owned())
    }

    #[test]
    fn dictionaries_are_parsed_strictly() {
        for (line, expected) in [
            ("", Some("")),
            ("  ", Some("")),
            ("max-age=5", Some("max-age=5")),
            ("a, b=?0 ,\tc=?1", Some("a=true b=false c=true")),
            ("a=-1, b=1.5, c=tok/en:x, d=\"x, y\"", Some("a=-1 b=other c=other d=\"x, y\"")),
            ("a;p=1; q=\"x\";r, b=2;s", Some("a=true b=2")),
            ("a=(1 \"b\" c;p), b=()", Some("a=other b=other")),
            ("a=:aGk=:, b=@5, c=%\"x\"", Some("a=other b=other c=other")),
            ("a=1, a=2", Some("a=1 a=2")),
            ("a=999999999999999", Some("a=999999999999999")),
            // Errors.
            ("a=9999999999999999", None),
            ("A=1", None),
            ("a=1, &&&&&", None),
            ("a=1,", None),
            (",a", None),
            ("a b", None),
            ("a =1", None),
            ("a= 1", None),
            ("a=", None),
            ("a=\"x", None),
            ("a=\"\\x\"", None),
            ("a=?2", None),
            ("a=?", None),
            ("a=1.", None),
            ("a=1.2345", None),
            ("a=-", None),
            ("a=(1", None),
            ("a=(1\"b\")", None),
            ("a=:x", None),
            ("a;", None),
            ("a=\u{fc}", None),
        ] {
            assert_eq!(members(line).as_deref(), expected, "{line:?}");
        }
    }
}
