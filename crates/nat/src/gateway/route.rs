//! What the routing table knows.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
};

/// The gateway of the default route, and where the system does not tell it, a guess.
pub(super) fn default_gateway() -> io::Result<Option<Ipv4Addr>> {
    #[cfg(target_os = "linux")]
    {
        // Bounded: the default routes are at the top.
        let mut table = String::new();
        let file = std::fs::File::open("/proc/net/route")?;
        io::Read::read_to_string(&mut io::Read::take(file, MAX_TABLE), &mut table)?;
        Ok(parse_table(&table))
    }
    #[cfg(not(target_os = "linux"))]
    {
        // As geth: the first address of a private network is mostly its gateway.
        match local_ip(SocketAddr::from((SOMEWHERE, 9)))? {
            IpAddr::V4(ip) if ip.is_private() => {
                let [a, b, c, _] = ip.octets();
                Ok(Some(Ipv4Addr::new(a, b, c, 1)))
            }
            _ => Ok(None),
        }
    }
}

/// As much of the routing table as is read. A line has 128 bytes.
#[cfg(target_os = "linux")]
const MAX_TABLE: u64 = 1 << 17;

/// An address in the internet, to which nothing is sent.
#[cfg(not(target_os = "linux"))]
const SOMEWHERE: Ipv4Addr = Ipv4Addr::new(192, 0, 9, 1);

/// The address that this machine sends from to `remote`. Nothing is sent.
pub(super) fn local_ip(remote: SocketAddr) -> io::Result<IpAddr> {
    let any: SocketAddr = match remote {
        SocketAddr::V4(_) => ([0_u8; 4], 0).into(),
        SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(remote)?;
    Ok(socket.local_addr()?.ip().to_canonical())
}

/// The gateway of the best default route in a table of Linux: name, destination, gateway, flags, two
/// counters, metric, mask, ..., with the addresses as the machine has them in memory.
#[cfg(any(target_os = "linux", test))]
fn parse_table(table: &str) -> Option<Ipv4Addr> {
    const UP_AND_GATEWAY: u16 = 0x1 | 0x2;
    let route = |line: &str| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let destination = u32::from_str_radix(fields.next()?, 16).ok()?;
        let gateway = u32::from_str_radix(fields.next()?, 16).ok()?;
        let flags = u16::from_str_radix(fields.next()?, 16).ok()?;
        let metric: u32 = fields.nth(2)?.parse().ok()?;
        let mask = u32::from_str_radix(fields.next()?, 16).ok()?;
        let is_default = destination == 0 && mask == 0 && gateway != 0;
        (is_default && flags & UP_AND_GATEWAY == UP_AND_GATEWAY)
            .then(|| (metric, Ipv4Addr::from(gateway.to_ne_bytes())))
    };
    let best = table.lines().skip(1).filter_map(route).min_by_key(|&(metric, _)| metric);
    best.map(|(_, gateway)| gateway)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";

    fn table(lines: &[&str]) -> String {
        lines.iter().fold(HEAD.to_owned(), |table, line| format!("{table}{line}\n"))
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn the_default_route_with_the_lowest_metric_is_taken() {
        let lan = "eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0";
        let wifi = "wlan0\t00000000\t0102A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0";
        let wire = "eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0";
        let down = "eth1\t00000000\t0103A8C0\t0002\t0\t0\t0\t00000000\t0\t0\t0";
        let tunnel = "ppp0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0";
        let half = "tun0\t00000000\t0104A8C0\t0003\t0\t0\t0\t00000080\t0\t0\t0";
        let all = table(&[lan, wifi, down, wire, tunnel, half]);
        assert_eq!(parse_table(&all), Some([192, 168, 1, 1].into()));
        assert_eq!(parse_table(&table(&[lan, down, tunnel, half])), None);
    }

    #[test]
    fn what_is_no_table_has_no_gateway() {
        for text in ["", HEAD, "a\nb", "a\nb 0 zz 3 0 0 0 0", "a\nb 0 1 3", "a\n\u{e9} 0 1 3 0 0"] {
            assert_eq!(parse_table(text), None, "{text:?}");
        }
    }

    #[test]
    fn loopback_is_reached_from_loopback() {
        let local = local_ip("127.0.0.1:9".parse().unwrap()).unwrap();
        assert!(local.is_loopback());
    }
}
