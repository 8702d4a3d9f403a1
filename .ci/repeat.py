"""Run again what has just failed, each test alone in a process of its own. Usage: repeat.py FILE, in the root of a checkout
or in the folder of a plugin.

Exit code 0 if all of them pass now. Those are flaky: their names are added to FILE. Many failures at once are no accident,
and are not repeated.
"""

import json
import subprocess
import sys
from pathlib import Path

MOST = 12


def main() -> int:
    try:
        failed = list(json.loads(Path(".pytest_cache/v/cache/lastfailed").read_text()))
    except (OSError, ValueError):
        return 1  # no test failed: the run itself did
    if not failed or len(failed) > MOST:
        return 1
    for test in failed:
        print(f"FLAKY? {test} is run again, alone", flush=True)
        if subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test]).returncode:
            return 1
    folder = Path.cwd().relative_to(Path(__file__).resolve().parent.parent)
    with open(sys.argv[1], "a") as file:
        file.writelines(f"{sys.version.split()[0]} {folder / test}\n" for test in failed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
