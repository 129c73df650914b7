"""As much of CloudWatch Logs Insights as the dashboard's queries need; another command is an error.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html
"""

from __future__ import annotations

import re
from typing import Any

Row = dict[str, Any]


def run_query(query: str, lines: list[Row]) -> list[Row]:
    """The rows of the result; the first one's keys are the columns."""
    rows = lines
    for command in query.split(" | "):
        name, _, arguments = command.partition(" ")
        if name == "filter":
            rows = [row for row in rows if _is_true(arguments, row)]
        elif name == "fields":
            rows = [dict(_field(column, row) for column in _split(arguments)) for row in rows]
        elif name == "stats":
            rows = _latest(arguments, rows)
        elif name == "sort":
            column, order = arguments.split()
            rows = sorted(rows, key=lambda row: row[column], reverse=order == "desc")
        elif name == "limit":
            rows = rows[: int(arguments)]
        elif name != "SOURCE":
            raise ValueError(f"{command}: not a command that this understands")
    return rows


def _is_true(condition: str, row: Row) -> bool:
    for joint, combine in ((" or ", any), (" and ", all)):
        if joint in condition:
            return combine(_is_true(part, row) for part in condition.split(joint))
    if found := re.fullmatch(r"ispresent\((\w+)\)", condition):
        return row.get(found[1]) is not None
    found = re.fullmatch(r"(\w+) = '([^']*)'", condition)
    if not found:
        raise ValueError(f"{condition}: not a condition that this understands")
    return str(row.get(found[1])) == found[2]


def _field(column: str, row: Row) -> tuple[str, Any]:
    expression, _, name = column.partition(" as ")
    found = re.fullmatch(r"coalesce\((.+)\)", expression)
    names = _split(found[1]) if found else [expression]
    return name or expression, next((row[given] for given in names if row.get(given) is not None), "")


def _latest(arguments: str, rows: list[Row]) -> list[Row]:
    """`latest(FIELD) as NAME, … by KEY`, of lines in the order of time."""
    columns, key = arguments.split(" by ")
    names = re.findall(r"latest\((\w+)\) as (\w+)", columns)
    last = {row[key]: row for row in rows}
    return [{key: value, **{name: row[field] for field, name in names}} for value, row in last.items()]


def _split(columns: str) -> list[str]:
    return re.split(r", (?![^(]*\))", columns)
