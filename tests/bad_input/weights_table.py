"""Files of weights that are missing, damaged, of another network, or would run code."""

from __future__ import annotations

import functools

import torch
from bad_input.bad import Bad
from bad_input.commands import AM, SHAPES
from bad_input.makers import (
    Maker,
    Payload,
    archive,
    array,
    checkpoint_with_code,
    closed,
    code_array,
    cut,
    flipped,
    folder,
    pickled,
    picture,
    raw,
    safetensors,
    saved,
    text,
    weights,
)

_DAMAGED = "is truncated, damaged, or not a file of weights"
_ALLOW = "which runs code when it is read, and is refused; if you made the file yourself, allow it"


def _cast(own: dict[str, torch.Tensor], dtype: torch.dtype) -> None:
    own["conv3.weight"] = own["conv3.weight"].to(dtype)


def _weights(name: str, file: str, given: Maker, says: str, **options: bool) -> Bad:
    return Bad(name, f"{SHAPES} {file}", f'"{file}" {says}', given, **options)


_FILES = [
    Bad("no weights", f"{SHAPES} nowhere.pt", 'weights file "nowhere.pt" not found'),
    Bad(
        "an empty name of weights",
        f"{SHAPES} ''",
        "such as DEFAULT, or a path; got an empty text",
    ),
    Bad(
        "weights' near miss",
        f"{AM} --model torchvision.models.resnet18 --weights DEFALT",
        '"torchvision.models.resnet18" has no weights "DEFALT"; did you mean "DEFAULT"?',
    ),
    Bad(
        "weights of torchvision",
        f"{SHAPES} DEFAULT",
        '"neurovis.demo.ShapeNet" is not a torchvision',
    ),
    _weights("empty weights", "w.pt", text("w.pt", ""), "is empty"),
    _weights("a folder for weights", "w.pt", folder("w.pt"), "is not a file"),
    _weights("a device for weights", "/dev/zero", lambda: None, "is not a file"),
    _weights("text for weights", "w.pt", text("w.pt"), _DAMAGED),
    _weights("a picture for weights", "w.pt", picture("w.pt", kind="png"), _DAMAGED),
    _weights(
        "a pointer for weights",
        "w.pt",
        text("w.pt", "version https://git-lfs.github.com/spec/v1\n"),
        'is a Git LFS pointer, not the weights; run "git lfs pull"',
    ),
    _weights("weights cut off", "w.pt", cut("w.pt", weights("w.pt")), _DAMAGED),
    _weights("weights cut off early", "w.pt", cut("w.pt", weights("w.pt"), 0.02), _DAMAGED),
    _weights(
        "one byte flipped", "w.pt", flipped("w.pt", weights("w.pt")), "is damaged: the checksum of"
    ),
    _weights(
        "old weights cut off",
        "w.pt",
        cut("w.pt", saved("w.pt", {"a": torch.zeros(999)}, _use_new_zipfile_serialization=False)),
        _DAMAGED,
    ),
    _weights("checkpoint cut off", "w.ckpt", cut("w.ckpt", weights("w.ckpt"), 0.9), _DAMAGED),
    _weights(
        "safetensors cut off",
        "w.safetensors",
        cut("w.safetensors", safetensors("w.safetensors")),
        f"{_DAMAGED} (Error while deserializing header",
    ),
    _weights(
        "endless safetensors",
        "w.safetensors",
        raw("w.safetensors", (2**60).to_bytes(8, "little") + b"{}"),
        f"{_DAMAGED} (Error while deserializing header: ",
    ),
    _weights("another archive", "w.pt", archive("w.pt", readme=b"text"), _DAMAGED),
    _weights(
        "an archive that grows",
        "w.pt",
        archive("w.pt", **{"data.pkl": b"\x80\x02.", "data/0": bytes(10**8)}),
        "is a file of 97442 bytes … unpacks to 100000003",
    ),
    _weights("a list for weights", "w.pt", saved("w.pt", [1, 2]), "holds a list, not a state dict"),
    _weights("no weights in it", "w.pt", saved("w.pt", {}), "is empty"),
    _weights(
        "words for weights",
        "w.pt",
        saved("w.pt", {"a": "b"}),
        "holds no state dict; its keys are a",
    ),
    _weights(
        "a layer missing",
        "w.pt",
        weights("w.pt", lambda own: own.pop("conv3.weight")),
        "does not fit the model: keys 1 missing: conv3.weight",
    ),
    *(
        _weights(
            f"weights of {kind}",
            "w.pt",
            weights("w.pt", functools.partial(_cast, dtype=kind)),
            f"does not fit the model: conv3.weight is {kind} in the file and torch.float32 in the",
        )
        for kind in (torch.complex64, torch.bool, torch.int8)
    ),
    _weights(
        "another shape",
        "w.pt",
        weights("w.pt", lambda own: own.update({"conv1.bias": torch.zeros(3)})),
        "does not fit the model: conv1.bias … (3,) … (24,)",
    ),
    _weights(
        "weights of NaN",
        "w.pt",
        weights("w.pt", lambda own: own["conv1.bias"].fill_(torch.nan)),
        "are not finite numbers: conv1.bias",
    ),
    _weights(
        "weights that are closed", "w.pt", closed("w.pt", weights("w.pt")), "cannot", as_root=False
    ),
]

_CODE = [
    _weights(
        "code among weights",
        "w.pt",
        saved("w.pt", {"conv1.weight": Payload()}),
        "holds getattr, " + _ALLOW,
    ),
    _weights(
        "code among old weights",
        "w.pt",
        saved("w.pt", {"conv1.weight": Payload()}, _use_new_zipfile_serialization=False),
        f"holds getattr, {_ALLOW}",
    ),
    _weights(
        "code alone",
        "w.pt",
        pickled("w.pt"),
        f"is a pickle of something other than tensors, {_ALLOW}",
    ),
    _weights(
        "code in a checkpoint", "w.ckpt", checkpoint_with_code("w.ckpt"), f"holds getattr, {_ALLOW}"
    ),
    Bad(
        "code for Lightning",
        f"{AM} --model neurovis.demo.ShapeClassifier --weights w.ckpt",
        f'"w.ckpt" holds getattr, {_ALLOW}',
        checkpoint_with_code("w.ckpt"),
    ),
    Bad(
        "code for the demo",
        "layers --weights w.pt",
        f'"w.pt" holds getattr, {_ALLOW}',
        saved("w.pt", {"conv1.weight": Payload()}),
    ),
    _weights("code as safetensors", "w.safetensors", pickled("w.safetensors"), _DAMAGED),
    Bad(
        "code for a direction",
        f"{AM} --objective Direction --objective.vectors v.pt",
        '"v.pt" is damaged … .npy or .pt',
        saved("v.pt", {"a": Payload()}),
    ),
    Bad(
        "an array of code for a direction",
        f"{AM} --objective Direction --objective.vectors v.npy",
        '"v.npy" is not a NumPy file of numbers',
        code_array("v.npy"),
    ),
    Bad(
        "a direction for other kernels",
        f"{AM} --objective Direction --objective.vectors v.npy",
        "48 kernels … vectors have 3",
        array("v.npy", [1, 2, 3]),
    ),
]

WEIGHTS = [*_FILES, *_CODE]
