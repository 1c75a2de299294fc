"""The row `compose-latency`: what a composed call takes beyond its slowest source, at half of what the gateway can carry."""
import http.client
import sys

import peers
import table
from load import Failed, Paced
from process import NotStarted, machine_busy
from traffic import Load, own, probe

CONNECTIONS = 256  # so many that the next paced request does not wait for one
LATE = 5  # milliseconds that the slow source takes
BOUNDLESS = 200_000  # requests/s: more than can be carried, so that all connections are busy all the time
# What is composed, its path, and the connections of the run that finds the full load.
KINDS = (("three alike", peers.HOME, 64), (f"one {LATE} ms later", peers.LATE, CONNECTIONS))


class Latency:
    """In each round every gateway is started anew, its full load is found, and half of that is sent to it and to its slowest source."""

    ROW = "compose-latency"

    def __init__(self, bench, owners, rounds, seconds):
        self.bench, self.rounds, self.seconds = bench, rounds, max(2, seconds)
        self.missing = [o for o in ("portcullis", "node") if o not in owners]
        self.starts = {o: s for o, s in {"portcullis": bench.compose, "node": bench.node}.items() if o in owners}
        self.runs = []  # one for each gateway, kind of sources and round, for the table and for --json
        self.problems = []

    def run(self):
        """Measures and prints the row."""
        try:
            slow, port = self.bench.slow(LATE)
        except (NotStarted, OSError) as error:
            self.problems.append(f"{self.ROW}: {error}")
            return
        try:
            for number in range(self.rounds):
                order = list(self.starts)
                for gateway in order[number % len(order):] + order[:number % len(order)] if order else []:
                    self._gateway(number, gateway, slow, port)
        finally:
            slow.stop()
        self.report()

    def _gateway(self, number, gateway, slow, slow_port):
        peer = self.starts[gateway](slow_port)
        try:
            peer.process.wait_for(peer.port, peers.HOME)
            for (kind, path, busy), source_port in zip(KINDS, (self.bench.upstream_port, slow_port)):
                if wrong := probe(self.bench, peer, Load(path, busy), {}):
                    raise NotStarted(f"{peer.process.name} answers {path} {wrong}")
                full = Paced(self.bench.paced(), peer.port, path, busy, self.seconds, BOUNDLESS).result()
                ours = (peer.process, slow, self.bench.upstream)
                before = others(ours)
                run = self._asked(kind, gateway, full["rps"], (source_port, peers.LATE_SOURCE), (peer.port, path))
                run.update(round=number + 1, others=max(0.0, others(ours) - before) / (2 * self.seconds))
                self._keep(run)
        except (NotStarted, Failed, OSError, http.client.HTTPException) as error:
            self.problems.append(f"{self.ROW}: {gateway}: {error}")
            self.starts.pop(gateway)
        finally:
            peer.process.stop()

    def _asked(self, kind, gateway, full, source, call):
        """Half of the full load for the slowest source, then for the gateway."""
        asked = [Paced(self.bench.paced(), port, path, CONNECTIONS, self.seconds, full / 2).result()
                 for port, path in (source, call)]
        for what, run in zip(("its slowest source", gateway), asked):
            if run["errors"]:
                self.problems.append(f"{self.ROW}: {what} at {full / 2:.0f}/s, {kind}: {table.errors([run])}")
        source, whole = asked
        return {"gateway": gateway, "kind": kind, "full": full, "source": source, "call": whole,
                "added_p50": whole["p50"] - source["p50"], "added_p99": whole["p99"] - source["p99"]}

    def _keep(self, run):
        self.runs.append(run)
        print(f"# round {run['round']}  {run['gateway']:11} {run['kind']:16} {run['full'] / 2:6.0f}/s  "
              f"p50 {run['source']['p50']:6.0f} + {run['added_p50']:5.0f} us  p99 {run['source']['p99']:6.0f} + {run['added_p99']:5.0f} us  "
              f"others {run['others']:.1f}", file=sys.stderr, flush=True)

    def report(self):
        """Prints the table."""
        lines = []
        for kind, _, _ in KINDS:
            for gateway in ("portcullis", "node"):
                runs = [run for run in self.runs if (run["gateway"], run["kind"]) == (gateway, kind)]
                if runs:
                    lines.append([f"{gateway}, {kind}", *self._cells(runs)])
                elif gateway in self.missing:
                    lines.append([f"{gateway}, {kind}", "NOT MEASURED: not installed or not among the peers", *[""] * 7])
        table.show(f"{self.ROW}: three sources composed at half of each gateway's own full load, beside the slowest source asked "
                   "directly at the same rate, microseconds (target: 150 added at p50)",
                   ["", "full, calls/s", "source p50", "added p50", "source p99", "added p99", "call p99", "others, cores", "errors"], lines)

    @staticmethod
    def _cells(runs):
        def cell(get, digits=0):
            return table.cell([get(run) for run in runs], digits=digits)

        return [cell(lambda r: r["full"]), cell(lambda r: r["source"]["p50"]), cell(lambda r: r["added_p50"]),
                cell(lambda r: r["source"]["p99"]), cell(lambda r: r["added_p99"]), cell(lambda r: r["call"]["p99"]),
                cell(lambda r: r["others"], 1),
                table.errors([r[part] for r in runs for part in ("source", "call")])]


def others(ours):
    """CPU seconds of the machine so far that were neither those of `ours` nor of this process and its load."""
    return machine_busy() - own() - sum(process.cpu() for process in ours)
