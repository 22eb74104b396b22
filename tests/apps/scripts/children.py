# SPDX-License-Identifier: Apache-2.0
"""subprocess, os.fork, multiprocessing: children that are preloaded too, and their pipes."""
import multiprocessing
import os
import subprocess
import sys
import threading
import time

print("run", subprocess.run(["/bin/sh", "-c", "cat; exit 3"], input=b"through a pipe", capture_output=True))
start = time.monotonic()
try:
    subprocess.run(["/bin/sleep", "10"], timeout=0.3)
except subprocess.TimeoutExpired:
    print("timeout", 0.29 <= time.monotonic() - start < 2)

with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
    payload = b"0123456789" * 100_000
    output, _ = child.communicate(payload)
    print("communicate", output == payload, child.returncode)

start = time.monotonic()
children = [subprocess.Popen(["/bin/sleep", "0.3"]) for _ in range(10)]
print("together", {child.wait() for child in children}, time.monotonic() - start < 1.5)

code = "import time, socket; a, b = socket.socketpair(); time.sleep(0.05); a.send(b'x'); print('child', b.recv(1))"
print("python", subprocess.check_output([sys.executable, "-I", "-c", code]))

# A child inherits descriptors that block, and leaves them so.
flags = subprocess.check_output(["/bin/sh", "-c", "grep flags: /proc/self/fdinfo/0"], stdin=subprocess.DEVNULL)
print("flags", int(flags.split()[1], 8) & os.O_NONBLOCK)

outputs = []
threads = [threading.Thread(target=lambda i=i: outputs.append(subprocess.check_output(["/bin/echo", str(i)])))
           for i in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("in threads", sorted(outputs))

sys.stdout.flush()
read_end, write_end = os.pipe()
if (pid := os.fork()) == 0:
    time.sleep(0.1)
    os.write(write_end, b"from the fork")
    os._exit(7)
print("fork", os.read(read_end, 100), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def square(x):
    time.sleep(0.01)
    return x * x


context = multiprocessing.get_context("fork")
with context.Pool(3) as pool:
    print("pool", sum(pool.map(square, range(30))))
