"""The whole chain on synthetic scans: data, a short training, prediction of unseen cases, evaluation, pictures."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from medssm.data.layouts.scans.dataset import load_dataset
from medssm.data.scans.organs import BTCV_ORGANS
from medssm.data.scans.volume import output_path
from medssm.data.synthetic.phantom import write_phantom
from medssm.metrics import OrganSummary, evaluate
from medssm.recipes.running import train
from medssm.tasks.loading import load_predictor
from medssm.training import Outcome
from medssm.viewing.report import write_report

MODEL = "mamband-xs"
# Cases of the phantom that the training never sees: another seed, and none of them chooses a checkpoint.
UNSEEN_CASES, UNSEEN_SEED = 4, 1


@dataclass(frozen=True)
class Demo:
    """What the demo leaves behind.

    Attributes:
        training: how the training ended.
        scores: per organ over the unseen cases, all organs together in the last row.
        pictures: a preview of each unseen case.
    """

    training: Outcome
    scores: list[OrganSummary]
    pictures: list[Path]


def run_demo(
    folder: Path, minutes: float, cases: int | None = None, say: Callable[[str], None] = lambda line: None
) -> Demo | None:
    """Trains, predicts and evaluates in `folder`; one that was stopped goes on where it was.

    Args:
        folder: gets `run`, `unseen`, `predictions`, the scores and a report of them.
        minutes: length of the training.
        cases: scans to train and validate on; None for the recipe's number.
        say: called with a line before each part.

    Returns: None if the training was stopped by a signal.
    """
    run = folder / "run"
    say(f"1/4  training {MODEL} on synthetic abdomens for {minutes:g} minutes (Ctrl-C stops, the same command goes on)")
    settings = {"data.folder": "phantom", "run.max_steps": None, "run.max_minutes": minutes}
    settings |= {"data.phantom_cases": cases} if cases else {}
    if (run / "recipe.yaml").exists():
        outcome = train(None, folder=run, resume=True)
    else:
        outcome = train("btcv", MODEL, settings, run)
    if outcome.signal:
        return None
    unseen = folder / "unseen"
    say(f"2/4  making {UNSEEN_CASES} scans that it has never seen")
    if not unseen.exists():
        write_phantom(unseen, cases=UNSEEN_CASES, seed=UNSEEN_SEED)
    say("3/4  segmenting them")
    pictures = _predict(run, unseen, folder / "predictions")
    say("4/4  comparing with the truth")
    evaluation = evaluate(folder / "predictions", unseen / "labelsTr", names=BTCV_ORGANS)
    evaluation.write_csv(folder / "scores.csv")
    evaluation.write_json(folder / "scores.json")
    write_report(evaluation, folder / "report.html", unseen / "imagesTr")
    return Demo(outcome, evaluation.summary, pictures)


def _predict(run: Path, scans: Path, out: Path) -> list[Path]:
    """Label maps and previews of every scan of a dataset, in `out`."""
    predictor = load_predictor(run)
    dataset = load_dataset(scans)
    pictures = []
    for case in (*dataset.training, *dataset.validation):
        segmentation = predictor.predict(case.image)
        segmentation.save(output_path(case.image, out))
        pictures.append(out.parent / "pictures" / f"{case.id}.png")
        segmentation.save_preview(pictures[-1])
    return pictures
