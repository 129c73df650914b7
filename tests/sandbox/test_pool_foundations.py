"""Pools with a customer managed key, and with a launch template that needs more permissions."""

from __future__ import annotations

import json

from sandbox.scenario import FOREIGN_ROLE, OTHER_IMAGE, OWN_KEY, ROLE_PATH, DeployedWorld
from sandbox.world import ACCESS_TOKEN

AMI_BY_PARAMETER = "resolve:ssm:/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id"


def instance_profile(deployed_world: DeployedWorld, name: str) -> str:
    """The ARN of a profile with a role that may be given to instances."""
    iam = deployed_world.world.client("iam")
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    iam.create_role(RoleName=name, Path=ROLE_PATH, AssumeRolePolicyDocument=trust)
    iam.add_role_to_instance_profile(
        InstanceProfileName=iam.create_instance_profile(InstanceProfileName=name)["InstanceProfile"][
            "InstanceProfileName"
        ],
        RoleName=name,
    )
    return str(iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]["Arn"])


def test_launch_template_with_instance_profile_tags_and_ssm_image(deployed_world: DeployedWorld) -> None:
    secret = deployed_world.world.client("secretsmanager").create_secret(
        Name="github-runner-pool/token", SecretString=ACCESS_TOKEN, KmsKeyId=OWN_KEY
    )
    pool = deployed_world.start(
        "demanding",
        {
            "ImageId": AMI_BY_PARAMETER,
            "IamInstanceProfile": {"Arn": instance_profile(deployed_world, "demanding")},
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


def test_customer_managed_kms_key_and_launch_template_latest_version(
    deployed_world: DeployedWorld,
) -> None:
    name = "/github-runner-pool/own-key"
    deployed_world.world.client("ssm").put_parameter(Name=name, Value=ACCESS_TOKEN, Type="SecureString", KeyId=OWN_KEY)
    deployed_world.world.client("ec2").create_launch_template(
        LaunchTemplateName="newest", LaunchTemplateData={"ImageId": "ami-12345678", "InstanceType": "t3.large"}
    )
    newest = {"LaunchTemplateName": "newest", "Version": "$Latest"}
    pool = deployed_world.start("ownkey", AccessTokenParameter=name, LaunchTemplate=newest, DesiredCount=0).up()
    pool.update(Image=OTHER_IMAGE).delete()
    assert pool.leftovers() == []


def test_pass_role_denied_fails_the_create_and_leaves_nothing(deployed_world: DeployedWorld) -> None:
    pool = deployed_world.start("foreignrole", TaskRoleArn=FOREIGN_ROLE)
    reason = pool.failure_reason()
    assert "iam:PassRole" in reason
    assert "Allow it in the function's role, then retry." in reason
    assert pool.leftovers() == []
