// SPDX-License-Identifier: Apache-2.0
/*
 * The calls about certificates, and their part of the metrics. A token of a realm
 * sees those of its containers' domains.
 */
#include "control/acme.h"
#include "control/aliases.h"
#include "control/api.h"
#include "control/api_certificates.h"
#include "control/container_json.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static bool visible(const struct api_call *call, const char *domain)
{
	const struct alias *alias = aliases_find_domain(call->control->aliases, domain);
	const struct container *container =
		alias ? model_find(call->control->model, alias->container) : NULL;

	return !call->realm[0] || (container && !strcmp(container->realm, call->realm));
}

static void add_time(yyjson_mut_doc *document, yyjson_mut_val *object, const char *key,
		     int64_t seconds)
{
	char text[64];

	if (!seconds) {
		yyjson_mut_obj_add_null(document, object, key);
		return;
	}
	container_format_time(seconds, text);
	yyjson_mut_obj_add_strcpy(document, object, key, text);
}

static void add_text(yyjson_mut_doc *document, yyjson_mut_val *object, const char *key,
		     const char *text)
{
	if (text && text[0])
		yyjson_mut_obj_add_strcpy(document, object, key, text);
	else
		yyjson_mut_obj_add_null(document, object, key);
}

static void add_names(yyjson_mut_doc *document, yyjson_mut_val *object, const char *names)
{
	yyjson_mut_val *list = yyjson_mut_obj_add_arr(document, object, "names");

	while (names && *names) {
		size_t len = strcspn(names, " ");

		yyjson_mut_arr_add_strncpy(document, list, names, len);
		names += len + (names[len] == ' ');
	}
}

static const char *state_of(const struct certificate *certificate)
{
	if (!certificate || !certificate->pem)
		return "missing";
	return certificate->not_after < time(NULL) ? "expired" : "valid";
}

static yyjson_mut_val *describe(yyjson_mut_doc *document, const char *name, const char *source,
				const char *state, const struct certificate *certificate,
				const char *error)
{
	yyjson_mut_val *object = yyjson_mut_obj(document);

	yyjson_mut_obj_add_strcpy(document, object, "name", name);
	yyjson_mut_obj_add_str(document, object, "source", source);
	yyjson_mut_obj_add_str(document, object, "state", state);
	add_names(document, object, certificate ? certificate->names : NULL);
	add_text(document, object, "issuer", certificate ? certificate->issuer : NULL);
	add_time(document, object, "not_before", certificate ? certificate->not_before : 0);
	add_time(document, object, "not_after", certificate ? certificate->not_after : 0);
	add_text(document, object, "error", error);
	return object;
}

static yyjson_mut_val *ordered(const struct control *control, yyjson_mut_doc *document,
			       const struct acme_name *name)
{
	const struct certificate *certificate =
		certificates_find_issued(control->certificates, name->domain);
	const char *state = state_of(certificate);
	yyjson_mut_val *object;
	int64_t next = certificate ? acme_renewal(name->domain, certificate) : 0;

	if (next < name->next)
		next = name->next;
	if (control->acme->order && !strcmp(acme_order_domain(control->acme->order), name->domain))
		state = certificate ? "renewing" : "ordering";
	object = describe(document, name->domain, "acme", state, certificate, name->error);
	yyjson_mut_obj_add_uint(document, object, "failures", name->failures);
	/* Without an authority nothing will be tried. */
	add_time(document, object, "next", control->config->acme_directory[0] ? next : 0);
	return object;
}

static void list(struct api_call *call)
{
	const struct control *control = call->control;
	const struct certificates *certificates = control->certificates;
	yyjson_mut_doc *document = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *data = yyjson_mut_arr(document);

	if (!call->realm[0] && certificates->node.certificate.pem)
		yyjson_mut_arr_append(data, describe(document, certificates->node.name, "node",
						     state_of(&certificates->node.certificate),
						     &certificates->node.certificate,
						     certificates->node.fault));
	for (size_t i = 0; !call->realm[0] && i < certificates->count; i++) {
		const struct certificates_entry *entry = &certificates->list[i];

		if (entry->source == CERTIFICATES_FILE)
			yyjson_mut_arr_append(data, describe(document, entry->name, "file",
							     state_of(&entry->certificate),
							     &entry->certificate, entry->fault));
	}
	for (size_t i = 0; i < control->acme->count; i++) {
		if (visible(call, control->acme->names[i].domain))
			yyjson_mut_arr_append(data, ordered(control, document,
							    &control->acme->names[i]));
	}
	api_reply_page(call, document, data, NULL);
}

static void renew(struct api_call *call)
{
	struct control *control = call->control;
	struct acme_name *name = acme_find(control->acme, call->name);
	yyjson_mut_doc *document;

	if (!name || !visible(call, call->name)) {
		api_reply_error(call, 404, "not_found", NULL,
				"there is no domain of this name whose certificate would be ordered");
		return;
	}
	if (!control->config->acme_directory[0] || control->acme->directory < 0) {
		api_reply_error(call, 409, "no_authority", NULL,
				"[acme] directory names no certificate authority");
		return;
	}
	acme_renew(control->acme, name);
	document = yyjson_mut_doc_new(NULL);
	api_reply_data(call, 202, document, ordered(control, document, name));
}

const struct api_route api_certificates_routes[] = {
	{ "GET", "/api/v1/proxy/certificates", API_BODY_NONE, NULL, list },
	{ "POST", "/api/v1/proxy/certificates/{name}/renew", API_BODY_NONE, NULL, renew },
	{ NULL, NULL, API_BODY_NONE, NULL, NULL },
};

/* ---- metrics ---- */

static void expiry(FILE *out, const char *name, const char *source,
		   const struct certificate *certificate)
{
	if (!certificate->pem)
		return;
	fputs("hoody_certificate_expiry_timestamp_seconds{name=\"", out);
	/* A file's name may hold anything but '/'. */
	for (; *name; name++)
		fputc(*name < ' ' || *name == '"' || *name == '\\' || *name == 127 ? '_' : *name, out);
	fprintf(out, "\",source=\"%s\"} %lld\n", source, (long long)certificate->not_after);
}

void api_certificates_metrics(const struct control *control, FILE *out)
{
	const struct certificates *certificates = control->certificates;

	fputs("# HELP hoody_certificate_expiry_timestamp_seconds When a certificate that is served ends.\n"
	      "# TYPE hoody_certificate_expiry_timestamp_seconds gauge\n", out);
	expiry(out, certificates->node.name, "node", &certificates->node.certificate);
	for (size_t i = 0; i < certificates->count; i++)
		expiry(out, certificates->list[i].name,
		       certificates->list[i].source == CERTIFICATES_FILE ? "file" : "acme",
		       &certificates->list[i].certificate);
	fprintf(out, "# HELP hoody_certificate_orders_total Orders at a certificate authority.\n"
		     "# TYPE hoody_certificate_orders_total counter\n"
		     "hoody_certificate_orders_total{result=\"issued\"} %llu\n"
		     "hoody_certificate_orders_total{result=\"failed\"} %llu\n",
		(unsigned long long)control->acme->issued,
		(unsigned long long)control->acme->failed);
}
