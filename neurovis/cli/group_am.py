"""``neurovis group-am``: one image that drives a group of kernels together."""

from __future__ import annotations

from jsonargparse import ArgumentParser, Namespace

from neurovis.cli.ascent import add_ascent_arguments, climb, make_trainer, settings
from neurovis.cli.options import load_model_and_input
from neurovis.cli.top_kernels import resolve_groups
from neurovis.maximization import GroupActivationMaximization
from neurovis.maximization.objectives import Joint


def add_arguments(parser: ArgumentParser) -> None:
    """Options of an ascent, and which groups."""
    parser.add_argument("--layer", type=str, required=True, help="Dotted name; see neurovis layers")
    add_ascent_arguments(parser)
    parser.add_argument(
        "--groups",
        type=list[list[int]] | list[str] | str,
        default="all",
        help='"all": the layer as one group; "each:8": batches of 8 kernels; as in "0-7;8,9"; or '
        'the first of a ranking, "top:16:orientation;top:16:color", see rank.',
    )
    parser.add_argument(
        "--joint",
        type=Joint,
        default="mean",
        help="How the members' activations become the number that is climbed.",
    )
    parser.add_argument(
        "--member_weights",
        type=list[list[float]] | None,
        default=None,
        help='With --joint weighted: for each group one weight per kernel, "[[1, 0.5], [1, -1]]".',
    )
    parser.add_argument(
        "--suppressed",
        type=list[list[int]] | str | None,
        default=None,
        help='Kernels that each group\'s image is to silence, "4;5,6" for two groups.',
    )
    parser.add_argument(
        "--zscore",
        type=bool,
        default=False,
        help="Count each member in standard deviations above its mean response to noise.",
    )


def run(options: Namespace) -> None:
    """Optimize an image for each group."""
    network, spec = load_model_and_input(options)
    ascent = settings(options, spec)
    groups = resolve_groups(options.groups, network, spec, options.layer, options.model)
    module = GroupActivationMaximization(
        network,
        options.layer,
        groups,
        spec,
        options.joint,
        options.member_weights,
        options.suppressed,
        options.zscore,
        **ascent,
    )
    climb(module, options, make_trainer(module, options))
