"""Group activation maximization: the image that several kernels want together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import nn
from typing_extensions import Unpack

from neurovis.inputs import InputSpec
from neurovis.kernels import KernelSelection, distinct_kernels
from neurovis.maximization.jobs import Job
from neurovis.maximization.objectives import Joint, group_target
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
        statistics = None
        if zscore:
            means, deviations = (values.tolist() for values in self.noise_statistics(name))
            statistics = (means, deviations)
        self.set_jobs(
            [
                _group_job(
                    index,
                    name,
                    group,
                    joint,
                    tuple(member_weights[index]) if member_weights else None,
                    silenced[index],
                    statistics,
                )
                for index, group in enumerate(members)
            ]
        )


def _group_job(
    index: int,
    layer: str,
    kernels: Sequence[int],
    joint: Joint,
    weights: tuple[float, ...] | None,
    suppressed: Sequence[int],
    statistics: tuple[Sequence[float], Sequence[float]] | None,
) -> Job:
    """Return the job of a group; ``statistics`` are of all of the layer's readouts of noise."""
    zscore = None
    if statistics is not None:
        members = [*kernels, *suppressed]
        means, deviations = ([values[member] for member in members] for values in statistics)
        zscore = (means, deviations)
    target = group_target(kernels, joint, weights, suppressed, zscore)
    without = f" without {_listed(suppressed)}" if suppressed else ""
    label = f"group {index} ({_listed(kernels)}{without})"
    parts = [label, str(tuple(kernels)), joint]
    parts += [f"weights {weights}"] if weights else []
    parts += [f"suppressed {tuple(suppressed)}"] if suppressed else []
    # The statistics themselves are measured, and may differ in their last digits.
    parts += ["zscore"] if statistics else []
    signed = (*(weights or (1.0,) * len(kernels)), *[-1.0] * len(suppressed))
    return Job(
        index,
        layer,
        target,
        label,
        asked=", ".join(parts),
        weights=signed if weights or suppressed else None,
        unit="SD" if statistics else "",
    )


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


def _listed(kernels: Sequence[int]) -> str:
    if len(kernels) > 2 and list(kernels) == list(range(kernels[0], kernels[-1] + 1)):
        return f"{kernels[0]}-{kernels[-1]}"
    shown = ",".join(str(kernel) for kernel in kernels[:4])
    return f"{shown}{',…' if len(kernels) > 4 else ''}"
