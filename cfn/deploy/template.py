"""Templates as data: the short form of each intrinsic function is spelled out, and text stays text."""

from __future__ import annotations

from typing import Any

import yaml

from .errors import DeployError

POOL = "Custom::GitHubRunnerPool"
Template = dict[str, Any]


class _Loader(yaml.SafeLoader):
    """CloudFormation's YAML: `!Ref X` is `{"Ref": "X"}`, and a date such as a policy's version is a text."""


def _spelled_out(loader: _Loader, name: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        given: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        given = loader.construct_sequence(node, deep=True)
    elif isinstance(node, yaml.MappingNode):
        given = loader.construct_mapping(node, deep=True)
    else:
        raise TypeError(f"{node} is none of YAML's three kinds of nodes")
    if name == "GetAtt" and isinstance(given, str):
        given = given.split(".", 1)
    return {name if name in ("Ref", "Condition") else f"Fn::{name}": given}


_Loader.add_multi_constructor("!", _spelled_out)
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def parse(body: str | Template, what: str) -> Template:
    """A template from its text, YAML or JSON; botocore hands JSON over as data."""
    try:
        read = yaml.load(body, _Loader) if isinstance(body, str) else body
    except yaml.YAMLError as error:
        raise DeployError(f"{what} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(read, dict) or not isinstance(read.get("Resources"), dict):
        raise DeployError(f"{what} is no template: it has no Resources.")
    return read
