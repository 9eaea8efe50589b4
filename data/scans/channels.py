"""The channels of a scan, and how the values of each are brought to those that a network is given.

A normalisation says what to do, is stored with the weights and repeated at prediction. Fitted to the values of one
scan it is an `IntensityMap`, a linear map with bounds, which can be applied slab by slab.
"""

from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from medssm.data.scans.plausibility import AIR_BELOW, ValueSummary

if TYPE_CHECKING:
    from torch import Tensor

Range = tuple[float, float]
Ranged = TypeVar("Ranged", "Window", "CTStandardised")

# Bins of the histogram in which air is parted from tissue, and the percentiles between which they lie.
_BINS, _HISTOGRAM_FROM = 128, (0.1, 99.9)
# A scan of which this share has the very lowest value was cut out of its surroundings: what has it is no body.
_CUT_OUT = 0.05


class IntensityMap(NamedTuple):
    """(value - shift) / scale of values clipped to [low, high].

    Attributes:
        air: what is not above it is no part of a body.
    """

    low: float
    high: float
    shift: float
    scale: float
    air: float

    def applied(self, image: "Tensor") -> "Tensor":
        """The mapped values, in place; what is no number becomes the lowest, like air."""
        low, high = ((bound - self.shift) / self.scale for bound in (self.low, self.high))
        return image.sub_(self.shift).div_(self.scale).clamp_(low, high).nan_to_num_(low)


class _Normalisation(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    @property
    def window(self) -> Range | None:
        """The values (low, high) that are told apart, where they are the same for every scan."""
        return None


class Window(_Normalisation):
    """The range of values from low to high, mapped to [0, 1] and clipped; in Hounsfield units for CT.

    What is above `low` is body. Source: UNETR (arXiv:2103.10504, section 4.2), as MONAI's ScaleIntensityRange.
    """

    kind: Literal["window"] = "window"
    low: float
    high: float

    @model_validator(mode="after")
    def _low_is_below_high(self) -> "Window":
        return _in_order(self)

    @property
    def window(self) -> Range:
        return self.low, self.high

    def fitted(self, values: ValueSummary) -> IntensityMap:
        """For every scan the same."""
        return IntensityMap(self.low, self.high, self.low, self.high - self.low, self.low)


class CTStandardised(_Normalisation):
    """Hounsfield units, clipped to percentiles of the labelled voxels of a dataset, less their mean, over their SD.

    Attributes:
        low, high: the 0.5th and the 99.5th percentile. mean, sd: of the labelled voxels.

    Source: Isensee et al. 2021, nnU-Net (doi:10.1038/s41592-020-01008-z), for CT.
    """

    kind: Literal["ct"] = "ct"
    low: float
    high: float
    mean: float
    sd: float = Field(gt=0)

    @model_validator(mode="after")
    def _low_is_below_high(self) -> "CTStandardised":
        return _in_order(self)

    @property
    def window(self) -> Range:
        return self.low, self.high

    def fitted(self, values: ValueSummary) -> IntensityMap:
        """For every scan the same; air is what a CT says it is."""
        return IntensityMap(self.low, self.high, self.mean, self.sd, AIR_BELOW)


class ZScore(_Normalisation):
    """Less the mean, over the standard deviation of the body of each scan.

    Source: Isensee et al. 2021, nnU-Net, for all but CT; here within the body, whether it was cut out or not.
    """

    kind: Literal["zscore"] = "zscore"

    def fitted(self, values: ValueSummary) -> IntensityMap:
        """By the mean and the standard deviation of what is above the air of this scan."""
        air = air_level(values)
        body = values.sample[values.sample > air].astype(np.float64)
        mean, sd = (float(body.mean()), float(body.std())) if len(body) else (values.lowest, 0.0)
        return IntensityMap(values.lowest, values.highest, mean, sd or 1.0, air)


class Percentile(_Normalisation):
    """The range between two percentiles of each scan's body, mapped to [0, 1] and clipped.

    Source: Nyul and Udupa 1999 (doi:10.1002/(SICI)1522-2594(199912)42:6<1072::AID-MRM11>3.0.CO;2-M), whose landmarks
    these are the outermost two of.
    """

    kind: Literal["percentile"] = "percentile"
    lower: float = Field(1.0, ge=0, lt=100)
    upper: float = Field(99.0, gt=0, le=100)

    @model_validator(mode="after")
    def _lower_is_below_upper(self) -> "Percentile":
        if self.lower >= self.upper:
            raise ValueError(f"lower must be below upper, found {self.lower:g} and {self.upper:g}")
        return self

    def fitted(self, values: ValueSummary) -> IntensityMap:
        """By the percentiles of what is above the air of this scan."""
        air = air_level(values)
        body = values.sample[values.sample > air]
        low, high = np.percentile(body, (self.lower, self.upper)).tolist() if len(body) else (0.0, 1.0)
        return IntensityMap(low, high, low, (high - low) or 1.0, air)


class Unchanged(_Normalisation):
    """The values as they are stored; every voxel counts as body."""

    kind: Literal["none"] = "none"

    def fitted(self, values: ValueSummary) -> IntensityMap:
        """Nothing is changed."""
        return IntensityMap(values.lowest, values.highest, 0.0, 1.0, -np.inf)


Normalisation = Annotated[Window | CTStandardised | ZScore | Percentile | Unchanged, Field(discriminator="kind")]


class Channel(BaseModel):
    """One channel of a scan: its name as the dataset has it, such as "CT" or "T1", and what is done to its values."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    normalisation: Normalisation


def air_level(values: ValueSummary) -> float:
    """What the air of a scan of any unit is not above.

    The lowest value where it was cut out of its surroundings, as brains are of their skull; else half of the way from
    the lowest value to the threshold that parts dark from bright best, as dark tissue is not to count as air.

    Source: Otsu 1979 (doi:10.1109/TSMC.1979.4310076).
    """
    sample = values.sample
    if not len(sample) or values.share(values.lowest, values.lowest) >= _CUT_OUT:
        return values.lowest
    low, high = np.percentile(sample, _HISTOGRAM_FROM)
    return float(low + (_otsu(sample, low, high) - low) / 2) if high > low else values.lowest


def _otsu(sample: np.ndarray, low: float, high: float) -> float:
    """The threshold at which the means of two parts lie farthest apart for their sizes; of equal ones the middle."""
    counts, edges = np.histogram(sample, _BINS, (low, high))
    centres = (edges[:-1] + edges[1:]) / 2
    below, total = np.cumsum(counts), np.cumsum(counts * centres)
    above = below[-1] - below
    with np.errstate(invalid="ignore", divide="ignore"):
        apart = total / below - (total[-1] - total) / above
    quality = np.nan_to_num(below * above * apart**2)
    return float(edges[1 + np.flatnonzero(quality == quality.max())].mean())


def _in_order(normalisation: Ranged) -> Ranged:
    """Raises ValueError if the range of values is none."""
    if normalisation.low >= normalisation.high:
        raise ValueError(f"low must be below high, found {normalisation.low:g} and {normalisation.high:g}")
    return normalisation
