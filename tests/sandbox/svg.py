"""What the pictures of this repository that are made by programs have in common."""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

SANS = "system-ui, -apple-system, 'Segoe UI', 'Noto Sans', sans-serif"
MONO = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"


def document(target: str, title: str, width: int, height: int, size: int, font: str, body: str) -> str:
    """A picture that names the target of the Makefile that writes it."""
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" \
width="{width}" height="{height}" \
role="img" aria-labelledby="title" font-size="{size}" font-family="{font}">
  <!-- `make {target}` writes this file. -->
  <title id="title">{escape(title)}</title>
{body}
</svg>
"""


def element(name: str, content: str = "", /, **attributes: str | float) -> str:
    """An element. `text_anchor` is the attribute `text-anchor`, and `class_` is `class`; numbers have two decimals."""
    listed = "".join(f" {key.rstrip('_').replace('_', '-')}={_quoted(value)}" for key, value in attributes.items())
    return f"<{name}{listed}>{content}</{name}>" if content else f"<{name}{listed}/>"


def rect(x: float, y: float, width: float, height: float, **attributes: str | float) -> str:
    return element("rect", x=x, y=y, width=width, height=height, **attributes)


def text(x: float, y: float, content: str, **attributes: str | float) -> str:
    return element("text", escape(content), x=x, y=y, **attributes)


def _quoted(value: str | float) -> str:
    return quoteattr(value if isinstance(value, str) else number(value))


def number(value: float) -> str:
    return f"{round(value, 2):g}"
