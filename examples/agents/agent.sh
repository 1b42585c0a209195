#!/bin/sh
# Registers an instance at Homing gateways, and sends them heartbeats with a report every few seconds. Needs curl, and
# /proc for the figures of a process. See README.md.
set -u

usage() {
    cat >&2 <<USAGE
usage: agent.sh [options] NAME ADDRESS

NAME is the instance's name at the gateways, ADDRESS (host:port) where they reach it.

  --admin URL              a gateway's administration; repeat for all of them (default: http://127.0.0.1:9090)
  --token-file FILE        its token, read anew each time
  --ttl SECONDS            the instance drains after so long without a heartbeat (default: 15)
  --weight N, --max-in-flight N
  --pid PID                the process to report on; the agent ends with it
  --sessions-command CMD   prints the number of sessions of the instance
  --sessions-url URL       responds with that number
  --drain SECONDS          on SIGTERM, wait so long for its sessions to leave (default: 0)
USAGE
    exit 2
}

say() { printf 'agent: %s\n' "$*" >&2; }

admins='' token_file='' ttl=15 weight=1 max_in_flight=0 pid='' sessions_command='' sessions_url='' drain=0
while [ $# -gt 0 ]; do
    case $1 in
    --admin | --token-file | --ttl | --weight | --max-in-flight | --pid | --sessions-command | --sessions-url | --drain)
        [ $# -ge 2 ] || usage
        case $1 in
        --admin) admins="$admins ${2%/}" ;;
        --token-file) token_file=$2 ;;
        --ttl) ttl=$2 ;;
        --weight) weight=$2 ;;
        --max-in-flight) max_in_flight=$2 ;;
        --pid) pid=$2 ;;
        --sessions-command) sessions_command=$2 ;;
        --sessions-url) sessions_url=$2 ;;
        --drain) drain=$2 ;;
        esac
        shift 2
        ;;
    -*) usage ;;
    *) break ;;
    esac
done
[ $# -eq 2 ] || usage
name=$1 address=$2
admins=${admins:-http://127.0.0.1:9090}

# For values that go into URLs and JSON without escaping.
plain() { case $2 in '' | *[!$3]*) say "$1 $2 is refused: use $3"; exit 2 ;; esac; }
plain NAME "$name" 'A-Za-z0-9._-'
plain ADDRESS "$address" '][A-Za-z0-9.:_-'
plain --ttl "$ttl" 0-9
plain --weight "$weight" 0-9
plain --max-in-flight "$max_in_flight" 0-9
plain --drain "$drain" 0-9
[ -z "$pid" ] || plain --pid "$pid" 0-9

# ask ADMIN METHOD REST BODY: prints the status, 000 without a response. curl gets the token by its standard input,
# because command lines are visible to other users.
ask() {
    {
        [ -z "$token_file" ] || printf 'header = "Authorization: Bearer %s"\n' "$(tr -d '\r\n' <"$token_file")"
    } | curl --config - --silent --noproxy '*' --max-time 5 --output /dev/null --write-out '%{http_code}' \
        --request "$2" --header 'Content-Type: application/json' --data-binary "$4" "$1/api/v1/upstreams/$name$3"
}

# A number, or null.
number() { case $1 in '' | *[!0-9]*) printf null ;; *) printf %s "$1" ;; esac; }

sessions() {
    if [ -n "$sessions_command" ]; then
        number "$(sh -c "$sessions_command" 2>/dev/null)"
    elif [ -n "$sessions_url" ]; then
        number "$(curl --silent --fail --noproxy '*' --max-time 2 "$sessions_url")"
    else
        printf null
    fi
}

clock_ticks=$(getconf CLK_TCK 2>/dev/null || printf 100)
last_ticks='' last_uptime=''

# Sets $report. The processor time is that since the last report.
observe() {
    memory=null threads=null cpu=null
    if [ -n "$pid" ] && [ -r "/proc/$pid/stat" ]; then
        memory=$(awk '/^VmRSS:/ { printf "%.0f", $2 * 1024 }' "/proc/$pid/status" 2>/dev/null)
        threads=$(awk '/^Threads:/ { print $2 }' "/proc/$pid/status" 2>/dev/null)
        # The fields after the name, which may contain spaces and parentheses; utime and stime are the 12th and 13th.
        ticks=$(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null | awk '{ print $12 + $13 }')
        uptime=$(cut -d' ' -f1 /proc/uptime)
        if [ -n "$last_ticks" ] && [ -n "$ticks" ]; then
            cpu=$(awk -v t="$ticks" -v t0="$last_ticks" -v u="$uptime" -v u0="$last_uptime" -v hz="$clock_ticks" \
                'BEGIN { if (u > u0 && t >= t0) printf "%.3f", (t - t0) / hz / (u - u0); else printf "null" }')
        fi
        last_ticks=$ticks last_uptime=$uptime
    fi
    report="{\"sessions\":$(sessions),\"memory_bytes\":${memory:-null}"
    report="$report,\"threads\":${threads:-null},\"cpu\":${cpu:-null}}"
}

register() {
    config="\"address\":\"$address\",\"weight\":$weight,\"max_in_flight\":$max_in_flight"
    ask "$1" PUT '' "{$config,\"ttl\":\"${ttl}s\",\"report\":$report}"
}

# Sends a heartbeat to all gateways, and registers at those that do not know the instance. Logs an outcome that differs
# from the last one.
told=''
tell() {
    observe
    outcome='' missed=''
    for admin in $admins; do
        status=404
        [ -z "$is_new" ] && status=$(ask "$admin" POST /heartbeat "$report")
        if [ "$status" = 404 ]; then
            status=$(register "$admin")
        fi
        case $status in
        200 | 201) outcome="$outcome; $admin knows $name" ;;
        # It may come back with an older registration.
        000) outcome="$outcome; $admin does not respond" missed=1 ;;
        401 | 403) outcome="$outcome; $admin refuses the token ($status)" ;;
        409) outcome="$outcome; $admin keeps $name away, which an operator removed" ;;
        *) outcome="$outcome; $admin refuses: $status" ;;
        esac
    done
    [ "$outcome" = "$told" ] || say "${outcome#; }"
    told=$outcome is_new=${is_new:+$missed}
}

# Sleeps, but returns at once on a signal.
pause() {
    sleep "$1" &
    sleeping=$!
    wait "$sleeping"
    kill "$sleeping" 2>/dev/null
}

is_alive() {
    case $(sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null) in '' | Z* | X*) return 1 ;; esac
}

leave() {
    body='{}'
    [ "$drain" -eq 0 ] || [ "$1" = gone ] || body="{\"drain\":\"${drain}s\"}"
    for admin in $admins; do ask "$admin" POST /deregister "$body" >/dev/null; done
    [ "$body" = '{}' ] && return
    say "$name drains"
    trap 'exit 1' TERM INT
    remaining=$admins
    while [ -n "$remaining" ]; do
        observe
        waiting=''
        for admin in $remaining; do
            [ "$(ask "$admin" POST /heartbeat "$report")" = 200 ] && waiting="$waiting $admin"
        done
        remaining=$waiting
        [ -z "$remaining" ] || pause 1
    done
}

stop=''
trap 'stop=1; kill "${sleeping:-}" 2>/dev/null' TERM INT
interval=$(awk -v ttl="$ttl" 'BEGIN { printf "%.2f", ttl / 3 }')
is_new=1
while [ -z "$stop" ]; do
    if [ -n "$pid" ] && ! is_alive; then
        say "process $pid is gone"
        leave gone
        exit 1
    fi
    tell
    [ -n "$stop" ] || pause "$interval"
done
leave asked
say "$name has stopped"
