"""A template's parameters and resources, and which of them stays until which is gone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

POOL_TYPE = "Custom::GitHubRunnerPool"
# ${Name} and ${Name.Attribute}; ${!Name} is no reference.
_IN_A_TEXT = re.compile(r"\$\{([A-Za-z0-9]+)(?:\.[A-Za-z0-9.]+)?\}")


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms: `!Ref X` is `{"Ref": "X"}`, `!GetAtt X.Y` is `{"Fn::GetAtt": "X.Y"}`."""


def _function(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    name = suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        return {name: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    return {name: loader.construct_mapping(node, deep=True)}  # type: ignore[arg-type]


_Loader.add_multi_constructor("!", _function)


@dataclass
class Template:
    """A template as its language has it."""

    body: dict[str, Any]

    @classmethod
    def read(cls, source: Path | str) -> Template:
        return cls(yaml.load(source.read_text() if isinstance(source, Path) else source, _Loader))

    @property
    def parameters(self) -> dict[str, Any]:
        return dict(self.body.get("Parameters", {}))

    @property
    def resources(self) -> dict[str, Any]:
        return dict(self.body["Resources"])

    @property
    def pools(self) -> list[str]:
        return [name for name, resource in self.resources.items() if resource["Type"] == POOL_TYPE]

    def outlives(self, name: str) -> set[str]:
        """The resources that CloudFormation deletes after this one: what it refers to or depends on, and so on."""
        reached: set[str] = set()
        ahead = [name]
        while ahead:
            for other in self._named_by(self.resources[ahead.pop()]) - reached:
                reached.add(other)
                ahead.append(other)
        return reached

    def _named_by(self, resource: dict[str, Any]) -> set[str]:
        listed = resource.get("DependsOn", [])
        named = {listed} if isinstance(listed, str) else set(listed)
        return (named | set(_references(resource.get("Properties")))) & self.resources.keys()


def _references(value: Any) -> list[str]:
    if isinstance(value, list):
        return [name for item in value for name in _references(item)]
    if not isinstance(value, dict):
        return []
    found = []
    for key, item in value.items():
        if key == "Ref":
            found.append(item)
        elif key == "Fn::GetAtt":
            found.append(item.split(".")[0] if isinstance(item, str) else item[0])
        elif key == "Fn::Sub":
            found += _IN_A_TEXT.findall(item if isinstance(item, str) else item[0])
            found += _references(item)
        else:
            found += _references(item)
    return found
