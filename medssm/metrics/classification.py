"""How often the right class is among the most probable ones."""

from torch import Tensor


def top_k_hits(logits: Tensor, labels: Tensor, k: int) -> Tensor:
    """For each image the probability that its class is among the k highest logits, ties being broken by lot.

    That is 1 or 0 unless other classes tie with the right one: a network that gives the same logit to all of C classes
    scores k/C, not 1. A class whose logit is NaN is never hit, and NaN ranks above every number.

    Args:
        logits: (B, C).
        labels: (B,) integers.

    Returns: (B,) float32.
    """
    own = logits.gather(1, labels.long().unsqueeze(1))
    above = (~(logits <= own)).sum(1)
    tied = (logits == own).sum(1)
    return ((k - above) / tied.clamp(min=1)).clamp(0, 1) * (tied > 0)


def top_k_accuracy(logits: Tensor, labels: Tensor, k: int) -> float:
    """The share of images, of logits (B, C), whose class is among the k highest, from 0 to 1; see `top_k_hits`."""
    return float(top_k_hits(logits, labels, k).double().mean())
