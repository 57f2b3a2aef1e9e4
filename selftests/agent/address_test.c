// SPDX-License-Identifier: Apache-2.0
/* Ids and addresses as text: what is accepted, and what is not by one character. */
#include "lib/address.h"
#include "lib/id.h"
#include "tap.h"

#include <string.h>

static void test_ids(void)
{
	static const char *const bad[] = {
		"", "0123456789abcdef0123456", "0123456789abcdef012345678", "0123456789abcdef0123456g",
		"0123456789abcdef 1234567", "-123456789abcdef01234567", "0x23456789abcdef01234567",
	};
	uint8_t id[ID_LEN], upper[ID_LEN];
	char text[ID_TEXT_LEN + 1];
	bool refused = true;

	tap_ok(!id_parse("0123456789abcdef01234567", 24, id) &&
	       !id_parse("0123456789ABCDEF01234567", 24, upper) && !memcmp(id, upper, ID_LEN),
	       "id_parse_either_case");
	id_format(upper, text);
	tap_ok(!strcmp(text, "0123456789abcdef01234567"), "id_format_is_lower_case");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refused &= id_parse(bad[i], strlen(bad[i]), id) != 0;
	tap_ok(refused && !id_parse("0123456789abcdef01234567", 24, upper) &&
	       !memcmp(id, upper, ID_LEN), "id_parse_refuses_and_leaves_alone");
	id[11]++;
	tap_ok(id_hash(id) != id_hash(upper), "id_hash_tells_neighbours_apart");
}

static void test_addresses(void)
{
	static const char *const good[] = { "10.0.0.1", "2001:db8::1", "255.255.255.255", "::" };
	static const char *const bad[] = {
		"", "10.0.0", "10.0.0.256", "10.0.0.1 ", "010.0.0.1", "fe80::1%eth0", "1::2::3",
		"localhost", "10.0.0.1/32", "12345::1", "0x0a000001",
	};
	struct address address;
	char text[ADDRESS_TEXT_MAX];

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		bool parsed = !address_parse(good[i], strlen(good[i]), &address);

		address_format(&address, text);
		tap_ok(parsed && !strcmp(text, good[i]), "address_parse_%s", good[i]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		tap_ok(address_parse(bad[i], strlen(bad[i]), &address) < 0,
		       "address_refuses_'%s'", bad[i]);
	tap_ok(address_parse("10.0.0.1\0x", 10, &address) < 0, "address_refuses_nul");
}

static void test_faults(void)
{
	static const struct {
		const char	*text;
		const char	*fault;		/* NULL: none */
	} table[] = {
		{ "10.0.0.1", NULL }, { "192.0.2.1", NULL }, { "fd00::1", NULL },
		{ "2001:db8::1", NULL }, { "0.0.0.0", "unspecified" }, { "0.1.2.3", "unspecified" },
		{ "127.0.0.1", "loopback" }, { "127.255.0.1", "loopback" },
		{ "224.0.0.1", "multicast" }, { "239.255.255.255", "multicast" },
		{ "240.0.0.1", "reserved" }, { "255.255.255.255", "broadcast" },
		{ "::", "unspecified" }, { "::1", "loopback" }, { "ff02::1", "multicast" },
		{ "fe80::1", "link-local" }, { "::ffff:10.0.0.1", "written as IPv6" },
		{ "::10.0.0.1", "written as IPv6" },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct address address;
		const char *fault;

		address_parse(table[i].text, strlen(table[i].text), &address);
		fault = address_container_fault(&address);
		tap_ok(table[i].fault ? fault && strstr(fault, table[i].fault) : !fault,
		       "address_of_a_container_%s", table[i].text);
	}
}

int main(void)
{
	tap_plan(4 + 4 + 11 + 1 + 18);
	test_ids();
	test_addresses();
	test_faults();
	return tap_done();
}
