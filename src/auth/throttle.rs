//! The rate limit of failed passwords: per address, so that one client can't try many
//! passwords, and per name, so that many clients can't either.
//!
//! A failure takes a token from a bucket that gets a new one every few seconds. If the
//! bucket is empty, the request is refused without a check. The token is taken before the
//! check and returned if the password was right. So concurrent checks count, and a client
//! that closes the connection before the response gains nothing.
//!
//! The bucket of a name is shared by all clients that claim this name. So an attacker can
//! keep the user from logging in, for as long as the attack lasts. Users that were verified
//! already, or have a session, are not affected. The alternative, any number of guesses
//! from a large network, is worse.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};

use super::expiry_map::ExpiryMap;
use crate::limits;

/// The size of a bucket, and the seconds after which it gets one token.
#[derive(Clone, Copy)]
struct Bucket {
    tokens: u64,
    seconds: u64,
}

/// Per address: a person's mistakes, and 14,400 guesses a day.
const ADDRESS: Bucket = Bucket { tokens: 10, seconds: 6 };
/// Per name.
const NAME: Bucket = Bucket { tokens: 20, seconds: 3 };

/// The buckets. The state of a bucket is one number (the generic cell rate algorithm): the
/// second at which it is full again. An empty bucket of n tokens is full again after n times
/// its seconds.
pub(super) struct Throttle {
    /// Seeded by the system, so that nobody can choose a name that shares another's bucket.
    hasher: RandomState,
    buckets: ExpiryMap<u64>,
}

/// The tokens that were taken.
#[derive(Clone, Copy)]
pub(super) struct Charge {
    address: u64,
    name: u64,
}

impl Throttle {
    pub(super) fn new() -> Self {
        Self { hasher: RandomState::new(), buckets: ExpiryMap::new(limits::FAILURE_ROWS) }
    }

    /// Takes a token from both buckets.
    ///
    /// # Errors
    /// The seconds until there is one.
    pub(super) fn charge(&mut self, from: Option<IpAddr>, name: &str, now: u64) -> Result<Charge, u64> {
        let charge =
            Charge { address: self.hasher.hash_one(("address", from)), name: self.hasher.hash_one(("name", name)) };
        let buckets = [(charge.address, ADDRESS), (charge.name, NAME)];
        for (key, bucket) in buckets {
            let last = bucket.seconds * (bucket.tokens - 1);
            if let wait @ 1.. = self.buckets.get(&key, now).saturating_sub(now + last) {
                return Err(wait);
            }
        }
        for (key, bucket) in buckets {
            self.buckets.set(key, self.buckets.get(&key, now) + bucket.seconds, now);
        }
        Ok(charge)
    }

    /// Returns the tokens: the password was right.
    pub(super) fn refund(&mut self, charge: Charge, now: u64) {
        for (key, bucket) in [(charge.address, ADDRESS), (charge.name, NAME)] {
            self.buckets.set(key, self.buckets.get(&key, now).saturating_sub(bucket.seconds), now);
        }
    }
}

/// What counts as one address: an IPv4 address, or an IPv6 /64 network, because one household
/// gets a whole one.
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
    fn an_address_has_a_few_failures_and_then_one_every_six_seconds() {
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
        // After a while all tokens are back.
        for _ in 0..10 {
            assert_eq!(fail("192.0.2.1", 1000), None);
        }
    }

    #[test]
    fn an_ipv6_network_counts_as_one_address() {
        assert_eq!(address("2001:db8:0:1::1"), address("2001:db8:0:1:ffff::"));
        assert_ne!(address("2001:db8:0:1::1"), address("2001:db8:0:2::1"));
    }

    #[test]
    fn a_name_has_a_few_failures_from_all_addresses() {
        let mut throttle = Throttle::new();
        for last in 1..=20 {
            assert!(throttle.charge(address(&format!("192.0.2.{last}")), "alice", 0).is_ok());
        }
        assert_eq!(throttle.charge(address("192.0.2.21"), "alice", 0).err(), Some(3));
        // A refused attempt took no token of the address, and other names are not affected.
        for _ in 0..10 {
            assert!(throttle.charge(address("192.0.2.21"), "bob", 0).is_ok());
        }
        assert!(throttle.charge(None, "alice", 3).is_ok());
    }

    #[test]
    fn a_right_password_takes_no_token() {
        let mut throttle = Throttle::new();
        for now in 0..100 {
            let charge = throttle.charge(None, "alice", now / 10).ok().unwrap();
            throttle.refund(charge, now / 10);
        }
    }
}
