// SPDX-License-Identifier: Apache-2.0
/* Counters from one relay to the next, see counted.h. */
#include "relay/counted.h"

#include "lib/log.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void relay_counters_add(struct relay_stats *sum, const struct relay_stats *stats)
{
#define X(name) sum->name += stats->name;
	RELAY_COUNTERS(X)
#undef X
}

void relay_counters_close(struct relay_stats *stats)
{
	stats->connections_open = 0;
	stats->strict_udp_open = 0;
	stats->udp_associations_open = 0;
}

static bool write_one(int fd, const uint8_t *id, const struct relay_stats *stats)
{
	struct relay_counted record = { .stats = *stats };

	if (id)
		memcpy(record.id, id, ID_LEN);
	relay_counters_close(&record.stats);
	return write(fd, &record, sizeof(record)) == sizeof(record);
}

void relay_counted_write(const struct relay *relay, int fd)
{
	const struct relay_container *containers = NULL;
	size_t count = 0;
	bool good = write_one(fd, NULL, &relay->gone);

	if (relay->policy)
		containers = relay_policy_containers(relay->policy, &count);
	for (size_t i = 0; good && i < count; i++)
		good = write_one(fd, containers[i].id, &containers[i].stats);
	if (!good)
		log_warning("event=counters_lost error=\"%s\"", strerror(errno));
}

int relay_counted_take(struct relay *relay, int fd)
{
	struct relay_counted record;
	struct stat st;

	if (fstat(fd, &st) || st.st_size % (off_t)sizeof(record) ||
	    st.st_size / (off_t)sizeof(record) > RELAY_COUNTED_MAX)
		return -EINVAL;
	for (off_t at = 0; at < st.st_size; at += (off_t)sizeof(record)) {
		struct relay_container *container = NULL;

		if (pread(fd, &record, sizeof(record), at) != sizeof(record))
			return -EINVAL;
		relay_counters_close(&record.stats);
		if (relay->policy)
			container = relay_policy_by_id(relay->policy, record.id);
		relay_counters_add(container ? &container->stats : &relay->gone, &record.stats);
	}
	return 0;
}
