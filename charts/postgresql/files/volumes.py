"""Gives the volumes of the database the size that the release says, which a StatefulSet never changes for those that
are there.

ask   asks for it, before anything else of an upgrade: a database whose volume is full needs it to start
wait  does so for claims too that came with it, and returns when each of them has it

It ends with 0 only where that is so. 1: another try may succeed; 2: a person has to act first.
"""

import os
import re
import sys
import time
from decimal import Decimal

import apiserver

INTERVAL = 2
UNITS = {"": 1, "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "k": 1000}
UNITS |= {unit: 1000**power for power, unit in enumerate("MGTPE", start=2)}
UNITS |= {f"{unit}i": 1024**power for power, unit in enumerate("KMGTPE", start=1)}


def say(text):
    print(f"volumes.py: {text}", file=sys.stderr, flush=True)


def failed(text, code=1):
    say(text)
    sys.exit(code)


def bytes_of(quantity):
    """A number with its unit, as Kubernetes writes it."""
    number, unit = re.fullmatch(r"([0-9.]+(?:[eE][+-]?[0-9]+)?)([a-zA-Z]*)", quantity).groups()
    return Decimal(number) * UNITS[unit]


class Claim:
    def __init__(self, name, size):
        self.name = name
        self.size = size
        self.said = None

    def get(self):
        try:
            return apiserver.call("GET", "persistentvolumeclaims", self.name)
        except apiserver.Refused as error:
            if error.code == 404:
                return None
            raise

    def ask(self):
        """Asks for the size where there is less; returns the claim, or nothing where it is not bound yet."""
        claim = self.get()
        if claim is None or claim.get("status", {}).get("phase") != "Bound":
            return None
        now = claim["spec"]["resources"]["requests"]["storage"]
        if bytes_of(now) > bytes_of(self.size):
            failed(
                f"the claim {self.name} asks for {now} and primary.persistence.size is {self.size}: a volume does not "
                f"shrink, so set that to {now}; nothing was changed",
                2,
            )
        if bytes_of(now) < bytes_of(self.size):
            body = {"spec": {"resources": {"requests": {"storage": self.size}}}}
            try:
                claim = apiserver.call("PATCH", "persistentvolumeclaims", self.name, body)
            except apiserver.Refused as error:
                # What the server holds for wrong, or forbidden, it does at the next try too.
                if error.code not in (403, 422):
                    raise
                failed(
                    f"the claim {self.name} cannot grow from {now} to {self.size} ({error}): set "
                    f"primary.persistence.size to {now}, or let its storage class grow volumes (allowVolumeExpansion)",
                    2,
                )
            say(f"asked for {self.size} for the claim {self.name}, which had {now}")
        return claim

    def lacks(self):
        """Why it has not the size yet; nothing where it has."""
        claim = self.ask()
        if claim is None:
            return "there is no volume yet"
        status = claim["status"]
        has = status.get("capacity", {}).get("storage", "0")
        if bytes_of(has) >= bytes_of(self.size):
            return None
        told = [f"{it['type']}: {it.get('message', '')}".strip(": ") for it in status.get("conditions", [])]
        told += [f"{what}: {state}" for what, state in status.get("allocatedResourceStatuses", {}).items()]
        why = "; ".join(told) or "its storage has not answered yet"
        if "FileSystemResizePending" in why:
            why += "; a storage that grows no file system in use does when the pod is deleted and starts anew"
        return f"it has {has} ({why})"

    def has_it(self):
        why = self.lacks()
        if why != self.said:
            say(f"the claim {self.name} has {self.size}" if why is None else f"waiting for the claim {self.name}: {why}")
            self.said = why
        return why is None


def main(verb):
    claims = [Claim(name, os.environ["SIZE"]) for name in os.environ["CLAIMS"].split()]
    try:
        if verb == "ask":
            for claim in claims:
                claim.ask()
            return
        deadline = time.monotonic() + int(os.environ["TIMEOUT"])
        while waiting := [it for it in claims if not it.has_it()]:
            if time.monotonic() > deadline:
                failed(
                    f"the claim {waiting[0].name} was to have {waiting[0].size} within primary.persistence.resizeTimeout, "
                    f"and {waiting[0].said}: `helm upgrade` looks again"
                )
            time.sleep(INTERVAL)
    except apiserver.Refused as error:
        failed(f"the API server refuses: {error}", 2 if error.code == 403 else 1)
    except OSError as error:
        failed(f"the API server does not answer: {error}")


if __name__ == "__main__":
    main(sys.argv[1])
