"""The page of `medssm view --html` in Chromium, as a person sees and uses it."""

import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from medssm.cli.errors import run
from medssm.cli.main import build_app
from medssm.data.scans.organs import AGREEMENT, BTCV_ORGANS, ONLY_LEFT, ONLY_RIGHT, colour_of
from medssm.data.scans.volume import Volume, write_label_map
from medssm.data.synthetic.phantom import phantom_scan
from medssm.viewing.interactive import NotebookView
from medssm.viewing.page import build_page, niivue

LIVER = 6


def medssm_view(*arguments: object) -> None:
    """Runs the command in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["medssm", "view", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            run(build_app())
    assert not ended.value.code


def save(path: Path, array: np.ndarray, affine: np.ndarray) -> Path:
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


@pytest.fixture(scope="module")
def phantom_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantom")
    phantom = phantom_scan(0, 0, (4.0, 6.0))
    scan = save(folder / "scan.nii.gz", phantom.image, phantom.affine)
    write_label_map(folder / "organs.nii.gz", phantom.labels, Volume(phantom.image, phantom.affine), BTCV_ORGANS)
    medssm_view(scan, folder / "organs.nii.gz", "--html", folder / "page.html")
    return folder / "page.html"


def coloured(picture: np.ndarray, colour: tuple[int, int, int], opacity: float = 1.0) -> np.ndarray:
    """Where a picture has the colour over some grey, (rows, columns)."""
    rest = (picture - np.multiply(colour, opacity)) / max(1 - opacity, 0.02)
    return (np.ptp(rest, axis=-1) < 12) & (rest.min(axis=-1) > -12) & (rest.max(axis=-1) < 267)


def quarters(picture: np.ndarray) -> list[np.ndarray]:
    half = [size // 2 for size in picture.shape[:2]]
    return [part for rows in np.split(picture, half[:1]) for part in np.split(rows, half[1:], axis=1)]


def slices(browser) -> np.ndarray:
    """The picture of the three planes; the last quarter, where the 3-D view lies over it, is black."""
    picture = browser.picture("#planes").copy()
    height, width = picture.shape[:2]
    picture[height // 2 - 2 :, width // 2 - 2 :] = 0
    return picture


def switch(browser, organ: str) -> None:
    browser.find(f"input[aria-label='show {organ}']").click()


def test_every_view_shows_the_phantom_and_nothing_is_fetched(visit, phantom_page: Path) -> None:
    browser = visit(phantom_page)
    for view in quarters(browser.picture("main")):
        assert len(np.unique(view.reshape(-1, 3), axis=0)) > 50
    assert browser.messages() == []
    own = [address for address in browser.requests() if not address.startswith(("data:", "blob:"))]
    assert own == [phantom_page.as_uri()]


def test_organs_have_names_volumes_and_the_fixed_colours(visit, phantom_page: Path) -> None:
    browser = visit(phantom_page)
    labels = nib.load(phantom_page.with_name("organs.nii.gz"))
    voxel_ml = abs(np.linalg.det(labels.affine)) / 1000
    for label, row in enumerate(browser.driver.find_elements("css selector", "#organs tr"), start=1):
        volume = np.count_nonzero(labels.get_fdata() == label) * voxel_ml
        assert row.text.split("\n")[-1].split() == [*BTCV_ORGANS[label].split(), f"{volume:.1f}"]
        red, green, blue = colour_of(label)
        background = row.find_element("css selector", ".swatch").value_of_css_property("background-color")
        assert background in (f"rgb({red}, {green}, {blue})", f"rgba({red}, {green}, {blue}, 1)")


def test_switching_an_organ_off_takes_its_colour_away_and_on_brings_it_back(visit, phantom_page: Path) -> None:
    browser = visit(phantom_page)
    before = slices(browser)
    switch(browser, "liver")
    without = slices(browser)
    is_liver = coloured(before, colour_of(LIVER), 0.5)
    changed = (before != without).any(axis=-1)
    assert is_liver.sum() > 1000
    assert changed[is_liver].mean() > 0.95
    assert binary_dilation(is_liver, iterations=8)[changed].mean() > 0.99  # its border is blended
    switch(browser, "liver")
    np.testing.assert_array_equal(slices(browser), before)


def test_the_3d_view_shows_organs_that_are_on(visit, phantom_page: Path) -> None:
    browser = visit(phantom_page)
    browser.find("#show-none").click()
    dark = browser.picture("#solid")
    switch(browser, "liver")
    lit = browser.picture("#solid")
    drawn = lit[(lit != dark).any(axis=-1)].astype(float)
    assert len(drawn) > 2000
    hue = drawn.mean(axis=0) / drawn.mean(axis=0).max()
    np.testing.assert_allclose(hue, np.divide(colour_of(LIVER), max(colour_of(LIVER))), atol=0.15)


def test_opacity_and_grey_windows_change_the_planes(visit, phantom_page: Path) -> None:
    browser = visit(phantom_page)
    pictures = [slices(browser)]
    assert (np.ptp(pictures[0], axis=-1) > 30).mean() > 0.1
    browser.run("const o = document.getElementById('opacity'); o.value = 0; o.dispatchEvent(new Event('input'))")
    pictures.append(slices(browser))
    assert (np.ptp(pictures[-1], axis=-1) > 30).mean() < 0.02  # letters and crosshair
    for button in browser.driver.find_elements("css selector", "#windows button")[1:]:
        button.click()
        pictures.append(slices(browser))
        assert button.get_attribute("aria-pressed") == "true"
    names = [button.text for button in browser.driver.find_elements("css selector", "#windows button")]
    assert names == ["abdomen", "lung", "bone"]
    assert len({picture.tobytes() for picture in pictures}) == 4


def test_the_page_works_with_the_keyboard(visit, phantom_page: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    browser = visit(phantom_page)

    def height() -> float:
        letter, millimetres = browser.text("place").split()[4:6]
        return float(millimetres) * {"S": 1, "I": -1}[letter]

    start = height()
    browser.press(Keys.PAGE_UP, Keys.PAGE_UP)
    top = height()
    browser.press(Keys.PAGE_DOWN)
    assert start < height() < top
    solid = browser.picture("#solid")
    browser.press(Keys.ARROW_LEFT, shift=True)
    assert (browser.picture("#solid") != solid).any()
    browser.press("w")
    assert browser.find("#low").get_property("value") == "-1350"
    browser.press("o")
    assert not any(box.is_selected() for box in browser.driver.find_elements("css selector", "#organs input"))
    browser.press("1")
    assert browser.find("main").get_attribute("data-view") == "axial"
    reached = []
    for _ in range(24):
        browser.press(Keys.TAB)
        reached.append(browser.run("return document.activeElement.id || document.activeElement.textContent"))
    assert {"all", "lung", "opacity", "spleen"} <= set(reached)
    browser.find("input[aria-label='show liver']").send_keys(Keys.SPACE)
    assert browser.find("input[aria-label='show liver']").is_selected()


def test_text_has_contrast(visit, phantom_page: Path) -> None:
    """At least 4.5 to 1, as WCAG 2.2 has it for text (success criterion 1.4.3)."""
    browser = visit(phantom_page)
    browser.run("document.querySelector('details').open = true; document.getElementById('notes').textContent = 'note'")
    pairs = browser.run(
        """
        const shown = [...document.body.querySelectorAll('*')].filter((e) => e.offsetParent &&
            [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()));
        const ground = (e) => { const c = getComputedStyle(e).backgroundColor;
            return c === 'rgba(0, 0, 0, 0)' && e.parentElement ? ground(e.parentElement) : c; };
        return shown.map((e) => [e.textContent, getComputedStyle(e).color, ground(e)]);
        """
    )
    assert len(pairs) > 30
    for text, *colours in pairs:
        dark, light = sorted(luminance(colour) for colour in colours)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, text


def luminance(css: str) -> float:
    """Relative luminance of rgb(...), by WCAG's formula."""
    parts = np.array([float(part) for part in css[css.index("(") + 1 : -1].split(",")[:3]]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def sphere(folder: Path) -> tuple[Path, Path]:
    """A scan of 1 x 1 x 5 mm, stored to the front, the feet and the left, with a ball on the patient's right side."""
    x, y, z = np.meshgrid(np.arange(100), np.arange(90), np.arange(18) * 5, indexing="ij")
    ball = (x - 75) ** 2 + (y - 35) ** 2 + (z - 55) ** 2 <= 22**2
    image = np.where((x > 5) & (x < 95), 40, -1000).astype(np.int16)
    image[50, 45, 9] = 900
    turns = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt("AIL"))
    for name, array in (("ball.nii.gz", image), ("ball_seg.nii.gz", ball.astype(np.uint8))):
        nib.save(nib.Nifti1Image(array, np.diag([1.0, 1.0, 5.0, 1.0])).as_reoriented(turns), folder / name)
    return folder / "ball.nii.gz", folder / "ball_seg.nii.gz"


def test_the_patients_right_is_on_the_left_and_a_ball_is_round(visit, tmp_path: Path) -> None:
    scan, labels = sphere(tmp_path)
    medssm_view(scan, labels, "--html", tmp_path / "page.html")
    browser = visit(tmp_path / "page.html")
    browser.press("1")
    rows, columns = np.nonzero(coloured(browser.picture("#planes"), colour_of(1), 0.5))
    height, width = browser.picture("#planes").shape[:2]
    assert columns.mean() < 0.45 * width  # towards R
    assert rows.mean() > 0.5 * height  # towards P
    assert np.ptp(columns) == pytest.approx(np.ptp(rows), rel=0.05)
    for plane in "23":
        browser.press(plane)
        rows, columns = np.nonzero(coloured(browser.picture("#planes"), colour_of(1), 0.5))
        slice_height = 5 / 45 * np.ptp(columns)
        assert np.ptp(rows) == pytest.approx(np.ptp(columns), abs=slice_height)
        assert rows.mean() < 0.5 * height  # towards S


def test_two_label_maps_are_compared_in_three_colours(visit, tmp_path: Path) -> None:
    image, affine = np.zeros((40, 40, 40), np.int16), np.diag([2.0, 2.0, 2.0, 1.0])
    left, right = np.zeros((2, 40, 40, 40), np.uint8)
    left[10:25, 10:30, 10:30] = 1
    right[20:35, 10:30, 10:30] = 1
    scan, first, second = (
        save(tmp_path / f"{name}.nii.gz", array, affine)
        for name, array in {"scan": image, "first": left, "second": right}.items()
    )
    medssm_view(scan, first, "--compare", second, "--html", tmp_path / "page.html")
    browser = visit(tmp_path / "page.html")
    browser.press("1", *"++++++")  # opaque
    picture = browser.picture("#planes")
    # on the screen from the left: from the patient's right, where the second map is alone
    places = [np.nonzero(coloured(picture, colour))[1] for colour in (ONLY_RIGHT, AGREEMENT, ONLY_LEFT)]
    assert [np.round(np.mean(place)) for place in places] == sorted(np.round(np.mean(place)) for place in places)
    areas = np.array([len(place) for place in places])
    np.testing.assert_allclose(areas / areas.sum(), [10 / 25, 5 / 25, 10 / 25], atol=0.05)
    row = browser.find("#organs tr").text.split()
    assert row == ["label", "1", "48.0", "48.0", f"{2 * 5 / (15 + 15):.3f}"]
    assert "only left: first.nii.gz" in browser.text("statuses")


def test_names_of_files_and_organs_are_text_and_nothing_else(visit, tmp_path: Path) -> None:
    attack = "<img src=x onerror=window.hacked=1>"
    organ = "</script><script>window.hacked=1</script>"
    scan = save(tmp_path / f"{attack} & 'a' \"b\".nii.gz", np.zeros((8, 8, 8), np.int16), np.eye(4))
    labels = np.ones((8, 8, 8), np.uint8)
    write_label_map(tmp_path / "seg.nii.gz", labels, Volume(labels, np.eye(4)), {1: organ})
    medssm_view(scan, tmp_path / "seg.nii.gz", "--html", tmp_path / "page.html")
    browser = visit(tmp_path / "page.html")
    assert browser.run("return window.hacked") is None
    assert browser.find("h1").text == f"{scan.name} | seg.nii.gz"
    assert browser.find("#organs button").text == organ
    assert browser.messages() == []


def test_the_policy_lets_nothing_out(visit, phantom_page: Path) -> None:
    browser = visit(phantom_page)
    blocked = browser.driver.execute_async_script(
        """
        const done = arguments[0], blocked = [];
        document.addEventListener('securitypolicyviolation', (event) => {
            blocked.push(event.effectiveDirective);
            if (blocked.length === 4) done(blocked.sort());
        });
        fetch('http://127.0.0.1:9/').catch(() => 0);
        new Image().src = 'http://127.0.0.1:9/pixel.png';
        const script = document.createElement('script');
        script.textContent = 'window.hacked = 1';
        document.body.append(script);
        const frame = document.createElement('iframe');
        frame.src = 'http://127.0.0.1:9/';
        document.body.append(frame);
        """
    )
    assert blocked == ["connect-src", "frame-src", "img-src", "script-src-elem"]
    assert browser.run("return window.hacked") is None


def test_a_notebook_shows_the_page_in_a_frame(browser, tmp_path: Path) -> None:
    phantom = phantom_scan(0, 0, (6.0, 6.0))
    view = NotebookView(build_page(Volume(phantom.image, phantom.affine), phantom.labels), figure=None)  # type: ignore[arg-type]
    (tmp_path / "notebook.html").write_text(f"<!doctype html><body>{view.iframe()}</body>", encoding="utf-8")
    browser.driver.get((tmp_path / "notebook.html").as_uri())
    browser.driver.switch_to.frame(0)
    browser.wait_until_ready()
    assert len(np.unique(browser.picture("#planes").reshape(-1, 3), axis=0)) > 50
    browser.driver.switch_to.default_content()


@pytest.mark.parametrize("source", ["_SCRIPT", "_WIDGET"])
def test_the_viewer_of_either_package_draws(
    visit: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    package, name = getattr(niivue, source)
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed; pip install {package}")
    monkeypatch.setattr(niivue, "_SCRIPT" if source == "_WIDGET" else "_WIDGET", ("no_such_package", name))
    scan, labels = sphere(tmp_path)
    medssm_view(scan, labels, "--html", tmp_path / "page.html")
    browser = visit(tmp_path / "page.html")
    browser.press("1")
    assert coloured(browser.picture("#planes"), colour_of(1), 0.5).sum() > 1000
    assert browser.messages() == []
