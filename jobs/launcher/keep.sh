#!/bin/sh
# Runs a command again whenever it ends, until told to stop: sh keep.sh COMMAND ...
# A worker quits when Redis is away for long; a killed process must come back by itself.
stop() {
    trap '' TERM INT
    kill -TERM "$child" 2>/dev/null
    wait "$child"
    exit 0
}
trap stop TERM INT
while :; do
    "$@" &
    child=$!
    wait "$child"
    echo "keep: '$1' ended with $?, and is started again" >&2
    sleep 1 &
    child=$!
    wait "$child"
done
