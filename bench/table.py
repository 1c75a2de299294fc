"""What was measured, as text: medians with their range, and ratios."""
import statistics

TIE = 1.0  # microseconds of CPU a request: a smaller difference is not told from noise


def median(values):
    """The median, or None of nothing."""
    return statistics.median(values) if values else None


def quartiles(values):
    """The first and the third quartile; of a single value that value twice."""
    if len(values) < 2:
        return values[0], values[0]
    first, _, third = statistics.quantiles(values, n=4, method="inclusive")
    return first, third


def cell(values, base=None, digits=2, tie=None, paired=None):
    """`median (min..max)`, and how it stands to `base`: by the medians, or by the ratios of each round where those are
    given, as their median and quartiles."""
    if not values:
        return "-"
    mid = median(values)
    text = f"{mid:.{digits}f}"
    if len(values) > 1:
        text += f" ({min(values):.{digits}f}..{max(values):.{digits}f})"
    if base and median(base):
        apart = abs(mid - median(base))
        if tie is not None and apart < tie:
            text += "  tie"
        elif not paired:
            text += f"  x{mid / median(base):.2f}"
        if paired:
            first, third = quartiles(paired)
            text += f"  x{median(paired):.2f} [{first:.2f}..{third:.2f}]"
    return text


def show(title, heads, lines):
    """Prints one table with aligned columns."""
    widths = [max(len(str(row[i])) for row in [heads, *lines]) for i in range(len(heads))]
    print(f"\n{title}\n")
    for row in [heads, ["-" * w for w in widths], *lines]:
        print("  " + "  ".join(str(text).ljust(width) for text, width in zip(row, widths)).rstrip())


def errors(runs):
    """The sum of errors by kind, as text."""
    total = {}
    for run in runs:
        for kind, count in run["errors"].items():
            total[kind] = total.get(kind, 0) + count
    return ", ".join(f"{kind} {count}" for kind, count in total.items()) or "0"
