"""Networks by libraries' own names, compared with what the libraries do themselves.

Nothing is downloaded: networks are made without weights, or from folders and files made here.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn

from neurovis import load_model
from neurovis.class_names import class_names
from neurovis.cli.main import main
from neurovis.models import libraries, suggested_input_spec
from neurovis.models.libraries import RandomWeightsWarning
from neurovis.models.pretrained import input_of_weights

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def picture() -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    return Image.fromarray(values)


def shown(network: nn.Module, picture: Image.Image) -> Tensor:
    """A picture of the network's size as NeuroVis shows it."""
    spec = suggested_input_spec(network)
    assert spec is not None
    assert spec.size == picture.size
    return spec.to_network(torchvision.transforms.functional.to_tensor(picture)[None])


def refusal(model: str, **options: Any) -> str:
    with pytest.raises(ValueError, match=re.escape(model)) as raised:
        load_model(model, **options)
    assert "\n" not in str(raised.value)
    return str(raised.value)


class TestTorchvision:
    NAME, FILE = "torchvision:squeezenet1_1", "squeezenet1_1-b8a52dc0.pth"

    @pytest.fixture
    def trained(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> nn.Module:
        """A network whose weights are in the cache of torch's hub."""
        network = torchvision.models.squeezenet1_1().eval()
        (tmp_path / "checkpoints").mkdir()
        torch.save(network.state_dict(), tmp_path / "checkpoints" / self.FILE)
        monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
        return network

    def test_the_default_weights_come_from_the_cache(self, trained: nn.Module) -> None:
        network = load_model(self.NAME)
        images = torch.randn(1, 3, 64, 64)
        assert torch.equal(network(images), trained(images))
        assert network.origin.startswith("weights IMAGENET1K_V1; input as the transforms of")
        weights = torchvision.models.SqueezeNet1_1_Weights.DEFAULT
        spec, preset = suggested_input_spec(network), weights.transforms(resize_size=224)
        assert spec is not None
        assert spec.size == (224, 224)
        image = torch.rand(3, 224, 224)
        torch.testing.assert_close(spec.to_network(image), preset(image))
        assert class_names(network, None, 1000)[90] == "lorikeet"

    def test_a_file_and_random_weights_have_no_class_names(
        self, trained: nn.Module, tmp_path: Path
    ) -> None:
        file = tmp_path / "checkpoints" / self.FILE
        network = load_model(self.NAME, file)
        assert torch.equal(network.classifier[1].weight, trained.classifier[1].weight)
        assert network.origin.startswith(f"weights of {self.FILE}; input as")
        assert class_names(network, None, 1000) == []
        made = load_model(self.NAME, "random")
        assert made.origin.startswith("random weights; ")
        assert class_names(made, None, 1000) == []

    def test_import_paths_with_named_weights_have_class_names(self, trained: nn.Module) -> None:
        del trained
        network = load_model("torchvision.models.squeezenet1_1", "DEFAULT")
        assert class_names(network, "classifier.1", 1000)[90] == "lorikeet"

    def test_a_random_segmenter_loads_no_backbone(self) -> None:
        network = load_model("torchvision:lraspp_mobilenet_v3_large", "random")
        assert suggested_input_spec(network).size == (520, 520)  # type: ignore[union-attr]

    def test_detectors_are_shown_images_as_they_are(self) -> None:
        weights = torchvision.models.detection.SSDLite320_MobileNet_V3_Large_Weights.DEFAULT
        spec = input_of_weights(weights)
        image = torch.rand(3, 8, 8)
        assert torch.equal(spec.to_network(image), weights.transforms()(image))


class TestNames:
    @pytest.mark.parametrize(
        ("model", "message"),
        [
            ("torchvision:resnet81", 'not found; did you mean "torchvision:resnet18" or'),
            ("torchvison:resnet18", 'did you mean "torchvision:resnet18"?'),
            ("other:resnet18", "known are timm:, hf:, torchvision:, open_clip:"),
            ("timm:", "names no network of a known library"),
            ("facebook/dinov2-small", 'did you mean "hf:facebook/dinov2-small"?'),
            ("squeezenet1_1", 'did you mean "torchvision:squeezenet1_1"?'),
        ],
    )
    def test_near_names(self, model: str, message: str) -> None:
        assert message in refusal(model)

    def test_a_folder_needs_its_prefix(self, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_text("{}")
        assert f'did you mean "hf:{tmp_path}"?' in refusal(str(tmp_path))

    @pytest.mark.parametrize(
        ("model", "library", "extra"),
        [
            ("timm:resnet18", "timm", "timm"),
            ("hf:facebook/dinov2-small", "transformers", "transformers"),
            ("open_clip:ViT-B-32", "open_clip", "open_clip"),
        ],
    )
    def test_missing_libraries(
        self, monkeypatch: pytest.MonkeyPatch, model: str, library: str, extra: str
    ) -> None:
        monkeypatch.setattr(libraries, "is_installed", lambda _: False)
        assert refusal(model) == (
            f'model "{model}" needs {library}, which is not installed; '
            f'pip install "neurovis[{extra}]"'
        )

    def test_unknown_weights(self) -> None:
        message = refusal("torchvision:squeezenet1_1", weights="IMAGENET1K_V3")
        assert message == (
            '"torchvision:squeezenet1_1" has no weights "IMAGENET1K_V3"; did you mean '
            '"IMAGENET1K_V1"?'
        )

    def test_no_code_of_others_is_run(self) -> None:
        message = refusal("torchvision:resnet18", model_args={"trust_remote_code": True})
        assert message == (
            'model "torchvision:resnet18" is given trust_remote_code to run code of others, which '
            "is refused; if you trust it, allow it with --trust on the command line or trust=True "
            "in Python"
        )


class TestTimm:
    @pytest.fixture
    def timm(self) -> Any:
        return pytest.importorskip("timm")

    def test_input_as_its_own_transform(self, timm: Any, picture: Image.Image) -> None:
        network = load_model("timm:test_vit", "random", model_args={"img_size": 32})
        config = timm.data.resolve_data_config({"img_size": 32, "crop_pct": 1.0}, model=network)
        transform = timm.data.create_transform(**config)
        torch.testing.assert_close(shown(network, picture), transform(picture)[None])
        assert suggested_input_spec(network).interpolation == config["interpolation"]  # type: ignore[union-attr]

    def test_pretrained_weights_are_asked_for(
        self, timm: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[tuple[str, bool]] = []
        make = timm.create_model

        def create(name: str, pretrained: bool) -> nn.Module:
            asked.append((name, pretrained))
            return make(name)

        monkeypatch.setattr(timm, "create_model", create)
        network = load_model("timm:test_vit")
        assert network.origin == "weights r160_in1k; input as timm's pretrained_cfg says"
        load_model("timm:test_vit", "r160_in1k")
        assert asked == [("test_vit", True), ("test_vit.r160_in1k", True)]

    def test_a_folder(self, timm: Any, tmp_path: Path, picture: Image.Image) -> None:
        made = timm.create_model("test_vit", img_size=32).eval()
        arguments = {"img_size": 32}
        timm.models.save_for_hf(made, str(tmp_path), model_args=arguments)
        network = load_model(f"timm:local-dir:{tmp_path}", model_args=arguments)
        images = shown(network, picture)
        assert torch.equal(network(images), made(images))
        assert class_names(network, "head", 1000)[90] == "lorikeet"
        assert class_names(network, "blocks.0", 1000) == []

    def test_a_new_head_is_random(self, timm: Any, tmp_path: Path) -> None:
        timm.models.save_for_hf(timm.create_model("test_vit"), str(tmp_path))
        with pytest.warns(RandomWeightsWarning, match="a random classifier of 5 classes"):
            network = load_model(f"timm:local-dir:{tmp_path}", model_args={"num_classes": 5})
        assert class_names(network, "head", 5) == []

    def test_a_network_without_weights_is_random(self, timm: Any) -> None:
        del timm
        with pytest.warns(RandomWeightsWarning, match="random weights, since timm has no others"):
            load_model("timm:ghostnet_050", weights="DEFAULT")

    def test_a_state_dict(self, timm: Any, tmp_path: Path) -> None:
        made = timm.create_model("test_resnet")
        torch.save(made.state_dict(), tmp_path / "mine.pt")
        network = load_model("timm:test_resnet", tmp_path / "mine.pt")
        assert torch.equal(network.fc.weight, made.fc.weight)
        assert network.origin == "weights of mine.pt; input as timm's pretrained_cfg says"
        random = load_model("timm:test_resnet", "random")
        assert [class_names(one, "fc", 1000) for one in (network, random)] == [[], []]

    @pytest.mark.parametrize("file", ["none.pt", "./none", "a/none"])
    def test_a_file_that_is_missing(self, timm: Any, file: str) -> None:
        del timm
        with pytest.raises(ValueError, match="not found"):
            load_model("timm:test_resnet", file)

    def test_near_names(self, timm: Any) -> None:
        del timm
        assert '"timm:test_resnet"' in refusal("timm:test_resnt")
        assert 'did you mean "timm:vit_tiny_patch16_224"' in refusal("vit_tiny_patch16_224")
        assert 'did you mean "timm:resnet50.a1_in1k"' in refusal("resnet50.a1_in1k")


class TestTransformers:
    SIZES: ClassVar[dict[str, Any]] = {
        **{"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2},
        **{"intermediate_size": 32, "image_size": 32, "patch_size": 8},
    }

    @pytest.fixture
    def transformers(self) -> Any:
        return pytest.importorskip("transformers")

    @pytest.fixture
    def processor(self, transformers: Any) -> Any:
        sizes = {"size": {"height": 32, "width": 32}, "resample": 3}
        statistics = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}
        return transformers.ViTImageProcessor(**sizes, **statistics)

    def test_a_classifier_in_a_folder(
        self, transformers: Any, processor: Any, tmp_path: Path, picture: Image.Image
    ) -> None:
        names = {0: "lorikeet", 1: "coucal", 2: "bee eater"}
        config = transformers.ViTConfig(**self.SIZES, id2label=names)
        made = transformers.ViTForImageClassification(config).eval()
        made.save_pretrained(tmp_path)
        processor.save_pretrained(tmp_path)
        network = load_model(f"hf:{tmp_path}")
        assert type(network) is type(made)
        images = shown(network, picture)
        expected = processor(picture, return_tensors="pt")["pixel_values"]
        torch.testing.assert_close(images, expected)
        assert torch.equal(network(images).logits, made(images).logits)
        assert suggested_input_spec(network).interpolation == "bicubic"  # type: ignore[union-attr]
        assert class_names(network, "classifier", 3) == list(names.values())
        assert network.origin.startswith("ViTForImageClassification, its own weights; input as its")
        made = load_model(f"hf:{tmp_path}", "random")
        assert not torch.equal(made.classifier.weight, network.classifier.weight)

    def test_the_vision_tower_of_clip(
        self, transformers: Any, tmp_path: Path, picture: Image.Image
    ) -> None:
        text = {"vocab_size": 20, "hidden_size": 16, "num_hidden_layers": 1}
        text |= {"num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 8}
        config = transformers.CLIPConfig(vision_config=self.SIZES, text_config=text)
        made = transformers.CLIPModel(config).eval()
        made.save_pretrained(tmp_path)
        sizes = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
        processor = transformers.CLIPImageProcessor(**sizes)
        processor.save_pretrained(tmp_path)
        network = load_model(f"hf:{tmp_path}")
        images = shown(network, picture)
        torch.testing.assert_close(images, processor(picture, return_tensors="pt")["pixel_values"])
        with torch.no_grad():
            expected = made.vision_model(images).pooler_output
        torch.testing.assert_close(network(images).pooler_output, expected)
        assert "the vision tower of CLIPModel" in network.origin
        torch.save(made.state_dict(), tmp_path / "mine.pt")
        network = load_model(f"hf:{tmp_path}", tmp_path / "mine.pt")
        torch.testing.assert_close(network(images).pooler_output, expected)

    def test_the_processor_is_asked_and_not_read(
        self, transformers: Any, tmp_path: Path, picture: Image.Image
    ) -> None:
        config = transformers.ViTConfig(**self.SIZES)
        transformers.ViTForImageClassification(config).save_pretrained(tmp_path)
        # It divides by std twice.
        processor = transformers.EfficientNetImageProcessor(
            size={"height": 32, "width": 32}, image_mean=[0.4] * 3, image_std=[0.3] * 3
        )
        processor.save_pretrained(tmp_path)
        network = load_model(f"hf:{tmp_path}")
        expected = processor(picture, return_tensors="pt")["pixel_values"]
        torch.testing.assert_close(shown(network, picture), expected)

    def test_blue_before_red_is_refused(self, transformers: Any, tmp_path: Path) -> None:
        config = transformers.ViTConfig(**self.SIZES)
        transformers.ViTForImageClassification(config).save_pretrained(tmp_path)
        sizes = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
        transformers.MobileViTImageProcessor(**sizes).save_pretrained(tmp_path)
        assert "takes blue, green, red, in this order" in refusal(f"hf:{tmp_path}")

    def test_missing_weights_are_named(
        self, transformers: Any, processor: Any, tmp_path: Path
    ) -> None:
        config = transformers.ViTConfig(**self.SIZES, id2label={0: "cat", 1: "dog"})
        transformers.ViTModel(config).save_pretrained(tmp_path)
        processor.save_pretrained(tmp_path)
        file = tmp_path / "config.json"
        changed = json.loads(file.read_text())
        file.write_text(json.dumps(changed | {"architectures": ["ViTForImageClassification"]}))
        with pytest.warns(RandomWeightsWarning, match="2 that it lacks are random: classifier"):
            network = load_model(f"hf:{tmp_path}")
        assert class_names(network, "classifier", 2) == []

    def test_no_image_processor(self, transformers: Any, tmp_path: Path) -> None:
        transformers.Dinov2Model(transformers.Dinov2Config(**self.SIZES)).save_pretrained(tmp_path)
        network = load_model(f"hf:{tmp_path}")
        spec = suggested_input_spec(network)
        assert spec is not None
        assert spec.size == (32, 32)
        assert "since it has no image processor" in network.origin

    def test_text_networks_are_refused(self, transformers: Any, tmp_path: Path) -> None:
        sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
        config = transformers.BertConfig(**sizes, vocab_size=20, intermediate_size=16)
        transformers.BertModel(config).save_pretrained(tmp_path)
        assert "does not take pixels alone" in refusal(f"hf:{tmp_path}")

    def test_code_in_a_folder_is_not_run(self, transformers: Any, tmp_path: Path) -> None:
        del transformers
        config = {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Config"}}
        (tmp_path / "config.json").write_text(json.dumps(config))
        touched = tmp_path / "touched"
        (tmp_path / "mine.py").write_text(f"open({str(touched)!r}, 'w').close()\n")
        assert "comes with code of others, which is refused" in refusal(f"hf:{tmp_path}")
        assert not touched.exists()

    def test_a_command_and_a_config_file(
        self,
        transformers: Any,
        processor: Any,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        config = transformers.ViTConfig(**self.SIZES)
        transformers.ViTForImageClassification(config).save_pretrained(tmp_path)
        processor.save_pretrained(tmp_path)
        (tmp_path / "run.yaml").write_text(f"model: hf:{tmp_path}\n")
        assert main(["layers", "--config", str(tmp_path / "run.yaml")]) == 0
        (note, *_) = capsys.readouterr().out.splitlines()
        assert note == (
            f"note: hf:{tmp_path}: ViTForImageClassification, its own weights; input as its "
            f"{type(processor).__name__} says: 32 x 32 pixels, bicubic, rgb with mean 0.5, 0.4, "
            "0.3, std 0.2, 0.3, 0.4"
        )
        assert main(["layers", "--model", f"hf:{tmp_path}", "--input.size", "64"]) == 2
        assert "64 x 64 pixels" in capsys.readouterr().out


class TestOpenClip:
    def test_the_image_tower_of_a_folder(self, tmp_path: Path, picture: Image.Image) -> None:
        open_clip = pytest.importorskip("open_clip")
        vision = {"image_size": 32, "layers": 1, "width": 32, "patch_size": 16, "head_width": 16}
        text = {"context_length": 8, "vocab_size": 30, "width": 16, "heads": 2, "layers": 1}
        config = {"embed_dim": 8, "vision_cfg": vision, "text_cfg": text}
        prepared = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4], "interpolation": "bilinear"}
        written = {"model_cfg": config, "preprocess_cfg": prepared}
        (tmp_path / "open_clip_config.json").write_text(json.dumps(written))
        made = open_clip.model.CLIP(**config).eval()
        torch.save(made.state_dict(), tmp_path / "open_clip_pytorch_model.bin")
        name = f"open_clip:local-dir:{tmp_path}"
        network = load_model(name)
        images = shown(network, picture)
        _, _, transform = open_clip.create_model_and_transforms(f"local-dir:{tmp_path}")
        torch.testing.assert_close(images, transform(picture)[None])
        torch.testing.assert_close(network(images), made.encode_image(images))
        assert network.origin.startswith(
            "the image tower, as encode_image runs it, its own weights"
        )
        other = open_clip.model.CLIP(**config).eval()
        torch.save(other.state_dict(), tmp_path / "other.pt")
        network = load_model(name, tmp_path / "other.pt")
        torch.testing.assert_close(network(images), other.encode_image(images))

    @pytest.mark.parametrize(
        ("weights", "tag", "is_quick"),
        [(None, "openai", True), ("laion2b_s34b_b79k", "laion2b_s34b_b79k", False)],
    )
    def test_tags_and_the_gelu_that_they_were_trained_with(
        self, monkeypatch: pytest.MonkeyPatch, weights: str | None, tag: str, is_quick: bool
    ) -> None:
        open_clip = pytest.importorskip("open_clip")
        asked: list[dict[str, Any]] = []

        def create(_: str, **settings: Any) -> nn.Module:
            asked.append(settings)
            network = nn.Module()
            network.visual = nn.Conv2d(3, 4, 3)
            network.visual.preprocess_cfg = {  # type: ignore[assignment]
                **{"size": 8, "mean": (0.5,) * 3, "std": (0.5,) * 3, "interpolation": "bicubic"}
            }
            return network

        monkeypatch.setattr(open_clip, "create_model", create)
        network = load_model("open_clip:ViT-B-32", weights)
        assert asked == [
            {
                **{"pretrained_text": False, "load_weights": True},
                **{"pretrained": tag, "force_quick_gelu": is_quick},
            }
        ]
        assert f"weights {tag} (one of" in network.origin

    def test_names_and_weights(self) -> None:
        pytest.importorskip("open_clip")
        assert 'did you mean "open_clip:ViT-B-32"' in refusal("open_clip:ViT-B-33")
        message = refusal("open_clip:RN50", weights="none_such")
        assert 'has no weights "none_such"; it has openai, yfcc15m, cc12m' in message
