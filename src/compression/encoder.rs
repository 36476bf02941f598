//! Makes content in a coding, of content that comes in pieces.
//!
//! What is written isn't in the output at once: the encoder waits for repetitions. A flush brings
//! all of it out, ends a block, and costs a few bytes; so content that is made over time arrives when
//! it is made.
//!
//! What an encoder holds doesn't depend on the content. In zstd it would be megabytes: so its window
//! is 256 KiB, its blocks are small, and so are its tables. Each decoder has such a window: browsers
//! accept up to 8 MiB (RFC 9659 §3).

use std::alloc::{Layout, handle_alloc_error};

use flate2::{Compress, Compression, FlushCompress, Status};
use zstd_safe::zstd_sys::ZSTD_EndDirective as Directive;
use zstd_safe::{CCtx, CParameter, InBuffer, OutBuffer};

/// A content coding that can be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Coding {
    /// One member of gzip (RFC 1952).
    Gzip,
    /// One frame of zstd (RFC 8878), without a checksum.
    Zstd,
}

impl Coding {
    /// The coding with this name, as fields have it.
    pub fn of_name(name: &str) -> Option<Self> {
        match name {
            "gzip" => Some(Self::Gzip),
            "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// Makes content in one coding.
pub struct Encoder(Library);

/// What does it.
enum Library {
    Gzip(Compress),
    Zstd(CCtx<'static>),
}

/// The base-2 logarithm of the window of gzip in bytes: the largest one, which each decoder has.
const WINDOW_BITS: u8 = 15;

/// What bounds the memory of zstd: base-2 logarithms of the window in bytes and of the entries of its
/// tables, and the bytes of a block.
const ZSTD: [CParameter; 4] =
    [CParameter::WindowLog(18), CParameter::HashLog(15), CParameter::ChainLog(15), CParameter::MaxBlockSize(32 * 1024)];

/// How much room each call of a library gets, in bytes.
const STEP: usize = 4 * 1024;

impl Encoder {
    /// Most bytes of memory that an encoder holds: window, tables of repetitions, and symbols of a block.
    pub const fn memory(coding: Coding) -> usize {
        match coding {
            Coding::Gzip => 384 * 1024,
            Coding::Zstd => 768 * 1024,
        }
    }

    /// An encoder before the first byte. `level` is from 1, the fastest, to 9, the smallest result.
    pub fn new(coding: Coding, level: u8) -> Self {
        let level = level.clamp(1, 9);
        Self(match coding {
            Coding::Gzip => Library::Gzip(Compress::new_gzip(Compression::new(u32::from(level)), WINDOW_BITS)),
            Coding::Zstd => {
                let mut context = CCtx::create();
                for parameter in [CParameter::CompressionLevel(i32::from(level))].into_iter().chain(ZSTD) {
                    // They are within their bounds, which a test shows.
                    let _ = context.set_parameter(parameter);
                }
                Library::Zstd(context)
            }
        })
    }

    /// Takes a piece of content. What is made of it by now is appended to `out`.
    pub fn write(&mut self, content: &[u8], out: &mut Vec<u8>) {
        match &mut self.0 {
            Library::Gzip(gzip) => run_gzip(gzip, content, FlushCompress::None, out),
            Library::Zstd(zstd) => run_zstd(zstd, content, Directive::ZSTD_e_continue, out),
        }
    }

    /// Brings out all that was written: it can be decoded from what is in `out` then.
    pub fn flush(&mut self, out: &mut Vec<u8>) {
        match &mut self.0 {
            Library::Gzip(gzip) => run_gzip(gzip, b"", FlushCompress::Sync, out),
            Library::Zstd(zstd) => run_zstd(zstd, b"", Directive::ZSTD_e_flush, out),
        }
    }

    /// Ends the content. Nothing may follow.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        match &mut self.0 {
            Library::Gzip(gzip) => run_gzip(gzip, b"", FlushCompress::Finish, out),
            Library::Zstd(zstd) => run_zstd(zstd, b"", Directive::ZSTD_e_end, out),
        }
    }
}

/// Calls the library until it has taken all content, and has nothing left to write.
fn run_gzip(gzip: &mut Compress, mut content: &[u8], flush: FlushCompress, out: &mut Vec<u8>) {
    loop {
        if out.len() == out.capacity() {
            out.reserve(STEP);
        }
        let before = gzip.total_in();
        // It fails only after its end.
        let status = gzip.compress_vec(content, out, flush).unwrap_or(Status::StreamEnd);
        let taken = usize::try_from(gzip.total_in() - before).unwrap_or(usize::MAX);
        content = content.get(taken..).unwrap_or_default();
        // While it fills the room, it may have more.
        let is_done = content.is_empty() && out.len() < out.capacity();
        if is_done || status == Status::StreamEnd {
            return;
        }
    }
}

/// The same.
fn run_zstd(zstd: &mut CCtx<'_>, content: &[u8], directive: Directive, out: &mut Vec<u8>) {
    let mut input = InBuffer::around(content);
    loop {
        if out.len() == out.capacity() {
            out.reserve(STEP);
        }
        let at = out.len();
        let left = zstd.compress_stream2(&mut OutBuffer::around_pos(out, at), &mut input, directive);
        // It fails only where its tables get no memory. Then nothing else here would get any.
        let left = left.unwrap_or_else(|_| handle_alloc_error(Layout::new::<Encoder>()));
        // While there is more content, what is left to write need not be written.
        let is_written = left == 0 || directive == Directive::ZSTD_e_continue;
        if input.pos() == content.len() && is_written {
            return;
        }
    }
}

/// Codes all content at once.
pub fn compress(coding: Coding, content: &[u8], level: u8) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() / 2 + 64);
    let mut encoder = Encoder::new(coding, level);
    encoder.write(content, &mut out);
    encoder.finish(&mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compression::testing::{Decoding, decode, text};

    const CODINGS: [Coding; 2] = [Coding::Gzip, Coding::Zstd];

    #[test]
    fn what_is_compressed_is_the_same_when_it_is_decoded() {
        for (coding, length) in CODINGS.into_iter().flat_map(|coding| {
            [0, 1, 2, 100, 4095, 4096, 4097, 32_768, 70_000, 300_000, 1_000_000].map(|length| (coding, length))
        }) {
            for level in [0, 1, 5, 9, 200] {
                let content = text(length).into_bytes();
                let coded = compress(coding, &content, level);
                assert!(decode(coding, &coded) == content, "{length} bytes in {coding:?} at level {level}");
                assert!(length < 1000 || coded.len() < length / 2, "{length} bytes became {}", coded.len());
            }
        }
    }

    #[test]
    fn pieces_and_flushes_make_no_difference_to_the_content() {
        let content = text(50_000).into_bytes();
        for (coding, size) in
            CODINGS.into_iter().flat_map(|coding| [1, 7, 1000, 4096, 50_000].map(|size| (coding, size)))
        {
            let (mut encoder, mut out) = (Encoder::new(coding, 5), Vec::new());
            for piece in content.chunks(size) {
                encoder.write(piece, &mut out);
                if size > 1 {
                    encoder.flush(&mut out);
                }
            }
            encoder.finish(&mut out);
            assert!(decode(coding, &out) == content, "pieces of {size} in {coding:?}");
        }
    }

    #[test]
    fn after_a_flush_everything_can_be_decoded() {
        // A piece of noise doesn't fit the room of one call.
        let mut state = 1_u32;
        let mut noise = |length: usize| -> Vec<u8> {
            let bytes = std::iter::repeat_with(|| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            });
            bytes.take(length).collect()
        };
        for coding in CODINGS {
            let (mut encoder, mut decoding) = (Encoder::new(coding, 5), Decoding::new(coding));
            for number in 0..100 {
                let event = match number % 10 {
                    9 => noise(40_000),
                    _ => format!("data: event {number}\n\n").into_bytes(),
                };
                let mut coded = Vec::new();
                encoder.write(&event, &mut coded);
                encoder.flush(&mut coded);
                let (content, is_complete) = decoding.read(&coded);
                assert!(content == event && !is_complete, "event {number} in {coding:?}");
            }
            let mut coded = Vec::new();
            encoder.finish(&mut coded);
            assert_eq!(decoding.read(&coded), (Vec::new(), true), "{coding:?}");
        }
    }

    #[test]
    fn a_second_flush_adds_nothing() {
        for coding in CODINGS {
            let (mut encoder, mut out) = (Encoder::new(coding, 5), Vec::new());
            encoder.write(b"content", &mut out);
            encoder.flush(&mut out);
            let length = out.len();
            encoder.flush(&mut out);
            assert_eq!(out.len(), length, "{coding:?}");
        }
    }

    #[test]
    fn an_encoder_of_zstd_holds_what_is_counted() {
        for level in 1..=9 {
            let (mut encoder, mut out) = (Encoder::new(Coding::Zstd, level), Vec::new());
            encoder.write(text(2_000_000).as_bytes(), &mut out);
            let Library::Zstd(context) = &encoder.0 else { panic!() };
            let (memory, most) = (context.sizeof(), Encoder::memory(Coding::Zstd));
            assert!(memory <= most && memory > most / 2, "{memory} bytes at level {level}");
            // RFC 8878 §3.1.1.1.2: the window descriptor of a frame whose size isn't told.
            let descriptor = out[5];
            assert_eq!((out[4] & 0b0010_0000, descriptor >> 3), (0, 18 - 10), "level {level}");
        }
        for parameter in ZSTD {
            assert!(CCtx::create().set_parameter(parameter).is_ok(), "{parameter:?}");
        }
    }

    #[test]
    fn codings_have_the_names_of_fields() {
        for (name, expected) in
            [("gzip", Some(Coding::Gzip)), ("zstd", Some(Coding::Zstd)), ("br", None), ("identity", None)]
        {
            assert_eq!(Coding::of_name(name), expected, "{name}");
        }
    }
}
