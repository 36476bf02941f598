//! HTTPS as clients see it: curl, wget, Python, and a browser.

mod support;

use std::path::Path;
use std::process::{Command, Stdio};

use support::site::Site;
use support::{Root, Server, miod, pattern, run_to_end};

const MIB: usize = 1 << 20;
/// Around the sizes of a record, a segment and a buffer.
const SIZES: [usize; 9] = [0, 1, 16_383, 16_384, 16_385, 65_535, 65_536, MIB, 100 * MIB];

/// A site with a file of each of these sizes, whose name is its size.
fn site_with(sizes: &[usize]) -> Site {
    let root = Root::new();
    root.file("site/index.html", "hello");
    for &size in sizes {
        root.file(&format!("site/{size}"), pattern(size));
    }
    Site::over(root, &["--tls", "auto"])
}

/// Checks that the file is whole.
fn check_file(path: &Path, size: usize) {
    let content = std::fs::read(path).unwrap();
    // Not assert_eq!, which would print it.
    assert!(content == pattern(size), "{} of {size} bytes came, or wrong ones", content.len());
    std::fs::remove_file(path).unwrap();
}

#[test]
#[ignore = "needs curl"]
fn curl_gets_all_sizes_on_one_connection() {
    let site = site_with(&SIZES);
    let received = |size: usize| site.root.at(&format!("received-{size}"));
    for version in ["1.2", "1.3"] {
        let mut command = Command::new("timeout");
        command.args(["60", "curl", "-sS", "--fail", "--noproxy", "*", "--cacert", &site.authority()]);
        command.args(["--tlsv1.2", "--tls-max", version, "--write-out", "%{num_connects}\n"]);
        for size in SIZES {
            command.arg("--output").arg(received(size)).arg(site.url(&format!("/{size}")));
        }
        let outcome = command.output().unwrap();
        assert!(outcome.status.success(), "{}", String::from_utf8_lossy(&outcome.stderr));
        assert_eq!(String::from_utf8_lossy(&outcome.stdout), "1\n".to_owned() + &"0\n".repeat(SIZES.len() - 1));
        for size in SIZES {
            check_file(&received(size), size);
        }
    }
    // Without the authority nothing comes.
    let mut command = Command::new("curl");
    command.args(["-sS", "--noproxy", "*"]).arg(site.url("/")).env_remove("CURL_CA_BUNDLE").env_remove("SSL_CERT_FILE");
    assert_eq!(run_to_end(&mut command, b"").code, Some(60));
}

#[test]
#[ignore = "needs wget"]
fn wget_gets_files_and_continues_them() {
    let site = site_with(&[16_385, MIB]);
    let received = site.root.at("received");
    let get = |arguments: &[&str], size: usize| {
        let mut command = Command::new("wget");
        command.args(["--no-config", "--no-proxy", "--tries=1", "--timeout=15", "--no-verbose", "--output-document"]);
        command.arg(&received).args(arguments).arg(site.url(&format!("/{size}")));
        run_to_end(&mut command, b"")
    };
    let trusted = format!("--ca-certificate={}", site.authority());
    for size in [16_385, MIB] {
        let outcome = get(&[&trusted], size);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        check_file(&received, size);
    }
    // The second half, by a range.
    std::fs::write(&received, &pattern(MIB)[..MIB / 2]).unwrap();
    let outcome = get(&[&trusted, "--continue", "--server-response"], MIB);
    assert!(outcome.code == Some(0) && outcome.errors.contains("HTTP/1.1 206 "), "{outcome:?}");
    check_file(&received, MIB);
    assert_eq!(get(&[], MIB).code, Some(5), "the authority is unknown");
}

/// Runs a Python script of this directory, and checks that these tests of it pass.
fn run_script(name: &str, arguments: &[&str], tests: &[&str]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name);
    let mut command = Command::new("timeout");
    command.args(["120", "python3"]).arg(script).args(arguments).stdin(Stdio::null());
    let output = command.output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let passed = tests.iter().all(|test| printed.contains(&format!("{test}: passed\n")));
    assert!(output.status.success() && passed, "{printed}");
}

#[test]
#[ignore = "needs Python 3.11"]
fn python_gets_the_same_in_every_rhythm() {
    let site = site_with(&[100 * MIB]);
    let large = site.root.at(&format!("site/{}", 100 * MIB)).display().to_string();
    let arguments = [&site.port().to_string(), &site.authority(), &large, &site.server.pid().to_string()];
    let tests = ["sessions", "byte_by_byte", "orderly_ends", "pipelined", "slow_reader", "abrupt_end"];
    run_script("tls_client.py", &arguments.map(String::as_str), &tests);
}

#[test]
#[ignore = "needs chromium and certutil"]
fn a_browser_that_trusts_the_authority_sees_nothing_wrong() {
    let root = Root::new();
    let mut command = miod();
    command.env("XDG_STATE_HOME", root.at("state")).current_dir(env!("CARGO_MANIFEST_DIR"));
    command.args(["-p", "0", "--tls", "auto", "--apps"]);
    let site = Site { root, server: Server::run(command) };
    run_script(
        "tls_browser.py",
        &[&site.url(""), &site.authority()],
        &["start_page", "counter", "board", "unknown_authority"],
    );
}
