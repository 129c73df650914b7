"""What other services ask IAM about the caller on the way to what a call wants."""

from __future__ import annotations

from ministack.services import iam, secretsmanager, ssm

from .auto_scaling.templates import TemplateVersion, find
from .handlers import AwsError, Json
from .parameters import SECRET_PREFIX

# Who asks, the action, the resource, the condition keys.
AuthzRequest = tuple[str, str, str, dict[str, str]]

_BY_PARAMETER = "resolve:ssm:"
_AWSS_OWN_KEY = "alias/aws/"
_SPECIFICATION = "MixedInstancesPolicy.LaunchTemplate.LaunchTemplateSpecification."
_ON_DEMAND = "MixedInstancesPolicy.InstancesDistribution.OnDemandPercentageAboveBaseCapacity"


def requests_of_service(operation: str, roles: list[str], account: str) -> list[AuthzRequest]:
    """The roles that a task definition gives to tasks, and ECS's own role, made with an account's first service.

    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_execution_IAM_role.html
    https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerservice.html
    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/using-service-linked-roles.html
    """
    if operation == "CreateService":
        return [_first_use("ecs.amazonaws.com", "AWSServiceRoleForECS", account)]
    return [_passed(role, "Amazon ECS", "ecs-tasks.amazonaws.com") for role in roles]


def requests_of_group(operation: str, request: Json, region: str, account: str) -> list[AuthzRequest]:
    """Whether the caller could start the instances himself.

    https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-launch-template-permissions.html
    """
    if operation not in ("CreateAutoScalingGroup", "UpdateAutoScalingGroup"):
        return []
    requested: list[AuthzRequest] = []
    if operation == "CreateAutoScalingGroup":
        requested.append(_first_use("autoscaling.amazonaws.com", "AWSServiceRoleForAutoScaling", account))
    if request.get(_ON_DEMAND) not in (None, "100"):
        requested.append(_first_use("spot.amazonaws.com", "AWSServiceRoleForEC2Spot", account))
    template = _template(request)
    if template is None:
        return requested
    place = f"arn:aws:ec2:{region}:{account}:"
    started = {"ec2:LaunchTemplate": f"{place}launch-template/{template.id}"}
    for resource in ("instance/*", "volume/*", "network-interface/*", f"launch-template/{template.id}"):
        requested.append(("Auto Scaling", "ec2:RunInstances", place + resource, started))
    requested += [
        ("Auto Scaling", "ec2:CreateTags", f"{place}{kind}/*", {"ec2:CreateAction": "RunInstances"})
        for kind in template.tagged
    ]
    requested += [_passed(role, "Auto Scaling", "ec2.amazonaws.com") for role in _roles(template.profile)]
    if template.image.startswith(_BY_PARAMETER):
        name = template.image.removeprefix(_BY_PARAMETER).split(":")[0]
        owner = "" if name.startswith("/aws/service/") else account
        requested.append(("Auto Scaling", "ssm:GetParameters", f"arn:aws:ssm:{region}:{owner}:parameter{name}", {}))
    return requested


def requests_of_parameter(operation: str, request: Json, region: str, account: str) -> list[AuthzRequest]:
    """The secret behind Systems Manager's reference, and the key behind either.

    https://docs.aws.amazon.com/systems-manager/latest/userguide/integration-ps-secretsmanager.html
    https://docs.aws.amazon.com/kms/latest/developerguide/services-parameter-store.html
    """
    name = str(request.get("Name") or "")
    if operation != "GetParameter" or not request.get("WithDecryption"):
        return []
    if SECRET_PREFIX in name:
        wanted = name[name.index(SECRET_PREFIX) + len(SECRET_PREFIX) :]
        found = next((s for s in secretsmanager._secrets.values() if wanted in (s.get("Name"), s.get("ARN"))), {})
        arn = found.get("ARN") or f"arn:aws:secretsmanager:{region}:{account}:secret:{wanted}"
        requested: list[AuthzRequest] = [("Systems Manager", "secretsmanager:GetSecretValue", arn, {})]
        return requested + _own_key(str(found.get("KmsKeyId") or ""), "Secrets Manager", f"secretsmanager.{region}")
    record, _ = ssm._select_parameter(name)
    record = record or {}
    if record.get("Type") != "SecureString":
        return []
    return _own_key(str(record.get("KeyId") or ""), "Systems Manager", f"ssm.{region}")


def _own_key(key: str, who: str, via: str) -> list[AuthzRequest]:
    """An AWS managed key allows everyone who may use its service."""
    if not key or key.startswith(_AWSS_OWN_KEY):
        return []
    return [(who, "kms:Decrypt", key, {"kms:ViaService": f"{via}.amazonaws.com"})]


def _passed(role: str, who: str, to: str) -> AuthzRequest:
    return who, "iam:PassRole", role, {"iam:PassedToService": to}


def _first_use(service: str, role: str, account: str) -> AuthzRequest:
    arn = f"arn:aws:iam::{account}:role/aws-service-role/{service}/{role}"
    return service, "iam:CreateServiceLinkedRole", arn, {"iam:AWSServiceName": service}


def _template(request: Json) -> TemplateVersion | None:
    for prefix in ("LaunchTemplate.", _SPECIFICATION):
        named = {
            name: request[prefix + name]
            for name in ("LaunchTemplateId", "LaunchTemplateName", "Version")
            if request.get(prefix + name)
        }
        if named:
            try:
                return find(named)
            except AwsError:
                return None
    return None


def _roles(profile: str) -> list[str]:
    record = iam._instance_profiles.get(profile.rsplit("/", 1)[-1]) if profile else None
    names = [role["RoleName"] if isinstance(role, dict) else role for role in (record or {}).get("Roles", [])]
    return [iam._roles[name]["Arn"] for name in names if name in iam._roles]
