"""Colours of classes: as many as are asked for, the first ones the farthest apart.

Each colour is the one that lies farthest from all before it, for people with normal vision and for those with
protanopia, deuteranopia or tritanopia, so that class k has one colour in every picture however many classes there are.

Distance: Euclidean in OKLab, Ottosson 2020, https://bottosson.github.io/posts/oklab/.
Simulation of dichromats: Machado, Oliveira & Fernandes 2009, doi:10.1109/TVCG.2009.113, table 1 at severity 1.
Luminance and contrast: WCAG 2.2, https://www.w3.org/TR/WCAG22/.
"""

from functools import lru_cache

import numpy as np

Colour = tuple[int, int, int]

BLACK: Colour = (0, 0, 0)
WHITE: Colour = (255, 255, 255)

_TO_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_OKLAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
_VISIONS = np.array(
    [
        np.eye(3),
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
    ]
)
# Dichromats see a surface of colours, not a volume: as many colours lie closer together for them. With more weight than
# this, the distances for normal vision suffer.
_DICHROMAT_WEIGHT = 1.5
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
_STEPS = np.linspace(0, 255, 18).round()
# Neither lost on black nor on white: contrasts of 3 and of 1.3.
_DARKEST, _BRIGHTEST = 0.1, 0.76


def palette(count: int) -> np.ndarray:
    """The colours of the classes 0 ... count - 1, (count, 3) uint8; those of fewer classes are the first of more."""
    found = _first_colours(64)
    if count > len(found):
        found = _first_colours(max(256, count))
    return np.resize(found, (count, 3))


def readable_on(colour: Colour) -> Colour:
    """Black or white, whichever has the higher contrast."""
    # Both contrasts are equal at a luminance of sqrt(1.05 * 0.05) - 0.05.
    return BLACK if _linear(np.array(colour)) @ _LUMINANCE > 0.179 else WHITE


@lru_cache(maxsize=4)
def _first_colours(count: int) -> np.ndarray:
    """Fewer than `count` only if there are no more candidates."""
    candidates = np.stack(np.meshgrid(_STEPS, _STEPS, _STEPS), axis=-1).reshape(-1, 3)
    luminance = _linear(candidates) @ _LUMINANCE
    candidates = candidates[(luminance >= _DARKEST) & (luminance <= _BRIGHTEST)]
    seen = _as_seen(candidates)
    weight = np.where(np.arange(len(_VISIONS)) == 0, 1.0, _DICHROMAT_WEIGHT)
    distance = np.full(len(candidates), np.inf)
    # Most colourful first: grey is what photographs have most of.
    chosen = [int(np.hypot(seen[0, :, 1], seen[0, :, 2]).argmax())]
    while len(chosen) < min(count, len(candidates)):
        apart = np.linalg.norm(seen - seen[:, chosen[-1:]], axis=-1) * weight[:, None]
        distance = np.minimum(distance, apart.min(axis=0))
        chosen.append(int(distance.argmax()))
    return candidates[chosen].astype(np.uint8)


def _as_seen(colours: np.ndarray) -> np.ndarray:
    """(visions, colours, 3) in OKLab."""
    light = np.clip(np.einsum("vij,nj->vni", _VISIONS, _linear(colours)), 0, 1)
    return np.cbrt(light @ _TO_CONES.T) @ _TO_OKLAB.T


def _linear(colours: np.ndarray) -> np.ndarray:
    value = colours / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
