//! The certificates that miod makes, as other programs see them.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use miod::certificates::prepare;

/// A handshake in memory, with the strictness of Python 3.13, for each name.
const HANDSHAKE: &str = r#"
import ssl, sys
directory, *names = sys.argv[1:]
server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server_context.load_cert_chain(f"{directory}/server.pem", f"{directory}/server-key.pem")
client_context = ssl.create_default_context(cafile=f"{directory}/ca.pem")
client_context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
for name in names:
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(down, up, server_hostname=name)
    server = server_context.wrap_bio(up, down, server_side=True)
    for turn in range(10):
        for side in client, server:
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                pass
    print(name, client.version())
"#;

struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{command:?}: {text}");
    text
}

#[test]
#[ignore = "needs openssl and Python"]
fn strict_clients_accept_the_certificates() {
    let directory = Directory(std::env::temp_dir().join(format!("miod-certificates-{}", std::process::id())));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let now = i64::try_from(now).unwrap();
    let names = ["www.example.org".to_owned(), "*.wild.example.org".to_owned()];
    let addresses: [IpAddr; 1] = ["192.0.2.7".parse().unwrap()];
    // The second certificate of the server is signed by the stored authority.
    let first = prepare(&directory.0, &[], &[], now).unwrap();
    assert_eq!(prepare(&directory.0, &names, &addresses, now).unwrap(), first);

    let openssl = |arguments: &[&str]| output(Command::new("openssl").args(arguments).current_dir(&directory.0));
    for purpose in [&["-verify_ip", "192.0.2.7"], &["-verify_hostname", "a.wild.example.org"]] {
        let verify = ["verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", "ca.pem"];
        assert_eq!(openssl(&[&verify[..], purpose, &["server.pem"]].concat()), "server.pem: OK\n");
    }
    assert_eq!(openssl(&["verify", "-x509_strict", "-CAfile", "ca.pem", "ca.pem"]), "ca.pem: OK\n");
    let fingerprint = openssl(&["x509", "-in", "ca.pem", "-noout", "-sha256", "-fingerprint"]);
    assert_eq!(fingerprint.trim().split('=').next_back(), Some(&*first.fingerprint));
    let authority = openssl(&["x509", "-in", "ca.pem", "-noout", "-text"]);
    for text in ["CA:TRUE, pathlen:0", "Certificate Sign, CRL Sign", "Subject Key Identifier"] {
        assert!(authority.contains(text), "{text}: {authority}");
    }
    let server = openssl(&["x509", "-in", "server.pem", "-noout", "-text"]);
    for text in ["CA:FALSE", "Digital Signature", "TLS Web Server Authentication", "Authority Key Identifier"] {
        assert!(server.contains(text), "{text}: {server}");
    }

    let names = ["localhost", "127.0.0.1", "::1", "www.example.org", "a.wild.example.org", "192.0.2.7"];
    let shaken = output(Command::new("python3").args(["-c", HANDSHAKE]).arg(&directory.0).args(names));
    assert_eq!(shaken, names.map(|name| format!("{name} TLSv1.3\n")).concat());
}
