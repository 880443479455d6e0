//! Which addresses are of the public network, and which private ones the program may all the same connect to: work that clients
//! have it do shall not reach what only this machine can. `config` reads the exceptions, `app/outgoing` asks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::proxies::Network;

/// Networks of IPv4 that are not of the public network, by their first address and bits: RFC 6890 and its successors.
const V4: [(Ipv4Addr, u32); 15] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// The one network of IPv6 that holds public addresses.
const GLOBAL: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
/// Networks within it that are not public: of protocols (Teredo among them), and for documentation.
const V6: [(Ipv6Addr, u32); 3] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];
/// Addresses of IPv6 that stand for one of IPv4: those of NAT64, and of 6to4.
const NAT64: (Ipv6Addr, u32) = (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);
const SIX_TO_FOUR: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16);

fn is_in_v4(address: Ipv4Addr, (first, bits): (Ipv4Addr, u32)) -> bool {
    (address.to_bits() ^ first.to_bits()).leading_zeros() >= bits
}

fn is_in_v6(address: Ipv6Addr, (first, bits): (Ipv6Addr, u32)) -> bool {
    (address.to_bits() ^ first.to_bits()).leading_zeros() >= bits
}

/// The address that is reached by one: of IPv6, the one of IPv4 that it stands for.
fn reached(address: IpAddr) -> IpAddr {
    let canonical = address.to_canonical();
    let IpAddr::V6(six) = canonical else { return canonical };
    if is_in_v6(six, NAT64) {
        Ipv4Addr::from_bits((six.to_bits() & 0xffff_ffff) as u32).into()
    } else if is_in_v6(six, SIX_TO_FOUR) {
        Ipv4Addr::from_bits((six.to_bits() >> 80 & 0xffff_ffff) as u32).into()
    } else {
        canonical
    }
}

/// Whether an address is of the public network.
///
/// ```
/// use windrow::private::is_public;
///
/// assert!(is_public("1.1.1.1".parse().unwrap()));
/// assert!(!is_public("127.0.0.1".parse().unwrap()) && !is_public("::ffff:10.0.0.7".parse().unwrap()));
/// ```
pub fn is_public(address: IpAddr) -> bool {
    match reached(address) {
        IpAddr::V4(four) => !V4.iter().any(|network| is_in_v4(four, *network)),
        IpAddr::V6(six) => is_in_v6(six, GLOBAL) && !V6.iter().any(|network| is_in_v6(six, *network)),
    }
}

/// The private addresses that may be connected to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Private {
    networks: Vec<Network>,
    all: bool,
}

impl Private {
    /// Reads a list of addresses and networks, or `all`.
    ///
    /// ```
    /// use windrow::private::Private;
    ///
    /// let private = Private::read("127.0.0.1, 10.0.0.0/8").unwrap();
    /// assert!(private.permits("10.1.2.3".parse().unwrap()) && !private.permits("192.168.0.1".parse().unwrap()));
    /// ```
    ///
    /// # Errors
    /// What is none of these, as one sentence.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut private = Self::default();
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            match item {
                "all" => private.all = true,
                network => private.networks.push(network.parse()?),
            }
        }
        Ok(private)
    }

    /// Whether an address may be connected to: one that is public, or among the exceptions.
    pub fn permits(&self, address: IpAddr) -> bool {
        let is_named = |address: IpAddr| self.networks.iter().any(|network| network.holds(address));
        self.all || is_public(address) || is_named(address) || is_named(reached(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_not_of_the_public_network_are_told_from_those_that_are() {
        let private = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:0:127.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:0:1:2::3",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "3fff::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "4000::1",
        ];
        for text in private {
            let address = text.parse().unwrap();
            assert!(!is_public(address), "{text}");
            assert!(!Private::default().permits(address), "{text}");
            assert!(Private::read("all").unwrap().permits(address), "{text}");
        }
        let public = [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.1",
            "100.63.255.255",
            "100.128.0.1",
            "126.0.0.1",
            "128.0.0.1",
            "172.15.255.255",
            "172.32.0.1",
            "192.0.1.1",
            "192.167.0.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
            "2002:101:101::1",
            "2606:4700::1111",
            "2a00::1",
            "3ffe::1",
        ];
        for text in public {
            assert!(Private::default().permits(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn what_is_named_may_be_reached_in_all_its_forms_and_nothing_else() {
        let private = Private::read("127.0.0.1, 10.0.0.0/8, fd00::/8").unwrap();
        for text in ["127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::127.0.0.1", "10.9.8.7", "fd00::1"] {
            assert!(private.permits(text.parse().unwrap()), "{text}");
        }
        for text in ["127.0.0.2", "11.0.0.0", "::1", "192.168.0.1", "fc00::1"] {
            assert_eq!(private.permits(text.parse().unwrap()), text == "11.0.0.0", "{text}");
        }
        assert!(Private::read("localhost").unwrap_err().contains("no address or network"));
    }
}
