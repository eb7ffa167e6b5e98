"""``top:16:orientation``: the first kernels of a ranking where kernels or groups are named."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from jsonargparse import Namespace
from lightning.pytorch.utilities import rank_zero_only
from rich.text import Text
from torch import nn

from neurovis.cli.chosen_rankings import chosen_rankings
from neurovis.cli.picture_run import checked_options
from neurovis.cli.printing import console
from neurovis.cli.ranked_images import DemoScenes
from neurovis.inputs import InputSpec
from neurovis.kernels import KernelSelection
from neurovis.layers import resolve_layer
from neurovis.tuning import KernelRanking, Rankings, rank_kernels
from neurovis.tuning.rankings import ImageRanking

#: Prefix of a selection that asks for a ranking.
_PREFIX = "top"
_FORM = re.compile(r"top:(\d+)(?::([^:]+))?")
_DEFAULT_RANKING = "orientation"
#: Most kernels that are printed with their scores.
_MOST_PRINTED = 16


def resolve_kernels(
    kernels: KernelSelection, options: Namespace, network: nn.Module, spec: InputSpec, layer: str
) -> KernelSelection:
    """A selection with the kernels themselves in place of ``top:K`` or ``top:K:<ranking>``.

    Any other selection is returned as it is. What is chosen is printed.

    Args:
        kernels: As an option has it.
        options: With ``model``.
        network: Whose kernels they are.
        spec: What it is shown.
        layer: The dotted name of theirs.

    Raises:
        ValueError: If there is no such ranking, it does not apply to the layer, needs images that
            are not there, or the layer has fewer kernels with a score.
    """
    if not is_top(kernels):
        return kernels
    return _Chooser(options, network, spec, layer).choose([str(kernels)])[str(kernels)]


def resolve_groups(
    groups: str | list[list[int]] | list[str],
    options: Namespace,
    network: nn.Module,
    spec: InputSpec,
) -> str | list[KernelSelection]:
    """The same for groups, each of which may be such a selection: ``"top:8;top:8:color"``.

    Raises:
        ValueError: As :func:`resolve_kernels`.
    """
    parts: list[KernelSelection] = (
        [part.strip() for part in groups.split(";")] if isinstance(groups, str) else [*groups]
    )
    wanted = [str(part) for part in parts if is_top(part)]
    if not wanted:
        return groups if isinstance(groups, str) else parts
    chosen = _Chooser(options, network, spec, options.layer).choose(wanted)
    return [chosen[str(part)] if is_top(part) else part for part in parts]


def is_top(part: KernelSelection) -> bool:
    """True if a selection asks for the first kernels of a ranking."""
    return isinstance(part, str) and part.strip().startswith(_PREFIX)


@dataclass
class _Chooser:
    """Ranks a layer's kernels once for all that is asked."""

    options: Namespace
    network: nn.Module
    spec: InputSpec
    layer: str

    def choose(self, selections: list[str]) -> Mapping[str, list[int]]:
        """The kernels of each selection."""
        resolve_layer(self.network, self.layer)  # One, and no type of layers.
        asked = {text: _parse(text) for text in selections}
        rankings = self._rank([by for _, by in asked.values()])
        chosen = {}
        for text, (count, by) in asked.items():
            ranking = rankings[self.layer, by]
            scored = int(ranking.score.isfinite().sum())
            if ranking.reason is None and count > scored:
                raise ValueError(
                    f'"{text}": layer "{ranking.layer}" has {scored} kernels with a '
                    f"{ranking.score_name}, of {len(ranking)}"
                )
            chosen[text] = ranking.top(count)
            _print(ranking, chosen[text])
        return chosen

    def _rank(self, by: list[str]) -> Rankings:
        rankings = chosen_rankings(by)
        by_image = [ranking.name for ranking in rankings if isinstance(ranking, ImageRanking)]
        if by_image and self.options.model != "demo":
            raise ValueError(
                f"ranking by {by_image[0]} needs images: run neurovis rank --by {by_image[0]} "
                "--images …, and name the kernels that come first"
            )
        images = DemoScenes(self.spec) if by_image else None
        _say(f"ranking the kernels of {self.layer} by {', '.join(dict.fromkeys(by))} …")
        with checked_options(self.network, self.spec):
            return rank_kernels(
                self.network, self.layer, rankings, input_spec=self.spec, images=images
            )


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
    console().print(Text(text), soft_wrap=True)
