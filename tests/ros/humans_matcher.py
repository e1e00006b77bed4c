"""Says on /humans/candidate_matches again and again what a file says: face, person, confidence; needs hri_msgs."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from hri_msgs.msg import IdsMatch
from rclpy.node import Node

from mien.nodes.running import run


class Matcher(Node):
    """Publishes what the file that the command line names says at that time."""

    def __init__(self) -> None:
        super().__init__("humans_matcher")
        publisher = self.create_publisher(IdsMatch, "/humans/candidate_matches", 10)

        def say() -> None:
            face, person, confidence = Path(sys.argv[1]).read_text().split()
            kinds = {"id1_type": IdsMatch.PERSON, "id2_type": IdsMatch.FACE}
            publisher.publish(IdsMatch(id1=person, id2=face, confidence=float(confidence), **kinds))

        self.create_timer(0.1, say)


if __name__ == "__main__":
    sys.exit(run(Matcher, start=lambda node: None, stop=lambda node: None, done=threading.Event()))
