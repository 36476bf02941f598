//! How an exchange gets a new connection to an upstream: it looks up where that is, if nobody knows,
//! and tries the addresses.
//!
//! The connection tells the exchange when it is established, and only then it is asked. So until
//! then nothing of the request was sent, and another address or upstream can be asked in its place.

use std::rc::Rc;

use super::attempts::Attempts;
use super::{BESIDE, ExchangeId, FromUpstream, ToUpstream, Upstream, UpstreamConnection};
use crate::http::proxying::UpstreamFailure;
use crate::reactor::{Dial, Handle, JobClass, JobId, QueueFull, Tick};
use crate::service::{Cx, Message, Outcome, Service};

/// A connection that an exchange waits for.
pub(crate) struct Dialing {
    upstream: Rc<Upstream>,
    exchange: ExchangeId,
    /// When it is given up.
    deadline: Tick,
    step: Step,
}

enum Step {
    /// The addresses are needed.
    Begin,
    /// The name is looked up by this job.
    LookUp(JobId),
    /// That has ended.
    LookedUp,
    /// The addresses are tried.
    Attempts(Attempts),
    Established(Handle, Attempts),
}

/// What has come of it.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Dialed {
    /// Something is due at this moment.
    Waits(Tick),
    /// The connection is there, and can be asked.
    Established(Handle),
    /// There will be none.
    Failed(UpstreamFailure),
}

impl Dialing {
    /// A connection to `upstream` for an exchange.
    pub(crate) fn new(upstream: Rc<Upstream>, exchange: ExchangeId, now: Tick) -> Self {
        let deadline = now.after(upstream.timeouts().connect);
        Self { upstream, exchange, deadline, step: Step::Begin }
    }

    /// Takes note of a message from a connection.
    pub(crate) fn hear(&mut self, from: Handle, message: &FromUpstream, now: Tick) {
        let Step::Attempts(attempts) = &mut self.step else { return };
        match message {
            FromUpstream::Established => {
                if let Some(endpoint) = attempts.established(from) {
                    self.upstream.addresses().prefer(&endpoint);
                    self.step = Step::Established(from, std::mem::take(attempts));
                }
            }
            FromUpstream::Failed(failure) => attempts.failed(from, *failure, now),
            // What else comes is about an attempt that was given up.
            _ => {}
        }
    }

    /// Takes note that a job has ended.
    pub(crate) fn job_ended(&mut self, job: JobId) {
        if matches!(self.step, Step::LookUp(own) if own == job) {
            self.step = Step::LookedUp;
        }
    }

    /// Does what is due.
    pub(crate) fn advance(&mut self, cx: &mut Cx<'_>) -> Dialed {
        let now = cx.time.now;
        if matches!(self.step, Step::Begin | Step::LookedUp)
            && let Err(failure) = self.find(cx)
        {
            return Dialed::Failed(failure);
        }
        match &mut self.step {
            Step::Established(connection, attempts) => {
                let connection = *connection;
                give_up(attempts, self.exchange, cx);
                Dialed::Established(connection)
            }
            Step::Attempts(attempts) => {
                if let Err(failure) = attempts.wake(now) {
                    self.cancel(cx);
                    return Dialed::Failed(failure);
                }
                while let Some(endpoint) = attempts.due(now) {
                    let connection = UpstreamConnection::new(Rc::clone(&self.upstream), self.exchange, now);
                    let dial = Dial { endpoint: endpoint.clone(), tls: self.upstream.tls() };
                    let connection = cx.connect(dial, Service::Upstream(Box::new(connection)));
                    attempts.begun(connection, endpoint);
                }
                attempts.wake(now).map_or_else(Dialed::Failed, Dialed::Waits)
            }
            Step::Begin | Step::LookUp(_) | Step::LookedUp if now >= self.deadline => {
                self.cancel(cx);
                Dialed::Failed(UpstreamFailure::NameTimeout)
            }
            Step::Begin | Step::LookUp(_) | Step::LookedUp => Dialed::Waits(self.deadline),
        }
    }

    /// Takes the addresses that are known. If they are out of date, they are looked up beside that;
    /// if there are none, the exchange waits for them.
    fn find(&mut self, cx: &mut Cx<'_>) -> Result<(), UpstreamFailure> {
        let mut addresses = self.upstream.addresses();
        let endpoints = addresses.get().to_vec();
        let was_looked_up = matches!(self.step, Step::LookedUp);
        let job = if was_looked_up { None } else { addresses.look_up(cx.time.now) };
        let job = job.map(|job| {
            cx.run(JobClass::Names, move || {
                job();
                Outcome::Addresses
            })
        });
        self.step = match (endpoints.is_empty(), job) {
            // If too many names are looked up, an exchange after this one tries it again.
            (false, _) => Step::Attempts(Attempts::new(endpoints, self.deadline)),
            (true, Some(Ok(job))) => Step::LookUp(job),
            (true, Some(Err(QueueFull))) => return Err(UpstreamFailure::Busy),
            (true, None) => return Err(addresses.failure()),
        };
        Ok(())
    }

    /// Gives up what has begun.
    pub(crate) fn cancel(&self, cx: &mut Cx<'_>) {
        match &self.step {
            Step::Begin | Step::LookedUp => {}
            Step::LookUp(job) => cx.cancel(*job),
            Step::Attempts(attempts) => give_up(attempts, self.exchange, cx),
            Step::Established(connection, attempts) => {
                give_up(attempts, self.exchange, cx);
                cx.send(*connection, Message::ToUpstream(self.exchange, ToUpstream::Cancel));
            }
        }
    }
}

/// Asks an upstream for nobody: what comes changes the cache, or is dropped. If no address is known, it isn't
/// asked.
pub(crate) fn ask_beside(upstream: &Rc<Upstream>, ask: ToUpstream, cx: &mut Cx<'_>) {
    let id = ExchangeId { client: cx.handle, request: BESIDE };
    let connection = upstream.take_idle().or_else(|| {
        let endpoint = upstream.addresses().get().first().cloned()?;
        let connection = UpstreamConnection::new(Rc::clone(upstream), id, cx.time.now);
        let dial = Dial { endpoint, tls: upstream.tls() };
        Some(cx.connect(dial, Service::Upstream(Box::new(connection))))
    });
    if let Some(connection) = connection {
        cx.send(connection, Message::ToUpstream(id, ask));
    }
}

/// Cancels the attempts that weren't established.
fn give_up(attempts: &Attempts, exchange: ExchangeId, cx: &mut Cx<'_>) {
    for connection in attempts.open() {
        cx.send(connection, Message::ToUpstream(exchange, ToUpstream::Cancel));
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use super::*;
    use crate::http::proxying::{Server, UpstreamTimeouts};
    use crate::limits;
    use crate::reactor::{TestContext, Time};
    use crate::service::proxy::Addresses;
    use crate::service::testing;

    const EXCHANGE: ExchangeId = ExchangeId { client: Handle::for_test(1), request: 1 };

    fn dialing(host: &str, may_ask: fn(IpAddr) -> bool) -> Dialing {
        let addresses = Addresses::unknown(host, 80, Rc::new(may_ask));
        let second = Duration::from_secs(1);
        let timeouts = UpstreamTimeouts { connect: second, response: second, idle: second, tunnel: second };
        let upstream =
            Upstream::new(host.to_owned(), Server::new(false, host.as_bytes()).unwrap(), addresses, None, timeouts);
        Dialing::new(Rc::new(upstream), EXCHANGE, Tick::default())
    }

    /// Advances it at this moment, in milliseconds.
    fn advance(dialing: &mut Dialing, millis: u64, context: &mut TestContext<Service>) -> Dialed {
        let files = testing::files();
        let time = Time { now: Tick::from_micros(millis * 1_000), ..Time::default() };
        dialing.advance(&mut context.context(&mut testing::shared(&files), time, false))
    }

    #[test]
    fn an_exchange_waits_for_the_addresses_of_a_name_that_nobody_knows() {
        let (mut dialing, mut context) = (dialing("localhost", |_| true), TestContext::default());
        let deadline = Tick::from_micros(1_000_000);
        assert_eq!(advance(&mut dialing, 0, &mut context), Dialed::Waits(deadline));
        assert_eq!(advance(&mut dialing, 1, &mut context), Dialed::Waits(deadline), "and asks for them once");
        assert!(context.connecting().is_empty());
        let jobs = context.run_jobs();
        assert_eq!(jobs.len(), 1);
        dialing.job_ended(jobs[0].0);
        assert!(matches!(advance(&mut dialing, 2, &mut context), Dialed::Waits(_)));
        assert_eq!(context.connecting().len(), 1, "one attempt at first");
        assert_eq!(advance(&mut dialing, 1_000, &mut context), Dialed::Failed(UpstreamFailure::ConnectTimeout));
        let cancelled =
            |(_, message): &(Handle, Message)| matches!(message, Message::ToUpstream(_, ToUpstream::Cancel));
        assert!(context.sent().iter().any(cancelled));
    }

    #[test]
    fn a_name_may_be_unknown_slow_or_stand_for_what_may_not_be_asked() {
        for (host, may_ask, failure) in [
            ("a b", (|_| true) as fn(IpAddr) -> bool, UpstreamFailure::NameUnknown),
            ("localhost", |address| !address.is_loopback(), UpstreamFailure::Forbidden),
        ] {
            let (mut dialing, mut context) = (dialing(host, may_ask), TestContext::default());
            assert!(matches!(advance(&mut dialing, 0, &mut context), Dialed::Waits(_)));
            dialing.job_ended(context.run_jobs()[0].0);
            assert_eq!(advance(&mut dialing, 1, &mut context), Dialed::Failed(failure), "{host}");
            assert!(context.connecting().is_empty());
        }
        let (mut slow, mut context) = (dialing("localhost", |_| true), TestContext::default());
        advance(&mut slow, 0, &mut context);
        assert_eq!(advance(&mut slow, 1_000, &mut context), Dialed::Failed(UpstreamFailure::NameTimeout));
        assert!(context.run_jobs().is_empty(), "its look-up is skipped");
    }

    #[test]
    fn look_ups_are_limited() {
        let mut context = TestContext::default();
        for _ in 0..limits::NAME_JOBS {
            let waits = advance(&mut dialing("localhost", |_| true), 0, &mut context);
            assert!(matches!(waits, Dialed::Waits(_)));
        }
        let failed = advance(&mut dialing("localhost", |_| true), 0, &mut context);
        assert_eq!(failed, Dialed::Failed(UpstreamFailure::Busy));
    }
}
