//! The table of Auto Scaling's errors.
//!
//! Codes: the operations' pages under
//! <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_Operations.html>. Almost everything else is a
//! `ValidationError`, distinguished by its message.

use super::super::errors::{Row, Service, row};
use crate::pool::model::remote_error::{ErrorKind, RemoteService};

pub(super) const AUTO_SCALING: Service = Service { remote: RemoteService::AutoScaling, table: TABLE };

pub(super) const TABLE: &[Row] = &[
    row("AlreadyExists", "", ErrorKind::Conflict),
    row("InstanceRefreshInProgress", "", ErrorKind::Conflict),
    row("ResourceContention", "", ErrorKind::Conflict),
    row("ResourceInUse", "", ErrorKind::Conflict),
    row("ScalingActivityInProgress", "", ErrorKind::Conflict),
    row("ServiceLinkedRoleFailure", "", ErrorKind::Conflict),
    row("LimitExceeded", "", ErrorKind::Invalid),
    // An instance profile that was made a moment ago has not spread yet.
    row("ValidationError", "invalid iam instance profile", ErrorKind::Conflict),
    row("ValidationError", "not authorized to use launch template", ErrorKind::Denied),
    // The launch template names something that does not exist: not the group is missing.
    row("ValidationError", "fully-formed launch template", ErrorKind::Invalid),
    row("ValidationError", "not part of auto scaling group", ErrorKind::NotFound),
    // Of an instance that is on its way out.
    row("ValidationError", "is not in inservice", ErrorKind::NotFound),
    row("ValidationError", "no lifecycle hook found", ErrorKind::NotFound),
    row("ValidationError", "no active lifecycle action found", ErrorKind::NotFound),
    row("ValidationError", "no warm pool found", ErrorKind::NotFound),
    row("ValidationError", "not found", ErrorKind::NotFound),
];
