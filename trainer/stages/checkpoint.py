"""Checkpoints: what a stage leaves for the next one and for the export.

    card.json                             what it is, where it comes from, and the checksum of the weights
    model-0f3a5b7c9d1e2f40.safetensors    the weights, named by that checksum

The card is written last and in one step, and names weights that are already there, so whatever stops a save leaves the
old card with the old weights or the new with the new. Weights that no card names are removed by the next save.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final, Literal

import msgspec
import safetensors
import safetensors.torch
from torch import Tensor

from mien.bundle import CropSpec, InputSpec, Sha256
from mien.errors import MienError
from trainer.data.face_parts import Points
from trainer.data.output import output_errors, whole_file
from trainer.models import Network, Outputs, build_network
from trainer.models.transfer import take_dense, transfer

VERSION: Final = 1
_CARD = "card.json"
_BELOW = ("fold*", "*", "*/fold*", "seed*/*", "seed*/*/fold*")
"""Where checkpoints lie below the folders of a stage, a repetition and a run."""


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """One stage of the training that led to a checkpoint.

    Attributes:
        stage: name in the recipe.
        source: name in the recipe.
        data: data set, as the lineage names it: "AffectNet", or the domain of renders.
        pictures: in the training part.
        people: in the training part; None where the data set names none.
        split: how it was divided, in words.
        target: what was learned.
        epochs: that were trained.
        images_seen: in all of them.
        learning_rate: at the start.
        seed: of the repetition.
        points: part of the face whose landmarks were learned; "" = none.
        teacher: what the network had learned from whose answers were learned too, as "FER2013"; "" = none.
        temperature: by which the logits of the classes were divided afterwards.
        average: stage with whose weights these were averaged; "" = none.
    """

    stage: str
    source: str
    data: str
    pictures: int
    people: int | None
    split: str
    target: str
    epochs: int
    images_seen: int
    learning_rate: float
    seed: int
    points: Literal[Points, ""] = ""
    teacher: str = ""
    temperature: float = 1.0
    average: str = ""

    @property
    def words(self) -> str:
        """Its data, and those that a teacher had learned from, or the stage with whose weights these were averaged."""
        if self.average:
            return f"{self.data} (averaged with {self.average})"
        return f"{self.data} (taught by {self.teacher})" if self.teacher else self.data


class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a checkpoint is (card.json).

    Attributes:
        format: "mien-checkpoint".
        version: of the format.
        architecture: a name of `trainer.models.ARCHITECTURES`.
        image_side: of the network's square input, pixels.
        outputs: classes, valence, arousal.
        crop: of the faces that it was trained on.
        detector: that found them.
        contrast: what was enhanced before the network saw it: nothing, the `crop` or the whole `picture`.
        landmarks: `data` or `model`, for crops by landmarks.
        input: how pixels become the network's input.
        embedding_size: of the network without its dense layers.
        weights: lineage of the weights that the first stage started from, as "IN"; "" for none.
        lineage: all stages since, the first one first.
        figures: of the last stage, by name; NaN is null.
        licences: terms of the starting weights and of the data, as far as they are known.
        versions: of mien, torch and so on.
        sha256: of the weights' file; set when it is saved.
    """

    format: Literal["mien-checkpoint"] = "mien-checkpoint"
    version: Literal[1] = VERSION
    architecture: str
    image_side: int
    outputs: Outputs
    crop: CropSpec
    detector: str
    contrast: Literal["none", "crop", "picture"] = "none"
    landmarks: str = "data"
    input: InputSpec
    embedding_size: int
    weights: str = ""
    lineage: tuple[Step, ...] = ()
    figures: dict[str, float | None] = {}
    licences: tuple[str, ...] = ()
    versions: dict[str, str] = {}
    sha256: Sha256 = "0" * 64

    @property
    def lineage_text(self) -> str:
        """As "IN → MC1M → VF2 → AffectNet"; with a teacher "rendered wild (taught by FER2013)"."""
        return " → ".join(name for name in (self.weights, *(step.words for step in self.lineage)) if name)


def save_checkpoint(folder: Path, network: Network, card: Card) -> Card:
    """Write a checkpoint, in place of one that is there; a kill or a full disk leaves the old one as it was.

    Only one process may write.

    Returns:
        The card with its checksum.

    Raises:
        MienError: the disk is full, or the folder cannot be written.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    data = safetensors.torch.save(tensors)
    card = msgspec.structs.replace(card, sha256=hashlib.sha256(data).hexdigest())
    weights = _weights(folder, card)
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with whole_file(weights) as partial:
            partial.write_bytes(data)
        _flush(folder)
        write_card(folder, card)
        for path in [*folder.glob("model-*.safetensors"), *folder.glob(".model-*.partial")]:
            if path != weights:
                path.unlink(missing_ok=True)
    return card


def write_card(folder: Path, card: Card) -> None:
    """Write what is said of weights that are saved, in place of what was said before.

    Raises:
        MienError: the disk is full, or the folder cannot be written.
    """
    encoded = msgspec.json.encode(card, enc_hook=str)  # versions may be of their own kind of text, as torch's is
    with output_errors(folder):
        with whole_file(folder / _CARD) as partial:
            partial.write_bytes(msgspec.json.format(encoded) + b"\n")
        _flush(folder)


def load_card(folder: Path) -> Card:
    """Read a checkpoint's card.

    Raises:
        MienError: there is none, it is damaged, or a newer mien wrote it.
    """
    path = folder / _CARD
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MienError(f"{folder} holds no checkpoint: {_CARD} is missing", _remedy(folder)) from error
    except OSError as error:
        raise MienError(f"{path} cannot be read ({error.strerror})", "Give this user the right to read it") from error
    try:
        head = msgspec.json.decode(data)
        if not isinstance(head, dict) or head.get("format") != "mien-checkpoint":
            raise MienError(f"{path} is not the card of a checkpoint", "Name a folder that a stage was saved into")
        version = head.get("version")
        if isinstance(version, int) and version > VERSION:
            raise MienError(
                f"{path} has version {version}, this mien reads up to version {VERSION}",
                "Update mien to the version that wrote it",
            )
        return msgspec.json.decode(data, type=Card)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MienError(f"{path} is damaged ({error})", "Copy the checkpoint again, or run its stage again") from error


def open_network(folder: Path) -> tuple[Network, Card]:
    """The network of a checkpoint, ready to be used.

    Raises:
        MienError: as `load_card`; or the weights are missing, damaged, or not of that architecture.
    """
    card = load_card(folder)
    try:
        network = build_network(
            card.architecture, card.outputs, seed=0, image_side=card.image_side, contrast=card.input.contrast
        )
    except MienError as error:
        raise MienError(f"{folder / _CARD}: {error.problem}", error.remedy) from error
    tensors = _read_tensors(folder, card)
    _check_shapes(folder, card, tensors, network)
    network.load_state_dict(tensors)
    return network.eval(), card


def start_from(network: Network, folder: Path, keep_classes: bool = False) -> Card:
    """Give a new network the weights of a checkpoint, all but the output layer where its outputs differ.

    Args:
        network: changed in place.
        folder: of the checkpoint.
        keep_classes: as for `transfer`.

    Returns:
        The checkpoint's card, whose lineage the next stage goes on with.

    Raises:
        MienError: as `open_network`; or the checkpoint is of another architecture.
    """
    card = load_card(folder)
    check_architecture(folder, card, network.architecture.name)
    transfer(network, _read_tensors(folder, card), card.outputs, keep_classes)
    return card


def take_head(network: Network, folder: Path) -> None:
    """Give a network the dense layers of a checkpoint of the same architecture, which tells the same.

    Raises:
        MienError: as `open_network`.
    """
    take_dense(network, _read_tensors(folder, load_card(folder)))


def average_with(network: Network, folder: Path) -> None:
    """Move a network half of the way to a checkpoint of the same architecture, which tells the same.

    Raises:
        MienError: as `open_network`.
    """
    others = _read_tensors(folder, load_card(folder))
    for name, own in network.state_dict().items():
        if own.is_floating_point():  # all but the number of batches that a normalisation has seen
            own.lerp_(others[name].to(own.device), 0.5)


def check_architecture(folder: Path, card: Card, architecture: str) -> None:
    """Check that a network of that architecture can start from a checkpoint.

    Raises:
        MienError: it cannot; both architectures are named.
    """
    if card.architecture != architecture:
        raise MienError(
            f"{folder / _CARD} is of a {card.architecture}, from which a {architecture} cannot start",
            f"Name a checkpoint of a {architecture}, or set architecture: {card.architecture}",
        )


def _read_tensors(folder: Path, card: Card) -> dict[str, Tensor]:
    path = _weights(folder, card)
    again = "Copy the checkpoint again, or run its stage again"
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise MienError(f"{path}, which {_CARD} names, is missing", again) from error
    except OSError as error:
        raise MienError(f"{path} cannot be read ({error.strerror})", "Give this user the right to read it") from error
    found = hashlib.sha256(data).hexdigest()
    if found != card.sha256:
        raise MienError(f"{path} is damaged: its checksum is {found[:12]}…, not {card.sha256[:12]}…", again)
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load(data)
    except safetensors.SafetensorError as error:
        raise MienError(f"{path} is not a safetensors file ({error})", again) from error
    return tensors


def _check_shapes(folder: Path, card: Card, tensors: dict[str, Tensor], network: Network) -> None:
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            raise MienError(
                f"{_weights(folder, card)}: {name} is {found.get(name, 'missing')}, "
                f"a {card.architecture} has {wanted.get(name, 'none')}",
                "Use the version of mien that wrote it, or run its stage again",
            )


def _remedy(folder: Path) -> str:
    """Name a checkpoint that lies below the folder: a fold of a stage, or a stage of a run."""
    if any(folder.glob("*.npz")):  # answers, but no network
        return "Name a folder that a stage was saved into; an ensemble is given by those of its members"
    below = (card.parent for pattern in _BELOW for card in sorted(folder.glob(f"{pattern}/{_CARD}")))
    found = next(below, None)
    return "Name a folder that a stage was saved into" + (f", as {found}" if found else "")


def _weights(folder: Path, card: Card) -> Path:
    return folder / f"model-{card.sha256[:16]}.safetensors"


def _flush(folder: Path) -> None:
    """Make a renaming in a folder last through a power cut, before the next one."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
