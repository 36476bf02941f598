//! Line services that simulate a bad network: delayed output, pieces, stalls, resets.

mod support;

use std::time::{Duration, Instant};

use support::{Client, Server, miod};

fn service(arguments: &[&str]) -> Server {
    let mut command = miod();
    command.args(arguments).args(["-p", "0"]);
    Server::run(command)
}

#[test]
fn responses_are_delayed() {
    for (name, expected) in [("echo", "hello\n"), ("upper", "HELLO\n")] {
        let server = service(&[name, "--delay", "150"]);
        let mut client = server.connect();
        let begin = Instant::now();
        client.send("hello\n");
        assert_eq!(client.take(6), expected.as_bytes());
        assert!(begin.elapsed() >= Duration::from_millis(150), "{name} sends too early");
        client.end();
        assert!(client.is_closed());
    }
}

/// What each connection receives, in the order of connecting: the number of bytes, and
/// whether a reset follows them.
fn outcomes(seed: &str) -> Vec<(usize, bool)> {
    let text = "The quick brown fox jumps over the lazy dog.\n".repeat(70);
    let server = service(&["echo", "--chaos", seed]);
    // Each is accepted before the next connects, because it has received a byte.
    let mut clients: Vec<Client> = (0..32)
        .map(|_| {
            let mut client = server.connect();
            client.send(&text[..1]);
            assert_eq!(client.take(1), &text.as_bytes()[..1]);
            client
        })
        .collect();
    for client in &mut clients {
        client.send(&text[1..]);
        client.end();
    }
    let fate = |client: &mut Client| {
        let (bytes, reset) = client.rest_or_reset();
        assert!(text.as_bytes()[1..].starts_with(&bytes), "other bytes were received");
        assert!(reset || bytes.len() == text.len() - 1, "output ends early without a reset");
        (bytes.len(), reset)
    };
    clients.iter_mut().map(fate).collect()
}

#[test]
fn the_same_seed_gives_the_same_faults() {
    let first = outcomes("7");
    let resets = first.iter().filter(|(_, reset)| *reset).count();
    assert!(resets > 0 && resets < first.len(), "{first:?}");
    assert_eq!(outcomes("7"), first);
    assert_ne!(outcomes("8"), first);
}
