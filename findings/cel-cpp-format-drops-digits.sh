#!/usr/bin/env bash
# cel-expr-python 0.1.3 (PyPI, cel-cpp with its strings extension): `'%s'.format([x])` of a double keeps six digits only.
#
# `string(123456789012.0)` is "1.23456789012e+11", which reads back as the same number. `'%s'.format([123456789012.0])` is
# "1.23457e+11": another number, off by more than a million. The conversion is silent, within lists and maps too, so an
# expression that builds a key or a header with `format` gives one text to numbers that differ.
#
# Needs python3 with venv. Prints what was seen, and fails where that is no longer so.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check cel-expr-python==0.1.3
cat >"$work/seen.py" <<'PYTHON'
from cel_expr_python import cel
from cel_expr_python.ext import ext_strings

env = cel.NewEnv(extensions=[ext_strings.ExtStrings()])
for text in [
    "string(123456789012.0)",
    "'%s'.format([123456789012.0])",
    "'%s'.format([[1234567.5]])",
    "'%s'.format([1234567.0]) == '%s'.format([1234568.0])",
    "double(string(123456789012.0)) == 123456789012.0",
]:
    print(f"{str(env.compile(text).eval().value()):<20} {text}")
PYTHON
seen="$("$work/venv/bin/python" "$work/seen.py")"
echo 'cel-expr-python 0.1.3'
echo "$seen"
values="$(cut -d' ' -f1 <<<"$seen" | paste -sd' ')"
[ "$values" = '1.23456789012e+11 1.23457e+11 [1.23457e+06] True True' ] || { echo "this has changed" >&2; exit 1; }
