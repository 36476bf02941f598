//! Logs that can't be written: they cost lines, which are counted, but no response and no time.

mod support;

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, Mode, mkfifoat};
use support::{Client, Root, Server, await_line, eventually, get, miod};

const REQUESTS: usize = 2_000;
/// So many requests take a fraction of this; one write that waits would take longer.
const BOUND: Duration = Duration::from_secs(10);

fn site() -> Root {
    let root = Root::new();
    root.old_file("www/index.html", "index");
    root
}

/// Sends so many requests that their lines fill a pipe and the backlog.
fn request_often(client: &mut Client) {
    let request = get(&format!("/?{}", "a".repeat(400)));
    let start = Instant::now();
    for _ in 0..REQUESTS {
        client.send(&request);
        assert_eq!(client.response().status, 200);
    }
    assert!(start.elapsed() < BOUND, "{:?}", start.elapsed());
}

/// How often `what` is in `text`.
fn count(text: &str, what: &str) -> usize {
    text.matches(what).count()
}

/// The number of lost lines in the message with this end.
fn lost(text: &str, end: &str) -> usize {
    let line = text.lines().find(|line| line.ends_with(end)).unwrap_or_else(|| panic!("no {end:?}: {text}"));
    let number = line.strip_suffix(end).unwrap().rsplit(' ').next().unwrap();
    number.parse().unwrap()
}

/// A server whose output and errors are pipes that nobody reads unless the test does.
struct Unread {
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: Option<ChildStderr>,
    client: Client,
}

impl Unread {
    fn start(root: &Root, arguments: &[&str]) -> Self {
        let mut command = miod();
        command.arg("serve").arg(root.at("www")).args(["-p", "0"]).args(arguments);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let stderr = child.stderr.take();
        let mut banner = String::new();
        stdout.read_line(&mut banner).unwrap();
        let address = banner.split("http://").nth(1).unwrap().split('/').next().unwrap().parse().unwrap();
        Self { client: Client::connect(address), child, stdout, stderr }
    }

    /// Ends it in order. Returns what it wrote to standard output and standard error in the end.
    fn end(mut self) -> (String, String) {
        support::kill("TERM", self.child.id());
        let mut stderr = self.stderr.take().unwrap();
        let errors = std::thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).unwrap();
            text
        });
        let mut output = String::new();
        self.stdout.read_to_string(&mut output).unwrap();
        assert!(eventually(|| self.child.try_wait().unwrap().is_some()));
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        (output, errors.join().unwrap())
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_full_disk_costs_lines_but_no_responses() {
    let root = site();
    let mut server = Server::start(&root, &["--access-log", "/dev/full"]);
    let mut client = server.connect();
    for _ in 0..REQUESTS {
        client.send(get("/"));
        client.response();
    }
    let before = server.cpu();
    assert!(client.is_silent_for(Duration::from_millis(1_500)));
    assert!(server.cpu() - before < 0.3, "it spins: {}", server.cpu() - before);
    client.send(get("/"));
    client.response();
    server.signal("TERM");
    assert!(client.is_closed());
    assert_eq!(server.wait().code(), Some(0));
    assert!(eventually(|| server.errors().contains(" lines of the access log were lost")), "{}", server.errors());
    let errors = server.errors();
    assert_eq!(count(&errors, "the access log can't be written"), 1, "{errors}");
    assert!(errors.contains("until it can: No space left on device"), "{errors}");
    assert_eq!(lost(&errors, " lines of the access log were lost"), REQUESTS + 1);
}

#[test]
fn a_fifo_whose_reader_does_not_read_costs_lines_but_no_time() {
    let root = site();
    let fifo = root.at("fifo");
    mkfifoat(CWD, &fifo, Mode::RUSR | Mode::WUSR).unwrap();
    // Opened for both, so that it doesn't wait for the server.
    let mut reader = BufReader::new(OpenOptions::new().read(true).write(true).open(&fifo).unwrap());
    let mut command = miod();
    command.arg("serve").arg(root.at("www")).args(["-p", "0", "--access-log"]).arg(&fifo);
    let server = Server::run(command);
    request_often(&mut server.connect());
    let errors = || server.errors();
    assert!(eventually(|| errors().contains("nobody reads the access log")), "{}", errors());
    // The reader reads again. What it gets are complete lines.
    let (send, received) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|count| count > 0) && send.send(line.clone()).is_ok() {
            line.clear();
        }
    });
    assert!(eventually(|| errors().contains("the access log can be written again")), "{}", errors());
    assert_eq!(count(&errors(), "nobody reads the access log"), 1, "{}", errors());
    let lost = lost(&errors(), " lines were lost");
    for _ in 0..REQUESTS - lost {
        let line = received.recv_timeout(BOUND).unwrap();
        assert!(line.starts_with("127.0.0.1 - - [") && line.contains("a HTTP/1.1\" 200 5 "), "{line}");
    }
    assert!(received.try_recv().is_err() && (1..REQUESTS).contains(&lost), "{lost}");
    server.get("/after");
    assert!(received.recv_timeout(BOUND).unwrap().contains("GET /after "));
}

#[test]
fn output_that_nobody_reads_costs_lines_but_no_time() {
    let root = site();
    let mut server = Unread::start(&root, &["-vv", "--access-log", "-"]);
    request_often(&mut server.client);
    // Others that share the descriptors still wait in their writes.
    for number in [1, 2] {
        let info = fs::read_to_string(format!("/proc/{}/fdinfo/{number}", server.child.id())).unwrap();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
        assert_eq!(u32::from_str_radix(flags, 8).unwrap() & 0o4000, 0, "{info}");
    }
    let (output, errors) = server.end();
    let written = output.lines().filter(|line| line.contains("a HTTP/1.1\" 200 5 ")).count();
    assert_eq!(output.lines().count(), written, "all lines are complete");
    assert_eq!(written + lost(&errors, " lines of the access log were lost"), REQUESTS);
    assert!(lost(&errors, " lines of standard error were lost") > 0);
}

#[test]
fn a_pipe_whose_reader_ended_costs_lines_but_no_responses() {
    let root = site();
    // As in `miod | head -1`: the reader ends after the banner.
    let mut server = Unread::start(&root, &["--access-log", "-"]);
    server.stdout = {
        let mut none = Command::new("true").stdout(Stdio::piped()).spawn().unwrap();
        none.wait().unwrap();
        BufReader::new(none.stdout.take().unwrap())
    };
    request_often(&mut server.client);
    let (_, errors) = server.end();
    assert_eq!(count(&errors, "the access log can't be written"), 1, "{errors}");
    assert!(errors.contains("until it can: Broken pipe"), "{errors}");
    assert_eq!(lost(&errors, " lines of the access log were lost"), REQUESTS);
}

/// Requests until the log is full, makes room by `make_room`, and checks that the log goes on. The room must be
/// more than a block of 64 KiB: so much may still wait to be written.
fn fill_and_make_room(server: &Server, log: &Path, make_room: impl FnOnce(), reason: &str) {
    let errors = || server.errors();
    request_often(&mut server.connect());
    assert!(eventually(|| errors().contains(&format!("until it can: {reason}"))), "{}", errors());
    make_room();
    server.get("/after");
    assert!(eventually(|| errors().contains("the access log can be written again")), "{}", errors());
    let errors = errors();
    assert_eq!(count(&errors, "the access log can't be written"), 1, "{errors}");
    assert!(lost(&errors, " lines were lost") > REQUESTS / 2);
    assert!(await_line(log, "GET /after ").starts_with("127.0.0.1 - - ["));
}

#[test]
fn a_file_at_its_limit_goes_on_when_it_has_room() {
    let root = site();
    let log = root.at("log");
    let mut command = Command::new("sh");
    // 128 KiB. Without the trap the system ends a process at this limit.
    command.args(["-c", "trap '' XFSZ; ulimit -f 256; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_miod")]);
    command.args(["-p", "0", "--access-log"]).arg(&log).arg(root.at("www"));
    let server = Server::run(command);
    let make_room = || drop(File::create(&log).unwrap());
    fill_and_make_room(&server, &log, make_room, "File too large");
}

#[test]
#[ignore = "needs unshare and the right to mount"]
fn a_file_on_a_full_disk_goes_on_when_it_has_room() {
    let root = site();
    let disk = root.directory("disk").at("disk");
    let mut command = Command::new("unshare");
    let script = "mount -t tmpfs -o size=192k none \"$1\"; head -c 120000 /dev/zero >\"$1/old\"; shift; exec \"$@\"";
    command.args(["--map-root-user", "--mount", "sh", "-c", script, "sh"]).arg(&disk);
    command.arg(env!("CARGO_BIN_EXE_miod")).args(["-p", "0", "--pid-file"]).arg(root.at("pid"));
    command.arg("--access-log").arg(disk.join("log")).arg(root.at("www"));
    let server = Server::run(command);
    // The disk is mounted for the server only.
    let pid = fs::read_to_string(root.at("pid")).unwrap();
    let seen = Path::new("/proc").join(pid.trim()).join("root").join(disk.strip_prefix("/").unwrap());
    let make_room = || fs::remove_file(seen.join("old")).unwrap();
    fill_and_make_room(&server, &seen.join("log"), make_room, "No space left on device");
}
