#!/usr/bin/env bash
# cel-expr-python 0.1.3 (PyPI, which is cel-cpp): `substring` refuses an end that is the size of the string.
#
# The end of `substring(start, end)` in the strings extension of CEL is exclusive, so the size of the string is the end that
# takes everything behind the start. cel-expr-python takes that end only where the start is the same, and else fails with
# INVALID_ARGUMENT, "greater than <string>.size()"; one less is taken. npm @bufbuild/cel 0.4.0 takes it. Anybody who writes
# `s.substring(3, s.size())` has to write `s.substring(3)` to have it run on both.
#
# Needs python3 with venv, node and npm. Prints what was seen, and fails where that is no longer so.
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cat >"$work/expressions" <<'TEXT'
'tacocat'.substring(3)
'tacocat'.substring(3, 6)
'tacocat'.substring(3, 7)
'tacocat'.substring(7, 7)
TEXT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check cel-expr-python==0.1.3
cat >"$work/one.py" <<'PYTHON'
import sys
from cel_expr_python import cel
from cel_expr_python.ext import ext_strings

env = cel.NewEnv(extensions=[ext_strings.ExtStrings()])
for text in open(sys.argv[1]).read().splitlines():
    value = env.compile(text).eval().value()
    print("error" if value.startswith("INVALID_ARGUMENT") else repr(value))
PYTHON
(cd "$work" && npm init -y >/dev/null && npm install --silent --no-audit --no-fund @bufbuild/cel@0.4.0 >/dev/null)
cat >"$work/other.mjs" <<'NODE'
import { readFileSync } from "node:fs";
import { run } from "@bufbuild/cel";
import { strings } from "@bufbuild/cel/ext";

for (const text of readFileSync(process.argv[2], "utf8").trim().split("\n")) {
  console.log(`'${run(text, {}, { funcs: strings.STRINGS_EXT_FUNCS ?? strings })}'`);
}
NODE
one="$("$work/venv/bin/python" "$work/one.py" "$work/expressions")"
other="$(cd "$work" && node other.mjs expressions)"
echo 'cel-expr-python 0.1.3 | @bufbuild/cel 0.4.0 | expression'
paste -d'|' <(echo "$one") <(echo "$other") "$work/expressions"
expected_one="'ocat' 'oca' error ''"
expected_other="'ocat' 'oca' 'ocat' ''"
[ "$(echo $one)" = "$expected_one" ] && [ "$(echo $other)" = "$expected_other" ] ||
  { echo "this has changed" >&2; exit 1; }
