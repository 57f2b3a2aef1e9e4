# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# A whole host in a virtual machine: module, agent, LXC containers with
# unmodified servers, and clients in a namespace of their own. For the system
# tests and the demo; source tap.sh first.
#
#        client (203.0.113.x, 2001:db8:1::x)   <- namespace "client"
#           | 
#        host   (203.0.113.1, 2001:db8:1::1), the agent on port 443
#         |  |
#    routed  bridge br0 (10.80.1.1/24, fd80:1::1/64), isolated ports
#
# shellcheck disable=SC2034  # names for the scripts that source this

# shellcheck source=selftests/lib/netns.sh
. "$TOP/selftests/lib/netns.sh"

NODE=node-us BASE=containers.test
PROJECT=67e89abc123def4567890abc
CA=/run/hoody-test-ca
CONFIG=$WORK/agent.conf
SOCKET=$WORK/control.sock
LOG=$WORK/agent.log
export HOODY_API=unix:$SOCKET
export PATH=$HOODY_BUILD/bin:$PATH
MODULE=$HOODY_BUILD/kmod/$(uname -r)/hoody.ko
CLIENT4=203.0.113.50 CLIENT6=2001:db8:1::50

host_of() { printf '%s-%s-%s-%s.%s.%s' "$PROJECT" "$1" "${2:-http}" "${3:-8080}" "$NODE" "$BASE"; } # ID [SERVICE INSTANCE]

in_client() { netns_exec client "$@"; }

# fetch CURL-OPTION... HOST PATH: from the client, by name, with the CA checked.
fetch() {
	local host=${*: -2:1} path=${*: -1} server=203.0.113.1
	case " $* " in *" -6 "*) server='[2001:db8:1::1]' ;; esac
	in_client curl -sS --max-time 60 --cacert "$CA/ca.pem" --connect-to "::$server:443" "${@:1:$#-2}" "https://$host$path"
}

system_client_net() {
	local i family6=''
	ip netns add client
	tap_cleanup ip netns del client
	ip link add eth0 type veth peer name eth0 netns client
	tap_cleanup ip link del eth0
	ip address add 203.0.113.1/24 dev eth0
	ip address add 2001:db8:1::1/64 dev eth0 nodad
	ip link set eth0 up
	# In one go: a process for each address would take seconds here.
	{
		printf 'link set lo up\n'
		for i in "$@"; do
			case $i in
			*:*)
				printf 'address add %s/64 dev eth0 nodad\n' "$i"
				family6=yes ;;
			*) printf 'address add %s/24 dev eth0\n' "$i" ;;
			esac
		done
		printf '%s\n' 'link set eth0 up' 'route add default via 203.0.113.1'
		[ -z "$family6" ] || echo 'route add default via 2001:db8:1::1'
	} | ip -netns client -batch - || tap_bail "the client's namespace"
}

system_module() { # [PARAMETER=VALUE]...
	local retries
	# What a test before this one has left is over in two minutes at the latest.
	[ ! -d /sys/module/hoody ] || tap_wait 120 rmmod hoody
	insmod "$MODULE" "$@" || tap_bail "insmod $MODULE failed"
	# Sockets that are being closed hold it. A container that ends answers no FIN, which is
	# sent eight times then, for a hundred seconds (tcp_orphan_retries, ip-sysctl).
	retries=$(sysctl -n net.ipv4.tcp_orphan_retries)
	sysctl -qw net.ipv4.tcp_orphan_retries=1
	tap_cleanup "tap_wait 30 rmmod hoody; sysctl -qw net.ipv4.tcp_orphan_retries=$retries"
}

# system_config [LINE]...: agent.conf; further lines go to its [agent] section.
system_config() {
	# One for all tests of a machine: making it takes more than a second there.
	[ -d "$CA" ] || hoody ca "$CA" "*.$NODE.$BASE" >"$WORK/ca.log" || tap_bail "hoody ca: $(cat "$WORK/ca.log")"
	getent passwd hoody >/dev/null || useradd --system --no-create-home --shell /usr/sbin/nologin hoody
	mkdir -p "$WORK/state"
	chmod 755 "$WORK"
	{
		echo "[agent]"
		echo "node = $NODE"
		echo "base_domain = $BASE"
		echo "state_directory = $WORK/state"
		echo "control_socket = $SOCKET"
		echo "threads = ${THREADS:-2}"
		printf '%s\n' "$@"
		# On in tests that speak of it: loading it takes four seconds where the
		# processor is emulated, at each start of the agent.
		echo "[firewall]"
		echo "enabled = ${FIREWALL:-off}"
		echo "[listen]"
		echo "tls = 0.0.0.0:443, [::]:443"
		echo "plain = 0.0.0.0:80, [::]:80"
		echo "[tls]"
		echo "certificate = $CA/server.pem"
		echo "key = $CA/server.key"
	} >"$CONFIG"
}

system_agent() {
	hoody-agent --config "$CONFIG" >>"$LOG" 2>&1 &
	AGENT=$!
	tap_cleanup 'kill $AGENT 2>/dev/null; tap_wait 30 eval "! kill -0 $AGENT"'
	tap_wait 60 hoody status || { cat "$LOG" >&2; tap_bail "the agent does not answer: $(tail -n 5 "$LOG")"; }
}

system_agent_stop() {
	kill "$AGENT"
	tap_need 60 eval "! kill -0 $AGENT 2>/dev/null"
}

system_bridge() {
	ip link add br0 type bridge
	tap_cleanup ip link del br0
	ip address add 10.80.1.1/24 dev br0
	ip address add fd80:1::1/64 dev br0 nodad
	ip link set br0 up
}

# container NAME ID routed|bridge NUMBER SERVER: a real LXC container, made and
# started. Its addresses end in NUMBER; SERVER is a shell command. HOOK_SETTINGS:
# further lines for its hoody.conf.
container() {
	local name=$1 id=$2 topology=$3 number=$4 server=$5 folder=/var/lib/lxc/$1 root link
	root=$folder/rootfs
	# lxc-start is content with a container of this name that runs already.
	if lxc-info -sHn "$name" 2>/dev/null | grep -q RUNNING; then
		echo "a container $name of another test still runs" >&2
		return 1
	fi
	mkdir -p "$root"
	tap_cleanup rm -rf --one-file-system "$folder"
	mount -t tmpfs -o size=64m tmpfs "$root"
	tap_cleanup umount "$root"
	mkdir -p "$root"/{usr,proc,sys,dev,tmp,run,etc/alternatives,var/log,root,srv}
	for link in bin lib lib64 sbin; do ln -s "usr/$link" "$root/$link"; done
	cp -a /etc/passwd /etc/group /etc/nsswitch.conf /etc/ld.so.cache "$root/etc/"
	# Hundreds of links: copied one by one they take longer than all the rest.
	mount --bind /etc/alternatives "$root/etc/alternatives"
	tap_cleanup umount "$root/etc/alternatives"
	mount -o remount,bind,ro "$root/etc/alternatives"
	mount --bind /usr "$root/usr"
	tap_cleanup umount "$root/usr"
	mount -o remount,bind,ro "$root/usr"
	printf '#!/bin/bash\nexport PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root\nip link set lo up\ncd /srv\n%s\n' "$server" >"$root/init"
	chmod 755 "$root/init"
	printf 'id = %s\nproject = %s\nrequired = yes\n%s\n' "$id" "$PROJECT" "${HOOK_SETTINGS:-}" >"$folder/hoody.conf"
	container_config "$name" "$topology" "$number" >"$folder/config"
	lxc-start -n "$name" -l INFO -o "$WORK/lxc-$name.log" 2>>"$WORK/lxc-$name.log" ||
		{ tail -n 30 "$WORK/lxc-$name.log" >&2; return 1; }
	tap_cleanup lxc-stop -k -n "$name"
}

container_config() { # NAME TOPOLOGY NUMBER
	local hook="$TOP/tools/lxc/hoody-hook"
	cat <<CONFIG
lxc.uts.name = $1
lxc.rootfs.path = dir:/var/lib/lxc/$1/rootfs
lxc.apparmor.profile = unconfined
lxc.mount.auto = proc:mixed sys:mixed cgroup:mixed
lxc.init.cmd = /init
lxc.net.0.type = veth
lxc.net.0.name = eth0
lxc.net.0.flags = up
lxc.net.0.script.up = $hook
lxc.net.0.script.down = $hook
lxc.hook.pre-start = $hook
lxc.hook.start-host = $hook
lxc.hook.post-stop = $hook
CONFIG
	if [ "$2" = routed ]; then
		cat <<CONFIG
lxc.net.0.ipv4.address = 10.80.0.$3/32
lxc.net.0.ipv4.gateway = 169.254.1.1
lxc.net.0.ipv6.address = fd80::$3/128
lxc.net.0.ipv6.gateway = fe80::1
CONFIG
	else
		cat <<CONFIG
lxc.net.0.link = br0
lxc.net.0.ipv4.address = 10.80.1.$3/24
lxc.net.0.ipv4.gateway = 10.80.1.1
lxc.net.0.ipv6.address = fd80:1::$3/64
lxc.net.0.ipv6.gateway = fd80:1::1
CONFIG
	fi
}

# Unmodified servers: Python's own, whose log has the client, and the one-liner
# of Node that tells the client its address.
PYTHON_SERVER='exec python3 -u -m http.server --bind :: 8080 >/var/log/http 2>&1'
NODE_SERVER='exec node -e "require(\"http\").createServer((q, r) => r.end(\"Your IP: \" + q.socket.remoteAddress + \"\\n\")).listen(8080)"'

# nginx_server LINES: the shell command of one whose server block has these lines.
# It starts in a tenth of the time that Node or Python take on an emulated processor.
nginx_server() {
	cat <<SERVER
cat >/etc/nginx.conf <<'CONF'
worker_processes 1;
pid /run/nginx.pid;
error_log /var/log/error;
events { worker_connections 4096; }
http {
	access_log off;
	keepalive_requests 1000000;
	keepalive_timeout 600s;
	client_body_temp_path /tmp/a; proxy_temp_path /tmp/b; fastcgi_temp_path /tmp/c;
	uwsgi_temp_path /tmp/d; scgi_temp_path /tmp/e;
	server {
		listen 8080; listen [::]:8080;
		$1
	}
}
CONF
exec nginx -c /etc/nginx.conf -g "daemon off; user root;"
SERVER
}

# container_ready NAME [PORT]: its server listens; read from outside, because entering
# a container again and again would slow down what is waited for.
container_ready() {
	local port pid
	pid=$(lxc-info -pHn "$1")
	printf -v port '%04X' "${2:-8080}"
	# State 0A is LISTEN.
	tap_wait 60 grep -qE ":$port [0-9A-F:]+ 0A " "/proc/$pid/net/tcp" "/proc/$pid/net/tcp6"
}
