"""The local scale-set service: connection, sets, sessions, queue, runners, and their errors.

What becomes of jobs is in test_scale_set_jobs.py.
"""

from __future__ import annotations

import base64
import itertools
import json
import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import jwt
import pytest

from sandbox.scale_set_client import AGENTS, SETS, Client, Listener, connect, exchange, send
from sandbox.world import World

GROUPS = "_apis/runtime/runnergroups/"
SILENCE_SECS = 50.0
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world in which a poll without a message ends soon, and a silent session lasts as long as on GitHub."""
    pace: dict[str, Any] = {"time_scale": 0.3, "message_wait": 0.5, "session_silence": SILENCE_SECS / 0.3}
    with World.start(tmp_path_factory.mktemp("scale-sets"), **pace) as started:
        started.prepare()
        yield started


@pytest.fixture(scope="module")
def client(world: World) -> Client:
    return connect(world)


@pytest.fixture
def listener(client: Client) -> Listener:
    """Of a set of its own, without a session."""
    return client.made(f"set-{next(_numbers)}")


@pytest.fixture
def open_listener(listener: Listener) -> Listener:
    assert listener.open().status == 200
    return listener


# The connection.


@pytest.mark.parametrize("target", ["orgs/acme", "repos/acme/app", "enterprises/umbrella"])
def test_registration_token_is_exchanged_for_a_connection_to_its_target(world: World, target: str) -> None:
    client = connect(world, target)
    claims = jwt.decode(client.token, options={"verify_signature": False})
    assert claims["exp"] > time.time() + 60
    assert client.url.startswith(world.github)
    assert client.url.endswith("/")
    name = f"set-{next(_numbers)}"
    client.made(name)
    assert [one["target"] for one in world.get("/scale-sets") if one["name"] == name] == [target]
    assert client.token in world.secrets()


def test_registration_token_of_one_target_is_no_way_into_another(world: World) -> None:
    token = world.post("/github/registration-tokens", target="orgs/acme")["token"]
    assert exchange(world, token)[0] == 200
    assert exchange(world, token, f"{world.github}/globex")[0] == 404
    assert exchange(world, token, "https://github.test/acme")[0] == 404
    expired = world.post("/github/registration-tokens", target="orgs/acme", life=-1)["token"]
    assert [exchange(world, token)[0] for token in (expired, "wrong")] == [401, 401]


def test_runner_registration_may_not_know_a_fresh_token_yet(world: World) -> None:
    token = world.post("/github/registration-tokens", target="orgs/acme")["token"]
    with world.faults(github={"status": 401, "times": 2, "path": "/runner-registration"}):
        assert [exchange(world, token)[0] for _ in range(3)] == [401, 401, 200]


def test_admin_token_is_good_until_it_expires_and_for_its_target_only(world: World, client: Client) -> None:
    made = world.post("/github/admin-tokens", target="orgs/acme", life=-1)
    assert made["url"] == client.url
    other = connect(world, "orgs/globex")
    for token in (made["token"], other.token, "wrong"):
        assert client.call("GET", SETS, token=token).status == 401
    assert client.call("GET", SETS).status == 200


def test_calls_without_an_api_version_are_rejected(client: Client) -> None:
    answer = client.call("GET", SETS, **{"api-version": None})
    assert (answer.status, answer.error) == (400, "VssVersionNotSpecifiedException")


def test_answers_begin_with_a_byte_order_mark_and_name_an_activity(world: World, client: Client) -> None:
    answer = client.call("GET", SETS)
    assert answer.marked
    assert answer.headers["activityid"]
    with world.faults(byte_order_marks=False):
        assert not client.call("GET", SETS).marked


def test_forced_responses_reach_the_service(world: World, client: Client) -> None:
    with world.faults(github={"status": 503, "times": 1, "path": "runnerscalesets"}):
        assert [client.call("GET", SETS).status for _ in range(2)] == [503, 200]


def test_calls_are_journaled(world: World, client: Client) -> None:
    client.call("GET", GROUPS, groupName="default")
    client.create("", group=1)
    found = [call for call in world.calls(caller="client", service="scale-sets")][-2:]
    assert [(call["operation"], call["write"], call["status"]) for call in found] == [
        (f"GET /{GROUPS}", False, 200),
        (f"POST /{SETS}", True, 400),
    ]


# Groups and sets.


def test_runner_groups_are_found_by_name(world: World, client: Client) -> None:
    made = world.post("/github/runner-groups", target="orgs/acme", name="builders")
    for name, found in (("default", 1), ("builders", made["id"])):
        answer = client.call("GET", GROUPS, groupName=name)
        assert [one["id"] for one in answer.body["value"]] == [found]
        assert (answer.body["count"], answer.body["value"][0]["isDefaultGroup"]) == (1, found == 1)
    assert client.call("GET", GROUPS, groupName="none").body == {"count": 0, "value": []}


def test_scale_set_is_created_found_and_deleted(client: Client) -> None:
    name = f"set-{next(_numbers)}"
    made = client.create(name, name, "gpu")
    assert made.status == 200
    scale_set = made.body
    assert [(label["name"], label["type"]) for label in scale_set["labels"]] == [(name, "System"), ("gpu", "System")]
    assert (scale_set["runnerGroupId"], scale_set["runnerGroupName"]) == (1, "Default")
    assert scale_set["runnerSetting"] == {"disableUpdate": True}
    by_name = client.call("GET", SETS, runnerGroupId=1, name=name).body
    assert by_name == {"count": 1, "value": [scale_set]}
    path = f"{SETS}/{scale_set['id']}"
    assert client.call("GET", path).body == scale_set
    assert client.call("DELETE", path).status == 204
    for method in ("GET", "DELETE"):
        gone = client.call(method, path)
        assert (gone.status, gone.error) == (404, "RunnerScaleSetNotFoundException")
    assert client.call("GET", SETS, runnerGroupId=1, name=name).body == {"count": 0, "value": []}


def test_scale_set_without_labels_has_its_name_and_with_labels_only_those(client: Client) -> None:
    bare, labelled = (client.create(f"set-{next(_numbers)}", *labels).body for labels in ((), ("gpu",)))
    assert [label["name"] for label in bare["labels"]] == [bare["name"]]
    assert [label["name"] for label in labelled["labels"]] == ["gpu"]


def test_old_enterprise_server_drops_labels(world: World, client: Client) -> None:
    with world.faults(scale_set_labels="dropped"):
        made = client.create(f"set-{next(_numbers)}", "gpu", "large").body
    assert [label["name"] for label in made["labels"]] == [made["name"]]


def test_scale_set_name_is_unique_within_its_group(world: World, client: Client, listener: Listener) -> None:
    taken = client.create(listener.name)
    assert (taken.status, taken.error) == (400, "RunnerScaleSetExistsException")
    group = world.post("/github/runner-groups", target="orgs/acme", name=f"group-{listener.name}")["id"]
    assert client.create(listener.name, group=group).status == 200
    assert client.create(listener.name, group=9999).status == 404
    assert client.call("GET", SETS, name=listener.name).body["count"] == 2
    assert client.call("GET", SETS, name=listener.name, runnerGroupId=group).body["count"] == 1


def test_scale_set_needs_a_name_and_no_empty_label(client: Client) -> None:
    name = f"set-{next(_numbers)}"
    for answer in (client.create(""), client.create(name, name, " ")):
        assert (answer.status, answer.error) == (400, "ArgumentException")
    assert client.call("GET", SETS, name=name).body["count"] == 0


def test_patch_changes_the_name_and_never_the_labels(client: Client, listener: Listener) -> None:
    labels = [{"name": "other", "type": "System"}]
    changed = client.call("PATCH", listener.path, {"name": f"{listener.name}-new", "labels": labels})
    assert (changed.status, changed.body["name"]) == (200, f"{listener.name}-new")
    assert [label["name"] for label in changed.body["labels"]] == [listener.name]
    other = client.made(f"set-{next(_numbers)}")
    assert client.call("PATCH", listener.path, {"name": other.name}).status == 400


# Sessions.


def test_second_session_conflicts_until_the_first_is_closed(open_listener: Listener) -> None:
    conflict = open_listener.open("another")
    assert (conflict.status, conflict.error) == (409, "RunnerScaleSetSessionConflictException")
    assert "owner test" in conflict.body["message"]
    assert open_listener.close().status == 204
    assert open_listener.open("another").status == 200


def test_session_answers_queue_token_set_and_statistics(world: World, open_listener: Listener) -> None:
    session = open_listener.session
    assert session["ownerName"] == "test"
    assert session["runnerScaleSet"]["name"] == open_listener.name
    assert session["statistics"]["totalAssignedJobs"] == 0
    assert urlsplit(session["messageQueueUrl"]).query.startswith("sessionId=")
    assert session["messageQueueAccessToken"] in world.secrets()


def test_session_of_a_silent_listener_expires(world: World, open_listener: Listener) -> None:
    silent = Listener(open_listener.client, open_listener.name, open_listener.id, dict(open_listener.session))
    world.post("/scale-sets/age", name=open_listener.name, seconds=SILENCE_SECS - 5)
    assert open_listener.open().status == 409
    world.post("/scale-sets/age", name=open_listener.name, seconds=5)
    assert open_listener.open("successor").status == 200
    assert silent.poll().status == 401
    renewal = silent.renew()
    assert (renewal.status, renewal.error) == (404, "RunnerAdminException")
    assert "doesn't exist in redis" in renewal.body["message"]
    closing = silent.close()
    assert (closing.status, closing.error) == (400, "RunnerScaleSetSessionExpiredException")
    assert open_listener.poll().status == 202


def test_poll_keeps_a_session_alive(world: World, open_listener: Listener) -> None:
    for _ in range(2):
        world.post("/scale-sets/age", name=open_listener.name, seconds=SILENCE_SECS - 5)
        assert open_listener.poll().status == 202


def test_session_of_a_killed_listener_conflicts_until_its_silence_is_over(
    world: World, open_listener: Listener
) -> None:
    """The connection ends in the middle of a poll."""
    place = urlsplit(open_listener.session["messageQueueUrl"])
    head = [
        f"GET {place.path}?{place.query} HTTP/1.1",
        f"host: {place.netloc}",
        f"authorization: Bearer {open_listener.session['messageQueueAccessToken']}",
        "accept: application/json; api-version=6.0-preview",
        "x-scalesetmaxcapacity: 5",
        "user-agent: sandbox-tests",
    ]
    with socket.create_connection((str(place.hostname), int(place.port or 0))) as killed:
        killed.sendall("\r\n".join([*head, "", ""]).encode())
        world.wait_for("the poll", lambda: open_listener.state()["n_polls"] == 1)
        assert open_listener.open().status == 409
    world.wait_for("its end", lambda: open_listener.state()["n_polls"] == 0)
    assert open_listener.open().status == 409
    world.post("/scale-sets/age", name=open_listener.name, seconds=SILENCE_SECS)
    assert open_listener.open().status == 200


def test_expired_queue_token_is_renewed(world: World, open_listener: Listener) -> None:
    old = open_listener.session["messageQueueAccessToken"]
    world.post("/scale-sets/expire-queue-token", name=open_listener.name)
    assert [open_listener.poll().status, open_listener.acknowledge(1).status] == [401, 401]
    assert open_listener.acquire([1]).status == 401
    session = open_listener.session["sessionId"]
    assert open_listener.renew().status == 200
    assert open_listener.session["sessionId"] == session
    assert open_listener.session["messageQueueAccessToken"] != old
    assert open_listener.poll().status == 202


def test_evicted_session_needs_another(world: World, open_listener: Listener) -> None:
    world.post("/scale-sets/evict-session", name=open_listener.name)
    assert open_listener.poll().status == 401
    assert open_listener.renew().status == 404
    assert open_listener.open().status == 200


def test_session_may_be_opened_without_a_queue(world: World, listener: Listener) -> None:
    with world.faults(scale_set_sessions="no queue"):
        answer = listener.open()
    assert (answer.status, answer.body["messageQueueUrl"]) == (200, "")


def test_session_of_a_deleted_set_is_404(client: Client, listener: Listener) -> None:
    assert client.call("DELETE", listener.path).status == 204
    answer = listener.open()
    assert (answer.status, answer.error) == (404, "RunnerScaleSetNotFoundException")


# The queue.


def test_poll_without_a_message_ends_with_202(world: World, open_listener: Listener) -> None:
    began = time.monotonic()
    answer = open_listener.poll(capacity=7)
    assert (answer.status, answer.body) == (202, None)
    assert time.monotonic() - began >= 0.1
    assert open_listener.state()["capacity"] == 7
    capacities = [event["capacity"] for event in world.events("scale set") if event["what"] == "capacity"]
    assert capacities[-1] == 7


@pytest.mark.parametrize(
    ("capacity", "headers"), [(None, {}), (None, {"x-scalesetmaxcapacity": "many"}), (5, {"accept": "*/*"})], ids=str
)
def test_poll_needs_the_capacity_and_an_api_version(
    open_listener: Listener, capacity: int | None, headers: dict[str, str]
) -> None:
    assert open_listener.poll(capacity, **headers).status == 400


def test_message_is_delivered_again_until_it_is_acknowledged(world: World, open_listener: Listener) -> None:
    assert open_listener.poll().status == 202
    job = world.queue_job([open_listener.name])
    first, again = open_listener.poll(), open_listener.poll()
    assert first.status == 200
    assert first.body["messageType"] == "RunnerScaleSetJobMessages"
    assert again.body["messageId"] == first.body["messageId"]
    assert json.loads(again.body["body"])[0]["workflowRunId"] == job
    assert open_listener.acknowledge(first.body["messageId"]).status == 204
    assert open_listener.poll().status == 202
    # A second acknowledgement changes nothing.
    assert open_listener.acknowledge(first.body["messageId"]).status == 204


def test_last_message_id_leaves_out_what_is_not_newer(world: World, open_listener: Listener) -> None:
    open_listener.poll()
    world.queue_job([open_listener.name])
    first = open_listener.poll().body["messageId"]
    open_listener.last_message_id = first
    assert open_listener.poll().status == 202
    open_listener.last_message_id = first - 1
    assert open_listener.poll().body["messageId"] == first


def test_message_ids_go_on_in_the_next_session_and_unacknowledged_messages_come_again(
    world: World, open_listener: Listener
) -> None:
    open_listener.poll()
    world.queue_job([open_listener.name])
    first = open_listener.poll().body["messageId"]
    open_listener.close()
    assert open_listener.open().body["statistics"]["totalAssignedJobs"] == 1
    message = open_listener.take()
    assert message is not None
    assert message["messageId"] == first
    world.queue_job([open_listener.name])
    later, _ = open_listener.until("JobAssigned")
    assert later["messageId"] > first


def test_poll_answers_as_soon_as_there_is_a_message(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("long-poll")
    with World.start(folder, time_scale=0.3, message_wait=60) as world:
        world.prepare()
        listener = connect(world).made("long")
        listener.open()
        # Without a set that polls, no job is assigned.
        world.queue_job(["long"])
        began = time.monotonic()
        assert listener.poll().status == 200
        assert time.monotonic() - began < 10


def test_two_polls_at_a_time_are_recorded(world: World, open_listener: Listener) -> None:
    assert not [e for e in world.events("scale set") if e["what"] == "polled twice at a time"]
    place = urlsplit(open_listener.session["messageQueueUrl"])
    token = open_listener.session["messageQueueAccessToken"]
    head = f"GET {place.path}?{place.query} HTTP/1.1\r\nhost: {place.netloc}\r\nauthorization: Bearer {token}\r\n"
    more = "accept: application/json; api-version=6.0-preview\r\nx-scalesetmaxcapacity: 5\r\nuser-agent: sandbox-tests"
    with socket.create_connection((str(place.hostname), int(place.port or 0))) as other:
        other.sendall(f"{head}{more}\r\n\r\n".encode())
        world.wait_for("the first poll", lambda: open_listener.state()["n_polls"] == 1)
        open_listener.poll()
    [event] = [e for e in world.events("scale set") if e["what"] == "polled twice at a time"]
    assert event["scale_set"] == open_listener.name


# Runners.


def test_generatejitconfig_registers_a_runner_of_the_set(world: World, client: Client, listener: Listener) -> None:
    name = f"{listener.name}-runner"
    made = listener.generate(name, f"/_work/{name}")
    assert made.status == 200
    runner = made.body["runner"]
    assert runner == {"id": runner["id"], "name": name, "runnerScaleSetId": listener.id}
    files = json.loads(base64.b64decode(made.body["encodedJITConfig"]))
    assert set(files) == {".runner", ".credentials", ".credentials_rsaparams"}
    settings = json.loads(base64.b64decode(files[".runner"]).decode("utf-8-sig"))
    assert (settings["agentId"], settings["workFolder"]) == (runner["id"], f"/_work/{name}")
    assert made.body["encodedJITConfig"] in world.secrets()
    taken = listener.generate(name)
    assert (taken.status, taken.error) == (409, "TaskAgentExistsException")
    assert listener.generate("n" * 65).status == 400
    assert client.call("GET", f"{AGENTS}/{runner['id']}").body == runner
    assert client.call("GET", AGENTS, agentName=name).body == {"count": 1, "value": [runner]}
    assert client.call("GET", AGENTS, agentName="none").body == {"count": 0, "value": []}


def test_runners_of_a_set_have_no_labels_in_the_rest_list(world: World, listener: Listener) -> None:
    """https://github.com/actions/actions-runner-controller/issues/4425"""
    number = listener.runner(f"{listener.name}-runner")
    _, found = world.github_call("GET", f"/orgs/acme/actions/runners/{number}")
    assert (found["labels"], found["status"], found["ephemeral"]) == ([], "online", True)


def test_runner_of_no_set_is_an_agent_without_a_set(world: World, client: Client) -> None:
    made = world.post("/github/runners", target="orgs/acme", name="of-no-set", labels=["x"])
    assert client.call("GET", AGENTS, agentName="of-no-set").body["value"] == [made]


def test_agent_is_deleted_unless_it_runs_a_job(world: World, client: Client, open_listener: Listener) -> None:
    idle, busy = (f"{open_listener.name}-{what}" for what in ("idle", "busy"))
    number, other = open_listener.runner(idle), open_listener.runner(busy)
    job = world.queue_job([open_listener.name], seconds=60, runner=busy)
    open_listener.until("JobStarted", job)
    refused = client.call("DELETE", f"{AGENTS}/{other}")
    assert (refused.status, refused.error) == (400, "JobStillRunningException")
    assert client.call("DELETE", f"{AGENTS}/{number}").status == 204
    for method in ("GET", "DELETE"):
        gone = client.call(method, f"{AGENTS}/{number}")
        assert (gone.status, gone.error) == (404, "TaskAgentNotFoundException")


def test_deleting_a_set_deletes_its_runners(world: World, client: Client, listener: Listener) -> None:
    number = listener.runner(f"{listener.name}-runner")
    assert client.call("DELETE", listener.path).status == 204
    assert client.call("GET", f"{AGENTS}/{number}").status == 404
    assert number not in [runner["id"] for runner in world.runners()]


def test_unknown_paths_and_tenants_are_404(client: Client) -> None:
    assert client.call("GET", "_apis/runtime/unknown").status == 404
    other = client.url.rstrip("/")[:-4] + "0000/"
    assert send("GET", f"{other}{SETS}", client.token).status == 404
