"""The committed recipe runs, and what it exports is what the package loads."""

from pathlib import Path

import pytest
import torch

from neurovis.demo import ShapeNet, ShapeScenes
from neurovis.demo.training import main

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's, on workers and on sys.argv

RECIPE = Path(__file__).parents[2] / "configs" / "demo_training.yaml"


@pytest.fixture(autouse=True)
def threads_are_restored():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def shortened_recipe(export):
    shorter = {
        "trainer.max_epochs": 1,
        "trainer.check_val_every_n_epoch": 1,
        "trainer.enable_progress_bar": "false",
        "data.train_length": 32,
        "data.val_length": 8,
        "data.test_length": 8,
        "data.batch_size": 8,
        "export": export,
    }
    return ["--config", str(RECIPE), *(f"--{name}={value}" for name, value in shorter.items())]


def test_recipe_makes_the_same_weights_twice(tmp_path):
    weights = []
    for run in ("first.pt", "second.pt"):
        main(shortened_recipe(tmp_path / run))
        weights.append(torch.load(tmp_path / run, weights_only=True))
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    network = ShapeNet()
    network.load_state_dict(weights[0])
    assert network(ShapeScenes(1)[0][0][None]).isfinite().all()


def test_export_to_nowhere_is_refused_before_training(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(shortened_recipe(tmp_path / "missing" / "weights.pt"))
    assert stop.value.code == 2
    assert "missing" in capsys.readouterr().err
