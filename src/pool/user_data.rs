//! Which cluster a launch template's user data has its instances join.
//!
//! ECS's AMIs read it from `/etc/ecs/ecs.config`, Bottlerocket from its settings; both are written at the first boot, by
//! whatever text the template carries. So this finds names that stand there as they are, and says nothing of those that a
//! script puts together.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/bootstrap_container_instance.html>

use std::collections::BTreeSet;

const OF_THE_AGENT: &str = "ECS_CLUSTER=";
const OF_BOTTLEROCKET: &str = "[settings.ecs]";

/// The clusters that are named, in no order.
#[must_use]
pub fn clusters(text: &str) -> BTreeSet<String> {
    let code = || text.lines().map(str::trim_start).filter(|line| !line.starts_with('#'));
    let of_the_agent = code().flat_map(|line| line.split(OF_THE_AGENT).skip(1));
    let settings = code().skip_while(|line| !line.starts_with(OF_BOTTLEROCKET)).skip(1);
    let of_bottlerocket = settings
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.strip_prefix("cluster")?.trim_start().strip_prefix('='));
    of_the_agent.chain(of_bottlerocket).filter_map(name).collect()
}

/// The name at the beginning of `text`, unless a part of it is filled in when the instance starts.
fn name(text: &str) -> Option<String> {
    let text = text.trim_start().trim_start_matches(['"', '\'']);
    let name: String = text.chars().take_while(|c| c.is_ascii_alphanumeric() || ['-', '_'].contains(c)).collect();
    let is_whole = text.strip_prefix(&name)?.chars().next().is_none_or(|next| !['$', '`', '{'].contains(&next));
    (is_whole && !name.is_empty()).then_some(name)
}
