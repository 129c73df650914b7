//! Scale sets and their runner groups.

use std::collections::BTreeSet;

use super::*;
use crate::github::testing::{acme, client, token};
use crate::pool::model::remote_error::ErrorKind;
use crate::pool::model::scale_set::{JobStatistics, ScaleSet, ScaleSetRequest};
use crate::reconcile::ports::{RemoteResult, ScaleSetDeletion, ScaleSets as _};

fn statistics() -> Value {
    json!({
        "totalAvailableJobs": 1, "totalAcquiredJobs": 2, "totalAssignedJobs": 3, "totalRunningJobs": 4,
        "totalRegisteredRunners": 5, "totalBusyRunners": 6, "totalIdleRunners": 7,
    })
}

fn entry(id: u64, name: &str) -> Value {
    json!({
        "id": id, "name": name, "runnerGroupId": 4, "runnerGroupName": "Default", "createdOn": "2026-01-01T00:00:00Z",
        "labels": [{ "id": 1, "name": "gpu", "type": "System" }, { "name": name, "type": "System" }],
        "runnerSetting": { "ephemeral": true, "disableUpdate": true },
    })
}

fn labels(names: &[&str]) -> BTreeSet<String> {
    names.iter().copied().map(str::to_owned).collect()
}

async fn named(stub: &Stub, group: Option<&str>, name: &str) -> RemoteResult<Option<ScaleSet>> {
    client(&clock()).scale_set_named(&stub.target(acme()), &token(), group, name).await
}

fn request() -> ScaleSetRequest {
    ScaleSetRequest { name: "ci".to_owned(), group: None, labels: labels(&["ci", "gpu"]), disable_auto_update: true }
}

async fn create(stub: &Stub, request: &ScaleSetRequest) -> RemoteResult<ScaleSet> {
    client(&clock()).create_scale_set(&stub.target(acme()), &token(), request).await
}

async fn delete(status: u16, body: &Value) -> RemoteResult<ScaleSetDeletion> {
    let stub = answering(status, body);
    let deleted = client(&clock()).delete_scale_set(&stub.target(acme()), &token(), 7).await;
    assert_eq!(only_call(&stub).line(), format!("DELETE {SETS}/7?{VERSION}"));
    deleted
}

#[tokio::test]
async fn scale_set_is_found_by_name_in_the_default_group() {
    let mut found = entry(7, "ci");
    found["statistics"] = statistics();
    let stub = answering(200, &json!({ "count": 1, "value": [found] }));
    let scale_set = named(&stub, None, "ci").await.unwrap().unwrap();
    assert_eq!((scale_set.id, scale_set.name.as_str(), scale_set.group_id), (7, "ci", 4));
    assert_eq!(scale_set.labels, labels(&["ci", "gpu"]));
    let expected = JobStatistics {
        available: 1,
        acquired: 2,
        assigned: 3,
        running: 4,
        registered_runners: 5,
        busy_runners: 6,
        idle_runners: 7,
    };
    assert_eq!(scale_set.statistics, Some(expected));
    assert_eq!(only_call(&stub).line(), format!("GET {SETS}?runnerGroupId=1&name=ci&{VERSION}"));
}

#[tokio::test]
async fn scale_set_s_name_is_encoded_and_compared() {
    let stub = answering(200, &json!({ "count": 1, "value": [entry(7, "other")] }));
    assert_eq!(named(&stub, None, "a&name=b c").await.unwrap(), None, "the service listed another set");
    assert_eq!(only_call(&stub).line(), format!("GET {SETS}?runnerGroupId=1&name=a%26name%3Db+c&{VERSION}"));
    let stub = answering(200, &json!({ "count": 1, "value": [entry(7, "CI")] }));
    assert_eq!(named(&stub, None, "ci").await.unwrap().map(|set| set.id), Some(7), "names differ by more than case");
}

#[tokio::test]
async fn scale_set_that_is_not_there_is_none_and_a_list_without_entries_is_an_error() {
    assert_eq!(named(&answering(200, &json!({ "count": 0, "value": [] })), None, "ci").await.unwrap(), None);
    let two = json!({ "count": 2, "value": [entry(7, "ci"), entry(8, "ci")] });
    for body in [json!({ "count": 0 }), json!({ "value": [{ "name": "ci" }] }), two, json!([])] {
        let error = named(&answering(200, &body), None, "ci").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unexpected, "{body}");
        assert!(error.remote_error.message.contains("Nothing was changed"), "{error}");
    }
}

#[tokio::test]
async fn runner_group_becomes_its_id_and_default_is_1_without_a_call() {
    let stub = service(|request| {
        if request.path.contains("runnergroups") {
            reply(200, json!({ "count": 1, "value": [{ "id": 9, "name": "Trusted group", "isDefaultGroup": false }] }))
        } else {
            reply(200, json!({ "count": 0, "value": [] }))
        }
    });
    named(&stub, Some("trusted Group"), "ci").await.unwrap();
    let lines: Vec<String> = calls(&stub).iter().map(ReceivedRequest::line).collect();
    let group = format!("GET /service/_apis/runtime/runnergroups/?groupName=trusted+Group&{VERSION}");
    assert_eq!(lines, [group, format!("GET {SETS}?runnerGroupId=9&name=ci&{VERSION}")]);

    let stub = answering(200, &json!({ "count": 0, "value": [] }));
    named(&stub, Some("Default"), "ci").await.unwrap();
    assert!(only_call(&stub).path.contains("runnerGroupId=1&"));
    let error = named(&stub, Some("gone"), "ci").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.remote_error.message.starts_with("RunnerGroup: organization acme has no runner group gone"));
}

#[tokio::test]
async fn create_scale_set_sends_labels_of_type_system_and_reads_what_github_made() {
    let stub = answering(200, &entry(7, "ci"));
    let created = create(&stub, &request()).await.unwrap();
    assert_eq!((created.id, created.labels, created.statistics), (7, labels(&["ci", "gpu"]), None));
    let call = only_call(&stub);
    assert_eq!(call.line(), format!("POST {SETS}?{VERSION}"));
    assert_eq!(call.header("content-type"), "application/json");
    assert_eq!(
        sent(&call),
        json!({
            "name": "ci",
            "runnerGroupId": 1,
            "labels": [{ "name": "ci", "type": "System" }, { "name": "gpu", "type": "System" }],
            "RunnerSetting": { "disableUpdate": true },
        })
    );
}

#[tokio::test]
async fn server_that_drops_labels_shows_in_what_create_scale_set_returns() {
    let stub = answering(200, &json!({ "id": 7, "name": "ci", "labels": null, "RunnerSetting": {} }));
    let created = create(&stub, &request()).await.unwrap();
    assert_eq!((created.labels, created.group_id), (BTreeSet::new(), 1));
}

#[tokio::test]
async fn create_scale_set_takes_no_status_but_200() {
    for status in [201, 202] {
        let error = create(&answering(status, &entry(7, "ci")), &request()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unexpected, "{status}");
    }
    let stub = answering(400, &exception("RunnerScaleSetExistsException"));
    let error = create(&stub, &request()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(
        error.to_string(),
        "GitHub POST _apis/runtime/runnerscalesets failed (RunnerScaleSetExistsException): RunnerScaleSetName: the \
         runner group of organization acme has a runner scale set of this name already. Specify another name, or delete \
         that set. GitHub said: of GitHub"
    );
}

#[tokio::test]
async fn delete_scale_set_is_done_when_it_is_missing_and_refused_while_a_job_runs() {
    assert_eq!(delete(204, &json!("")).await.unwrap(), ScaleSetDeletion::Deleted);
    let missing = exception("RunnerScaleSetNotFoundException");
    assert_eq!(delete(404, &missing).await.unwrap(), ScaleSetDeletion::Missing);
    assert_eq!(delete(404, &json!({})).await.unwrap(), ScaleSetDeletion::Missing);
    let busy = exception("JobStillRunningException");
    assert_eq!(delete(400, &busy).await.unwrap(), ScaleSetDeletion::Busy);
    for (status, body) in [(200, json!({})), (400, exception("NewException")), (409, json!({}))] {
        assert!(delete(status, &body).await.unwrap_err().kind().is_retryable(), "{status}");
    }
}

#[tokio::test]
async fn page_for_people_with_status_404_is_no_missing_scale_set() {
    let stub = service(|_| reply(404, "\n <html>Please log in</html>"));
    let error = client(&clock()).delete_scale_set(&stub.target(acme()), &token(), 7).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unexpected);
    assert!(error.remote_error.message.contains("a login page answers in its place"), "{error}");
}
