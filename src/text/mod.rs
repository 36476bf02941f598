//! Text in languages that have their own ideas of some characters.

pub mod html;
pub mod json;
