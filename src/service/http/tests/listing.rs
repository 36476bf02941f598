//! Listings of directories: read by jobs, shared, and never read for HEAD.

use super::*;
use crate::files::resolve::{Root, Symlinks};
use crate::files::{Settings, Site};

/// A host that lists its directories. `d` has one file.
fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.files.directory("d");
    bench.files.file("d/a", "1");
    let root = Root::open(bench.files.path(), Symlinks::Inside).unwrap();
    let mut host = Host::default();
    host.files = Some(std::rc::Rc::new(Site::new(root, Settings { listing: true, ..Settings::default() }).into()));
    bench.shared.http.web = host.into();
    bench
}

fn head(path: &str) -> String {
    format!("HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n")
}

#[test]
fn a_directory_is_read_by_a_job_and_kept_for_the_next_request() {
    let mut bench = bench();
    bench.send(get("/d/"));
    assert_eq!((bench.phase(), bench.responses()), ("Waiting", String::new()));
    bench.run_jobs();
    let listing = bench.responses();
    assert!(statuses(&listing) == [200] && listing.contains("href=\"./a\""), "{listing}");
    let (again, _) = bench.exchange(get("/d/"));
    assert_eq!((body(&again), bench.context.run_jobs().len()), (body(&listing), 0), "it is cached");
}

#[test]
fn head_reads_no_directory_and_has_the_fields_of_get() {
    let mut bench = bench();
    let (heads, _) = bench.exchange(head("/d/").repeat(100));
    assert_eq!((statuses(&heads), bench.context.run_jobs().len()), (vec![200; 100], 0));
    bench.send(get("/d/"));
    bench.run_jobs();
    let listing = bench.responses();
    let fields = listing.split_once("\r\n\r\n").unwrap().0;
    assert!(heads.starts_with(&format!("{fields}\r\n\r\nHTTP/1.1 200 OK")), "{fields}");
}

#[test]
fn a_full_queue_of_jobs_is_a_503_at_once() {
    let mut bench = bench();
    let time = Time { now: bench.now, unix_seconds: 1_800_000_000, unix_micros: 0 };
    for _ in 0..limits::FILE_JOBS {
        let mut cx = bench.context.context(&mut bench.shared, time, false);
        cx.run(crate::reactor::JobClass::Files, || crate::service::Outcome::Session).unwrap();
    }
    let (response, want) = bench.exchange(get("/d/"));
    assert_eq!((statuses(&response), want.finish), (vec![503], Finish::No));
}
