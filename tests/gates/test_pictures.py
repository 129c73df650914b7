"""The pictures that programs draw show what they are pictures of."""

from __future__ import annotations

from xml.etree import ElementTree

from gates.documents import REPOSITORY
from sandbox.dashboard.definition import Dashboard

DASHBOARD = REPOSITORY / ".github/dashboard.svg"


def test_dashboard_picture_shows_every_title_label_and_alarm_of_the_definition() -> None:
    shown = {"".join(element.itertext()) for element in ElementTree.parse(DASHBOARD).iter()}
    wanted = set(Dashboard.read().words)
    assert len(wanted) > 40
    assert wanted - shown == set(), "`make dashboard-picture` draws it anew"
