//! A quiz: one question a page, answered by choosing, scored here and not there.
//!
//! `questions` reads what is asked, `game` keeps what a visitor answered.

mod game;
mod questions;

pub use game::{Game, Taken};
pub use questions::{Question, Quiz};
