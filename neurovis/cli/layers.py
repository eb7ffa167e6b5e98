"""``neurovis layers``: what can be looked at in a network."""

from __future__ import annotations

from jsonargparse import ArgumentParser, Namespace
from rich.table import Table

from neurovis.cli.options import add_model_arguments, load_model_and_input
from neurovis.cli.printing import console
from neurovis.layer_table import list_layers


def add_arguments(parser: ArgumentParser) -> None:
    """Options: the network, its input, and which modules to list."""
    add_model_arguments(parser)
    parser.add_argument(
        "--all", action="store_true", help="List every module, not only those with kernels."
    )


def run(options: Namespace) -> None:
    """Print the table of layers."""
    network, spec = load_model_and_input(options, is_explained=False)
    rows = list_layers(network, spec, kinds="all" if options.all else "kernels")
    height, width = spec.size
    table = Table(title=f"{options.model}, input {spec.channels} x {height} x {width}")
    for heading in ("layer", "type"):
        table.add_column(heading, overflow="fold")
    for heading in ("kernels", "output size", "stride", "receptive field"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(
            row.name,
            row.type,
            _shown(row.kernels),
            _shown(row.output_size),
            "-" if row.output_size == () else _shown(row.stride),
            _shown(row.receptive_field),
        )
    console().print(table)


def _shown(value: int | tuple[int, ...] | None) -> str:
    """A number, a size such as ``7 x 5``, or a word for what has none."""
    if value is None:
        return "unknown"
    if isinstance(value, int):
        return str(value)
    return " x ".join(str(part) for part in value) or "-"
