#!/bin/sh
# What we ship that others wrote: licences, a bill of materials, known vulnerabilities. docs/third-party.md explains it.
set -eu
cd "$(dirname "$0")/.."
scripts/ensure_venv.sh requirements-audit.txt .venv-audit
bill=bill-of-materials.cdx.json

result=0
.venv-audit/bin/python -m scripts.supply_chain "$bill" || result=1
echo "Bill of materials (CycloneDX): $bill"

log=$(mktemp "${TMPDIR:-/tmp}/audit.XXXXXX")
trap 'rm -f "$log"' EXIT
status=0
.venv-audit/bin/pip-audit --progress-spinner off --disable-pip --require-hashes --requirement requirements.txt \
    >"$log" 2>&1 || status=$?
if grep -q "known vulnerabilit" "$log" && ! grep -q "^flask .*could not be audited" "$log"; then
    cat "$log"
    [ "$status" -eq 0 ] || result=1
else
    # It does not answer, or something else does: one that has never heard of Flask.
    echo "Known vulnerabilities: not checked, since the advisory service cannot be reached from here."
fi
exit $result
