//! Values that a template leaves open until its stack is deployed.
//!
//! The name of a cluster that the same stack creates is unknown before the deployment. Properties may contain an
//! intrinsic function in such a place, as the template does: `{"Ref": "Cluster"}`. A placeholder replaces it, so that
//! everything else can be checked. GitHub is not called if its host or the credential is a placeholder: a credential
//! must never be sent to a host that the template does not name.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::pool::model::ec2::{Ec2View, TemplateView};
use crate::pool::model::ecs::Cluster;
use crate::pool::model::observed::Observed;
use crate::pool::model::operation::ConvergeGoal;
use crate::pool::model::spec::{Capacity, LaunchTemplateId};

const TEXT: &str = "known-after-deployment";
const PARAMETER: &str = "/known-after-deployment";
const ROLE: &str = "arn:aws:iam::000000000000:role/known-after-deployment";
const TEMPLATE_ID: &str = "lt-00000000000000000";
const SUBNET: &str = "subnet-00000000000000000";

/// The properties from which the pool's id is derived, in addition to its stack.
const IDENTITY: &[&str] = &["Cluster", "CapacityProvider", "OrgName", "RepoUrl", "EnterpriseName", "GitHubUrl"];
/// The properties that determine how GitHub is accessed: its host, the target and the credential.
const ACCESS: &[&str] = &[
    "OrgName",
    "RepoUrl",
    "EnterpriseName",
    "GitHubUrl",
    "AccessTokenParameter",
    "AppId",
    "AppPrivateKeyParameter",
    "AppLogin",
    "RunnerTokenParameter",
];

/// The properties that determine whether runners have room.
const ROOM: &[&str] =
    &["DesiredCount", "MaxInstances", "MemoryReservation", "Cpu", "InstanceTypes", "DistinctInstances"];

/// The unresolved places, such as `LaunchTemplate.Version`, and what the template has there, such as
/// `LaunchTemplate.LatestVersionNumber`.
#[derive(Debug, Default)]
pub(super) struct Unresolved {
    places: BTreeMap<String, String>,
    /// Places without a placeholder, which take their defaults.
    defaulted: BTreeSet<String>,
    /// Places that hold what the deployment is expected to create, such as the next version of a launch template.
    coming: BTreeSet<String>,
}

impl Unresolved {
    /// The properties with a placeholder in each unresolved place.
    pub(super) fn settle(properties: &Map<String, Value>) -> (Map<String, Value>, Self) {
        let mut open = Self::default();
        let settled = open.map("", properties);
        (settled, open)
    }

    /// Adds the places whose values the deployment is expected to create.
    pub(super) fn expect(&mut self, places: Option<&Value>) {
        let places = places.and_then(Value::as_array).into_iter().flatten();
        self.coming.extend(places.filter_map(Value::as_str).map(str::to_owned));
    }

    fn map(&mut self, path: &str, map: &Map<String, Value>) -> Map<String, Value> {
        let entries = map.iter().filter_map(|(name, value)| {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            Some((name.clone(), self.value(&path, value)?))
        });
        entries.collect()
    }

    fn value(&mut self, path: &str, value: &Value) -> Option<Value> {
        match value {
            Value::Object(map) => match function(map) {
                Some(function) => self.stand_in(path, function),
                None => Some(Value::Object(self.map(path, map))),
            },
            Value::Array(items) => Some(items.iter().filter_map(|item| self.value(path, item)).collect()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Some(value.clone()),
        }
    }

    fn stand_in(&mut self, path: &str, function: String) -> Option<Value> {
        self.places.insert(path.to_owned(), function);
        let found = match path {
            "Cluster"
            | "CapacityProvider"
            | "OrgName"
            | "EnterpriseName"
            | "LogGroup"
            | "LogStreamPrefix"
            | "Image"
            | "RunnerGroup"
            | "Labels"
            | "LaunchTemplate.LaunchTemplateName"
            | "Tags.Value" => json!(TEXT),
            "RepoUrl" => json!(format!("https://github.com/{TEXT}/{TEXT}")),
            "ExecutionRoleArn" | "TaskRoleArn" => json!(ROLE),
            "LaunchTemplate" => json!({ "LaunchTemplateId": TEMPLATE_ID, "Version": "$Latest" }),
            "LaunchTemplate.LaunchTemplateId" => json!(TEMPLATE_ID),
            "LaunchTemplate.Version" => json!("$Latest"),
            "Subnets" => json!(SUBNET),
            "AccessTokenParameter" | "AppPrivateKeyParameter" | "RunnerTokenParameter" => json!(PARAMETER),
            "AppId" => json!("1"),
            _ if path.starts_with("Environment.") => json!(TEXT),
            _ if path.starts_with("Secrets.") => json!(PARAMETER),
            _ => {
                self.defaulted.insert(path.to_owned());
                return None;
            }
        };
        Some(found)
    }

    /// Whether the pool's id is unresolved as well.
    pub(super) fn hides_identity(&self) -> bool {
        IDENTITY.iter().any(|name| self.places.contains_key(*name))
    }

    /// Whether the way to access GitHub is unresolved.
    pub(super) fn hides_github(&self) -> bool {
        ACCESS.iter().any(|name| self.places.contains_key(*name))
    }

    fn hides_template(&self) -> bool {
        ["LaunchTemplate", "LaunchTemplate.LaunchTemplateId", "LaunchTemplate.LaunchTemplateName"]
            .iter()
            .any(|place| self.places.contains_key(*place))
    }

    /// What the deployment is expected to create counts as present.
    pub(super) fn assume(&self, goal: &mut ConvergeGoal, observed: &mut Observed) {
        if self.places.contains_key("Cluster") || self.places.contains_key("CapacityProvider") {
            let providers = match &goal.spec.capacity {
                Capacity::Existing(name) => vec![name.clone()],
                Capacity::Own(_) => Vec::new(),
            };
            let found = observed.cluster.take();
            observed.cluster = Some(Cluster {
                arn: goal.spec.cluster.clone(),
                is_active: true,
                is_busy: false,
                providers: found.map(|cluster| cluster.providers).into_iter().flatten().chain(providers).collect(),
                failed_attachments: Vec::new(),
            });
            if let TemplateView::Version(version) = &mut observed.ec2.template {
                version.clusters.clear();
            }
        }
        if self.places.contains_key("Subnets") {
            observed.ec2.missing_subnets.clear();
        }
        if self.hides_template() {
            observed.ec2 =
                Ec2View { missing_subnets: std::mem::take(&mut observed.ec2.missing_subnets), ..Ec2View::default() };
        }
        if self.coming.contains("LaunchTemplate.Version") && observed.ec2.template == TemplateView::NoVersion {
            observed.ec2.template = TemplateView::Unknown;
        }
        // A default in place of an unknown number says nothing about room.
        if ROOM.iter().any(|name| self.places.contains_key(*name)) {
            observed.ec2.instance_types.clear();
            observed.instances.clear();
        }
        let Capacity::Own(own) = &mut goal.spec.capacity else { return };
        if let Some(function) = self.places.get("LaunchTemplate.LaunchTemplateId").filter(|_| self.hides_template()) {
            own.launch_template.reference = LaunchTemplateId::Name(function.clone());
        }
        if self.hides_template() && observed.template_version.is_none() {
            observed.template_version = Some(1);
        }
    }

    /// The notes about unresolved values.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.places.is_empty() {
            let places: Vec<String> =
                self.places.iter().map(|(place, function)| format!("{place} ({function})")).collect();
            notes.push(format!("Known only after the deployment: {}", places.join(", ")));
        }
        if !self.defaulted.is_empty() {
            let defaulted: Vec<&str> = self.defaulted.iter().map(String::as_str).collect();
            notes.push(format!("Of these the defaults stand in: {}", defaulted.join(", ")));
        }
        if self.hides_github() {
            notes.push("GitHub was not asked, since it is open how: what runners do is not known".to_owned());
        }
        notes
    }
}

/// What an intrinsic function refers to, such as `Cluster` in `{"Ref": "Cluster"}`; `None` for every other map.
fn function(map: &Map<String, Value>) -> Option<String> {
    let mut entries = map.iter();
    let (Some((name, given)), None) = (entries.next(), entries.next()) else { return None };
    match (name.as_str(), given) {
        ("Ref", Value::String(of)) => Some(of.clone()),
        ("Fn::GetAtt", Value::Array(parts)) => {
            Some(parts.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("."))
        }
        ("Fn::GetAtt", Value::String(of)) => Some(of.clone()),
        (name, _) if name.starts_with("Fn::") => Some(name.to_owned()),
        _ => None,
    }
}
