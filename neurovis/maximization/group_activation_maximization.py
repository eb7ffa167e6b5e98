"""Group activation maximization: the image that several kernels want together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from torch import nn
from typing_extensions import Unpack

from neurovis.inputs import InputSpec
from neurovis.kernels import KernelSelection, distinct_kernels
from neurovis.maximization.jobs import Job
from neurovis.maximization.objectives import Joint, Target
from neurovis.maximization.settings import AscentOptions, AscentSettings
from neurovis.maximization.target_maximization import TargetMaximization


class GroupActivationMaximization(TargetMaximization):
    """One image for each group of kernels, driving all its members together.

    Every member's activation is reported, so that a group won by one kernel is seen to be.

    Args:
        model: The network; it is left alone.
        layer: Dotted name of the layer.
        groups: ``"all"``: the entire layer as one group; ``"each:N"``: batches of N kernels in
            order; text such as ``"0-7;8,9"``; or a sequence of kernel selections.
        input_spec: What the network is shown; ImageNet RGB at 224 pixels when None.
        joint: How members' readouts become the number that is maximized: ``mean``, ``min``, or
            ``weighted``.
        member_weights: One sequence for each group, one number for each member; with
            ``weighted``.
        suppressed: For each group the kernels to silence (or ``""``), whose mean readout is taken
            off; as text ``"4;5,6"``, or one selection for each group.
        zscore: Whether each member counts in standard deviations above its mean response to noise,
            so that a group is not won by the kernels with the largest activations.
        **settings: The options of :class:`AscentSettings`.

    Raises:
        ValueError: If a layer, group, weight, shape or option is not usable.
        TypeError: If there is no such option.
    """

    tag = "group_activation_maximization"
    grouped = True

    def __init__(
        self,
        model: nn.Module,
        layer: str,
        groups: str | Iterable[KernelSelection] = "all",
        input_spec: InputSpec | None = None,
        joint: Joint = "mean",
        member_weights: Sequence[Sequence[float]] | None = None,
        suppressed: str | Iterable[KernelSelection] | None = None,
        zscore: bool = False,
        **settings: Unpack[AscentOptions],
    ) -> None:
        super().__init__(model, layer, input_spec, AscentSettings(**settings))
        if len(self.layers) > 1:
            raise ValueError(
                f'groups are of one layer; "{layer}" means {len(self.layers)}: '
                f"{', '.join(self.layers)}"
            )
        (name,) = self.layers
        count = self.kernel_counts[name]
        members = select_groups(groups, count, name)
        silenced = _suppressed_members(suppressed, len(members), count, name)
        if member_weights is not None and len(member_weights) != len(members):
            raise ValueError(
                f"member_weights has {len(member_weights)} rows for {len(members)} groups"
            )
        targets = [
            Target(
                tuple(group),
                joint,
                tuple(member_weights[index]) if member_weights else None,
                tuple(silenced[index]),
            )
            for index, group in enumerate(members)
        ]
        if zscore:
            targets = self._standardized(targets, name)
        self.set_jobs(
            [Job(index, name, one, _group_label(index, one)) for index, one in enumerate(targets)]
        )

    def _standardized(self, targets: Sequence[Target], layer: str) -> list[Target]:
        """The targets with the noise statistics of their members."""
        means, deviations = (values.tolist() for values in self.noise_statistics(layer))
        return [
            replace(
                target,
                zscore=(
                    tuple(means[kernel] for kernel in target.members),
                    tuple(deviations[kernel] for kernel in target.members),
                ),
            )
            for target in targets
        ]


def _suppressed_members(
    suppressed: str | Iterable[KernelSelection] | None, groups: int, count: int, layer: str
) -> list[list[int]]:
    if suppressed is None:
        return [[] for _ in range(groups)]
    listed = suppressed.split(";") if isinstance(suppressed, str) else list(suppressed)
    if len(listed) != groups:
        raise ValueError(f"suppressed has {len(listed)} parts for {groups} groups")
    return [
        distinct_kernels("suppressed", one, count, layer) if one not in ("", [], ()) else []
        for one in listed
    ]


def select_groups(
    groups: str | Iterable[KernelSelection], count: int, layer: str
) -> list[list[int]]:
    """The kernels of each group; see :class:`GroupActivationMaximization` for what can be asked.

    Example:
        >>> select_groups("each:3", count=8, layer="conv1")
        [[0, 1, 2], [3, 4, 5], [6, 7]]
    """
    if isinstance(groups, str) and groups.startswith("each:"):
        size = groups.removeprefix("each:")
        if not size.isdecimal() or int(size) < 1:
            raise ValueError(f'groups: "{groups}" needs a number of kernels, as in "each:8"')
        return [
            list(range(first, min(first + int(size), count)))
            for first in range(0, count, int(size))
        ]
    if not isinstance(groups, Iterable):
        raise TypeError(
            f'groups of layer "{layer}" are lists of kernels, as in [[0, 1], [2]]; got {groups!r}'
        )
    selections = groups.split(";") if isinstance(groups, str) else list(groups)
    if not selections:
        raise ValueError(f'groups of layer "{layer}": none given; give "all" or "each:8"')
    return [distinct_kernels("groups", selection, count, layer) for selection in selections]


def _group_label(index: int, target: Target) -> str:
    without = f" without {_listed(target.suppressed)}" if target.suppressed else ""
    return f"group {index} ({_listed(target.kernels)}{without})"


def _listed(kernels: tuple[int, ...]) -> str:
    if len(kernels) > 2 and kernels == tuple(range(kernels[0], kernels[-1] + 1)):
        return f"{kernels[0]}-{kernels[-1]}"
    shown = ",".join(str(kernel) for kernel in kernels[:4])
    return f"{shown}{',…' if len(kernels) > 4 else ''}"
