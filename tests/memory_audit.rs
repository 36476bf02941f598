//! What a connection reports as its memory is what it holds: compared with the bytes that
//! are freed when it is dropped, in each of its states. So is what the cache of files counts,
//! compared with what was allocated to fill it. A process of its own, since the
//! allocator counts for the whole process.

use std::alloc::System;
use std::rc::Rc;
use std::sync::LazyLock;

use miod::app::{Answer, App, BodyMode, Call, Methods, Outcome, Pull, Push, Request, Response, Sink, Source};
use miod::files::resolve::{Root, Symlinks};
use miod::files::{Settings, Site};
use miod::http::compressible::{CompressibleTypes, CompressionRules};
use miod::http::content_coding::{Codings, ContentCoding};
use miod::http::head::Method;
use miod::http::{Reject, Status};
use miod::reactor::{Accepted, BUFFER, Ends, Input, Io, JobClass, Output, TestContext, Tick, Time};
use miod::server::Log;
use miod::service::http::{self, Host, HostsId, Http, Limits, Rules};
use miod::service::{Kind, Shared};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What sources, sinks and contents hold.
const HELD: usize = 40_000;

/// Later than the time of the files, so that their entity-tags are strong.
const TIME: Time = Time { now: Tick::from_micros(0), unix_seconds: 1_800_000_000, unix_micros: 0 };

/// An application for each kind of response.
struct Kinds;

struct Held(Vec<u8>);

impl Source for Held {
    fn pull(&mut self, out: &mut Vec<u8>, _: usize, now: Tick) -> Pull {
        out.push(b'x');
        Pull::Wait(now.after(std::time::Duration::from_secs(9)))
    }

    fn memory(&self) -> usize {
        self.0.capacity()
    }
}

impl Sink for Held {
    fn push(&mut self, _: &[u8]) -> Result<Push, Reject> {
        Ok(Push::More)
    }

    fn finish(self: Box<Self>) -> Outcome {
        Box::new(())
    }

    fn memory(&self) -> usize {
        self.0.capacity()
    }
}

impl App for Kinds {
    fn methods(&self, _: &[u8]) -> Methods {
        Methods::Any
    }

    fn body_mode(&self, _: Method, path: &[u8]) -> BodyMode {
        if path == b"/sink" { BodyMode::Stream { limit: 1 << 20 } } else { BodyMode::Collect }
    }

    fn handle(&mut self, request: &Request<'_>, _: &mut Call<'_>) -> Answer {
        let held = vec![b'x'; HELD];
        match request.path {
            b"/later" => Answer::later(JobClass::Files, || ()),
            b"/source" => Answer::now(Response::new(Status::OK).stream("text/plain", Held(held))),
            b"/sink" => Answer::receive(Held(held)),
            b"/watch" => Answer::Watch(0),
            _ => Answer::now(Response::new(Status::OK).content("text/plain", [held, vec![b'y'; 4 * BUFFER]].concat())),
        }
    }

    fn events(&mut self, seen: u64, _: &mut Vec<u8>, _: usize) -> u64 {
        seen
    }
}

/// Sends a request to a connection of its own. Returns what it reports, and what it frees.
fn measure(shared: &mut Shared, request: &[u8]) -> (usize, usize) {
    let local = "127.0.0.1:80".parse().unwrap();
    let ends = Ends::for_test("192.0.2.1:1".parse().unwrap(), &local);
    let mut context = TestContext::default();
    let accepted = Accepted { listener: Kind::Http(HostsId::default()), ends, overloaded: false };
    let mut http = Http::open(&accepted, HostsId::default(), &mut context.context(shared, TIME, false));
    let (mut input, mut output) = (Input::default(), Output::default());
    for piece in request.chunks(BUFFER / 2) {
        input.extend(piece);
        let mut io = Io {
            input: &mut input,
            output: &mut output,
            ended: false,
            truncated: false,
            unread: false,
            gone: false,
            established: true,
            ends,
        };
        http.advance(&mut io, &mut context.context(shared, TIME, false));
    }
    // What is compressed for later requests is there with the next one.
    drop(context.run_jobs());
    let reported = http.memory();
    let region = Region::new(ALLOCATOR);
    drop(http);
    (reported, region.change().bytes_deallocated)
}

/// The forms of the files besides the plain one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Forms {
    None,
    /// Files beside them, of half the size.
    Siblings,
    /// They are compressed when they are asked for.
    Made,
    /// They wait for that.
    Awaited,
}

/// Text that isn't too regular.
fn text(size: usize) -> Vec<u8> {
    static ALL: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let words = (0_u32..20_000).map(|n| format!("word{} ", n.wrapping_mul(2_654_435_761) % 9_777));
        words.flat_map(String::into_bytes).collect()
    });
    ALL[..size].to_vec()
}

/// Bytes of memory behind the descriptors of this process: files that have no name.
fn behind_descriptors() -> usize {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| Some(entry.ok()?.path()));
    let of_memory = entries.filter(|path| {
        std::fs::read_link(path).is_ok_and(|name| name.to_string_lossy().contains("memfd:miod-compressed"))
    });
    of_memory.map(|path| std::fs::metadata(path).map_or(0, |found| found.len() as usize)).sum()
}

/// Requests files of these sizes. Returns what the cache counts, and what is allocated.
fn measure_cache(limit: usize, sizes: &[usize], forms: Forms) -> (usize, usize) {
    let directory = std::env::temp_dir().join(format!("miod-audit-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let names: Vec<_> = (0..sizes.len()).map(|number| format!("a-file-with-a-name-{number}.html")).collect();
    let write = |name: &str, content: Vec<u8>| {
        std::fs::write(directory.join(name), content).unwrap();
        // Long ago: what has just changed isn't compressed.
        let file = std::fs::File::options().write(true).open(directory.join(name)).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000)).unwrap();
    };
    for (name, size) in names.iter().zip(sizes) {
        write(name, text(*size));
        if forms == Forms::Siblings {
            [".br", ".gz"].iter().for_each(|ending| write(&format!("{name}{ending}"), text(*size / 2)));
        }
    }
    let codings = Codings::NONE.with(ContentCoding::Gzip);
    let is_made = matches!(forms, Forms::Made | Forms::Awaited);
    let rules = CompressionRules { codings, level: 1, types: CompressibleTypes::default() };
    let compression = Rc::new(if is_made { rules } else { CompressionRules::OFF });
    let mut host = Host::new(Rules { compression, ..Rules::default() });
    let settings = Settings { cache_size: limit, open_files: 450, ..Settings::default() };
    let site = Site::new(Root::open(&directory, Symlinks::Inside).unwrap(), settings);
    host.files = Some(Rc::new(site.into()));
    let mut shared = Shared::new(http::Shared::new(Limits::default(), host), Log::default());
    let request = |name: &str| format!("GET /{name} HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n").into_bytes();
    // The first request makes the watch and what is kept for the next.
    measure(&mut shared, &request("missing"));
    let region = Region::new(ALLOCATOR);
    for name in &names {
        for _ in 0..if forms == Forms::Made { 2 } else { 1 } {
            measure(&mut shared, &request(name));
        }
    }
    let change = region.change();
    std::fs::remove_dir_all(&directory).unwrap();
    let counted = shared.http.web.all()[0].files.as_ref().unwrap().borrow().cache_memory();
    let allocated = change.bytes_allocated.saturating_sub(change.bytes_deallocated);
    let behind = behind_descriptors();
    assert!(forms != Forms::Made || limit < 1 << 20 || sizes[0] < 50_000 || behind > 50_000);
    (counted, allocated + behind)
}

/// One test: the allocator counts for the process, and beside a second test the harness itself
/// allocates.
#[test]
fn what_is_counted_is_what_is_held() {
    a_connection_reports_the_memory_that_it_holds();
    the_cache_counts_the_memory_that_it_holds();
}

fn the_cache_counts_the_memory_that_it_holds() {
    const MANY: usize = 64 << 20;
    const LIMIT: usize = 1 << 20;
    for (name, sizes) in [
        ("few", vec![0; 10]),
        // Before and after the table grows.
        ("empty files", vec![0; 3_584]),
        ("one more", vec![0; 3_585]),
        ("small files", (0..500).map(|at| at * 12).collect()),
        ("open files", vec![10_000; 150]),
        ("more files than are kept open", vec![10_000; 500]),
        ("large files", vec![100_000; 50]),
    ] {
        for forms in [Forms::None, Forms::Siblings, Forms::Made] {
            if forms != Forms::None && sizes.len() > 1_000 {
                continue;
            }
            let (counted, held) = measure_cache(MANY, &sizes, forms);
            let what = format!("{name}, {forms:?}: counts {counted} bytes, and holds {held}");
            assert!(held <= counted + 512, "{what}");
            // The allocator's own part isn't in what it is asked for.
            assert!(counted <= held * 3 / 2 + 1_024, "{what}");
        }
        // What a result may become counts before it is there.
        let (counted, held) = measure_cache(MANY, &sizes, Forms::Awaited);
        assert!(held <= counted + 512, "{name}: counts {counted} bytes, and holds {held}");
    }
    for forms in [Forms::None, Forms::Siblings, Forms::Made, Forms::Awaited] {
        for limit in [0, 1, 1_000, 5_000, 8_000, 20_000, 60_000, 150_000] {
            if forms != Forms::None && limit < 5_000 {
                continue; // Nothing is kept.
            }
            let (counted, held) = measure_cache(limit, &[0, 100, 1_000, 10_000].repeat(20), forms);
            let what = format!("{limit}, {forms:?}: counts {counted} bytes, and holds {held}");
            assert!(counted <= limit && held <= limit + 512, "{what}");
        }
        for sizes in [vec![0; 6_000], vec![6_000; 400], [vec![0; 3_000], vec![6_000; 400]].concat(), vec![60_000; 150]]
        {
            if forms != Forms::None && sizes.len() > 1_000 {
                continue;
            }
            let (counted, held) = measure_cache(LIMIT, &sizes, forms);
            let what = format!("{} of {}, {forms:?}: counts {counted} bytes", sizes.len(), sizes[0]);
            assert!(counted <= LIMIT && held <= LIMIT, "{what}");
            // What is behind descriptors of the site takes no memory.
            let is_behind = sizes[0] > 6_000 && matches!(forms, Forms::None | Forms::Siblings);
            assert!(is_behind || counted > LIMIT / 8 * 6, "{what}");
        }
    }
}

fn a_connection_reports_the_memory_that_it_holds() {
    let mut host = Host::default();
    host.routes.mount("/app", Box::new(Kinds)).unwrap();
    let mut shared = Shared::new(http::Shared::new(Limits::default(), host), Log::default());
    let post = |path: &str, length: usize, content: &[u8]| {
        let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
        [head.as_bytes(), content].concat()
    };
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\nUser-Agent: {}\r\n\r\n", "u".repeat(20_000));
    for (name, request, least) in [
        ("idle", Vec::new(), 0),
        ("part of a body", post("/app/body", 200_000, &[b'x'; 150_000]), 150_000),
        ("a body that is dropped", post("/", 60_000, &[b'x'; 50_000]), 0),
        ("a body for a sink", post("/app/sink", 200_000, &[b'x'; 150_000]), HELD),
        ("a body and a job", post("/app/later", 150_000, &[b'x'; 150_000]), 150_000),
        ("a head and a job", get("/app/later").into_bytes(), 20_000),
        ("content in memory", get("/app/content").into_bytes(), HELD),
        ("content of a source", get("/app/source").into_bytes(), HELD),
        ("events", get("/app/watch").into_bytes(), 0),
    ] {
        measure(&mut shared, &request);
        let (reported, freed) = measure(&mut shared, &request);
        assert!(freed >= least, "{name}: {freed} bytes were freed");
        // A little more is the allocator's rounding and the objects of the application.
        let difference = reported.abs_diff(freed);
        assert!(difference <= 256 + freed / 50, "{name}: reports {reported} bytes, and frees {freed}");
    }
}
