"""Locking a file without compiled code; see ``memkit.native.descriptors``."""


def lock(fd: int, alone: bool) -> bool:
    """Lock a file, alone or with others; False where somebody else has it. Where there are no locks nobody has."""
    try:
        import fcntl

        fcntl.flock(fd, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):  # Windows, or a file system that has none
        return True
    return True
