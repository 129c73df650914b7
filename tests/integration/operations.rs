//! `cfn/operations.yaml` against the code: the dashboard shows every metric, and nothing is watched that nobody writes.

use std::collections::BTreeSet;

use github_runner_pool::metrics::{DIMENSIONS, Metric, NAMESPACE};
use github_runner_pool::pool::model::auto_scaling::LAUNCH_HOOK;
use github_runner_pool::pool::model::request::RequestType;
use serde_json::Value;

use strum::VariantNames as _;

use crate::repository::{production, text};

/// A metric as somebody asks for it.
struct Asked {
    by: String,
    namespace: String,
    name: String,
    /// Names and values, sorted.
    dimensions: Vec<(String, String)>,
}

/// The resources of the template that are alarms, by logical id, with their lines.
fn alarm_blocks() -> Vec<(String, String)> {
    let template = text("cfn/operations.yaml");
    let resources = template.split("\nResources:\n").nth(1).unwrap().split("\nOutputs:\n").next().unwrap();
    let mut blocks: Vec<(String, String)> = Vec::new();
    for line in resources.lines().filter(|line| !line.trim_start().starts_with('#')) {
        match line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')).and_then(|rest| rest.strip_suffix(':')) {
            Some(name) => blocks.push((name.to_owned(), String::new())),
            None => {
                if let Some((_, block)) = blocks.last_mut() {
                    block.extend([line.trim(), "\n"]);
                }
            }
        }
    }
    blocks.into_iter().filter(|(_, block)| block.contains("Type: AWS::CloudWatch::Alarm")).collect()
}

/// The alarms' logical ids.
pub(crate) fn alarms() -> BTreeSet<String> {
    let names: BTreeSet<String> = alarm_blocks().into_iter().map(|(name, _)| name).collect();
    assert!(names.len() > 5, "the alarms are not where this looks for them: {names:?}");
    names
}

fn watched() -> Vec<Asked> {
    let asked = |(by, block): (String, String)| {
        let after = |key: &str| {
            block.lines().filter_map(|line| line.strip_prefix(key)).map(str::to_owned).collect::<Vec<String>>()
        };
        let mut dimensions: Vec<(String, String)> = after("- Name: ").into_iter().zip(after("Value: ")).collect();
        dimensions.sort();
        Asked { namespace: after("Namespace: ").remove(0), name: after("MetricName: ").remove(0), dimensions, by }
    };
    alarm_blocks().into_iter().map(asked).collect()
}

/// The dashboard, with each reference as its own name and each number that is one as 1.
fn dashboard() -> Value {
    let template = text("cfn/operations.yaml");
    let body = template.split("DashboardBody: !Sub |\n").nth(1).unwrap().split("\nOutputs:\n").next().unwrap();
    let mut filled = String::new();
    for (n, piece) in body.split("${").enumerate() {
        let (name, rest) = if n == 0 { ("", piece) } else { piece.split_once('}').unwrap() };
        filled += match name {
            "RunnerDaysMax" | "GitHubRateMin" | "StartDelayMax" => "1",
            name => name,
        };
        filled += rest;
    }
    serde_json::from_str(&filled).unwrap()
}

fn widgets() -> Vec<Value> {
    dashboard()["widgets"].as_array().unwrap().clone()
}

/// The metrics of a widget, with CloudWatch's abbreviations written out: `.` is what stood there in the line before, and
/// `...` all that stood there up to what follows.
fn shown() -> Vec<Asked> {
    let mut shown = Vec::new();
    for widget in widgets().iter().filter(|widget| widget["type"] == "metric") {
        let mut before: Vec<String> = Vec::new();
        for line in widget["properties"]["metrics"].as_array().unwrap() {
            if let Some(expression) = line[0]["expression"].as_str() {
                shown.push(searched(widget["properties"]["title"].as_str().unwrap(), expression));
                continue;
            }
            let mut words: Vec<String> =
                line.as_array().unwrap().iter().filter_map(Value::as_str).map(str::to_owned).collect();
            if words[0] == "..." {
                let kept = before.len() + 1 - words.len();
                words.splice(..1, before[..kept].to_vec());
            }
            for (at, word) in words.iter_mut().enumerate().filter(|(_, word)| *word == ".") {
                word.clone_from(&before[at]);
            }
            let mut dimensions: Vec<(String, String)> =
                words[2..].chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
            dimensions.sort();
            shown.push(Asked {
                by: widget["properties"]["title"].as_str().unwrap().to_owned(),
                namespace: words[0].clone(),
                name: words[1].clone(),
                dimensions,
            });
            before = words;
        }
    }
    shown
}

/// The metric that a search finds for each pool: `SEARCH('{NAMESPACE,DIMENSION,…} MetricName="NAME" DIMENSION="VALUE"', …)`.
/// A dimension without a value is found with every one.
fn searched(by: &str, expression: &str) -> Asked {
    let (schema, terms) = expression.strip_prefix("SEARCH('{").unwrap().split_once("} ").unwrap();
    let mut names = schema.split(',').map(str::to_owned);
    let namespace = names.next().unwrap();
    let terms: Vec<(&str, &str)> = terms
        .split_once("',")
        .unwrap()
        .0
        .split(' ')
        .map(|term| term.split_once('=').unwrap())
        .map(|(name, value)| (name, value.trim_matches('"')))
        .collect();
    let value = |name: &str| terms.iter().find(|(term, _)| *term == name).map(|(_, value)| (*value).to_owned());
    let mut dimensions: Vec<(String, String)> =
        names.map(|name| (name.clone(), value(&name).unwrap_or_else(|| "*".to_owned()))).collect();
    dimensions.sort();
    Asked { by: by.to_owned(), namespace, name: value("MetricName").unwrap(), dimensions }
}

#[test]
fn the_dashboard_shows_every_metric() {
    let shown: BTreeSet<String> =
        shown().into_iter().filter(|asked| asked.namespace == NAMESPACE).map(|asked| asked.name).collect();
    let written: BTreeSet<String> = Metric::VARIANTS.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(shown, written);
}

#[test]
fn every_metric_of_ours_that_is_asked_for_is_written_by_those_dimensions() {
    let kinds = [RequestType::Create, RequestType::Update, RequestType::Delete].map(RequestType::name);
    for asked in shown().into_iter().chain(watched()).filter(|asked| asked.namespace == NAMESPACE) {
        let (by, name) = (&asked.by, &asked.name);
        assert!(Metric::VARIANTS.contains(&name.as_str()), "{by}: {name}");
        let mut given: Vec<&str> = asked.dimensions.iter().map(|(dimension, _)| dimension.as_str()).collect();
        given.sort_unstable();
        let is_written = DIMENSIONS.iter().any(|set| {
            let mut set = set.to_vec();
            set.sort_unstable();
            set == given
        });
        assert!(is_written, "{by}: {name} by {given:?}");
        for (dimension, value) in &asked.dimensions {
            let is_known = match dimension.as_str() {
                "FunctionName" => value == "FunctionName" || value == "!Ref FunctionName",
                "RequestType" => kinds.contains(&value.as_str()),
                "Outcome" => ["SUCCESS", "FAILED"].contains(&value.as_str()),
                "Pool" => value == "*",
                _ => false,
            };
            assert!(is_known, "{by}: {dimension} {value}");
        }
    }
}

#[test]
fn every_metric_is_written() {
    let code = text("src/metrics.rs");
    let fields = code.lines().filter_map(|line| line.strip_prefix("        ")?.split_once(" = "));
    let written: BTreeSet<&str> = fields
        .map(|(name, _)| name)
        .filter(|name| {
            name.starts_with(|c: char| c.is_ascii_uppercase()) && !["RequestType", "Outcome", "Pool"].contains(name)
        })
        .collect();
    assert_eq!(written, Metric::VARIANTS.iter().copied().collect::<BTreeSet<_>>());
}

#[test]
fn dashboard_shows_every_alarm_and_every_alarm_has_an_action() {
    let on_dashboard: BTreeSet<String> = widgets()
        .iter()
        .filter(|widget| widget["type"] == "alarm")
        .flat_map(|widget| widget["properties"]["alarms"].as_array().unwrap().clone())
        .map(|arn| arn.as_str().unwrap().trim_end_matches(".Arn").to_owned())
        .collect();
    assert_eq!(on_dashboard, alarms());
    for (name, block) in alarm_blocks() {
        assert!(block.contains("AlarmActions: !If [HasTopic, [!Ref TopicArn], !Ref AWS::NoValue]"), "{name}");
        assert!(block.contains(&format!("AlarmName: !Sub ${{FunctionName}}-{name}\n")), "{name}");
        assert!(block.contains("TreatMissingData: "), "{name}");
    }
}

#[test]
fn no_widget_lies_on_another_and_no_row_has_a_gap() {
    let mut cells = BTreeSet::new();
    for widget in widgets() {
        let [x, y, width, height] = ["x", "y", "width", "height"].map(|key| widget[key].as_u64().unwrap());
        for cell in (x..x + width).flat_map(|x| (y..y + height).map(move |y| (x, y))) {
            assert!(cell.0 < 24 && cells.insert(cell), "{}: {cell:?}", widget["properties"]["title"]);
        }
    }
    let height = cells.iter().map(|(_, y)| y + 1).max().unwrap();
    assert_eq!(u64::try_from(cells.len()).unwrap(), 24 * height);
}

#[test]
fn the_queries_ask_for_fields_that_the_log_has() {
    let code: String = production().iter().map(|source| source.code.clone()).collect();
    let queries: String =
        widgets().iter().filter_map(|widget| widget["properties"]["query"].as_str().map(str::to_owned)).collect();
    for (asked, written) in [
        ("step = 'inventory'", "step = \"inventory\""),
        ("oldest_runner_days", "oldest_runner_days ="),
        ("tasks_running", "tasks_running ="),
        ("physical_id", "physical_id ="),
        ("status = 'FAILED'", "status = \"FAILED\""),
        ("step = 'preflight'", "step = \"preflight\""),
        ("logical_id", "logical_id ="),
        ("reason", ", reason)"),
    ] {
        assert!(queries.contains(asked), "no query asks for {asked}");
        assert!(code.contains(written), "the code does not write {written}");
    }
}

#[test]
fn the_minute_rule_sends_a_tick_and_is_the_only_schedule() {
    let provider = text("cfn/provider.yaml");
    let rule = provider.split("\n  MinuteRule:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    for wanted in ["Condition: FunctionIsThere", "ScheduleExpression: rate(1 minute)", r#"Input: '{"Tick": {}}'"#] {
        assert!(rule.contains(wanted), "{wanted}");
    }
    assert_eq!(provider.matches("ScheduleExpression").count(), 1);
    assert!(!text("cfn/operations.yaml").contains("ScheduleExpression"));
}

#[test]
fn the_launch_rule_passes_on_the_launch_hook_of_instances_that_join_their_group_and_nothing_else() {
    let provider = text("cfn/provider.yaml");
    let rule = provider.split("\n  LaunchRule:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let pattern = rule.split("EventPattern:\n").nth(1).unwrap().split("      Targets:\n").next().unwrap();
    let words: Vec<&str> = pattern.split_whitespace().collect();
    let expected = format!(
        "source: - aws.autoscaling detail-type: - EC2 Instance-launch Lifecycle Action detail: LifecycleHookName: - \
         {LAUNCH_HOOK} Destination: - AutoScalingGroup"
    );
    assert_eq!(words.join(" "), expected);
    assert!(rule.contains("Condition: FunctionIsThere") && !rule.contains("Input:"), "the event as it is");
}

#[test]
fn the_queue_is_the_providers() {
    assert!(text("cfn/provider.yaml").contains("  OnFailureQueueName:\n"));
    assert!(text("cfn/operations.yaml").contains("  OnFailureQueueName:\n    Type: String\n"));
}
