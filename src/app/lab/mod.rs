//! The laboratory: small applications that show HTTP at work.

use super::App;

/// Their names.
pub const NAMES: [&str; 0] = [];

/// The application of that name.
pub fn by_name(_name: &str) -> Option<Box<dyn App>> {
    None
}
