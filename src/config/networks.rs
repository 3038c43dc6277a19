//! From which addresses a listener may be reached: the key `allow_from`.
//!
//! A list of addresses and prefixes flows in, [`Network`]s flow out, or what is wrong.

use super::build::View;
use super::problem::Problems;
use std::net::IpAddr;
use std::str::FromStr;

/// An address, or all whose first bits are the same (CIDR, RFC 4632).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    /// How many bits count: up to 32 of IPv4, up to 128 of IPv6.
    bits: u32,
}

impl Network {
    /// Whether it has this address. An IPv4 address that comes as IPv6 (`::ffff:10.0.0.1`) is the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(32 - self.bits).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(128 - self.bits).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = ();

    fn from_str(text: &str) -> Result<Network, ()> {
        let (address, bits) =
            text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(drop)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), str::parse).map_err(drop)?;
        if bits <= most { Ok(Network { address, bits }) } else { Err(()) }
    }
}

/// The networks that a listener may be reached from; none for all.
pub(super) fn allow_from(view: &View<'_>, key: &str, problems: &mut Problems) -> Vec<Network> {
    let Some(node) = view.child("allow_from") else { return Vec::new() };
    let mut networks = Vec::new();
    for text in view.list("allow_from") {
        match text.parse() {
            Ok(network) => networks.push(network),
            Err(()) => {
                let message = format!("{key}.allow_from: {text:?} is no address and no prefix");
                let hint = "write addresses and prefixes, such as [127.0.0.1, 10.0.0.0/8, \"fd00::/8\"]; names are not looked up";
                problems.push(node.place.problem(message, Some(hint.to_owned())));
            }
        }
    }
    networks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_the_addresses_that_begin_with_its_bits() {
        for (network, address, is_in) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("0.0.0.0/0", "192.0.2.1", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("fd00::/8", "fdff::1", true),
            ("fd00::/8", "fe00::1", false),
            ("::1", "::1", true),
        ] {
            let found = network.parse::<Network>().unwrap().contains(address.parse().unwrap());
            assert_eq!(found, is_in, "{address} in {network}");
        }
        for wrong in ["", "localhost", "10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/", "10.0.0.0/-1"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong:?}");
        }
    }
}
