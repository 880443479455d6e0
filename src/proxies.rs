//! Who a request is from where a proxy passes it on: what `X-Forwarded-For` and `X-Forwarded-Proto` say counts only as far as
//! those who wrote it are trusted. `config` reads who is, `http/guard` asks.

use std::net::IpAddr;
use std::str::FromStr;

/// Addresses that share their first bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    /// Whether an address is one of it.
    pub fn holds(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let shift = 32 - self.bits;
                u64::from(own.to_bits()) >> shift == u64::from(other.to_bits()) >> shift
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let differ = own.to_bits() ^ other.to_bits();
                differ.leading_zeros() >= self.bits
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("\"{text}\" is no address or network; write 10.0.0.7, 10.0.0.0/8 or 2001:db8::/32");
        let (address, bits) =
            text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), |bits| bits.parse().map_err(|_| wrong()))?;
        if bits > most { Err(wrong()) } else { Ok(Self { address, bits }) }
    }
}

/// The proxies that are trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trusted {
    networks: Vec<Network>,
    /// Whether those who come by the Unix socket are.
    is_local: bool,
}

impl Trusted {
    /// Reads a list: addresses, networks, and `unix` for those who come by the Unix socket.
    ///
    /// ```
    /// use windrow::proxies::Trusted;
    ///
    /// let trusted = Trusted::read("unix, 10.0.0.0/8, ::1").unwrap();
    /// assert!(trusted.trusts(None) && trusted.trusts("10.1.2.3".parse().ok()));
    /// assert!(!trusted.trusts("11.1.2.3".parse().ok()));
    /// assert!(Trusted::read("10.0.0.0/33").is_err());
    /// ```
    ///
    /// # Errors
    /// What is none of these, as one sentence.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut trusted = Self::default();
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            match item {
                "unix" => trusted.is_local = true,
                network => trusted.networks.push(network.parse()?),
            }
        }
        Ok(trusted)
    }

    /// Whether a peer is trusted; one without an address comes by the Unix socket.
    pub fn trusts(&self, peer: Option<IpAddr>) -> bool {
        peer.map_or(self.is_local, |peer| self.networks.iter().any(|network| network.holds(peer)))
    }

    /// The client behind the proxies: the last address of the list that none of them has. What stands before that one anybody may
    /// have written.
    pub fn client(&self, peer: Option<IpAddr>, forwarded_for: Option<&str>) -> Option<IpAddr> {
        let mut client = peer;
        for item in forwarded_for.unwrap_or_default().rsplit(',').map(str::trim) {
            if !self.trusts(client) {
                break;
            }
            let Some(address) = address(item) else { break };
            client = Some(address);
        }
        client
    }
}

/// An address with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.split(']').next()).unwrap_or(text);
    let parsed =
        bare.parse().ok().or_else(|| bare.parse::<std::net::SocketAddr>().ok().map(|both| both.ip()));
    parsed.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(trusted: &str, peer: &str, forwarded_for: &str) -> String {
        let trusted = Trusted::read(trusted).unwrap();
        let found = trusted.client(peer.parse().ok(), Some(forwarded_for).filter(|text| !text.is_empty()));
        found.map_or_else(String::new, |address| address.to_string())
    }

    #[test]
    fn only_who_is_trusted_tells_where_a_request_is_from() {
        assert_eq!(client("", "1.1.1.1", "2.2.2.2"), "1.1.1.1");
        assert_eq!(client("1.1.1.1", "1.1.1.1", "2.2.2.2"), "2.2.2.2");
        assert_eq!(
            client("1.1.1.1", "1.1.1.1", "9.9.9.9, 2.2.2.2"),
            "2.2.2.2",
            "the first was written by the second"
        );
        assert_eq!(client("1.1.1.0/24", "1.1.1.1", "9.9.9.9, 2.2.2.2, 1.1.1.7"), "2.2.2.2");
        assert_eq!(client("1.1.1.1", "1.1.1.1", "9.9.9.9, nonsense"), "1.1.1.1");
        assert_eq!(client("1.1.1.1", "1.1.1.1", ""), "1.1.1.1");
        assert_eq!(client("1.1.1.1", "1.1.1.1", "2.2.2.2:8080"), "2.2.2.2");
        assert_eq!(client("::1", "::1", "[2001:db8::7]:443"), "2001:db8::7");
        assert_eq!(client("unix", "", "2.2.2.2"), "2.2.2.2");
        assert_eq!(client("", "", "2.2.2.2"), "");
    }

    #[test]
    fn a_network_holds_what_shares_its_first_bits() {
        let holds = |network: &str, address: &str| {
            network.parse::<Network>().unwrap().holds(address.parse().unwrap())
        };
        assert!(
            holds("0.0.0.0/0", "200.1.1.1") && holds("10.0.0.0/8", "10.255.0.1") && holds("::/0", "fe80::1")
        );
        assert!(
            !holds("10.0.0.0/8", "11.0.0.1") && !holds("10.0.0.0/8", "::1") && !holds("10.0.0.1", "10.0.0.2")
        );
        assert!(holds("10.0.0.0/8", "::ffff:10.0.0.1"), "an IPv4 address is one however it is written");
        assert!(holds("2001:db8::/32", "2001:db8:1::1") && !holds("2001:db8::/32", "2001:db9::1"));
        for wrong in ["", "a", "10.0.0.0/33", "::/129", "10.0.0.0/x", "10.0.0.0/-1"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }
}
