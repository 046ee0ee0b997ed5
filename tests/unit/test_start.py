"""What the process is like when it starts."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FEW_NEED = {"urllib3", "smtplib", "pygments.lexers.sql", "pgmon.demo", "pgmon.incidents", "bcrypt"}
HEAPS = """
import ctypes, threading
from pgmon.cli import one_heap

one_heap()
together = threading.Barrier(8)

def allocate():
    kept = [bytearray(5000) for _ in range(1000)]
    together.wait()

threads = [threading.Thread(target=allocate) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
out = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, out)
libc.fflush(out)
"""


def said(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_what_few_need_is_not_loaded():
    assert not FEW_NEED & set(said("import sys, pgmon.cli; print(*sys.modules)").split())


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has a heap per thread")
def test_all_threads_share_a_heap():
    assert said(HEAPS).count("<heap nr=") == 1


def test_garbage_is_collected_once_everything_is_loaded():
    code = "import gc, sys; sys.argv[1:] = ['--version']; import atexit; atexit.register(lambda: print(gc.isenabled()))"

    assert said(f"{code}; from pgmon.__main__ import main; main()").split()[-1] == "True"
