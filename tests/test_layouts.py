"""Maps of tokens and windows, compared with what the networks' own code says of their places."""

from __future__ import annotations

from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import models

from neurovis import ActivationMaximization, kernel_saliency, set_layout
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


def test_a_layer_norm_over_whole_maps_has_its_kernels_where_the_map_has_them() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.LayerNorm([4, 6, 6]), nn.LayerNorm([6, 6]))
    images = torch.rand(2, 3, 8, 8)
    over_all, over_places = read(network, "1", "2", images=images).values()
    assert over_all.equal(network[:2](images))
    assert over_places.equal(network(images))


def test_tokens_before_images_are_read_image_by_image() -> None:
    class Tokens(nn.Module):
        """An encoder as PyTorch makes it by default: tokens come first, images second."""

        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(3, 8, 4, 4)
            layer = nn.TransformerEncoderLayer(8, 2, 16, norm_first=True)
            self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

        def forward(self, images: Tensor) -> Tensor:
            return self.encoder(self.patches(images).flatten(2).permute(2, 0, 1))

    network, images = Tokens().eval(), torch.rand(4, 3, 8, 8)  # As many images as tokens.
    layers = ["encoder.layers.0.linear1", "encoder.layers.1", "encoder"]
    hidden, *last = read(network, *layers, images=images).values()
    expected = network(images).permute(1, 2, 0).unflatten(2, (2, 2))
    assert hidden.shape == (4, 16, 2, 2)
    for block in last:
        torch.testing.assert_close(block, expected)


class Pruned(nn.Module):
    """Tokens in the order of their lengths, which nothing can follow; images or tokens first."""

    def __init__(self, images_dim: int) -> None:
        super().__init__()
        self.images_dim = images_dim
        self.patches = nn.Conv2d(3, 8, 4, 4)
        self.heads = nn.LayerNorm(4)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        order = tokens.norm(dim=2).argsort(1)[..., None].expand_as(tokens)
        tokens = tokens.gather(1, order).unflatten(2, (2, 4)).transpose(1, 2)
        return self.heads(tokens.movedim(0, self.images_dim))


def test_heads_and_tokens_that_were_not_followed_are_no_map() -> None:
    images = torch.rand(2, 3, 8, 8)
    network = Pruned(0).eval()
    reader = LayerReader(network, "heads", images[:1])
    activation = reader(images)["heads"]
    assert activation.shape == (2, 4, 2, 4)
    with pytest.raises(ValueError, match=r'has 8 positions.*"heads", kernel_dim=-1\)'):
        reader.check_places("heads", activation.shape)
    set_layout(network, "heads", kernel_dim=-1)
    LayerReader(network, "heads", images[:1]).check_places("heads", activation.shape)


def test_tokens_that_were_not_followed_are_not_taken_for_images() -> None:
    images = torch.rand(2, 3, 8, 8)  # As many as heads, which come first.
    with pytest.raises(ValueError, match="image by image"):
        LayerReader(Pruned(1).eval(), "heads", images[:1])


def test_the_frames_of_a_single_map_are_not_taken_for_kernels() -> None:
    class Film(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.map = nn.Conv3d(1, 1, 3, padding=1)
            self.rectified = nn.ReLU()

        def forward(self, images: Tensor) -> Tensor:
            return self.rectified(self.map(images[:, None]))

    images = torch.rand(2, 4, 8, 8)
    assert read(Film(), "map", images=images)["map"].shape == (2, 1, 4, 8, 8)
    with pytest.raises(ValueError, match="which dimension of its output counts kernels"):
        read(Film(), "rectified", images=images)


def test_pooling_over_features_keeps_them_as_kernels() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.Flatten(2), Transposed(), nn.AvgPool1d(2))
    images = torch.rand(2, 3, 8, 12)
    found = read(network, "3", images=images)["3"]
    assert found.equal(network(images).transpose(1, 2).unflatten(2, (2, 3)))


class Transposed(nn.Module):
    def forward(self, tokens: Tensor) -> Tensor:
        return tokens.transpose(1, 2)
