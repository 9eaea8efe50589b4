"""`medssm doctor`: what this installation can use."""

import typer


def register(app: typer.Typer) -> None:
    app.command()(doctor)


def doctor() -> None:
    """Print versions, devices, and which kernel backends work here, each tried on a small input."""
    from rich.table import Table

    from medssm import doctor as examination
    from medssm.cli.terminal import console

    out = console()
    marks = {True: "[green]works[/green]", False: "[yellow]no[/yellow]", None: ""}
    for title, examine in (
        ("Versions", examination.versions),
        ("Devices", examination.devices),
        ("Kernel backends", examination.backends),
    ):
        table = Table(title=title, title_justify="left", show_header=False)
        for finding in examine():
            table.add_row(finding.subject, marks[finding.works], finding.detail)
        out.print(table)
