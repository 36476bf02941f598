//! Files that are truncated without a report to the server.

use super::*;

/// The cached size of `large.bin`.
const SIZE: u64 = 16 * 1024;

/// Ranges that are sent from the file, copied from it, and both.
const RANGES: [&str; 6] =
    ["", "bytes=0-", "bytes=0-99", "bytes=0-9999,16000-16099", "bytes=0-99,5000-5099,16283-", "bytes=-100"];

fn request(range: &str, method: &str) -> String {
    let line = if range.is_empty() { String::new() } else { format!("Range: {range}\r\n") };
    format!("{method} /large.bin HTTP/1.1\r\nHost: x\r\n{line}\r\n")
}

/// Writes only the first bytes of the file. The server doesn't notice, because nothing reports
/// changes here.
fn truncate(bench: &Bench, length: u64) {
    let content = "0123456789abcdef".repeat(1024);
    std::fs::write(bench.files.at("large.bin"), &content[..length as usize]).unwrap();
}

/// Takes the output, as the socket does, until it is empty or the file ends early. Returns the
/// bytes, and whether they are complete.
fn drain(bench: &mut Bench) -> (Vec<u8>, bool) {
    let mut seen = Vec::new();
    loop {
        while !bench.peer.output.is_empty() {
            match bench.peer.output.try_take(1000) {
                Ok(bytes) => seen.extend(bytes),
                Err(_) => return (seen, false),
            }
        }
        bench.settle();
        if bench.peer.output.is_empty() {
            return (seen, true);
        }
    }
}

#[test]
fn a_file_truncated_at_any_length_gives_one_complete_response_or_none() {
    for range in RANGES {
        for method in ["GET", "HEAD"] {
            let mut bench = Bench::new();
            // From now on it is cached.
            bench.exchange(request(range, method));
            drain(&mut bench);
            for length in (0..SIZE).step_by(97).chain([SIZE - 1, SIZE]) {
                truncate(&bench, length);
                bench.send(request(range, method) + &get("/"));
                let (seen, complete) = drain(&mut bench);
                let text = String::from_utf8_lossy(&seen);
                let case = format!("{method} {range} of {length} bytes");
                if !complete {
                    // The reactor closes this connection. The output is the beginning of the normal
                    // response, without a second response in it.
                    assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{case}: {text}");
                    bench.peer = Peer::default();
                    let stays = std::mem::replace(&mut bench.http, Bench::connect(&mut bench.shared, false));
                    stays.aborted(&mut bench);
                    continue;
                }
                let statuses = statuses(&text);
                assert_eq!(statuses.len(), 2, "{case}: {text}");
                assert!(matches!(statuses[0], 200 | 206 | 500) && statuses[1] == 200, "{case}: {text}");
                if statuses[0] == 500 {
                    assert!(!text.contains("multipart/byteranges") && !text.contains("0123456789"), "{case}: {text}");
                }
                assert!(text.ends_with("\r\n\r\n<p>index"), "{case}: {text}");
            }
        }
    }
}

impl Http {
    /// Closes the connection, as the reactor does.
    fn aborted(mut self, bench: &mut Bench) {
        let time = Time { now: bench.now, unix_seconds: 0, unix_micros: 0 };
        self.closed(1, ends(), &mut bench.context.context(&mut bench.shared, time, false));
    }
}
