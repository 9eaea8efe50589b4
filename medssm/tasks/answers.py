"""What a network answered to validation images, as a picture."""

from collections.abc import Sequence
from itertools import zip_longest
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from medssm.models.info import ImageInput
from medssm.tasks.classification.samples import ValidationBatch

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


def answers_of(batch: ValidationBatch, logits: Tensor, preparation: ImageInput) -> list[Answer]:
    """A few wrong and right answers of a batch."""
    probability, guess = logits.softmax(1).max(1)
    is_wrong = guess != batch.labels
    shown = [*is_wrong.nonzero()[:WRONG_PER_BATCH, 0].tolist(), *(~is_wrong).nonzero()[:RIGHT_PER_BATCH, 0].tolist()]
    return [
        Answer(_colours(batch.images[i], preparation), int(batch.labels[i]), int(guess[i]), float(probability[i]))
        for i in shown
    ]


def of_all_batches(batches: Sequence[Sequence[Answer]]) -> list[Answer]:
    """The first answer of each batch, then the second, and so on: neighbours are of the same class."""
    return [answer for row in zip_longest(*batches) for answer in row if answer]


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


def _caption(answer: Answer, names: Sequence[str]) -> list[str]:
    guess, truth = (names[label] if label < len(names) else f"class {label}" for label in (answer.guess, answer.truth))
    lines = [f"{100 * answer.probability:.0f} % {guess}"] + ([] if answer.is_right else [f"is {truth}"])
    return [line if len(line) <= LETTERS else f"{line[: LETTERS - 1]}…" for line in lines]


def _colours(image: Tensor, preparation: ImageInput) -> np.ndarray:
    """A normalised image (3, H, W) as it was, at the size of the sheet: (SIDE, SIDE, 3) uint8."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (preparation.mean, preparation.std))
    shown = (image.float().cpu() * std + mean).clamp(0, 1) * 255
    image_as_it_was = Image.fromarray(shown.permute(1, 2, 0).round().to(torch.uint8).numpy())
    return np.asarray(image_as_it_was.resize((SIDE, SIDE)))
