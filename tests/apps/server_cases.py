# SPDX-License-Identifier: Apache-2.0
"""The servers under test: how each is started, and what its clients say. Each is a function of (directory, port, port of the server
behind it, maker of a certificate)."""
import dataclasses
import os
import pwd
import shutil
import ssl
import typing

import protocols
from load import body

HERE = os.path.dirname(os.path.abspath(__file__))
CASES = {}


@dataclasses.dataclass
class Given:
    command: list
    port: int
    talk: typing.Callable
    tls: ssl.SSLContext | None = None
    stdin: typing.Any = None
    kept: int = 0  # descriptors that it keeps open after its clients have left, also bare
    also: list = dataclasses.field(default_factory=list)  # arguments of curl, one more client each
    real_threads: tuple = ()  # names of threads that a library makes past everybody, by libc's own function
    dated: bool = False  # it prints times, numbers of processes and the like
    one_by_one: bool = False  # its queue of new connections is short, whatever is asked for
    environment: dict = dataclasses.field(default_factory=dict)  # more of it


def case(function):
    CASES[function.__name__] = function
    return function


def program(name):
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not found:
        raise SystemExit(f"FAIL: {name} is not installed; tests/packages installs it")
    return found


def python(name, *arguments):
    return ["/usr/bin/python3", "-I", os.path.join(HERE, "scripts", name), *map(str, arguments)]


def write(place, name, text):
    path = os.path.join(place, name)
    with open(path, "wb" if isinstance(text, bytes) else "w") as file:
        file.write(text)
    return path


def trust(file):
    return ssl.create_default_context(cafile=file)


def site(place):
    os.chmod(place, 0o755)  # some servers leave root's rights
    folder = os.path.join(place, "site")
    os.mkdir(folder)
    write(folder, "small.txt", "a small file\n")
    write(folder, "big.bin", body(protocols.BIG, "big"))
    return folder


FILES = protocols.http("/small.txt", "/big.bin", "/", "/missing-{i}")


@case
def python_files(place, port, _, certificate):
    return Given(python("serve_files.py", port, site(place)), port, FILES)


@case
def python_tls(place, port, _, certificate):
    files = certificate(place)
    return Given(python("serve_files.py", port, site(place), *files), port, FILES, trust(files[0]),
                 also=[["--cacert", files[0], f"https://localhost:{port}/big.bin"]])


@case
def python_pool(place, port, _, certificate):
    return Given(python("serve_jobs.py", port, "pool"), port, protocols.http("/{i}", "/again/{i}", "/{i}"))


@case
def python_sqlite(place, port, _, certificate):
    return Given(python("serve_jobs.py", port, "sqlite"), port, protocols.http("/{i}", "/of/{i}", "/of/{i}"))


@case
def python_children(place, port, _, certificate):
    return Given(python("serve_jobs.py", port, "children"), port, protocols.http("/{i}", "/again/{i}"))


@case
def stunnel(place, port, behind, certificate):
    """TLS to its clients, plain to the server behind."""
    files = certificate(place)
    settings = write(place, "stunnel.conf", f"foreground = yes\npid =\ndebug = 4\n[service]\naccept = 127.0.0.1:{port}\n"
                     f"connect = 127.0.0.1:{behind}\ncert = {files[0]}\nkey = {files[1]}\n")
    return Given([program("stunnel4"), settings], port, protocols.behind, trust(files[0]),
                 also=[["--cacert", files[0], f"https://localhost:{port}/body/200000/curl"]])


@case
def tinyproxy(place, port, behind, certificate):
    settings = write(place, "tinyproxy.conf", f"Port {port}\nListen 127.0.0.1\nMaxClients 1000\nTimeout 60\nLogLevel Error\n"
                     f'LogFile "{place}/log"\nPidFile "{place}/pid"\nDisableViaHeader Yes\n')
    return Given([program("tinyproxy"), "-d", "-c", settings], port, protocols.plain_proxy(behind),
                 also=[["-x", f"127.0.0.1:{port}", *how, f"http://localhost:{behind}/body/200000/curl"] for how in ([], ["--proxytunnel"])])


@case
def microsocks(place, port, behind, certificate):
    return Given([program("microsocks"), "-i", "127.0.0.1", "-p", str(port)], port, protocols.socks(behind),
                 also=[[how, f"127.0.0.1:{port}", f"http://localhost:{behind}/body/200000/curl"] for how in ("--socks5", "--socks5-hostname")])


@case
def memcached(place, port, behind, certificate):
    return Given([program("memcached"), "-t", "4", "-c", "2000", "-m", "256", "-l", f"127.0.0.1:{port}", "-U", "0", "-u", pwd.getpwuid(os.getuid())[0]],
                 port, protocols.memcached)
