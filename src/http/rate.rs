//! A limit of requests per address, and who has used it up.
//!
//! The generic cell rate algorithm (ITU-T I.371): a request takes a place in time, `1/N` second
//! after the one before it. It is allowed as long as its place is at most a burst ahead of the
//! clock. So one number per address is enough, and after a pause the whole burst is there again.
//!
//! An adversary has as many IPv6 addresses as it likes below one prefix, so a /64 counts as one.
//! The table has a limit: when it is full, addresses that have the whole burst are forgotten, and
//! then those that are nearest to it. A client with thousands of addresses gets a burst for each
//! in any case.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use hashbrown::HashMap;

/// So many requests in a time, and a burst.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// Requests per second.
    pub per_second: u32,
    /// Requests at once in all.
    pub burst: u32,
}

impl Rate {
    /// Parses `N/s` or `N/s:BURST`. Without a burst it is `N`.
    ///
    /// # Errors
    /// A hint.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parse = || {
            let (rate, burst) = match text.split_once(':') {
                Some((rate, burst)) => (rate, Some(burst)),
                None => (text, None),
            };
            let per_second: u32 = rate.strip_suffix("/s")?.parse().ok()?;
            let burst = burst.map_or(Some(per_second), |burst| burst.parse().ok())?;
            let is_valid = (1..=1_000_000).contains(&per_second) && (1..=1_000_000).contains(&burst);
            is_valid.then_some(Self { per_second, burst })
        };
        parse().ok_or_else(|| "give requests per second, like 10/s, or 10/s:50 with a burst".to_owned())
    }

    /// Between two requests, in microseconds.
    fn interval(self) -> u64 {
        1_000_000 / u64::from(self.per_second)
    }

    /// How long the whole burst takes to come back, in whole seconds.
    pub fn window(self) -> u64 {
        u64::from(self.burst).div_ceil(u64::from(self.per_second))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s:{}", self.per_second, self.burst)
    }
}

/// Most addresses that are remembered: a table of 32,768 places is then seven eighths full.
const MOST: usize = 28_000;

/// What addresses have used up.
#[derive(Default)]
pub struct Rates {
    /// The place in time of the next request, in microseconds.
    next: HashMap<(u64, u128), u64, foldhash::fast::RandomState>,
}

/// Which address counts: of IPv6 the first 64 bits.
fn key(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits() >> 64 << 64,
    }
}

impl Rates {
    /// Whether an address may make a request at `now`, in microseconds of a clock. `group` tells
    /// limits apart that count for themselves.
    ///
    /// # Errors
    /// How long it must wait.
    pub fn take(&mut self, rate: Rate, group: u64, address: IpAddr, now: u64) -> Result<(), Duration> {
        let key = (group, key(address));
        let next = self.next.get(&key).map_or(now, |next| now.max(*next));
        let ahead = rate.interval() * (u64::from(rate.burst) - 1);
        if next > now + ahead {
            return Err(Duration::from_micros(next - now - ahead));
        }
        if self.next.len() >= MOST && !self.next.contains_key(&key) {
            self.make_room(now);
        }
        self.next.insert(key, next + rate.interval());
        Ok(())
    }

    /// Forgets addresses that have the whole burst, or else the half that is nearest to it.
    fn make_room(&mut self, now: u64) {
        self.next.retain(|_, next| *next > now);
        if self.next.len() >= MOST {
            let mut all: Vec<u64> = self.next.values().copied().collect();
            let (_, median, _) = all.select_nth_unstable(MOST / 2);
            let median = *median;
            self.next.retain(|_, next| *next > median);
        }
    }

    /// Bytes of memory that it takes.
    pub fn memory(&self) -> usize {
        self.next.allocation_size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn a_rate_is_parsed() {
        for (text, per_second, burst) in [("10/s", 10, 10), ("1/s:1", 1, 1), ("5/s:100", 5, 100)] {
            let rate = Rate::parse(text).unwrap();
            assert_eq!((rate.per_second, rate.burst), (per_second, burst));
        }
        for text in ["", "10", "10/m", "0/s", "10/s:0", "10/s:", "-1/s", "1.5/s", "9999999/s"] {
            assert!(Rate::parse(text).is_err(), "{text}");
        }
        assert_eq!(Rate::parse("10/s:25").unwrap().window(), 3);
    }

    #[test]
    fn an_address_has_a_burst_and_then_its_rate() {
        let rate = Rate { per_second: 10, burst: 3 };
        let mut rates = Rates::default();
        let one: IpAddr = "192.0.2.1".parse().unwrap();
        let mut take = |address: IpAddr, now| rates.take(rate, 0, address, now);
        for _ in 0..3 {
            assert_eq!(take(one, 5 * SECOND), Ok(()));
        }
        assert_eq!(take(one, 5 * SECOND), Err(Duration::from_millis(100)));
        assert_eq!(take(one, 5 * SECOND + 60_000), Err(Duration::from_millis(40)));
        assert_eq!(take(one, 5 * SECOND + 100_000), Ok(()));
        assert!(take(one, 5 * SECOND + 100_000).is_err());
        // Refused requests cost nothing, and other addresses have their own.
        assert_eq!(take("::ffff:192.0.2.2".parse().unwrap(), 5 * SECOND), Ok(()));
        assert!(take("::ffff:192.0.2.1".parse().unwrap(), 5 * SECOND + 100_000).is_err());
        assert_eq!(take(one, 9 * SECOND), Ok(()));
    }

    #[test]
    fn a_prefix_of_ipv6_counts_as_one_address_and_groups_count_for_themselves() {
        let rate = Rate { per_second: 1, burst: 1 };
        let mut rates = Rates::default();
        let at = |text: &str| text.parse().unwrap();
        assert_eq!(rates.take(rate, 0, at("2001:db8::1"), 0), Ok(()));
        assert!(rates.take(rate, 0, at("2001:db8::2"), 0).is_err());
        assert_eq!(rates.take(rate, 0, at("2001:db8:0:1::1"), 0), Ok(()));
        assert_eq!(rates.take(rate, 1, at("2001:db8::2"), 0), Ok(()));
    }

    #[test]
    fn a_million_addresses_take_bounded_memory() {
        let rate = Rate { per_second: 1, burst: 2 };
        let mut rates = Rates::default();
        let busy: IpAddr = "10.0.0.1".parse().unwrap();
        for number in 0..1_000_000_u32 {
            let address = IpAddr::V6(std::net::Ipv6Addr::from_bits(u128::from(number) << 64));
            assert_eq!(rates.take(rate, 0, address, 0), Ok(()));
            // Who has used up all of it isn't forgotten for those who have not.
            if number % 500 == 0 {
                let _ = rates.take(rate, 0, busy, 0);
            }
        }
        assert!(rates.next.len() <= MOST && rates.memory() < 4 << 20, "{}", rates.memory());
        assert!(rates.take(rate, 0, busy, 0).is_err());
    }
}
