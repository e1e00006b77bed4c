"""Images and results of the same stamp find each other."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mien.recording.matching import StampMatcher


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 12)), max_size=60))
def test_pairs_have_equal_stamps_and_every_half_is_paired_or_counted_once(arrivals) -> None:
    matcher = StampMatcher(capacity=100)
    pairs, images, results = [], 0, 0
    seen = set()
    for is_image, stamp in arrivals:
        if (is_image, stamp) in seen:  # a camera does not use a stamp twice
            continue
        seen.add((is_image, stamp))
        images, results = images + is_image, results + (not is_image)
        pair = matcher.add_image(stamp, stamp) if is_image else matcher.add_result(stamp, stamp)
        if pair is not None:
            pairs.append(pair)
    assert all(image == result for image, result in pairs)
    both = {stamp for is_image, stamp in seen if is_image} & {stamp for is_image, stamp in seen if not is_image}
    assert sorted(image for image, _ in pairs) == sorted(both)
    assert matcher.unpaired_images == images - len(pairs)
    assert matcher.unpaired_results == results - len(pairs)


def test_only_the_newest_wait() -> None:
    matcher = StampMatcher(capacity=3)
    for stamp in range(10):
        matcher.add_image(stamp, f"image {stamp}")
    assert matcher.add_result(6, "result") is None
    assert matcher.add_result(7, "result") == ("image 7", "result")
    assert matcher.unpaired_images == 9
    assert matcher.unpaired_results == 1
