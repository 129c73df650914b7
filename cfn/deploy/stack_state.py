"""A stack as it is, and as a template would change it: everything that a plan reads from CloudFormation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from .account import Account
from .errors import DeployError
from .intrinsics import Predicted, Resolver, Unknown
from .template import Template, parse

# What CloudFormation shows of a parameter with NoEcho.
NO_ECHO = "****"
# The types of parameters whose value is the name of a parameter in Parameter Store.
STORED = "AWS::SSM::Parameter::Value<"


@dataclass(frozen=True)
class DesiredStack:
    """What would be deployed: a template, its parameters, and which resources a change set replaces."""

    template: Template
    parameters: dict[str, str]
    replaced: dict[str, str]
    """Of the resources in a change set, whether they are replaced: `True`, `False` or `Conditional`."""

    @classmethod
    def of_file(cls, path: Path, parameters: dict[str, str]) -> DesiredStack:
        if not path.is_file():
            raise DeployError(
                f"TEMPLATE: there is no file {path}. Name the template to deploy: TEMPLATE=cfn/pool.yaml."
            )
        return cls(parse(path.read_text(), str(path)), parameters, {})

    @classmethod
    def of_change_set(cls, account: Account, stack: str, name: str) -> DesiredStack:
        """What an existing change set would deploy."""
        named = {"StackName": stack, "ChangeSetName": name}
        try:
            body = account.cloudformation.get_template(**named, TemplateStage="Processed")["TemplateBody"]
            pages = list(account.cloudformation.get_paginator("describe_change_set").paginate(**named))
        except ClientError as error:
            if "does not exist" in str(error):
                raise DeployError(
                    f"CHANGE_SET: the stack {stack} has no change set {name} in {account.region}. Check STACK and "
                    "AWS_REGION."
                ) from error
            raise
        changes = [change["ResourceChange"] for page in pages for change in page["Changes"]]
        return cls(
            parse(body, f"Template of the change set {name}"),
            {item["ParameterKey"]: item["ParameterValue"] for item in pages[0].get("Parameters", [])},
            {change["LogicalResourceId"]: change.get("Replacement", "False") for change in changes},
        )


class StackState:
    """A stack by its name, whether it exists or not."""

    def __init__(self, account: Account, account_id: str, name: str) -> None:
        self.account, self.account_id, self.name = account, account_id, name
        self.record = account.stack(name)

    @property
    def id(self) -> str | None:
        return self.record["StackId"] if self.record else None

    @property
    def status(self) -> str | None:
        return self.record["StackStatus"] if self.record else None

    @cached_property
    def template(self) -> Template | None:
        """The template that was deployed last. A stack that exists only for a change set has none."""
        if self.record is None or self.status == "REVIEW_IN_PROGRESS":
            return None
        body = self.account.cloudformation.get_template(StackName=self.id, TemplateStage="Processed")["TemplateBody"]
        return parse(body, f"Template of the stack {self.name}")

    @cached_property
    def resources(self) -> dict[str, dict[str, Any]]:
        """Its resources, by their logical ids."""
        if self.template is None:
            return {}
        pages = self.account.cloudformation.get_paginator("list_stack_resources").paginate(StackName=self.id)
        return {
            resource["LogicalResourceId"]: resource
            for page in pages
            for resource in page["StackResourceSummaries"]
            if resource.get("PhysicalResourceId") and resource["ResourceStatus"] != "DELETE_COMPLETE"
        }

    @cached_property
    def before(self) -> Resolver | None:
        """The stack before the deployment."""
        if self.template is None:
            return None
        declared = self.template.get("Parameters") or {}
        values = {}
        for item in (self.record or {}).get("Parameters", []):
            name, value = item["ParameterKey"], item.get("ResolvedValue", item["ParameterValue"])
            kind = str(declared.get(name, {}).get("Type", "String"))
            if kind.startswith(STORED) and "ResolvedValue" not in item:
                # CloudFormation does not return the value of the last deployment: the current one is the best guess.
                values[name] = self._stored(name, kind, value)
            else:
                values[name] = Unknown("Ref", name) if value == NO_ECHO else _typed(kind, value)
        return self._resolver(self.template, values, self.id_of, self.get_att)

    def after(self, desired: DesiredStack, notes: list[str]) -> Resolver:
        """The stack after the deployment."""
        values = self._parameters(desired)
        changed = self._changed(desired.template, values)

        def stays(name: str) -> bool:
            kind = desired.template["Resources"][name].get("Type")
            made = self.resources.get(name)
            return made is not None and made["ResourceType"] == kind and desired.replaced.get(name) != "True"

        def physical_id_of(name: str) -> Any:
            is_open = desired.replaced.get(name, "Conditional") == "Conditional"
            # A launch template changes in place, by a new version.
            kind = desired.template["Resources"][name].get("Type")
            if name in changed and stays(name) and is_open and kind != "AWS::EC2::LaunchTemplate":
                _note(
                    notes,
                    f"{name} changes as well: its physical id is assumed to stay, but CloudFormation may replace it",
                )
            return self.id_of(name) if stays(name) else Unknown("Ref", name)

        def attribute(name: str, attribute: str) -> Any:
            if not stays(name):
                return Unknown("Fn::GetAtt", f"{name}.{attribute}")
            value = self.get_att(name, attribute)
            if attribute == "LatestVersionNumber" and name in changed and not isinstance(value, Unknown):
                _note(notes, f"{name} changes as well: its next version is assumed to be {int(value) + 1}")
                return Predicted(str(int(value) + 1))
            return value

        return self._resolver(desired.template, values, physical_id_of, attribute)

    def _parameters(self, desired: DesiredStack) -> dict[str, Any]:
        """As with `aws cloudformation deploy`: the given value, else the stack's, else the default."""
        declared = desired.template.get("Parameters") or {}
        if unknown := sorted(desired.parameters.keys() - declared.keys()):
            raise DeployError(
                f"PARAMETERS: the template has no parameter {', '.join(unknown)}. It has {', '.join(sorted(declared))}."
            )
        has = {item["ParameterKey"]: item["ParameterValue"] for item in (self.record or {}).get("Parameters", [])}
        values, missing = {}, []
        for name, declaration in declared.items():
            kind = str(declaration.get("Type", "String"))
            value: Any = desired.parameters.get(name, has.get(name, declaration.get("Default")))
            if value is None:
                missing.append(name)
            elif value == NO_ECHO:
                values[name] = Unknown("Ref", name)
            elif kind.startswith(STORED):
                values[name] = self._stored(name, kind, str(value))
            else:
                values[name] = _typed(kind, str(value).lower() if isinstance(value, bool) else str(value))
        if missing:
            example = " ".join(f"{name}=…" for name in missing)
            raise DeployError(f'PARAMETERS: no value for {", ".join(missing)}. Set PARAMETERS="{example}".')
        return values

    def _stored(self, name: str, kind: str, key: str) -> Any:
        try:
            value = self.account.client("ssm").get_parameter(Name=key)["Parameter"]["Value"]
        except ClientError:
            return Unknown("Ref", name)
        return _typed(kind, value)

    def _changed(self, template: Template, values: dict[str, Any]) -> set[str]:
        """Resources of both templates whose own properties differ, whatever happens to those that they refer to."""
        if self.before is None or self.template is None:
            return set()
        now = self._symbolic(self.template, self.before.parameters)
        then = self._symbolic(template, values)
        both = now.resources().keys() & then.resources().keys()
        return {name for name in both if now.properties(name) != then.properties(name)}

    def _symbolic(self, template: Template, values: dict[str, Any]) -> Resolver:
        """With names in place of physical ids, so that two templates can be compared."""
        symbolic = {name: f"${{{name}}}" if isinstance(value, Unknown) else value for name, value in values.items()}
        return self._resolver(template, symbolic, lambda name: f"${{{name}}}", lambda name, of: f"${{{name}.{of}}}")

    def _resolver(self, template: Template, values: dict[str, Any], physical_id_of: Any, attribute: Any) -> Resolver:
        region = self.account.region
        partition = self.account.session.get_partition_for_region(region)
        pseudo = {
            "AWS::Region": region,
            "AWS::AccountId": self.account_id,
            "AWS::Partition": partition,
            "AWS::URLSuffix": "amazonaws.com.cn" if partition == "aws-cn" else "amazonaws.com",
            "AWS::StackName": self.name,
            "AWS::StackId": self.id or Unknown("Ref", "AWS::StackId"),
            "AWS::NotificationARNs": [],
        }
        return Resolver(template, values, pseudo, physical_id_of, attribute, self._export)

    def id_of(self, name: str) -> Any:
        made = self.resources.get(name)
        return made["PhysicalResourceId"] if made else Unknown("Ref", name)

    def get_att(self, name: str, attribute: str) -> Any:
        """`Fn::GetAtt` of an existing resource, of the types that pools refer to."""
        unknown, made = Unknown("Fn::GetAtt", f"{name}.{attribute}"), self.resources.get(name)
        if made is None:
            return unknown
        kind, physical_id = made["ResourceType"], made["PhysicalResourceId"]
        arn = f"arn:{self.account.session.get_partition_for_region(self.account.region)}"
        here = f"{self.account.region}:{self.account_id}"
        try:
            match (kind, attribute):
                case ("AWS::EC2::LaunchTemplate", "LatestVersionNumber" | "DefaultVersionNumber"):
                    ec2 = self.account.client("ec2")
                    [response] = ec2.describe_launch_templates(LaunchTemplateIds=[physical_id])["LaunchTemplates"]
                    return str(response[attribute])
                case ("AWS::IAM::Role", "Arn"):
                    return self.account.client("iam").get_role(RoleName=physical_id)["Role"]["Arn"]
                case ("AWS::ECS::Cluster", "Arn"):
                    return f"{arn}:ecs:{here}:cluster/{physical_id}"
                case ("AWS::Logs::LogGroup", "Arn"):
                    return f"{arn}:logs:{here}:log-group:{physical_id}:*"
                case _:
                    return unknown
        except ClientError:
            # It was deleted meanwhile, or the caller may not read it.
            return unknown

    def _export(self, name: str) -> Any:
        pages = self.account.cloudformation.get_paginator("list_exports").paginate()
        exports = {export["Name"]: export["Value"] for page in pages for export in page["Exports"]}
        return exports.get(name, Unknown("Fn::ImportValue", name))


def _typed(kind: str, value: str) -> Any:
    is_list = kind == "CommaDelimitedList" or "List<" in kind or kind.endswith("<CommaDelimitedList>")
    return [item.strip() for item in value.split(",")] if is_list else value


def _note(notes: list[str], note: str) -> None:
    if note not in notes:
        notes.append(note)
