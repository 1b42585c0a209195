#!/usr/bin/env bash
# Instructions a call of the five hottest paths, as callgrind counts them: a report that asserts nothing. The counts
# depend on the compiler and the libraries, never on the machine's load.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if ! command -v valgrind >/dev/null; then
    echo "skipped: no valgrind to count with"
    [[ -z ${HOMING_REQUIRE_PROGRAMS:-} ]] || exit 1
    exit 0
fi

bench=$(cargo bench --quiet --no-run -p homing-benches --bench instructions --message-format json |
    sed -n 's/.*"executable":"\([^"]*\/instructions-[^"]*\)".*/\1/p')
calls=$("$bench" calls)

# Instructions of all calls of the path $1.
count() {
    local log
    log=$(valgrind --tool=callgrind --callgrind-out-file=/dev/null --toggle-collect='*instructions*measured*' \
        "$bench" "$1" 2>&1) || { echo "$log" >&2; return 1; }
    sed -n 's/.*Collected : //p' <<<"$log"
}

row() { printf '%-36s %6d\n' "$1" $((($2 - $3) / calls)); }

policies=$("$bench" policies)
nothing=$(count nothing)
echo "instructions a call (valgrind has no SHA-NI: a token's SHA-256 is counted as software computes it, which is"
echo "several times what a processor with SHA-NI runs; compare with an earlier count, not with a clock)"
row "pinned pick, from the Cookie header" "$(count pinned_by_cookie)" "$nothing"
for policy in p2c least_conn rendezvous; do
    if grep -qx "$policy" <<<"$policies"; then
        row "new pick, $policy, 100 upstreams" "$(count "$policy")" "$nothing"
    fi
done
row "token verify (what it adds to a pick)" "$(count with_token)" "$(count without_token)"
