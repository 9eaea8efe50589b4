"""The page of an evaluation: it holds what the CSV holds, fetches nothing, and can be read by everybody."""

import base64
import csv
import hashlib
import io
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from medssm.data.scans.organs import AGREEMENT, ONLY_LEFT, ONLY_RIGHT
from medssm.errors import DataError, GeometryError
from medssm.metrics import Evaluation, OrganScore, evaluate
from medssm.metrics.pairing import pair
from medssm.viewing.distributions import MOST_DOTS, distribution
from medssm.viewing.report import WORST_CASES, worst_cases, write_report

HOSTILE = '<script>alert("x")</script>&amp;\'"><img src=x onerror=alert(1)>'
AFFINE = np.diag([2.0, 2.0, 4.0, 1.0])


class Page(HTMLParser):
    """The tags of a page with their attributes, its texts, and the cells of its tables."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.tables: list[list[list[tuple[str, str | None]]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append(("", dict(attrs).get("data-value")))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self.lasttag in ("td", "th", "button") and self.tables and data.strip():
            text, value = self.tables[-1][-1][-1]
            self.tables[-1][-1][-1] = (text + data, value)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def save(path: Path, labels: np.ndarray, affine: np.ndarray = AFFINE) -> None:
    path.parent.mkdir(exist_ok=True)
    nib.save(nib.Nifti1Image(labels, affine), path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven cases: the liver ever worse, case 6 without a spleen in the prediction, case 2 with one too many."""
    folder = tmp_path_factory.mktemp("cases")
    for number in range(7):
        reference, prediction = (np.zeros((24, 24, 10), np.uint8) for _ in range(2))
        reference[4:12, 4:12, 2:8] = 6
        prediction[4 + number : 12 + number, 4:12, 2:8] = 6
        if number != 2:
            reference[16:20, 16:20, 4:6] = 1
        if number != 6:
            prediction[16:20, 16:20, 4:6] = 1
        save(folder / "ref" / f"label000{number}.nii.gz", reference)
        save(folder / "pred" / f"img000{number}_seg.nii.gz", prediction)
        save(folder / "scans" / f"img000{number}.nii.gz", np.where(reference > 0, 60, -700).astype(np.int16))
    return folder


@pytest.fixture(scope="module")
def evaluation(folder: Path) -> Evaluation:
    return evaluate(folder / "pred", folder / "ref", names={1: "spleen", 4: "gallbladder", 6: "liver"})


@pytest.fixture(scope="module")
def written(folder: Path, evaluation: Evaluation) -> Path:
    write_report(evaluation, folder / "report.html", folder / "scans")
    return folder / "report.html"


@pytest.fixture(scope="module")
def page(written: Path) -> Page:
    return Page(written.read_text(encoding="utf-8"))


def test_the_last_table_holds_every_row_of_the_csv(page: Page, evaluation: Evaluation, tmp_path: Path) -> None:
    evaluation.write_csv(tmp_path / "scores.csv")
    with open(tmp_path / "scores.csv", newline="") as file:
        expected = [[row[key] for key in OrganScore._fields] for row in csv.DictReader(file)]
    case, organ, label, status, *figures = zip(*page.tables[-1][1:], strict=True)
    columns = [[value for _, value in column] for column in (label, *figures)]
    texts = [[text for text, _ in column] for column in (case, organ, status)]
    found = [list(row) for row in zip(texts[0], columns[0], texts[1], texts[2], *columns[1:], strict=True)]
    assert found == expected


def test_the_first_table_holds_the_means_and_counts(page: Page, evaluation: Evaluation) -> None:
    rows = page.tables[0][1:]
    assert [row[0][0] for row in rows] == ["spleen", "gallbladder", "liver", "mean of organs"]
    for row, expected in zip(rows, evaluation.summary, strict=True):
        assert [int(value) for _, value in row[1:5]] == list(expected[1:5])
        assert row[5][1] == ("" if expected.dice.mean is None else repr(expected.dice.mean))
    assert [text for text, _ in rows[0][1:5]] == ["7", "1", "0", "1"]


def test_the_worst_cases_come_first_and_name_what_went_wrong(page: Page, evaluation: Evaluation) -> None:
    """Means by hand: a shift of k of 8 voxels has Dice (8 - k) / 8; a missed and a spurious spleen count as 0."""
    means = {f"000{k}": ((8 - k) / 8 + (k not in (2, 6))) / 2 for k in range(7)}
    expected = sorted(means.items(), key=lambda pair: pair[1])[:WORST_CASES]
    assert worst_cases(evaluation.scores) == [(case, pytest.approx(mean)) for case, mean in expected]
    headings = [text for text in page.texts if ", mean Dice " in text]
    assert headings == [f"{case}, mean Dice {mean:.3f}" for case, mean in expected]
    text = "".join(page.texts)
    assert "missed: spleen; absent: gallbladder; lowest Dice: liver 0.250" in text
    assert "spurious: spleen; absent: gallbladder; lowest Dice: liver 0.750" in text


def test_pictures_lie_in_the_page_and_show_agreement_and_errors(page: Page) -> None:
    assert len(page.of("img")) == WORST_CASES
    for image in page.of("img"):
        kind, data = (image["src"] or "").split(",")
        assert kind == "data:image/jpeg;base64"
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))).astype(int)
        assert picture.shape[:2] == (int(image["height"] or 0), int(image["width"] or 0))
        for colour in (AGREEMENT, ONLY_LEFT, ONLY_RIGHT):
            assert (abs(picture - colour).max(axis=-1) < 12).sum() > 30
        assert (image["alt"] or "").startswith("000")


def test_nothing_is_fetched_and_only_the_own_script_and_style_run(written: Path, page: Page) -> None:
    text = written.read_text(encoding="utf-8")
    [policy] = [meta["content"] or "" for meta in page.of("meta") if "http-equiv" in meta]
    assert policy.startswith("default-src 'none'; ")
    for tag in ("script", "style"):
        [content] = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    addresses = [value for _, given in page.tags for key, value in given.items() if key in ("src", "href", "action")]
    assert all((value or "").startswith("data:") for value in addresses)
    assert not any(key == "style" or key.startswith("on") for _, given in page.tags for key in given)
    assert "http:" not in text
    assert "https:" not in text


def test_settings_and_versions_are_in_the_page(page: Page, folder: Path) -> None:
    import torch

    text = "\n".join(page.texts)
    assert "tolerance of the surface Dice\n2 mm" in text
    assert f"torch {torch.__version__.split('+')[0]}" in text
    assert f"predictions\n{folder / 'pred'}" in text
    assert len(page.of("dt")) == len(page.of("dd")) >= 8


def test_hostile_names_are_only_text(tmp_path: Path) -> None:
    scores = [
        OrganScore(HOSTILE, 1, HOSTILE, "scored", 0.5, 3.0, 0.4, 1.0, 2.0),
        OrganScore("caf\udce9", 1, HOSTILE, "missed", 0.0, 90.0, 0.0, 0.0, 2.0),  # bytes that are no UTF-8
    ]
    write_report(Evaluation(scores, 2.0, [Path(HOSTILE)], [Path(HOSTILE)]), tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert len(page.of("script")) == 1
    assert not page.of("img")
    assert page.tables[-1][1][0][0] == HOSTILE
    assert page.tables[-1][2][0][0] == "caf?"
    assert sum(HOSTILE in text for text in page.texts) >= 6


def test_references_and_predictions_without_a_partner_are_named(tmp_path: Path) -> None:
    score = OrganScore("a", 1, "spleen", "absent", None, None, None, 0.0, 0.0)
    write_report(Evaluation([score], 2.0, [Path("labels/b.nii")], [Path("out/c.nii")]), tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    items = [page.texts[page.texts.index(name)] for name in ("labels/b.nii", "out/c.nii")]
    assert len(items) == len(page.of("li")) == 2
    assert not page.of("img")


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance of #rrggbb."""
    parts = np.array([int(colour[n : n + 2], 16) for n in (1, 3, 5)]) / 255
    return float(np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722])


def test_text_has_contrast_on_screen_and_on_paper(written: Path) -> None:
    style = written.read_text(encoding="utf-8").split("<style>")[1].split("</style>")[0]
    colours = dict(re.findall(r"--(\w+): (#\w{6})", style))
    inks = set(re.findall(r"[ ;{](?:color|fill): ([^;}]+)", style)) - {"none"}
    grounds = set(re.findall(r"background: ([^;}]+)", style)) - {"none"}
    assert inks == {f"var(--{name})" for name in ("ink", "quiet", "bad", "link")}
    assert grounds == {"var(--paper)", "var(--band)"}
    for ink in ("ink", "quiet", "bad", "link"):
        for ground in (colours["paper"], colours["band"], "#ffffff"):
            dark, light = sorted((luminance(colours[ink]), luminance(ground)))
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (ink, ground)


def test_distributions_have_a_dot_for_each_case_at_its_score() -> None:
    scores = [OrganScore(f"c{k}", 6, "liver", "scored", k / 10, 2.0 * k, 0.5, 1.0, 1.0) for k in range(1, 9)]
    scores.append(OrganScore("gone", 6, "liver", "missed", 0.0, 400.0, 0.0, 0.0, 1.0))
    drawing = distribution("HD95", scores, "hd95")
    places = [float(x) for x in re.findall(r'<circle class="dot" cx="([\d.]+)"', drawing)]
    [end] = [float(x) for x, value in re.findall(r'<text x="([\d.]+)"[^>]*>(\d+)</text>', drawing) if value == "20"]
    [start] = [float(x) for x, value in re.findall(r'<text x="([\d.]+)"[^>]*>(\d+)</text>', drawing) if value == "0"]
    np.testing.assert_allclose(places, [start + (end - start) * 2 * k / 20 for k in range(1, 9)], atol=0.1)
    [median] = re.findall(r'<line class="median" x1="([\d.]+)"', drawing)
    assert float(median) == pytest.approx(start + (end - start) * 9 / 20, abs=0.1)
    assert "1 missed" in drawing
    assert "c8: 16.000" in drawing


def test_a_hundred_cases_stay_below_ten_megabytes(tmp_path: Path) -> None:
    """Pictures of the largest size there is, full of noise; thousands of cases do not add dots without end."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 14, (40, 40, 40)).astype(np.uint8)
    save(tmp_path / "labels.nii.gz", labels)
    save(tmp_path / "noise.nii.gz", random.integers(-200, 300, labels.shape).astype(np.int16))
    (tmp_path / "scans").mkdir()
    for k in range(100):
        os.link(tmp_path / "noise.nii.gz", tmp_path / "scans" / f"case{k}.nii.gz")
    [case] = pair(tmp_path / "labels.nii.gz", tmp_path / "labels.nii.gz").cases
    files = {f"case{k}": case for k in range(100)}
    scores = [
        OrganScore(case, label, "portal and splenic veins", "scored", *random.random(5).tolist())
        for case in files
        for label in range(1, 14)
    ]
    write_report(Evaluation(scores, 2.0, [], [], files), tmp_path / "report.html", tmp_path / "scans")
    assert 1_000_000 < (tmp_path / "report.html").stat().st_size < 10_000_000
    many = [OrganScore(str(k), 1, "liver", "scored", 0.5, 1.0, 0.5, 1.0, 1.0) for k in range(5000)]
    assert distribution("Dice", many, "dice").count("<circle") == MOST_DOTS


def test_one_scan_belongs_to_the_one_case_whatever_its_name(folder: Path, tmp_path: Path) -> None:
    one = evaluate(folder / "pred" / "img0003_seg.nii.gz", folder / "ref" / "label0003.nii.gz")
    body = np.full((24, 24, 10), 60, np.int16)
    body[0, 0, :2] = -1000, 900
    save(tmp_path / "another name.nii.gz", body)
    grey = 140  # of 60 HU between -160 and 240: 255 * 220 / 400
    shares = []
    for scan in (tmp_path / "another name.nii.gz", None):
        write_report(one, tmp_path / "report.html", scan)
        page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
        [image] = page.of("img")
        data = base64.b64decode((image["src"] or "").split(",")[1])
        shares.append((abs(np.asarray(Image.open(io.BytesIO(data))).astype(int) - grey).max(axis=-1) < 6).mean())
    assert shares[0] > 0.2 > 10 * shares[1]
    assert "drawn without its scan" in "".join(page.texts)


def test_scans_of_other_cases_are_a_mistake(evaluation: Evaluation, tmp_path: Path) -> None:
    save(tmp_path / "scans" / "report.nii.gz", np.zeros((24, 24, 10), np.int16))
    with pytest.raises(DataError, match=r"no scan has the name of a case \(found report"):
        write_report(evaluation, tmp_path / "report.html", tmp_path / "scans")
    assert not (tmp_path / "report.html").exists()


def test_a_scan_on_another_grid_is_refused_and_nothing_is_written(evaluation: Evaluation, tmp_path: Path) -> None:
    save(tmp_path / "scans" / "img0006.nii.gz", np.zeros((24, 24, 10), np.int16), np.diag([2.0, 2.0, 3.0, 1.0]))
    with pytest.raises(GeometryError, match="not on one grid"):
        write_report(evaluation, tmp_path / "report.html", tmp_path / "scans")
    assert [path.name for path in tmp_path.iterdir()] == ["scans"]
