#!/usr/bin/env bash
# Builds the static release binaries of this machine's architecture, and the authorities' certificates beside them:
#
#   target/dist/<amd64|arm64>/{playback-grant-operator,media-api-simulator}   target/dist/ca-certificates.crt
#
#   tools/dist.sh --package NAME   builds the program of that package of the tests likewise, and nothing else
#   tools/dist.sh --arch           prints this machine's architecture, as images name it, and builds nothing
#
# They need no file of the system they run on: the C library is linked in, names are looked up by the program itself. The same commit and the
# same compilers give the same bytes, wherever it is built: no path of this machine goes into them (tools/reproducible.sh).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

die() { printf 'error: %s\n' "$*" >&2; exit 1; }

case $(uname -m) in
  x86_64) arch=amd64 triple=x86_64-unknown-linux-gnu ;;
  aarch64 | arm64) arch=arm64 triple=aarch64-unknown-linux-gnu ;;
  *) die "images are for amd64 and arm64, and this machine is $(uname -m)" ;;
esac
[ "$(uname -s)" = Linux ] || die "the release binaries are built on Linux"
case ${1:-} in
  '') wanted=(--bins) names=(playback-grant-operator media-api-simulator) ;;
  --package) wanted=(--package "${2:?a package}") names=("$2") ;;
  --arch)
    echo "$arch"
    exit 0
    ;;
  *) die 'usage: tools/dist.sh [--package NAME | --arch]' ;;
esac

cargo=${CARGO:-cargo}
# cargo-auditable puts the list of dependencies into the binaries, for scanners and `make sbom`. Itself it is built as everything is: before
# the flags below are set.
PATH=$(tools/cargo-tools.sh cargo-auditable):$PATH
export PATH
# These would take the place of the flags for the target.
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS
home=${CARGO_HOME:-$HOME/.cargo}
sysroot=$(rustc --print sysroot)
remap="--remap-path-prefix=$PWD=/src --remap-path-prefix=$home=/cargo --remap-path-prefix=$sysroot=/rust"
# Random numbers by the system call: the default looks the C library's function up at run time, finds none in a static program, and then
# wants /dev/urandom.
random='--cfg getrandom_backend="linux_getrandom"'
# Flags for a named target leave build scripts and macros as they are: those can't be static.
variable=CARGO_TARGET_$(tr a-z- A-Z_ <<<"$triple")_RUSTFLAGS
# A program that may lie anywhere in memory reads where its addresses are to be put right as it starts: packed, that is half a megabyte less that it
# keeps. The C library has known how since 2.36; where the linker doesn't, the program is that much larger.
packed="-C link-arg=-Wl,-z,pack-relative-relocs"
export "$variable=-C target-feature=+crt-static $packed $random $remap"
export CFLAGS="-ffile-prefix-map=$PWD=/src -ffile-prefix-map=$home=/cargo"
"$cargo" auditable build --release --locked "${wanted[@]}" --target "$triple"

target=${CARGO_TARGET_DIR:-target}
mkdir -p "target/dist/$arch"
for name in "${names[@]}"; do
  said=$(ldd "$target/$triple/release/$name" 2>&1 || :)
  [[ $said =~ "statically linked"|"not a dynamic executable" ]] || die "$name is not static: $said"
  "$target/$triple/release/$name" --version >/dev/null 2>&1 || [ $? -lt 128 ] || die "$name is ended by a signal as it starts: perhaps the C library that is linked in is older than 2.36"
  install -m 0755 "$target/$triple/release/$name" "target/dist/$arch/$name"
done
[ -z "${1:-}" ] || exit 0
"$cargo" run --quiet --locked --package ca-bundle >target/dist/ca-certificates.crt.part
mv target/dist/ca-certificates.crt.part target/dist/ca-certificates.crt
chmod 0644 target/dist/ca-certificates.crt
