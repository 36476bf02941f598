//! Figures about a running process: histograms, and the text formats in which a monitoring
//! system reads them.
//!
//! A figure is counted where it happens, in a plain number or a [`Histogram`]: one addition
//! without a lock, since there is one thread. It is given its name when it is [written](Exposition).

mod exposition;
mod histogram;

pub use exposition::{Exposition, Format, Kind};
pub use histogram::Histogram;
