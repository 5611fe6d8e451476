#!/usr/bin/env bash
# Every recorded history (rN/NAME.gz) is cut off after every 11th entry and taken over by the present engine, as one of another revision
# would: from its log and from what its projections held there (projected/rN/NAME.gz, written once by the revision that recorded it).
# Led to an end and judged by what the world is like. Prints TAP.
set -u
cd "$(dirname "$0")" || exit 1
takeover=${PW_BUILD_DIR:-../../build/debug}/tests/histories/history_takeover
dir=$(mktemp -d) || exit 1
trap 'rm -r "$dir"' EXIT
n=0 bad=0 cuts=0

result() { # result GOOD TITLE DETAIL
    n=$((n + 1))
    if [ "$1" = yes ]; then
        echo "ok $n - $2"
    else
        echo "not ok $n - $2"
        sed 's/^/# /' <<< "$3"
        bad=1
    fi
}

for file in r*/*.gz; do
    gzip -dc "$file" > "$dir/log"
    if ! gzip -dc "projected/$file" > "$dir/projected"; then
        result no "$file has its projections" "record.py writes them"
        continue
    fi
    said=$("$takeover" lead "$dir/log" "$dir/projected" 2>&1)
    [ $? = 0 ] && [[ $said == *" cuts: "* ]] && good=yes || good=no
    cuts=$((cuts + ${said%% cuts:*})) 2> /dev/null
    result "$good" "$file is taken over: ${said:0:200}" "$said"
done
[ "$cuts" -ge 400 ] && good=yes || good=no
result "$good" "that were $cuts takeovers" "too few to say anything"

# A judge that accepts everything proves nothing: projections that are not the log's are found.
gzip -dc r1/finished.gz > "$dir/log"
gzip -dc projected/r1/finished.gz | sed -n '3p' | sed 's/"phase":"[a-z_]*","end":"none"/"phase":"ended","end":"done"/' > "$dir/projected"
said=$("$takeover" lead "$dir/log" "$dir/projected" 2>&1)
[ $? = 1 ] && [[ $said == *"is told to be patched and is not"* ]] && good=yes || good=no
result "$good" "a node that the projections call done and that is not is found" "$said"
gzip -dc projected/r1/retried.gz | sed -n '$s/"end":"stuck"/"end":"returned"/p' > "$dir/projected"
gzip -dc r1/retried.gz > "$dir/log"
said=$("$takeover" lead "$dir/log" "$dir/projected" 2>&1)
[ $? = 1 ] && [[ $said == *"is told to be in service and is not"* ]] && good=yes || good=no
result "$good" "a node that the projections call returned and that is out is found" "$said"
# Before its end a run sees for itself, whatever the projections say: what is out is put back.
gzip -dc projected/r1/unknown-decided-done.gz | sed 's/"phase":"[a-z_]*","end":"none"/"phase":"pending","end":"none"/' > "$dir/projected"
gzip -dc r1/unknown-decided-done.gz > "$dir/log"
said=$("$takeover" lead "$dir/log" "$dir/projected" 2>&1)
[ $? = 0 ] && good=yes || good=no
result "$good" "nodes that the projections call untouched and that are out are seen in their cluster" "$said"

echo "1..$n"
exit $bad
