use std::time::Duration;

use super::*;

fn run(arguments: &str) -> Result<Command, UsageError> {
    super::super::parse(arguments.split_whitespace().map(OsString::from), |_| None)
}

fn tool(arguments: &str) -> DatagramTask {
    match run(arguments) {
        Ok(Command::Datagrams(command)) => command.task,
        other => panic!("{arguments}: {other:?}"),
    }
}

fn target(host: &str, port: u16) -> Target {
    Target { host: host.to_owned(), port }
}

#[test]
fn every_option_sets_its_field() {
    let millis = Duration::from_millis;
    let impairment = Impairment { loss: 0.3, delay: millis(5), jitter: millis(7), duplicate: 1.0, seed: 9 };
    let bad = "--loss 0.3 --delay 5 --jitter=7 --duplicate 1 --seed 9 -v";
    let listener = Listener { bind: vec!["127.0.0.2".to_owned()], port_is_chosen: true, ..Listener::at(5) };
    for (word, reply) in [("upper", Reply::Upper), ("echo", Reply::Echo)] {
        let expected = DatagramTask::Answer { reply, impairment, verbose: true, listener: listener.clone() };
        assert_eq!(tool(&format!("udp {word} -b 127.0.0.2 -p 5 {bad}")), expected);
    }
    let second = Duration::from_secs(1);
    assert_eq!(
        tool("ping -c 3 -i 0.5 -W 2 -s 1K -v --json ::1"),
        DatagramTask::Ping(
            target("::1", 12_000),
            PingPlan { count: 3, interval: second / 2, timeout: 2 * second, size: 1024, verbose: true, json: true }
        )
    );
    assert_eq!(
        tool("heartbeat send -i 2 --json host:7"),
        DatagramTask::SendHeartbeats(target("host", 7), HeartbeatPlan { interval: 2 * second, json: true })
    );
    assert_eq!(
        tool("heartbeat watch --timeout 0.1 --json -b 127.0.0.2 -p 5"),
        DatagramTask::Watch { options: WatchOptions { timeout: second / 10, json: true }, listener }
    );
}

#[test]
fn the_defaults() {
    assert_eq!(tool("ping localhost"), DatagramTask::Ping(target("localhost", 12_000), PingPlan::default()));
    assert_eq!(tool("heartbeat send h"), DatagramTask::SendHeartbeats(target("h", 12_001), HeartbeatPlan::default()));
    let listener = Listener::at(config::HEARTBEAT_PORT);
    assert_eq!(tool("heartbeat watch"), DatagramTask::Watch { options: WatchOptions::default(), listener });
    let DatagramTask::Answer { impairment, listener, verbose: false, .. } = tool("udp upper") else {
        panic!("an answer")
    };
    assert_eq!((listener.bind.len(), listener.port), (0, 12_000));
    assert!(!impairment.is_random());
}

#[test]
fn mistakes_get_a_hint() {
    for (arguments, expected) in [
        ("udp", "give udp upper or udp echo"),
        ("heartbeat sned", "give heartbeat send or heartbeat watch"),
        ("ping", "ping needs a HOST"),
        ("ping a b", "unexpected argument \"b\""),
        ("ping a:99999", "a:99999: give a port from 1 to 65535"),
        ("ping --loss 1 a", "unknown option --loss"),
        ("ping --cuont 1 a", "unknown option --cuont; did you mean --count?"),
        ("ping -s 65508 a", "--size=65508: a datagram has at most 65507 bytes"),
        ("udp echo --loss 1.1", "--loss=1.1: give a probability from 0 to 1, like 0.3"),
        ("udp echo host", "unexpected argument \"host\""),
        ("heartbeat watch -i 1", "unknown option -i"),
    ] {
        assert_eq!(run(arguments).expect_err(arguments).0, expected);
    }
}

#[test]
fn each_command_lists_its_options() {
    for (command, options) in [
        ("udp", &["--bind", "--port", "--loss", "--delay", "--jitter", "--duplicate", "--seed", "--verbose"][..]),
        ("udp upper", &["--loss"]),
        ("ping", &["--count", "--interval", "--timeout", "--size", "--json", "--verbose", "12000"]),
        ("heartbeat send", &["--interval", "--json", "12001"]),
        ("heartbeat watch", &["--bind", "--port", "--timeout", "--json"]),
        ("heartbeat", &["send [OPTIONS]", "watch [OPTIONS]"]),
    ] {
        let Ok(Command::Help(text)) = run(&format!("{command} --help")) else { panic!("no help") };
        assert!(options.iter().all(|option| text.contains(option)) && text.contains("Examples:"), "{text}");
        assert!(text.lines().all(|line| line.len() <= 100 && line.trim_end() == line), "{text}");
    }
    assert!(matches!(run("udp echo -V"), Ok(Command::Version)));
}
