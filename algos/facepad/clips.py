"""Clips: from video files and folders of pictures, and into video files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from sim.errors import InputError

PICTURES = (".png", ".jpg", ".jpeg", ".bmp")
"""Suffixes of the frames of a clip that is a folder."""
VIDEOS = (".mp4", ".avi", ".mov", ".mkv")


def read_clip(path: str | Path, least: int = 1) -> np.ndarray:
    """All frames, RGB, uint8 [frames, H, W, 3].

    Args:
        path: a video file, or a folder of pictures of one size in the order of their names.
        least: frames that it must have; 2 for motion.

    Raises:
        InputError: no such file, no codec for it, too few frames, or pictures of several sizes.
    """
    path = Path(path)
    if not path.exists():
        raise InputError("clip", str(path), "no such file", "give a video or a folder of pictures")
    frames = _pictures(path) if path.is_dir() else _video(path)
    if len(frames) < least:
        raise InputError(
            "clip", str(path), f"has {len(frames)} frames", f"give at least {least}: motion is between two"
        )
    if len({frame.shape for frame in frames}) > 1:
        raise InputError("clip", str(path), "has frames of several sizes", "resize them to one")
    return np.stack(frames)


def write_clip(path: str | Path, frames: np.ndarray, rate: float = 25, codec: str = "MJPG") -> None:
    """A video file of RGB frames, uint8 [frames, H, W, 3].

    Raises:
        InputError: OpenCV cannot write this codec into this kind of file.
    """
    import cv2

    height, width = frames.shape[1:3]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), rate, (width, height))
    if not writer.isOpened():
        raise InputError("codec", codec, f"OpenCV writes no {Path(path).name} with it", "use MJPG in .avi")
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()


def _pictures(folder: Path) -> list[np.ndarray]:
    names = sorted(name for name in folder.iterdir() if name.suffix.lower() in PICTURES)
    if not names:
        raise InputError("clip", str(folder), "holds no pictures", f"give {', '.join(PICTURES)}")
    return [np.asarray(Image.open(name).convert("RGB")) for name in names]


def _video(path: Path) -> list[np.ndarray]:
    import cv2

    capture, frames = cv2.VideoCapture(str(path)), []
    while (found := capture.read())[0]:
        frames.append(np.ascontiguousarray(found[1][..., ::-1]))
    capture.release()
    if not frames:
        raise InputError(
            "clip",
            str(path),
            "OpenCV decodes no frame of it: another format, or a codec that this build lacks",
            "convert it to H.264 in .mp4 or MJPG in .avi, or give a folder of pictures",
        )
    return frames
