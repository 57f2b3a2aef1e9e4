#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The module's source as "make install" packs it, built by dkms(8) for the newest kernel
# that has headers here: that the source compiles for the others as well is known when
# the tests start, and "make check-deb" installs for all. It is in this folder because it
# loads nothing: compiling inside an emulated machine would take minutes and prove no more.
# shellcheck source=selftests/lib/tap.sh
. "$(dirname "$0")/../lib/tap.sh"

command -v dkms >/dev/null || tap_skip_all "dkms is not installed"
[ -s /etc/hoody-kernels ] || tap_skip_all "/etc/hoody-kernels names no kernels: run it in the build root"
kernel=$(tail -n 1 /etc/hoody-kernels)
version=$(cat "$TOP/kmod/VERSION")
tree=$WORK/dkms sources=$WORK/root/usr/src

# shellcheck disable=SC2317
dkms_build() {
	dkms build "hoody/$version" -k "$1" --dkmstree "$tree" --sourcetree "$sources" \
		--kernelsourcedir "/lib/modules/$1/build" </dev/null && return
	cat "$tree/hoody/$version/build/make.log" "$tree/hoody/$version/$1"/*/log/make.log 2>/dev/null
	return 1
}

tap_plan 6
mkdir -p "$tree"
tap_run dkms_source_is_packed make -s -C "$TOP" install-dkms DESTDIR="$WORK/root"
tap_is dkms_version_is_the_tree_s "$(sed -n 's/^PACKAGE_VERSION="\(.*\)"/\1/p' "$TOP/dkms.conf")" "$version"
tap_run dkms_builds dkms_build "$kernel"
module=$(find "$tree/hoody/$version/$kernel" -name 'hoody.ko*' 2>/dev/null | head -n 1)
tap_is dkms_vermagic_fits "$(modinfo -F vermagic "$module" 2>&1 | cut -d ' ' -f 1)" "$kernel"
tap_is dkms_license_is_gpl "$(modinfo -F license "$module" 2>&1)" GPL
tap_is dkms_modinfo_has_the_version "$(modinfo -F version "$module" 2>&1)" "$version"
tap_done
