"""The policies of the function's role as IAM reads them: what they allow, and what is left without a piece of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ministack.core.iam_evaluator import EvalContext, evaluate, parse_policy_document

if TYPE_CHECKING:
    from sandbox.world import Entry, World

# What all inline policies of a role may have together, white space not counted.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
CHARACTERS_MAX = 10_240


@dataclass(frozen=True)
class Piece:
    """An action or a resource of a statement."""

    policy: str
    sid: str
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.policy}/{self.sid}: {self.text}"


@dataclass(frozen=True)
class Policies:
    """Statements by the name of their policy."""

    region: str
    account: str
    statements: tuple[tuple[str, Any], ...]

    @classmethod
    def of_role(cls, world: World, role: str) -> Policies:
        """A role's inline policies, as CloudFormation resolved them."""
        iam = world.client("iam")
        found = [
            (name, statement)
            for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
            for statement in iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]["Statement"]
        ]
        return cls(world.region, world.account, tuple(found))

    def allow(self, check: Entry) -> bool:
        """Whether IAM would allow it."""
        context = EvalContext(
            principal_arn=f"arn:aws:sts::{self.account}:assumed-role/role/function",
            principal_type="AssumedRole",
            principal_account=self.account,
            action=check["action"],
            resource_arn=check["resource"],
            region=self.region,
            service_context={key.lower(): value for key, value in check.get("keys", {}).items()},
        )
        return evaluate(context, [self._parsed]).decision == "Allow"

    @cached_property
    def _parsed(self) -> list[Any]:
        document = {"Version": "2012-10-17", "Statement": [statement for _, statement in self.statements]}
        return parse_policy_document(document)

    def denied(self, checks: list[Entry]) -> list[str]:
        """The denied checks, as text."""
        return [
            f"{check['action']} on {check['resource']} {check.get('keys') or ''} for {check.get('operation')}"
            for check in checks
            if not self.allow(check)
        ]

    def needing(self, piece: Piece, checks: list[Entry]) -> list[str]:
        """The checks that are allowed, and denied without the piece."""
        actions = {piece.text} if piece.kind == "Action" else self.actions(piece)
        asked = [check for check in checks if check["action"] in actions and self.allow(check)]
        return self.without(piece).denied(asked)

    def actions(self, piece: Piece) -> set[str]:
        """The actions of its statement."""
        mine = [one for policy, one in self.statements if (policy, one.get("Sid") or "") == (piece.policy, piece.sid)]
        return {action for statement in mine for action in _listed(statement["Action"])}

    def pieces(self) -> Iterator[Piece]:
        for policy, statement in self.statements:
            for kind in ("Action", "Resource"):
                for text in _listed(statement[kind]):
                    yield Piece(policy, statement.get("Sid") or "", kind, text)

    def without(self, piece: Piece) -> Policies:
        """A statement that has lost its last action or resource is gone."""
        left = []
        for policy, statement in self.statements:
            if (policy, statement.get("Sid") or "") == (piece.policy, piece.sid):
                kept = [text for text in _listed(statement[piece.kind]) if text != piece.text]
                if not kept:
                    continue
                statement = {**statement, piece.kind: kept}
            left.append((policy, statement))
        return Policies(self.region, self.account, tuple(left))

    @property
    def n_characters(self) -> int:
        return len(json.dumps([statement for _, statement in self.statements], separators=(",", ":")))


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
