"""Writes sequences in the MOTChallenge format."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from robot_vision.evaluation.sequences import TrackingFrame


def write_sequence(folder: Path, frames: Sequence[TrackingFrame], rate_hz: float) -> Path:
    """Visible objects as considered pedestrians, hidden ones as distractors; frames are numbered from 1."""
    truth, found = [], []
    for number, frame in enumerate(frames, start=1):
        objects = frame.truth
        for box, identity, hidden in zip(objects.boxes_xyxy, objects.ids, objects.ignored, strict=True):
            truth.append(f"{number},{identity},{_xywh(box)},{int(not hidden)},{8 if hidden else 1},1")
        detections = zip(frame.detections.boxes_xyxy, frame.detections.scores, strict=True)
        found += [f"{number},-1,{_xywh(box)},{float(score)!r},-1,-1,-1" for box, score in detections]
    return write_lines(folder, truth, found, f"[Sequence]\nframeRate={rate_hz}\nseqLength={len(frames)}\n")


def write_lines(folder: Path, truth: Sequence[str], found: Sequence[str], info: str = "") -> Path:
    for name, lines in (("gt", truth), ("det", found)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines))
    if info:
        (folder / "seqinfo.ini").write_text(info)
    return folder


def _xywh(box_xyxy) -> str:
    x1, y1, x2, y2 = box_xyxy.tolist()
    return f"{x1!r},{y1!r},{x2 - x1!r},{y2 - y1!r}"
