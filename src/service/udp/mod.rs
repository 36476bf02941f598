//! Services on datagram sockets.
//!
//! ```text
//! answer     miod udp upper, udp echo: a reply to each datagram (impairment: the bad network)
//! watch      miod heartbeat watch: prints which senders live and which heartbeats were lost
//! ```
//!
//! Each is a state machine in a file of its own, run by `console/program.rs`.

pub mod answer;
pub mod impairment;
pub mod watch;
