//! What EC2 offers in this Region: instance types with their sizes, and subnets. Two reads of its Query API.
//!
//! Both go by a filter, which leaves out what does not exist, where a list of names would be refused as a whole.
//! <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstanceTypes.html>,
//! <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSubnets.html>

use std::collections::{BTreeMap, BTreeSet};

use roxmltree::{Document, Node};

use super::launch_templates::unreadable;
use super::query::{QueryClient, is, text};
use crate::pool::model::ec2::Room;
use crate::reconcile::ports::RemoteResult;

const TYPES: &str = "DescribeInstanceTypes";
const SUBNETS: &str = "DescribeSubnets";
/// CPU units that ECS counts for a vCPU.
const UNITS_PER_VCPU: u32 = 1024;

/// Those of the types that EC2 offers, with what an instance of each has.
pub(super) async fn instance_types(
    ec2: &QueryClient,
    types: &[String],
) -> RemoteResult<Option<BTreeMap<String, Room>>> {
    let answer = ec2.ask(TYPES, &filter("instance-type", types)).await?;
    let document = Document::parse(&answer).map_err(|_| unreadable(TYPES))?;
    let items = items(document.root(), "instanceTypeSet");
    let found: Option<BTreeMap<String, Room>> = items.into_iter().map(room).collect();
    let found = found.ok_or_else(|| unreadable(TYPES))?;
    Ok(found.keys().all(|name| types.contains(name)).then_some(found))
}

/// Those of the subnets that there are.
pub(super) async fn subnets(ec2: &QueryClient, subnets: &[String]) -> RemoteResult<Option<BTreeSet<String>>> {
    let answer = ec2.ask(SUBNETS, &filter("subnet-id", subnets)).await?;
    let document = Document::parse(&answer).map_err(|_| unreadable(SUBNETS))?;
    let items = items(document.root(), "subnetSet");
    let found: BTreeSet<String> =
        items.into_iter().filter_map(|item| text(item, "subnetId")).map(str::to_owned).collect();
    // A subnet that was not asked for: an emulator without filters, whose response means nothing.
    Ok(found.iter().all(|id| subnets.contains(id)).then_some(found))
}

/// The name of an instance type, and what an instance of it has.
fn room(item: Node<'_, '_>) -> Option<(String, Room)> {
    // GPUs have a memoryInfo of their own.
    let memory = item.children().find(|node| is(*node, "memoryInfo"))?;
    let memory_mib = text(memory, "sizeInMiB")?.parse().ok()?;
    let cpu_units = text(item, "defaultVCpus")?.parse::<u32>().ok()?.saturating_mul(UNITS_PER_VCPU);
    // A part of a GPU has no whole count, and is one device all the same.
    let count = |gpu: Node<'_, '_>| text(gpu, "count").and_then(|count| count.parse().ok()).unwrap_or(1_u32).max(1);
    let gpus = items(item, "gpus").into_iter().map(count).fold(0, u32::saturating_add);
    Some((text(item, "instanceType")?.to_owned(), Room { memory_mib, cpu_units, gpus }))
}

fn filter(name: &str, values: &[String]) -> Vec<(String, String)> {
    let values = values.iter().enumerate().map(|(index, value)| {
        let number = index.saturating_add(1);
        (format!("Filter.1.Value.{number}"), value.clone())
    });
    std::iter::once(("Filter.1.Name".to_owned(), name.to_owned())).chain(values).collect()
}

fn items<'doc>(within: Node<'doc, 'doc>, list: &str) -> Vec<Node<'doc, 'doc>> {
    let list = within.descendants().find(|node| is(*node, list));
    list.into_iter().flat_map(|list| list.children()).filter(|node| is(*node, "item")).collect()
}

#[cfg(test)]
mod tests;
