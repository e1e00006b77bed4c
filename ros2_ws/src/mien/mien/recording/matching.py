"""Pairs images with their results, which arrive on two topics and in either order."""

from __future__ import annotations

from typing import Generic, TypeVar

ImageHalf = TypeVar("ImageHalf")
ResultHalf = TypeVar("ResultHalf")


class StampMatcher(Generic[ImageHalf, ResultHalf]):
    """Holds the newest unpaired images and results until the other half with the same stamp comes.

    Args:
        capacity: how many of each may wait; the oldest goes first.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._images: dict[int, ImageHalf] = {}
        self._results: dict[int, ResultHalf] = {}
        self._given_up_images = self._given_up_results = 0

    @property
    def unpaired_images(self) -> int:
        """Images whose result has not come."""
        return self._given_up_images + len(self._images)

    @property
    def unpaired_results(self) -> int:
        """Results whose image has not come."""
        return self._given_up_results + len(self._results)

    def add_image(self, stamp_ns: int, image: ImageHalf) -> tuple[ImageHalf, ResultHalf] | None:
        """Returns the pair if its result was waiting."""
        if stamp_ns in self._results:
            return image, self._results.pop(stamp_ns)
        self._images[stamp_ns] = image
        if len(self._images) > self._capacity:
            del self._images[next(iter(self._images))]
            self._given_up_images += 1
        return None

    def add_result(self, stamp_ns: int, result: ResultHalf) -> tuple[ImageHalf, ResultHalf] | None:
        """Returns the pair if its image was waiting."""
        if stamp_ns in self._images:
            return self._images.pop(stamp_ns), result
        self._results[stamp_ns] = result
        if len(self._results) > self._capacity:
            del self._results[next(iter(self._results))]
            self._given_up_results += 1
        return None
