"""Image folders as arrays for the VAE, preprocessed exactly as the deployed encoder does it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.nn import functional
from tqdm import tqdm

from robot_vision.errors import BagError
from robot_vision.preprocess import Preprocessor
from robot_vision.runtime.card import InputSpec
from robot_vision.types import UInt8Array

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".webp"})
HELD_OUT_FRACTION = 0.1
MIN_VIEW = 0.75
LIGHT_RANGE = 0.15
TINT_RANGE = 0.08


def find_images(folder: Path) -> list[Path]:
    """Image files of a data set, sorted by name.

    Args:
        folder: A folder of images, or one with a sub-folder `images` (COCO layout).

    Returns:
        At least one path.

    Raises:
        BagError: If there is no such folder or it holds no images.
    """
    inside = folder / "images" if (folder / "images").is_dir() else folder
    if not inside.is_dir():
        raise BagError(f"{folder}: no such folder; give a folder of images or one with a sub-folder `images`")
    paths = sorted(path for path in inside.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    if not paths:
        raise BagError(f"{inside}: holds no images ({', '.join(sorted(IMAGE_SUFFIXES))})")
    return paths


def split_tail(paths: list[Path]) -> tuple[list[Path], list[Path]]:
    """Training files and held-out files: the last tenth by name.

    The tail rather than a random draw, because neighbouring frames of one recording are nearly equal and would leak.

    Args:
        paths: Sorted image files.

    Returns:
        Training and held-out paths, at least one each.

    Raises:
        BagError: If there are fewer than two images.
    """
    if len(paths) < 2:
        raise BagError(f"{paths[0].parent if paths else 'data set'}: needs at least two images to hold some out")
    count = max(1, round(len(paths) * HELD_OUT_FRACTION))
    return paths[:-count], paths[-count:]


def load_frames(paths: list[Path], spec: InputSpec, cache_folder: Path) -> UInt8Array:
    """Preprocessed frames as bytes, read again from a cache file while files and preprocessing are the same.

    Args:
        paths: Image files.
        spec: Preprocessing of the encoder; must scale by 1/255 only, so that bytes hold its result exactly.
        cache_folder: Where the cache file is kept; created if missing.

    Returns:
        (N, 3, H, W) uint8, RGB, in the order of `paths`.

    Raises:
        BagError: If an image cannot be read.
    """
    cache_file = cache_folder / f"frames_{_fingerprint(paths, spec)}.npy"
    if cache_file.is_file():
        return np.load(cache_file, allow_pickle=False)
    preprocessor = Preprocessor(spec)
    width, height = spec.size_wh
    buffer = np.empty((1, 3, height, width), np.float32)
    frames = np.empty((len(paths), 3, height, width), np.uint8)
    for index, path in enumerate(tqdm(paths, desc="reading images", unit="image")):
        bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if bgr is None:
            raise BagError(f"{path}: not a readable image")
        preprocessor.fill(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), buffer)
        frames[index] = np.rint(buffer[0] / spec.scale)
    cache_folder.mkdir(parents=True, exist_ok=True)
    np.save(cache_file, frames)
    return frames


def _fingerprint(paths: list[Path], spec: InputSpec) -> str:
    digest = hashlib.sha256(repr(spec).encode())
    for path in paths:
        status = path.stat()
        digest.update(f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def to_images(frames: UInt8Array) -> torch.Tensor:
    """Bytes to network input.

    Args:
        frames: (N, 3, H, W) uint8.

    Returns:
        (N, 3, H, W) float32 in [0, 1].
    """
    return torch.from_numpy(frames).to(torch.float32).div_(255.0)


def batches(frames: UInt8Array, batch_size: int, rng: np.random.Generator) -> Iterator[torch.Tensor]:
    """One epoch of shuffled batches; a last incomplete batch is dropped unless it is the only one.

    Args:
        frames: (N, 3, H, W) uint8.
        batch_size: Images per batch.
        rng: Source of the order.

    Yields:
        (B, 3, H, W) float32 in [0, 1].
    """
    order = rng.permutation(len(frames))
    for step in range(max(1, len(order) // batch_size)):
        yield to_images(frames[order[step * batch_size : (step + 1) * batch_size]])


def augment(images: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Random views of images: mirrored, cut out and enlarged, brighter or darker, of other tints.

    Views that another camera pose or another light could have given; a view never leaves its image.

    Args:
        images: (N, 3, H, W) float32 in [0, 1].
        rng: Source of all randomness.

    Returns:
        A new (N, 3, H, W) in [0, 1].
    """
    count = len(images)
    zoom = rng.uniform(MIN_VIEW, 1.0, count)
    affine = np.zeros((count, 2, 3), np.float32)
    affine[:, 0, 0] = zoom * rng.choice([-1.0, 1.0], count)
    affine[:, 1, 1] = zoom
    affine[:, :, 2] = rng.uniform(-1, 1, (count, 2)) * (1 - zoom)[:, None]
    grid = functional.affine_grid(torch.from_numpy(affine), list(images.shape), align_corners=False)
    views = functional.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    light = rng.uniform(1 - LIGHT_RANGE, 1 + LIGHT_RANGE, (count, 1))
    tint = rng.uniform(1 - TINT_RANGE, 1 + TINT_RANGE, (count, 3))
    gains = torch.from_numpy((light * tint).astype(np.float32))
    return (views * gains[:, :, None, None]).clamp_(0, 1)
