//! The laboratory: small applications that show HTTP at work.
