"""What each architecture costs for a picture, counted, beside what its authors print; of paper 004 piece by piece."""

from __future__ import annotations

import msgspec
import torch

from trainer.models.architectures import ARCHITECTURES, Architecture
from trainer.models.counting import Counts, count
from trainer.models.network import Network, Outputs, build_network

_SUBNET = "parts_subnet"
_MEMBERS = 5
_EIGHT_CLASSES = Outputs(labels=tuple(f"class {number}" for number in range(8)))


class Published(msgspec.Struct, frozen=True):
    """What a paper prints, in its own precision; None = nothing."""

    parameters: float | None = None
    flops: float | None = None
    bytes: float | None = None


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """Of a network, or of a piece of it, for one picture.

    Attributes:
        name: of the architecture, with 8 classes; or of a piece of paper 004's.
        input: of the pictures, as "160x160 grey".
        parameters: that are trained.
        flops: by paper 004, eq. 7-9 (`Counts.flops`).
        bytes: of all numbers that are stored, in float32.
        published: the same in its paper; of whole networks with 1000 classes, unless the source says otherwise.
        source: where that stands, or what is to be said of it.
    """

    name: str
    input: str
    parameters: int
    flops: int
    bytes: int
    published: Published
    source: str


def costs() -> list[Cost]:
    """All architectures, then the pieces of paper 004's network (III.C.1, IV.D)."""
    return [*map(_of_architecture, ARCHITECTURES.values()), *_pieces()]


def _of_architecture(architecture: Architecture) -> Cost:
    macs = architecture.macs_published
    published = Published(1e6 * architecture.parameters_published, 2e6 * macs if macs else None)
    network = _network(architecture.name, _EIGHT_CLASSES)
    return _cost(architecture.name, network, count(network), published, architecture.citation)


def _pieces() -> list[Cost]:
    whole = _network(_SUBNET, _EIGHT_CLASSES)
    nose, face = (_network(_SUBNET, Outputs(points=points)) for points in ("nose", "all"))
    counts = count(whole)
    head = _head(whole)
    body = Counts(
        counts.parameters - head.parameters,
        counts.macs - head.macs,
        counts.pooled,
        counts.bytes - head.bytes,
        {},
    )
    five = Counts(
        _MEMBERS * counts.parameters, _MEMBERS * counts.macs, _MEMBERS * counts.pooled, _MEMBERS * counts.bytes, {}
    )
    bytes_note = "4 bytes for each of the printed parameters would be {} MB"
    return [
        _cost("004: feature extractor", whole, body, Published(0.29e6), ""),
        _cost("004: head for 9 landmarks", nose, _head(nose), Published(0.019e6), ""),
        _cost("004: head for 68 landmarks", face, _head(face), Published(0.025e6), "its sizes give 0.034 million"),
        _cost("004: head for 8 classes", whole, head, Published(0.035e6), "its sizes give 0.034 million"),
        _cost("004: sub-network", whole, counts, Published(0.33e6, 0.555e9, 6.3e6), bytes_note.format(1.32)),
        _cost("004: ensemble of five", whole, five, Published(1.65e6, 2.775e9, 31.5e6), bytes_note.format(6.6)),
    ]


def _head(network: Network) -> Counts:
    """Of the dense parts alone."""
    dense = [cost for name, cost in count(network).by_part.items() if not name.startswith("conv")]
    parameters = sum(cost.parameters for cost in dense)
    return Counts(parameters, sum(cost.macs for cost in dense), 0, 4 * parameters, {})


def _network(name: str, outputs: Outputs) -> Network:
    """Its tensors have shapes only."""
    with torch.device("meta"):
        return build_network(name, outputs, seed=0)


def _cost(name: str, network: Network, counts: Counts, published: Published, source: str) -> Cost:
    size = f"{network.input.width}x{network.input.height} {network.input.channels}"
    return Cost(
        name=name,
        input=size,
        parameters=counts.parameters,
        flops=counts.flops,
        bytes=counts.bytes,
        published=published,
        source=source,
    )
