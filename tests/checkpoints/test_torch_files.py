"""Files of the kinds that others publish, and files that try to run something."""

import argparse
import builtins
import collections
import enum
import functools
import os
import pathlib
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch

from medssm.checkpoints.published import read_weights_file
from medssm.errors import CheckpointError
from medssm.torch_files import load_torch_file


def contents(foreign):
    """One object of each system's kind, beside the tensors."""
    node = foreign("yacs.config", "CfgNode", (dict,))({"MODEL": {"NAME": "vssm"}})
    node.__dict__["__immutable__"] = True
    yield "configuration node", {"model": tensors(), "config": node, "epoch": 299}
    history = foreign("mmengine.logging.history_buffer", "HistoryBuffer", mean=lambda self: 0)
    buffer = history()
    buffer.log, buffer.statistics = np.arange(5.0), {"mean": buffer.mean}
    hub = {"log_scalars": collections.OrderedDict(loss=buffer), "runtime_info": {"epoch": 3}}
    meta = {"version": "0.10", "dataset_meta": {"classes": ("a", "b")}, "path": pathlib.PurePosixPath("/data")}
    yield "message hub", {"state_dict": tensors(), "meta": meta, "message_hub": hub}
    colour = enum.Enum("Colour", {"RED": 1}, module="project.colours")
    foreign("project.colours", "unused")
    sys.modules["project.colours"].Colour = colour
    hyper = {
        "optimizer": functools.partial(torch.optim.AdamW, lr=1e-3),
        "colour": colour.RED,
        "queue": collections.deque([1]),
    }
    yield "hyper-parameters", {"state_dict": tensors(), "hyper_parameters": hyper, "callbacks": {}}
    yield "arguments", {"model": tensors(), "args": argparse.Namespace(lr=0.1, epochs=5), "scaler": {"scale": 2.0}}
    yield "numpy scalar", {"state_dict": tensors(), "best_acc": np.float64(0.831), "steps": np.int64(7)}
    yield "numpy array", {"state_dict": tensors(), "curve": np.arange(6, dtype=np.float32).reshape(2, 3)}


def tensors():
    return {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.ones(2, dtype=torch.bfloat16)}


KINDS = ("configuration node", "message hub", "hyper-parameters", "arguments", "numpy scalar", "numpy array")


@pytest.mark.parametrize("kind", KINDS)
def test_tensors_of_every_foreign_kind_of_file_are_read(kind, foreign, saved):
    content = dict(contents(foreign))[kind]
    path = saved(content)
    read = load_torch_file(path)
    assert set(read) == set(content)
    state = read.get("state_dict") or read["model"]
    assert {name: tensor.tolist() for name, tensor in state.items()} == {
        name: tensor.tolist() for name, tensor in tensors().items()
    }


def test_plain_values_survive_and_numpy_scalars_become_numbers(saved):
    content = {"epoch": 12, "name": "run", "nested": [1, (2.5, None)], "curve": np.arange(6.0)}
    content |= {"best_acc": np.float64(0.831), "half": np.float16(0.5), "steps": np.int64(-7), "flag": np.bool_(True)}
    content |= {"byte": np.uint8(200), "complex": np.complex128(1j), "big": np.dtype(">f8").type(1)}
    read = load_torch_file(saved(content))
    assert read["epoch"] == 12
    assert read["nested"] == [1, (2.5, None)]
    assert [read[name] for name in ("best_acc", "half", "steps", "flag", "byte")] == [0.831, 0.5, -7, True, 200]
    assert [type(read[name]) for name in ("best_acc", "steps", "flag")] == [float, int, bool]
    assert read["complex"] is None


class Calls:
    """Pickles as a call of a function: what a hostile file is made of."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


class Stated(Calls):
    """Pickles as a call whose result is given a state."""

    def __init__(self, function, arguments, state):
        self.call = (function, arguments, state)


@pytest.mark.parametrize("code", ["O", "O8", "V8", "S8", "U2", "M8"])
def test_no_numpy_value_is_built_of_raw_bytes(code, saved):
    """numpy makes a pointer of the bytes of an object."""
    kind = Stated(np.dtype, (code, False, True), (3, "|", None, None, None, 8, 8, 0))
    scalar = Calls(np._core.multiarray.scalar, kind, b"A" * 8)
    assert load_torch_file(saved({"state_dict": tensors(), "k": scalar}))["k"] is None


@pytest.mark.parametrize("builder", [bytearray, torch._utils._rebuild_nested_tensor, torch._utils._rebuild_qtensor])
def test_what_torch_would_build_and_no_weights_need_is_refused(builder, saved):
    with pytest.raises(CheckpointError, match=r"asks to call .* which no weights need"):
        load_torch_file(saved({"state_dict": tensors(), "k": Calls(builder, 10)}))


def test_tensors_that_repeat_one_value_by_a_stride_of_zero_are_refused(saved):
    path = saved({"state_dict": {"weight": torch.zeros(1).expand(1 << 28)}})
    with pytest.raises(CheckpointError, match="weight claims 268435456 values"):
        read_weights_file(path)


def test_tensors_that_share_their_bytes_too_often_are_refused(saved):
    shared = torch.zeros(10_000)
    assert len(read_weights_file(saved({"head": shared, "tied": shared})).state) == 2
    with pytest.raises(CheckpointError, match="more than 4 times its size"):
        read_weights_file(saved({f"weight{n}": shared for n in range(40)}))


def test_a_flipped_bit_of_a_weight_is_noticed(saved):
    path = saved({"state_dict": {"weight": torch.arange(1000.0)}})
    content = bytearray(path.read_bytes())
    content[content.index(torch.tensor([500.0, 501.0]).numpy().tobytes())] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"data/0' has another checksum than when it was written"):
        load_torch_file(path)


def test_averaged_weights_are_preferred_under_each_of_their_names(saved):
    plain, averaged = {"w": torch.zeros(2)}, {"w": torch.ones(2)}
    for name in ("state_dict_ema", "model_ema"):
        path = saved({"state_dict": plain, name: averaged})
        assert read_weights_file(path).state["w"].tolist() == [1, 1]
        assert read_weights_file(path, averaged=False).state["w"].tolist() == [0, 0]


def test_foreign_classes_are_neither_imported_nor_built(foreign, saved):
    kind = foreign("project.training", "Recorder")
    kind.built = []
    kind.__setstate__ = lambda self, state: kind.built.append(state)
    path = saved({"state_dict": tensors(), "recorder": kind()})
    read = load_torch_file(path)
    assert kind.built == []
    assert type(read["recorder"]) is collections.OrderedDict
    del sys.modules["project.training"]
    load_torch_file(path)
    assert "project.training" not in sys.modules


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (os.system, ("touch {mark}",)),
        (os.mkdir, ("{mark}",)),
        (subprocess.check_call, (["touch", "{mark}"],)),
        (builtins.eval, ("open('{mark}', 'w')",)),
        (builtins.exec, ("open('{mark}', 'w')",)),
        (builtins.open, ("{mark}", "w")),
        (builtins.__import__, ("antigravity",)),
    ],
)
@pytest.mark.parametrize("place", ["beside", "inside"])
def test_a_file_that_tries_to_run_something_is_refused_and_nothing_runs(function, arguments, place, saved, tmp_path):
    mark = tmp_path / "it_ran"
    arguments = [[a.format(mark=mark) for a in x] if isinstance(x, list) else x.format(mark=mark) for x in arguments]
    content = {"state_dict": tensors()}
    (content if place == "beside" else content["state_dict"])["payload"] = Calls(function, *arguments)
    with pytest.raises(CheckpointError, match=r"asks to call .* nothing was run"):
        load_torch_file(saved(content))
    assert not mark.exists()


@pytest.mark.parametrize("function", [pathlib.Path.touch, functools.reduce, builtins.print, np.fromfile, torch.save])
def test_a_call_of_anything_else_is_read_as_nothing(function, saved, tmp_path, capfd):
    mark = tmp_path / "it_ran"
    if function is pathlib.Path.touch:
        payload = Calls(builtins.getattr, pathlib.PosixPath, "touch")
    else:
        payload = Calls(function, str(mark))
    read = load_torch_file(saved({"state_dict": tensors(), "payload": payload}))
    assert read["payload"] == {}
    assert not mark.exists()
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("part", [0.0, 0.001, 0.1, 0.5, 0.9, 0.99, 0.9999])
def test_a_truncated_file_gets_a_sentence(part, saved):
    path = saved({"state_dict": tensors() | {"large": torch.randn(1000)}})
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(CheckpointError, match="not a readable PyTorch file"):
        load_torch_file(path)


def test_flipped_bytes_give_a_sentence_or_other_numbers_but_no_other_failure(saved):
    path = saved({"state_dict": tensors(), "args": argparse.Namespace(lr=0.1), "best": np.float64(1)})
    content = path.read_bytes()
    refused = []
    random = np.random.RandomState(0)
    for position in random.randint(0, len(content), 300):
        damaged = bytearray(content)
        damaged[position] ^= 1 << random.randint(8)
        path.write_bytes(damaged)
        try:
            load_torch_file(path)
        except CheckpointError as error:
            refused.append(str(error))
    assert len(refused) > 30
    assert not any("\n" in sentence for sentence in refused)


def test_compressed_records_are_refused_before_they_are_unpacked(saved, tmp_path):
    bomb = tmp_path / "bomb.pt"
    with (
        zipfile.ZipFile(saved({"state_dict": {"w": torch.zeros(1_000_000)}})) as source,
        zipfile.ZipFile(bomb, "w") as out,
    ):
        for record in source.infolist():
            out.writestr(record.filename, source.read(record), zipfile.ZIP_DEFLATED)
    assert bomb.stat().st_size < 100_000
    with pytest.raises(CheckpointError, match="compressed"):
        load_torch_file(bomb)


def test_an_array_that_claims_more_than_the_file_holds_is_refused(saved):
    claim = Calls(np._core.multiarray._reconstruct, np.ndarray, (10**12,), b"d")
    read = load_torch_file(saved({"state_dict": tensors(), "curve": claim}))
    assert not hasattr(read["curve"], "shape")


def test_a_tensor_that_claims_more_than_its_storage_is_refused(saved):
    claim = Calls(torch._utils._rebuild_tensor_v2, torch.zeros(4).untyped_storage(), 0, (10**9,), (1,), False, {})
    with pytest.raises(CheckpointError, match="not a readable PyTorch file"):
        load_torch_file(saved({"state_dict": {"w": claim}}))
