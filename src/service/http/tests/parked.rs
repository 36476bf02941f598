//! Parked: answers that come later.

use super::*;

#[test]
fn a_late_answer_parks_the_exchange_and_the_next_request_waits() {
    let mut bench = Bench::new();
    let post = "POST /slow/a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc".to_owned();
    let (answer, want) = bench.ask(post + &get("/"));
    assert_eq!((bench.phase(), &*answer), ("Waiting", ""));
    assert_eq!(want, Want::NOTHING.by(Tick::default().after(limits::JOB_TIMEOUT)));
    bench.run_jobs();
    let answers = bench.answers();
    assert_eq!(statuses(&answers), [200, 200]);
    assert!(answers.contains("\r\n\r\n/A 3HTTP/1.1"), "{answers}");
}

#[test]
fn a_job_that_panics_is_a_500_and_one_that_takes_too_long_a_503() {
    let mut bench = Bench::new();
    bench.send(get("/slow/panic"));
    assert!(bench.run_jobs().read);
    assert_eq!(statuses(&bench.answers()), [500]);

    bench.send(get("/slow/a"));
    let jobs = bench.context.run_jobs();
    bench.pass(limits::JOB_TIMEOUT);
    let answer = bench.answers();
    assert_eq!(statuses(&answer), [503]);
    assert!(answer.contains("Retry-After: "));
    // The answer that comes too late is for a request that is over.
    bench.send(get("/slow/b"));
    jobs.into_iter().for_each(|(job, result)| bench.http.job_ended(job, result));
    bench.settle();
    assert_eq!((bench.phase(), bench.answers()), ("Waiting", String::new()));
    bench.run_jobs();
    assert!(bench.answers().ends_with("/B 0"));
}

#[test]
fn an_application_can_answer_later_more_than_once() {
    let mut bench = Bench::new();
    bench.send(get("/slow/again"));
    bench.run_jobs();
    assert_eq!((bench.phase(), bench.answers()), ("Waiting", String::new()));
    bench.run_jobs();
    assert!(bench.answers().ends_with("twice 0"));
}
