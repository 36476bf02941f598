//! Blocks of IP addresses, as CIDR writes them: `192.0.2.0/24`, `2001:db8::/32`, or one address.

use std::net::IpAddr;

use ipnet::IpNet;

/// Blocks of addresses.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AddressBlocks(Vec<IpNet>);

impl AddressBlocks {
    /// Adds a block, or one address.
    ///
    /// # Errors
    /// A hint, if it is neither, or has bits after its mask.
    pub fn add(&mut self, text: &str) -> Result<(), &'static str> {
        const WRONG: &str = "give an address or a block of addresses, like 10.0.0.0/8 or ::1";
        let block = match text.parse() {
            Ok(address) => IpNet::from(IpAddr::to_canonical(&address)),
            Err(_) => text.parse().map_err(|_| WRONG)?,
        };
        // Such a block was probably meant to be another one.
        if block.addr() != block.network() {
            return Err("there are bits after the mask; of 10.0.0.0/8 only the first eight bits count");
        }
        self.0.push(block);
        Ok(())
    }

    /// Whether a block contains the address. An IPv4 address that IPv6 carries counts as IPv4.
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|block| block.contains(&address))
    }

    /// The blocks, as CIDR writes them.
    pub fn iter(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(ToString::to_string)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_contain_addresses_of_their_family() {
        let mut blocks = AddressBlocks::default();
        assert!(blocks.is_empty());
        for block in ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "::ffff:198.51.100.1"] {
            blocks.add(block).unwrap();
        }
        for (address, expected) in [
            ("10.255.0.1", true),
            ("::ffff:10.0.0.1", true),
            ("11.0.0.1", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("2001:db8:1::1", true),
            ("2001:db9::1", false),
            ("198.51.100.1", true),
        ] {
            assert_eq!(blocks.contain(address.parse().unwrap()), expected, "{address}");
        }
        for wrong in ["", "10.0.0.1/8", "10.0.0.0/33", "example.org", "10"] {
            assert!(blocks.add(wrong).is_err(), "{wrong}");
        }
    }
}
