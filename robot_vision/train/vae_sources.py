"""Bags and folders as frames for training an encoder, preprocessed exactly as the deployed encoder does it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from robot_vision.data.image_file import IMAGE_SUFFIXES, read_rgb
from robot_vision.data.image_folder import image_files
from robot_vision.data.sources import ImageSource, open_source
from robot_vision.errors import BagError
from robot_vision.preprocess import Preprocessor
from robot_vision.runtime.card import InputSpec
from robot_vision.train import simulated
from robot_vision.train.vae_settings import FrameSources
from robot_vision.types import Float32Array, Frame, UInt8Array

HELD_OUT_FRACTION = 0.1
_BAG_SUFFIXES = (".mcap", ".db3")
_BAG_DESCRIPTION = "metadata.yaml"


@dataclass(frozen=True)
class ImageFolder:
    """Images of one folder.

    Attributes:
        path: The folder, or the one whose sub-folder `images` they lie in.
        files: Image files by name; at least one.
    """

    path: Path
    files: tuple[Path, ...]

    @property
    def title(self) -> str:
        """What it is called in model cards."""
        return f"folder {self.path.resolve().name}"

    def frames(self) -> Iterator[Frame]:
        """The images in the order of their names; their stamps say nothing.

        Yields:
            One `Frame` at a time.

        Raises:
            BagError: If an image cannot be read.
        """
        for file in self.files:
            yield Frame(read_rgb(file), 0, "")

    @cached_property
    def identity(self) -> str:
        """Text that differs when a file was changed."""
        return file_states(self.files)


@dataclass(frozen=True)
class Recording:
    """Images of one topic of a bag.

    Attributes:
        source: The bag; it has images.
    """

    source: ImageSource

    @property
    def path(self) -> Path:
        """The bag as it was given."""
        return self.source.path

    @property
    def title(self) -> str:
        """What it is called in model cards."""
        place = self.path.parent if self.path.name == _BAG_DESCRIPTION else self.path
        return f"bag {place.resolve().name}"

    def frames(self) -> Iterator[Frame]:
        """The images in the order of recording.

        Yields:
            One `Frame` at a time.

        Raises:
            BagError: If the bag is damaged.
            FrameError: If an image cannot be decoded.
        """
        return self.source.frames()

    @cached_property
    def identity(self) -> str:
        """Text that differs when a file was changed or another topic is read."""
        place = self.path.parent if self.path.name == _BAG_DESCRIPTION else self.path
        return f"{self.source.topic}|{file_states(sorted(place.iterdir()) if place.is_dir() else [place])}"


Images = ImageFolder | Recording
CoverageReader = Callable[[Images], UInt8Array]


class FrameSet(NamedTuple):
    """Frames in the network's size.

    Attributes:
        pixels: (N, 3, H, W) uint8 RGB; (N, 4, H, W) with the share of each pixel that lies in a box, 255 for all of it.
        text: What they are, for model cards.
    """

    pixels: UInt8Array
    text: str

    @property
    def rgb(self) -> UInt8Array:
        """(N, 3, H, W) uint8 view on the colours."""
        return self.pixels[:, :3]

    @property
    def sha256(self) -> str:
        """SHA-256 in hex over the colours in C order: the same data set under any name."""
        digest = hashlib.sha256()
        for image in self.rgb:
            digest.update(np.ascontiguousarray(image).data)
        return digest.hexdigest()


def open_images(path: Path, topic: str = "") -> Images:
    """The images at a path, checked to be there.

    Args:
        path: Bag (folder or file), folder of images, or folder with a sub-folder `images` (COCO layout).
        topic: Image topic of a bag; empty takes the only one, or the first by name and says so.

    Returns:
        The images; none is read yet.

    Raises:
        BagError: If nothing is there, it holds no images, or the bag is damaged or lacks the topic.
    """
    if not path.exists():
        raise BagError(f"{path}: no such file or folder; give a bag or a folder of images")
    if path.is_dir() and not _is_bag(path):
        return ImageFolder(path, find_images(path))
    source = open_source(path, topic or None)
    if source.note:
        print(f"{path}: {source.note}; --topic chooses another", flush=True)
    return Recording(source)


def _is_bag(folder: Path) -> bool:
    return any(entry.name == _BAG_DESCRIPTION or entry.suffix in _BAG_SUFFIXES for entry in folder.iterdir())


def find_images(folder: Path) -> tuple[Path, ...]:
    """Image files of a data set, sorted by name.

    Args:
        folder: A folder of images, or one with a sub-folder `images` (COCO layout).

    Returns:
        At least one path.

    Raises:
        BagError: If it holds no images.
    """
    inside = folder / "images" if (folder / "images").is_dir() else folder
    files = image_files(inside)
    if not files:
        raise BagError(
            f"{inside}: holds no images ({', '.join(sorted(IMAGE_SUFFIXES))}), and is no bag "
            f"({', '.join((_BAG_DESCRIPTION, *_BAG_SUFFIXES))})"
        )
    return files


def load_sets(
    sources: FrameSources, topic: str, read: Callable[[Images], UInt8Array], rendered: Callable[[str], Path]
) -> tuple[FrameSet, FrameSet]:
    """Training and held-out frames.

    Without held-out places, the last of several places is held out as a whole: neighbouring frames of one recording are
    nearly equal, so that a split by frame would leak. Of a single folder the last tenth by name is held out. Of a
    single bag it is the last tenth, and as many images before it are left out as a gap.

    Args:
        sources: Where images come from.
        topic: See `open_images`.
        read: Reads all frames of one place, (N, C, H, W).
        rendered: Folder of a set of `simulated.SIMULATED_SETS`, rendered first if need be.

    Returns:
        Training and held-out set, at least one frame each.

    Raises:
        BagError: If images are missing or too few to hold some out.
        FrameError: If an image of a bag cannot be decoded.
    """
    if not sources.data:
        parts = {name: read(open_images(rendered(name))) for name in simulated.SIMULATED_SETS}
        training, held_out = (FrameSet(pixels, simulated.description(name)) for name, pixels in parts.items())
        return training, held_out
    # All are opened before any is read: an hour of decoding is not to end in a missing path.
    data = [open_images(path, topic) for path in sources.data]
    validation = [open_images(path, topic) for path in sources.validation]
    if not validation and len(data) == 1:
        return _split_one(data[0], read(data[0]))
    if not validation:
        data, validation = data[:-1], data[-1:]
    return _joined(data, read), _joined(validation, read)


def _joined(places: Sequence[Images], read: Callable[[Images], UInt8Array]) -> FrameSet:
    parts = [read(images) for images in places]
    pixels = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return FrameSet(pixels, f"{len(pixels)} images of {', '.join(images.title for images in places)}")


def _split_one(images: Images, pixels: UInt8Array) -> tuple[FrameSet, FrameSet]:
    held = max(1, round(len(pixels) * HELD_OUT_FRACTION))
    gap = held if isinstance(images, Recording) else 0
    kept = len(pixels) - held - gap
    if kept < 1:
        raise BagError(
            f"{images.path}: {len(pixels)} images are too few to hold some out; give --validation or more images"
        )
    last = f"{held} images, the last of {images.title}" + (f", after a gap of {gap}" if gap else "")
    return (
        FrameSet(pixels[:kept], f"{kept} images, the first of {images.title}"),
        FrameSet(pixels[kept + gap :], last),
    )


def load_frames(images: Images, spec: InputSpec, cache_folder: Path) -> UInt8Array:
    """Preprocessed frames as bytes, read again from a cache file while files and preprocessing are the same.

    Args:
        images: Where they come from; their sizes may differ.
        spec: Preprocessing of the encoder; must scale by 1/255 only, so that bytes hold its result exactly.
        cache_folder: Where the cache file is kept; created if missing.

    Returns:
        (N, 3, H, W) uint8, RGB, in the order of the source.

    Raises:
        BagError: If an image or the bag cannot be read.
        FrameError: If an image of a bag cannot be decoded.
    """
    shrink = Shrinker(spec)

    def make() -> UInt8Array:
        shown = tqdm(images.frames(), desc=f"reading {images.title}", unit="image")
        return stacked(shrink(frame.rgb) for frame in shown)

    return cached(cache_folder, "frames", f"{spec!r}{images.identity}", make)


class Shrinker:
    """An image as the encoder's network gets it, in bytes.

    Args:
        spec: See `load_frames`.
    """

    def __init__(self, spec: InputSpec) -> None:
        width, height = spec.size_wh
        self._preprocessor = Preprocessor(spec)
        self._buffer: Float32Array = np.empty((1, 3, height, width), np.float32)
        self._scale = spec.scale

    def __call__(self, rgb: UInt8Array) -> UInt8Array:
        """The image in the network's size.

        Args:
            rgb: (H, W, 3) uint8.

        Returns:
            (3, h, w) uint8.
        """
        self._preprocessor.fill(rgb, self._buffer)
        return np.rint(self._buffer[0] / self._scale).astype(np.uint8)


def stacked(arrays: Iterable[UInt8Array]) -> UInt8Array:
    """Arrays of one shape as one array with a new first axis; at least one."""
    return np.stack(list(arrays))


def cached(folder: Path, what: str, key: str, make: Callable[[], UInt8Array]) -> UInt8Array:
    """The array of a key, made once.

    Args:
        folder: Where it is kept; created if missing.
        what: First word of the file's name.
        key: Everything that the array depends on.
        make: Makes it.

    Returns:
        The array.
    """
    file = folder / f"{what}_{hashlib.sha256(key.encode()).hexdigest()[:16]}.npy"
    if file.is_file():
        return np.load(file, allow_pickle=False)
    values = make()
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(".partial")
    with unfinished.open("wb") as stream:
        np.save(stream, values)
    unfinished.replace(file)
    return values


def file_states(files: Iterable[Path]) -> str:
    """Path, size and time of change of files as text."""
    states = ((file.resolve(), file.stat()) for file in files)
    return "".join(f"{place}|{state.st_size}|{state.st_mtime_ns}\n" for place, state in states)
