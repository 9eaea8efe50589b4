"""`medssm models`: what there is, and what one of them is made of."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from medssm.models import ModelInfo
    from medssm.models.counts import NetworkCost
    from medssm.models.info import PublishedDense


def register(app: typer.Typer) -> None:
    app.command()(models)


def models(
    name: Annotated[
        str | None, typer.Argument(help="A model; without it, the list of all.", show_default=False)
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Also write what is known of them as JSON.")] = None,
) -> None:
    """List the models, or show one: size, cost, input, published results and weights, detectors and segmenters."""
    from medssm.cli.terminal import console
    from medssm.models import list_models, model_info

    out = console()
    if json:
        _write_json(json, [model_info(model) for model in ([name] if name else list_models())])
    if name is None:
        out.print(_list_table([model_info(model) for model in list_models()]))
    else:
        out.print(_model_table(model_info(name)))


def _write_json(path: Path, infos: "list[ModelInfo]") -> None:
    from medssm.files import atomic_path, json_text
    from medssm.models.description import model_description

    with atomic_path(path) as temporary:
        temporary.write_text(json_text([model_description(info) for info in infos]), encoding="utf-8")


def _list_table(infos: "list[ModelInfo]") -> "Table":
    from rich.table import Table

    from medssm.models import is_offered, list_heads
    from medssm.models.catalogue.monai_networks import MONAI_MODELS
    from medssm.models.counts import kept_counts

    monai = ", ".join(MONAI_MODELS)
    table = Table(
        "model",
        "what",
        "task",
        "input",
        caption="parameters and multiply-adds are counted for one input; `medssm models NAME` shows more; any network "
        f"for images goes under the heads {', '.join(list_heads())}; MONAI's networks for scans are {monai}",
    )
    for column in ("parameters", "multiply-adds", "published", "licence of the weights"):
        table.add_column(column, justify="left" if column.startswith("licence") else "right")
    for info in infos:
        if is_offered(info.name):  # counted where it is shown alone: its code may be slow, or fail
            table.add_row(info.name, info.title, info.task, _by(info.input_size), "", "", "of another package", "")
            continue
        counts = kept_counts(info)
        table.add_row(
            info.name,
            info.title,
            info.task,
            _by(info.input_size),
            f"{counts.parameters / 1e6:.2f} M",
            f"{counts.cost.multiply_adds / 1e9:.2f} G",
            "ours, none" if info.is_ours else f"{info.result.metric} {info.result.value}" if info.result else "none",
            info.weights.licence if info.weights else "",
        )
    return table


def _model_table(info: "ModelInfo") -> "Table":
    from rich.table import Table

    from medssm.models.counts import kept_counts

    counts = kept_counts(info)
    table = Table(title=info.name, show_header=False)
    rows = {
        "what": f"{info.title} ({info.system}, {info.task})",
        "also called": ", ".join(info.aliases),
        "made by": "this project; nothing was published for it" if info.is_ours else "the authors of the paper",
        "input": _input(info),
        "output": f"{info.num_classes} classes" + (" with the background" if info.task == "segmentation" else ""),
        "parameters": f"{counts.parameters:,}{_published_parameters(info)}",
        **_cost_rows(info, counts.cost),
        **_published_rows(info),
        **_dense_rows(info),
    }
    for name, text in rows.items():
        if text:
            table.add_row(name, text)
    return table


def _input(info: "ModelInfo") -> str:
    from medssm.models.info import VolumeInput

    size = _by(info.input_size)
    if isinstance(info.input, VolumeInput):
        return (
            f"{info.in_channels} channel, {size} voxels of {_by(info.input.spacing)} mm (x, y, z); "
            f"other sizes in multiples of {_by(info.patch_size)}"
        )
    colours = f"RGB with mean {_by(info.input.mean)} and standard deviation {_by(info.input.std)} taken off"
    if info.task == "video":
        return f"{size} (frames, pixels); {colours}"
    return f"{size} pixels or another size; {colours}"


def _cost_rows(info: "ModelInfo", cost: "NetworkCost") -> dict[str, str]:
    from medssm.models.counts import counted_as_published

    parts = ", ".join(f"{part} {n / 1e9:.2f}" for part, n in cost.parts.items() if n)
    rows = {
        "multiply-adds": f"{cost.multiply_adds / 1e9:.2f} G for one input ({parts})",
        "attention": f"{cost.attention / 1e9:.3f} G multiply-adds, not counted above" if cost.attention else "",
        "state updates": f"{cost.state_updates / 1e9:.4f} G in the scans, not counted above",
        "FLOPs": f"{2 * cost.multiply_adds / 1e9:.2f} G, two a multiply-add",
    }
    counted = counted_as_published(info.cost, cost)
    if info.cost and counted:
        added = f", with {' and '.join(info.cost.counts)}," if info.cost.counts else ""
        rows["published"] = (
            f"{info.cost.multiply_adds:g} G (called FLOPs) in {info.cost.source}; counted in the same way{added} "
            f"{counted / 1e9:.2f} G"
        )
        rows["difference"] = info.cost.remark
    return rows


def _published_parameters(info: "ModelInfo") -> str:
    return f" (published {info.cost.parameters:g} M)" if info.cost else ""


def _published_rows(info: "ModelInfo") -> dict[str, str]:
    rows = {}
    if info.result:
        result = info.result
        rows["accuracy"] = f"{result.metric} {result.value} on {result.dataset} ({result.source})"
        rows["beware"] = result.remark
    if info.weights:
        rows["weights"] = info.weights.whereabouts
        rows["licence of them"] = info.weights.licence
    return rows


def _dense_rows(info: "ModelInfo") -> dict[str, str]:
    """A row for each detector and segmenter that was published on the model."""
    return {f"{published.head}, {published.schedule}": _dense_row(info, published) for published in info.dense}


def _dense_row(info: "ModelInfo", published: "PublishedDense") -> str:
    from medssm.models.counts import counted_as_published, kept_counts

    cost, dataset = published.cost, published.results[0].dataset
    assert cost is not None
    counts = kept_counts(info, published)
    ours = (counted_as_published(cost, counts.cost) or counts.cost.multiply_adds + counts.cost.attention) / 1e9
    stated = f"published {cost.multiply_adds:g} G" if cost.multiply_adds else "none published"
    parts = [
        f"{published.score} on {dataset} ({cost.source})",
        f"{counts.parameters / 1e6:.2f} M parameters (published {cost.parameters:g} M)",
        f"{ours:.0f} G multiply-adds at {_by(published.cost_size)} ({stated})",
        f"difference: {cost.remark}" if cost.remark else "",
        f"beware: {published.results[0].remark}" if published.results[0].remark else "",
        f"weights: {published.weights.whereabouts}, {published.weights.licence}" if published.weights else "no weights",
    ]
    return "; ".join(part for part in parts if part)


def _by(size: "tuple[float, ...]") -> str:
    return " x ".join(f"{n:g}" for n in size)
