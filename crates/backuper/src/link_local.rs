//! Addresses that are this machine's or its cloud's, and no server of anybody's.

use core::net::IpAddr;

/// Where clouds serve credentials to whoever asks: RFC 3927, and RFC 4291, 2.5.6; AWS's by IPv6 too.
#[must_use]
pub fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => {
            let mapped = address
                .to_ipv4_mapped()
                .is_some_and(|it| it.is_link_local());
            mapped
                || address.is_unicast_link_local()
                || address.segments()[..3] == [0xfd00, 0x0ec2, 0]
        }
    }
}
