"""``neurovis layers``: what can be looked at in a network."""

from __future__ import annotations

from rich.table import Table

from neurovis.cli.commands import Flag
from neurovis.cli.options import NetworkOptions
from neurovis.cli.printing import console
from neurovis.layer_table import list_layers


def run(network: NetworkOptions, all: Flag = False) -> None:
    """Print the table of a network's layers.

    Args:
        network: Network and its input.
        all: List every module, not only those with kernels.
    """
    module, spec = network.load(is_explained=False)
    rows = list_layers(module, spec, kinds="all" if all else "kernels")
    height, width = spec.size
    table = Table(title=f"{network.model}, input {spec.channels} x {height} x {width}")
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
