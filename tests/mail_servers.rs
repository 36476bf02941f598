//! `miod mail` against mail servers of others: aiosmtpd, whose messages Python's email package
//! parses, and Postfix.

mod support;

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use serde_json::Value;

use support::site::certificate;
use support::sockets::free_port;
use support::{Ended, Outcome, Root, TIMEOUT, eventually, miod, pattern, run_to_end};

/// aiosmtpd with its files.
struct Aiosmtpd {
    port: u16,
    lines: Receiver<String>,
    authority: String,
    root: Root,
    _process: Ended,
}

impl Aiosmtpd {
    fn start(mode: &str) -> Self {
        let root = Root::new();
        let certificate = certificate(&root, "tls", &["localhost"]);
        let (chain, key) = certificate.pair.split_once(',').unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mail_server.py");
        let mut command = Command::new("/usr/bin/python3");
        command.arg("-W").arg("ignore").arg(script).args([mode, chain, key]);
        let mut process = Ended(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
        let output = BufReader::new(process.0.stdout.take().unwrap());
        let (sender, lines) = channel();
        // A line is longer than what a pipe holds.
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let port = lines.recv_timeout(TIMEOUT).unwrap().parse().unwrap();
        Self { port, lines, authority: certificate.authority, root, _process: process }
    }

    fn mail(&self, options: &[&str], text: &str) -> Outcome {
        mail(self.port, &[&["--cacert", &self.authority], options].concat(), text)
    }

    /// The next message.
    fn message(&self) -> Value {
        serde_json::from_str(&self.lines.recv_timeout(TIMEOUT).unwrap()).unwrap()
    }

    fn path(&self, name: &str) -> String {
        self.root.at(name).display().to_string()
    }
}

fn mail(port: u16, options: &[&str], text: &str) -> Outcome {
    let server = format!("localhost:{port}");
    let mut command = miod();
    command.args(["mail", "--server", &server, "-f", "Ada \u{c4} <ada@example.org>"]).args(options);
    run_to_end(command.env("MIOD_MAIL_PASSWORD", "apple"), text.as_bytes())
}

fn sha256(content: &[u8]) -> String {
    digest(&SHA256, content).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
#[ignore = "needs python3-aiosmtpd"]
fn python_finds_subject_text_and_files_as_they_were_sent() {
    let server = Aiosmtpd::start("plain");
    let picture = pattern(200_000);
    server.root.file("picture.png", &picture).file("page.html", "<p>\u{e4} <img src=\"cid:picture.png\">");
    let subject = "Gr\u{fc}\u{df}e \u{2014} ".repeat(20);
    let text = format!("Gr\u{fc}\u{df}e\n.\n..dot\nFrom me\n{}\nend", "x".repeat(3_000));
    let (image, page) = (server.path("picture.png"), server.path("page.html"));
    let options = ["-s", &subject, "--text", "-", "--html", &page, "--inline", &image, "-a", &image];
    let outcome = server.mail(&[&options[..], &["Bob <bob@example.org>"]].concat(), &text);
    assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
    let message = server.message();
    assert_eq!(message["subject"].as_str().unwrap().trim_end(), subject.trim_end());
    assert_eq!(message["text"].as_str().unwrap().replace("\r\n", "\n").trim_end(), text);
    assert_eq!(message["sender"], "Ada \u{c4} <ada@example.org>");
    assert_eq!((&message["from"], &message["to"][0]), (&"ada@example.org".into(), &"bob@example.org".into()));
    let parts = message["parts"].as_array().unwrap();
    let types: Vec<_> = parts.iter().map(|part| part["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["text/plain", "text/html", "image/png", "image/png"]);
    for part in &parts[2..] {
        assert_eq!(part["sha256"], sha256(&picture));
    }
    assert_eq!((&parts[2]["cid"], &parts[3]["name"]), (&"<picture.png>".into(), &"picture.png".into()));
    assert!(parts.iter().all(|part| part["defects"].as_array().unwrap().is_empty()), "{parts:?}");
    assert!(message["defects"].as_array().unwrap().is_empty());
}

#[test]
#[ignore = "needs python3-aiosmtpd"]
fn a_message_is_received_byte_for_byte() {
    let server = Aiosmtpd::start("plain");
    let content =
        "Subject: x\nDate: Sun, 6 Nov 1994 08:49:37 +0000\n\n.\n..\n\u{e4}\n\n.x\nlast".to_owned() + &"\n.".repeat(50);
    server.root.file("ready.eml", &content);
    let ready = server.path("ready.eml");
    let outcome =
        server.mail(&["--message", &ready, "bob@example.org", "j\u{fc}@example.org", "nobody@example.org"], "");
    assert_eq!(outcome.code, Some(1), "{}", outcome.errors);
    assert!(outcome.errors.contains("nobody@example.org is refused: 550 5.1.1 there is nobody"), "{}", outcome.errors);
    let message = server.message();
    let received = STANDARD.decode(message["content"].as_str().unwrap()).unwrap();
    assert_eq!(String::from_utf8(received).unwrap(), content.replace('\n', "\r\n") + "\r\n");
    let options: Vec<_> =
        message["options"].as_array().unwrap().iter().map(|option| option.as_str().unwrap()).collect();
    assert!(options.contains(&"BODY=8BITMIME") && options.contains(&"SMTPUTF8"), "{options:?}");
}

#[test]
#[ignore = "needs python3-aiosmtpd"]
fn ada_logs_in_through_tls_in_every_way() {
    for mode in ["starttls", "implicit"] {
        let server = Aiosmtpd::start(mode);
        for auth in ["plain", "login", "auto"] {
            let options = ["--tls", mode, "-u", "ada", "--auth", auth, "bob@example.org"];
            let outcome = server.mail(&options, "text");
            assert_eq!(outcome.code, Some(0), "{mode} {auth}: {}", outcome.errors);
            let message = server.message();
            assert!(message["login"] == true, "{message}");
        }
        let wrong = server.mail(&["--tls", mode, "-u", "eve", "bob@example.org"], "text");
        assert_eq!(wrong.code, Some(67), "{}", wrong.errors);
        let anonymous = server.mail(&["--tls", mode, "bob@example.org"], "text");
        assert_eq!(anonymous.code, Some(5), "{}", anonymous.errors);
        let untrusting = mail(server.port, &["--tls", mode, "--cacert", &server.path("tls/server.pem"), "b@b"], "text");
        assert!(matches!(untrusting.code, Some(60 | 77)), "{}", untrusting.errors);
    }
}

/// Postfix with a configuration of its own, which delivers to bob@example.org.
struct Postfix {
    port: u16,
    authority: String,
    root: Root,
}

impl Postfix {
    fn start() -> Self {
        let root = Root::new();
        let certificate = certificate(&root, "tls", &["localhost"]);
        let (chain, key) = certificate.pair.split_once(',').unwrap();
        // Postfix takes no port of the system's choice.
        let port = free_port();
        let at = |name: &str| root.at(name).display().to_string();
        let main = format!(
            "compatibility_level = 3.6\nqueue_directory = {queue}\ndata_directory = {data}\nmyhostname = localhost\n\
             inet_interfaces = loopback-only\ninet_protocols = ipv4\nmydestination =\nmynetworks = 127.0.0.0/8\n\
             virtual_mailbox_domains = example.org\nvirtual_mailbox_base = {boxes}\n\
             virtual_mailbox_maps = inline:{{bob@example.org=bob/}}\nvirtual_uid_maps = static:65534\n\
             virtual_gid_maps = static:65534\nsmtpd_tls_cert_file = {chain}\nsmtpd_tls_key_file = {key}\n\
             smtpd_tls_security_level = may\nmaillog_file = /dev/stdout\nmaillog_file_prefixes = /dev\n\
             smtpd_reject_unlisted_recipient = yes\n",
            queue = at("queue"),
            data = at("data"),
            boxes = at("boxes"),
        );
        let services = format!(
            "127.0.0.1:{port} inet n - n - - smtpd\npostlog unix-dgram n - n - 1 postlogd\ncleanup unix n - n - 0 cleanup\n\
             qmgr unix n - n 300 1 qmgr\nrewrite unix - - n - - trivial-rewrite\nbounce unix - - n - 0 bounce\n\
             defer unix - - n - 0 bounce\ntrace unix - - n - 0 bounce\nvirtual unix - n n - - virtual\n\
             tlsmgr unix - - n 1000? 1 tlsmgr\nproxymap unix - - n - - proxymap\nanvil unix - - n - 1 anvil\n\
             error unix - - n - - error\nretry unix - - n - - error\nscache unix - - n - 1 scache\n"
        );
        root.file("etc/main.cf", main)
            .file("etc/master.cf", services)
            .directory("queue")
            .directory("data")
            .directory("boxes");
        let owner = |user: &str, name: &str| {
            assert!(Command::new("chown").args([user, &at(name)]).status().unwrap().success());
        };
        owner("postfix", "data");
        owner("nobody:nogroup", "boxes");
        // The directories above are for their owner only.
        assert!(Command::new("chmod").arg("755").arg(root.path()).status().unwrap().success());
        let this = Self { port, authority: certificate.authority.clone(), root };
        let outcome = this.postfix("start");
        assert_eq!(outcome.code, Some(0), "{} {}", outcome.text(), outcome.errors);
        assert!(eventually(|| TcpStream::connect(("127.0.0.1", port)).is_ok()), "it listens");
        this
    }

    fn postfix(&self, command: &str) -> Outcome {
        run_to_end(Command::new("postfix").arg("-c").arg(self.root.at("etc")).arg(command), b"")
    }

    /// The messages that bob has.
    fn inbox(&self) -> Vec<PathBuf> {
        let found = std::fs::read_dir(self.root.at("boxes/bob/new"));
        found.map(|entries| entries.map(|entry| entry.unwrap().path()).collect()).unwrap_or_default()
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        self.postfix("stop");
    }
}

#[test]
#[ignore = "needs postfix, and root's rights"]
fn postfix_delivers_what_is_sent_through_starttls() {
    let postfix = Postfix::start();
    let content = "Subject: x\nDate: Sun, 6 Nov 1994 08:49:37 +0000\nMessage-ID: <1@example.org>\nFrom: ada@example.org\n\
                   To: bob@example.org\n\n.\n..\n\u{e4}\n\n.x\nlast\n";
    postfix.root.file("ready.eml", content);
    let ready = postfix.root.at("ready.eml").display().to_string();
    let options = ["-v", "--tls", "starttls", "--cacert", &postfix.authority, "--message", &ready];
    let outcome = mail(postfix.port, &[&options[..], &["bob@example.org", "eve@example.org"]].concat(), "");
    assert_eq!(outcome.code, Some(1), "{}", outcome.errors);
    assert!(outcome.errors.contains("eve@example.org is refused: 550 5.1.1 <eve@example.org>"), "{}", outcome.errors);
    // MAIL and RCPT leave together.
    assert!(
        outcome.errors.contains("C: RCPT TO:<bob@example.org>\nC: RCPT TO:<eve@example.org>\nS: 250"),
        "{}",
        outcome.errors
    );
    assert!(eventually(|| postfix.inbox().len() == 1), "it arrives");
    let delivered = std::fs::read_to_string(&postfix.inbox()[0]).unwrap();
    // Postfix adds fields before those of the message.
    assert!(delivered.ends_with(content), "{delivered}");
}
