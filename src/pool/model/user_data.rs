//! Which cluster a launch template's user data has its instances join, and whether they wait while they are in a warm
//! pool.
//!
//! ECS's AMIs read it from `/etc/ecs/ecs.config`, Bottlerocket from its settings; both are written at the first boot,
//! by whatever text the template carries. So this finds names that are written out, and ignores those that a script
//! assembles or only searches for.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/bootstrap_container_instance.html>

use std::collections::BTreeSet;

const OF_THE_AGENT: &str = "ECS_CLUSTER=";
const OF_BOTTLEROCKET: &str = "[settings.ecs]";
/// Keeps the agent from registering an instance that is in a warm pool.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/using-warm-pool.html>
const WARM_POOLS_CHECK: &str = "ECS_WARM_POOLS_CHECK=";
/// Bottlerocket's setting for the same.
/// <https://bottlerocket.dev/en/os/latest/#/api/settings/autoscaling/>
const BOTTLEROCKET_WAITS: (&str, &str) = ("[settings.autoscaling]", "should-wait");

/// Commands that look for a setting, or change a text in which it may stand: what they name is not set by that.
const TESTERS: &[&str] = &["grep", "egrep", "fgrep", "zgrep", "rg", "sed", "awk", "perl", "test", "[", "[[", "case"];
/// Words in front of a command.
const LEADING: &[&str] = &["if", "elif", "then", "else", "while", "until", "do", "!", "{", "(", "sudo", "time", "exec"];

/// The clusters that are named, in no order.
#[must_use]
pub fn clusters(text: &str) -> BTreeSet<String> {
    of_the_agent(text, OF_THE_AGENT).chain(of_bottlerocket(text, OF_BOTTLEROCKET, "cluster")).filter_map(name).collect()
}

/// Whether an instance that is in a warm pool stays out of the cluster.
#[must_use]
pub fn checks_warm_pool(text: &str) -> bool {
    let (section, key) = BOTTLEROCKET_WAITS;
    let mut values = of_the_agent(text, WARM_POOLS_CHECK).chain(of_bottlerocket(text, section, key));
    values.any(|value| value.trim_start().trim_start_matches(['"', '\'']).starts_with("true"))
}

/// What follows a setting of the agent, wherever a command sets it.
fn of_the_agent<'text>(text: &'text str, setting: &'text str) -> impl Iterator<Item = &'text str> {
    let set = code(text).flat_map(commands).filter(|command| !is_test(command));
    set.flat_map(move |command| settings(command, setting))
}

/// The value of a key in a section of Bottlerocket's settings.
fn of_bottlerocket<'text>(text: &'text str, section: &'text str, key: &'text str) -> impl Iterator<Item = &'text str> {
    let settings = code(text).skip_while(move |line| !line.starts_with(section)).skip(1);
    settings
        .take_while(|line| !line.starts_with('['))
        .filter_map(move |line| line.strip_prefix(key)?.trim_start().strip_prefix('='))
}

/// The lines that are no comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim_start).filter(|line| !line.starts_with('#'))
}

/// The simple commands of a line, each up to the `;`, `|` or `&` that ends it, without a comment behind them.
fn commands(line: &str) -> Vec<&str> {
    let mut commands = Vec::new();
    let (mut began, mut quote, mut before) = (0, None, ' ');
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') if before != '\\' => quote = Some(c),
            (None, ';' | '|' | '&') => {
                commands.extend(line.get(began..at));
                began = at.saturating_add(c.len_utf8());
            }
            (None, '#') if before.is_whitespace() => {
                commands.extend(line.get(began..at));
                return commands;
            }
            (None, _) => {}
        }
        before = c;
    }
    commands.extend(line.get(began..));
    commands
}

/// Whether a command only looks for what it names.
fn is_test(command: &str) -> bool {
    let mut words = command.split_whitespace().skip_while(|word| LEADING.contains(word));
    let Some(first) = words.next() else { return false };
    let first = first.trim_start_matches(['(', '{', '!', '$', '`']);
    TESTERS.contains(&first.rsplit('/').next().unwrap_or(first))
}

/// What follows each such setting in a command. `MY_ECS_CLUSTER=` is another variable, and `$ECS_CLUSTER=` is none.
fn settings<'text>(command: &'text str, setting: &str) -> Vec<&'text str> {
    let is_setting = |at: usize| {
        let before = command.get(..at).unwrap_or_default();
        !before.ends_with(|c: char| c.is_ascii_alphanumeric() || ['_', '$'].contains(&c))
    };
    let found = command.match_indices(setting).filter(|(at, _)| is_setting(*at));
    found.filter_map(|(at, setting)| command.get(at.saturating_add(setting.len())..)).collect()
}

/// The name at the beginning of `text`, by itself or in the cluster's ARN, both of which the agent takes; `None` if a
/// part of it is filled in when the instance starts.
///
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-agent-config.html>
fn name(text: &str) -> Option<String> {
    let text = text.trim_start().trim_start_matches(['"', '\'']);
    let is_part = |c: char| c.is_ascii_alphanumeric() || ['-', '_', ':', '/'].contains(&c);
    let value: String = text.chars().take_while(|c| is_part(*c)).collect();
    let is_whole = text.strip_prefix(&value)?.chars().next().is_none_or(|next| !['$', '`', '{'].contains(&next));
    let name = match value.strip_prefix("arn:") {
        Some(arn) => arn.rsplit_once(":cluster/")?.1,
        None => value.split([':', '/']).next()?,
    };
    (is_whole && !name.is_empty()).then(|| name.to_owned())
}
