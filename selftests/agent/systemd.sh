#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The unit under a real systemd, which runs as the init of a PID namespace: the
# hardening must leave the agent everything that it needs, and take the rest.
# Installs with make install, and removes it again.
# shellcheck source=selftests/lib/tap.sh
. "$(dirname "$0")/../lib/tap.sh"

[ -n "${HOODY_DEVROOT:-}" ] || tap_skip_all "installs into the system: run it in the build root (tools/devroot run)"

A=890abcdef12345678901cdef P=67e89abc123def456789abcd
unit=hoody-agent.service

# A root, a /proc, a network and a cgroup tree of its own; then systemd as process 1.
cat >"$WORK/init" <<'INIT'
set -e
mount --make-rprivate /
mount --rbind / /mnt
cd /mnt
mkdir -p .old
pivot_root . .old
umount -l /.old
mount -t proc proc /proc
umount -l /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
# systemd mounts it on a host, not in a container.
mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf
mount -t tmpfs tmpfs /run
ip link set lo up
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=lxc /lib/systemd/systemd --system --show-status=no
INIT

inside() { nsenter -t "$init" -p -m -C -r -w "$@"; }
# shellcheck disable=SC2317
find_init() { init=$(pgrep -P "$unshare" -x systemd); }
# shellcheck disable=SC2317
is_up() { find_init && inside hoody status; }
property() { inside systemctl show $unit -p "$1" --value; }
# shellcheck disable=SC2317
has_property() { [ "$(property "$1")" = "$2" ]; }
log() { inside journalctl -u $unit -o cat --no-pager; }
field() { inside cat "/proc/$1/status" | sed -n "s/^$2:[[:space:]]*//p"; }

boot() {
	# What a booted host would wait for or would change is not this test's matter.
	local other
	for other in systemd-networkd-wait-online.service systemd-udevd.service systemd-modules-load.service \
		systemd-sysctl.service console-getty.service getty@tty1.service lxc.service lxc-net.service e2scrub_reap.service; do
		ln -sf /dev/null "/etc/systemd/system/$other"
	done
	ln -sf /usr/lib/systemd/system/multi-user.target /etc/systemd/system/default.target
	mkdir -p /etc/systemd/system/multi-user.target.wants
	rm -f /etc/systemd/system/multi-user.target.wants/*
	ln -s /usr/lib/systemd/system/$unit /etc/systemd/system/multi-user.target.wants/
	unshare --pid --fork --kill-child --mount --cgroup --net bash "$WORK/init" >"$WORK/systemd.log" 2>&1 &
	unshare=$!
	# shellcheck disable=SC2016
	tap_cleanup 'kill -9 $unshare; wait $unshare'
	tap_wait 300 is_up || tap_note "$(cat "$WORK/systemd.log"; inside systemctl status $unit --no-pager; log)"
}

test_start() {
	boot
	# Control answers before it tells systemd that it is ready.
	tap_run unit_becomes_active tap_wait 60 has_property ActiveState active
	tap_run unit_is_ready_when_it_serves tap_wait 30 eval "inside hoody status | grep -q 'worker: *serving'"
	tap_is unit_log_has_no_failure "$(log | grep -iE 'cannot|failed|not permitted|not implemented')" ''
	# It is allowed to pin programs where the host keeps them.
	tap_run unit_firewall_is_on tap_wait 60 eval "inside hoody status --json | jq -e '.firewall.state == \"loaded\"'"
	tap_is unit_agent_is_in_its_cgroup "$(log | grep -o "cgroup: path=[^ ]*")" "cgroup: path=/system.slice/$unit"
}

test_privileges() {
	local control worker
	control=$(property MainPID)
	worker=$(inside hoody status --json | jq .worker.pid)
	# NET_BIND_SERVICE, NET_ADMIN, SETUID, SETGID, SETPCAP, KILL, DAC_READ_SEARCH, and
	# for the firewall's programs BPF and PERFMON.
	tap_is unit_control_has_nine_capabilities "$(field "$control" CapEff) $(field "$control" CapBnd)" \
		'000000c0000015e4 000000c0000015e4'
	tap_is unit_worker_has_none "$(field "$worker" CapPrm) $(field "$worker" CapBnd)" '0000000000000000 0000000000000000'
	tap_is unit_worker_is_its_own_user "$(field "$worker" Uid)" "$(id -u hoody | sed 's/.*/&\t&\t&\t&/')"
	tap_is unit_nobody_gains_privileges "$(field "$control" NoNewPrivs) $(field "$worker" NoNewPrivs)" '1 1'
}

test_work() {
	inside hoody containers register --id $A --project $P --address 10.9.0.1 --cgroup /system.slice >/dev/null
	tap_run unit_container_starts_with_its_cgroup inside hoody containers start $A
	tap_run unit_reload_succeeds inside systemctl reload $unit
	# Another program in its place, in all the confinement of the unit.
	local control
	control=$(property MainPID)
	tap_run unit_upgrade_is_done inside hoody upgrade
	cp /usr/sbin/hoody-agent /usr/sbin/hoody-agent.new && mv /usr/sbin/hoody-agent.new /usr/sbin/hoody-agent
	tap_run unit_reload_with_a_new_program_succeeds inside systemctl reload $unit
	tap_run unit_has_the_new_program tap_wait 60 eval "inside hoody status --json | jq -e '.upgrade == {state: \"done\", number: 2, from: .version, reason: null}'"
	tap_run unit_is_active_again tap_wait 30 has_property ActiveState active
	tap_is unit_keeps_process_and_capabilities "$(property MainPID) $(field "$control" CapEff) $(field "$control" CapBnd)" \
		"$control 000000c0000015e4 000000c0000015e4"
	tap_is unit_upgrade_has_no_failure "$(log | grep -iE 'cannot|failed|not permitted|not implemented')" ''
	echo 'Nonsense = 1' >>/etc/hoody/agent.conf
	tap_refused unit_reload_of_a_wrong_file_is_refused inside systemctl reload $unit
	sed -i '$d' /etc/hoody/agent.conf
	tap_is unit_goes_on_after_it "$(property ActiveState)" active
	inside systemctl kill -s KILL --kill-whom=main $unit
	tap_run unit_is_restarted_after_a_crash tap_wait 30 has_property NRestarts 1
	tap_need 30 is_up
	tap_is unit_remembers_after_a_crash "$(inside hoody containers list --json | jq -r '.[].id')" $A
	inside systemctl stop $unit
	tap_is unit_stops_cleanly "$(property ActiveState) $(property Result)" 'inactive success'
	tap_run unit_stop_keeps_the_hook_s_notes inside test -d /run/hoody/lxc
}

test_uninstall() {
	tap_run uninstall_works make -s -C "$TOP" O="$HOODY_BUILD" uninstall
	tap_is uninstall_leaves_configuration_and_state \
		"$(find / -xdev -name '*hoody*' -not -path "$WORK*" -not -path '/src*' -not -path '/tmp/*' -not -path '/etc/systemd/*' 2>/dev/null | sort | tr '\n' ' ')" \
		'/etc/hoody /etc/hoody-kernels /var/lib/hoody '
}

tap_plan 28
tap_cleanup rm -rf /etc/hoody /var/lib/hoody
tap_run install_on_the_host_works make -s -C "$TOP" O="$HOODY_BUILD" install
tap_run install_makes_the_user id hoody
hoody ca /etc/hoody '*.node-us.containers.example.org' >/dev/null
tap_run install_leaves_a_configuration_that_is_good hoody-agent --check
test_start
test_privileges
test_work
test_uninstall
tap_done
