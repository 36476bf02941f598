//! Requests that block for their response, for tools that run no loop: they send one, read what comes
//! back, and end.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::http::FieldLines;
use crate::http::Status;
use crate::http::client::{Request, RequestKind, ResponseReader};
use crate::names;
use crate::reactor::TlsStream;
use crate::trust::Trust;

/// Most bytes of a response that are held at once.
pub(super) const RESPONSE: usize = 16 * 1024 * 1024;

/// A connection that blocks.
pub(super) trait Stream: Read + Write {}

impl<S: Read + Write> Stream for S {}

/// Connects to the first address of a host that accepts a connection. Each read and write may take as
/// long as `timeout`.
pub(super) fn connect(host: &str, port: u16, timeout: Duration) -> io::Result<TcpStream> {
    let mut result = Err(io::ErrorKind::NotFound.into());
    for address in names::resolve(host, port)? {
        result = TcpStream::connect_timeout(&address, timeout);
        if result.is_ok() {
            break;
        }
    }
    let stream = result?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    Ok(stream)
}

/// Connects to a unix-domain socket, as [`connect`].
pub(super) fn connect_unix(path: &Path, timeout: Duration) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    Ok(stream)
}

/// TLS over a connection to `host`.
pub(super) fn secure(
    stream: TcpStream,
    host: &str,
    trust: &Trust,
    alpn: &'static [&'static str],
) -> io::Result<impl Stream + use<>> {
    let client = trust.client(host, alpn).map_err(io::Error::other)?;
    TlsStream::connect(stream, &client)
}

/// An error about what the other side has sent.
pub(super) fn invalid(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Reads more input; EOF is an error.
pub(super) fn more(stream: &mut dyn Stream, input: &mut Vec<u8>) -> io::Result<()> {
    let mut some = [0; 64 * 1024];
    match stream.read(&mut some)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ if input.len() > RESPONSE => Err(invalid("the response is too long")),
        count => {
            input.extend_from_slice(&some[..count]);
            Ok(())
        }
    }
}

/// Sends a request without content. `content` gets the status and each piece of the response's content.
/// Returns the status when the response has ended.
pub(super) fn ask(
    stream: &mut dyn Stream,
    request: &Request<'_>,
    mut content: impl FnMut(Status, &[u8]) -> io::Result<()>,
) -> io::Result<Status> {
    let mut out = Vec::new();
    request.write(&mut out).map_err(invalid)?;
    stream.write_all(&out)?;
    let mut reader = ResponseReader::new(RequestKind::Content);
    let (mut status, mut input) = (Status::OK, Vec::new());
    while !reader.is_done() {
        let consumed = if reader.awaits_head() {
            let mut room = FieldLines::default();
            let head = reader.head(&mut input, &mut room).map_err(invalid)?;
            head.map_or(0, |head| {
                status = head.status;
                head.length
            })
        } else {
            let progress = reader.read(&input).map_err(invalid)?;
            content(status, &input[progress.content])?;
            progress.consumed
        };
        input.drain(..consumed);
        if consumed == 0 && !reader.is_done() {
            more(stream, &mut input)?;
        }
    }
    Ok(status)
}
