"""What is done to a scan before a network sees it; stored with the weights, so that prediction repeats it."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from medssm.data.scans.channels import Channel, Range, Window

# BTCV's published window in Hounsfield units.
PUBLISHED_WINDOW = Window(low=-175.0, high=250.0)


class Preprocessing(BaseModel):
    """The deterministic part of a pipeline, with BTCV's published values as the default.

    `intensity=(low, high)` may be given in place of `channels`, or to change them: every channel then has this window.
    Weights from before scans had channels say it so.

    Attributes:
        orientation: the axes of the network's grid; RAS is x to the right, y to the front, z to the head.
        spacing: voxel size of the network's grid (x, y, z) in mm.
        channels: of a scan, in the order in which the network takes them.
        crop_foreground: crop to the bounding box of the body, which is what is above air in any channel.

    Source: Mamba-ND's BTCV pipeline, after UNETR (arXiv:2103.10504, section 4.2).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    orientation: Literal["RAS"] = "RAS"
    spacing: tuple[float, float, float] = (1.5, 1.5, 2.0)
    channels: tuple[Channel, ...] = Field((Channel(name="CT", normalisation=PUBLISHED_WINDOW),), min_length=1)
    crop_foreground: bool = True

    @model_validator(mode="before")
    @classmethod
    def _one_window_for_all(cls, content: Any) -> Any:
        """`intensity` as the window of every channel."""
        if not isinstance(content, Mapping) or "intensity" not in content:
            return content
        rest = {key: value for key, value in content.items() if key != "intensity"}
        window = content["intensity"]
        if not isinstance(window, list | tuple) or len(window) != 2:
            raise ValueError(f"intensity must be a range of values such as [-175, 250], found {window!r:.80}")
        low, high = window
        normalisation = {"kind": "window", "low": low, "high": high}
        channels = rest.get("channels") or [{"name": "CT"}]
        named = [{"name": _name(channel), "normalisation": normalisation} for channel in channels]
        return {**rest, "channels": named}

    @property
    def channel_names(self) -> tuple[str, ...]:
        """The channels' names in their order."""
        return tuple(channel.name for channel in self.channels)

    @property
    def windows(self) -> tuple[Range | None, ...]:
        """The range of values that each channel tells apart; None where it differs from scan to scan."""
        return tuple(channel.normalisation.window for channel in self.channels)


def _name(channel: Any) -> Any:
    return channel.get("name") if isinstance(channel, Mapping) else getattr(channel, "name", channel)
