"""The detector's training as a whole: it learns, resumes exactly, and leaves a file and card that load."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml

torch = pytest.importorskip("torch", reason="needs torch: run `make train-env`")
pytest.importorskip("pycocotools", reason="needs pycocotools: run `make train-env`")

from coco_shapes import write_shapes  # noqa: E402

from robot_vision.cli.main import main  # noqa: E402
from robot_vision.data.labelled_sets import open_labelled  # noqa: E402
from robot_vision.errors import InvalidValueError, ModelError  # noqa: E402
from robot_vision.runtime.card import load_card  # noqa: E402
from robot_vision.train import detector  # noqa: E402
from robot_vision.train.common import load_checkpoint, warmup_cosine  # noqa: E402
from robot_vision.train.detector_data import DetectionData, collate, load_data  # noqa: E402
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
    data = load_data(open_labelled(shapes, "train"), 96)
    fit = detector.DetectorFit(settings(shapes, tmp_path, epochs=1, learning_rate=5e-3), data)
    fit.bfloat16 = False
    fit.steps_per_epoch = 1000
    fit.network.train()
    images, targets = collate(data.samples)
    images = torch.nn.functional.pad(images, (0, 0, 16, 16), value=114)
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
        fit.network(images.to(fit.device).float() / 255)
    metrics = detector.validate(fit.network, data, 96)
    assert metrics.ap50 > 0.9


def weights_after(config: DetectorTraining, data: DetectionData, epochs: int) -> dict[str, torch.Tensor]:
    fit = detector.DetectorFit(config, data)
    if config.resume:
        fit.load()
    while fit.epoch < epochs:
        fit.run_epoch()
        fit.save()
    state = load_checkpoint(fit.checkpoint)
    return {**{f"n.{k}": v for k, v in state["network"].items()}, **state["average"]["network"]}


def test_a_resumed_run_ends_with_the_same_weights(shapes: Path, tmp_path: Path) -> None:
    data = load_data(open_labelled(shapes, "train"), 96)
    whole = weights_after(settings(shapes, tmp_path / "a"), data, 2)
    half = weights_after(settings(shapes, tmp_path / "b"), data, 1)
    resumed = weights_after(settings(shapes, tmp_path / "b", resume=True), data, 2)
    assert any(not torch.equal(half[name], value) for name, value in whole.items())
    for name, value in whole.items():
        assert torch.equal(resumed[name], value), name


def test_processes_that_augment_change_nothing_but_time(shapes: Path, tmp_path: Path) -> None:
    data = load_data(open_labelled(shapes, "train"), 96)
    alone = weights_after(settings(shapes, tmp_path / "a"), data, 2)
    helped = weights_after(settings(shapes, tmp_path / "b", workers=2), data, 2)
    for name, value in alone.items():
        assert torch.equal(helped[name], value), name


def test_a_checkpoint_of_other_settings_is_refused(shapes: Path, tmp_path: Path) -> None:
    data = load_data(open_labelled(shapes, "train"), 96)
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


def write_yolo_labels(shapes: Path, folder: Path) -> Path:
    """The same images and labels as YOLO data set; the first half is `val`."""
    content = json.loads((shapes / "annotations.json").read_text())
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    lists: dict[str, list[str]] = {"val": [], "train": []}
    for number, image in enumerate(content["images"]):
        name = image["file_name"]
        shutil.copy(shapes / "images" / name, folder / "images" / name)
        size = np.array([image["width"], image["height"]] * 2)
        lines = []
        for annotation in content["annotations"]:
            if annotation["image_id"] == image["id"]:
                x, y, w, h = annotation["bbox"]
                shares = np.array([x + w / 2, y + h / 2, w, h]) / size
                lines.append(" ".join([str({3: 0, 7: 1}[annotation["category_id"]]), *map(repr, shares.tolist())]))
        (folder / "labels" / name).with_suffix(".txt").write_text("\n".join(lines))
        lists["train" if number >= len(content["images"]) // 2 else "val"].append(f"images/{name}")
    for part, names in lists.items():
        (folder / f"{part}.txt").write_text("\n".join(names))
    (folder / "data.yaml").write_text("names: [box, ball]\ntrain: train.txt\nval: val.txt\n")
    return folder / "data.yaml"


def test_one_data_yaml_trains_from_the_command_line(
    shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An epoch on a YOLO data set alone: it says what it reads, and leaves network, card and curves."""
    file = write_yolo_labels(shapes, tmp_path / "set")
    options = ["--batch-size", "4", "--input-size", "96", "--epochs", "1", "--threads", "1"]
    places = ["--data", str(file), "--out", str(tmp_path / "tiny"), "--work", str(tmp_path / "work")]
    assert main(["train", "detector", *places, *options]) == 0
    card = yaml.safe_load((tmp_path / "tiny.yaml").read_text())
    assert card["class_names"] == ["box", "ball"]
    assert card["training"]["data"] == "4 images of YOLO data set set (train)"
    assert card["measured"]["data"] == "4 images of YOLO data set set (val)"
    assert (tmp_path / "work" / "curves.png").is_file()
    said = capsys.readouterr().out
    assert "learns from YOLO data set set (train): 4 images; classes: box, ball" in said
    assert "measures on YOLO data set set (val): 4 images" in said


def test_every_kind_of_data_set_gives_the_same_samples(shapes: Path, tmp_path: Path) -> None:
    """The shapes as COCO and as YOLO data set: the same pixels, boxes in network scale and classes."""
    file = write_yolo_labels(shapes, tmp_path / "set")
    yolo = [sample for part in ("val", "train") for sample in load_data(open_labelled(file, part), 64).samples]
    coco = load_data(open_labelled(shapes, "train"), 64).samples
    for ours, theirs in zip(yolo, coco, strict=True):
        np.testing.assert_array_equal(ours.rgb, theirs.rgb)
        np.testing.assert_allclose(ours.boxes_xyxy, theirs.boxes_xyxy, rtol=1e-5)
        assert ours.labels.tolist() == theirs.labels.tolist()


def test_the_shipped_sample_bag_can_be_learnt_from() -> None:
    """Its 640 x 480 images are scaled to the network's 96, boxes with them; the truth to measure on is not."""
    source = open_labelled(Path(__file__).resolve().parents[3] / "samples" / "simworld_uav", "train")
    data = load_data(source, 96)
    assert (len(data.samples), data.samples[0].rgb.shape) == (100, (72, 96, 3))
    np.testing.assert_allclose(data.samples[0].boxes_xyxy, data.truth[0].boxes_xyxy * 0.15, rtol=1e-5)


def test_divergence_is_an_error(shapes: Path, tmp_path: Path) -> None:
    fit = detector.DetectorFit(settings(shapes, tmp_path), load_data(open_labelled(shapes, "train"), 96))
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
        ({"data": None}, "val: goes with data"),
    ],
)
def test_settings_out_of_range_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        DetectorTraining(**{"data": Path("a"), "val": Path("b"), **changes})
