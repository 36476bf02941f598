//! Messages of system errors for users.

use std::io;

/// The message of an error, without the error number of the system.
pub fn describe(error: &io::Error) -> String {
    let text = error.to_string();
    match (error.raw_os_error(), text.find(" (os error ")) {
        (Some(_), Some(end)) => text[..end].to_lowercase(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_number_is_removed() {
        let refused = io::Error::from_raw_os_error(rustix::io::Errno::CONNREFUSED.raw_os_error());
        assert_eq!(describe(&refused), "connection refused");
        assert_eq!(describe(&io::Error::other("Odd (os error 5)")), "Odd (os error 5)");
    }
}
