"""What recordings that were made before have otherwise: here, and nowhere else, is it turned into what they have now."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from memkit.model.limit_events import Frame

_AROUND_THE_PROGRAM = ("/memkit/run/execute.py", "/memkit/run/bootstrap.py", "/memkit/script.py", "/memkit/start.py")


def the_programs(frames: tuple[Frame, ...]) -> tuple[Frame, ...]:
    """Frames without those of ``memkit-run`` around the program, where the first row has no ``package``."""
    for place, frame in enumerate(frames):
        if frame.file.replace("\\", "/").endswith(_AROUND_THE_PROGRAM):
            return frames[:place] or frames
    return frames
