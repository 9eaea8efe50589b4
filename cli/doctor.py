"""`medssm doctor`: what this installation can use."""

import typer


def register(app: typer.Typer) -> None:
    app.command()(doctor)


def doctor() -> None:
    """Print versions, devices, and which kernel backends work here, each tried on a small input."""
    from rich.table import Table
    from rich.text import Text

    from medssm import doctor as examination
    from medssm.cli.terminal import console

    out = console()
    marks = {True: Text("works", "green"), False: Text("no", "yellow")}
    for title, examine in (
        ("Versions", examination.versions),
        ("Devices", examination.devices),
        ("Kernel backends", examination.backends),
    ):
        table = Table(title=title, title_justify="left", show_header=False)
        for subject, works, detail in examine():
            mark = [] if works is None else [marks[works]]
            table.add_row(subject, *mark, detail)
        out.print(table)
