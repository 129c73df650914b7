//! A GitHub of a few lines on a loopback port, and a clock that jumps.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::thread;
use std::time::Duration;

use reqwest::redirect::Policy;
use rustls::crypto::ring::default_provider;
use rustls::{ClientConfig, RootCertStore};

use super::GitHubClient;
use crate::pool::model::secret::Secret;
use crate::pool::model::spec::{GitHubHost, GitHubTarget, Scheme, Scope};
use crate::pool::model::time::Timestamp;
use crate::reconcile::ports::{Clock, Credential};

/// A throw-away key, made for these tests and used nowhere else, as GitHub gives keys out.
pub(super) const TEST_ONLY_PKCS1: &str = include_str!("testdata/test-only-app-key.pkcs1.pem");
/// The same key as tools convert it.
pub(super) const TEST_ONLY_PKCS8: &str = include_str!("testdata/test-only-app-key.pkcs8.pem");
/// A certificate for 127.0.0.1 that the key signed itself.
pub(super) const TEST_ONLY_CERTIFICATE: &str = include_str!("testdata/test-only-self-signed.pem");

/// 2026-01-01T00:00:00Z.
pub(super) const START_SECS: u64 = 1_767_225_600;

/// Time stands still until a caller sleeps, and jumps to the end of its sleep.
#[derive(Clone, Debug)]
pub(super) struct JumpClock(Arc<AtomicU64>);

impl JumpClock {
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(START_SECS * 1000)))
    }

    pub(super) fn secs(&self) -> u64 {
        self.millis() / 1000 - START_SECS
    }

    pub(super) fn millis(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    pub(super) fn pass(&self, span: Duration) {
        self.0.fetch_add(u64::try_from(span.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for JumpClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_epoch_millis(self.millis())
    }

    async fn sleep_until(&self, moment: Timestamp) {
        self.0.fetch_max(moment.epoch_millis(), Ordering::SeqCst);
        tokio::task::yield_now().await;
    }
}

/// A request as the stub received it.
#[derive(Clone, Debug, Default)]
pub(super) struct ReceivedRequest {
    pub(super) method: String,
    /// With its query, without `/api/v3`.
    pub(super) path: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: String,
}

impl ReceivedRequest {
    /// Method and path.
    pub(super) fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// A URL at the same host.
    pub(super) fn address(&self, path: &str) -> String {
        format!("http://{}/api/v3{path}", self.header("host"))
    }

    /// A `Link` header to the next page at the same host.
    pub(super) fn link(&self, path: &str) -> String {
        let host = self.header("host");
        format!("<http://{host}/api/v3{path}>; rel=\"next\", <http://{host}/api/v3/last>; rel=\"last\"")
    }
}

/// What the stub responds.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

pub(super) fn reply(status: u16, body: impl ToString) -> Reply {
    Reply { status, headers: Vec::new(), body: body.to_string() }
}

impl Reply {
    pub(super) fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }
}

/// The stub.
pub(super) struct Stub {
    authority: String,
    requests: Arc<Mutex<Vec<ReceivedRequest>>>,
}

impl Stub {
    /// Answers every request with what `respond` returns, each on a connection of its own.
    pub(super) fn start(respond: impl Fn(&ReceivedRequest) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (respond, log) = (Arc::new(respond), Arc::clone(&requests));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (respond, log) = (Arc::clone(&respond), Arc::clone(&log));
                thread::spawn(move || serve(stream, respond.as_ref(), &log));
            }
        });
        Self { authority, requests }
    }

    pub(super) fn host(&self) -> GitHubHost {
        GitHubHost { scheme: Scheme::HttpOnLoopback, authority: self.authority.clone() }
    }

    pub(super) fn target(&self, scope: Scope) -> GitHubTarget {
        GitHubTarget { host: self.host(), scope }
    }

    pub(super) fn requests(&self) -> Vec<ReceivedRequest> {
        self.requests.lock().unwrap().clone()
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.requests().iter().map(ReceivedRequest::line).collect()
    }
}

fn serve(
    stream: TcpStream,
    respond: &(impl Fn(&ReceivedRequest) -> Reply + ?Sized),
    log: &Mutex<Vec<ReceivedRequest>>,
) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_ascii_whitespace();
    let mut request = ReceivedRequest {
        method: words.next()?.to_owned(),
        path: words.next()?.to_owned(),
        ..ReceivedRequest::default()
    };
    request.path = request.path.strip_prefix("/api/v3")?.to_owned();
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        request.headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let mut body = vec![0; request.header("content-length").parse().unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    request.body = String::from_utf8(body).ok()?;
    log.lock().ok()?.push(request.clone());
    let Reply { status, headers, body } = respond(&request);
    let mut text = format!("HTTP/1.1 {status} X\r\nconnection: close\r\n");
    if status != 204 {
        write!(text, "content-length: {}\r\n", body.len()).ok()?;
    }
    for (name, value) in headers {
        write!(text, "{name}: {value}\r\n").ok()?;
    }
    reader.get_mut().write_all(format!("{text}\r\n{body}").as_bytes()).ok()
}

/// TLS as the function speaks it, with no trusted root.
pub(super) fn tls() -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth()
}

fn http() -> reqwest::Client {
    reqwest::Client::builder().tls_backend_preconfigured(tls()).no_proxy().redirect(Policy::none()).build().unwrap()
}

pub(super) fn client(clock: &JumpClock) -> GitHubClient<JumpClock> {
    GitHubClient::new(http(), http(), clock.clone())
}

pub(super) fn acme() -> Scope {
    Scope::Organization("acme".to_owned())
}

pub(super) fn rocket() -> Scope {
    Scope::Repository { owner: "acme".to_owned(), name: "rocket".to_owned() }
}

pub(super) fn token() -> Credential {
    Credential::AccessToken(Secret::new("ghp_planted"))
}

pub(super) fn app() -> Credential {
    Credential::App { id: "1234".to_owned(), private_key: Secret::new(TEST_ONLY_PKCS1) }
}

thread_local! {
    static LINES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The log of the thread that writes it.
struct ThisThread;

impl io::Write for ThisThread {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.with_borrow_mut(|lines| lines.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Logs for the whole process, each thread's lines by themselves. A subscriber of a single test would miss what another
/// thread logs first, because whether a line is enabled is cached for all threads.
pub(super) fn log_everything() {
    static START: Once = Once::new();
    START.call_once(|| {
        let all = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(|| ThisThread);
        tracing::subscriber::set_global_default(all.finish()).unwrap();
    });
}

/// What this thread has logged.
pub(super) fn log_of_this_thread() -> String {
    LINES.with_borrow(|lines| String::from_utf8_lossy(lines).into_owned())
}
