"""The HTML around a report: style for screen and paper, the script that sorts tables, and parts to fill in."""

import html
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from medssm.viewing.policy import content_policy

# Text has a contrast of at least 4.5 to 1 on both backgrounds (WCAG 2.2, 1.4.3); paper is white.
STYLE = """
:root { color-scheme: light; --ink: #1a1c1f; --quiet: #54585e; --bad: #a11212; --link: #0a4a8f;
  --paper: #ffffff; --band: #f1f3f5; --line: #80868d; }
* { box-sizing: border-box; }
body { max-width: 74rem; margin: 0 auto; padding: 1rem; background: var(--paper); color: var(--ink);
  font: 16px/1.45 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; } h2 { margin-top: 2rem; font-size: 1.25rem; } h3 { margin-bottom: .3rem; font-size: 1.05rem; }
.quiet { color: var(--quiet); } .bad { color: var(--bad); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { padding: .3rem 0; text-align: left; color: var(--quiet); }
th, td { padding: .2rem .55rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
.number { text-align: right; white-space: nowrap; }
tbody tr:nth-child(even) { background: var(--band); }
tfoot { font-weight: 600; }
th button { padding: 0; border: 0; background: none; color: var(--link); font: inherit; font-weight: 600;
  text-decoration: underline; cursor: pointer; }
th[aria-sort="ascending"] button::after { content: " \\25b2"; }
th[aria-sort="descending"] button::after { content: " \\25bc"; }
input { padding: .2rem .4rem; border: 1px solid var(--line); background: var(--paper); color: var(--ink);
  font: inherit; }
:focus-visible { outline: 3px solid var(--link); outline-offset: 1px; }
figure { margin: .5rem 0 1rem; } img, svg { max-width: 100%; height: auto; }
svg text { fill: var(--ink); font: 12px system-ui, sans-serif; }
svg .grid { stroke: var(--band); stroke-width: 2; } svg .box { fill: none; stroke: var(--ink); }
svg .median { stroke: var(--ink); stroke-width: 3; } svg .dot { fill: var(--link); fill-opacity: .45; }
svg .swatch { stroke: var(--ink); stroke-width: .5; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; } dd { margin: 0; }
@page { margin: 14mm; }
@media print {
  body { max-width: none; padding: 0; font-size: 10pt; }
  .scroll { overflow: visible; } .screen { display: none; }
  th button { color: var(--ink); text-decoration: none; }
  h2, h3, caption { break-after: avoid; } tr, figure, svg { break-inside: avoid; }
  img, .swatch { print-color-adjust: exact; }
}
"""

# A click, or Enter on the focused button, sorts by a column: upwards, then downwards; cells without a value stay last.
SCRIPT = """
"use strict";
const cell = (row, column) => row.cells[column].dataset.value ?? row.cells[column].textContent;
const order = (a, b) => {
  if (a === "" || b === "") return 0;
  const apart = Number(a) - Number(b);
  return Number.isNaN(apart) ? a.localeCompare(b, "en", { numeric: true }) : apart;
};
for (const table of document.querySelectorAll("table.sortable")) {
  table.tHead.addEventListener("click", (event) => {
    const head = event.target.closest("button")?.closest("th");
    if (!head) return;
    const direction = head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
    const sign = direction === "ascending" ? 1 : -1;
    const rows = [...table.tBodies[0].rows].map((row) => [cell(row, head.cellIndex), row]);
    rows.sort(([a], [b]) => (a === "") - (b === "") || sign * order(a, b));
    table.tBodies[0].append(...rows.map(([, row]) => row));
    for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", direction);
  });
}
for (const input of document.querySelectorAll("input[data-filters]")) {
  const rows = [...document.getElementById(input.dataset.filters).tBodies[0].rows];
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\\s+/);
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
  });
}
"""


class Cell(NamedTuple):
    """A figure in a table: what is read, and the value that it is sorted by, None for none."""

    text: str
    value: float | None


def document(title: str, body: str) -> str:
    """The whole page."""
    policy = escaped(content_policy(STYLE, [SCRIPT]))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escaped(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n"
        f"<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


def escaped(text: object) -> str:
    """Text for a page, in tags and in attributes; what is no text in a file's name is shown as "?"."""
    return html.escape(str(text).encode("utf-8", "replace").decode("utf-8"))


def html_table(
    caption: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str | Cell]],
    foot: Sequence[str | Cell] | None = None,
    identifier: str | None = None,
) -> str:
    """A table; one with an identifier can be sorted.

    Args:
        rows: text is to the left, a Cell to the right; the first one names its row.
    """
    listed = list(rows)
    kinds = (
        [' class="number"' if isinstance(cell, Cell) else "" for cell in listed[0]] if listed else [""] * len(columns)
    )
    names = [f'<button type="button">{escaped(name)}</button>' if identifier else escaped(name) for name in columns]
    heads = "".join(f'<th scope="col"{kind}>{name}</th>' for kind, name in zip(kinds, names, strict=True))
    attributes = f' id="{escaped(identifier)}" class="sortable"' if identifier else ""
    body = "\n".join(map(_row, listed))
    last = f"<tfoot>{_row(foot)}</tfoot>" if foot else ""
    return (
        f'<div class="scroll"><table{attributes}><caption>{escaped(caption)}</caption>\n'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{body}\n</tbody>{last}</table></div>\n"
    )


def _row(cells: Sequence[str | Cell]) -> str:
    first, *others = cells
    return f'<tr><th scope="row">{escaped(first)}</th>{"".join(map(_cell, others))}</tr>'


def _cell(cell: str | Cell) -> str:
    if isinstance(cell, str):
        return f"<td>{escaped(cell)}</td>"
    value = "" if cell.value is None else repr(cell.value)
    return f'<td class="number" data-value="{value}">{escaped(cell.text)}</td>'
