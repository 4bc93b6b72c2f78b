#!/usr/bin/env bash
# Usage: dashboard-picture.sh PROMETHEUS MINUTES PICTURE. Draws the dashboard as it looks over the last
# minutes of a Prometheus, http://127.0.0.1:9090 for example, into a PNG: with Grafana's own components for
# panels, @grafana/ui, in a headless Chromium, since no registry that we use has Grafana's server.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
prometheus=${1:?usage: dashboard-picture.sh PROMETHEUS MINUTES PICTURE}
minutes=${2:?how many minutes}
picture=$(realpath -m "${3:?where to}")
dashboard=$here/deploy/monitoring/dashboard.json
kept=${XDG_CACHE_HOME:-$HOME/.cache}/postgres-adapter/dashboard-picture
say() { echo "dashboard-picture.sh: $*" >&2; }

for program in node npm chromium; do
    command -v "$program" >/dev/null && continue
    say "no $program here: apt-get install nodejs npm chromium fonts-inter"
    exit 1
done

mkdir -p "$kept"
cp "$here"/tests/tools/dashboard-picture/{package.json,capture.mjs,picture.jsx} "$kept/"
cd "$kept"
# Without their scripts, which nothing here needs; esbuild's own finds its program by itself.
npm install --ignore-scripts --no-audit --no-fund --legacy-peer-deps --no-package-lock >&2
node capture.mjs "$dashboard" "$prometheus" "$minutes" asked.json
npx esbuild picture.jsx --bundle --outfile=picture.js --jsx=automatic --log-level=error \
    --define:process.env.NODE_ENV='"production"' --define:global=window \
    --loader:.svg=dataurl --loader:.woff2=dataurl --loader:.png=dataurl --loader:.ttf=dataurl >&2
cat > picture.html <<'HTML'
<!doctype html><meta charset="utf-8"><link rel="stylesheet" href="picture.css">
<div id="root"></div><script src="picture.js"></script>
HTML
height=$(node -p "44 + 38 * Math.max(...JSON.parse(fs.readFileSync('$dashboard')).panels.map((it) => it.gridPos.y + it.gridPos.h))")
# As root, Chromium has no sandbox; the page is our own and asks nobody.
chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --virtual-time-budget=8000 \
    --window-size="1600,$height" --screenshot="$picture" "file://$kept/picture.html" 2>"$kept/chromium.log"
say "drawn: $picture"
