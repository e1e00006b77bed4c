"""Every encoding gives the colours it says; whatever is wrong with a message is an ImageError with its reason."""

from __future__ import annotations

import array
import struct
import zlib

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from hypothesis import given, settings
from hypothesis import strategies as st
from sensor_msgs.msg import CompressedImage, Image

from mien.images import ENCODINGS, MAXIMUM_PIXELS
from mien.nodes.images import ImageError, decode_compressed, decode_image, encode_compressed, encode_image

RNG = np.random.default_rng(7)
PICTURE = RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8)
GREY = RNG.integers(0, 256, (6, 8), dtype=np.uint8)
REASONS = {"zero_size", "too_large", "unknown_encoding", "bad_size", "bad_step", "short_data", "corrupt_image"}


def message(encoding, samples, width=None, height=None, padding=0, big_endian=0):
    """An Image message whose rows are the rows of `samples`, each followed by `padding` bytes."""
    rows = samples.reshape(samples.shape[0], -1).view(np.uint8)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=0xA5)
    return Image(
        height=height or samples.shape[0],
        width=width or samples.shape[1],
        encoding=encoding,
        step=rows.shape[1],
        is_bigendian=big_endian,
        data=array.array("B", rows.tobytes()),
    )


def reason_of(decode, broken):
    with pytest.raises(ImageError) as error:
        decode(broken)
    assert error.value.remedy
    return error.value.reason


def outcome(decode, any_message):
    """The picture, or the reason why there is none."""
    try:
        return decode(any_message)
    except ImageError as error:
        return error.reason


def with_alpha(picture):
    return np.dstack([picture, np.full(picture.shape[:2], 9, np.uint8)])


EIGHT_BIT = {
    "bgr8": (PICTURE, PICTURE),
    "8UC3": (PICTURE, PICTURE),
    "rgb8": (PICTURE[..., ::-1].copy(), PICTURE),
    "bgra8": (with_alpha(PICTURE), PICTURE),
    "rgba8": (with_alpha(PICTURE[..., ::-1]), PICTURE),
    "mono8": (GREY, GREY),
    "8UC1": (GREY, GREY),
}


@pytest.mark.parametrize("padding", [0, 1, 5])
@pytest.mark.parametrize("encoding", EIGHT_BIT)
def test_8_bit_encodings_keep_every_pixel(encoding, padding):
    samples, expected = EIGHT_BIT[encoding]
    np.testing.assert_array_equal(decode_image(message(encoding, samples, padding=padding)), expected)


@pytest.mark.parametrize("big_endian", [0, 1])
@pytest.mark.parametrize("padding", [0, 2, 3])
@pytest.mark.parametrize("encoding", ["mono16", "16UC1", "bgr16", "rgb16", "bgra16", "rgba16"])
def test_16_bit_encodings_keep_the_high_byte(encoding, padding, big_endian):
    samples, expected = EIGHT_BIT["mono8" if encoding == "16UC1" else encoding.replace("16", "8")]
    wide = samples.astype(np.uint16) * 256 + RNG.integers(0, 256, samples.shape, dtype=np.uint16)
    wide = wide.astype(">u2" if big_endian else "<u2")
    np.testing.assert_array_equal(
        decode_image(message(encoding, wide, padding=padding, big_endian=big_endian)), expected
    )


@pytest.mark.parametrize("encoding", ["bgr8", "mono8"])
def test_bgr8_and_mono8_are_views_of_the_message(encoding):
    sent = message(encoding, EIGHT_BIT[encoding][0], padding=3)
    assert np.shares_memory(decode_image(sent), np.frombuffer(sent.data, np.uint8))


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_bayer_mosaic_gives_back_its_colours(pattern, depth):
    """Two halves of one colour each; away from the border between them, any demosaicing must be exact."""
    left, right = (20, 90, 220), (200, 140, 60)
    picture = np.empty((16, 24, 3), np.uint8)
    picture[:, :12], picture[:, 12:] = left, right
    mosaic = np.empty((16, 24), np.uint8)
    for i, colour in enumerate(pattern):  # the first four pixels in reading order
        row, column = divmod(i, 2)
        mosaic[row::2, column::2] = picture[row::2, column::2, "bgr".index(colour)]
    samples = mosaic if depth == 8 else mosaic.astype("<u2") * 256 + 255
    decoded = decode_image(message(f"bayer_{pattern}{depth}", samples))
    assert (decoded[:, :10] == left).all()
    assert (decoded[:, 14:] == right).all()


def bt601(y, u, v):
    """BGR of limited-range BT.601."""
    y, u, v = 1.164 * (y - 16), u - 128.0, v - 128.0
    return np.clip([y + 2.018 * u, y - 0.813 * v - 0.391 * u, y + 1.596 * v], 0, 255)


@pytest.mark.parametrize("padding", [0, 6])
@pytest.mark.parametrize("encoding", ["yuv422", "uyvy", "yuv422_yuy2", "yuyv", "nv12", "nv21"])
def test_yuv_colours(encoding, padding):
    y, u, v = 120, 90, 180
    width, height = 8, 6
    if encoding.startswith("nv"):
        colour = [u, v] if encoding == "nv12" else [v, u]
        samples = np.full((height * 3 // 2, width), y, np.uint8)
        samples[height:] = np.tile(colour, width // 2)
    else:
        pair = [u, y, v, y] if encoding in ("yuv422", "uyvy") else [y, u, y, v]
        samples = np.tile(np.array(pair, np.uint8), (height, width // 2))
    decoded = decode_image(message(encoding, samples, width=width, height=height, padding=padding))
    assert decoded.shape == (height, width, 3)
    np.testing.assert_allclose(decoded, np.broadcast_to(bt601(y, u, v), decoded.shape), atol=2)


def test_every_encoding_is_covered_here():
    covered = {*EIGHT_BIT, "mono16", "16UC1", "bgr16", "rgb16", "bgra16", "rgba16", "yuv422", "uyvy", "yuv422_yuy2"}
    covered |= {"yuyv", "nv12", "nv21"} | {f"bayer_{p}{d}" for p in ("rggb", "bggr", "gbrg", "grbg") for d in (8, 16)}
    assert covered == set(ENCODINGS)


def test_1x1_and_8k_images():
    assert decode_image(message("bgr8", np.full((1, 1, 3), 7, np.uint8))).shape == (1, 1, 3)
    big = encode_image(np.zeros((4320, 7680, 3), np.uint8), Time(), "")
    assert decode_image(big).shape == (4320, 7680, 3)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"width": 0}, "zero_size"),
        ({"height": 0}, "zero_size"),
        ({"width": 4_000_000_000, "height": 4_000_000_000}, "too_large"),
        ({"width": MAXIMUM_PIXELS // 10, "height": 10}, "too_large"),
        ({"width": 8001, "height": 8001}, "too_large"),
        ({"encoding": "bgr9"}, "unknown_encoding"),
        ({"encoding": ""}, "unknown_encoding"),
        ({"encoding": "32FC1"}, "unknown_encoding"),
        ({"step": 23}, "bad_step"),
        ({"step": 0}, "bad_step"),
        ({"step": 25}, "short_data"),
        ({"data": array.array("B")}, "short_data"),
        ({"data": array.array("B", bytes(143))}, "short_data"),
        ({"encoding": "nv12", "width": 7}, "bad_size"),
        ({"encoding": "nv12", "height": 5}, "bad_size"),
        ({"encoding": "yuyv", "width": 7}, "bad_size"),
        ({"encoding": "bayer_rggb8", "width": 2}, "bad_size"),
        ({"encoding": "nv12", "step": 24, "height": 6}, "short_data"),
    ],
)
def test_contradicting_fields_are_refused_with_their_reason(changes, reason):
    broken = message("bgr8", PICTURE)
    for field, value in changes.items():
        setattr(broken, field, value)
    assert reason_of(decode_image, broken) == reason


def test_bytes_after_the_last_row_are_ignored():
    longer = message("bgr8", PICTURE)
    longer.data.frombytes(b"trailer")
    np.testing.assert_array_equal(decode_image(longer), PICTURE)


@settings(max_examples=300, deadline=None)
@given(
    width=st.integers(0, 40) | st.integers(0, 2**32 - 1),
    height=st.integers(0, 40) | st.integers(0, 2**32 - 1),
    extra=st.integers(-3, 40) | st.integers(0, 2**31),
    encoding=st.sampled_from(ENCODINGS) | st.text(max_size=60),
    big_endian=st.integers(0, 255),
    data=st.binary(max_size=64),
    repeat=st.integers(0, 400),
)
def test_any_image_message_gives_a_picture_or_an_image_error(width, height, extra, encoding, big_endian, data, repeat):
    step = min(max(width + extra, 0), 2**32 - 1)
    any_message = Image(
        width=width,
        height=height,
        step=step,
        encoding=encoding,
        is_bigendian=big_endian,
        data=array.array("B", data * repeat),
    )
    result = outcome(decode_image, any_message)
    if not isinstance(result, str):
        assert result.shape[:2] == (height, width)
        assert result.dtype == np.uint8
    else:
        assert result in REASONS


SMOOTH = cv2.resize(PICTURE, (80, 60), interpolation=cv2.INTER_CUBIC)


def encoded(suffix, picture=SMOOTH):
    return cv2.imencode(suffix, picture)[1].tobytes()


def compressed(data, kind="jpeg"):
    return CompressedImage(format=kind, data=array.array("B", data))


@pytest.mark.parametrize("kind", ["png", "bgr8; png compressed bgr8", "jpeg", ""])
def test_png_is_exact_whatever_the_format_says(kind):
    np.testing.assert_array_equal(decode_compressed(compressed(encoded(".png"), kind)), SMOOTH)


@pytest.mark.parametrize("kind", ["jpeg", "jpg", "bgr8; jpeg compressed bgr8", "rgb8; jpeg compressed bgr8", ""])
def test_jpeg_is_close_whatever_the_format_says(kind):
    decoded = decode_compressed(compressed(encoded(".jpg"), kind))
    assert np.abs(decoded.astype(int) - SMOOTH).mean() < 5


def test_grey_jpeg_becomes_bgr():
    assert decode_compressed(compressed(encoded(".jpg", SMOOTH[..., 0]))).shape == SMOOTH.shape


@pytest.mark.parametrize("padding", [b"", bytes(4000)])
@pytest.mark.parametrize("part", [0.05, 0.5, 0.99])
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_cut_off_data_is_refused(suffix, part, padding):
    """OpenCV alone would show the upper part of a cut JPEG that is padded with zeros."""
    data = encoded(suffix)
    cut = data[: int(len(data) * part)] + padding
    assert reason_of(decode_compressed, compressed(cut)) == "corrupt_image"


def test_padding_after_a_whole_jpeg_is_allowed():
    assert decode_compressed(compressed(encoded(".jpg") + bytes(100))).shape == SMOOTH.shape


@pytest.mark.parametrize(
    ("data", "kind", "reason"),
    [
        (b"", "jpeg", "zero_size"),
        (b"hello", "jpeg", "corrupt_image"),
        (b"hello", "h264", "unknown_encoding"),
        (bytes(12) + encoded(".png"), "16UC1; compressedDepth png", "unknown_encoding"),
        (b"\xff\xd8\xff", "jpeg", "corrupt_image"),
        (b"\x89PNG\r\n\x1a\n", "png", "corrupt_image"),
        (encoded(".jpg")[:3] + b"\x00" * 50, "jpeg", "corrupt_image"),
    ],
)
def test_bad_compressed_data_is_refused_with_its_reason(data, kind, reason):
    assert reason_of(decode_compressed, compressed(data, kind)) == reason


def png_declaring(width, height):
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )


def jpeg_declaring(width, height):
    data = encoded(".jpg")
    start = data.index(b"\xff\xc0")
    return data[: start + 5] + struct.pack(">HH", height, width) + data[start + 9 :]


@pytest.mark.parametrize("declaring", [png_declaring, jpeg_declaring])
@pytest.mark.parametrize(
    ("width", "height", "reason"), [(60000, 60000, "too_large"), (8001, 8001, "too_large"), (0, 10, "zero_size")]
)
def test_declared_size_is_checked_before_anything_is_decoded(declaring, width, height, reason, monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    assert reason_of(decode_compressed, compressed(declaring(width, height))) == reason


@settings(max_examples=150, deadline=None)
@given(
    suffix=st.sampled_from([".jpg", ".png"]),
    cut=st.floats(0, 1),
    damage=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=8),
    kind=st.sampled_from(["jpeg", "png", "x"]),
)
def test_any_damage_gives_a_picture_or_an_image_error(suffix, cut, damage, kind):
    data = bytearray(encoded(suffix, PICTURE))
    for place, value in damage:
        data[int(place * len(data))] = value
    result = outcome(decode_compressed, compressed(bytes(data[: int(cut * len(data))]), kind))
    assert result in REASONS if isinstance(result, str) else result.ndim == 3


@pytest.mark.parametrize("picture", [PICTURE, GREY, PICTURE[:, ::2], np.zeros((1, 1, 3), np.uint8)])
def test_encode_image_round_trip(picture):
    sent = encode_image(picture, Time(sec=3, nanosec=4), "left_eye")
    assert (sent.header.stamp.sec, sent.header.stamp.nanosec, sent.header.frame_id) == (3, 4, "left_eye")
    assert sent.step * sent.height == len(sent.data)
    np.testing.assert_array_equal(decode_image(sent), picture)


def test_encode_compressed_round_trip_and_quality():
    best, small = (encode_compressed(SMOOTH, Time(sec=1), "eye", quality) for quality in (95, 10))
    assert best.format == "jpeg"
    assert best.header.frame_id == "eye"
    assert len(small.data) < len(best.data)
    assert np.abs(decode_compressed(best).astype(int) - SMOOTH).mean() < 3
