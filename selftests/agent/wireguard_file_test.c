// SPDX-License-Identifier: Apache-2.0
/*
 * wg-quick files: what is read of a good one, which line and key a bad one is
 * refused for, and that cut and changed ones are refused or read, never worse.
 */
#include "control/wireguard_file.h"

#include "tap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define KEY	"yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
#define OTHER	"xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
#define FACE	"[Interface]\nPrivateKey = " KEY "\nAddress = 10.2.0.2/32\n"
#define PEER	"[Peer]\nPublicKey = " OTHER "\nAllowedIPs = 0.0.0.0/0\n"

static struct wireguard_file file;
static char why[256];

static int parse(const char *text)
{
	why[0] = '\0';
	return wireguard_file_parse(text, strlen(text), &file, why, sizeof(why));
}

static void test_good(void)
{
	static const char whole[] =
		"# a comment\r\n[interface]\r\nprivatekey=" KEY "\r\n"
		"Address = 10.2.0.2/24,fd00::2/64 # two\nDNS = 10.2.0.1, example.com, fd00::1\n"
		"MTU = 1380\nListenPort = 51820\nSaveConfig = false\n\n"
		"[Peer]\nPublicKey = " OTHER "\nPresharedKey = " KEY "\n"
		"AllowedIPs = 10.1.2.3/8, ::/0\nEndpoint = [2001:db8::1]:443\n"
		"PersistentKeepalive = off\n"
		"[Peer]\nPublicKey = " KEY "\nAllowedIPs =\nEndpoint = 192.0.2.1:51820";

	tap_ok(!parse(whole) && file.addresses_count == 2 && file.dns_count == 2 &&
	       file.mtu == 1380 && file.listen_port == 51820 && file.private_key[0] == 0xc8 &&
	       file.peers_count == 2, "file_interface_is_read");
	tap_ok(file.peers[0].allowed_count == 2 && file.peers[0].allowed[0].length == 8 &&
	       file.peers[0].allowed[0].address.v4.s_addr == htonl(0x0a000000) &&
	       file.peers[0].allowed[1].length == 0 && file.peers[0].has_preshared_key &&
	       file.peers[0].endpoint.port == 443 && !file.peers[0].keepalive,
	       "file_peer_is_read");
	tap_ok(!file.peers[1].allowed_count && file.peers[1].keepalive == WIREGUARD_KEEPALIVE &&
	       file.peers[1].endpoint.address.family == AF_INET, "file_peer_has_a_keepalive");
}

static void test_name(void)
{
	tap_ok(!parse(FACE PEER "Endpoint = VPN.Example.com:51820\n") &&
	       !strcmp(file.peers[0].host, "vpn.example.com") &&
	       file.peers[0].endpoint.port == 51820 && !file.peers[0].endpoint.address.family,
	       "file_peer_may_have_a_name");
	tap_ok(!parse(FACE PEER "Endpoint = vpn.example.com:51820\nEndpoint = 192.0.2.1:1\n") &&
	       !file.peers[0].host[0] && file.peers[0].endpoint.port == 1 &&
	       file.peers[0].endpoint.address.family == AF_INET, "file_last_endpoint_counts");
}

static void test_bad(void)
{
	static const struct {
		const char	*text, *why;
	} cases[] = {
		{ "", "no PrivateKey" },
		{ "PrivateKey = " KEY, "line 1: PrivateKey stands before [Interface]" },
		{ "[Interface]\n" PEER, "no PrivateKey" },
		{ "[Interface]\nPrivateKey = " KEY "\n" PEER, "no Address" },
		{ FACE, "no [Peer]" },
		{ FACE "[Peer]\nAllowedIPs = ::/0\n", "has no PublicKey" },
		{ FACE "[Peer]\nPublicKey = " KEY, "no [Peer] has AllowedIPs" },
		{ FACE PEER PEER, "same PublicKey" },
		{ FACE "PostUp = id\n" PEER, "line 4: PostUp is refused: nothing of a file is run" },
		{ FACE "preup = id\n" PEER, "line 4: preup is refused" },
		{ FACE "PostDown = id\n" PEER, "line 4: PostDown is refused" },
		{ FACE "Table = off\n" PEER, "line 4: Table is refused" },
		{ FACE "FwMark = 1\n" PEER, "line 4: FwMark is refused" },
		{ FACE "SaveConfig = true\n" PEER, "line 4: SaveConfig is refused" },
		{ FACE "Unknown = 1\n" PEER, "line 4: Unknown is no key of this section" },
		{ FACE "MTU = 1279\n" PEER, "line 4: MTU must be a number from 1280" },
		{ FACE "MTU = 99999999999999999999\n" PEER, "line 4: MTU must be a number" },
		{ FACE "Address = 10.0.0.300\n" PEER, "which is no IP address" },
		{ FACE "Address = 127.0.0.1\n" PEER, "loopback" },
		{ FACE "Address = 10.0.0.1/33\n" PEER, "line 4: " },
		{ FACE "Address = 10.0.0.1,,10.0.0.2\n" PEER, "line 4: Address has an empty entry" },
		{ FACE "DNS = a b\n" PEER, "line 4: DNS has an entry" },
		{ FACE "nonsense\n" PEER, "line 4: must be KEY = VALUE" },
		{ FACE "[Other]\n" PEER, "line 4: a section must be" },
		{ FACE PEER "Endpoint = vpn.example.com\n", "line 7: Endpoint must be an IP" },
		{ FACE PEER "Endpoint = vpn.example.com:0\n", "line 7: Endpoint must be an IP" },
		{ FACE PEER "Endpoint = vpn.example.com:\n", "line 7: Endpoint must be an IP" },
		{ FACE PEER "Endpoint = vpn.example.com:65536\n", "line 7: Endpoint must be an IP" },
		{ FACE PEER "Endpoint = vpn:51820\n", "line 7: Endpoint must be an IP" },
		{ FACE PEER "Endpoint = *.example.com:51820\n", "line 7: Endpoint must be an IP" },
		{ FACE PEER "Endpoint = vpn_.example.com;:1\n", "line 7: Endpoint must be an IP" },
		{ FACE PEER "Endpoint = 192.0.2.300:51820\n", "line 7: Endpoint must be an IP" },
		{ FACE PEER "Endpoint = :51820\n", "line 7: Endpoint must be an IP" },
		{ FACE PEER "Endpoint =\n", "line 7: Endpoint must be an IP" },
		{ FACE PEER "Endpoint = 192.0.2.1\n", "line 7: Endpoint must be an IP" },
		{ FACE PEER "Endpoint = 192.0.2.1:70000\n", "line 7: Endpoint must be an IP" },
		{ FACE PEER "PersistentKeepalive = 65536\n", "line 7: PersistentKeepalive must" },
		{ FACE PEER "PrivateKey = " KEY "\n", "line 7: PrivateKey is no key of this" },
		{ FACE PEER "PresharedKey = abc\n", "line 7: PresharedKey is no key: it must be" },
		{ FACE PEER "PresharedKey = " KEY "AAAA\n", "line 7: PresharedKey is no key" },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (parse(cases[i].text) != -EINVAL || !strstr(why, cases[i].why))
			break;
	}
	tap_ok(i == sizeof(cases) / sizeof(cases[0]), "file_refuses_%s (%s)",
	       i < sizeof(cases) / sizeof(cases[0]) ? cases[i].why : "what_is_wrong", why);
	tap_ok(wireguard_file_parse("[Interface]\0", 12, &file, why, sizeof(why)) == -EINVAL &&
	       strstr(why, "NUL"), "file_refuses_a_nul");
}

/* Too much of everything. */
static void test_limits(void)
{
	static char text[WIREGUARD_FILE_MAX + 2];
	size_t used;

	memset(text, '#', sizeof(text) - 1);
	tap_ok(parse(text) == -EINVAL && strstr(why, "longer than"), "file_has_a_longest");
	used = (size_t)snprintf(text, sizeof(text), FACE "[Peer]\nPublicKey = " OTHER
				"\nAllowedIPs = ::/0");
	for (int i = 1; i < WIREGUARD_ALLOWED_MAX; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, ",10.0.0.%d", i);
	tap_ok(!parse(text) && file.peers[0].allowed_count == WIREGUARD_ALLOWED_MAX,
	       "file_takes_what_fits");
	snprintf(text + used, sizeof(text) - used, ",10.0.1.1");
	tap_ok(parse(text) == -EINVAL && strstr(why, "more than"), "file_refuses_what_does_not_fit");
}

static void test_random(void)
{
	static const char whole[] = FACE "DNS = 10.0.0.1\nMTU=1400\n" PEER
		"Endpoint = 192.0.2.1:51820\nPersistentKeepalive = 25\n";
	char *copy;
	int bad = 0;

	srandom(1);
	for (int round = 0; round < 30000; round++) {
		const size_t len = (size_t)random() % sizeof(whole);

		/* As long as the text: a read behind it is one behind the allocation. */
		copy = malloc(len + 1);
		if (!copy)
			break;
		memcpy(copy, whole, len);
		for (int i = (int)(random() % 4); i > 0 && len; i--)
			copy[(size_t)random() % len] = (char)random();
		const int ret = wireguard_file_parse(copy, len, &file, why, sizeof(why));

		bad += ret && (ret != -EINVAL || strncmp(why, "line ", 5));
		free(copy);
	}
	tap_ok(!bad, "file_random_ones_are_read_or_refused");
}

int main(void)
{
	tap_plan(11);
	test_good();
	test_name();
	test_bad();
	test_limits();
	test_random();
	return tap_done();
}
