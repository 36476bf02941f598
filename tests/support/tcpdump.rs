//! Captures by tcpdump.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Ended, kill};

/// tcpdump on an interface, until it is dropped.
pub struct Tcpdump(Ended);

impl Tcpdump {
    /// Captures what has this port.
    pub fn start(interface: &[&str], port: u16, file: &Path) -> Self {
        let mut command = Command::new("timeout");
        // The buffer has room for so many packets of the largest size.
        command.args(["60", "tcpdump", "--immediate-mode", "-U", "-s", "70000", "-B", "65536"]).args(interface);
        command.arg("-w").arg(file).arg(format!("port {port}")).stderr(Stdio::piped()).stdin(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let listens = lines.by_ref().map_while(Result::ok).any(|line| line.contains("listening on"));
        // What it says later is read, so that it doesn't wait.
        std::thread::spawn(move || lines.for_each(drop));
        assert!(listens, "tcpdump doesn't capture");
        Self(Ended(child))
    }
}

impl Drop for Tcpdump {
    fn drop(&mut self) {
        kill("TERM", self.0.0.id());
        let _ = self.0.0.wait();
    }
}
