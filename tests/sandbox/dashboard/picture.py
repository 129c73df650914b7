"""`python -m sandbox.dashboard | python -m sandbox.dashboard.picture`: the dashboard with a recording, as a picture."""

from __future__ import annotations

import json
import sys

from sandbox.dashboard.definition import REPOSITORY, Dashboard
from sandbox.dashboard.panels import STYLE, Panel
from sandbox.dashboard.recording import Recording
from sandbox.svg import SANS, document, element, rect

PICTURE = REPOSITORY / ".github/dashboard.svg"
# Of CloudWatch's grid.
COLUMNS, COLUMN, ROW, MARGIN, GAP, SIZE = 24, 40, 36, 14, 8, 11


def picture(dashboard: Dashboard, recording: Recording) -> str:
    """An SVG with a panel for each widget."""
    rows = max(widget["y"] + widget["height"] for widget in dashboard.widgets)
    width, height = COLUMNS * COLUMN + 2 * MARGIN - GAP, rows * ROW + 2 * MARGIN - GAP
    page = rect(0, 0, width, height, rx=8, class_="page")
    panels: list[str] = []
    for widget in dashboard.widgets:
        size = widget["width"] * COLUMN - GAP, widget["height"] * ROW - GAP
        place = f"translate({MARGIN + widget['x'] * COLUMN} {MARGIN + widget['y'] * ROW})"
        drawn = Panel(dashboard, recording, widget, *size).draw()
        panels.append("  " + element("g", f"\n    {drawn}\n  ", transform=place))
    title = "The dashboard of cfn/operations.yaml"
    body = "\n".join([STYLE, f"  {page}", *panels])
    return document("dashboard-picture", title, width, height, SIZE, SANS, body)


if __name__ == "__main__":
    PICTURE.write_text(picture(Dashboard.read(), Recording.from_json(json.load(sys.stdin))))
