#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What is installed, and that the papers say what the programs do: every command
# and option of the help is in the manual and the other way round, every key of
# the configuration is in its manual and in the example, with the same default.
# shellcheck source=selftests/lib/tap.sh
. "$(dirname "$0")/../lib/tap.sh"

hoody=$HOODY_BUILD/bin/hoody
docs=$TOP/docs

commands_of_help() { "$hoody" --help | sed -n '/^Commands/,/^$/s/^  \([a-z ]*[a-z]\)  .*/\1/p'; }
options_of_help() { # COMMAND
	# shellcheck disable=SC2086
	"$hoody" $1 --help | sed -n '/^Options/,$s/^ *\(-[a-z], \)\{0,1\}--\([a-z-]*\).*/\2/p'
}

test_manual_of_the_command_line() {
	local command option all=''
	while read -r command; do
		tap_run "manual_has_command_${command// /_}" grep -qE "^\.(It )?Cm $command\$" "$docs/hoody.1"
		for option in $(options_of_help "$command"); do
			all+="$option"$'\n'
			grep -qE "^\.It (Fl [a-z] , )?Fl -$option( |\$)|^\.Fl -$option( |\$)" "$docs/hoody.1" ||
				tap_note "hoody $command: --$option is not in hoody(1)"
		done
	done < <(commands_of_help)
	tap_is manual_and_help_have_the_same_options \
		"$(sed -n 's/^\.It \(Fl [a-z] , \)\{0,1\}Fl -\([a-z-]*\).*/\2/p' "$docs/hoody.1" | sort -u)" \
		"$(sort -u <<<"${all%$'\n'}")"
}

test_manual_of_the_agent() {
	tap_is manual_and_help_of_the_agent_have_the_same_options \
		"$(sed -n 's/^\.It Fl -\([a-z-]*\).*/\1/p' "$docs/hoody-agent.8" | sort)" \
		"$("$HOODY_BUILD/bin/hoody-agent" --help | sed -n 's/^  --\([a-z-]*\).*/\1/p' | sort)"
}

# section key default, as the agent's table has them; "NULL" for none.
keys_of_the_agent() {
	sed -n 's/^\t{ "\([a-z]*\)", "\([a-z_]*\)", set_[a-z_]*, \(NULL\|"[^"]*"\),.*/\1 \2 \3/p' "$TOP/agent/control/config_keys.c"
}
# The same of the example.
keys_of_the_example() {
	awk '/^\[/ { section = substr($0, 2, length($0) - 2); next }
		section != "services" && /^#?[a-z_]+ = / {
			default = "\"" substr($0, index($0, "=") + 2) "\""
			key = $1
			if (!sub(/^#/, "", key)) default = "NULL"
			print section, key, default
		}' "$TOP/tools/packaging/agent.conf"
}

test_configuration() {
	tap_run config_table_is_read test "$(keys_of_the_agent | wc -l)" -gt 20
	tap_is config_example_has_every_key_and_default "$(keys_of_the_example | sort)" "$(keys_of_the_agent | sort)"
	tap_is config_manual_has_every_key \
		"$(sed -n '/^\.Ss Section/,/^\.Ss Section services/s/^\.It Cm \([a-z_]*\)$/\1/p' "$docs/hoody-agent.conf.5" | sort)" \
		"$(keys_of_the_agent | cut -d ' ' -f 2 | sort)"
	tap_is config_manual_has_every_service \
		"$(sed -n 's/^\.It \([a-z]*\) Ta \([0-9]*\)$/\1 \2/p' "$docs/hoody-agent.conf.5" | sort)" \
		"$(grep -oE '\{ "[a-z]+", [0-9]+, 0 \}' "$TOP/agent/control/config_keys.c" | tr -d '{}",' | awk '{ print $1, $2 }' | sort)"
}

keys_of_the_hook() { sed -n '/^set_key()/,/^}/s/^\t\([a-z]*\)).*/\1/p' "$TOP/tools/lxc/hoody-hook" | sort; }

test_manuals() {
	local page
	tap_is hook_manual_has_every_setting \
		"$(sed -n '/^\.Ss Settings/,/^\.Ss Routed/s/^\.It Cm \([a-z]*\)$/\1/p' "$docs/hoody-lxc.7" | sort)" "$(keys_of_the_hook)"
	for page in "$docs"/*.[1578]; do
		tap_is "manual_lint_$(basename "$page")" \
			"$(mandoc -T lint -W style "$page" 2>/dev/null | grep -v 'referenced manual not found')" ''
	done
}

# Files below $1, without those of /usr/src: their names are the kernel's.
files_of() { (cd "$1" && find . -type f | sort); }

test_install() {
	local root=$WORK/root
	tap_run install_works make -s -C "$TOP" O="$HOODY_BUILD" install DESTDIR="$root"
	for file in usr/sbin/hoody-agent usr/bin/hoody usr/share/lxc/hooks/hoody-hook usr/lib/systemd/system/hoody-agent.service \
		usr/lib/sysusers.d/hoody.conf usr/lib/tmpfiles.d/hoody.conf usr/share/man/man1/hoody.1 usr/share/man/man8/hoody-agent.8 \
		usr/share/man/man5/hoody-agent.conf.5 usr/share/man/man7/hoody-lxc.7 etc/hoody/agent.conf \
		"usr/src/hoody-$(cat "$TOP/kmod/VERSION")/dkms.conf"; do
		tap_run "install_has_$(basename "$file")" test -s "$root/$file"
	done
	tap_is install_version_is_the_tree_s "$(HOODY_API=unix:/none "$root/usr/bin/hoody" version --json 2>/dev/null | jq -r .hoody)" "$(cat "$TOP/kmod/VERSION")"
	# Its program is not at its place on this machine, that is the one complaint allowed.
	tap_is unit_is_valid "$(systemd-analyze verify --man=no "$root/usr/lib/systemd/system/hoody-agent.service" 2>&1 |
		grep hoody | grep -v 'Command /usr/sbin/hoody-agent is not executable')" ''
	tap_like unit_is_hardened "$(systemd-analyze security --offline=yes "$root/usr/lib/systemd/system/hoody-agent.service" | tail -n 1)" \
		'level for hoody-agent.service: [0-2]\.'
	echo '# mine' >>"$root/etc/hoody/agent.conf"
	make -s -C "$TOP" O="$HOODY_BUILD" install DESTDIR="$root" >/dev/null
	tap_run install_keeps_the_configuration grep -q '^# mine' "$root/etc/hoody/agent.conf"
	make -s -C "$TOP" O="$HOODY_BUILD" install PREFIX=/usr/local DESTDIR="$WORK/local" >/dev/null
	tap_like install_prefix_is_in_the_unit "$(grep ^ExecStart= "$WORK/local/usr/local/lib/systemd/system/hoody-agent.service")" \
		'=/usr/local/sbin/hoody-agent$'
	make -s -C "$TOP" O="$HOODY_BUILD" uninstall DESTDIR="$root" >/dev/null
	tap_is uninstall_leaves_the_configuration_only "$(files_of "$root")" ./etc/hoody/agent.conf
}

test_examples() {
	local name
	for name in routed bridge; do
		mkdir -p "$WORK/lxc/$name"
		grep -v '^lxc.include' "$docs/examples/lxc-$name.conf" >"$WORK/lxc/$name/config"
		tap_like "example_${name}_is_read_by_lxc" "$(lxc-info -P "$WORK/lxc" -n $name -c lxc.net.0.script.up 2>&1)" 'hoody-hook$'
	done
	tap_run example_nft_is_valid nft -c -f "$docs/examples/bridge.nft"
}

tap_plan $(($(commands_of_help | wc -l) + 33))
test_manual_of_the_command_line
test_manual_of_the_agent
test_configuration
test_manuals
test_install
test_examples
tap_done
