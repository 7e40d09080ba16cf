"""Training of the detector: one command from labelled images to an ONNX file with its card."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from robot_vision.errors import InvalidValueError
from robot_vision.evaluation.detection import DetectionMetrics, coco_metrics
from robot_vision.geometry import clip_boxes, cxcywh_to_xyxy
from robot_vision.train.common import (
    AveragedWeights,
    generator,
    load_checkpoint,
    pick_device,
    save_checkpoint,
    seed_everything,
    supports_bfloat16,
    warmup_cosine,
)
from robot_vision.train.detector_augment import augment, mosaic
from robot_vision.train.detector_data import CocoData, Sample, collate, load_coco, training_size_wh, validation_batches
from robot_vision.train.detector_loss import Targets, detector_loss
from robot_vision.train.detector_model import STRIDES, DeployedDetector, RawPredictions, YoloNetwork
from robot_vision.train.export import export_onnx, source_commit, write_card

EMA_DECAY = 0.998
WEIGHT_DECAY = 0.02
GRADIENT_LIMIT = 10.0
VALIDATION_SCORE = 0.01
VALIDATION_IOU = 0.6
MOST_PER_IMAGE = 100
EXPORT_TOLERANCE = 5e-3


@dataclass(frozen=True)
class DetectorTraining:
    """One training run.

    Attributes:
        data: COCO folder to learn from.
        val: COCO folder of held-out images.
        out: ONNX file to write; the card goes beside it.
        work: Folder for checkpoints.
        epochs: Passes over the images.
        batch_size: Images a step.
        learning_rate: Peak learning rate of AdamW.
        mosaic: Share of mosaics, in [0, 1]; none in the last fifth of the run.
        input_size: Side of the network's square input in pixels.
        seed: Seed of weights, order and augmentation.
        validate_every: Epochs between validations.
        resume: Continue from the checkpoint in `work`.
        command: The command line, for the card.

    Raises:
        InvalidValueError: If a number is out of range.
    """

    data: Path
    val: Path
    out: Path
    work: Path
    epochs: int = 24
    batch_size: int = 16
    learning_rate: float = 1.5e-3
    mosaic: float = 0.5
    input_size: int = 320
    seed: int = 0
    validate_every: int = 4
    resume: bool = False
    command: str = ""

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch_size, self.validate_every) < 1:
            raise InvalidValueError("epochs, batch_size and validate_every must be at least 1")
        if self.input_size < STRIDES[-1] or self.input_size % STRIDES[-1]:
            raise InvalidValueError(f"input_size must be a multiple of {STRIDES[-1]}, got {self.input_size}")
        if not (0 <= self.mosaic <= 1 and 0 < self.learning_rate < 1):
            raise InvalidValueError("mosaic must be within [0, 1] and learning_rate within (0, 1)")


class _Run:
    """State of a run: network, optimiser, averaged weights, epoch."""

    def __init__(self, config: DetectorTraining, data: CocoData) -> None:
        seed_everything(config.seed)
        self.config = config
        self.data = data
        self.device = pick_device()
        self.network = YoloNetwork(len(data.class_names)).to(self.device, memory_format=torch.channels_last)
        decayed = [p for p in self.network.parameters() if p.ndim > 1]
        plain = [p for p in self.network.parameters() if p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": plain, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=config.learning_rate)
        self.average = AveragedWeights(self.network, EMA_DECAY)
        self.steps_per_epoch = max(1, len(data.samples) // config.batch_size)
        self.epoch = 0
        self.seconds = 0.0
        self.bfloat16 = supports_bfloat16(self.device)

    def save(self) -> None:
        """Write the checkpoint."""
        state = {
            "network": self.network.state_dict(), "optimiser": self.optimiser.state_dict(),
            "average": self.average.state_dict(), "epoch": self.epoch, "seconds": self.seconds,
        }  # fmt: skip
        save_checkpoint(self.config.work / "detector.pt", state)

    def load(self) -> None:
        """Continue from the checkpoint."""
        state = load_checkpoint(self.config.work / "detector.pt")
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average.load_state_dict(state["average"])
        self.epoch, self.seconds = int(state["epoch"]), float(state["seconds"])

    def train_epoch(self) -> float:
        """One pass over the images; returns the mean loss."""
        start_s = time.perf_counter()
        self.network.train()
        total = 0.0
        batches = _prefetched(self._batches())
        progress = tqdm(batches, total=self.steps_per_epoch, desc=f"epoch {self.epoch + 1}", unit="step", mininterval=5)
        for step, (images, targets) in enumerate(progress):
            total += self._step(self.epoch * self.steps_per_epoch + step, images, targets)
            progress.set_postfix(loss=f"{total / (step + 1):.3f}", refresh=False)
        self.epoch += 1
        self.seconds += time.perf_counter() - start_s
        return total / self.steps_per_epoch

    def _step(self, step: int, images: Tensor, targets: Targets) -> float:
        total_steps = self.config.epochs * self.steps_per_epoch
        factor = warmup_cosine(step, total_steps, min(300, total_steps // 10 + 1))
        for group in self.optimiser.param_groups:
            group["lr"] = self.config.learning_rate * factor
        images = images.to(self.device, memory_format=torch.channels_last)
        targets = Targets(*(value.to(self.device) for value in targets))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            raw = self.network(images)
        raw = RawPredictions(raw.class_logits.float(), raw.side_logits.float(), raw.points_xy, raw.strides)
        loss = detector_loss(raw, targets).total
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), GRADIENT_LIMIT)
        self.optimiser.step()
        self.average.update(self.network)
        return float(loss.detach())

    def _batches(self) -> Iterator[tuple[Tensor, Targets]]:
        config, samples = self.config, self.data.samples
        size_wh = training_size_wh(self.data)
        order = generator(config.seed, self.epoch).permutation(len(samples))
        late = self.epoch >= 0.8 * config.epochs
        for step in range(self.steps_per_epoch):
            chosen = order[step * config.batch_size : (step + 1) * config.batch_size]
            yield collate([self._augmented(int(row), size_wh, 0.0 if late else config.mosaic) for row in chosen])

    def _augmented(self, row: int, size_wh: tuple[int, int], mosaic_share: float) -> Sample:
        rng = generator(self.config.seed, self.epoch, row)
        samples = self.data.samples
        if rng.random() < mosaic_share:
            others = rng.integers(len(samples), size=3)
            return mosaic(rng, [samples[row], *(samples[int(other)] for other in others)], size_wh)
        return augment(rng, samples[row], size_wh)


def _prefetched(batches: Iterator[tuple[Tensor, Targets]]) -> Iterator[tuple[Tensor, Targets]]:
    """The same batches, the next one made in a thread while this one is used."""
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = thread.submit(next, batches, None)
            yield batch


@torch.no_grad()
def validate(network: YoloNetwork, data: CocoData, input_size: int) -> DetectionMetrics:
    """Average precision on held-out images, boxes in source pixels as deployed.

    Args:
        network: The network.
        data: Held-out images.
        input_size: Side of the network's input in pixels.

    Returns:
        COCO metrics.
    """
    deployed = DeployedDetector(network).eval()
    device = next(network.parameters()).device
    results: list[dict[str, Any]] = []
    row = 0
    for images in validation_batches(data, input_size, 16):
        for prediction in deployed(images.to(device)).cpu().numpy():
            results += _coco_results(prediction, data, row)
            row += 1
    return coco_metrics(json.loads(data.annotation_file.read_text()), results)


def _coco_results(prediction: np.ndarray, data: CocoData, row: int) -> list[dict[str, Any]]:
    points, classes = np.nonzero(prediction[4:].T >= VALIDATION_SCORE)
    scores = prediction[4 + classes, points]
    boxes_xyxy = data.transforms[row].to_source(cxcywh_to_xyxy(prediction[:4].T[points]))
    height, width = data.samples[row].rgb.shape[:2]
    scale_xy = data.transforms[row].scale_xy
    boxes_xyxy = clip_boxes(boxes_xyxy, (round(width / scale_xy[0]), round(height / scale_xy[1])))
    boxes_xywh = np.concatenate([boxes_xyxy[:, :2], boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]], axis=1)
    kept = cv2.dnn.NMSBoxesBatched(
        boxes_xywh.tolist(), scores.tolist(), classes.tolist(), VALIDATION_SCORE, VALIDATION_IOU, top_k=300
    )
    return [
        {
            "image_id": data.image_ids[row],
            "category_id": data.category_ids[classes[k]],
            "bbox": boxes_xywh[k].tolist(),
            "score": float(scores[k]),
        }
        for k in sorted(kept, key=lambda k: -scores[k])[:MOST_PER_IMAGE]
    ]


def train_detector(config: DetectorTraining) -> DetectionMetrics:
    """Train, validate, export.

    Args:
        config: The run.

    Returns:
        Metrics of the exported network on the held-out images.

    Raises:
        BagError: If a data folder is missing or damaged.
        ModelError: If the checkpoint is damaged or the export differs from torch.
    """
    data, val = load_coco(config.data, config.input_size), load_coco(config.val, config.input_size)
    run = _Run(config, data)
    if config.resume:
        run.load()
    while run.epoch < config.epochs:
        loss = run.train_epoch()
        run.save()
        print(f"epoch {run.epoch}/{config.epochs}: loss {loss:.4f}, {run.seconds:.0f} s", flush=True)
        if run.epoch % config.validate_every == 0 and run.epoch < config.epochs:
            metrics = validate(run.average.network, val, config.input_size)
            print(f"epoch {run.epoch}: mAP50 {metrics.ap50:.4f}, mAP50-95 {metrics.ap:.4f}", flush=True)
    metrics = validate(run.average.network, val, config.input_size)
    export_detector(run, val, metrics)
    print(f"wrote {config.out}: mAP50 {metrics.ap50:.4f}, mAP50-95 {metrics.ap:.4f}")
    return metrics


def export_detector(run: _Run, val: CocoData, metrics: DetectionMetrics) -> None:
    """Write the ONNX file and the card.

    Args:
        run: The finished run.
        val: Held-out images, whose first one is the input of the comparison with torch.
        metrics: Metrics on them.

    Raises:
        ModelError: If the export differs from torch.
    """
    config, names = run.config, run.data.class_names
    network = run.average.network.cpu().to(memory_format=torch.contiguous_format)
    example = next(validation_batches(val, config.input_size, 1)).contiguous()
    metadata = {
        "names": str(dict(enumerate(names))), "imgsz": str([config.input_size] * 2), "task": "detect",
        "stride": str(STRIDES[-1]),
    }  # fmt: skip
    export_onnx(
        DeployedDetector(network), example, config.out, input_name="images", output_names=["output0"],
        tolerance=EXPORT_TOLERANCE, metadata=metadata,
    )  # fmt: skip
    write_card(config.out, _card(run, val, metrics))


def _card(run: _Run, val: CocoData, metrics: DetectionMetrics) -> dict[str, Any]:
    config = run.config
    return {
        "task": "detection",
        "source": "trained by robot_vision on its simulated camera world",
        "input": {
            "name": "images", "size_wh": [config.input_size] * 2, "colour": "RGB", "resize": "letterbox", "pad_value": 114,
            "scale": 1 / 255, "mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0],
        },
        "output": {"head": "yolov8"},
        "class_names": list(run.data.class_names),
        "training": {
            "command": config.command, "commit": source_commit(), "seconds": round(run.seconds),
            "data": f"{len(run.data.samples)} images: {run.data.description or run.data.folder.name}",
        },
        "measured": {
            "data": f"{len(val.samples)} held-out images: {val.description or val.folder.name}",
            "map50": round(metrics.ap50, 4), "map50_95": round(metrics.ap, 4),
            "ap50_by_class": {name: round(value, 4) for name, value in metrics.ap50_by_class.items()},
            "ap50_95_by_class": {name: round(value, 4) for name, value in metrics.ap_by_class.items()},
        },
    }  # fmt: skip
