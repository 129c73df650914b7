//! One request to GitHub: its address and headers, its turn, its tries, its bounded answer.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, USER_AGENT};
use reqwest::{Method, StatusCode};
use url::Url;

use super::answer::{Answer, Notes};
use super::credentials::SignIns;
use super::lanes::{Lane, Lanes, Permit};
use super::pace::{Cost, Notice};
use super::refusals::{self, Fault};
use super::sentences;
use crate::pool::model::secret::Secret;
use crate::pool::model::spec::{GitHubHost, GitHubTarget};
use crate::pool::model::time::Timestamp;
use crate::reconcile::ports::{Clock, RemoteCallError, RemoteResult};

/// <https://docs.github.com/en/rest/about-the-rest-api/api-versions>: understood by every supported Enterprise Server.
const API_VERSION: &str = "2022-11-28";

/// GitHub refuses requests without one.
/// <https://docs.github.com/en/rest/using-the-rest-api/getting-started-with-the-rest-api#user-agent>
const AGENT: &str = concat!("github-runner-pool/", env!("CARGO_PKG_VERSION"));

/// For one try, body included. GitHub itself ends a request after 10 seconds; the rest is for the way.
/// <https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api#timeouts>
const TRY_TIMEOUT: Duration = Duration::from_secs(20);

/// A page of 100 runners is about 100 KB; beyond this it is no answer of GitHub's.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// One call waits no longer than this for its turn, all pauses together: what takes longer is for the pool to decide.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(30);

/// The first try and three more.
const TRIES_MAX: u32 = 4;

/// Redirects of one request that are followed. GitHub answers with one, to the repository's id.
const REDIRECTS_MAX: u32 = 3;

/// More targets than a warm function meets.
const MOVED_MAX: usize = 64;

/// Before the second try; doubled before each further one.
const BACKOFF: Duration = Duration::from_millis(500);

/// GitHub's REST API for self-hosted runners, of any number of hosts and credentials.
///
/// Keep one for the life of the process: it remembers what it spent of each credential's rate limits, and the tokens
/// of GitHub Apps until shortly before they expire.
pub struct GitHubClient<C> {
    http: reqwest::Client,
    pub(super) clock: C,
    lanes: Lanes,
    pub(super) sign_ins: SignIns,
    /// When each place was last seen with a list: what makes a 404 on a deletion mean that the runner is gone.
    pub(super) seen: RefCell<BTreeMap<super::credentials::Place, Timestamp>>,
    /// Targets that GitHub redirected from, each written to the log once.
    moved: RefCell<BTreeSet<String>>,
    n_calls: Cell<u64>,
    remaining: Cell<Option<u64>>,
}

impl<C> fmt::Debug for GitHubClient<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GitHubClient").finish_non_exhaustive()
    }
}

/// What a request is for; everything else about it follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LockPurpose {
    /// GET the runners.
    ListRunners,
    /// DELETE one.
    DeleteRunner,
    /// POST for a registration token.
    MakeRegistrationToken,
    /// GET the runner groups.
    ListGroups,
    /// GET the App's installation.
    FindInstallation,
    /// POST for a token of that installation.
    MakeInstallationToken,
}

impl LockPurpose {
    const fn method(self) -> Method {
        match self {
            Self::ListRunners | Self::ListGroups | Self::FindInstallation => Method::GET,
            Self::MakeRegistrationToken | Self::MakeInstallationToken => Method::POST,
            Self::DeleteRunner => Method::DELETE,
        }
    }

    /// Whether a redirect is followed: by what reads, and by what deletes a runner, whose id no other runner has. What
    /// makes something is refused with the sentence that asks for the present name, since the runners' containers will
    /// be given the same name and follow nothing.
    const fn follows_redirects(self) -> bool {
        match self {
            Self::ListRunners | Self::ListGroups | Self::FindInstallation | Self::DeleteRunner => true,
            Self::MakeRegistrationToken | Self::MakeInstallationToken => false,
        }
    }

    const fn cost(self) -> Cost {
        match self {
            Self::ListRunners | Self::ListGroups | Self::FindInstallation => Cost::Read,
            Self::MakeRegistrationToken | Self::MakeInstallationToken | Self::DeleteRunner => Cost::Write,
        }
    }

    /// Whether it may be sent again when nobody knows what became of the first try. One token too many harms nobody.
    /// A deletion would answer 404 where the first try had deleted, and the difference is evidence.
    const fn may_repeat_unclear(self) -> bool {
        match self {
            Self::ListRunners
            | Self::ListGroups
            | Self::FindInstallation
            | Self::MakeRegistrationToken
            | Self::MakeInstallationToken => true,
            Self::DeleteRunner => false,
        }
    }
}

/// What stands in the `Authorization` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presented {
    /// A personal access token.
    AccessToken,
    /// A token of an App's installation.
    AppToken,
    /// A JSON Web Token signed by the App.
    AppSignature,
}

/// A credential ready to be sent.
#[derive(Clone, Debug)]
pub(super) struct Bearer {
    pub(super) value: Secret,
    pub(super) presented: Presented,
}

/// One request.
#[derive(Debug)]
pub(super) struct Ask<'a> {
    pub(super) purpose: LockPurpose,
    pub(super) target: &'a GitHubTarget,
    pub(super) url: Url,
    pub(super) body: Option<String>,
    /// Its name in messages: method and path below the API's root. The same for every page of a list.
    pub(super) operation: String,
}

impl<'a> Ask<'a> {
    /// A request to `segments` below the host's API.
    ///
    /// # Errors
    /// When the host makes no URL.
    pub(super) fn new(purpose: LockPurpose, target: &'a GitHubTarget, segments: &[&str]) -> RemoteResult<Self> {
        let host = &target.host;
        let root = format!("{}://{}{}", host.scheme_str(), host.api_authority(), host.api_path());
        let url = Url::parse(&root).ok().and_then(|mut url| {
            // Encodes what a name could smuggle in.
            url.path_segments_mut().ok()?.pop_if_empty().extend(segments);
            Some(url)
        });
        match url {
            Some(url) => {
                let path = url.path().strip_prefix(host.api_path()).unwrap_or(url.path());
                let operation = format!("{} {path}", purpose.method());
                Ok(Self { purpose, target, url, body: None, operation })
            }
            None => Err(refusals::no_such_host(host)),
        }
    }
}

impl<C: Clock> GitHubClient<C> {
    /// A client on `http`, which must follow no redirects by itself: which are followed is decided here, and the credential
    /// goes to no other host. Time passes and is read through `clock`.
    #[must_use]
    pub fn new(http: reqwest::Client, clock: C) -> Self {
        Self {
            http,
            clock,
            lanes: Lanes::default(),
            sign_ins: SignIns::default(),
            seen: RefCell::new(BTreeMap::new()),
            moved: RefCell::new(BTreeSet::new()),
            n_calls: Cell::new(0),
            remaining: Cell::new(None),
        }
    }

    /// Requests since this was last asked, and what GitHub last said to be left of a credential's hour.
    #[must_use]
    pub fn take_calls(&self) -> (u64, Option<u64>) {
        (self.n_calls.take(), self.remaining.get())
    }

    /// Sends `ask`, and follows redirects within its host where its purpose allows that, with the same method.
    ///
    /// <https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api#follow-redirects>
    ///
    /// # Errors
    /// Those of one try after another, and a redirect to another host or without end.
    pub(super) async fn exchange(&self, lane: &Lane, ask: &Ask<'_>, bearer: &Bearer) -> RemoteResult<Answer> {
        let mut url = ask.url.clone();
        for n_followed in 0..=REDIRECTS_MAX {
            let mut answer = self.exchange_at(lane, ask, &url, bearer).await?;
            let Some(next) = redirection(ask, &url, &answer) else {
                answer.moved_to = (n_followed > 0).then_some(url);
                return Ok(answer);
            };
            if !is_same_origin(&ask.url, &next) {
                return Err(refusals::foreign_redirect(ask));
            }
            self.note_moved(ask);
            url = next;
        }
        Err(refusals::endless_redirects(ask))
    }

    /// Says once that a target has another name now.
    fn note_moved(&self, ask: &Ask<'_>) {
        let target = format!("{}{}", ask.target.host, ask.target.scope.api_prefix());
        let mut moved = self.moved.borrow_mut();
        if moved.len() >= MOVED_MAX {
            moved.clear();
        }
        if moved.insert(target) {
            tracing::warn!(operation = ask.operation, "{}", sentences::of_moved(&ask.target.scope));
        }
    }

    /// Sends `ask` to `url` when its turn comes, and again where that is harmless. An answer of any other status than those
    /// of a throttle or of a gateway that gave up is the caller's.
    ///
    /// # Errors
    /// `Throttled` when its turn is further off than [`WAIT_MAX`], `Unavailable` when no answer came.
    async fn exchange_at(&self, lane: &Lane, ask: &Ask<'_>, url: &Url, bearer: &Bearer) -> RemoteResult<Answer> {
        let give_up_at = self.clock.now() + WAIT_MAX;
        let mut last_throttle: Option<RemoteCallError> = None;
        let mut tries = 0;
        loop {
            let permit = match self.lanes.enter(&self.clock, lane, ask.purpose.cost(), give_up_at).await {
                Ok(permit) => permit,
                Err(held) => {
                    let wait = held.until.since(self.clock.now());
                    return Err(last_throttle.unwrap_or_else(|| refusals::held_back(ask, held.by, wait)));
                }
            };
            tries += 1;
            let sent = permit.sent;
            let outcome = self.send(ask, url, bearer, permit).await;
            let is_last = tries >= TRIES_MAX;
            match outcome {
                Ok(answer) => {
                    if let Some(error) = self.heed_pace(lane, ask, &answer, sent) {
                        if is_last || !answer.notes.is_core_limit() {
                            return Err(error);
                        }
                        last_throttle = Some(error);
                        continue;
                    }
                    if is_last || !gave_up(answer.status) || !ask.purpose.may_repeat_unclear() {
                        return Ok(answer);
                    }
                }
                Err(fault) => {
                    let may_repeat = fault.was_before_sending() || ask.purpose.may_repeat_unclear();
                    if is_last || !fault.is_retryable() || !may_repeat {
                        return Err(fault.into_error(ask));
                    }
                }
            }
            self.clock.sleep_until(self.clock.now() + BACKOFF.saturating_mul(1 << (tries - 1))).await;
        }
    }

    /// Holds the lane where the answer asks for it; the refusal, if the answer is one for pace.
    fn heed_pace(&self, lane: &Lane, ask: &Ask<'_>, answer: &Answer, sent: Timestamp) -> Option<RemoteCallError> {
        let now = self.clock.now();
        let Some(notice) = refusals::throttle(answer) else {
            if let Some(reset) = answer.notes.used_up_until().filter(|_| answer.notes.is_core_limit()) {
                self.lanes.hold_until(lane, now, reset);
            }
            return None;
        };
        let pause = match notice {
            Notice::UsedUpUntil(reset) if !answer.notes.is_core_limit() => reset.since(now),
            Notice::UsedUpUntil(_) | Notice::After(_) | Notice::Unsaid => self.lanes.throttled(lane, sent, now, notice),
        };
        let error = refusals::throttled(ask, answer, notice, pause);
        tracing::warn!(operation = ask.operation, pause_secs = pause.as_secs(), "GitHub asks for a pause");
        Some(error)
    }

    async fn send(&self, ask: &Ask<'_>, url: &Url, bearer: &Bearer, permit: Permit<'_, C>) -> Result<Answer, Fault> {
        let mut authorization =
            HeaderValue::try_from(format!("Bearer {}", bearer.value.expose())).map_err(|_| Fault::BadBearer)?;
        authorization.set_sensitive(true);
        let mut request = self
            .http
            .request(ask.purpose.method(), url.clone())
            .timeout(TRY_TIMEOUT)
            .header(ACCEPT, "application/vnd.github+json")
            .header(AUTHORIZATION, authorization)
            .header(USER_AGENT, AGENT)
            .header("x-github-api-version", API_VERSION);
        if let Some(body) = &ask.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.clone());
        }
        self.n_calls.set(self.n_calls.get() + 1);
        let mut response = request.send().await.map_err(Fault::transport)?;
        let status = response.status();
        let notes = Notes::of(response.headers());
        if notes.is_core_limit() {
            self.remaining.set(notes.remaining.or(self.remaining.get()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(Fault::transport)? {
            if body.len().saturating_add(chunk.len()) > BODY_BYTES_MAX {
                return Err(Fault::BodyTooLong { bytes_max: BODY_BYTES_MAX });
            }
            body.extend_from_slice(&chunk);
        }
        tracing::debug!(
            operation = ask.operation,
            status = status.as_u16(),
            request_id = notes.request_id,
            took_ms = u64::try_from(self.clock.now().since(permit.sent).as_millis()).unwrap_or(u64::MAX),
            "GitHub answered"
        );
        Ok(Answer::new(status, notes, body, &bearer.value, bearer.presented))
    }
}

/// A gateway that got no answer in time says nothing about the request.
fn gave_up(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT)
}

/// Where an answer sends `ask` on to, if its purpose follows that. 303 asks for a GET, which is no deletion.
fn redirection(ask: &Ask<'_>, url: &Url, answer: &Answer) -> Option<Url> {
    let is_redirect = match answer.status.as_u16() {
        301 | 302 | 307 | 308 => true,
        303 => ask.purpose.method() == Method::GET,
        _ => false,
    };
    let location = answer.notes.location.as_deref().filter(|_| is_redirect && ask.purpose.follows_redirects())?;
    url.join(location).ok()
}

/// Whether two URLs lead to the same server in the same way.
pub(super) fn is_same_origin(one: &Url, other: &Url) -> bool {
    one.origin() == other.origin()
}

/// `host` as people know it, for messages.
pub(super) fn spoken(host: &GitHubHost) -> String {
    host.api_authority()
}
