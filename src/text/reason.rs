//! Errors of the system in words for people.

use std::io;

/// What the system says, without the number that only programmers know.
pub fn reason(error: &io::Error) -> String {
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
    fn numbers_are_for_programmers() {
        let refused = io::Error::from_raw_os_error(rustix::io::Errno::CONNREFUSED.raw_os_error());
        assert_eq!(reason(&refused), "connection refused");
        assert_eq!(reason(&io::Error::other("Odd (os error 5)")), "Odd (os error 5)");
    }
}
