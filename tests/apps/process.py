# SPDX-License-Identifier: Apache-2.0
"""A server under test as a process: its end, its kernel threads, descriptors and memory, by /proc."""
import asyncio
import collections
import ctypes
import os
import re
import signal
import socket
import subprocess
import tempfile
import time

STOP_S, NAMED_S = 15, 20
PR_SET_PDEATHSIG = 1
TICKS = os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def is_helper(name):
    """Whether a kernel thread of that name is weft's, or the kernel's for io_uring."""
    return name.startswith(("weft", "iou-"))


def end_with_parent():
    """In the child: killed with whoever started it, however that comes."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def clean_environment():
    return {k: v for k, v in os.environ.items()
            if k != "LD_PRELOAD" and not k.startswith("WEFT_") and not k.lower().endswith("_proxy")}


class Running:
    """with Running(command, directory) as server: …; it is killed with its group at the end, if it still runs."""

    def __init__(self, command, place, stdin=None, environment=None):
        self.out, self.err = (tempfile.TemporaryFile() for _ in range(2))
        self.process = subprocess.Popen(command, cwd=place, env=clean_environment() | (environment or {}), stdin=stdin or subprocess.DEVNULL, stdout=self.out,
                                        stderr=self.err, start_new_session=True, preexec_fn=end_with_parent)
        self.proc = f"/proc/{self.process.pid}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.out.close()
        self.err.close()

    def of_threads(self, pid):
        """(name, children) of each kernel thread of that process, the first one's first."""
        for tid in sorted(map(int, os.listdir(f"/proc/{pid}/task")), key=lambda t: (t != int(pid), t)):  # numbers begin anew some time
            try:
                with open(f"/proc/{pid}/task/{tid}/comm") as comm, open(f"/proc/{pid}/task/{tid}/children") as children:
                    yield comm.read().strip(), children.read().split()
            except OSError:
                pass  # it ended meanwhile

    def threads(self, pid=None):
        """The names of all kernel threads of it and its children, and theirs, a list a process."""
        try:
            threads = list(self.of_threads(pid or self.process.pid))
        except OSError:
            return []
        return [[name for name, _ in threads], *(names for _, children in threads for child in children for names in self.threads(child))]

    def strangers(self, known=()):
        """Kernel threads that are neither a process's first nor weft's nor known. One that has just begun has not got its name yet."""
        deadline = time.monotonic() + NAMED_S
        while (found := [name for names in self.threads() for name in names[1:] if not is_helper(name) and name not in known]) and time.monotonic() < deadline:
            time.sleep(0.01)
        return found

    def descriptors(self):
        return len(os.listdir(f"{self.proc}/fd"))

    def status(self, name):
        with open(f"{self.proc}/status") as status:
            return int(re.search(rf"^{name}:\s+(\d+)", status.read(), re.M)[1])

    def resident(self):
        return self.status("VmRSS")

    def peak(self):
        return self.status("VmHWM")

    def cpu(self):
        with open(f"{self.proc}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return sum(map(int, fields[11:13])) / TICKS

    async def accepts(self, port, limit_s):
        deadline = time.monotonic() + limit_s
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"nobody accepts on port {port}") from None
                await asyncio.sleep(0.02)

    async def calm(self, descriptors, limit_s):
        """Waits until no more descriptors than that are open; how many are beyond them."""
        deadline = time.monotonic() + limit_s
        while (more := self.descriptors() - descriptors) > 0:
            if time.monotonic() > deadline:
                names = dict(collections.Counter(os.readlink(f"{self.proc}/fd/{n}").split("[")[0] for n in os.listdir(f"{self.proc}/fd")))
                raise RuntimeError(f"{more} descriptors beyond {descriptors} stay open: {names}")
            await asyncio.sleep(0.05)
        return more

    async def stop(self):
        self.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_S
        while self.process.poll() is None:
            if time.monotonic() > deadline:
                raise RuntimeError(f"still there {STOP_S} s after SIGTERM")
            await asyncio.sleep(0.02)
        self.out.seek(0)
        return self.process.returncode, self.out.read()

    def state(self):
        """For a message about a failure."""
        text = f"exit status {self.process.poll()}"
        if self.process.returncode is None:
            text += f", kernel threads {[dict(collections.Counter(names)) for names in self.threads()]}, {self.descriptors()} descriptors, {self.resident()} KiB, {self.cpu()} s"
        for name, file in (("output", self.out), ("messages", self.err)):
            file.seek(0)
            text += f"\n{name}: {file.read()[-1500:].decode(errors='replace')}"
        return text
