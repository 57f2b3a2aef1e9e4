/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates for development: a test CA and what it signs. P-256 throughout.
 * The CA is bound to the names it was made for (RFC 5280 4.2.1.10), so that a
 * machine that trusts it for a test trusts it for nothing else.
 */
#ifndef HOODY_CLI_X509_H
#define HOODY_CLI_X509_H

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stddef.h>

#define X509_NAMES_MAX	  64
#define X509_ORGANIZATION "Hoody test CA - not for production"

/* Why @name cannot stand in a certificate, as cli_check_fn; DNS names and addresses can. */
const char *x509_check_name(const char *name);

/* A fresh P-256 key, or NULL. EVP_PKEY_free() it. */
EVP_PKEY *x509_key_create(void);

/*
 * x509_ca_create(): a self-signed CA for exactly these names and what is below
 * them. x509_leaf_create(): a server certificate of that CA, which ends at the
 * latest with it. NULL with OpenSSL's error queue filled. X509_free() them.
 */
X509 *x509_ca_create(EVP_PKEY *key, const char *const *names, size_t count, int days);
X509 *x509_leaf_create(EVP_PKEY *key, X509 *ca, EVP_PKEY *ca_key, const char *const *names,
		       size_t count, int days);

/* NULL where a client that trusts @ca accepts @leaf; else why not. */
const char *x509_chain_fault(X509 *ca, X509 *leaf);

#endif /* HOODY_CLI_X509_H */
