// SPDX-License-Identifier: Apache-2.0
/*
 * Containers as JSON, see container_json.h. Each field has one parser that
 * checks everything that can be checked without looking at the host or at other
 * containers; null clears what may be absent.
 */
#include "control/container_json.h"

#include "kernel/route.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int container_fault_set(struct container_fault *fault, int status, const char *code,
			const char *field, const char *format, ...)
{
	va_list args;

	fault->status = status;
	snprintf(fault->code, sizeof(fault->code), "%s", code);
	snprintf(fault->field, sizeof(fault->field), "%s", field);
	va_start(args, format);
	vsnprintf(fault->message, sizeof(fault->message), format, args);
	va_end(args);
	return -1;
}

static int invalid(struct container_fault *fault, const char *field, const char *message)
{
	return container_fault_set(fault, 422, "invalid_value", field, "%s", message);
}

/* A string without control characters and NUL bytes, at most @size - 1 bytes. */
static int take_text(yyjson_val *value, const char *field, char *out, size_t size,
		     struct container_fault *fault)
{
	const char *text = yyjson_get_str(value);
	size_t len = yyjson_get_len(value);

	if (yyjson_is_null(value)) {
		out[0] = '\0';
		return 0;
	}
	if (!text)
		return invalid(fault, field, "is neither a string nor null");
	if (len == 0 || len >= size)
		return container_fault_set(fault, 422, "invalid_value", field,
					   "has %zu bytes; 1 to %zu are possible", len, size - 1);
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return invalid(fault, field, "holds a control character");
	}
	memcpy(out, text, len);
	out[len] = '\0';
	return 0;
}

static int take_name(struct container *container, yyjson_val *value, struct container_fault *fault)
{
	return take_text(value, "name", container->name, sizeof(container->name), fault);
}

static int take_realm(struct container *container, yyjson_val *value,
		      struct container_fault *fault)
{
	char realm[MODEL_REALM_MAX];

	if (take_text(value, "realm", realm, sizeof(realm), fault))
		return -1;
	if (realm[0] && !config_host_label_ok(realm, strlen(realm)))
		return invalid(fault, "realm",
			       "is no label of a host name: lower-case letters, digits and '-', at most 63");
	memcpy(container->realm, realm, sizeof(realm));
	return 0;
}

static int take_netdev(struct container *container, yyjson_val *value,
		       struct container_fault *fault)
{
	char netdev[MODEL_NETDEV_MAX];

	if (take_text(value, "netdev", netdev, sizeof(netdev), fault))
		return -1;
	if (strpbrk(netdev, "/: ") || !strcmp(netdev, ".") || !strcmp(netdev, ".."))
		return invalid(fault, "netdev", "is no name of a network interface");
	memcpy(container->netdev, netdev, sizeof(netdev));
	return 0;
}

static int take_cgroup(struct container *container, yyjson_val *value,
		       struct container_fault *fault)
{
	char cgroup[MODEL_CGROUP_MAX];
	const char *why;

	if (take_text(value, "cgroup", cgroup, sizeof(cgroup), fault))
		return -1;
	why = cgroup[0] ? cgroup_path_fault(cgroup) : NULL;
	if (why)
		return invalid(fault, "cgroup", why);
	if (container_set_cgroup(container, cgroup[0] ? cgroup : NULL))
		return container_fault_set(fault, 503, "unavailable", "cgroup", "out of memory");
	return 0;
}

static int take_gateway(struct container *container, yyjson_val *value,
			struct container_fault *fault)
{
	if (!yyjson_is_bool(value))
		return invalid(fault, "gateway", "is neither true nor false");
	container->gateway = yyjson_get_bool(value);
	return 0;
}

/* One of "addresses"; @count are there already. */
static int take_address(yyjson_val *value, const char *field, struct address *addresses,
			unsigned int count, struct container_fault *fault)
{
	struct address *address = &addresses[count];
	unsigned int family = 0;
	const char *why;

	if (!yyjson_is_str(value) ||
	    address_parse(yyjson_get_str(value), yyjson_get_len(value), address))
		return invalid(fault, field, "is no IPv4 or IPv6 address");
	why = address_container_fault(address);
	if (why)
		return invalid(fault, field, why);
	if (knl_address_is_local(address) > 0)
		return invalid(fault, field, "is an address of this host itself");
	for (unsigned int i = 0; i < count; i++) {
		if (address_equal(&addresses[i], address))
			return invalid(fault, field, "is listed twice");
		family += addresses[i].family == address->family;
	}
	if (family == MODEL_ADDRESSES_MAX)
		return container_fault_set(fault, 422, "invalid_value", field,
					   "is more than %d addresses of one family",
					   MODEL_ADDRESSES_MAX);
	return 0;
}

static int take_addresses(struct container *container, yyjson_val *value,
			  struct container_fault *fault)
{
	struct address addresses[2 * MODEL_ADDRESSES_MAX];
	unsigned int count = 0;
	size_t index, max;
	yyjson_val *element;

	if (!yyjson_is_arr(value))
		return invalid(fault, "addresses", "is no list of addresses");
	if (yyjson_arr_size(value) > 2 * MODEL_ADDRESSES_MAX)
		return container_fault_set(fault, 422, "invalid_value", "addresses",
					   "has more than %d addresses", 2 * MODEL_ADDRESSES_MAX);
	yyjson_arr_foreach(value, index, max, element) {
		char field[32];

		snprintf(field, sizeof(field), "addresses[%zu]", index);
		if (take_address(element, field, addresses, count, fault))
			return -1;
		count++;
	}
	if (container_set_addresses(container, addresses, count))
		return container_fault_set(fault, 503, "unavailable", "addresses", "out of memory");
	return 0;
}

static int take_ports(struct container *container, yyjson_val *value,
		      struct container_fault *fault)
{
	struct image_service ports[MODEL_PORTS_MAX] = { 0 };
	unsigned int count = 0;
	size_t index, max;
	yyjson_val *key, *port;

	if (!yyjson_is_obj(value))
		return invalid(fault, "ports", "is no object of services and ports");
	if (yyjson_obj_size(value) > MODEL_PORTS_MAX)
		return container_fault_set(fault, 422, "invalid_value", "ports",
					   "has more than %d services", MODEL_PORTS_MAX);
	yyjson_obj_foreach(value, index, max, key, port) {
		const char *name = yyjson_get_str(key);
		char field[96];

		snprintf(field, sizeof(field), "ports.%.80s", name ? name : "");
		if (!name || !config_service_name_ok(name, yyjson_get_len(key)))
			return invalid(fault, field,
				       "is no service name: a letter and then letters and digits, in lower case, at most 63");
		if (!strcmp(name, "http"))
			return invalid(fault, field, "cannot be set: http-N always goes to port N");
		if (!yyjson_is_uint(port) || yyjson_get_uint(port) == 0 ||
		    yyjson_get_uint(port) > UINT16_MAX)
			return invalid(fault, field, "is no port from 1 to 65535");
		memcpy(ports[count].name, name, yyjson_get_len(key));
		ports[count++].port = (uint16_t)yyjson_get_uint(port);
	}
	if (container_set_ports(container, ports, count))
		return container_fault_set(fault, 503, "unavailable", "ports", "out of memory");
	return 0;
}

static const struct {
	const char	*name;
	unsigned int	bit;
	int		(*take)(struct container *container, yyjson_val *value,
				struct container_fault *fault);
} fields[] = {
	{ "id", CONTAINER_ID, NULL },
	{ "project", CONTAINER_PROJECT, NULL },
	{ "name", CONTAINER_NAME, take_name },
	{ "realm", CONTAINER_REALM, take_realm },
	{ "cgroup", CONTAINER_CGROUP, take_cgroup },
	{ "netdev", CONTAINER_NETDEV, take_netdev },
	{ "addresses", CONTAINER_ADDRESSES, take_addresses },
	{ "ports", CONTAINER_PORTS, take_ports },
	{ "gateway", CONTAINER_GATEWAY, take_gateway },
};

int container_from_json(struct container *container, yyjson_val *body, unsigned int accepted,
			struct container_fault *fault)
{
	size_t index, max;
	yyjson_val *key, *value;

	yyjson_obj_foreach(body, index, max, key, value) {
		size_t i = 0;

		while (i < sizeof(fields) / sizeof(fields[0]) &&
		       (!(fields[i].bit & accepted) || !yyjson_equals_str(key, fields[i].name)))
			i++;
		if (i == sizeof(fields) / sizeof(fields[0]))
			return container_fault_set(fault, 422, "unknown_field", yyjson_get_str(key),
						   "this call knows no field of this name");
		if (fields[i].take && fields[i].take(container, value, fault))
			return -1;
	}
	return 0;
}

static int take_id(yyjson_val *body, const char *field, uint8_t id[ID_LEN],
		   struct container_fault *fault)
{
	static const uint8_t zero[ID_LEN];
	yyjson_val *value = yyjson_obj_get(body, field);

	if (!value)
		return container_fault_set(fault, 422, "missing_field", field, "is missing");
	if (!yyjson_is_str(value) || id_parse(yyjson_get_str(value), yyjson_get_len(value), id))
		return invalid(fault, field, "is not 24 hexadecimal digits");
	if (!memcmp(id, zero, ID_LEN))
		return invalid(fault, field, "is all zero");
	return 0;
}

int container_ids_from_json(yyjson_val *body, uint8_t id[ID_LEN], uint8_t project[ID_LEN],
			    struct container_fault *fault)
{
	if (take_id(body, "id", id, fault))
		return -1;
	return take_id(body, "project", project, fault);
}

void container_format_time(int64_t seconds, char *text)
{
	time_t when = seconds;
	struct tm tm;

	gmtime_r(&when, &tm);
	strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

static const char *real_ip_state(const struct control *control, const struct container *container)
{
	if (!control->config->real_ip)
		return "off";
	if (container->running && container->kernel_state != MODEL_KERNEL_SET)
		return "unavailable";
	return control_real_ip_mode(control) == IMAGE_REAL_IP_ON ? "on" : "unavailable";
}

static void add_text(yyjson_mut_doc *document, yyjson_mut_val *object, const char *name,
		     const char *text)
{
	if (text && *text)
		yyjson_mut_obj_add_strcpy(document, object, name, text);
	else
		yyjson_mut_obj_add_null(document, object, name);
}

yyjson_mut_val *container_to_json(const struct control *control, const struct container *container,
				  yyjson_mut_doc *document)
{
	yyjson_mut_val *object = yyjson_mut_obj(document), *list, *ports;
	char text[64];

	id_format(container->id, text);
	add_text(document, object, "id", text);
	id_format(container->project, text);
	add_text(document, object, "project", text);
	add_text(document, object, "name", container->name);
	add_text(document, object, "realm", container->realm);
	add_text(document, object, "state", container->running ? "running" : "stopped");
	add_text(document, object, "cgroup", container->cgroup);
	add_text(document, object, "netdev", container->netdev);
	list = yyjson_mut_obj_add_arr(document, object, "addresses");
	for (unsigned int i = 0; i < container->addresses_count; i++) {
		address_format(&container->addresses[i], text);
		yyjson_mut_arr_add_strcpy(document, list, text);
	}
	ports = yyjson_mut_obj_add_obj(document, object, "ports");
	for (unsigned int i = 0; i < container->ports_count; i++)
		yyjson_mut_obj_add_val(document, ports, container->ports[i].name,
				       yyjson_mut_uint(document, container->ports[i].port));
	yyjson_mut_obj_add_bool(document, object, "gateway", container->gateway);
	yyjson_mut_obj_add_uint(document, object, "generation", container->generation);
	yyjson_mut_obj_add_str(document, object, "real_ip", real_ip_state(control, container));
	container_format_time(container->created_at, text);
	add_text(document, object, "created_at", text);
	container_format_time(container->updated_at, text);
	add_text(document, object, "updated_at", text);
	return object;
}
