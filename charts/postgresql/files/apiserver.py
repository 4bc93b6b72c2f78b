"""Kubernetes' API server, as the pods of the chart call it: with the token that their container was given."""

import json
import os
import ssl
import urllib.error
import urllib.request

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


class Refused(OSError):
    """It has answered, and not with what was asked for."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


def read(name):
    with open(f"{ACCOUNT}/{name}", encoding="utf-8") as file:
        return file.read()


def call(method, kind, name, body=None):
    """Gets an object of the pod's namespace, or changes what `body` has of it."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    # An address of IPv6 stands in brackets.
    host = f"[{host}]" if ":" in host else host
    request = urllib.request.Request(
        f"https://{host}:{port}/api/v1/namespaces/{read('namespace')}/{kind}/{name}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {read('token')}", "Content-Type": "application/merge-patch+json"},
    )
    context = ssl.create_default_context(cafile=f"{ACCOUNT}/ca.crt")
    try:
        with urllib.request.urlopen(request, context=context, timeout=10) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        text = error.read().decode(errors="replace")
        try:
            text = json.loads(text)["message"]
        except (ValueError, KeyError, TypeError):
            text = f"{error}: {text[:200]}"
        raise Refused(error.code, text) from error
