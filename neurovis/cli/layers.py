"""``neurovis layers``: what can be looked at in a network."""

from __future__ import annotations

from neurovis.cli.commands import Flag
from neurovis.cli.options import NetworkOptions
from neurovis.cli.printing import print_line, print_table
from neurovis.layer_table import list_layers


def run(network: NetworkOptions, all: Flag = False) -> None:
    """Print the table of a network's layers.

    Args:
        network: Network and its input.
        all: List every module, not only those with kernels.
    """
    module, spec = network.load(is_explained=False)
    height, width = spec.size
    title = f"{network.model}, input {spec.channels} x {height} x {width}"
    rows = [
        {
            "layer": layer.name,
            "type": layer.type,
            "kernels": _shown(layer.kernels),
            "output size": _shown(layer.output_size),
            "stride": "-" if layer.output_size == () else _shown(layer.stride),
            "receptive field": _shown(layer.receptive_field),
        }
        for layer in list_layers(module, spec, kinds="all" if all else "kernels")
    ]
    if rows:
        print_table(title, rows, ["layer", "type"])
    else:
        print_line(f"{title}: no layers{'' if all else ' with kernels; see --all'}")


def _shown(value: int | tuple[int, ...] | None) -> str:
    """A number, a size such as ``7 x 5``, or a word for what has none."""
    if value is None:
        return "unknown"
    if isinstance(value, int):
        return str(value)
    return " x ".join(str(part) for part in value) or "-"
