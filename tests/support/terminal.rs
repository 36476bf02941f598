//! A command on a terminal of its own.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::mpsc;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::{Ended, TIMEOUT, eventually};

/// A command on a terminal, and the controlling end of the terminal.
pub struct Terminal {
    pub master: File,
    shown: mpsc::Receiver<Vec<u8>>,
    pub seen: String,
    child: Ended,
}

impl Terminal {
    pub fn start(mut command: Command) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        let end = || Stdio::from(OwnedFd::from(slave.try_clone().unwrap()));
        let child = Ended(command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap());
        let master = File::from(master);
        let (send, shown) = mpsc::channel();
        let mut from = master.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut some = [0; 1024];
            while let Ok(count @ 1..) = from.read(&mut some) {
                let _ = send.send(some[..count].to_vec());
            }
        });
        Self { master, shown, seen: String::new(), child }
    }

    /// Waits until `text` is on the screen.
    pub fn expect(&mut self, text: &str) {
        while !self.seen.contains(text) {
            let shown = self.shown.recv_timeout(TIMEOUT);
            self.seen +=
                &String::from_utf8(shown.unwrap_or_else(|_| panic!("no {text:?} in {:?}", self.seen))).unwrap();
        }
    }

    pub fn write(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).unwrap();
    }

    pub fn code(&mut self) -> Option<i32> {
        let mut status = None;
        assert!(eventually(|| {
            status = self.child.0.try_wait().unwrap();
            status.is_some()
        }));
        status.unwrap().code()
    }
}
