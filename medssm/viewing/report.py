"""The page of an evaluation: one HTML file that opens anywhere without a network, and prints."""

import base64
import os
import shlex
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from medssm.data.scans.alignment import turned_like
from medssm.data.scans.finding import find_volumes
from medssm.data.scans.label_values import renumbered
from medssm.data.scans.organ_masks import check_same_grid, folded
from medssm.data.scans.volume import Volume, read_volume, volume_stem
from medssm.environment import environment
from medssm.errors import DataError
from medssm.files import atomic_path
from medssm.metrics.evaluation import Evaluation, read_case
from medssm.metrics.organ_scores import CodedMap, OrganScore
from medssm.metrics.pairing import scans_of_cases
from medssm.metrics.summary import Mean, OrganSummary
from medssm.viewing.comparison import agreement_figure
from medssm.viewing.distributions import distribution
from medssm.viewing.panels import pixels
from medssm.viewing.report_page import Cell, document, escaped, html_table

# How many of the worst cases are drawn, and in which quality; a picture is about 200 kB.
WORST_CASES = 5
JPEG_QUALITY = 85

COUNTING = (
    "An organ is missed where only the reference has it, spurious where only the prediction has it, absent where "
    "neither has it. A missed or spurious organ counts as Dice 0, surface Dice 0 and an HD95 of the scan's diagonal in "
    "every mean; an absent one is in no mean."
)


def write_report(evaluation: Evaluation, path: str | Path, scans: str | Path | None = None) -> None:
    """Writes the page of an evaluation: means, distributions, the worst cases in pictures, every score, settings.

    Args:
        path: an HTML file.
        scans: the scan, or the folder of scans, that the label maps belong to and are drawn on; names are matched as
            those of predictions and references are. Without a scan the label maps are drawn on black.

    Raises:
        DataError: no scan has the name of a case, or one cannot be read.
        GeometryError: a scan does not lie on the grid of its label map.
    """
    folder = Path(scans) if scans else None
    body = "".join(_sections(evaluation, _scans_by_case(evaluation, folder), folder))
    with atomic_path(path) as temporary:
        temporary.write_text(document(_title(evaluation), body), encoding="utf-8")


def worst_cases(scores: Iterable[OrganScore], count: int = WORST_CASES) -> list[tuple[str, float]]:
    """Cases with the lowest mean Dice over their organs, lowest first, and that mean.

    Missed and spurious organs count as 0; a case without any organ is none of them.
    """
    of_case: dict[str, list[float]] = {}
    for score in scores:
        if score.dice is not None:
            of_case.setdefault(score.case, []).append(score.dice)
    means = [(case, float(np.mean(values))) for case, values in of_case.items()]
    return sorted(means, key=lambda pair: pair[1])[:count]


def _title(evaluation: Evaluation) -> str:
    return f"Evaluation of {_counted(len({score.case for score in evaluation.scores}), 'case')}"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"


def _sections(evaluation: Evaluation, scans: dict[str, Path], folder: Path | None) -> Iterable[str]:
    record = environment("cpu")
    yield f'<h1>{_title(evaluation)}</h1>\n<p class="quiet">{record["time"]}. For research; not for diagnosis.</p>\n'
    yield from _left_out(evaluation)
    yield "<h2>Means over cases</h2>\n" + _summary_table(evaluation)
    yield "<h2>Distributions</h2>\n" + _distributions(evaluation)
    yield f"<h2>Worst cases</h2>\n<p>{_drawn(scans)}</p>\n"
    for case, mean in worst_cases(evaluation.scores):
        yield _worst_case(evaluation, case, mean, scans.get(case))
    yield "<h2>All scores</h2>\n" + _score_table(evaluation.scores)
    yield "<h2>Settings and versions</h2>\n" + _settings(evaluation, folder, record)


def _left_out(evaluation: Evaluation) -> Iterable[str]:
    """The files that had no partner, and what else one should know."""
    kinds = (
        (evaluation.without_prediction, "No prediction for these references; they are left out of every mean"),
        (evaluation.without_reference, "No reference for these predictions; they are left out"),
    )
    for paths, sentence in kinds:
        if paths:
            items = "".join(f"<li>{escaped(path)}</li>" for path in paths)
            yield f'<p class="bad">{sentence}:</p>\n<ul>{items}</ul>\n'
    if evaluation.notes:
        yield "<ul>" + "".join(f"<li>{escaped(note)}</li>" for note in evaluation.notes) + "</ul>\n"


def _summary_table(evaluation: Evaluation) -> str:
    columns = ("organ", "n", "missed", "absent", "spurious", "Dice", "HD95 (mm)", "surface Dice")
    *organs, overall = map(_summary_row, evaluation.summary)
    caption = f"Mean [95 % bootstrap interval over cases]; surface Dice at {evaluation.tolerance:g} mm. {COUNTING}"
    return html_table(caption, columns, organs, overall)


def _summary_row(row: OrganSummary) -> list[str | Cell]:
    counts = (row.n, row.missed, row.absent, row.spurious)
    means = (_mean(row.dice, 3), _mean(row.hd95, 1), _mean(row.surface_dice, 3))
    return [row.organ, *(Cell(str(count), count) for count in counts), *means]


def _mean(mean: Mean, digits: int) -> Cell:
    if mean.mean is None:
        return Cell("-", None)
    return Cell(f"{mean.mean:.{digits}f} [{mean.low:.{digits}f}, {mean.high:.{digits}f}]", mean.mean)


def _distributions(evaluation: Evaluation) -> str:
    scores = evaluation.scores
    note = "A dot is a case where both label maps have the organ; the box spans the quartiles, the bar is the median."
    drawings = (
        distribution("Dice", scores, "dice", 1.0),
        distribution("HD95 in mm, less is better", scores, "hd95"),
        distribution(f"Surface Dice at {evaluation.tolerance:g} mm", scores, "surface_dice", 1.0),
    )
    return f"<p>{note}</p>\n" + "".join(drawings)


def _drawn(scans: dict[str, Path]) -> str:
    text = "Those with the lowest mean Dice over their organs, through the largest area on which the two differ."
    return text if scans else f"{text} No scans were given (--scans), so that the label maps lie on black."


def _worst_case(evaluation: Evaluation, case: str, mean: float, scan: Path | None) -> str:
    scores = [score for score in evaluation.scores if score.case == case]
    sentences = []
    for status in ("missed", "spurious", "absent"):
        if organs := [score.organ for score in scores if score.status == status]:
            sentences.append(f"{status}: {', '.join(organs)}")
    if scored := sorted((score.dice or 0.0, score.organ) for score in scores if score.status == "scored"):
        sentences.append("lowest Dice: " + ", ".join(f"{organ} {dice:.3f}" for dice, organ in scored[:3]))
    if scan is None:
        sentences.append("drawn without its scan")
    heading = f"<h3>{escaped(case)}, mean Dice {mean:.3f}</h3>\n<p>{escaped('; '.join(sentences))}</p>\n"
    return heading + _picture(evaluation, case, scores, scan) if case in evaluation.cases else heading


def _picture(evaluation: Evaluation, case: str, scores: list[OrganScore], scan: Path | None) -> str:
    maps = read_case(evaluation.cases[case], evaluation.names, evaluation.mapping)
    labels = {folded(score.organ): score.label for score in scores}
    numbers = {
        code: labels[folded(organ.name)]
        for code, organ in enumerate(maps.organs, start=1)
        if folded(organ.name) in labels
    }
    prediction, reference = (_one_map(side, numbers) for side in (maps.prediction, maps.reference))
    grid = Volume(prediction, maps.affine, path=evaluation.cases[case].prediction.path)
    window = None if scan else (0.0, 1.0)
    names = {score.label: score.organ for score in scores}
    figure = agreement_figure(_background(grid, scan), prediction, reference, names, window)
    stream = BytesIO()
    Image.fromarray(pixels(figure)).save(stream, "jpeg", quality=JPEG_QUALITY, subsampling=0)
    data = base64.b64encode(stream.getvalue()).decode("ascii")
    width, height = (round(inches * figure.dpi) for inches in figure.get_size_inches())
    text = f"{case}: reference, prediction and their agreement, each in axial, coronal and sagittal plane"
    return (
        f'<figure><img src="data:image/jpeg;base64,{data}" width="{width}" height="{height}" '
        f'alt="{escaped(text)}"></figure>\n'
    )


def _one_map(side: CodedMap, numbers: dict[int, int]) -> np.ndarray:
    """The label map (X, Y, Z) under the numbers of the report; of organs that overlap the later one is seen."""
    first, *others = (renumbered(layer, numbers) for layer in side.layers)
    for layer in others:
        np.copyto(first, layer, where=layer > 0)
    return first


def _background(labels: Volume, scan: Path | None) -> Volume:
    """The scan on the grid of a label map; black where there is none."""
    if scan is None:
        return Volume(np.broadcast_to(np.uint8(0), labels.shape), labels.affine, path=labels.path)
    volume = turned_like(read_volume(scan), labels)
    check_same_grid(labels, volume)
    return volume


def _scans_by_case(evaluation: Evaluation, scans: Path | None) -> dict[str, Path]:
    if scans is None:
        return {}
    listed = [*find_volumes(scans)]
    if len(listed) == len(evaluation.cases) == 1:
        return dict(zip(evaluation.cases, listed, strict=True))
    found = scans_of_cases(scans, evaluation.cases)
    if not found:
        raise DataError(
            f"{scans}: no scan has the name of a case (found {', '.join(map(volume_stem, listed[:3]))}; expected "
            f"{', '.join(list(evaluation.cases)[:3])})"
        )
    return found


def _score_table(scores: Sequence[OrganScore]) -> str:
    columns = ("case", "organ", "label", "status", "Dice", "HD95 (mm)", "surface Dice", "ml", "reference ml")
    field = (
        '<p class="screen"><label>Show rows with <input type="search" data-filters="scores" '
        'placeholder="a case, an organ or a status"></label></p>\n'
    )
    caption = f"{_counted(len(scores), 'score')}, a row for each case and organ. The head of a column sorts by it."
    return field + html_table(caption, columns, map(_score_row, scores), identifier="scores")


def _score_row(score: OrganScore) -> list[str | Cell]:
    figures = ((score.dice, 3), (score.hd95, 1), (score.surface_dice, 3), (score.volume_ml, 1), (score.reference_ml, 1))
    cells = [Cell("-" if value is None else f"{value:.{digits}f}", value) for value, digits in figures]
    return [score.case, score.organ, Cell(str(score.label), score.label), score.status, *cells]


def _settings(evaluation: Evaluation, scans: Path | None, record: dict[str, Any]) -> str:
    packages, command = record["packages"], record["command"]
    entries = {
        "predictions": _folder(case.prediction.path for case in evaluation.cases.values()),
        "references": _folder(case.reference.path for case in evaluation.cases.values()),
        "scans": scans or "none given",
        "tolerance of the surface Dice": f"{evaluation.tolerance:g} mm",
        "command": shlex.join([os.path.basename(command[0]), *command[1:]]),
        "packages": ", ".join(f"{name} {version}" for name, version in packages.items()),
        "Python": record["python"],
        "system": record["system"],
    }
    return "<dl>" + "\n".join(f"<dt>{key}</dt><dd>{escaped(value)}</dd>" for key, value in entries.items()) + "</dl>\n"


def _folder(paths: Iterable[Path]) -> str:
    """The file, or the folder that all of them lie in."""
    given = [str(path) for path in paths]
    return given[0] if len(given) == 1 else os.path.commonpath(given) if given else "not known"
