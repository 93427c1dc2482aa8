#!/usr/bin/env bash
# Checks every shell and Python script of the repository: syntax always, shellcheck where it is installed (in CI it must be).
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."
mapfile -t shell < <(git ls-files -co --exclude-standard | grep -E '\.sh$|^\.ci/run$')
mapfile -t python < <(git ls-files -co --exclude-standard -- '*.py')
for f in "${shell[@]}"; do bash -n "$f"; done
for f in "${python[@]}"; do python3 -c 'import ast, sys; ast.parse(open(sys.argv[1]).read(), sys.argv[1])' "$f"; done
if command -v shellcheck > /dev/null; then
  shellcheck --severity=warning --shell=bash --external-sources "${shell[@]}"
elif [ -n "${CI:-}" ]; then
  echo "shellcheck is missing; install it with: apt-get install shellcheck" >&2
  exit 1
else
  echo "shellcheck is not installed: only the syntax of ${#shell[@]} scripts was checked" >&2
fi
