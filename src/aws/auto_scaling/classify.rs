//! What Auto Scaling's errors mean.
//!
//! Codes: the operations' pages under
//! <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_Operations.html>. Almost everything else is a
//! `ValidationError`, told apart by its message.

use super::super::classify::{Row, Service, row};
use crate::pool::refusal::{Class, Remote};

pub(super) const AUTO_SCALING: Service = Service { remote: Remote::AutoScaling, table: TABLE };

pub(super) const TABLE: &[Row] = &[
    row("AlreadyExists", "", Class::Conflict),
    row("ResourceContention", "", Class::Conflict),
    row("ResourceInUse", "", Class::Conflict),
    row("ScalingActivityInProgress", "", Class::Conflict),
    row("ServiceLinkedRoleFailure", "", Class::Conflict),
    row("LimitExceeded", "", Class::Rejected),
    // An instance profile that was made a moment ago has not spread yet.
    row("ValidationError", "invalid iam instance profile", Class::Conflict),
    row("ValidationError", "not authorized to use launch template", Class::Denied),
    // The launch template names something that does not exist: not the group is missing.
    row("ValidationError", "fully-formed launch template", Class::Rejected),
    row("ValidationError", "not part of auto scaling group", Class::Missing),
    // Of an instance that is on its way out.
    row("ValidationError", "is not in inservice", Class::Missing),
    row("ValidationError", "no lifecycle hook found", Class::Missing),
    row("ValidationError", "not found", Class::Missing),
];
