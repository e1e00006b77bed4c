"""Plays a video, folder, bag or webcam to the perception node, shows what it reads, and writes that down.

ros2 launch mien_bringup demo.launch.py source:=interview.mp4
"""

import os
from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

HERE = Path(__file__).resolve().parent
OLDER_FAST_DDS = os.environ.get("ROS_DISTRO") in ("humble", "jazzy")
PROFILES_VARIABLE = "FASTRTPS_DEFAULT_PROFILES_FILE" if OLDER_FAST_DDS else "FASTDDS_DEFAULT_PROFILES_FILE"


def generate_launch_description():
    """Return the arguments, the environment and the three nodes."""
    # A profile of the user's own goes first.
    profile = os.environ.get(PROFILES_VARIABLE, str(HERE / "fastdds_large_images.xml"))
    # A webcam's number and an empty text stay text.
    source = ParameterValue(LaunchConfiguration("source"), value_type=str)
    out_dir = ParameterValue(LaunchConfiguration("out_dir"), value_type=str)
    record_video = ParameterValue(LaunchConfiguration("record_video"), value_type=bool)
    return LaunchDescription(
        [
            DeclareLaunchArgument("source", description="video, picture, folder, bag, or webcam (0, 1, …)"),
            DeclareLaunchArgument("out_dir", default_value="out/run", description="folder for what is written down"),
            DeclareLaunchArgument(
                "record_video", default_value="false", description="store pictures too; ask whoever they show"
            ),
            SetEnvironmentVariable(PROFILES_VARIABLE, profile),
            Node(
                package="mien",
                executable="perception",
                name="perception",
                parameters=[str(HERE / "parameters.yaml")],
                output="screen",
            ),
            Node(
                package="mien",
                executable="recorder",
                name="recorder",
                parameters=[{"source": source, "out_dir": out_dir, "record_video": record_video}],
                output="screen",
            ),
            Node(
                package="mien",
                executable="camera",
                name="camera",
                parameters=[{"source": source, "wait_for_subscribers": 1}],
                output="screen",
            ),
        ]
    )
