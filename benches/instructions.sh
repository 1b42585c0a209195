#!/usr/bin/env bash
# Instructions a call of the hottest paths, as callgrind counts them, beside the committed table instructions.txt:
#
#     benches/instructions.sh [--fail-above PERCENT | --bless]
#
# A report: it exits with 1 only where --fail-above is given and a path takes more than so many percent above the table.
# --bless writes the table anew, after a change on purpose or of the compiler.
#
# The counts depend on the compiler and the libraries, never on the machine's load. valgrind has no SHA-NI: SHA-256 of a
# token is counted as software computes it, which is several times what a processor with SHA-NI runs. Compare with an
# earlier count, not with a clock.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

limit='' bless=''
while (($#)); do
    case $1 in
        --fail-above) limit=${2:?PERCENT}; shift 2 ;;
        --bless) bless=1; shift ;;
        *) echo "usage: benches/instructions.sh [--fail-above PERCENT | --bless]" >&2; exit 2 ;;
    esac
done
command -v valgrind >/dev/null || { echo "valgrind is not installed (apt-get install valgrind)" >&2; exit 1; }

table=benches/instructions.txt
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

row() { printf '%-40s %7d\n' "$1" $((($2 - $3) / calls)); }

now=$(
    nothing=$(count nothing)
    row "pinned pick, from the Cookie header" "$(count pinned_by_cookie)" "$nothing"
    for policy in p2c least_conn rendezvous; do
        row "new pick, $policy, 100 upstreams" "$(count "$policy")" "$nothing"
    done
    row "new pick by a picker, p2c, 100 upstreams" "$(count picker)" "$nothing"
    row "token verify (what it adds to a pick)" "$(count with_token)" "$(count without_token)"
)
if [[ -n $bless ]]; then
    { echo "# benches/instructions.sh --bless, $(rustc --version | cut -d ' ' -f 1,2)"; echo "$now"; } >"$table"
fi
{ cat "$table"; echo "now"; echo "$now"; } | awk -v limit="$limit" '
    /^#/ { print; next }
    $0 == "now" { now = 1; printf "%-40s %7s %7s %6s\n", "instructions a call", "table", "now", "ratio"; next }
    { count = $NF; name = $0; sub(/ +[0-9]+$/, "", name) }
    !now { table[name] = count; next }
    !(name in table) { printf "%-40s %7s %7d\n", name, "-", count; next }
    {
        ratio = count / table[name]
        printf "%-40s %7d %7d %6.3f\n", name, table[name], count, ratio
        if (limit != "" && ratio > 1 + limit / 100) above = 1
    }
    END { exit above }'
