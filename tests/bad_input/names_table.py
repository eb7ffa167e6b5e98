"""Networks, inputs and layers that are not there, or whose names would do something."""

from __future__ import annotations

from bad_input.bad import Bad, each_with
from bad_input.commands import GROUP_AM
from bad_input.makers import text

_MODELS_AND_INPUTS = each_with(
    "layers",
    [
        ("model's near miss", "--model dmeo", 'did you mean "demo"?'),
        (
            "package's near miss",
            "--model torchvison.models.resnet18",
            'there is no module "torchvison" here; did you mean "torchvision"?',
        ),
        (
            "network's near miss",
            "--model torchvision.models.resnet81",
            'did you mean "torchvision.models.resnet18"',
        ),
        (
            "a path for a model",
            "--model ../../etc/passwd",
            'model "../../etc/passwd" is neither an',
        ),
        (
            "a model that is none",
            "--model os.getcwd",
            'model "os.getcwd" is not called: it is no torch.nn.Module',
        ),
        (
            "arguments that it does not take",
            "--model torch.nn.Conv2d --model_args '{chanels: 3}'",
            "\"torch.nn.Conv2d\" cannot be called with model_args {'chanels': 3}",
        ),
        (
            "arguments without names",
            "--model_args 3",
            'model_args … "3"',
        ),
        ("no size", "--input.size 0", "an input size must be at least 1 pixel; got (0, 0)"),
        ("size in words", "--input.size big", 'input.size … "big"'),
        ("size without end", "--input.size 10000000", "there is not enough memory; give a smaller"),
        ("modalities' near miss", "--input.modalities rbg", "got 'rbg'; did you mean \"rgb\"?"),
        (
            "modality with another key",
            "--input.modalities '[{name: rgb, channels: 3, rang: [0, 1]}]'",
            "got '[{name: rgb, channels: 3, rang: [0, 1]}]'",
        ),
        ("modality without channels", "--input.modalities '[{name: a, channels: 0}]'", "got 0"),
        ("other modalities", "--input.modalities rgb", '"conv1" takes 4 channels'),
        ("depths backwards", "--input.depth_range [2,1]", "low < high; got (2.0, 1.0)"),
        (
            "depths of a network without",
            "--model torchvision.models.resnet18 --input.depth_range [1,2]",
            "input.depth_range needs a modality called depth; the input has rgb",
        ),
    ],
)
_MODELS_AND_INPUTS += [
    Bad(
        "a script for a model",
        "layers --model script_that_exits.Net",
        '"script_that_exits" ends the program … exit status 3',
        text("script_that_exits.py", "import sys\nsys.exit(3)\n"),
    ),
    Bad(
        "a module with a mistake",
        "layers --model module_with_mistake.Net",
        'importing "module_with_mistake" failed: invalid syntax',
        text("module_with_mistake.py", "def net(:\n"),
    ),
    Bad(
        "a module that fails in several lines",
        "layers --model module_that_fails.Net",
        'importing "module_that_fails" failed: out of luck',
        text("module_that_fails.py", "raise RuntimeError('out of\\nluck')\n"),
    ),
]

_LAYERS = each_with(
    "am --layer",
    [
        ("layer's near miss", "conv22", 'layer "conv22" not found; did you mean "conv2"'),
        ("empty layer", "''", "the layer's name is empty; the model's layers are"),
        (
            "layer out of the folder",
            "../../etc",
            'layer "../../etc" not found; the model\'s layers',
        ),
        ("layer from the root", "/etc/passwd", 'layer "/etc/passwd" not found'),
        ("layer of a device", "/dev/null", 'layer "/dev/null" not found'),
        ("reserved name", "CON", 'layer "CON" not found; the model\'s layers are'),
        ("layer with markup", "[red]conv1[/red]", 'layer "[red]conv1[/red]" not found'),
        ("layer with a format", "{0.__class__}%s", 'layer "{0.__class__}%s" not found'),
        ("layer for a shell", "'$(touch CODE_WAS_RUN)'", 'layer "$(touch CODE_WAS_RUN)" not found'),
        ("layer in Unicode", "层", 'layer "层" not found'),
        ("endless layer", "x" * 5000, "xxx … xxx"),
    ],
)
_LAYERS += [
    Bad("layer with a null byte", ("am", "--layer", "a\0b"), 'layer "a\\x00b" not found'),
    Bad("layer in two lines", ("am", "--layer", "a\nb"), 'layer "a\\nb" not found'),
    Bad("layer with an escape", ("am", "--layer", "\x1b[31m"), 'layer "\\x1b[31m" not found'),
    Bad("no layer in a config", "am --config a.yaml", "got True", text("a.yaml", "layer: [true]")),
    Bad("layers of a group", f"{GROUP_AM} --layer all-conv", '"all-conv" means 4: conv1, conv2'),
]

NAMES = [*_MODELS_AND_INPUTS, *_LAYERS]
