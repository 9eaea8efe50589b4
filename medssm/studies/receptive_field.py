"""Which part of its input an output depends on, found by running the network backwards."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from torch import Tensor, nn
from torch.nn import functional

# Of images, volumes or tokens on a grid; several maps, as of a pyramid, stand for the last of them.
Network = Callable[[Tensor], Tensor | Sequence[Tensor]]

# Values under this share of the centre's lie outside the field: beyond two standard deviations of a Gaussian.
OUTSIDE = 1 - 0.9545
# Drawn shares of the largest value; less is drawn as nothing, and exactly nothing as grey.
FAINTEST = 1e-4
UNREACHED = "lightgrey"
# Larger fields are drawn as means over blocks: it takes away some of the noise, and most of the picture's bytes.
MOST_CELLS = 64


def receptive_field(
    network: Network, shape: Sequence[int], place: Sequence[int] | None = None, samples: int = 1, seed: int = 0
) -> Tensor:
    """How strongly one place of a network's output depends on each place of its input.

    The root mean square of d(r . y[place]) / dx over inputs of noise x, random signs r of the output's channels, and
    the channels of x: in the mean over r that is the norm of the Jacobian. The sum of the channels without signs would
    not do, since after a norm it is constant. A module is run in evaluation mode, and its weights stay as they are.

    Args:
        network: maps (1, channels, *size) to (1, K, *grid), or to several such maps, of which the last is taken. A
            module runs where its weights are, a function on the CPU.
        shape: (channels, *size) of one input.
        place: of the output's grid; None for the middle.
        samples: inputs of standard-normal noise.

    Returns: (*size) on the CPU, not negative; 0 where the output does not depend on the input at all.
    Source: Luo, Li, Urtasun & Zemel 2016, arXiv:1701.04128, section 3 (effective receptive field).
    """
    random = torch.Generator().manual_seed(seed)
    total = torch.zeros(*shape[1:])
    with _evaluating(network):
        for _ in range(samples):
            x = torch.randn(1, *shape, generator=random).to(_device(network)).requires_grad_()
            [gradient] = torch.autograd.grad(_probed(network(x), place, random), x)
            total += gradient[0].square().mean(0).cpu()
    return (total / samples).sqrt()


def effective_size(field: Tensor) -> float:
    """The side of a square, or cube, of as many places as a field (*size,) has above `OUTSIDE` of its largest.

    >>> effective_size(torch.tensor([[0.0, 0.5, 0.01], [0.5, 1.0, 0.5]]))
    2.0
    """
    inside = (field > OUTSIDE * field.max()).sum()
    return float(inside) ** (1 / field.ndim)


def fields_figure(fields: Mapping[str, Tensor], numbered: bool = False) -> Figure:
    """Fields side by side, each as shares of its largest value on a logarithmic scale; grey is not reached at all.

    Args:
        fields: title -> (H, W); of a volume give a plane.
        numbered: each cell holds its share in percent, for small grids.
    """
    figure = Figure(figsize=(2.7 * len(fields) + 0.9, 3.1), dpi=72, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(fields), squeeze=False)[0]
    for axes, (title, field) in zip(panels, fields.items(), strict=True):
        shares = _in_blocks(field)
        shares = shares / shares.max()
        picture = _draw(axes, shares)
        axes.set_title(title, fontsize=10)
        if numbered:
            _number(axes, shares)
    figure.colorbar(picture, ax=panels[-1], label="share of the largest", shrink=0.8, extend="min")
    return figure


def _device(network: Network) -> torch.device:
    parameters = list(network.parameters()) if isinstance(network, nn.Module) else []
    return parameters[0].device if parameters else torch.device("cpu")


@contextmanager
def _evaluating(network: Network) -> Iterator[None]:
    """A module in evaluation mode, and afterwards as it was."""
    was_training = isinstance(network, nn.Module) and network.training
    if isinstance(network, nn.Module):
        network.eval()
    try:
        yield
    finally:
        if isinstance(network, nn.Module):
            network.train(was_training)


def _probed(output: Tensor | Sequence[Tensor], place: Sequence[int] | None, random: torch.Generator) -> Tensor:
    """Channels of one place, summed with random signs."""
    maps = output if isinstance(output, Tensor) else output[-1]
    where = [n // 2 for n in maps.shape[2:]] if place is None else place
    channels = maps[0]
    for index in where:
        channels = channels[:, index]
    signs = torch.randint(0, 2, channels.shape, generator=random) * 2 - 1
    return (signs.to(channels) * channels).sum()


def _in_blocks(field: Tensor) -> Tensor:
    """Means over square blocks, so that no side has more than `MOST_CELLS` of them."""
    side = -(-max(field.shape) // MOST_CELLS)
    return functional.avg_pool2d(field[None], side, ceil_mode=True)[0]


def _draw(axes: Axes, shares: Tensor) -> AxesImage:
    colours = LogNorm(FAINTEST, 1, clip=False)
    hidden = shares.masked_fill(shares == 0, torch.nan)
    picture = axes.imshow(hidden.numpy(), cmap="viridis", norm=colours, interpolation="nearest")
    axes.set_facecolor(UNREACHED)
    axes.set_xticks([])
    axes.set_yticks([])
    return picture


def _number(axes: Axes, shares: Tensor) -> None:
    """The share of each reached cell, in percent."""
    for row, column in shares.nonzero().tolist():
        share = float(shares[row, column])
        colour = "black" if share > 0.1 else "white"
        percent = f"{100 * share:.0f}" if share >= 0.01 else "<1"
        axes.text(column, row, percent, ha="center", va="center", fontsize=7, color=colour)
