"""`medssm models`: what there is, and what one of them is made of."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from medssm.models import ModelInfo
    from medssm.models.flops import Cost


def register(app: typer.Typer) -> None:
    app.command()(models)


def models(
    name: Annotated[
        str | None, typer.Argument(help="A model; without it, the list of all.", show_default=False)
    ] = None,
) -> None:
    """List the models, or show one: parameters, multiply-adds, input, published result, licence of the weights."""
    from medssm.cli.terminal import console
    from medssm.models import list_models, model_info

    out = console()
    if name is None:
        out.print(_list_table([model_info(model) for model in list_models()]))
    else:
        out.print(_model_table(model_info(name)))


def _list_table(infos: "list[ModelInfo]") -> "Table":
    from rich.table import Table

    from medssm.models.flops import model_cost
    from medssm.models.registry import count_parameters

    table = Table(
        "model",
        "what",
        "task",
        "window",
        caption="parameters and FLOPs (two a multiply-add) are counted for one window; `medssm models NAME` shows more",
    )
    for column in ("parameters", "FLOPs", "published", "licence of the weights"):
        table.add_column(column, justify="left" if column.startswith("licence") else "right")
    for info in infos:
        table.add_row(
            info.name,
            info.title,
            info.task,
            _by(info.input_size),
            f"{count_parameters(info.name) / 1e6:.2f} M",
            f"{2 * model_cost(info.name).multiply_adds / 1e9:.2f} G",
            f"{info.result.metric} {info.result.value}" if info.result else "ours, none",
            info.weights.licence if info.weights else "",
        )
    return table


def _model_table(info: "ModelInfo") -> "Table":
    from rich.table import Table

    from medssm.models.flops import model_cost
    from medssm.models.registry import count_parameters

    table = Table(title=info.name, show_header=False)
    rows = {
        "what": f"{info.title} ({info.system}, {info.task})",
        "made by": "this project; nothing was published for it" if info.is_ours else "the authors of the paper",
        "input": f"{info.in_channels} channel, {_by(info.input_size)} voxels of {_by(info.spacing)} mm (x, y, z); "
        f"other sizes in multiples of {_by(info.patch_size)}",
        "output": f"{info.num_classes} classes with the background",
        "parameters": f"{count_parameters(info.name):,}",
        **_cost_rows(model_cost(info.name)),
        **_published_rows(info),
    }
    for row in rows.items():
        table.add_row(*row)
    return table


def _cost_rows(cost: "Cost") -> dict[str, str]:
    parts = ", ".join(f"{part} {multiply_adds / 1e9:.2f}" for part, multiply_adds in cost.parts.items())
    return {
        "FLOPs": f"{2 * cost.multiply_adds / 1e9:.2f} G for one window",
        "multiply-adds": f"{cost.multiply_adds / 1e9:.2f} G ({parts})",
        "state updates": f"{cost.state_updates / 1e9:.3f} G in the scans, not counted above",
    }


def _published_rows(info: "ModelInfo") -> dict[str, str]:
    rows = {}
    if info.result:
        result = info.result
        rows["published"] = f"{result.metric} {result.value} on {result.dataset} ({result.source})"
        rows["beware"] = result.remark
    if info.weights:
        rows["weights"] = f"{info.weights.filename} in huggingface.co/{info.weights.repository}"
        rows["licence of them"] = info.weights.licence
    return rows


def _by(size: "tuple[float, ...]") -> str:
    return " x ".join(f"{n:g}" for n in size)
