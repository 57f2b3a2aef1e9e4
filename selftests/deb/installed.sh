#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# In a machine that systemd has booted and where hoody-dkms is installed already: the
# agent's package is installed, serves a container, is installed once more under a
# connection, and purged; then nothing is left. Run by selftests/deb/check.
# shellcheck source=selftests/lib/tap.sh
. "$(dirname "$0")/../lib/tap.sh"
# shellcheck source=selftests/lib/memory.sh
. "$TOP/selftests/lib/memory.sh"

[ "$(cat /proc/1/comm)" = systemd ] && [ -n "${HOODY_VM:-}" ] || tap_skip_all "for a machine that systemd has booted: make check-deb"

A=890abcdef12345678901cdef P=67e89abc123def456789abcd
HOST=$P-$A-http-8080.node-us.containers.example.org
unit=hoody-agent.service
package=$(echo "$HOODY_BUILD"/deb/hoody-agent_*.deb)

property() { systemctl show $unit -p "$1" --value; }
# shellcheck disable=SC2317
has_property() { [ "$(property "$1")" = "$2" ]; }
in_client() { ip netns exec client "$@"; }
fetch() { in_client curl -sS --max-time 60 --cacert /etc/hoody/ca.pem --connect-to ::203.0.113.1:443 "$@"; }

# What speaks of hoody on this disk, but for the tests themselves; and the rest of
# what a package could leave.
traces() {
	find / -xdev \( -path /src -o -path /out -o -path /proc -o -path /tmp -o -path /var/log -o -path '/etc/systemd/system/vm.*' \) -prune \
		-o -iname '*hoody*' -print 2>/dev/null | grep -vE '^(/.devroot)?/etc/hoody-kernels$|^/usr/share/linux-support' | sort
	find /run /sys/fs/bpf -maxdepth 1 -name 'hoody*'
	getent passwd hoody
	getent group hoody
	lsmod | grep '^hoody'
	dpkg -l 'hoody*' 2>/dev/null | sed -n 's/^[a-z][a-z] *\(hoody[a-z-]*\).*/\1/p'
	grep -rl hoody /etc/passwd /etc/group /etc/shadow /etc/subuid 2>/dev/null
}

test_install() {
	tap_is module_is_the_one_of_dkms "$(modinfo -F filename hoody | sed 's/\.ko.*//')" "/lib/modules/$(uname -r)/updates/dkms/hoody"
	tap_run agent_installs apt-get install -y --no-install-recommends "$package"
	tap_run package_made_the_user id hoody
	tap_is package_starts_nothing "$(property ActiveState) $(property UnitFileState)" 'inactive disabled'
	# The build root is without documentation.
	tap_is package_files_are_as_packed "$(dpkg --verify hoody-agent hoody-dkms | grep -v ' /usr/share/doc/')" ''
	tap_like package_is_whole "$(hoody version --json 2>/dev/null || true)" "$(cat "$TOP/kmod/VERSION")"
}

# A client's and a container's namespace, each with its own pair of interfaces.
network() {
	local ns
	for ns in client app; do
		ip netns add $ns
		ip link add $ns type veth peer name eth0 netns $ns
		ip -n $ns link set lo up
		ip -n $ns link set eth0 up
		ip link set $ns up
	done
	ip address add 203.0.113.1/24 dev client
	ip -n client address add 203.0.113.50/24 dev eth0
	ip address add 10.9.0.1/24 dev app
	ip -n app address add 10.9.0.2/24 dev eth0
	ip -n app route add default via 10.9.0.1
	sysctl -qw net.ipv4.ip_forward=1
	# It answers with the address that its connection came from.
	cat >"$WORK/app.py" <<'APP'
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = self.client_address[0].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
http.server.ThreadingHTTPServer(("10.9.0.2", 8080), Handler).serve_forever()
APP
	ip netns exec app python3 "$WORK/app.py" &
	tap_cleanup "kill $!"
	tap_need 60 ip netns exec app curl -s http://10.9.0.2:8080/
}

test_serve() {
	hoody ca /etc/hoody '*.node-us.containers.example.org' '*.containers.example.org' >/dev/null
	tap_run unit_starts systemctl enable --now $unit
	tap_run unit_serves tap_wait 120 eval "hoody status --json | jq -e '.worker.state == \"serving\" and .real_ip.state == \"on\"'"
	tap_note "$(hoody status)"
	network
	hoody containers register --id $A --project $P --netdev app --address 10.9.0.2 >/dev/null
	tap_run container_starts hoody containers start $A
	tap_run container_is_served tap_wait 60 fetch -f "https://$HOST/"
	tap_is app_sees_the_client "$(fetch "https://$HOST/")" 203.0.113.50
}

worker() { hoody status --json | jq -r .worker.pid; }
# shellcheck disable=SC2317
is_replaced() { [ "$(worker)" != "$1" ] && fetch -f "https://$HOST/"; }

# The kernel ends the worker. By systemd's default that would be the unit's end.
test_memory() {
	local pid worker
	pid=$(property MainPID) worker=$(worker)
	tap_run memory_runs_out_and_a_process_is_ended memory_runs_out "/sys/fs/cgroup$(property ControlGroup)"
	tap_run memory_is_there_again_and_so_is_the_worker tap_wait 120 is_replaced "$worker"
	tap_is unit_has_survived_it "$(property MainPID) $(property ActiveState) $(property Result)" "$pid active success"
}

# shellcheck disable=SC2317
is_upgraded() { hoody status --json | jq -e '.upgrade.state == "done"'; }

test_upgrade() {
	local pid
	pid=$(property MainPID)
	tap_run package_is_installed_again apt-get install -y --reinstall --no-install-recommends "$package"
	tap_run program_is_replaced_while_it_serves tap_wait 120 is_upgraded
	tap_is unit_is_the_same_process "$(property MainPID) $(property ActiveState)" "$pid active"
	tap_is container_is_served_by_the_new_one "$(fetch "https://$HOST/")" 203.0.113.50
}

test_remove() {
	tap_run agent_is_removed apt-get remove -y hoody-agent
	tap_is remove_stops_the_unit "$(systemctl is-active $unit)" inactive
	tap_run remove_keeps_configuration_and_state test -s /etc/hoody/agent.conf -a -s /var/lib/hoody/state.db
	tap_run packages_are_purged apt-get purge -y hoody-agent hoody-dkms
	tap_is purge_leaves_nothing "$(traces)" ''
}

tap_plan 23
rm -f /usr/sbin/policy-rc.d
# All that the packages depend on is there. Reading the archive's lists takes an emulated
# processor minutes, each time.
rm -rf /var/lib/apt/lists/*
test_install
test_serve
test_memory
test_upgrade
test_remove
tap_done
