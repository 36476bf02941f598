//! A server whose configuration file a test changes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::{Client, Root, Server, eventually, miod};

/// A server with this configuration file below the root.
pub fn serve(root: &Root, config: &str) -> Server {
    root.file("miod.toml", config);
    let mut command = miod();
    command.arg("-c").arg(root.at("miod.toml"));
    Server::run(command)
}

/// Reloads with another configuration. Returns whether it is in use.
pub fn reload(server: &Server, root: &Root, config: &str) -> bool {
    root.file("miod.toml", config);
    let count = |text: &str| server.errors().matches(text).count();
    let before = (count("the new configuration is in use"), count("the old configuration stays in use"));
    server.signal("HUP");
    assert!(
        eventually(|| {
            let now = (count("the new configuration is in use"), count("the old configuration stays in use"));
            now != before
        }),
        "{}",
        server.errors()
    );
    count("the new configuration is in use") > before.0
}

/// Clients that ask all the time, half of them by a connection for each request.
pub struct Load {
    over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<u32>>,
}

impl Load {
    /// Starts them. `ask` makes one request, and keeps what its client needs for the next one.
    pub fn start<S: Default>(
        address: SocketAddr,
        count: usize,
        ask: impl Fn(&mut Client, &mut S) + Clone + Send + 'static,
    ) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let start = |number: usize| {
            let (over, ask) = (Arc::clone(&over), ask.clone());
            std::thread::spawn(move || {
                let (mut client, mut state, mut requests) = (Client::connect(address), S::default(), 0);
                while !over.load(Ordering::Relaxed) {
                    if number % 2 == 1 {
                        client = Client::connect(address);
                    }
                    ask(&mut client, &mut state);
                    requests += 1;
                }
                requests
            })
        };
        let clients = (0..count).map(start).collect();
        Self { over, clients }
    }

    /// Ends them. Returns how many requests they have made.
    ///
    /// # Panics
    /// If one of them has.
    pub fn finish(self) -> u32 {
        self.over.store(true, Ordering::Relaxed);
        self.clients.into_iter().map(|client| client.join().expect("a request was lost")).sum()
    }
}
