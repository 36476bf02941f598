//! A hot request allocates nothing, nor does a large piece that is passed on. The test counts over real sockets, in a process of its
//! own, because the allocator counts for the whole process.

mod support;

use std::alloc::System;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::rc::Rc;

use miod::files::resolve::{Root as FileRoot, Symlinks};
use miod::files::{Settings, Site};
use miod::reactor::{BUFFER, Input, Output};
use miod::service::http::Host;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use support::in_process::InProcess;
use support::{Root, TIMEOUT, get, get_with, uninterrupted};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const SMALL: usize = 1024;
const LARGE: usize = 100 * 1024;

/// Sends a request many times. Returns the number of allocations in the whole process after
/// a warm-up. Each response has at least `bytes` bytes of content.
fn allocations(stream: &mut TcpStream, request: &str, status: &str, bytes: usize) -> usize {
    const TIMES: usize = 200;
    let mut buffer = vec![0; 256 * 1024];
    let mut length = None;
    let mut exchange = || {
        stream.write_all(request.as_bytes()).unwrap();
        let mut have = 0;
        // All responses are as long as the first.
        while have < length.unwrap_or(bytes + 1) {
            let count = uninterrupted(|| stream.read(&mut buffer[have..])).unwrap();
            assert!(count > 0);
            have += count;
            if length.is_none() && have >= bytes {
                // The rest of the first response has arrived by now, or it is empty.
                let head = buffer.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
                length = Some(if bytes == 0 { have } else { (head + bytes).max(have) });
            }
        }
        assert!(buffer.starts_with(status.as_bytes()), "{}", String::from_utf8_lossy(&buffer[..100]));
    };
    for _ in 0..10 {
        exchange();
    }
    let region = Region::new(ALLOCATOR);
    for _ in 0..TIMES {
        exchange();
    }
    region.change().allocations
}

/// Serves `root`.
fn serve(root: PathBuf) -> InProcess {
    InProcess::start(move || {
        let site = Site::new(FileRoot::open(&root, Symlinks::Inside).unwrap(), Settings::default());
        let mut host = Host::default();
        host.files = Some(Rc::new(site.into()));
        host
    })
}

/// Passes large pieces on from one connection to another, some of them while others are still under way.
fn relay(pieces: usize, under_way: usize) {
    let content = [b'x'; BUFFER];
    let (mut input, mut output) = (Input::default(), Output::default());
    let mut region = None;
    for number in 0..pieces {
        if number == 2 * under_way {
            region = Some(Region::new(ALLOCATOR));
        }
        input.extend(&content);
        let place = input.bytes().as_ptr();
        let piece = input.share(0..BUFFER);
        assert_eq!(piece.as_ptr(), place, "it isn't copied");
        output.share(piece);
        input.consume(BUFFER);
        if number % under_way == 0 {
            // All are sent.
            output.clear();
        }
    }
    assert_eq!(region.map(|region| region.change().allocations), Some(0), "{under_way} under way");
}

#[test]
fn a_hot_request_allocates_nothing() {
    for under_way in [1, 2, 8] {
        relay(100, under_way);
    }
    let root = Root::new();
    root.old_file("small.txt", [b'x'; SMALL]).old_file("large.bin", vec![b'x'; LARGE]);
    let server = serve(root.path().to_owned());
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream.set_nodelay(true).unwrap();

    let small = get("/small.txt");
    for (request, status, bytes) in [
        (small.clone(), "HTTP/1.1 200", SMALL),
        (get("/large.bin"), "HTTP/1.1 200", LARGE),
        (get_with("/small.txt", "Range: bytes=100-199\r\n"), "HTTP/1.1 206", 100),
        (get_with("/large.bin", "Range: bytes=50000-51023\r\n"), "HTTP/1.1 206", 1024),
        (get_with("/small.txt", "If-None-Match: *\r\n"), "HTTP/1.1 304", 0),
        (small.replace("GET", "HEAD"), "HTTP/1.1 200", 0),
        (get("/nope"), "HTTP/1.1 404", 0),
        (small.replace("HTTP/1.1\r\n", "HTTP/1.1\r\nConnection: keep-alive\r\n"), "HTTP/1.1 200", SMALL),
        (
            small.replace("HTTP/1.1", "HTTP/1.0").replace("\r\n\r\n", "\r\nConnection: keep-alive\r\n\r\n"),
            "HTTP/1.1 200",
            SMALL,
        ),
    ] {
        assert_eq!(allocations(&mut stream, &request, status, bytes), 0, "{request}");
    }
    drop(stream);
    server.finish();
}
