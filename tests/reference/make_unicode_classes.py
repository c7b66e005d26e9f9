"""Writes inference/unicode_classes_table.inc: the letters, marks and numbers as the `tokenizers` library knows them.

usage: make_unicode_classes.py OUTPUT
"""
import sys

from tokenizers import Regex, pre_tokenizers


def members(expression):
    split = pre_tokenizers.Split(Regex(expression), "isolated")
    fence = "\ue000"
    return {
        value
        for value in range(0x110000)
        if not 0xD800 <= value < 0xE000
        and value != 0xE000
        and len(split.pre_tokenize_str(fence + chr(value) + fence)) == 3
    }


def main():
    kinds = {}
    for name, expression in (("l", r"\p{L}"), ("m", r"\p{M}"), ("n", r"\p{N}")):
        for value in members(expression):
            kinds[value] = name
    ranges = []
    for value in sorted(kinds):
        if ranges and ranges[-1][1] == value - 1 and ranges[-1][2] == kinds[value]:
            ranges[-1][1] = value
        else:
            ranges.append([value, value, kinds[value]])
    with open(sys.argv[1], "w") as output:
        output.write("// Made by tests/reference/make_unicode_classes.py from the `tokenizers` library: {first, last, class}.\n")
        line = ""
        for first, last, kind in ranges:
            item = f"{{0x{first:X}, 0x{last:X}, {kind}}}, "
            if len(line) + len(item) > 121:
                output.write(line.rstrip() + "\n")
                line = ""
            line += item
        output.write(line.rstrip() + "\n")


main()
