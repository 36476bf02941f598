//! miod: a small, fast HTTP/1.1 daemon on one non-blocking poll loop.

pub mod app;
pub mod cli;
pub mod config;
pub mod files;
pub mod http;
pub mod limits;
pub mod logging;
pub mod reactor;
pub mod server;
pub mod service;
#[cfg(test)]
mod testing;
pub mod text;
