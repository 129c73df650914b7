//! The one HTTP client, on one TLS stack, for AWS, GitHub and CloudFormation's response URL.
//!
//! Built once at start, so that every caller shares its connections. ring is named explicitly: rustls would otherwise
//! pick a provider by what else is linked, and aws-lc's gathers CPU-jitter entropy in the first handshake.

mod proxy;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

pub use self::proxy::ProxySettings;
use crate::version::USER_AGENT;

/// A TCP and TLS handshake takes three round trips, well below a second to any region; a packet lost twice in it is
/// sent a third time after 3 s.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two reads of one response. The slowest calls here answer in a few seconds.
const READ_TIMEOUT: Duration = Duration::from_secs(15);
/// One request with its response. A caller with less time sets its own.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(25);
/// For a message that GitHub keeps back until there is one, about 50 s, with time for the way and for a slow server.
const LONG_POLL_TIMEOUT: Duration = Duration::from_secs(65);
/// Above the poll interval, so that polls share a connection; below the 60 s after which load balancers commonly drop
/// an idle one, so that a write never goes into a connection that is closed already.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(45);

/// The client could not be built. Only the environment can cause it.
#[derive(Debug, thiserror::Error)]
pub enum HttpSetupError {
    /// The file of extra certificates cannot be read, or is no PEM.
    #[error("the CA bundle {path} cannot be read", path = path.display())]
    CaBundle {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::pki_types::pem::Error,
    },
    /// The file of extra certificates holds none.
    #[error("the CA bundle {path} holds no certificate", path = path.display())]
    EmptyCaBundle {
        /// The file.
        path: PathBuf,
    },
    /// A proxy's URL is none.
    #[error(transparent)]
    Proxy(#[from] proxy::InvalidProxy),
    /// rustls refused a certificate of the file, or its own configuration.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
    /// reqwest refused the configuration.
    #[error("the HTTP client cannot be set up")]
    Client(#[from] reqwest::Error),
}

/// The client. Trusts Mozilla's roots, and beside them the PEM certificates in `ca_bundle`, for a GitHub Enterprise
/// Server or an inspecting proxy with a private CA.
///
/// It follows no redirect: every host that it speaks to is meant. Of proxies it knows those in `proxies` only. HTTP/1.1
/// only: AWS speaks no other here, GitHub is asked a few things at a time, and HTTP/2 would make the function's zip larger
/// by a twentieth.
///
/// # Errors
/// When `ca_bundle` cannot be read or holds no certificate, or a proxy's URL is none.
pub fn client(ca_bundle: Option<&Path>, proxies: &ProxySettings) -> Result<reqwest::Client, HttpSetupError> {
    build(ca_bundle, proxies, READ_TIMEOUT, REQUEST_TIMEOUT)
}

/// The same client for requests that a server answers only when it has something to say: a read of [`client`] ends before
/// that, and its timeout can be changed for no single request.
///
/// # Errors
/// Those of [`client`].
pub fn long_poll_client(ca_bundle: Option<&Path>, proxies: &ProxySettings) -> Result<reqwest::Client, HttpSetupError> {
    build(ca_bundle, proxies, LONG_POLL_TIMEOUT, LONG_POLL_TIMEOUT)
}

fn build(
    ca_bundle: Option<&Path>,
    proxies: &ProxySettings,
    read_timeout: Duration,
    request_timeout: Duration,
) -> Result<reqwest::Client, HttpSetupError> {
    let mut builder = reqwest::Client::builder().tls_backend_preconfigured(tls(ca_bundle)?).no_proxy();
    for proxy in proxies.proxies()? {
        builder = builder.proxy(proxy);
    }
    Ok(builder
        .user_agent(USER_AGENT)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(read_timeout)
        .timeout(request_timeout)
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .build()?)
}

fn tls(ca_bundle: Option<&Path>) -> Result<ClientConfig, HttpSetupError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = ca_bundle {
        add_bundle(&mut roots, path)?;
    }
    let mut tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(tls)
}

fn add_bundle(roots: &mut RootCertStore, path: &Path) -> Result<(), HttpSetupError> {
    let unreadable = |source| HttpSetupError::CaBundle { path: path.to_owned(), source };
    let before = roots.len();
    for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
        roots.add(certificate.map_err(unreadable)?)?;
    }
    if roots.len() == before {
        return Err(HttpSetupError::EmptyCaBundle { path: path.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_is_built_on_ring_and_offers_the_one_version_of_http_that_it_speaks() {
        let tls = tls(None).unwrap();
        assert_eq!(tls.alpn_protocols, [b"http/1.1".to_vec()]);
        assert!(client(None, &ProxySettings::default()).is_ok());
    }

    // Paused, so that the timeouts come at once.
    #[tokio::test(start_paused = true)]
    async fn long_poll_waits_for_a_minute_and_any_other_request_for_a_quarter_of_it() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", silent.local_addr().unwrap());
        for (client, expected) in [
            (client(None, &ProxySettings::default()).unwrap(), READ_TIMEOUT),
            (long_poll_client(None, &ProxySettings::default()).unwrap(), LONG_POLL_TIMEOUT),
        ] {
            let began = tokio::time::Instant::now();
            // What GitHub's client sets for each request does not lengthen a read.
            let error = client.get(&url).timeout(LONG_POLL_TIMEOUT).send().await.unwrap_err();
            assert!(error.is_timeout(), "{error:?}");
            assert_eq!(began.elapsed().as_secs(), expected.as_secs());
        }
    }

    #[test]
    fn missing_or_empty_ca_bundle_names_its_path() {
        let missing = client(Some(Path::new("/nonexistent/ca.pem")), &ProxySettings::default()).unwrap_err();
        assert_eq!(missing.to_string(), "the CA bundle /nonexistent/ca.pem cannot be read");
        let empty = client(Some(Path::new("/dev/null")), &ProxySettings::default()).unwrap_err();
        assert_eq!(empty.to_string(), "the CA bundle /dev/null holds no certificate");
    }

    #[test]
    fn the_certificates_of_a_bundle_are_trusted_beside_the_public_ones() {
        let bundle = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/test-ca.pem");
        let mut roots = RootCertStore::empty();
        add_bundle(&mut roots, &bundle).unwrap();
        assert_eq!(roots.len(), 2);
        assert!(client(Some(&bundle), &ProxySettings::default()).is_ok());
    }
}
