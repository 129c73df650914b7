use crate::pool::model::remote_error::{ErrorKind, RemoteError, RemoteService};

fn remote_error(remote: RemoteService, kind: ErrorKind, code: &str, message: &str) -> RemoteError {
    RemoteError { remote, kind, operation: "Op".to_owned(), code: Some(code.to_owned()), message: message.to_owned() }
}

#[test]
fn missing_role_is_recognized_by_the_message_of_each_service() {
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
