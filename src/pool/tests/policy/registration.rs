//! Which task gets a registration, and what each of the others reads in its container's log.

use std::slice::from_ref;
use std::time::Duration;

use crate::pool::model::ecs::{Task, TaskDefinition, TaskPhase};
use crate::pool::model::identity::PhysicalId;
use crate::pool::model::memory::REGISTRATION_GRACE;
use crate::pool::model::pool_metadata::PoolMetadata;
use crate::pool::model::registration::{
    ClaimState, ObservedClaim, RegistrationClaim, RegistrationRequest, RegistrationSettings, TaskArn,
};
use crate::pool::model::runner::Runner;
use crate::pool::model::spec::{PoolSpec, RegisterBy};
use crate::pool::policy::registration::{
    ASKING_PERIOD, ClaimGrant, ClaimWithdrawal, EarlierMint, MINT_MAX, NameHolder, Rejection, abandoned, foreign_task,
    name_not_free, pool_of_revision, pool_of_task, take_claim, withdraw_claim,
};
use crate::pool::tests::support::{T0, foreign, runner, spec, stack_resource, task, task_id};

const DIGITS: &str = "0123456789ab";

fn id() -> PhysicalId {
    PhysicalId::of(&stack_resource(), &spec())
}

fn arn() -> TaskArn {
    TaskArn::parse(&task(&id(), DIGITS).arn).unwrap()
}

fn message(rejection: Rejection) -> String {
    match rejection {
        Rejection::Refuse(refusal) => format!("{} (retry: {})", refusal.message, refusal.retry),
        Rejection::Ignore(why) => format!("ignored: {why}"),
    }
}

/// What becomes of a request of the task, ten seconds after its start.
fn pool_of(change: impl FnOnce(&mut Task)) -> Result<PhysicalId, String> {
    let mut task = task(&id(), DIGITS);
    change(&mut task);
    pool_of_task(&arn(), Some(&task), T0 + Duration::from_secs(10)).map_err(message)
}

#[test]
fn describe_tasks_decides_which_task_may_ask() {
    assert_eq!(pool_of(|_| ()), Ok(id()));
    assert_eq!(pool_of(|task| (task.phase, task.started_at) = (TaskPhase::Starting, None)), Ok(id()));
    for ends in [TaskPhase::Stopped, TaskPhase::Running] {
        let ended = pool_of(|task| (task.phase, task.desired_stopped) = (ends, true));
        assert_eq!(ended.unwrap_err(), "ignored: the task ends");
    }
    let of_other_start = |group: &str| pool_of(|task| task.group = group.to_owned()).unwrap_err();
    insta::assert_snapshot!(of_other_start("service:web"), @"Task ba987654321000000000000000000000: no Custom::GitHubRunnerPool has started it. Declare the runners in a template. (retry: false)");
    assert_eq!(of_other_start("family:adhoc"), of_other_start("service:web"));
    let unknown = pool_of_task(&arn(), None, T0).map_err(message).unwrap_err();
    insta::assert_snapshot!(unknown, @"Task ba987654321000000000000000000000: Amazon ECS does not know it in the cluster build. The container asks again; if this persists, stop the task, and the service starts another one. (retry: true)");
}

#[test]
fn task_may_ask_only_in_its_first_half_hour() {
    let at = |secs: u64| pool_of_task(&arn(), Some(&task(&id(), DIGITS)), T0 + Duration::from_secs(secs));
    assert!(at(ASKING_PERIOD.as_secs()).is_ok());
    insta::assert_snapshot!(message(at(ASKING_PERIOD.as_secs() + 1).unwrap_err()), @"Task ba987654321000000000000000000000: it started 30 min ago, and a task may ask for its registration only in the first 30 min. Stop the task; the service starts another one. (retry: false)");
}

#[test]
fn request_is_of_the_task_whose_role_session_wrote_it() {
    let request = |key: &str| RegistrationRequest {
        key: key.to_owned(),
        task_arn: arn().as_str().to_owned(),
        attempt: 1,
        architecture: None,
    };
    assert_eq!(request(&format!("AROAEXAMPLE:{}", task_id(DIGITS))).task(), Some(arn()));
    for other in [format!("AROAEXAMPLE:{}", task_id("ba9876543210")), "AROAEXAMPLE".to_owned(), String::new()] {
        assert_eq!(request(&other).task(), None, "{other}");
    }
    insta::assert_snapshot!(message(foreign_task(&request("AROAEXAMPLE:other"))), @"Task arn:aws:ecs:eu-central-1:111122223333:task/build/ba987654321000000000000000000000: the request was made with the credentials of another task. Ask with the task's own. (retry: false)");
}

fn revision(spec: &PoolSpec) -> TaskDefinition {
    TaskDefinition {
        arn: format!("arn:aws:ecs:eu-central-1:111122223333:task-definition/{}:1", id()),
        tags: id().ownership_tags(&stack_resource()),
        metadata: Some(PoolMetadata::of(&id(), spec).to_label()),
        image: None,
    }
}

#[test]
fn task_definition_says_with_what_a_runner_is_registered() {
    let (metadata, settings, credential) = pool_of_revision(&id(), Some(&revision(&spec()))).unwrap();
    assert_eq!(metadata, PoolMetadata::of(&id(), &spec()));
    assert_eq!(Some(settings), RegistrationSettings::of(&id(), &spec()));
    assert_eq!(Some(credential), spec().credentials.github_credential);

    let mut by_container = spec();
    by_container.credentials.register_by = RegisterBy::Container;
    let refused = |revision: Option<&TaskDefinition>| message(pool_of_revision(&id(), revision).unwrap_err());
    insta::assert_snapshot!(refused(Some(&revision(&by_container))), @"RegisterBy: the task definition of ghr-ci-Runners-5b73e4ffa9 does not let the function register its runners. Update the stack. (retry: false)");
    insta::assert_snapshot!(refused(None), @"Task definition: the task's revision is not an active one of ghr-ci-Runners-5b73e4ffa9. Update the stack. (retry: false)");
    let foreign = TaskDefinition { tags: [].into(), ..revision(&spec()) };
    assert_eq!(refused(Some(&foreign)), refused(None));
}

fn claim(state: ClaimState) -> ObservedClaim {
    ObservedClaim { claim: RegistrationClaim::new(state, 1, T0), version: 4 }
}

#[test]
fn claim_is_taken_once_and_taken_over_after_a_minute_without_an_end() {
    let late = T0 + MINT_MAX;
    let soon = late - Duration::from_secs(1);
    let grant = |version, earlier| Ok(ClaimGrant { version, earlier });
    assert_eq!(take_claim(None, T0), grant(1, EarlierMint::None));
    assert_eq!(take_claim(Some(&claim(ClaimState::Released)), T0), grant(5, EarlierMint::Unfinished));
    assert_eq!(take_claim(Some(&claim(ClaimState::Minting)), late), grant(5, EarlierMint::Unfinished));
    let busy = take_claim(Some(&claim(ClaimState::Minting)), soon).unwrap_err();
    assert_eq!(message(busy), "ignored: another invocation registers this task's runner");
    for at in [T0, late, T0 + Duration::from_secs(86_400)] {
        let refusal = take_claim(Some(&claim(ClaimState::Made)), at).unwrap_err();
        insta::allow_duplicates! {
            insta::assert_snapshot!(message(refusal), @"Registration: this task has had its registration, and a task gets one. If its runner is not online, stop the task; the service starts another one. (retry: false)");
        }
    }
}

#[test]
fn claim_is_withdrawn_from_a_task_that_has_no_registration_and_is_about_to_get_none() {
    use ClaimWithdrawal::{TooLate, Unnecessary, Write};
    let withdrawal = |state, age| withdraw_claim(Some(&claim(state)), T0 + age);
    let second = Duration::from_secs(1);
    assert_eq!(withdraw_claim(None, T0), Write(1));
    assert_eq!(withdrawal(ClaimState::Released, second), Write(5));
    assert_eq!(withdrawal(ClaimState::Minting, MINT_MAX - second), TooLate);
    assert_eq!(withdrawal(ClaimState::Minting, MINT_MAX), Write(5));
    assert_eq!(withdrawal(ClaimState::Made, REGISTRATION_GRACE - second), TooLate);
    assert_eq!(withdrawal(ClaimState::Made, REGISTRATION_GRACE), Unnecessary);
    assert_eq!(withdrawal(ClaimState::Withdrawn, second), Unnecessary);
}

#[test]
fn claim_that_was_withdrawn_gives_no_registration() {
    for at in [T0, T0 + MINT_MAX, T0 + Duration::from_secs(86_399)] {
        let refusal = take_claim(Some(&claim(ClaimState::Withdrawn)), at).unwrap_err();
        insta::allow_duplicates! {
            insta::assert_snapshot!(message(refusal), @"Registration: the pool stops this task, because it had no runner when none was needed any more or its time to register had passed. Wait until it ends. (retry: false)");
        }
    }
}

#[test]
fn claim_that_cannot_be_read_gives_no_second_registration() {
    for text in ["", "{}", r#"{"format":2,"state":"Minting","attempt":1,"at":0}"#] {
        assert_eq!(RegistrationClaim::from_record(text).state, ClaimState::Made, "{text}");
    }
    let written = RegistrationClaim::new(ClaimState::Minting, 3, T0);
    assert_eq!(RegistrationClaim::from_record(&written.to_record()), written);
}

#[test]
fn runner_of_the_same_name_is_removed_only_if_it_is_ours_and_offline() {
    let metadata = PoolMetadata::of(&id(), &spec());
    let ours = runner(&id(), 7, DIGITS);
    let offline = Runner { is_online: false, ..ours.clone() };
    let busy = Runner { is_busy: true, ..offline.clone() };
    assert_eq!(NameHolder::of(&metadata, None), NameHolder::None);
    assert_eq!(NameHolder::of(&metadata, Some(&ours)), NameHolder::Connected);
    assert_eq!(NameHolder::of(&metadata, Some(&busy)), NameHolder::Connected);
    assert_eq!(NameHolder::of(&metadata, Some(&offline)), NameHolder::Leftover(7));
    assert_eq!(NameHolder::of(&metadata, Some(&foreign(7, &ours.name, "default"))), NameHolder::Foreign);
}

#[test]
fn name_that_stays_taken_is_asked_for_again() {
    let refusal = name_not_free("ci-0a1b2c3d4e-0123456789ab");
    assert!(refusal.retry && refusal.message.contains("the name is still taken"), "{}", refusal.message);
}

#[test]
fn sweep_removes_offline_runners_without_a_task() {
    let metadata = PoolMetadata::of(&id(), &spec());
    let by_task = |digits: &str| Runner { is_online: false, ..runner(&id(), 1, digits) };
    let living = task(&id(), DIGITS);
    let own = living.short_task_id().unwrap().to_owned();
    let newest = living.task_definition.clone();
    let found = |runner: Runner, tasks: &[Task]| abandoned(&metadata, &newest, &[runner], tasks).len();
    assert_eq!(found(by_task("ffffffffffff"), from_ref(&living)), 1);
    assert_eq!(found(by_task(&own), from_ref(&living)), 0, "its task lives");
    assert_eq!(found(by_task(DIGITS), from_ref(&living)), 0, "its container named it");
    assert_eq!(found(runner(&id(), 1, "ffffffffffff"), from_ref(&living)), 0, "it is online");
    assert_eq!(found(Runner { is_busy: true, ..by_task("ffffffffffff") }, &[]), 0, "it has a job");
    assert_eq!(found(foreign(1, "ffffffffffff", "default"), &[]), 0, "it is another's");
    let starting = Task { runtime_id: None, phase: TaskPhase::Starting, ..living.clone() };
    assert_eq!(found(by_task("ffffffffffff"), from_ref(&starting)), 1, "its task has another id");
    assert_eq!(found(by_task(&own), from_ref(&starting)), 0, "its task starts");
    let older = Task { task_definition: "arn:older".to_owned(), ..starting };
    assert_eq!(found(by_task("ffffffffffff"), &[older]), 0, "its container may name its runner");
    let ended = Task { phase: TaskPhase::Stopped, ..living };
    assert_eq!(found(by_task(&own), &[ended]), 1);
}
