// SPDX-License-Identifier: Apache-2.0
/* wg-quick files, see wireguard_file.h. Key names do not care for case, as there. */
#include "control/wireguard_file.h"

#include "auth/base64.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define NAME_MAX_LEN	32

enum section { SECTION_NONE, SECTION_INTERFACE, SECTION_PEER };

/* Part of the text, without blanks at its ends. */
struct span {
	const char	*at;
	size_t		len;
};

struct reader {
	struct wireguard_file	*file;
	enum section		section;
	unsigned int		line;
	char			name[NAME_MAX_LEN];	/* of the key that is read */
	char			*why;
	size_t			why_size;
};

typedef int take_function(struct reader *reader, struct span value);

__attribute__((format(printf, 2, 3))) static int refuse(struct reader *reader, const char *format,
							...)
{
	int used = snprintf(reader->why, reader->why_size, "line %u: %s%s", reader->line,
			    reader->name, reader->name[0] ? " " : "");
	va_list args;

	if (used >= 0 && (size_t)used < reader->why_size) {
		va_start(args, format);
		vsnprintf(reader->why + used, reader->why_size - (size_t)used, format, args);
		va_end(args);
	}
	return -EINVAL;
}

static struct span trim(const char *at, size_t len)
{
	while (len && isspace((unsigned char)*at)) {
		at++;
		len--;
	}
	while (len && isspace((unsigned char)at[len - 1]))
		len--;
	return (struct span){ at, len };
}

static bool equals(struct span span, const char *text)
{
	return span.len == strlen(text) && !strncasecmp(span.at, text, span.len);
}

static int take_number(struct reader *reader, struct span value, unsigned int least,
		       unsigned int most, uint16_t *out)
{
	unsigned long number = 0;

	for (size_t i = 0; i < value.len; i++) {
		if (!isdigit((unsigned char)value.at[i]) || number > most)
			number = (unsigned long)most + 1;
		else
			number = number * 10 + (unsigned long)(value.at[i] - '0');
	}
	if (!value.len || number < least || number > most)
		return refuse(reader, "must be a number from %u to %u", least, most);
	*out = (uint16_t)number;
	return 0;
}

static int take_key(struct reader *reader, struct span value, uint8_t key[WIREGUARD_KEY_LEN])
{
	uint8_t bytes[BASE64_DECODED_MAX(64)];
	const ssize_t len = value.len > 64 ? -EINVAL :
			    base64_decode(BASE64_STANDARD, value.at, value.len, bytes,
					  sizeof(bytes));

	if (len == WIREGUARD_KEY_LEN)
		memcpy(key, bytes, WIREGUARD_KEY_LEN);
	explicit_bzero(bytes, sizeof(bytes));
	return len == WIREGUARD_KEY_LEN ? 0 :
	       refuse(reader, "is no key: it must be 32 bytes in base64, 44 characters");
}

static void mask(struct wireguard_prefix *prefix)
{
	uint8_t *bytes = (uint8_t *)&prefix->address.v6;
	const unsigned int all = prefix->address.family == AF_INET ? 4 : 16;

	for (unsigned int i = 0; i < all; i++) {
		const int left = (int)prefix->length - (int)i * 8;

		if (left < 8)
			bytes[i] &= left <= 0 ? 0 : (uint8_t)(0xff << (8 - left));
	}
}

/* "10.2.0.2/32", or an address alone. Host bits are cut off with @network only. */
static int take_prefix(struct reader *reader, struct span value, bool network,
		       struct wireguard_prefix *prefix)
{
	const char *slash = memchr(value.at, '/', value.len);
	const size_t len = slash ? (size_t)(slash - value.at) : value.len;
	uint16_t length, all;

	if (address_parse(value.at, len, &prefix->address))
		return refuse(reader, "has \"%.*s\", which is no IP address",
			      (int)(value.len > 64 ? 64 : value.len), value.at);
	all = length = prefix->address.family == AF_INET ? 32 : 128;
	if (slash && take_number(reader, (struct span){ slash + 1, value.len - len - 1 }, 0, all,
				 &length))
		return refuse(reader, "has \"%.*s\", whose prefix length must be 0 to %u",
			      (int)(value.len > 64 ? 64 : value.len), value.at, all);
	prefix->length = (uint8_t)length;
	if (network)
		mask(prefix);
	return 0;
}

/* Calls @each for the parts of a list with commas. */
static int take_list(struct reader *reader, struct span value, take_function *each)
{
	const char *end = value.at + value.len;
	int ret = 0;

	while (!ret && value.at <= end) {
		const char *comma = memchr(value.at, ',', (size_t)(end - value.at));
		const struct span part = trim(value.at, (size_t)((comma ? comma : end) - value.at));

		if (!part.len)
			return refuse(reader, "has an empty entry");
		ret = each(reader, part);
		value.at = comma ? comma + 1 : end + 1;
	}
	return ret;
}

static struct wireguard_peer *peer_of(struct reader *reader)
{
	return &reader->file->peers[reader->file->peers_count - 1];
}

static int take_private_key(struct reader *reader, struct span value)
{
	reader->file->has_private_key = true;
	return take_key(reader, value, reader->file->private_key);
}

static int take_address(struct reader *reader, struct span value)
{
	struct wireguard_file *file = reader->file;
	struct wireguard_prefix prefix;

	if (file->addresses_count == WIREGUARD_ADDRESSES_MAX)
		return refuse(reader, "has more than %d entries", WIREGUARD_ADDRESSES_MAX);
	if (take_prefix(reader, value, false, &prefix))
		return -EINVAL;
	if (address_container_fault(&prefix.address))
		return refuse(reader, "has \"%.*s\", which %s", (int)value.len, value.at,
			      address_container_fault(&prefix.address));
	file->addresses[file->addresses_count++] = prefix.address;
	return 0;
}

static int take_addresses(struct reader *reader, struct span value)
{
	return take_list(reader, value, take_address);
}

/* Names are search domains: resolv.conf is the container's own. */
static int take_server(struct reader *reader, struct span value)
{
	struct wireguard_file *file = reader->file;
	struct address address;

	for (size_t i = 0; i < value.len; i++) {
		if (!isalnum((unsigned char)value.at[i]) && !strchr(".-_:", value.at[i]))
			return refuse(reader, "has an entry that is neither an IP address nor a "
				      "domain name");
	}
	if (address_parse(value.at, value.len, &address))
		return 0;
	if (file->dns_count == WIREGUARD_DNS_MAX)
		return refuse(reader, "has more than %d addresses", WIREGUARD_DNS_MAX);
	file->dns[file->dns_count++] = address;
	return 0;
}

static int take_dns(struct reader *reader, struct span value)
{
	return take_list(reader, value, take_server);
}

static int take_mtu(struct reader *reader, struct span value)
{
	/* 1280: what IPv6 needs (RFC 8200 5). */
	return take_number(reader, value, 1280, 65535 - 80, &reader->file->mtu);
}

static int take_listen_port(struct reader *reader, struct span value)
{
	return take_number(reader, value, 0, 65535, &reader->file->listen_port);
}

static int take_public_key(struct reader *reader, struct span value)
{
	peer_of(reader)->has_public_key = true;
	return take_key(reader, value, peer_of(reader)->public_key);
}

static int take_preshared_key(struct reader *reader, struct span value)
{
	peer_of(reader)->has_preshared_key = true;
	return take_key(reader, value, peer_of(reader)->preshared_key);
}

static int take_allowed_one(struct reader *reader, struct span value)
{
	struct wireguard_peer *peer = peer_of(reader);

	if (peer->allowed_count == WIREGUARD_ALLOWED_MAX)
		return refuse(reader, "has more than %d entries", WIREGUARD_ALLOWED_MAX);
	return take_prefix(reader, value, true, &peer->allowed[peer->allowed_count++]);
}

static int take_allowed(struct reader *reader, struct span value)
{
	/* An empty list is one. */
	return value.len ? take_list(reader, value, take_allowed_one) : 0;
}

/* "vpn.example.com:51820": a whole name, as those of proxies are. */
static int take_endpoint_name(struct reader *reader, char *text)
{
	struct wireguard_peer *peer = peer_of(reader);
	char *colon = strchr(text, ':');
	const char *why, *dot;

	if (!colon || text[0] == '*' ||
	    take_number(reader, (struct span){ colon + 1, strlen(colon + 1) }, 1, UINT16_MAX,
			&peer->endpoint.port))
		return -EINVAL;
	*colon = '\0';
	dot = strrchr(text, '.');
	/* What ends in a number is an address that somebody has mistyped. */
	if (!dot || !isalpha((unsigned char)dot[1]))
		return -EINVAL;
	return name_parse(text, peer->host, &why);
}

static int take_endpoint(struct reader *reader, struct span value)
{
	struct wireguard_peer *peer = peer_of(reader);
	char text[NAMES_TEXT_MAX + sizeof(":65535")];

	memset(&peer->endpoint, 0, sizeof(peer->endpoint));
	peer->host[0] = '\0';
	if (value.len && value.len < sizeof(text)) {
		memcpy(text, value.at, value.len);
		text[value.len] = '\0';
		if (!address_listen_parse(text, 0, &peer->endpoint) && peer->endpoint.port)
			return 0;
		if (!take_endpoint_name(reader, text))
			return 0;
	}
	return refuse(reader, "must be an IP address or a whole name, with a port: "
		      "192.0.2.1:51820, [2001:db8::1]:51820 or vpn.example.com:51820");
}

static int take_keepalive(struct reader *reader, struct span value)
{
	struct wireguard_peer *peer = peer_of(reader);

	peer->has_keepalive = true;
	peer->keepalive = 0;
	return equals(value, "off") ? 0 : take_number(reader, value, 0, 65535, &peer->keepalive);
}

static int refuse_command(struct reader *reader, struct span value)
{
	return refuse(reader, "is refused: nothing of a file is run. Take the line out");
}

static int refuse_routing(struct reader *reader, struct span value)
{
	return refuse(reader, "is refused: routes of an exit are the agent's. Take the line out");
}

static int refuse_save(struct reader *reader, struct span value)
{
	return equals(value, "false") ? 0 :
	       refuse(reader, "is refused: the file is not written. Take the line out");
}

static const struct {
	enum section	section;
	const char	*name;
	take_function	*take;
} keys[] = {
	{ SECTION_INTERFACE, "PrivateKey", take_private_key },
	{ SECTION_INTERFACE, "Address", take_addresses },
	{ SECTION_INTERFACE, "DNS", take_dns },
	{ SECTION_INTERFACE, "MTU", take_mtu },
	{ SECTION_INTERFACE, "ListenPort", take_listen_port },
	{ SECTION_INTERFACE, "PreUp", refuse_command },
	{ SECTION_INTERFACE, "PostUp", refuse_command },
	{ SECTION_INTERFACE, "PreDown", refuse_command },
	{ SECTION_INTERFACE, "PostDown", refuse_command },
	{ SECTION_INTERFACE, "Table", refuse_routing },
	{ SECTION_INTERFACE, "FwMark", refuse_routing },
	{ SECTION_INTERFACE, "SaveConfig", refuse_save },
	{ SECTION_PEER, "PublicKey", take_public_key },
	{ SECTION_PEER, "PresharedKey", take_preshared_key },
	{ SECTION_PEER, "AllowedIPs", take_allowed },
	{ SECTION_PEER, "Endpoint", take_endpoint },
	{ SECTION_PEER, "PersistentKeepalive", take_keepalive },
};

/* A peer that is left must be whole. */
static int end_section(struct reader *reader)
{
	struct wireguard_peer *peer;

	reader->name[0] = '\0';
	if (reader->section != SECTION_PEER)
		return 0;
	peer = peer_of(reader);
	if (!peer->has_public_key)
		return refuse(reader, "the [Peer] that ends here has no PublicKey");
	if (!peer->has_keepalive)
		peer->keepalive = WIREGUARD_KEEPALIVE;
	return 0;
}

static int take_section(struct reader *reader, struct span line)
{
	if (end_section(reader))
		return -EINVAL;
	if (equals(line, "[Interface]")) {
		reader->section = SECTION_INTERFACE;
		return 0;
	}
	if (!equals(line, "[Peer]"))
		return refuse(reader, "a section must be [Interface] or [Peer]");
	if (reader->file->peers_count == WIREGUARD_PEERS_MAX)
		return refuse(reader, "there are more than %d peers", WIREGUARD_PEERS_MAX);
	reader->section = SECTION_PEER;
	reader->file->peers_count++;
	return 0;
}

static int take_line(struct reader *reader, struct span line)
{
	const char *equal = memchr(line.at, '=', line.len);
	struct span name, value;

	reader->name[0] = '\0';
	if (!line.len)
		return 0;
	if (line.at[0] == '[')
		return take_section(reader, line);
	if (!equal)
		return refuse(reader, "must be KEY = VALUE, a section or a comment");
	name = trim(line.at, (size_t)(equal - line.at));
	value = trim(equal + 1, line.len - (size_t)(equal - line.at) - 1);
	if (name.len >= sizeof(reader->name))
		return refuse(reader, "has a key that is longer than any that is known");
	/* Only what is text is shown again. */
	for (size_t i = 0; i < name.len; i++) {
		if (!isalnum((unsigned char)name.at[i]))
			return refuse(reader, "has a key that is no word");
	}
	snprintf(reader->name, sizeof(reader->name), "%.*s", (int)name.len, name.at);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (keys[i].section == reader->section && equals(name, keys[i].name))
			return keys[i].take(reader, value);
	}
	return refuse(reader, reader->section == SECTION_NONE ?
			      "stands before [Interface]" : "is no key of this section");
}

static int check_whole(struct reader *reader)
{
	const struct wireguard_file *file = reader->file;
	uint32_t allowed = 0;

	if (end_section(reader))
		return -EINVAL;
	for (uint32_t i = 0; i < file->peers_count; i++) {
		allowed += file->peers[i].allowed_count;
		for (uint32_t k = 0; k < i; k++) {
			if (!memcmp(file->peers[i].public_key, file->peers[k].public_key,
				    WIREGUARD_KEY_LEN))
				return refuse(reader, "two peers have the same PublicKey");
		}
	}
	if (!file->has_private_key)
		return refuse(reader, "[Interface] has no PrivateKey");
	if (!file->addresses_count)
		return refuse(reader, "[Interface] has no Address");
	if (!file->peers_count)
		return refuse(reader, "there is no [Peer]");
	if (!allowed)
		return refuse(reader, "no [Peer] has AllowedIPs: nothing could leave");
	return 0;
}

int wireguard_file_parse(const char *text, size_t len, struct wireguard_file *file, char *why,
			 size_t why_size)
{
	struct reader reader = { .file = file, .why = why, .why_size = why_size };
	const char *end = text + len;

	memset(file, 0, sizeof(*file));
	reader.line = 1;
	if (len > WIREGUARD_FILE_MAX)
		return refuse(&reader, "the file is longer than %d bytes", WIREGUARD_FILE_MAX);
	if (memchr(text, '\0', len))
		return refuse(&reader, "the file holds a NUL byte");
	while (text < end) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		const char *stop = newline ? newline : end;
		const char *comment = memchr(text, '#', (size_t)(stop - text));

		if (take_line(&reader, trim(text, (size_t)((comment ? comment : stop) - text))))
			return -EINVAL;
		text = stop + 1;
		reader.line += newline != NULL;
	}
	return check_whole(&reader);
}
