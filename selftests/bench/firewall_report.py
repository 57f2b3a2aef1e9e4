# SPDX-License-Identifier: Apache-2.0
"""The firewall's tables, for report: what it and nftables add to the same packets."""
import collections
import statistics

CASES = [
    ("none", "no packet filter"),
    ("ours-open", "ours, no rules"),
    ("ours-1", "ours, 1 rule"),
    ("ours-100", "ours, 100 rules"),
    ("ours-1000", "ours, 1,000 rules"),
    ("ours-10000", "ours, 10,000 rules"),
    ("nft-established", "nftables, ct state established"),
    ("nft-set-1", "nftables, and a set of 1"),
    ("nft-set-1000", "nftables, and a set of 1,000"),
    ("nft-set-10000", "nftables, and a set of 10,000"),
    ("nft-stateless-1000", "nftables, a set of 1,000, no state"),
]
PATHS = [
    ("udp-known", "known flow"),
    ("udp-first", "first of a flow"),
    ("tcp-kept", "TCP request"),
    ("tcp-new", "TCP connection"),
]
INSIDE = [
    ("program-known", "known flow"),
    ("program-first", "first of a flow"),
    ("program-refused", "refused"),
    ("program-compile", "compile"),
    ("program-commit", "put in force"),
]


def tree(rows):
    """{kernel and unit: {case: {measure: figure}}}

    Of instructions the median. Of times the least, of all batches of all rounds:
    whatever else the machine does only ever adds to them.
    """
    found = collections.defaultdict(list)
    for row in rows:
        if row["section"] == "firewall":
            is_time = row["unit"] == "ns"
            value = row.get("min" if is_time else "median", row.get("mean"))
            found[f"{row['kernel']}, {row['unit']}", row["case"], row["measure"]].append(value)
    out = {}
    for (where, case, measure), values in found.items():
        figure = min(values) if where.endswith(", ns") else statistics.median(values)
        out.setdefault(where, {}).setdefault(case, {})[measure] = figure
    return out


def added(cases, case, measure):
    """What a case costs more than no packet filter at all; None where it was not measured."""
    figures = cases.get(case, {}), cases.get("none", {})
    if any(measure not in one for one in figures):
        return None
    return figures[0][measure] - figures[1][measure]


def print_paths(where, cases, with_rate):
    print(f"\nThe firewall beside nftables, {where}: sent and received, and what the filter adds")
    print(f"{'':38}" + "".join(f"{text:>18}{'':>9}" for _, text in PATHS)
          + (f"{'packets/s, known':>18}{'first':>10}" if with_rate else ""))
    for case, text in CASES:
        figures = cases.get(case, {})
        line = f"  {text:<36}"
        for measure, _ in PATHS:
            line += f"{figures[measure]:>18,.0f}" if measure in figures else f"{'-':>18}"
            more = None if case == "none" else added(cases, case, measure)
            line += f"{'':>9}" if more is None else f"{more:>+9,.0f}"
        for measure, width in (("udp-known", 18), ("udp-first", 10)):
            if with_rate and measure in figures:
                line += f"{1e9 / figures[measure]:>{width},.0f}"
        if any(measure in figures for measure, _ in PATHS):
            print(line)


def print_inside(where, cases):
    print(f"\nThe firewall's program itself, {where}, timekeeping included")
    print(f"{'':38}" + "".join(f"{text:>16}" for _, text in INSIDE))
    for case, text in CASES:
        figures = cases.get(case, {})
        if "program-known" in figures:
            print(f"  {text:<36}" + "".join(
                f"{figures[measure]:>16,.0f}" if measure in figures else f"{'-':>16}"
                for measure, _ in INSIDE))


def ratio(cases, text, ours, theirs, aim):
    """A line about two figures, of which the first is to be at most @aim of the second."""
    if ours and theirs:
        value = ours / theirs
        print(f"  {text:<72}{value:>6.2f}  aim {aim:.2f}  {'reached' if value <= aim else 'MISSED'}")


def print_aims(where, cases, is_time):
    print(f"\nThe firewall's aims, {where}")
    for measure, text in (("udp-known", "packet of a known flow"), ("udp-first", "first packet of a flow"),
                          ("tcp-new", "TCP connection")):
        ratio(cases, f"10,000 rules to 1, {text}", cases.get("ours-10000", {}).get(measure),
              cases.get("ours-1", {}).get(measure), 1.2)
    for measure, text in (("udp-known", "datagram"), ("tcp-kept", "TCP request")):
        ratio(cases, f"known flow to nftables' ct state established, added to a {text}",
              added(cases, "ours-1", measure), added(cases, "nft-established", measure), 1.0)
    for measure, text in (("udp-known", "known datagram"), ("udp-first", "first datagram"),
                          ("tcp-kept", "TCP request"), ("tcp-new", "TCP connection")):
        ratio(cases, f"1,000 rules to nftables' set of them, added to a {text}",
              added(cases, "ours-1000", measure), added(cases, "nft-set-1000", measure), 1.0)
    figures = cases.get("ours-10000", {})
    if is_time and "program-commit" in figures:
        took = (figures["program-compile"] + figures["program-commit"]) / 1e6
        print(f"  {'10,000 rules replaced, compiling included, ms':<72}{took:>6.1f}  aim 50.0  "
              f"{'reached' if took < 50 else 'MISSED'}")


def print_all(found):
    for where, cases in found.items():
        is_time = where.endswith(", ns")
        print_paths(where, cases, is_time)
        print_inside(where, cases)
        print_aims(where, cases, is_time)
