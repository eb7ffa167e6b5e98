"""What the functions and classes around networks, pictures and ascents cannot use.

Each name begins with the function's own, as far as the colon.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bad_input.bad import Bad
from bad_input.makers import (
    checkpoint_with_code,
    code_array,
    endless_png,
    float_tiff,
    folder,
    picture,
    saved,
    text,
)
from bad_input.networks_of_calls import GRAY, IMAGES, NET
from torch import nn

from neurovis import (
    ActivationMaximization,
    GroupActivationMaximization,
    InputSpec,
    Modality,
    Recorder,
    list_layers,
    load_model,
    one_input,
    set_layout,
    undisturbed,
)
from neurovis.analysis import (
    Facet,
    Facets,
    FeatureReader,
    PictureExplainer,
    compare_preferred_images,
    facet_images,
    facets,
    judge_images,
    make_report,
    map_ranked_fields,
    path_similarity,
    predictability,
    seed_stability,
)
from neurovis.demo import ShapeScenes, TwoStreamNet, demo_input_spec
from neurovis.maximization import AscentSettings, MaximizationResults
from neurovis.maximization.objectives import (
    CustomReadout,
    Direction,
    Inversion,
    Mean,
    Position,
    Target,
    WeightedSum,
    as_objective,
    group_target,
)
from neurovis.maximization.parametrizations import FixedMagnitude, Fourier, as_parametrization
from neurovis.maximization.regularizers import HighFrequency, LpContrast, TotalVariation
from neurovis.maximization.transforms import (
    Affine,
    FunctionTransform,
    GaussianBlur,
    GaussianNoise,
    Jitter,
    Lighting,
    Pad,
    as_transform,
)
from neurovis.models import suggested_input_spec
from neurovis.pictures import PictureDataset, find_pictures, read_picture
from neurovis.top_images import TopImagesProbe, find_top_images
from neurovis.top_images.images import number_images
from neurovis.tuning import Rankings

_NAN = math.nan
_FACETS = Facets(
    *("2", "0", GRAY, [Facet(0, 1, 1, 0.5, [0], torch.ones(2))]), number_images(IMAGES, GRAY)
)


def _enter(context: Any) -> None:
    with context:
        pass


def _ascent(**options: Any) -> ActivationMaximization:
    return ActivationMaximization(NET, "0", input_spec=GRAY, **options)


def _groups(groups: Any, **options: Any) -> GroupActivationMaximization:
    return GroupActivationMaximization(NET, "0", groups, GRAY, **options)


_NETWORKS = [
    Bad(
        "Modality: no name",
        lambda: Modality("", 1),
        "needs a name, such as 'rgb' or 'depth'; got ''",
    ),
    Bad(
        "Modality: a number for a name",
        lambda: Modality(3, 1),
        "name is a str, such as 'rgb'; got 3",
    ),
    Bad(
        "Modality: no channels", lambda: Modality("a", 0), "modality 'a' needs channels >= 1; got 0"
    ),
    Bad(
        "Modality: part of a channel",
        lambda: Modality("a", 1.5),
        "whole number of channels; got 1.5",
    ),
    Bad("Modality: range backwards", lambda: Modality("a", 1, (1, 0)), "low < high; got (1, 0)"),
    Bad("Modality: range of NaN", lambda: Modality("a", 1, (_NAN, 1)), "low < high; got (nan, 1)"),
    Bad(
        "Modality: words for means",
        lambda: Modality("a", 3, mean="xyz"),
        "numbers for mean; got 'xyz'",
    ),
    Bad(
        "Modality: no spread",
        lambda: Modality("a", 1, std=(0,)),
        "modality 'a' needs std > 0; got (0.0,)",
    ),
    Bad("InputSpec: no modalities", lambda: InputSpec(()), "at least one modality; got none"),
    Bad(
        "InputSpec: a word for one", lambda: InputSpec(("rgb",), 8), "Modality('rgb', 3); got 'rgb'"
    ),
    Bad("InputSpec: one twice", lambda: InputSpec(GRAY.modalities * 2), "got ['gray', 'gray']"),
    Bad("InputSpec: no pixels", lambda: InputSpec.rgb(0), "must be at least 1 pixel; got (0, 0)"),
    Bad("InputSpec: words for pixels", lambda: InputSpec.rgb("8"), "(height, width); got '8'"),
    Bad(
        "InputSpec: means of two",
        lambda: InputSpec.rgb(8, mean=(1, 2)),
        "or one for all; got (1.0, 2.0)",
    ),
    Bad(
        "predictability: no share",
        lambda: predictability(NET, "0", {0: IMAGES}, IMAGES, input_spec=GRAY, share=0),
        "share must be above 0 and at most 0.5; got 0",
    ),
    Bad(
        "judge_images: itself",
        lambda: judge_images(NET, "0", {0: IMAGES}, NET, IMAGES, input_spec=GRAY),
        "has the weights of the network that made the images … give another network",
    ),
    Bad(
        "seed_stability: one image each",
        lambda: seed_stability(NET, "0", {0: IMAGES[:1], 1: IMAGES[:1]}, input_spec=GRAY),
        "needs several images of a kernel … got 1 of 2: see variants",
    ),
    Bad(
        "facets: too few pictures",
        lambda: facets(NET, "2", "all", torch.rand(40, 1, 16, 16), input_spec=GRAY),
        "facets needs at least 48 pictures; got 40",
    ),
    Bad(
        "facet_images: no steps",
        lambda: facet_images(NET, _FACETS, steps=0),
        "steps must be an integer of at least 1; got 0",
    ),
    Bad(
        "path_similarity: one picture",
        lambda: path_similarity(NET, "2", {0: IMAGES}, IMAGES, input_spec=GRAY, top_images=1),
        "top_images must be at least 2; got 1",
    ),
    Bad(
        "set_layout: no kernels",
        lambda: set_layout(NET, "0", kernel_dim=0),
        "kernel_dim must be a dimension after the first … got 0",
    ),
    Bad(
        "InputSpec: a way",
        lambda: InputSpec(GRAY.modalities, 8, "tuple"),
        "passed_as must be one of … \"frames\"; got 'tuple'",
    ),
    Bad(
        "InputSpec: frames of a tensor",
        lambda: InputSpec(GRAY.modalities, 8, frames=2),
        'need passed_as "video" or "frames"; got "tensor"',
    ),
    Bad(
        "one_input: other channels",
        lambda: one_input(NET, InputSpec.video(2, 8))(IMAGES),
        "expected images (..., 6, H, W) (rgb 1 3, rgb 2 3); got shape",
    ),
    Bad(
        "TwoStreamNet: stacked",
        lambda: list_layers(TwoStreamNet(2), demo_input_spec()),
        'forward takes image, depth: … passed_as="arguments"',
    ),
    Bad("InputSpec: images of bytes", lambda: GRAY.to_network(IMAGES.byte()), "got torch.uint8"),
    Bad(
        "InputSpec: images of others",
        lambda: GRAY.to_network(IMAGES.repeat(1, 3, 1, 1)),
        "(2, 3, 16, 16)",
    ),
    Bad(
        "InputSpec: a list of images", lambda: GRAY.from_network([1]), "must be a tensor; got list"
    ),
    Bad("list_layers: a word", lambda: list_layers("net", GRAY), "torch.nn.Module; got str"),
    Bad("list_layers: a size", lambda: list_layers(NET, 224), "InputSpec.rgb(224); got int"),
    Bad(
        "list_layers: a kind", lambda: list_layers(NET, GRAY, "kernel"), "or \"all\"; got 'kernel'"
    ),
    Bad(
        "list_layers: small",
        lambda: list_layers(NET, GRAY.resized(2)),
        "images of 1 channels and 2x2",
    ),
    Bad("Recorder: a word", lambda: Recorder("net", "0"), "torch.nn.Module; got str"),
    Bad(
        "Recorder: near miss",
        lambda: Recorder(NET, "00"),
        'layer "00" not found; the model\'s layers',
    ),
    Bad("Recorder: no layer", lambda: Recorder(NET, []), "at least one layer name; got none"),
    Bad("Recorder: no images", lambda: Recorder(NET, "0").record([1]), "(B, C, H, W); got list"),
    Bad("undisturbed: a word", lambda: _enter(undisturbed("net")), "torch.nn.Module; got str"),
    Bad("load_model: a number", lambda: load_model(3), "must be an import path, a str; got int"),
    Bad("load_model: near miss", lambda: load_model("dmeo"), 'did you mean "demo"?'),
    Bad("load_model: arguments", lambda: load_model("demo", model_args=3), "a mapping; got int"),
    Bad(
        "load_model: no weights",
        lambda: load_model("demo", "nowhere.pt"),
        'file "nowhere.pt" not found',
    ),
    Bad(
        "load_model: code",
        lambda: load_model("neurovis.demo.ShapeNet", Path("w.ckpt")),
        '"w.ckpt" … getattr … runs code',
        checkpoint_with_code("w.ckpt"),
    ),
    Bad(
        "suggested_input_spec: weights",
        lambda: suggested_input_spec("torchvision.models.alexnet", "DEFALT"),
        'no weights "DEFALT"; did you mean "DEFAULT"?',
    ),
    Bad("ShapeScenes: none", lambda: ShapeScenes(0), "length must be at least 1; got 0"),
    Bad("ShapeScenes: tiny", lambda: ShapeScenes(4, size=3), "size must be at least 8; got 3"),
    Bad("demo_input_spec: nothing", lambda: demo_input_spec(0), "at least 1 pixel; got (0, 0)"),
]

_PICTURES = [
    Bad(
        "find_pictures: none",
        lambda: find_pictures([], GRAY),
        "at least one file or folder; got none",
    ),
    Bad("find_pictures: nowhere", lambda: find_pictures("x", GRAY), 'there is no picture "x"'),
    Bad("find_pictures: empty", lambda: find_pictures("f", GRAY), 'no picture in "f"', folder("f")),
    Bad("read_picture: a folder", lambda: read_picture("f", GRAY), '"f" is a folder', folder("f")),
    Bad("read_picture: text", lambda: read_picture("a.png", GRAY), '"a.png" is not', text("a.png")),
    Bad(
        "read_picture: endless",
        lambda: read_picture("a.png", InputSpec.rgb(8)),
        '"a.png" … 3600000000 pixels',
        endless_png("a.png"),
    ),
    Bad(
        "read_picture: NaN",
        lambda: read_picture("a.tiff", GRAY),
        '"a.tiff" has 1 values of 256 that are not finite',
        float_tiff("a.tiff", _NAN),
    ),
    Bad(
        "read_picture: code",
        lambda: read_picture("a.npy", GRAY),
        '"a.npy" is not a NumPy file of numbers',
        code_array("a.npy"),
    ),
    Bad(
        "read_picture: two modalities",
        lambda: read_picture("a.png", InputSpec.rgbd(8)),
        '"a.png" … (rgb, depth) … names of files must',
        picture("a.png"),
    ),
    Bad(
        "PictureDataset: nowhere",
        lambda: PictureDataset.find("x", GRAY),
        'there is no picture "x"',
    ),
]

_ASCENTS = [
    Bad(
        "ActivationMaximization: a word",
        lambda: ActivationMaximization("resnet18", "0"),
        "model must be of type Module; got str",
    ),
    Bad(
        "ActivationMaximization: a number",
        lambda: ActivationMaximization(NET, 3, input_spec=GRAY),
        "layer must be of type str; got int",
    ),
    Bad(
        "ActivationMaximization: no kernels",
        lambda: ActivationMaximization(NET, "0", None, GRAY),
        'kernels of layer "0": got None; give "all" or 0-7',
    ),
    Bad(
        "ActivationMaximization: half a kernel",
        lambda: ActivationMaximization(NET, "0", [1.5], GRAY),
        "kernels are integers; got 1.5",
    ),
    Bad(
        "ActivationMaximization: kernel of another layer",
        lambda: ActivationMaximization(NET, "0", {"2": [0]}, GRAY),
        "kernels are given of layer \"2\", which is not among ['0']",
    ),
    Bad(
        "ActivationMaximization: no results yet",
        lambda: _ascent().results_of("2"),
        "layer \"2\" is not maximized; the layers are ['0']",
    ),
    Bad("AscentSettings: an option's near miss", lambda: AscentSettings(stepz=3), "'stepz'"),
    Bad("AscentSettings: no step", lambda: AscentSettings(steps=0), "at least 1; got 0"),
    Bad(
        "AscentSettings: too many",
        lambda: AscentSettings(steps=10**12),
        "at most 1000000000; got 10000",
    ),
    Bad("AscentSettings: rate of NaN", lambda: AscentSettings(lr=_NAN), "at least 0; got nan"),
    Bad(
        "AscentSettings: an endless rate",
        lambda: AscentSettings(lr=1e300),
        "at most 3.4e+38; got 1e+300",
    ),
    Bad(
        "AscentSettings: a word",
        lambda: AscentSettings(transforms="Jitter"),
        "as in ['Jitter']; got",
    ),
    Bad(
        "AscentSettings: a class",
        lambda: AscentSettings(transforms=[Jitter]),
        "Jitter(...); got the class",
    ),
    Bad(
        "AscentSettings: no list",
        lambda: AscentSettings(regularizers=LpContrast(1)),
        "as in [LpContrast(",
    ),
    Bad(
        "TargetMaximization: start of NaN",
        lambda: _ascent(init=IMAGES[0] * _NAN),
        "values in [0, 1]",
    ),
    Bad(
        "TargetMaximization: empty start",
        lambda: _ascent(init=IMAGES[0, :, :0]),
        "not empty; got torch.float32 of shape (1, 0",
    ),
    Bad(
        "TargetMaximization: a small start",
        lambda: _ascent(init=IMAGES[0, :, :8]),
        "(1, 16, 16); got (1, 8, 16)",
    ),
    Bad(
        "TargetMaximization: all frozen",
        lambda: _ascent(frozen={"gray": IMAGES[0]}),
        "all modalities (gray)",
    ),
    Bad(
        "TargetMaximization: frozen what",
        lambda: _ascent(frozen={"grey": IMAGES[0]}),
        'frozen names "grey"',
    ),
    Bad(
        "TargetMaximization: penalty of one number",
        lambda: _ascent(regularizers=[torch.mean]),
        "one number for each image … (2, 1, 16, 16) … gave ()",
    ),
    Bad(
        "TargetMaximization: penalty that fails",
        lambda: _ascent(regularizers=[torch.linalg.inv]),
        "linalg_inv failed … (2, 1, 16, 16)",
    ),
    Bad(
        "TargetMaximization: transform that drops images",
        lambda: _ascent(transforms=[lambda images: images[:1]]),
        "images … channels … (2, 1, 16, 16)",
    ),
    Bad(
        "TargetMaximization: network of NaN",
        lambda: ActivationMaximization(nn.Sequential(_conv(_NAN)), "0", input_spec=GRAY),
        'layer "0" gives NaN or infinite values for noise images',
    ),
    Bad(
        "TargetMaximization: network of nothing",
        lambda: ActivationMaximization(nn.Sequential(_conv(0)), "0", input_spec=GRAY),
        'layer "0" gives the same response to different images',
    ),
    Bad("GroupActivationMaximization: a number", lambda: _groups(3), "as in [[0, 1], [2]]; got 3"),
    Bad(
        "GroupActivationMaximization: none", lambda: _groups([]), 'groups of layer "0": none given'
    ),
    Bad(
        "GroupActivationMaximization: out of range",
        lambda: _groups([[8]]),
        "kernel 8 is out of range",
    ),
    Bad(
        "GroupActivationMaximization: weights of NaN",
        lambda: _groups([[0, 1]], joint="weighted", member_weights=[[1, _NAN]]),
        "weights must be finite real numbers; got [1, nan]",
    ),
    Bad(
        "GroupActivationMaximization: suppressed for few",
        lambda: _groups("0;1", suppressed="2"),
        "suppressed has 1 parts for 2 groups",
    ),
    Bad(
        "MaximizationResults: none to save",
        lambda: MaximizationResults("0", GRAY, 0).save("results"),
        'there are no images of layer "0" yet; Trainer.fit makes them',
    ),
    Bad(
        "FeatureReader: near miss",
        lambda: FeatureReader(NET, "00", GRAY),
        'layer "00" not found',
    ),
    Bad(
        "PictureExplainer: beyond the last kernel",
        lambda: PictureExplainer(NET, "0", [99], input_spec=GRAY),
        "kernel 99 is out of range",
    ),
    Bad(
        "compare_preferred_images: none",
        lambda: compare_preferred_images(NET, Rankings(), 0),
        "count must be at least 1; got 0",
    ),
    Bad(
        "map_ranked_fields: none",
        lambda: list(map_ranked_fields(NET, Rankings(), 0)),
        "count must be at least 1; got 0",
    ),
    Bad(
        "make_report: less than no images",
        lambda: make_report(NET, _ascent(), Rankings(), field_images=-1),
        "field_images must be at least 0; got -1",
    ),
    Bad(
        "find_top_images: none",
        lambda: find_top_images(NET, "0", [0], IMAGES, 0, input_spec=GRAY),
        "k must be at",
    ),
    Bad(
        "find_top_images: beyond white",
        lambda: find_top_images(NET, "0", [0], IMAGES + 3, input_spec=GRAY),
        "in [0, 1]; image 0 is torch.float32 from 3",
    ),
    Bad(
        "find_top_images: nowhere",
        lambda: find_top_images(NET, "0", [0], "nowhere", input_spec=GRAY),
        'there is no picture "nowhere"',
    ),
    Bad(
        "TopImagesProbe: near miss",
        lambda: TopImagesProbe(NET, {"00": [0]}, IMAGES, input_spec=GRAY),
        'layer "00" not found',
    ),
]


def _conv(value: float) -> nn.Conv2d:
    conv = nn.Conv2d(1, 2, 3)
    nn.init.constant_(conv.weight, value)
    return conv


_OBJECTS = [
    Bad("WeightedSum: no term", lambda: WeightedSum(()), "at least one term; got none"),
    Bad(
        "WeightedSum: an infinite weight",
        lambda: WeightedSum(((float("inf"), Mean()),)),
        "weights and offset must be finite",
    ),
    Bad(
        "as_objective: near miss",
        lambda: as_objective("cente"),
        "got 'cente'; did you mean \"center\"?",
    ),
    Bad(
        "as_objective: a class",
        lambda: as_objective(Position),
        "as in Position(...); got the class",
    ),
    Bad("CustomReadout: a number", lambda: CustomReadout(3), "function must be callable; got 3"),
    Bad(
        "Position: negative",
        lambda: Position(-1, 0),
        "row must be an integer of at least 0; got -1",
    ),
    Bad(
        "Position: outside",
        lambda: _ascent(objective=Position(0, 14)),
        "column 14 is outside the layer's",
    ),
    *(
        Bad(
            f"Target: a weight of {one!r}",
            lambda one=one: group_target((0, 1), "weighted", (1.0, one)),
            "weights must be finite real numbers; got [1.0, ",
        )
        for one in (True, 1j, np.bool_(True), torch.tensor(1j), "1", None)
    ),
    Bad(
        "Direction: complex",
        lambda: Direction(torch.ones(2, dtype=torch.complex64)),
        "vectors must be real numbers; got torch.complex64",
    ),
    Bad("Direction: empty", lambda: Direction([]), "a number for each kernel; got shape (1, 0)"),
    Bad("Direction: NaN", lambda: Direction([1, _NAN]), "vectors must be finite numbers"),
    Bad(
        "Direction: zero", lambda: Direction([[1, 0], [0, 0]]), "must not be all zero; number 1 is"
    ),
    Bad(
        "Direction: ragged",
        lambda: Direction([[1.0], [1.0, 2.0]]),
        "lists of numbers, all of one length",
    ),
    Bad("Direction: near miss", lambda: Direction([1.0], over="men"), "\"max\"; got 'men'"),
    Bad("Direction: nowhere", lambda: Direction("x.npy"), 'there is no file "x.npy" of vectors'),
    Bad(
        "Direction: damaged",
        lambda: Direction("v.pt"),
        '"v.pt" is damaged, or no .npy or .pt file of one tensor',
        text("v.pt"),
    ),
    Bad(
        "Direction: words",
        lambda: Direction("v.pt"),
        '"v.pt" must hold one tensor; it',
        saved("v.pt", {}),
    ),
    Bad(
        "Inversion: a vector",
        lambda: Inversion(torch.rand(3)),
        "(C, H, W) in [0, 1], not empty; got torch.float32 of shape (3,)",
    ),
    Bad(
        "Inversion: beyond white",
        lambda: Inversion(IMAGES[0] * 9),
        "must have values in [0, 1]; got",
    ),
    Bad(
        "Inversion: nowhere",
        lambda: _ascent(objective=Inversion("x.png")),
        'there is no picture "x.png"',
    ),
    Bad("Target: no kernels", lambda: Target(()), "a group needs at least one kernel; got none"),
    Bad(
        "group_target: no way to join",
        lambda: group_target((0,), "men"),
        "or \"weighted\"; got 'men'",
    ),
    Bad("as_parametrization: near miss", lambda: as_parametrization("fouier"), "got 'fouier'"),
    Bad(
        "Fourier: negative",
        lambda: Fourier(decay=-1),
        "decay must be a number of at least 0; got -1",
    ),
    Bad(
        "FixedMagnitude: nowhere",
        lambda: _ascent(parametrization=FixedMagnitude("nowhere")),
        'there is no picture "nowhere"',
    ),
    Bad("Affine: scales backwards", lambda: Affine(scale=(2, 1)), "high <= 1000; got (2, 1)"),
    Bad("Affine: turns that overflow", lambda: Affine(rotate=1e300), "at most 360; got 1e+300"),
    Bad(
        "Affine: near miss", lambda: Affine(border="grey"), '"mirror", "gray" or a color … \'grey\''
    ),
    Bad("Affine: color", lambda: Affine(border=(0, 2)), "one number in [0, 1] … got (0, 2)"),
    Bad("Pad: mirrored", lambda: Pad(2, border="mirror"), "\"gray\" or a color … got 'mirror'"),
    Bad("Jitter: half a pixel", lambda: Jitter(1.5), "pixels must be a whole number; got 1.5"),
    Bad("Pad: negative", lambda: Pad(-1), "pixels must be a number of at least 0; got -1"),
    Bad("GaussianBlur: one number", lambda: GaussianBlur(3), "0 <= low <= high; got 3"),
    Bad(
        "GaussianNoise: words",
        lambda: GaussianNoise("much"),
        "std must be a number of at least 0; got 'mu",
    ),
    Bad(
        "Lighting: contrast backwards", lambda: Lighting(contrast=(2, 1)), "low <= high; got (2, 1)"
    ),
    Bad(
        "FunctionTransform: a number", lambda: FunctionTransform(3), "(B, C, H, W) to images; got 3"
    ),
    Bad(
        "as_transform: a word",
        lambda: as_transform("Jitter"),
        "(B, C, H, W) to images; got 'Jitter'",
    ),
    Bad("TotalVariation: words", lambda: TotalVariation("much"), "at least 0; got 'much'"),
    Bad(
        "LpContrast: order",
        lambda: LpContrast(1, order=0),
        "order must be a number of at least 1; got 0",
    ),
    Bad(
        "HighFrequency: sigma",
        lambda: HighFrequency(1, sigma=-1),
        "sigma must be a number of at least 0",
    ),
]

FUNCTIONS = [*_NETWORKS, *_PICTURES, *_ASCENTS, *_OBJECTS]
