//! Failure reasons: the property or the call, what is wrong, and what to do.

use crate::pool::model::identity::PhysicalId;
use crate::pool::model::observed::{GitHubRunners, Observed};
use crate::pool::model::pool_metadata::PoolMetadata;
use crate::pool::model::remains::RemainsRecord;
use crate::pool::model::remote_error::{ErrorKind, RemoteError, RemoteService};
use crate::pool::model::runner::Runner;
use crate::pool::model::spec::{GitHubCredential, JobScaling, ParameterRef, PoolSpec};
use crate::pool::policy::reasons::{cannot_deregister, drain_timed_out, github_refused, notes_of_deleted_pools};
use crate::pool::tests::support::{T0, foreign, spec, stack_resource};

fn remote_error(remote: RemoteService, kind: ErrorKind, code: &str, message: &str) -> RemoteError {
    RemoteError { remote, kind, operation: "Op".to_owned(), code: Some(code.to_owned()), message: message.to_owned() }
}

fn denied(message: &str) -> RemoteError {
    remote_error(RemoteService::ParameterStore, ErrorKind::Denied, "AccessDeniedException", message)
}

fn with_token(parameter: &str) -> PoolSpec {
    let mut spec = spec();
    spec.credentials.github_credential = Some(GitHubCredential::AccessToken(ParameterRef(parameter.to_owned())));
    spec
}

#[test]
fn credential_outside_credential_prefix_names_the_prefix() {
    let no = denied("User: x is not authorized to perform: ssm:GetParameter on resource: y");
    insta::assert_snapshot!(github_refused(&with_token("/ci/github-token"), &no), @"AccessTokenParameter /ci/github-token: the function may not read it. The provider stack allows it to read below its CredentialPrefix, github-runner-pool by default: move the credential there, such as to /github-runner-pool/token, or set CredentialPrefix of the provider stack to ci. Parameter Store Op failed (AccessDeniedException): User: x is not authorized to perform: ssm:GetParameter on resource: y");
    for (parameter, folder) in [
        ("/ci/tokens/github", Some("ci/tokens")),
        ("arn:aws:ssm:eu-west-1:1:parameter/ci/github-token", Some("ci")),
        ("arn:aws:secretsmanager:eu-west-1:1:secret:ci/github-AbCdEf:token::", Some("ci")),
        ("arn:aws:secretsmanager:eu-west-1:1:secret:github-AbCdEf", None),
        ("/github-token", None),
        ("github-token", None),
    ] {
        let reason = github_refused(&with_token(parameter), &no);
        let or_there = folder.map(|folder| format!("or set CredentialPrefix of the provider stack to {folder}."));
        assert!(reason.contains("move the credential there"), "{reason}");
        assert_eq!(reason.contains("or set CredentialPrefix"), folder.is_some(), "{reason}");
        assert!(reason.contains(&or_there.unwrap_or_default()), "{reason}");
    }
    let app = GitHubCredential::App {
        id: "12".to_owned(),
        private_key: ParameterRef("/ci/key".to_owned()),
        login: "acme".to_owned(),
    };
    let reason = cannot_deregister(Some(&app), &no);
    assert!(
        reason.contains("CredentialPrefix of the provider stack to ci") && !reason.contains("working credential"),
        "{reason}"
    );
}

#[test]
fn denied_kms_decrypt_names_credential_key_arn() {
    for message in [
        "User: x is not authorized to perform: kms:Decrypt on resource: y",
        "The ciphertext refers to a customer master key that does not exist, or you are not allowed to access.",
    ] {
        let reason = github_refused(&with_token("/github-runner-pool/token"), &denied(message));
        assert!(
            reason.contains("set CredentialKeyArn of the provider stack") && !reason.contains("CredentialPrefix"),
            "{reason}"
        );
    }
}

#[test]
fn value_that_is_no_credential_names_access_token_parameter() {
    let no = remote_error(
        RemoteService::ParameterStore,
        ErrorKind::Invalid,
        "ValidationException",
        "the secret is a JSON object",
    );
    assert_eq!(
        github_refused(&with_token("/x"), &no),
        "AccessTokenParameter /x: the secret is a JSON object. Correct that, then deploy again."
    );
}

#[test]
fn token_without_permission_names_what_max_runners_needs_beyond_it() {
    let no = remote_error(RemoteService::GitHub, ErrorKind::Denied, "403", "no permission");
    let fixed = with_token("/github-runner-pool/token");
    let as_many_as_jobs =
        PoolSpec { job_scaling: Some(JobScaling { max_runners: 20, scale_set_name: None }), ..fixed.clone() };
    assert!(!github_refused(&fixed, &no).contains("MaxRunners"));
    insta::assert_snapshot!(github_refused(&as_many_as_jobs, &no), @"AccessTokenParameter /github-runner-pool/token cannot access the organization acme on https://github.com: GitHub Op failed (403): no permission. With MaxRunners, a fine-grained token also needs the organization permission Administration: Read");
    let named = RemoteError { message: "a fine-grained token also \"Administration: Read\"".to_owned(), ..no };
    assert!(!github_refused(&as_many_as_jobs, &named).contains("With MaxRunners"));
}

#[test]
fn on_drain_timeout_fail_separates_known_jobs_from_presumed_ones() {
    let busy = Runner { is_busy: true, is_online: true, ..foreign(1, "runner-1", "x") };
    let observed = Observed { github: GitHubRunners::Listed(vec![busy]), ..Observed::default() };
    let text = |observed: &Observed, left: &[&str]| {
        let left: Vec<String> = left.iter().map(|name| (*name).to_owned()).collect();
        drain_timed_out(&spec().wait_policy, spec().credentials.github_credential.as_ref(), observed, &left)
    };
    insta::assert_snapshot!(text(&observed, &["runner-1"]), @"1 runner still has a running job (runner-1) after DrainTimeout (30 min), and OnDrainTimeout is Fail, so no task was stopped. Wait for the jobs or cancel them in GitHub, then retry; or raise DrainTimeout.");
    insta::assert_snapshot!(text(&observed, &["runner-1", "arn:task/2"]), @"1 runner still has a running job (runner-1) after DrainTimeout (30 min), and OnDrainTimeout is Fail, so no task was stopped. Wait for the jobs or cancel them in GitHub, then retry; or raise DrainTimeout. Also, 1 task may still have a running job (arn:task/2), which is unknown and so presumed: no runner on GitHub's list has a name that leads to it. Check in GitHub whether they have jobs, then retry; or set OnDrainTimeout to Cancel, which stops them.");
    insta::assert_snapshot!(text(&observed, &["arn:task/2", "arn:task/3"]), @"After DrainTimeout (30 min) 2 tasks may still have a running job (arn:task/2, arn:task/3), which is unknown and so presumed: no runner on GitHub's list has a name that leads to it. OnDrainTimeout is Fail, so no task was stopped. Check in GitHub whether they have jobs, then retry; or set OnDrainTimeout to Cancel, which stops them.");
    let blind = Observed { github: GitHubRunners::NoCredential, ..Observed::default() };
    insta::assert_snapshot!(text(&blind, &["arn:task/2"]), @"After DrainTimeout (30 min) 1 task may still have a running job (arn:task/2), which is unknown and so presumed: RunnerTokenParameter alone gives no access to GitHub. OnDrainTimeout is Fail, so no task was stopped. Check in GitHub whether they have jobs, then retry; or set OnDrainTimeout to Cancel, which stops them.");
}

#[test]
fn remains_of_pools_that_no_request_deletes_are_named_with_their_scale_sets() {
    assert_eq!(notes_of_deleted_pools(&RemainsRecord::default()), Vec::<String>::new());
    let mut scaled = spec();
    scaled.job_scaling = Some(JobScaling { max_runners: 4, scale_set_name: None });
    let record = [spec(), scaled].iter().fold(RemainsRecord::default(), |record, spec| {
        let id = PhysicalId::of(&stack_resource(), spec);
        let metadata = PoolMetadata::of(&id, spec);
        record.with(id, metadata, T0)
    });
    let notes = notes_of_deleted_pools(&record);
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(
        notes[0].starts_with("the runner scale set ghr-ci-Runners-") && notes[0].contains("seven days"),
        "{notes:?}"
    );
    assert!(notes[1].starts_with("GitHub may still list runners with the label ghr-ci-Runners-"), "{notes:?}");
    assert!(notes[1].contains(", ghr-ci-Runners-") && notes[1].contains("14 days"), "both pools: {notes:?}");
}
