//! The attributes that `Fn::GetAtt` returns.

use strum::{EnumIter, IntoStaticStr, VariantNames};

/// One attribute, under its name in a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, IntoStaticStr, VariantNames)]
pub enum Attribute {
    /// The ARN of the ECS service; empty with `MaxRunners`.
    ServiceArn,
    /// The name of the ECS service; empty with `MaxRunners`.
    ServiceName,
    /// The name of the ECS cluster.
    ClusterName,
    /// The ARN of the task definition revision that new tasks run.
    TaskDefinitionArn,
    /// The name of the capacity provider.
    CapacityProviderName,
    /// The name of the Auto Scaling group; empty with `CapacityProvider`.
    AutoScalingGroupName,
    /// The ARN of the Auto Scaling group; empty with `CapacityProvider`.
    AutoScalingGroupArn,
    /// The label that only this pool's runners have.
    RunnerLabel,
    /// What the runners' names begin with.
    RunnerNamePrefix,
    /// `DesiredCount`; with `MaxRunners`, the target number of runners when the request succeeded.
    DesiredCount,
    /// The name of the runner scale set; empty without `MaxRunners`.
    RunnerScaleSetName,
    /// Runners that were online when the request succeeded.
    OnlineRunners,
}

impl Attribute {
    /// The name in a template.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}
