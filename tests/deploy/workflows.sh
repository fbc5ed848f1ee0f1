#!/usr/bin/env bash
# The workflows hold together: actionlint (with shellcheck over their scripts where it is installed), and every action is pinned by commit.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

tools=$(tools/build.sh actionlint)
"$tools/actionlint" -color=false
# A tag can be moved to other code, a commit can't.
if grep -HnE '^\s*(- )?uses:' .github/workflows/*.yml | grep -vE 'uses: [A-Za-z0-9._-]+/[A-Za-z0-9._/-]+@[0-9a-f]{40} # v[0-9.]+$'; then
  printf 'error: these actions are not pinned by commit, with the version as a comment\n' >&2
  exit 1
fi
printf 'workflows: %d files are fine, %d actions pinned\n' "$(find .github/workflows -name '*.yml' | wc -l)" "$(cat .github/workflows/*.yml | grep -cE '^\s*(- )?uses:')"
