"""Which instances a plan names: their type, how many runners fit one, and how many there would be."""

from __future__ import annotations

from typing import Any

import pytest

from cfn.deploy.instances import instance_lines, runners_per_instance
from cfn.deploy.intrinsics import Resolver, Unknown
from deploy.fake_account import FakeAccount

M7I_LARGE = {"MemoryInfo": {"SizeInMiB": 8192}, "VCpuInfo": {"DefaultVCpus": 2}}
NEEDS = {"MemoryReservation": 3500, "Cpu": 0, "Gpus": 0}
ANOTHER = {"LaunchTemplateId": "lt-0a1b2c3d", "Version": "3"}


def resolver(**resources: Any) -> Resolver:
    return Resolver(
        {"Resources": resources},
        {},
        {},
        lambda name: Unknown("Ref", name),
        lambda name, of: Unknown("Fn::GetAtt", f"{name}.{of}"),
        lambda name: Unknown("Fn::ImportValue", name),
    )


def account_with_m7i_large() -> FakeAccount:
    return has_m7i_large(FakeAccount())


def has_m7i_large(account: FakeAccount) -> FakeAccount:
    account.returns("ec2", "describe_instance_types", {"InstanceTypes": [M7I_LARGE]}, InstanceTypes=["m7i.large"])
    return account


def test_launch_template_of_the_same_template_names_the_type_before_it_exists() -> None:
    data = {"LaunchTemplateData": {"InstanceType": "m7i.large"}}
    after = resolver(Template={"Type": "AWS::EC2::LaunchTemplate", "Properties": data})
    properties = {
        "LaunchTemplate": {"LaunchTemplateId": Unknown("Ref", "Template")},
        "MemoryReservation": "3500",
        "DesiredCount": "5",
    }
    assert instance_lines(account_with_m7i_large(), after, properties) == [
        "m7i.large: room for about 2 runners each, so 3 instances for DesiredCount 5",
        "at least 0 (MinInstances), at most 4 (MaxInstances)",
    ]


def test_launch_template_of_another_stack_is_read() -> None:
    account = FakeAccount()
    found = {"LaunchTemplateVersions": [{"LaunchTemplateData": {"InstanceType": "m7i.large"}}]}
    asked = {"LaunchTemplateId": "lt-0a1b2c3d", "Versions": ["3"]}
    account.returns("ec2", "describe_launch_template_versions", found, **asked)
    properties = {"LaunchTemplate": ANOTHER, "DistinctInstances": "true"}
    [first, _] = instance_lines(has_m7i_large(account), resolver(), properties)
    assert first == "m7i.large: room for about 1 runner each, so 1 instance for DesiredCount 1"


def test_type_that_cannot_be_read_is_named_alone() -> None:
    account = FakeAccount()
    account.fails("ec2", "describe_instance_types", "UnauthorizedOperation")
    properties = {"LaunchTemplate": ANOTHER, "InstanceTypes": ["m7i.large"]}
    assert instance_lines(account, resolver(), properties)[0] == "m7i.large"


def test_launch_template_that_cannot_be_read_and_an_existing_capacity_provider_have_no_lines() -> None:
    account = FakeAccount()
    account.fails("ec2", "describe_launch_template_versions", "UnauthorizedOperation")
    assert instance_lines(account, resolver(), {"LaunchTemplate": ANOTHER}) == []
    assert instance_lines(account, resolver(), {"CapacityProvider": "shared"}) == []


@pytest.mark.parametrize(
    ("more", "expected"),
    [({}, 2), ({"Cpu": 2048}, 1), ({"Gpus": 1}, 0), ({"MemoryReservation": 8000}, 0)],
)
def test_memory_cpu_and_gpus_limit_the_runners_of_an_instance(more: dict[str, int], expected: int) -> None:
    assert runners_per_instance(M7I_LARGE, {**NEEDS, **more}) == expected
