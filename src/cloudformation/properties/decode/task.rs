//! The container and its task.

use super::super::given::Given;
use super::super::problems::Problems;
use super::super::table::registration::{ACCESS_TOKEN_PARAMETER, APP_PRIVATE_KEY_PARAMETER, RUNNER_TOKEN_PARAMETER};
use super::super::table::runner::SECRETS;
use super::super::table::task::{
    CPU, DOCKER_SOCKET, EXECUTION_ROLE_ARN, GPUS, IMAGE, LOG_GROUP, LOG_STREAM_PREFIX, MEMORY, MEMORY_RESERVATION,
    PRIVILEGED, READONLY_ROOT_FILESYSTEM, REPOSITORY_CREDENTIALS_PARAMETER, STOP_TIMEOUT, TASK_ROLE_ARN,
};
use super::github::register_by;
use crate::pool::model::spec::{LogSpec, RegisterBy, TaskSpec};

pub(super) fn task(given: &Given<'_>, problems: &mut Problems) -> TaskSpec {
    let memory_reservation_mib = given.get_or_default(&MEMORY_RESERVATION);
    let memory_mib = given.get(&MEMORY);
    // https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html
    if let Some(memory) = memory_mib.filter(|memory| *memory <= memory_reservation_mib) {
        let default = if given.has(&MEMORY_RESERVATION) { "" } else { ", its default" };
        let problem = format!("{memory} MiB is not above MemoryReservation ({memory_reservation_mib} MiB{default})");
        problems.add(MEMORY.name, problem, "Increase it, or reduce MemoryReservation.");
    }
    if let Some(purpose) = purpose_of_execution_role(given)
        && !given.has(&EXECUTION_ROLE_ARN)
    {
        problems.missing(EXECUTION_ROLE_ARN.name, &format!("the role with which ECS {purpose}"));
    }
    if given.has(&LOG_STREAM_PREFIX) && !given.has(&LOG_GROUP) {
        problems.add(
            LOG_STREAM_PREFIX.name,
            "requires LogGroup",
            "Specify LogGroup as well, or remove LogStreamPrefix.",
        );
    }
    // The problem of a combination is one of the credentials.
    let register_by = register_by(given, &mut Problems::default());
    if register_by == RegisterBy::Function && given.get_or_default(&READONLY_ROOT_FILESYSTEM) {
        let remedy = "Specify false, or RegisterBy: Container with an image that needs no writable root.";
        let problem = "true requires RegisterBy: Container, because the function's way writes below /actions-runner";
        problems.add(READONLY_ROOT_FILESYSTEM.name, problem, remedy);
    }
    let stream_prefix = given.get(&LOG_STREAM_PREFIX);
    TaskSpec {
        image: given.get_or_default(&IMAGE),
        repository_credentials: given.get(&REPOSITORY_CREDENTIALS_PARAMETER),
        memory_reservation_mib,
        memory_mib,
        cpu_units: given.get_or_default(&CPU),
        gpus: given.get_or_default(&GPUS),
        privileged: given.get_or_default(&PRIVILEGED),
        docker_socket: given.get_or_default(&DOCKER_SOCKET),
        readonly_root_filesystem: given.get_or_default(&READONLY_ROOT_FILESYSTEM),
        stop_timeout: given.get_or_default(&STOP_TIMEOUT),
        log: given.get(&LOG_GROUP).map(|group| LogSpec { group, stream_prefix }),
        execution_role_arn: given.get(&EXECUTION_ROLE_ARN),
        task_role_arn: given.get(&TASK_ROLE_ARN),
        registrations_table: None,
    }
}

/// What ECS needs the execution role for, if it needs one.
fn purpose_of_execution_role(given: &Given<'_>) -> Option<&'static str> {
    // An App's key goes into the container unless a registration token takes its place, and then that one does.
    let has_credential = register_by(given, &mut Problems::default()) == RegisterBy::Container
        && (given.has(&ACCESS_TOKEN_PARAMETER)
            || given.has(&APP_PRIVATE_KEY_PARAMETER)
            || given.has(&RUNNER_TOKEN_PARAMETER));
    if has_credential || given.names_in(&SECRETS).next().is_some() {
        Some("reads the container's secrets (ssm:GetParameters or secretsmanager:GetSecretValue)")
    } else if given.has(&LOG_GROUP) {
        Some("writes to LogGroup (logs:CreateLogStream and logs:PutLogEvents)")
    } else if given.has(&REPOSITORY_CREDENTIALS_PARAMETER) {
        Some("reads the registry's credentials (secretsmanager:GetSecretValue)")
    } else {
        None
    }
}
