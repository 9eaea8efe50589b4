"""The benchmark of whole networks, with small ones and little time."""

import sys

import pytest
import torch
from torch import Tensor, nn

from medssm.benchmarks.model_memory import peak_memory
from medssm.benchmarks.model_runs import Conditions, Run
from medssm.benchmarks.models import Speed, affordable, images_per_second, measure_models, parse_batches
from medssm.benchmarks.subjects import Subject, find_subject
from medssm.errors import MedssmError, UsageError
from medssm.models import fresh_model

OURS, TIMM = "mamband-xs", "timm:test_resnet"
QUICK = Conditions(budget=0.01).resolved()


class Probe(nn.Module):
    """Notes how it is called; refuses batches larger than 2 as a full GPU would."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.calls: list[dict[str, object]] = []

    def forward(self, image: Tensor) -> Tensor:
        if len(image) > 2:
            raise torch.OutOfMemoryError
        output: Tensor = self.conv(image)
        self.calls.append(
            {
                "training": self.training,
                "gradients": torch.is_grad_enabled(),
                "channels last": image.is_contiguous(memory_format=torch.channels_last),
                "weights": self.conv.weight.is_contiguous(memory_format=torch.channels_last),
                "type": output.dtype,
            }
        )
        return output


@pytest.fixture
def probes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every name is one of a probe."""
    found = lambda name, size: Subject(name, Probe, (3, 16, 16))  # noqa: E731
    monkeypatch.setattr("medssm.benchmarks.models.find_subject", found)


def test_networks_of_both_libraries_are_timed_side_by_side() -> None:
    report = measure_models([OURS, TIMM], [1, 2], QUICK, repeats=2, memory=False)
    assert [(speed.model, speed.batch) for speed in report.speeds] == [(OURS, 1), (TIMM, 1), (OURS, 2), (TIMM, 2)]
    ours = sum(parameter.numel() for parameter in fresh_model(OURS).parameters())
    assert report.speeds[0].parameters == ours
    for speed in report.speeds:
        assert len(speed.seconds) == 2
        assert min(speed.seconds) > 0
        rates = sorted(speed.batch * speed.passes / seconds for seconds in speed.seconds)
        assert speed.images_per_second == pytest.approx((rates[0], sum(rates) / 2, rates[1]))


def test_repetitions_are_taken_in_turn_each_after_its_warm_up(probes: None, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = []
    monkeypatch.setattr(Run, "passes", lambda run, image, count: turns.append((run.subject.name, count)) or 0.25)
    monkeypatch.setattr("medssm.benchmarks.models.affordable", lambda seconds, budget: (3, 20))
    report = measure_models(["a", "b"], [2], QUICK, repeats=2, memory=False)
    planning = [("a", 1), ("a", 1), ("b", 1), ("b", 1)]
    assert turns == planning + 2 * [("a", 3), ("a", 20), ("b", 3), ("b", 20)]
    assert [speed.seconds for speed in report.speeds] == [(0.25, 0.25)] * 2
    assert report.speeds[0].images_per_second == (160, 160, 160)  # 2 x 20 / 0.25


@pytest.mark.parametrize(
    ("seconds", "budget", "expected"),
    [(0.01, None, (10, 500)), (1e-6, 10, (10, 500)), (0.5, 10, (4, 20)), (3.0, 10, (1, 3)), (60.0, 10, (1, 1))],
)
def test_passes_are_the_published_ones_or_fill_the_budget(
    seconds: float, budget: float | None, expected: tuple[int, int]
) -> None:
    assert affordable(seconds, budget) == expected


@pytest.mark.parametrize(
    ("precision", "kind"), [("32-true", torch.float32), ("bf16-mixed", torch.bfloat16)], ids=["32", "bf16"]
)
@pytest.mark.parametrize("channels_last", [False, True])
def test_network_runs_as_the_conditions_say(precision: str, kind: torch.dtype, channels_last: bool) -> None:
    run = Run(Subject("probe", Probe, (3, 16, 16)), Conditions(precision=precision, channels_last=channels_last))
    run.passes(run.image(2), 3)
    expected = {"training": False, "gradients": False, "type": kind}
    expected |= {"channels last": channels_last, "weights": channels_last}
    assert run.network.calls == [expected] * 3


def test_input_is_standard_normal() -> None:
    image = Run(Subject("probe", Probe, (3, 64, 64)), QUICK).image(8)
    assert image.shape == (8, 3, 64, 64)
    assert abs(image.mean().item()) < 0.02
    assert abs(image.std().item() - 1) < 0.02


def test_what_does_not_fit_into_memory_is_told_and_the_others_go_on(probes: None) -> None:
    fits, too_large = measure_models(["a"], [2, 3], QUICK, repeats=1, memory=False).speeds
    assert fits.images_per_second is not None
    assert too_large == Speed("a", 4 * 27 + 4, (3, 16, 16), 3)
    assert too_large.images_per_second is None
    with pytest.raises(MedssmError, match="memory ran out at batch size 3"):
        images_per_second("a", 3, QUICK, repeats=1)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells the peak of a process")
def test_peak_on_a_cpu_is_little_more_than_weights_and_activations() -> None:
    run = Run(find_subject("timm/resnet18", (64, 64)), QUICK)
    peak = peak_memory(run, batch=2)
    weights = sum(parameter.numel() * 4 for parameter in run.network.parameters())
    assert peak is not None
    assert weights < peak < 2 * weights


def test_images_per_second_is_the_median_of_the_repetitions(probes: None, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([9.0, 1.0, 9.0, 2.0, 9.0, 4.0, 9.0, 5.0])  # after planning, warm-up and counted passes in turn
    monkeypatch.setattr(Run, "passes", lambda run, image, count: next(seconds))
    monkeypatch.setattr("medssm.benchmarks.models.affordable", lambda seconds, budget: (1, 20))
    assert images_per_second("a", 2, QUICK, repeats=3) == 10.0  # 2 x 20 / 4, the middle of 2, 4 and 5 s


def test_sizes_are_the_networks_own_or_those_given() -> None:
    assert find_subject("mamba_vision_T").shape == (3, 224, 224)
    assert find_subject("groupmamba-t", (96, 128)).shape == (3, 96, 128)
    assert find_subject("mamband-video-ucf101").shape == (3, 32, 224, 224)
    assert find_subject("timm:test_resnet", (64, 64)).shape == (3, 64, 64)
    vit = find_subject("timm/test_vit", (64, 64))  # its positions are laid out for a size
    assert vit.build()(torch.rand(1, *vit.shape)).shape == (1, 1000)


@pytest.mark.parametrize(
    ("name", "size", "sentence"),
    [
        ("groupmamba-tt", None, "did you mean groupmamba-t?"),
        ("timm:resnet5", None, "timm has no model 'resnet5'; did you mean resnet50?"),
        ("mamband-s", (64, 64), "leave out --size"),
    ],
)
def test_names_and_sizes_that_cannot_be_get_a_sentence(name: str, size: tuple[int, int] | None, sentence: str) -> None:
    with pytest.raises(UsageError) as refused:
        find_subject(name, size)
    assert sentence in str(refused.value)


def test_conditions_are_the_published_ones_on_a_gpu_and_plain_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Conditions().resolved() == Conditions("cpu", "32-true", False, budget=10.0)
    with pytest.raises(UsageError, match="a CPU has no float16"):
        Conditions(precision="16-mixed").resolved()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert Conditions("cuda").resolved() == Conditions("cuda", "16-mixed", True, budget=None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(MedssmError, match="no CUDA device"):
        Conditions("cuda").resolved()


def test_batch_sizes_are_read_from_text() -> None:
    assert parse_batches("1, 8,32") == (1, 8, 32)
    for text in ("", "0", "1,,2", "eight", "-1", "1.5"):
        with pytest.raises(UsageError, match="such as 1,8,32"):
            parse_batches(text)
    with pytest.raises(UsageError, match="batch sizes of 1 or more"):
        measure_models([OURS], [0])
