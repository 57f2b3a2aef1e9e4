# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Inputs that runs of a fuzz target have found, as the tree keeps them: an archive for each
# target, in HOODY_FUZZ_GROWN where that is set.

grown=${HOODY_FUZZ_GROWN:-selftests/fuzz/grown}

# grown_unpack TARGET FOLDER: adds them to those of FOLDER.
grown_unpack() {
	mkdir -p "$2"
	[ ! -f "$grown/$1.tar.xz" ] || tar -xJf "$grown/$1.tar.xz" -C "$2" --skip-old-files
}

# grown_pack TARGET FOLDER: keeps all of FOLDER, and says how many they are.
grown_pack() {
	mkdir -p "$grown"
	tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX -C "$2" -cf - . |
		xz -9 >"$grown/$1.tar.xz"
	printf '%-16s %6s inputs %8s bytes\n' "$1" "$(find "$2" -type f | wc -l)" "$(stat -c %s "$grown/$1.tar.xz")"
}
