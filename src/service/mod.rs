//! The protocols that run on the reactor: the only layer that knows both sides.

pub mod echo;
#[cfg(test)]
mod testing;
pub mod upper;
