"""Systems Manager has the parameters that MiniStack's own lacks."""

from __future__ import annotations

from sandbox.ecs_pool import refused
from sandbox.world import ACCESS_TOKEN, TOKEN_PARAMETER, World


def test_a_secret_is_read_by_its_reference_path(world: World) -> None:
    world.client("secretsmanager").create_secret(Name="sandbox/token", SecretString="from-the-secret")
    path = "/aws/reference/secretsmanager/sandbox/token"
    ssm = world.client("ssm")
    assert ssm.get_parameter(Name=path, WithDecryption=True)["Parameter"]["Value"] == "from-the-secret"
    with refused("ValidationException", "WithDecryption"):
        ssm.get_parameter(Name=path)
    with refused("ParameterNotFound"):
        ssm.get_parameter(Name=path + "-x", WithDecryption=True)


def test_the_ecs_machine_image_is_published(world: World) -> None:
    name = "/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id"
    assert world.client("ssm").get_parameter(Name=name)["Parameter"]["Value"].startswith("ami-")


def test_a_token_is_a_secure_string(world: World) -> None:
    ssm = world.client("ssm")
    assert ssm.get_parameter(Name=TOKEN_PARAMETER)["Parameter"]["Value"] != ACCESS_TOKEN
    assert ssm.get_parameter(Name=TOKEN_PARAMETER, WithDecryption=True)["Parameter"]["Value"] == ACCESS_TOKEN
    assert ACCESS_TOKEN in world.secrets()
