//! The body of a response that takes more than one turn: its framing (RFC 9112 §7.1), and
//! its bytes as the access log counts them. Before it is framed, content may get a content coding.

use super::access_log::PendingEntry;
use super::encoders::Coder;
use super::persistence::Writing;
use crate::http::chunked::{CHUNK_END, LAST_CHUNK, begin_chunk};
use crate::http::response::BodyForm;
use crate::reactor::{Bytes, FileSlice, Output, Tick};
use crate::service::Cx;

/// Writes the body of a response piece by piece.
pub(super) struct BodyWriter {
    form: BodyForm,
    /// When the first byte of the request was received.
    pub(super) began: Tick,
    /// Bytes of content so far, as they are sent.
    pub(super) size: u64,
    /// The line of the access log.
    pub(super) entry: Option<Box<PendingEntry>>,
    /// Compresses the content.
    coder: Option<Box<Coder>>,
}

impl BodyWriter {
    /// A writer for the form of body that the head of the response has announced. The request
    /// began at `began`.
    pub(super) fn new(form: BodyForm, began: Tick, entry: Option<Box<PendingEntry>>) -> Self {
        Self { form, began, size: 0, entry, coder: None }
    }

    /// The same, which compresses the content.
    pub(super) fn with(self, coder: Option<Box<Coder>>) -> Self {
        Self { coder, ..self }
    }

    /// Bytes of memory that it holds.
    pub(super) fn memory(&self) -> usize {
        let coder = self.coder.as_ref().map_or(0, |coder| coder.memory());
        coder + self.entry.as_ref().map_or(0, |entry| entry.memory())
    }

    /// Whether content is compressed, so that it must pass through memory.
    pub(super) fn codes(&self) -> bool {
        self.coder.is_some()
    }

    /// Appends a piece of content.
    pub(super) fn write(&mut self, content: &[u8], output: &mut Output, cx: &mut Cx<'_>) {
        match &mut self.coder {
            None => self.append(content.len() as u64, output, |output| output.write(content)),
            Some(coder) => {
                let coded = coder.write(content, &mut cx.work);
                self.append_coded(content.len(), &coded, output, cx);
            }
        }
    }

    /// Appends a stretch of a file as a piece of content, if that isn't compressed.
    pub(super) fn write_file(&mut self, slice: FileSlice, output: &mut Output) {
        self.append(slice.length, output, |output| output.file(slice));
    }

    /// Appends a piece of content that is sent from where it is, if it is large.
    pub(super) fn share(&mut self, content: Bytes, output: &mut Output, cx: &mut Cx<'_>) {
        match self.coder {
            None => self.append(content.len() as u64, output, |output| output.share(content)),
            Some(_) => self.write(&content, output, cx),
        }
    }

    /// What was written so far shall arrive: there is no more content now.
    pub(super) fn flush(&mut self, output: &mut Output, cx: &mut Cx<'_>) {
        if let Some(coder) = &mut self.coder {
            let coded = coder.flush();
            self.append_coded(0, &coded, output, cx);
        }
    }

    /// Appends what was made of `content` further bytes of content.
    fn append_coded(&mut self, content: usize, coded: &[u8], output: &mut Output, cx: &mut Cx<'_>) {
        cx.shared.http.counts.coded(content, coded.len());
        self.append(coded.len() as u64, output, |output| output.write(coded));
    }

    /// Appends a piece of content of this length, which `write` writes.
    fn append(&mut self, length: u64, output: &mut Output, write: impl FnOnce(&mut Output)) {
        if length == 0 {
            // An empty chunk would end the body.
            return;
        }
        let before = output.mark();
        self.size += length;
        if self.form == BodyForm::Chunked {
            begin_chunk(length, output.buffer());
            write(output);
            output.write(CHUNK_END);
        } else {
            write(output);
        }
        if let Some(entry) = &mut self.entry {
            entry.add(length, output.since(before));
        }
    }

    /// How a body ends that can't be completed: so that the client notices. If it has an end of its own,
    /// what was written still arrives.
    pub(super) fn cut(&self) -> Writing {
        if self.form == BodyForm::UntilClose { Writing::Abort } else { Writing::Cut }
    }

    /// Appends the end of a complete body.
    pub(super) fn end(&mut self, output: &mut Output, cx: &mut Cx<'_>) {
        if let Some(mut coder) = self.coder.take() {
            let coded = coder.finish();
            self.append_coded(0, &coded, output, cx);
        }
        if self.form == BodyForm::Chunked {
            output.write(LAST_CHUNK);
            if let Some(entry) = &mut self.entry {
                entry.add(0, LAST_CHUNK.len() as u64);
            }
        }
    }
}
