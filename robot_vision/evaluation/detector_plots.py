"""Pictures of what a detector is worth: curves, the confusion matrix, and the images it did worst on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from robot_vision.evaluation.detector_curves import NOTHING, Curve, Pairing
from robot_vision.evaluation.ground_truth import LabelledBoxes
from robot_vision.evaluation.pictures import caption
from robot_vision.geometry import resize_transform
from robot_vision.overlay import box_label, draw_boxes
from robot_vision.types import Detections, Float32Array, Int64Array, UInt8Array

ALL_CLASSES = "all classes"
_TILE_WH = (640, 480)
# Numbers that overlay.colour_of makes well distinguishable colours of.
_GREEN, _PINK, _ORANGE, _BLUE = 2, 3, 0, 4


def write_curves(path: Path, curves: Mapping[str, Curve]) -> None:
    """Plot precision over recall and F1 over the score, each with the point of best F1.

    Args:
        path: PNG to write.
        curves: Curve by class; that of `ALL_CLASSES` is drawn thick, one of a class without objects not at all.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 (slow to import, and only needed here)

    curves = {name: curve for name, curve in curves.items() if curve.objects}
    columns = max(1, -(-len(curves) // 24))
    figure = Figure(figsize=(11 + 2.6 * columns, 5), layout="constrained")
    recall_axes, score_axes = figure.subplots(1, 2)
    for number, (name, curve) in enumerate(curves.items()):
        style = _line_style(number, name)
        # Both reach the axis from their first or last value; a curve without values stays without.
        recall, precision = (
            np.append(0 * curve.recall[:1], curve.recall),
            np.append(curve.precision[:1], curve.precision),
        )
        thresholds, f1 = np.append(curve.scores, 0 * curve.scores[:1]), np.append(curve.f1, curve.f1[-1:])
        recall_axes.plot(recall, precision, **style)
        # A threshold between two scores keeps what the higher one keeps.
        score_axes.plot(thresholds, f1, drawstyle="steps-post", label=_legend(name, curve), **style)
        if curve.best is not None:
            point = {"color": style["color"], "marker": "o", "markersize": 5, "zorder": style["zorder"] + 1}
            recall_axes.plot(curve.recall[curve.best], curve.precision[curve.best], **point)
            score_axes.plot(curve.scores[curve.best], curve.f1[curve.best], **point)
    recall_axes.set(xlabel="recall", ylabel="precision", title="Precision by recall at IoU 0.5; dots: best F1")
    score_axes.set(xlabel="score threshold", ylabel="F1", title="F1 by score threshold")
    for axes in (recall_axes, score_axes):
        axes.set(xlim=(0, 1.01), ylim=(0, 1.01))
        axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize="small", ncols=columns, title="best F1 @ score")
    figure.savefig(path, dpi=120)


def _line_style(number: int, name: str) -> dict[str, Any]:
    if name == ALL_CLASSES:
        return {"color": "black", "linewidth": 2.5, "zorder": 10}
    return {"color": f"C{number % 10}", "linestyle": ("-", "--", ":", "-.")[number // 10 % 4], "zorder": 3}


def _legend(name: str, curve: Curve) -> str:
    return f"{name} {curve.f1[curve.best]:.2f} @ {curve.scores[curve.best]:.2f}" if curve.best is not None else name


def write_confusion(path: Path, counts: Int64Array, class_names: Sequence[str]) -> None:
    """Plot a confusion matrix: counts as numbers, shares of their row as colour.

    Args:
        path: PNG to write.
        counts: (C + 1, C + 1) int64 as of `confusion_matrix`. Classes without any entry are left out.
        class_names: Names by class id.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 (slow to import, and only needed here)

    used = np.append(np.flatnonzero(counts[:-1].any(axis=1) | counts[:, :-1].any(axis=0)), len(class_names))
    shown = counts[np.ix_(used, used)]
    shares = shown / np.maximum(shown.sum(axis=1, keepdims=True), 1)
    side = 2.5 + 0.5 * len(used)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    picture = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.argwhere(shown):
        colour = "white" if shares[row, column] > 0.55 else "black"
        axes.text(column, row, str(shown[row, column]), ha="center", va="center", color=colour, fontsize=8)
    names = [class_names[index] for index in used[:-1]]
    axes.set_xticks(range(len(used)), [*names, "missed"], rotation=90)
    axes.set_yticks(range(len(used)), [*names, "false alarm"])
    axes.set(xlabel="found class", ylabel="true class")
    axes.tick_params(length=0)
    axes.axhline(len(names) - 0.5, color="gray", linewidth=0.8)
    axes.axvline(len(names) - 0.5, color="gray", linewidth=0.8)
    figure.colorbar(picture, ax=axes, shrink=0.8, label="share of the row")
    figure.savefig(path, dpi=120)


def mistake_tile(
    rgb: UInt8Array, truth: LabelledBoxes, found: Detections, pairing: Pairing, class_names: Sequence[str], text: str
) -> UInt8Array:
    """An image twice: above with the objects, below with the findings.

    Objects are green, missed ones orange; findings are blue, wrong ones pink. What is ignored is not drawn.

    Args:
        rgb: (H, W, 3) uint8 RGB.
        truth: Objects in it.
        found: Findings in it.
        pairing: What became of them.
        class_names: Names by class id.
        text: Caption of the findings.

    Returns:
        (960, 640, 3) uint8 RGB; the image is scaled to fit.
    """
    size_wh = (rgb.shape[1], rgb.shape[0])
    transform = resize_transform(size_wh, _TILE_WH, "letterbox")
    canvas: UInt8Array = np.full((_TILE_WH[1], _TILE_WH[0], 3), 24, np.uint8)
    (left, top), (width, height) = transform.offset_xy, transform.resized_wh
    canvas[top : top + height, left : left + width] = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)

    def drawn(boxes_xyxy: Float32Array, labels: Sequence[str], colours: Sequence[int]) -> UInt8Array:
        return draw_boxes(canvas, transform.to_network(boxes_xyxy), labels, colours)

    # Mistakes last, so that they stay on top.
    wanted = np.flatnonzero(~truth.ignored)
    wanted = wanted[np.argsort(pairing.missed[wanted], kind="stable")]
    objects = drawn(
        truth.boxes_xyxy[wanted],
        [class_names[class_id] for class_id in truth.class_ids[wanted]],
        [_ORANGE if pairing.missed[index] else _GREEN for index in wanted],
    )
    shown = np.lexsort((found.scores, ~pairing.right))
    shown = shown[pairing.object_of[shown] != NOTHING]
    findings = drawn(
        found.boxes_xyxy[shown],
        [box_label(class_names[found.class_ids[index]], None, float(found.scores[index])) for index in shown],
        [_BLUE if pairing.right[index] else _PINK for index in shown],
    )
    caption(objects, "labelled")
    caption(findings, text)
    return np.concatenate([objects, findings], axis=0)
