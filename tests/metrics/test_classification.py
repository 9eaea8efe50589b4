import itertools

import pytest
import torch

from medssm.metrics.classification import top_k_accuracy, top_k_hits


def hits_by_lot(row: list[float], label: int, k: int) -> float:
    """The share of all ways to break ties by which the label is among the k highest."""
    orders = list(itertools.permutations(range(len(row))))
    ranked = (sorted(order, key=lambda c: row[c], reverse=True) for order in orders)
    return sum(label in order[:k] for order in ranked) / len(orders)


@pytest.mark.parametrize("k", [1, 2, 3, 5, 7])
def test_hits_are_those_of_a_ranking_whose_ties_are_broken_by_lot(k: int) -> None:
    """Logits from few values, so that most rows have ties."""
    logits = torch.randint(0, 3, (40, 5), generator=torch.Generator().manual_seed(k)).float()
    labels = torch.arange(40) % 5
    expected = [hits_by_lot(row, label, k) for row, label in zip(logits.tolist(), labels.tolist(), strict=True)]
    torch.testing.assert_close(top_k_hits(logits, labels, k), torch.tensor(expected))


@pytest.mark.parametrize("k", [1, 5])
def test_accuracy_without_ties_is_that_of_sorting(k: int) -> None:
    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(200, 20, generator=generator), torch.randint(0, 20, (200,), generator=generator)
    highest = logits.argsort(1, descending=True)[:, :k].tolist()
    expected = sum(label in row for row, label in zip(highest, labels.tolist(), strict=True)) / 200
    assert top_k_accuracy(logits, labels, k) == pytest.approx(expected)


def test_a_network_that_says_nothing_scores_chance() -> None:
    labels = torch.arange(10)
    assert top_k_accuracy(torch.zeros(10, 10), labels, 1) == pytest.approx(0.1)
    assert top_k_accuracy(torch.zeros(10, 10), labels, 5) == pytest.approx(0.5)


def test_nan_is_never_a_hit() -> None:
    nan = float("nan")
    logits = torch.tensor([[nan, 1.0, 2.0], [nan, 1.0, 2.0], [nan, nan, nan]])
    assert top_k_hits(logits, torch.tensor([0, 2, 1]), 1).tolist() == [0, 0, 0]
    assert top_k_hits(logits, torch.tensor([0, 2, 1]), 2).tolist() == [0, 1, 0]


def test_more_than_all_classes_is_all_of_them() -> None:
    assert top_k_accuracy(torch.randn(4, 3), torch.tensor([0, 1, 2, 0]), 5) == 1.0


def test_half_precision_counts_exactly() -> None:
    logits = torch.zeros(4096, 2).half()
    logits[:, 1] = 1
    assert top_k_accuracy(logits, torch.ones(4096, dtype=torch.int64), 1) == 1.0
