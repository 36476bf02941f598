//! A reader of DER (ITU-T X.690): tag, length, content, and nothing more.
//!
//! It takes definite lengths in their shortest form and tags of one byte, which is all that
//! certificates have. It never goes deeper on its own, so no input can exhaust the stack.

/// The tags that certificates use.
pub(super) mod tag {
    pub(in super::super) const BOOLEAN: u8 = 0x01;
    pub(in super::super) const INTEGER: u8 = 0x02;
    pub(in super::super) const BIT_STRING: u8 = 0x03;
    pub(in super::super) const OCTET_STRING: u8 = 0x04;
    pub(in super::super) const OID: u8 = 0x06;
    pub(in super::super) const SEQUENCE: u8 = 0x30;
    pub(in super::super) const SET: u8 = 0x31;
}

/// One element.
#[derive(Clone, Copy)]
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    pub(super) content: &'a [u8],
    /// Tag, length and content.
    pub(super) whole: &'a [u8],
}

/// The elements that are left.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The next element. `None` if there is none, or if it isn't DER or is cut off.
    pub(super) fn next(&mut self) -> Option<Element<'a>> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x84 => long_length(rest, usize::from(first & 0x7f))?,
            _ => return None,
        };
        // Five set bits announce a tag of several bytes.
        let (content, left) = rest.split_at_checked(length).filter(|_| tag & 0x1f != 0x1f)?;
        let (whole, _) = self.0.split_at_checked(self.0.len() - left.len())?;
        self.0 = left;
        Some(Element { tag, content, whole })
    }

    /// The next element if it has this tag; otherwise the reader stays where it is.
    pub(super) fn take(&mut self, tag: u8) -> Option<Element<'a>> {
        let mut ahead = *self;
        let element = ahead.next().filter(|element| element.tag == tag)?;
        *self = ahead;
        Some(element)
    }

    /// The elements in the next element, which must have this tag.
    pub(super) fn enter(&mut self, tag: u8) -> Option<Reader<'a>> {
        Some(Reader(self.take(tag)?.content))
    }
}

/// A length of `count` bytes, and what follows.
fn long_length(bytes: &[u8], count: usize) -> Option<(usize, &[u8])> {
    let (digits, rest) = bytes.split_at_checked(count)?;
    let length = digits.iter().fold(0_usize, |length, &digit| length << 8 | usize::from(digit));
    let is_shortest = length > 0x7f && digits[0] != 0;
    is_shortest.then_some((length, rest))
}

/// The text of an object identifier, like `2.5.4.3`.
pub(super) fn dotted(oid: &[u8]) -> String {
    let mut text = String::new();
    let mut number = 0_u64;
    for &byte in oid {
        // Longer numbers don't exist; they only have to be harmless.
        number = number << 7 | u64::from(byte & 0x7f);
        if byte < 0x80 {
            if text.is_empty() {
                let root = (number / 40).min(2);
                text = format!("{root}.{}", number - 40 * root);
            } else {
                text.push_str(&format!(".{number}"));
            }
            number = 0;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn elements_are_read_in_order() {
        let long = [&[0x04, 0x81, 0x80][..], &[7; 128]].concat();
        let all = [&[0x02, 0x01, 0x05][..], &long, &[0x05, 0x00]].concat();
        let mut reader = Reader(&all);
        assert!(reader.take(tag::SEQUENCE).is_none());
        assert_eq!(reader.take(tag::INTEGER).unwrap().content, [5]);
        let octets = reader.next().unwrap();
        assert_eq!((octets.tag, octets.content, octets.whole), (0x04, &[7; 128][..], &long[..]));
        assert!(reader.next().unwrap().content.is_empty() && reader.is_empty() && reader.next().is_none());
    }

    #[test]
    fn what_is_no_der_is_refused() {
        for bytes in [
            &b""[..],
            b"\x30",
            b"\x30\x01",
            b"\x30\x80\x00\x00",
            b"\x30\x81\x01\x00",
            b"\x30\x82\x00\x80",
            b"\x30\x84\xff\xff\xff\xff",
            b"\x30\x85\x00\x00\x00\x00\x01\x00",
            b"\x3f\x01\x00",
            b"\x30\xff",
        ] {
            assert!(Reader(bytes).next().is_none(), "{bytes:?}");
        }
    }

    #[test]
    fn object_identifiers_have_dots() {
        for (oid, text) in [
            (&b"\x55\x04\x03"[..], "2.5.4.3"),
            (b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01", "1.2.840.113549.1.9.1"),
            (b"\x88\x37\x03", "2.999.3"),
            (b"\x00", "0.0"),
            (b"", ""),
            (b"\xff", ""),
        ] {
            assert_eq!(dotted(oid), text);
        }
        let _ = dotted(&[0xff; 100]);
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_read(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut reader = Reader(&bytes);
            let mut length = 0;
            while let Some(element) = reader.next() {
                length += element.whole.len();
                prop_assert!(element.whole.ends_with(element.content));
            }
            prop_assert_eq!(length + reader.0.len(), bytes.len());
            let _ = dotted(&bytes);
        }
    }
}
