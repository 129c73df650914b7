"""Pools that stand on more than the usual: keys of one's own, and a launch template that asks much of its user."""

from __future__ import annotations

import json

from sandbox.scenario import FOREIGN_ROLE, OTHER_IMAGE, OWN_KEY, ROLE_PATH, Stage
from sandbox.world import ACCESS_TOKEN

AMI_BY_PARAMETER = "resolve:ssm:/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id"


def instance_profile(stage: Stage, name: str) -> str:
    """The ARN of a profile with a role that may be given to instances."""
    iam = stage.world.client("iam")
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    iam.create_role(RoleName=name, Path=ROLE_PATH, AssumeRolePolicyDocument=trust)
    iam.add_role_to_instance_profile(
        InstanceProfileName=iam.create_instance_profile(InstanceProfileName=name)["InstanceProfile"][
            "InstanceProfileName"
        ],
        RoleName=name,
    )
    return str(iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]["Arn"])


def test_a_launch_template_with_role_tags_and_an_image_by_parameter_is_used(stage: Stage) -> None:
    secret = stage.world.client("secretsmanager").create_secret(
        Name="github-runner-pool/token", SecretString=ACCESS_TOKEN, KmsKeyId=OWN_KEY
    )
    pool = stage.start(
        "demanding",
        {
            "ImageId": AMI_BY_PARAMETER,
            "IamInstanceProfile": {"Arn": instance_profile(stage, "demanding")},
            "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "team", "Value": "ci"}]}],
        },
        AccessTokenParameter=secret["ARN"],
        OnDemandPercentageAboveBaseCapacity=0,
        Tags=[{"Key": "team", "Value": "ci"}],
    ).up()
    pool.update({"InstanceType": "t3.xlarge"}, Tags=[{"Key": "team", "Value": "build"}, {"Key": "cost", "Value": "7"}])
    pool.update(Tags=None, DesiredCount=2, TargetCapacity=90)
    pool.update(DesiredCount=1)
    pool.delete()
    assert pool.leftovers() == []


def test_a_parameter_with_a_key_of_ones_own_and_a_template_by_its_newest_version_are_read(stage: Stage) -> None:
    name = "/github-runner-pool/own-key"
    stage.world.client("ssm").put_parameter(Name=name, Value=ACCESS_TOKEN, Type="SecureString", KeyId=OWN_KEY)
    stage.world.client("ec2").create_launch_template(
        LaunchTemplateName="newest", LaunchTemplateData={"ImageId": "ami-12345678", "InstanceType": "t3.large"}
    )
    newest = {"LaunchTemplateName": "newest", "Version": "$Latest"}
    pool = stage.start("ownkey", AccessTokenParameter=name, LaunchTemplate=newest, DesiredCount=0).up()
    pool.update(Image=OTHER_IMAGE).delete()
    assert pool.leftovers() == []


def test_a_role_that_the_function_may_not_pass_is_told_of_and_nothing_is_left(stage: Stage) -> None:
    pool = stage.start("foreignrole", TaskRoleArn=FOREIGN_ROLE)
    reason = pool.fail()
    assert "iam:PassRole" in reason
    assert "Allow it in the function's role, then try again." in reason
    assert pool.leftovers() == []
