//! HTTPS as the tools see it that test servers: testssl.sh, and `openssl s_client`.

mod support;

use std::io::{Read, Write};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};

use support::site::{Certificate, Site, certificate};
use support::{Ended, Outcome, Root, Server, eventually, run_to_end};

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
const LAST_REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// What testssl.sh may find, and why it is no fault.
const EXCEPTIONS: [(&str, &str); 4] = [
    ("engine_problem", "the tool misses a library for GOST ciphers, which nobody offers"),
    ("cert_revocation", "an authority of one's own has no service that answers for revocations"),
    (
        "sessionresumption_ticket",
        "the tool closes after the handshake, and may be quicker than the ticket; another test resumes sessions",
    ),
    ("cipher_order", "all ciphers are strong, and the client knows which one it is fast at"),
];

#[test]
#[ignore = "needs testssl.sh"]
fn testssl_finds_nothing() {
    let site = Site::start(&["--tls", "auto", "--hsts", "365d"]);
    let findings = site.root.at("findings.json");
    // Without the trial of each known cipher: the categories of -s have them all.
    let output = Command::new("timeout")
        .args(["150", "testssl", "--quiet", "--color", "0", "--warnings", "off", "--nodns", "none"])
        .args(["--ip", "127.0.0.1", "--add-ca", &site.authority(), "--jsonfile"])
        .arg(&findings)
        .args(["-p", "-s", "-f", "-P", "-S", "-h", "-U", &site.url("/")])
        .stdin(Stdio::null())
        .current_dir(site.root.path())
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    let findings = std::fs::read(findings).unwrap_or_else(|error| panic!("{error}: {printed}"));
    let findings: Vec<serde_json::Value> = serde_json::from_slice(&findings).expect("a complete report");
    let text = |finding: &serde_json::Value, name: &str| finding[name].as_str().unwrap().to_owned();
    let is_allowed = |finding: &&serde_json::Value| {
        matches!(&*text(finding, "severity"), "OK" | "INFO" | "LOW")
            || EXCEPTIONS.iter().any(|(id, _)| *id == text(finding, "id"))
    };
    let bad: Vec<_> = findings.iter().filter(|finding| !is_allowed(finding)).collect();
    assert!(bad.is_empty(), "{bad:#?}");
    // It has seen what there is.
    let found =
        |id: &str| findings.iter().find(|finding| text(finding, "id") == id).map(|found| text(found, "finding"));
    let contains = |id: &str, part: &str| {
        let found = found(id).unwrap_or_else(|| panic!("{id} is absent: {printed}"));
        assert!(found.contains(part), "{id}: {found}");
    };
    for (id, part) in [
        ("TLS1", "not offered"),
        ("TLS1_1", "not offered"),
        ("TLS1_2", "offered"),
        ("TLS1_3", "final"),
        ("cert_chain_of_trust", "passed"),
        ("cert_trust", "Ok via SAN"),
        ("HSTS_time", "31536000"),
        ("heartbleed", "not vulnerable"),
        ("secure_client_renego", "not vulnerable"),
        ("LUCKY13", "not vulnerable"),
        ("RC4", "not vulnerable"),
    ] {
        contains(id, part);
    }
}

/// `openssl s_client` for the server's port for HTTPS, by its address.
fn s_client(port: u16, arguments: &[&str]) -> Command {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &format!("127.0.0.1:{port}")]).args(arguments);
    command
}

/// One request, and everything that is printed until the server closes.
fn ask(site: &Site, arguments: &[&str]) -> Outcome {
    let mut outcome = run_to_end(s_client(site.port(), arguments).arg("-ign_eof"), LAST_REQUEST);
    outcome.errors += &outcome.text();
    outcome
}

/// Checks that the request was answered, and that these parts are printed.
fn check_answered(outcome: &Outcome, parts: &[&str]) {
    for part in ["HTTP/1.1 200 OK\r\n", "\r\n\r\nhello"].iter().chain(parts) {
        assert!(outcome.errors.contains(part), "{part:?}: {}", outcome.errors);
    }
}

/// Checks that the server has refused with this alert (RFC 8446 §6).
fn check_alert(outcome: &Outcome, number: u8) {
    let alert = format!("SSL alert number {number}\n");
    assert!(outcome.errors.contains(&alert) && !outcome.errors.contains("HTTP/1.1"), "{alert}: {}", outcome.errors);
}

#[test]
#[ignore = "needs openssl"]
fn only_new_versions_and_strong_ciphers_are_spoken() {
    let site = Site::start(&["--tls", "auto"]);
    let authority = site.authority();
    let verified = ["-CAfile", &authority, "-verify_return_error", "-verify_hostname", "localhost"];
    for (version, name) in [("-tls1_2", "New, TLSv1.2, Cipher is ECDHE-"), ("-tls1_3", "New, TLSv1.3, Cipher is TLS_")]
    {
        let parts =
            [name, "Compression: NONE\n", "Expansion: NONE\n", "Verification: OK\n", "Extended master secret: "];
        check_answered(&ask(&site, &[&[version][..], &verified].concat()), &parts);
    }
    // The client is as lax as it can be. What refuses is the server.
    for version in ["-tls1", "-tls1_1"] {
        check_alert(&ask(&site, &[version, "-cipher", "ALL@SECLEVEL=0"]), 40);
    }
    for weak in ["ALL:eNULL:!AESGCM:!CHACHA20@SECLEVEL=0", "DHE+AESGCM:RSA+AESGCM:PSK+AESGCM@SECLEVEL=0"] {
        check_alert(&ask(&site, &["-tls1_2", "-cipher", weak]), 40);
    }
    let site = Site::start(&["--tls", "auto", "--tls-min", "1.3"]);
    check_alert(&ask(&site, &["-tls1_2"]), 70);
    check_answered(&ask(&site, &["-tls1_3"]), &["New, TLSv1.3"]);
}

#[test]
#[ignore = "needs openssl"]
fn sessions_are_resumed_by_tickets_and_without_early_data() {
    let site = Site::start(&["--tls", "auto"]);
    let file = site.root.at("session.pem").display().to_string();
    for (version, name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let (new, reused) = (format!("New, {name}"), format!("Reused, {name}"));
        let first = ask(&site, &[version, "-sess_out", &file]);
        check_answered(&first, &[&new, "TLS session ticket:\n"]);
        assert!(name != "TLSv1.3" || first.errors.contains("Max Early Data: 0\n"), "{}", first.errors);
        check_answered(&ask(&site, &[version, "-sess_in", &file]), &[&reused]);
        // The keys of the tickets are those of the process.
        let other = Server::run(Site::command(&site.root, &["--tls", "auto"]));
        let other = Site { root: Root::new(), server: other };
        check_answered(&ask(&other, &[version, "-sess_in", &file]), &[&new]);
    }
}

/// `openssl s_client` with commands from standard input.
struct Dialogue {
    client: Ended,
    input: ChildStdin,
    printed: Arc<Mutex<Vec<u8>>>,
}

impl Dialogue {
    fn start(site: &Site, version: &str) -> Self {
        let mut command = s_client(site.port(), &[version]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut client = command.spawn().unwrap();
        let input = client.stdin.take().unwrap();
        let printed = Arc::<Mutex<Vec<u8>>>::default();
        let outputs: [Box<dyn Read + Send>; 2] =
            [Box::new(client.stdout.take().unwrap()), Box::new(client.stderr.take().unwrap())];
        for mut output in outputs {
            let printed = Arc::clone(&printed);
            std::thread::spawn(move || {
                let mut some = [0; 4096];
                while let Ok(count @ 1..) = output.read(&mut some) {
                    printed.lock().unwrap().extend_from_slice(&some[..count]);
                }
            });
        }
        Self { client: Ended(client), input, printed }
    }

    fn printed(&self) -> String {
        String::from_utf8_lossy(&self.printed.lock().unwrap()).into_owned()
    }

    /// Sends a text, which s_client takes for a command if it is one, and waits until the
    /// server's answers contain `part` so many times.
    fn say(&mut self, text: &str, part: &str, times: usize) {
        self.input.write_all(text.as_bytes()).unwrap();
        assert!(eventually(|| self.printed().matches(part).count() == times), "{text:?}: {}", self.printed());
    }
}

#[test]
#[ignore = "needs openssl"]
fn keys_are_updated_on_an_open_connection() {
    let site = Site::start(&["--tls", "auto"]);
    let mut client = Dialogue::start(&site, "-tls1_3");
    client.say(REQUEST, "\r\n\r\nhello", 1);
    // k: the client's keys. K: the server is asked for new ones too (RFC 8446 §4.6.3).
    for (round, command) in ["k\n", "K\n", "K\n", "k\n"].into_iter().enumerate() {
        client.say(command, "KEYUPDATE\n", round + 1);
        client.say(REQUEST, "\r\n\r\nhello", round + 2);
    }
    client.input.write_all(b"Q\n").unwrap();
    assert!(eventually(|| client.client.0.try_wait().unwrap().is_some()), "it doesn't end");
    assert_eq!(client.printed().matches("HTTP/1.1 200 OK").count(), 5, "{}", client.printed());
}

#[test]
#[ignore = "needs openssl"]
fn renegotiation_is_refused() {
    let site = Site::start(&["--tls", "auto"]);
    let mut other = Dialogue::start(&site, "-tls1_2");
    other.say(REQUEST, "\r\n\r\nhello", 1);
    let mut client = Dialogue::start(&site, "-tls1_2");
    client.say(REQUEST, "\r\n\r\nhello", 1);
    client.say("R\n", "no renegotiation", 1);
    // Nobody else has noticed.
    other.say(REQUEST, "\r\n\r\nhello", 2);
    check_answered(&ask(&site, &["-tls1_2"]), &["Secure Renegotiation IS supported"]);
    assert!(site.server.cpu() < 5.0);
}

#[test]
#[ignore = "needs openssl"]
fn the_protocol_and_the_certificate_are_those_asked_for() {
    let root = Root::new();
    root.file("site/index.html", "hello");
    let [one, two] = ["one", "two"].map(|name| certificate(&root, name, &[&format!("{name}.example")]));
    let site = Site::over(root, &["--tls", &one.pair, "--tls", &two.pair]);
    let names: [(&[&str], usize); 4] = [
        (&["-noservername"], 0),
        (&["-servername", "one.example"], 0),
        (&["-servername", "TWO.example"], 1),
        (&["-servername", "three.example"], 0),
    ];
    for (name, chosen) in names {
        for (number, Certificate { authority, .. }) in [&one, &two].into_iter().enumerate() {
            let outcome = ask(&site, &[&["-CAfile", authority, "-no-CApath"][..], name].concat());
            assert_eq!(outcome.errors.contains("Verification: OK\n"), number == chosen, "{}", outcome.errors);
        }
    }
    check_answered(&ask(&site, &["-alpn", "h2,http/1.1"]), &["ALPN protocol: http/1.1\n"]);
    check_answered(&ask(&site, &[]), &["No ALPN negotiated\n"]);
    for version in ["-tls1_2", "-tls1_3"] {
        check_alert(&ask(&site, &[version, "-alpn", "h2"]), 120);
    }
}

/// An authority with the name, and a certificate for a client that is signed by it: the
/// options of `s_client` for the latter.
fn client_certificate(root: &Root, name: &str) -> [String; 4] {
    root.file("authority.cnf", "[req]\ndistinguished_name=req\nx509_extensions=v\n[v]\nbasicConstraints=CA:TRUE\n");
    root.file("client.cnf", "[req]\ndistinguished_name=req\nx509_extensions=v\n[v]\nextendedKeyUsage=clientAuth\n");
    let file = |name: &str| root.at(name).display().to_string();
    let (authority, authority_key) = (file(&format!("{name}-ca.pem")), file(&format!("{name}-ca.key")));
    let (certificate, key) = (file(&format!("{name}.pem")), file(&format!("{name}.key")));
    let make = |arguments: &[&str]| {
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]);
        let made = run_to_end(command.args(["-subj", &format!("/CN={name}")]).args(arguments), b"");
        assert_eq!(made.code, Some(0), "{made:?}");
    };
    make(&["-config", &file("authority.cnf"), "-out", &authority, "-keyout", &authority_key]);
    let signed = ["-CA", &authority, "-CAkey", &authority_key];
    make(&[&["-config", &file("client.cnf"), "-out", &certificate, "-keyout", &key], &signed[..]].concat());
    ["-cert".to_owned(), certificate, "-key".to_owned(), key]
}

#[test]
#[ignore = "needs openssl"]
fn clients_without_a_certificate_of_the_authority_are_refused() {
    let root = Root::new();
    root.file("site/index.html", "hello");
    let [known, unknown] = ["known", "unknown"].map(|name| client_certificate(&root, name));
    let authority = root.at("known-ca.pem").display().to_string();
    let site = Site::over(root, &["--tls", "auto", "--client-ca", &authority]);
    let ask = |version: &str, with: &[String]| {
        let with: Vec<&str> = [version].into_iter().chain(with.iter().map(String::as_str)).collect();
        ask(&site, &with)
    };
    for version in ["-tls1_2", "-tls1_3"] {
        check_answered(&ask(version, &known), &["Acceptable client certificate CA names\nCN = known\n"]);
        // certificate_required, and unknown_ca.
        check_alert(&ask(version, &[]), 116);
        check_alert(&ask(version, &unknown), 48);
    }
}

#[test]
#[ignore = "needs openssl"]
fn an_orderly_end_is_announced() {
    let site = Site::start(&["--tls", "auto"]);
    for version in ["-tls1_2", "-tls1_3"] {
        // s_client prints this only for a close_notify.
        let outcome = ask(&site, &[version]);
        check_answered(&outcome, &["closed\n"]);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
    }
}
