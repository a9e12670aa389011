//! What counts as one source where sources are counted: who has one address of a network may have all of them.

use std::net::IpAddr;

/// The source that an address is counted as: an IPv4 address itself, however it is written, and of an IPv6 address its /64, which
/// is what one household or one machine is given.
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            // Loopback is this machine and no network.
            if v6.is_loopback() { IpAddr::V6(v6) } else { IpAddr::from([a, b, c, d, 0, 0, 0, 0]) }
        }
        v4 => v4,
    }
}

/// The network around a source, where one who has it has many sources: of an IPv6 address its /48, which is what one customer is given.
pub fn site_of(address: IpAddr) -> Option<IpAddr> {
    match network_of(address) {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            let [a, b, c, ..] = v6.segments();
            Some(IpAddr::from([a, b, c, 0, 0, 0, 0, 0]))
        }
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_one_source() {
        for (one, other, same) in [
            ("2001:db8::1", "2001:db8::ffff:1", true),
            ("2001:db8:0:1::1", "2001:db8:0:2::1", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("::1", "::2", false),
        ] {
            let of = |text: &str| network_of(text.parse().unwrap());
            assert_eq!(of(one) == of(other), same, "{one} {other}");
        }
        assert!(network_of("::1".parse().unwrap()).is_loopback());
    }

    #[test]
    fn a_site_is_what_one_customer_has() {
        let of = |text: &str| site_of(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:ffff::2"));
        assert_ne!(of("2001:db8:1::1"), of("2001:db8:2::1"));
        for none in ["192.0.2.1", "::ffff:192.0.2.1", "127.0.0.1", "::1"] {
            assert_eq!(of(none), None, "{none}");
        }
    }
}
