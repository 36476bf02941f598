//! Asks for a password: on a terminal unseen and twice, else from standard input.

use std::io::{self, BufRead, IsTerminal, Read, Write};

use rustix::io::Errno;
use rustix::stdio::stdin;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::failure::Failure;

/// Longest line that is read; a password is shorter.
const LINE: usize = 1024;

/// A new password for `user`, as it was written.
pub(super) fn new_password(user: &str) -> Result<String, Failure> {
    let wrong = |error: io::Error| Failure::runtime("read a password", &error);
    let password = if io::stdin().is_terminal() {
        let first = ask(&format!("New password of {user}: ")).map_err(wrong)?;
        if ask("Once more: ").map_err(wrong)? != first {
            return Err(Failure::configuration("the two aren't the same; nothing is changed"));
        }
        first
    } else {
        let mut line = Vec::new();
        io::stdin().lock().take(LINE as u64).read_until(b'\n', &mut line).map_err(wrong)?;
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        line.strip_suffix(b"\r").unwrap_or(line).to_vec()
    };
    String::from_utf8(password).map_err(|_| Failure::configuration("the password is not UTF-8"))
}

/// Asks on the terminal for a line that isn't shown.
fn ask(prompt: &str) -> io::Result<Vec<u8>> {
    let unseen = Unseen::begin()?;
    // Standard output may be a file.
    let mut shown = io::stderr();
    write!(shown, "{prompt}")?;
    let line = line(&mut || {
        let mut octet = [0];
        loop {
            match rustix::io::read(stdin(), &mut octet) {
                Err(Errno::INTR) => {}
                read => return Ok((read? == 1).then_some(octet[0])),
            }
        }
    });
    drop(unseen);
    writeln!(shown)?;
    line
}

/// Reads a line as a terminal would: erase (backspace), kill (^U), interrupt (^C).
fn line(next: &mut dyn FnMut() -> io::Result<Option<u8>>) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    loop {
        match next()? {
            Some(b'\n' | b'\r') => return Ok(line),
            Some(0x7f | 0x08) => {
                // A whole character.
                while line.pop().is_some_and(|octet| octet & 0xc0 == 0x80) {}
            }
            Some(0x15) => line.clear(),
            None | Some(0x03 | 0x04) => return Err(io::Error::other("it was interrupted; nothing is changed")),
            Some(octet) if line.len() < LINE => line.push(octet),
            Some(_) => {}
        }
    }
}

/// As long as it lives, the terminal shows nothing and makes no signals: these would
/// end us and leave it so.
struct Unseen {
    before: Termios,
}

impl Unseen {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(stdin())?;
        let mut unseen = before.clone();
        unseen.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        tcsetattr(stdin(), OptionalActions::Flush, &unseen)?;
        Ok(Self { before })
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        // If the terminal is gone, so is what it would show.
        let _ = tcsetattr(stdin(), OptionalActions::Flush, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str) -> Option<String> {
        let mut octets = text.bytes();
        line(&mut || Ok(octets.next())).ok().map(|line| String::from_utf8(line).unwrap())
    }

    #[test]
    fn a_line_as_it_is_typed() {
        for (text, expected) in [
            ("apple\n", Some("apple")),
            ("apple\rmore", Some("apple")),
            ("\n", Some("")),
            ("applx\x7fe\n", Some("apple")),
            ("\x7f\x08a\u{e4}\u{20ac}\x7f\x08\n", Some("a")),
            ("nonsense\x15apple\n", Some("apple")),
            ("app\x03", None),
            ("app\x04", None),
            ("app", None),
        ] {
            assert_eq!(typed(text).as_deref(), expected, "{text:?}");
        }
        assert_eq!(typed(&("x".repeat(3 * LINE) + "\n")).unwrap().len(), LINE);
    }
}
