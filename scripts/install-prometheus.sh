#!/usr/bin/env bash
# Installs the Prometheus server and promtool on Debian and Ubuntu: tests/monitoring/report/test_prometheus.py holds the
# dashboard and the rules in docs/ to them. Tests start servers of their own; the one that the package starts is stopped.
set -euo pipefail
if command -v prometheus >/dev/null && command -v promtool >/dev/null; then
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "prometheus: no apt-get here. Install prometheus and promtool from https://prometheus.io/download." >&2
    exit 1
fi
as_root=()
[ "$(id -u)" = 0 ] || as_root=(sudo)
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends prometheus
if command -v systemctl >/dev/null; then
    "${as_root[@]}" systemctl disable --now prometheus 2>/dev/null || true
fi
