"""The detector's network: anchor points and boxes by hand, size, and the exported file against torch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

torch = pytest.importorskip("torch", reason="needs torch: run `make train-env`")
onnx = pytest.importorskip("onnx", reason="needs onnx: run `make train-env`")

from robot_vision.errors import ModelError  # noqa: E402
from robot_vision.train.detector_model import (  # noqa: E402
    SIDE_BINS,
    DeployedDetector,
    YoloNetwork,
    anchor_points,
    decode_boxes,
    decode_sides,
)
from robot_vision.train.export import export_onnx  # noqa: E402


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def network() -> YoloNetwork:
    """A network with random weights and statistics other than 0 and 1."""
    torch.manual_seed(0)
    network = YoloNetwork(7).train()
    with torch.no_grad():
        for _ in range(2):
            network(torch.rand(2, 3, 96, 96))
    return network.eval()


def test_anchor_points_by_hand() -> None:
    points, strides = anchor_points([(1, 2), (1, 1)], (8, 16))
    assert points.tolist() == [[4, 4], [12, 4], [8, 8]]
    assert strides.tolist() == [[8], [8], [16]]


def test_boxes_by_hand() -> None:
    """At (12, 4), stride 8: one cell left, two up, half a cell right, none down."""
    boxes = decode_boxes(torch.tensor([[1.0, 2.0, 0.5, 0.0]]), torch.tensor([[12.0, 4.0]]), torch.tensor([[8.0]]))
    assert boxes.tolist() == [[4, -12, 16, 4]]


def test_a_side_is_the_mean_of_its_distribution() -> None:
    logits = torch.full((1, 4, SIDE_BINS), -50.0)
    logits[0, 0, 3] = 0.0
    logits[0, 1, [2, 5]] = torch.tensor([math.log(0.25), math.log(0.75)])
    logits[0, 2] = 0.0
    logits[0, 3, SIDE_BINS - 1] = 0.0
    expected = [3, 2 * 0.25 + 5 * 0.75, (SIDE_BINS - 1) / 2, SIDE_BINS - 1]
    assert decode_sides(logits)[0].tolist() == pytest.approx(expected, abs=1e-5)


def test_predictions_move_with_the_image(network: YoloNetwork) -> None:
    """An image shifted by coarsest strides gives the same boxes, shifted: points, levels and boxes are in register."""
    torch.manual_seed(1)
    patch = torch.rand(1, 3, 64, 64)
    images = torch.full((2, 3, 640, 640), 0.5)
    images[0, :, 256:320, 256:320] = patch
    images[1, :, 288:352, 320:384] = patch
    with torch.no_grad():
        raw = network(images)
        boxes = decode_boxes(decode_sides(raw.side_logits), raw.points_xy, raw.strides)
    cells = torch.cat([raw.points_xy, raw.strides], dim=1).tolist()
    row = {tuple(cell): index for index, cell in enumerate(cells)}
    for x, y, stride in [(286, 286, 4), (284, 284, 8), (280, 296, 16), (272, 272, 32)]:
        before, after = row[x, y, stride], row[x + 64, y + 32, stride]
        moved = boxes[0, before] + torch.tensor([64.0, 32, 64, 32])
        # Pooling and padding reach the border of the image from the coarsest level, hence not exactly equal.
        torch.testing.assert_close(boxes[1, after], moved, atol=0.3, rtol=0)


def test_network_fits_its_budget(network: YoloNetwork) -> None:
    """At most 5 MB as float32."""
    assert 4 * sum(parameter.numel() for parameter in network.parameters()) < 5_000_000


def test_deployed_layout_is_centre_size_scores(network: YoloNetwork) -> None:
    images = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        output = DeployedDetector(network)(images)
        raw = network(images)
        boxes = decode_boxes(decode_sides(raw.side_logits), raw.points_xy, raw.strides)
    assert output.shape == (1, 4 + 7, 16 * 24 + 8 * 12 + 4 * 6 + 2 * 3)
    corners = torch.cat([output[:, :2] - output[:, 2:4] / 2, output[:, :2] + output[:, 2:4] / 2], dim=1)
    torch.testing.assert_close(corners.transpose(1, 2), boxes, atol=1e-4, rtol=0)
    torch.testing.assert_close(output[:, 4:].transpose(1, 2), raw.class_logits.sigmoid())


def test_exported_file_equals_torch_and_says_what_it_is(network: YoloNetwork, tmp_path: Path) -> None:
    path = tmp_path / "detector.onnx"
    tolerance = np.array([1e-3] * 4 + [1e-4] * 7, np.float32)[:, None]
    export_onnx(
        DeployedDetector(network), torch.rand(1, 3, 64, 64), path,
        input_name="images", output_names=["output0"], tolerance=tolerance, metadata={"task": "detect"},
        free_batch=True,
    )  # fmt: skip
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert [entry.shape for entry in (*session.get_inputs(), *session.get_outputs())] == [
        ["batch", 3, 64, 64], ["batch", 11, 340],
    ]  # fmt: skip
    images = torch.rand(3, 3, 64, 64)
    with torch.no_grad():
        expected = DeployedDetector(network)(images).numpy()
    np.testing.assert_allclose(session.run(None, {"images": images.numpy()})[0], expected, atol=1e-3)
    model = onnx.load(path)
    assert model.opset_import[0].version >= 17
    assert {entry.key: entry.value for entry in model.metadata_props} == {"task": "detect"}
    assert [value.name for value in (*model.graph.input, *model.graph.output)] == ["images", "output0"]
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}
    assert path.stat().st_size <= 5_000_000


def test_an_export_that_differs_from_torch_is_an_error(tmp_path: Path) -> None:
    class Unstable(torch.nn.Module):
        """Gives another answer every time, so that the file cannot equal it."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + torch.rand(1)

    with pytest.raises(ModelError, match="differs from torch"):
        export_onnx(
            Unstable(), torch.zeros(1, 4), tmp_path / "x.onnx", input_name="x", output_names=["y"], tolerance=1e-6
        )
