//! `miod udp upper` beside a plain loop of `recvfrom` and `sendto`: datagrams per second of
//! processor time, in turns.
//!
//! A client keeps some datagrams in flight. Both services are separate processes, and their
//! processor time is read from `/proc`, so this is for Linux.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// With this argument the program runs the plain loop.
const PLAIN: &str = "--plain-loop";
/// The length of a turn, and the number of turns of each service.
const TURN: Duration = Duration::from_secs(1);
const ROUNDS: usize = 5;
/// Datagrams in flight.
const WINDOWS: [usize; 3] = [1, 16, 128];
const LENGTH: usize = 64;

fn main() {
    if std::env::args().any(|argument| argument == PLAIN) {
        plain();
    }
    let itself = std::env::current_exe().expect("this program");
    let mut plain = Service::start(Command::new(itself).arg(PLAIN));
    let mut miod =
        Service::start(Command::new(env!("CARGO_BIN_EXE_miod")).args(["udp", "upper", "-b", "127.0.0.1", "-p", "0"]));
    println!("datagrams of {LENGTH} bytes per second of processor time, medians of {ROUNDS} turns of {TURN:?}");
    println!("{:>10} {:>12} {:>12} {:>8}", "in flight", "plain loop", "miod", "share");
    for window in WINDOWS {
        let (mut of_plain, mut of_miod) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            of_plain.push(plain.load(window));
            of_miod.push(miod.load(window));
        }
        let (of_plain, of_miod) = (median(of_plain), median(of_miod));
        println!("{window:>10} {of_plain:>12.0} {of_miod:>12.0} {:>8.2}", of_miod / of_plain);
    }
}

/// The plain loop.
fn plain() -> ! {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    println!("plain on {}", socket.local_addr().expect("an address"));
    std::io::stdout().flush().expect("a reader");
    let mut buffer = vec![0; 64 * 1024];
    loop {
        if let Ok((length, from)) = socket.recv_from(&mut buffer) {
            buffer[..length].make_ascii_uppercase();
            let _ = socket.send_to(&buffer[..length], from);
        }
    }
}

struct Service {
    child: Child,
    address: SocketAddr,
}

impl Service {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the service starts");
        let mut banner = String::new();
        BufReader::new(child.stdout.take().expect("its output")).read_line(&mut banner).expect("a banner");
        let address = banner.split_whitespace().find_map(|word| word.parse().ok()).expect("an address");
        Self { child, address }
    }

    /// The processor time that it has used, in seconds.
    fn cpu(&self) -> f64 {
        let times = std::fs::read_to_string(format!("/proc/{}/schedstat", self.child.id())).expect("Linux");
        let nanos: f64 = times.split_whitespace().next().and_then(|field| field.parse().ok()).expect("nanoseconds");
        nanos / 1e9
    }

    /// Sends datagrams for a turn. Returns the responses per second of processor time.
    fn load(&mut self, window: usize) -> f64 {
        let client = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        client.connect(self.address).expect("it is connected");
        client.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
        let mut buffer = [b'a'; LENGTH];
        let (begin, before, mut responses) = (Instant::now(), self.cpu(), 0_u64);
        while begin.elapsed() < TURN {
            for _ in 0..window {
                let _ = client.send(&buffer);
            }
            // A lost datagram costs a timeout and doesn't count.
            responses += (0..window).map_while(|_| client.recv(&mut buffer).ok()).count() as u64;
        }
        responses as f64 / (self.cpu() - before)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
