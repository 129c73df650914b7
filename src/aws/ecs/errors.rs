//! The table of ECS's errors.
//!
//! Exceptions: <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/CommonErrors.html> and each operation's page.
//! Reasons in `failures[]`: <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/api_failures_messages.html>.
//! ECS uses `ClientException` and `InvalidParameterException` for many situations; rows with a message come first.
//! Where a message passes by itself (a role that has not spread yet, an association that is under way) it is a
//! conflict; what is left of the two is a mistake in the request.

use super::super::errors::{Row, Service, row};
use crate::pool::model::remote_error::{ErrorKind, RemoteService};

pub(super) const ECS: Service = Service { remote: RemoteService::Ecs, table: TABLE };

pub(super) const TABLE: &[Row] = &[
    // Capacity providers and their association.
    row("UpdateInProgressException", "", ErrorKind::Conflict),
    row("ResourceInUseException", "", ErrorKind::Conflict),
    row("ClientException", "cluster was not active", ErrorKind::Conflict),
    // A capacity provider that was made a moment ago.
    // https://github.com/hashicorp/terraform-provider-aws/issues/45693
    row("ClientException", "not in an active state", ErrorKind::Conflict),
    row("InvalidParameterException", "not in an active state", ErrorKind::Conflict),
    row("ClientException", "service linked role", ErrorKind::Conflict),
    row("ClientException", "already being used by another capacity provider", ErrorKind::Conflict),
    row("ClientException", "already exists", ErrorKind::Conflict),
    row("ClientException", "in use and cannot be removed", ErrorKind::Conflict),
    // A group that Auto Scaling has only just made.
    row("ClientException", "specified auto scaling group", ErrorKind::Conflict),
    row("InvalidParameterException", "in use and cannot be removed", ErrorKind::Conflict),
    row("InvalidParameterException", "maximum number of capacity providers", ErrorKind::Invalid),
    // Services.
    row("InvalidParameterException", "not associated with the cluster", ErrorKind::Conflict),
    row("InvalidParameterException", "still draining", ErrorKind::Conflict),
    row("InvalidParameterException", "not idempotent", ErrorKind::Conflict),
    row("InvalidParameterException", "deployments are active", ErrorKind::Conflict),
    row("InvalidParameterException", "while it is scaled above 0", ErrorKind::Conflict),
    row("InvalidParameterException", "unable to assume", ErrorKind::Conflict),
    row("InvalidParameterException", "service linked role", ErrorKind::Conflict),
    row("InvalidParameterException", "ecs service role being passed", ErrorKind::Conflict),
    row("InvalidParameterException", "cluster was inactive", ErrorKind::NotFound),
    row("DependencyViolation", "", ErrorKind::Conflict),
    row("ConflictException", "", ErrorKind::Conflict),
    row("ServiceNotFoundException", "", ErrorKind::NotFound),
    row("ServiceNotActiveException", "", ErrorKind::NotFound),
    row("ClusterNotFoundException", "", ErrorKind::NotFound),
    row("ResourceNotFoundException", "", ErrorKind::NotFound),
    // Standalone tasks. On a provider without managed scaling they cannot wait for an instance.
    // https://github.com/boto/boto3/issues/2862
    row("InvalidParameterException", "no container instances were found", ErrorKind::Conflict),
    row("PlatformUnknownException", "", ErrorKind::Invalid),
    row("PlatformTaskDefinitionIncompatibilityException", "", ErrorKind::Invalid),
    // Task definitions.
    row("ClientException", "unable to describe task definition", ErrorKind::NotFound),
    // ECS writes both "task definition" and "TaskDefinition".
    row("ClientException", "is inactive", ErrorKind::NotFound),
    row("InvalidParameterException", "is inactive", ErrorKind::NotFound),
    // Anything that is named and gone.
    row("ClientException", "does not exist", ErrorKind::NotFound),
    row("ClientException", "not found", ErrorKind::NotFound),
    row("InvalidParameterException", "does not exist", ErrorKind::NotFound),
    row("InvalidParameterException", "not found", ErrorKind::NotFound),
    // Who may do what.
    row("BlockedException", "", ErrorKind::Denied),
    row("LimitExceededException", "", ErrorKind::Invalid),
    row("UnsupportedFeatureException", "", ErrorKind::Invalid),
    row("ClientException", "", ErrorKind::Invalid),
    row("InvalidParameterException", "", ErrorKind::Invalid),
    // Reasons in `failures[]`.
    row("MISSING", "", ErrorKind::NotFound),
    row("INACTIVE", "", ErrorKind::NotFound),
    row("DEPLOYMENT_BLOCKED", "", ErrorKind::Conflict),
    // Not a task of a service, such as one that has just stopped: the next observation shows it.
    row("TASK_NOT_VALID", "", ErrorKind::Conflict),
];
