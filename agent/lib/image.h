/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The image: all that a worker needs to know to route, in one immutable piece.
 *
 * Control compiles it from its state into a memfd, seals the memfd against
 * every change and hands it over; a worker maps it read-only, checks it once
 * in full (image_open) and swaps one pointer. Nothing in it is ever changed in
 * place, so a reader needs no lock, and a worker that is taken over by an
 * attacker cannot write to what the others read.
 *
 * Everything is addressed by offsets from the image's start, so that it means
 * the same wherever it is mapped. It never leaves the host and never outlives
 * the pair of processes: integers are in host byte order, and a version that
 * does not match is refused.
 */
#ifndef HOODY_LIB_IMAGE_H
#define HOODY_LIB_IMAGE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IMAGE_ID_LEN		12	/* 24 hexadecimal digits */
#define IMAGE_NAME_MAX		64	/* node, service name, with its NUL */
#define IMAGE_DOMAIN_MAX	256	/* RFC 1035 2.3.4: 255 octets, and a NUL */

enum image_container_flags {
	IMAGE_RUNNING		= 1 << 0,	/* otherwise 503 */
	IMAGE_DELETED		= 1 << 1,	/* a tombstone: 404 */
	IMAGE_REAL_IP		= 1 << 2,	/* the module has it, with real IP on */
	IMAGE_HAS_V4		= 1 << 3,
	IMAGE_HAS_V6		= 1 << 4,
	IMAGE_CONTROL		= 1 << 5,	/* no container: the control API itself */
};

enum image_real_ip_mode {
	IMAGE_REAL_IP_OFF,		/* configured off: ordinary connections */
	IMAGE_REAL_IP_UNAVAILABLE,	/* wanted, but no module: ordinary, said in a header */
	IMAGE_REAL_IP_ON,
};

/* What an audit record keeps of a URL's query. */
enum image_audit_query {
	IMAGE_AUDIT_DROP,	/* nothing */
	IMAGE_AUDIT_NAMES,	/* names, with * for each value */
	IMAGE_AUDIT_KEEP,
};

/*
 * Limits and times of a worker. Times in milliseconds, sizes in bytes. Control
 * has checked the ranges (docs: hoody-agent.conf(5)).
 */
struct image_settings {
	char		node[IMAGE_NAME_MAX];		/* lower case, no dots at the ends */
	char		base_domain[IMAGE_DOMAIN_MAX];	/* lower case */
	uint32_t	real_ip_mode;			/* enum image_real_ip_mode */
	uint32_t	threads;
	uint32_t	connections_max;		/* of clients, per thread */
	uint32_t	upstream_idle_max;		/* kept connections, per thread */
	uint32_t	upstream_idle_per_key_max;	/* per container, port and client */
	uint32_t	upstream_per_container_max;	/* open, per thread */
	uint32_t	head_bytes_max;			/* request or response head */
	uint32_t	header_fields_max;
	uint32_t	buffer_bytes;			/* per direction of an exchange */
	uint32_t	handshake_timeout;		/* accept to TLS finished */
	uint32_t	head_timeout;			/* first byte to whole head */
	uint32_t	keepalive_timeout;		/* idle client connection */
	uint32_t	body_timeout;			/* no progress of a body */
	uint32_t	connect_timeout;		/* upstream */
	uint32_t	response_timeout;		/* request sent to response head */
	uint32_t	upgrade_idle_timeout;		/* WebSocket without a byte; 0: none */
	uint32_t	upstream_idle_timeout;
	uint32_t	requests_per_connection_max;	/* 0: no limit */
	uint32_t	audit_query;			/* enum image_audit_query */
	/* Of one client address, IPv6 /64, in all threads; loopback's are not counted. */
	uint32_t	connections_per_client_max;	/* 0: no limit */
	uint32_t	handshakes_per_client;		/* new connections a second; 0: no limit */
	uint32_t	memory_max;			/* of a worker, MiB; 0: no limit */
	uint32_t	early_data;			/* TLS 1.3 0-RTT is taken (front/early.h) */
};

/* A default service port: "terminal" -> 76. http-N needs no entry. */
struct image_service {
	char		name[IMAGE_NAME_MAX];
	uint16_t	port;
	uint16_t	reserved;
};

struct image_container {
	uint8_t		id[IMAGE_ID_LEN];
	uint8_t		project[IMAGE_ID_LEN];
	uint64_t	generation;
	uint32_t	flags;			/* enum image_container_flags */
	struct in_addr	address4;
	struct in6_addr	address6;
	uint32_t	services_offset;	/* own ports, struct image_service[] */
	uint32_t	services_count;
	uint32_t	permissions;		/* the number of a blob; 0: open to all */
	uint32_t	limits_first;		/* in the image's struct image_limit[] */
	uint32_t	limits_count;
	uint32_t	options_first;		/* in the image's struct image_option[] */
	uint32_t	options_count;
	uint32_t	reserved;
};

enum image_option_flags {
	IMAGE_OPTION_H2C	= 1 << 0,	/* the service speaks HTTP/2, without TLS */
	IMAGE_OPTION_VIA	= 1 << 1,	/* requests pass a middleware first */
};

/* How a service of a container is reached, where not in the ordinary way. */
struct image_option {
	char		service[IMAGE_NAME_MAX];
	uint16_t	instance;		/* 0: every one that has no entry of its own */
	uint16_t	via_instance;
	uint32_t	flags;			/* enum image_option_flags */
	uint8_t		via_container[IMAGE_ID_LEN];
	char		via_service[IMAGE_NAME_MAX];
};

#define IMAGE_OPTIONS_MAX	32	/* of one container */
#define IMAGE_MIDDLEWARES_MAX	8	/* that one request passes */

enum image_limit_flags {
	IMAGE_LIMIT_PER_CLIENT	= 1 << 0,	/* each has a bucket; otherwise all share one */
};

/* A bucket of @burst requests that fills again by @requests in @period seconds. */
struct image_limit {
	char		service[IMAGE_NAME_MAX];	/* empty: all of the container */
	uint32_t	requests, burst;		/* 1 to IMAGE_LIMIT_REQUESTS_MAX */
	uint32_t	period;				/* 1, 60, 3600 or 86400 */
	uint32_t	flags;				/* enum image_limit_flags */
};

#define IMAGE_LIMITS_MAX		16	/* of one container */
#define IMAGE_LIMIT_REQUESTS_MAX	1000000
#define IMAGE_LIMIT_REFILL_MAX		604800	/* seconds from empty to full */

/* Whether a rule is within its bounds; what it is for is not looked at. */
static inline bool image_limit_ok(const struct image_limit *limit)
{
	return limit->requests && limit->requests <= IMAGE_LIMIT_REQUESTS_MAX && limit->burst &&
	       limit->burst <= IMAGE_LIMIT_REQUESTS_MAX &&
	       (limit->period == 1 || limit->period == 60 || limit->period == 3600 ||
		limit->period == 86400) &&
	       (uint64_t)limit->burst * limit->period / limit->requests <= IMAGE_LIMIT_REFILL_MAX &&
	       !(limit->flags & ~(uint32_t)IMAGE_LIMIT_PER_CLIENT);
}

/* A host name, whole and in lower case, that leads to a service of a container. */
struct image_alias {
	char		name[IMAGE_DOMAIN_MAX];
	char		service[IMAGE_NAME_MAX];
	uint8_t		container[IMAGE_ID_LEN];
	uint16_t	instance;
	uint16_t	reserved;
};

/* The id of the entry with IMAGE_CONTROL, where there is one; no container has it. */
#define IMAGE_CONTROL_ID \
	((const uint8_t[IMAGE_ID_LEN]){ 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255 })

/* Bytes that are another part's affair, aligned to 8. */
struct image_blob {
	uint32_t	offset, size;
};

struct image_header {
	char		magic[8];		/* IMAGE_MAGIC */
	uint32_t	version;		/* IMAGE_VERSION */
	uint32_t	header_size;		/* sizeof(struct image_header) */
	uint64_t	size;			/* of the whole image */
	uint64_t	sequence;		/* grows with every image */
	struct image_settings settings;
	uint32_t	services_offset;	/* struct image_service[], the defaults */
	uint32_t	services_count;
	uint32_t	containers_offset;	/* struct image_container[] */
	uint32_t	containers_count;
	uint32_t	buckets_offset;		/* uint32_t[]: index + 1, 0 empty; linear probing */
	uint32_t	buckets_count;		/* a power of two, at least twice the containers */
	uint32_t	blobs_offset;		/* struct image_blob[] */
	uint32_t	blobs_count;
	uint32_t	actions;		/* the blob with the table of actions; 0: none */
	uint32_t	aliases_offset;		/* struct image_alias[], in ascending order */
	uint32_t	aliases_count;
	uint32_t	limits_offset;		/* struct image_limit[], of all containers */
	uint32_t	limits_count;
	uint32_t	options_offset;		/* struct image_option[], of all containers */
	uint32_t	options_count;
	uint32_t	reserved;
};

#define IMAGE_MAGIC	"HOODYIMG"
#define IMAGE_VERSION	7

struct image;			/* an opened image; reference counted */
struct image_builder;

/*
 * image_open(): maps and checks the sealed memfd @fd. The fd stays the
 * caller's. Returns NULL with errno set: EPERM where a seal is missing, EPROTO
 * where it is of another version, EBADMSG where anything in it points outside.
 * The image has one reference; image_get() and image_put() are thread-safe.
 */
struct image *image_open(int fd);
struct image *image_get(struct image *image);
void image_put(struct image *image);

const struct image_header *image_header(const struct image *image);

/* The container with this id, or NULL. Constant time in the number of containers. */
const struct image_container *image_container_find(const struct image *image,
						   const uint8_t id[IMAGE_ID_LEN]);

/* The alias @name, whole and in lower case, or NULL. Logarithmic in their number. */
const struct image_alias *image_alias_find(const struct image *image, const char *name);

/*
 * image_service_port(): the port that @service, instance @instance has in
 * @container: "http" by its instance (1 means 80), else the container's own
 * table, else the defaults. 0 where the service is unknown. @service is not
 * NUL-terminated and in lower case.
 */
uint16_t image_service_port(const struct image *image, const struct image_container *container,
			    const char *service, size_t service_len, uint16_t instance);

/* The rules of @container, limits_count of them. */
const struct image_limit *image_limits(const struct image *image,
				       const struct image_container *container);

/* The entry for this instance, else for all of them, or NULL. @service as above. */
const struct image_option *image_option_find(const struct image *image,
					     const struct image_container *container,
					     const char *service, size_t service_len,
					     uint16_t instance);

/*
 * image_blob(): blob @number (from 1) and its *@size; NULL for 0. What is in it
 * has to be checked by whom it belongs to, once, after image_open().
 */
const void *image_blob(const struct image *image, uint32_t number, size_t *size);

/*
 * Building. All functions of a builder return 0 or a negative errno; after an
 * error the builder can only be restarted or destroyed. image_builder_finish()
 * returns a sealed memfd (close-on-exec), or a negative errno, and empties the
 * builder.
 */
struct image_builder *image_builder_create(const struct image_settings *settings,
					   uint64_t sequence);
/* Starts over, for another image; keeps the memory that it has. */
void image_builder_restart(struct image_builder *builder, const struct image_settings *settings,
			   uint64_t sequence);
int image_builder_add_default(struct image_builder *builder, const char *service, uint16_t port);
int image_builder_add_container(struct image_builder *builder,
				const struct image_container *container,
				const struct image_service *services, size_t services_count);
/* Copies @size bytes, at least one; *@number is how containers refer to them. */
int image_builder_add_blob(struct image_builder *builder, const void *data, size_t size,
			   uint32_t *number);
/* For a container that is added next with this *@first and @count. */
int image_builder_add_limits(struct image_builder *builder, const struct image_limit *limits,
			     size_t count, uint32_t *first);
int image_builder_add_options(struct image_builder *builder, const struct image_option *options,
			      size_t count, uint32_t *first);
/* In any order; a name that is there twice makes image_builder_finish() fail (-EEXIST). */
int image_builder_add_alias(struct image_builder *builder, const struct image_alias *alias);
/* The blob with the table of actions. */
void image_builder_set_actions(struct image_builder *builder, uint32_t number);
int image_builder_finish(struct image_builder *builder);
void image_builder_destroy(struct image_builder *builder);

#endif /* HOODY_LIB_IMAGE_H */
