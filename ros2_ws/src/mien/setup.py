"""Installs mien as a ROS 2 package (colcon, ament_python). Its Python dependencies stand in the root's pyproject."""

from setuptools import find_packages, setup

setup(
    name="mien",
    version="0.1.0",
    packages=find_packages(include=["mien", "mien.*"]),
    package_data={"mien": ["**/*.json", "**/*.md", "**/*.onnx", "**/*.safetensors"]},
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/mien"]),
        ("share/mien", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    zip_safe=False,
    entry_points={
        "console_scripts": [
            "camera = mien.nodes.camera:main",
            "perception = mien.nodes.perception:main",
            "recorder = mien.nodes.recorder:main",
        ]
    },
)
