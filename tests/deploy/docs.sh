#!/usr/bin/env bash
# Each block of commands in the documentation is run by something: the line above it says by what, and it is so.
#
#   <!-- e2e: NAME -->        tests/e2e/inside.sh runs the block, by that name
#   <!-- run by: FILE -->     each of its lines stands in that file
#   <!-- read by: FILE -->    that file takes it from here and runs it
#   <!-- as: FILE NAME -->    it is that block of that file, word for word
#   <!-- not run: WHY -->     nothing runs it (only for `console`, which shows what somebody sees)
#
# make e2e itself fails if it has not run one that it is to run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

block_after() { # FILE LINE: the block whose fence stands below that line
  awk -v from="$2" 'NR <= from {next} /^```/ {if (inside) exit; inside = 1; next} inside' "$1"
}

blocks=0
while IFS=: read -r file number language; do
  mark=$(sed -n "$((number - 1))p" "$file")
  case $mark in
    '<!-- e2e: '*' -->')
      name=${mark#'<!-- e2e: '} name=${name%' -->'}
      [ "$file" = docs/install.md ] || fail "$file:$number: make e2e runs blocks of docs/install.md alone"
      grep -qE "^ *([A-Z_]+=[^ ]+ )*documented $name\$" tests/e2e/inside.sh || fail "$file:$number: tests/e2e/inside.sh doesn't run '$name'"
      ;;
    '<!-- run by: '*' -->')
      runner=${mark#'<!-- run by: '} runner=${runner%' -->'}
      while read -r line; do
        line=${line%%  #*} line=${line%"${line##*[! ]}"}
        [ -z "$line" ] || grep -qE -- "(^|[^A-Za-z-])${line//./\\.}( |\$|\))" "$runner" || fail "$file:$number: $runner doesn't run: $line"
      done < <(block_after "$file" $((number - 1)))
      ;;
    '<!-- read by: '*' -->')
      runner=${mark#'<!-- read by: '} runner=${runner%' -->'}
      grep -qF -- "$file" "$runner" || fail "$file:$number: $runner doesn't read $file"
      ;;
    '<!-- as: '*' -->')
      read -r other name <<<"${mark#'<!-- as: '}"
      name=${name%' -->'}
      at=$(grep -nxF -- "<!-- e2e: $name -->" "$other" | cut -d : -f 1) || fail "$file:$number: $other has no block $name"
      [ "$(block_after "$file" $((number - 1)))" = "$(block_after "$other" "$at")" ] || fail "$file:$number isn't the block $name of $other"
      ;;
    '<!-- not run: '*' -->')
      [ "$language" = '```console' ] || fail "$file:$number: a block of commands is run, or is a \`console\` block"
      ;;
    *) fail "$file:$number: nothing runs this block of commands: the line above it is to say what does (see tests/deploy/docs.sh)" ;;
  esac
  blocks=$((blocks + 1))
done < <(git ls-files -z '*.md' | xargs -0 awk '
  /^ *```/ {inside = !inside; if (inside && !/^```(yaml|json|text|lua|rust|toml)$/) print FILENAME ":" FNR ":" $0}')
if git ls-files -z '*.md' | xargs -0 grep -nE '\((SUPPORTED|TODO|TBD)\)'; then fail 'a placeholder was left'; fi
[ "$blocks" -gt 10 ] || fail "only $blocks blocks were found"

# And the other way round: what is run by name is there.
for name in $(grep -oE 'documented [a-z-]+' tests/e2e/inside.sh | cut -d ' ' -f 2 | sort -u); do
  grep -qxF -- "<!-- e2e: $name -->" docs/install.md || fail "docs/install.md has no block $name"
done
echo "docs: $blocks blocks of commands, each run"
