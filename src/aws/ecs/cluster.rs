//! The cluster, and which capacity providers are associated with it.
//!
//! `PutClusterCapacityProviders` replaces the whole list and the default strategy and knows no version, so the function
//! writes what it has just read, with the pool's provider added or removed. Two concurrent writers can still overwrite
//! each other; the next observation shows that, and the pool writes again.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_PutClusterCapacityProviders.html>

use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{Attachment, CapacityProviderStrategyItem, Cluster, ClusterField, KeyValuePair};

use super::super::errors::found;
use super::{ECS, once, only_missing};
use crate::pool::model::ecs;
use crate::pool::model::remote_error::ErrorKind;
use crate::reconcile::ports::{RemoteCallError, RemoteResult};

/// The cluster; a deleted one stays visible as INACTIVE for a while and is absent.
pub(super) async fn describe(sdk: &Client, cluster: &str) -> RemoteResult<Option<Cluster>> {
    const OPERATION: &str = "DescribeClusters";
    let call = sdk.describe_clusters().clusters(cluster).include(ClusterField::Attachments).send().await;
    let Some(response) = found(call.map_err(|error| ECS.refused(OPERATION, error)))? else { return Ok(None) };
    only_missing(OPERATION, response.failures())?;
    Ok(response.clusters.unwrap_or_default().into_iter().find(|cluster| cluster.status() != Some("INACTIVE")))
}

pub(super) fn observed(cluster: &Cluster) -> ecs::Cluster {
    let attachments_rest = matches!(cluster.attachments_status(), None | Some("UPDATE_COMPLETE" | "UPDATE_FAILED"));
    let is_changing = matches!(cluster.status(), Some("PROVISIONING" | "DEPROVISIONING"));
    ecs::Cluster {
        arn: cluster.cluster_arn().unwrap_or_default().to_owned(),
        is_active: cluster.status() == Some("ACTIVE"),
        // The reference says UPDATE_IN_PROGRESS, the developer guide's example UPDATING: whatever is not at rest.
        is_busy: is_changing || !attachments_rest,
        providers: cluster.capacity_providers().to_vec(),
        failed_attachments: cluster.attachments().iter().filter_map(failed).collect(),
    }
}

/// An attachment that failed, with what ECS says of it.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Attachment.html>
fn failed(attachment: &Attachment) -> Option<String> {
    attachment.status().filter(|status| status.ends_with("FAILED"))?;
    let detail = |detail: &KeyValuePair| Some(format!("{} {}", detail.name()?, detail.value()?));
    let details: Vec<String> = attachment.details().iter().filter_map(detail).collect();
    Some(format!("{} ({})", attachment.r#type().unwrap_or("attachment"), details.join(", ")))
}

pub(super) async fn attach_provider(sdk: &Client, cluster: &str, provider: &str) -> RemoteResult<()> {
    change(sdk, cluster, |association| association.with(provider)).await
}

pub(super) async fn detach_provider(sdk: &Client, cluster: &str, provider: &str) -> RemoteResult<()> {
    change(sdk, cluster, |association| association.without(provider)).await
}

async fn change(
    sdk: &Client,
    cluster: &str,
    changed: impl FnOnce(Association) -> Option<Association>,
) -> RemoteResult<()> {
    const OPERATION: &str = "PutClusterCapacityProviders";
    let Some(read) = describe(sdk, cluster).await? else {
        return Err(ECS.error("DescribeClusters", "MISSING", format_args!("there is no cluster {cluster}")));
    };
    let Some(Association { providers, default_strategy }) = changed(Association::of(&read)) else { return Ok(()) };
    let call = sdk
        .put_cluster_capacity_providers()
        .cluster(cluster)
        .set_capacity_providers(Some(providers))
        .set_default_capacity_provider_strategy(Some(default_strategy));
    let response = call.customize().config_override(once()).send().await;
    response.map(drop).map_err(|error| unless_the_cluster_is_gone(ECS.refused(OPERATION, error)))
}

/// The cluster was there a moment ago, so a name that ECS does not find is that of a capacity provider: of one that is
/// so new that not all of ECS knows it, or of one that has just gone. The list is unchanged, and a new read resolves
/// it.
fn unless_the_cluster_is_gone(mut error: RemoteCallError) -> RemoteCallError {
    if error.kind() == ErrorKind::NotFound && error.remote_error.code.as_deref() != Some("ClusterNotFoundException") {
        error.remote_error.kind = ErrorKind::Conflict;
    }
    error
}

/// What `PutClusterCapacityProviders` replaces.
#[derive(Clone, Debug, PartialEq)]
struct Association {
    providers: Vec<String>,
    default_strategy: Vec<CapacityProviderStrategyItem>,
}

impl Association {
    fn of(cluster: &Cluster) -> Self {
        Self {
            providers: cluster.capacity_providers().to_vec(),
            default_strategy: cluster.default_capacity_provider_strategy().to_vec(),
        }
    }

    /// With `provider` among the names; the default strategy is its owner's. `None`: already so.
    fn with(mut self, provider: &str) -> Option<Self> {
        if self.providers.iter().any(|name| name == provider) {
            return None;
        }
        self.providers.push(provider.to_owned());
        Some(self)
    }

    /// With `provider` in neither list. `None`: already so.
    fn without(mut self, provider: &str) -> Option<Self> {
        let before = (self.providers.len(), self.default_strategy.len());
        self.providers.retain(|name| name != provider);
        self.default_strategy.retain(|item| item.capacity_provider() != provider);
        (before != (self.providers.len(), self.default_strategy.len())).then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(provider: &str) -> CapacityProviderStrategyItem {
        CapacityProviderStrategyItem::builder().capacity_provider(provider).weight(1).build().unwrap()
    }

    fn association(providers: &[&str], strategy: &[&str]) -> Association {
        Association {
            providers: providers.iter().map(|name| (*name).to_owned()).collect(),
            default_strategy: strategy.iter().map(|name| item(name)).collect(),
        }
    }

    #[test]
    fn adding_keeps_every_other_provider_and_the_default_strategy() {
        let before = association(&["FARGATE", "theirs"], &["theirs"]);
        assert_eq!(before.clone().with("ours"), Some(association(&["FARGATE", "theirs", "ours"], &["theirs"])));
        assert_eq!(before.with("theirs"), None);
    }

    #[test]
    fn removing_takes_ours_out_of_both_lists_and_leaves_the_rest() {
        let before = association(&["theirs", "ours"], &["ours", "theirs"]);
        assert_eq!(before.clone().without("ours"), Some(association(&["theirs"], &["theirs"])));
        assert_eq!(before.without("our"), None);
    }

    #[test]
    fn attachments_that_failed_are_named_with_their_provider() {
        let attachment = |status: &str| {
            let detail = KeyValuePair::builder().name("capacityProviderName").value("ghr-a").build();
            Attachment::builder().r#type("as_policy").status(status).details(detail).build()
        };
        let cluster = Cluster::builder().attachments(attachment("CREATED")).attachments(attachment("FAILED"));
        let read = observed(&cluster.status("ACTIVE").attachments_status("UPDATE_FAILED").build());
        assert_eq!(read.failed_attachments, ["as_policy (capacityProviderName ghr-a)"]);
        assert!(!read.is_busy, "what failed is over");
    }

    #[test]
    fn a_cluster_is_busy_unless_its_attachments_are_at_rest() {
        let busy = |status: &str, attachments: Option<&str>| {
            let cluster = Cluster::builder().status(status).set_attachments_status(attachments.map(str::to_owned));
            observed(&cluster.build()).is_busy
        };
        assert!(!busy("ACTIVE", None));
        assert!(!busy("ACTIVE", Some("UPDATE_COMPLETE")));
        assert!(!busy("ACTIVE", Some("UPDATE_FAILED")));
        assert!(busy("ACTIVE", Some("UPDATE_IN_PROGRESS")));
        assert!(busy("ACTIVE", Some("UPDATING")));
        assert!(busy("PROVISIONING", None));
    }
}
