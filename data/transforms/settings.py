"""What all settings of random steps have in common."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Probability = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]
Magnitude = Annotated[float, Field(ge=0)]


class Settings(BaseModel):
    """Checked once, unchangeable, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")
