#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Every command that README.md and docs/*.md show is run, in the order of its page,
# against an agent of its own; or it stands in a table below with the test that runs it.
# A command that is new and neither works here nor is in the table fails, and so does an
# entry of the table that no document has any more.
# shellcheck source=../lib/tap.sh
. "$(dirname "$0")/../lib/tap.sh"
# shellcheck source=../lib/agent.sh
. "$TOP/selftests/lib/agent.sh"

agent_need
mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf || tap_skip_all "needs a bpf file system"
HERE=$(cd "$(dirname "$0")" && pwd)
export PATH=$HOODY_BUILD/bin:$PATH HOODY_API=unix:$WORK/run/control.sock PYTHONDONTWRITEBYTECODE=1

# A regular expression of commands, a blank, and the test that has them: FILE:WORDS of it.
# They need the module, a system of their own, or do not end.
elsewhere() {
	cat <<-'TABLE'
	dkms·install·hoody/ selftests/agent/dkms.sh:dkms
	editor·/etc/hoody/agent.conf selftests/deb/installed.sh:hoody ca /etc/hoody
	systemctl·enable·--now·hoody-agent selftests/deb/installed.sh:systemctl enable --now
	hoody-agent·--check$ selftests/agent/systemd.sh:hoody-agent --check
	rm·-r·/etc/hoody selftests/agent/systemd.sh:rm -rf /etc/hoody /var/lib/hoody
	userdel·hoody selftests/deb/installed.sh:getent passwd hoody
	hoody·syscalls·attach selftests/system/syscalls.sh:hoody syscalls attach -c
	hoody·syscalls·show·-c selftests/system/syscalls.sh:hoody syscalls show -c
	hoody·syscalls·detach selftests/system/syscalls.sh:hoody syscalls detach -c
	hoody·syscalls·learn·-c selftests/system/syscalls.sh:hoody syscalls learn -c
	hoody·syscalls·learned selftests/system/syscalls.sh:hoody syscalls learned -c
	hoody·ksm·set·-c·ID·on selftests/system/ksm.sh:hoody ksm set -c "$ONE" on
	hoody·ksm·set·-c·ID·off selftests/system/ksm.sh:ksm set -c "$ONE" off
	hoody·ksm·show selftests/system/ksm.sh:hoody ksm show
	hoody·logs·follow selftests/agent/audit.sh:logs follow
	hoody·firewall·drops·.*--follow selftests/agent/firewall_control.sh:firewall drops
	hoody·logs·firewall·.*--follow selftests/agent/firewall_control.sh:logs firewall
	HOODY_API=https: selftests/agent/tokens.sh:command_speaks_https
	tools/devroot·run·selftests/fuzz/run·repeat selftests/fuzz/run:run repeat
	TABLE
}

PROJECT_ID=67e89abc123def456789abcd
CONTAINER_ID=890abcdef12345678901cdef OTHER_ID=890abcdef12345678901cde0
ID=$CONTAINER_ID
export PROJECT_ID CONTAINER_ID OTHER_ID ID

serving() { [ "$(hoody status --json 2>/dev/null | jq -r .worker.state)" = serving ]; }

start() {
	mkdir "$WORK/docs" "$WORK/backup" "$WORK/etc" "$WORK/run"
	ip link add hd type veth peer name hd1
	tap_cleanup "ip link del hd"
	ip addr add 10.86.0.1/24 dev hd
	ip link set hd up
	cat >"$WORK/agent.conf" <<-CONF
	[agent]
	node = node-us
	base_domain = containers.example.com
	state_directory = $WORK/state
	control_socket = $WORK/run/control.sock
	threads = 1
	real_ip = off
	cgroup = /hoody-docs-$$
	[firewall]
	pins = /sys/fs/bpf/hoody-docs-$$
	flows = 65536
	containers = 16
	[listen]
	tls = none
	plain = 127.0.0.1:8096
	CONF
	tap_cleanup "rm -rf /sys/fs/bpf/hoody-docs-$$"
	tap_cleanup "rmdir '$(awk '$0 ~ / - cgroup2 / { print $5; exit }' /proc/self/mountinfo)/hoody-docs-$$'"
	hoody-agent --config "$WORK/agent.conf" 2>>"$WORK/log" &
	tap_cleanup "kill $!; wait $!"
	tap_wait 60 serving || tap_bail "the agent: $(tail -5 "$WORK/log")"
	hoody containers register --id $CONTAINER_ID --project $PROJECT_ID --netdev hd --address 10.86.0.2 >/dev/null &&
		hoody containers register --id $OTHER_ID --project $PROJECT_ID >/dev/null &&
		hoody containers start $CONTAINER_ID >/dev/null || tap_bail "no containers: $(tail -5 "$WORK/log")"
	# What pages take to be there.
	cp /usr/share/containers/seccomp.json "$WORK/docs/other.json"
	mkdir -p "$WORK/lxc/web"
}

# Where the pages mean the host, a folder of this test.
local_paths() {
	sed -E "s,/var/lib/hoody,$WORK/state,g; s,/root/,$WORK/backup/,g; s,/etc/hoody,$WORK/etc,g; s,/run/hoody,$WORK/run,g
		s,/var/lib/lxc,$WORK/lxc,g; s,(-c|show) ID( |\$),\\1 $ID\\2,g" <<<"$1"
}

# The targets are there; what they do is what the tests are about.
make_targets() { # COMMAND
	local target
	# shellcheck disable=SC2001
	for target in $(sed 's/make *&&/make all/; s/^make *$/make all/; s/&&//g; s/[A-Z]*=[^ ]*//g' <<<"$1"); do
		[ "$target" = make ] || grep -hE "^$target( [a-z ]*)?:" "$TOP"/Makefile "$TOP"/selftests/targets.mk "$TOP"/tools/packaging/install.mk || return 1
	done
}

run() { # COMMAND
	case $1 in
	make | make\ *) make_targets "$1" ;;
	*) (cd "$WORK/docs" && timeout 60 bash -c "$(local_paths "$1")") </dev/null ;;
	esac
}

# The table's test of a command, or nothing.
test_of() { # COMMAND
	local pattern where
	while read -r pattern where; do
		grep -qE "^${pattern//·/ +}" <<<"$1" && { echo "$pattern" >>"$WORK/used"; echo "$where"; return; }
	done < <(elsewhere)
}

test_blocks() {
	local file command where
	while IFS=$'\t' read -r file command; do
		where=$(test_of "$command")
		if [ -z "$where" ]; then
			tap_run "$file: ${command//#/}" run "$command"
		else
			tap_run "$file: ${command//#/} (${where%%:*})" grep -qF -- "${where#*:}" "$TOP/${where%%:*}"
		fi
	done <"$WORK/blocks"
	tap_is nothing_stands_in_the_table_for_nothing "$(elsewhere | cut -d ' ' -f 1 | sort)" "$(sort -u "$WORK/used")"
}

# In the text: the command is one, and has the options that it is given.
test_inline() {
	local file command words help option wrong=''
	hoody --help | sed -n '/^Commands/,/^$/s/^  \([a-z ]*[a-z]\)  .*/\1/p' >"$WORK/commands"
	while IFS=$'\t' read -r file command; do
		words=$(sed -E 's/^hoody //; s/ (-|\||[A-Z]).*//' <<<"$command")
		if ! grep -q "^$words\( \|$\)" "$WORK/commands"; then
			wrong+="$file: $command: there is no such command"$'\n'
			continue
		fi
		# shellcheck disable=SC2086
		help=$(hoody $words --help 2>&1)
		for option in $(sed 's/|.*//' <<<"$command" | grep -oE -- '--[a-z-]+'); do
			grep -qE -- "$option( |,|$)" <<<"$help" || wrong+="$file: $command: there is no $option"$'\n'
		done
	done < <(python3 "$HERE/docs_commands.py" inline "$TOP"/README.md "$TOP"/docs/*.md | sort -u)
	tap_is commands_in_the_text_are_there "$wrong" ''
}

# A backup that was made as the page says is a database with all that there is.
test_backup() {
	tap_is backup_is_whole "$(sqlite3 "$WORK/backup/state.db" 'PRAGMA integrity_check; SELECT count(*) FROM containers')" $'ok\n2'
}

cd "$TOP" || exit 1
python3 "$HERE/docs_commands.py" blocks README.md docs/*.md >"$WORK/blocks"
tap_plan $(($(wc -l <"$WORK/blocks") + 3))
start
test_blocks
test_inline
test_backup
[ "${tap_failed:?}" = 0 ] || tap_note "$(tail -n 20 "$WORK/log")"
tap_done
