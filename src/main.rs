//! The `miod` command.

fn main() {}
