from __future__ import annotations

import numpy as np
import pytest
import torch

from neurovis.readouts import READOUTS, center_unit, spatial_max, spatial_mean


def test_readouts_of_maps_against_numpy() -> None:
    activation = torch.randn(2, 3, 5, 8)
    array = activation.cpu().numpy()
    np.testing.assert_allclose(spatial_mean(activation).cpu(), array.mean((2, 3)), atol=1e-6)
    np.testing.assert_allclose(spatial_max(activation).cpu(), array.max((2, 3)))
    np.testing.assert_allclose(center_unit(activation).cpu(), array[:, :, 2, 4])


@pytest.mark.parametrize("name", READOUTS)
def test_a_vector_is_its_own_readout(name: str) -> None:
    activation = torch.randn(2, 7)
    assert torch.equal(READOUTS[name](activation), activation)
