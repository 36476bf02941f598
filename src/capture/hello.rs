//! The name that a TLS client asks for: the extension `server_name` of its ClientHello (RFC 8446 §4.1.2,
//! RFC 6066 §3). It is sent in the clear, before anything is encrypted.

/// The longest ClientHello that is read, in bytes. With keys for after quantum computers they have 2,000.
pub(super) const LONGEST: usize = 32 * 1024;

/// What is known about a ClientHello.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Hello {
    /// It isn't whole yet.
    Partial,
    /// It names this server, or none.
    Name(Option<String>),
    /// It is something else.
    Other,
}

/// Whether bytes may be the beginning of a TLS connection: a record with a handshake message.
pub(super) fn is_tls(bytes: &[u8]) -> bool {
    match bytes {
        [0x16, 0x03, _, _, _, 1, ..] => true,
        _ => !bytes.is_empty() && bytes.len() < 6 && [0x16, 0x03].starts_with(&bytes[..bytes.len().min(2)]),
    }
}

/// Reads the beginning of what a client sends.
pub(super) fn read(stream: &[u8]) -> Hello {
    let Some(message) = message(stream) else { return Hello::Other };
    match message.split_first_chunk::<4>() {
        Some(([1, a, b, c], rest)) => {
            let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
            match rest.get(..length) {
                Some(hello) => extensions(hello).map_or(Hello::Other, |list| Hello::Name(name(list))),
                None if length <= LONGEST => Hello::Partial,
                None => Hello::Other,
            }
        }
        Some(_) => Hello::Other,
        None => Hello::Partial,
    }
}

/// The bytes of the handshake in the records, as far as they are there. None if there is another record.
fn message(mut stream: &[u8]) -> Option<Vec<u8>> {
    let mut message = Vec::new();
    while let Some(([kind, version, _, a, b], rest)) = stream.split_first_chunk::<5>() {
        if (*kind, *version) != (0x16, 3) {
            // What comes after a whole ClientHello isn't read.
            return (message.len() >= 4).then_some(message);
        }
        let (record, after) = rest.split_at(usize::from(u16::from_be_bytes([*a, *b])).min(rest.len()));
        message.extend_from_slice(record);
        stream = after;
    }
    Some(message)
}

/// The extensions of a ClientHello.
fn extensions(hello: &[u8]) -> Option<&[u8]> {
    // The version and the random number; session, cipher suites, compression methods.
    let rest = hello.get(34..)?;
    let (_, rest) = vector::<1>(rest)?;
    let (_, rest) = vector::<2>(rest)?;
    let (_, rest) = vector::<1>(rest)?;
    // Old clients have no extensions.
    if rest.is_empty() { Some(rest) } else { vector::<2>(rest).map(|(list, _)| list) }
}

/// The name in the extensions.
fn name(mut list: &[u8]) -> Option<String> {
    while let Some((kind, rest)) = list.split_first_chunk::<2>() {
        let (extension, after) = vector::<2>(rest)?;
        if *kind == [0, 0] {
            let (names, _) = vector::<2>(extension)?;
            // The only type of names is that of hosts.
            let (0, names) = names.split_first()? else { return None };
            let (name, _) = vector::<2>(names)?;
            let is_host = !name.is_empty() && name.len() <= 255 && name.iter().all(u8::is_ascii_graphic);
            return is_host.then(|| String::from_utf8_lossy(name).into_owned());
        }
        list = after;
    }
    None
}

/// Splits off bytes whose length comes before them, in `N` bytes.
fn vector<const N: usize>(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<N>()?;
    let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    rest.split_at_checked(length)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn counted<const N: usize>(bytes: &[u8]) -> Vec<u8> {
        [&bytes.len().to_be_bytes()[8 - N..], bytes].concat()
    }

    /// A ClientHello in records of `size` bytes.
    pub(crate) fn hello(name: Option<&str>, size: usize) -> Vec<u8> {
        let mut list = [&[0, 23][..], &counted::<2>(b"")].concat();
        if let Some(name) = name {
            let host = [&[0][..], &counted::<2>(name.as_bytes())].concat();
            list.extend([&[0, 0][..], &counted::<2>(&counted::<2>(&host))].concat());
        }
        let body =
            [&[3, 3][..], &[7; 32], &counted::<1>(&[1; 32]), &counted::<2>(&[0x13, 1]), &counted::<1>(&[0])].concat();
        let body = [body, counted::<2>(&list)].concat();
        let message = [&[1][..], &counted::<3>(&body)].concat();
        message.chunks(size).flat_map(|piece| [&[0x16, 3, 1][..], &counted::<2>(piece)].concat()).collect()
    }

    #[test]
    fn the_name_is_found_in_any_pieces() {
        for name in [Some("example.org"), None] {
            for size in [1, 7, 1_000] {
                let whole = hello(name, size);
                assert!(is_tls(&whole) && is_tls(&whole[..1]));
                let found = Hello::Name(name.map(str::to_owned));
                assert_eq!(read(&whole), found, "{size}");
                assert_eq!(read(&[&whole[..], &[0x14, 3, 3, 0, 1, 1]].concat()), found);
                for cut in 0..whole.len() {
                    assert_eq!(read(&whole[..cut]), Hello::Partial, "{size}, cut at {cut}");
                }
            }
        }
    }

    #[test]
    fn what_is_wrong_has_no_name() {
        let whole = hello(Some("example.org"), 1_000);
        for at in 0..whole.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut changed = whole.clone();
                changed[at] = value;
                let _ = read(&changed);
            }
        }
        for bytes in [&b"GET / HTTP/1.1\r\n"[..], &[0x16, 3, 1, 0, 5, 2, 0, 0, 1, 0], &[0x17, 3, 3, 0, 0]] {
            assert_eq!(read(bytes), Hello::Other);
            assert!(!is_tls(bytes));
        }
        assert!(!is_tls(b""));
        for name in ["", "a b", "\u{e4}"] {
            assert_eq!(read(&hello(Some(name), 1_000)), Hello::Name(None), "{name:?}");
        }
    }
}
