"""Pictures from bytes: raw pixels in the encodings of ROS, and JPEG, PNG and other files.

Whatever the bytes are, the answer is a picture or an ImageError. Messages are described by their fields alone, so that
live ones and those read from a bag go through the same code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np

from mien.errors import MienError
from mien.faces.detector import Image

MAXIMUM_PIXELS = 64_000_000
MAXIMUM_SIDE = 32_000  # pixels; OpenCV's warps count in 16 bits
_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"


class ImageError(MienError):
    """An image that cannot be used.

    Attributes:
        reason: why, as a short code to count by: zero_size, too_large, unknown_encoding, bad_size, bad_step,
            short_data, corrupt_image.
    """

    def __init__(self, reason: str, problem: str, remedy: str) -> None:
        super().__init__(problem, remedy)
        self.reason = reason


class ImageFields(Protocol):
    """The fields of sensor_msgs/Image; `data` is any buffer of bytes."""

    width: int
    height: int
    encoding: str
    is_bigendian: int
    step: int
    data: Any


class CompressedImageFields(Protocol):
    """The fields of sensor_msgs/CompressedImage; `data` is any buffer of bytes."""

    format: str
    data: Any


@dataclass(frozen=True)
class _Encoding:
    """Layout of pixels: `code` converts them to BGR, None leaves them; `multiple` is what width and height must be."""

    channels: int
    code: int | None = None
    bytes_per_channel: int = 1
    rows_per_two_lines: int = 2  # 3 where half as many rows of colour follow the grey ones
    multiple: tuple[int, int] = (1, 1)
    minimum: int = 1


_SAMPLES = {
    "mono": _Encoding(1),
    "bgr": _Encoding(3),
    "rgb": _Encoding(3, cv2.COLOR_RGB2BGR),
    "bgra": _Encoding(4, cv2.COLOR_BGRA2BGR),
    "rgba": _Encoding(4, cv2.COLOR_RGBA2BGR),
    # ROS names the first four pixels in reading order, as OpenCV's newer names do; its older two-letter names (BG for
    # RGGB) name the second pair of the second row. OpenCV paints pictures narrower than three pixels black.
    "bayer_rggb": _Encoding(1, cv2.COLOR_BayerRGGB2BGR, minimum=3),
    "bayer_bggr": _Encoding(1, cv2.COLOR_BayerBGGR2BGR, minimum=3),
    "bayer_gbrg": _Encoding(1, cv2.COLOR_BayerGBRG2BGR, minimum=3),
    "bayer_grbg": _Encoding(1, cv2.COLOR_BayerGRBG2BGR, minimum=3),
}
_UYVY = _Encoding(2, cv2.COLOR_YUV2BGR_UYVY, multiple=(2, 1))
_YUYV = _Encoding(2, cv2.COLOR_YUV2BGR_YUY2, multiple=(2, 1))
_ENCODINGS = {
    **{f"{name}8": layout for name, layout in _SAMPLES.items()},
    **{
        f"{name}16": _Encoding(layout.channels, layout.code, 2, minimum=layout.minimum)
        for name, layout in _SAMPLES.items()
    },
    "8UC1": _SAMPLES["mono"],
    "8UC3": _SAMPLES["bgr"],
    "16UC1": _Encoding(1, bytes_per_channel=2),
    "yuv422": _UYVY,
    "uyvy": _UYVY,
    "yuv422_yuy2": _YUYV,
    "yuyv": _YUYV,
    "nv12": _Encoding(1, cv2.COLOR_YUV2BGR_NV12, rows_per_two_lines=3, multiple=(2, 2)),
    "nv21": _Encoding(1, cv2.COLOR_YUV2BGR_NV21, rows_per_two_lines=3, multiple=(2, 2)),
}
ENCODINGS = tuple(_ENCODINGS)


def decode_image(message: ImageFields) -> Image:
    """The picture of a sensor_msgs/Image: uint8, BGR (height, width, 3) or grey (height, width).

    bgr8 and mono8 are views of the message's data: do not draw on them. Of 16 bit samples the high byte is kept
    (65535 becomes 255). YUV is BT.601 with limited range. nv12 and nv21 hold height · 3/2 rows of `step` bytes; rows
    may be padded, and bytes after the last row are ignored.

    Raises:
        ImageError: the fields contradict each other, the encoding is unknown, or the picture is empty or too large.
    """
    width, height, step = message.width, message.height, message.step
    _check_size(width, height)
    layout = _ENCODINGS.get(message.encoding)
    if layout is None:
        raise ImageError(
            "unknown_encoding",
            f"The image has the unknown encoding {message.encoding[:40]!r}",
            f"Let the camera publish one of: {', '.join(ENCODINGS)}",
        )
    if width % layout.multiple[0] or height % layout.multiple[1] or min(width, height) < layout.minimum:
        raise ImageError(
            "bad_size",
            f"The encoding {message.encoding} cannot hold an image of {width}×{height} pixels",
            "Let the camera publish an even size of at least 4×4 pixels",
        )
    row_bytes = width * layout.channels * layout.bytes_per_channel
    if step < row_bytes:
        raise ImageError(
            "bad_step",
            f"The image's step is {step} bytes, but a row of {width} {message.encoding} pixels has {row_bytes}",
            "Mend the camera driver: step is the length of a row in bytes, padding included",
        )
    rows = height * layout.rows_per_two_lines // 2
    if len(message.data) < step * rows:
        raise ImageError(
            "short_data",
            f"The image has {len(message.data)} bytes, but {rows} rows of {step} bytes are {step * rows}",
            "Mend the camera driver, or look for a transport that cuts messages",
        )
    pixels = np.frombuffer(message.data, np.uint8, step * rows).reshape(rows, step)[:, :row_bytes]
    if layout.bytes_per_channel == 2:
        high_byte = 0 if message.is_bigendian else 1
        pixels = np.ascontiguousarray(pixels[:, high_byte::2])
    if layout.channels > 1:
        pixels = pixels.reshape(rows, width, layout.channels)
    return pixels if layout.code is None else np.asarray(cv2.cvtColor(pixels, layout.code), np.uint8)


def decode_compressed(message: CompressedImageFields) -> Image:
    """The picture of a sensor_msgs/CompressedImage with JPEG or PNG data: uint8 BGR (height, width, 3).

    The data decide, not the text in `format`, which drivers fill in many ways.

    Raises:
        ImageError: neither JPEG nor PNG, damaged, cut off, empty or too large.
    """
    data = bytes(message.data)
    if data and not data.startswith((_JPEG, _PNG)):
        kind = message.format.lower()
        if any(name in kind for name in ("jpeg", "jpg", "png")) and "compresseddepth" not in kind:
            raise _corrupt(f"its format is {message.format[:40]!r}, but its data is neither JPEG nor PNG")
        raise ImageError(
            "unknown_encoding",
            f"The compressed image has the unknown format {message.format[:40]!r}",
            "Let the camera publish jpeg or png",
        )
    return decode_picture(data)


def decode_picture(data: bytes) -> Image:
    """The picture in the bytes of a JPEG, PNG, BMP, TIFF or WebP file: uint8 BGR (height, width, 3).

    A JPEG or PNG that declares too many pixels is refused before anything is decoded, and so is a JPEG without its
    end, of which only the upper part could be shown. The orientation noted by a camera is applied.

    Raises:
        ImageError: the bytes are damaged, cut off, empty, too large or of another kind.
    """
    if not data:
        raise ImageError("zero_size", "The image has no data", "Mend or remove what wrote it")
    if data.startswith(_JPEG):
        _check_size(*_jpeg_size(data))
    elif data.startswith(_PNG):
        if len(data) < 24:
            raise _corrupt("it ends within its header")
        _check_size(int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big"))
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise _corrupt(str(error.err or error)) from error
    if picture is None:
        raise _corrupt("it cannot be decoded")
    _check_size(picture.shape[1], picture.shape[0])
    return np.asarray(picture, np.uint8)


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """Width and height from a JPEG's frame header (ITU-T T.81, B.2); raises ImageError if its end is missing."""
    size, position = (0, 0), 2
    while position + 9 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        if marker == 0xDA:  # the picture begins, in which every 0xFF is escaped: this is the real end
            if data.find(b"\xff\xd9", position) < 0:
                raise _corrupt("it is cut off")
            return size
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            size = (
                int.from_bytes(data[position + 7 : position + 9], "big"),
                int.from_bytes(data[position + 5 : position + 7], "big"),
            )
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    raise _corrupt("its JPEG header is damaged or cut off")


def _check_size(width: int, height: int) -> None:
    if width <= 0 or height <= 0:
        raise ImageError("zero_size", f"The image is empty ({width}×{height} pixels)", "Check the camera's settings")
    if width * height > MAXIMUM_PIXELS or max(width, height) > MAXIMUM_SIDE:
        raise ImageError(
            "too_large",
            f"The image has {width}×{height} pixels; allowed are {MAXIMUM_PIXELS} in all and {MAXIMUM_SIDE} a side",
            "Set the camera to a lower resolution",
        )


def _corrupt(problem: str) -> ImageError:
    return ImageError("corrupt_image", f"The image cannot be read: {problem}", "Mend or remove what wrote it")
