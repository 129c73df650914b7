"""Runners do what the image does: register, take jobs, end, and lose what they are doing when they are stopped."""

from __future__ import annotations

from sandbox.ecs_pool import ROLE, EcsPool
from sandbox.world import World


def test_job_runs_on_a_runner_with_its_labels(world: World, pool: EcsPool) -> None:
    pool.make_capacity().make_service(1)
    name = pool.wait_online(1)[0]["name"]
    waiting = world.queue_job(["no-such-label"])
    job = world.queue_job([pool.label, "self-hosted"], seconds=0.5)
    world.wait_for("the runner busy", lambda: pool.online()[0]["busy"])
    world.wait_for("success", lambda: world.job(job)["state"] == "succeeded")
    assert world.job(job)["runner"] == name
    assert world.job(waiting)["state"] == "queued"


def test_deleted_runner_exits_and_the_service_starts_another(world: World, pool: EcsPool) -> None:
    pool.make_capacity().make_service(1)
    runner = pool.wait_online(1)[0]
    task = pool.tasks()[0]
    world.github_call("DELETE", f"/orgs/acme/actions/runners/{runner['id']}")
    world.wait_for("its end", lambda: pool.tasks("STOPPED"))
    ended = pool.tasks("STOPPED")[0]
    assert ended["taskArn"] == task["taskArn"]
    assert (ended["stopCode"], ended["containers"][0]["exitCode"]) == ("EssentialContainerExited", 0)
    world.wait_for("another", lambda: [r["id"] for r in pool.online()] not in ([], [runner["id"]]))


def test_ephemeral_runner_exits_after_its_job(world: World, pool: EcsPool) -> None:
    pool.make_capacity().make_service(1, pool.define(EPHEMERAL="1"))
    first = pool.wait_online(1)[0]
    job = world.queue_job([pool.label], seconds=0.3)
    world.wait_for("success", lambda: world.job(job)["state"] == "succeeded")
    world.wait_for("another", lambda: [r["id"] for r in pool.online()] not in ([], [first["id"]]))
    assert first["id"] not in [r["id"] for r in world.runners()]


def test_runner_of_a_terminated_instance_stays_registered(world: World, pool: EcsPool) -> None:
    pool.make_capacity().make_service(1)
    runner = pool.wait_online(1)[0]
    job = pool.busy_job(runner["name"])
    pool.auto_scaling.delete_auto_scaling_group(AutoScalingGroupName=pool.name, ForceDelete=True)
    world.wait_for("the loss", lambda: world.job(job)["state"] == "lost")
    status, _ = world.github_call("DELETE", f"/orgs/acme/actions/runners/{runner['id']}")
    assert status == 422
    path = f"/orgs/acme/actions/runners/{runner['id']}"
    world.wait_for("offline", lambda: world.github_call("GET", path)[1]["status"] == "offline")
    world.wait_for("the end of its lease", lambda: world.github_call("DELETE", path)[0] == 204)


def test_busy_lag_lets_github_delete_a_working_runner(world: World, pool: EcsPool) -> None:
    pool.make_capacity().make_service(1)
    runner = pool.wait_online(1)[0]
    with world.faults(busy_lag=30):
        job = pool.busy_job(runner["name"])
        assert not pool.online()[0]["busy"]
        assert world.github_call("DELETE", f"/orgs/acme/actions/runners/{runner['id']}")[0] == 204
        world.wait_for("the loss", lambda: world.job(job)["state"] == "lost")


def test_unknown_runner_group_ends_the_container(world: World, pool: EcsPool) -> None:
    pool.make_capacity().make_service(1, pool.define(RUNNER_GROUP="nobody"))
    world.wait_for("its end", lambda: pool.tasks("STOPPED"))
    assert pool.tasks("STOPPED")[0]["containers"][0]["exitCode"] == 1
    assert "nobody" in str(world.events("runner"))


def test_runner_group_is_joined_by_name(world: World, pool: EcsPool) -> None:
    group = world.post("/github/runner-groups", target="orgs/acme", name=f"group-{pool.name}")
    pool.make_capacity().make_service(1, pool.define(RUNNER_GROUP=group["name"]))
    runner = pool.wait_online(1)[0]
    assert runner["runner_group_id"] == group["id"]


def test_runner_group_of_the_enterprise_is_not_joined(world: World, pool: EcsPool) -> None:
    group = world.post("/github/runner-groups", target="orgs/acme", name=f"group-{pool.name}", inherited=True)
    pool.make_capacity().make_service(1, pool.define(RUNNER_GROUP=group["name"]))

    def configuration_failed() -> bool:
        reasons = [event["reason"] for event in world.events("runner") if event["what"] == "cannot configure"]
        return any(f"named '{group['name']}'" in reason for reason in reasons)

    world.wait_for("the failed configuration", configuration_failed)
    assert pool.online() == []


def test_runner_name_and_labels_follow_the_image(world: World, pool: EcsPool) -> None:
    definition = pool.define(RANDOM_RUNNER_SUFFIX="true", NO_DEFAULT_LABELS="1", LABELS=f"{pool.label}, gpu")
    pool.make_capacity().make_service(1, definition)
    runner = pool.wait_online(1)[0]
    prefix, suffix = runner["name"].rsplit("-", 1)
    assert (prefix, len(suffix)) == (pool.name, 13)
    assert runner["labels"] == [pool.label, "gpu"]
    assert world.events("runner")


def test_github_app_registers_runners(world: World, pool: EcsPool) -> None:
    world.put_parameter(f"/{pool.name}/key", world.put_app("77", {42: "orgs/acme"}))
    definition = pool.ecs.describe_task_definition(taskDefinition=pool.define(APP_ID="77", APP_LOGIN="acme"))
    container = definition["taskDefinition"]["containerDefinitions"][0]
    container["secrets"] = [{"name": "APP_PRIVATE_KEY", "valueFrom": f"/{pool.name}/key"}]
    made = pool.ecs.register_task_definition(
        family=pool.name,
        executionRoleArn=ROLE,
        containerDefinitions=[container],
    )
    pool.make_capacity().make_service(1, made["taskDefinition"]["taskDefinitionArn"])
    pool.wait_online(1)


def test_app_login_must_match_the_accounts_spelling(world: World, pool: EcsPool) -> None:
    world.put_parameter(f"/{pool.name}/key", world.put_app("78", {43: "orgs/Acme"}))
    definition = pool.ecs.describe_task_definition(taskDefinition=pool.define(APP_ID="78", APP_LOGIN="acme"))
    container = definition["taskDefinition"]["containerDefinitions"][0]
    container["secrets"] = [{"name": "APP_PRIVATE_KEY", "valueFrom": f"/{pool.name}/key"}]
    made = pool.ecs.register_task_definition(family=pool.name, executionRoleArn=ROLE, containerDefinitions=[container])
    pool.make_capacity().make_service(1, made["taskDefinition"]["taskDefinitionArn"])

    def configuration_failed() -> bool:
        return any(event.get("reason") == "No installation of the App for acme" for event in world.events("runner"))

    world.wait_for("the failed configuration", configuration_failed)
    assert pool.online() == []


def test_revoked_token_leaves_an_offline_registration(world: World, pool: EcsPool) -> None:
    world.put_token("ghp_short_lived", {"orgs/acme": "write"})
    world.put_parameter(f"/{pool.name}/token", "ghp_short_lived")
    definition = pool.ecs.describe_task_definition(taskDefinition=pool.define())
    container = definition["taskDefinition"]["containerDefinitions"][0]
    container["secrets"] = [{"name": "ACCESS_TOKEN", "valueFrom": f"/{pool.name}/token"}]
    made = pool.ecs.register_task_definition(
        family=pool.name,
        executionRoleArn=ROLE,
        containerDefinitions=[container],
    )
    pool.make_capacity().make_service(1, made["taskDefinition"]["taskDefinitionArn"])
    runner = pool.wait_online(1)[0]
    world.revoke_token("ghp_short_lived")
    pool.update(desiredCount=0)
    world.wait_for("no task", lambda: not pool.tasks())
    world.wait_for(
        "an offline registration",
        lambda: [r for r in world.runners() if r["id"] == runner["id"] and r["status"] == "offline"],
    )
