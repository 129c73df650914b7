use super::*;
use crate::aws::config::AwsEndpoints;
use crate::aws::errors::tests::check;
use crate::aws::test_http_client::{Replay, settings};
use crate::reconcile::ports::AutoScaling;

const FOUND: &str = "<DescribeLaunchTemplatesResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">
  <requestId>r</requestId><launchTemplates><item><launchTemplateId>lt-1</launchTemplateId>
  <defaultVersionNumber>3</defaultVersionNumber><latestVersionNumber>7</latestVersionNumber></item></launchTemplates>
</DescribeLaunchTemplatesResponse>";

fn error(code: &str, message: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>{code}</Code>\
         <Message>{message}</Message></Error></Errors><RequestID>r</RequestID></Response>"
    )
}

fn id() -> LaunchTemplateId {
    LaunchTemplateId::Id("lt-1".to_owned())
}

fn name() -> LaunchTemplateId {
    LaunchTemplateId::Name("runners & co".to_owned())
}

#[test]
fn every_error_of_ec2_has_its_class() {
    check(
        &EC2,
        TABLE,
        &[
            (
                "InvalidLaunchTemplateId.NotFound",
                "The specified launch template, with template ID lt-1, does not exist.",
                ErrorKind::NotFound,
            ),
            ("InvalidLaunchTemplateId.NotFoundException", "", ErrorKind::NotFound),
            (
                "InvalidLaunchTemplateName.NotFoundException",
                "At least one of the launch templates specified in the request does not exist.",
                ErrorKind::NotFound,
            ),
            ("InvalidLaunchTemplateName.NotFound", "", ErrorKind::NotFound),
            ("InvalidLaunchTemplateId.VersionNotFound", "", ErrorKind::NotFound),
            ("InvalidLaunchTemplateId.Malformed", "Invalid id: \"x\"", ErrorKind::Invalid),
            ("InvalidLaunchTemplateName.MalformedException", "", ErrorKind::Invalid),
            ("UnauthorizedOperation", "You are not authorized to perform this operation.", ErrorKind::Denied),
        ],
    );
}

#[tokio::test]
async fn describe_launch_templates_reads_latest_and_default_by_id_or_name() {
    let replay = Replay::default().http(200, FOUND).http(200, FOUND);
    let client = replay.auto_scaling();
    assert_eq!(client.template_version(&id(), "$Latest").await.unwrap(), Some(7));
    assert_eq!(client.template_version(&name(), "$Default").await.unwrap(), Some(3));
    let sent = replay.sent();
    assert_eq!(sent[0].form(), "Action=DescribeLaunchTemplates\nLaunchTemplateId.1=lt-1\nVersion=2016-11-15");
    assert_eq!(sent[1].form(), "Action=DescribeLaunchTemplates\nLaunchTemplateName.1=runners & co\nVersion=2016-11-15");
    assert_eq!(sent[0].operation, "DescribeLaunchTemplates");
    assert_eq!(sent[0].uri, "https://ec2.eu-west-1.amazonaws.com/");
}

#[tokio::test]
async fn describe_launch_template_versions_is_signed_with_the_session_token_and_shows_no_secret() {
    let replay = Replay::default().http(200, FOUND);
    let client = replay.auto_scaling();
    client.template_version(&id(), "$Latest").await.unwrap();
    let headers = &replay.sent()[0].headers;
    assert!(headers.contains("authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"), "{headers}");
    assert!(headers.contains("/eu-west-1/ec2/aws4_request"), "{headers}");
    assert!(headers.contains("x-amz-security-token: planted-session"), "{headers}");
    assert!(!headers.contains("planted-key"), "{headers}");
    assert!(!format!("{client:?}").contains("planted"));
}

#[tokio::test]
async fn version_number_of_a_launch_template_needs_no_call() {
    let replay = Replay::default();
    let client = replay.auto_scaling();
    assert_eq!(client.template_version(&id(), "12").await.unwrap(), Some(12));
    assert_eq!(client.template_version(&id(), "newest").await.unwrap_err().kind(), ErrorKind::Invalid);
    assert!(replay.sent().is_empty());
}

#[tokio::test]
async fn describe_launch_templates_of_a_missing_one_is_none() {
    let replay = Replay::default()
        .http(400, &error("InvalidLaunchTemplateId.NotFound", "does not exist"))
        .http(200, &FOUND.replace("item", "gone"));
    let client = replay.auto_scaling();
    assert_eq!(client.template_version(&id(), "$Latest").await.unwrap(), None);
    assert_eq!(client.template_version(&id(), "$Latest").await.unwrap(), None);
}

#[tokio::test]
async fn error_of_ec2_has_code_message_and_cause() {
    let replay = Replay::default()
        .http(403, &error("UnauthorizedOperation", "You are not authorized"))
        .http(503, "not XML")
        .http(200, "<html/>")
        .lost();
    let client = replay.auto_scaling();
    let mut errors = Vec::new();
    for _ in 0..4 {
        let error = client.template_version(&id(), "$Latest").await.unwrap_err();
        errors.push(format!("{} {error}", error.kind().name()));
    }
    assert_eq!(
        errors,
        [
            "denied Amazon EC2 DescribeLaunchTemplates failed (UnauthorizedOperation): You are not authorized",
            "unavailable Amazon EC2 DescribeLaunchTemplates failed (HTTP 503): no message",
            "unexpected Amazon EC2 DescribeLaunchTemplates failed (Unreadable): the response is not as EC2 documents it",
            "unavailable Amazon EC2 DescribeLaunchTemplates failed: no response",
        ]
    );
}

#[tokio::test]
async fn aws_endpoint_url_ec2_is_used_as_it_is() {
    let replay = Replay::default().http(200, FOUND);
    let endpoints = AwsEndpoints { all: Some("http://127.0.0.1:4566".to_owned()), ..AwsEndpoints::default() };
    let templates =
        LaunchTemplates::new(&AwsSettings { endpoints, ..settings() }, SharedHttpConnector::new(replay.clone()));
    assert_eq!(templates.version(&id(), "$Latest").await.unwrap(), Some(7));
    assert_eq!(replay.sent()[0].uri, "http://127.0.0.1:4566/");
}

fn versions(user_data: &str) -> String {
    format!(
        "<DescribeLaunchTemplateVersionsResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">
  <requestId>r</requestId><launchTemplateVersionSet><item><versionNumber>7</versionNumber><launchTemplateData>{user_data}\
         <imageId>ami-1</imageId></launchTemplateData></item></launchTemplateVersionSet>
</DescribeLaunchTemplateVersionsResponse>"
    )
}

#[tokio::test]
async fn describe_launch_template_versions_reads_clusters_warm_pools_check_instance_type_spot_and_image() {
    let encoded = |bytes: &[u8]| versions(&format!("<userData>{}</userData>", BASE64.encode(bytes)));
    let replay = Replay::default()
        .http(200, &encoded(b"#!/bin/bash\necho ECS_CLUSTER=build >> /etc/ecs/ecs.config\n"))
        .http(200, &encoded(&[0x1f, 0x8b, 0x08, 0xff]))
        .http(200, &versions("<userData>no base64</userData>"))
        .http(200, &encoded(b"echo ECS_WARM_POOLS_CHECK=true >> /etc/ecs/ecs.config\n"))
        .http(200, &versions("<instanceMarketOptions><marketType>spot</marketType></instanceMarketOptions>"))
        .http(200, &versions("<instanceType>m7i.large</instanceType>"))
        .http(200, &versions("<instanceRequirements/>").replace("imageId", "x"));
    let client = replay.auto_scaling();
    let plain = TemplateVersion { has_image: true, ..TemplateVersion::default() };
    let build =
        TemplateVersion { clusters: ["build".to_owned()].into(), checks_warm_pool: Some(false), ..plain.clone() };
    assert_eq!(client.template(&name(), "7").await.unwrap(), TemplateView::Version(build));
    for _ in ["compressed", "garbled"] {
        assert_eq!(client.template(&id(), "$Latest").await.unwrap(), TemplateView::Version(plain.clone()));
    }
    let checks = TemplateVersion { checks_warm_pool: Some(true), ..plain.clone() };
    assert_eq!(client.template(&id(), "7").await.unwrap(), TemplateView::Version(checks));
    let spot = TemplateVersion { requests_spot: true, ..plain.clone() };
    assert_eq!(client.template(&id(), "7").await.unwrap(), TemplateView::Version(spot));
    let typed = TemplateVersion { instance_type: Some("m7i.large".to_owned()), ..plain };
    assert_eq!(client.template(&id(), "7").await.unwrap(), TemplateView::Version(typed));
    let required = TemplateVersion { has_requirements: true, ..TemplateVersion::default() };
    assert_eq!(client.template(&id(), "7").await.unwrap(), TemplateView::Version(required));
    let sent = replay.sent();
    assert_eq!(
        sent[0].form(),
        "Action=DescribeLaunchTemplateVersions\nLaunchTemplateName=runners & co\nLaunchTemplateVersion.1=7\n\
         Version=2016-11-15"
    );
    assert_eq!(sent[1].form().lines().nth(1), Some("LaunchTemplateId=lt-1"));
    assert_eq!(sent[0].operation, "DescribeLaunchTemplateVersions");
}

#[tokio::test]
async fn missing_launch_template_version_differs_from_a_missing_launch_template() {
    let replay = Replay::default()
        .http(400, &error("InvalidLaunchTemplateId.VersionNotFound", "Could not find the version"))
        .http(200, "<DescribeLaunchTemplateVersionsResponse><launchTemplateVersionSet/></DescribeLaunchTemplateVersionsResponse>")
        .http(400, &error("InvalidLaunchTemplateId.NotFound", "does not exist"))
        .http(400, &error("InvalidLaunchTemplateName.NotFoundException", "does not exist"))
        .http(403, &error("UnauthorizedOperation", "no"));
    let client = replay.auto_scaling();
    for wanted in [TemplateView::NoVersion, TemplateView::NoVersion, TemplateView::NoTemplate, TemplateView::NoTemplate]
    {
        assert_eq!(client.template(&id(), "7").await.unwrap(), wanted);
    }
    assert_eq!(client.template(&id(), "7").await.unwrap_err().kind(), ErrorKind::Denied);
}
