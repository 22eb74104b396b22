# SPDX-License-Identifier: Apache-2.0
"""Servers on other runtimes and with other ways to share the work: virtual machines, event loops with pools of threads, a process a connection."""
import asyncio
import dataclasses
import os
import shutil
import subprocess

import protocols
import server_cases
from more_server_cases import ME, WSGI, WSGI_TALK
from server_cases import Given, program, site, trust, write

CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


JAVA_POOL = """import com.sun.net.httpserver.*; import java.net.*; import java.util.concurrent.*;
public class Serve { public static void main(String[] a) throws Exception {
  HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", PORT), 512);
  server.setExecutor(Executors.newFixedThreadPool(32));
  server.createContext("/", x -> {
    byte[] body = x.getRequestURI().getPath().repeat(1000).getBytes();
    try { Thread.sleep(10); } catch (InterruptedException e) { }
    x.getResponseHeaders().set("Content-Type", "text/plain");
    x.sendResponseHeaders(200, body.length); x.getResponseBody().write(body); x.close(); });
  Runtime.getRuntime().addShutdownHook(new Thread(() -> { System.out.println("closed"); System.out.flush(); }));
  server.start(); } }
"""
JAVA_THREADS = """import java.io.*; import java.net.*;
public class Serve { public static void main(String[] a) throws Exception {
  ServerSocket listener = new ServerSocket(PORT, 512, InetAddress.getByName("127.0.0.1"));
  while (true) { Socket peer = listener.accept(); new Thread(() -> {
    try (peer) { BufferedReader in = new BufferedReader(new InputStreamReader(peer.getInputStream())); OutputStream out = peer.getOutputStream();
      for (String line; (line = in.readLine()) != null; ) { String path = line.split(" ")[1];
        while ((line = in.readLine()) != null && !line.isEmpty()) { }
        byte[] body = path.repeat(500).getBytes();
        out.write(("HTTP/1.1 200 OK\\r\\nContent-Type: text/plain\\r\\nContent-Length: " + body.length + "\\r\\n\\r\\n").getBytes()); out.write(body); }
    } catch (IOException e) { } }).start(); } } }
"""


def java(place, port, text, *options):
    return [program("java"), "-Xmx256m", *options, write(place, "Serve.java", text.replace("PORT", str(port)))]


@case
def java_pool(place, port, behind, certificate):
    return Given(java(place, port, JAVA_POOL), port, protocols.http("/{i}", "/again/{i}"), kept=500)


@case
def java_threads(place, port, behind, certificate):
    return Given(java(place, port, JAVA_THREADS, "-Xss256k"), port, protocols.http("/{i}", "/again/{i}"), kept=500)


@case
def node(place, port, behind, certificate):
    """Files, keys and names by libuv's pool of threads."""
    text = """const http = require('http'), fs = require('fs'), crypto = require('crypto'), dns = require('dns');
const server = http.createServer((request, response) => {
  if (request.url.startsWith('/key')) return crypto.pbkdf2(request.url, 's', 500, 2000, 'sha256', (e, key) => response.end(key));
  if (request.url.startsWith('/name')) return dns.lookup('localhost', { family: 4 }, (e, address) => response.end(address));
  fs.readFile('SITE' + request.url, (e, data) => { if (e) { response.statusCode = 404; response.end('none') } else response.end(data) });
});
server.keepAliveTimeout = 60000;
server.listen(PORT, '127.0.0.1', 512);
process.on('SIGTERM', () => { console.log('closed'); process.exit(0) });
""".replace("SITE", site(place)).replace("PORT", str(port))
    return Given([program("node"), write(place, "serve.js", text)], port, protocols.http("/big.bin", "/key/{i}", "/name", "/small.txt", "/none"), kept=8)


@case
def squid(place, port, behind, certificate):
    """Its store on disk is served by threads of its own."""
    who = "proxy" if os.getuid() == 0 else ME
    settings = write(place, "squid.conf", f"http_port 127.0.0.1:{port}\nhttp_access allow all\ncache_dir aufs {place}/own/cache 64 4 4\n"
                     f"pid_filename {place}/own/pid\naccess_log none\ncache_log {place}/own/log\ncache_mem 8 MB\ncoredump_dir {place}\n"
                     f"shutdown_lifetime 0 seconds\nmax_filedescriptors 4096\ncache_effective_user {who}\npinger_enable off\n")
    os.chmod(place, 0o755)
    os.mkdir(f"{place}/own")
    shutil.chown(f"{place}/own", who)
    command = [program("squid"), "-N", "-n", f"weft{port}", "-f", settings]  # the name is that of its shared memory
    subprocess.run([*command, "-z"], check=True, capture_output=True)
    return Given(command, port, protocols.plain_proxy(behind), kept=800)


@case
def postgres(place, port, behind, certificate):
    """A process a connection, shared memory and semaphores between them. It does not run as root."""
    binaries = "/usr/lib/postgresql/15/bin/"
    as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []
    os.chmod(place, 0o755)
    data = os.path.join(place, "data")
    os.mkdir(data)
    if as_user:
        shutil.chown(data, "postgres", "postgres")
    subprocess.run([*as_user, binaries + "initdb", "-D", data, "-A", "trust", "-U", "postgres", "--no-sync", "--locale=C"], check=True, capture_output=True, cwd="/")
    return Given([*as_user, binaries + "postgres", "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", data, "-c", "max_connections=500", "-c", "fsync=off"],
                 port, postgres_talk, dated=True)


async def postgres_talk(connect, together, i):
    _, writer = await connect()
    port = writer.get_extra_info("peername")[1]
    writer.close()
    await together()
    client = await asyncio.create_subprocess_exec("psql", "-X", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "-At", "-d", "postgres",
                                                  stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
    out, _ = await client.communicate(f"""drop table if exists t{i}; create table t{i} (k int primary key, v text);
insert into t{i} select n, repeat('x', n) from generate_series(1, 200) n; select count(*), sum(length(v)), md5(string_agg(v, '' order by k)) from t{i};
begin; select pg_advisory_xact_lock(7), pg_sleep(0.002); commit; select missing from t{i}; notify here; drop table t{i};
""".encode())
    return [out, client.returncode]


@case
def apache_event(place, port, behind, certificate):
    """Two processes of threads, each with a listener thread and a queue; with no thread idle it would close kept connections."""
    who = "User nobody\nGroup nogroup\n" if os.getuid() == 0 else ""
    modules = "".join(f"LoadModule {m}_module /usr/lib/apache2/modules/mod_{m}.so\n" for m in ("mpm_event", "authz_core", "dir", "mime"))
    settings = write(place, "apache.conf", f"{modules}ServerName localhost\nListen 127.0.0.1:{port}\nPidFile {place}/pid\nErrorLog {place}/log\n"
                     f"DefaultRuntimeDir {place}\nTypesConfig /etc/mime.types\nDocumentRoot {site(place)}\nServerLimit 2\nStartServers 2\n"
                     "ThreadLimit 200\nThreadsPerChild 200\nMaxRequestWorkers 400\nListenBacklog 512\n"
                     f"KeepAliveTimeout 60\nMaxKeepAliveRequests 0\n{who}")
    return Given([program("apache2"), "-DFOREGROUND", "-f", settings], port, protocols.http("/small.txt", "/big.bin", "/missing-{i}"))


@case
def apache_prefork(place, port, behind, certificate):
    who = "User nobody\nGroup nogroup\n" if os.getuid() == 0 else ""
    modules = "".join(f"LoadModule {m}_module /usr/lib/apache2/modules/mod_{m}.so\n" for m in ("mpm_prefork", "authz_core", "dir", "mime"))
    settings = write(place, "apache.conf", f"{modules}ServerName localhost\nListen 127.0.0.1:{port}\nPidFile {place}/pid\nErrorLog {place}/log\n"
                     f"DefaultRuntimeDir {place}\nTypesConfig /etc/mime.types\nDocumentRoot {site(place)}\nServerLimit 500\nStartServers 10\nMaxRequestWorkers 500\n"
                     f"ListenBacklog 512\nKeepAlive Off\n{who}")
    return Given([program("apache2"), "-DFOREGROUND", "-f", settings], port, protocols.http_once("/small.txt", "/big.bin", "/missing-{i}"))


@case
def nginx_workers(place, port, behind, certificate):
    temporary = "".join(f"{kind}_temp_path {place}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    who = "user root;" if os.getuid() == 0 else ""
    settings = write(place, "nginx.conf", f"daemon off; {who} worker_processes 3; pid {place}/pid; error_log {place}/error.log;\n"
                     "events { worker_connections 2000; }\n"
                     f"http {{ access_log off; {temporary} aio threads; upstream b {{ server 127.0.0.1:{behind}; keepalive 8; }}\n"
                     f"server {{ listen 127.0.0.1:{port} backlog=512; location / {{ proxy_pass http://b; }} }} }}\n")
    return Given([program("nginx"), "-c", settings, "-p", place, "-e", f"{place}/error.log"], port, protocols.behind)


@case
def hitch(place, port, behind, certificate):
    files = certificate(place)
    pem = write(place, "both.pem", open(files[1]).read() + open(files[0]).read())
    return Given([program("hitch"), f"--frontend=[127.0.0.1]:{port}", f"--backend=[127.0.0.1]:{behind}", "--workers=2", "--backlog=512",
                  "--quiet", *(["--user=root"] if os.getuid() == 0 else []), pem], port, protocols.behind, trust(files[0]), dated=True)


@case
def socat(place, port, behind, certificate):
    return Given([program("socat"), f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork,backlog=512", f"TCP:127.0.0.1:{behind}"], port, protocols.behind, dated=True)


@case
def aiohttp(place, port, behind, certificate):
    text = f"""import asyncio, signal, time, socket
pool_work = lambda path: (time.sleep(0.01), path.encode() * 1000)[1]
async def serve(reader, writer):
    try:
        while line := await reader.readline():
            while (await reader.readline()).strip(): pass
            body = await asyncio.to_thread(pool_work, line.decode().split()[1])
            await asyncio.get_running_loop().getaddrinfo('localhost', 80)
            writer.write(b'HTTP/1.1 200 OK\\r\\nContent-Type: text/plain\\r\\nContent-Length: %d\\r\\n\\r\\n' % len(body) + body)
            await writer.drain()
    finally: writer.close()
async def main():
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = await asyncio.start_server(serve, '127.0.0.1', {port}, backlog=512)
    await stop.wait(); server.close(); print('closed')
asyncio.run(main())
"""
    return Given(["/usr/bin/python3", write(place, "serve.py", text)], port, WSGI_TALK, kept=2)


@case
def forking_python(place, port, behind, certificate):
    text = f"""import http.server, socketserver, signal, sys, os
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def log_message(self, *a): pass
    def do_GET(self):
        body = self.path.encode() * 1000
        self.send_response(200); self.send_header('Content-Type', 'text/plain'); self.send_header('Content-Length', str(len(body))); self.end_headers(); self.wfile.write(body)
class S(socketserver.ForkingMixIn, http.server.HTTPServer):
    request_queue_size = 512; max_children = 1000; block_on_close = False
s = S(('127.0.0.1', {port}), H)
me = os.getpid()
def stop(*_):
    if os.getpid() != me: os._exit(0)
    raise KeyboardInterrupt
signal.signal(signal.SIGTERM, stop)
try: s.serve_forever(0.05)
except KeyboardInterrupt: print('closed')
"""
    return Given(["/usr/bin/python3", write(place, "serve.py", text)], port, WSGI_TALK)


def preloaded(library):
    """A server with another malloc, preloaded before weft."""
    def build(place, port, behind, certificate):
        given = server_cases.CASES["python_pool"](place, port, behind, certificate)
        path = f"/usr/lib/x86_64-linux-gnu/{library}"
        if not os.path.exists(path):
            raise SystemExit(f"FAIL: {path} is not installed; tests/packages installs it")
        return dataclasses.replace(given, environment={"LD_PRELOAD": path})
    return build


CASES["jemalloc"] = preloaded("libjemalloc.so.2")
CASES["tcmalloc"] = preloaded("libtcmalloc_minimal.so.4")
CASES["mimalloc"] = preloaded("libmimalloc.so.2.0")
