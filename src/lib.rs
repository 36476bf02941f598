//! miod: a small, fast HTTP/1.1 daemon on one non-blocking poll loop.

pub mod files;
pub mod http;
pub mod limits;
