//! Text for programs and for users.

pub mod io_error;
pub mod json;
pub mod page;
pub mod size;
pub mod suggest;
