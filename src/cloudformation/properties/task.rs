//! The container and its task.

use std::time::Duration;

use crate::pool::model::spec::{LogSpec, TaskSpec};

use super::problems::{Problems, is_credential_itself};
use super::raw::Raw;
use super::shapes::{has_space, is_name, is_role_arn, is_whole_secret, optional};

const DEFAULT_IMAGE: &str = "myoung34/github-runner:ubuntu-noble";
const DEFAULT_MEMORY_RESERVATION_MIB: u32 = 500;
const DEFAULT_STOP_TIMEOUT: Duration = Duration::from_secs(120);
/// Characters of an image's name that ECS takes.
const IMAGE_CHARS_MAX: usize = 255;
/// Hexadecimal digits of a SHA-256 digest.
const DIGEST_DIGITS: usize = 64;
/// Characters of a log group's name, and of a log stream's.
const LOG_NAME_CHARS_MAX: usize = 512;

/// The task. Where a property is wrong its default stands in: the problem is written down, and nothing is built.
pub(super) fn task(raw: &Raw, problems: &mut Problems) -> TaskSpec {
    let accepted = "an image with a tag or a sha256 digest, such as myoung34/github-runner:ubuntu-noble";
    let image = optional("Image", &raw.image, is_image, accepted, problems);
    let credentials = optional(
        "RepositoryCredentialsParameter",
        &raw.repository_credentials_parameter,
        // ECS reads the whole secret, a JSON object with two keys of its own.
        |text| is_whole_secret(text) && !is_credential_itself(text),
        "the name or the ARN of the Secrets Manager secret with the registry's username and password",
        problems,
    );
    let memory_reservation_mib = raw.memory_reservation.get().map_or(DEFAULT_MEMORY_RESERVATION_MIB, |mib| mib.0);
    let memory_mib = raw.memory.get().map(|mib| mib.0);
    // https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html
    if let Some(memory) = memory_mib.filter(|memory| *memory <= memory_reservation_mib) {
        let default = if raw.memory_reservation.is_present() { "" } else { ", its default" };
        let fault = format!("is {memory} MiB, not above MemoryReservation ({memory_reservation_mib}{default})");
        problems.add("Memory", fault, "raise it, or lower MemoryReservation");
    }
    let role = "an IAM role's ARN, arn:aws:iam::ACCOUNT:role/NAME";
    let execution_role_arn = optional("ExecutionRoleArn", &raw.execution_role_arn, is_role_arn, role, problems);
    if let Some(reason) = needs_execution_role(raw)
        && !raw.execution_role_arn.is_present()
    {
        problems.missing("ExecutionRoleArn", &format!("the role with which ECS {reason}"));
    }
    TaskSpec {
        image: image.unwrap_or_else(|| DEFAULT_IMAGE.to_owned()),
        repository_credentials: credentials,
        memory_reservation_mib,
        memory_mib,
        cpu_units: raw.cpu.get().map_or(0, |units| units.0),
        privileged: raw.privileged.get().is_none_or(|flag| flag.0),
        docker_socket: raw.docker_socket.get().is_none_or(|flag| flag.0),
        readonly_root_filesystem: raw.readonly_root_filesystem.get().is_some_and(|flag| flag.0),
        stop_timeout: raw.stop_timeout.get().map_or(DEFAULT_STOP_TIMEOUT, |span| span.0),
        log: log(raw, problems),
        execution_role_arn,
        task_role_arn: optional("TaskRoleArn", &raw.task_role_arn, is_role_arn, role, problems),
    }
}

/// What ECS needs the execution role for, if for anything.
fn needs_execution_role(raw: &Raw) -> Option<&'static str> {
    // An App's key goes into the container unless a registration token takes its place, and then that one does.
    let has_credential = raw.access_token_parameter.is_present()
        || raw.app_private_key_parameter.is_present()
        || raw.runner_token_parameter.is_present();
    let has_secrets = raw.secrets.get().is_some_and(|secrets| !secrets.is_empty());
    if has_credential || has_secrets {
        Some("reads the container's secrets (ssm:GetParameters or secretsmanager:GetSecretValue)")
    } else if raw.log_group.is_present() {
        Some("writes to LogGroup (logs:CreateLogStream and logs:PutLogEvents)")
    } else if raw.repository_credentials_parameter.is_present() {
        Some("reads the registry's credentials (secretsmanager:GetSecretValue)")
    } else {
        None
    }
}

fn log(raw: &Raw, problems: &mut Problems) -> Option<LogSpec> {
    let is_group = |text: &str| is_name(text, "._-/#", LOG_NAME_CHARS_MAX);
    let group = optional("LogGroup", &raw.log_group, is_group, "a log group's name", problems);
    let is_stream = |text: &str| text.len() <= LOG_NAME_CHARS_MAX && !text.contains([':', '*']) && !has_space(text);
    let accepted = "a prefix without colons, asterisks and spaces";
    let stream_prefix = optional("LogStreamPrefix", &raw.log_stream_prefix, is_stream, accepted, problems);
    if raw.log_stream_prefix.is_present() && !raw.log_group.is_present() {
        problems.add("LogStreamPrefix", "is given without LogGroup", "give LogGroup too, or take it out");
    }
    Some(LogSpec { group: group?, stream_prefix })
}

/// `[HOST[:PORT]/]NAME[:TAG][@sha256:DIGEST]`, as far as ECS would refuse it or Docker could never pull it.
fn is_image(text: &str) -> bool {
    let (name, digest) = text.split_once('@').map_or((text, None), |(name, digest)| (name, Some(digest)));
    let is_digest = |digest: &str| {
        digest.strip_prefix("sha256:").is_some_and(|digits| {
            digits.len() == DIGEST_DIGITS && digits.chars().all(|c| c.is_ascii_hexdigit() && !c.is_ascii_uppercase())
        })
    };
    let begins_well = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    let ends_well = name.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-' || c == '.');
    begins_well
        && ends_well
        && is_name(name, "._-/:", IMAGE_CHARS_MAX)
        && !name.contains("://")
        && !name.contains("//")
        && digest.is_none_or(is_digest)
}
