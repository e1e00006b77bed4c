"""Bundles from checkpoints: what the robot reads is what was trained; what is wrong is refused, and nothing is lost."""

from __future__ import annotations

import hashlib
import json
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from export.bundle import export_bundle
from export.verify import verify
from mien.bundle import Accuracy, Bundle, CropSpec, File, InputSpec, LandmarksSpec, open_bundle
from mien.errors import MienError
from mien.expression.circumplex import COORDINATES
from mien.expression.head import softmax
from mien.expression.head_file import names_embedding
from mien.expression.recogniser import Recogniser
from mien.runtime.backend import BackendOptions
from tests.export.checkpoints import LABELS, noise, save_answers, save_network, settled_network
from trainer.data.sample import Tell
from trainer.models import Network, Outputs
from trainer.stages.checkpoint import load_card

VALENCE, AROUSAL = Outputs(affect=("valence",)), Outputs(affect=("arousal",))


@pytest.fixture(scope="module")
def network() -> Network:
    return settled_network("mobilenet_v1_48_w025", Outputs(LABELS), 0)


@pytest.fixture(scope="module")
def checkpoint(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = save_network(tmp_path_factory.mktemp("run") / "one", network)
    save_answers(folder)
    return folder


@pytest.fixture(scope="module")
def exported(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The checkpoint in fp32 and fp16, with the feature map."""
    folder = tmp_path_factory.mktemp("bundles") / "one"
    return export_bundle([checkpoint], folder, precisions=["fp16"], has_feature_map=True)


@pytest.fixture(scope="module")
def of_twins(twins: list[Network], tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("twins")
    places = [save_network(folder / str(number), twin) for number, twin in enumerate(twins)]
    return export_bundle(places, folder / "bundle", name="twins")


def without_export(monkeypatch: pytest.MonkeyPatch, bundle: Bundle) -> None:
    """The graph of another export, to save time."""
    data = bundle.read(bundle.manifest.backbone.files["fp32"])
    monkeypatch.setattr("export.bundle.export_graph", lambda *_: data)


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_robot_reads_what_was_trained(network: Network, exported: Bundle) -> None:
    pictures = noise(network, 5)
    with torch.inference_mode():
        expected = softmax(network(pictures).classes.numpy())
    assert np.ptp(expected, axis=0).max() > 0.01
    for precision, tolerance in (("fp32", 1e-5), ("fp16", 0.03)):
        recogniser = Recogniser(exported, BackendOptions(precision=precision))
        np.testing.assert_allclose(recogniser.classify(pictures.numpy()).probabilities, expected, atol=tolerance)
        recogniser.close()


def test_the_manifest_says_what_the_checkpoint_is(checkpoint: Path, network: Network, exported: Bundle) -> None:
    manifest = exported.manifest
    assert manifest.labels == LABELS
    assert manifest.lineage == "IN → CK+"
    assert manifest.data_sets == ("IN", "CK+", "WIDER FACE (detector)")
    assert manifest.licence.endswith("Weights of somebody: MIT.")
    backbone = manifest.backbone
    assert (backbone.crop, backbone.input) == (CropSpec("box", 0.2), network.input)
    assert (backbone.embedding_size, backbone.feature_map_output) == (256, "feature_map")
    assert list(backbone.files) == ["fp32", "fp16"]
    assert names_embedding(exported.path / manifest.head.file.path)
    assert load_card(checkpoint).sha256[:12] in backbone.files["fp32"].source
    assert manifest.valence_arousal.source == "circumplex"
    accuracies = {one.metric: one for one in manifest.accuracy}
    note = "1 of the people were trained on too; left out: 2 × no face found"
    own = "95 %: 0.500 to 1.000; most often wrong: neutral read as happiness (1 of 2)"
    assert accuracies["accuracy"] == Accuracy("accuracy", 0.75, "CK+", "by person", 2, 4, f"{note}; {own}")
    assert accuracies["mean over people"].value == 0.75


def test_the_card_tells_a_person_the_same(exported: Bundle) -> None:
    card = exported.read(exported.manifest.card).decode()
    assert card == (exported.path / "README.md").read_text()
    for words in (
        "IN → CK+",
        "| accuracy | 0.750 | CK+ | by person | 2 | 4 |",
        "wider by 20%",
        "32x32 pixels",
        "AI Act",
    ):
        assert words in card
    for file in exported.files()[:-1]:
        assert f"`{file.sha256[:12]}`" in card


def test_a_card_that_was_changed_is_seen(exported: Bundle, tmp_path: Path) -> None:
    bundle = export_bundle([exported.path], tmp_path / "copy")
    (bundle.path / "README.md").write_text("Flawless.")
    with pytest.raises(MienError, match=r"README\.md: wrong checksum"):
        bundle.verify()


def test_valence_and_arousal_follow_from_the_expressions_where_that_is_asked_for(tmp_path: Path) -> None:
    labels = (*LABELS, "contempt")
    network = settled_network("mini_xception", Outputs(labels, ("valence", "arousal")), 0, 64)
    checkpoint = save_network(tmp_path / "checkpoint", network)
    bundle = export_bundle([checkpoint], tmp_path / "bundle", has_circumplex=True)
    manifest = bundle.manifest
    assert manifest.valence_arousal.source == "circumplex"
    assert manifest.valence_arousal.coordinates == {label: COORDINATES[label] for label in labels}
    assert "Contempt" in manifest.valence_arousal.citation
    assert (manifest.head.spec.valence, manifest.head.spec.arousal) == (None, None)
    pictures = noise(network, 3)
    with torch.inference_mode():
        expected = softmax(network(pictures).classes.numpy())
    recogniser = Recogniser(bundle, BackendOptions())
    found = recogniser.classify(pictures.numpy())
    recogniser.close()
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-5)
    places = np.array([COORDINATES[label] for label in labels])
    np.testing.assert_allclose(np.stack([found.valence, found.arousal], 1), expected @ places, atol=1e-5)
    assert not verify(bundle, checkpoints=[checkpoint], fewest_faces=20).parities[0].problems
    with pytest.raises(MienError, match="is a bundle, and where its valence and arousal come from stays"):
        export_bundle([bundle.path], tmp_path / "other", has_circumplex=True)
    with pytest.raises(MienError, match="Without valence and arousal the network would tell nothing"):
        export_bundle(
            [save_network(tmp_path / "twin", settled_network("mini_xception", VALENCE, 0, 64))],
            tmp_path / "other",
            has_circumplex=True,
        )


def test_twins_become_one_network(twins: list[Network], of_twins: Bundle) -> None:
    manifest = of_twins.manifest
    assert (manifest.name, manifest.labels, manifest.accuracy) == ("twins", (), ())
    assert manifest.backbone.embedding_size == 2304
    pictures = noise(twins[0], 3)
    with torch.inference_mode():
        valence, arousal = twins[0](pictures).valence.numpy(), twins[1](pictures).arousal.numpy()
    recogniser = Recogniser(of_twins, BackendOptions())
    found = recogniser.classify(pictures.numpy())
    recogniser.close()
    np.testing.assert_allclose(found.valence, np.clip(valence, -1, 1), atol=1e-5)
    np.testing.assert_allclose(found.arousal, np.clip(arousal, -1, 1), atol=1e-5)
    assert np.abs(valence - arousal).max() > 0.01


def test_crops_by_landmarks_bring_their_model(
    network: Network, exported: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_export(monkeypatch, exported)
    data = b"a network of landmarks"
    spec = LandmarksSpec(
        File("landmarks.onnx", hashlib.sha256(data).hexdigest(), "somebody", "CC0"),
        InputSpec(64, 64, "grey", (0.0,), (1.0,)),
        CropSpec("box"),
        "points",
    )
    monkeypatch.setattr("export.bundle.landmarks_model", lambda: (data, spec))
    bundle = export_bundle([save_network(tmp_path / "one", network, crop=CropSpec("inner"))], tmp_path / "bundle")
    assert bundle.manifest.landmarks == spec
    assert bundle.read(spec.file) == data
    assert "CC0" in bundle.manifest.licence


def test_int8_is_calibrated_on_what_each_checkpoint_was_trained_on(
    twins: list[Network], of_twins: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_export(monkeypatch, of_twins)
    asked, given, done = [], [], []

    def training_pictures(folders: list[Path], _spec: InputSpec, tell: Tell) -> Any:
        asked.extend(folders)
        tell(1, 2)
        return np.full((2, 1, 32, 32), 7, np.float32)

    def quantize(model: bytes, pictures: Any, _head: Any, tell: Tell) -> bytes:
        given.append(pictures)
        tell(3, 3)
        return model

    monkeypatch.setattr("export.bundle.calibration_pictures", training_pictures)
    monkeypatch.setattr("export.bundle.quantize", quantize)
    places = [save_network(tmp_path / str(number), twin) for number, twin in enumerate(twins)]
    bundle = export_bundle(places, tmp_path / "bundle", precisions=["int8"], tell=lambda *counts: done.append(counts))
    assert asked == places
    assert done == [(1, 2), (3, 3)]
    assert given[0].mean(axis=(1, 2, 3)).tolist() == [7, 7]
    files = bundle.manifest.backbone.files
    assert list(files) == ["fp32", "int8"]
    assert files["int8"].source == f"{files['fp32'].source}; 0% of the multiply-accumulates in int8"  # of the stand-in


# ---- from a bundle


def test_a_bundle_gets_more_precisions_and_keeps_the_rest(of_twins: Bundle, tmp_path: Path) -> None:
    bundle = export_bundle([of_twins.path], tmp_path / "more", precisions=["fp16"])
    assert list(bundle.manifest.backbone.files) == ["fp32", "fp16"]
    before, after = of_twins.manifest, bundle.manifest
    assert after.backbone.files["fp32"] == before.backbone.files["fp32"]
    assert (after.head, after.detector, after.lineage) == (before.head, before.detector, before.lineage)
    again = export_bundle([bundle.path], bundle.path, precisions=["fp16"], name="renamed")  # in its own place
    assert again.manifest.name == "renamed"
    assert again.manifest.backbone.files == bundle.manifest.backbone.files
    assert left_in(tmp_path) == ["more"]


def test_a_bundle_is_exported_alone_and_from_fp32(
    of_twins: Bundle, checkpoint: Path, tmp_path: Path, make_bundle: Callable[..., Path]
) -> None:
    out = tmp_path / "out"
    with pytest.raises(MienError, match=r"is a bundle and cannot be put together"):
        export_bundle([of_twins.path, checkpoint], out)
    with pytest.raises(MienError, match=r"without a feature map.*checkpoint again"):
        export_bundle([of_twins.path], out, has_feature_map=True)
    changed = make_bundle({"backbone.embedding_output": "features"})
    with pytest.raises(MienError, match=r"no output 'features'|no backbone in fp32 with an output 'embedding'"):
        export_bundle([changed], out, precisions=["fp16"])
    changed = make_bundle({"labels": ["anger", "neutral"]}, "labels")
    with pytest.raises(MienError, match=r"one per label|exactly the labels"):
        export_bundle([changed], out)
    assert not out.exists()


# ---- what is refused

CARDS: dict[str, tuple[dict[str, Any], str]] = {
    "no lineage": ({"lineage": ()}, r"has no lineage.*mien-train"),
    "another crop": ({"crop": CropSpec("outer", 0.1)}, r"do not fit each other: crop .*outer"),
    "another input": ({"input": InputSpec(32, 32, "rgb", (0.0,) * 3, (1.0,) * 3)}, r"do not fit each other: input"),
}


@pytest.mark.parametrize("fault", CARDS)
def test_cards_that_do_not_fit_are_refused(network: Network, checkpoint: Path, tmp_path: Path, fault: str) -> None:
    changes, message = CARDS[fault]
    folder = save_network(tmp_path / "other", network, **changes)
    with pytest.raises(MienError, match=message) as caught:
        export_bundle([checkpoint, folder], tmp_path / "bundle")
    assert str(folder) in str(caught.value)
    assert left_in(tmp_path) == ["other"]


OUTPUTS: dict[str, tuple[list[Outputs], str]] = {
    "identities": ([Outputs(("p1", "p2"))], r"tells 2 classes that are no expressions, such as 'p1'"),
    "one twin": ([VALENCE], r"tells valence, and nothing here tells arousal.*twin"),
    "the same twin twice": ([VALENCE, AROUSAL, VALENCE], r"Several of these checkpoints tell valence"),
    "other classes": ([Outputs(LABELS), Outputs(LABELS[::-1])], r"do not fit each other: labels"),
    "fewer classes": ([Outputs(LABELS), Outputs(LABELS[:2])], r"do not fit each other: labels"),
}


@pytest.mark.parametrize("fault", OUTPUTS)
def test_outputs_that_make_no_head_are_refused(tmp_path: Path, fault: str) -> None:
    outputs, message = OUTPUTS[fault]
    folders = [
        save_network(tmp_path / str(i), settled_network("mini_xception", one, i)) for i, one in enumerate(outputs)
    ]
    with pytest.raises(MienError, match=message):
        export_bundle(folders, tmp_path / "bundle")
    assert "bundle" not in left_in(tmp_path)


def test_without_its_run_a_checkpoint_is_refused_before_work_begins(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin(*_: object) -> bytes:
        raise AssertionError("work has begun")

    monkeypatch.setattr("export.bundle.export_graph", begin)
    with pytest.raises(MienError, match=r"lies in no run.*leave out int8"):
        export_bundle([checkpoint], tmp_path / "bundle", precisions=["fp16", "int8"])
    assert left_in(tmp_path) == []


def test_a_folder_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    for sources in ([tmp_path / "nothing"], []):
        with pytest.raises(MienError, match=r"holds no checkpoint|nothing to export"):
            export_bundle(sources, tmp_path / "bundle")
    assert left_in(tmp_path) == []


# ---- what is there is kept


def test_only_a_bundle_is_replaced(of_twins: Bundle, tmp_path: Path) -> None:
    folder, file = tmp_path / "folder", tmp_path / "file"
    folder.mkdir()
    file.write_text("mine")
    bundle = export_bundle([of_twins.path], folder, name="first")  # an empty folder is no loss
    (folder / "notes.txt").write_text("mine")
    for place, message in ((folder, "holds a bundle and something else.*notes"), (file, "is a file")):
        with pytest.raises(MienError, match=message):
            export_bundle([of_twins.path], place, name="second")
    assert open_bundle(folder).manifest == bundle.manifest
    (folder / "notes.txt").unlink()
    (folder / "manifest.json").write_text(json.dumps({"format": "another"}))
    with pytest.raises(MienError, match="is there and is not a bundle"):
        export_bundle([of_twins.path], folder)
    assert left_in(tmp_path) == ["file", "folder"]


def test_a_full_disk_leaves_the_old_bundle(of_twins: Bundle, tmp_path: Path) -> None:
    folder = export_bundle([of_twins.path], tmp_path / "bundle", name="old").path
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # the network needs more
    try:
        with pytest.raises(MienError, match="cannot be written"):
            export_bundle([of_twins.path], folder, name="new")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert open_bundle(folder).manifest.name == "old"
    assert left_in(tmp_path) == ["bundle"]


def test_a_folder_that_cannot_be_made_is_named(of_twins: Bundle, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MienError, match=r"file.*is a file"):
        export_bundle([of_twins.path], tmp_path / "file" / "bundle")
