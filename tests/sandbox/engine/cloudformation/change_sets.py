"""What a change set counts as a change, and MiniStack does not: a resource that a condition brings or takes away."""

from __future__ import annotations

from ministack.services.cloudformation import changesets, engine

from ..handlers import Json


def install() -> None:
    """Takes out of both templates that are compared what their parameters leave out."""
    original = changesets._resolve_props_for_diff

    def resolve(template: Json, params: Json, stack_name: str, stack_id: str) -> Json:
        resolved: Json = original(template, params, stack_name, stack_id)
        if resolved:
            conditions = engine._evaluate_conditions(template, params)
            there = {
                name: resource
                for name, resource in resolved["Resources"].items()
                if conditions.get(resource.get("Condition"), True)
            }
            resolved = {**resolved, "Resources": there}
        return resolved

    changesets._resolve_props_for_diff = resolve
