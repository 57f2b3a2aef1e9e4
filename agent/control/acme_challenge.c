// SPDX-License-Identifier: Apache-2.0
/*
 * The certificate that answers a TLS-ALPN challenge (RFC 8737 3): for the domain
 * alone, signed with its own key, with the digest of the key authorization in a
 * critical extension.
 */
#include "auth/base64.h"
#include "control/acme_order.h"

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGEST_LEN	32
#define IDENTIFIER_OID	"1.3.6.1.5.5.7.1.31"	/* id-pe-acmeIdentifier */
#define LIFE_S		(7 * 86400)

static bool add_name(X509 *certificate, const char *domain)
{
	char text[300];
	X509_EXTENSION *extension;
	bool added;

	snprintf(text, sizeof(text), "DNS:%s", domain);
	extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, text);
	added = extension && X509_add_ext(certificate, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	return added;
}

/* The extension's value is an OCTET STRING in DER. */
static bool add_identifier(X509 *certificate, const unsigned char digest[DIGEST_LEN])
{
	ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
	ASN1_OBJECT *object = OBJ_txt2obj(IDENTIFIER_OID, 1);
	unsigned char der[2 + DIGEST_LEN] = { V_ASN1_OCTET_STRING, DIGEST_LEN };
	X509_EXTENSION *extension = NULL;
	bool added = false;

	memcpy(der + 2, digest, DIGEST_LEN);
	if (value && object && ASN1_OCTET_STRING_set(value, der, sizeof(der)) == 1)
		extension = X509_EXTENSION_create_by_OBJ(NULL, object, 1, value);
	if (extension)
		added = X509_add_ext(certificate, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	ASN1_OBJECT_free(object);
	ASN1_OCTET_STRING_free(value);
	return added;
}

static X509 *make(const char *domain, const unsigned char digest[DIGEST_LEN], EVP_PKEY *key)
{
	X509 *certificate = X509_new();
	X509_NAME *name = X509_NAME_new();

	if (certificate && name &&
	    X509_set_version(certificate, X509_VERSION_3) == 1 &&
	    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1) == 1 &&
	    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600) &&
	    X509_gmtime_adj(X509_getm_notAfter(certificate), LIFE_S) &&
	    X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_ASC,
				       (const unsigned char *)"challenge", -1, -1, 0) == 1 &&
	    X509_set_subject_name(certificate, name) == 1 &&
	    X509_set_issuer_name(certificate, name) == 1 &&
	    X509_set_pubkey(certificate, key) == 1 && add_name(certificate, domain) &&
	    add_identifier(certificate, digest) && X509_sign(certificate, key, EVP_sha256()) > 0) {
		X509_NAME_free(name);
		return certificate;
	}
	X509_NAME_free(name);
	X509_free(certificate);
	return NULL;
}

static char *write_pem(X509 *certificate, EVP_PKEY *key)
{
	BIO *out = BIO_new(BIO_s_mem());
	char *data, *text = NULL;
	long len;

	if (out && PEM_write_bio_X509(out, certificate) == 1 &&
	    PEM_write_bio_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) == 1) {
		len = BIO_get_mem_data(out, &data);
		text = strndup(data, len);
	}
	BIO_free(out);
	return text;
}

char *acme_challenge_certificate(const char *domain, const char *digest)
{
	uint8_t bytes[64];
	X509 *certificate = NULL;
	EVP_PKEY *key = NULL;
	char *text = NULL;

	if (base64_decode(BASE64_URL, digest, strlen(digest), bytes, sizeof(bytes)) == DIGEST_LEN)
		key = EVP_EC_gen("P-256");
	if (key)
		certificate = make(domain, bytes, key);
	if (certificate)
		text = write_pem(certificate, key);
	X509_free(certificate);
	EVP_PKEY_free(key);
	ERR_clear_error();
	return text;
}
