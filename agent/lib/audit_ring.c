// SPDX-License-Identifier: Apache-2.0
/* Rings of audit records in shared memory, see audit_ring.h. */
#include "lib/audit_ring.h"
#include "lib/image.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEALS (F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL)

static size_t ring_size(uint32_t records)
{
	return sizeof(struct audit_ring_shared) + (size_t)records * sizeof(struct audit_record);
}

static bool text_valid(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)text[i];

		if (!c)
			return true;
		if (c < ' ' || c == 0x7f)
			return false;
	}
	return false;
}

bool audit_record_valid(const struct audit_record *record)
{
	return !(record->flags & ~AUDIT_FLAGS_ALL) &&
	       (record->client_family == AF_INET || record->client_family == AF_INET6) &&
	       record->status < 1000 && text_valid(record->protocol, sizeof(record->protocol)) &&
	       text_valid(record->method, sizeof(record->method)) &&
	       text_valid(record->service, sizeof(record->service)) &&
	       text_valid(record->outcome, sizeof(record->outcome)) &&
	       text_valid(record->reason, sizeof(record->reason)) &&
	       text_valid(record->action, sizeof(record->action)) &&
	       text_valid(record->group, sizeof(record->group)) &&
	       text_valid(record->path, sizeof(record->path));
}

bool audit_record_path(const char *target, size_t len, uint32_t query, char out[AUDIT_PATH_MAX])
{
	const char *mark = memchr(target, '?', len);
	bool value = false;
	size_t used = 0;

	if (mark && query == IMAGE_AUDIT_DROP)
		len = mark - target;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)target[i];

		if (mark && query == IMAGE_AUDIT_NAMES && target + i > mark) {
			if (c == '&') {
				value = false;
			} else if (value) {
				continue;
			} else if (c == '=') {
				value = true;
			}
		}
		if (used + 2 >= AUDIT_PATH_MAX) {
			out[used] = '\0';
			return true;
		}
		/* A target is ASCII; what is not came by a lenient codec. */
		out[used++] = c <= ' ' || c >= 0x7f ? '?' : (char)c;
		if (value && c == '=')
			out[used++] = '*';
	}
	out[used] = '\0';
	return false;
}

int audit_ring_create(unsigned int rings, uint32_t records)
{
	int fd = memfd_create("hoody-audit", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int ret;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)(rings * ring_size(records))) < 0 ||
	    fcntl(fd, F_ADD_SEALS, SEALS) < 0) {
		ret = -errno;
		close(fd);
		return ret;
	}
	return fd;
}

int audit_ring_map(int fd, struct audit_ring *rings, unsigned int count, uint32_t records, int wake)
{
	size_t size = ring_size(records);
	struct stat st;
	char *at;
	int seals;

	if (!count || count > AUDIT_RINGS_MAX || records < AUDIT_RECORDS_MIN ||
	    records > AUDIT_RECORDS_MAX || (records & (records - 1)))
		return -EBADMSG;
	seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &st) < 0 ||
	    st.st_size != (off_t)(count * size))
		return -EBADMSG;
	at = mmap(NULL, count * size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		return -errno;
	for (unsigned int i = 0; i < count; i++)
		rings[i] = (struct audit_ring){
			.shared = (struct audit_ring_shared *)(at + i * size),
			.records = records,
			.wake = wake,
		};
	return 0;
}

void audit_ring_unmap(struct audit_ring *rings, unsigned int count)
{
	if (count && rings[0].shared)
		munmap(rings[0].shared, count * ring_size(rings[0].records));
	memset(rings, 0, count * sizeof(*rings));
}

bool audit_ring_push(struct audit_ring *ring, const struct audit_record *record)
{
	struct audit_ring_shared *shared = ring->shared;
	static const uint64_t one = 1;

	if (ring->position - ring->seen >= ring->records) {
		ring->seen = __atomic_load_n(&shared->tail, __ATOMIC_ACQUIRE);
		if (ring->position - ring->seen >= ring->records)
			return false;
	}
	shared->records[ring->position & (ring->records - 1)] = *record;
	ring->position++;
	/* Either we see that control has gone to sleep, or it sees the record. */
	__atomic_store_n(&shared->head, ring->position, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&shared->armed, __ATOMIC_SEQ_CST) &&
	    __atomic_exchange_n(&shared->armed, 0, __ATOMIC_SEQ_CST) &&
	    write(ring->wake, &one, sizeof(one)) < 0)
		/* Control's timer finds it then; it cannot be full, control reads it. */
		return true;
	return true;
}

int audit_ring_pop(struct audit_ring *ring, struct audit_record *record)
{
	struct audit_ring_shared *shared = ring->shared;

	if (ring->seen == ring->position) {
		ring->seen = __atomic_load_n(&shared->head, __ATOMIC_ACQUIRE);
		if (ring->seen - ring->position > ring->records)
			return -EBADMSG;
		if (ring->seen == ring->position)
			return 0;
	}
	memcpy(record, &shared->records[ring->position & (ring->records - 1)], sizeof(*record));
	ring->position++;
	__atomic_store_n(&shared->tail, ring->position, __ATOMIC_RELEASE);
	return 1;
}

bool audit_ring_arm(struct audit_ring *ring)
{
	__atomic_store_n(&ring->shared->armed, 1, __ATOMIC_SEQ_CST);
	return __atomic_load_n(&ring->shared->head, __ATOMIC_SEQ_CST) != ring->position;
}
