"""pgBackRest, as the pods of the chart run it.

keys         writes the keys of the store to where pgBackRest reads them
init         makes the stanza and the first backup; a hook of Helm, which may run any number of times
backup TYPE  makes a backup: full, diff or incr
verify       restores the newest backup with its WAL beside the database, and looks at every table and index of it

It ends with 0 only where what it is for is there. 1: another try may succeed; 2: a person has to act first.
"""

import json
import os
import signal
import subprocess
import sys
import time

SECRETS = "/run/secrets/pgbackrest"
# What pgBackRest answers with, of its own list of errors.
MISMATCH, NOT_EMPTY, LOCKED, OTHER, MISSING, NO_PRIMARY = 28, 40, 50, 51, 55, 56
TRIES, PAUSE = 4, 60
# What asks little says within a minute or so that the store does not answer, and not after nine.
SOON = "--io-timeout=10"


def say(text):
    print(f"pgbackrest.py: {text}", file=sys.stderr, flush=True)


def person(text):
    """Ends as what no other try mends."""
    say(text)
    sys.exit(2)


def failed(text):
    say(text)
    sys.exit(1)


def secret(name):
    with open(f"{SECRETS}/{name}", encoding="utf-8") as file:
        return file.read().strip()


def keys():
    """In a file, and not in variables, which would show a changed Secret to no process that runs already."""
    key, key_secret = secret("access-key-id"), secret("secret-access-key")
    lines = ["[global]", f"repo1-s3-key={key}", f"repo1-s3-key-secret={key_secret}"]
    if os.path.exists(f"{SECRETS}/cipher-pass"):
        lines.append(f"repo1-cipher-pass={secret('cipher-pass')}")
    text = "\n".join(lines) + "\n"
    folder = os.environ["PGBACKREST_CONFIG_INCLUDE_PATH"]
    os.makedirs(folder, mode=0o700, exist_ok=True)
    path = f"{folder}/keys.conf"
    try:
        with open(path, encoding="utf-8") as file:
            if file.read() == text:
                return
    except FileNotFoundError:
        pass
    descriptor = os.open(path + ".partial", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(path + ".partial", path)


def stanza():
    return os.environ["PGBACKREST_STANZA"]


def run(*arguments):
    """Its exit status and what it has said, which is passed on at once."""
    lines = []
    with subprocess.Popen(
        ["pgbackrest", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        for line in process.stdout:
            print(line, end="", flush=True)
            lines = [*lines[-99:], line]
    return process.returncode, "".join(lines)


def quietly(*arguments):
    """What it prints, as JSON; the reason where it does not succeed."""
    command = ["pgbackrest", "--log-level-console=off", SOON, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(" ".join((done.stderr or done.stdout).split()))
    return json.loads(done.stdout)


def backups():
    """The backups of the stanza that pgBackRest holds for whole, by their labels."""
    try:
        found = quietly("info", "--output=json")
    except OSError as error:
        failed(f"the repository does not say which backups there are: {error}")
    for it in found:
        if it["name"] == stanza():
            # 0: there are some, 2: there is none yet, 1 and 3: there is no stanza.
            if it["status"]["code"] not in (0, 1, 2, 3):
                why = [repo["status"]["message"] for repo in it.get("repo", [])] or [it["status"]["message"]]
                failed(f"the repository does not say which backups there are: {' '.join(' '.join(why).split())[:400]}")
            return {backup["label"]: backup for backup in it.get("backup", [])}
    return {}


def backup(kind):
    before = backups()
    for number in range(1, TRIES + 1):
        status, said = run("backup", f"--type={kind}")
        locked = status == LOCKED or (status != 0 and "unable to acquire lock" in said)
        if not locked:
            break
        if number == TRIES:
            failed("no backup was made: another one of this stanza still runs, and this one is tried again later")
        say(f"another backup of this stanza runs: trying again in {PAUSE} s")
        time.sleep(PAUSE)
    if status == MISSING:
        person(
            "no backup was made: the repository has no stanza, or it is not whole; "
            "`helm upgrade` runs the hook that makes it (pgbackrest.initJob.enabled)"
        )
    if status in (MISMATCH, OTHER):
        person(other_cluster())
    if status != 0:
        failed(f"no backup was made: pgBackRest ended with {status}; its last lines above say why")
    after = backups()
    made = sorted(set(after) - set(before))
    if not made:
        failed("pgBackRest ended with 0, and the repository has no backup that it had not before")
    # A page whose checksum is wrong is a warning to pgBackRest, which stores it as it is.
    if any(after[it].get("error") for it in made):
        person(
            f"the backup {made[-1]} has pages whose checksums are wrong: the database's files are damaged. "
            "Keep the backups before it, which retention removes by and by, and look for the damage by pg_amcheck"
        )
    say(f"the backup {made[-1]} is in the repository")


def other_cluster():
    return (
        "the repository has backups of another cluster than this one, and nothing was changed in it: "
        "give this one a folder of its own by pgbackrest.repo.path"
    )


def half_made():
    """A stanza-create that was killed between its two files, or what follows here: pgBackRest refuses it for ever.
    Where there is no backup nothing can be restored from the WAL beside it, so that the stanza begins anew."""
    try:
        entries = quietly("repo-ls", f"backup/{stanza()}", "--output=json")
    except OSError as error:
        failed(f"the repository does not say what is in it: {error}")
    entries.pop(".", None)
    if entries:
        person(
            f"the repository's stanza is not whole and backup/{stanza()} in it has {', '.join(sorted(entries))}: "
            "nothing was changed; bring back its backup.info, or set another folder by pgbackrest.repo.path"
        )
    say("a stanza was begun and not finished, and has no backup: it is made anew")
    for command in (["stop"], ["stanza-delete", "--force"], ["start"]):
        status, _ = run(*command)
        if status != 0:
            failed(f"pgbackrest {command[0]} ended with {status}: the stanza is still not whole")


def until(deadline, what, step):
    """Tries until it is done or there is no time left; what passes by itself is waited for."""
    while not step():
        if time.monotonic() > deadline:
            failed(f"{what} did not succeed within pgbackrest.initJob.timeout; the last lines above say why")
        time.sleep(5)


def create():
    status, _ = run("stanza-create", SOON)
    if status == MISMATCH:
        person(other_cluster())
    if status in (MISSING, NOT_EMPTY):
        half_made()
    elif status == NO_PRIMARY:
        say("waiting for a primary")
    return status == 0


def init():
    deadline = time.monotonic() + int(os.environ["TIMEOUT"])
    until(deadline, "pgbackrest stanza-create", create)
    # That a segment really arrives; the archiver may be waiting a minute after what failed without a stanza.
    until(deadline, "pgbackrest check", lambda: run("check", SOON)[0] == 0)
    whole = [label for label, it in backups().items() if it["type"] == "full" and not it.get("error")]
    if whole:
        say(f"the stanza is there and has the full backup {sorted(whole)[-1]}")
    elif os.environ["INITIAL_BACKUP"] == "true":
        backup("full")
    else:
        say("the stanza is there; its first backup is the schedule's")


# No other settings than these: nobody connects, and what is checked is the data.
SETTINGS = """
listen_addresses = ''
unix_socket_directories = '/tmp'
hba_file = '/tmp/pg_hba.conf'
archive_mode = off
hot_standby = off
fsync = off
dynamic_shared_memory_type = mmap
"""


def ask(question, database="postgres"):
    psql = ["psql", "-XAtU", "postgres", "-h", "/tmp", "-d", database, "-c", question]
    done = subprocess.run(psql, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def verify():
    known = backups()
    if not known:
        person("there is no backup to be restored: none was made yet, or `pgbackrest info` says why")
    status, _ = run("restore", "--type=default")
    if status != 0:
        failed(f"the newest backup was not restored: pgBackRest ended with {status}; its last lines above say why")
    for name, text in (("postgresql.conf", SETTINGS), ("pg_hba.conf", "local all all trust\n")):
        with open(f"/tmp/{name}", "w", encoding="utf-8") as file:
            file.write(text)
    with subprocess.Popen(["postgres", "-c", "config_file=/tmp/postgresql.conf"]) as server:
        try:
            # Until WAL is replayed nobody is let in; a server that cannot replay it ends.
            while ask("select pg_is_in_recovery()") != "f":
                if server.poll() is not None:
                    failed("the backup was restored, and PostgreSQL does not start with it; see the lines above")
                time.sleep(2)
            check = ["pg_amcheck", "--all", "--install-missing", "-U", "postgres", "-h", "/tmp"]
            if subprocess.run(check, check=False).returncode != 0:
                failed("pg_amcheck finds damage in what was restored: see above in which tables and indexes")
            count = ask("select count(*) from pg_database where datallowconn")
            size = ask("select pg_size_pretty(sum(pg_database_size(oid))) from pg_database")
        finally:
            # INT: at once, and orderly.
            server.send_signal(signal.SIGINT)
    say(f"restored {sorted(known)[-1]} and the WAL after it: {count} databases of {size} without damage")


if __name__ == "__main__":
    keys()
    {"keys": lambda: None, "init": init, "backup": backup, "verify": verify}[sys.argv[1]](*sys.argv[2:])
