"""The detector's training as a whole: it learns, resumes exactly, and leaves a file and card that load."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch: run `make train-env`")
pytest.importorskip("pycocotools", reason="needs pycocotools: run `make train-env`")

from coco_shapes import write_shapes  # noqa: E402

from robot_vision.errors import InvalidValueError, ModelError  # noqa: E402
from robot_vision.runtime.card import load_card  # noqa: E402
from robot_vision.train import detector  # noqa: E402
from robot_vision.train.common import load_checkpoint, warmup_cosine  # noqa: E402
from robot_vision.train.detector_data import CocoData, collate, load_coco  # noqa: E402
from robot_vision.train.detector_settings import DetectorTraining  # noqa: E402


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight images of two shapes."""
    return write_shapes(tmp_path_factory.mktemp("shapes") / "set", 8)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """More threads than free cores make these small networks a hundred times slower."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def settings(shapes: Path, work: Path, **changes) -> DetectorTraining:
    values = {"epochs": 2, "batch_size": 4, "input_size": 96, "validate_every": 9, "threads": 1, **changes}
    return DetectorTraining(data=shapes, val=shapes, out=work / "tiny", work=work, **values)


def test_one_batch_is_learnt_by_heart(shapes: Path, tmp_path: Path) -> None:
    """Thirty steps on one batch find its objects: labels, assignment, losses and decoding agree."""
    data = load_coco(shapes, 96)
    fit = detector.DetectorFit(settings(shapes, tmp_path, epochs=1, learning_rate=5e-3), data)
    fit.bfloat16 = False
    fit.steps_per_epoch = 1000
    fit.network.train()
    images, targets = collate(data.samples)
    images = torch.nn.functional.pad(images, (0, 0, 16, 16), value=114 / 255)
    shift = torch.tensor([0.0, 16, 0, 16])
    targets = targets._replace(boxes_xyxy=targets.boxes_xyxy + shift)
    losses = [fit._step(100 + step, images, targets)[0] for step in range(30)]
    assert losses[-1] < losses[0] / 2
    # Averages over so few steps still hold the first random ones; the statistics of the batch are what was learnt.
    for module in fit.network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
            module.reset_running_stats()
    with torch.no_grad():
        fit.network(images)
    metrics = detector.validate(fit.network, data, 96)
    assert metrics.ap50 > 0.9


def weights_after(config: DetectorTraining, data: CocoData, epochs: int) -> dict[str, torch.Tensor]:
    fit = detector.DetectorFit(config, data)
    if config.resume:
        fit.load()
    while fit.epoch < epochs:
        fit.run_epoch()
        fit.save()
    state = load_checkpoint(fit.checkpoint)
    return {**{f"n.{k}": v for k, v in state["network"].items()}, **state["average"]["network"]}


def test_a_resumed_run_ends_with_the_same_weights(shapes: Path, tmp_path: Path) -> None:
    data = load_coco(shapes, 96)
    whole = weights_after(settings(shapes, tmp_path / "a"), data, 2)
    half = weights_after(settings(shapes, tmp_path / "b"), data, 1)
    resumed = weights_after(settings(shapes, tmp_path / "b", resume=True), data, 2)
    assert any(not torch.equal(half[name], value) for name, value in whole.items())
    for name, value in whole.items():
        assert torch.equal(resumed[name], value), name


def test_a_checkpoint_of_other_settings_is_refused(shapes: Path, tmp_path: Path) -> None:
    data = load_coco(shapes, 96)
    detector.DetectorFit(settings(shapes, tmp_path), data).save()
    other = detector.DetectorFit(settings(shapes, tmp_path, learning_rate=1e-4, resume=True), data)
    with pytest.raises(ModelError, match="other settings"):
        other.load()
    with pytest.raises(ModelError, match="cannot be read as a checkpoint"):
        detector.DetectorFit(settings(shapes, tmp_path / "empty", resume=True), data).load()


def test_training_leaves_a_network_and_a_card_that_load(shapes: Path, tmp_path: Path) -> None:
    metrics = detector.train_detector(settings(shapes, tmp_path, epochs=1))
    card = load_card(str(tmp_path / "tiny.onnx"))
    assert (card.name, card.task, card.head, card.class_names) == ("tiny", "detection", "yolov8", ("box", "ball"))
    assert (card.input.name, card.input.size_wh, card.input.resize) == ("images", (96, 96), "letterbox")
    assert 0 <= metrics.ap <= metrics.ap50 <= 1


def test_divergence_is_an_error(shapes: Path, tmp_path: Path) -> None:
    fit = detector.DetectorFit(settings(shapes, tmp_path), load_coco(shapes, 96))
    with torch.no_grad():
        next(fit.network.parameters()).fill_(float("nan"))
    with pytest.raises(ModelError, match="diverged"):
        fit.run_epoch()


def test_learning_rate_rises_linearly_and_falls_as_a_cosine() -> None:
    factors = np.array([warmup_cosine(step, 110, 10, floor=0.02) for step in range(111)])
    np.testing.assert_allclose(factors[:10], np.arange(1, 11) / 10)
    assert factors[60] == pytest.approx((1 + 0.02) / 2)
    assert factors[110] == pytest.approx(0.02)
    assert (np.diff(factors[10:]) < 0).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs: must be at least 1"),
        ({"seed": -1}, "seed: must not be negative"),
        ({"input_size": 100}, "input_size: must be a multiple of 32"),
        ({"mosaic": 1.5}, r"mosaic: must be within \[0, 1\]"),
        ({"crop": 0.0}, r"crop: must be within \(0, 1\]"),
        ({"learning_rate": 0.0}, "learning_rate: must be within"),
        ({"val": None}, "data and val"),
    ],
)
def test_settings_out_of_range_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        DetectorTraining(**{"data": Path("a"), "val": Path("b"), **changes})
