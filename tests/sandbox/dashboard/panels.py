"""A widget as a panel, in the manner of CloudWatch's console. Coordinates are those of the panel."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from sandbox.dashboard.definition import Dashboard, Properties
from sandbox.dashboard.log_query import run_query
from sandbox.dashboard.recording import Recording
from sandbox.dashboard.series import Series, alarm_state, series
from sandbox.svg import element, number, rect, text

LETTER, LETTER_MIN = 6.3, 5.7
"""How wide one is, in a wide font and in running text."""
LEFT, TOP, LEGEND_ROW = 12, 26, 16
# There is room for what a line's colour fills.
ABOVE_A_LINE = 1.1
# As the console has them.
STATES = {
    "OK": ("OK", "#1d8102"),
    "ALARM": ("In alarm", "#d13212"),
    "INSUFFICIENT_DATA": ("Insufficient data", "#879596"),
}
STYLE = """  <style>
    text { fill: #16191f }
    .page { fill: #f2f3f3 }
    .panel { fill: #fff; stroke: #d5dbdb }
    .title { font-weight: 600; font-size: 13px }
    .heading { font-weight: 600; font-size: 17px }
    .value { font-size: 28px }
    .quiet, .axis { fill: #687078 }
    .axis { font-size: 10px }
    .grid { stroke: #eaeded }
    .base { stroke: #879596 }
    .line { fill: none; stroke-width: 1.6; stroke-linejoin: round }
  </style>"""


@dataclass(frozen=True)
class Panel:
    """Draws one widget."""

    dashboard: Dashboard
    recording: Recording
    widget: Properties
    width: float
    height: float

    @property
    def properties(self) -> Properties:
        return self.widget["properties"]

    def draw(self) -> str:
        kind = self.widget["type"]
        draw = {"text": self._text, "alarm": self._alarms, "log": self._table}.get(kind) or {
            "timeSeries": self._chart,
            "bar": self._bars,
            "singleValue": self._numbers,
        }[self.properties["view"]]
        parts = [] if kind == "text" else [self._box(), text(LEFT, 18, self.properties["title"], class_="title")]
        return "\n    ".join([*parts, *draw()])

    def _box(self) -> str:
        return rect(0, 0, self.width, self.height, rx=4, class_="panel")

    def _text(self) -> Iterator[str]:
        """Of Markdown: headings, paragraphs and emphasis."""
        y = 0
        for paragraph in self.properties["markdown"].splitlines():
            if paragraph.startswith("## "):
                y += 17
                yield text(0, y, paragraph[3:], class_="heading")
                continue
            # What is emphasized stays on one line.
            joined = re.sub(r"\*[^*]+\*", lambda found: found[0].replace(" ", "\xa0"), paragraph)
            for line in textwrap.wrap(joined, int(self.width / LETTER_MIN)):
                y += 16
                content = re.sub(r"\*([^*]+)\*", r'<tspan font-style="italic">\1</tspan>', escape(line))
                yield element("text", content.replace("\xa0", " "), x=0, y=y)

    def _alarms(self) -> Iterator[str]:
        names, columns, gap = self.properties["alarms"], 5, 8
        width = (self.width - 2 * LEFT + gap) / columns - gap
        for at, name in enumerate(names):
            state, colour = STATES[alarm_state(self.dashboard.alarms[name], self.recording)]
            x, y = LEFT + at % columns * (width + gap), TOP + 4 + at // columns * 36
            yield rect(x, y, width, 30, rx=3, class_="panel")
            yield rect(x, y, 5, 30, rx=2, fill=colour)
            yield text(x + 14, y + 13, name)
            yield text(x + 14, y + 25, state, class_="axis")

    def _table(self) -> Iterator[str]:
        lines = [{**line, "@timestamp": clock(line["minute"])} for line in self.recording.lines]
        rows = run_query(self.properties["query"], lines)
        if not rows:
            yield no_data(self.width / 2, self.height / 2)
            return
        cells = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]
        widths = [max(len(row[at]) for row in cells) * LETTER + 18 for at in range(len(cells[0]))]
        for at, row in enumerate(cells):
            y = TOP + 18 + at * 20
            if y + 6 > self.height:
                break
            for column, cell in enumerate(row):
                x = LEFT + sum(widths[:column])
                room = int((self.width - x - LEFT) / LETTER)
                shown = cell if len(cell) <= room else cell[: room - 1] + "…"
                yield text(x, y, shown, **({} if at else {"class_": "quiet"}))
            yield element("path", class_="grid", d=f"M{LEFT} {y + 6}H{number(self.width - LEFT)}")

    def _numbers(self) -> Iterator[str]:
        found = series(self.properties, self.recording)
        height = (self.height - TOP - 8) / len(found)
        for at, one in enumerate(found):
            y = TOP + 8 + at * height
            yield rect(LEFT, y + 4, 9, 9, fill=one.colour)
            yield text(LEFT + 15, y + 12, one.label)
            yield text(LEFT, y + 44, shown_number(one.samples[-1][1]) if one.samples else "--", class_="value")
            if one.samples:
                scale = Scale(0, max(value for _, value in one.samples) or 1, y + height - 10, y + 24)
                yield self._path(one, scale, LEFT + 60, self.width - LEFT)

    def _bars(self) -> Iterator[str]:
        found = series(self.properties, self.recording)
        values = [sum(value for _, value in one.samples) for one in found]
        bottom = self.height - 12 - legend_height(found, self.width)
        scale = Scale.of(values, bottom, TOP + 14)
        left, right = LEFT + 28, self.width - LEFT
        yield from self._grid(scale, left, right)
        slot = (right - left) / len(found)
        for at, (one, value) in enumerate(zip(found, values, strict=True)):
            x, y = left + (at + 0.2) * slot, scale.y(value)
            if value:
                yield rect(x, y, slot * 0.6, bottom - y, fill=one.colour)
            yield text(x + slot * 0.3, y - 4, shown_number(value), class_="axis", text_anchor="middle")
        yield from legend(found, self.width, self.height)

    def _chart(self) -> Iterator[str]:
        found = series(self.properties, self.recording)
        axes = self.properties["yAxis"]
        lines = self.properties.get("annotations", {}).get("horizontal", [])
        is_hidden = self.properties.get("legend", {}).get("position") == "hidden"
        has_labels = any("label" in axis for axis in axes.values())
        bottom = self.height - 24 - (0 if is_hidden else legend_height(found, self.width))
        top = TOP + (22 if has_labels else 12)
        left, right = LEFT + 32, self.width - LEFT - (26 if "right" in axes else 8)
        scales = {
            is_right: Scale.of(
                [value for one in found if one.is_right is is_right for _, value in one.samples]
                + [float(line["value"]) * ABOVE_A_LINE for line in lines if not is_right],
                bottom,
                top,
            )
            for is_right in (False, True)
        }
        yield from self._grid(scales[False], left, right)
        for minute in range(0, self.recording.minutes + 1, 30 if self.width > 300 else 60):
            x = left + (right - left) * minute / self.recording.minutes
            yield text(x, bottom + 14, clock(minute), class_="axis", text_anchor="middle")
        if "right" in axes:
            for value in scales[True].ticks:
                yield text(right + 6, scales[True].y(value) + 3.5, shown_number(value), class_="axis")
        for side, x, anchor in (("left", LEFT, "start"), ("right", self.width - LEFT, "end")):
            if "label" in axes.get(side, {}):
                yield text(x, TOP + 10, axes[side]["label"], class_="axis", text_anchor=anchor)
        for line in lines:
            yield from self._annotation(line, scales[False], left, right)
        for one in found:
            yield self._path(one, scales[one.is_right], left, right)
        if not any(one.samples for one in found):
            yield no_data((left + right) / 2, (top + bottom) / 2)
        if not is_hidden:
            yield from legend(found, self.width, self.height)

    def _grid(self, scale: Scale, left: float, right: float) -> Iterator[str]:
        for value in scale.ticks:
            y = scale.y(value)
            yield element("path", class_="grid" if value else "base", d=f"M{number(left)} {number(y)}H{number(right)}")
            yield text(left - 6, y + 3.5, shown_number(value), class_="axis", text_anchor="end")

    def _annotation(self, line: dict[str, Any], scale: Scale, left: float, right: float) -> Iterator[str]:
        y = scale.y(float(line["value"]))
        if "fill" in line:
            end = scale.top if line["fill"] == "above" else scale.bottom
            yield rect(left, min(y, end), right - left, abs(end - y), fill=line["color"], fill_opacity=0.12)
        yield element("path", stroke=line["color"], d=f"M{number(left)} {number(y)}H{number(right)}")
        yield text(left + 5, y - 3, line["label"], class_="axis", style=f"fill: {line['color']}")

    def _path(self, one: Series, scale: Scale, left: float, right: float) -> str:
        wide = (right - left) / self.recording.minutes
        points = [(left + minute * wide, scale.y(value)) for minute, value in one.samples]
        if len(points) == 1:
            return element("circle", cx=points[0][0], cy=points[0][1], r=2, fill=one.colour)
        drawn = "L".join(f"{number(x)} {number(y)}" for x, y in points)
        return element("path", class_="line", stroke=one.colour, d=f"M{drawn}") if points else ""


@dataclass(frozen=True)
class Scale:
    """From values to heights."""

    step: float
    most: float
    bottom: float
    top: float

    @classmethod
    def of(cls, values: list[float], bottom: float, top: float) -> Scale:
        """From zero, with some round steps."""
        highest = max([*values, 0.0]) or 1.0
        rough = highest / 4
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
        if all(value == int(value) for value in values):
            step = max(step, 1)
        return cls(step, math.ceil(highest / step) * step, bottom, top)

    @property
    def ticks(self) -> list[float]:
        return [step * self.step for step in range(round(self.most / self.step) + 1)]

    def y(self, value: float) -> float:
        return self.bottom - (self.bottom - self.top) * value / self.most


def no_data(x: float, y: float) -> str:
    return text(x, y, "No data available.", class_="quiet", text_anchor="middle")


def legend(found: list[Series], width: float, height: float) -> Iterator[str]:
    rows = legend_rows(found, width)
    for at, row in enumerate(rows):
        x, y = float(LEFT), height - 10 - (len(rows) - 1 - at) * LEGEND_ROW
        for one in row:
            yield rect(x, y - 8, 9, 9, fill=one.colour)
            yield text(x + 14, y, one.label)
            x += legend_width(one)


def legend_rows(found: list[Series], width: float) -> list[list[Series]]:
    rows: list[list[Series]] = [[]]
    for one in found:
        if rows[-1] and sum(map(legend_width, [*rows[-1], one])) > width - 2 * LEFT + 14:
            rows.append([])
        rows[-1].append(one)
    return rows


def legend_width(one: Series) -> float:
    return 28 + len(one.label) * LETTER


def legend_height(found: list[Series], width: float) -> float:
    return len(legend_rows(found, width)) * LEGEND_ROW + 6


def clock(minute: float) -> str:
    """Since the beginning."""
    return f"{int(minute) // 60:02}:{int(minute) % 60:02}"


def shown_number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:g}"
