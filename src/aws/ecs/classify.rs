//! What ECS's errors mean.
//!
//! Exceptions: <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/CommonErrors.html> and each operation's page.
//! Reasons in `failures[]`: <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/api_failures_messages.html>.
//! ECS words many situations into `ClientException` and `InvalidParameterException`; the rows with a message come
//! first. Where a message passes by itself (a role that has not spread yet, an association that is under way) it is a
//! conflict; what is left of the two is a mistake in the request.

use super::super::classify::{Row, Service, row};
use crate::pool::refusal::{Class, Remote};

pub(super) const ECS: Service = Service { remote: Remote::Ecs, table: TABLE };

pub(super) const TABLE: &[Row] = &[
    // Capacity providers and their association.
    row("UpdateInProgressException", "", Class::Conflict),
    row("ResourceInUseException", "", Class::Conflict),
    row("ClientException", "cluster was not active", Class::Conflict),
    // A capacity provider that was made a moment ago.
    // https://github.com/hashicorp/terraform-provider-aws/issues/45693
    row("ClientException", "not in an active state", Class::Conflict),
    row("InvalidParameterException", "not in an active state", Class::Conflict),
    row("ClientException", "service linked role", Class::Conflict),
    row("ClientException", "already being used by another capacity provider", Class::Conflict),
    row("ClientException", "already exists", Class::Conflict),
    row("ClientException", "in use and cannot be removed", Class::Conflict),
    // A group that Auto Scaling has only just made.
    row("ClientException", "specified auto scaling group", Class::Conflict),
    row("InvalidParameterException", "in use and cannot be removed", Class::Conflict),
    row("InvalidParameterException", "maximum number of capacity providers", Class::Rejected),
    // Services.
    row("InvalidParameterException", "not associated with the cluster", Class::Conflict),
    row("InvalidParameterException", "still draining", Class::Conflict),
    row("InvalidParameterException", "not idempotent", Class::Conflict),
    row("InvalidParameterException", "deployments are active", Class::Conflict),
    row("InvalidParameterException", "while it is scaled above 0", Class::Conflict),
    row("InvalidParameterException", "unable to assume", Class::Conflict),
    row("InvalidParameterException", "service linked role", Class::Conflict),
    row("InvalidParameterException", "ecs service role being passed", Class::Conflict),
    row("InvalidParameterException", "cluster was inactive", Class::Missing),
    row("DependencyViolation", "", Class::Conflict),
    row("ConflictException", "", Class::Conflict),
    row("ServiceNotFoundException", "", Class::Missing),
    row("ServiceNotActiveException", "", Class::Missing),
    row("ClusterNotFoundException", "", Class::Missing),
    row("ResourceNotFoundException", "", Class::Missing),
    // Task definitions.
    row("ClientException", "unable to describe task definition", Class::Missing),
    // ECS writes both "task definition" and "TaskDefinition".
    row("ClientException", "is inactive", Class::Missing),
    row("InvalidParameterException", "is inactive", Class::Missing),
    // Anything that is named and gone.
    row("ClientException", "does not exist", Class::Missing),
    row("ClientException", "not found", Class::Missing),
    row("InvalidParameterException", "does not exist", Class::Missing),
    row("InvalidParameterException", "not found", Class::Missing),
    // Who may do what.
    row("BlockedException", "", Class::Denied),
    row("LimitExceededException", "", Class::Rejected),
    row("UnsupportedFeatureException", "", Class::Rejected),
    row("ClientException", "", Class::Rejected),
    row("InvalidParameterException", "", Class::Rejected),
    // Reasons in `failures[]`.
    row("MISSING", "", Class::Missing),
    row("INACTIVE", "", Class::Missing),
    row("DEPLOYMENT_BLOCKED", "", Class::Conflict),
    // No task of a service, which one that has just ended is not any more: the next look tells.
    row("TASK_NOT_VALID", "", Class::Conflict),
];
