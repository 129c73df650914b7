//! Hosts on this machine: the only ones that may be reached without TLS.
//!
//! A local emulator such as `LocalStack` runs the function in a container, in which the machine has names of its own. A
//! request to one of them does not leave the machine.

use url::{Host, Url};

/// Whether the URL's host is a loopback host.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// The names that Docker, Podman, Lima and `LocalStack` give the machine inside a container.
///
/// <https://docs.docker.com/desktop/features/networking/networking-how-tos/>,
/// <https://docs.localstack.cloud/aws/capabilities/networking/>
const NAMES_IN_CONTAINERS: &[&str] = &[
    "host.docker.internal",
    "gateway.docker.internal",
    "host.containers.internal",
    "host.lima.internal",
    "localhost.localstack.cloud",
];

/// Whether the URL's host is this machine, from inside a container or outside.
pub(super) fn is_local_machine(url: &Url) -> bool {
    let is_named = |name: &str| {
        let name = name.to_ascii_lowercase();
        let parent = name.strip_suffix(".localhost.localstack.cloud").is_some();
        parent || NAMES_IN_CONTAINERS.contains(&name.as_str())
    };
    is_loopback(url) || matches!(url.host(), Some(Host::Domain(name)) if is_named(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_hosts() {
        let hosts: Vec<(&str, bool)> = [
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
        assert_eq!(hosts.iter().filter(|(_, is)| *is).count(), 5, "{hosts:?}");
    }

    #[test]
    fn names_of_the_machine_in_a_container_are_local() {
        for (text, is_local) in [
            ("http://host.docker.internal:4566/bucket?X-Amz-Signature=x", true),
            ("http://HOST.docker.internal", true),
            ("http://host.containers.internal:1", true),
            ("http://localhost.localstack.cloud:4566", true),
            ("http://s3.localhost.localstack.cloud:4566/x", true),
            ("http://127.0.0.1:4566", true),
            ("http://evil.host.docker.internal", false),
            ("http://host.docker.internal.example", false),
            ("http://ip-10-0-0-1.ec2.internal", false),
            ("http://10.0.0.1", false),
            ("http://localstack.cloud", false),
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!(is_local_machine(&url), is_local, "{text}");
            assert!(!is_loopback(&url) || text.contains("127.0.0.1"), "{text}");
        }
    }
}
