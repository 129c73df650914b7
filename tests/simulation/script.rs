//! What a run is made of: pools, the actions of people, jobs and fate, and the calls at which something goes wrong.
//!
//! A seed gives a script, and a script alone decides a run: written to a file it can be replayed, and cut down by hand.

mod author;
mod demand;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub(crate) use self::author::Author;
use crate::faults::{Fault, Trouble};

/// A run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Script {
    pub(crate) seed: u64,
    /// One stack for each.
    pub(crate) pools: Vec<Pool>,
    pub(crate) poll_secs: u64,
    pub(crate) budget_secs: Option<u64>,
    /// Somebody else has a group with the first pool's name.
    pub(crate) has_foreign_group: bool,
    /// Somebody else has a scale set of the name that is looked up first.
    #[serde(default)]
    pub(crate) has_foreign_set: bool,
    #[serde(default)]
    pub(crate) first: First,
    #[serde(default)]
    pub(crate) rollback: Rollback,
    /// What becomes of a job whose runner GitHub deletes all the same.
    #[serde(default)]
    pub(crate) after_deletion: AfterDeletion,
    /// Some jobs end without a line of the listener.
    #[serde(default)]
    pub(crate) ends_are_lost: bool,
    pub(crate) actions: Vec<Action>,
    /// By the number of the call, counted over the whole run.
    pub(crate) faults: BTreeMap<u32, Fault>,
    /// The same of the calls of background invocations, which no request is behind.
    #[serde(default)]
    pub(crate) background_faults: BTreeMap<u32, Fault>,
    /// GitHub is an Enterprise Server without just-in-time configurations.
    #[serde(default)]
    pub(crate) has_no_jit: bool,
    /// From here on nothing goes wrong, and every stack is deleted.
    pub(crate) calm_secs: u64,
}

/// How the stacks' first request comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum First {
    #[default]
    Create,
    /// Other code has served the resource: an Update with an id of that code's.
    UpdateOfForeign,
    /// The first Create has no response, and another follows.
    CreateUnanswered,
}

/// What follows upon an Update that failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Rollback {
    /// The Update back, and then the clean-up of what the failed one has built.
    #[default]
    ByTheBook,
    /// That clean-up first. Other engines have this order.
    CleanUpFirst,
    /// No Update back: a person skips the resource.
    Skipped,
}

/// What becomes of a job whose runner GitHub deletes in its middle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum AfterDeletion {
    /// It goes on to its end, as users have reported.
    /// <https://github.com/github-aws-runners/terraform-aws-github-runner/issues/5086>
    #[default]
    LivesOn,
    /// The runner's next poll finds out and cancels it, as its source has it. Nothing saves such a job but its own log, so
    /// every pool of such a script has one that can be read.
    /// <https://github.com/actions/runner/blob/main/src/Runner.Listener/Runner.cs>
    Cancelled,
}

/// What of the listener's words a job prints into its container's log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Prints {
    #[default]
    Nothing,
    /// In the middle of a line.
    Mentions,
    /// The start of a job that never ends.
    Start,
    /// Its own end. It may be lost then.
    End,
}

/// Something that somebody does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Action {
    pub(crate) at_millis: u64,
    pub(crate) what: What,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum What {
    Create {
        stack: usize,
    },
    Update {
        stack: usize,
        pool: Box<Pool>,
    },
    Cancel {
        stack: usize,
    },
    Delete {
        stack: usize,
    },
    Job {
        label: String,
        secs: u64,
        #[serde(default)]
        prints: Prints,
    },
    /// A person cancels the newest job with this label that is not over.
    CancelJob {
        label: String,
    },
    MachineLost,
    SpotReclaim,
    AgentLost {
        secs: u64,
    },
    Trouble {
        trouble: Trouble,
        secs: u64,
    },
    Duplicate,
    NewTemplate,
    NewToken,
    Rename {
        from: String,
        to: String,
    },
}

/// A pool as its template says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pool {
    pub(crate) cluster: String,
    pub(crate) org: String,
    pub(crate) count: u32,
    pub(crate) image: u32,
    pub(crate) is_ephemeral: bool,
    pub(crate) has_fixed_name: bool,
    pub(crate) is_distinct: bool,
    /// On the capacity provider of somebody else.
    pub(crate) is_on_named: bool,
    pub(crate) min_instances: u32,
    pub(crate) max_instances: u32,
    pub(crate) target_percent: u32,
    pub(crate) online_secs: u64,
    pub(crate) idle_secs: u64,
    pub(crate) drain_secs: u64,
    pub(crate) fails_on_drain: bool,
    pub(crate) fails_on_deregister: bool,
    pub(crate) service_timeout_secs: u64,
    pub(crate) team: u32,
    /// The On-Demand share, percent, of a mixed-instances policy; without one the launch template alone.
    #[serde(default)]
    pub(crate) on_demand_percent: Option<u32>,
    #[serde(default)]
    pub(crate) has_log: bool,
    /// `WarmInstances`.
    #[serde(default)]
    pub(crate) warm_instances: u32,
    /// `RegisterBy: Function`.
    #[serde(default)]
    pub(crate) is_registered_by_function: bool,
    /// As many runners as jobs, at most so many, instead of `count`.
    #[serde(default)]
    pub(crate) max_runners: Option<u32>,
    #[serde(default)]
    pub(crate) min_runners: u32,
    /// `RunnerScaleSetName`, which others may have as well.
    #[serde(default)]
    pub(crate) has_set_name: bool,
}

impl Pool {
    /// One runner on one instance, patient for half an hour.
    pub(crate) fn plain() -> Self {
        Self {
            cluster: "build".to_owned(),
            org: "acme".to_owned(),
            count: 1,
            image: 1,
            is_ephemeral: false,
            has_fixed_name: false,
            is_distinct: false,
            is_on_named: false,
            min_instances: 0,
            max_instances: 4,
            target_percent: 100,
            online_secs: 900,
            idle_secs: 60,
            drain_secs: 1800,
            fails_on_drain: false,
            fails_on_deregister: false,
            service_timeout_secs: 3600,
            team: 0,
            on_demand_percent: None,
            has_log: false,
            warm_instances: 0,
            is_registered_by_function: false,
            max_runners: None,
            min_runners: 0,
            has_set_name: false,
        }
    }

    /// The properties, every scalar a string, as CloudFormation sends them.
    pub(crate) fn properties(&self, stack: usize) -> Value {
        let mut properties = json!({
            "ServiceToken": crate::lambda::FUNCTION,
            "ServiceTimeout": self.service_timeout_secs.to_string(),
            "Cluster": self.cluster,
            "OrgName": self.org,
            "AccessTokenParameter": "/ci/token",
            "ExecutionRoleArn": "arn:aws:iam::111122223333:role/execution",
            "Labels": format!("default,pool-{stack}"),
            "Image": format!("myoung34/github-runner:{}", self.image),
            "DesiredCount": self.count.to_string(),
            "DistinctInstances": self.is_distinct.to_string(),
            "Ephemeral": self.is_ephemeral.to_string(),
            "OnlineTimeout": self.online_secs.to_string(),
            "IdleConfirmation": self.idle_secs.to_string(),
            "DrainTimeout": self.drain_secs.to_string(),
            "OnDrainTimeout": if self.fails_on_drain { "Fail" } else { "Cancel" },
            "OnDeregisterFailure": if self.fails_on_deregister { "Fail" } else { "Warn" },
            "Tags": [{ "Key": "team", "Value": self.team.to_string() }],
        });
        if let (Some(max_runners), Some(map)) = (self.max_runners, properties.as_object_mut()) {
            map.remove("DesiredCount");
            map.insert("MaxRunners".to_owned(), json!(max_runners.to_string()));
            map.insert("MinRunners".to_owned(), json!(self.min_runners.to_string()));
        }
        if self.has_set_name {
            properties["RunnerScaleSetName"] = json!(format!("linux-{stack}"));
        }
        if self.has_log {
            properties["LogGroup"] = json!("/ci/runners");
        }
        // The function is the default.
        if !self.is_registered_by_function {
            properties["RegisterBy"] = json!("Container");
        }
        if self.has_fixed_name {
            properties["RunnerName"] = json!(format!("solo-{stack}"));
        }
        if self.is_on_named {
            properties["CapacityProvider"] = json!("team");
        } else {
            properties["LaunchTemplate"] =
                json!({ "LaunchTemplateId": format!("lt-{}", self.cluster), "Version": "$Latest" });
            properties["Subnets"] = json!(["subnet-0a1b2c3d"]);
            properties["MinInstances"] = json!(self.min_instances.to_string());
            properties["TargetCapacity"] = json!(self.target_percent.to_string());
            properties["MaxInstances"] = json!(self.max_instances.to_string());
            if self.warm_instances > 0 {
                properties["WarmInstances"] = json!(self.warm_instances.to_string());
            }
            if let Some(percent) = self.on_demand_percent {
                properties["OnDemandPercentageAboveBaseCapacity"] = json!(percent.to_string());
            }
        }
        properties
    }

    /// All but how patient it is.
    pub(crate) fn config(&self) -> Self {
        let Self { online_secs, idle_secs, drain_secs, fails_on_drain, fails_on_deregister, .. } = Self::plain();
        // `DesiredCount` is not among the properties of a pool with `MaxRunners`.
        let count = if self.max_runners.is_some() { 0 } else { self.count };
        Self { count, online_secs, idle_secs, drain_secs, fails_on_drain, fails_on_deregister, ..self.clone() }
    }

    /// What may not change in place.
    pub(crate) fn identity(&self) -> (String, String, bool, Option<bool>) {
        // Its scale set has a name that cannot change.
        let scale_set = self.max_runners.map(|_| self.has_set_name);
        (self.cluster.clone(), self.org.clone(), self.is_on_named, scale_set)
    }
}

impl Script {
    /// The same with pools that have a warm pool each.
    pub(crate) fn with_warm_pools(mut self) -> Self {
        let updated = self.actions.iter_mut().filter_map(|action| match &mut action.what {
            What::Update { pool, .. } => Some(&mut **pool),
            _ => None,
        });
        for pool in self.pools.iter_mut().chain(updated).filter(|pool| !pool.is_on_named) {
            (pool.on_demand_percent, pool.warm_instances) = (None, 1);
        }
        self
    }

    /// The same with pools that have no log.
    pub(crate) fn without_logs(mut self) -> Self {
        for pool in &mut self.pools {
            pool.has_log = false;
        }
        for action in &mut self.actions {
            if let What::Update { pool, .. } = &mut action.what {
                pool.has_log = false;
            }
        }
        self
    }
}
