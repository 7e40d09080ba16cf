"""What a run saw, for people: an annotated video and a contact sheet."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from robot_vision.data.sources import ImageSource
from robot_vision.errors import EvaluationError
from robot_vision.evaluation.ground_truth import RecordedArray
from robot_vision.overlay import box_label, draw_boxes
from robot_vision.types import UInt8Array

_CODECS = ((".mp4", b"mp4v"), (".avi", b"MJPG"))
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_MARGIN = 4


def draw_recorded(rgb: UInt8Array, array: RecordedArray) -> UInt8Array:
    """A copy of an image with the boxes of a recorded message.

    Args:
        rgb: (H, W, 3) uint8 RGB.
        array: Recorded detections or tracks; tracks are coloured by id, detections by class.

    Returns:
        A new (H, W, 3) uint8 RGB image.
    """
    order = np.argsort(array.scores, kind="stable").tolist()
    labels = [box_label(array.class_names[i], array.ids[i], float(array.scores[i])) for i in order]
    # A fixed number for a text, unlike hash(), which differs from run to run.
    numbers = [int(array.ids[i]) if array.ids[i].isdigit() else sum(array.class_names[i].encode()) for i in order]
    return draw_boxes(rgb, array.boxes_xyxy[order], labels, numbers)


def render_run(
    source: ImageSource, arrays: Mapping[int, RecordedArray], folder: str | Path, tiles: int = 9
) -> tuple[Path, Path]:
    """Write `annotated.mp4` (or `.avi` where OpenCV has no MP4 encoder) and `contact_sheet.png`.

    The video has every frame of the source; one that was dropped is marked as such and has no boxes. The sheet shows
    processed frames, evenly spread over the run.

    Args:
        source: The recording.
        arrays: Recorded tracks or detections by stamp in nanoseconds.
        folder: Existing folder.
        tiles: Most pictures on the sheet.

    Returns:
        Paths of the video and the sheet.

    Raises:
        BagError: If the recording is damaged.
        EvaluationError: If no result belongs to a frame of the recording, or a file cannot be written.
    """
    shown = [stamp for stamp in source.stamps_ns() if stamp in arrays]
    if not shown:
        raise EvaluationError(f"{source.path}: no result has the stamp of one of its frames, there is nothing to draw")
    picked = {shown[i] for i in np.linspace(0, len(shown) - 1, min(tiles, len(shown))).round().astype(int)}
    sheet_tiles: list[UInt8Array] = []

    def pictures() -> Iterator[UInt8Array]:
        start_ns = shown[0]
        for frame in source.frames(on_bad_frame=lambda _: None):
            array = arrays.get(frame.stamp_ns)
            seconds = (frame.stamp_ns - start_ns) / 1e9
            picture = draw_recorded(frame.rgb, array) if array else np.array(frame.rgb, order="C")
            caption(picture, f"{seconds:.2f} s" if array else f"{seconds:.2f} s  not processed")
            if frame.stamp_ns in picked:
                sheet_tiles.append(picture)
            yield picture

    video = write_video(Path(folder) / "annotated", pictures(), source.rate_hz or 1.0)
    sheet = Path(folder) / "contact_sheet.png"
    write_picture(sheet, contact_sheet(sheet_tiles))
    return video, sheet


def write_picture(path: Path, rgb: UInt8Array) -> None:
    """Write one image.

    Args:
        path: File in an existing folder; its suffix says the format.
        rgb: (H, W, 3) uint8 RGB.

    Raises:
        EvaluationError: If the file cannot be written.
    """
    if not cv2.imwrite(str(path), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)):
        raise EvaluationError(f"{path}: the picture cannot be written")


def caption(picture: UInt8Array, text: str) -> None:
    """Write a line of text into the lower left corner of a picture.

    Args:
        picture: (H, W, 3) uint8 RGB, drawn on.
        text: ASCII text.
    """
    height = picture.shape[0]
    scale = max(0.35, 0.4 * height / 480)
    (text_width, text_height), baseline = cv2.getTextSize(text, _FONT, scale, 1)
    top, right = height - text_height - baseline - 2 * _MARGIN, text_width + 2 * _MARGIN
    # On a plate and not with an outline, because OpenCV 5 makes thicker letters wider, too.
    cv2.rectangle(picture, (0, top), (right, height), (0, 0, 0), cv2.FILLED)
    cv2.putText(picture, text, (_MARGIN, height - baseline - _MARGIN), _FONT, scale, (255, 255, 255), 1, cv2.LINE_AA)


def write_video(path_without_suffix: Path, pictures: Iterator[UInt8Array], rate_hz: float) -> Path:
    """Write a video; it appears under its name when it is complete.

    Args:
        path_without_suffix: Where; the suffix follows from the encoder that OpenCV has.
        pictures: (H, W, 3) uint8 RGB, all of one size (others are scaled to the first).
        rate_hz: Frames a second.

    Returns:
        The path of the video.

    Raises:
        EvaluationError: If there is no picture, no encoder, or the file cannot be written.
    """
    first = next(pictures, None)
    if first is None:
        raise EvaluationError(f"{path_without_suffix}: a video needs at least one picture")
    # Encoders with halved chroma need even sides.
    size_wh = (first.shape[1] + first.shape[1] % 2, first.shape[0] + first.shape[0] % 2)
    for suffix, codec in _CODECS:
        partial = path_without_suffix.with_name(f"{path_without_suffix.name}.part{suffix}")
        writer = cv2.VideoWriter(str(partial), int.from_bytes(codec, "little"), rate_hz, size_wh)
        if not writer.isOpened():
            partial.unlink(missing_ok=True)
            continue
        count = 0
        try:
            for picture in _chain(first, pictures):
                writer.write(cv2.cvtColor(_fitted(picture, size_wh), cv2.COLOR_RGB2BGR))
                count += 1
            writer.release()
            _require_frames(partial, count)
        except BaseException:
            writer.release()
            partial.unlink(missing_ok=True)
            raise
        return partial.replace(path_without_suffix.with_name(f"{path_without_suffix.name}{suffix}"))
    raise EvaluationError(f"{path_without_suffix}: no video can be written there, or OpenCV has no encoder for it")


def _require_frames(path: Path, count: int) -> None:
    """Refuse a video that lacks frames: OpenCV does not tell when a disk is full."""
    video = cv2.VideoCapture(str(path))
    found = int(video.get(cv2.CAP_PROP_FRAME_COUNT)) if video.isOpened() else 0
    video.release()
    if found < count:
        raise EvaluationError(f"{path}: only {found} of {count} pictures could be written; is the disk full?")


def _chain(first: UInt8Array, rest: Iterator[UInt8Array]) -> Iterator[UInt8Array]:
    yield first
    yield from rest


def _fitted(picture: UInt8Array, size_wh: tuple[int, int]) -> UInt8Array:
    width, height = size_wh
    missing = (height - picture.shape[0], width - picture.shape[1])
    if missing == (0, 0):
        return picture
    if missing in ((0, 1), (1, 0), (1, 1)):
        return np.asarray(cv2.copyMakeBorder(picture, 0, missing[0], 0, missing[1], cv2.BORDER_REPLICATE), np.uint8)
    return np.asarray(cv2.resize(picture, size_wh, interpolation=cv2.INTER_AREA), np.uint8)


def contact_sheet(pictures: Sequence[UInt8Array], width: int | None = 1920) -> UInt8Array:
    """Pictures side by side in rows on a dark ground.

    Args:
        pictures: At least one (H, W, 3) uint8 RGB; they are scaled to the shape of the first.
        width: Width of the sheet in pixels; None leaves the first picture at its own size.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        EvaluationError: If there is no picture.
    """
    if not pictures:
        raise EvaluationError("a contact sheet needs at least one picture")
    columns = math.ceil(math.sqrt(len(pictures)))
    tile_width = pictures[0].shape[1] if width is None else (width - _MARGIN) // columns - _MARGIN
    tile_height = max(1, round(tile_width * pictures[0].shape[0] / pictures[0].shape[1]))
    rows = -(-len(pictures) // columns)
    sheet: UInt8Array = np.full(
        (rows * (tile_height + _MARGIN) + _MARGIN, columns * (tile_width + _MARGIN) + _MARGIN, 3), 24, np.uint8
    )
    for index, picture in enumerate(pictures):
        top = _MARGIN + index // columns * (tile_height + _MARGIN)
        left = _MARGIN + index % columns * (tile_width + _MARGIN)
        sheet[top : top + tile_height, left : left + tile_width] = cv2.resize(
            picture, (tile_width, tile_height), interpolation=cv2.INTER_AREA
        )
    return sheet
