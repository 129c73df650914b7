"""The start script of a task, under the real bash, dumb-init and AWS CLI, with DynamoDB, STS and IAM of MiniStack.

Stand-ins are the function, and of the image the entry point, config.sh and the listener.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from sandbox.start_script.account import JIT_FILES, TABLE, TOKEN, WORK_ROOT, Account, jit, token
from sandbox.start_script.container import COMMAND, SCRIPT, TOOLS, Container
from sandbox.start_script.function import ALREADY_REGISTERED, ANOTHERS_TASK, Answer, refused
from sandbox.start_script.network import Fault
from sandbox.world import World

# A task definition holds 64 KiB in all, the environment and everything else included.
SCRIPT_BYTES_MAX = 12 * 1024
JOB_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "AKIAOFTHEJOBS",
    "AWS_SECRET_ACCESS_KEY": "secret-of-the-jobs",
    "AWS_PROFILE": "jobs",
}
UNPRIVILEGED_USER = 65534


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with World.start(tmp_path_factory.mktemp("account"), authorize="true") as world:
        made = Account.make(world)
        yield made
        made.close()


@pytest.fixture
def account(shared: Account) -> Iterator[Account]:
    shared.network.faults.clear()
    shared.network.gates.clear()
    shared.network.calls.clear()
    yield shared
    for gate in shared.network.gates:
        gate.open()
    for container in shared.containers:
        container.remove()
        shutil.rmtree(container.folder)
    shared.containers.clear()


@pytest.fixture(scope="module", autouse=True)
def work_root() -> Iterator[None]:
    yield
    shutil.rmtree(WORK_ROOT, ignore_errors=True)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


# Registration.


@pytest.fixture(scope="module")
def jit_container(shared: Account) -> Iterator[Container]:
    """One whose listener runs with a just-in-time configuration. Tests only look at it."""
    container = shared.task(jit(), **JOB_CREDENTIALS, AWS_DEFAULT_REGION="eu-west-3", AWS_DEFAULT_OUTPUT="json")
    yield from started(shared, container)


@pytest.fixture(scope="module")
def token_container(shared: Account) -> Iterator[Container]:
    """One whose listener runs after config.sh. Tests only look at it."""
    yield from started(shared, shared.task(token(), START_DOCKER_SERVICE="true"))


def started(shared: Account, container: Container) -> Iterator[Container]:
    shared.containers.remove(container)
    container.start().wait_for_file("listener.started")
    yield container
    container.remove()
    shutil.rmtree(container.folder)


def test_jit_files_are_stored_for_the_listener(shared: Account, jit_container: Container) -> None:
    for name, text in JIT_FILES.items():
        assert (jit_container.home / name).read_text() == text
        assert (jit_container.home / name).stat().st_mode & 0o777 == 0o600
    assert Path(jit()["workdir"]).is_dir()
    assert lines(jit_container.seen / "listener.arguments")[-4:] == COMMAND
    assert lines(jit_container.seen / "entrypoint.names") == [jit()["name"], jit()["workdir"]]
    assert jit_container.lines == [
        f"start-runner: Registered as {jit()['name']}.",
        "The runner has already been configured",
        "Listening for Jobs",
    ]
    assert shared.function.item(shared.key(jit_container)) is None


def test_request_has_what_the_function_checks(shared: Account, jit_container: Container) -> None:
    [request] = shared.requests(jit_container)
    task = shared.key(jit_container).rpartition(":")[2]
    ttl = int(request["ttl"]["N"])
    assert 3000 < ttl - time.time() <= 3600
    assert request == {
        "key": {"S": shared.key(jit_container)},
        "format": {"N": "1"},
        "task": {"S": f"arn:aws:ecs:{shared.world.region}:{shared.world.account}:task/main/{task}"},
        "attempt": {"N": "1"},
        "architecture": {"S": os.uname().machine},
        "ttl": {"N": str(ttl)},
    }


def test_jit_configuration_is_in_no_environment_and_no_memory(jit_container: Container) -> None:
    secret = JIT_FILES[".credentials_rsaparams"]
    for text in (secret, base64.b64encode(secret.encode()).decode()):
        assert jit_container.memory_with(text) == []
        assert text not in jit_container.log
        assert [path.name for path in jit_container.seen.iterdir() if text in path.read_text()] == []
    assert len(jit_container.memory_with(JOB_CREDENTIALS["AWS_SECRET_ACCESS_KEY"])) >= 3


def test_job_environment_has_the_image_variables_only(jit_container: Container) -> None:
    pairs = [line.partition("=") for line in lines(jit_container.seen / "listener.environment")]
    environment = {name: value for name, _, value in pairs}
    given = jit_container.environment | {"PATH": environment["PATH"]}
    assert {name: environment[name] for name in given} == given
    assert environment.keys() - given.keys() - {"PWD", "OLDPWD", "SHLVL", "_"} == {
        *("RUNNER_NAME", "RUNNER_WORKDIR", "RUNNER_ALLOW_RUNASROOT"),
        *("CONFIGURED_ACTIONS_RUNNER_FILES_DIR", "DISABLE_AUTOMATIC_DEREGISTRATION"),
    }


def test_registration_token_is_used_up_by_config_sh(token_container: Container) -> None:
    assert (token_container.home / ".runner").exists()
    assert lines(token_container.seen / "config.arguments")[2:] == [
        *("--unattended", "--replace", "--url", "https://github.com/acme", "--name", token()["name"]),
        *("--work", token()["workdir"], "--labels", "a,b,ghr-pool", "--disableupdate"),
    ]
    assert f"ACTIONS_RUNNER_INPUT_TOKEN={TOKEN}" in lines(token_container.seen / "config.environment")
    assert token_container.memory_with(TOKEN) == []
    assert token_container.files_with(TOKEN) == []
    assert TOKEN not in token_container.log
    records = [path.name for path in token_container.seen.iterdir() if TOKEN in path.read_text()]
    assert records == ["config.environment"]


def test_ephemeral_group_and_labels_reach_config_sh(account: Account) -> None:
    group = "Bauten für alle"
    # The AWS CLI writes in the encoding of the locale.
    answer = token(ephemeral=True, disable_update=False, no_default_labels=True, group=group)
    container = account.task(answer, LC_ALL="C").start()
    container.wait_for_file("listener.started")
    arguments = lines(container.seen / "config.arguments")
    assert arguments[arguments.index("--runnergroup") + 1] == group
    assert arguments[-2:] == ["--ephemeral", "--no-default-labels"]


def test_xtrace_of_the_environment_prints_no_token(account: Account) -> None:
    container = account.task(token(), SHELLOPTS="xtrace").start()
    container.wait_for_file("listener.started")
    assert "+ trap" in container.log
    assert TOKEN not in container.log


# The image's entry point.


def test_entry_point_has_the_shell_of_the_image(jit_container: Container) -> None:
    options, inherit_errexit, pipefail, *command = lines(jit_container.seen / "entrypoint.shell")
    assert set(options) & set("eux") == set()
    assert inherit_errexit == "shopt -u inherit_errexit"
    assert pipefail.split() == ["pipefail", "off"]
    assert command == COMMAND


def test_run_as_root_false_hands_the_files_to_the_runner(account: Account) -> None:
    container = account.task(jit(), RUN_AS_ROOT="false", START_DOCKER_SERVICE="true").start()
    container.wait_for_file("listener.started")
    calls = lines(container.seen / "calls")
    assert calls[:2] == ["sudo service docker start", "service docker start"]
    assert f"chown runner {container.home} {jit()['workdir']}" in calls
    files = next(call for call in calls if call.startswith(f"chown -R runner {container.home}"))
    assert all(f"{container.home}/{name}" in files for name in JIT_FILES)
    assert calls[-1] == f"gosu runner {' '.join(COMMAND)}"
    assert "cannot" not in container.log


def test_start_docker_service_passes_through(token_container: Container) -> None:
    assert lines(token_container.seen / "calls") == ["service docker start"]
    assert "cannot" not in token_container.log


def test_exit_code_is_the_listeners(account: Account) -> None:
    container = account.task(jit(), LISTENER_EXIT_CODE="7").start()
    container.wait_for_file("listener.started")
    assert container.end_listener() == 7


# Refusals.


def test_refusal_with_retry_is_asked_again(account: Account) -> None:
    message = "AccessTokenParameter: GitHub answers 401. Renew the token."
    answer = refused(message, retry=True)
    container = account.task(answer, answer, jit(), REGISTRATION_RETRY_SECS="1").start()
    container.wait_for_file("listener.started")
    assert [request["attempt"]["N"] for request in account.requests(container)] == ["1", "2", "3"]
    assert container.lines.count(f"start-runner: {message}") == 1


def test_refusal_without_retry_ends_the_task(account: Account) -> None:
    message = "RunnerGroup: GitHub has no group 'builds'. Create it, or name another."
    container = account.task(refused(message, retry=False)).start()
    assert container.wait() == 1
    assert container.lines == [f"start-runner: {message}"]
    assert account.function.item(account.key(container)) is None


def test_second_request_of_a_task_is_refused(account: Account) -> None:
    first = account.task(jit()).start()
    first.wait_for_file("listener.started")
    task = account.key(first).rpartition(":")[2]
    second = account.container(task, "runner", task, {}).start()
    assert second.wait() == 1
    assert second.lines == [f"start-runner: {ALREADY_REGISTERED}"]
    assert not (second.home / ".runner").exists()


def test_request_for_another_task_is_refused(account: Account) -> None:
    container = account.task(jit(), session="another").start()
    assert container.wait() == 1
    assert container.lines == [f"start-runner: {ANOTHERS_TASK}"]


@pytest.mark.parametrize("answer", [{"kind": "ticket", "name": "x"}, {"name": "x"}], ids=["unknown", "absent"])
def test_answer_of_an_unknown_kind_ends_the_task(account: Account, answer: Answer) -> None:
    container = account.task(answer).start()
    assert container.wait() == 1
    kind = answer.get("kind", "")
    assert f"RegisterBy: the function's answer is of the kind '{kind}', which this task does not know." in container.log


def test_answer_without_a_file_ends_the_task(account: Account) -> None:
    answer = jit()
    del answer["files"][".credentials"]
    container = account.task(answer).start()
    assert container.wait() == 1
    assert "RegisterBy: .credentials of the function's answer cannot be stored" in container.log
    assert not (container.home / ".runner").exists()


def test_config_sh_failure_ends_the_task(account: Account) -> None:
    container = account.task(token(), CONFIG_EXIT_CODE="3").start()
    assert container.wait() == 1
    assert container.lines[-1].startswith("start-runner: config.sh: it failed with exit code 3, so the runner is not")
    assert "Could not find any self-hosted runner group" in container.lines[0]
    assert not (container.seen / "entrypoint.environment").exists()


def test_work_folder_that_cannot_be_created_ends_the_task(account: Account) -> None:
    container = account.task(jit(workdir="/proc/work")).start()
    assert container.wait() == 1
    assert "RunnerWorkdir: the task cannot create /proc/work. Name a folder" in container.log
    assert not (container.home / ".runner").exists()


# AWS.


def test_throttling_and_lost_connections_are_retried(account: Account) -> None:
    # The AWS CLI repeats a call twice by itself.
    account.network.fail(*[Fault("PutItem", "ThrottlingException")] * 3, *[Fault("DeleteItem")] * 3)
    container = account.task(jit()).start()
    container.wait_for_file("listener.started")
    reasons = [line.partition(": ")[2].partition(":")[0] for line in container.lines[:3]]
    assert reasons == ["AWS", "Subnets", "Registered as " + jit()["name"] + "."]
    assert "ThrottlingException" in container.lines[0]


def test_no_network_ends_the_task_in_the_end(account: Account) -> None:
    container = account.task(jit(), AWS_ENDPOINT_URL="http://127.0.0.1:9", REGISTRATION_TIMEOUT_SECS="3").start()
    assert container.wait() == 1
    first, last = container.lines
    problem = "Subnets: the task cannot reach AWS. Give it a route to STS and DynamoDB"
    assert first.startswith(f"start-runner: {problem}")
    assert last.startswith("start-runner: RegisterBy: no registration in 3 s, so the task ends.")
    assert problem in last


def test_role_without_permission_is_named(account: Account) -> None:
    container = account.task(jit(), role="without-permissions", REGISTRATION_IAM_SECS="0").start()
    assert container.wait() == 1
    [line] = container.lines
    assert f"TaskRoleArn: the role may not write to the table {TABLE}. Attach the policy" in line
    assert "AccessDeniedException" in line


def test_permission_that_arrives_late_is_waited_for(account: Account) -> None:
    account.network.fail(Fault("PutItem", "AccessDeniedException"))
    container = account.task(jit()).start()
    container.wait_for_file("listener.started")
    assert "TaskRoleArn: the role may not write to the table" in container.lines[0]


def test_missing_table_is_named(account: Account) -> None:
    container = account.task(jit(), REGISTRATIONS_TABLE="missing", REGISTRATION_IAM_SECS="0").start()
    assert container.wait() == 1
    [line] = container.lines
    assert f"RegisterBy: there is no table missing in {account.world.region}." in line


def test_agent_without_credentials_is_named(account: Account) -> None:
    container = account.task(jit(), REGISTRATION_TIMEOUT_SECS="1")
    container.environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] += "/none"
    assert container.start().wait() == 1
    assert "TaskRoleArn: the ECS agent gives the task no valid credentials." in container.lines[0]


def test_function_without_an_answer_is_named(account: Account) -> None:
    container = account.task(None, REGISTRATION_TIMEOUT_SECS="5", REGISTRATION_ANSWER_SECS="1").start()
    assert container.wait() == 1
    assert "RegisterBy: the function has not answered. Search its log" in container.lines[0]
    assert container.lines[-1].startswith("start-runner: RegisterBy: no registration in 5 s, so the task ends.")
    assert account.function.item(account.key(container)) is None


def test_request_without_an_answer_is_put_again(account: Account) -> None:
    container = account.task(None, jit(), REGISTRATION_ANSWER_SECS="1").start()
    container.wait_for_file("listener.started")
    assert [request["attempt"]["N"] for request in account.requests(container)] == ["1", "2"]


def test_answer_to_an_earlier_attempt_is_taken(account: Account) -> None:
    container = account.task(None, REGISTRATION_ANSWER_SECS="1").start()
    container.wait_for("the request", lambda: len(account.requests(container)) == 1)
    gate = account.network.gate("PutItem", "before")
    gate.wait()
    account.function.answer(account.requests(container)[0], jit())
    gate.open()
    container.wait_for_file("listener.started")
    assert len(account.requests(container)) == 1


# What the container lacks.


@pytest.mark.parametrize("missing", ["aws", "jq", "curl"])
def test_image_without_a_tool_is_named(account: Account, missing: str) -> None:
    container = account.task()
    tools = container.folder / "tools"
    tools.mkdir()
    for tool in {"aws", "jq", "curl", "sleep", "mktemp"} - {missing}:
        (tools / tool).symlink_to(shutil.which(tool, path=f"{TOOLS}:/usr/bin:/bin") or "")
    container.environment["PATH"] = str(tools)
    assert container.start().wait() == 1
    [line] = container.lines
    assert line == f"start-runner: Image: it lacks {missing}. Add what is missing, or set RegisterBy: Container."


def test_readonly_root_filesystem_is_named(account: Account) -> None:
    container = account.task()
    container.home.chmod(0o555)
    container.folder.chmod(0o755)
    # Root may write anywhere that is not mounted for reading only.
    assert container.start(user=UNPRIVILEGED_USER if os.geteuid() == 0 else None).wait() == 1
    [line] = container.lines
    assert line.startswith(f"start-runner: ReadonlyRootFilesystem: the task cannot write to {container.home}, where")


def test_task_without_a_role_is_named(account: Account) -> None:
    container = account.task()
    del container.environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
    assert container.start().wait() == 1
    assert container.lines[0].startswith("start-runner: TaskRoleArn: the task has no role. Name one")


@pytest.mark.parametrize("place", ["", "http://127.0.0.1:9"], ids=["unset", "unreachable"])
def test_missing_metadata_endpoint_is_named(account: Account, place: str) -> None:
    container = account.task(ECS_CONTAINER_METADATA_URI_V4=place, REGISTRATION_TIMEOUT_SECS="1").start()
    assert container.wait() == 1
    problem = "ECS_CONTAINER_METADATA_URI_V4: the ECS agent does not say which task this is."
    assert container.lines[0].startswith(f"start-runner: {problem}")


# Signals.


def test_sigterm_while_waiting_withdraws_the_request(account: Account) -> None:
    gate = account.network.gate("DeleteItem", "before")
    container = account.task(None).start()
    gate.wait()
    assert account.function.item(account.key(container)) is not None
    container.stop()
    assert container.wait() == 143
    assert account.function.item(account.key(container)) is None
    assert not (container.seen / "entrypoint.environment").exists()


def test_sigterm_after_a_refusal_ends_the_task(account: Account) -> None:
    container = account.task(refused("Later.", retry=True)).start()
    container.wait_for_line("Later.")
    container.stop()
    assert container.wait() == 143


def test_sigterm_lets_the_listener_finish(account: Account) -> None:
    container = account.task(jit()).start()
    container.wait_for_file("listener.started")
    container.stop()
    container.wait_for_file("listener.stopping")
    assert container.process.poll() is None
    assert container.end_listener() == 0
    assert container.lines[-1] == "Exiting"


def test_sigterm_in_the_entry_point_starts_no_listener(account: Account) -> None:
    container = account.task(jit(), PAUSE_ENTRYPOINT="true").start()
    container.wait_for_file("entrypoint.paused")
    container.stop()
    assert container.wait() == 143
    assert not (container.seen / "listener.started").exists()


def test_sigterm_in_config_sh_ends_the_task(account: Account) -> None:
    container = account.task(token(), PAUSE_CONFIG="true").start()
    container.wait_for_file("config.paused")
    container.stop()
    assert container.wait() == 143
    assert not (container.seen / "entrypoint.environment").exists()


# Kills: what is left is a request, an answer in the table that only this task could take, or a whole registration.


@pytest.mark.parametrize(
    ("operation", "when"),
    [
        ("GetCallerIdentity", "before"),
        ("PutItem", "before"),
        ("PutItem", "after"),
        ("DeleteItem", "before"),
        ("DeleteItem", "after"),
    ],
)
def test_kill_leaves_no_registration_in_the_container(
    account: Account, operation: str, when: Literal["before", "after"]
) -> None:
    gate = account.network.gate(operation, when)
    container = account.task(token()).start()
    gate.wait()
    container.kill()
    gate.open()
    assert container.log == ""
    assert container.files_with(TOKEN) == []
    assert not (container.home / ".runner").exists()
    assert list(container.seen.iterdir()) == []


def test_kill_in_config_sh_leaves_no_token(account: Account) -> None:
    container = account.task(token(), PAUSE_CONFIG="true").start()
    container.wait_for_file("config.paused")
    container.kill()
    assert container.files_with(TOKEN) == []
    assert not (container.home / ".runner").exists()


def test_kill_between_two_files_leaves_no_configured_runner(account: Account) -> None:
    container = account.task(jit())
    pause = container.home / "shims/base64"
    pause.write_text('echo >>"$SEEN/files"; [[ $(wc -l <"$SEEN/files") != 3 ]] || sleep 20; /usr/bin/base64 "$@"')
    pause.chmod(0o755)
    container.start()
    container.wait_for("the third file", lambda: (container.home / ".runner").exists())
    container.kill()
    assert (container.home / ".runner").read_text() == ""
    assert not (container.seen / "entrypoint.environment").exists()


# The text.


def test_script_fits_into_a_task_definition() -> None:
    assert len(SCRIPT.read_bytes()) < SCRIPT_BYTES_MAX


def test_script_passes_no_secret_as_an_argument() -> None:
    text = SCRIPT.read_text()
    assert re.findall(r"--token|<<<\"\$answer\"|set -x", text) == []
