"""Run the test suite on the lowest, on intermediate and on the newest versions of the dependencies.

    python tests/environments.py lowest between newest
    python3.10 tests/environments.py lowest --keep ~/environments -- tests/tuning -x

Each environment is a virtual environment of the Python that runs this script, of about 6 GB; with
``--keep`` it stays in that folder and is used again. Arguments after ``--`` go to pytest.
"""

from __future__ import annotations

import argparse
import configparser
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: Versions between the lowest that setup.cfg allows and the newest, which were released together.
BETWEEN = (
    "torch==2.13.*",
    "torchvision==0.28.*",
    "lightning==2.6.4",
    "torchmetrics==1.7.*",
    "numpy==2.3.*",
    "matplotlib==3.10.*",
    "jsonargparse==4.52.*",
    "pillow==11.*",
)
#: Packages whose versions are printed.
SHOWN = ["torch", "torchvision", "lightning", "torchmetrics", "numpy", "matplotlib", "jsonargparse"]


def lowest() -> tuple[str, ...]:
    """Return setup.cfg's requirements, each pinned to the lowest version that it allows."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    lines = config["options"]["install_requires"] + config["options.extras_require"]["test"]
    return tuple(line.replace(">=", "==") for line in lines.split("\n") if ">=" in line)


def run(name: str, folder: Path, arguments: list[str]) -> int:
    """Make an environment where there is none, print its versions, and run pytest in it."""
    python = folder / name / "bin" / "python"
    if not python.exists():
        venv.create(folder / name, with_pip=True)
    pins = {"lowest": lowest(), "between": BETWEEN, "newest": ()}[name]
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    newest = ["--upgrade", "--upgrade-strategy=eager"] if name == "newest" else []
    subprocess.run([*install, *newest, "--editable", ".[test]", *pins], cwd=ROOT, check=True)
    script = f"""
import platform
from importlib.metadata import version
print({name!r}, "Python", platform.python_version(), *(f"{{p}} {{version(p)}}" for p in {SHOWN}))
"""
    subprocess.run([python, "-c", script], check=True)
    environment = os.environ | {"PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}
    command = [python, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


def main() -> int:
    """Run the suite in the environments that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="+", choices=["lowest", "between", "newest"])
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the environments there")
    ours = sys.argv[1:]
    theirs = ours.index("--") if "--" in ours else len(ours)
    arguments = parser.parse_args(ours[:theirs])
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        return max(run(name, folder.absolute(), ours[theirs + 1 :]) for name in arguments.names)


if __name__ == "__main__":
    sys.exit(main())
