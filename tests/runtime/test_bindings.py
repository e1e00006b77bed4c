"""Every name of TensorRT that our code and the fake TensorRT use is in the real bindings of three versions.

The bindings are NVIDIA's own; the libraries they are linked to are stubs that export the functions and do nothing.
"""

from __future__ import annotations

import ast
import inspect
import json
import platform
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mien import runtime
from mien.models.archives import extract_from_archive
from mien.models.cache import cache_folder
from mien.models.catalogue import Archive
from tests.runtime import fake_tensorrt, list_bindings

SHA256 = {
    ("10.3.0", 10): "1d6e4cf08ef1f54f6fd44a33cf6b253050af2fc6e9a1d92e40e1436a1d858eb0",
    ("10.3.0", 11): "59ace22d7f2ca1e9dcde2cb0cb5916912cb3cd5a9d72dd7852be0160d9b3a0ee",
    ("10.3.0", 12): "f5c2582aeaa7f5628d2c4d4148a701ebe97be78f7ff3b46a617f0ee0cb5460f2",
    ("10.13.3.9", 10): "3ca2635394789dd62346ff5ee3f02def53cee2cd21247cc342461dc721893a1e",
    ("10.13.3.9", 11): "33aa9d104c04b008871645a97bd8a1a02279cf498d251df5e767d9d5183e0646",
    ("10.13.3.9", 12): "193174cd0aa5ec7d63943d8d3f84ca9ec525477a9db3a9100bf2f77071b3fae8",
    ("10.13.3.9", 13): "90c7d502682d868a918665f1035b4acb07254bcd76cc551febea9a7009ee6269",
    ("11.4.0.106", 10): "d9f927d7337c360c3947d99fc0db17c3b3b935e677237f0475c7b054f28d2540",
    ("11.4.0.106", 11): "e2ab48f316bbff6a7a44a30e94a9ceb0d2cf6645ff39feadecfa68d7cb7a94bf",
    ("11.4.0.106", 12): "6490518c9e072d57e0a815ad80b103596933efe776ffa61766ef31c25dbd8b39",
    ("11.4.0.106", 13): "37bba007c65325087db7409d4ab48e460b4be4abcf99cb3e8b6979642f33c521",
}
"""Of the wheels, by version and Python 3's minor version. TensorRT 10.3 ends at Python 3.12."""
VERSIONS = sorted({version for version, _ in SHA256})
STUB = " ".join(
    f"void *{name}(void) {{ return 0; }}"
    for name in (
        *("createInferBuilder_INTERNAL", "createInferRefitter_INTERNAL", "createInferRuntime_INTERNAL"),
        *("createNvOnnxParser_INTERNAL", "createNvOnnxParserRefitter_INTERNAL", "getNvOnnxParserVersion"),
        *("getPluginRegistry", "getBuilderPluginRegistry", "initLibNvInferPlugins"),
    )
)
IN_THE_PACKAGE = {"__version__"}
"""What tensorrt/__init__.py adds to the binding."""


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A shared library with all functions that a binding wants."""
    library = tmp_path_factory.mktemp("stub") / "stub.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-x", "c", "-", "-o", str(library)], input=STUB, text=True, check=True)
    return library.read_bytes()


@pytest.fixture(scope="module", params=VERSIONS)
def binding(request: pytest.FixtureRequest, stub: bytes, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one version offers, by `list_bindings`."""
    version, python = request.param, sys.version_info.minor
    if platform.machine() != "x86_64" or (version, python) not in SHA256:
        pytest.skip(f"TensorRT {version} has no such wheel for this Python")
    file = cache_folder() / "tests" / f"tensorrt-{version}-cp3{python}.so"
    if not file.is_file():
        archive = Archive("pip", "tensorrt-cu12-bindings", version, SHA256[version, python])
        extract_from_archive(archive, {"tensorrt_bindings/tensorrt.so": file})
    folder = tmp_path_factory.mktemp("binding")
    loaded = folder / "tensorrt.so"  # looks for its libraries beside itself
    loaded.write_bytes(file.read_bytes())
    major = version.partition(".")[0]
    for library in ("nvinfer", "nvonnxparser", "nvinfer_plugin"):
        (folder / f"lib{library}.so.{major}").write_bytes(stub)
    listed = subprocess.run(
        [sys.executable, list_bindings.__file__, str(loaded)], capture_output=True, text=True, check=False, timeout=60
    )
    assert listed.returncode == 0, listed.stderr
    return json.loads(listed.stdout)  # type: ignore[no-any-return]


def signatures(documentation: str) -> list[tuple[list[str], str]]:
    """(parameters, what it returns) of each overload; parameters that may be left out end with "="."""
    found = []
    for line in documentation.splitlines():
        match = re.match(r"(?:\d+\. )?\w+\((?:self: [^,)]+(?:, )?)?(.*)\) -> (.+)$", line)
        if match is not None:
            parts = re.split(r", (?=\w+: )", match[1]) if match[1] else []
            found.append(([part.split(":")[0] + ("=" if " = " in part else "") for part in parts], match[2]))
    return found


def fits(parameters: list[str], real: list[str]) -> bool:
    """Whether a call with these parameters fits a signature."""
    names = [name.rstrip("=") for name in real]
    return names[: len(parameters)] == parameters and all(one.endswith("=") for one in real[len(parameters) :])


def fake_classes() -> Iterator[type]:
    for value in vars(fake_tensorrt).values():
        if inspect.isclass(value) and value.__module__ == fake_tensorrt.__name__ and value is not fake_tensorrt.Faults:
            yield value


def attributes_set(cls: type) -> set[str]:
    """Public attributes that the methods of a class set."""
    nodes = ast.walk(ast.parse(textwrap.dedent(inspect.getsource(cls))))
    stores = (node for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store))
    of_itself = (node.attr for node in stores if isinstance(node.value, ast.Name) and node.value.id == "self")
    return {name for name in of_itself if not name.startswith("_")}


def wrong_method(name: str, function: Any, real: dict[str, Any]) -> str:
    """What is wrong about a method of the fake; empty when nothing is."""
    if name not in real:
        return "is not there"
    found = signatures(real[name])
    if name == "__init__" and not found:
        return ""  # TensorRT makes these objects itself
    parameters = list(inspect.signature(function).parameters)[1:]
    fitting = [returned for real_parameters, returned in found if fits(parameters, real_parameters)]
    if not fitting:
        return f"takes {[one for one, _ in found]}, not {parameters}"
    ours = str(inspect.signature(function).return_annotation)
    if (ours in ("bool", "None")) and ours not in fitting:
        return f"returns {fitting}, not {ours}"
    return ""


def test_the_fake_has_only_what_the_binding_has(binding: dict[str, Any]) -> None:
    wrong = []
    for cls in fake_classes():
        real = binding.get(cls.__name__)
        if real is None:
            wrong.append(f"{cls.__name__} is not there")
            continue
        members = set(getattr(cls, "__members__", {})) | attributes_set(cls)
        wrong += [f"{cls.__name__}.{name} is not there" for name in members - set(real)]
        for name, value in vars(cls).items():
            is_checked = inspect.isfunction(value) and (not name.startswith("_") or name == "__init__")
            if is_checked and (problem := wrong_method(name, value, real)):
                wrong.append(f"{cls.__name__}.{name} {problem}")
            elif isinstance(value, property) and name not in real:
                wrong.append(f"{cls.__name__}.{name} is not there")
    assert wrong == []


def chains(source: str) -> Iterator[list[str]]:
    """The names after `trt` of each expression `trt.a.b.c` or `self._trt.a.b.c`, longest only."""
    tree = ast.parse(source)
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        names: list[str] = []
        here: ast.expr | None = node if isinstance(node, ast.Attribute) and id(node) not in inner else None
        while isinstance(here, ast.Attribute) and here.attr != "_trt":
            names.insert(0, here.attr)
            here = here.value
        is_module = isinstance(here, ast.Attribute) or (isinstance(here, ast.Name) and here.id == "trt")
        if names and is_module:
            yield names


def test_our_code_uses_only_what_the_binding_has(binding: dict[str, Any]) -> None:
    used, wrong = 0, []
    for path in sorted(Path(runtime.__file__).parent.glob("*.py")):
        for names in chains(path.read_text(encoding="utf-8")):
            used += 1
            place: Any = binding
            for name in names:
                known = name in IN_THE_PACKAGE or (isinstance(place, dict) and name in place)
                if not known:
                    wrong.append(f"{path.name}: trt.{'.'.join(names)}")
                    break
                place = place.get(name, {})
    assert wrong == []
    assert used > 10


def test_the_checks_find_what_is_wrong() -> None:
    found = list(chains("x = trt.A.b\nself._trt.C(trt.D.e)\nother.trt_like.f\nself._x.g"))
    assert sorted(found) == [["A", "b"], ["C"], ["D", "e"]]
    documentation = (
        "Overloaded function.\n\n1. f(self: m.C, name: str, shape: List[m.D, int]) -> bool\n\n"
        "2. f(x: int = <E.S: 0>) -> None"
    )
    assert signatures(documentation) == [(["name", "shape"], "bool"), (["x="], "None")]
    real = {"f": documentation}
    assert wrong_method("f", lambda self, name, shape: True, real) == ""
    assert "takes" in wrong_method("f", lambda self, name: True, real)
    assert "takes" in wrong_method("f", lambda self, nome, shape: True, real)

    def returns_nothing(self: Any, name: str, shape: Any) -> None: ...

    assert "returns" in wrong_method("f", returns_nothing, real)
    assert wrong_method("g", returns_nothing, real) == "is not there"
