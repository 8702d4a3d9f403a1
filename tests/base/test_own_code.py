"""What is told to be memkit's own code."""

import os
import subprocess
import sys

import memkit
from memkit.base import own_code
from memkit.record import recorder


def test_the_files_of_the_package_are_its_own():
    assert own_code.is_own(recorder.__file__)
    assert own_code.is_own(memkit.__file__)
    assert not own_code.is_own(__file__)
    assert not own_code.is_own(own_code.PACKAGE.rstrip(os.sep) + "_plugin.py")


def test_a_file_of_another_installation_is_told_by_its_folder():
    assert own_code.starts_a_program("/opt/venv/lib/memkit/start.py")
    assert own_code.starts_a_program("memkit/run/bootstrap.py")
    assert own_code.starts_a_program("C:\\lib\\memkit\\run\\bootstrap.py")
    assert not own_code.starts_a_program("/opt/memkit.py")
    assert not own_code.starts_a_program("/srv/memkit/manage.py")
    assert not own_code.starts_a_program("/opt/memkit_plugin/start.py")


def test_the_modules_that_begin_and_end_a_recording_cannot_be_interrupted(native_only):
    text = "import memkit.record.recorder, memkit.tracing.session, memkit.record.event_log\n"
    text += "from memkit.base import own_code\nprint(*sorted(own_code.uninterruptible), sep='\\n')"
    run = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert [path.removeprefix(own_code.PACKAGE) for path in run.stdout.split()] == [
        "model/file_format.py",
        "record/active.py",
        "record/child_process.py",
        "record/event_log.py",
        "record/files.py",
        "record/header.py",
        "record/recorder.py",
        "record/spans.py",
        "tracing/functions.py",
        "tracing/last_calls.py",
        "tracing/new_threads.py",
        "tracing/session.py",
        "tracing/tracers.py",
    ]
