//! Makes gzip of content that comes in pieces.
//!
//! What is written isn't in the output at once: the encoder waits for repetitions. A flush brings
//! all of it out, ends a block, and costs five bytes; so content that is made over time arrives when
//! it is made.

use flate2::{Compress, Compression, FlushCompress, Status};

/// Makes one member of gzip.
pub struct Encoder(Compress);

/// The base-2 logarithm of the window in bytes: the largest one, which each decoder has.
const WINDOW_BITS: u8 = 15;

/// How much room each call of the library gets, in bytes.
const STEP: usize = 4 * 1024;

impl Encoder {
    /// Bytes of memory that an encoder holds: window, hash chains, and symbols of a block.
    pub const MEMORY: usize = 384 * 1024;

    /// A new member. `level` is from 1, the fastest, to 9, the smallest result.
    pub fn new(level: u8) -> Self {
        Self(Compress::new_gzip(Compression::new(u32::from(level.clamp(1, 9))), WINDOW_BITS))
    }

    /// Takes a piece of content. What is made of it by now is appended to `out`.
    pub fn write(&mut self, content: &[u8], out: &mut Vec<u8>) {
        self.run(content, FlushCompress::None, out);
    }

    /// Brings out all that was written: it can be decoded from what is in `out` then.
    pub fn flush(&mut self, out: &mut Vec<u8>) {
        self.run(b"", FlushCompress::Sync, out);
    }

    /// Ends the member. Nothing may follow.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.run(b"", FlushCompress::Finish, out);
    }

    /// Calls the library until it has taken all content, and has nothing left to write.
    fn run(&mut self, mut content: &[u8], flush: FlushCompress, out: &mut Vec<u8>) {
        loop {
            if out.len() == out.capacity() {
                out.reserve(STEP);
            }
            let before = self.0.total_in();
            // It fails only after its end.
            let status = self.0.compress_vec(content, out, flush).unwrap_or(Status::StreamEnd);
            let taken = usize::try_from(self.0.total_in() - before).unwrap_or(usize::MAX);
            content = content.get(taken..).unwrap_or_default();
            // While it fills the room, it may have more.
            let is_done = content.is_empty() && out.len() < out.capacity();
            if is_done || status == Status::StreamEnd {
                return;
            }
        }
    }
}

/// Makes gzip of all content at once.
pub fn compress(content: &[u8], level: u8) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() / 2 + 64);
    let mut encoder = Encoder::new(level);
    encoder.write(content, &mut out);
    encoder.finish(&mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::super::decoder::tests::decode;
    use super::*;

    /// Text that isn't too regular.
    fn text(length: usize) -> Vec<u8> {
        let words = (0_u32..).map(|n| format!("word{} ", n.wrapping_mul(2_654_435_761) % 977));
        words.flat_map(String::into_bytes).take(length).collect()
    }

    #[test]
    fn what_is_compressed_is_the_same_when_it_is_decoded() {
        for length in [0, 1, 2, 100, 4095, 4096, 4097, 70_000, 300_000] {
            for level in [0, 1, 5, 9, 200] {
                let content = text(length);
                let coded = compress(&content, level);
                assert_eq!(decode(&coded).unwrap(), content, "{length} bytes at level {level}");
                assert!(length < 1000 || coded.len() < length / 2, "{length} bytes became {}", coded.len());
            }
        }
    }

    #[test]
    fn pieces_and_flushes_make_no_difference_to_the_content() {
        let content = text(50_000);
        for size in [1, 7, 1000, 4096, 50_000] {
            let (mut encoder, mut out) = (Encoder::new(5), Vec::new());
            for piece in content.chunks(size) {
                encoder.write(piece, &mut out);
                if size > 1 {
                    encoder.flush(&mut out);
                }
            }
            encoder.finish(&mut out);
            assert_eq!(decode(&out).unwrap(), content, "pieces of {size}");
        }
    }

    #[test]
    fn after_a_flush_everything_can_be_decoded() {
        use super::super::Decoder;
        let (mut encoder, mut decoder) = (Encoder::new(5), Decoder::default());
        for number in 0..100 {
            let event = format!("data: event {number}\n\n");
            let (mut coded, mut decoded) = (Vec::new(), Vec::new());
            encoder.write(event.as_bytes(), &mut coded);
            encoder.flush(&mut coded);
            let mut at = 0;
            while at < coded.len() {
                let (consumed, content) = decoder.read(&coded[at..]).unwrap();
                decoded.extend_from_slice(content);
                at += consumed;
            }
            assert_eq!(decoded, event.as_bytes());
        }
    }

    #[test]
    fn a_second_flush_adds_nothing() {
        let (mut encoder, mut out) = (Encoder::new(5), Vec::new());
        encoder.write(b"content", &mut out);
        encoder.flush(&mut out);
        let length = out.len();
        encoder.flush(&mut out);
        assert_eq!(out.len(), length);
    }
}
