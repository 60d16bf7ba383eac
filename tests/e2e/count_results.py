#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""
Add up what ctest and pytest left behind (JUnit XML): what did not pass, where the time goes, and the one
closing line.

usage: count_results.py FAILED FILE...   FAILED: 1 when one of the programs itself said so

A file that is missing or broken, a test that could not be run and a run without any test count as
failed: silence is never success.
"""
import collections
import sys
import xml.etree.ElementTree as ET


LONGEST = 12  # files of tests that are named with the time they took


def outcome(case):
    """passed, failed or skipped, for one <testcase> of either program."""
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    skipped = case.find("skipped")
    if skipped is None:
        return "passed"
    # ctest says "skipped" also of a program that it did not find.
    if case.get("status") == "notrun" and "SKIP_RETURN_CODE" not in (skipped.get("message") or ""):
        return "failed"
    return "skipped"


def count(path, total, seconds):
    """Into total what became of the tests, into seconds how long each file of them took."""
    try:
        root = ET.parse(path).getroot()
    except (OSError, ET.ParseError) as error:
        print(f"{path}: {error}", file=sys.stderr)
        total["failed"] += 1
        return
    for case in root.iter("testcase"):
        what = outcome(case)
        total[what] += 1
        seconds[case.get("classname") or case.get("name")] += float(case.get("time") or 0)
        if what != "passed":
            print(f"{what}: {case.get('classname', '')} {case.get('name')}", file=sys.stderr)


def main():
    total = {"passed": 0, "failed": 0, "skipped": 0}
    seconds = collections.Counter()
    for path in sys.argv[2:]:
        count(path, total, seconds)
    longest = ", ".join(f"{name} {s:.0f} s" for name, s in seconds.most_common(LONGEST))
    print(f"the longest: {longest}", file=sys.stderr)
    if total["failed"] == 0 and (sys.argv[1] != "0" or total["passed"] == 0):
        total["failed"] = 1
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**total))
    return 1 if total["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
