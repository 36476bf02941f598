//! The upper-case service.
