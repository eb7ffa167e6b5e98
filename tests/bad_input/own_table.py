"""Networks, objectives and transforms of somebody's own that cannot be used."""

from __future__ import annotations

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

OWN = [*_FORWARDS, *_FUNCTIONS, *_EXITING]
