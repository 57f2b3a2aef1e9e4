// SPDX-License-Identifier: Apache-2.0
/* Reading and checking one certificate, see certificate.h. */
#include "control/certificate.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct reporter {
	config_report	*report;
	void		*context;
};

__attribute__((format(printf, 2, 3))) static void say(const struct reporter *to,
						      const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	to->report(to->context, text);
}

/* The innermost reason that OpenSSL gives, for the end of a message. */
static const char *openssl_fault(void)
{
	unsigned long error = ERR_peek_last_error();
	const char *reason = error ? ERR_reason_error_string(error) : NULL;

	ERR_clear_error();
	return reason ? reason : "it holds no such PEM block";
}

/* ---- files ---- */

static int open_file(int directory, const char *path, bool inside)
{
	struct open_how how = {
		.flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};

	if (inside)
		return (int)syscall(SYS_openat2, directory, path, &how, sizeof(how));
	return openat(directory, path, (int)how.flags);
}

int certificate_read(int directory, const char *path, bool inside,
		     struct certificate_bytes *bytes, char *fault, size_t fault_size)
{
	int fd = open_file(directory, path, inside);
	struct stat st;

	memset(bytes, 0, sizeof(*bytes));
	if (fd < 0 || fstat(fd, &st) < 0) {
		snprintf(fault, fault_size, "%s cannot be read: %s", path, strerror(errno));
		goto err_close;
	}
	if (!S_ISREG(st.st_mode) || st.st_size == 0 || st.st_size > CERTIFICATE_FILE_MAX) {
		snprintf(fault, fault_size, "%s is no file of 1 to %d bytes", path,
			 CERTIFICATE_FILE_MAX);
		goto err_close;
	}
	snprintf(fault, fault_size, "%s cannot be read as a whole", path);
	bytes->data = malloc(st.st_size + 1);
	if (!bytes->data || read(fd, bytes->data, st.st_size) != st.st_size)
		goto err_close;
	bytes->len = st.st_size;
	bytes->data[bytes->len] = '\n';
	close(fd);
	return 0;

err_close:
	certificate_bytes_clear(bytes);
	if (fd >= 0)
		close(fd);
	return -EINVAL;
}

void certificate_bytes_clear(struct certificate_bytes *bytes)
{
	if (bytes->data)
		OPENSSL_cleanse(bytes->data, bytes->len);
	free(bytes->data);
	memset(bytes, 0, sizeof(*bytes));
}

/* ---- what is in them ---- */

/* A password would be asked for on a terminal that is not there. */
static int no_password(char *buffer, int size, int writing, void *context)
{
	return -1;
}

static EVP_PKEY *parse_key(const struct certificate_bytes *bytes)
{
	BIO *bio = BIO_new_mem_buf(bytes->data, (int)bytes->len);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;

	BIO_free(bio);
	return key;
}

/* The chain is written to @out as it is read; the leaf is returned. */
static X509 *parse_chain(const struct certificate_bytes *bytes, BIO *out)
{
	BIO *bio = BIO_new_mem_buf(bytes->data, (int)bytes->len);
	X509 *leaf = NULL, *next;

	while (bio && (next = PEM_read_bio_X509(bio, NULL, no_password, NULL))) {
		PEM_write_bio_X509(out, next);
		if (leaf)
			X509_free(next);
		else
			leaf = next;
	}
	BIO_free(bio);
	/* The end of the text is an error to OpenSSL. */
	if (leaf)
		ERR_clear_error();
	return leaf;
}

/* A name that a worker could look up: nothing else may get into a line of its text. */
static bool is_name(const char *name)
{
	return config_host_name_ok(!strncmp(name, "*.", 2) ? name + 2 : name);
}

static char *find_names(X509 *leaf)
{
	GENERAL_NAMES *list = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
	int count = list ? sk_GENERAL_NAME_num(list) : 0;
	char *names = NULL;
	size_t size;
	FILE *out = open_memstream(&names, &size);

	for (int i = 0, kept = 0; out && i < count && kept < CERTIFICATE_NAMES_MAX; i++) {
		const GENERAL_NAME *entry = sk_GENERAL_NAME_value(list, i);
		char name[IMAGE_DOMAIN_MAX];
		int len;

		if (entry->type != GEN_DNS)
			continue;
		len = ASN1_STRING_length(entry->d.dNSName);
		if (len <= 0 || len >= (int)sizeof(name))
			continue;
		for (int k = 0; k < len; k++) {
			name[k] = (char)ASN1_STRING_get0_data(entry->d.dNSName)[k];
			if (name[k] >= 'A' && name[k] <= 'Z')
				name[k] += 'a' - 'A';
		}
		name[len] = '\0';
		if (strlen(name) == (size_t)len && is_name(name))
			fprintf(out, "%s%s", kept++ ? " " : "", name);
	}
	GENERAL_NAMES_free(list);
	if (out && !fclose(out))
		return names;
	free(names);
	return NULL;
}

static int64_t time_of(const ASN1_TIME *value)
{
	struct tm tm;

	return ASN1_TIME_to_tm(value, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static void find_issuer(X509 *leaf, char *out, size_t size)
{
	X509_NAME *issuer = X509_get_issuer_name(leaf);

	out[0] = '\0';
	if (X509_NAME_get_text_by_NID(issuer, NID_commonName, out, (int)size) <= 0)
		X509_NAME_get_text_by_NID(issuer, NID_organizationName, out, (int)size);
	for (char *at = out; *at; at++) {
		if (*at < ' ' || *at > '~')
			*at = '?';
	}
}

/* Takes what @out has. */
static int fill(struct certificate *certificate, X509 *leaf, BIO *out)
{
	struct certificate made = { 0 };
	char *data;
	long len = BIO_get_mem_data(out, &data);

	made.pem = len > 0 ? malloc(len) : NULL;
	made.names = find_names(leaf);
	if (!made.pem || !made.names) {
		certificate_clear(&made);
		return -ENOMEM;
	}
	memcpy(made.pem, data, len);
	made.len = len;
	made.not_before = time_of(X509_get0_notBefore(leaf));
	made.not_after = time_of(X509_get0_notAfter(leaf));
	find_issuer(leaf, made.issuer, sizeof(made.issuer));
	certificate_clear(certificate);
	*certificate = made;
	return 0;
}

int certificate_parse(const struct certificate_bytes *chain, const struct certificate_bytes *key_bytes,
		      struct certificate *certificate, char *fault, size_t fault_size)
{
	BIO *out = BIO_new(BIO_s_secmem());
	X509 *leaf = out ? parse_chain(chain, out) : NULL;
	EVP_PKEY *key = NULL;
	int ret = -EINVAL;

	if (!leaf) {
		snprintf(fault, fault_size, "there is no certificate in PEM: %s", openssl_fault());
		goto out;
	}
	key = parse_key(key_bytes);
	if (!key) {
		snprintf(fault, fault_size,
			 "there is no private key in PEM without a password: %s", openssl_fault());
		goto out;
	}
	if (X509_check_private_key(leaf, key) != 1) {
		ERR_clear_error();
		snprintf(fault, fault_size, "the key is not the key of the first certificate");
		goto out;
	}
	snprintf(fault, fault_size, "out of memory");
	if (PEM_write_bio_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) == 1 &&
	    !fill(certificate, leaf, out))
		ret = 0;
out:
	ERR_clear_error();
	EVP_PKEY_free(key);
	X509_free(leaf);
	BIO_free(out);
	return ret;
}

void certificate_clear(struct certificate *certificate)
{
	if (certificate->pem)
		OPENSSL_cleanse(certificate->pem, certificate->len);
	free(certificate->pem);
	free(certificate->names);
	memset(certificate, 0, sizeof(*certificate));
}

bool certificate_covers(const struct certificate *certificate, const char *name)
{
	const char *at = certificate->names, *rest = strchr(name, '.');

	while (at && *at) {
		size_t len = strcspn(at, " ");

		if (len == strlen(name) && !memcmp(at, name, len))
			return true;
		if (rest && at[0] == '*' && len - 1 == strlen(rest) && !memcmp(at + 1, rest, len - 1))
			return true;
		at += len + (at[len] == ' ');
	}
	return false;
}

/* ---- this node's ---- */

static void warn(const struct config *config, const struct certificate *certificate,
		 const struct reporter *to)
{
	char name[IMAGE_NAME_MAX + IMAGE_DOMAIN_MAX + 8];
	struct stat st;

	snprintf(name, sizeof(name), "a.%s.%s", config->settings.node, config->settings.base_domain);
	if (!stat(config->key, &st) && (st.st_mode & 0007))
		say(to, "warning: [tls] key: %s can be read by everybody: chmod 0600 it", config->key);
	if (!certificate_covers(certificate, name))
		say(to, "warning: [tls] certificate: %s is not valid for *%s, the names of this node",
		    config->certificate, name + 1);
	if (certificate->not_after < time(NULL))
		say(to, "warning: [tls] certificate: %s has expired", config->certificate);
	if (certificate->not_before > time(NULL))
		say(to, "warning: [tls] certificate: %s is not valid yet", config->certificate);
}

int certificate_load(const struct config *config, struct certificate *certificate,
		     config_report *report, void *context)
{
	const struct reporter to = { report, context };
	struct certificate_bytes chain = { 0 }, key = { 0 };
	char fault[512];
	int ret;

	ret = certificate_read(AT_FDCWD, config->certificate, false, &chain, fault, sizeof(fault));
	if (ret) {
		say(&to, "[tls] certificate: %s", fault);
		goto out;
	}
	ret = certificate_read(AT_FDCWD, config->key, false, &key, fault, sizeof(fault));
	if (ret) {
		say(&to, "[tls] key: %s", fault);
		goto out;
	}
	ret = certificate_parse(&chain, &key, certificate, fault, sizeof(fault));
	if (ret)
		say(&to, "[tls] certificate: %s with %s: %s", config->certificate, config->key, fault);
	else
		warn(config, certificate, &to);
out:
	certificate_bytes_clear(&chain);
	certificate_bytes_clear(&key);
	return ret;
}
