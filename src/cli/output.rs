//! What commands print on standard output: bytes that came from others, and how the output ends.

use std::io;

use super::error::{CommandError, WRITE};
use crate::text::io_error::describe;

/// Bytes without those that a terminal may interpret.
pub(super) fn plain(bytes: &[u8]) -> String {
    let escape = |&byte: &u8| match byte {
        b' '..=b'~' => char::from(byte).to_string(),
        _ => byte.escape_ascii().to_string(),
    };
    bytes.iter().map(escape).collect()
}

/// The end of output. A reader that is gone isn't an error.
pub(super) fn written(result: io::Result<()>) -> Result<(), CommandError> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CommandError::new(WRITE, format!("can't write: {}", describe(&error))))
        }
        _ => Ok(()),
    }
}
