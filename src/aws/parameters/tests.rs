use serde_json::json;

use super::*;
use crate::aws::errors::tests::check;
use crate::aws::test_http_client::Replay;

const SECRET: &str = "arn:aws:secretsmanager:eu-west-1:111111111111:secret:ci/app-AbC123";

fn response(value: &str) -> serde_json::Value {
    json!({ "Parameter": { "Name": "n", "Type": "SecureString", "Value": value } })
}

async fn read(replay: &Replay, parameter: &str) -> RemoteResult<Option<Secret>> {
    replay.parameters().read(&ParameterRef(parameter.to_owned())).await
}

#[test]
fn every_error_of_parameter_store_has_its_class() {
    check(
        &SSM,
        TABLE,
        &[
            ("ParameterNotFound", "", ErrorKind::NotFound),
            ("ParameterVersionNotFound", "Systems Manager could not find version 9 of /ci/token.", ErrorKind::NotFound),
            ("InvalidKeyId", "The query key ID isn't valid.", ErrorKind::Invalid),
            ("InternalServerError", "", ErrorKind::Unavailable),
        ],
    );
}

#[tokio::test]
async fn get_parameter_reads_decrypted_by_name_or_arn() {
    for parameter in ["/ci/token", "arn:aws:ssm:eu-west-1:1:parameter/ci/token"] {
        let replay = Replay::default().json(&response("planted-value"));
        let value = read(&replay, parameter).await.unwrap().unwrap();
        assert_eq!(value.expose(), "planted-value");
        assert_eq!(replay.sent()[0].json(), json!({ "Name": parameter, "WithDecryption": true }));
    }
}

#[tokio::test]
async fn get_parameter_of_a_missing_one_is_none() {
    for parameter in ["/ci/token", SECRET] {
        let replay = Replay::default().json_error("ParameterNotFound", "");
        assert_eq!(read(&replay, parameter).await.unwrap(), None);
    }
}

#[tokio::test]
async fn secrets_manager_arn_is_read_through_its_reference_path() {
    let replay = Replay::default().json(&response("planted-value"));
    assert_eq!(read(&replay, SECRET).await.unwrap().unwrap().expose(), "planted-value");
    assert_eq!(replay.sent()[0].json()["Name"], "/aws/reference/secretsmanager/ci/app");
}

#[tokio::test]
async fn secrets_manager_arn_with_a_key_reads_that_value_of_a_json_secret() {
    let replay = Replay::default().json(&response("{\"pem\": \"planted-value\", \"number\": 4}"));
    let value = read(&replay, &format!("{SECRET}:pem::")).await.unwrap().unwrap();
    assert_eq!(value.expose(), "planted-value");
}

#[tokio::test]
async fn json_secret_without_a_key_fails_with_the_arn_that_names_it() {
    for (value, advised) in [
        ("{\"ACCESS_TOKEN\": \"planted\"}", ":ACCESS_TOKEN::"),
        ("{\"ACCESS_TOKEN\": \"planted\", \"uses\": 3}", ":ACCESS_TOKEN::"),
        ("{\"one\": \"planted\", \"other\": \"planted\"}", ":KEY::"),
        ("{\"ghp_planted\": \"\"}", ":KEY::"),
        (" {}\n", ":KEY::"),
    ] {
        let error = read(&Replay::default().json(&response(value)), SECRET).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let message = format!("the secret is a JSON object; name its key: {SECRET}{advised}");
        assert_eq!(error.remote_error.message, message);
        assert!(!format!("{error:?} {error}").contains("planted"));
    }
    let staged = format!("{SECRET}::AWSPREVIOUS:");
    let error = read(&Replay::default().json(&response("{\"token\": \"planted\"}")), &staged).await.unwrap_err();
    assert!(error.remote_error.message.ends_with(&format!("{SECRET}:token:AWSPREVIOUS:")), "{error}");
}

#[tokio::test]
async fn parameter_value_in_quotation_marks_or_json_is_invalid() {
    for (parameter, value, says) in [
        ("/ci/token", "{\"ACCESS_TOKEN\": \"planted\"}", "put the credential alone into the parameter"),
        ("/ci/token", "\"planted\"", "in quotation marks"),
        (SECRET, "\"planted\"", "in quotation marks"),
    ] {
        let error = read(&Replay::default().json(&response(value)), parameter).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.remote_error.message.contains(says), "{error}");
        assert!(!format!("{error:?} {error}").contains("planted"));
    }
    // What looks like JSON and is a credential all the same.
    for value in ["0123456789", "-----BEGIN RSA PRIVATE KEY-----\nplanted"] {
        assert!(read(&Replay::default().json(&response(value)), "/ci/token").await.unwrap().is_some());
    }
}

#[tokio::test]
async fn json_secret_without_the_key_fails_without_its_value() {
    for value in ["{\"pem\": \"planted\"}", "{\"key\": [\"planted\"]}", "planted", "[\"planted\"]"] {
        let replay = Replay::default().json(&response(value));
        let error = read(&replay, &format!("{SECRET}:key::")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.remote_error.message.ends_with("under the key key"), "{error}");
        assert!(!format!("{error:?} {error}").contains("planted"));
    }
}

#[tokio::test]
async fn secrets_manager_arn_of_another_account_is_invalid() {
    let of = |arn: &str| json!({ "Parameter": { "Value": "planted", "ARN": arn } });
    let other = SECRET.replace("111111111111", "222222222222");
    let error = read(&Replay::default().json(&of(&other)), SECRET).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(!format!("{error:?}").contains("planted"));
    let cut_short = SECRET.trim_end_matches("-AbC123");
    for own in [SECRET, cut_short] {
        assert!(read(&Replay::default().json(&of(SECRET)), own).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn get_parameter_response_that_cannot_be_read_is_not_printed() {
    let replay = Replay::default().http(200, "{\"Parameter\": {\"Value\": \"planted\", ]");
    let error = read(&replay, "/ci/token").await.unwrap_err();
    assert!(!format!("{error:?} {error}").contains("planted"));
}

#[tokio::test]
async fn parameters_client_and_its_denials_print_no_secret() {
    let replay = Replay::default().json_error("AccessDeniedException", "not authorized to perform: ssm:GetParameter");
    let error = read(&replay, "/ci/token").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(!format!("{error:?} {:?}", replay.parameters()).contains("planted"));
}
