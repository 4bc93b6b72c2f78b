#!/usr/bin/env bash
# Prints the file name of this program as it is kept: another source is another program.
set -euo pipefail
cd "$(dirname "$0")"
echo "network-policies-$(cat ./*.go ../go.sum | sha256sum | cut -c -12)"
