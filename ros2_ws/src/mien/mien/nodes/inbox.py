"""Latest frame wins: one slot per camera between the subscriptions and the worker that reads faces."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Arrival:
    """An image message and when it arrived, seconds of the monotonic clock."""

    camera: str
    message: Any
    arrived_s: float = field(default_factory=time.monotonic)

    def age_ms(self) -> float:
        """Milliseconds since it arrived."""
        return (time.monotonic() - self.arrived_s) * 1e3


class Inbox:
    """Holds at most one waiting image per camera. A slow robot drops frames, it never queues them."""

    def __init__(self) -> None:
        self._slots: dict[str, Arrival] = {}
        self._changed = threading.Condition()
        self._closed = False

    def put(self, arrival: Arrival) -> bool:
        """Offer an image; returns whether it replaced one that nobody had taken."""
        with self._changed:
            replaced = arrival.camera in self._slots
            self._slots[arrival.camera] = arrival
            self._changed.notify()
            return replaced

    def take(self) -> dict[str, Arrival]:
        """Wait for images and take those of all cameras, by camera; empty once the inbox is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._slots or self._closed)
            if self._closed:
                return {}
            return self._empty()

    def close(self) -> dict[str, Arrival]:
        """Let `take` return, and hand back the images that nobody took, by camera."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            return self._empty()

    def _empty(self) -> dict[str, Arrival]:
        arrivals, self._slots = self._slots, {}
        return arrivals
