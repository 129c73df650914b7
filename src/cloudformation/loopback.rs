//! Which hosts are this machine: the only ones that may be spoken to without TLS.

use url::{Host, Url};

/// Whether the URL's host is this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_loopback() {
        let told: Vec<(&str, bool)> = [
            "http://127.0.0.1:8080/x",
            "http://127.9.9.9",
            "http://[::1]:80",
            "http://localhost:1",
            "http://a.localhost",
            "http://localhost.example",
            "http://128.0.0.1",
            "http://github.com",
            "http://127.0.0.1.example",
            "data:x",
        ]
        .map(|text| (text, is_loopback(&Url::parse(text).unwrap())))
        .into();
        assert_eq!(told.iter().filter(|(_, is)| *is).count(), 5, "{told:?}");
    }
}
