"""What tuning, saliency, monitors and figures cannot use.

Each name begins with the function's own, as far as the colon.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from bad_input.bad import Bad
from bad_input.networks_of_calls import GRAY, IMAGES, NET
from torch.utils.data import TensorDataset

from neurovis import InputSpec, cascading_randomization, figures, kernel_saliency, rank_kernels
from neurovis import callbacks as monitors
from neurovis.saliency import LayerTarget, SaliencySettings, check_method, kernel_choices
from neurovis.tuning import (
    RankingSettings,
    TuningProbe,
    effective_receptive_field,
    load_reference,
    map_receptive_fields,
    register_ranking,
    reverse_correlation,
    score_against_reference,
    size_tuning,
)
from neurovis.tuning.stimuli import (
    Arcs,
    DenseNoise,
    DriftingGratings,
    Gabors,
    Gratings,
    Mixture,
    Modulation,
    SparseNoise,
    VariedGratings,
    color_modulations,
    default_extents,
    default_spatial_frequencies,
    gabor,
    isoluminant_modulations,
    render_gratings,
)

_NAN = math.nan
_TINY = InputSpec.rgb(3)


def _rank(**options: Any) -> object:
    return rank_kernels(NET, **{"layers": "0", "input_spec": GRAY, **options})


def _explain(**options: Any) -> object:
    given: dict[str, Any] = {"images": IMAGES, "layer": "0", "kernel": 0}
    return kernel_saliency(NET, **{**given, **options})


_TUNING = [
    Bad("rank_kernels: a word", lambda: rank_kernels("net", "0"), "torch.nn.Module; got str"),
    Bad("rank_kernels: a size", lambda: _rank(input_spec=224), "InputSpec.rgb(224); got int"),
    Bad("rank_kernels: near miss", lambda: _rank(by="colour"), '"colour"; did you mean "color"?'),
    Bad(
        "rank_kernels: no layer",
        lambda: _rank(layers=[]),
        "layers needs at least one layer; got none",
    ),
    Bad("rank_kernels: no images", lambda: _rank(by="sparseness"), "sparseness needs images"),
    Bad(
        "rank_kernels: NaN",
        lambda: _rank(by="activation", images=IMAGES * _NAN),
        "image 0 is torch.float32",
    ),
    Bad("rank_kernels: one modality", lambda: _rank(by="modality"), "the input has 1: gray"),
    Bad(
        "rank_kernels: other images",
        lambda: _rank(by="activation", images=IMAGES[..., :8]),
        "(1, 16, 16) … input_spec … image 0 is (1, 16, 8)",
    ),
    Bad("rank_kernels: an option's near miss", lambda: _rank(orientation=8), "'orientation'"),
    Bad(
        "RankingSettings: few",
        lambda: RankingSettings(orientations=3),
        "at least 4, and 8 for sharp",
    ),
    Bad("RankingSettings: null", lambda: RankingSettings(null_kernels=-1), "at least 0; got -1"),
    Bad(
        "TuningProbe: batches", lambda: TuningProbe(NET, "0", batch_size="x"), "an integer; got 'x'"
    ),
    Bad(
        "register_ranking: a word",
        lambda: register_ranking("mine"),
        "WeightRanking; got 'mine'",
    ),
    Bad(
        "effective_receptive_field: kernel",
        lambda: effective_receptive_field(NET, "0", [9], GRAY),
        "kernel 9",
    ),
    Bad(
        "map_receptive_fields: layer",
        lambda: map_receptive_fields(NET, "9", [0], GRAY),
        'layer "9" not',
    ),
    Bad(
        "reverse_correlation: none",
        lambda: reverse_correlation(NET, "0", [], GRAY),
        "none selected",
    ),
    Bad(
        "load_reference: an unknown one",
        lambda: load_reference("macaque_v2"),
        'reference "macaque_v2" not found',
    ),
    Bad(
        "score_against_reference: no pixels in a degree",
        lambda: score_against_reference([], "macaque_v1", pixels_per_degree=0.0),
        "pixels_per_degree must be a positive number; got 0.0",
    ),
    Bad(
        "size_tuning: two for one",
        lambda: size_tuning(NET, "0", [0], torch.zeros(2), torch.ones(1) / 8, GRAY),
        "orientation … one value for each … got shape (2,)",
    ),
    Bad("Gratings: none", lambda: Gratings(GRAY, orientations=0), "at least 1; got 0"),
    Bad(
        "Gratings: too fine",
        lambda: Gratings(GRAY, spatial_frequencies=[0.6]),
        "at most 0.35 cycles/pixel; got 0.6",
    ),
    Bad("Arcs: a tiny image", lambda: Arcs(_TINY), "images of at least … got (3, 3)"),
    Bad("DriftingGratings: an image", lambda: DriftingGratings(GRAY), "at least 4 frames"),
    Bad("Mixture: few", lambda: Mixture(GRAY, TensorDataset(IMAGES)), "at least 12 pictures"),
    Bad(
        "VariedGratings: too fine",
        lambda: VariedGratings(GRAY, torch.zeros(1), torch.ones(1), [], phases=4),
        "at most 0.35 cycles/pixel; got 1",
    ),
    Bad("default_extents: a tiny image", lambda: default_extents(_TINY), "size (3, 3) are too"),
    Bad("Gabors: no width", lambda: Gabors(GRAY, sigma=0), "sigma must be above 0 pixels; got 0"),
    Bad("gabor: no wavelength", lambda: gabor(9, 0, 2, 45), "wavelength must be above 0; got 0"),
    Bad("DenseNoise: none", lambda: DenseNoise(GRAY, 0), "count must be at least 1; got 0"),
    Bad(
        "DenseNoise: near miss", lambda: DenseNoise(GRAY, 9, distribution="normal"), "got 'normal'"
    ),
    Bad(
        "SparseNoise: negative",
        lambda: SparseNoise(GRAY, 9, seed=-1),
        "seed must be 0 or more; got -1",
    ),
    Bad("Modulation: no name", lambda: Modulation("", (1.0,)), "such as 'gray' or 'depth'; got ''"),
    Bad("color_modulations: gray", lambda: color_modulations(GRAY), "gray"),
    Bad("isoluminant_modulations: gray", lambda: isoluminant_modulations(GRAY), "gray"),
    Bad(
        "default_spatial_frequencies: tiny",
        lambda: default_spatial_frequencies(GRAY.resized(2)),
        "2",
    ),
    Bad(
        "render_gratings: other gains",
        lambda: render_gratings(GRAY, *[torch.full((2,), 0.1)] * 4, torch.ones(2, 3)),
        "gains must be (2, 1); got (2, 3)",
    ),
]

_SALIENCY = [
    Bad(
        "kernel_saliency: a word",
        lambda: kernel_saliency("net", IMAGES, "0", 0),
        "torch.nn.Module; got str",
    ),
    Bad("kernel_saliency: no images", lambda: _explain(images="a.png"), "(B, C, H, W); got str"),
    Bad("kernel_saliency: bytes", lambda: _explain(images=IMAGES.byte()), "got torch.uint8"),
    Bad("kernel_saliency: one image", lambda: _explain(images=IMAGES[0]), "got shape (1, 16, 16)"),
    Bad(
        "kernel_saliency: NaN",
        lambda: _explain(images=IMAGES * _NAN),
        "have 512 values of 512 that are not",
    ),
    Bad(
        "kernel_saliency: near miss", lambda: _explain(method="gradint"), "'gradint'; did you mean"
    ),
    Bad("kernel_saliency: no layer", lambda: _explain(layer="00"), 'layer "00" not found'),
    Bad(
        "kernel_saliency: no kernel",
        lambda: _explain(kernel=9),
        'kernel 9 is out of range: layer "0"',
    ),
    Bad("kernel_saliency: a word for one", lambda: _explain(kernel="strngest"), 'got "strngest"'),
    Bad(
        "check_method: near miss",
        lambda: check_method("gradcm"),
        "'gradcm'; did you mean \"gradcam\"",
    ),
    Bad("SaliencySettings: no samples", lambda: SaliencySettings(samples=0), "at least 1; got 0"),
    Bad(
        "LayerTarget: no layer", lambda: LayerTarget.find(NET, "00", IMAGES), 'layer "00" not found'
    ),
    Bad(
        "kernel_choices: out of range",
        lambda: kernel_choices(NET, LayerTarget("0"), [9], IMAGES),
        "kernel 9 is out of range",
    ),
    Bad(
        "cascading_randomization: no stages",
        lambda: cascading_randomization(NET, IMAGES, "0", 0, max_stages=0),
        "max_stages must be an integer of at least 1; got 0",
    ),
]

_MONITORS = [
    Bad(
        "Monitor: never",
        lambda: monitors.FeatureMapMonitor("0", every_n_epochs=0),
        "at least 1; got 0",
    ),
    Bad(
        "Monitor: twice",
        lambda: monitors.SaliencyMonitor(every_n_epochs=1, every_n_train_steps=2),
        "exclude each other; got 1 and 2",
    ),
    Bad("Monitor: near miss", lambda: monitors.SaliencyMonitor(on_error="wran"), "got 'wran'"),
    Bad("Monitor: out of the folder", lambda: monitors.SaliencyMonitor(name="../a"), "got '../a'"),
    Bad("Monitor: no images", lambda: monitors.SaliencyMonitor(max_images=0), "at least 1; got 0"),
    Bad(
        "Monitor: a list", lambda: monitors.SaliencyMonitor(probe_images=[1]), "a tensor; got list"
    ),
    Bad(
        "Monitor: beyond white",
        lambda: monitors.SaliencyMonitor(probe_images=IMAGES + 3, input_spec=GRAY),
        "probe_images must be in [0, 1] … input_spec … got 3",
    ),
    Bad("FeatureMapMonitor: no layer", lambda: monitors.FeatureMapMonitor([]), "got none"),
    Bad(
        "FeatureMapMonitor: half", lambda: monitors.FeatureMapMonitor("0", kernels=[1.5]), "got 1.5"
    ),
    Bad(
        "SaliencyMonitor: near miss",
        lambda: monitors.SaliencyMonitor(method="gradcm"),
        "'gradcm'; did",
    ),
    Bad(
        "KernelRankingMonitor: near miss",
        lambda: monitors.KernelRankingMonitor("0", "phse"),
        '"phse"; did',
    ),
    Bad(
        "ActivationMaximizationMonitor: near miss",
        lambda: monitors.ActivationMaximizationMonitor("0", objective="meen"),
        "got 'meen'; did you mean \"mean\"?",
    ),
]

_RGB = torch.rand(2, 3, 8, 8)
_SPEC = InputSpec.rgb(8)
_MAPS = torch.rand(2, 4, 4)

_FIGURES = [
    Bad(
        "first_and_now_images: another size",
        lambda: figures.first_and_now_images(_RGB, _RGB[..., 1:], [], ("a", "b"), _SPEC, ""),
        "first and now must both be (N, C, H, W), N > 0; got (",
    ),
    Bad(
        "score_change_figure: another number",
        lambda: figures.score_change_figure(torch.rand(3), torch.rand(4), ("a", "b"), ""),
        "(K,), K > 0; got (3,) and (4,)",
    ),
    Bad("tile: one number", lambda: figures.tile(torch.rand(3)), "(N, 3, H, W), N > 0; got (3,)"),
    Bad(
        "tile: no columns",
        lambda: figures.tile(_RGB, columns=0),
        "columns must be at least 1; got 0",
    ),
    Bad(
        "save_png: a vector",
        lambda: figures.save_png("a.png", torch.rand(4)),
        "(3, H, W); got (4,)",
    ),
    Bad(
        "labeled_grid: labels",
        lambda: figures.labeled_grid(_RGB, ["a"], _SPEC, ""),
        "got 1 for 2",
    ),
    Bad(
        "modality_rows: one image",
        lambda: figures.modality_rows(_RGB[0], _SPEC),
        "got shape (3, 8, 8)",
    ),
    Bad("curve_figure: labels", lambda: figures.curve_figure(torch.rand(2, 5), ["a"], "", ""), "1"),
    Bad(
        "feature_map_figure: kernels",
        lambda: figures.feature_map_figure(_RGB[0], _MAPS, [0], _SPEC, ""),
        "1",
    ),
    Bad("orientation_key: tiny", lambda: figures.orientation_key(3), "at least 20 pixels; got 3"),
    Bad(
        "first_and_now_figure: shapes",
        lambda: figures.first_and_now_figure(_MAPS, _MAPS[:1], ["a", "b"], ("x", "y"), ""),
        "(1, 4, 4)",
    ),
    Bad(
        "ranking_figure: none",
        lambda: figures.ranking_figure([], ""),
        "at least one entry; got none",
    ),
    Bad(
        "signature_figure: maps",
        lambda: figures.signature_figure(_RGB[0], _RGB[1], _MAPS, _MAPS[0], _SPEC, ""),
        "must be (H', W'); got shape (2, 4, 4)",
    ),
    Bad(
        "saliency_figure: labels",
        lambda: figures.saliency_figure(_RGB, {"rgb": _MAPS}, ["a"], _SPEC, "", False),
        "one label for each image; got 1 for 2",
    ),
    Bad(
        "receptive_field_figure: labels",
        lambda: figures.receptive_field_figure({"a": _MAPS}, ["x"], "", {"a": True}),
        "one label for each of 2 kernels; got 1",
    ),
    Bad(
        "size_tuning_figure: sizes backwards",
        lambda: figures.size_tuning_figure(torch.tensor([4.0, 2.0]), torch.rand(1, 2), ["a"], ""),
        "diameters must be positive and rise; got [4.0, 2.0]",
    ),
    Bad(
        "weight_pictures: other channels",
        lambda: figures.weight_pictures(torch.rand(2, 5, 3, 3), _SPEC),
        "5",
    ),
]

MEASURES = [*_TUNING, *_SALIENCY, *_MONITORS, *_FIGURES]
