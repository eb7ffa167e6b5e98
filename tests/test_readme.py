"""What the pages tell newcomers to type is understood; what they link to and show is there."""

from __future__ import annotations

import ast
import builtins
import functools
import importlib
import inspect
import re
import shlex
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
import yaml
from torch import nn
from torch.utils.data import DataLoader

from neurovis import ActivationMaximization, InputSpec, rank_kernels
from neurovis.calling import call_arguments
from neurovis.cli.main import COMMANDS, build_parser
from neurovis.demo import demo_input_spec, load_demo_network
from neurovis.figures.page_figure import PageFigure
from neurovis.tuning import RANKINGS, Rankings
from neurovis.tuning.rankings import Ranking, Scores

ROOT = Path(__file__).resolve().parents[1]
MEDIA = ROOT / "docs" / "media"
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
}
README = PAGES["README.md"]
#: What people see first must not grow.
MOST_LINES = 200
MOST_BYTES_OF_A_PICTURE = 200_000
MOST_BYTES_OF_ALL = 1_000_000
#: ImageNet's, of the channels of images (B, C, H, W).
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


def _blocks(page: str) -> list[str]:
    """The Python of a page."""
    return re.findall(r"```python\n(.*?)```", page, re.DOTALL)


def _commands(page: str) -> Iterator[str]:
    """Command lines in code: indented, fenced, or within a line."""
    without_python = re.sub(r"```python\n.*?```", "", page, flags=re.DOTALL)
    text = without_python.replace("\\\n", " ")
    for line in re.findall(r"^    (.+)$", text, re.MULTILINE):
        yield from (part.strip() for part in line.split("&&"))
    for span in re.findall(r"(?<!`)`([^`]+)`", text):
        yield " ".join(span.split())


def _of(program: str) -> list[Any]:
    found = {
        (page, command)
        for page, text in PAGES.items()
        for command in _commands(text)
        if command.startswith(f"{program} ")
    }
    return [pytest.param(command, id=f"{page}: {command}") for page, command in sorted(found)]


BLOCKS = [
    pytest.param(block, id=f"{page}: {number}")
    for page, text in PAGES.items()
    for number, block in enumerate(_blocks(text))
]


def test_the_two_commands_are_there() -> None:
    lines = [line.strip() for line in README.splitlines()]
    assert "pip install -e . && neurovis demo" in lines
    assert 'pip install -e ".[test]" && pytest' in lines


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= MOST_LINES


@functools.cache
def _options(command: str) -> Any:
    """The options of a command, which several pages may show, and several tests look at."""
    words = shlex.split(command)[1:]
    return build_parser(words[0]).parse_args(words[1:])


@pytest.mark.parametrize("command", _of("neurovis"))
def test_commands_are_understood(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    words = shlex.split(command)[1:]
    assert words[0] in {*COMMANDS, "--help"}
    if len(words) == 1 or words[-1] == "--help":  # Named, and not to be typed.
        return
    _options(command)


@pytest.mark.parametrize("command", _of("python"))
def test_scripts_are_there(command: str) -> None:
    words = shlex.split(command)[1:]
    if words[0] != "-m":
        assert (ROOT / words[0]).is_file()
        written = (ROOT / words[0]).read_text()
        for option in words[1:]:
            assert not option.startswith("--") or f'"{option}"' in written
    elif words[1] != "venv":
        assert importlib.util.find_spec(words[1]) is not None
    if "--config" in words:
        assert (ROOT / words[words.index("--config") + 1]).is_file()


@pytest.mark.parametrize("command", _of("neurovis"))
def test_pictures_of_commands_are_there(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    words = shlex.split(command)[1:]
    if not {"--images", "--probe"} & set(words):
        return
    options = _options(command)
    for path in [*(options.images or []), *(options.get("probe") or [])]:
        assert (ROOT / path).is_file()
    # The demo's pictures have depth as well.
    assert options.model != "demo"


@pytest.mark.parametrize("command", _of("neurovis rank"))
def test_rankings_apply_to_the_layers_they_are_shown_with(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    options = _options(command)
    if options.layer == ["all-conv"]:
        assert not [name for name in options.by if RANKINGS[name].needs_rectifier]


def test_every_command_is_shown() -> None:
    named = {shlex.split(command)[1] for command in _commands(README) if "neurovis " in command[:9]}
    assert set(COMMANDS) <= named


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    path = ROOT / page
    missing = []
    for link in re.findall(r"\]\(([^)]+)\)", PAGES[page]):
        file, _, heading = link.partition("#")
        if "://" in link:
            continue
        target = (path.parent / file).resolve() if file else path
        headings = {
            re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-")
            for line in (
                target.read_text().splitlines()
                if target.suffix == ".md" and target.exists()
                else []
            )
            if line.startswith("#")
        }
        if not target.exists() or (heading and heading not in headings):
            missing.append(link)
    assert not missing


def test_every_page_is_linked() -> None:
    linked = {
        (ROOT / page).parent.joinpath(link.partition("#")[0]).resolve()
        for page, text in PAGES.items()
        for link in re.findall(r"\]\(([^)]+)\)", text)
    }
    assert {ROOT / page for page in PAGES if page != "README.md"} <= linked


def test_pictures_are_shown_small_and_explained() -> None:
    pictures = [path for path in MEDIA.iterdir() if path.suffix != ".md"]
    shown = {
        (ROOT / page).parent.joinpath(name).resolve()
        for page, text in PAGES.items()
        for name in re.findall(r"\]\(([^)#]+)\)", text)
    }
    assert not set(pictures) - shown
    assert max(path.stat().st_size for path in pictures) <= MOST_BYTES_OF_A_PICTURE
    of_gallery = re.findall(r"\(media/([^)]+)\)", PAGES["docs/gallery.md"])
    assert sum((MEDIA / name).stat().st_size for name in set(of_gallery)) <= MOST_BYTES_OF_ALL


def test_pictures_of_the_gallery_have_their_config() -> None:
    """Under each picture stand a command by a committed config, or "the same", and its file."""
    parts = re.split(r"!\[[^\]]*\]\(media/([^)]+)\)", PAGES["docs/gallery.md"])
    for picture, text in zip(parts[1::2], parts[2::2], strict=True):
        caption = text.partition("\n## ")[0]
        configs = re.findall(r"--config (configs/\w+\.yaml)", caption)
        assert len(configs) == 1 or "The same command" in caption, picture
        for config in configs:
            options = yaml.safe_load((ROOT / config).read_text())
            images = options.get("images")
            assert images is None or (ROOT / images).is_file(), "a picture that is not ours"
        assert re.search(r"`[\w/.]+\.png`|the tag\s+`", caption), picture


@pytest.mark.parametrize("block", BLOCKS)
def test_python_has_names_and_arguments_that_exist(block: str) -> None:
    tree = ast.parse(block)
    names: dict[str, Any] = {"model": None, "pictures": None, "rank_kernels": rank_kernels}
    imports = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    for node in imports:
        exec(ast.unparse(node), names)  # Raises where there is no such name.
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.setdefault(node.id, None)
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            names.setdefault(node.name, None)
        if isinstance(node, ast.arg):
            names.setdefault(node.arg, None)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            assert node.id in names or hasattr(builtins, node.id), f"{node.id} is not defined"
        if isinstance(node, ast.Call):
            function = _named(node.func, names)
            if _has_signature(function):
                given = {one.arg: None for one in node.keywords if one.arg}
                bound = inspect.signature(function).bind_partial(*[None] * len(node.args), **given)
                assert set(bound.kwargs) <= _keywords(function) | set(bound.signature.parameters)


def _has_signature(function: Any) -> bool:
    """False for what Python brings, and for PyTorch's functions in C."""
    if not callable(function) or inspect.isbuiltin(function):
        return False
    return getattr(builtins, function.__name__, None) is not function


def _keywords(function: Any) -> set[str]:
    """What ``**options: Unpack[...]`` stands for."""
    made_by = function.__init__ if inspect.isclass(function) else function
    hints = typing.get_type_hints(made_by, include_extras=True)
    unpacked = [
        typing.get_args(hint)[0]
        for hint in hints.values()
        if "Unpack" in str(typing.get_origin(hint))
    ]
    return {name for one in unpacked for name in typing.get_type_hints(one)}


def _named(node: ast.expr, names: dict[str, Any]) -> Any:
    """What an expression such as ``L.Trainer`` stands for; None if it is not imported."""
    if isinstance(node, ast.Name):
        return names.get(node.id, getattr(builtins, node.id, None))
    if isinstance(node, ast.Attribute):
        owner = _named(node.value, names)
        return None if owner is None else getattr(owner, node.attr)
    return None


class _Network(nn.Module):
    """With the layers that the pages name, for small pictures."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, 16, 5, stride=2)]
        for _ in range(5):
            layers += [nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1)]
        self.features = nn.Sequential(*layers)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.features(images).mean((2, 3))


@pytest.fixture
def names() -> dict[str, Any]:
    """What a page takes for granted."""
    torch.manual_seed(0)
    return {"model": _Network().eval(), "pictures": torch.rand(2, 3, 24, 24)}


def _block(beginning: str, page: str = "README.md") -> str:
    (block,) = (block for block in _blocks(PAGES[page]) if beginning in block)
    return block


def test_activation_maximization_gives_what_is_said(
    names: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(PageFigure, "draw", lambda *_: None)
    block = _block("am.results.images")
    small = block.replace("InputSpec.rgb(224)", "InputSpec.rgb(24), steps=2")
    small = small.replace("(max_epochs", "(accelerator='cpu', max_epochs")
    exec(small, names)
    results = names["am"].results
    said = re.findall(r"results\.(\w+)  # \(16,( 3,)?", block)
    assert [name for name, _ in said] == ["images", "activations", "noise_activations"]
    for name, channels in said:
        shape = tuple(getattr(results, name).shape)
        assert shape == ((16, 3, 24, 24) if channels else (16,))


def test_a_ranking_by_stimuli_of_your_own_scores_what_they_do(names: dict[str, Any]) -> None:
    exec(_block("class Spots", "docs/tuning.md"), names)
    network, spec = load_demo_network().eval(), demo_input_spec()
    spots = names["Spots"](spec)
    images = spots.images(range(len(spots)))
    assert (images[-1] == 0.5).all(), "the last stimulus is gray"
    found: list[torch.Tensor] = []
    handle = network.get_submodule("conv1").register_forward_hook(
        lambda *called: found.append(called[-1])
    )
    with handle, torch.no_grad():
        network(spec.to_network(images))
    height, width = found[0].shape[2:]
    table = found[0][:-1, :, height // 2, width // 2].T.unflatten(1, (4, 3))
    expected = (table[:, -1] - table[:, 0]).mean(1)
    (ranking,) = names["ranking"]
    torch.testing.assert_close(ranking.score.float(), expected, rtol=1e-4, atol=1e-4)
    assert len(ranking.null_score) > 0


def test_a_kind_of_ranking_that_cannot_be_shown_anything_is_refused() -> None:
    class Guess(Ranking[Any]):
        name, score_name = "guess", "guess"

        def score(self, *responses: Any) -> Scores:
            raise AssertionError(responses)

    with pytest.raises(TypeError, match=r"a subclass of GratingRanking, .* got <.*Guess"):
        rank_kernels(load_demo_network(), "conv1", Guess(), input_spec=demo_input_spec())


def test_an_objective_of_your_own_is_maximized(names: dict[str, Any], tmp_path: Path) -> None:
    exec(_block("class PowerMean", "docs/preferred_images.md"), names)
    objective = names["PowerMean"](power=2.0)
    activation = torch.tensor([[[1.0, 3.0, -2.0, 0.0]]])
    assert objective(activation).tolist() == [[2.5]]
    am = ActivationMaximization(
        names["model"], "features.0", [1], InputSpec.rgb(24), objective=objective, steps=4
    )
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=-1, logger=False, enable_progress_bar=False,
        enable_checkpointing=False, enable_model_summary=False, default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(am)
    assert (am.results.activations > am.results.noise_activations).all()


def test_saliency_gives_what_is_said(names: dict[str, Any]) -> None:
    exec(_block("kernel_saliency", "docs/saliency.md"), names)
    by_hand = (names["pictures"] - MEAN) / STD
    assert torch.allclose(names["images"], by_hand, atol=1e-6)
    assert names["found"].maps.shape == names["pictures"].shape
    assert names["found"].completeness_error.shape == (2,)
    assert names["check"].correlations.shape[1] == 2


def test_inputs_are_made() -> None:
    """Each line makes what its comment says."""
    lines = [line for line in _block("InputSpec.rgb(224)", "docs/inputs.md").splitlines() if line]
    names: dict[str, Any] = {}
    exec(lines[0], names)
    made = [eval(line.partition("#")[0], names) for line in lines[1:]]
    channels = [(spec.channels, spec.size) for spec in made]
    assert channels == [(3, (224, 224)), (3, (32, 32)), (3, (64, 64)), (1, (28, 28)),
                        (4, (480, 480)), (5, (240, 320))]  # fmt: skip
    images = torch.rand(1, 3, 224, 224)
    torch.testing.assert_close(made[0].to_network(images), (images - MEAN) / STD)
    images = torch.rand(1, 3, 64, 64)
    assert torch.equal(made[2].to_network(images), images)


def test_inputs_of_several_arguments_are_made() -> None:
    """Each line makes a spec that calls a network as its comment says."""
    imported, modalities, *lines = filter(
        None, _block("rgb, depth =", "docs/inputs.md").splitlines()
    )
    names: dict[str, Any] = {}
    exec(f"{imported}\n{modalities}", names)
    made = [eval(line.partition("#")[0], names) for line in lines]
    assert [spec.passed_as for spec in made] == [
        *("arguments", "keywords", "dict", "video", "frames"),
    ]
    (video,), _ = call_arguments(made[3], torch.zeros(1, *made[3].shape))
    assert video.shape == (1, 3, 16, 112, 112)
    (frames,), _ = call_arguments(made[4], torch.zeros(1, *made[4].shape))
    assert frames.shape == (1, 8, 3, 224, 224)


@pytest.mark.parametrize("page", ["README.md", "docs/watching.md"])
def test_monitors_attach(page: str) -> None:
    found: dict[str, Any] = {}
    exec(_block("trainer = Trainer(", page), found)
    assert isinstance(found["trainer"], pl.Trainer) or type(found["trainer"]).__name__ == "Trainer"
    assert any("Monitor" in type(one).__name__ for one in found["trainer"].callbacks)


class Classifier(pl.LightningModule):
    """A convolution with a rectifier, trained on noise."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu, self.head = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Linear(4, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.relu(self.conv(images)).mean((2, 3)))
        return logits

    def training_step(self, images: torch.Tensor) -> torch.Tensor:
        return self(images).square().mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def test_a_monitor_of_your_own_takes_one_method(tmp_path: Path) -> None:
    names: dict[str, Any] = {}
    exec(_block("class SparsityMonitor", "docs/watching.md"), names)
    kind = names["SparsityMonitor"]
    assert [name for name in vars(kind) if not name.startswith("_")] == ["observe"]
    images, module = torch.rand(8, 3, 9, 9), Classifier()
    monitor = kind("ReLU", probe_images=images[:2], on_error="raise")
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        callbacks=[monitor],
        default_root_dir=tmp_path,
        enable_progress_bar=False,
        enable_checkpointing=False,
    )
    trainer.fit(module, DataLoader(images, batch_size=4))
    (file,) = tmp_path.rglob("scalars.csv")
    _, row = file.read_text().splitlines()
    silent = (module.conv(images[:2]) <= 0).float().mean().item()
    step, tag, value = row.split(",")
    assert (step, tag) == ("1", "sparsity/relu")
    assert float(value) == pytest.approx(silent)


def test_the_ranking_of_one_s_own_works(names: dict[str, Any]) -> None:
    found: list[Rankings] = []

    def rank(*arguments: Any, **options: Any) -> Rankings:
        found.append(rank_kernels(*arguments, input_spec=InputSpec.rgb(24), **options))
        return found[0]

    exec(_block("GratingRanking"), {**names, "rank_kernels": rank})
    assert found[0].only.by == "horizontal"
    assert found[0].only.null_percentile.isfinite().all()
    assert found[0].only.reliability.isfinite().all()


def test_a_ranking_s_kernels_figure_and_table_are_there(
    names: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    block = _block('by="orientation"').replace("by=", "input_spec=InputSpec.rgb(24), by=")
    exec(block, {**names, "InputSpec": InputSpec})
    assert (tmp_path / "results.csv").read_text().count("\n") == 17
