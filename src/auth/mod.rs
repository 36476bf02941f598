//! Authentication: password files, and the checks of passwords.
//!
//! ```text
//! name, password ─▶ Users::check ─┬─ verified recently ─────────────▶ Right
//!                                 ├─ too many checks, or failures ──▶ Busy, TooMany
//!                                 └─ Ask ─▶ helper thread: bcrypt ──▶ Users::settle
//! ```
//!
//! A check with bcrypt is slow on purpose (50 ms at cost 10), so it never runs on the loop:
//! [`Check`] is a job, and its result goes to [`Users::settle`]. A verified password is
//! remembered for a while, so that the next request needs no bcrypt. It is remembered as an
//! HMAC with a key of this process, not as a password.
//!
//! Neither a response nor its time tells an unknown name from a wrong password
//! ([`htpasswd::Table::verify`]).
//!
//! **A changed file** is noticed at the first check a second or more after the last look:
//! one stat(2), and the file is read again if the result differs. Passwords that were
//! verified with the old file are then forgotten.
//!
//! [`guard`] protects paths; the login page uses [`Users`] alone.

mod expiry_map;
pub mod guard;
pub mod htpasswd;
mod throttle;
mod users;

pub use guard::Guard;
pub use users::{Check, Checked, Users, Verdict};

/// The demonstration user (at cost 10): alice with the password apple. It is only used where
/// only this machine can connect.
pub const DEMONSTRATION: &str = "alice:$2y$10$kPiFS8EmSMzN5CoQIVMIvuJD.j./uVe7dP0ycNgyhRuwPcCbi0YM.\n";
