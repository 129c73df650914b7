//! Signing in: a personal access token as it is, a GitHub App as its installation on the target.
//!
//! An App's token is kept until shortly before it expires, so that a poll costs one request and not three; GitHub's
//! 401 drops it.
//! <https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/authenticating-as-a-github-app-installation>

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use futures_util::lock::Mutex;
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::json;
use url::Url;

use super::answer::Answer;
use super::app;
use super::client::{Ask, Bearer, GitHubClient, LockPurpose, Presented};
use super::lanes::{Lane, Principal};
use super::refusals;
use crate::pool::model::secret::Secret;
use crate::pool::model::spec::{GitHubTarget, Scope};
use crate::pool::model::time::Timestamp;
use crate::reconcile::ports::{Clock, Credential, RemoteResult};

/// An installation's token lives for an hour; where GitHub's word on it cannot be read, this much is trusted.
/// <https://docs.github.com/en/rest/apps/apps#create-an-installation-access-token-for-an-app>
const LIFE: Duration = Duration::from_secs(60 * 60);

/// A token is not used in its last minutes: longer than a call with all its pauses, and than two clocks differ.
const MARGIN: Duration = Duration::from_secs(5 * 60);

/// More places than a warm function meets in an hour.
const PLACES_MAX: usize = 64;

/// One credential at one place on one GitHub.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    url: String,
    principal: Principal,
}

impl Place {
    /// Where `credential` works on `target`.
    pub(super) fn of(target: &GitHubTarget, credential: &Credential) -> Self {
        Self { url: format!("{}{}", target.host, target.scope.api_prefix()), principal: Principal::of(credential) }
    }
}

/// The tokens of Apps' installations.
#[derive(Default)]
pub(super) struct SignIns {
    tokens: RefCell<BTreeMap<Place, Token>>,
    /// Only one caller signs in at a time; the others find its token.
    gate: Mutex<()>,
}

impl fmt::Debug for SignIns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignIns(..)")
    }
}

struct Token {
    value: Secret,
    /// The account on which the App is installed.
    installed_on: Option<String>,
    use_until: Timestamp,
}

impl SignIns {
    fn valid(&self, place: &Place, now: Timestamp) -> Option<Bearer> {
        let tokens = self.tokens.borrow();
        let token = tokens.get(place).filter(|token| now < token.use_until)?;
        Some(Bearer { value: token.value.clone(), presented: Presented::AppToken })
    }

    fn keep(&self, place: Place, token: Token, now: Timestamp) {
        let mut tokens = self.tokens.borrow_mut();
        tokens.retain(|_, token| now < token.use_until);
        if tokens.len() >= PLACES_MAX {
            tokens.clear();
        }
        tokens.insert(place, token);
    }

    /// Drops a token that GitHub does not accept, unless somebody has replaced it meanwhile.
    fn drop_refused(&self, place: &Place, refused: &Bearer) {
        let mut tokens = self.tokens.borrow_mut();
        if tokens.get(place).is_some_and(|token| token.value == refused.value) {
            tokens.remove(place);
        }
    }
}

#[derive(Deserialize)]
struct Installation {
    id: u64,
    account: Option<Account>,
}

#[derive(Deserialize)]
struct Account {
    /// An enterprise has none.
    login: Option<String>,
}

#[derive(Deserialize)]
struct InstallationToken {
    token: Secret,
    expires_at: Option<String>,
}

impl<C: Clock> GitHubClient<C> {
    /// The account on which the App is installed that signed in last, as GitHub spells it; `None` for a token.
    pub(super) fn installed_on(&self, target: &GitHubTarget, credential: &Credential) -> Option<String> {
        self.sign_ins.tokens.borrow().get(&Place::of(target, credential))?.installed_on.clone()
    }

    /// Sends `ask` as `credential`. A token of an App that GitHub does not accept any more is replaced once.
    ///
    /// # Errors
    /// Whatever stands in the way of signing in, and that of [`GitHubClient::exchange`].
    pub(super) async fn call(&self, credential: &Credential, ask: &Ask<'_>) -> RemoteResult<Answer> {
        let place = Place::of(ask.target, credential);
        let lane = Lane::of(&ask.target.host, Principal::of(credential));
        let bearer = self.sign_in(credential, ask.target, &place, &lane).await?;
        let answer = self.exchange(&lane, ask, &bearer).await?;
        if answer.status != StatusCode::UNAUTHORIZED || bearer.presented != Presented::AppToken {
            return Ok(answer);
        }
        self.sign_ins.drop_refused(&place, &bearer);
        let bearer = self.sign_in(credential, ask.target, &place, &lane).await?;
        let answer = self.exchange(&lane, ask, &bearer).await?;
        if answer.status == StatusCode::UNAUTHORIZED {
            self.sign_ins.drop_refused(&place, &bearer);
        }
        Ok(answer)
    }

    async fn sign_in(
        &self,
        credential: &Credential,
        target: &GitHubTarget,
        place: &Place,
        lane: &Lane,
    ) -> RemoteResult<Bearer> {
        let (id, private_key) = match credential {
            Credential::AccessToken(token) => {
                return Ok(Bearer { value: token.clone(), presented: Presented::AccessToken });
            }
            Credential::App { id, private_key } => (id, private_key),
        };
        if let Some(bearer) = self.sign_ins.valid(place, self.clock.now()) {
            return Ok(bearer);
        }
        let _alone = self.sign_ins.gate.lock().await;
        let now = self.clock.now();
        if let Some(bearer) = self.sign_ins.valid(place, now) {
            return Ok(bearer);
        }
        let installation_path = installation_path(&target.scope).ok_or_else(refusals::no_app_for_enterprises)?;
        let signature = app::sign(id, private_key, now).map_err(refusals::unusable_key)?;
        let signature = Bearer { value: signature, presented: Presented::AppSignature };

        let ask = Ask::new(LockPurpose::FindInstallation, target, &installation_path)?;
        let answer = refusals::accepted(&ask, self.exchange(lane, &ask, &signature).await?)?;
        let installation: Installation = refusals::readable(&ask, &answer)?;

        let moved_to = answer.moved_to.as_ref().and_then(repository_id);
        let id = installation.id.to_string();
        let installed_on = installation.account.and_then(|account| account.login);
        let mut ask =
            Ask::new(LockPurpose::MakeInstallationToken, target, &["app", "installations", &id, "access_tokens"])?;
        ask.body = Some(wanted_permissions(&target.scope, moved_to).to_string());
        let answer = refusals::accepted(&ask, self.exchange(lane, &ask, &signature).await?)?;
        let token: InstallationToken = refusals::readable(&ask, &answer)?;

        let expires_at = token.expires_at.as_deref().and_then(moment_of).unwrap_or(now + LIFE).min(now + LIFE);
        let bearer = Bearer { value: token.token.clone(), presented: Presented::AppToken };
        let token = Token { value: token.token, installed_on, use_until: expires_at - MARGIN };
        self.sign_ins.keep(place.clone(), token, now);
        Ok(bearer)
    }
}

/// Where the App's installation on `scope` is found. An enterprise has one as well, but none of the endpoints of its
/// runners takes the token of an App.
/// <https://docs.github.com/en/enterprise-cloud@latest/rest/actions/self-hosted-runners>
fn installation_path(scope: &Scope) -> Option<Vec<&str>> {
    match scope {
        Scope::Organization(name) => Some(vec!["orgs", name, "installation"]),
        Scope::Repository { owner, name } => Some(vec!["repos", owner, name, "installation"]),
        Scope::Enterprise(_) => None,
    }
}

/// No more than administering runners takes, whatever else the App may do.
/// <https://docs.github.com/en/rest/authentication/permissions-required-for-github-apps>
fn wanted_permissions(scope: &Scope, moved_to: Option<u64>) -> serde_json::Value {
    match scope {
        // Under the name that it had, nobody would find a repository that was renamed.
        Scope::Repository { name, .. } => match moved_to {
            Some(id) => json!({"repository_ids": [id], "permissions": {"administration": "write"}}),
            None => json!({"repositories": [name], "permissions": {"administration": "write"}}),
        },
        Scope::Organization(_) | Scope::Enterprise(_) => {
            json!({"permissions": {"organization_self_hosted_runners": "write"}})
        }
    }
}

/// The id in `/repositories/ID/…`, to which GitHub redirects from a repository's former name.
fn repository_id(url: &Url) -> Option<u64> {
    let mut segments = url.path_segments()?.skip_while(|segment| *segment != "repositories").skip(1);
    segments.next()?.parse().ok()
}

/// The moment that `2016-07-11T22:14:10Z` names, with any offset; `None` if it is no such text (RFC 3339).
fn moment_of(text: &str) -> Option<Timestamp> {
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let mut date = date.splitn(3, '-').map(str::parse::<i64>);
    let (year, month, day) = (date.next()?.ok()?, date.next()?.ok()?, date.next()?.ok()?);
    let zone_at = time.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = time.split_at_checked(zone_at)?;
    let clock = clock.split('.').next()?;
    let mut clock = clock.splitn(3, ':').map(str::parse::<i64>);
    let (hour, minute, second) = (clock.next()?.ok()?, clock.next()?.ok()?, clock.next()?.ok()?);
    let offset_minutes = match zone.split_at_checked(1)? {
        ("Z" | "z", _) => 0,
        (sign, span) => {
            let (hours, minutes) = span.split_once(':')?;
            let minutes = hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?;
            if sign == "-" { -minutes } else { minutes }
        }
    };
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days since the epoch in a calendar whose year begins in March, so that the leap day comes last.
    let march_year = if month <= 2 { year - 1 } else { year };
    let march_month = (month + 9) % 12;
    let days = march_year * 365 + march_year / 4 - march_year / 100
        + march_year / 400
        + (march_month * 306 + 5) / 10
        + (day - 1)
        - 719_468;
    let secs = ((days * 24 + hour) * 60 + minute - offset_minutes) * 60 + second;
    u64::try_from(secs).ok()?.checked_mul(1000).map(Timestamp::from_epoch_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn github_s_moments_are_read_with_any_offset() {
        for (text, secs) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2016-07-11T22:14:10Z", 1_468_275_250),
            ("2016-07-11T22:14:10.123Z", 1_468_275_250),
            ("2016-07-11T15:14:10-07:00", 1_468_275_250),
            ("2016-07-12T03:44:10+05:30", 1_468_275_250),
            ("2024-02-29T12:00:00Z", 1_709_208_000),
            ("2026-12-31T23:59:59Z", 1_798_761_599),
        ] {
            assert_eq!(moment_of(text), Some(Timestamp::from_epoch_millis(secs * 1000)), "{text}");
        }
    }

    #[test]
    fn a_text_that_is_no_moment_is_none() {
        for text in ["", "soon", "2016-07-11", "2016-07-11T22:14:10", "2016-13-11T22:14:10Z", "1969-12-31T23:59:59Z"] {
            assert_eq!(moment_of(text), None, "{text}");
        }
    }
}
