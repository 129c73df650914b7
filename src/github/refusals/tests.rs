use reqwest::StatusCode;

use super::*;
use crate::github::answer::Notes;
use crate::github::testing::{acme, rocket};
use crate::pool::model::secret::Secret;
use crate::pool::model::spec::{GitHubTarget, Scope};
use crate::pool::model::time::Timestamp;

const AS_TOKEN: Presented = Presented::AccessToken;
const AS_APP: Presented = Presented::AppToken;
const SIGNED: Presented = Presented::AppSignature;

fn answer(status: u16, presented: Presented, said: &str, notes: Notes) -> Answer {
    let body = serde_json::json!({"message": said, "documentation_url": "https://docs.github.com/rest"});
    let status = StatusCode::from_u16(status).unwrap();
    Answer::new(status, notes, body.to_string().into_bytes(), &Secret::new("ghp_planted"), presented)
}

fn refusal(scope: Scope, purpose: LockPurpose, answer: &Answer) -> RemoteError {
    let target = GitHubTarget { host: GitHubHost::github_com(), scope };
    let ask = Ask::new(purpose, &target, &["orgs", "acme", "actions", "runners"]).unwrap();
    of_answer(&ask, answer).remote_error
}

fn with(change: impl FnOnce(&mut Notes)) -> Notes {
    let mut notes = Notes::default();
    change(&mut notes);
    notes
}

/// One row: what GitHub answers, what we make of it, and words that the sentence must hold.
struct Case {
    status: u16,
    presented: Presented,
    purpose: LockPurpose,
    said: &'static str,
    notes: Notes,
    finding: Finding,
    class: ErrorKind,
    helps: &'static str,
}

impl Case {
    fn asking(self, purpose: LockPurpose) -> Self {
        Self { purpose, ..self }
    }

    fn noting(self, change: impl FnOnce(&mut Notes)) -> Self {
        Self { notes: with(change), ..self }
    }
}

fn case(
    status: u16,
    presented: Presented,
    said: &'static str,
    makes: (Finding, ErrorKind),
    helps: &'static str,
) -> Case {
    let (finding, class) = makes;
    Case { status, presented, purpose: LockPurpose::ListRunners, said, notes: Notes::default(), finding, class, helps }
}

const IP_ALLOW_LIST: &str = "Although you appear to have the correct authorization credentials, the `acme` organization \
    has an IP allow list enabled, and your IP address is not permitted to access this resource.";

fn cases_of_tokens() -> Vec<Case> {
    let bad = (Finding::BadToken, ErrorKind::Unauthenticated);
    let wants_sso = (Finding::WantsSso, ErrorKind::Denied);
    let not_permitted = (Finding::NotPermitted, ErrorKind::Denied);
    vec![
        case(401, AS_TOKEN, "Bad credentials", bad, "does not accept this access token: it has expired"),
        case(403, AS_TOKEN, "Resource protected by organization SAML enforcement.", wants_sso, "Configure SSO")
            .noting(|notes| notes.wants_sso = true),
        case(404, AS_TOKEN, "Not Found", wants_sso, "Configure SSO").noting(|notes| notes.wants_sso = true),
        case(403, AS_TOKEN, IP_ALLOW_LIST, (Finding::AddressNotAllowed, ErrorKind::Denied), "NAT gateway"),
        case(403, AS_TOKEN, "Resource not accessible by personal access token", not_permitted, "Permissions: x=write)")
            .noting(|notes| notes.accepted_permissions = Some("x=write".to_owned())),
        case(403, AS_TOKEN, "Must have admin rights.", not_permitted, "(this token's scopes: repo, workflow)")
            .noting(|notes| notes.scopes = Some("repo, workflow".to_owned())),
        case(403, AS_TOKEN, "Must have admin rights.", not_permitted, "(this token has no scopes)")
            .noting(|notes| notes.scopes = Some(String::new())),
    ]
}

fn cases_of_apps() -> Vec<Case> {
    let bad_signature = (Finding::BadSignature, ErrorKind::Unauthenticated);
    let bad_token = (Finding::BadAppToken, ErrorKind::Unauthenticated);
    let not_installed = (Finding::NotInstalled, ErrorKind::Denied);
    let not_granted = (Finding::NotGranted, ErrorKind::Denied);
    let not_permitted = (Finding::NotPermitted, ErrorKind::Denied);
    vec![
        case(401, AS_APP, "Bad credentials", bad_token, "still installed on organization acme"),
        case(401, SIGNED, "A JSON web token could not be decoded", bad_signature, "AppId and the private key"),
        case(404, SIGNED, "Integration not found", bad_signature, "AppId and the private key"),
        case(404, SIGNED, "Not Found", not_installed, "not installed on organization acme")
            .asking(LockPurpose::FindInstallation),
        case(422, SIGNED, "The permissions requested are not granted.", not_granted, "accept the new permission")
            .asking(LockPurpose::MakeInstallationToken),
        case(403, AS_APP, "Installation suspended", (Finding::Suspended, ErrorKind::Denied), "lift the suspension"),
        case(403, AS_APP, "Resource not accessible by integration", not_permitted, "Self-hosted runners: Read and"),
    ]
}

fn cases_of_places() -> Vec<Case> {
    let renamed = (Finding::Renamed, ErrorKind::Invalid);
    let invalid = (Finding::Invalid, ErrorKind::Invalid);
    let unwell = (Finding::Unwell, ErrorKind::Unavailable);
    vec![
        case(404, AS_TOKEN, "Not Found", (Finding::RunnerGone, ErrorKind::NotFound), "does not know this runner")
            .asking(LockPurpose::DeleteRunner),
        case(
            404,
            AS_TOKEN,
            "Not Found",
            (Finding::NotShown, ErrorKind::NotFound),
            "either OrgName is wrong, or a perm",
        ),
        case(301, AS_TOKEN, "Moved Permanently", renamed, "its present name into OrgName"),
        case(307, AS_TOKEN, "Temporary Redirect", renamed, "its present name into OrgName"),
        case(410, AS_TOKEN, "Gone", (Finding::VersionRetired, ErrorKind::Invalid), "version 2022-11-28"),
        case(409, AS_TOKEN, "Conflict", (Finding::InTheWay, ErrorKind::Conflict), "at the moment"),
        case(400, AS_TOKEN, "Problems parsing JSON", invalid, "report it"),
        case(422, AS_TOKEN, "Validation Failed", invalid, "report it"),
        case(500, AS_TOKEN, "", unwell, "api.github.com is not well"),
        case(503, AS_TOKEN, "Service unavailable", unwell, "api.github.com is not well"),
        case(408, AS_TOKEN, "", unwell, "api.github.com is not well"),
        case(418, AS_TOKEN, "teapot", (Finding::Unexpected, ErrorKind::Unexpected), "does not know"),
    ]
}

fn cases_of_limits() -> Vec<Case> {
    let too_fast = (Finding::Throttled, ErrorKind::Throttled { retry_after: None });
    vec![
        case(429, AS_TOKEN, "", too_fast, "too fast"),
        case(403, AS_TOKEN, "You have exceeded a secondary rate limit.", too_fast, "too fast"),
        case(403, AS_TOKEN, "You have triggered an abuse detection mechanism.", too_fast, "too fast"),
        case(403, AS_TOKEN, "Slow down", too_fast, "too fast")
            .noting(|notes| notes.retry_after = Some(Duration::from_secs(3))),
        case(403, AS_APP, "No", too_fast, "too fast").noting(|notes| notes.remaining = Some(0)),
    ]
}

#[test]
fn every_row_of_the_table_gives_its_finding_its_class_and_a_sentence_that_helps() {
    let mut found = Vec::new();
    for case in [cases_of_tokens(), cases_of_apps(), cases_of_places(), cases_of_limits()].into_iter().flatten() {
        let Case { status, presented, purpose, said, notes, finding, class, helps } = case;
        let answer = answer(status, presented, said, notes);
        assert_eq!(Finding::of(purpose, &answer), finding, "{status} {said}");
        found.push(finding);
        let refusal = refusal(acme(), purpose, &answer);
        assert_eq!(refusal.kind, class, "{status} {said}");
        assert_eq!(refusal.code, Some(status.to_string()));
        assert!(refusal.message.contains(helps), "{status}: {}", refusal.message);
        let quoted = said.trim_end_matches('.');
        assert!(refusal.message.ends_with(quoted), "GitHub's words stand last: {}", refusal.message);
    }
    for (finding, _) in TABLE {
        assert!(found.contains(&finding), "no case for {finding:?}");
    }
}

#[test]
fn a_refusal_reads_as_one_line_with_the_call_and_the_status() {
    let answer = answer(401, AS_TOKEN, "Bad credentials", Notes::default());
    assert_eq!(
        refusal(acme(), LockPurpose::ListRunners, &answer).to_string(),
        "GitHub GET /orgs/acme/actions/runners refused (401): GitHub does not accept this access token: it has expired, \
         was revoked, or was mistyped in its parameter; put a new one in and update the stack. GitHub said: Bad \
         credentials"
    );
}

#[test]
fn each_scope_names_its_own_property_and_permission() {
    let enterprise = Scope::Enterprise("umbrella".to_owned());
    for (scope, presented, words) in [
        (acme(), AS_TOKEN, vec!["OrgName", "admin:org", "Self-hosted runners: Read and write"]),
        (rocket(), AS_TOKEN, vec!["RepoUrl", "scope repo", "Administration: Read and write"]),
        (enterprise, AS_TOKEN, vec!["EnterpriseName", "manage_runners:enterprise", "fine-grained token cannot"]),
        (rocket(), AS_APP, vec!["RepoUrl", "App's settings", "Administration: Read and write"]),
    ] {
        let message =
            refusal(scope, LockPurpose::ListRunners, &answer(404, presented, "Not Found", Notes::default())).message;
        for word in words {
            assert!(message.contains(word), "{word}: {message}");
        }
    }
}

#[test]
fn the_pause_is_what_github_says_or_left_open() {
    let reset = Timestamp::from_epoch_millis(1_700_000_000_000);
    for (notes, expected) in [
        (with(|notes| notes.retry_after = Some(Duration::from_secs(7))), Notice::After(Duration::from_secs(7))),
        (
            with(|notes| {
                notes.remaining = Some(0);
                notes.reset = Some(reset);
            }),
            Notice::UsedUpUntil(reset + Duration::from_secs(1)),
        ),
        (
            with(|notes| {
                notes.remaining = Some(4000);
                notes.reset = Some(reset);
            }),
            Notice::Unsaid,
        ),
    ] {
        assert_eq!(throttle(&answer(429, AS_TOKEN, "", notes)), Some(expected));
    }
    assert_eq!(throttle(&answer(403, AS_TOKEN, "Resource not accessible", Notes::default())), None);
}
