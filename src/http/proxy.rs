//! The proxies that the environment names, by the conventions of curl:
//! <https://curl.se/docs/manpage.html#ENVIRONMENT>.
//!
//! Every remote of HTTPS is reached through a tunnel, so that no proxy sees a credential or a response URL. Without TLS
//! only this machine is spoken to, and never through a proxy.

use reqwest::{NoProxy, Proxy};

use crate::pool::model::secret::Secret;

/// Hosts that are this machine, or the link to it: the metadata and credentials endpoints of AWS are link-local.
const NEVER: &str = "localhost,127.0.0.0/8,::1,169.254.0.0/16";

/// `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`.
#[derive(Clone, Debug, Default)]
pub struct ProxySettings {
    /// For `https` URLs. May hold a password.
    pub https: Option<Secret>,
    /// For `http` URLs.
    pub http: Option<Secret>,
    /// Hosts, domains and networks that are reached directly, with commas; `*` for all.
    pub exceptions: Option<String>,
}

/// A variable whose value is not the URL of a proxy. The value may hold a password and is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("environment variable {variable}: its value is not the URL of a proxy")]
pub struct InvalidProxy {
    variable: &'static str,
}

impl ProxySettings {
    /// The proxies as reqwest takes them.
    ///
    /// # Errors
    /// When a URL is none. The error does not repeat it.
    pub(super) fn proxies(&self) -> Result<Vec<Proxy>, InvalidProxy> {
        let exceptions = [NEVER, self.exceptions.as_deref().unwrap_or_default()].join(",");
        let https = self.https.as_ref().map(|url| Proxy::https(url.expose()));
        let http = self.http.as_ref().map(|url| Proxy::http(url.expose()));
        let mut proxies = Vec::new();
        for (variable, proxy) in [("HTTPS_PROXY", https), ("HTTP_PROXY", http)] {
            let Some(proxy) = proxy else { continue };
            // The source would repeat the URL.
            let proxy = proxy.map_err(|_| InvalidProxy { variable })?;
            proxies.push(proxy.no_proxy(NoProxy::from_string(&exceptions)));
        }
        Ok(proxies)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::super::client;
    use super::*;

    /// The first line that a proxy gets when a client asks for `url`; `None` if the client asks it nothing.
    async fn first_line(exceptions: Option<&str>, url: &str) -> Option<String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Some(Secret::new(format!("http://user:planted@{}", listener.local_addr().unwrap())));
        let settings = ProxySettings { https: proxy.clone(), http: proxy, exceptions: exceptions.map(str::to_owned) };
        let client = client(None, &settings).unwrap();
        let asked = async {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 1024];
            let n = socket.read(&mut buffer).await.unwrap();
            socket.write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            String::from_utf8_lossy(&buffer[..n]).lines().next().map(str::to_owned)
        };
        tokio::select! {
            biased;
            line = asked => line,
            _ = client.get(url).timeout(Duration::from_secs(5)).send() => None,
        }
    }

    #[tokio::test]
    async fn https_proxy_is_a_tunnel_and_http_proxy_gets_the_whole_url() {
        let tunnel = first_line(None, "https://api.github.invalid/orgs/acme").await;
        assert_eq!(tunnel.as_deref(), Some("CONNECT api.github.invalid:443 HTTP/1.1"));
        let forwarded = first_line(None, "http://server.invalid/x").await;
        assert_eq!(forwarded.as_deref(), Some("GET http://server.invalid/x HTTP/1.1"));
    }

    #[tokio::test]
    async fn no_proxy_and_this_machine_are_reached_directly() {
        for (exceptions, url) in [
            (Some("github.invalid"), "https://api.github.invalid/"),
            (Some("*"), "https://other.invalid/"),
            (None, "http://127.0.0.1:9/"),
            (None, "http://localhost:9/"),
        ] {
            assert_eq!(first_line(exceptions, url).await, None, "{exceptions:?} {url}");
        }
    }

    #[test]
    fn proxy_that_is_no_url_is_named_by_its_variable_only() {
        let settings =
            ProxySettings { https: Some(Secret::new("http://planted:planted@:x")), ..ProxySettings::default() };
        let error = client(None, &settings).unwrap_err();
        assert_eq!(error.to_string(), "environment variable HTTPS_PROXY: its value is not the URL of a proxy");
        assert!(!format!("{error:?} {settings:?}").contains("planted"));
    }
}
