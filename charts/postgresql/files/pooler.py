"""PgBouncer, as the pods of the pooler run it: it starts it, tells it of changed files and of another primary, and ends
it when all that runs has ended.

PgBouncer itself sees neither. It reads its files when it is told to; and a session with a server that became a replica
is as good to it as before, so that whoever is given it cannot write for as long as it stays open.
"""

import contextlib
import glob
import hashlib
import http.server
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import psycopg2

CONFIG = "/etc/pgbouncer/pgbouncer.ini"
PASSWORD = "/run/secrets/postgresql/pooler-password"
TLS = "/run/secrets/postgresql-tls"
STATE = "/run/pgbouncer"
PORT, HEALTH_PORT = 6432, 8009
INTERVAL = 2
# Until nobody is led here any more, once the pod is to go.
LEAVING = 5
# An address may lead to two servers for as long as the cluster has not heard everywhere of another primary.
AGAIN = 10


def say(text):
    print(f"pooler.py: {text}", file=sys.stderr, flush=True)


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def password():
    return read(PASSWORD).rstrip("\n")


def write_users():
    """The pooler's own role alone: those of all others are looked up in the database."""
    name, its = (it.replace('"', '""') for it in (os.environ["POOLER_USER"], password()))
    descriptor = os.open(f"{STATE}/users.partial", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(f'"{name}" "{its}"\n')
    os.replace(f"{STATE}/users.partial", f"{STATE}/users")


def known_files():
    """What PgBouncer reads, as one sum."""
    total = hashlib.sha256()
    for path in sorted([CONFIG, PASSWORD, *glob.glob(f"{TLS}/*")]):
        with open(path, "rb") as file:
            total.update(path.encode() + file.read())
    return total.digest()


def console(command):
    """A command of PgBouncer's console, which is open to its own user over its socket. Returns what it answers."""
    session = psycopg2.connect(host=STATE, port=PORT, user="pgbouncer", dbname="pgbouncer", connect_timeout=3)
    with contextlib.closing(session):
        session.autocommit = True
        with session.cursor() as cursor:
            cursor.execute(command)
            return cursor.fetchall() if cursor.description else []


class Primary:
    """Who the Service leads to, by a session of our own that is kept for as long as it lasts."""

    def __init__(self):
        self.session = None
        self.known = None

    def ask(self):
        if self.session is None:
            self.session = psycopg2.connect(
                host=os.environ["SERVER_HOST"],
                port=os.environ["SERVER_PORT"],
                user=os.environ["POOLER_USER"],
                password=password(),
                dbname="postgres",
                connect_timeout=5,
                tcp_user_timeout=5000,
                keepalives_idle=2,
                keepalives_interval=1,
                keepalives_count=3,
                application_name="pooler.py",
                **self.tls(),
            )
            self.session.autocommit = True
        with self.session.cursor() as cursor:
            cursor.execute("select host(inet_server_addr()), pg_postmaster_start_time()::text, pg_is_in_recovery()")
            return cursor.fetchone()

    @staticmethod
    def tls():
        mode = os.environ.get("SERVER_TLS", "prefer")
        return {"sslmode": mode} | ({"sslrootcert": f"{TLS}/ca.crt"} if mode == "verify-ca" else {})

    def close(self):
        if self.session is not None:
            self.session.close()
        self.session = None

    def is_another(self):
        """Whether it is another one than before, or the same started anew; nothing where nobody answers who writes."""
        try:
            *server, recovers = self.ask()
        except psycopg2.Error:
            self.close()
            raise
        if recovers:
            self.close()
            raise OSError("the server that answers takes no writes")
        before, self.known = self.known, server
        return before is not None and before != server


class Pooler:
    def __init__(self):
        write_users()
        self.files = known_files()
        # Its own session: what the pod is told is passed on as PgBouncer's words for it.
        self.process = subprocess.Popen(["pgbouncer", CONFIG], start_new_session=True)
        self.primary = Primary()
        self.again = None
        self.said = None
        self.leaving = threading.Event()

    def turn(self):
        now = known_files()
        if now != self.files:
            write_users()
            self.process.send_signal(signal.SIGHUP)
            self.files = now
            self.primary.close()
            say("PgBouncer reads its files again")
        if self.again is not None and time.monotonic() > self.again:
            console("RECONNECT")
            self.again = None
        try:
            another = self.primary.is_another()
            why = None
        except (psycopg2.Error, OSError) as error:
            another, why = False, " ".join(str(error).split())
        if why != self.said:
            say(f"no primary answers, and clients wait: {why}" if why else "the primary answers")
            self.said = why
        if another:
            say(f"the primary is {self.primary.known[0]} since {self.primary.known[1]}: sessions are made anew")
            self.again = time.monotonic() + AGAIN
            console("RECONNECT")

    def ready(self):
        """Once there was a primary, clients wait here for the next one."""
        return self.primary.known is not None and not self.leaving.is_set()

    def run(self):
        while self.process.poll() is None and not self.leaving.is_set():
            try:
                self.turn()
            except (psycopg2.Error, OSError) as error:
                say(f"trying again: {' '.join(str(error).split())}")
            self.leaving.wait(INTERVAL)
        if self.process.poll() is None:
            time.sleep(LEAVING)
            # Takes no new clients, and ends when what runs in its servers has ended.
            self.process.send_signal(signal.SIGINT)
        return self.process.wait()


def health(pooler):
    """What the kubelet asks: whether PgBouncer answers, and whether clients may come."""

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self):  # pylint: disable=invalid-name
            try:
                console("SHOW VERSION")
                good = self.path == "/alive" or pooler.ready()
            except (psycopg2.Error, OSError):
                good = False
            self.send_response(200 if good else 503)
            self.end_headers()

        def log_message(self, *_):
            pass

    class Server(http.server.ThreadingHTTPServer):
        address_family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET

        def server_bind(self):
            if self.address_family == socket.AF_INET6:
                self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            super().server_bind()

    threading.Thread(target=Server(("", HEALTH_PORT), Answers).serve_forever, daemon=True).start()


def main():
    pooler = Pooler()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: pooler.leaving.set())
    health(pooler)
    sys.exit(pooler.run())


if __name__ == "__main__":
    main()
