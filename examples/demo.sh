#!/bin/bash
# npm run demo: everything from nothing. Installs, builds, brings up a cluster in containers, trains examples/digits on it
# and pulls the results. May be run again at any time; what has not changed is not done again.
set -euo pipefail
cd "$(dirname "$0")/.."
hpcrun=$PWD/bin/hpcrun.js

say() { printf '\n\033[1m%s\033[0m\n' "$*" >&2; }
if [ ! -t 2 ] || [ -n "${NO_COLOR-}" ]; then say() { printf '\n%s\n' "$*" >&2; }; fi

if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  say '$ npm ci'
  npm ci --no-fund --no-audit >&2
fi
npm run --silent build >&2

say '$ hpcrun sandbox up'
"$hpcrun" sandbox up --install-engine

cd examples/digits
say '$ hpcrun submit --gpus 1 --json train.py --epochs 20'
submitted=$("$hpcrun" submit --gpus 1 --json train.py --epochs 20)
echo "$submitted"
run=$(node -p 'JSON.parse(process.argv[1]).runId' "$submitted")

say "\$ hpcrun logs -f $run"
"$hpcrun" logs -f "$run"

say "\$ hpcrun wait $run"
"$hpcrun" wait "$run"

say '$ hpcrun status'
"$hpcrun" status -n 3

say "\$ hpcrun pull-results $run"
"$hpcrun" pull-results "$run"

results=$PWD/hpcrun-results/$run
say "The results are in $results:"
ls -l "$results" >&2
node -e '
  const { accuracy } = JSON.parse(require("fs").readFileSync(process.argv[1], "utf8"));
  console.error(`accuracy on images it has not seen: ${accuracy.toFixed(4)}`);
  if (!(accuracy > 0.9)) process.exit(1);
' "$results/metrics.json"
say 'The cluster stays up for more: see README.md. To remove it: npx hpcrun sandbox down'
