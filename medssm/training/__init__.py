"""One training loop for every recipe, on Lightning Fabric."""

from medssm.training.loop import Outcome, fit
from medssm.training.run_folder import RunFolder
from medssm.training.section import Section
from medssm.training.settings import TrainingSettings
from medssm.training.task import Moment, Source, Task

__all__ = ["Moment", "Outcome", "RunFolder", "Section", "Source", "Task", "TrainingSettings", "fit"]
