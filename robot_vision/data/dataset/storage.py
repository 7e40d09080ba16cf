"""The plain form of a data set: one Parquet or NumPy file an episode, and a description in JSON."""

from __future__ import annotations

import importlib
import json
import shutil
import zipfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, Literal, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from robot_vision.data.dataset.columns import Feature
from robot_vision.data.dataset.episode import Episode
from robot_vision.data.dataset.schema import DERIVED
from robot_vision.errors import BagError, FrameError, MissingDependencyError
from robot_vision.image_codec import decode_compressed

Format = Literal["parquet", "npz", "lerobot"]
DESCRIPTION = "dataset.json"
_EPISODES = "episodes"
# The earliest time that a zip file can hold, so that the same episode gives the same bytes.
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


class Storage(Protocol):
    """Where episodes go.

    Attributes:
        description: Path of the data set's description, from its folder.
    """

    description: str

    def add(self, episode: Episode, index: int) -> str:
        """Store an episode.

        Args:
            episode: The next one.
            index: Its number.

        Returns:
            Path of its file from the data set's folder; empty if several share one.
        """

    def close(self) -> None:
        """Finish the data set."""


def has_pyarrow() -> bool:
    """Whether Parquet can be read and written here."""
    return find_spec("pyarrow") is not None


def parquet_module() -> tuple[Any, Any]:
    """`pyarrow` and `pyarrow.parquet`.

    Raises:
        MissingDependencyError: If pyarrow is not installed.
    """
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise MissingDependencyError("Parquet needs pyarrow; install it with: pip install pyarrow") from error


def is_picture(feature: Feature) -> bool:
    """Whether a column holds pictures, which Parquet files hold as PNG."""
    return len(feature.shape) == 3


class ParquetStorage:
    """One Parquet file an episode; arrays as lists of fixed size, row by row, and pictures as PNG; see `Storage`.

    Args:
        folder: Folder of the data set.
        features: Columns from topics.

    Raises:
        MissingDependencyError: If pyarrow is not installed.
    """

    description = DESCRIPTION

    def __init__(self, folder: Path, features: Sequence[Feature]) -> None:
        self._folder = folder
        self._features = (*DERIVED, *features)
        self._arrow, self._parquet = parquet_module()
        (folder / _EPISODES).mkdir(parents=True)

    def add(self, episode: Episode, index: int) -> str:
        """See `Storage`."""
        path = f"{_EPISODES}/episode_{index:06d}.parquet"
        schema = self._arrow.schema([(feature.name, self._type(feature)) for feature in self._features])
        with self._parquet.ParquetWriter(self._folder / path, schema, compression="zstd") as writer:
            for chunk in episode.chunks(index):
                arrays = [self._array(feature, chunk[feature.name]) for feature in self._features]
                writer.write_table(self._arrow.Table.from_arrays(arrays, schema=schema))
        return path

    def close(self) -> None:
        """See `Storage`."""

    def _type(self, feature: Feature) -> Any:
        if is_picture(feature):
            return self._arrow.binary()
        single = self._arrow.from_numpy_dtype(np.dtype(feature.dtype))
        return self._arrow.list_(single, int(np.prod(feature.shape))) if feature.shape else single

    def _array(self, feature: Feature, values: npt.NDArray[Any]) -> Any:
        if is_picture(feature):
            return self._arrow.array([_png(picture) for picture in values], self._arrow.binary())
        flat = self._arrow.array(values.reshape(-1))
        if not feature.shape:
            return flat
        return self._arrow.FixedSizeListArray.from_arrays(flat, int(np.prod(feature.shape)))


def _png(rgb: npt.NDArray[np.uint8]) -> bytes:
    return bytes(cv2.imencode(".png", np.asarray(rgb)[..., ::-1])[1])


class NpzStorage:
    """One compressed NumPy file an episode; see `Storage`.

    Args:
        folder: Folder of the data set.
        features: Columns from topics.
    """

    description = DESCRIPTION

    def __init__(self, folder: Path, features: Sequence[Feature]) -> None:
        self._folder, self._features = folder, tuple(features)
        (folder / _EPISODES).mkdir(parents=True)

    def add(self, episode: Episode, index: int) -> str:
        """See `Storage`."""
        path = f"{_EPISODES}/episode_{index:06d}.npz"
        with zipfile.ZipFile(self._folder / path, "w", zipfile.ZIP_DEFLATED, compresslevel=3) as archive:
            for name, values in episode.derived(index).items():
                with archive.open(_member(name), "w") as file:
                    np.lib.format.write_array(file, values, allow_pickle=False)
            for feature in self._features:
                with archive.open(_member(feature.name), "w", force_zip64=True) as file:
                    _copy_column(episode, feature, file)
        return path

    def close(self) -> None:
        """See `Storage`."""


def _member(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(f"{name}.npy", _ZIP_TIME)
    info.compress_type = zipfile.ZIP_DEFLATED
    return info


def _copy_column(episode: Episode, feature: Feature, file: IO[bytes]) -> None:
    """Write a column as `numpy.save` would, without having it in memory."""
    shape = (episode.steps, *feature.shape)
    descr = np.lib.format.dtype_to_descr(np.dtype(feature.dtype))
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    with (episode.folder / feature.name).open("rb") as raw:
        shutil.copyfileobj(raw, file)


class PlainDataset:
    """A data set in its plain form, as `robot_vision dataset` writes it.

    Attributes:
        folder: Where it is.
        description: What `dataset.json` says: columns, units, rules, sources, alignment errors.

    Args:
        folder: Folder of the data set.

    Raises:
        BagError: If there is none, or another version than this one reads.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        try:
            self.description = json.loads((self.folder / DESCRIPTION).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BagError(f"{self.folder}: no data set, {DESCRIPTION} cannot be read: {error}") from error
        if self.description.get("version") != 1:
            raise BagError(f"{self.folder}: a data set of version {self.description.get('version')}; this reads 1")
        self._shapes = {name: tuple(entry["shape"]) for name, entry in self.description["features"].items()}

    def __len__(self) -> int:
        """Number of episodes."""
        return len(self.description["episodes"])

    def episode(self, index: int, columns: Sequence[str] = ()) -> dict[str, npt.NDArray[Any]]:
        """The values of one episode.

        Args:
            index: Its number.
            columns: Names of columns; empty takes all.

        Returns:
            (steps, *shape) arrays by name of column.

        Raises:
            BagError: If there is no such episode or column, or the file is missing or damaged.
            MissingDependencyError: If it is in Parquet and pyarrow is not installed.
        """
        if not 0 <= index < len(self):
            raise BagError(f"{self.folder}: no episode {index}, there are {len(self)}")
        names = list(columns) or list(self._shapes)
        if unknown := sorted(set(names) - set(self._shapes)):
            raise BagError(f"{self.folder}: no column {', '.join(unknown)}; there are {', '.join(self._shapes)}")
        path = self.folder / self.description["episodes"][index]["file"]
        try:
            return self._from_npz(path, names) if path.suffix == ".npz" else self._from_parquet(path, names)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile, FrameError) as error:
            raise BagError(f"{path}: cannot be read: {error}") from error

    def _from_npz(self, path: Path, names: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in names}

    def _from_parquet(self, path: Path, names: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
        table = parquet_module()[1].read_table(path, columns=list(names))
        return {name: self._column(table, name) for name in names}

    def _column(self, table: Any, name: str) -> npt.NDArray[Any]:
        values, shape = table.column(name).combine_chunks(), self._shapes[name]
        if len(shape) == 3:
            return np.stack([decode_compressed("png", png) for png in values.to_pylist()])
        flat = (values.flatten() if shape else values).to_numpy(zero_copy_only=False)
        return np.asarray(flat.reshape(len(values), *shape))
