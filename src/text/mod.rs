//! Text in languages that have their own ideas of some characters, and for people.

pub mod html;
pub mod json;
pub mod reason;
