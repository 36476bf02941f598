//! One conversation: all that both sides said, in the order of the packets.
//!
//! Heads are printed as they were sent, the bytes of bodies are counted.

use std::io::{self, Write};

use super::super::output::plain;
use super::cells::seconds;
use super::table;
use crate::capture::{Event, EventKind, Side, Stream};

pub(super) fn write(stream: &Stream, out: &mut impl Write) -> io::Result<()> {
    table::write_head(stream, out)?;
    for event in &stream.events {
        write_event(stream, event, out)?;
    }
    Ok(())
}

fn write_event(stream: &Stream, event: &Event, out: &mut impl Write) -> io::Result<()> {
    let at = seconds(event.time.since(stream.start));
    let mark = match event.side {
        Side::Client => '>',
        Side::Server => '<',
    };
    let line = |text: String, out: &mut dyn Write| writeln!(out, "{at:>12} {mark} {text}");
    match &event.kind {
        EventKind::Syn => line("SYN".to_owned(), out),
        EventKind::Fin => line("FIN".to_owned(), out),
        EventKind::Reset => line("RST".to_owned(), out),
        EventKind::Content(count) => line(format!("({count} bytes of content)"), out),
        EventKind::Data(count) => line(format!("({count} bytes)"), out),
        EventKind::Lost(count) => line(format!("({count} bytes aren't in the capture)"), out),
        EventKind::Head(head) => {
            let lines = head.trim_ascii().split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii_end);
            for text in lines {
                line(plain(text), out)?;
            }
            Ok(())
        }
    }
}
