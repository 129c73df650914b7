"""Templates as data: the short form of each intrinsic function becomes its full form, and text stays text."""

from __future__ import annotations

from typing import Any

import yaml

from .errors import DeployError

POOL = "Custom::GitHubRunnerPool"
Template = dict[str, Any]


class _Loader(yaml.SafeLoader):
    """CloudFormation's YAML: `!Ref X` is `{"Ref": "X"}`, and a date such as a policy's version is a text."""


def _expand_tag(loader: _Loader, name: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    elif isinstance(node, yaml.MappingNode):
        value = loader.construct_mapping(node, deep=True)
    else:
        raise TypeError(f"{node} is none of YAML's three kinds of nodes")
    if name == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {name if name in ("Ref", "Condition") else f"Fn::{name}": value}


_Loader.add_multi_constructor("!", _expand_tag)
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def parse(body: str | Template, what: str) -> Template:
    """A template from its text, YAML or JSON; botocore returns JSON as data."""
    try:
        read = yaml.load(body, _Loader) if isinstance(body, str) else body
    except yaml.YAMLError as error:
        raise DeployError(f"{what}: invalid YAML. Correct this: {' '.join(str(error).split())}") from error
    if not isinstance(read, dict) or not isinstance(read.get("Resources"), dict):
        raise DeployError(f"{what}: not a CloudFormation template, for it has no Resources. Name another file.")
    return read
