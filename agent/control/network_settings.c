// SPDX-License-Identifier: Apache-2.0
/* What a container's network document may say, see network.h. */
#include "control/network.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>

void network_secret_free(char *text)
{
	if (text)
		explicit_bzero(text, strlen(text));
	free(text);
}

void network_settings_free(struct network_settings *settings)
{
	if (!settings)
		return;
	network_secret_free(settings->text);
	network_secret_free(settings->wireguard);
	free(settings->ca);
	explicit_bzero(settings, sizeof(*settings));
	free(settings);
}

/* Whether there is at least one certificate, and nothing that is none. */
static bool is_pem(const char *text)
{
	BIO *bio = BIO_new_mem_buf(text, -1);
	X509 *certificate;
	int count = 0;

	while (bio && (certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
		X509_free(certificate);
		count++;
	}
	/* That no further one begins is how a list ends. */
	if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		count = 0;
	ERR_clear_error();
	BIO_free(bio);
	return count > 0;
}

static int read_dns(struct network_settings *settings, yyjson_val *dns, const char **why)
{
	size_t index, max;
	yyjson_val *value;

	if (!yyjson_is_arr(dns) || yyjson_arr_size(dns) > RELAY_DNS_MAX) {
		*why = "must be a list of at most 4 addresses";
		return -EINVAL;
	}
	if (yyjson_arr_size(dns) && settings->spec.kind == EXIT_BLOCK) {
		*why = "asks for nothing with the exit block, by which nothing leaves";
		return -EINVAL;
	}
	if (yyjson_arr_size(dns) && settings->spec.kind == EXIT_WIREGUARD) {
		*why = "is not for a tunnel: the line DNS of its file names the server";
		return -EINVAL;
	}
	yyjson_arr_foreach(dns, index, max, value) {
		if (!yyjson_is_str(value) ||
		    address_parse(yyjson_get_str(value), yyjson_get_len(value),
				  &settings->dns[settings->dns_count])) {
			*why = "must be a list of IP addresses";
			return -EINVAL;
		}
		settings->dns_count++;
	}
	return 0;
}

static int refuse(struct network_fault *fault, const char *field, const char *why)
{
	fault->field = field;
	snprintf(fault->why, sizeof(fault->why), "%s", why);
	return -EINVAL;
}

/* The tunnel's file. The parsed form is not kept: it is made with the tunnel. */
static int read_wireguard(struct network_settings *settings, const char *text,
			  struct network_fault *fault)
{
	struct wireguard_file *file;
	int ret;

	if (!text != (settings->spec.kind != EXIT_WIREGUARD))
		return refuse(fault, "wireguard", text ? "is for an exit of kind wireguard only" :
			      "is missing: the text of a wg-quick file");
	if (!text)
		return 0;
	file = malloc(sizeof(*file));
	if (!file)
		return -ENOMEM;
	fault->field = "wireguard";
	ret = wireguard_file_parse(text, strlen(text), file, fault->why, sizeof(fault->why));
	if (!ret) {
		_Static_assert(WIREGUARD_DNS_MAX >= RELAY_DNS_MAX, "the first ones are asked");
		memcpy(settings->tunnel_dns, file->dns, sizeof(settings->tunnel_dns));
		settings->tunnel_dns_count =
			file->dns_count < RELAY_DNS_MAX ? file->dns_count : RELAY_DNS_MAX;
	}
	explicit_bzero(file, sizeof(*file));
	free(file);
	if (ret)
		return ret;
	tunnel_hash(text, strlen(text), settings->tunnel);
	settings->wireguard = strdup(text);
	return settings->wireguard ? 0 : -ENOMEM;
}

static int read_fields(struct network_settings *settings, const struct network_fields *fields,
		       struct network_fault *fault)
{
	const char *why = "", *ca = fields->ca;
	int ret;

	if (exit_parse(fields->exit, strlen(fields->exit), &settings->spec, &why))
		return refuse(fault, "exit", why);
	if (!strcmp(settings->spec.user, "***") && !strcmp(settings->spec.password, "***"))
		return refuse(fault, "exit",
			      "has the stars that stand for a login: give the login itself");
	if (fields->dns && read_dns(settings, fields->dns, &why))
		return refuse(fault, "dns", why);
	if (ca && settings->spec.kind != EXIT_HTTPS)
		return refuse(fault, "exit_ca", "is for an https exit only");
	if (ca && (strlen(ca) > NETWORK_CA_MAX || !is_pem(ca)))
		return refuse(fault, "exit_ca",
			      "must be certificates in PEM, of at most 65536 bytes");
	ret = read_wireguard(settings, fields->wireguard, fault);
	if (ret)
		return ret;
	settings->text = strdup(fields->exit);
	settings->ca = ca ? strdup(ca) : NULL;
	return settings->text && (!ca || settings->ca) ? 0 : -ENOMEM;
}

struct network_settings *network_settings_create(const uint8_t id[ID_LEN],
						 const struct network_fields *fields,
						 struct network_fault *fault)
{
	struct network_settings *settings = calloc(1, sizeof(*settings));
	int ret;

	if (!settings)
		return NULL;
	memcpy(settings->id, id, ID_LEN);
	ret = read_fields(settings, fields, fault);
	if (!ret)
		return settings;
	network_settings_free(settings);
	errno = -ret;
	return NULL;
}
