"""The fake pycuda has only what pycuda has, by pycuda's own source: pycuda itself is built with nvcc."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from mien.models.archives import extract_from_archive
from mien.models.cache import cache_folder
from mien.models.catalogue import Archive

# The first time pip fetches it, and for that what a source archive says it needs.
pytestmark = pytest.mark.timeout(600)

VERSION = "2026.1"
SHA256 = "759516160628ba06f32ce7e563e3f5b9214691dc9528a03ea99ea1073f4e14ba"
FAKE = Path(__file__).with_name("fake_pycuda.py")


@pytest.fixture(scope="module")
def source() -> str:
    """What makes `pycuda.driver`, in C++."""
    file = cache_folder() / "tests" / f"pycuda-{VERSION}.cpp"
    if not file.is_file():
        archive = Archive("pip", "pycuda", VERSION, SHA256, is_source=True)
        extract_from_archive(archive, {f"pycuda-{VERSION}/src/wrapper/wrap_cudadrv.cpp": file})
    return file.read_text("utf-8")


def methods_of(source: str) -> dict[str, set[str]]:
    """Methods and properties by the class's name."""
    found = {}
    for block in re.split(r"py::class_<", source)[1:]:
        name = re.search(r'\(\s*"(\w+)"', block)
        if name is not None:
            found[name[1]] = set(re.findall(r'(?:\.def\(|add_property\(|DEF_SIMPLE_METHOD\()"?(\w+)', block))
    return found


def functions_of(source: str) -> dict[str, list[str]]:
    """Names of the arguments, where the source has them, by the function's name."""
    found: dict[str, list[str]] = {name: [] for name in re.findall(r"DEF_SIMPLE_FUNCTION\((\w+)\)", source)}
    for name, rest in re.findall(r'py::def\("(\w+)",(.*?);', source, re.DOTALL):
        listed = re.findall(r"py::args?\(([^)]*)\)", rest)
        found[name] = re.findall(r'"(\w+)"', " ".join(listed))
    return found


def fake() -> tuple[dict[str, ast.ClassDef], ast.ClassDef]:
    """The classes of the fake, by the names that its `driver` gives them, and `driver` itself."""
    classes = {one.name: one for one in ast.parse(FAKE.read_text("utf-8")).body if isinstance(one, ast.ClassDef)}
    driver = classes["driver"]
    named = [one for one in driver.body if isinstance(one, ast.Assign)]
    return {ast.unparse(one.targets[0]): classes[ast.unparse(one.value)] for one in named}, driver


def test_classes_have_only_what_pycudas_have(source: str) -> None:
    classes, _ = fake()
    real = methods_of(source)
    assert {"Device", "Context", "Stream", "DeviceAllocation"} < set(classes)
    assert re.search(r"DECLARE_EXC\(Error,", source)
    for name in classes.keys() - {"Error"}:
        functions = {one.name for one in classes[name].body if isinstance(one, ast.FunctionDef)}
        attributes = {
            node.attr
            for node in ast.walk(classes[name])
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
        }
        ours = {one for one in functions | attributes if not one.startswith("_")} | (functions & {"__int__"})
        assert ours <= real[name], name


def test_functions_take_what_pycudas_take(source: str) -> None:
    _, driver = fake()
    real = functions_of(source)
    functions = [one for one in driver.body if isinstance(one, ast.FunctionDef)]
    assert len(functions) > 5
    for function in functions:
        assert function.name in real
        ours = [argument.arg for argument in function.args.args]
        named = real[function.name]
        assert not named or ours == named[: len(ours)], function.name


def test_the_version_is_the_one_that_is_installed() -> None:
    assert f'VERSION_TEXT = "{VERSION}"' in FAKE.read_text("utf-8")
    assert f'"pycuda=={VERSION}"' in (FAKE.parents[2] / "pyproject.toml").read_text("utf-8")


def test_the_checks_find_what_is_wrong() -> None:
    source = (
        'py::class_<cl, x>("A", py::no_init)\n .DEF_SIMPLE_METHOD(b)\n .def("c", &cl::c)\n .add_property("d", &cl::d);'
        'py::def("e", e_wrap, (py::args("x"), py::arg("y")=py::object()));\n DEF_SIMPLE_FUNCTION(f);'
    )
    assert methods_of(source) == {"A": {"b", "c", "d"}}
    assert functions_of(source) == {"e": ["x", "y"], "f": []}
