// SPDX-License-Identifier: Apache-2.0
/*
 * Reading one group of clients: ip, token, password. The jwt kind has its own
 * file, permissions_jwt.c.
 *
 * A secret that is null is kept from what holds now, so that what was shown can
 * be sent back as it is.
 */
#include "auth/permissions_internal.h"
#include "lib/address.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool hex_parse(const char *text, size_t len, uint8_t *out, size_t size)
{
	static const char digits[] = "0123456789abcdef";

	if (len != 2 * size)
		return false;
	for (size_t i = 0; i < len; i++) {
		const char *digit = memchr(digits, text[i], 16);

		if (!digit)
			return false;
		out[i / 2] = (uint8_t)(out[i / 2] << 4 | (digit - digits));
	}
	return true;
}

/* Clears the bits behind the prefix; true where one was set. */
static bool range_mask(struct permissions_range *range)
{
	bool changed = false;

	for (unsigned int i = 0; i < 16; i++) {
		unsigned int bits = range->prefix <= 8 * i ? 0 : range->prefix - 8 * i;
		uint8_t mask = bits >= 8 ? 0xff : (uint8_t)(0xff00 >> bits);

		changed |= (range->address[i] & ~mask) != 0;
		range->address[i] &= mask;
	}
	return changed;
}

static int range_parse(const struct reader *reader, const struct json_path *path,
		       yyjson_val *value, struct permissions_range *range)
{
	const char *text = yyjson_get_str(value), *slash;
	struct address address;
	unsigned int prefix = 0, width;

	if (!text)
		return reader_refuse(reader, path,
				     "has to be a string: an address or CIDR range such as \"203.0.113.0/24\"");
	slash = strchr(text, '/');
	if (address_parse(text, slash ? (size_t)(slash - text) : strlen(text), &address))
		return reader_refuse(reader, path,
				     "is no IPv4 or IPv6 address or CIDR range; write one like \"203.0.113.0/24\" or \"2001:db8::/32\"");
	width = address.family == AF_INET ? 32 : 128;
	if (slash) {
		size_t digits = strspn(slash + 1, "0123456789");

		if (digits == 0 || digits > 3 || slash[1 + digits] != '\0' ||
		    (digits > 1 && slash[1] == '0'))
			return reader_refuse(reader, path, "has no whole number behind the slash");
		for (size_t i = 1; i <= digits; i++)
			prefix = prefix * 10 + (unsigned int)(slash[i] - '0');
		if (prefix > width)
			return reader_refuse(reader, path, "has a prefix longer than %u bits",
					     width);
	} else {
		prefix = width;
	}
	memset(range, 0, sizeof(*range));
	range->family = address.family;
	range->prefix = (uint8_t)prefix;
	memcpy(range->address, &address.v6, width / 8);
	if (address.family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&address.v6))
		return reader_refuse(reader, path,
				     "is an IPv4 address written as IPv6; write it as IPv4");
	if (range_mask(range)) {
		char first[ADDRESS_TEXT_MAX];

		memcpy(&address.v6, range->address, width / 8);
		address_format(&address, first);
		return reader_refuse(reader, path,
				     "has bits set behind its prefix; did you mean \"%s/%u\"?", first,
				     prefix);
	}
	return 0;
}

static int ip_parse(const struct reader *reader, const struct json_path *path, yyjson_val *object,
		    struct permissions_group *group)
{
	static const char *const names[] = { "type", "range", "ranges", NULL };
	yyjson_val *range = yyjson_obj_get(object, "range");
	yyjson_val *ranges = yyjson_obj_get(object, "ranges");
	struct json_path at = json_path_member(path, range ? "range" : "ranges");
	size_t count = range ? 1 : yyjson_arr_size(ranges);
	int result = reader_members(reader, path, object, names);

	if (result)
		return result;
	if (range && ranges) {
		at = json_path_member(path, "ranges");
		return reader_refuse(reader, &at, "is given beside \"range\"; give one of them");
	}
	if (!range && !ranges) {
		at = json_path_member(path, "range");
		return reader_refuse(reader, &at, "is missing: an ip group needs \"range\" or \"ranges\"");
	}
	if (!range && (!yyjson_is_arr(ranges) || !count || count > PERMISSIONS_RANGES_MAX))
		return reader_refuse(reader, &at, "has to be a list of 1 to %d ranges",
				     PERMISSIONS_RANGES_MAX);
	group->single = range != NULL;
	group->ranges = calloc(count, sizeof(*group->ranges));
	if (!group->ranges)
		return -ENOMEM;
	group->ranges_count = (unsigned int)count;
	if (range)
		return range_parse(reader, &at, range, &group->ranges[0]);
	for (size_t i = 0; i < count && !result; i++) {
		struct json_path item = json_path_index(&at, i);

		result = range_parse(reader, &item, yyjson_arr_get(ranges, i), &group->ranges[i]);
	}
	return result;
}

/* What holds now under this name, if it is of the same type. */
static const struct permissions_group *existing_of(const struct reader *reader,
						   const struct permissions_group *group)
{
	const struct permissions_group *old =
		permissions_group_find(reader->source->existing, group->name);

	return old && old->type == group->type ? old : NULL;
}

static int token_parse(const struct reader *reader, const struct json_path *path,
		       yyjson_val *object, struct permissions_group *group)
{
	static const char *const names[] = { "type", "value", NULL };
	static const char *const stored_names[] = { "type", "value_sha256", NULL };
	bool stored = reader->source->stored;
	yyjson_val *value = yyjson_obj_get(object, stored ? "value_sha256" : "value");
	struct json_path at = json_path_member(path, stored ? "value_sha256" : "value");
	const struct permissions_group *old = existing_of(reader, group);
	const char *text = yyjson_get_str(value);
	size_t len = yyjson_get_len(value);
	int result = reader_members(reader, path, object, stored ? stored_names : names);

	if (result)
		return result;
	if (stored)
		return text && hex_parse(text, len, group->token, sizeof(group->token)) ?
			       0 :
			       reader_refuse(reader, &at, "is no SHA-256 in hexadecimal");
	if (!value)
		return reader_refuse(reader, &at, "is missing: a token group needs its token");
	if (yyjson_is_null(value)) {
		if (!old)
			return reader_refuse(reader, &at,
					     "is null, and there is no token yet to keep: give one");
		memcpy(group->token, old->token, sizeof(group->token));
		return 0;
	}
	if (!text || len < PERMISSIONS_TOKEN_MIN || len > PERMISSIONS_TOKEN_MAX)
		return reader_refuse(reader, &at, "has to be a string of %d to %d characters",
				     PERMISSIONS_TOKEN_MIN, PERMISSIONS_TOKEN_MAX);
	for (size_t i = 0; i < len; i++) {
		if (text[i] <= ' ' || text[i] > '~')
			return reader_refuse(reader, &at,
					     "holds a blank or a character that is not ASCII, which no Authorization header can carry");
	}
	return secret_token_hash(text, len, group->token) ? 0 : -ENOMEM;
}

static int password_secret_parse(const struct reader *reader, const struct json_path *path,
				 yyjson_val *object, struct permissions_group *group)
{
	bool stored = reader->source->stored;
	yyjson_val *value = yyjson_obj_get(object, stored ? "password_hash" : "password");
	struct json_path at = json_path_member(path, stored ? "password_hash" : "password");
	const struct permissions_group *old = existing_of(reader, group);

	if (stored)
		return yyjson_is_str(value) &&
				       !secret_password_parse(yyjson_get_str(value),
							      yyjson_get_len(value), &group->hash) ?
			       0 :
			       reader_refuse(reader, &at, "is no Argon2id hash");
	if (!value)
		return reader_refuse(reader, &at,
				     "is missing: a password group needs \"username\" and \"password\"");
	if (!yyjson_is_null(value))
		return reader_text(reader, &at, value, 1, PERMISSIONS_PASSWORD_MAX,
				   &group->password);
	if (!old)
		return reader_refuse(reader, &at,
				     "is null, and there is no password yet to keep: give one");
	group->hash = old->hash;
	if (old->password) {
		group->password = strdup(old->password);
		return group->password ? 0 : -ENOMEM;
	}
	return 0;
}

static int password_parse(const struct reader *reader, const struct json_path *path,
			  yyjson_val *object, struct permissions_group *group)
{
	static const char *const names[] = { "type", "username", "password", NULL };
	static const char *const stored_names[] = { "type", "username", "password_hash", NULL };
	struct json_path at = json_path_member(path, "username");
	yyjson_val *username = yyjson_obj_get(object, "username");
	int result = reader_members(reader, path, object,
				    reader->source->stored ? stored_names : names);

	if (result)
		return result;
	if (!username)
		return reader_refuse(reader, &at,
				     "is missing: a password group needs \"username\" and \"password\"");
	result = reader_text(reader, &at, username, 1, PERMISSIONS_USERNAME_MAX, &group->username);
	if (result)
		return result;
	for (const char *c = group->username; *c; c++) {
		/* RFC 7617 2: a colon ends the user name; controls are not allowed. */
		if (*c == ':' || (unsigned char)*c < 0x20 || *c == 0x7f)
			return reader_refuse(reader, &at,
					     "holds a colon or a control character, which Basic authentication cannot carry");
	}
	return password_secret_parse(reader, path, object, group);
}

int permissions_group_parse(const struct reader *reader, const struct json_path *path,
			    yyjson_val *object, struct permissions_group *group)
{
	static int (*const parse[PERMISSIONS_TYPES])(const struct reader *reader,
						     const struct json_path *path,
						     yyjson_val *object,
						     struct permissions_group *group) = {
		[PERMISSIONS_IP] = ip_parse,
		[PERMISSIONS_TOKEN] = token_parse,
		[PERMISSIONS_PASSWORD] = password_parse,
		[PERMISSIONS_JWT] = permissions_jwt_parse,
	};
	struct json_path at = json_path_member(path, "type");
	const char *type;

	if (!yyjson_is_obj(object))
		return reader_refuse(reader, path, "has to be an object with a \"type\"");
	type = yyjson_get_str(yyjson_obj_get(object, "type"));
	for (unsigned int i = 0; type && i < PERMISSIONS_TYPES; i++) {
		if (strcmp(type, permissions_type_name(i)))
			continue;
		group->type = i;
		return parse[i](reader, path, object, group);
	}
	return reader_refuse(reader, &at, "has to be \"ip\", \"token\", \"password\" or \"jwt\"");
}
