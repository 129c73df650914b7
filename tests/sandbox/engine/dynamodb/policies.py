"""Who may do what to which items: the keys of a request, policy variables, and a table's own policy.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/specifying-conditions.html
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/access-control-resource-based.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from ministack.core import iam_actions, iam_evaluator
from ministack.services import dynamodb as tables
from ministack.services import iam

from ..handlers import Json

LEADING_KEYS = "dynamodb:LeadingKeys"
_ITEMS_OF_A_TRANSACTION = ("ConditionCheck", "Put", "Update", "Delete", "Get")
_STATEMENT = re.compile(
    r'\s*(SELECT|INSERT|UPDATE|DELETE)\b(?:.*?\b(?:FROM|INTO)\b)?\s*"?([A-Za-z0-9_.-]+)', re.I | re.S
)
_VARIABLE = re.compile(r"\$\{([A-Za-z0-9:/_.-]+)\}")
Conditions = dict[str, Any]
Check = tuple[str, str]
"""An action, and the ARN of the table."""


def install() -> None:
    """Extends MiniStack's evaluation of policies."""
    context: Callable[[bytes], Json] = iam_actions.dynamodb_service_context
    resolve: Callable[[str, Any], Any] = iam_evaluator._resolve_condition_key
    conditions_met: Callable[[Conditions, Any], bool] = iam_evaluator._conditions_met
    of_transaction: Callable[[str, bytes, str, str], list[Check]] = iam_actions.dynamodb_transaction_checks

    def with_statements(action: str, body: bytes, region: str, account: str) -> list[Check]:
        checks = partiql_checks(_parsed(body), region, account)
        return checks or of_transaction(action, body, region, account)

    def with_leading_keys(body: bytes) -> Json:
        keys = leading_keys(_parsed(body))
        return {**context(body), **({LEADING_KEYS: keys} if keys else {})}

    def resolve_role(key: str, ctx: Any) -> Any:
        """`aws:PrincipalArn` of a session is the ARN of its role, path included.

        https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-principalarn
        """
        value = resolve(key, ctx)
        if key.lower() != "aws:principalarn" or ":assumed-role/" not in str(value):
            return value
        role = iam._roles.get_scoped(ctx.principal_account, None, str(value).split("/")[1])
        return role["Arn"] if role else value

    def with_variables(conditions: Conditions, ctx: Any) -> bool:
        def text_of(found: re.Match[str]) -> str:
            value = iam_evaluator._resolve_condition_key(found[1], ctx)
            # Without a value it stays text, which equals nothing.
            return value if isinstance(value, str) else found[0]

        def filled(value: Any) -> Any:
            if isinstance(value, list):
                return [filled(item) for item in value]
            return _VARIABLE.sub(text_of, value) if isinstance(value, str) else value

        blocks = (conditions or {}).items()
        return conditions_met(
            {operator: {key: filled(value) for key, value in keys.items()} for operator, keys in blocks}, ctx
        )

    iam_actions.dynamodb_service_context = with_leading_keys
    iam_actions.dynamodb_transaction_checks = with_statements
    iam_evaluator._resolve_condition_key = resolve_role
    iam_evaluator._conditions_met = with_variables
    # MiniStack looks a policy up by the names of a module and of a function in it.
    tables.table_policy_for_arn = table_policy
    iam_evaluator._RESOURCE_POLICY_LOOKUPS["dynamodb"] = ("dynamodb", "table_policy_for_arn")


def table_policy(arn: str) -> tuple[str, str] | None:
    """The policy of a table, which is that of its indexes as well, or of a stream; and the owner's account."""
    stored = tables._resource_policies.get(arn.split("/index/")[0])
    return (stored["Policy"], arn.split(":")[4]) if stored else None


def partiql_checks(request: Json, region: str, account: str) -> list[Check]:
    """What IAM is asked for PartiQL: an action of its own for each kind of statement.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-iam.html
    """
    entries = [request, *(request.get("Statements") or []), *(request.get("TransactStatements") or [])]
    found = [_STATEMENT.match(entry["Statement"]) for entry in entries if isinstance(entry.get("Statement"), str)]
    return [
        (f"dynamodb:PartiQL{one[1].capitalize()}", f"arn:aws:dynamodb:{region}:{account}:table/{one[2]}")
        for one in found
        if one
    ]


def leading_keys(request: Json) -> list[str]:
    """The partition keys that a request names; none if it names none, as Scan does.

    Those of Query and PartiQL are in expressions, and are not found here: like a request without one.
    """
    return [next(iter(key.values())) for key in _partition_keys(request) if isinstance(key, dict) and key]


def _partition_keys(request: Json) -> Iterator[Any]:
    if table := request.get("TableName"):
        yield _key_of(table, request.get("Key") or request.get("Item"))
    for entry in request.get("TransactItems") or []:
        for kind in _ITEMS_OF_A_TRANSACTION:
            if item := entry.get(kind):
                yield _key_of(item.get("TableName"), item.get("Key") or item.get("Item"))
    for table, asked in (request.get("RequestItems") or {}).items():
        if isinstance(asked, dict):
            for key in asked.get("Keys") or []:
                yield _key_of(table, key)
        else:
            for entry in asked:
                write = entry.get("PutRequest") or entry.get("DeleteRequest") or {}
                yield _key_of(table, write.get("Item") or write.get("Key"))


def _key_of(reference: Any, item: Any) -> Any:
    table = tables._tables.get(str(reference).rsplit("/", 1)[-1])
    return item.get(table["pk_name"]) if table and isinstance(item, dict) else None


def _parsed(body: bytes) -> Json:
    try:
        request = json.loads(body or b"{}")
    except ValueError:
        return {}
    return request if isinstance(request, dict) else {}
