# SPDX-License-Identifier: Apache-2.0
"""More of Debian's threaded servers, with what else a server may do: threads that are made ahead, several processes, ports for control."""
import os
import pwd
import subprocess

import protocols
from server_cases import Given, program, site, write

CASES = {}
ME = pwd.getpwuid(os.getuid())[0]


def case(function):
    CASES[function.__name__] = function
    return function


@case
def privoxy(place, port, behind, certificate):
    settings = write(place, "config", f"listen-address 127.0.0.1:{port}\nmax-client-connections 1000\nconfdir {place}\nlogdir {place}\n"
                     "connection-sharing 0\nkeep-alive-timeout 5\n")
    return Given([program("privoxy"), "--no-daemon", settings], port, protocols.plain_proxy(behind))


@case
def haproxy(place, port, behind, certificate):
    settings = write(place, "haproxy.cfg", f"""
global
    nbthread 4
    maxconn 2000
defaults
    mode http
    timeout client 60s
    timeout server 60s
    timeout connect 10s
frontend f
    bind 127.0.0.1:{port}
    default_backend b
backend b
    server s 127.0.0.1:{behind}
""")
    return Given([program("haproxy"), "-db", "-f", settings], port, protocols.behind, kept=400)


@case
def varnish(place, port, behind, certificate):
    return Given([program("varnishd"), "-F", "-a", f"127.0.0.1:{port}", "-b", f"127.0.0.1:{behind}", "-n", f"{place}/varnish", "-j", "none",
                  "-s", "malloc,64m"], port, protocols.behind, kept=400)


@case
def nginx(place, port, behind, certificate):
    temporary = "".join(f"{kind}_temp_path {place}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    settings = write(place, "nginx.conf", f"daemon off; master_process off; pid {place}/pid; error_log {place}/error.log;\n"
                     "thread_pool default threads=8; events { worker_connections 2000; }\n"
                     f"http {{ access_log off; {temporary} aio threads; sendfile off; autoindex on;\n"
                     f"server {{ listen 127.0.0.1:{port} backlog=512; root {site(place)}; }} }}\n")
    return Given([program("nginx"), "-c", settings, "-p", place, "-e", f"{place}/error.log"], port,
                 protocols.http("/small.txt", "/big.bin", "/missing-{i}", "/big.bin"))


@case
def apache(place, port, behind, certificate):
    who = "User nobody\nGroup nogroup\n" if os.getuid() == 0 else ""
    modules = "".join(f"LoadModule {m}_module /usr/lib/apache2/modules/mod_{m}.so\n" for m in ("mpm_worker", "authz_core", "dir", "mime"))
    settings = write(place, "apache.conf", f"{modules}ServerName localhost\nListen 127.0.0.1:{port}\nPidFile {place}/pid\nErrorLog {place}/log\n"
                     f"DefaultRuntimeDir {place}\nTypesConfig /etc/mime.types\nDocumentRoot {site(place)}\nServerLimit 1\nStartServers 1\n"
                     "ThreadLimit 500\nThreadsPerChild 500\nMaxRequestWorkers 500\nMinSpareThreads 500\nMaxSpareThreads 500\nListenBacklog 512\n"
                     f"KeepAliveTimeout 60\nMaxKeepAliveRequests 0\n{who}Mutex pthread\n")
    return Given([program("apache2"), "-DFOREGROUND", "-f", settings], port, protocols.http("/small.txt", "/big.bin", "/missing-{i}"))


@case
def ruby(place, port, behind, certificate):
    text = f"""require 'webrick'
server = WEBrick::HTTPServer.new(BindAddress: '127.0.0.1', Port: {port}, DocumentRoot: '{site(place)}', MaxClients: 1000,
  Logger: WEBrick::Log.new(nil, 0), AccessLog: [])
trap('TERM') {{ server.shutdown }}
server.start
puts "closed"
"""
    return Given([program("ruby"), write(place, "serve.rb", text)], port, protocols.http("/small.txt", "/big.bin", "/small.txt"))


@case
def puma(place, port, behind, certificate):
    settings = write(place, "config.ru", "run lambda { |env| sleep 0.01; [200, {'Content-Type' => 'text/plain'}, [env['PATH_INFO'] * 1000]] }\n")
    return Given([program("puma"), "-q", "-t", "8:500", "-b", f"tcp://127.0.0.1:{port}", "-e", "production", settings], port,
                 protocols.http("/{i}", "/again/{i}"), kept=2, dated=True)


@case
def perl(place, port, behind, certificate):
    text = """use strict; use threads; use Socket; use IO::Socket::INET; use IO::Handle;
my $stop = 0; $SIG{TERM} = sub { $stop = 1 };
my $listener = IO::Socket::INET->new(LocalAddr => "127.0.0.1:PORT", Listen => 512, ReuseAddr => 1) or die;
sub serve { my ($peer) = @_;
    while (defined(my $line = <$peer>)) {
        while (defined(my $h = <$peer>)) { last if $h =~ /^\\r?$/ }
        my ($path) = $line =~ /^GET (\\S+)/; my $body = $path x 500;
        print $peer "HTTP/1.1 200 OK\\r\\nContent-Type: text/plain\\r\\nContent-Length: ".length($body)."\\r\\n\\r\\n$body"; $peer->flush;
    } close $peer }
until ($stop) { my $peer = $listener->accept or next; threads->create(\\&serve, $peer)->detach; close $peer }
print "closed\\n";
""".replace("PORT", str(port))
    return Given([program("perl"), write(place, "serve.pl", text)], port, protocols.http("/{i}", "/again/{i}"))


WSGI = """import time
def app(environ, start_response):
    time.sleep(0.01)
    body = environ['PATH_INFO'].encode() * 1000
    start_response('200 OK', [('Content-Type', 'text/plain'), ('Content-Length', str(len(body)))])
    return [body]
"""
WSGI_TALK = protocols.http("/{i}", "/again/{i}")


@case
def gunicorn(place, port, behind, certificate):
    write(place, "application.py", WSGI)
    return Given([program("gunicorn"), "-k", "gthread", "--threads", "500", "-b", f"127.0.0.1:{port}", "--keep-alive", "60", "--backlog", "512",
                  "--log-level", "error", "application:app"], port, WSGI_TALK)


@case
def waitress(place, port, behind, certificate):
    write(place, "application.py", WSGI)
    return Given([program("waitress-serve"), f"--listen=127.0.0.1:{port}", "--threads=32", "--backlog=512", "--connection-limit=1000", "application:app"],
                 port, WSGI_TALK)


@case
def cherrypy(place, port, behind, certificate):
    text = WSGI + f"""
import cheroot.wsgi, signal
server = cheroot.wsgi.Server(('127.0.0.1', {port}), app, numthreads=500, request_queue_size=512)
server.keep_alive_conn_limit = 1000
def stop(*_): raise KeyboardInterrupt
signal.signal(signal.SIGTERM, stop)
try: server.start()
except KeyboardInterrupt: server.stop()
print('closed')
"""
    return Given(["/usr/bin/python3", write(place, "serve.py", text)], port, WSGI_TALK)


@case
def uwsgi(place, port, behind, certificate):
    write(place, "application.py", WSGI)
    return Given([program("uwsgi"), "--plugin", "python3", "--http-socket", f"127.0.0.1:{port}", "--wsgi-file", "application.py", "--callable", "app",
                  "--enable-threads", "--threads", "500", "--listen", "512", "--die-on-term", "--disable-logging", "--need-app"], port,
                 protocols.http_once("/{i}", "/again/{i}"), kept=500)


@case
def mariadb(place, port, behind, certificate):

    subprocess.run(["mariadb-install-db", "--no-defaults", f"--datadir={place}/data", "--auth-root-authentication-method=normal", "--skip-test-db",
                    f"--user={ME}"], check=True, capture_output=True)
    return Given([program("mariadbd"), "--no-defaults", f"--datadir={place}/data", f"--socket={place}/socket", f"--port={port}",
                  "--bind-address=127.0.0.1", f"--user={ME}", "--max-connections=1000", "--innodb-buffer-pool-size=32M",
                  f"--pid-file={place}/pid", "--thread-cache-size=0"], port, protocols.mariadb, kept=16)


@case
def unbound(place, port, behind, certificate):
    settings = write(place, "unbound.conf", f"""server:
  interface: 127.0.0.1@{port}
  num-threads: 4
  username: ""
  chroot: ""
  directory: "{place}"
  pidfile: "{place}/pid"
  use-syslog: no
  do-daemonize: no
  do-not-query-localhost: no
  incoming-num-tcp: 500
  tcp-idle-timeout: 60000
  local-zone: "test." static
  local-data: "a.test. A 192.0.2.7"
  local-data: "b.test. TXT 'some text'"
remote-control:
  control-enable: no
""")
    return Given([program("unbound"), "-d", "-c", settings], port, protocols.dns("a.test", "b.test", "c.test"))


@case
def knot(place, port, behind, certificate):
    write(place, "test.zone", "@ 60 SOA a b 1 60 60 60 60\n@ 60 NS a\na 60 A 192.0.2.7\nb 60 TXT some\n")
    settings = write(place, "knot.conf", f"""server:
  listen: 127.0.0.1@{port}
  rundir: {place}
  tcp-workers: 4
  udp-workers: 2
  tcp-max-clients: 1000
  tcp-idle-timeout: 60
database:
  storage: {place}
zone:
  - domain: test.
    file: {place}/test.zone
""")
    return Given([program("knotd"), "-c", settings], port, protocols.dns("a.test", "b.test", "c.test"), dated=True, one_by_one=True)


@case
def named(place, port, behind, certificate):
    write(place, "test.zone", "@ 60 SOA a b 1 60 60 60 60\n@ 60 NS a\na 60 A 192.0.2.7\nb 60 TXT some\n")
    settings = write(place, "named.conf", f'options {{ directory "{place}"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; '
                     f'pid-file none; recursion no; tcp-clients 1000; session-keyfile "{place}/key"; dnssec-validation no; }};\n'
                     f'controls {{ }};\nzone "test" {{ type primary; file "{place}/test.zone"; }};\n')
    return Given([program("named"), "-g", "-n", "4", "-c", settings], port, protocols.dns("a.test", "b.test", "c.test"))


@case
def redis(place, port, behind, certificate):
    return Given([program("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--io-threads", "4", "--io-threads-do-reads", "yes",
                  "--dir", place], port, protocols.redis, dated=True, real_threads=("jemalloc_bg_thd",))
