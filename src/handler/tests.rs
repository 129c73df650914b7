//! Whoever waits gets an answer: over worlds that panic, hang and refuse.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::pending;

use serde_json::{Value, json};

use super::{ANSWER_RESERVE, HandleError, Invocation, handle};
use crate::pool::continuation::{Continuation, HandedOn};
use crate::pool::identity::{Origin, PhysicalId};
use crate::pool::observed::{
    CapacityProvider, Cluster, ContainerInstance, Group, GroupShape, Protection, ProviderShape, Runner, Service,
    ServiceShape, Task, TaskDefinition,
};
use crate::pool::refusal::{Class, Refusal, Remote};
use crate::pool::secret::Secret;
use crate::pool::spec::{GitHubTarget, ParameterRef, TemplateRef};
use crate::pool::task_definition::TaskDefinitionContent;
use crate::pool::time::Timestamp;
use crate::reconcile::ports::{
    Answers, AutoScaling, Call, CallError, Clock, Credential, DeliveryError, Deregistration, Ecs, GitHub, Later,
    Parameters, Record, Succession, Tags, World,
};
use crate::settings::Settings;

/// How every remote of a [`Barren`] world behaves.
#[derive(Clone, Copy)]
enum Manner {
    Panics,
    Hangs,
    Refuses(Class),
    /// Says that nothing is there.
    IsEmpty,
}

/// A world in which nothing works, or nothing exists.
struct Barren {
    manner: Manner,
    began: tokio::time::Instant,
    answers: RefCell<Vec<Value>>,
    handed_on: RefCell<Vec<Value>>,
    takes_answers: bool,
    takes_events: Call<()>,
    record: RefCell<Option<Record>>,
}

impl Barren {
    fn new(manner: Manner) -> Self {
        Self {
            manner,
            began: tokio::time::Instant::now(),
            answers: RefCell::default(),
            handed_on: RefCell::default(),
            takes_answers: true,
            takes_events: Ok(()),
            record: RefCell::default(),
        }
    }

    async fn react<T>(&self, nothing: T) -> Call<T> {
        match self.manner {
            Manner::Panics => panic!("planted"),
            Manner::Hangs => pending().await,
            Manner::IsEmpty => Ok(nothing),
            Manner::Refuses(class) => Err(refusal(class)),
        }
    }
}

fn refusal(class: Class) -> CallError {
    CallError {
        refusal: Refusal {
            remote: Remote::Ecs,
            class,
            operation: "DescribeServices".to_owned(),
            code: Some("Planted".to_owned()),
            message: "no".to_owned(),
        },
        source: None,
    }
}

const NOW: Timestamp = Timestamp::from_epoch_millis(1_800_000_000_000);

impl World for Barren {
    type Clock = Self;
    type Ecs = Self;
    type AutoScaling = Self;
    type Parameters = Self;
    type Succession = Self;
    type GitHub = Self;
    type Later = Self;
    type Answers = Self;

    fn clock(&self) -> &Self {
        self
    }
    fn ecs(&self) -> &Self {
        self
    }
    fn auto_scaling(&self) -> &Self {
        self
    }
    fn parameters(&self) -> &Self {
        self
    }
    fn succession(&self) -> &Self {
        self
    }
    fn github(&self) -> &Self {
        self
    }
    fn later(&self) -> &Self {
        self
    }
    fn answers(&self) -> &Self {
        self
    }
}

impl Clock for Barren {
    fn now(&self) -> Timestamp {
        NOW + self.began.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "time is paused: it passes only when everybody waits for it")]
    async fn sleep_until(&self, moment: Timestamp) {
        tokio::time::sleep(moment.since(self.now())).await;
    }
}

impl Answers for Barren {
    async fn deliver(&self, _: &Secret, body: Vec<u8>, _: Timestamp) -> Result<(), DeliveryError> {
        if !self.takes_answers {
            return Err(DeliveryError { tries: 3, last: "HTTP 503".to_owned() });
        }
        self.answers.borrow_mut().push(serde_json::from_slice(&body).unwrap());
        Ok(())
    }
}

impl Later for Barren {
    async fn invoke(&self, _: &str, event: Vec<u8>) -> Call<()> {
        if let Err(error) = &self.takes_events {
            return Err(refusal(error.class()));
        }
        self.handed_on.borrow_mut().push(serde_json::from_slice(&event).unwrap());
        Ok(())
    }
}

/// The one thing that works everywhere.
impl Succession for Barren {
    async fn turn(&self, _: &str) -> Call<Option<Record>> {
        Ok(self.record.borrow().clone())
    }

    async fn take_turn(&self, _: &str, text: &str) -> Call<u64> {
        let version = self.record.borrow().as_ref().map_or(1, |record| record.version + 1);
        *self.record.borrow_mut() = Some(Record { text: text.to_owned(), version });
        Ok(version)
    }

    async fn release_turn(&self, _: &str) -> Call<()> {
        *self.record.borrow_mut() = None;
        Ok(())
    }
}

macro_rules! barren {
    ($port:ident { $($name:ident($($arg:ty),*) -> $out:ty = $nothing:expr;)* }) => {
        impl $port for Barren {
            $(async fn $name(&self, $(_: $arg),*) -> Call<$out> { self.react($nothing).await })*
        }
    };
}

barren!(Ecs {
    cluster(&str) -> Option<Cluster> = None;
    capacity_provider(&str) -> Option<CapacityProvider> = None;
    task_definition(&PhysicalId) -> Option<TaskDefinition> = None;
    revision(&str) -> Option<TaskDefinition> = None;
    task_definitions(&PhysicalId) -> Vec<String> = Vec::new();
    families(&str) -> Vec<String> = Vec::new();
    service(&str, &PhysicalId) -> Option<Service> = None;
    tasks(&str, &PhysicalId) -> Vec<Task> = Vec::new();
    protections(&str, &[String]) -> BTreeMap<String, Protection> = BTreeMap::new();
    container_instances(&str, &str, &[String]) -> Vec<ContainerInstance> = Vec::new();
    create_capacity_provider(&str, &str, &ProviderShape, &Tags) -> () = ();
    update_capacity_provider(&str, &ProviderShape) -> () = ();
    delete_capacity_provider(&str) -> () = ();
    associate(&str, &str) -> () = ();
    dissociate(&str, &str) -> () = ();
    register_task_definition(&PhysicalId, &TaskDefinitionContent, &Tags) -> String = String::new();
    delete_task_definitions(&[String]) -> () = ();
    create_service(&str, &PhysicalId, &ServiceShape, &Tags, &str) -> () = ();
    update_service(&str, &PhysicalId, &ServiceShape) -> () = ();
    lower_service_to_zero(&str, &PhysicalId) -> () = ();
    delete_service(&str, &PhysicalId) -> () = ();
    protect(&str, &[String]) -> BTreeMap<String, String> = BTreeMap::new();
    unprotect(&str, &[String]) -> () = ();
    stop_task(&str, &str, &str) -> () = ();
    drain_instance(&str, &str) -> () = ();
    deregister_instance(&str, &str) -> () = ();
    tag(&str, &Tags, &[String]) -> () = ();
});

barren!(AutoScaling {
    group(&str) -> Option<Group> = None;
    groups_of(&Origin) -> Vec<String> = Vec::new();
    last_failed_activity(&str) -> Option<String> = None;
    template_version(&TemplateRef, &str) -> Option<u64> = None;
    create_group(&str, &GroupShape, &Tags) -> () = ();
    update_group(&str, &GroupShape) -> () = ();
    empty_group(&str) -> () = ();
    unprotect_instances(&str, &[String]) -> () = ();
    delete_draining_hook(&str) -> () = ();
    delete_group(&str) -> () = ();
    tag_group(&str, &Tags, &[String]) -> () = ();
});

barren!(Parameters { read(&ParameterRef) -> Option<Secret> = None; });

barren!(GitHub {
    runners(&GitHubTarget, &Credential) -> Vec<Runner> = Vec::new();
    check_administration(&GitHubTarget, &Credential) -> () = ();
    has_runner_group(&GitHubTarget, &Credential, &str) -> bool = false;
    deregister(&GitHubTarget, &Credential, u64) -> Deregistration = Deregistration::Missing;
});

fn event(request_type: &str) -> Value {
    let properties = json!({
        "ServiceToken": "arn:aws:lambda:eu-central-1:111122223333:function:github-runner-pool",
        "OrgName": "acme",
        "AccessTokenParameter": "/ci/token",
        "ExecutionRoleArn": "arn:aws:iam::111122223333:role/execution",
        "Cluster": "build",
        "LaunchTemplate": {"LaunchTemplateId": "lt-0123456789abcdef0", "Version": "1"},
        "Subnets": ["subnet-0123456789abcdef0"],
    });
    json!({
        "RequestType": request_type,
        "RequestId": "request-1",
        "ResponseURL": "https://answers.example/planted?X-Amz-Signature=planted",
        "StackId": "arn:aws:cloudformation:eu-central-1:111122223333:stack/ci/5f2a0000-0000-0000-0000-000000000001",
        "LogicalResourceId": "Runners",
        "PhysicalResourceId": "made-up-by-cloudformation",
        "ResourceType": "Custom::GitHubRunnerPool",
        "ResourceProperties": properties,
        "OldResourceProperties": properties,
    })
}

fn invocation() -> Invocation {
    Invocation { deadline: NOW + std::time::Duration::from_secs(900), function: "github-runner-pool".to_owned() }
}

fn settings() -> Settings {
    Settings::from_variables(&BTreeMap::new()).unwrap()
}

async fn run(world: &Barren, event: &Value) -> Value {
    handle(world, &settings(), event, &invocation()).await.unwrap();
    let mut answers = world.answers.take();
    assert_eq!(answers.len(), 1, "{answers:?}");
    answers.remove(0)
}

#[tokio::test(start_paused = true)]
async fn a_panic_becomes_a_failed_answer_with_the_pools_id() {
    let answer = run(&Barren::new(Manner::Panics), &event("Create")).await;
    assert_eq!(answer["Status"], "FAILED");
    assert!(answer["PhysicalResourceId"].as_str().unwrap().starts_with("ghr-ci-Runners-"));
    assert!(answer["Reason"].as_str().unwrap().contains("this is a defect"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_never_comes_back_becomes_a_failed_answer_in_time() {
    let world = Barren::new(Manner::Hangs);
    let answer = run(&world, &event("Delete")).await;
    assert_eq!(answer["Status"], "FAILED");
    assert_eq!(answer["PhysicalResourceId"], "made-up-by-cloudformation");
    assert!(world.now() < invocation().deadline);
}

#[tokio::test(start_paused = true)]
async fn what_will_never_be_allowed_is_told_at_once_and_says_what_to_do() {
    let world = Barren::new(Manner::Refuses(Class::Denied));
    let answer = run(&world, &event("Create")).await;
    assert_eq!(answer["Status"], "FAILED");
    let reason = answer["Reason"].as_str().unwrap();
    assert!(reason.contains("Allow it in the function's role"), "{reason}");
    assert_eq!(world.now(), NOW);
}

#[tokio::test(start_paused = true)]
async fn what_may_pass_is_handed_on_until_the_answer_is_due_and_then_told() {
    let world = Barren::new(Manner::Refuses(Class::Unavailable));
    handle(&world, &settings(), &event("Create"), &invocation()).await.unwrap();
    let mut hops = 0;
    while world.answers.borrow().is_empty() {
        let next = world.handed_on.borrow_mut().pop().expect("an answer or a continuation");
        let invocation = Invocation { deadline: world.now() + std::time::Duration::from_secs(900), ..invocation() };
        handle(&world, &settings(), &next, &invocation).await.unwrap();
        hops += 1;
    }
    let answers = world.answers.take();
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0]["Status"], "FAILED");
    assert!(answers[0]["Reason"].as_str().unwrap().contains("was still waiting for"), "{}", answers[0]);
    assert!((3..=5).contains(&hops), "{hops} hops");
    assert!(world.now().since(NOW) <= std::time::Duration::from_secs(3600 - 120));
}

#[tokio::test(start_paused = true)]
async fn a_continuation_of_a_newer_version_becomes_a_failed_answer() {
    let world = Barren::new(Manner::Refuses(Class::Unavailable));
    handle(&world, &settings(), &event("Create"), &invocation()).await.unwrap();
    let mut next = world.handed_on.borrow_mut().pop().unwrap();
    next["GitHubRunnerPoolContinuation"] = json!(99);
    next["rest"] = json!({"written": "by a version to come"});
    let answer = run(&world, &next).await;
    assert_eq!(answer["Status"], "FAILED");
    assert_eq!(answer["RequestId"], "request-1");
    assert!(answer["PhysicalResourceId"].as_str().unwrap().starts_with("ghr-ci-Runners-"));
}

#[tokio::test(start_paused = true)]
async fn a_continuation_says_the_same_after_its_journey() {
    let world = Barren::new(Manner::Refuses(Class::Unavailable));
    handle(&world, &settings(), &event("Delete"), &invocation()).await.unwrap();
    let event = world.handed_on.borrow_mut().pop().unwrap();
    let Some(HandedOn::Readable(held)) = HandedOn::read(&event) else { panic!("unreadable") };
    let again: Value = serde_json::from_slice(&Continuation::to_event(&held)).unwrap();
    assert_eq!(again, event);
    assert!(!format!("{held:?}").contains("planted"));
}

#[tokio::test(start_paused = true)]
async fn a_delete_of_nothing_succeeds_whatever_its_id() {
    for id in ["made-up-by-cloudformation", "ghr-was-not-created", "ghr-other-Pool-0123456789", ""] {
        let mut event = event("Delete");
        event["PhysicalResourceId"] = json!(id);
        for properties in [json!(null), json!("text"), json!({"Cluster": ["of", "lists"]}), json!({})] {
            event["ResourceProperties"] = properties;
            let answer = run(&Barren::new(Manner::IsEmpty), &event).await;
            assert_eq!(answer["Status"], "SUCCESS", "{answer}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_takes_makes_the_invocation_fail_without_its_url() {
    let world = Barren { takes_answers: false, ..Barren::new(Manner::IsEmpty) };
    let error = handle(&world, &settings(), &event("Delete"), &invocation()).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("planted"));
}

#[tokio::test(start_paused = true)]
async fn an_event_that_says_nowhere_to_answer_is_over() {
    let world = Barren::new(Manner::Panics);
    handle(&world, &settings(), &json!({"hello": "world"}), &invocation()).await.unwrap();
    assert!(world.answers.borrow().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_delivery_of_a_request_that_was_answered_repeats_the_answer_to_the_byte() {
    let world = Barren::new(Manner::IsEmpty);
    let first = run(&world, &event("Create")).await;
    assert_eq!(first["Status"], "FAILED");
    // Whatever the log's place is by now.
    let mut later = settings();
    later.log = Some(("group".to_owned(), "another-stream".to_owned()));
    handle(&world, &later, &event("Create"), &invocation()).await.unwrap();
    assert_eq!(world.answers.take(), [first]);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_handed_on_for_now_fails_the_invocation_so_that_lambda_delivers_it_again() {
    let takes_events = Err(refusal(Class::Throttled { retry_after: None }));
    let world = Barren { takes_events, ..Barren::new(Manner::Refuses(Class::Unavailable)) };
    let error = handle(&world, &settings(), &event("Create"), &invocation()).await.unwrap_err();
    assert!(matches!(error, HandleError::NotHandedOn(_)));
    assert!(world.answers.borrow().is_empty());
    assert!(world.now() < invocation().deadline - ANSWER_RESERVE, "time is left to answer");
}

#[tokio::test(start_paused = true)]
async fn what_will_never_be_handed_on_is_told() {
    let takes_events = Err(refusal(Class::Denied));
    let world = Barren { takes_events, ..Barren::new(Manner::Refuses(Class::Unavailable)) };
    let answer = run(&world, &event("Create")).await;
    assert!(answer["Reason"].as_str().unwrap().contains("Let its role invoke it"), "{answer}");
}

/// An event of the on-failure queue, about this one.
fn given_up(event: &Value) -> Value {
    let record = json!({
        "version": "1.0",
        "timestamp": "2027-01-15T08:00:00.000Z",
        "requestContext": {
            "requestId": "b7a7b9f3",
            "functionArn": "arn:aws:lambda:eu-central-1:111122223333:function:github-runner-pool:$LATEST",
            "condition": "RetriesExhausted",
            "approximateInvokeCount": 3,
        },
        "requestPayload": event,
        "responseContext": { "statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled" },
        "responsePayload": { "errorMessage": "RequestId: b7a7b9f3 Error: Runtime exited with error: signal: killed" },
    });
    json!({ "Records": [{ "messageId": "1", "eventSource": "aws:sqs", "body": record.to_string() }] })
}

#[tokio::test(start_paused = true)]
async fn what_lambda_gave_up_becomes_a_failed_answer() {
    let answer = run(&Barren::new(Manner::Panics), &given_up(&event("Create"))).await;
    assert_eq!(answer["Status"], "FAILED");
    assert!(answer["PhysicalResourceId"].as_str().unwrap().starts_with("ghr-ci-Runners-"));
    let reason = answer["Reason"].as_str().unwrap();
    assert!(reason.contains("Lambda gave this request up after 3 tries, because every try failed"), "{reason}");
    assert!(reason.contains("signal: killed"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn a_continuation_that_lambda_gave_up_becomes_a_failed_answer_with_the_id_that_was_sent() {
    let world = Barren::new(Manner::Refuses(Class::Unavailable));
    let id = "ghr-ci-Runners-0123456789";
    let mut delete = event("Delete");
    delete["PhysicalResourceId"] = json!(id);
    handle(&world, &settings(), &delete, &invocation()).await.unwrap();
    let next = world.handed_on.borrow_mut().pop().unwrap();
    let answer = run(&world, &given_up(&next)).await;
    assert_eq!((&answer["Status"], &answer["PhysicalResourceId"]), (&json!("FAILED"), &json!(id)));
}

#[tokio::test(start_paused = true)]
async fn what_was_answered_before_lambda_gave_it_up_is_answered_the_same() {
    let world = Barren::new(Manner::IsEmpty);
    let first = run(&world, &event("Create")).await;
    assert_eq!(run(&world, &given_up(&event("Create"))).await, first);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_told_when_nobody_waits_any_more() {
    let world = Barren::new(Manner::IsEmpty);
    let mut old = event("Create");
    old["ResponseURL"] = json!("https://answers.example/planted?X-Amz-Date=20270115T060000Z&X-Amz-Signature=planted");
    let strange = json!({ "Records": [{ "eventSource": "aws:sqs", "body": "no record of Lambda's" }] });
    for event in [given_up(&old), given_up(&json!({"hello": "world"})), strange] {
        handle(&world, &settings(), &event, &invocation()).await.unwrap();
    }
    assert!(world.answers.borrow().is_empty(), "{:?}", world.answers.borrow());
}

#[tokio::test(start_paused = true)]
async fn a_continuation_of_the_first_format_is_still_read() {
    let stored: Value = serde_json::from_str(include_str!("testdata/continuation-1.json")).unwrap();
    let answer = run(&Barren::new(Manner::IsEmpty), &stored).await;
    assert_eq!((&answer["Status"], &answer["RequestId"]), (&json!("SUCCESS"), &json!("request-1")));
}
