#!/usr/bin/env bash
# Runs a test program, and ends it when the first of its tests fails: a mutant is caught by then, and others of its tests may never end.
exec 3< <(exec "$@" 2>&1)
program=$!
while IFS= read -r line <&3; do
  printf '%s\n' "$line"
  case $line in *'... FAILED') kill "$program"; exit 101 ;; esac
done
wait "$program"
