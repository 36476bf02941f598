//! Text for HTML, for JSON and for users.

pub mod html;
pub mod io_error;
pub mod json;
