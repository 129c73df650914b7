//! The state of one credential at one GitHub host: its rate limit, and for each target the token of the App's
//! installation, the connection to the scale-set service, and when the target was last listed.
//!
//! GitHub counts by user and by installation. Two pools that a warm function serves one after the other share a session
//! if they share a credential, and a limit that one credential has used up does not delay another.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use futures_util::lock::Mutex;
use ring::digest;
use url::Url;

use super::rate_limit::RateLimiter;
use super::request::{Bearer, CredentialKind};
use crate::pool::model::secret::Secret;
use crate::pool::model::spec::GitHubTarget;
use crate::pool::model::time::Timestamp;
use crate::reconcile::ports::Credential;

/// More credentials than a warm function uses in an hour. Beyond it the one that was used longest ago is forgotten.
const SESSIONS_MAX: usize = 64;

/// More targets than one credential administers in an hour. Beyond it all are forgotten, which costs a few requests.
const TARGETS_MAX: usize = 64;

/// A credential's digest, which distinguishes two credentials without storing either.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct CredentialId([u8; digest::SHA256_OUTPUT_LEN]);

impl CredentialId {
    /// An App's key is part of it: a wrong key in the parameter must show at once, and not be masked by a token that the
    /// right one got earlier in the same warm process.
    fn of(credential: &Credential) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        match credential {
            Credential::AccessToken(token) => {
                context.update(b"token\0");
                context.update(token.expose().as_bytes());
            }
            Credential::App { id, private_key } => {
                context.update(b"app\0");
                context.update(id.as_bytes());
                context.update(b"\0");
                context.update(private_key.expose().as_bytes());
            }
        }
        let mut bytes = [0; digest::SHA256_OUTPUT_LEN];
        bytes.copy_from_slice(context.finish().as_ref());
        Self(bytes)
    }
}

/// Which session, and which of its targets.
#[derive(Clone)]
pub(super) struct SessionKey {
    credential_at_host: (String, CredentialId),
    target: String,
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Even a digest lets a guess be checked.
        f.debug_struct("SessionKey").field("target", &self.target).finish_non_exhaustive()
    }
}

impl SessionKey {
    pub(super) fn of(target: &GitHubTarget, credential: &Credential) -> Self {
        Self {
            credential_at_host: (target.host.to_string(), CredentialId::of(credential)),
            target: target.scope.api_prefix(),
        }
    }
}

#[derive(Default)]
struct GitHubSession {
    rate_limiter: RateLimiter,
    targets: BTreeMap<String, TargetState>,
    used_at: Option<Timestamp>,
}

/// The cached state of a target. All of it can be fetched again.
#[derive(Default)]
pub(super) struct TargetState {
    /// The token of the App's installation.
    pub(super) token: Option<InstallationToken>,
    /// When a list last proved that the credential sees the target.
    pub(super) visible_at: Option<Timestamp>,
    /// How the scale-set service is reached.
    pub(super) connection: Option<ServiceConnection>,
    /// Only one caller connects at a time; the others find its connection. One for each target, so that a credential
    /// that GitHub rejects delays no other.
    pub(super) connecting: Arc<Mutex<()>>,
    /// Whether the log says that GitHub redirects from it.
    pub(super) is_rename_logged: bool,
}

/// A token of an App's installation, used until shortly before it expires, so that a poll costs one request and not three.
pub(super) struct InstallationToken {
    pub(super) value: Secret,
    /// The login of the account on which the App is installed. An enterprise has none.
    pub(super) installed_on: Option<String>,
    pub(super) use_until: Timestamp,
}

/// A connection to the scale-set service, used until shortly before its token expires.
#[derive(Clone)]
pub(super) struct ServiceConnection {
    /// The root of the service, which GitHub chooses.
    pub(super) url: Url,
    /// Administers the scale sets and runners of the target.
    pub(super) token: Secret,
    pub(super) use_until: Timestamp,
}

impl TargetState {
    /// The connection to the scale-set service, unless its token is about to expire.
    pub(super) fn live_connection(&self, now: Timestamp) -> Option<ServiceConnection> {
        self.connection.as_ref().filter(|connection| now < connection.use_until).cloned()
    }

    /// Removes a connection whose token the service rejected, unless another caller has replaced it meanwhile.
    pub(super) fn remove_rejected_connection(&mut self, rejected: &ServiceConnection) {
        self.connection.take_if(|connection| connection.token == rejected.token);
    }

    /// The installation's token, unless it is about to expire.
    pub(super) fn bearer(&self, now: Timestamp) -> Option<Bearer> {
        let token = self.token.as_ref().filter(|token| now < token.use_until)?;
        Some(Bearer { value: token.value.clone(), kind: CredentialKind::InstallationToken })
    }

    /// Removes a token that GitHub rejected, unless another caller has replaced it meanwhile.
    pub(super) fn remove_rejected(&mut self, rejected: &Bearer) {
        self.token.take_if(|token| token.value == rejected.value);
    }
}

/// The sessions of this process. No borrow outlives a call of one of its functions.
#[derive(Default)]
pub(super) struct GitHubSessions(RefCell<BTreeMap<(String, CredentialId), GitHubSession>>);

impl GitHubSessions {
    pub(super) fn with_rate_limiter<T>(
        &self,
        key: &SessionKey,
        now: Timestamp,
        work: impl FnOnce(&mut RateLimiter) -> T,
    ) -> T {
        self.with_session(key, now, |session| work(&mut session.rate_limiter))
    }

    pub(super) fn with_target<T>(
        &self,
        key: &SessionKey,
        now: Timestamp,
        work: impl FnOnce(&mut TargetState) -> T,
    ) -> T {
        self.with_session(key, now, |session| {
            if session.targets.len() >= TARGETS_MAX && !session.targets.contains_key(&key.target) {
                session.targets.clear();
            }
            work(session.targets.entry(key.target.clone()).or_default())
        })
    }

    fn with_session<T>(&self, key: &SessionKey, now: Timestamp, work: impl FnOnce(&mut GitHubSession) -> T) -> T {
        let mut sessions = self.0.borrow_mut();
        if sessions.len() >= SESSIONS_MAX && !sessions.contains_key(&key.credential_at_host) {
            let least_recent = sessions.iter().min_by_key(|(_, session)| session.used_at).map(|(id, _)| id.clone());
            least_recent.map(|id| sessions.remove(&id));
        }
        let session = sessions.entry(key.credential_at_host.clone()).or_default();
        session.used_at = Some(now);
        work(session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::github::rate_limit::Pacing;
    use crate::github::testing::{acme, app, rocket, token};
    use crate::pool::model::spec::{GitHubHost, Scope};

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_epoch_millis(secs * 1000)
    }

    fn key(scope: Scope, credential: &Credential) -> SessionKey {
        SessionKey::of(&GitHubTarget { host: GitHubHost::github_com(), scope }, credential)
    }

    fn nth_token(n: usize) -> Credential {
        Credential::AccessToken(Secret::new(format!("ghp_{n}")))
    }

    #[test]
    fn session_key_distinguishes_credentials_and_prints_none() {
        let other_key = Credential::App { id: "1234".to_owned(), private_key: Secret::new("other") };
        let keys = [token(), app(), other_key].map(|credential| key(acme(), &credential));
        assert!(keys.windows(2).all(|pair| pair[0].credential_at_host != pair[1].credential_at_host));
        assert_eq!(format!("{:?}", keys[0]), "SessionKey { target: \"/orgs/acme\", .. }");
    }

    #[test]
    fn session_shares_its_rate_limit_between_targets_and_nothing_else() {
        let sessions = GitHubSessions::default();
        let (organization, repository) = (key(acme(), &token()), key(rocket(), &token()));
        sessions.with_rate_limiter(&organization, at(0), |limiter| limiter.pause_until(at(60)));
        assert!(
            sessions
                .with_rate_limiter(&repository, at(1), |limiter| limiter.try_acquire(at(1), Pacing::Unpaced))
                .is_err()
        );
        sessions.with_target(&organization, at(1), |target| target.visible_at = Some(at(1)));
        assert_eq!(sessions.with_target(&repository, at(1), |target| target.visible_at), None);
    }

    #[test]
    fn sessions_are_bounded_and_the_least_recently_used_is_forgotten() {
        let sessions = GitHubSessions::default();
        for (n, secs) in (0..SESSIONS_MAX).zip(0..) {
            let now = at(secs);
            sessions.with_target(&key(acme(), &nth_token(n)), now, |target| target.visible_at = Some(now));
        }
        let first = key(acme(), &nth_token(0));
        assert_eq!(sessions.with_target(&first, at(100), |target| target.visible_at), Some(at(0)));
        sessions.with_target(&key(acme(), &token()), at(101), |_| ());
        assert_eq!(sessions.0.borrow().len(), SESSIONS_MAX);
        assert_eq!(sessions.with_target(&first, at(102), |target| target.visible_at), Some(at(0)), "used just before");
        let second = key(acme(), &nth_token(1));
        assert_eq!(sessions.with_target(&second, at(103), |target| target.visible_at), None);
    }

    #[test]
    fn targets_of_a_session_are_bounded() {
        let sessions = GitHubSessions::default();
        for n in 0..=TARGETS_MAX {
            sessions.with_target(&key(Scope::Organization(format!("org-{n}")), &token()), at(0), |_| ());
        }
        assert!(sessions.0.borrow().values().all(|session| session.targets.len() <= TARGETS_MAX));
    }
}
