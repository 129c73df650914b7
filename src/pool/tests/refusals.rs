//! The failure reason of a refused call: how to let a credential be read, and the command for a role that never comes.

use std::time::Duration;

use super::support::{POLL, T0, converge, decide_on, spec};
use crate::pool::model::decision::{Decision, WaitReason};
use crate::pool::model::observed::Observed;
use crate::pool::model::outcome::Outcome;
use crate::pool::model::remote_error::{ErrorKind, RemoteError, RemoteService};
use crate::pool::model::spec::{GitHubCredential, ParameterRef, PoolSpec};
use crate::pool::model::time::DecisionTime;
use crate::pool::policy::reasons::{cannot_deregister, github_refused};

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
fn a_credential_outside_credential_prefix_is_told_what_to_do() {
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
fn a_credential_whose_key_is_denied_names_the_key_s_parameter() {
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
fn a_value_that_is_no_credential_is_told_in_one_sentence_with_its_property() {
    let no = remote_error(
        RemoteService::ParameterStore,
        ErrorKind::Invalid,
        "ValidationException",
        "the secret is a JSON object",
    );
    assert_eq!(
        github_refused(&with_token("/x"), &no),
        "AccessTokenParameter /x: the secret is a JSON object. Correct that, then update the stack again."
    );
}

#[test]
fn a_service_linked_role_that_never_comes_is_told_within_minutes_with_the_command() {
    let no = remote_error(
        RemoteService::Ecs,
        ErrorKind::Conflict,
        "InvalidParameterException",
        "Unable to assume the service linked role. Please verify that the ECS service linked role exists.",
    );
    let mut operation = converge(spec());
    let mut now = T0;
    let reason = loop {
        let observed = Observed { remote_error: Some(no.clone()), ..Observed::default() };
        let at = DecisionTime { now, poll: POLL };
        operation.memory.record_observation(&observed, at);
        match decide_on(&mut operation, &observed, at) {
            Decision::Wait { why: WaitReason::RetryableError(_), until, .. } => now = until,
            Decision::Respond(Outcome::Failed { reason }) => break reason,
            other @ (Decision::Act(_) | Decision::Wait { .. } | Decision::Respond(_) | Decision::Stop(_)) => {
                panic!("{other:?}")
            }
        }
        // Between two tries everything else is looked at without an error.
        operation.memory.record_observation(&Observed::default(), DecisionTime { now, poll: POLL });
        assert!(now.since(T0) < Duration::from_secs(300), "{now:?}");
    };
    assert!(now.since(T0) >= Duration::from_secs(180));
    insta::assert_snapshot!(reason.replace(operation.id.as_str(), "ID"), @"The service-linked role for ecs.amazonaws.com: it is missing, or not usable after 3 min. Create it with `aws iam create-service-linked-role --aws-service-name ecs.amazonaws.com`, then retry. Amazon ECS Op failed (InvalidParameterException): Unable to assume the service linked role. Please verify that the ECS service linked role exists. (pool ID)");
}

#[test]
fn a_missing_role_is_known_by_the_words_of_each_service() {
    let role =
        |remote, code: &str, message: &str| remote_error(remote, ErrorKind::Conflict, code, message).missing_role();
    let not_ready = "The service-linked role is not yet ready for use.";
    assert_eq!(
        role(RemoteService::AutoScaling, "ServiceLinkedRoleFailure", not_ready),
        Some("autoscaling.amazonaws.com")
    );
    assert_eq!(role(RemoteService::AutoScaling, "ServiceLinkedRoleFailure", ""), Some("autoscaling.amazonaws.com"));
    assert_eq!(
        role(
            RemoteService::AutoScaling,
            "AuthFailure",
            "no permission to create the service-linked role for EC2 Spot Instances"
        ),
        Some("spot.amazonaws.com")
    );
    let absent = "ECS Service Linked Role does not exist. Please create a Service linked role for ECS and try again.";
    assert_eq!(role(RemoteService::Ecs, "ClientException", absent), Some("ecs.amazonaws.com"));
    assert_eq!(role(RemoteService::Ecs, "ClientException", "The role being passed cannot be assumed."), None);
    assert_eq!(role(RemoteService::GitHub, "404", not_ready), None);
}
