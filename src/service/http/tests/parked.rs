//! Phase Waiting: responses that depend on a job.

use super::*;

#[test]
fn the_next_request_waits_for_a_delayed_response() {
    let mut bench = Bench::new();
    let post = "POST /slow/a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc".to_owned();
    let (response, want) = bench.exchange(post + &get("/"));
    assert_eq!((bench.phase(), &*response), ("Waiting", ""));
    assert_eq!(want, Want::NOTHING.by(Tick::default().after(limits::JOB_TIMEOUT)));
    bench.run_jobs();
    let responses = bench.responses();
    assert_eq!(statuses(&responses), [200, 200]);
    assert!(responses.contains("\r\n\r\n/A 3HTTP/1.1"), "{responses}");
}

#[test]
fn a_job_that_panics_is_a_500_and_one_that_takes_too_long_a_503() {
    let mut bench = Bench::new();
    bench.send(get("/slow/panic"));
    assert!(bench.run_jobs().read);
    assert_eq!(statuses(&bench.responses()), [500]);

    bench.send(get("/slow/a"));
    let jobs = bench.context.run_jobs();
    bench.pass(limits::JOB_TIMEOUT);
    let response = bench.responses();
    assert_eq!(statuses(&response), [503]);
    assert!(response.contains("Retry-After: "));
    // A result that arrives too late is dropped: its request has ended.
    bench.send(get("/slow/b"));
    jobs.into_iter().for_each(|(job, result)| bench.http.job_ended(job, result));
    bench.settle();
    assert_eq!((bench.phase(), bench.responses()), ("Waiting", String::new()));
    bench.run_jobs();
    assert!(bench.responses().ends_with("/B 0"));
}

#[test]
fn an_application_can_run_several_jobs_for_one_response() {
    let mut bench = Bench::new();
    bench.send(get("/slow/again"));
    bench.run_jobs();
    assert_eq!((bench.phase(), bench.responses()), ("Waiting", String::new()));
    bench.run_jobs();
    assert!(bench.responses().ends_with("twice 0"));
}
