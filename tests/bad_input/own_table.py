"""Networks, objectives and transforms of somebody's own that cannot be used."""

from __future__ import annotations

from dataclasses import replace

from bad_input.bad import Bad, each_with
from bad_input.commands import AM
from bad_input.makers import array

_OWN = "bad_input.of_ones_own"
_CANNOT = "cannot take images of shape (3, 16, 16) (rgb 3): "
_HEIGHT = "wrong height: expected 224, got 16"
_INSTEAD = "; give what it was made for, see --input.size and --input.modalities"
_ANOTHER = "; give the input_spec it was made for"


def _own(command: str, network: str) -> str:
    options = "--images p.npy" if command in ("features", "saliency") else ""
    options += " --by weight" if command == "report" else ""
    of_network = f"--model {_OWN}.{network} --input.modalities rgb --input.size 16"
    return f"{command} --layer conv {of_network} {options} --trainer.accelerator cpu"


_FORWARDS = [
    Bad(
        f"forward for {command} that fails by {kind}",
        _own(command, network),
        says,
        array("p.npy", [[[0.5] * 16] * 16] * 3),
    )
    for command, network, kind, says in (
        ("am", "OfOneSize", "an assertion", f"{_CANNOT}{_HEIGHT}{_ANOTHER}"),
        ("group-am", "OfOneSize", "an assertion", f"{_CANNOT}{_HEIGHT}{_ANOTHER}"),
        ("report", "OfOneSize", "an assertion", f"{_CANNOT}{_HEIGHT}{_ANOTHER}"),
        ("features", "OfOneSize", "an assertion", f"{_CANNOT}{_HEIGHT}{_INSTEAD}"),
        ("saliency", "OfOneSize", "an assertion", f"{_CANNOT}{_HEIGHT}{_INSTEAD}"),
        ("rank", "OfOneSize", "an assertion", f"16x16 pixels: {_HEIGHT}{_INSTEAD}"),
        ("am", "OfAnotherSize", "a bare assertion", f"{_CANNOT}AssertionError{_ANOTHER}"),
        ("rank", "OfAnotherSize", "a bare assertion", f"pixels: AssertionError{_INSTEAD}"),
        ("am", "WithoutKey", "a key", f"{_CANNOT}KeyError: 'mask'{_ANOTHER}"),
        ("rank", "WithoutKey", "a key", f"16x16 pixels: KeyError: 'mask'{_INSTEAD}"),
        ("report", "WithoutKey", "a key", f"{_CANNOT}KeyError: 'mask'{_ANOTHER}"),
        ("features", "WithoutKey", "a key", f"{_CANNOT}KeyError: 'mask'{_INSTEAD}"),
        ("saliency", "WithoutKey", "a key", f"{_CANNOT}KeyError: 'mask'{_INSTEAD}"),
        ("am", "WithoutAttribute", "an attribute", "no attribute 'mask'; give the input_spec"),
        ("rank", "WithoutAttribute", "an attribute", "object has no attribute 'mask'; give what"),
        ("features", "WithoutAttribute", "an attribute", "no attribute 'mask'; give what it was"),
    )
]


_FUNCTIONS = each_with(
    AM,
    [
        (
            "transform that leaves too little",
            f"--transforms [{_OWN}.small]",
            "Output size is too small; the transforms make (4, 2, 2) of images (4, 64, 64): give",
        ),
        (
            "objective without a gradient",
            f"--objective {_OWN}.without_gradient",
            f"no gradient comes from the objective CustomReadout(function={_OWN}.without_gradient)",
        ),
        (
            "objective of NaN",
            f"--objective {_OWN}.not_a_number",
            f"function={_OWN}.not_a_number) gives NaN or infinite values for noise images, where",
        ),
        (
            "a network without a gradient",
            f"--model {_OWN}.Detaching --layer conv --input.modalities rgb",
            'no gradient comes from layer "conv" to the images: something on the way',
        ),
    ],
)

_EXITS = "it ends the program (exit status"
_EXITING = [
    *(
        Bad(
            f"forward for {command} that ends the program",
            _own(command, "Exiting"),
            _EXITS,
            array("p.npy", [[[0.5] * 16] * 16] * 3),
        )
        for command in ("am", "rank", "features", "saliency")
    ),
    Bad("a forward that ends the program", f"layers --model {_OWN}.Exiting", f"{_EXITS} 3), as a"),
    Bad(
        "a constructor that ends the program",
        f"layers --model {_OWN}.ExitingWhenMade",
        f'"{_OWN}.ExitingWhenMade" could not be made: {_EXITS} 4), as a script does',
    ),
]

_IN_BFLOAT16 = 'OnlyFloat32 cannot be run in bfloat16: float32 only; use precision="float32"'
_NO_MEMORY = "there is not enough memory; give a smaller --input.size, --batch_size or"

#: What is found out as the first step is made, with a folder of Lightning's or one that is given.
_FIRST_STEPS = [
    Bad(f"{name}, {place}", f"{line} --kernels 0-3 --steps 2 {options}", says)
    for place, options in (("a new folder", ""), ("this folder", "--trainer.logger false"))
    for name, line, says in (
        ("am in bfloat16", f"{_own('am', 'OnlyFloat32')} --precision bfloat16", _IN_BFLOAT16),
        ("report in bfloat16", f"{_own('report', 'OnlyFloat32')} --precision bfloat16", "float32"),
        (
            "top images in bfloat16",
            f"{_own('am', 'OnlyFloat32')} --precision bfloat16 --images .",
            _IN_BFLOAT16,
        ),
        ("am without memory", _own("am", "FewAtATime"), _NO_MEMORY),
        (
            "a penalty that fails",
            f"{_own('am', 'OnlyFloat32')} --regularizers [{_OWN}.of_few]",
            "a penalty of at most three images",
        ),
        (
            "a Trainer in half precision",
            f"{_own('am', 'OnlyFloat32')} --trainer.precision 16-true",
            "images are optimized in float32, not torch.float16",
        ),
        (
            "a Trainer without time",
            f"{_own('am', 'OnlyFloat32')} --trainer.max_time 00:00:00:00",
            "the Trainer stopped before an image was finished",
        ),
    )
]
_FIRST_STEPS = [replace(bad, given=array("p.npy", [[[0.5] * 16] * 16] * 3)) for bad in _FIRST_STEPS]
_FIRST_STEPS += [
    Bad(
        "group-am in bfloat16",
        f"{_own('group-am', 'OnlyFloat32')} --precision bfloat16",
        _IN_BFLOAT16,
    ),
    Bad("rank without memory", _own("rank", "FewAtATime"), "out of memory"),
    *(
        Bad(
            f"am without memory, {logger}",
            f"{_own('am', 'FewAtATime')} --kernels 0-3 --trainer.logger {logger} "
            "--trainer.logger.save_dir logs",
            _NO_MEMORY,
        )
        for logger in ("CSVLogger", "TensorBoardLogger", "lightning.pytorch.loggers.CSVLogger")
    ),
]

OWN = [*_FORWARDS, *_FUNCTIONS, *_EXITING, *_FIRST_STEPS]
