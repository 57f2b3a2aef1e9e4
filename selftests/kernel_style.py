#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The kernel's coding style (Documentation/process/coding-style.rst), as far as a line shows it.

    kernel_style.py FILE...      prints FILE:LINE: what is wrong; exit status 1 where there is any
    kernel_style.py --self-test  each rule against a line that breaks it; TAP

Compilers and sparse see what is wrong; this sees what reviewers of kernel code ask for:
layout, forbidden calls, and barriers and locks without a word on what they are for.
"""
import re
import sys

COLUMNS = 100  # coding-style.rst 2 prefers 80 and takes 100 where it reads better

# (name, expression on the code of a line without comments and strings, a line that breaks it)
CODE = [
    ("spaces where tabs belong", r"^ {2,}(?!\*)\S|^\t* {8,}(?!\*)\S| \t", "        int a;"),
    ("no space behind a keyword", r"\b(if|for|while|switch|do|else|return)[({]", "\tif(a)"),
    ("a space behind a call's name", r"\b(?!if\b|for\b|while\b|switch\b|return\b|sizeof\b|case\b|do\b|else\b|goto\b)"
     r"[a-z]\w* \((?!\*)[^)]*\);$", "\tfree (a);"),
    ("a pointer's star at its type", r"\b(void|char|int|long|u8|u16|u32|u64|struct \w+)\* ?\w", "\tstruct sock* sk;"),
    ("parentheses around what is returned", r"\breturn \((?!\w+ ?\*?\))[^()]*\);", "\treturn (a + b);"),
    ("a comparison with NULL", r"[!=]= ?NULL\b|\bNULL [!=]=", "\tif (a == NULL)"),
    ("an assignment in a condition", r"\b(if|while) \(+[\w>.\[\]-]+ = ", "\tif ((a = b))"),
    ("a statement on the line of its condition", r"^\t+(if|while|for) \((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\) \w.*;$",
     "\tif (a) return;"),
    ("two statements on a line", r"^\t+(?!for\b)[^\"']*;\s+\w[^\"']*;$", "\ta = 1; b = 2;"),
    ("a function's brace on its first line", r"^(?!struct|union|enum|static const|const|typedef|#|\})[a-z].*\)\s*\{$",
     "int f(void) {"),
    ("unsigned without int", r"\bunsigned (?!int\b|long\b|char\b|short\b)\w", "\tunsigned a;"),
    ("volatile", r"\bvolatile\b", "\tvolatile int a;"),
    ("a type of our own by typedef", r"^typedef\b", "typedef int number;"),
    ("an attribute that has a short name", r"__attribute__", "int f(void) __attribute__((packed));"),
    ("a name in camel case", r"\b[a-z]+[A-Z]\w*", "\tint aName;"),
    ("printk without a level", r"\bprintk\(", '\tprintk("a");'),
    ("the machine is stopped: WARN and go on", r"(?<!BUILD_)\bBUG(_ON)?\(|\bpanic\(", "\tBUG_ON(a);"),
    ("a copy without a bound", r"\b(strcpy|strcat|sprintf|vsprintf|strncpy|strlcpy|strncat)\(", "\tstrcpy(a, b);"),
    ("a size multiplied by hand", r"\bk[mz]alloc\([^,]*\w \* \w|\bk[mz]alloc\([^,]*\) \* ", "\tp = kzalloc(n * sizeof(*p), GFP_KERNEL);"),
    ("sizeof of a type", r"\bk[mz]alloc\(sizeof\(struct", "\tp = kzalloc(sizeof(struct a), GFP_KERNEL);"),
    ("a short msleep", r"\bmsleep\((1?\d)\)", "\tmsleep(5);"),
    ("code that is switched off", r"^#\s*if 0\b", "#if 0"),
    ("a macro's arguments without do", r"^#define \w+\([^)]*\)\s+if\b", "#define A(b) if (b) c()"),
    ("a label that is indented", r"^\t+(?!default\b|case\b)[a-z]\w*:$", "\terr:"),
    ("nothing behind return at a function's end", r"^\treturn;$", None),
]

# Those that a comment on the same line or just above has to explain.
EXPLAINED = [
    ("a barrier without a comment", r"\b(smp_[rw]?mb|smp_store_release|smp_load_acquire|smp_mb__\w+|[rw]?mb)\(",
     "\tsmp_mb();"),
    ("a lock that does not say what it protects", r"^\s+(spinlock_t|struct mutex|seqlock_t|rwlock_t)\s+\w+;|"
     r"\bDEFINE_(MUTEX|SPINLOCK)\(", "\tspinlock_t lock;"),
    ("data_race without a reason", r"\bdata_race\(", "\ta = data_race(b);"),
]


def code_lines(text):
    """(code, has a comment) for every line: comments and what is in quotes are blank."""
    lines, inside = [], False
    for line in text.split("\n"):
        had, out, i = inside, "", 0
        while i < len(line):
            if inside:
                end = line.find("*/", i)
                i, inside = (len(line), True) if end < 0 else (end + 2, False)
            elif line.startswith("/*", i):
                had, inside, i = True, True, i + 2
            elif line.startswith("//", i):
                out, had, i = out + "//", True, len(line)
            elif line[i] in "\"'":
                quote, j = line[i], i + 1
                while j < len(line) and line[j] != quote:
                    j += 2 if line[j] == "\\" else 1
                out, i = out + quote * 2, j + 1
            else:
                out, i = out + line[i], i + 1
        lines.append((out.rstrip(), had))
    return lines


def findings(text):
    raw = text.split("\n")
    lines = code_lines(text)
    for number, ((code, commented), line) in enumerate(zip(lines, raw), 1):
        before = next((entry for entry in reversed(lines[:number - 1]) if not entry[0].startswith("#")), ("", False))
        if line != line.rstrip():
            yield number, "white space at the end"
        # A message is not cut: it is looked for as it is printed (coding-style.rst 2).
        if len(line.expandtabs(8)) > COLUMNS and not line.lstrip().startswith('"'):
            yield number, f"longer than {COLUMNS} columns"
        if "//" in code and not (number == 1 and "SPDX" in line):
            yield number, "a comment by //"
        if not line and number > 1 and not raw[number - 2] and number < len(raw):
            yield number, "two empty lines"
        if re.match(r"\t+\{$", code) and not before[0].endswith(("{", ",")):
            yield number, "a brace on a line of its own"
        if code == "}" and number > 1 and not raw[number - 2]:
            yield number, "an empty line before a brace"
        if code.strip() == "else" and before[0].strip() == "}" or re.match(r"\s*else\b", code) and before[0].strip() == "}":
            yield number, "else not behind its brace"
        for name, expression, _ in CODE:
            if name.startswith("nothing behind return"):
                if re.search(expression, code) and number < len(raw) and lines[number][0] == "}":
                    yield number, name
            elif re.search(expression, code):
                yield number, name
        for name, expression, _ in EXPLAINED:
            if re.search(expression, code) and not commented and not explained(lines, number - 2):
                yield number, name


def explained(lines, at):
    """Whether a comment ends above, with at most the rest of its statement between."""
    for code, commented in reversed(lines[max(at - 3, 0):at + 1]):
        if commented:
            return True
        if not code or code.endswith(("{", "}")):
            return False
    return False


def self_test():
    cases = [(name, line) for name, _, line in CODE + EXPLAINED if line]
    cases += [("white space at the end", "int a; "), ("a comment by //", "int a; // b"), ("two empty lines", "a\n\n\nb"),
              ("an empty line before a brace", "\n}"), (f"longer than {COLUMNS} columns", "\t" * 12 + "int abcd;"),
              ("else not behind its brace", "\t}\n\telse"),
              ("a brace on a line of its own", "\tif (a)\n\t{"), ("nothing behind return at a function's end", "\treturn;\n}")]
    print(f"TAP version 13\n1..{len(cases) + 1}")
    failed = 0
    good = ("/* SPDX */\nstatic int f(struct a *b)\n{\n\tif (!b || (b->c & 1))\n\t\treturn -EINVAL;\n"
            "\t/* Pairs with the one in g(). */\n\tsmp_store_release(&b->c, 1);\n\treturn (int)b->d;\n}\n")
    for number, (name, line) in enumerate(cases, 1):
        found = [what for _, what in findings(line)]
        failed += name not in found
        print(f"{'ok' if name in found else 'not ok'} {number} kernel_style_sees: {name}")
        if name not in found:
            print(f"# in: {line!r}: {found}")
    found = list(findings(good))
    failed += bool(found)
    print(f"{'not ok' if found else 'ok'} {len(cases) + 1} kernel_style_lets_good_code_pass")
    for what in found:
        print("#", *what)
    return failed


def main():
    if sys.argv[1:] == ["--self-test"]:
        return 1 if self_test() else 0
    found = 0
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as file:
            for number, what in findings(file.read()):
                print(f"{path}:{number}: {what}")
                found = 1
    return found


if __name__ == "__main__":
    sys.exit(main())
