//! PEM (RFC 7468): finds the blocks of a file by their labels, and writes one.
//!
//! The content of a block is decoded by `rustls-pki-types`. Its own iterator passes over blocks
//! with labels that it doesn't know, so the reason why a key is missing (it is encrypted)
//! would be lost.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
/// Characters in a line.
const LINE: usize = 64;

/// A block: from the line that begins it to the one that ends it.
pub(super) struct Block<'a> {
    /// Like `CERTIFICATE`.
    pub(super) label: &'a [u8],
    /// All its lines. The last is missing if the block isn't ended.
    pub(super) text: &'a [u8],
}

impl Block<'_> {
    /// Whether it is an encrypted private key, of PKCS#8 or of old files (RFC 1421).
    pub(super) fn is_encrypted(&self) -> bool {
        let word = b"Proc-Type: 4,ENCRYPTED";
        self.label == b"ENCRYPTED PRIVATE KEY" || self.text.windows(word.len()).any(|part| part == word)
    }
}

/// The blocks of a file, in order. Text around them is passed over, and so is the mark that some
/// editors put before UTF-8. Lines may end as on any system.
pub(super) fn blocks(file: &[u8]) -> Vec<Block<'_>> {
    let file = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file);
    let mut blocks = Vec::new();
    let mut open: Option<(&[u8], usize)> = None;
    let mut at = 0;
    for line in file.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
        let next = at + line.len();
        if let Some(rest) = line.strip_prefix(BEGIN) {
            blocks.extend(open.map(|(label, start)| Block { label, text: &file[start..at] }));
            let end = rest.windows(5).position(|part| part == b"-----").unwrap_or(rest.len());
            open = Some((rest[..end].trim_ascii(), at));
        } else if line.starts_with(END) {
            blocks.extend(open.take().map(|(label, start)| Block { label, text: &file[start..next] }));
        }
        at = next;
    }
    blocks.extend(open.map(|(label, start)| Block { label, text: &file[start..] }));
    blocks
}

/// A block with this label and content.
pub(super) fn encode(label: &str, der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for (index, char) in base64.chars().enumerate() {
        if index > 0 && index % LINE == 0 {
            text.push('\n');
        }
        text.push(char);
    }
    text + &format!("\n-----END {label}-----\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn blocks_are_found_between_other_text() {
        let file = b"\xef\xbb\xbf-----BEGIN A B-----\r\nAA==\r\n-----END A B-----\r\nsubject=x\r\n \
            -----BEGIN C-----\n-----BEGIN D-----\nAA==\n-----BEGIN E-----\nProc-Type: 4,ENCRYPTED";
        let found = blocks(file);
        let labels: Vec<_> = found.iter().map(|block| block.label).collect();
        assert_eq!(labels, [&b"A B"[..], b"D", b"E"]);
        assert_eq!(found[0].text, b"-----BEGIN A B-----\r\nAA==\r\n-----END A B-----\r");
        assert_eq!(found[1].text, b"-----BEGIN D-----\nAA==\n");
        assert!(found[2].is_encrypted() && !found[0].is_encrypted());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(der in proptest::collection::vec(any::<u8>(), 0..200)) {
            use rustls_pki_types::CertificateDer;
            use rustls_pki_types::pem::PemObject as _;
            let text = encode("CERTIFICATE", &der);
            prop_assert!(text.lines().all(|line| line.len() <= LINE));
            let found = blocks(text.as_bytes());
            prop_assert_eq!(found.len(), 1);
            prop_assert_eq!(&*CertificateDer::from_pem_slice(found[0].text).unwrap(), &der[..]);
        }

        #[test]
        fn any_bytes_have_blocks(file in proptest::collection::vec(prop_oneof![
            Just(&b"-----BEGIN "[..]), Just(&b"-----END "[..]), Just(&b"-----\n"[..]), Just(&b"A\r"[..]), Just(&b"\xff"[..])
        ], 0..12)) {
            let file = file.concat();
            prop_assert!(blocks(&file).iter().all(|block| block.text.starts_with(BEGIN)));
        }
    }
}
