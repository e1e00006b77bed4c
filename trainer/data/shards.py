"""Large data sets as WebDataset shards: tar files that are read from beginning to end, shuffled, in little memory.

    index.json                                   what there is, and whether it is all there
    train-000000.tar, train-000001.tar …         records in random order: 00000017.json (labels), 00000017.jpg (picture)

Records are shuffled when they are written, across the whole split; shards and the records of a few shards at a time are
shuffled anew in each pass. That order follows from seed and epoch, so a stream can go on from any position.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError, require
from mien.faces.detector import Box
from trainer.data.output import sole_writer, whole_file
from trainer.data.pictures import FilePart, Picture, PictureBytes, check_suffix, read_part
from trainer.data.sample import Dataset, Sample, Tell

RECORDS_PER_SHARD = 1000
_AGAIN = "Give the command `mien-train data shards` again: it goes on where it stopped"


class Labels(msgspec.Struct, frozen=True, omit_defaults=True):
    """A record's labels, as `Sample` has them."""

    person: str | None = None
    expression: str | None = None
    category: str | None = None
    valence: float | None = None
    arousal: float | None = None
    box: tuple[float, float, float, float] | None = None
    landmarks: list[tuple[float, float]] | None = None
    visible: list[bool] | None = None
    intensity: float | None = None
    sequence: str | None = None
    frame: int | None = None
    yaw: float | None = None


class Shard(msgspec.Struct, frozen=True):
    """One tar file.

    Attributes:
        file: its name.
        split: of its records.
        records: how many there are.
        digest: SHA-256 of the records' labels, and of the names and sizes of their pictures' files.
    """

    file: Annotated[str, msgspec.Meta(pattern=r"^\w+-\d{6}\.tar\Z")]
    split: str
    records: int
    digest: str


class ShardIndex(msgspec.Struct, frozen=True, kw_only=True):
    """What a folder of shards holds.

    Attributes:
        dataset: its name.
        seed: of the order in which the records were written.
        records_per_shard: of all shards but the last of a split.
        splits: number of records of each split, once all are written.
        shards: those that are there.
    """

    format: Literal["mien-shards"] = "mien-shards"
    version: Literal[1] = 1
    dataset: str
    seed: int
    records_per_shard: int
    splits: dict[str, int]
    shards: list[Shard] = []

    @property
    def done(self) -> int:
        """Records that are there."""
        return sum(shard.records for shard in self.shards)

    @property
    def complete(self) -> bool:
        """Whether all records are there."""
        return self.done == sum(self.splits.values())


def write_shards(
    dataset: Dataset, folder: Path, seed: int, tell: Tell, records_per_shard: int = RECORDS_PER_SHARD
) -> ShardIndex:
    """Write a data set as shards; what an earlier run has finished is kept.

    The same data set and seed give the same files, byte by byte.

    Raises:
        MienError: a picture cannot be read, the folder holds shards of something else or of data that have changed
            since, another process is writing there, or the disk is full. The shards that are finished stay valid.
    """
    splits = np.array([sample.split for sample in dataset])
    wanted = ShardIndex(
        dataset=dataset.name,
        seed=seed,
        records_per_shard=records_per_shard,
        splits={str(split): int(count) for split, count in zip(*np.unique(splits, return_counts=True), strict=True)},
    )
    with sole_writer(folder):
        index = _continued(folder, wanted)
        there = {shard.file: shard for shard in index.shards}
        tell(index.done, len(dataset))
        for split in index.splits:
            order = np.random.default_rng(seed).permutation(np.flatnonzero(splits == split))
            for number, begin in enumerate(range(0, len(order), records_per_shard)):
                file = f"{split}-{number:06d}.tar"
                records = order[begin : begin + records_per_shard]
                shard = Shard(file, split, len(records), _digest(dataset, records))
                if file in there:
                    _check_same(folder, shard, there[file])
                    continue
                with whole_file(folder / file) as partial:
                    _write(partial, dataset, records)
                shards = sorted([*index.shards, shard], key=lambda one: one.file)
                index = msgspec.structs.replace(index, shards=shards)
                _write_index(folder, index)
                tell(index.done, len(dataset))
    return index


def read_index(folder: Path) -> ShardIndex:
    """Read the index of a folder of shards.

    Raises:
        MienError: it is missing, damaged, or not all shards are written.
    """
    index = _read_index(folder / "index.json")
    if not index.complete:
        raise MienError(
            f"{folder} holds {index.done} of {sum(index.splits.values())} records of {index.dataset}", _AGAIN
        )
    return index


class ShardStream:
    """One pass over a split, shuffled; made by `open_stream`.

    Attributes:
        position: how many records have been given; another stream can go on from there.
    """

    def __init__(
        self, folder: Path, shards: Sequence[Shard], order: tuple[int, ...], position: int, shards_at_once: int
    ) -> None:
        self.position = position
        self._folder, self._order = folder, order
        self._windows = [shards[begin : begin + shards_at_once] for begin in range(0, len(shards), shards_at_once)]

    def __len__(self) -> int:
        """Records of the whole pass."""
        return sum(shard.records for window in self._windows for shard in window)

    def __iter__(self) -> Iterator[Sample]:
        skip = self.position
        for number, window in enumerate(self._windows):
            count = sum(shard.records for shard in window)
            if skip >= count:
                skip -= count
                continue
            records = [
                (shard.split, record) for shard in window for record in _read(self._folder / shard.file, shard.records)
            ]
            order = np.random.default_rng((*self._order, number)).permutation(count)[skip:]
            skip = 0
            for place in order.tolist():
                self.position += 1
                yield _from_stream(*records[place])


def open_stream(
    folder: Path,
    split: str,
    seed: int,
    epoch: int = 0,
    position: int = 0,
    part: int = 0,
    parts: int = 1,
    shards_at_once: int = 4,
) -> ShardStream:
    """Open a pass over a split.

    Args:
        folder: written by `write_shards`.
        split: whose records to give.
        seed: of the order; epochs and parts have orders of their own.
        epoch: number of the pass.
        position: number of records to leave out, which an interrupted pass has given already.
        part: which of the `parts` to give; each shard belongs to one part, so that processes share the work.
        parts: number of parts.
        shards_at_once: so many shards' encoded records are held in memory and shuffled together.

    Raises:
        MienError: the folder holds no complete shards, the split is not there, or it has fewer shards than parts.
    """
    shards = [shard for shard in read_index(folder).shards if shard.split == split]
    if len(shards) < max(1, parts):
        raise MienError(
            f"{folder} has {len(shards)} shards of the split {split}, which {parts} processes cannot share",
            "Write smaller shards, name another split, or use fewer processes",
        )
    order = np.random.default_rng((seed, epoch)).permutation(len(shards))[part::parts]
    return ShardStream(folder, [shards[number] for number in order], (seed, epoch, part), position, shards_at_once)


class ShardedDataset(Dataset):
    """The records of a folder of shards by number, in the order of the data set that was packed.

    Only where they are is held in memory, 40 bytes a record; labels and pictures are read when they are asked for.
    """

    def __init__(self, folder: Path, index: ShardIndex) -> None:
        self.name = index.dataset
        self._folder, self._shards = folder, sorted(index.shards, key=lambda shard: shard.file)
        places = np.concatenate([_places(folder, number, shard) for number, shard in enumerate(self._shards)])
        self._places = np.sort(places, order="key")

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> Sample:
        number, key, suffix, *where = self._places[index].tolist()
        labels_at, labels_size, picture_at, picture_size = where
        shard = self._shards[number]
        path = self._folder / shard.file
        picture = FilePart(path, f"{key:08d}", f".{suffix.decode()}", picture_at, picture_size)
        return _sample(picture, shard.split, read_part(path, labels_at, labels_size))


def open_shards(folder: Path) -> ShardedDataset:
    """Open a folder of shards as a data set like any other.

    Raises:
        MienError: the folder holds no complete shards, or one is damaged.
    """
    return ShardedDataset(folder, read_index(folder))


_PLACE = np.dtype(
    [("shard", "i4"), ("key", "i8"), ("suffix", "S4")]
    + [(f"{part}_{what}", kind) for part in ("labels", "picture") for what, kind in (("at", "i8"), ("size", "i4"))]
)


def _places(folder: Path, number: int, shard: Shard) -> NDArray[Any]:
    """Where labels and pictures of a shard are, (records,) of `_PLACE`."""
    path = folder / shard.file
    labels: dict[str, tuple[int, int]] = {}
    pictures: dict[str, tuple[int, int]] = {}
    suffixes: dict[str, bytes] = {}
    try:
        for name, offset, size in _members(path):
            key, _, suffix = name.partition(".")
            if suffix == "json":
                labels[key] = offset, size
            else:
                pictures[key], suffixes[key] = (offset, size), suffix.encode()
        if not labels.keys() == pictures.keys() or len(labels) != shard.records:
            raise ValueError(f"{len(labels.keys() & pictures.keys())} whole records instead of {shard.records}")
        rows = [(number, int(key), suffixes[key], *labels[key], *pictures[key]) for key in labels]
    except (OSError, ValueError) as error:
        raise MienError(f"{path} cannot be read ({error})", f"Remove it. {_AGAIN}") from error
    return np.array(rows, _PLACE)


def _members(path: Path) -> Iterator[tuple[str, int, int]]:
    """Name, offset and size of each file in a tar of plain files; eight times as fast as tarfile."""
    with path.open("rb") as file:
        end, offset = os.fstat(file.fileno()).st_size, 0
        while (header := os.pread(file.fileno(), 512, offset)).strip(b"\0"):
            if header[257:262] != b"ustar" or header[156:157] not in (b"0", b"\0"):
                raise ValueError(f"what begins at byte {offset} is no plain file")
            size = int(header[124:136].rstrip(b" \0"), 8)
            offset += 512
            if offset + size > end:
                raise ValueError("it is cut off")
            yield header[:100].rstrip(b"\0").decode(), offset, size
            offset += -(-size // 512) * 512


def _continued(folder: Path, wanted: ShardIndex) -> ShardIndex:
    """The index of an earlier run of the same command, or the one wanted, without shards."""
    path = folder / "index.json"
    if not path.exists():
        return wanted
    found = _read_index(path)
    if msgspec.structs.replace(found, shards=[]) != wanted:
        raise MienError(
            f"{folder} already holds shards of {found.dataset}, seed {found.seed}, {found.splits}",
            "Name another folder, or remove that one",
        )
    return msgspec.structs.replace(found, shards=[shard for shard in found.shards if (folder / shard.file).is_file()])


def _check_same(folder: Path, wanted: Shard, found: Shard) -> None:
    if found != wanted:
        raise MienError(
            f"{folder / found.file} was made from other labels or pictures than there are now",
            "Name another folder, or remove that one",
        )


def _digest(dataset: Dataset, numbers: NDArray[np.intp]) -> str:
    digest = hashlib.sha256()
    for number in numbers.tolist():
        sample = dataset[number]
        # Only the end of the path, so that a data set may move; sizes tell of pictures that changed places.
        name = Path(sample.picture.name).parts[-2:]
        digest.update(msgspec.json.encode((sample.split, name, sample.picture.file_size(), _labels(sample))) + b"\n")
    return digest.hexdigest()


def _read_index(path: Path) -> ShardIndex:
    try:
        return msgspec.json.decode(path.read_bytes(), type=ShardIndex)
    except FileNotFoundError as error:
        raise MienError(
            f"{path.parent} holds no shards: index.json is missing", "Write them with: mien-train data shards"
        ) from error
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise MienError(f"{path} cannot be read ({error})", "Remove that folder and write the shards again") from error


def _write_index(folder: Path, index: ShardIndex) -> None:
    with whole_file(folder / "index.json") as partial:
        partial.write_bytes(msgspec.json.format(msgspec.json.encode(index), indent=1))


def _write(path: Path, dataset: Dataset, numbers: NDArray[np.intp]) -> None:
    webdataset: Any = require("webdataset", "data")
    with webdataset.TarWriter(str(path), encoder=False, mtime=0) as tar:
        for number in numbers.tolist():
            sample = dataset[number]
            suffix, picture = sample.picture.encoded()
            check_suffix(sample.picture.name, suffix)
            PictureBytes(sample.picture.name, suffix, picture).read()  # a damaged one is named before it is packed
            tar.write({"__key__": f"{number:08d}", "json": msgspec.json.encode(_labels(sample)), suffix[1:]: picture})


def _read(path: Path, expected: int) -> list[dict[str, Any]]:
    """All records of a shard, undecoded."""
    readers: Any = require("webdataset.tariterators", "data")
    try:
        # Opened here: the library's own opening runs what is named "pipe:command".
        with path.open("rb") as file:
            members = readers.tar_file_expander([{"url": str(path), "stream": file}])
            records = list(readers.group_by_keys(members))
    except (OSError, tarfile.TarError, ValueError) as error:
        raise MienError(f"{path} cannot be read ({error})", f"Remove it. {_AGAIN}") from error
    if len(records) != expected:
        raise MienError(f"{path} holds {len(records)} records instead of {expected}", f"Remove it. {_AGAIN}")
    return records


def _labels(sample: Sample) -> Labels:
    box = sample.box
    return Labels(
        person=sample.person,
        expression=sample.expression,
        category=sample.category,
        valence=sample.valence,
        arousal=sample.arousal,
        box=(box.x, box.y, box.width, box.height) if box else None,
        landmarks=None if sample.landmarks is None else sample.landmarks.tolist(),
        visible=None if sample.visible is None else sample.visible.tolist(),
        intensity=sample.intensity,
        sequence=sample.sequence,
        frame=sample.frame,
        yaw=sample.yaw,
    )


_DECODER = msgspec.json.Decoder(Labels)


def _from_stream(split: str, record: dict[str, Any]) -> Sample:
    name = f"{record['__url__']}, {record['__key__']}"
    suffix = next((key for key in record if key != "json" and not key.startswith("__")), None)
    if suffix is None:
        raise MienError(f"{name} has no picture", f"Remove that file. {_AGAIN}")
    return _sample(PictureBytes(name, f".{suffix}", record[suffix]), split, record.get("json", b""))


def _sample(picture: Picture, split: str, encoded: bytes) -> Sample:
    try:
        labels = _DECODER.decode(encoded)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise MienError(
            f"{picture.name}: its labels cannot be read ({error})", f"Remove that file. {_AGAIN}"
        ) from error
    return Sample(
        picture,
        split,
        person=labels.person,
        expression=labels.expression,
        category=labels.category,
        valence=labels.valence,
        arousal=labels.arousal,
        box=Box(*labels.box) if labels.box else None,
        landmarks=None if labels.landmarks is None else np.array(labels.landmarks, np.float32),
        visible=None if labels.visible is None else np.array(labels.visible, np.bool_),
        intensity=labels.intensity,
        sequence=labels.sequence,
        frame=labels.frame,
        yaw=labels.yaw,
    )
