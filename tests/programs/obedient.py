"""Does what its standard input says, a line at a time, and says when it is done."""

import mmap
import os
import subprocess
import sys
import time

MIB = 1 << 20


def touched(megabytes):
    private = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}
    memory = mmap.mmap(-1, megabytes * MIB, **private)
    memory[:: mmap.PAGESIZE] = b"x" * (len(memory) // mmap.PAGESIZE)
    return memory


kept = []
print("done", flush=True)
for line in sys.stdin:
    command, *words = line.split()
    if command == "take":
        kept.append(touched(int(words[0])))
    elif command == "spike":
        touched(int(words[0])).close()
    elif command == "wait":
        time.sleep(float(words[0]))
    elif command == "exec":
        os.execv(sys.executable, [sys.executable, *sys.argv])
    elif command == "start":
        kept.append(subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        kept[-1].stdout.readline()
    elif command == "tell":
        kept[-1].stdin.write(" ".join(words).encode() + b"\n")
        kept[-1].stdin.flush()
        kept[-1].stdout.readline()
    elif command == "forget_peak":
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    elif command == "exit":
        os._exit(int(words[0]))
    print("done", flush=True)
