"""Image messages to pictures (see mien.images) and pictures to image messages."""

from __future__ import annotations

import array

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image as ImageMessage
from std_msgs.msg import Header

from mien.faces.detector import Image
from mien.images import ImageError, decode_compressed, decode_image

__all__ = ["ImageError", "decode_compressed", "decode_image", "encode_compressed", "encode_image"]


def encode_image(image: Image, stamp: Time, frame_id: str) -> ImageMessage:
    """A BGR or grey picture as a bgr8 or mono8 message."""
    height, width = image.shape[:2]
    # An array.array is taken as it is; an ndarray or a list would be checked byte by byte, a thousand times slower.
    data = array.array("B")
    data.frombytes(np.ascontiguousarray(image).data)
    return ImageMessage(
        header=Header(stamp=stamp, frame_id=frame_id),
        height=height,
        width=width,
        encoding="mono8" if image.ndim == 2 else "bgr8",
        is_bigendian=0,
        step=image.size // height,
        data=data,
    )


def encode_compressed(image: Image, stamp: Time, frame_id: str, quality: int) -> CompressedImage:
    """A BGR or grey picture as a JPEG message; quality 1 (small) to 100 (best)."""
    data = array.array("B")
    data.frombytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].data)
    return CompressedImage(header=Header(stamp=stamp, frame_id=frame_id), format="jpeg", data=data)
