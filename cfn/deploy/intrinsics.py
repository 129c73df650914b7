"""CloudFormation's intrinsic functions, evaluated before the deployment as far as their values are known.

It resolves parameters, conditions, mappings and what the stack has created, by reads only. What the deployment itself
will create stays an intrinsic function (`Unknown`), and the function that plans accepts it as such.
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference.html
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .errors import DeployError
from .template import Template

_NO_VALUE = object()
"""`!Ref AWS::NoValue`: the property is left out."""


@dataclass(frozen=True)
class Unknown:
    """A value that is known only after the deployment: the intrinsic function that refers to it."""

    name: str
    """`Ref`, `Fn::GetAtt`, `Fn::ImportValue` and so on."""
    of: str
    """What it refers to: `Cluster`, `ExecutionRole.Arn`."""

    def __str__(self) -> str:
        return f"(known after deployment: {self.of})"

    @property
    def to_json(self) -> dict[str, Any]:
        return {self.name: self.of.split(".", 1) if self.name == "Fn::GetAtt" else self.of}


class Predicted(str):
    """A value that the deployment is expected to create, such as the number of a launch template's next version."""


@dataclass
class Resolver:
    """A template with values for its parameters, in a stack."""

    template: Template
    parameters: dict[str, Any]
    pseudo_parameters: dict[str, Any]
    physical_id: Callable[[str], Any]
    """The physical id of a resource, by its logical id, or `Unknown`."""
    attribute: Callable[[str, str], Any]
    """The same for an attribute."""
    import_value: Callable[[str], Any]
    """The value of an export."""

    def resources(self, kind: str | None = None) -> dict[str, dict[str, Any]]:
        """The template's resources, without those whose condition is false."""
        return {
            name: resource
            for name, resource in self.template["Resources"].items()
            if (kind is None or resource.get("Type") == kind)
            and ("Condition" not in resource or self.evaluate_condition(resource["Condition"]))
        }

    def properties(self, name: str) -> dict[str, Any]:
        return dict(self.value(self.template["Resources"][name].get("Properties") or {}))

    def value(self, node: Any) -> Any:
        """The node with every intrinsic function evaluated, and each scalar the text that CloudFormation sends."""
        if isinstance(node, list):
            return [item for item in map(self.value, node) if item is not _NO_VALUE]
        if isinstance(node, dict):
            if len(node) == 1:
                [(name, arguments)] = node.items()
                if name == "Ref" or name.startswith("Fn::"):
                    return self._function(name, arguments)
            values = {name: self.value(item) for name, item in node.items()}
            return {name: item for name, item in values.items() if item is not _NO_VALUE}
        if isinstance(node, bool):
            return str(node).lower()
        if isinstance(node, str) and "{{resolve:" in node:
            return Unknown("Ref", node)
        return node if node is None else str(node)

    def _function(self, name: str, arguments: Any) -> Any:
        if name == "Ref":
            return self._ref(str(arguments))
        if name == "Fn::GetAtt":
            resource, attribute = arguments if isinstance(arguments, list) else str(arguments).split(".", 1)
            return self._get_att(resource, str(self.value(attribute)))
        if name == "Fn::If":
            condition, if_true, if_false = arguments
            return self.value(if_true if self.evaluate_condition(condition) else if_false)
        if name == "Fn::Sub":
            text, variables = arguments if isinstance(arguments, list) else (arguments, {})
            return self._sub(text, variables)
        values = self.value(arguments)
        if unknown := _find_unknown(values):
            return unknown
        try:
            return self._evaluate(name, values)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise DeployError(
                f"{name}: {arguments} cannot be evaluated ({type(error).__name__}: {error}). Correct the template."
            ) from error

    def _evaluate(self, name: str, values: Any) -> Any:
        if name == "Fn::Join":
            return values[0].join(values[1])
        if name == "Fn::Split":
            return values[1].split(values[0])
        if name == "Fn::Select":
            return values[1][int(values[0])]
        if name == "Fn::FindInMap":
            return self.value(self.template["Mappings"][values[0]][values[1]][values[2]])
        if name == "Fn::Base64":
            return base64.b64encode(values.encode()).decode()
        if name == "Fn::ImportValue":
            return self.import_value(values)
        return Unknown("Ref", name)

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return _NO_VALUE
        if name in self.pseudo_parameters:
            return self.pseudo_parameters[name]
        if name in self.parameters:
            return self.parameters[name]
        if name in self.template["Resources"]:
            return self.physical_id(name)
        raise DeployError(f"Ref {name}: the template has no parameter or resource of that name. Correct the template.")

    def _get_att(self, resource: str, attribute: str) -> Any:
        if resource not in self.template["Resources"]:
            raise DeployError(
                f"Fn::GetAtt {resource}.{attribute}: the template has no resource {resource}. Correct the template."
            )
        return self.attribute(resource, attribute)

    def _sub(self, text: str, variables: dict[str, Any]) -> Any:
        unknown: list[Unknown] = []

        def replacement(match: re.Match[str]) -> str:
            name = match[1].strip()
            if name.startswith("!"):
                return f"${{{name[1:]}}}"
            if name in variables:
                value = self.value(variables[name])
            elif "." in name:
                value = self._get_att(*name.split(".", 1))
            else:
                value = self._ref(name)
            if isinstance(value, Unknown):
                unknown.append(value)
            return ",".join(value) if isinstance(value, list) else str(value)

        substituted = re.sub(r"\$\{([^}]+)\}", replacement, text)
        return unknown[0] if unknown else self.value(substituted)

    def evaluate_condition(self, condition: Any) -> bool:
        """Evaluates a condition, or the one that has this name."""
        if isinstance(condition, str):
            if condition not in (self.template.get("Conditions") or {}):
                raise DeployError(f"Condition {condition}: the template does not define it. Correct the template.")
            return self.evaluate_condition(self.template["Conditions"][condition])
        [(name, arguments)] = condition.items()
        if name == "Condition":
            return self.evaluate_condition(arguments)
        if name == "Fn::Not":
            return not self.evaluate_condition(arguments[0])
        if name == "Fn::And":
            return all(map(self.evaluate_condition, arguments))
        if name == "Fn::Or":
            return any(map(self.evaluate_condition, arguments))
        if name == "Fn::Equals":
            left, right = map(self.value, arguments)
            if unknown := _find_unknown([left, right]):
                raise DeployError(
                    f"Fn::Equals: a condition compares {unknown.of}, whose value is not known before the deployment. "
                    f"Set it: PARAMETERS={unknown.of}=…"
                )
            return bool(left == right)
        raise DeployError(f"{name}: a plan cannot evaluate this function in a condition. Use Fn::Equals instead.")


def _find_unknown(value: Any) -> Unknown | None:
    if isinstance(value, Unknown):
        return value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next((found for found in map(_find_unknown, inner) if found), None)


def to_json(value: Any) -> Any:
    """As JSON, with an intrinsic function in the place of each unknown value."""
    if isinstance(value, Unknown):
        return value.to_json
    if isinstance(value, dict):
        return {name: to_json(item) for name, item in value.items()}
    return [to_json(item) for item in value] if isinstance(value, list) else value
