"""What the chart's values and Secrets say, made true in the pod: Patroni's configuration from the mounted files,
roles and passwords in the database, what the store alone decides, restarts that settings wait for.

render     writes Patroni's configuration; before it starts
wait       returns when there is a cluster, or this pod is the one that makes it
bootstrap  makes roles, the database, and what initdb.scripts says; Patroni calls it once, before anybody may connect
watch      does all of it again whenever a mounted file changes, in a container beside Patroni's

Who leads is Patroni's to say: nothing here elects, promotes or demotes.
"""

import base64
import contextlib
import hashlib
import hmac
import json
import os
import secrets
import shutil
import ssl
import stringprep
import subprocess
import sys
import time
import unicodedata
import urllib.error
import urllib.request

import apiserver
import pgbackrest
import psycopg2
import psycopg2.extras
import yaml
from psycopg2 import sql

CONFIG = "/etc/patroni"
SECRETS = "/run/secrets/postgresql"
STATE = "/run/patroni"
TLS = "/run/secrets/postgresql-tls"
SOCKET = "/var/run/postgresql"
PGPASS = SOCKET + "/pgpass"
INTERVAL = 5
# Of the store's document, what the chart decides. The rest is Patroni's and people's: `pause`, `slots` and the like.
OURS = (
    "ttl",
    "loop_wait",
    "retry_timeout",
    "maximum_lag_on_failover",
    "failsafe_mode",
    "synchronous_mode",
    "synchronous_mode_strict",
    "synchronous_node_count",
    "member_slots_ttl",
)


def say(text):
    print(f"settings.py: {text}", file=sys.stderr, flush=True)


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def secret(name):
    """A password; nothing where the Secret has none of this name."""
    try:
        return read(f"{SECRETS}/{name}").rstrip("\n")
    except FileNotFoundError:
        return ""


def wanted():
    """What the release says: settings.yaml, which is the chart's own."""
    return yaml.safe_load(read(f"{CONFIG}/settings.yaml"))


def tls_sum():
    """What the pod has of a certificate, as one sum; nothing where it was made before there was one."""
    total = hashlib.sha256()
    for name in ("tls.crt", "tls.key", "ca.crt"):
        with contextlib.suppress(FileNotFoundError):
            total.update(f"{name} {read(f'{TLS}/{name}')}".encode())
    return total.hexdigest() if os.path.exists(f"{TLS}/tls.crt") else ""


def add_tls(config, tls):
    """By the pod's own files: of several pods, those that are not made anew yet have none, and let in as before."""
    if not (tls["enabled"] and tls_sum()):
        return
    parameters = config["parameters"]
    parameters |= {"ssl": "on", "ssl_cert_file": f"{TLS}/tls.crt", "ssl_key_file": f"{TLS}/tls.key"}
    if os.path.exists(f"{TLS}/ca.crt"):
        parameters["ssl_ca_file"] = f"{TLS}/ca.crt"
    if tls["require"]:
        # What never leaves the pod stands first.
        lines = config["pg_hba"]
        inside = [it.startswith("local ") or " 127.0.0.1/32 " in it or " ::1/128 " in it for it in lines]
        at = [*inside, False].index(False)
        # For PostgreSQL `all` databases are none of replication, which copies them all.
        config["pg_hba"][at:at] = ["hostnossl replication all all reject", "hostnossl all all all reject"]


def patroni_config(replication_password=None):
    config = yaml.safe_load(read(f"{CONFIG}/patroni.yaml"))
    address = os.environ["POD_IP"]
    host = f"[{address}]" if ":" in address else address
    config["name"] = os.environ["POD_NAME"]
    config["kubernetes"]["pod_ip"] = address
    tls = {"certfile": f"{STATE}/rest.crt", "keyfile": f"{STATE}/rest.key"}
    authentication = {"username": "patroni", "password": secret("patroni-password")}
    config["restapi"] |= tls | {
        "connect_address": f"{host}:8008",
        "cafile": f"{SECRETS}/ca.crt",
        "verify_client": "optional",
        "authentication": authentication,
    }
    settings = wanted()
    config["bootstrap"]["dcs"] = settings["store"]
    config["ctl"] = tls | {"cacert": f"{SECRETS}/ca.crt", "authentication": authentication}
    postgresql = config["postgresql"]
    postgresql["connect_address"] = f"{host}:5432"
    postgresql["bin_dir"] = os.path.dirname(shutil.which("postgres"))
    roles = postgresql["authentication"]
    roles["superuser"]["password"] = secret("postgres-password")
    roles["replication"]["password"] = replication_password or secret("replication-password")
    roles["rewind"]["password"] = secret("rewind-password")
    add_tls(postgresql, settings["tls"])
    return config


def write(path, text):
    """As a whole or not at all, for our eyes only."""
    descriptor = os.open(path + ".partial", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(path + ".partial", path)


def render():
    write(f"{STATE}/tls.sum", tls_sum())
    write(f"{STATE}/patroni.yaml", yaml.safe_dump(patroni_config()))


def is_first():
    return os.environ["POD_NAME"].endswith("-0")


def wait():
    """A cluster is there when the store has its identity: the data may be gone, the ConfigMap outlives it."""
    if is_first():
        return
    scope = yaml.safe_load(read(f"{CONFIG}/patroni.yaml"))["scope"]
    said = None
    while True:
        why = "the first pod has not made the cluster yet"
        try:
            config = apiserver.call("GET", "configmaps", f"{scope}-config")
            if config["metadata"].get("annotations", {}).get("initialize"):
                return
        except apiserver.Refused as error:
            if error.code != 404:
                why = f"the API server does not say whether there is a cluster: {error}"
        except OSError as error:
            why = f"the API server does not answer: {error}"
        if why != said:
            say(f"waiting: {why}")
            said = why
        time.sleep(2)


# --- the database


def connect():
    """A session over the socket, to be closed by a `with`."""
    limits = "-c statement_timeout=60s -c lock_timeout=5s -c log_statement=none"
    connection = psycopg2.connect(host=SOCKET, user="postgres", dbname="postgres", connect_timeout=5, options=limits)
    connection.autocommit = True
    return contextlib.closing(connection)


# What PgBouncer asks for a client who logs in. Nobody whom it would give more than data has a verifier here.
LOOKUP = """
select rolname, rolpassword from pg_authid
where rolname = name and rolcanlogin and not rolsuper and not rolreplication
  and rolname <> all ({others}) and (rolvaliduntil is null or rolvaliduntil > now())
"""
MAKE_LOOKUP = """
create schema if not exists pgbouncer;
create or replace function pgbouncer.get_auth(name name) returns table (usename name, secret text)
    language sql stable security definer set search_path = pg_catalog, pg_temp as {body};
revoke all on function pgbouncer.get_auth(name) from public;
"""
ALLOW_LOOKUP = """
grant usage on schema pgbouncer to {role};
grant execute on function pgbouncer.get_auth(name) to {role};
"""
PROHIBITED = (
    stringprep.in_table_a1,
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def prepared(password):
    """SASLprep (RFC 4013): who logs in prepares a password so, and takes one as it is that cannot be prepared."""
    if password.isascii():
        return password
    kept = (it for it in password if not stringprep.in_table_b1(it))
    spaced = "".join(" " if stringprep.in_table_c12(it) else it for it in kept)
    text = unicodedata.normalize("NFKC", spaced)
    if not text or any(prohibits(it) for it in text for prohibits in PROHIBITED):
        return password
    right, left = (any(map(table, text)) for table in (stringprep.in_table_d1, stringprep.in_table_d2))
    if right and (left or not all(map(stringprep.in_table_d1, (text[0], text[-1])))):
        return password
    return text


def scram(password, salt, rounds):
    salted = hashlib.pbkdf2_hmac("sha256", prepared(password).encode(), salt, rounds)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    text = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${rounds}:{text[0]}${text[1]}:{text[2]}"


def is_password(verifier, password):
    """Whether what the server keeps of a password is of this one."""
    try:
        _, numbers, _ = verifier.split("$")
        rounds, salt = numbers.split(":")
        return hmac.compare_digest(scram(password, base64.b64decode(salt), int(rounds)), verifier)
    except (AttributeError, ValueError):
        return False


class Roles:
    """Roles with their passwords, and the database. What is so already is left alone."""

    def __init__(self, connection, settings):
        self.cursor = connection.cursor()
        self.settings = settings

    def ask(self, question, *values):
        self.cursor.execute(question, values)
        return self.cursor.fetchone()

    def do(self, statement, **names):
        parts = {key: sql.Identifier(value) for key, value in names.items()}
        self.cursor.execute(sql.SQL(statement).format(**parts))

    def password(self, role, password, internal=False):
        if not password:
            return
        found = self.ask("select rolpassword from pg_authid where rolname = %s", role)
        # Patroni makes `rewind_user`, with its password, after `bootstrap`.
        if found is None or is_password(found[0], password):
            return
        # An internal role's password is known to the pods alone, so that nobody has altered it by intent.
        if found[0] is not None and not (internal or self.settings["reconcilePasswords"]):
            return
        # The verifier and not the password, which statement logs would keep.
        verifier = sql.Literal(scram(password, secrets.token_bytes(16), 4096))
        self.cursor.execute(
            sql.SQL("alter role {} password {}").format(sql.Identifier(role), verifier)
        )
        say(f"the role {role} has the password of the Secret")

    def role(self, role, attributes, password, internal=False):
        if not self.ask("select 1 from pg_roles where rolname = %s", role):
            self.do(f"create role {{role}} {attributes}", role=role)
            say(f"made the role {role}")
        self.password(role, password, internal)

    def member(self, role, group):
        if not self.ask("select 1 where pg_has_role(%s, %s, 'member')", role, group):
            self.do("grant {group} to {role}", group=group, role=role)

    def pooler(self, role):
        """The role that PgBouncer looks verifiers of passwords up by, which may do nothing else."""
        self.role(role, "login", secret("pooler-password"), internal=True)
        others = [self.settings["metricsUsername"], "rewind_user", role]
        body = sql.SQL(LOOKUP).format(others=sql.Literal(others)).as_string(self.cursor)
        found = self.ask("select prosrc, prosecdef from pg_proc where oid = to_regproc('pgbouncer.get_auth')")
        if found != (body, True):
            # Statements that go together are sent together: all of them are done, or none.
            self.cursor.execute(sql.SQL(MAKE_LOOKUP).format(body=sql.Literal(body)))
            say("made the function that PgBouncer looks passwords up by")
        may = "select has_schema_privilege(%s, 'pgbouncer', 'usage') and has_function_privilege(%s, 'pgbouncer.get_auth(name)', 'execute')"
        if not self.ask(may, role, role)[0]:
            self.do(ALLOW_LOOKUP, role=role)

    def all(self):
        user, database = self.settings["username"], self.settings["database"]
        if user:
            self.role(user, "login", secret("password"))
            if self.settings["grantMonitor"]:
                self.member(user, "pg_monitor")
        if database and not self.ask("select 1 from pg_database where datname = %s", database):
            owner = user or "postgres"
            self.do("create database {name} owner {owner}", name=database, owner=owner)
            say(f"made the database {database}, which {owner} owns")
        metrics = self.settings["metricsUsername"]
        if metrics:
            self.role(metrics, "login connection limit 5", secret("metrics-password"))
            self.member(metrics, "pg_monitor")
        if self.settings["poolerUsername"]:
            self.pooler(self.settings["poolerUsername"])
        # Patroni makes it in a new cluster alone, and pg_hba.conf lets in no other.
        self.role(self.settings["replicationUsername"], "login replication", secret("replication-password"))
        self.password("rewind_user", secret("rewind-password"), internal=True)
        # Last, since the next connection of ours needs none and those of others do.
        self.password("postgres", secret("postgres-password"))


def bootstrap():
    settings = wanted()
    with connect() as connection:
        Roles(connection, settings).all()
    folder = "/etc/initdb"
    # Data that was restored has what they made.
    there = os.path.isdir(folder) and not settings["restored"]
    scripts = sorted(os.listdir(folder)) if there else []
    for name in (it for it in scripts if it.endswith(".sql")):
        say(f"running {name} of primary.initdb.scripts")
        database = settings["database"] or "postgres"
        command = ["psql", "-XqU", "postgres", "-h", SOCKET, "-d", database, "-v", "ON_ERROR_STOP=1"]
        if subprocess.run(command + ["-f", f"{folder}/{name}"], check=False).returncode != 0:
            say(f"{name} of primary.initdb.scripts failed, so that there is no cluster: mend it; the pod tries again")
            sys.exit(1)


# --- beside a Patroni that runs


class Refused(OSError):
    """Patroni has answered, and not with what was asked for."""

    def __init__(self, method, path, code, text):
        super().__init__(f"Patroni answers {method} {path} with {code}: {text.strip()[:200]}")
        self.code = code


class Patroni:
    """The API of the Patroni in this pod."""

    def __init__(self):
        self.context = ssl.create_default_context(cafile=f"{SECRETS}/ca.crt")
        self.context.load_cert_chain(f"{STATE}/rest.crt", f"{STATE}/rest.key")

    def call(self, method, path, body=None, accept=(), password=None):
        words = base64.b64encode(f"patroni:{password or self.password()}".encode()).decode()
        request = urllib.request.Request(
            f"https://127.0.0.1:8008{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Basic {words}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, context=self.context, timeout=60) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            text = error.read().decode()
            if error.code in accept:
                return text
            raise Refused(method, path, error.code, text) from error

    @staticmethod
    def password():
        # What Patroni has loaded, which may be older than the Secret.
        return yaml.safe_load(read(f"{STATE}/patroni.yaml"))["restapi"]["authentication"]["password"]

    def leads(self):
        """Whether this pod has the lock; while a cluster is made, nobody has."""
        try:
            self.call("GET", "/primary")
        except Refused as refusal:
            if refusal.code == 503:
                return False
            raise
        return True

    def get(self, path, accept=(503,)):
        return json.loads(self.call("GET", path, accept=accept))


def difference(current, target):
    """What has to be sent so that the store says what the release says."""
    patch = {key: target.get(key) for key in OURS if current.get(key) != target.get(key)}
    now = current.get("postgresql") or {}
    then = target["postgresql"]
    inner = {key: then[key] for key in ("use_slots", "use_pg_rewind") if now.get(key) != then[key]}
    has, needs = now.get("parameters") or {}, then["parameters"]
    parameters = {
        key: needs.get(key) for key in {*has, *needs} if str(has.get(key)) != str(needs.get(key))
    }
    if parameters:
        inner["parameters"] = parameters
    return patch | ({"postgresql": inner} if inner else {})


def slot_of(member):
    """As Patroni names it."""
    return member.replace("-", "_").replace(".", "_")


class Watch:
    def __init__(self):
        self.patroni = Patroni()
        self.said = {}
        self.restarts = {}
        self.slots_released = False

    def step(self, name, action, *arguments):
        """One thing that may fail by itself; it is said once, and tried again at the next turn."""
        why = None
        try:
            action(*arguments)
        except (OSError, psycopg2.Error, yaml.YAMLError, KeyError, ValueError) as error:
            why = " ".join(str(error).split()) or type(error).__name__
        if why and self.said.get(name) != why:
            say(f"{name} did not succeed and is tried again every {INTERVAL} s: {why}")
        self.said[name] = why

    def turn(self):
        if os.path.isdir(pgbackrest.SECRETS):
            self.step("giving pgBackRest the store's keys", pgbackrest.keys)
        own = self.patroni.get("/patroni")
        if own.get("state") != "running":
            return
        settings = wanted()
        if self.patroni.leads():
            self.step("making roles and passwords those of the release", self.roles, settings)
            self.step("writing settings to Patroni's store", self.store, settings)
            self.step("releasing slots of replicas that are gone", self.slots, settings)
        self.step("giving Patroni its configuration", self.config, own["role"])
        if settings["tls"]["enabled"]:
            self.step("using the renewed certificate", self.certificate)
        if settings["restart"] == "automatic":
            self.step("restarting PostgreSQL for settings that need it", self.restart, own)

    @staticmethod
    def roles(settings):
        with connect() as connection:
            roles = Roles(connection, settings)
            # A promotion is told before it is through.
            if not roles.ask("select pg_is_in_recovery()")[0]:
                roles.all()

    def store(self, settings):
        patch = difference(self.patroni.get("/config"), settings["store"])
        if self.slots_released:
            patch.pop("member_slots_ttl", None)
        if patch:
            self.patroni.call("PATCH", "/config", patch)
            say(f"wrote to Patroni's store: {json.dumps(patch, sort_keys=True)}")

    def slots(self, settings):
        """Slots keep WAL for replicas that were scaled away; Patroni drops them at once where it is told to keep none.
        It is told only while all who are meant to be there stream, since those would lose theirs too."""
        if not settings["store"]["postgresql"]["use_slots"]:
            return
        base = os.environ["POD_NAME"].rpartition("-")[0]
        stay = {slot_of(f"{base}-{number}") for number in range(settings["members"])}
        own = slot_of(os.environ["POD_NAME"])
        with connect() as connection, connection.cursor() as cursor:
            cursor.execute("select slot_name, active from pg_replication_slots where slot_type = 'physical'")
            slots = dict(cursor.fetchall())
        prefix = slot_of(base) + "_"
        gone = [
            name
            for name, active in slots.items()
            if name.startswith(prefix) and name[len(prefix) :].isdigit() and not active and name not in {*stay, own}
        ]
        all_stream = all(slots.get(it) for it in stay - {own})
        ttl = "0" if gone and all_stream else settings["store"]["member_slots_ttl"]
        if gone and all_stream and not self.slots_released:
            say(f"releasing the slots of replicas that are gone: {', '.join(sorted(gone))}")
        if self.slots_released != (ttl == "0"):
            self.patroni.call("PATCH", "/config", {"member_slots_ttl": ttl})
            self.slots_released = ttl == "0"

    def config(self, role):
        config = patroni_config()
        now = yaml.safe_load(read(f"{STATE}/patroni.yaml"))
        if config == now:
            return
        replication = config["postgresql"]["authentication"]["replication"]
        before = now["postgresql"]["authentication"]["replication"]
        # A replica that took a password which the primary does not have yet could not stream with it.
        if role != "primary" and replication != before:
            self.log_in(replication)
        # Asked with the password that Patroni has until then.
        password = Patroni.password()
        write(f"{STATE}/patroni.yaml", yaml.safe_dump(config))
        try:
            self.patroni.call("POST", "/reload", {}, password=password)
        except OSError:
            # Not taken: the next turn begins from what Patroni has.
            write(f"{STATE}/patroni.yaml", yaml.safe_dump(now))
            raise
        self.pgpass(config["postgresql"]["authentication"])
        say("Patroni has the new configuration")

    @staticmethod
    def certificate():
        """PostgreSQL reads it when it is told to. One that does not fit its key would keep it from starting again."""
        now = tls_sum()
        if now == read(f"{STATE}/tls.sum"):
            return
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(f"{TLS}/tls.crt", f"{TLS}/tls.key")
        with connect() as connection:
            connection.cursor().execute("select pg_reload_conf()")
        write(f"{STATE}/tls.sum", now)
        say("PostgreSQL uses the renewed certificate")

    def log_in(self, replication):
        members = self.patroni.get("/cluster")["members"]
        leader = next((it for it in members if it["role"] == "leader"), None)
        if leader is None:
            raise OSError("there is no primary that could say whether the password for replication is its")
        psycopg2.connect(
            host=leader["host"],
            port=leader["port"],
            user=replication["username"],
            password=replication["password"],
            dbname="postgres",
            connect_timeout=5,
            replication="true",
            connection_factory=psycopg2.extras.PhysicalReplicationConnection,
        ).close()

    @staticmethod
    def pgpass(roles):
        """Patroni writes this when it follows a primary, and not when a password changes."""
        if not os.path.exists(PGPASS):
            return
        lines = []
        for line in read(PGPASS).splitlines():
            head, _, _ = line.rpartition(":")
            for role in roles.values():
                if head.endswith(f":{role['username']}"):
                    escaped = role["password"].replace("\\", "\\\\").replace(":", "\\:")
                    line = f"{head}:{escaped}"
            lines.append(line + "\n")
        write(PGPASS, "".join(lines))

    def restart(self, own):
        """The primary first: a replica that goes before it keeps the old value of what may not be less than there.
        Replicas go one after another."""
        if not own.get("pending_restart"):
            self.restarts.clear()
            return
        reason = json.dumps(own.get("pending_restart_reason"), sort_keys=True)
        # A setting that a restart does not settle is no reason for another one.
        if self.restarts.get(reason, 0) >= 2:
            return
        if own["role"] != "primary":
            members = self.patroni.get("/cluster")["members"]
            waiting = [it for it in members if it.get("pending_restart")]
            if any(it["role"] == "leader" for it in waiting):
                return
            if min(it["name"] for it in waiting or [{"name": ""}]) != os.environ["POD_NAME"]:
                return
        self.restarts[reason] = self.restarts.get(reason, 0) + 1
        say(f"restarting PostgreSQL for settings that need it: {reason}")
        self.patroni.call("POST", "/restart", {"restart_pending": True})


def watch():
    watcher = None
    said = None
    while True:
        try:
            watcher = watcher or Watch()
            watcher.turn()
            said = None
        except (OSError, ValueError, KeyError) as error:
            # Patroni starts, stops, or waits for the API server: its own log says which.
            if str(error) != said:
                said = str(error)
                say(f"waiting for Patroni: {said}")
        time.sleep(INTERVAL)


if __name__ == "__main__":
    {"render": render, "wait": wait, "bootstrap": bootstrap, "watch": watch}[sys.argv[1]]()
