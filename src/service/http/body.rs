//! Reading the body of a request.
//!
//! A body is read before the response, whether it is needed or not. So errors in its framing
//! are found, and the start of the next request is known. Only a body that is too large isn't
//! read. Then the response is an error, and the connection lingers, so that the client can
//! still read it.
//!
//! Content in the coding gzip is decoded before it goes anywhere, a piece at a time: a few bytes may
//! become very many.
//!
//! The content goes to the [`Destination`]. An application that receives it in pieces
//! ([`Sink`](crate::app::Sink)) is called before. So the rules of [`policy`](super::policy) are
//! checked before the first byte of its body is read.

use std::time::Duration;

use super::counts::Timeout;
use super::exchange::{Exchange, Facts, Turn};
use super::rejects::{BODY_TOO_LARGE, BUSY, FAILED, LATE};
use super::step::Step;
use crate::app::boundary::{ContentSink, Failed};
use crate::app::{Outcome, Push};
use crate::compression::{Broken, Decoder};
use crate::http::content_coding::{ContentCoding, content_codings};
use crate::http::framing::{BodyReader, Framing};
use crate::http::head::Expect;
use crate::http::{Reject, Status, response};
use crate::limits;
use crate::reactor::{Io, JobId, JobResult, Pace, Tick, Want};
use crate::service;
use crate::service::Cx;

/// A request whose body is being read.
pub(super) struct ReadingBody {
    /// The head as it was sent, to be parsed again when the body is there.
    head: Vec<u8>,
    facts: Facts,
    reader: BodyReader,
    /// Bytes of content so far, as it is sent.
    read: u64,
    /// Takes its coding off.
    decoding: Option<Box<Decoding>>,
    /// Bytes of content behind that.
    decoded: u64,
    /// Most bytes of content.
    limit: u64,
    pace: Pace,
    destination: Destination,
}

/// Where the content of a request goes.
pub(super) enum Destination {
    /// Into memory, for a handler that gets it whole.
    Collect(Vec<u8>),
    /// Nowhere: it is read only to find the next request.
    Discard,
    /// To the application, piece by piece.
    Stream(Stream),
}

/// The sink of an application, and the job that it waits for.
pub(super) struct Stream {
    sink: ContentSink,
    job: Option<SinkJob>,
}

struct SinkJob {
    id: JobId,
    deadline: Tick,
    result: Option<JobResult<service::Outcome>>,
}

/// How the reading of a body ended.
pub(super) enum Read {
    /// The body is whole.
    Whole,
    /// It can't be read to its end; this is the response.
    Failed(Reject),
    /// The response doesn't need it, and it is too large to be read and discarded.
    GivenUp,
}

impl ReadingBody {
    /// Begins to read the body of a request, of at most `limit` bytes. If the client waits for
    /// an interim response, it gets one.
    pub(super) fn new(
        exchange: &Exchange<'_>,
        destination: Destination,
        limit: u64,
        turn: &mut Turn<'_, '_>,
    ) -> Box<Self> {
        let head = exchange.head;
        if head.expect != Expect::Nothing && head.framing != Framing::None {
            response::status_line(turn.output.buffer(), Status::CONTINUE);
            turn.output.write(b"\r\n");
        }
        let facts = Facts { unread: None, ..exchange.facts.clone() };
        let reader = BodyReader::new(head.framing);
        let pace = Pace::start(turn.cx.time.now);
        let is_wanted = !matches!(destination, Destination::Discard);
        let decoding = (is_wanted && content_codings(&head.fields) == Ok(Some(ContentCoding::Gzip)))
            .then(|| Box::new(Decoding::new()));
        Box::new(Self {
            head: head.raw.to_vec(),
            facts,
            reader,
            read: 0,
            decoding,
            decoded: 0,
            limit,
            pace,
            destination,
        })
    }

    /// The head as it was sent, and the rest.
    pub(super) fn into_parts(self) -> (Vec<u8>, Facts, Destination) {
        (self.head, self.facts, self.destination)
    }

    /// Bytes of memory that it holds.
    pub(super) fn memory(&self) -> usize {
        let path = self.facts.path_memory();
        let content = match &self.destination {
            Destination::Collect(content) => content.capacity(),
            Destination::Discard => 0,
            Destination::Stream(stream) => stream.sink.memory(),
        };
        let decoding = self.decoding.as_ref().map_or(0, |decoding| decoding.memory());
        self.head.capacity() + path + content + decoding
    }

    /// Stores the result of a job.
    pub(super) fn job_ended(&mut self, ended: JobId, result: JobResult<service::Outcome>) {
        if let Destination::Stream(Stream { job: Some(job), .. }) = &mut self.destination
            && job.id == ended
        {
            job.result = Some(result);
        }
    }

    /// Reads the input that is there.
    pub(super) fn advance(&mut self, timeout: Duration, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Step<Read> {
        loop {
            match self.wait_for_job(cx) {
                Ok(Step::Wait(want)) => return Step::Wait(want),
                Ok(Step::Done(())) => {}
                Err(reject) => return Step::Done(Read::Failed(reject)),
            }
            let has_more = self.decoding.as_ref().is_some_and(|decoding| decoding.has_more);
            if self.reader.is_done() && !has_more {
                let is_cut = self.decoding.as_ref().is_some_and(|decoding| !decoding.decoder.is_complete());
                return Step::Done(if is_cut { Read::Failed(NO_GZIP) } else { Read::Whole });
            }
            if cx.work.is_spent() {
                return Step::Wait(Want::AGAIN);
            }
            if has_more {
                match self.decode_piece(cx) {
                    Ok(()) => continue,
                    Err(reject) => return Step::Done(Read::Failed(reject)),
                }
            }
            if let Step::Wait(want) = match self.read_piece(timeout, io, cx) {
                Ok(step) => step,
                Err(read) => return Step::Done(read),
            } {
                return Step::Wait(want);
            }
        }
    }

    /// Waits for the job of the sink, if there is one.
    fn wait_for_job(&mut self, cx: &mut Cx<'_>) -> Result<Step<()>, Reject> {
        let Destination::Stream(stream) = &mut self.destination else { return Ok(Step::Done(())) };
        let Some(job) = &mut stream.job else { return Ok(Step::Done(())) };
        let now = cx.time.now;
        match job.result.take() {
            None if now < job.deadline => return Ok(Step::Wait(Want::NOTHING.by(job.deadline))),
            None => {
                cx.cancel(job.id);
                return Err(LATE);
            }
            Some(Ok(service::Outcome::App(outcome))) => {
                stream.job = None;
                stream.sink.resume(outcome).map_err(|Failed| FAILED)??;
            }
            Some(_) => return Err(FAILED),
        }
        // The connection wasn't read meanwhile, so the pace starts again.
        self.pace = Pace::start(now);
        Ok(Step::Done(()))
    }

    /// Reads the next piece of the body.
    fn read_piece(&mut self, timeout: Duration, io: &mut Io<'_>, cx: &mut Cx<'_>) -> Result<Step<()>, Read> {
        let now = cx.time.now;
        let progress = self.reader.read(io.input.bytes()).map_err(Read::Failed)?;
        if progress.consumed == 0 {
            if io.ended {
                return Err(Read::Failed(Reject::bad_request("the connection ended before the body did")));
            }
            let deadline = self.pace.deadline(timeout);
            if now >= deadline {
                cx.shared.http.counts.timed_out(Timeout::Body);
                let reject = Reject::new(Status::REQUEST_TIMEOUT, "the body of the request came too slowly");
                return Err(Read::Failed(reject));
            }
            return Ok(Step::Wait(Want::READ.by(deadline)));
        }
        self.read += progress.content.len() as u64;
        let content = &io.input.bytes()[progress.content];
        match &mut self.destination {
            Destination::Discard if self.read > self.limit => return Err(Read::GivenUp),
            _ if self.read > self.limit => return Err(Read::Failed(BODY_TOO_LARGE)),
            Destination::Discard => {}
            destination => match &mut self.decoding {
                Some(decoding) => decoding.add(content),
                None => destination.push(content, cx).map_err(Read::Failed)?,
            },
        }
        self.pace.moved(now, progress.consumed as u64, timeout);
        io.input.consume(progress.consumed);
        Ok(Step::Done(()))
    }

    /// Decodes the next piece of the body.
    fn decode_piece(&mut self, cx: &mut Cx<'_>) -> Result<(), Reject> {
        let Some(decoding) = &mut self.decoding else { return Ok(()) };
        let content = decoding.decode().map_err(|Broken| NO_GZIP)?;
        cx.work.spend(DECODING);
        cx.work.spend_bytes(content.len());
        self.decoded += content.len() as u64;
        if self.decoded > self.limit {
            return Err(BODY_TOO_LARGE);
        }
        self.destination.push(content, cx)
    }
}

/// The content isn't what its coding says.
const NO_GZIP: Reject = Reject::bad_request("the content of the request is no gzip, or was changed on the way");

/// What decoding a piece costs in units of [`Work`](crate::reactor::Work), beside its bytes: a member
/// may end with it, and a decoder begins anew.
const DECODING: u32 = 8;

/// Takes a coding off. What comes in is kept until it is decoded: at most what the input buffer holds.
struct Decoding {
    decoder: Decoder,
    coded: Vec<u8>,
    /// How much of it is decoded.
    at: usize,
    /// There may be more content in it.
    has_more: bool,
}

impl Decoding {
    fn new() -> Self {
        Self { decoder: Decoder::default(), coded: Vec::new(), at: 0, has_more: false }
    }

    fn memory(&self) -> usize {
        size_of::<Self>() + Decoder::MEMORY + self.coded.capacity()
    }

    /// Takes what has come, after all before it was decoded.
    fn add(&mut self, coded: &[u8]) {
        self.coded.clear();
        self.coded.extend_from_slice(coded);
        (self.at, self.has_more) = (0, !coded.is_empty());
    }

    /// The next piece of content.
    fn decode(&mut self) -> Result<&[u8], Broken> {
        let rest = self.coded.get(self.at..).unwrap_or_default();
        let (taken, content) = self.decoder.read(rest)?;
        self.has_more = taken < rest.len() || content.len() == Decoder::PIECE;
        self.at += taken;
        // Otherwise it would be tried for ever.
        if self.has_more && taken == 0 && content.is_empty() { Err(Broken) } else { Ok(content) }
    }
}

impl Destination {
    /// Takes a piece of content.
    fn push(&mut self, content: &[u8], cx: &mut Cx<'_>) -> Result<(), Reject> {
        match self {
            Self::Collect(collected) => collected.extend_from_slice(content),
            Self::Discard => {}
            Self::Stream(stream) => stream.push(content, cx)?,
        }
        Ok(())
    }
}

impl Stream {
    /// Content goes to this sink.
    pub(super) fn new(sink: ContentSink) -> Self {
        Self { sink, job: None }
    }

    /// Passes a piece of content on.
    fn push(&mut self, content: &[u8], cx: &mut Cx<'_>) -> Result<(), Reject> {
        if content.is_empty() {
            return Ok(());
        }
        cx.work.spend(1);
        cx.work.spend_bytes(content.len());
        if let Push::Later(class, job) = self.sink.push(content).map_err(|Failed| FAILED)?? {
            let id = cx.run(class, move || service::Outcome::App(job())).map_err(|_| BUSY)?;
            self.job = Some(SinkJob { id, deadline: cx.time.now.after(limits::JOB_TIMEOUT), result: None });
        }
        Ok(())
    }

    /// The content is whole: the outcome for the application.
    pub(super) fn finish(self) -> Result<Outcome, Failed> {
        self.sink.finish()
    }
}
