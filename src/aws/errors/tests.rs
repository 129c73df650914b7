use aws_sdk_ecs::error::ErrorMetadata;
use aws_sdk_ecs::operation::describe_clusters::DescribeClustersError;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;

use super::*;

/// Checks that each sample (code, message as AWS words it) has its class, and that every row of the table decides at
/// least one of them: a row that an earlier one hides, or that no one gave an example for, fails.
pub(in crate::aws) fn check(service: &Service, table: &[Row], samples: &[(&str, &str, ErrorKind)]) {
    let mut decided = vec![0; table.len()];
    for (code, message, expected) in samples {
        assert_eq!(service.kind(Some(code), message, Some(400)), *expected, "{code}: {message}");
        let message = message.to_lowercase();
        if let Some(row) = table.iter().position(|row| row.code == *code && message.contains(row.message_part)) {
            decided[row] += 1;
        }
    }
    let idle: Vec<&Row> = table.iter().zip(decided).filter(|(_, times)| *times == 0).map(|(row, _)| row).collect();
    assert!(idle.is_empty(), "no sample for {idle:?}");
}

const NO_SERVICE: Service = Service { remote: RemoteService::Ecs, table: &[] };

#[test]
fn the_codes_that_all_services_share_have_a_class_each() {
    let throttled = "Throttling ThrottlingException ThrottledException RequestLimitExceeded RequestThrottled \
         RequestThrottledException TooManyRequests TooManyRequestsException EC2ThrottledException SlowDown";
    let denied = "AccessDenied AccessDeniedException NotAuthorized OptInRequired UnauthorizedOperation";
    let unauthenticated = "AuthFailure ExpiredToken ExpiredTokenException IncompleteSignature InvalidClientTokenId \
         InvalidSignatureException MissingAuthenticationToken MissingAuthenticationTokenException RequestExpired \
         SignatureDoesNotMatch UnrecognizedClientException";
    let unavailable = "InternalError InternalFailure InternalServerError RequestTimeout RequestTimeoutException \
         ServerException ServiceUnavailable ServiceUnavailableException Unavailable";
    let rejected = "InvalidAction InvalidParameterCombination InvalidParameterValue MissingParameter \
         SerializationException ValidationError ValidationException";
    let samples: Vec<(&str, &str, ErrorKind)> = [
        (throttled, THROTTLED),
        (denied, ErrorKind::Denied),
        (unauthenticated, ErrorKind::Unauthenticated),
        (unavailable, ErrorKind::Unavailable),
        (rejected, ErrorKind::Invalid),
    ]
    .into_iter()
    .flat_map(|(codes, kind)| codes.split_whitespace().map(move |code| (code, "whatever it says", kind)))
    .collect();
    check(&NO_SERVICE, COMMON, &samples);
}

#[test]
fn where_no_row_fits_the_status_decides() {
    for (status, expected) in [
        (Some(400), ErrorKind::Unexpected),
        (Some(401), ErrorKind::Unauthenticated),
        (Some(403), ErrorKind::Denied),
        (Some(429), THROTTLED),
        (Some(500), ErrorKind::Unavailable),
        (Some(503), ErrorKind::Unavailable),
        (None, ErrorKind::Unexpected),
    ] {
        assert_eq!(NO_SERVICE.kind(Some("SomethingNew"), "", status), expected, "{status:?}");
    }
}

type Sdk = SdkError<DescribeClustersError, HttpResponse>;

fn response(status: u16, body: &str) -> HttpResponse {
    HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body))
}

fn spoken(error: &RemoteCallError) -> String {
    format!("{:?} {error}", error.kind())
}

#[test]
fn every_error_kind_is_displayed_as_a_sentence() {
    let said = ErrorMetadata::builder().code("ServerException").message("oops").build();
    let cases: [(Sdk, &str); 6] = [
        (
            SdkError::service_error(DescribeClustersError::generic(said), response(500, "")),
            "Unavailable Amazon ECS DescribeClusters failed (ServerException): oops",
        ),
        (
            SdkError::service_error(
                DescribeClustersError::generic(ErrorMetadata::builder().build()),
                response(502, "<html>"),
            ),
            "Unavailable Amazon ECS DescribeClusters failed: HTTP 502, no message",
        ),
        (
            SdkError::response_error("unexpected token", response(200, "planted")),
            "Unexpected Amazon ECS DescribeClusters failed: HTTP 200, a response that could not be read",
        ),
        (SdkError::timeout_error("late"), "Unavailable Amazon ECS DescribeClusters failed: no response in time"),
        (
            SdkError::dispatch_failure(ConnectorError::io("reset".into())),
            "Unavailable Amazon ECS DescribeClusters failed: no response",
        ),
        (
            SdkError::construction_failure("no region"),
            "Invalid Amazon ECS DescribeClusters failed: the request could not be built",
        ),
    ];
    for (error, expected) in cases {
        assert_eq!(spoken(&NO_SERVICE.refused("DescribeClusters", error)), expected);
    }
}

#[test]
fn the_causes_below_are_kept_and_a_response_is_not_among_them() {
    let unread: Sdk = SdkError::response_error("unexpected token", response(200, "planted value"));
    let refused = NO_SERVICE.refused("GetParameter", unread);
    assert!(!format!("{refused:?}").contains("planted"));

    let lost: Sdk = SdkError::dispatch_failure(ConnectorError::io("connection reset".into()));
    let refused = NO_SERVICE.refused("DescribeClusters", lost);
    assert!(format!("{refused:?}").contains("connection reset"));
}

#[test]
fn a_message_of_thousands_of_characters_is_cut() {
    let refused = NO_SERVICE.error("X", "Y", "é".repeat(5000));
    assert_eq!(refused.remote_error.message.chars().count(), MESSAGE_CHARS_MAX + 1);
    assert!(refused.remote_error.message.ends_with('…'));
}
