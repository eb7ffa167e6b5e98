"""Commands that would do their work, each in a second or so, were it not for what is added."""

_CPU = "--trainer.accelerator cpu"

AM = f"am --layer conv2 --kernels 0 --steps 2 {_CPU}"
GROUP_AM = f"group-am --layer conv2 --groups 0,1 --steps 2 {_CPU}"
FEATURES = f"features --layer conv2 --kernels 0 {_CPU} --images"
SALIENCY = f"saliency --kernels 0 {_CPU} --images"
RANK = f"rank --layer conv1 {_CPU}"
REPORT = f"report --layer conv2 --kernels 0 --steps 2 --by weight {_CPU}"
DEMO = "demo --seconds 0 --steps 2 --accelerator cpu"

#: With weights from a file.
SHAPES = f"{AM} --model neurovis.demo.ShapeNet --weights"


def _of_channels(count: int, modality: str) -> str:
    arguments = f"{{in_channels: {count}, out_channels: 2, kernel_size: 3}}"
    network = f"--model torch.nn.Conv2d --model_args '{arguments}' --input.size 16"
    return f"saliency {network} --input.modalities '{modality}' {_CPU} --images"


#: Of pictures in color, and of such in gray.
COLOR = _of_channels(3, "rgb")
GRAY = _of_channels(1, "[{name: gray, channels: 1}]")
