//! Which addresses are connected to. A registry may send us on, to its store of blobs or its token service, but never further
//! inside than where it is itself: one on the internet does not get to knock at the machines behind our firewall.

use std::net::IpAddr;

/// How far inside an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Zone {
    /// The internet.
    Public,
    /// A network of one's own.
    Private,
    /// This very machine, or pod.
    Loopback,
}

/// The zone of an address; `None` for those that nothing is ever fetched from: link-local ones, where clouds keep credentials,
/// multicast, and those that are no single machine's.
pub(super) fn zone(address: IpAddr) -> Option<Zone> {
    match address.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            if ip.is_loopback() {
                Some(Zone::Loopback)
            } else if a == 0 || a >= 224 || ip.is_link_local() {
                None
            } else if ip.is_private() || (a == 100 && (64..128).contains(&b)) {
                Some(Zone::Private)
            } else {
                Some(Zone::Public)
            }
        }
        IpAddr::V6(ip) => {
            if ip.is_loopback() {
                Some(Zone::Loopback)
            } else if ip.is_unspecified() || ip.is_multicast() || ip.is_unicast_link_local() {
                None
            } else if ip.is_unique_local() {
                Some(Zone::Private)
            } else {
                Some(Zone::Public)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_zone_however_it_is_written() {
        for (address, expected) in [
            ("8.8.8.8", Some(Zone::Public)),
            ("2606:4700::1111", Some(Zone::Public)),
            ("10.1.2.3", Some(Zone::Private)),
            ("172.31.0.1", Some(Zone::Private)),
            ("192.168.1.1", Some(Zone::Private)),
            ("100.100.1.1", Some(Zone::Private)),
            ("fd00:ec2::254", Some(Zone::Private)),
            ("::ffff:10.0.0.1", Some(Zone::Private)),
            ("127.8.9.1", Some(Zone::Loopback)),
            ("::1", Some(Zone::Loopback)),
            ("::ffff:127.0.0.1", Some(Zone::Loopback)),
            ("169.254.169.254", None),
            ("::ffff:169.254.169.254", None),
            ("fe80::1", None),
            ("0.0.0.0", None),
            ("::", None),
            ("224.0.0.1", None),
            ("255.255.255.255", None),
            ("ff02::1", None),
        ] {
            assert_eq!(zone(address.parse().unwrap()), expected, "{address}");
        }
        assert!(Zone::Public < Zone::Private && Zone::Private < Zone::Loopback);
    }
}
