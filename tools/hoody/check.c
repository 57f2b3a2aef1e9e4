// SPDX-License-Identifier: Apache-2.0
/*
 * Checks of values on the command line, so that a slip is named with its option
 * before anything is sent. They only refuse what the agent would refuse in any
 * case: the last word is the agent's.
 */
#include <ctype.h>
#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "lib/address.h"
#include "lib/id.h"
#include "options.h"

int check_number(const char *text, unsigned long low, unsigned long high, unsigned long *number)
{
	unsigned long value;
	char *end;

	if (!isdigit((unsigned char)text[0]) || (text[0] == '0' && text[1]))
		return -ERANGE;
	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno || *end || value < low || value > high)
		return -ERANGE;
	*number = value;
	return 0;
}

const char *check_id(const char *text)
{
	uint8_t id[ID_LEN];

	return id_parse(text, strlen(text), id) ? "must be 24 hexadecimal digits" : NULL;
}

const char *check_address(const char *text)
{
	struct address address;

	if (strchr(text, '/'))
		return "must be one address, without a prefix length";
	if (address_parse(text, strlen(text), &address))
		return "must be an IPv4 or IPv6 address";
	return address_container_fault(&address);
}

/* As in a host name: [a-z][a-z0-9]*. */
const char *check_service(const char *text)
{
	size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789");

	return len && len < 64 && !text[len] && text[0] > '9'
		       ? NULL
		       : "must be a letter and then letters and digits, in lower case";
}

/* SERVICE=PORT, the service as in a host name: [a-z][a-z0-9]*. */
const char *check_service_port(const char *text)
{
	size_t len = strcspn(text, "="), i;
	unsigned long port;

	if (!text[len])
		return "must be SERVICE=PORT";
	for (i = 0; i < len && islower((unsigned char)text[0]); i++) {
		if (!islower((unsigned char)text[i]) && !isdigit((unsigned char)text[i]))
			break;
	}
	if (!len || i < len)
		return "must start with a service name: a lower-case letter, then letters and "
		       "digits";
	if (check_number(text + len + 1, 1, 65535, &port))
		return "must end in a port from 1 to 65535";
	return NULL;
}

const char *check_cgroup(const char *text)
{
	return text[0] == '/' && text[1]
		       ? NULL
		       : "must be a path below the cgroup2 mount, as /lxc.payload.NAME";
}

/* dev_valid_name() of the kernel: no blank, slash or colon, not "." or "..". */
const char *check_netdev(const char *text)
{
	if (!text[0] || strlen(text) >= IFNAMSIZ || strpbrk(text, "/: \t\r\n\v\f") ||
	    !strcmp(text, ".") || !strcmp(text, ".."))
		return "must be an interface name of at most 15 characters";
	return NULL;
}

const char *check_text(const char *text)
{
	const unsigned char *c;

	for (c = (const unsigned char *)text; *c; c++) {
		if (iscntrl(*c))
			return "must have no control characters";
	}
	return *text ? NULL : "must not be empty";
}
