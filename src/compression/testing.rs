//! Helpers for tests: content, and what decodes it.

use zstd_safe::{DCtx, InBuffer, OutBuffer};

use super::{Coding, Decoder};

/// How much room each call of a library gets, in bytes.
const STEP: usize = 4 * 1024;

/// Decodes what comes in pieces.
pub(crate) enum Decoding {
    Gzip(Decoder),
    Zstd(DCtx<'static>),
}

impl Decoding {
    pub(crate) fn new(coding: Coding) -> Self {
        match coding {
            Coding::Gzip => Self::Gzip(Decoder::default()),
            Coding::Zstd => Self::Zstd(DCtx::create()),
        }
    }

    /// All content that is in a piece, and whether it ends there.
    pub(crate) fn read(&mut self, coded: &[u8]) -> (Vec<u8>, bool) {
        let mut content = Vec::new();
        match self {
            Self::Gzip(decoder) => {
                let mut at = 0;
                loop {
                    let (consumed, piece) = decoder.read(&coded[at..]).unwrap();
                    content.extend_from_slice(piece);
                    at += consumed;
                    if at == coded.len() && piece.len() < Decoder::PIECE {
                        return (content, decoder.is_complete());
                    }
                }
            }
            Self::Zstd(context) => {
                let mut input = InBuffer::around(coded);
                loop {
                    let mut piece = Vec::with_capacity(STEP);
                    let more = context.decompress_stream(&mut OutBuffer::around(&mut piece), &mut input).unwrap();
                    content.extend_from_slice(&piece);
                    if input.pos() == coded.len() && (more == 0 || piece.len() < STEP) {
                        return (content, more == 0);
                    }
                    assert!(more > 0, "there is something behind the end");
                }
            }
        }
    }
}

/// Decodes what must be whole.
pub(crate) fn decode(coding: Coding, coded: &[u8]) -> Vec<u8> {
    let (content, is_complete) = Decoding::new(coding).read(coded);
    assert!(is_complete, "{coding:?} is cut");
    content
}

/// So many bytes of text that isn't too regular.
pub(crate) fn text(length: usize) -> String {
    let words = (0_u32..).map(|n| format!("word{} ", n.wrapping_mul(2_654_435_761) % 977));
    words.flat_map(String::into_bytes).take(length).map(char::from).collect()
}
