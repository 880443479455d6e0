#!/usr/bin/env bash
# Has schemathesis (PyPI) call a server by its /openapi.json: examples, the edges of every schema, random and wrong requests,
# and calls in a row. It fails where the server fails (5xx), or answers what the document does not say: a status, a content
# type, a header, a body. It needs python3 and PyPI, takes a few minutes, and reaches this machine alone.
#
#   tests/programs/schemathesis.sh [BINARY] [CASES]      default: target/debug/windrow 60
#
# The packages go into the folder that SCHEMATHESIS_VENV names, else into one that is removed in the end.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
binary=$(realpath "${1:-$here/../../target/debug/windrow}")
cases=${2:-60}
folder=$(mktemp -d)
venv=${SCHEMATHESIS_VENV:-$folder/venv}
server=
finish() {
  [ -z "$server" ] || kill "$server" 2>/dev/null || true
  wait 2>/dev/null || true
  rm -rf "$folder"
}
trap finish EXIT

if [ ! -x "$venv/bin/schemathesis" ]; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check 'schemathesis==4.32.5'
fi

key=$("$binary" --db "$folder/windrow.db" --json keys add schemathesis --scope admin |
  python3 -c 'import json, sys; print(json.load(sys.stdin)["secret"])')
"$binary" --db "$folder/windrow.db" serve --listen 127.0.0.1:0 --log-level warn \
  >"$folder/address" 2>"$folder/log" &
server=$!
for _ in $(seq 100); do
  grep -q 'listening on' "$folder/address" && break
  sleep 0.1
done
url=$(sed -n 's/^listening on //p' "$folder/address")

# what random requests find
send() {
  curl --silent --fail-with-body --output /dev/null -H "Authorization: Bearer $key" "$url/v1/datasets/$1" "${@:2}"
}
send visits/events --data-binary '[{"ts":"2026-03-01T10:00:00Z","country":"DE","ms":12,"page":"a"},{"ts":"2026-03-02T09:00:00Z","country":"FR","ms":"slow","page":"b"}]'
send pages -X PUT -d '{"kind":"records","key":"slug","search":["title"],"fields":{"title":{"type":"string"},"state":{"type":"string"}}}'
send pages/records -X PUT -d '[{"slug":"a","title":"Winds","state":"draft"},{"slug":"b","title":"Rows"}]'

# what it keeps of a run goes with the folder
cd "$folder"
# positive_data_acceptance is left out: that a text is a SQL expression over fields that are there, no schema can say
export SCHEMATHESIS_HOOKS=schemathesis_hooks PYTHONPATH=$here PYTHONDONTWRITEBYTECODE=1
status=0
curl --silent --fail --output "$folder/openapi.json" "$url/openapi.json"
"$venv/bin/schemathesis" run "$folder/openapi.json" --url "$url" \
  --header "Authorization: Bearer $key" --checks all --exclude-checks positive_data_acceptance --max-examples "$cases" --seed 1 \
  --request-timeout 60 --continue-on-failure --no-color --warnings off \
  --report ndjson --report-ndjson-path "${SCHEMATHESIS_EVENTS:-$folder/events.ndjson}" "${@:3}" || status=$?
if ! kill -0 "$server" 2>/dev/null; then
  echo 'the server is gone' >&2
  status=1
fi
if grep -q -i -E 'panicked|a request failed' "$folder/log"; then
  grep -i -E 'panicked|a request failed' "$folder/log" | head -20 >&2
  status=1
fi
exit "$status"
