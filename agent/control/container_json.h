/* SPDX-License-Identifier: Apache-2.0 */
/* Containers as JSON, in both directions. */
#ifndef HOODY_CONTROL_CONTAINER_JSON_H
#define HOODY_CONTROL_CONTAINER_JSON_H

#include "control/control.h"

#include <yyjson.h>

/* What is wrong with a body: the answer's status, code, field and text. */
struct container_fault {
	int	status;
	char	code[32];
	char	field[96];
	char	message[384];
};

/* Fields that a call accepts. */
enum container_fields {
	CONTAINER_ID		= 1 << 0,
	CONTAINER_PROJECT	= 1 << 1,
	CONTAINER_NAME		= 1 << 2,
	CONTAINER_REALM		= 1 << 3,
	CONTAINER_CGROUP	= 1 << 4,
	CONTAINER_NETDEV	= 1 << 5,
	CONTAINER_ADDRESSES	= 1 << 6,
	CONTAINER_PORTS		= 1 << 7,
	CONTAINER_GATEWAY	= 1 << 8,
};

/*
 * container_from_json(): takes the fields of @body into @container; a field that
 * is not in @accepted (a set of enum container_fields) is refused by name. id
 * and project are only parsed by container_ids_from_json(), which needs both.
 * 0, or -1 with @fault; @container may have changed in part then.
 */
int container_from_json(struct container *container, yyjson_val *body, unsigned int accepted,
			struct container_fault *fault);
int container_ids_from_json(yyjson_val *body, uint8_t id[ID_LEN], uint8_t project[ID_LEN],
			    struct container_fault *fault);

yyjson_mut_val *container_to_json(const struct control *control, const struct container *container,
				  yyjson_mut_doc *document);

/* RFC 3339 in UTC; @text of 32 bytes. */
void container_format_time(int64_t seconds, char *text);

__attribute__((format(printf, 5, 6))) int container_fault_set(struct container_fault *fault,
							      int status, const char *code,
							      const char *field,
							      const char *format, ...);

#endif /* HOODY_CONTROL_CONTAINER_JSON_H */
