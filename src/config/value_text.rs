//! Values as an operator writes them: what the parsers of `values` read.

use std::time::Duration;

/// A size in bytes, as an operator writes it.
pub fn size(bytes: u64) -> String {
    match bytes {
        0 => "0".to_owned(),
        _ if bytes.is_multiple_of(1 << 30) => format!("{}G", bytes >> 30),
        _ if bytes.is_multiple_of(1 << 20) => format!("{}M", bytes >> 20),
        _ if bytes.is_multiple_of(1 << 10) => format!("{}K", bytes >> 10),
        _ => bytes.to_string(),
    }
}

/// A time in whole seconds, as an operator writes it.
pub fn span(span: Duration) -> String {
    match span.as_secs() {
        seconds if seconds.is_multiple_of(86_400) && seconds > 86_400 => format!("{}d", seconds / 86_400),
        seconds if seconds.is_multiple_of(3_600) => format!("{}h", seconds / 3_600),
        seconds if seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        seconds => seconds.to_string(),
    }
}

/// A time in seconds, perhaps with a fraction.
pub fn seconds(span: Duration) -> String {
    span.as_secs_f64().to_string()
}
