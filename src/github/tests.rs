//! The adapter against a stub on a loopback port, on a clock that jumps.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::testing::{JumpClock, ReceivedRequest, Reply, Stub, acme, client, reply, rocket, token};
use crate::pool::model::remote_error::ErrorKind;
use crate::pool::model::runner::RunnerGroup;
use crate::pool::model::spec::Scope;
use crate::reconcile::ports::{Deregistration, GitHub as _};

mod authentication;
mod rate_limits;
mod secrecy;
mod transport;

/// A runner as GitHub lists it.
fn runner(id: u64) -> Value {
    json!({
        "id": id, "name": format!("ci-{id}"), "os": "linux", "status": "online", "busy": false,
        "labels": [{"id": 5, "name": "self-hosted", "type": "read-only"}, {"name": "gpu"}], "runner_group_id": 1,
    })
}

fn page(total: usize, ids: impl IntoIterator<Item = u64>) -> Reply {
    let runners: Vec<Value> = ids.into_iter().map(runner).collect();
    reply(200, json!({"total_count": total, "runners": runners}))
}

/// Three pages of 2, 2 and 1.
fn three_pages(request: &ReceivedRequest) -> Reply {
    match request.path.as_str() {
        "/orgs/acme/actions/runners?per_page=100" => {
            page(5, [1, 2]).with("link", request.link("/organizations/9/actions/runners?per_page=100&page=2"))
        }
        "/organizations/9/actions/runners?per_page=100&page=2" => {
            page(5, [3, 4]).with("link", request.link("/organizations/9/actions/runners?per_page=100&page=3"))
        }
        "/organizations/9/actions/runners?per_page=100&page=3" => page(5, [5]),
        _ => reply(404, json!({"message": "Not Found"})),
    }
}

/// Answers the first requests with what `first` makes of their number, the later ones with `then`.
fn at_first(n: usize, first: impl Fn() -> Reply + Send + Sync + 'static, then: fn() -> Reply) -> Stub {
    let n_seen = AtomicUsize::new(0);
    Stub::start(move |_| if n_seen.fetch_add(1, Ordering::SeqCst) < n { first() } else { then() })
}

#[tokio::test]
async fn list_runners_reads_every_page_with_github_s_headers() {
    let stub = Stub::start(three_pages);
    let runners = client(&JumpClock::new()).runners(&stub.target(acme()), &token()).await.unwrap();
    assert_eq!(runners.iter().map(|runner| runner.id).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    let first = runners.first().unwrap();
    assert_eq!((first.name.as_str(), first.is_online, first.is_busy), ("ci-1", true, false));
    assert_eq!(first.labels.iter().map(String::as_str).collect::<Vec<_>>(), ["gpu", "self-hosted"]);

    let requests = stub.requests();
    assert_eq!(requests.len(), 3);
    for request in requests {
        assert_eq!(request.method, "GET");
        assert_eq!(request.header("accept"), "application/vnd.github+json");
        assert_eq!(request.header("x-github-api-version"), "2022-11-28");
        assert_eq!(request.header("authorization"), "Bearer ghp_planted");
        assert!(request.header("user-agent").starts_with("github-runner-pool/"));
    }
}

#[tokio::test]
async fn list_runners_has_a_path_per_scope() {
    let stub = Stub::start(|_| page(0, []));
    let client = client(&JumpClock::new());
    for scope in [acme(), rocket(), Scope::Enterprise("umbrella".to_owned())] {
        client.runners(&stub.target(scope), &token()).await.unwrap();
    }
    assert_eq!(
        stub.lines(),
        [
            "GET /orgs/acme/actions/runners?per_page=100",
            "GET /repos/acme/rocket/actions/runners?per_page=100",
            "GET /enterprises/umbrella/actions/runners?per_page=100",
        ]
    );
}

#[tokio::test]
async fn list_runners_that_shifts_between_pages_is_read_again() {
    // Runner 1 goes between the two pages, so runner 3 moves onto the page that was read already.
    let n_first_pages = AtomicUsize::new(0);
    let stub = Stub::start(move |request| match request.path.as_str() {
        "/orgs/acme/actions/runners?per_page=100" => {
            let (total, ids) =
                if n_first_pages.fetch_add(1, Ordering::SeqCst) == 0 { (3, [1, 2]) } else { (2, [2, 3]) };
            page(total, ids).with("link", request.link("/orgs/acme/actions/runners?page=2"))
        }
        _ => page(2, []),
    });
    let runners = client(&JumpClock::new()).runners(&stub.target(acme()), &token()).await.unwrap();
    assert_eq!(stub.lines().len(), 4, "read again, once");
    assert_eq!(runners.iter().map(|runner| runner.id).collect::<Vec<_>>(), [1, 2, 3]);

    // The same runner on two pages is one runner.
    let stub = Stub::start(|request| match request.path.as_str() {
        "/orgs/acme/actions/runners?per_page=100" => {
            page(3, [1, 2]).with("link", request.link("/orgs/acme/actions/runners?page=2"))
        }
        _ => page(3, [2, 3]),
    });
    let runners = client(&JumpClock::new()).runners(&stub.target(acme()), &token()).await.unwrap();
    assert_eq!(runners.iter().map(|runner| runner.id).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(stub.lines().len(), 2, "nothing is missing");
}

#[tokio::test]
async fn list_runners_tolerates_missing_and_unknown_fields_and_takes_missing_busy_for_busy() {
    let body =
        json!({"runners": [{"id": 7, "status": "hibernating", "labels": [{}, {"name": "x", "hue": 1}]}], "new": 1});
    let stub = Stub::start(move |_| reply(200, &body));
    let runners = client(&JumpClock::new()).runners(&stub.target(acme()), &token()).await.unwrap();
    let runner = runners.first().unwrap();
    assert_eq!((runner.id, runner.name.as_str(), runner.is_online, runner.is_busy), (7, "", false, true));
    assert_eq!(runner.labels.iter().map(String::as_str).collect::<Vec<_>>(), ["x"]);
}

#[tokio::test]
async fn list_runners_without_a_list_is_an_error_and_no_empty_pool() {
    for body in ["{}", "<html>please log in</html>", "", "{\"runners\": [{\"name\": \"no id\"}]}"] {
        let stub = Stub::start(move |_| reply(200, body));
        let error = client(&JumpClock::new()).runners(&stub.target(acme()), &token()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unexpected, "{body}");
        assert!(error.remote_error.message.contains("a login page answers in its place"), "{error}");
    }
}

#[tokio::test]
async fn link_to_another_server_gets_no_credential() {
    let elsewhere = Stub::start(|_| page(0, []));
    let next = format!("<http://{}/api/v3/x>; rel=\"next\"", elsewhere.host().authority);
    let stub = Stub::start(move |_| page(1, [1]).with("link", &next));
    let error = client(&JumpClock::new()).runners(&stub.target(acme()), &token()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.remote_error.message.contains("another server"), "{error}");
    assert!(elsewhere.lines().is_empty());
}

#[tokio::test]
async fn list_runners_fails_beyond_10000_entries() {
    let stub = Stub::start(|request| page(1, [1]).with("link", request.link("/orgs/acme/actions/runners?page=2")));
    let error = client(&JumpClock::new()).runners(&stub.target(acme()), &token()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.remote_error.message.contains("more than 10000 entries"), "{error}");
    assert_eq!(stub.lines().len(), 100);
}

#[tokio::test]
async fn response_body_is_bounded() {
    let long = "x".repeat(5 * 1024 * 1024);
    let stub = Stub::start(move |_| reply(200, &long));
    let error = client(&JumpClock::new()).runners(&stub.target(acme()), &token()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unexpected);
    assert!(error.remote_error.message.contains("more than 4194304 bytes"), "{error}");
}

/// A GitHub with an idle runner 204 and a busy runner 422.
fn one_idle_one_busy_runner(request: &ReceivedRequest) -> Reply {
    match request.line().as_str() {
        "DELETE /orgs/acme/actions/runners/204" => reply(204, ""),
        "DELETE /orgs/acme/actions/runners/422" => {
            reply(422, json!({"message": "Runner \"ci-422\" is currently running a job and cannot be deleted."}))
        }
        line if line.starts_with("GET") => page(0, []),
        _ => reply(404, json!({"message": "Not Found"})),
    }
}

#[tokio::test]
async fn delete_runner_maps_204_422_and_404() {
    let stub = Stub::start(one_idle_one_busy_runner);
    let (client, target) = (client(&JumpClock::new()), stub.target(acme()));
    client.runners(&target, &token()).await.unwrap();
    for (id, expected) in [(204, Deregistration::Deleted), (422, Deregistration::Busy), (404, Deregistration::Missing)]
    {
        assert_eq!(client.deregister(&target, &token(), id).await.unwrap(), expected);
    }
    assert_eq!(stub.lines().len(), 4, "the list just read proves the 404");
}

#[tokio::test]
async fn delete_runner_404_means_missing_only_within_a_minute_of_a_list() {
    let clock = JumpClock::new();
    let stub = Stub::start(one_idle_one_busy_runner);
    let (client, target) = (client(&clock), stub.target(acme()));
    for (wait_secs, n_lists) in [(0, 1), (59, 1), (2, 2)] {
        clock.pass(Duration::from_secs(wait_secs));
        assert_eq!(client.deregister(&target, &token(), 404).await.unwrap(), Deregistration::Missing);
        let lists = stub.lines().iter().filter(|line| *line == "GET /orgs/acme/actions/runners?per_page=1").count();
        assert_eq!(lists, n_lists, "after {wait_secs} s more");
    }
}

#[tokio::test]
async fn delete_runner_404_without_a_list_is_a_lost_permission() {
    let stub = Stub::start(|_| reply(404, json!({"message": "Not Found"})));
    let error = client(&JumpClock::new()).deregister(&stub.target(acme()), &token(), 7).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.remote_error.operation, "GET /orgs/acme/actions/runners");
    assert!(
        error.remote_error.message.contains("OrgName is wrong, or this access token lacks a permission"),
        "{error}"
    );
}

#[tokio::test]
async fn delete_runner_404_with_x_github_sso_is_denied() {
    let stub = Stub::start(|_| {
        reply(404, json!({"message": "Not Found"})).with("x-github-sso", "required; url=https://github.com/planted")
    });
    let error = client(&JumpClock::new()).deregister(&stub.target(acme()), &token(), 7).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(!format!("{error} {error:?}").contains("planted"));
}

/// A GitHub whose repository acme/rocket was renamed.
fn renamed(request: &ReceivedRequest) -> Reply {
    let moved =
        |path: &str| reply(301, json!({"message": "Moved Permanently"})).with("location", request.address(path));
    match (request.method.as_str(), request.path.as_str()) {
        (_, path) if path.starts_with("/repos/acme/rocket/") => {
            moved(&path.replacen("/repos/acme/rocket", "/repositories/7", 1))
        }
        ("GET", "/repositories/7/actions/runners?per_page=100") => {
            page(3, [1, 2]).with("link", request.link("/repositories/7/actions/runners?per_page=100&page=2"))
        }
        ("GET", "/repositories/7/actions/runners?per_page=100&page=2") => page(3, [3]),
        ("DELETE", "/repositories/7/actions/runners/1") => reply(204, ""),
        ("DELETE", "/repositories/7/actions/runners/2") => reply(422, json!({"message": "running a job"})),
        ("GET", "/repositories/7/installation") => reply(200, json!({"id": 42})),
        ("POST", "/app/installations/42/access_tokens") => reply(201, json!({"token": "ghs_1"})),
        _ => reply(404, json!({"message": "Not Found"})),
    }
}

#[tokio::test]
async fn list_runners_and_delete_runner_follow_301_within_the_host() {
    let stub = Stub::start(renamed);
    let (client, target) = (client(&JumpClock::new()), stub.target(rocket()));
    let runners = client.runners(&target, &token()).await.unwrap();
    assert_eq!(runners.iter().map(|runner| runner.id).collect::<Vec<_>>(), [1, 2, 3]);
    for (id, expected) in [(1, Deregistration::Deleted), (2, Deregistration::Busy), (3, Deregistration::Missing)] {
        assert_eq!(client.deregister(&target, &token(), id).await.unwrap(), expected);
    }
    assert!(stub.requests().iter().all(|request| request.header("authorization") == "Bearer ghp_planted"));
    assert!(stub.lines().contains(&"DELETE /repositories/7/actions/runners/1".to_owned()), "the method stays");
}

#[tokio::test]
async fn create_registration_token_does_not_follow_301() {
    let stub = Stub::start(renamed);
    let error = client(&JumpClock::new()).check_administration(&stub.target(rocket()), &token()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(
        error.remote_error.message.starts_with("RepoUrl: repository acme/rocket was renamed or transferred"),
        "{error}"
    );
    assert_eq!(stub.lines().len(), 1);
}

#[tokio::test]
async fn redirect_to_another_server_gets_no_credential_and_loops_end() {
    let elsewhere = Stub::start(|_| page(0, []));
    let location = format!("http://{}/api/v3/x", elsewhere.host().authority);
    let stub = Stub::start(move |_| reply(301, "").with("location", &location));
    let error = client(&JumpClock::new()).runners(&stub.target(acme()), &token()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.remote_error.message.contains("redirects to another server"), "{error}");
    assert_eq!((stub.lines().len(), elsewhere.lines().len()), (1, 0));

    let stub = Stub::start(|_| reply(307, "").with("location", "/api/v3/again"));
    let error = client(&JumpClock::new()).runners(&stub.target(acme()), &token()).await.unwrap_err();
    assert!(error.remote_error.message.contains("redirects in a loop"), "{error}");
    assert_eq!(stub.lines().len(), 4);

    let stub = Stub::start(|_| reply(301, json!({"message": "Moved Permanently"})));
    let error = client(&JumpClock::new()).runners(&stub.target(acme()), &token()).await.unwrap_err();
    assert!(error.remote_error.message.starts_with("OrgName: organization acme was renamed or transferred"), "{error}");
}

#[tokio::test]
async fn create_registration_token_proves_the_permission_to_administer() {
    let stub = Stub::start(|request| match request.line().as_str() {
        "POST /repos/acme/rocket/actions/runners/registration-token" => {
            reply(201, json!({"token": "planted", "expires_at": "2026-01-01T01:00:00Z"}))
        }
        _ => reply(403, json!({"message": "Resource not accessible by personal access token"})),
    });
    let client = client(&JumpClock::new());
    let login = client.check_administration(&stub.target(rocket()), &token()).await.unwrap();
    assert_eq!(login, None, "an access token has no installation");
    let error = client.check_administration(&stub.target(acme()), &token()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert_eq!(error.remote_error.operation, "POST /orgs/acme/actions/runners/registration-token");
}

#[tokio::test]
async fn list_runner_groups_matches_names_on_any_page_in_any_case() {
    let stub = Stub::start(|request| {
        let groups = |names: &[&str]| {
            let groups: Vec<Value> = names
                .iter()
                .map(|name| json!({"id": 1, "name": name, "default": false, "inherited": *name == "gpu"}))
                .collect();
            reply(200, json!({"total_count": 3, "runner_groups": groups}))
        };
        match request.path.as_str() {
            "/orgs/acme/actions/runner-groups?per_page=100" => {
                groups(&["Default", "gpu"]).with("link", request.link("/orgs/acme/actions/runner-groups?page=2"))
            }
            _ => groups(&["Größe XL"]),
        }
    });
    let client = client(&JumpClock::new());
    let (own, inherited) = (Some(RunnerGroup::Own), Some(RunnerGroup::Inherited));
    for (name, expected) in [("default", own), ("GRÖSSE xl", None), ("größe xl", own), ("gp", None), ("GPU", inherited)]
    {
        assert_eq!(client.runner_group(&stub.target(acme()), &token(), name).await.unwrap(), expected, "{name}");
    }
    let before = stub.lines().len();
    assert_eq!(client.runner_group(&stub.target(rocket()), &token(), "Default").await.unwrap(), None);
    assert_eq!(stub.lines().len(), before, "a repository has none");
}
