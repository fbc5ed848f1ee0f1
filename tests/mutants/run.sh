#!/usr/bin/env bash
# Changes the pure core and the rules of ownership in every way that cargo-mutants knows, one at a time, and asks whether a test fails.
#
#   tests/mutants/run.sh [FILE…]    these files alone; without any, all that the list below names
#   SINCE=COMMIT                    of them, what has changed since that commit
#
# Exit code 1 when a mutant survives that tests/mutants/explained.txt doesn't explain.
#
# Each mutant meets the fast tests of its own room first; of the client, what survives meets its slower ones, then its tests against the simulator. What survives those
# meets all of the library, also the simulation (but for the client's, which has no part in it). Where only pure rooms are changed, only they are compiled
# for the fast tests: that is what makes an hour of a day.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export LC_ALL=C

# The pure core, and the client of the Media API with its lanes.
lifecycle=('src/lifecycle/*.rs')
media=('src/media/**/*.rs')
# What the shell knows of Secrets: which news is newer, what a refusal means, what metadata prove, what stands in the data, what a patch says.
# Who may write now. The hash by which a grant is known to be of the present spec, and what all times are told in.
rules=(src/controller/{secret_index,contents,turns/queue}.rs src/controller/api/{failure,meta,body}.rs src/api/request_hash.rs src/time.rs)
# What is told of it, when, and how often.
rules+=(src/controller/{reach,lane_log,events/outbox}.rs)
telemetry=(src/telemetry/{transition,logs,metrics/mod,metrics/ledger,metrics/objects,metrics/lanes}.rs)
whole=yes
if [ $# -gt 0 ]; then
  lifecycle=() media=() rules=() telemetry=() whole=
  for file in "$@"; do
    [ -f "$file" ] || { echo "error: there is no file $file" >&2; exit 2; }
    case $file in src/lifecycle/*) lifecycle+=("$file") ;; src/media/*) media+=("$file") ;; src/telemetry/*) telemetry+=("$file") ;; *) rules+=("$file") ;; esac
  done
fi

tools=$(tools/cargo-tools.sh cargo-mutants)
work=$PWD/target/mutants
tree=$work/tree
rm -rf "$tree" "$work"/{lifecycle,media,rules,telemetry}
mkdir -p "$tree"
changed=()
if [ -n "${SINCE:-}" ]; then
  whole='' changed=("--in-diff=$work/changed.diff")
  git diff "$SINCE" -- src >"$work/changed.diff"
fi
git ls-files -z --cached --others --exclude-standard | { while IFS= read -r -d '' file; do [ ! -e "$file" ] || printf '%s\0' "$file"; done; } \
  | xargs -0 cp --parents -t "$tree"
explained=$PWD/tests/mutants/explained.txt
cd "$tree"
export CARGO_TARGET_DIR=$work/build PATH=$tools:$PATH
host=$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
export "CARGO_TARGET_${host}_RUNNER=$work/tree/tests/mutants/until-one-fails.sh"

mutate() { # OUT ARGUMENT…: cargo-mutants exits 2 for survivors and 3 for time-outs, which are counted below; 4 where the tests fail without a mutant
  local out=$1 code=0
  shift
  cargo mutants --in-place --no-shuffle --colors=never -p playback-grant-operator -o "$out" "${changed[@]}" "$@" || code=$?
  case $code in 0|2|3) ;; *) echo "error: cargo-mutants failed with exit code $code" >&2; exit 1 ;; esac
}

in_files() { printf -- '--file=%s\n' "$@"; }

# NAME STRIPPED TESTS FILE…
run() {
  local name=$1 stripped=$2 tests=$3 files
  shift 3
  [ $# -gt 0 ] || return 0
  # What plays through minutes of many requests is met by what survives the rest alone.
  local slow=(media::lanes:: a_standing_limit) skipped=(--skip simulation)
  [ "$name" != media ] || skipped+=("${slow[@]/#/--skip=}")
  mapfile -t files < <(in_files "$@")
  cp src/lib.rs "$work/lib.rs"
  [ -z "$stripped" ] || sed -i "/^pub mod \($stripped\);/d" src/lib.rs
  mutate "$work/$name" "${files[@]}" --timeout 60 --cargo-arg=--lib -- -- "$tests" "${skipped[@]}"
  [ ! -f "$work/$name/mutants.out/outcomes.json" ] || cp "$work/$name/mutants.out/outcomes.json" "$work/$name/fast.json"
  [ "$name" != media ] || again media --cargo-arg=--lib -- -- "${slow[@]}"
  cp "$work/lib.rs" src/lib.rs
  if [ ! -f "$work/$name/mutants.out/outcomes.json" ]; then
    echo "nothing in these files can be mutated: $*"
    [ -z "$whole" ] || { echo 'error: the list of files in tests/mutants/run.sh is out of date' >&2; exit 1; }
    return 0
  fi
  if [ "$name" = media ]; then
    again media --cargo-arg=--test=media --
    again media --cargo-arg=--lib -- -- --skip simulation
  else
    again "$name" --cargo-arg=--lib --
  fi
}

# NAME ARGUMENT…: what has survived so far meets these tests. A time-out may be the machine's.
again() {
  local name=$1
  shift
  if [ -s "$work/$name/mutants.out/missed.txt" ] || [ -s "$work/$name/mutants.out/timeout.txt" ]; then
    mutate "$work/$name" "${files[@]}" --iterate --timeout 300 "$@"
  fi
}

pure='cli\|controller\|simulator\|telemetry'
run lifecycle "$pure" lifecycle:: "${lifecycle[@]}"
run media "$pure" media:: "${media[@]}"
run rules 'cli\|simulator' controller:: "${rules[@]}"
run telemetry 'cli\|simulator' telemetry:: "${telemetry[@]}"

# A survivor's name without the place, which any line before it would change.
survivors() { cat "$work"/{lifecycle,media,rules,telemetry}/mutants.out/missed.txt 2>/dev/null | sed -E 's/^([^:]+):[0-9]+:[0-9]+: /\1: /' | sort; }
known() { grep -v '^ \|^#\|^$' "$explained" | sort; }

python3 - "$work" <<'PYTHON'
import glob, json, sys
total, fates = 0, {}
for path in glob.glob(sys.argv[1] + "/*/fast.json"):
    for outcome in json.load(open(path))["outcomes"]:
        if outcome["scenario"] != "Baseline":
            total += 1
            fates[outcome["summary"]] = fates.get(outcome["summary"], 0) + 1
print(f"{total} mutants, by the fast tests: " + ", ".join(f"{count} {fate}" for fate, count in sorted(fates.items())))
PYTHON
printf '%d survive all tests\n' "$(survivors | grep -c .)"
if grep -h . "$work"/{lifecycle,media,rules,telemetry}/mutants.out/timeout.txt 2>/dev/null; then echo 'these ran into the time limit, which counts as caught'; fi
unexplained=$(comm -23 <(survivors) <(known))
if [ -n "$unexplained" ]; then
  printf '%s\n' "$unexplained"
  echo 'error: these survive: write the test that each of them fails, or explain it in tests/mutants/explained.txt' >&2
  exit 1
fi
if [ -n "$whole" ]; then
  gone=$(comm -13 <(survivors) <(known))
  [ -z "$gone" ] || { printf '%s\n' "$gone"; echo 'error: these are explained, and survive no more: take them out of tests/mutants/explained.txt' >&2; exit 1; }
fi
echo 'mutants: none survives that is not explained'
