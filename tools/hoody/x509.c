// SPDX-License-Identifier: Apache-2.0
/*
 * Makes the certificates of hoody ca. Extensions are written in OpenSSL's own
 * notation; names are checked to hold nothing but letters, digits, dots,
 * hyphens and colons first, so that a name cannot become notation.
 */
#include <ctype.h>
#include <openssl/ec.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "lib/address.h"
#include "x509.h"

/* 64 names of 253 bytes and what stands around them. */
#define EXTENSION_MAX (X509_NAMES_MAX * 320)
#define BACKDATE      (60 * 60) /* clocks of test machines are a little apart */

static bool is_address(const char *name, struct address *address)
{
	return !address_parse(name, strlen(name), address);
}

/* RFC 1035 2.3.1 labels, "*" alone allowed as the first (RFC 6125 6.4.3). */
const char *x509_check_name(const char *name)
{
	struct address address;
	const char *label = name;
	size_t i, len;

	if (is_address(name, &address))
		return NULL;
	if (strlen(name) > 253)
		return "must have at most 253 characters";
	if (!strncmp(label, "*.", 2))
		label += 2;
	for (;; label += len + 1) {
		len = strcspn(label, ".");
		if (!len || len > 63 || label[0] == '-' || label[len - 1] == '-')
			return "must be a host name, *. and a host name, or an IP address";
		for (i = 0; i < len; i++) {
			if (!isascii((unsigned char)label[i]) ||
			    (!isalnum((unsigned char)label[i]) && label[i] != '-'))
				return "must be a host name, *. and a host name, or an IP address";
		}
		if (!label[len])
			return NULL;
	}
}

EVP_PKEY *x509_key_create(void)
{
	return EVP_EC_gen("P-256");
}

static int add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *extension;
	X509V3_CTX context;
	int ok;

	X509V3_set_ctx_nodb(&context);
	X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	if (!extension)
		return 0;
	ok = X509_add_ext(certificate, extension, -1);
	X509_EXTENSION_free(extension);
	return ok;
}

/* RFC 5280 4.1.2.2: positive, unique, at most 20 octets. */
static int set_serial(X509 *certificate)
{
	unsigned char bytes[16];
	BIGNUM *number;
	int ok;

	if (RAND_bytes(bytes, sizeof(bytes)) != 1)
		return 0;
	bytes[0] &= 0x7f;
	bytes[0] |= 0x40;
	number = BN_bin2bn(bytes, sizeof(bytes), NULL);
	ok = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));
	BN_free(number);
	return ok;
}

static X509 *new_certificate(EVP_PKEY *key, const char *common_name, int days)
{
	X509 *certificate = X509_new();
	struct address address;
	X509_NAME *subject;

	if (!certificate)
		return NULL;
	subject = X509_get_subject_name(certificate);
	if (!X509_set_version(certificate, X509_VERSION_3) || !set_serial(certificate) ||
	    !X509_gmtime_adj(X509_getm_notBefore(certificate), -BACKDATE) ||
	    !X509_time_adj_ex(X509_getm_notAfter(certificate), days, 0, NULL) ||
	    !X509_set_pubkey(certificate, key) ||
	    !X509_NAME_add_entry_by_NID(subject, NID_organizationName, MBSTRING_ASC,
					(const unsigned char *)X509_ORGANIZATION, -1, -1, 0))
		goto err_free;
	/*
	 * RFC 5280 appendix A: ub-common-name is 64. An address there would be
	 * taken for a host name and fail the CA's constraints.
	 */
	if (strlen(common_name) <= 64 && !is_address(common_name, &address) &&
	    !X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_ASC,
					(const unsigned char *)common_name, -1, -1, 0))
		goto err_free;
	return certificate;

err_free:
	X509_free(certificate);
	return NULL;
}

/* Permits @names and what is below them, and nothing of the other kind where that has none. */
static void write_constraints(char *text, const char *const *names, size_t count)
{
	bool has_dns = false, has_address = false;
	struct address address;
	size_t i, len;

	len = snprintf(text, EXTENSION_MAX, "critical");
	for (i = 0; i < count; i++) {
		if (!is_address(names[i], &address)) {
			has_dns = true;
			len += snprintf(text + len, EXTENSION_MAX - len, ",permitted;DNS:%s",
					names[i] + (names[i][0] == '*' ? 2 : 0));
			continue;
		}
		has_address = true;
		len += snprintf(text + len, EXTENSION_MAX - len, ",permitted;IP:%s/%s", names[i],
				address.family == AF_INET
					? "255.255.255.255"
					: "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
	}
	if (!has_address)
		len += snprintf(text + len, EXTENSION_MAX - len,
				",excluded;IP:0.0.0.0/0.0.0.0,excluded;IP:::/::");
	/* RFC 6761 6.4: no host has a name there, so no name is permitted at all. */
	if (!has_dns)
		snprintf(text + len, EXTENSION_MAX - len, ",permitted;DNS:invalid");
}

X509 *x509_ca_create(EVP_PKEY *key, const char *const *names, size_t count, int days)
{
	X509 *ca = new_certificate(key, X509_ORGANIZATION, days);
	char constraints[EXTENSION_MAX];

	if (!ca)
		return NULL;
	write_constraints(constraints, names, count);
	if (!X509_set_issuer_name(ca, X509_get_subject_name(ca)) ||
	    !add_extension(ca, ca, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
	    !add_extension(ca, ca, NID_key_usage, "critical,keyCertSign,cRLSign") ||
	    !add_extension(ca, ca, NID_subject_key_identifier, "hash") ||
	    !add_extension(ca, ca, NID_name_constraints, constraints) ||
	    !X509_sign(ca, key, EVP_sha256())) {
		X509_free(ca);
		return NULL;
	}
	return ca;
}

X509 *x509_leaf_create(EVP_PKEY *key, X509 *ca, EVP_PKEY *ca_key, const char *const *names,
		       size_t count, int days)
{
	X509 *leaf = new_certificate(key, names[0], days);
	char alternative[EXTENSION_MAX];
	struct address address;
	size_t i, len = 0;

	if (!leaf)
		return NULL;
	for (i = 0; i < count; i++)
		len += snprintf(alternative + len, sizeof(alternative) - len, "%s%s:%s",
				i ? "," : "", is_address(names[i], &address) ? "IP" : "DNS",
				names[i]);
	if (ASN1_TIME_compare(X509_get0_notAfter(leaf), X509_get0_notAfter(ca)) > 0 &&
	    !X509_set1_notAfter(leaf, X509_get0_notAfter(ca)))
		goto err_free;
	if (!X509_set_issuer_name(leaf, X509_get_subject_name(ca)) ||
	    !add_extension(leaf, ca, NID_basic_constraints, "critical,CA:FALSE") ||
	    !add_extension(leaf, ca, NID_key_usage, "critical,digitalSignature") ||
	    !add_extension(leaf, ca, NID_ext_key_usage, "serverAuth") ||
	    !add_extension(leaf, ca, NID_subject_key_identifier, "hash") ||
	    !add_extension(leaf, ca, NID_authority_key_identifier, "keyid:always") ||
	    !add_extension(leaf, ca, NID_subject_alt_name, alternative) ||
	    !X509_sign(leaf, ca_key, EVP_sha256()))
		goto err_free;
	return leaf;

err_free:
	X509_free(leaf);
	return NULL;
}

const char *x509_chain_fault(X509 *ca, X509 *leaf)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *context = X509_STORE_CTX_new();
	const char *fault = "out of memory";

	if (store && context && X509_STORE_add_cert(store, ca) &&
	    X509_STORE_CTX_init(context, store, leaf, NULL)) {
		X509_STORE_CTX_set_default(context, "ssl_server");
		fault = X509_verify_cert(context) == 1
				? NULL
				: X509_verify_cert_error_string(X509_STORE_CTX_get_error(context));
	}
	X509_STORE_CTX_free(context);
	X509_STORE_free(store);
	return fault;
}
