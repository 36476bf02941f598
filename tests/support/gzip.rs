//! Reads content in the coding gzip.

use miod::compression::Decoder;

/// The content of gzip as far as it has come, and whether it is whole.
pub fn decode_part(coded: &[u8]) -> (String, bool) {
    let (mut decoder, mut content, mut at) = (Decoder::default(), Vec::new(), 0);
    loop {
        let (consumed, piece) = decoder.read(&coded[at..]).expect("gzip");
        content.extend_from_slice(piece);
        at += consumed;
        if at == coded.len() && piece.len() < Decoder::PIECE {
            return (String::from_utf8(content).unwrap(), decoder.is_complete());
        }
    }
}

/// The content of gzip that must be whole.
pub fn decode(coded: &[u8]) -> String {
    let (content, is_complete) = decode_part(coded);
    assert!(is_complete, "the gzip is cut");
    content
}
