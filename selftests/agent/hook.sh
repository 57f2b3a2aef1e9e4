#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The LXC hook: first with LXC's environment played by this script (settings,
# refusals, what is called), then with real LXC containers in both topologies.
# The command line is a recorder here; the real one is tested in cli.sh.
# shellcheck source=selftests/lib/tap.sh
. "$(dirname "$0")/../lib/tap.sh"

[ "$(id -u)" = 0 ] || tap_skip_all "needs root"
hook=$TOP/tools/lxc/hoody-hook
ID=890abcdef12345678901cdef PROJECT=67e89abc123def456789abcd
export HOODY_HOOK_STATE=$WORK/state HOODY_CLI=$WORK/hoody
calls=$WORK/calls

cat >"$WORK/hoody" <<'RECORDER'
#!/bin/sh
dir=${0%/*}
printf '%s\n' "$*" >>"$dir/calls"
[ ! -e "$dir/refuse" ] || { cat "$dir/refuse" >&2; exit 1; }
RECORDER
chmod +x "$WORK/hoody"

# container NAME: a configuration without network; further lines on stdin.
container() {
	mkdir -p "$WORK/lxc/$1"
	{ printf 'lxc.uts.name = %s\n' "$1"; cat; } >"$WORK/lxc/$1/config"
}
settings() { cat >"$WORK/lxc/$1/hoody.conf"; }

# hook NAME ARGUMENT...: as LXC with hook.version 0 calls it.
hook() {
	local name=$1
	shift
	env LXC_NAME="$name" LXC_CONFIG_FILE="$WORK/lxc/$name/config" LXC_HOOK_VERSION=0 \
		LXC_PID=$$ "$hook" "$name" "$@"
}

refused_setting() { # NAME LINE EXPECTED
	settings s <<<"$2"
	local output status=0
	output=$(hook s lxc pre-start 2>&1) || status=$?
	if [ $status = 1 ]; then tap_like "$1" "$output" "$3"; else tap_not_ok "$1" "status $status: $output"; fi
}

test_settings() {
	container s </dev/null
	refused_setting hook_refuses_short_id "id = 12" 'hoody.conf:1: id must be 24 hex'
	refused_setting hook_refuses_unknown_key "idd = $ID" "hoody.conf:1: unknown key 'idd'"
	refused_setting hook_refuses_line_without_value "id" "hoody.conf:1: not 'key = value'"
	refused_setting hook_refuses_bad_switch "gateway = perhaps" 'gateway must be yes or no'
	refused_setting hook_refuses_bad_topology "topology = star" 'topology must be routed or bridge'
	refused_setting hook_refuses_id_alone "id = $ID" 'project is missing'
	# shellcheck disable=SC2016
	refused_setting hook_refuses_command_in_address \
		"$(printf 'id = %s\nproject = %s\naddresses = $(touch %s/owned)' $ID $PROJECT "$WORK")" 'is no IP address'
	tap_run hook_settings_are_never_executed test ! -e "$WORK/owned"
	rm "$WORK/lxc/s/hoody.conf"
	tap_like hook_without_id_is_left_alone "$(hook s lxc pre-start 2>&1; echo "status $?")" 'status 0'
	tap_refused hook_outside_lxc_is_refused "$hook"
	tap_refused hook_unknown_type_is_refused hook s lxc clone
}

test_calls() {
	container c <<-CONFIG
		lxc.net.0.ipv4.address = 10.77.9.2/24 10.77.9.255
		lxc.environment = HOODY_ID=$ID
		lxc.environment = HOODY_PROJECT=$PROJECT
		lxc.environment = HOODY_OTHER=mine
	CONFIG
	settings c <<-'CONFIG'
		# a comment

		name = shop front
		ports = terminal=7681 files=5000
		gateway = yes
		cgroup = /lxc.payload.c
	CONFIG
	rm -f "$calls"
	hook c lxc pre-start && hook c lxc start-host
	tap_is hook_start_registers_and_starts "$(cat "$calls")" \
"containers register --id $ID --project $PROJECT --name shop front --cgroup /lxc.payload.c --address 10.77.9.2 --port terminal=7681 --port files=5000 --gateway
containers start $ID"
	rm -f "$calls"
	hook c lxc post-stop
	tap_is hook_stop_stops_and_never_deletes "$(cat "$calls")" "containers stop $ID"

	echo 'hoody: the agent does not answer' >"$WORK/refuse"
	tap_like hook_absent_agent_lets_it_start "$(hook c lxc start-host 2>&1; echo "status $?")" 'status 0'
	tap_like hook_absent_agent_is_said "$(hook c lxc start-host 2>&1)" \
		'starts, but is not served: hoody: the agent does not answer'
	echo 'hoody: refused: nothing has changed: no module (not_enforceable, 409)' >"$WORK/refuse"
	tap_like hook_never_starts_what_cannot_be_confined "$(hook c lxc start-host 2>&1; echo "status $?")" \
		'status 1'
	echo 'hoody: the agent does not answer' >"$WORK/refuse"
	tap_refused hook_required_agent_fails_the_start env HOODY_REQUIRED=1 LXC_NAME=c \
		LXC_CONFIG_FILE="$WORK/lxc/c/config" "$hook" c lxc start-host
	echo 'required = yes' >>"$WORK/lxc/c/hoody.conf"
	tap_refused hook_required_agent_fails_before_the_start hook c lxc pre-start
	tap_run hook_stop_ends_well_without_agent hook c lxc post-stop
	rm -f "$WORK/refuse"
	tap_like hook_missing_command_is_named \
		"$(HOODY_CLI=/nonexistent/hoody hook c lxc start-host 2>&1)" "'/nonexistent/hoody' is not installed"
}

# Two containers with one id, as a copy leaves them.
test_claims() {
	container d1 <<<"lxc.environment = HOODY_ID=$ID"
	container d2 <<<"lxc.environment = HOODY_ID=${ID^^}"
	for c in d1 d2; do echo "project = $PROJECT" | settings $c; done
	hook d1 lxc pre-start
	tap_like hook_doubled_id_is_refused "$(hook d2 lxc pre-start 2>&1)" "belongs to the running container of .*/d1/config"
	tap_run hook_same_container_starts_again hook d1 lxc pre-start
	hook d1 lxc post-stop
	tap_run hook_id_is_free_after_stop hook d2 lxc pre-start
	# d2's monitor is gone without a post-stop: no process has this start time.
	printf '%s 0\n%s\n' $$ "$WORK/lxc/d2/config" >"$HOODY_HOOK_STATE/id-$ID"
	tap_run hook_stale_claim_is_taken_over hook d1 lxc pre-start
	hook d1 lxc post-stop
}

test_net_refusals() {
	container n <<<"lxc.net.0.ipv4.address = 10.77.8.2/32"
	printf 'id = %s\nproject = %s\n' $ID $PROJECT | settings n
	ip link add t-n0 type veth peer name t-n1
	tap_cleanup ip link del t-n0
	ip link add t-other type bridge
	tap_cleanup ip link del t-other
	ip link set t-other up
	ip route add 10.77.8.2/32 dev t-other
	tap_like hook_address_of_another_is_not_taken_over "$(hook n net up veth t-n0 2>&1)" \
		'no route to 10.77.8.2 by t-n0.*another container'
	tap_like hook_route_of_another_stays "$(ip route show 10.77.8.2)" 'dev t-other'
	ip route del 10.77.8.2/32 dev t-other
	echo 'topology = bridge' >>"$WORK/lxc/n/hoody.conf"
	tap_like hook_wrong_topology_is_refused "$(hook n net up veth t-n0 2>&1)" 'topology is bridge, but t-n0 has no bridge'
	container n <<<"lxc.net.0.ipv4.gateway = dev"
	tap_like hook_missing_address_is_named "$(hook n net up veth t-n0 2>&1)" 'set lxc.net.0.ipv4.address'
}

# /usr is mounted into it: nothing is unpacked.
make_rootfs() {
	mkdir -p "$WORK/rootfs"/{usr,proc,sys,dev,tmp,etc,run}
	for d in bin sbin lib lib64; do ln -s usr/$d "$WORK/rootfs/$d"; done
}

real() { # NAME VERSION; further lines on stdin
	{
		cat <<-CONFIG
			lxc.rootfs.path = dir:$WORK/rootfs
			lxc.mount.entry = /usr usr none bind,ro 0 0
			lxc.mount.auto = proc:mixed sys:ro
			lxc.apparmor.profile = unconfined
			lxc.net.0.type = veth
			lxc.net.0.name = eth0
			lxc.net.0.flags = up
			lxc.net.0.script.up = $hook
			lxc.net.0.script.down = $hook
			lxc.hook.pre-start = $hook
			lxc.hook.start-host = $hook
			lxc.hook.post-stop = $hook
			lxc.hook.version = $2
		CONFIG
		cat
	} | container "$1"
	tap_cleanup lxc-stop -P "$WORK/lxc" -k -n "$1"
}

start() {
	lxc-start -P "$WORK/lxc" -n "$1" -l DEBUG -o "$WORK/$1.log" -- sleep 3600 ||
		tap_note "$(grep -E 'ERROR|WARN|hoody-hook' "$WORK/$1.log")"
}
inside() { # NAME COMMAND...: in its network
	local pid
	pid=$(lxc-info -P "$WORK/lxc" -n "$1" -p -H)
	shift
	nsenter -t "$pid" -n "$@"
}
# shellcheck disable=SC2317
addresses_ready() { [ -z "$(inside "$1" ip -6 -o address show tentative)" ] && inside "$1" ip -4 route show default | grep -q .; }
reaches() { tap_run "$1" tap_wait 60 inside "$2" ping -c 1 -W 1 "$3"; }

test_routed() {
	sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
	for n in 1 2; do
		real r$n $((n - 1)) <<-CONFIG
			lxc.net.0.ipv4.address = 10.77.0.$n/32
			lxc.net.0.ipv4.gateway = 169.254.1.1
			lxc.net.0.ipv6.address = fd77::$n/128
			lxc.net.0.ipv6.gateway = fe80::1
		CONFIG
		printf 'id = 890abcdef12345678901cde%s\nproject = %s\n' $n $PROJECT | settings r$n
	done
	echo 'lxc.net.0.veth.mode = router' >>"$WORK/lxc/r2/config"
	rm -f "$calls"
	start r1
	start r2
	local netdev
	netdev=$(cat "$HOODY_HOOK_STATE/r1.netdev")
	tap_like hook_lxc_registers_what_it_made "$(cat "$calls")" \
		"register --id 890abcdef12345678901cde1 .* --cgroup /[^ ]*lxc.payload.r1 --address 10.77.0.1 --address fd77::1 --netdev $netdev "
	tap_run hook_routed_addresses_get_ready tap_wait 60 addresses_ready r1
	tap_run hook_routed_router_mode_gets_ready tap_wait 60 addresses_ready r2
	for a in 10.77.0.1 fd77::1 10.77.0.2 fd77::2; do
		tap_run "hook_routed_host_reaches_$a" tap_wait 60 ping -c 1 -W 1 "$a"
	done
	ip address add 192.0.2.1/32 dev lo
	tap_cleanup ip address del 192.0.2.1/32 dev lo
	reaches hook_routed_container_reaches_the_host r1 192.0.2.1
	tap_refused hook_routed_container_reaches_no_other inside r1 ping -c 1 -W 1 10.77.0.2
	lxc-stop -P "$WORK/lxc" -k -n r1
	echo 'forward = yes' >>"$WORK/lxc/r1/hoody.conf"
	start r1
	tap_need 60 addresses_ready r1
	reaches hook_routed_forward_lets_through r1 169.254.1.1
	tap_is hook_routed_forward_is_per_interface \
		"$(for n in r1 r2; do cat "/proc/sys/net/ipv4/conf/$(cat "$HOODY_HOOK_STATE/$n.netdev")/forwarding"; done | tr '\n' ' ')" '1 0 '
	rm -f "$calls"
	lxc-stop -P "$WORK/lxc" -k -n r1
	lxc-stop -P "$WORK/lxc" -k -n r2
	tap_run hook_lxc_stop_tells_the_agent tap_wait 60 grep -q "containers stop 890abcdef12345678901cde2" "$calls"
	tap_is hook_routed_leaves_no_route "$(ip route show 10.77.0.0/24; ip -6 route show fd77::/64)" ''
}

test_bridge() {
	ip link add t-br type bridge
	tap_cleanup ip link del t-br
	ip address add 10.88.0.1/24 dev t-br
	ip address add fd88::1/64 dev t-br nodad
	ip link set t-br up
	for n in 2 3; do
		real b$n $((n - 2)) <<-CONFIG
			lxc.net.0.link = t-br
			lxc.net.0.ipv4.address = 10.88.0.$n/24
			lxc.net.0.ipv4.gateway = 10.88.0.1
			lxc.net.0.ipv6.address = fd88::$n/64
			lxc.net.0.ipv6.gateway = fd88::1
		CONFIG
		printf 'id = 890abcdef12345678901cdd%s\nproject = %s\n' $n $PROJECT | settings b$n
		start b$n
	done
	tap_run hook_bridge_addresses_get_ready tap_wait 60 addresses_ready b2
	tap_is hook_bridge_dad_passes_beside_the_proxy "$(inside b2 ip -6 -o address show dadfailed)" ''
	tap_need 60 addresses_ready b3
	for n in 2 3; do
		tap_like hook_bridge_port_is_isolated_b$n \
			"$(bridge -d link show dev "$(cat "$HOODY_HOOK_STATE/b$n.netdev")")" 'isolated on'
	done
	for a in 10.88.0.2 fd88::2; do
		tap_run "hook_bridge_host_reaches_$a" tap_wait 60 ping -c 1 -W 1 "$a"
	done
	# Neighbours are met through the host: its address answers for theirs.
	reaches hook_bridge_v4_neighbour_by_the_host b2 10.88.0.3
	reaches hook_bridge_v6_neighbour_by_the_host b2 fd88::3
	local mac
	mac=$(ip -o link show t-br | sed -n 's,.*link/ether \([^ ]*\) .*,\1,p')
	tap_like hook_bridge_v4_neighbour_is_the_host "$(inside b2 ip neighbour show 10.88.0.3)" "lladdr $mac"
	tap_like hook_bridge_v6_neighbour_is_the_host "$(inside b2 ip neighbour show fd88::3)" "lladdr $mac"
	lxc-stop -P "$WORK/lxc" -k -n b2
	lxc-stop -P "$WORK/lxc" -k -n b3
	tap_run hook_bridge_leaves_no_proxy_and_no_rules tap_wait 60 \
		test -z "$(ip -6 neighbour show proxy; nft list tables | grep hoody)"
}

tap_plan 52
make_rootfs
test_settings
test_calls
test_claims
test_net_refusals
test_routed
test_bridge
tap_done
