#!/usr/bin/python3
"""Reads Prometheus's text format 0.0.4 from stdin, strictly, and fails with the line that is wrong.

Prints each sample as JSON: {"name", "labels", "value"}, a list of all.
https://prometheus.io/docs/instrumenting/exposition_formats/
"""
import json
import math
import re
import sys

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"')
NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?|Inf|NaN)")
TYPES = ("counter", "gauge", "histogram", "summary", "untyped")


def fail(number, line, why):
    sys.exit(f"line {number}: {why}: {line}")


def labels_of(text, number, line):
    labels, at = {}, 0
    while at < len(text):
        found = LABEL.match(text, at)
        if not found:
            fail(number, line, "no label")
        if found[1] in labels:
            fail(number, line, f"label {found[1]} twice")
        labels[found[1]] = re.sub(r"\\(.)", lambda c: {"n": "\n"}.get(c[1], c[1]), found[2])
        at = found.end()
        if at < len(text):
            if text[at] != ",":
                fail(number, line, "no comma between labels")
            at += 1
    return labels


def check_histogram(family, samples):
    groups = {}
    for sample in samples:
        labels = {k: v for k, v in sample["labels"].items() if k != "le"}
        group = groups.setdefault(json.dumps(labels, sort_keys=True), {"buckets": []})
        ending = sample["name"][len(family):]
        if ending == "_bucket":
            if "le" not in sample["labels"]:
                sys.exit(f"{family}: a bucket without le")
            group["buckets"].append((float(sample["labels"]["le"]), sample["value"]))
        elif ending in ("_sum", "_count"):
            group[ending] = sample["value"]
        else:
            sys.exit(f"{sample['name']}: not of a histogram")
    for labels, group in groups.items():
        bounds = [bound for bound, _ in group["buckets"]]
        counts = [count for _, count in group["buckets"]]
        if bounds != sorted(set(bounds)) or not bounds or not math.isinf(bounds[-1]):
            sys.exit(f"{family}{labels}: bounds {bounds}")
        if counts != sorted(counts):
            sys.exit(f"{family}{labels}: buckets are not cumulative: {counts}")
        if group.get("_count") != counts[-1] or "_sum" not in group:
            sys.exit(f"{family}{labels}: count or sum is wrong")


def main():
    text = sys.stdin.read()
    if not text.endswith("\n"):
        sys.exit("the last line has no end")
    types, helped, families, order, seen = {}, set(), {}, [], set()
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("# HELP "):
            name = line.split(" ", 3)[2]
            if name in helped:
                fail(number, line, "HELP twice")
            helped.add(name)
            continue
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            if name in types or kind not in TYPES or not NAME.fullmatch(name):
                fail(number, line, "TYPE twice, or unknown")
            types[name] = kind
            order.append(name)
            continue
        if not line or line.startswith("#"):
            continue
        found = re.fullmatch(r"([^{ ]+)(?:\{(.*)\})? (\S+)", line)
        if not found or not NAME.fullmatch(found[1]) or not NUMBER.fullmatch(found[3]):
            fail(number, line, "no sample")
        name, labels = found[1], labels_of(found[2] or "", number, line)
        family = name
        if name not in types:
            family = re.sub(r"_(bucket|sum|count)$", "", name)
        if types.get(family) is None or (family != name and types[family] != "histogram"):
            fail(number, line, "a sample without a TYPE before it")
        if order[-1] != family:
            fail(number, line, f"not among the lines of its family {family}")
        if family not in helped:
            fail(number, line, "a family without HELP")
        key = (name, json.dumps(labels, sort_keys=True))
        if key in seen:
            fail(number, line, "the same series twice")
        seen.add(key)
        value = float(found[3])
        value = int(value) if value.is_integer() else value
        if types[family] == "counter" and not (value >= 0 and family.endswith("_total")):
            fail(number, line, "no counter")
        families.setdefault(family, []).append({"name": name, "labels": labels, "value": value})
    for family, kind in types.items():
        if kind == "histogram":
            check_histogram(family, families.get(family, []))
    json.dump([sample for family in families.values() for sample in family], sys.stdout)


main()
