"""Starting from an exported network: the new one says what the file says, before and in training."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs torch: run `make train-env`")
pytest.importorskip("onnx", reason="needs onnx: run `make train-env`")

from robot_vision.errors import ModelError  # noqa: E402
from robot_vision.train.detector_model import DeployedDetector, YoloNetwork  # noqa: E402
from robot_vision.train.export import export_onnx  # noqa: E402
from robot_vision.train.pretrained import start_from  # noqa: E402

SHIPPED = Path(__file__).resolve().parents[3] / "models" / "simworld_yolo.onnx"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[YoloNetwork, Path]:
    """A network with statistics of its own, and its file."""
    torch.manual_seed(0)
    network = YoloNetwork(3).train()
    with torch.no_grad():
        for _ in range(5):
            network(torch.rand(4, 3, 96, 96))
    path = tmp_path_factory.mktemp("start") / "old.onnx"
    export_onnx(
        DeployedDetector(network.eval()), torch.rand(1, 3, 96, 96), path,
        input_name="images", output_names=["output0"], tolerance=1e-2,
    )  # fmt: skip
    return network, path


def test_the_new_network_says_what_the_file_says(exported: tuple[YoloNetwork, Path]) -> None:
    """In evaluation exactly, in training on the same images nearly: nothing that was learnt is lost."""
    old, path = exported
    torch.manual_seed(7)
    new = YoloNetwork(3)
    images = torch.rand(8, 3, 96, 96)
    assert start_from(new, path, [images]) == (len(_convolutions(old)), len(_convolutions(new)))
    with torch.no_grad():
        expected = DeployedDetector(old.eval())(images)
        torch.testing.assert_close(DeployedDetector(new.eval())(images), expected, atol=2e-2, rtol=1e-3)
        torch.testing.assert_close(DeployedDetector(new.train())(images), expected, atol=2e-1, rtol=1e-2)


def test_other_classes_keep_all_but_the_last_layers(exported: tuple[YoloNetwork, Path]) -> None:
    """Fine-tuning on a user's own classes: only the four class outputs start at random."""
    taken, total = start_from(YoloNetwork(5), exported[1], [torch.rand(2, 3, 96, 96)])
    assert total - taken == 4


def test_the_shipped_detector_can_be_fine_tuned() -> None:
    taken, total = start_from(YoloNetwork(7), SHIPPED, [torch.rand(1, 3, 64, 64)])
    assert taken >= 0.8 * total


@pytest.mark.parametrize("content", [None, b"not a network"])
def test_a_file_that_is_no_network_is_named(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=r"broken\.onnx: cannot be read as an ONNX network"):
        start_from(YoloNetwork(3), path, [])


def test_another_architecture_is_refused() -> None:
    encoder = SHIPPED.with_name("simworld_vae_encoder.onnx")
    with pytest.raises(ModelError, match="none of its convolutions fits"):
        start_from(YoloNetwork(3), encoder, [])


def _convolutions(network: torch.nn.Module) -> list[torch.nn.Conv2d]:
    return [module for module in network.modules() if isinstance(module, torch.nn.Conv2d)]
