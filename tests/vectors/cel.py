#!/usr/bin/env python3
"""Asks a second CEL runtime what expressions come to: cel-expr-python, which is cel-cpp, the runtime of Envoy.

    cel.py vectors --seed N --count N    so many generated expressions with their results, as lines of cel.txt
    cel.py differences PAGE              whether the runtime still comes to what the table of that page says

`./dev differential` installs the runtime and calls both.
"""

import argparse
import base64
import json
import math
import random
import sys
from importlib.metadata import version

from cel_expr_python import cel
from cel_expr_python.ext import ext_strings

ENV = cel.NewEnv(extensions=[ext_strings.ExtStrings()])


class NotJson(Exception):
    """A value that JSON cannot say."""


def plain(value):
    """A value as the gate writes it as JSON."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise NotJson
        return value
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(bytes(value)).decode()
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key if isinstance(key, str) else json.dumps(key): plain(item) for key, item in value.items()}
    raise NotJson


def came_to(text):
    """The result as JSON, `error`, or None where the type checker, which the gate does not have, refuses it."""
    try:
        compiled = ENV.compile(text)
    except Exception:
        return None
    try:
        value = compiled.eval()
        if value.type().name() == "ERROR":
            return "error"
        return json.dumps(plain(value.plain_value()), ensure_ascii=False)
    except (RuntimeError, NotJson):
        return "error"


TEXTS = ["", "a", "abc", "Hello World", "a,b,,c", "  x\\t", "é", "日本", "a😀b", "tacocat", "42", "-7", "x=1&y=2", "ÀÉ", "\\n"]
PARTS = ["", "a", "b", "l", ",", "o W", "é", "😀", "ca", "zz"]
PATTERNS = ["^a", "b$", "^\\\\d+$", "[a-c]+", "(?i)HELLO", "\\\\w+", "\\\\bW", "^.$", "a|b", "[[:upper:]]", "^\\\\S*$", "o{1,2}"]
INTS = ["0", "1", "-1", "2", "3", "7", "42", "-5", "100", "9223372036854775807", "-9223372036854775808", "0x1F"]
UINTS = ["0u", "1u", "2u", "7u", "18446744073709551615u"]
DOUBLES = ["0.0", "1.0", "-1.5", "0.1", "3.0", "2.5", "1e10", "1e-7", "123456.789", "-0.25"]
BYTES = ["b''", "b'abc'", "b'\\xff'", "b'\\303\\251'", "b'a'"]
TIMES = [
    "timestamp('2009-02-13T23:31:30Z')", "timestamp('1969-12-31T23:59:59.5Z')", "timestamp('2024-02-29T12:00:00+05:30')",
    "timestamp('0001-01-01T00:00:00Z')", "timestamp('9999-12-31T23:59:59Z')", "timestamp(1234567890)", "timestamp(0)",
]
DURATIONS = [
    "duration('1s')", "duration('1h30m')", "duration('-90s')", "duration('1.5s')", "duration('24h')", "duration('0')",
    "duration('1ms')", "duration('100us')", "duration('-1h')",
]
ZONES = ["", "'UTC'", "'America/New_York'", "'Asia/Kolkata'", "'+02:00'", "'-08:30'", "'05:30'", "'Europe/Berlin'"]
FIELDS = ["getFullYear", "getMonth", "getDayOfYear", "getDayOfMonth", "getDate", "getDayOfWeek", "getHours", "getMinutes",
          "getSeconds", "getMilliseconds"]
# The most loops within each other.
LOOPS = 3
TYPES = ["int", "uint", "double", "string", "bytes", "bool", "ints", "strings", "map", "time", "duration"]


class Generator:
    """Makes expressions of a wanted type, so that most of them evaluate."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.names = []
        self.deepest = 0

    def one(self, items):
        return self.random.choice(items)

    def text(self, items):
        return f"'{self.one(items)}'"

    def named(self, kind):
        return [name for name, of in self.names if of == kind]

    def make(self, kind, depth):
        names = self.named(kind)
        if names and self.random.random() < 0.4:
            return self.one(names)
        if depth <= 0:
            return self.leaf(kind)
        if self.random.random() < 0.08:
            return f"({self.make('bool', depth - 1)} ? {self.make(kind, depth - 1)} : {self.make(kind, depth - 1)})"
        return getattr(self, kind)(depth - 1)

    def leaf(self, kind):
        return {
            "int": lambda: self.one(INTS), "uint": lambda: self.one(UINTS), "double": lambda: self.one(DOUBLES),
            "string": lambda: self.text(TEXTS), "bytes": lambda: self.one(BYTES),
            "bool": lambda: self.one(["true", "false"]), "time": lambda: self.one(TIMES),
            "duration": lambda: self.one(DURATIONS),
            "ints": lambda: "[" + ", ".join(self.one(INTS[:9]) for _ in range(self.random.randint(1, 4))) + "]",
            "strings": lambda: "[" + ", ".join(self.text(TEXTS) for _ in range(self.random.randint(1, 4))) + "]",
            "map": lambda: self.one(["{'a': 1}", "{'b': 2, 'a': 1}", "{'x': -3, 'y': 4, 'abc': 0}"]),
        }[kind]()

    def loop(self, macro, kind, of, body, depth):
        """A macro over a list of ints or texts, or the keys of a map."""
        name = "xyz"[len(self.names) % 3]
        over = self.make(kind, depth)
        self.names.append((name, of))
        self.deepest = max(self.deepest, len(self.names))
        inner = self.make(body, depth)
        self.names.pop()
        return f"{over}.{macro}({name}, {inner})"

    def int(self, depth):
        pick = self.random.randrange(15)
        if pick < 4:
            return f"({self.make('int', depth)} {self.one('+-*/%')} {self.make('int', depth)})"
        return [
            lambda: f"(-{self.one(['(3)', '(-4)', '0', '(7 - 2)'])})",
            lambda: f"size({self.make(self.one(['string', 'bytes', 'ints', 'strings', 'map']), depth)})",
            lambda: f"{self.make('string', depth)}.size()",
            lambda: f"{self.make('string', depth)}.{self.one(['indexOf', 'lastIndexOf'])}({self.text(PARTS)})",
            lambda: f"{self.make('string', depth)}.{self.one(['indexOf', 'lastIndexOf'])}({self.text(PARTS)}, "
                    f"{self.random.randint(-1, 6)})",
            lambda: f"int({self.make(self.one(['double', 'uint', 'time']), depth)})",
            lambda: f"int({self.text(['42', '-7', 'x', ''])})",
            lambda: f"{self.make('time', depth)}.{self.one(FIELDS)}({self.one(ZONES)})",
            lambda: f"{self.make('duration', depth)}.{self.one(FIELDS[6:])}()",
            lambda: f"{self.make('ints', depth)}[{self.random.randint(0, 2)}]",
            # The runtime walks maps in no order of its own.
            lambda: self.loop("filter", "map", "string", "bool", depth) + ".size()",
        ][pick - 4]()

    def uint(self, depth):
        return self.one([
            lambda: f"({self.make('uint', depth)} {self.one('+-*/%')} {self.make('uint', depth)})",
            lambda: f"uint({self.make('int', depth)})",
            lambda: f"uint({self.one([self.text(['7', 'x']), '2.9', '1.0'])})",
        ])()

    def double(self, depth):
        return self.one([
            lambda: f"({self.make('double', depth)} {self.one('+-*/')} {self.make('double', depth)})",
            lambda: f"double({self.one(['1', '-7', '42u', self.text(['2.5', 'x', '1e3'])])})",
            lambda: f"(-({self.make('double', depth)}))",
        ])()

    def string(self, depth):
        string = lambda: self.make("string", depth)
        small = lambda low=-1: self.random.randint(low, 5)
        return self.one([
            lambda: f"({string()} + {string()})",
            lambda: f"{string()}.substring({small(0)})",
            # Never up to the end: see the list of differences.
            lambda: f"({string()} + '#######').substring({small(0)}, {small(0)})",
            lambda: f"{string()}.charAt({small()})",
            lambda: f"{string()}.{self.one(['lowerAscii', 'upperAscii', 'trim', 'reverse'])}()",
            lambda: f"{string()}.replace({self.text(PARTS)}, {self.text(PARTS)})",
            lambda: f"{string()}.replace({self.text(PARTS)}, {self.text(PARTS)}, {small()})",
            lambda: f"{self.make('strings', depth)}.join({self.one(['', self.text(PARTS)])})",
            lambda: f"string({self.make(self.one(['int', 'uint', 'bool', 'bytes']), depth)})",
            lambda: f"string({self.one(DOUBLES + ['1000000.0', '1e21', '1234567.5', '0.0001', '0.00001', '100000.0'])})",
            lambda: f"strings.quote({string()})",
            lambda: f"{self.make('strings', depth)}[{self.random.randint(0, 2)}]",
            lambda: f"'%s|%d|%s'.format([{string()}, {self.make('int', depth)}, {self.make('bool', depth)}])",
            lambda: f"'%{self.one(['x', 'X', 'o', 'b', 'd', 's'])}%%'.format([{self.make('int', depth)}])",
            lambda: f"'%{self.one(['.2f', 'f', '.0f', 'e', '.3e'])}'.format([{self.make('double', depth)}])",
            lambda: f"'%s %s'.format([{self.make('ints', depth)}, {self.make('map', depth)}])",
        ])()

    def bytes(self, depth):
        return self.one([
            lambda: f"bytes({self.make('string', depth)})",
            lambda: f"({self.make('bytes', depth)} + {self.make('bytes', depth)})",
        ])()

    def bool(self, depth):
        kind = self.one(["int", "uint", "double", "string", "bytes", "time", "duration", "bool"])
        other = self.one(["int", "uint", "double"])
        numeric = self.one(["int", "uint", "double"])
        return self.one([
            lambda: f"({self.make(kind, depth)} {self.one(['==', '!=', '<', '<=', '>', '>='])} {self.make(kind, depth)})",
            lambda: f"({self.make('ints', depth)} == {self.make('ints', depth)})",
            lambda: f"({self.make('map', depth)} != {self.make('map', depth)})",
            lambda: f"(dyn({self.one(['1', '2', '7', '-5'])}) {self.one(['==', '<', '>='])} "
                    f"dyn({self.one(['1u', '2.0', '2.5', '7u', self.text(['a'])])}))",
            lambda: f"({self.make('bool', depth)} {self.one(['&&', '||'])} {self.make('bool', depth)})",
            lambda: f"(!{self.make('bool', depth)})",
            lambda: f"{self.make('string', depth)}.{self.one(['contains', 'startsWith', 'endsWith'])}({self.text(PARTS)})",
            lambda: f"{self.make('string', depth)}.matches('{self.one(PATTERNS)}')",
            lambda: f"matches({self.make('string', depth)}, '{self.one(PATTERNS)}')",
            lambda: f"({self.make('int', depth)} in {self.make('ints', depth)})",
            lambda: f"({self.make('string', depth)} in {self.make('strings', depth)})",
            lambda: f"({self.text(PARTS)} in {self.make('map', depth)})",
            lambda: f"has({{'a': 1, 'b': {self.make('int', depth)}}}.{self.one('abc')})",
            lambda: self.loop(self.one(["all", "exists", "exists_one"]), "ints", "int", "bool", depth),
            lambda: self.loop(self.one(["all", "exists", "exists_one"]), "strings", "string", "bool", depth),
            lambda: self.loop(self.one(["all", "exists", "exists_one"]), "map", "string", "bool", depth),
            lambda: f"(type({self.make(numeric, depth)}) == {other})",
            lambda: f"(type({self.make('time', depth)}) == google.protobuf.{self.one(['Timestamp', 'Duration'])})",
            lambda: f"bool({self.one([self.text(['true', 'false', '1', 'x']), 'true'])})",
        ])()

    def ints(self, depth):
        return self.one([
            lambda: f"[{self.make('int', depth)}, {self.make('int', depth)}]",
            lambda: f"({self.make('ints', depth)} + {self.make('ints', depth)})",
            lambda: self.loop("map", "ints", "int", "int", depth),
            lambda: self.loop("filter", "ints", "int", "bool", depth),
            lambda: self.loop("map", "strings", "string", "int", depth),
        ])()

    def strings(self, depth):
        return self.one([
            lambda: f"[{self.make('string', depth)}, {self.make('string', depth)}]",
            lambda: f"'a,b,,c'.split({self.text(PARTS)})",
            lambda: f"'a,b,,c'.split({self.text(PARTS)}, {self.random.randint(-1, 4)})",
            lambda: self.loop("map", "strings", "string", "string", depth),
            lambda: self.loop("filter", "strings", "string", "bool", depth),
        ])()

    def map(self, depth):
        return f"{{'a': {self.make('int', depth)}, {self.text(['b', 'x', 'é', 'a b'])}: {self.make('int', depth)}}}"

    def time(self, depth):
        return self.one([
            lambda: f"({self.make('time', depth)} {self.one('+-')} {self.make('duration', depth)})",
            lambda: f"timestamp({self.make('int', depth)})",
            lambda: f"timestamp('{self.one(['2020-01-01T00:00:00Z', '2020-13-01T00:00:00Z', 'x', '2020-06-15T10:20:30.123Z'])}')",
        ])()

    def duration(self, depth):
        return self.one([
            lambda: f"({self.make('duration', depth)} {self.one('+-')} {self.make('duration', depth)})",
            lambda: f"({self.make('time', depth)} - {self.make('time', depth)})",
            lambda: f"duration('{self.one(['1m', '3s', '1x', '', '2h45m', '10ms'])}')",
        ])()

    def whole(self):
        """An expression of a type that JSON can say."""
        self.deepest = 0
        kind = self.one(TYPES[:9] + ["bool", "string", "int"])
        return self.make(kind, self.random.randint(1, 4))


def vectors(seed, count):
    print("# What cel-expr-python (https://pypi.org/project/cel-expr-python, Apache-2.0) comes to: expression, tab, result")
    print(f"# as JSON. Made by tests/vectors/cel.py, of version {version('cel-expr-python')}, with seed {seed}.")
    generator = Generator(seed)
    seen = set()
    errors = 0
    while len(seen) < count:
        text = generator.whole()
        # More loops within each other are refused at load, like what is longer than any expression needs to be.
        if text in seen or len(text) > 300 or generator.deepest > LOOPS:
            continue
        result = came_to(text)
        # What fails has its place, but what evaluates says more.
        if result is None or (result == "error" and errors * 6 > len(seen)):
            continue
        errors += result == "error"
        seen.add(text)
        print(f"{text}\t{result}")


def differences(page):
    wrong = 0
    for line in open(page, encoding="utf-8"):
        if not line.startswith("| `"):
            continue
        cells = [cell.strip().strip("`").replace("\0", "|") for cell in line.replace("\\|", "\0").strip("| \n").split(" | ")]
        text, theirs = cells[0], cells[2]
        got = came_to(text) or "refused"
        if got != theirs and (theirs in ("error", "refused") or got in ("error", "refused") or json.loads(got) != json.loads(theirs)):
            print(f"{text} is {got}, not {theirs}", file=sys.stderr)
            wrong += 1
    return 1 if wrong else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    made = commands.add_parser("vectors")
    made.add_argument("--seed", type=int, default=1)
    made.add_argument("--count", type=int, default=1000)
    commands.add_parser("differences").add_argument("page")
    arguments = parser.parse_args()
    if arguments.command == "vectors":
        return vectors(arguments.seed, arguments.count)
    return differences(arguments.page)


if __name__ == "__main__":
    sys.exit(main())
