"""What a template's properties come to, as far as that is known before the deployment.

CloudFormation resolves intrinsic functions when it deploys. This does the same with parameters, conditions, mappings
and what the stack has made already, by reads alone. What the deployment is still to make stays an intrinsic function
(`Unknown`), and the function that plans takes it as such.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .errors import DeployError
from .template import Template

# A value that is not there: `!Ref AWS::NoValue`.
_NO_VALUE = object()


@dataclass(frozen=True)
class Unknown:
    """Something that is known only after the deployment: the intrinsic function that leads to it."""

    name: str
    """`Ref`, `Fn::GetAtt`, `Fn::ImportValue` and so on."""
    of: str
    """What it refers to: `Cluster`, `ExecutionRole.Arn`."""

    def __str__(self) -> str:
        return f"(known after deployment: {self.of})"

    @property
    def wire(self) -> dict[str, Any]:
        return {self.name: self.of.split(".", 1) if self.name == "Fn::GetAtt" else self.of}


class Coming(str):
    """A value that the deployment is expected to make, such as the number of a launch template's next version."""


@dataclass
class Resolver:
    """A template with values for its parameters, in a stack."""

    template: Template
    parameters: dict[str, Any]
    pseudo: dict[str, Any]
    identity: Callable[[str], Any]
    """The physical id of a resource, by its name in the template, or `Unknown`."""
    attribute: Callable[[str, str], Any]
    """The same for an attribute."""
    imported: Callable[[str], Any]
    """The value of an export."""
    used: set[str] = field(default_factory=set)
    """Resources that something was asked of."""

    # What the template has.

    def resources(self, kind: str | None = None) -> dict[str, dict[str, Any]]:
        """Its resources, without those whose condition does not hold."""
        return {
            name: resource
            for name, resource in self.template["Resources"].items()
            if (kind is None or resource.get("Type") == kind)
            and ("Condition" not in resource or self.holds(resource["Condition"]))
        }

    def properties(self, name: str) -> dict[str, Any]:
        return dict(self.value(self.template["Resources"][name].get("Properties") or {}))

    # Values.

    def value(self, node: Any) -> Any:
        """The node with every function carried out, and each scalar the text that CloudFormation sends."""
        if isinstance(node, list):
            return [item for item in map(self.value, node) if item is not _NO_VALUE]
        if isinstance(node, dict):
            if len(node) == 1:
                [(name, given)] = node.items()
                if name == "Ref" or name.startswith("Fn::"):
                    return self._function(name, given)
            values = {name: self.value(item) for name, item in node.items()}
            return {name: item for name, item in values.items() if item is not _NO_VALUE}
        if isinstance(node, bool):
            return str(node).lower()
        if isinstance(node, str) and "{{resolve:" in node:
            return Unknown("Ref", node)
        return node if node is None else str(node)

    def _function(self, name: str, given: Any) -> Any:
        if name == "Ref":
            return self._named(str(given))
        if name == "Fn::GetAtt":
            resource, attribute = given if isinstance(given, list) else str(given).split(".", 1)
            return self._of_resource(resource, str(self.value(attribute)))
        if name == "Fn::If":
            condition, one, other = given
            return self.value(one if self.holds(condition) else other)
        if name == "Fn::Sub":
            text, more = given if isinstance(given, list) else (given, {})
            return self._substituted(text, more)
        arguments = self.value(given)
        if unknown := _unknown_in(arguments):
            return unknown
        try:
            return self._computed(name, arguments)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise DeployError(f"{name} of {given} leads nowhere: {error}") from error

    def _computed(self, name: str, given: Any) -> Any:
        if name == "Fn::Join":
            return given[0].join(given[1])
        if name == "Fn::Split":
            return given[1].split(given[0])
        if name == "Fn::Select":
            return given[1][int(given[0])]
        if name == "Fn::FindInMap":
            return self.value(self.template["Mappings"][given[0]][given[1]][given[2]])
        if name == "Fn::Base64":
            return base64.b64encode(given.encode()).decode()
        if name == "Fn::ImportValue":
            return self.imported(given)
        return Unknown("Ref", name)

    def _named(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return _NO_VALUE
        if name in self.pseudo:
            return self.pseudo[name]
        if name in self.parameters:
            return self.parameters[name]
        if name in self.template["Resources"]:
            self.used.add(name)
            return self.identity(name)
        raise DeployError(f"The template refers to {name}, and has neither a parameter nor a resource of that name.")

    def _of_resource(self, resource: str, attribute: str) -> Any:
        if resource not in self.template["Resources"]:
            raise DeployError(f"The template refers to {resource}.{attribute}, and has no resource {resource}.")
        self.used.add(resource)
        return self.attribute(resource, attribute)

    def _substituted(self, text: str, more: dict[str, Any]) -> Any:
        unknown: list[Unknown] = []

        def put(found: re.Match[str]) -> str:
            name = found[1].strip()
            if name.startswith("!"):
                return f"${{{name[1:]}}}"
            if name in more:
                value = self.value(more[name])
            elif "." in name:
                value = self._of_resource(*name.split(".", 1))
            else:
                value = self._named(name)
            if isinstance(value, Unknown):
                unknown.append(value)
            return ",".join(value) if isinstance(value, list) else str(value)

        put_in = re.sub(r"\$\{([^}]+)\}", put, text)
        return unknown[0] if unknown else self.value(put_in)

    # Conditions.

    def holds(self, condition: Any) -> bool:
        """Whether a condition holds: a name, or what a name stands for."""
        if isinstance(condition, str):
            try:
                return self.holds(self.template["Conditions"][condition])
            except KeyError:
                raise DeployError(f"The template has no condition {condition}.") from None
        [(name, given)] = condition.items()
        if name == "Condition":
            return self.holds(given)
        if name == "Fn::Not":
            return not self.holds(given[0])
        if name == "Fn::And":
            return all(self.holds(one) for one in given)
        if name == "Fn::Or":
            return any(self.holds(one) for one in given)
        if name == "Fn::Equals":
            one, other = map(self.value, given)
            if unknown := _unknown_in([one, other]):
                raise DeployError(f"A condition of the template rests on {unknown.of}, which cannot be read. Give it.")
            return bool(one == other)
        raise DeployError(f"The template has a condition with {name}, which this plan cannot judge.")


def _unknown_in(value: Any) -> Unknown | None:
    if isinstance(value, Unknown):
        return value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next((found for found in map(_unknown_in, inner) if found), None)


def wire(value: Any) -> Any:
    """As JSON, with a function in each place that is not known."""
    if isinstance(value, Unknown):
        return value.wire
    if isinstance(value, dict):
        return {name: wire(item) for name, item in value.items()}
    return [wire(item) for item in value] if isinstance(value, list) else value
