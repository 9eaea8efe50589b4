"""`medssm view`: an interactive page of a scan and its organs."""

from pathlib import Path
from typing import Annotated

import typer

from medssm.cli.options import FillGaps, LabelNames, VolumeNumber
from medssm.data.scans.formats import known_formats


def register(app: typer.Typer) -> None:
    app.command()(view)


def view(
    scan: Annotated[Path, typer.Argument(metavar="SCAN", help=f"A scan: {known_formats()}.")],
    labels: Annotated[
        Path | None, typer.Argument(metavar="[SEG]", help="Its label map, or a folder with a mask for each organ.")
    ] = None,
    compare: Annotated[Path | None, typer.Option(help="A second label map, to compare with SEG.")] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write the page as this file, which opens anywhere offline, and end.")
    ] = None,
    names: LabelNames = None,
    volume: VolumeNumber = None,
    fill_gaps: FillGaps = False,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the browser.")] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Write the file again if it is there.")] = False,
) -> None:
    """Look at a scan in slices and in 3-D, with its organs and their volumes; nothing leaves this machine."""
    from medssm.cli.terminal import console
    from medssm.data.scans.volume import read_volume
    from medssm.metrics.organs import read_label_names
    from medssm.viewing.page import build_page, serve_page, write_page

    screen = console()
    named = read_label_names(names) if names else None
    shown = read_volume(scan, volume, fill_gaps=fill_gaps)

    def tell(url: str, is_open: bool) -> None:
        what = "opened in the browser" if is_open else "open this address in a browser of this machine"
        screen.print(f"{url}: {what}; Ctrl-C ends", highlight=False, soft_wrap=True)

    if html:
        write_page(html, shown, labels, compare=compare, names=named, overwrite=overwrite)
        screen.print(f"{scan} -> {html}: open it in a browser", highlight=False, soft_wrap=True)
    else:
        serve_page(build_page(shown, labels, compare=compare, names=named), tell, open_browser=browser)
