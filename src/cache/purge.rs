//! What an operator removes before its time: by the beginning of URIs, or by tags.

/// What is to be removed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Purge {
    /// Everything.
    All,
    /// What has a URI that begins with these bytes.
    Prefix(Vec<u8>),
    /// What has this tag: a member of the list in its Cache-Tag field, byte for byte.
    Tag(Vec<u8>),
}

impl Purge {
    /// Whether it includes the response with this URI and head.
    pub(super) fn fits(&self, uri: &[u8], head: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::Prefix(prefix) => uri.starts_with(prefix),
            Self::Tag(tag) => tags(head).any(|own| own == tag.as_slice()),
        }
    }
}

/// The tags of a response. The stored head has one field a line, and no folded ones.
fn tags(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = head.split(|&byte| byte == b'\n');
    let values = lines.filter_map(|line| {
        let (name, value) = line.split_at(line.iter().position(|&byte| byte == b':')?);
        name.eq_ignore_ascii_case(b"cache-tag").then(|| &value[1..])
    });
    values.flat_map(|value| value.split(|&byte| byte == b',')).map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_are_chosen_by_uri_and_by_tag() {
        let head = b"HTTP/1.1 200 OK\r\nX: a\r\ncache-TAG: one, two \r\nCache-Tag:three\r\n\r\n";
        let prefix = |text: &str| Purge::Prefix(text.into()).fits(b"http://a/b", head);
        assert!(prefix("") && prefix("http://a/") && prefix("http://a/b") && !prefix("http://a/b/") && !prefix("a"));
        let tag = |text: &str| Purge::Tag(text.into()).fits(b"", head);
        assert!(tag("one") && tag("two") && tag("three"));
        assert!(!tag("a") && !tag("One") && !tag("tw") && !tag("one, two"));
        assert!(Purge::All.fits(b"", b""));
    }
}
