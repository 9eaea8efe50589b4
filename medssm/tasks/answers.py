"""What a classifier answered, as a picture."""

from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from medssm.tasks.classifier import Classification

# Of the sheet: images across and down, the side of each in pixels, the height of a line of text, letters in a line.
COLUMNS, ROWS, SIDE, LINE, LETTERS = 4, 3, 160, 16, 25
# Of each batch that is shown.
WRONG_PER_BATCH, RIGHT_PER_BATCH = 8, 4
RIGHT, WRONG = (0, 110, 0), (170, 0, 0)


class Answer(NamedTuple):
    """An image (SIDE, SIDE, 3) uint8, its class, and the most probable one with its probability."""

    image: np.ndarray
    truth: int
    guess: int
    probability: float

    @property
    def is_right(self) -> bool:
        return self.truth == self.guess


def of_all_batches(batches: Sequence[Sequence[Answer]]) -> list[Answer]:
    """The first answer of each batch, then the second, and so on: neighbours are of the same class."""
    return [answer for row in zip_longest(*batches) for answer in row if answer]


def answers_to(images: Callable[[int], np.ndarray], labels: Tensor, scores: Tensor) -> list[Answer]:
    """A few wrong and right answers of a batch.

    Args:
        images: from a place in the batch to what it shows, (SIDE, SIDE, 3) uint8.
        labels: (B,). scores: (B, K), logarithms of probabilities.
    """
    if not len(labels):
        return []
    probability, guess = scores.exp().max(1)
    is_wrong = guess != labels
    shown = [*is_wrong.nonzero()[:WRONG_PER_BATCH, 0].tolist(), *(~is_wrong).nonzero()[:RIGHT_PER_BATCH, 0].tolist()]
    return [Answer(images(i), int(labels[i]), int(guess[i]), float(probability[i])) for i in shown]


def contact_sheet(answers: Sequence[Answer], names: Sequence[str]) -> np.ndarray:
    """Images with the given class and, where that is wrong, the true one; wrong ones first; (H, W, 3) uint8.

    Args:
        names: of the classes; a network may know more of them.
    """
    chosen = sorted(answers, key=lambda answer: answer.is_right)[: COLUMNS * ROWS]
    rows = max(1, -(-len(chosen) // COLUMNS))
    sheet = Image.new("RGB", (COLUMNS * SIDE, rows * (SIDE + 2 * LINE)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=LINE - 5)
    for place, answer in enumerate(chosen):
        row, column = divmod(place, COLUMNS)
        left, top = column * SIDE, row * (SIDE + 2 * LINE)
        sheet.paste(Image.fromarray(answer.image), (left, top))
        for line, text in enumerate(_caption(answer, names)):
            pen.text((left + 2, top + SIDE + line * LINE), text, fill=RIGHT if answer.is_right else WRONG, font=font)
    return np.asarray(sheet)


def titled(image: np.ndarray, found: Classification) -> np.ndarray:
    """What a file shows, (SIDE, SIDE, 3) uint8, above its likeliest class; (H, SIDE, 3) uint8."""
    [best] = found.top(1)
    return contact_sheet([Answer(image, best.label, best.label, best.probability)], found.names)[:, :SIDE]


def _caption(answer: Answer, names: Sequence[str]) -> list[str]:
    guess, truth = (names[label] if label < len(names) else f"class {label}" for label in (answer.guess, answer.truth))
    lines = [f"{100 * answer.probability:.0f} % {guess}"] + ([] if answer.is_right else [f"is {truth}"])
    return [line if len(line) <= LETTERS else f"{line[: LETTERS - 1]}…" for line in lines]
