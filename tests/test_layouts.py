"""Maps of tokens and windows, compared with what the networks' own code says of their places."""

from __future__ import annotations

from pathlib import Path

import lightning.pytorch as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import models

from neurovis import ActivationMaximization, kernel_saliency
from neurovis.inputs import InputSpec
from neurovis.layer_reader import LayerReader


def transformer(size: int = 32) -> models.VisionTransformer:
    """Patches of 8 x 8 pixels, a class token before them."""
    torch.manual_seed(0)
    network = models.VisionTransformer(size, 8, 2, 2, 16, 32, num_classes=5).eval()
    nn.init.normal_(network.class_token)
    return network


def read(network: nn.Module, *layers: str, images: Tensor) -> dict[str, Tensor]:
    with torch.no_grad():
        reader = LayerReader(network, list(layers), torch.zeros(1, *images.shape[1:]))
        return reader(images)


def test_tokens_come_as_the_grid_of_their_patches() -> None:
    network, images = transformer(), torch.rand(2, 3, 32, 32)
    found = read(network, "conv_proj", "encoder.layers.encoder_layer_0.ln_1", images=images)
    patches, normalized = found.values()
    places = network.encoder.pos_embedding[0, 1:].T.unflatten(1, (4, 4))
    expected = F.layer_norm((patches + places).movedim(1, -1), [16], eps=1e-6).movedim(-1, 1)
    assert normalized.shape == (2, 16, 4, 4)
    torch.testing.assert_close(normalized, expected)


def test_an_image_that_is_not_square_has_a_grid_that_is_not() -> None:
    class Tokens(nn.Module):
        """Class token behind the grid, kernels before it."""

        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(1, 6, 4, 4)
            self.end = nn.Identity()

        def forward(self, images: Tensor) -> Tensor:
            patches = self.patches(images).flatten(2)
            return self.end(torch.cat([patches, patches.new_zeros(len(images), 6, 1)], 2))

    images = torch.rand(2, 1, 12, 20)
    found = read(Tokens(), "patches", "end", images=images)
    assert found["end"].shape == (2, 6, 3, 5)
    assert found["end"].equal(found["patches"])


def test_a_reader_does_not_take_windows_for_images() -> None:
    class Windows(nn.Module):
        """Shifted windows of 4 x 4 units in the batch dimension, and back."""

        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(3, 6, 2, 2)
            self.norm = nn.LayerNorm(6)
            self.linear = nn.Linear(6, 5)

        def forward(self, images: Tensor) -> Tensor:
            maps = self.patches(images).movedim(1, -1).roll((-1, -2), (1, 2))
            windows = maps.unflatten(1, (2, 4)).unflatten(3, (3, 4)).movedim(3, 2)
            return self.linear(self.norm(windows.flatten(3, 4).flatten(0, 2)))

    torch.manual_seed(0)
    network, images = Windows(), torch.rand(3, 3, 16, 24)
    found = read(network, "patches", "norm", "linear", images=images)
    expected = F.layer_norm(found["patches"].movedim(1, -1), [6])
    torch.testing.assert_close(found["norm"], expected.movedim(-1, 1))
    expected = F.linear(expected, network.linear.weight, network.linear.bias)
    torch.testing.assert_close(found["linear"], expected.movedim(-1, 1))


def test_gradients_come_back_to_the_patches_that_were_read() -> None:
    network, images = transformer(), torch.rand(1, 3, 32, 32, requires_grad=True)
    reader = LayerReader(network, "encoder.layers.encoder_layer_0.ln_1", images.detach())
    reader(images)["encoder.layers.encoder_layer_0.ln_1"][0, 3, 1, 2].backward()
    assert images.grad is not None
    rows, columns = images.grad[0].abs().amax(0).nonzero().T
    assert (rows.unique().tolist(), columns.unique().tolist()) == (
        list(range(8, 16)),
        list(range(16, 24)),
    )


def test_the_center_of_tokens_is_the_patch_in_the_middle_of_the_image(tmp_path: Path) -> None:
    network, layer = transformer(), "encoder.layers.encoder_layer_1.mlp.1"
    module = ActivationMaximization(
        network, layer, [5], InputSpec.rgb(32), objective="center", steps=2, crop=False
    )
    trainer = pl.Trainer(
        max_epochs=-1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        accelerator="cpu",
        default_root_dir=tmp_path,
    )
    trainer.fit(module)
    tokens: list[Tensor] = []
    network.get_submodule(layer).register_forward_hook(lambda *call: tokens.append(call[2]))
    with torch.no_grad():
        network(InputSpec.rgb(32).to_network(module.results.images.float()))
    torch.testing.assert_close(module.results.activations, tokens[0][:, 1 + 2 * 4 + 2, 5])


def test_gradcam_of_tokens_is_of_their_grid() -> None:
    network, layer, images = (
        transformer(),
        "encoder.layers.encoder_layer_1.ln_1",
        torch.rand(2, 3, 32, 32),
    )
    found = kernel_saliency(network, images, None, 3, method="gradcam", gradcam_layer=layer)
    tokens: list[Tensor] = []
    network.get_submodule(layer).register_forward_hook(lambda *call: tokens.append(call[2]))
    (gradient,) = torch.autograd.grad(network(images)[:, 3].sum(), tokens[0])
    weights = gradient[:, 1:].mean(1, keepdim=True)
    coarse = (weights * tokens[0][:, 1:]).sum(2).relu().unflatten(1, (1, 4, 4)).detach()
    expected = F.interpolate(coarse, (32, 32), mode="bilinear", align_corners=False)
    torch.testing.assert_close(found.maps, expected)


def test_attention_with_a_query_that_is_a_parameter() -> None:
    class Pooling(nn.Module):
        """One query for all patches of an image, and one for each of its tokens behind it."""

        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(3, 8, 4, 4)
            self.query = nn.Parameter(torch.ones(1, 1, 1, 8))
            self.pooled = nn.Identity()

        def forward(self, images: Tensor) -> Tensor:
            keys = self.patches(images).flatten(2).transpose(1, 2)[:, None]
            query = self.query.expand(len(images), -1, -1, -1)
            return self.pooled(F.scaled_dot_product_attention(query, keys, keys)[:, 0])

    network, images = Pooling(), torch.rand(2, 3, 8, 12)
    pooled = read(network, "pooled", images=images)["pooled"]
    assert pooled[..., 0].equal(network(images)[:, 0])


def test_a_lost_dimension_of_one_image_is_the_first() -> None:
    class Apart(nn.Module):
        """Attention among units that lie apart, by einsum, as in MaxViT."""

        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(3, 6, 1)
            self.attended = nn.GELU()

        def forward(self, images: Tensor) -> Tensor:
            maps = self.patches(images)
            groups = maps.unflatten(3, (4, 2)).unflatten(2, (4, 2)).permute(0, 3, 5, 2, 4, 1)
            tokens = groups.flatten(3, 4).flatten(1, 2)
            weights = torch.einsum("BGID,BGJD->BGIJ", tokens, tokens).softmax(-1)
            return self.attended(torch.einsum("BGIJ,BGJD->BGID", weights, tokens))

    network, images = Apart(), torch.rand(2, 3, 8, 8)
    attended = read(network, "attended", images=images)["attended"]
    rows = network(images).unflatten(2, (4, 4)).unflatten(1, (2, 2))
    expected = rows.permute(0, 5, 3, 1, 4, 2).reshape(2, 6, 8, 8)
    assert attended.equal(expected)


def test_a_pooled_map_that_is_made_larger_has_rows_and_columns() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 6, 1), nn.AdaptiveAvgPool2d(1), nn.Upsample((4, 5), mode="bilinear")
    )
    images = torch.rand(2, 3, 8, 10)
    found = read(network, "2", images=images)["2"]
    assert found.shape == (2, 6, 4, 5)
    torch.testing.assert_close(found[..., 3, 1], network[:2](images)[..., 0, 0])
