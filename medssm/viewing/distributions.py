"""The scores of all cases as a drawing: a line for each organ, a dot for each case, a box for the quartiles."""

import math
from collections.abc import Sequence

import numpy as np

from medssm.data.scans.organs import colour_of
from medssm.metrics.organ_scores import OrganScore
from medssm.viewing.report_page import escaped

# In pixels: where the names, the axis and the counts begin, the height of a line, and the radius of a dot.
NAMES, AXIS, COUNTS, WIDTH, LINE, RADIUS = 18, 210, 740, 930, 26, 3
# More dots than this are thinned to evenly spaced ranks, the extremes among them.
MOST_DOTS = 150


def distribution(title: str, scores: Sequence[OrganScore], metric: str, highest: float | None = None) -> str:
    """An SVG of one metric, the organs in the order of their labels.

    Cases that miss an organ, or have it where the reference has not, are counted at the right: they have no distance,
    and would hide how the others are spread.

    Args:
        metric: "dice", "hd95" or "surface_dice".
        highest: where the axis ends; by default beyond the highest score.
    """
    organs = {s.organ: s.label for s in sorted(scores, key=lambda s: s.label, reverse=True)}
    end = highest or _round_up(max((getattr(s, metric) for s in scores if s.status == "scored"), default=1.0))
    height = LINE * (len(organs) + 2)
    parts = [_axis(end, height)]
    for line, (organ, label) in enumerate(sorted(organs.items(), key=lambda pair: pair[1])):
        y = LINE * (line + 1.5)
        of_organ = [s for s in scores if s.organ == organ]
        parts += [_name(label, organ, y), _spread(of_organ, metric, end, y), _counts(of_organ, y)]
    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    head = f'<figcaption>{escaped(title)}</figcaption>\n<svg {size} role="img" aria-label="{escaped(title)}">\n'
    return f"<figure>{head}" + "\n".join(parts) + "\n</svg></figure>\n"


def _round_up(value: float) -> float:
    """The next number of 1, 2 or 5 times a power of ten, or 10 times it.

    >>> _round_up(37.2), _round_up(0.0)
    (50.0, 1.0)
    """
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(digit * power for digit in (1, 2, 5, 10) if digit * power >= value)


def _place(value: float, end: float) -> float:
    return round(AXIS + (COUNTS - AXIS - 20) * value / end, 1)


def _axis(end: float, height: int) -> str:
    marks = []
    for step in range(6):
        value = end * step / 5
        x = _place(value, end)
        marks.append(f'<line class="grid" x1="{x}" x2="{x}" y1="{LINE}" y2="{height - LINE}"/>')
        marks.append(f'<text x="{x}" y="{height - 8}" text-anchor="middle">{value:g}</text>')
    return "".join(marks)


def _name(label: int, organ: str, y: float) -> str:
    red, green, blue = colour_of(label)
    swatch = f'<rect class="swatch" x="0" y="{y - 6}" width="12" height="12" fill="rgb({red},{green},{blue})"/>'
    short = organ if len(organ) <= 30 else organ[:29] + "…"
    return f'{swatch}<text x="{NAMES}" y="{y + 4}">{escaped(short)}</text>'


def _spread(scores: Sequence[OrganScore], metric: str, end: float, y: float) -> str:
    found = sorted((getattr(s, metric), s.case) for s in scores if s.status == "scored")
    if not found:
        return ""
    low, median, high = (_place(q, end) for q in np.percentile([value for value, _ in found], [25, 50, 75]))
    ranks = np.linspace(0, len(found) - 1, min(len(found), MOST_DOTS)).round()
    chosen = [found[int(rank)] for rank in ranks]
    dots = [_dot(value, case, end, y + (-5, 0, 5)[n % 3]) for n, (value, case) in enumerate(chosen)]
    return (
        f'<rect class="box" x="{low}" y="{y - 9}" width="{max(round(high - low, 1), 0.5)}" height="18"/>'
        f'<line class="median" x1="{median}" x2="{median}" y1="{y - 9}" y2="{y + 9}"/>' + "".join(dots)
    )


def _dot(value: float, case: str, end: float, y: float) -> str:
    title = f"<title>{escaped(case)}: {value:.3f}</title>"
    return f'<circle class="dot" cx="{_place(value, end)}" cy="{y:g}" r="{RADIUS}">{title}</circle>'


def _counts(scores: Sequence[OrganScore], y: float) -> str:
    counts = {status: sum(s.status == status for s in scores) for status in ("missed", "spurious")}
    text = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    return f'<text x="{COUNTS}" y="{y + 4}">{text}</text>'
