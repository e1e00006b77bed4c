"""Says on /humans/candidate_matches again and again who a face is: face, person, confidence; runs where hri_msgs is."""

from __future__ import annotations

import sys
import threading

from hri_msgs.msg import IdsMatch
from rclpy.node import Node

from mien.nodes.running import run


class Matcher(Node):
    """Publishes what the command line names."""

    def __init__(self) -> None:
        super().__init__("humans_matcher")
        face, person, confidence = sys.argv[1:4]
        match = IdsMatch(
            id1=person, id1_type=IdsMatch.PERSON, id2=face, id2_type=IdsMatch.FACE, confidence=float(confidence)
        )
        publisher = self.create_publisher(IdsMatch, "/humans/candidate_matches", 10)
        self.create_timer(0.1, lambda: publisher.publish(match))


if __name__ == "__main__":
    sys.exit(run(Matcher, start=lambda node: None, stop=lambda node: None, done=threading.Event()))
