"""``top:16:orientation``: the first kernels of a ranking where kernels or groups are named."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lightning.pytorch.utilities import rank_zero_only
from torch import nn

from neurovis.cli.options import is_top
from neurovis.cli.own_images import DemoScenes
from neurovis.cli.picture_run import checked_options
from neurovis.cli.printing import print_line
from neurovis.cli.rank import chosen_rankings
from neurovis.inputs import InputSpec
from neurovis.kernels import KernelSelection
from neurovis.layers import resolve_layer
from neurovis.tuning import KernelRanking, rank_kernels

_FORM = re.compile(r"top:(\d+)(?::([^:]+))?")
_DEFAULT_RANKING = "orientation"
#: Most kernels that are printed with their scores.
_MOST_PRINTED = 16


def without_top(
    selections: Sequence[KernelSelection],
    network: nn.Module,
    spec: InputSpec,
    layer: str,
    model: str,
) -> list[KernelSelection]:
    """Return selections with the kernels themselves in place of ``top:K`` or ``top:K:<ranking>``.

    The layer is ranked once; what is chosen is printed. Other selections stay as they are.

    Args:
        selections: Selections of a layer's kernels.
        network: Network of the kernels.
        spec: What it is shown.
        layer: Dotted name of the kernels' layer.
        model: Import path of the network; ``"demo"`` has images for rankings that need some.

    Raises:
        ValueError: If there is no such ranking, it does not apply to the layer, needs images that
            are not there, or the layer has fewer kernels with a score.
    """
    asked = [_parse(str(one)) if is_top(one) else None for one in selections]
    rankings = {by: chosen_rankings(by)[0] for _, by in filter(None, asked)}
    resolve_layer(network, layer)  # One, and no type of layers.
    by_image = [one.name for one in rankings.values() if one.needs_images]
    if by_image and model != "demo":
        raise ValueError(
            f"ranking by {by_image[0]} needs images: run neurovis rank --by {by_image[0]} "
            "--images …, and name the kernels that come first"
        )
    images = DemoScenes(spec) if by_image else None
    _say(f"ranking the kernels of {layer} by {', '.join(rankings)} …")
    with checked_options(network, spec):
        ranked = rank_kernels(network, layer, rankings.values(), input_spec=spec, images=images)
    return [
        one if top is None else _first(ranked[layer, rankings[top[1]].name], top[0])
        for one, top in zip(selections, asked, strict=True)
    ]


def _parse(text: str) -> tuple[int, str]:
    """Return the number of kernels, and the name of the ranking."""
    match = _FORM.fullmatch(text.strip())
    if match is None or int(match[1]) < 1 or match[2] == "all":
        raise ValueError(
            f'cannot read "{text}"; write it as in "top:16" or "top:16:{_DEFAULT_RANKING}"'
        )
    return int(match[1]), match[2] or _DEFAULT_RANKING


def _first(ranking: KernelRanking, count: int) -> list[int]:
    """Return the first kernels of a ranking, and print them."""
    kernels = ranking.top(count)
    shown = [f"{kernel} ({ranking.score[kernel]:.3g})" for kernel in kernels[:_MOST_PRINTED]]
    if len(kernels) > _MOST_PRINTED:
        shown.append(f"… and {len(kernels) - _MOST_PRINTED} more")
    beside = [kernel for kernel in kernels if ranking.null_percentile[kernel] < 95]
    _say(f"first {len(kernels)} by {ranking.by} ({ranking.score_name}): {', '.join(shown)}")
    if beside:
        _say(f"note: {len(beside)} of {len(kernels)} below the 95th percentile of random kernels")
    return kernels


@rank_zero_only
def _say(text: str) -> None:
    print_line(text)
