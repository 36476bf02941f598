//! The service on a thread of the test's own process: for tests that count what it allocates.

use std::net::SocketAddr;
use std::sync::mpsc::channel;
use std::thread::JoinHandle;

use miod::reactor::{Closer, Endpoint, Listener, Options, Reactor, Until};
use miod::server::Log;
use miod::service::http::{self, Limits};
use miod::service::{Kind, Service, Shared};

use super::TIMEOUT;

/// A service that runs.
pub struct InProcess {
    pub address: SocketAddr,
    closer: Closer,
    thread: JoinHandle<()>,
}

impl InProcess {
    /// Serves this host, which is made on the service's thread.
    pub fn start(host: impl FnOnce() -> http::Host + Send + 'static) -> Self {
        let (ready, started) = channel();
        let thread = std::thread::spawn(move || {
            let listener = Listener::bind(&Endpoint::Tcp("127.0.0.1:0".parse().unwrap())).unwrap();
            let address = listener.address().unwrap();
            let shared = Shared::new(http::Shared::new(Limits::default(), host()), Log::default());
            let mut reactor = Reactor::<Service>::new(shared, Options::default()).unwrap();
            reactor.listen(listener, Kind::Http(http::HostsId::default())).unwrap();
            ready.send((address, reactor.closer())).unwrap();
            reactor.run(Until::Closed).unwrap();
        });
        let (address, closer) = started.recv_timeout(TIMEOUT).unwrap();
        Self { address, closer, thread }
    }

    /// Ends it, and fails if it has.
    pub fn finish(self) {
        self.closer.close();
        self.thread.join().unwrap();
    }
}
