#!/usr/bin/env bash
# make e2e: the images, the chart and the manifests on a real node (node/README.md), as a person installs them. Needs root.
#
# The commands of docs/install.md are run as they stand there. At the end it prints what was seen; it exits 1 at the first thing that isn't so.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
began=$SECONDS
[ $# -eq 0 ] || { echo 'usage: tests/e2e/run.sh, without arguments' >&2; exit 2; }

die() { printf 'error: %s\n' "$*" >&2; exit 1; }
node=tests/e2e/node/node.sh
scratch=$(mktemp -d)
finish() {
  local code=$?
  # Whatever fails here, the node is ended.
  if [ $code -ne 0 ] && [ -d "$scratch/node/log" ]; then
    { mkdir -p target && rm -rf target/e2e && cp -r "$scratch/node/log" target/e2e && echo "the node's logs are in target/e2e" >&2; } || :
    [ ! -e "$scratch/node/audit.log" ] || cp "$scratch/node/audit.log" target/e2e/ || :
  fi
  "$node" down "$scratch/node" || code=1
  rm -rf "$scratch" || :
  exit $code
}
trap finish EXIT
trap 'exit 130' INT TERM HUP

# Says in one line what it lacks, before anything is built.
tests/e2e/node/check.sh "$scratch/node" || exit 1

helm=$(tools/build.sh helm)
tools/image.sh
tests/deploy/image.sh
tools/dist.sh --package observer
python3 tests/e2e/node/pack.py "$scratch/observer.tar" e2e.test/observer:e2e "target/dist/$(tools/dist.sh --arch)/observer" 65532
make --no-print-directory manifests
# The chart that is upgraded from: the last commit's, where there is one.
mkdir "$scratch/previous"
if git cat-file -e 'HEAD^:deploy/chart' 2>/dev/null; then
  previous="of commit $(git rev-parse --short 'HEAD^')"
  git archive 'HEAD^' deploy/chart | tar -x -C "$scratch/previous"
else
  previous='this one, for want of a commit before it'
  mkdir "$scratch/previous/deploy" && cp -r deploy/chart "$scratch/previous/deploy/"
fi
echo "built in $((SECONDS - began)) s"

"$node" up "$scratch/node"
"$node" load "$scratch/node" target/image/*-"$(tools/dist.sh --arch)".tar "$scratch/observer.tar"

code=0
PATH=$helm:$PATH "$node" run "$scratch/node" env E2E_SCRATCH="$scratch" E2E_PREVIOUS="$previous" E2E_AUDIT="$scratch/node/audit.log" tests/e2e/inside.sh || code=$?
if [ -s "$scratch/rows" ]; then
  printf '\n'
  awk -F '\t' '{printf "| %-34s | %s\n", $1, $2}' "$scratch/rows"
fi
[ $code -eq 0 ] || die 'make e2e: what is above was not as it should be'
printf '\ne2e: all as it should be, in %d s\n' $((SECONDS - began))
