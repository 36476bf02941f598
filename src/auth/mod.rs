//! Who somebody is: password files, and the checks of passwords against them.
//!
//! ```text
//! name, password ─▶ Users::check ─┬─ verified lately ───────────────▶ Right
//!                                 ├─ too many checks, or failures ──▶ Busy, TooMany
//!                                 └─ Ask ─▶ helper thread: bcrypt ──▶ Users::settle
//! ```
//!
//! A check with bcrypt is made to be slow (50 ms at cost 10), so it never runs in
//! the loop: [`Check`] is a job, and what comes of it goes to [`Users::settle`].
//! What was right is remembered for a while, not as a password but as its HMAC
//! under a key of this run, so that the next request costs no bcrypt.
//!
//! Nothing that can be seen from outside, neither the answer nor its time, tells
//! an unknown name from a wrong password ([`htpasswd::Table::verify`]).
//!
//! **A changed file** is seen at the first check a second or more after the last
//! look: one stat(2), and it is read again if that differs. What was verified
//! against the old file counts for nothing then.
//!
//! [`guard`] puts paths under protection; the login page uses [`Users`] alone.

pub mod guard;
pub mod htpasswd;
mod moments;
mod throttle;
mod users;

pub use guard::Guard;
pub use users::{Check, Checked, Users, Verdict};

/// The user of the demonstration (at cost 10), where only this machine can connect: alice,
/// with the password apple.
pub const DEMONSTRATION: &str = "alice:$2y$10$kPiFS8EmSMzN5CoQIVMIvuJD.j./uVe7dP0ycNgyhRuwPcCbi0YM.\n";
