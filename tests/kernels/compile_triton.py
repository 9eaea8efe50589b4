"""Compiles Triton kernels for an H100 without having one, and prints what each takes of it, as JSON.

All of them, or those cases that are named.
Run by test_triton.py in a process of its own, because the tests' own process has the interpreter on.
"""

import json
import re
import subprocess
import sys
import tempfile
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from medssm.kernels.causal_conv1d import _triton as convolution
from medssm.kernels.causal_conv1d._triton_kernels import conv_backward, conv_forward
from medssm.kernels.selective_scan import _triton as scan
from medssm.kernels.selective_scan._triton_backward import scan_backward
from medssm.kernels.selective_scan._triton_forward import scan_forward
from medssm.kernels.selective_scan._triton_tiles import carry_states, span_states
from medssm.kernels.state_fusion import _triton as fusion
from medssm.kernels.state_fusion._triton_kernels import correlate, sum_taps
from medssm.kernels.wavefront_scan import _triton as wavefront
from medssm.kernels.wavefront_scan._triton_kernels import wavefront_backward, wavefront_forward

H100 = GPUTarget("cuda", 90, 32)
ALIGNED = [["tt.divisibility", 16]]
ACTIVATIONS = {"u", "dt", "z", "B", "C", "x", "y", "du", "ddt", "dz", "dx", "grad_y", "drive", "vector"}
ACTIVATIONS |= {"dt_top", "dt_left", "B_top", "B_left", "ddt_top", "ddt_left", "h", "grad", "out"}
INTEGERS = {"length", "dim", "group_dim", "blocks_per_group", "blocks", "spans", "span_length", "token_blocks"}
INTEGERS |= {"channel_blocks", "unit", "A_stride_dim", "A_stride_state", "height", "width", "state", "slots"}
INTEGERS |= {"margin", "count"}
TABLES = {"visits", "dilations"}


# What the arguments that are tuples hold, by name, for the kernels of a name that begins so.
SPANS = ("length", "dim", "group_dim", "blocks_per_group", "blocks", "spans", "span_length")
TUPLES: dict[str, dict[str, tuple[str, ...]]] = {
    "wavefront": {
        "inputs": (
            *("x", "x_strides", "dt_top", "dt_top_strides", "dt_left", "dt_left_strides", "A_top", "A_left"),
            *("B_top", "B_top_strides", "B_left", "B_left_strides", "C", "C_strides"),
            *("D", "dt_bias_top", "dt_bias_left"),
        ),
        "sizes": ("height", "width", "dim", "state", "blocks", "slots"),
    },
    "conv": {
        "inputs": ("x", "x_strides", "weight", "bias", "visits"),
        "sizes": ("length", "dim", "token_blocks", "channel_blocks"),
    },
    "scan": {
        "inputs": (
            *("u", "u_strides", "dt", "dt_strides", "A", "B", "B_strides", "C", "C_strides"),
            *("D", "z", "z_strides", "dt_bias", "visits"),
        ),
        "sizes": SPANS,
    },
    "span": {"sizes": SPANS},
}


def source(kernel: Any, dtype: str, constants: dict[str, Any]) -> ASTSource:
    """The kernel for channels-last activations of one dtype, aligned as torch allocates them."""
    tuples = TUPLES.get(kernel.__name__.split("_")[0], {})
    values: dict[tuple[int, ...], Any] = {}
    attributes: dict[tuple[int, ...], Any] = {}

    def kind(name: str, path: tuple[int, ...]) -> Any:
        """Its type in the signature; what is constant and what is aligned is noted by its path."""
        if name in constants:
            values[path] = constants[name]
            return "constexpr"
        if name in tuples:
            return tuple(kind(inner, (*path, index)) for index, inner in enumerate(tuples[name]))
        if name.endswith("_strides"):
            # of (batch, groups, state, length) the state, of (batch, channel, length) the channel
            ones = 2 if name[0] in "BCv" and "unit" in kernel.arg_names else 1
            rank = 2 + ones
            values[(*path, ones)] = 1
            attributes.update({(*path, axis): ALIGNED for axis in range(rank) if axis != ones})
            return tuple("constexpr" if axis == ones else "i32" for axis in range(rank))
        if name in INTEGERS:
            return "i32"
        attributes[path] = ALIGNED
        return "*" + (dtype if name in ACTIVATIONS else "i32" if name in TABLES else "fp32")

    signature = {name: kind(name, (index,)) for index, name in enumerate(kernel.arg_names)}
    return ASTSource(fn=kernel, signature=signature, constexprs=values, attrs=attributes)


def resources(cubin: bytes) -> dict[str, int]:
    """Registers a thread takes, and bytes of its stack, where spilled registers go."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        command = [triton.knobs.nvidia.cuobjdump.path, "-res-usage", file.name]
        report = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    usage = re.search(r"REG:(\d+) STACK:(\d+)", report)
    assert usage is not None, report
    return {"registers": int(usage[1]), "stack": int(usage[2])}


def main() -> None:
    scan_sizes = {"STATE": 16, "N": 16, "SOFTPLUS": True}
    forward = scan_sizes | {"J": 1, "UNROLL": scan.FORWARD_UNROLL, "CHUNK": scan.CHUNK}
    backward = scan_sizes | {"J": 2, "W": 8, "UNROLL": scan.BACKWARD_UNROLL, "CHUNK": scan.CHUNK}
    spans = scan_sizes | {"J": 1, "W": 32, "UNROLL": scan.FORWARD_UNROLL}
    tile = {"WIDTH": 4, "SILU": True, "T": convolution.TOKENS, "W": convolution.CHANNELS}
    strip = {"REVERSE": True, "SOFTPLUS": True, "R": wavefront.CHUNK_ROWS, "N": 16}
    one_state = {"STATE": 1, "N": 1, "D": None, "z": None, "z_strides": None, "visits": None}
    fusion_tile = {"T": fusion.TOKENS["cuda"], "W": fusion.CHANNELS}
    cases = [
        ("scan_forward wide", scan_forward, "bf16", forward | {"W": 32}, 1),
        ("scan_forward narrow", scan_forward, "fp32", forward | {"W": 8, "entering": None, "visits": None}, 1),
        ("scan_backward", scan_backward, "fp32", backward, 1),
        ("span_states", span_states, "fp32", spans | {"REVERSE": True}, 1),
        ("carry_states", carry_states, "fp32", {"STATE": 16, "BLOCK": 64, "UNROLL": 8, "REVERSE": False}, 2),
        ("scan_forward of a state", scan_forward, "bf16", forward | one_state | {"W": 32}, 1),
        ("scan_backward of a state", scan_backward, "fp32", backward | one_state, 1),
        ("sum_taps", sum_taps, "bf16", fusion_tile | {"TRANSPOSED": False}, 4),
        ("sum_taps transposed", sum_taps, "fp32", fusion_tile | {"TRANSPOSED": True}, 4),
        ("correlate", correlate, "bf16", fusion_tile, 4),
        ("conv_forward", conv_forward, "fp32", tile, 4),
        ("conv_backward", conv_backward, "bf16", tile, 4),
        ("wavefront_forward", wavefront_forward, "fp32", strip | {"W": 16}, 4),
        ("wavefront_backward", wavefront_backward, "bf16", strip | {"W": 8}, 4),
        ("wavefront_backward narrow", wavefront_backward, "fp32", strip | {"W": 4, "D": None}, 2),
    ]
    report = {}
    for name, kernel, dtype, constants, num_warps in cases:
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        options = {"num_warps": num_warps, "enable_fp_fusion": True}
        compiled = triton.compile(source(kernel, dtype, constants), target=H100, options=options)
        report[name] = resources(compiled.asm["cubin"])
    print(json.dumps(report))


if __name__ == "__main__":
    main()
