//! Reads a password: on a terminal without echo and twice, else from standard input.

use std::io::{self, BufRead, IsTerminal, Read, Write};

use rustix::io::Errno;
use rustix::stdio::stdin;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::error::CommandError;

/// Longest line in bytes; a password is shorter.
const LINE: usize = 1024;

/// A new password for `user`.
pub(super) fn new_password(user: &str) -> Result<String, CommandError> {
    let wrong = |error: io::Error| CommandError::runtime("read a password, so nothing is changed", &error);
    let password = if io::stdin().is_terminal() {
        let first = ask(&format!("New password of {user}: ")).map_err(wrong)?;
        if ask("Again: ").map_err(wrong)? != first {
            return Err(CommandError::configuration("the passwords differ; nothing is changed"));
        }
        first
    } else {
        let mut line = Vec::new();
        io::stdin().lock().take(LINE as u64).read_until(b'\n', &mut line).map_err(wrong)?;
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        line.strip_suffix(b"\r").unwrap_or(line).to_vec()
    };
    utf8(password)
}

/// A password that exists already, from the terminal.
pub(super) fn password(prompt: &str) -> Result<String, CommandError> {
    utf8(ask(prompt).map_err(|error| CommandError::runtime("read a password", &error))?)
}

fn utf8(password: Vec<u8>) -> Result<String, CommandError> {
    String::from_utf8(password).map_err(|_| CommandError::configuration("the password is not UTF-8"))
}

/// Reads a line from the terminal without echo.
fn ask(prompt: &str) -> io::Result<Vec<u8>> {
    let no_echo = NoEcho::begin()?;
    // Standard output may be a file.
    let mut err = io::stderr();
    write!(err, "{prompt}")?;
    let line = line(&mut || {
        let mut byte = [0];
        loop {
            match rustix::io::read(stdin(), &mut byte) {
                Err(Errno::INTR) => {}
                read => return Ok((read? == 1).then_some(byte[0])),
            }
        }
    });
    drop(no_echo);
    writeln!(err)?;
    line
}

/// Reads a line as a terminal would: erase (backspace), kill (^U), interrupt (^C).
fn line(next: &mut dyn FnMut() -> io::Result<Option<u8>>) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    loop {
        match next()? {
            Some(b'\n' | b'\r') => return Ok(line),
            Some(0x7f | 0x08) => {
                // Remove a whole character.
                while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
            }
            Some(0x15) => line.clear(),
            None | Some(0x03 | 0x04) => return Err(io::Error::other("interrupted")),
            Some(byte) if line.len() < LINE => line.push(byte),
            Some(_) => {}
        }
    }
}

/// While it exists, the terminal echoes nothing and sends no signals: a signal would end the
/// process without restoring the terminal.
struct NoEcho {
    before: Termios,
}

impl NoEcho {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(stdin())?;
        let mut no_echo = before.clone();
        no_echo.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        tcsetattr(stdin(), OptionalActions::Flush, &no_echo)?;
        Ok(Self { before })
    }
}

impl Drop for NoEcho {
    fn drop(&mut self) {
        // An error means that the terminal is gone.
        let _ = tcsetattr(stdin(), OptionalActions::Flush, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str) -> Option<String> {
        let mut bytes = text.bytes();
        line(&mut || Ok(bytes.next())).ok().map(|line| String::from_utf8(line).unwrap())
    }

    #[test]
    fn erase_kill_and_interrupt_work_as_on_a_terminal() {
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
