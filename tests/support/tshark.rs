//! Captures as tshark sees them.

use std::path::Path;
use std::process::Command;

use super::{Client, Server, get, head_with};

/// What tshark prints of a capture, with checksums checked.
pub fn tshark(file: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(file);
    for check in ["tcp.check_checksum:TRUE", "ip.check_checksum:TRUE", "udp.check_checksum:TRUE"] {
        command.args(["-o", check]);
    }
    let output = command.args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Seven requests on two connections, one after the other and pipelined.
pub fn first_requests(server: &Server) -> [Client; 2] {
    let mut one = server.connect();
    for path in ["/", "/large", "/none", "/large"] {
        one.send(get(path));
        one.response();
    }
    // Tshark takes the response to a pipelined HEAD for one with a body.
    one.send(head_with("/large", ""));
    one.response_to("HEAD");
    let mut two = server.connect();
    two.send(format!("{}{}", get("/"), get("/none")));
    two.response();
    two.response();
    [one, two]
}
