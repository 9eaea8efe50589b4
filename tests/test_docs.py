"""The README and the documentation told true: what stands there to be typed runs, in its order, and what it says is so.

Each page is read by a newcomer who has what NEEDS says and types every block of it. Trainings are cut to a few steps on
a coarse grid; everything else is typed as it stands there. A block after a comment "parsed, not run: why" is not run,
but its commands are held to what the commands take.
"""

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from configparser import ConfigParser
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
import SimpleITK as sitk
import typer.main
import yaml

from medssm.benchmarks.dense_zoo import measure_dense_zoo
from medssm.benchmarks.zoo import measure_zoo
from medssm.cli.errors import run
from medssm.cli.main import build_app
from medssm.data.scans.volume import read_volume
from medssm.data.synthetic.motions import write_motions
from medssm.data.synthetic.objects import write_objects
from medssm.data.synthetic.phantom import write_phantom
from medssm.data.synthetic.scenes import write_scenes
from medssm.data.synthetic.shapes import write_shapes
from medssm.models import list_models, model_info
from medssm.models.flops import model_cost
from medssm.models.registry import count_parameters
from medssm.recipes import list_recipes, load_recipe

ROOT = Path(__file__).parents[1]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))
}
README, MEASURED = PAGES["README.md"], PAGES["docs/measured.md"]

# make and pip are what the tests themselves are run by; the compiler's line is held by the tests of the installation.
NOT_OURS = ("make", "pip", "python")

# What the reader of a page has before typing.
NEEDS = {
    "README.md": ["scan.nii.gz"],
    "docs/howto/own_data.md": ["BTCV", "scans", "scan.nii.gz"],
    "docs/howto/predict.md": ["scan.nii.gz", "another.nrrd", "runs/small"],
    "docs/howto/view.md": ["scan.nii.gz", "segmentations"],
    "docs/howto/images_and_video.md": ["photo.jpg", "ImageNet"],
    "docs/howto/objects.md": ["photo.jpg", "clip.avi", "COCO", "ADE20K", "runs/imagenet"],
    "docs/concepts/geometry.md": ["scan.nii.gz", "segmentations"],
    "docs/concepts/memory.md": ["scan.nii.gz", "runs/small"],
}


class Block(NamedTuple):
    """A fenced block: the first word after the fence, the rest of that line, its text, and whether it is typed."""

    language: str
    heading: str
    text: str
    is_run: bool


def blocks(page: str) -> list[Block]:
    pattern = r"(<!-- parsed, not run: [^>]+ -->\n+)?^ *```(\w+)(.*)\n((?:.*\n)*?) *```$"
    found = re.findall(pattern, PAGES[page], re.MULTILINE)
    return [Block(language, heading, text, not mark) for mark, language, heading, text in found]


def commands(text: str) -> list[list[str]]:
    """Every command of ours in a block, split into words."""
    lines = [shlex.split(line) for line in text.splitlines() if line]
    return [line for line in lines if line[0] not in NOT_OURS]


SYNTHETIC = shlex.split("--set data.synthetic_training=2 --set data.synthetic_validation=1")
ONE_STEP = shlex.split(
    "--max-steps 1 --precision 32-true --set run.batch_size=2 --set run.total_batch=null --set run.loader_processes=1"
)
SHORT_SCANS = shlex.split(
    "--max-steps 1 --set data.preprocessing.spacing=[6,6,6] "
    "--set augmentation.crops.size=[32,32,32] --set augmentation.crops.count=1"
)
SHORT = {
    "btcv": [*SHORT_SCANS, "--set", "data.phantom_cases=3"],
    "mine.yaml": SHORT_SCANS,
    "plan.yaml": SHORT_SCANS,
    "imagenet": [*ONE_STEP, *SYNTHETIC, "--set", "model.input_size=[32,32]"],
    "coco": [
        *ONE_STEP,
        *SYNTHETIC,
        *shlex.split("--set augmentation.short_sides=[64] --set augmentation.long_side=96"),
        *shlex.split("--set validation.short_side=64 --set validation.long_side=96"),
    ],
    "ade20k": [*ONE_STEP, *SYNTHETIC, *shlex.split("--set augmentation.crop=[64,64] --set validation.short_side=64")],
    "ucf101": [*ONE_STEP, *SYNTHETIC],
}
SHORT_BENCH = shlex.split("--budget 0.01 --repeats 1 --no-memory --size 32")


def shortened(command: list[str]) -> list[str]:
    """A command with less to do."""
    if command[1] == "validate" and command[2] != "btcv":
        return [*command, *SYNTHETIC]
    if command[1] == "bench":
        return [*command, *SHORT_BENCH]
    if command[1] != "train":
        return command
    return [*command, *(["--max-steps", "2"] if "--resume" in command else SHORT[command[2]])]


def type_command(command: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code of a command, run as the installed script runs it."""
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        run(build_app())
    return int(ended.value.code or 0)


def train(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    assert type_command(shortened(shlex.split(line)), monkeypatch) == 0, line


class Drawn(NamedTuple):
    """Datasets that are drawn once, from which readers take; and the cache in which medssm keeps its own."""

    abdomens: Path
    images: Path
    clips: Path
    cache: Path


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    folders = Drawn(*(tmp_path_factory.mktemp(name) for name in Drawn._fields))
    write_phantom(folders.abdomens, cases=3, seed=5)
    write_shapes(folders.images, training=2, validation=1)
    write_motions(folders.clips, training=1, validation=1)
    return folders


def put(source: Path, place: Path) -> None:
    """A copy of a file or folder, or of a scan in the format of the other name."""
    place.parent.mkdir(exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, place)
    elif place.suffixes == source.suffixes:
        shutil.copy(source, place)
    else:
        sitk.WriteImage(sitk.ReadImage(source), place)


FILES: dict[str, Callable[[Drawn, Path], Any]] = {
    "BTCV": lambda drawn, folder: put(drawn.abdomens, folder / "BTCV"),
    "scans": lambda drawn, folder: put(drawn.abdomens, folder / "scans"),
    "scan.nii.gz": lambda drawn, folder: put(drawn.abdomens / "imagesTr" / "img0001.nii.gz", folder / "scan.nii.gz"),
    "another.nrrd": lambda drawn, folder: put(drawn.abdomens / "imagesTr" / "img0002.nii.gz", folder / "another.nrrd"),
    "segmentations": lambda drawn, folder: put(
        drawn.abdomens / "labelsTr" / "label0001.nii.gz", folder / "segmentations" / "scan_seg.nii.gz"
    ),
    "photo.jpg": lambda drawn, folder: put(next(drawn.images.glob("val/*/*")), folder / "photo.jpg"),
    "clip.avi": lambda drawn, folder: put(next(drawn.clips.rglob("*.avi")), folder / "clip.avi"),
    "ImageNet": lambda drawn, folder: put(drawn.images, folder / "ImageNet"),
    "COCO": lambda drawn, folder: write_objects(folder / "COCO", training=2, validation=1),
    "ADE20K": lambda drawn, folder: write_scenes(folder / "ADE20K", training=2, validation=1),
}
SMALL = "medssm train btcv --model mamband-xs --data phantom --out runs/small"
IMAGENET = "medssm train imagenet --model spatialmamba-t --data ImageNet --out runs/imagenet"
RUNS = {"runs/small": ([], SMALL), "runs/imagenet": (["ImageNet"], IMAGENET)}


@pytest.fixture
def reader(drawn: Drawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], None]:
    """A function that lays what a reader has into the folder where the reader types."""
    monkeypatch.setenv("MEDSSM_CACHE", str(drawn.cache))
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.chdir(tmp_path)

    def prepare(names: list[str]) -> None:
        for name in names:
            if name in FILES:
                FILES[name](drawn, tmp_path)
            else:
                others, line = RUNS[name]
                prepare(others)
                train(monkeypatch, line)

    return prepare


WRITTEN = {
    "README.md": ["segmentations/img0002_seg.png", "segmentations/img0001_seg.csv", "report.html", "scan.html"],
    "docs/howto/own_data.md": ["segmentations/scan_seg.nii.gz", "runs/mine/recipe.yaml"],
    "docs/howto/predict.md": ["segmentations/scan_seg.nii.gz", "segmentations/another_seg.nrrd"],
    "docs/howto/view.md": ["scan.html"],
    "docs/howto/objects.md": [
        "found/objects.json",
        "found/photo_objects.jpg",
        "label_maps/shares.json",
        "label_maps/photo.png",
        "label_maps/photo_overlay.jpg",
    ],
    "docs/concepts/memory.md": ["bounded/scan_seg.nii.gz"],
}
PRINTED = {
    "README.md": r"spleen",
    "docs/howto/images_and_video.md": r"\(1, 64, 56, 56\)",
    "docs/howto/objects.md": r"torch.Size\(\[\d+, 4\]\) \(\d+, \d+\)",
}


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)])
def test_a_page_runs_as_it_is_written(
    page: str,
    reader: Callable[[list[str]], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    reader(NEEDS.get(page, []))
    told_in_the_readme = blocks("README.md") if page != "README.md" else []
    capsys.readouterr()
    printed, names = "", {}
    for block in blocks(page):
        if not block.is_run or block in told_in_the_readme:
            continue
        if title := re.search(r'title="(.+?)"', block.heading):
            Path(title[1]).write_text(block.text, encoding="utf-8")
        if block.language == "sh":
            for command in commands(block.text):
                assert type_command(shortened(command), monkeypatch) == 0, (command, capsys.readouterr())
        elif block.language == "python":
            exec(compile(block.text, page, "exec"), names)
        printed += capsys.readouterr().out
    assert re.search(PRINTED.get(page, ""), printed)
    assert not [name for name in WRITTEN.get(page, []) if not (tmp_path / name).is_file()]
    for log in tmp_path.glob("runs/*/train.log"):
        resumed = f"--resume --out runs/{log.parent.name}" in PAGES[page]
        assert f"finished at step {2 if resumed else 1}" in log.read_text(encoding="utf-8")


def test_a_label_map_that_the_readme_saves_has_its_names(reader: Callable[[list[str]], None]) -> None:
    reader(["scan.nii.gz", "runs/small"])
    [block] = [block for block in blocks("README.md") if block.language == "python"]
    exec(compile(block.text, "README.md", "exec"), {})
    assert read_volume(Path("scan_seg.nii.gz")).label_names[1] == "spleen"


def test_every_block_is_of_a_kind_that_is_run_or_shown() -> None:
    """`text` and `yaml` show; a YAML with a title is a file that the page's commands read."""
    found = {block.language for page in PAGES for block in blocks(page)}
    assert found <= {"sh", "python", "text", "yaml", "toml"}
    fences = sum(len(re.findall(r"^ *```\w", text, re.MULTILINE)) for text in PAGES.values())
    assert fences == sum(len(blocks(page)) for page in PAGES)
    for page in PAGES:
        for block in blocks(page):
            if block.language == "yaml":
                yaml.safe_load(block.text)


def group() -> Any:
    return typer.main.get_command(build_app())


def parse(words: list[str]) -> None:
    """Raises what Click raises if a command does not take these words."""
    command, rest = group(), words[1:]
    while getattr(command, "commands", None):
        command, rest = command.commands[rest[0]], rest[1:]
    command.make_context(" ".join(words), rest)


def test_commands_that_are_only_shown_are_ones_that_exist() -> None:
    shown = [block.text for page in PAGES for block in blocks(page) if block.language == "sh" and not block.is_run]
    comments = [text for pages in pages_module().all_pages().values() for text in pages.values()]
    lines = [line.strip() for text in (*shown, *comments) for line in re.findall(r"^ *medssm [a-z].*$", text, re.M)]
    typed = [line for line in lines if "[" not in line]
    assert len(typed) > 5
    for line in typed:
        parse(shlex.split(line))


def options_of(command: Any) -> set[str]:
    """The options of a command, or of all commands of a group."""
    own = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    return own.union(*(options_of(part) for part in getattr(command, "commands", {}).values()))


def test_options_of_the_prose_exist() -> None:
    """Those of a page, or of a section of the README, are options of the commands in its title, blocks or text."""
    known = {name: options_of(command) for name, command in group().commands.items()}
    spoken_of = 0
    sections = dict(enumerate(re.split(r"^(?=## )", README, flags=re.MULTILINE)))
    for page, text in (*sections.items(), *list(PAGES.items())[1:]):
        titles = " ".join(re.findall(r"^#+ (.+)", text, re.MULTILINE)).lower()
        typed = {name for pair in re.findall(r"^medssm (\w+)|`medssm (\w+)", text, re.MULTILINE) for name in pair}
        named = [name for name in known if name in titles or any(name in word for word in typed)]
        prose = re.sub(r"`(?:npm|pip|pytest|python|make|mkdocs|tensorboard)[^`]*`", "", text)
        options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", prose)) - {"--debug"}
        spoken_of += len(options)
        missing = options - {"--inplace"} - set().union(*(known[name] for name in named))
        assert not missing, f"{page}: {missing}"
    assert spoken_of > 20


def pages_module() -> ModuleType:
    """The hook that makes pages from the code."""
    spec = importlib.util.spec_from_file_location("medssm_pages", ROOT / "docs" / "pages.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_command_has_a_page_with_all_that_it_takes() -> None:
    pages = pages_module().command_pages()
    assert set(pages) == {f"commands/{name}.md" for name in ("index", *group().commands)}
    for name, command in group().commands.items():
        text = pages[f"commands/{name}.md"]
        assert not [option for option in options_of(command) if option.startswith("--") and option not in text]
        assert (command.help or "").split("\n")[0].split("<")[0] in text


def test_every_recipe_has_a_page_with_every_value_and_its_source() -> None:
    pages = pages_module().recipe_pages()
    assert set(pages) == {f"recipes/{name}.md" for name in ("index", *list_recipes())}
    for name in list_recipes():
        page = pages[f"recipes/{name}.md"]
        [body] = re.findall(r"```yaml\n(.*?)\n```", page, re.DOTALL)
        source = (ROOT / "recipes" / f"{name}.yaml").read_text(encoding="utf-8")
        assert body in source
        assert yaml.safe_load(body) == yaml.safe_load(source)
        assert load_recipe(name).name in page


def test_every_model_stands_on_the_page_of_models() -> None:
    page = pages_module().models_page()
    assert not [name for name in list_models() if f"| `{name}` |" not in page]
    assert "| `mamband-s` |" in page
    [row] = [line for line in page.splitlines() if line.startswith("| `mamband-s` |")]
    assert "36.09" in row
    assert "83.1" in row


def test_the_documentation_builds_without_a_warning_and_fetches_nothing(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    layout, site = tmp_path / "layout" / "medssm", tmp_path / "site"
    layout.mkdir(parents=True)
    for path in (*(ROOT / "medssm").iterdir(), *(ROOT / folder for folder in ("kernels", "cli", "recipes", "data"))):
        (layout / path.name).symlink_to(path)
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(site)],
        cwd=ROOT,
        env={**os.environ, "MEDSSM_LAYOUT": str(layout.parent), "NO_MKDOCS_2_WARNING": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {path.relative_to(site).as_posix(): path.read_text(encoding="utf-8") for path in site.rglob("*.html")}
    assert {"index.html", "commands/train.html", "recipes/btcv.html", "reference/medssm.kernels.html"} <= set(pages)
    loads = r"<(?:script|img|iframe|source)[^>]+src=|<link[^>]+rel=.?(?:stylesheet|preconnect|preload)[^>]+href="
    loaded = rf"(?:{loads})[\"']?(?:https?:)?//"
    assert not [name for name, text in pages.items() if re.search(loaded, text)]
    assert "h[t] = exp" in pages["reference/medssm.kernels.html"].replace("&lsqb;", "[")


def test_the_readme_is_short() -> None:
    assert len(README.encode()) < 10_000
    assert README.count("![") == 1


def test_every_folder_of_the_package_stands_in_the_tree_with_what_it_holds() -> None:
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    [tree] = [block.text for block in blocks("docs/architecture.md") if block.language == "text"]
    named, above = set(), []
    for line in tree.splitlines():
        folder, told = re.match(r"( *)(\S+)/ +(\S.*)", line), None
        if folder:
            above = [*above[: len(folder[1]) // 4], folder[2]]
            named.add("/".join(above))
            told = folder[3]
        assert told is None or len(told) > 3, line
    folders = {name.removeprefix("medssm.").replace(".", "/") for name in config["options"]["packages"].split()}
    listed = {name.removeprefix("medssm/") for name in named}
    assert not folders - listed


def test_links_between_the_pages_of_the_repository_lead_somewhere() -> None:
    """Those that MkDocs does not see: of the files at the top."""
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#]+)", text):
            assert target.startswith("http") or (ROOT / target).is_file(), f"{name}: {target}"


def table_rows(after: str) -> list[list[str]]:
    """The cells of the first table of models after a text of the page of measured figures."""
    table = MEASURED.split(after, 1)[1].split("\n\n| ", 1)[1].split("\n\n", 1)[0]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines() if line.startswith("| `")]


def test_the_table_of_models_is_counted() -> None:
    rows = table_rows("## Networks for volumes")
    assert [row[0].strip("`") for row in rows] == list_models("segmentation")
    for name, _, parameters, multiply_adds, _, published, _ in rows:
        info = model_info(name.strip("`"))
        assert parameters == f"{count_parameters(info.name) / 1e6:.2f} M"
        assert multiply_adds in {f"{model_cost(info.name).multiply_adds / 1e9:.{digits}f} G" for digits in (1, 2)}
        assert published == (str(info.result.value) if info.result else "none")


def test_the_table_of_networks_for_images_is_the_one_that_the_command_makes() -> None:
    """All but the speed; the error of the logits is held by the tests of each network."""
    written = table_rows("## Networks for images and clips")
    counted = [list(row.cells()) for row in measure_zoo(speed=False)]
    error, speed = 5, 6
    assert [row[:error] + row[speed + 1 :] for row in written] == [row[:error] + row[speed + 1 :] for row in counted]
    assert all(row[speed] != "–" for row in written)
    assert {row[error] for row in written if row[error] != "–"} <= {
        f"{n}e-0{k}" for n in range(1, 10) for k in (5, 6, 7)
    }


def test_the_table_of_detectors_and_segmenters_is_the_one_that_the_command_makes() -> None:
    """Sizes, costs and published figures; the error of the outputs is held by the tests of each network."""
    written = table_rows("## Detectors and segmenters")
    counted = {tuple(row.cells()[:2]): list(row.cells()) for row in measure_dense_zoo(("spatialmamba-t", "mamba2d-n"))}
    error = 7
    for key, cells in counted.items():
        [row] = [row for row in written if tuple(row[:2]) == key]
        assert row[:error] + row[error + 1 :] == cells[:error] + cells[error + 1 :]
    published = {(f"`{info.name}`", entry.head) for info in map(model_info, list_models()) for entry in info.dense}
    assert len(written) == len(published)
