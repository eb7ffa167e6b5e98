"""Four layers: modules import from their own layer or a lower one."""

from __future__ import annotations

import ast
import configparser
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import neurovis

PACKAGE = Path(neurovis.__file__).parent

LOWEST = {
    *(
        "inputs",
        "modality",
        "calling",
        "layers",
        "kernels",
        "receptive_fields",
        "kernel_layouts",
        "layer_table",
        "outputs",
        "recording",
        "restoration",
    ),
    *("layer_reader", "run_folder", "result", "result_files"),
    *("readouts", "rectifiers", "copies", "figures", "cards", "summaries", "pictures", "files"),
    *(
        "prediction",
        "rank_correlation",
        "observation",
        "tensorboard_layout",
        "first_forward",
        "transfer",
        "arithmetic",
    ),
    *("class_names", "collectives", "differentiation", "tables", "archives"),
    "_version",
}
MIDDLE = {"models", "maximization", "tuning", "saliency", "demo"}
ANALYSIS = {"analysis", "top_images"}
TOP = {"callbacks", "cli", "__main__"}

USES_LIGHTNING = {"maximization", "tuning", "demo", "top_images", "analysis", "callbacks", "cli"}
LIGHTNING = {"lightning", "pytorch_lightning", "lightning_fabric", "lightning_utilities"}
#: Commands, the files of libraries, and type variables: each module has its own.
SHARED_NAMES = {"run", "main", "load", "names", "T"}
#: What the base of the monitors is made of; monitors share only the base itself.
BASE_OF_MONITORS = {
    "base": {
        *("failures", "hooks", "image_finder"),
        *("option_checks", "probe", "schedule", "training_run"),
    },
    "hooks": {"failures", "probe", "schedule", "training_run"},
    "failures": {"probe", "training_run"},
    "probe": {"image_finder"},
}


def violations(module: str, source: str) -> list[str]:
    """What a module imports against the rules, as sentences."""
    package, *rest = module.split(".")[1:] or ["__init__"]
    if package == "__init__":
        return []
    if _level(package) is None:
        return [f"{module} has no layer: add {package} to the design and to this test"]
    found = []
    for imported in _imports(module, source):
        top, *parts = imported.split(".")
        if top == "neurovis":
            found += _upward(module, package, rest, parts)
        elif top in LIGHTNING | {"torchmetrics"} and package not in USES_LIGHTNING:
            found.append(f"{module} imports {top}")
        elif top == "matplotlib" and package != "figures":
            found.append(f"{module} imports matplotlib; only figures does")
    return found


def _upward(module: str, package: str, rest: list[str], parts: list[str]) -> list[str]:
    target = parts[0] if parts else "__init__"
    if target == package:
        return _siblings(module, rest, parts[1:]) if package == "callbacks" else []
    if target == "__init__":
        return [f"{module} imports the whole of neurovis; import the module that has the name"]
    level, target_level = _level(package), _level(target)
    if target_level is None:
        return [f"{module} imports {target}, which has no layer"]
    if level is None or target_level > level:
        return [f"{module} climbs to {target}"]
    if package in MIDDLE and target in MIDDLE and package != "demo":
        return [f"{module} imports its neighbor {target}; only demo may"]
    if (package, target) == ("top_images", "analysis"):
        return [f"{module} imports analysis, which builds on it"]
    if package == "callbacks" and target in TOP:
        return [f"{module} imports {target}"]
    return []


def _siblings(module: str, rest: list[str], parts: list[str]) -> list[str]:
    """Monitors import nothing of each other's."""
    importer = rest[0] if rest else "__init__"
    target = parts[0] if parts else "__init__"
    if importer == "__init__" or target in {importer, *BASE_OF_MONITORS.get(importer, ())}:
        return []
    if importer not in BASE_OF_MONITORS and target == "base":
        return []
    return [f"{module} imports its sibling {target}; monitors share only base"]


def _level(package: str) -> int | None:
    levels = [
        number for number, level in enumerate((LOWEST, MIDDLE, ANALYSIS, TOP)) if package in level
    ]
    return levels[0] if levels else None


def _imports(module: str, source: str) -> Iterator[str]:
    """Dotted names of all that is imported anywhere in the source, also inside functions."""
    tree = ast.parse(source)
    # Names that only annotations use cost nothing and need no library.
    annotations = {
        node
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and ast.unparse(branch.test) == "TYPE_CHECKING"
        for node in ast.walk(branch)
    }
    for node in ast.walk(tree):
        if node in annotations and "neurovis" not in ast.unparse(node):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module.split(".")[: -node.level]
                base = ".".join([*package, *filter(None, [base])])
            if base.partition(".")[0] == "neurovis":
                # `from neurovis import figures` is an import of figures.
                yield from (
                    f"{base}.{alias.name}" if _is_module(base, alias.name) else base
                    for alias in node.names
                )
            else:
                yield base


def _is_module(package: str, name: str) -> bool:
    folder = PACKAGE.joinpath(*package.split(".")[1:])
    return (folder / f"{name}.py").exists() or (folder / name).is_dir()


def _modules() -> Iterator[tuple[str, Path]]:
    for folder in (PACKAGE, *(path for path in PACKAGE.iterdir() if path.is_dir())):
        for path in sorted(folder.rglob("*.py") if folder != PACKAGE else folder.glob("*.py")):
            parts = path.relative_to(PACKAGE).with_suffix("").parts
            name = ".".join(["neurovis", *(part for part in parts if part != "__init__")])
            yield name, path


def test_imports_point_down() -> None:
    for module, path in _modules():
        # A package's own __init__ is a module of the package, for relative imports too.
        name = f"{module}.__init__" if path.stem == "__init__" and module != "neurovis" else module
        assert violations(name, path.read_text(encoding="utf-8")) == [], name


def test_no_public_name_has_two_meanings() -> None:
    """Nor is a module hidden by what its package exports."""
    homes: dict[str, list[str]] = {}
    for module, path in _modules():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [getattr(node, "name", "")]
            if isinstance(node, (ast.Assign, ast.AnnAssign)):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names = [target.id for target in targets if isinstance(target, ast.Name)]
            for name in names:
                if name and not name.startswith("_") and name not in SHARED_NAMES:
                    homes.setdefault(name, []).append(module)
            is_export = path.stem == "__init__" and isinstance(node, ast.ImportFrom)
            for alias in node.names if is_export and isinstance(node, ast.ImportFrom) else []:
                assert node.module != f"{module}.{alias.name}", f"{alias.name} hides its module"
    assert len(homes) > 500
    assert {name: modules for name, modules in homes.items() if len(modules) > 1} == {}


def test_no_imports_go_in_circles() -> None:
    """Nor those within functions, nor those for annotations."""
    paths = dict(_modules())
    graph = {
        module: {*_imports(module, path.read_text(encoding="utf-8"))} & paths.keys() - {module}
        for module, path in paths.items()
    }
    assert len(graph) > 200
    assert "neurovis.tuning.drawing" in graph["neurovis.tuning.results"]
    TopologicalSorter(graph).prepare()  # It raises CycleError.


def test_all_levels_are_seen() -> None:
    packages = {name.split(".")[1] for name, _ in _modules() if "." in name}
    assert {"inputs", "recording", "figures", "maximization", "callbacks"} <= packages


@pytest.mark.parametrize(
    ("module", "source", "word"),
    [
        ("neurovis.inputs", "from neurovis.maximization.ascent import Ascent", "climbs"),
        ("neurovis.inputs", "from neurovis import maximization", "climbs"),
        ("neurovis.figures.maps", "from ..callbacks import base", "climbs"),
        ("neurovis.recording", "def f():\n    import neurovis.cli.main", "climbs"),
        ("neurovis.tuning.rank", "from neurovis.analysis import make_report", "climbs"),
        ("neurovis.analysis.report", "from neurovis.cli.printing import console", "climbs"),
        ("neurovis.top_images.probe", "from neurovis.analysis import make_report", "builds on it"),
        ("neurovis.recording", "import lightning.pytorch as pl", "lightning"),
        ("neurovis.summaries", "from pytorch_lightning.loggers import CSVLogger", "lightning"),
        ("neurovis.saliency", "import torchmetrics", "torchmetrics"),
        (
            "neurovis.callbacks.base",
            "def f():\n    from matplotlib.figure import Figure",
            "only fig",
        ),
        (
            "neurovis.maximization.ascent",
            "from neurovis.saliency import kernel_saliency",
            "neighbor",
        ),
        ("neurovis.maximization.ascent", "from neurovis import InputSpec", "whole of neurovis"),
        ("neurovis.callbacks.saliency", "from neurovis.callbacks.feature_maps import X", "sibling"),
        (
            "neurovis.callbacks.saliency",
            "from neurovis.callbacks import FeatureMapMonitor",
            "sibling",
        ),
        ("neurovis.callbacks.saliency", "from .probe import Probe", "sibling"),
        ("neurovis.callbacks.base", "from neurovis.callbacks.feature_maps import X", "sibling"),
        ("neurovis.callbacks.base", "from neurovis.cli.main import main", "imports cli"),
        ("neurovis.helpers", "", "no layer"),
        ("neurovis.inputs", "import neurovis.helpers", "no layer"),
        ("neurovis.inputs", "if TYPE_CHECKING:\n    from neurovis.cli import main", "climbs"),
        ("neurovis.inputs", "if TYPE_CHECKING:\n    pass\nimport matplotlib", "only figures"),
    ],
)
def test_a_violation_is_found(module: str, source: str, word: str) -> None:
    (sentence,) = violations(module, source)
    assert word in sentence


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("neurovis.demo.training", "from neurovis.maximization import ActivationMaximization"),
        ("neurovis.cli.demo", "from neurovis.callbacks import FeatureMapMonitor\nimport lightning"),
        ("neurovis.callbacks.saliency", "from neurovis.callbacks.base import Monitor"),
        ("neurovis.callbacks.base", "from neurovis.callbacks.probe import Probe\nimport lightning"),
        ("neurovis.callbacks.__init__", "from neurovis.callbacks.feature_maps import X"),
        ("neurovis.figures.page", "from matplotlib.figure import Figure\nfrom .maps import gray"),
        ("neurovis.recording", "from neurovis.layers import resolve_layer\nimport torch"),
        ("neurovis.maximization.results", "if TYPE_CHECKING:\n    import matplotlib.figure"),
    ],
)
def test_what_is_allowed_passes(module: str, source: str) -> None:
    assert violations(module, source) == []


@pytest.mark.parametrize("module", ["neurovis", "neurovis.figures, neurovis.summaries"])
def test_importing_is_light(module: str) -> None:
    heavy = ("captum", "matplotlib", "tensorboard")
    code = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_every_package_is_installed() -> None:
    """The list in setup.cfg is kept by hand; an installation in place does not need it."""
    config = configparser.ConfigParser()
    config.read(PACKAGE.parent / "setup.cfg", encoding="utf-8")
    inside = (path.parent.relative_to(PACKAGE) for path in PACKAGE.rglob("__init__.py"))
    found = {".".join(("neurovis", *path.parts)) for path in inside} | {"neurovis.callbacks"}
    assert set(config["options"]["packages"].split()) == found
