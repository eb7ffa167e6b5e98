"""Refusal of what hyperparameters of a Lightning checkpoint name to be imported or called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from torch import nn

from neurovis.models.weight_files import check_hyperparameters

FILE = Path("a.ckpt")
BY_LIGHTNING = {"_instantiator": "lightning.pytorch.cli.instantiate_module"}


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"loss": "os.system"}, "os.system"),
        ({"loss": {"class_path": "antigravity.Loss"}}, "antigravity.Loss"),
        ({"layers": [{"class_path": "subprocess.Popen", "init_args": {}}]}, "subprocess.Popen"),
        ({"loss": "{class_path: subprocess.Popen}"}, "subprocess.Popen"),
        ({"loss": '"\\x6fs.system"'}, "os.system"),
        ({"loss": "torch.load"}, "torch.load"),
    ],
)
def test_functions_and_classes_in_them_are_not_called(given: dict[str, Any], named: str) -> None:
    refusal = rf"names '{named}' to be imported or called, .* --trust"
    with pytest.raises(ValueError, match=refusal):
        check_hyperparameters(FILE, {"hyper_parameters": BY_LIGHTNING | given}, nn.Module)
    # Lightning puts those of all keys together.
    parts = {"hparams": BY_LIGHTNING, "hyper_parameters": given}
    with pytest.raises(ValueError, match=refusal):
        check_hyperparameters(FILE, parts, nn.Module)
    # Without it, a text is a text.
    check_hyperparameters(FILE, {"hyper_parameters": given}, nn.Module)


def test_networks_optimizers_and_other_texts_are_left_alone() -> None:
    network = {"class_path": "torch.nn.Linear", "init_args": {"in_features": 2}}
    optimizer = {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.1}}
    texts = ["data/test.csv", "resnet18", "See os.path.join.", "1.5", "torch.nn", "{", "a: *b"]
    given = {"net": network, "optimizer": optimizer, "texts": texts, "number": 1.5}
    check_hyperparameters(FILE, {"hyper_parameters": BY_LIGHTNING | given}, nn.Module)


def test_texts_that_hold_themselves_come_to_an_end() -> None:
    lines = ["&a0 [x]", *(f"&a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12))]
    given = {"a": "&a [*a]", "b": f"[{', '.join(lines)}]"}
    check_hyperparameters(FILE, {"hyper_parameters": BY_LIGHTNING | given}, nn.Module)


def test_hyperparameters_are_names_with_values() -> None:
    pairs = [*BY_LIGHTNING.items(), ("loss", "os.system")]
    with pytest.raises(ValueError, match=r'"a\.ckpt" has hyper_parameters that are no names'):
        check_hyperparameters(FILE, {"hyper_parameters": pairs}, nn.Module)
