"""``top:16:orientation``: the first kernels of a ranking where kernels or groups are named."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lightning.pytorch.utilities import rank_zero_only
from torch import nn

from neurovis.cli.own_images import DemoScenes
from neurovis.cli.picture_run import checked_options
from neurovis.cli.printing import print_line
from neurovis.cli.rank import chosen_rankings
from neurovis.inputs import InputSpec
from neurovis.kernels import KernelSelection
from neurovis.layers import resolve_layer
from neurovis.tuning import KernelRanking, rank_kernels
from neurovis.tuning.rankings import ImageRanking

#: Prefix of a selection that asks for a ranking.
_PREFIX = "top"
_FORM = re.compile(r"top:(\d+)(?::([^:]+))?")
_DEFAULT_RANKING = "orientation"
#: Most kernels that are printed with their scores.
_MOST_PRINTED = 16


def resolve_kernels(
    kernels: KernelSelection, network: nn.Module, spec: InputSpec, layer: str, model: str
) -> KernelSelection:
    """Return a selection with the kernels themselves in place of ``top:K`` or ``top:K:<ranking>``.

    Any other selection is returned as it is. What is chosen is printed.

    Args:
        kernels: Value of the option.
        network: Network of the kernels.
        spec: What it is shown.
        layer: Dotted name of the kernels' layer.
        model: Import path of the network; ``"demo"`` has images for rankings that need some.

    Raises:
        ValueError: If there is no such ranking, it does not apply to the layer, needs images that
            are not there, or the layer has fewer kernels with a score.
    """
    if not is_top(kernels):
        return kernels
    (chosen,) = _choose([str(kernels)], network, spec, layer, model)
    return chosen


def resolve_groups(
    groups: str | list[list[int]] | list[str],
    network: nn.Module,
    spec: InputSpec,
    layer: str,
    model: str,
) -> str | list[KernelSelection]:
    """Return groups, each of which may be such a selection: ``"top:8;top:8:color"``.

    Args:
        groups: Value of the option.
        network: As in :func:`resolve_kernels`, like all other arguments.
        spec: What the network is shown.
        layer: Dotted name.
        model: Import path of the network.

    Raises:
        ValueError: As :func:`resolve_kernels`.
    """
    parts: list[KernelSelection] = (
        [part.strip() for part in groups.split(";")] if isinstance(groups, str) else [*groups]
    )
    wanted = [str(part) for part in parts if is_top(part)]
    if not wanted:
        return groups if isinstance(groups, str) else parts
    chosen = iter(_choose(wanted, network, spec, layer, model))
    return [next(chosen) if is_top(part) else part for part in parts]


def is_top(part: KernelSelection) -> bool:
    """True if a selection asks for the first kernels of a ranking."""
    return isinstance(part, str) and part.strip().startswith(_PREFIX)


def _choose(
    selections: Sequence[str], network: nn.Module, spec: InputSpec, layer: str, model: str
) -> list[list[int]]:
    """Rank a layer's kernels once, and return those of each selection."""
    resolve_layer(network, layer)  # One, and no type of layers.
    asked = [_parse(text) for text in selections]
    rankings = {by: chosen_rankings(by)[0] for _, by in asked}
    by_image = [one.name for one in rankings.values() if isinstance(one, ImageRanking)]
    if by_image and model != "demo":
        raise ValueError(
            f"ranking by {by_image[0]} needs images: run neurovis rank --by {by_image[0]} "
            "--images …, and name the kernels that come first"
        )
    images = DemoScenes(spec) if by_image else None
    _say(f"ranking the kernels of {layer} by {', '.join(rankings)} …")
    with checked_options(network, spec):
        ranked = rank_kernels(network, layer, rankings.values(), input_spec=spec, images=images)
    chosen = []
    for count, by in asked:
        ranking = ranked[layer, rankings[by].name]
        chosen.append(ranking.top(count))
        _print(ranking, chosen[-1])
    return chosen


def _parse(text: str) -> tuple[int, str]:
    """Return the number of kernels, and the name of the ranking."""
    match = _FORM.fullmatch(text.strip())
    if match is None or int(match[1]) < 1:
        raise ValueError(
            f'cannot read "{text}"; write it as in "top:16" or "top:16:{_DEFAULT_RANKING}"'
        )
    return int(match[1]), match[2] or _DEFAULT_RANKING


def _print(ranking: KernelRanking, kernels: list[int]) -> None:
    shown = [f"{kernel} ({ranking.score[kernel]:.3g})" for kernel in kernels[:_MOST_PRINTED]]
    if len(kernels) > _MOST_PRINTED:
        shown.append(f"… and {len(kernels) - _MOST_PRINTED} more")
    beside = [kernel for kernel in kernels if ranking.null_percentile[kernel] < 95]
    _say(f"first {len(kernels)} by {ranking.by} ({ranking.score_name}): {', '.join(shown)}")
    if beside:
        _say(f"note: {len(beside)} of {len(kernels)} below the 95th percentile of random kernels")


@rank_zero_only
def _say(text: str) -> None:
    print_line(text)
