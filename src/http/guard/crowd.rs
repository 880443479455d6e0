//! How many connections there are from where. Addresses of one network of IPv6 (/64) count as one, as one household or machine
//! has all of them. `front` asks it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

/// Connections by address.
#[derive(Debug)]
pub struct Crowd {
    by_address: HashMap<IpAddr, usize>,
    most: usize,
}

impl Crowd {
    /// None yet; so many of an address at most.
    pub fn new(most: usize) -> Self {
        Self { by_address: HashMap::new(), most }
    }

    /// Counts a connection; false, and not counted, where the address has as many as it may.
    pub fn enter(&mut self, address: IpAddr) -> bool {
        let count = self.by_address.entry(counted_as(address)).or_default();
        let may = *count < self.most;
        *count += usize::from(may);
        may
    }

    /// Counts a connection out.
    pub fn leave(&mut self, address: IpAddr) {
        let address = counted_as(address);
        if let Some(count) = self.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&address);
            }
        }
    }
}

fn counted_as(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) if address != Ipv6Addr::LOCALHOST => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_and_networks_of_ipv6_count_as_one() {
        let mut crowd = Crowd::new(2);
        let [a, b, c, d]: [IpAddr; 4] =
            ["127.0.0.1", "127.0.0.2", "2001:db8::1", "2001:db8::2"].map(|text| text.parse().unwrap());
        assert!(crowd.enter(a) && crowd.enter(a) && !crowd.enter(a) && crowd.enter(b));
        crowd.leave(a);
        assert!(crowd.enter(a) && !crowd.enter(a));
        assert!(crowd.enter(c) && crowd.enter(d) && !crowd.enter(c));
        for address in [a, a, b, c, d] {
            crowd.leave(address);
        }
        assert!(crowd.by_address.is_empty());
    }
}
