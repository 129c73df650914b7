"""Systems Manager has the parameters that MiniStack's own lacks."""

from __future__ import annotations

from sandbox.ecs_pool import client_error
from sandbox.world import ACCESS_TOKEN, TOKEN_PARAMETER, World


def test_get_parameter_reads_a_secret_by_reference_path(world: World) -> None:
    world.client("secretsmanager").create_secret(Name="sandbox/token", SecretString="from-the-secret")
    path = "/aws/reference/secretsmanager/sandbox/token"
    ssm = world.client("ssm")
    assert ssm.get_parameter(Name=path, WithDecryption=True)["Parameter"]["Value"] == "from-the-secret"
    with client_error("ValidationException", "WithDecryption"):
        ssm.get_parameter(Name=path)
    with client_error("ParameterNotFound"):
        ssm.get_parameter(Name=path + "-x", WithDecryption=True)


def test_ecs_optimized_ami_parameter_exists(world: World) -> None:
    name = "/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id"
    assert world.client("ssm").get_parameter(Name=name)["Parameter"]["Value"].startswith("ami-")


def test_access_token_parameter_is_a_secure_string(world: World) -> None:
    ssm = world.client("ssm")
    assert ssm.get_parameter(Name=TOKEN_PARAMETER)["Parameter"]["Value"] != ACCESS_TOKEN
    assert ssm.get_parameter(Name=TOKEN_PARAMETER, WithDecryption=True)["Parameter"]["Value"] == ACCESS_TOKEN
    assert ACCESS_TOKEN in world.secrets()
