# SPDX-License-Identifier: Apache-2.0
"""
The commands that documents show, as "FILE<tab>COMMAND", in their order.

usage: docs_commands.py blocks|inline FILE...

blocks: of the code blocks, fenced and indented. A block whose first line begins with a
program is one of commands, and so is then each of its lines: a program that this machine
does not have is not passed over. inline: what stands in `...` and begins with hoody.
"""
import os
import re
import shutil
import sys


def is_program(line):
    # What a command printed: "ip rule:   pref ...".
    if re.match(r"\w+ \w+: ", line):
        return False
    words = [word for word in line.split() if not re.match(r"[A-Z_]+=", word)]
    return bool(words) and (shutil.which(words[0]) is not None or words[0].startswith("hoody") or
                            words[0] == "editor" or "/" in words[0] and os.access(words[0], os.X_OK))


def blocks(text):
    """Lists of lines. An indented block ends with an empty line, a fenced one with its fence."""
    block, fenced = [], False
    for line in text.splitlines():
        if line.strip().startswith("```"):
            yield block
            block, fenced = [], not fenced
        elif fenced:
            block.append(line.strip())
        elif line.startswith("    ") and line.strip():
            block.append(line.strip())
        else:
            yield block
            block = []
    yield block


def commands(block):
    lines = [line for line in block if line and not line.startswith("#")]
    if not lines or not is_program(lines[0]):
        return
    command = ""
    for line in lines:
        command += line.rstrip("\\")
        if not line.endswith("\\"):
            yield re.sub(r"\s+#\s.*", "", command)
            command = ""
    if command:
        yield command


for path in sys.argv[2:]:
    with open(path) as file:
        text = file.read()
    if sys.argv[1] == "inline":
        for command in re.findall(r"`(hoody [a-z][^`]*)`", text):
            print(f"{os.path.basename(path)}\t{command}")
        continue
    for block in blocks(text):
        # A report of a measurement begins with the day, and with versions.
        if block and re.match(r"date +20[0-9-]+T", block[0]):
            continue
        for command in commands(block):
            print(f"{os.path.basename(path)}\t{command}")
