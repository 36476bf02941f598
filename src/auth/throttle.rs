//! How often one may be wrong: by address, so that nobody tries many passwords,
//! and by name, so that many addresses don't either.
//!
//! Each failure takes a place in a row that frees one place every so often; a
//! full row is a refusal without a look at the password. A place is taken before
//! the check and given back if it was right: so checks that run at once count
//! too, and who closes the connection before the answer gains nothing.
//!
//! A name's row is everybody's who claims that name, so a stranger who fills it
//! keeps its owner from logging in, for as long as that goes on. Who was verified
//! already, or has a session, isn't asked again. The other choice, any number of
//! guesses from a large network, is worse.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};

use super::moments::Moments;
use crate::limits;

/// How many failures may come at once, and after how many seconds one more.
#[derive(Clone, Copy)]
struct Row {
    places: u64,
    seconds: u64,
}

/// Of one address: a person's mistakes, and 14,400 guesses a day.
const ADDRESS: Row = Row { places: 10, seconds: 6 };
/// Of one name.
const NAME: Row = Row { places: 20, seconds: 3 };

/// The failures of late. A full row of n places is a moment n times its seconds
/// ahead (the generic cell rate algorithm): one number for each.
#[derive(Clone)]
pub(super) struct Throttle {
    /// Seeded from the system, so that nobody can aim at another's row.
    hasher: RandomState,
    rows: Moments<u64>,
}

/// Places that were taken.
#[derive(Clone, Copy)]
pub(super) struct Charge {
    address: u64,
    name: u64,
}

impl Throttle {
    pub(super) fn new() -> Self {
        Self { hasher: RandomState::new(), rows: Moments::new(limits::FAILURE_ROWS) }
    }

    /// Takes a place in both rows.
    ///
    /// # Errors
    /// In how many seconds there will be one.
    pub(super) fn charge(&mut self, from: Option<IpAddr>, name: &str, now: u64) -> Result<Charge, u64> {
        let charge =
            Charge { address: self.hasher.hash_one(("address", from)), name: self.hasher.hash_one(("name", name)) };
        let rows = [(charge.address, ADDRESS), (charge.name, NAME)];
        for (key, row) in rows {
            let last = row.seconds * (row.places - 1);
            if let wait @ 1.. = self.rows.get(&key, now).saturating_sub(now + last) {
                return Err(wait);
            }
        }
        for (key, row) in rows {
            self.rows.set(key, self.rows.get(&key, now) + row.seconds, now);
        }
        Ok(charge)
    }

    /// It was no failure.
    pub(super) fn refund(&mut self, charge: Charge, now: u64) {
        for (key, row) in [(charge.address, ADDRESS), (charge.name, NAME)] {
            self.rows.set(key, self.rows.get(&key, now).saturating_sub(row.seconds), now);
        }
    }
}

/// What counts as one address: one of IPv4, and of IPv6 what one household gets,
/// in which it can choose any address it likes.
pub(super) fn block(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6) >> 64 << 64).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        Some(block(text.parse().unwrap()))
    }

    #[test]
    fn an_address_has_so_many_failures_and_then_one_now_and_then() {
        let mut throttle = Throttle::new();
        let mut name = 0;
        let mut fail = |from: &str, now| {
            name += 1;
            throttle.charge(address(from), &name.to_string(), now).err()
        };
        for _ in 0..10 {
            assert_eq!(fail("192.0.2.1", 100), None);
        }
        assert_eq!(fail("192.0.2.1", 100), Some(6));
        assert_eq!(fail("::ffff:192.0.2.1", 105), Some(1));
        assert_eq!(fail("192.0.2.2", 105), None);
        assert_eq!(fail("192.0.2.1", 106), None);
        assert_eq!(fail("192.0.2.1", 106), Some(6));
        // After a while it is as if nothing had been.
        for _ in 0..10 {
            assert_eq!(fail("192.0.2.1", 1000), None);
        }
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        assert_eq!(address("2001:db8:0:1::1"), address("2001:db8:0:1:ffff::"));
        assert_ne!(address("2001:db8:0:1::1"), address("2001:db8:0:2::1"));
    }

    #[test]
    fn a_name_has_so_many_failures_from_wherever() {
        let mut throttle = Throttle::new();
        for last in 1..=20 {
            assert!(throttle.charge(address(&format!("192.0.2.{last}")), "alice", 0).is_ok());
        }
        assert_eq!(throttle.charge(address("192.0.2.21"), "alice", 0).err(), Some(3));
        // Who was refused has lost nothing, and others are others.
        for _ in 0..10 {
            assert!(throttle.charge(address("192.0.2.21"), "bob", 0).is_ok());
        }
        assert!(throttle.charge(None, "alice", 3).is_ok());
    }

    #[test]
    fn what_was_right_counts_for_nothing() {
        let mut throttle = Throttle::new();
        for now in 0..100 {
            let charge = throttle.charge(None, "alice", now / 10).ok().unwrap();
            throttle.refund(charge, now / 10);
        }
    }
}
