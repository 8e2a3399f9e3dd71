//! What the command prints when it serves: where it can be reached.

use crate::options::Options;
use capuchin::Running;
use capuchin::access_log::Destination;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// One URL a line, for scripts. At a terminal, where `person` has the options, also what is served and how to stop the
/// server.
pub(crate) fn text(running: &Running, person: Option<&Options>) -> String {
    let mut text = String::new();
    if let Some(options) = person {
        let directory = &options.directory;
        let path = directory.canonicalize();
        let path = path.as_ref().unwrap_or(directory).display();
        let _ = writeln!(text, "Serving {path} at");
    }
    let indent = if person.is_some() { "  " } else { "" };
    let listeners = running.addresses();
    let interfaces = interfaces();
    for &listener in listeners {
        for address in reachable(listener, listeners, &interfaces) {
            let _ = writeln!(text, "{indent}http://{address}/");
        }
    }
    for &listener in listeners.iter().filter(|address| is_all_of_v6(**address)) {
        let families = match takes_both_families(listener, listeners) {
            true => "IPv6 and IPv4",
            false => "IPv6",
        };
        let _ = writeln!(text, "{indent}{listener} takes {families}");
    }
    if let Some(listener) = running.status_address() {
        for address in reachable(listener, listeners, &interfaces) {
            let _ = writeln!(text, "{indent}counters: http://{address}/");
        }
    }
    if let Some(options) = person {
        text.push_str(match options.access_log {
            Some(Destination::File(_)) => "Ctrl-C stops it.\n",
            Some(Destination::Stdout) | None => "Ctrl-C stops it. Each request is logged here:\n",
        });
    }
    text
}

/// Where a listener can be reached: at its address, or where that stands for all addresses, at this machine's.
fn reachable(
    listener: SocketAddr,
    listeners: &[SocketAddr],
    interfaces: &[IpAddr],
) -> Vec<SocketAddr> {
    if !listener.ip().is_unspecified() {
        return vec![listener];
    }
    let takes = |address: &IpAddr| {
        address.is_ipv4() == listener.is_ipv4() || takes_both_families(listener, listeners)
    };
    let own = [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        IpAddr::from(Ipv6Addr::LOCALHOST),
    ];
    let others = interfaces.iter().copied().filter(|address| match address {
        // A link-local address needs the name of an interface of the other machine.
        IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local(),
        IpAddr::V4(v4) => !v4.is_loopback(),
    });
    let own = own
        .into_iter()
        .filter(|address| interfaces.is_empty() || interfaces.contains(address));
    own.chain(others)
        .filter(takes)
        .map(|address| SocketAddr::new(address, listener.port()))
        .collect()
}

/// Whether a listener takes IPv4 connections besides those over IPv6: it does unless another one does, as
/// [`capuchin::Server::listen`] says.
fn takes_both_families(listener: SocketAddr, listeners: &[SocketAddr]) -> bool {
    let all_of_v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, listener.port()));
    is_all_of_v6(listener) && !listeners.contains(&all_of_v4)
}

fn is_all_of_v6(address: SocketAddr) -> bool {
    address.ip() == IpAddr::from(Ipv6Addr::UNSPECIFIED)
}

/// The addresses of this machine; none where the system does not tell them.
#[cfg(feature = "interfaces")]
fn interfaces() -> Vec<IpAddr> {
    let all = if_addrs::get_if_addrs().unwrap_or_default();
    all.into_iter().map(|interface| interface.ip()).collect()
}

#[cfg(not(feature = "interfaces"))]
fn interfaces() -> Vec<IpAddr> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(listener: &str, others: &[&str]) -> Vec<String> {
        let parse = |text: &str| -> SocketAddr { text.parse().expect("an address") };
        let mut listeners: Vec<_> = others.iter().copied().map(parse).collect();
        listeners.push(parse(listener));
        let interfaces = ["127.0.0.1", "::1", "192.0.2.7", "2001:db8::7", "fe80::1"];
        let interfaces = interfaces.map(|text| text.parse().expect("an address"));
        let found = reachable(parse(listener), &listeners, &interfaces);
        found.iter().map(SocketAddr::to_string).collect()
    }

    #[test]
    fn listener_on_all_addresses_is_shown_by_those_that_other_machines_can_use() {
        assert_eq!(urls("192.0.2.7:80", &[]), ["192.0.2.7:80"]);
        assert_eq!(urls("0.0.0.0:80", &[]), ["127.0.0.1:80", "192.0.2.7:80"]);
        assert_eq!(
            urls("[::]:80", &[]),
            [
                "127.0.0.1:80",
                "[::1]:80",
                "192.0.2.7:80",
                "[2001:db8::7]:80"
            ]
        );
        assert_eq!(
            urls("[::]:80", &["0.0.0.0:80"]),
            ["[::1]:80", "[2001:db8::7]:80"]
        );
        assert_eq!(urls("[::]:80", &["0.0.0.0:81"]).len(), 4);
    }
}
