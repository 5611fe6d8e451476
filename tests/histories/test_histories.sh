#!/usr/bin/env bash
# Every recorded history is decided anew, command by command. Those of this engine's revision (rN) come out the same; those of an older one
# are refused by name. What to do at a difference: CONTRIBUTING.md, "Recorded histories". Prints TAP.
set -u
cd "$(dirname "$0")" || exit 1
replay=${PW_BUILD_DIR:-../../build/debug}/tests/histories/history_replay
revision=$(sed -n 's/^#define ENGINE_REVISION \([0-9]*\)$/\1/p' ../../orchestrator/core/engine.h)
n=0 bad=0

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
    of=${file%%/*}
    said=$(gzip -dc "$file" | "$replay")
    code=$?
    if [ "$of" = "r$revision" ]; then
        [ "$code" = 0 ] && good=yes || good=no
        result "$good" "$file comes out the same: $said" "$said"
    else
        [ "$code" = 3 ] && [[ $said == *"engine revision ${of#r}, this is $revision"* ]] && good=yes || good=no
        result "$good" "$file is refused by revision $revision" "exit code $code: $said"
    fi
done

# The set is the whole one, and a comparison that accepts everything proves nothing.
stories=$(sed -n '/^STORIES = {/,/^}/s/^    "\([a-z-]*\)":.*/\1/p' record.py | sort)
there=$(cd "r$revision" 2> /dev/null && printf '%s\n' *.gz | sed 's/\.gz$//' | sort)
[ "$stories" = "$there" ] && good=yes || good=no
result "$good" "revision $revision has every story ($(wc -l <<< "$stories"))" "$(diff <(echo "$stories") <(echo "$there"))"

one=r$revision/finished.gz
said=$(gzip -dc "$one" | sed '0,/"type":"claim"/s//"type":"stage"/' | "$replay")
[ $? = 1 ] && [[ $said == "entry 1: "*recorded* ]] && good=yes || good=no
result "$good" "a changed command is found" "$said"
said=$(gzip -dc "$one" | sed '0,/"type":"node_claimed"/{/"type":"node_claimed"/{N;d}}' | "$replay")
[ $? = 1 ] && good=yes || good=no
result "$good" "a missing claim is found" "$said"
said=$(gzip -dc "$one" | sed 's/"type":"run_start"\(.*\)"revision":[0-9]*/"type":"run_start"\1"revision":999/' | "$replay")
[ $? = 3 ] && [[ $said == *"engine revision 999, this is $revision"* ]] && good=yes || good=no
result "$good" "another revision's is refused by name" "$said"

echo "1..$n"
exit $bad
