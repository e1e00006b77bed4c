"""Reads faces in a robot's camera images.

ros2 launch mien_bringup robot.launch.py image:=/camera/color/image_raw
"""

import os
from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

HERE = Path(__file__).resolve().parent
OLDER_FAST_DDS = os.environ.get("ROS_DISTRO") in ("humble", "jazzy")
PROFILES_VARIABLE = "FASTRTPS_DEFAULT_PROFILES_FILE" if OLDER_FAST_DDS else "FASTDDS_DEFAULT_PROFILES_FILE"


def perception(context):
    """Return the node, with what the command line names set over what the parameters file says."""
    image = LaunchConfiguration("image").perform(context)
    overrides = {name: LaunchConfiguration(name).perform(context) for name in ("bundle", "backend", "people_folder")}
    overrides = {name: value for name, value in overrides.items() if value}
    if image:
        overrides["image_topics"] = image.split(",")
    return [
        Node(
            package="mien",
            executable="perception",
            name="perception",
            namespace=LaunchConfiguration("namespace"),
            parameters=[LaunchConfiguration("parameters_file"), overrides],
            output="screen",
        )
    ]


def generate_launch_description():
    """Return the arguments, the environment and the node."""
    # A profile of the user's own goes first.
    profile = os.environ.get(PROFILES_VARIABLE, str(HERE / "fastdds_large_images.xml"))
    large_images = IfCondition(LaunchConfiguration("large_images"))
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "image", default_value="", description="camera topics, joined by commas; empty: the file's"
            ),
            DeclareLaunchArgument("bundle", default_value="", description="folder or .zip; empty: the file's"),
            DeclareLaunchArgument(
                "backend", default_value="", description="onnxruntime, tensorrt …; empty: the file's"
            ),
            DeclareLaunchArgument(
                "people_folder", default_value="", description="for what is learned of people; empty: the file's"
            ),
            DeclareLaunchArgument("namespace", default_value="", description="namespace of the node and its topics"),
            DeclareLaunchArgument(
                "parameters_file", default_value=str(HERE / "parameters.yaml"), description="parameters of the node"
            ),
            DeclareLaunchArgument(
                "large_images",
                default_value="true",
                description="give Fast DDS room for images; the camera driver's process needs the profile too",
            ),
            SetEnvironmentVariable(PROFILES_VARIABLE, profile, condition=large_images),
            OpaqueFunction(function=perception),
        ]
    )
