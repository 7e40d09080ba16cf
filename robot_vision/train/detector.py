"""Training of the detector: one command from labelled images, or from nothing, to an ONNX file with its card."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from robot_vision.data.labelled_sets import open_training_pair
from robot_vision.errors import ModelError
from robot_vision.evaluation.detection import DetectionMetrics
from robot_vision.runtime.card import file_sha256
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
from robot_vision.train.curves import Panel, write_panels
from robot_vision.train.detector_augment import augment, mosaic
from robot_vision.train.detector_data import (
    PAD_VALUE,
    DetectionData,
    Sample,
    collate,
    load_data,
    training_size_wh,
    validation_batches,
)
from robot_vision.train.detector_loss import Targets, detector_loss
from robot_vision.train.detector_model import DeployedDetector, RawPredictions, YoloNetwork
from robot_vision.train.detector_settings import STRIDES, DetectorTraining
from robot_vision.train.detector_validation import validate
from robot_vision.train.export import export_onnx, source_commit, write_card
from robot_vision.train.options import command_line
from robot_vision.train.pretrained import start_from
from robot_vision.train.simulated import description, render

EMA_DECAY = 0.998
WEIGHT_DECAY = 0.02
GRADIENT_LIMIT = 10.0
WARMUP_STEPS = 300
BOX_TOLERANCE_PX = 1e-3
SCORE_TOLERANCE = 1e-4
CALM_STRENGTH = 0.4
"""Strength of the augmentation in the last fifth of a run."""
_START_IMAGES = 64
_PANELS = (
    Panel("loss", {"total": "loss", "classes": "classes", "IoU": "iou", "sides": "sides"}),
    Panel("average precision, held out", {"mAP50": "map50", "mAP50-95": "map50_95"}, logarithmic=False),
)
_UNCHANGED_BY_RESUME = ("epochs", "batch_size", "learning_rate", "mosaic", "crop", "input_size", "seed")


class DetectorFit:
    """A run as it stands: network, optimiser, averaged weights, epoch.

    Args:
        config: The settings.
        data: What to learn from.
    """

    def __init__(self, config: DetectorTraining, data: DetectionData) -> None:
        seed_everything(config.seed)
        self.config = config
        self.data = data
        self.device = pick_device()
        self.network = YoloNetwork(len(data.class_names)).to(self.device, memory_format=torch.channels_last)
        if config.start is not None and not config.resume:
            self._start_from(config.start)
        decayed = [p for p in self.network.parameters() if p.ndim > 1]
        plain = [p for p in self.network.parameters() if p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": plain, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=config.learning_rate)
        self.average = AveragedWeights(self.network, EMA_DECAY)
        self.steps_per_epoch = max(1, len(data.samples) // config.batch_size)
        self.epoch = 0
        self.seconds = 0.0
        self.history: list[dict[str, float]] = []
        self.commit = source_commit()
        self.bfloat16 = supports_bfloat16(self.device)

    def _start_from(self, path: Path) -> None:
        size = self.config.input_size
        images = validation_batches(self.data, size, self.config.batch_size)
        batches = itertools.islice(images, -(-_START_IMAGES // self.config.batch_size))
        taken, total = start_from(self.network, path, (batch.to(self.device) for batch in batches))
        print(f"starts from {path}: {taken} of {total} convolutions, the others at random", flush=True)

    @property
    def checkpoint(self) -> Path:
        """The file that `save` writes and `load` reads."""
        return self.config.work / "detector.pt"

    def save(self) -> None:
        """Write the checkpoint."""
        state = {
            "network": self.network.state_dict(), "optimiser": self.optimiser.state_dict(),
            "average": self.average.state_dict(), "epoch": self.epoch, "seconds": self.seconds,
            "history": self.history, "commit": self.commit, "settings": self._settings(),
        }  # fmt: skip
        save_checkpoint(self.checkpoint, state)

    def load(self) -> None:
        """Continue from the checkpoint.

        Raises:
            ModelError: If it is missing, damaged or of a run with other settings.
        """
        state = load_checkpoint(self.checkpoint)
        if state.get("settings") != self._settings():
            raise ModelError(
                f"{self.checkpoint}: made with other settings ({state.get('settings')}, now {self._settings()}); "
                "give the same ones, or train without --resume"
            )
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average.load_state_dict(state["average"])
        self.epoch, self.seconds, self.commit = int(state["epoch"]), float(state["seconds"]), str(state["commit"])
        self.history = [dict(row) for row in state["history"]]

    def write_curves(self) -> None:
        """Plot the history into the work folder."""
        write_panels(self.config.work / "curves.png", self.history, _PANELS)

    def _settings(self) -> dict[str, Any]:
        return {**{name: getattr(self.config, name) for name in _UNCHANGED_BY_RESUME}, "images": len(self.data.samples)}

    def run_epoch(self) -> dict[str, float]:
        """One pass over the images, added to the history.

        Returns:
            Mean loss and its terms: `loss`, `classes`, `iou`, `sides`, and `epoch`, the number of epochs so far.

        Raises:
            ModelError: If the loss is no number any more.
        """
        start_s = time.perf_counter()
        self.network.train()
        sums = np.zeros(4)
        batches = self._batches()
        progress = tqdm(batches, total=self.steps_per_epoch, desc=f"epoch {self.epoch + 1}", unit="step", mininterval=5)
        for step, (images, targets) in enumerate(progress):
            sums += self._step(self.epoch * self.steps_per_epoch + step, images, targets)
            progress.set_postfix(loss=f"{sums[0] / (step + 1):.3f}", refresh=False)
        self.epoch += 1
        self.seconds += time.perf_counter() - start_s
        means = (float(value) for value in sums / self.steps_per_epoch)
        row = {"epoch": float(self.epoch), **dict(zip(("loss", "classes", "iou", "sides"), means, strict=True))}
        self.history.append(row)
        return row

    def _step(self, step: int, images: Tensor, targets: Targets) -> npt.NDArray[np.float64]:
        total_steps = self.config.epochs * self.steps_per_epoch
        factor = warmup_cosine(step, total_steps, min(WARMUP_STEPS, total_steps // 10 + 1))
        for group in self.optimiser.param_groups:
            group["lr"] = self.config.learning_rate * factor
        images = images.to(self.device, non_blocking=True).float().div_(255)
        targets = Targets(*(value.to(self.device, non_blocking=True) for value in targets))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            raw = self.network(images)
        raw = RawPredictions(raw.class_logits.float(), raw.side_logits.float(), raw.points_xy, raw.strides)
        terms = detector_loss(raw, targets)
        loss = terms.total
        if not torch.isfinite(loss):
            raise ModelError(f"training diverged in step {step}: the loss is {loss.item()}; lower the learning rate")
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), GRADIENT_LIMIT)
        self.optimiser.step()
        self.average.update(self.network)
        return torch.stack(terms).detach().double().cpu().numpy()

    def _batches(self) -> Iterator[tuple[Tensor, Targets]]:
        config = self.config
        images = _AugmentedImages(config, self.data, self.epoch)
        order = generator(config.seed, self.epoch).permutation(len(images))
        rows = order[: self.steps_per_epoch * config.batch_size].reshape(self.steps_per_epoch, -1).tolist()
        if not config.workers:
            return _prefetched(collate([images[row] for row in batch]) for batch in rows)
        # Forked, the processes share the images in memory; started any other way, each would get a copy.
        return iter(
            DataLoader(
                images, batch_sampler=rows, collate_fn=collate, num_workers=config.workers,
                multiprocessing_context="fork", pin_memory=self.device.type == "cuda",
            )
        )  # fmt: skip


class _AugmentedImages(Dataset[Sample]):
    """The training set as one epoch sees it; what a row looks like depends on seed, epoch and row alone."""

    def __init__(self, config: DetectorTraining, data: DetectionData, epoch: int) -> None:
        self.samples = data.samples
        self.seed, self.epoch = config.seed, epoch
        # Crops around the objects show as many of them for less work; the end of the run sees what the robot will see.
        self.late = epoch >= 0.8 * config.epochs
        self.size_wh = training_size_wh(data, 1.0 if self.late else config.crop)
        self.cropped = not self.late and config.crop < 1
        self.mosaic = 0.0 if self.late else config.mosaic

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, row: int) -> Sample:
        rng = generator(self.seed, self.epoch, row)
        samples = self.samples
        if rng.random() < self.mosaic:
            others = rng.integers(len(samples), size=3)
            chosen = [samples[row], *(samples[int(other)] for other in others)]
            return mosaic(rng, chosen, self.size_wh, self.cropped)
        return augment(rng, samples[row], self.size_wh, self.cropped, CALM_STRENGTH if self.late else 1.0)


def _prefetched(batches: Iterator[tuple[Tensor, Targets]]) -> Iterator[tuple[Tensor, Targets]]:
    """The same batches, the next one made in a thread while this one is used."""
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = thread.submit(next, batches, None)
            yield batch


def train_detector(config: DetectorTraining) -> DetectionMetrics:
    """Train, validate, export; every validation also exports, so that a usable network is there early.

    Args:
        config: The run.

    Returns:
        Metrics of the exported network on the held-out images.

    Raises:
        BagError: If a data set is missing, damaged or of no known kind, or the held-out one has other classes.
        EvaluationError: If two ground-truth messages of a bag have the same stamp.
        FrameError: If an image of a bag cannot be decoded.
        InvalidValueError: If no held-out data is given and the data has none.
        ModelError: If the checkpoint does not fit, training diverges or the export differs from torch.
        MissingDependencyError: If the world must be rendered and its renderer is missing.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    # Images are augmented in one thread beside torch's; OpenCV's own would take the cores from the network.
    cv2.setNumThreads(1)
    data, val = _open_data(config)
    fit = DetectorFit(config, data)
    if config.resume:
        fit.load()
    metrics = None
    while fit.epoch < config.epochs:
        loss = fit.run_epoch()["loss"]
        fit.save()
        fit.write_curves()
        print(f"epoch {fit.epoch}/{config.epochs}: loss {loss:.4f}, {fit.seconds:.0f} s", flush=True)
        if fit.epoch % config.validate_every == 0 or fit.epoch == config.epochs:
            metrics = _validate_and_export(fit, val)
    return metrics or _validate_and_export(fit, val)


def _open_data(config: DetectorTraining) -> tuple[DetectionData, DetectionData]:
    data, held_out = config.data, config.val
    if data is None:
        rendered = config.work / "simulated"
        data, held_out = (render(rendered, name, config.jobs) for name in ("training", "held_out"))
    sets = open_training_pair(data, held_out)
    for purpose, source in zip(("learns from", "measures on"), sets, strict=True):
        shown = "; ".join((f"{purpose} {source.name}: {source.count} images", *source.notes))
        print(f"{shown}; classes: {', '.join(source.class_names)}", flush=True)
    return load_data(sets[0], config.input_size), load_data(sets[1], config.input_size)


def _validate_and_export(fit: DetectorFit, val: DetectionData) -> DetectionMetrics:
    metrics = validate(fit.average.network, val, fit.config.input_size)
    fit.history[-1].update(map50=metrics.ap50, map50_95=metrics.ap)
    fit.save()
    fit.write_curves()
    export_detector(fit, val, metrics)
    figures = f"mAP50 {metrics.ap50:.4f}, mAP50-95 {metrics.ap:.4f}"
    print(f"epoch {fit.epoch}: wrote {fit.config.onnx_path}, {figures}", flush=True)
    return metrics


def export_detector(fit: DetectorFit, val: DetectionData, metrics: DetectionMetrics) -> None:
    """Write the ONNX file and the card from the averaged weights.

    Args:
        fit: The run.
        val: Held-out images, whose first one is the input of the comparison with torch.
        metrics: Metrics on them.

    Raises:
        ModelError: If the export differs from torch.
    """
    config, names = fit.config, fit.data.class_names
    network = YoloNetwork(len(names))
    network.load_state_dict(fit.average.network.state_dict())
    example = next(validation_batches(val, config.input_size, 1)).contiguous()
    metadata = {
        "names": str(dict(enumerate(names))), "imgsz": str([config.input_size] * 2), "task": "detect",
        "stride": str(STRIDES[-1]),
    }  # fmt: skip
    tolerance = np.array([BOX_TOLERANCE_PX] * 4 + [SCORE_TOLERANCE] * len(names), np.float32)[:, None]
    export_onnx(
        DeployedDetector(network), example, config.onnx_path, input_name="images", output_names=["output0"],
        tolerance=tolerance, metadata=metadata, free_batch=True,
    )  # fmt: skip
    write_card(config.onnx_path, _card(fit, val, metrics))


def _card(fit: DetectorFit, val: DetectionData, metrics: DetectionMetrics) -> dict[str, Any]:
    config = fit.config
    world = " on its simulated camera world" if config.data is None else ""
    return {
        "task": "detection",
        "source": f"trained by robot_vision{world}",
        "input": {
            "name": "images", "size_wh": [config.input_size] * 2, "colour": "RGB", "resize": "letterbox",
            "pad_value": PAD_VALUE, "scale": 1 / 255, "mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0],
        },
        "output": {"head": "yolov8"},
        "class_names": list(fit.data.class_names),
        "training": {
            "command": command_line("robot_vision train detector", config), "commit": fit.commit,
            "data": _origin(fit.data, config, "training"), "epochs": fit.epoch, "seconds": round(fit.seconds),
            **({} if config.start is None else {"start_sha256": file_sha256(config.start)}),
        },
        "measured": {
            "data": _origin(val, config, "held_out"),
            "map50": round(metrics.ap50, 4), "map50_95": round(metrics.ap, 4),
            "ap50_by_class": {name: round(value, 4) for name, value in metrics.ap50_by_class.items()},
            "ap50_95_by_class": {name: round(value, 4) for name, value in metrics.ap_by_class.items()},
        },
    }  # fmt: skip


def _origin(data: DetectionData, config: DetectorTraining, name: str) -> str:
    if config.data is None:
        return description(name)
    return f"{len(data.samples)} images of {data.name}"
