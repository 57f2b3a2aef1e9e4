// SPDX-License-Identifier: Apache-2.0
/* Who may say which name, see strict.h. */
#include "relay/strict.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* [pattern, protocol, first port, last port] */
static int read_opening(struct strict_opening *opening, yyjson_val *value)
{
	const uint64_t protocol = yyjson_get_uint(yyjson_arr_get(value, 1));
	const uint64_t first = yyjson_get_uint(yyjson_arr_get(value, 2));
	const uint64_t last = yyjson_get_uint(yyjson_arr_get(value, 3));
	const char *pattern = yyjson_get_str(yyjson_arr_get(value, 0));

	if (!pattern || yyjson_arr_size(value) != 4 || first > last || last > UINT16_MAX ||
	    (protocol && protocol != IPPROTO_TCP && protocol != IPPROTO_UDP))
		return -EBADMSG;
	opening->protocol = (uint8_t)protocol;
	opening->port_first = (uint16_t)first;
	opening->port_last = (uint16_t)last;
	opening->pattern = strdup(pattern);
	return opening->pattern ? 0 : -ENOMEM;
}

int strict_read(struct relay_names *names, yyjson_val *list)
{
	size_t index, max;
	yyjson_val *value;
	int ret;

	if (!list)
		return 0;
	if (!yyjson_is_arr(list))
		return -EBADMSG;
	names->strict = true;
	names->openings = calloc(yyjson_arr_size(list) + 1, sizeof(*names->openings));
	if (!names->openings)
		return -ENOMEM;
	yyjson_arr_foreach(list, index, max, value) {
		ret = read_opening(&names->openings[names->openings_count], value);
		if (ret)
			return ret;
		names->openings_count++;
	}
	return 0;
}

void strict_clear(struct relay_names *names)
{
	for (size_t i = 0; i < names->openings_count; i++)
		free(names->openings[i].pattern);
	free(names->openings);
}

bool strict_allows(const struct relay_container *container, const char *name, uint8_t protocol,
		   uint16_t port)
{
	const struct relay_names *names = &container->names;

	if (!names->strict || name_set_has(&names->deny, name))
		return false;
	for (size_t i = 0; i < names->openings_count; i++) {
		const struct strict_opening *opening = &names->openings[i];

		if ((!opening->protocol || opening->protocol == protocol) &&
		    port >= opening->port_first && port <= opening->port_last &&
		    name_matches(opening->pattern, name))
			return true;
	}
	return false;
}

bool strict_judge(struct relay_container *container, enum hello_verdict verdict, const char *name,
		  uint8_t protocol, uint16_t port)
{
	struct relay_stats *stats = &container->stats;

	switch (verdict) {
	case HELLO_NAMED:
		if (strict_allows(container, name, protocol, port)) {
			stats->strict_passed++;
			return true;
		}
		stats->strict_other_name++;
		break;
	case HELLO_NO_NAME:
		stats->strict_no_name++;
		break;
	case HELLO_HIDDEN:
		stats->strict_hidden_name++;
		break;
	default:
		stats->strict_no_hello++;
	}
	return false;
}

static enum hello_verdict peek(int fd, char name[NAMES_TEXT_MAX])
{
	/* With the headers of records that are small without need. */
	static uint8_t bytes[HELLO_MAX + 4096];
	const ssize_t len = recv(fd, bytes, sizeof(bytes), MSG_PEEK | MSG_DONTWAIT);
	enum hello_verdict verdict;

	if (len < 0)
		return errno == EAGAIN || errno == EINTR ? HELLO_MORE : HELLO_NONE;
	if (!len)
		return HELLO_NONE;
	verdict = hello_read_records(bytes, (size_t)len, name);
	return verdict == HELLO_MORE && len == sizeof(bytes) ? HELLO_NONE : verdict;
}

int strict_meet(struct relay_session *session)
{
	char name[NAMES_TEXT_MAX] = "";
	const enum hello_verdict verdict = peek(session->client.source.fd, name);

	if (verdict == HELLO_MORE && ++session->peeks < STRICT_PEEKS_MAX)
		return 0;
	if (!strict_judge(session->container, verdict, name, IPPROTO_TCP, session->handshake.port))
		return -1;
	session->name = strdup(name);
	if (session->name)
		return 1;
	session->container->stats.failed_resources++;
	return -1;
}

bool strict_holds(const struct relay_session *session, const struct relay_container *container)
{
	const bool strict = session->name || session->state == RELAY_HELLO;

	if (session->exit->spec.kind == EXIT_DIRECT ? container->exit != NULL :
						      container->exit != session->exit)
		return false;
	if (session->exit->spec.kind == EXIT_DIRECT && session->proxy.source.fd >= 0 &&
	    !relay_way_holds(container, session->way))
		return false;
	return !strict || (container->names.strict &&
			   (!session->name ||
			    strict_allows(container, session->name, IPPROTO_TCP,
					  session->handshake.port)));
}

struct relay_exit *strict_make_exit(const struct address *destination, uint16_t port)
{
	struct relay_exit *exit = calloc(1, sizeof(*exit));

	if (!exit)
		return NULL;
	exit->references = 1;
	exit->spec.kind = EXIT_DIRECT;
	exit->spec.address = *destination;
	exit->spec.port = port;
	exit->places.count = 1;
	exit->places.addresses[0] = *destination;
	return exit;
}
