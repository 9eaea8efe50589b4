"""How well label maps agree: Dice, HD95 and surface Dice per organ, and honest means over cases."""

from medssm.metrics.evaluation import Evaluation, evaluate
from medssm.metrics.organ_scores import OrganScore, score_case
from medssm.metrics.summary import OrganSummary, summarise

__all__ = ["Evaluation", "OrganScore", "OrganSummary", "evaluate", "score_case", "summarise"]
