use super::super::errors::{ECS, TABLE};
use crate::aws::errors::tests::check;
use crate::pool::model::remote_error::ErrorKind;
use crate::pool::model::remote_error::ErrorKind::{Conflict, Denied, Invalid, NotFound};

const SAMPLES: &[(&str, &str, ErrorKind)] = &[
    (
        "UpdateInProgressException",
        "The specified cluster is in a busy state. Cluster attachments must be in UPDATE_COMPLETE or UPDATE_FAILED state before they can be updated.",
        Conflict,
    ),
    ("ResourceInUseException", "The specified capacity provider is in use and cannot be removed.", Conflict),
    ("ClientException", "Cluster was not ACTIVE.", Conflict),
    ("ClientException", "The specified capacity provider ghr-a is not in an ACTIVE state.", Conflict),
    ("InvalidParameterException", "The specified capacity provider ghr-a is not in an ACTIVE state.", Conflict),
    (
        "ClientException",
        "ECS Service Linked Role does not exist. Please create a Service linked role for ECS and try again.",
        Conflict,
    ),
    (
        "ClientException",
        "The specified Auto Scaling group ARN is already being used by another capacity provider. Specify a unique Auto Scaling group ARN and try again.",
        Conflict,
    ),
    ("ClientException", "A capacity provider with the specified name already exists.", Conflict),
    ("ClientException", "The specified capacity provider is in use and cannot be removed.", Conflict),
    ("ClientException", "The specified Auto Scaling group ARN is invalid.", Conflict),
    ("InvalidParameterException", "The specified capacity provider is in use and cannot be removed.", Conflict),
    ("InvalidParameterException", "The maximum number of capacity providers per cluster has been exceeded.", Invalid),
    (
        "InvalidParameterException",
        "The specified capacity provider strategy cannot contain a capacity provider that is not associated with the cluster. Associate the capacity provider with the cluster and try again.",
        Conflict,
    ),
    ("InvalidParameterException", "Unable to Start a service that is still Draining.", Conflict),
    ("InvalidParameterException", "Creation of service was not idempotent.", Conflict),
    ("InvalidParameterException", "The service cannot be stopped while deployments are active.", Conflict),
    ("InvalidParameterException", "The service cannot be stopped while it is scaled above 0.", Conflict),
    ("InvalidParameterException", "Unable to assume role and validate the specified targetGroupArn.", Conflict),
    ("InvalidParameterException", "Service Linked Role does not exist.", Conflict),
    (
        "InvalidParameterException",
        "Please verify that the ECS service role being passed has the proper permissions.",
        Conflict,
    ),
    ("InvalidParameterException", "The referenced cluster was inactive.", NotFound),
    ("DependencyViolation", "resource sg-1 has a dependent object", Conflict),
    ("ConflictException", "The provided clientToken is already in use with a different RunTask request.", Conflict),
    ("ServiceNotFoundException", "Service not found.", NotFound),
    ("ServiceNotActiveException", "Service was not ACTIVE.", NotFound),
    ("ClusterNotFoundException", "Cluster not found.", NotFound),
    ("ResourceNotFoundException", "The specified resource wasn't found.", NotFound),
    ("InvalidParameterException", "No Container Instances were found in your cluster.", Conflict),
    ("PlatformUnknownException", "The specified platform version does not exist.", Invalid),
    (
        "PlatformTaskDefinitionIncompatibilityException",
        "The specified platform version does not satisfy the required capabilities of the task definition.",
        Invalid,
    ),
    ("ClientException", "Unable to describe task definition.", NotFound),
    ("ClientException", "The specified task definition is inactive.", NotFound),
    ("ClientException", "TaskDefinition is inactive", NotFound),
    ("InvalidParameterException", "TaskDefinition is inactive", NotFound),
    (
        "ClientException",
        "The specified capacity provider does not exist. Specify a valid name or ARN and try again.",
        NotFound,
    ),
    ("ClientException", "TaskDefinition not found.", NotFound),
    ("InvalidParameterException", "The specified capacity provider 'x' does not exist.", NotFound),
    ("InvalidParameterException", "The referenced task was not found.", NotFound),
    ("BlockedException", "Your Amazon Web Services account was blocked.", Denied),
    ("LimitExceededException", "The limit for the resource was exceeded.", Invalid),
    ("UnsupportedFeatureException", "", Invalid),
    (
        "ClientException",
        "The managed termination protection setting for the capacity provider is invalid. To enable managed termination protection for a capacity provider, the Auto Scaling group must have instance protection from scale in enabled.",
        Invalid,
    ),
    ("InvalidParameterException", "Invalid revision number.", Invalid),
    (
        "InvalidParameterException",
        "Both maximumPercent and minimumHealthyPercent cannot be 100 as this will block deployments",
        Invalid,
    ),
    ("MISSING", "", NotFound),
    ("INACTIVE", "", NotFound),
    ("DEPLOYMENT_BLOCKED", "", Conflict),
    ("TASK_NOT_VALID", "", Conflict),
];

#[test]
fn every_error_of_ecs_has_its_class() {
    check(&ECS, TABLE, SAMPLES);
}
