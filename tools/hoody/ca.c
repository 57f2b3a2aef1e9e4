// SPDX-License-Identifier: Apache-2.0
/*
 * hoody ca: a test CA and a server certificate, for development and the demo.
 * Nothing is ever overwritten: a second run in the same directory uses the CA
 * that is there, and what a failed run has written is removed again.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "options.h"
#include "print.h"
#include "x509.h"

#define CA_CERTIFICATE "ca.pem"
#define CA_KEY	       "ca.key"
#define CA_DAYS	       365
#define FILE_MAX       80

struct ca {
	struct cli *cli;
	const char *directory;
	int dir; /* open on it */
	bool dir_made;
	bool ca_made;
	X509 *certificate;
	EVP_PKEY *key;
	char written[4][FILE_MAX]; /* by this run, removed when it fails */
	size_t written_count;
};

static const char *openssl_reason(void)
{
	unsigned long error = ERR_peek_last_error();
	const char *reason = error ? ERR_reason_error_string(error) : NULL;

	return reason ? reason : "OpenSSL gives no reason";
}

static bool present(const struct ca *ca, const char *file)
{
	return !faccessat(ca->dir, file, F_OK, AT_SYMLINK_NOFOLLOW);
}

/* Exactly one of the two is written. */
static enum cli_status write_pem(struct ca *ca, const char *file, X509 *certificate, EVP_PKEY *key)
{
	int fd = openat(ca->dir, file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			key ? 0600 : 0644);
	FILE *stream = fd < 0 ? NULL : fdopen(fd, "w");
	bool good;

	if (!stream) {
		print_error(ca->cli, CLI_FAILED, "%s/%s: %s", ca->directory, file, strerror(errno));
		if (fd >= 0) {
			close(fd);
			unlinkat(ca->dir, file, 0);
		}
		return CLI_FAILED;
	}
	snprintf(ca->written[ca->written_count++], FILE_MAX, "%s", file);
	good = key ? PEM_write_PrivateKey(stream, key, NULL, NULL, 0, NULL, NULL)
		   : PEM_write_X509(stream, certificate);
	if (fflush(stream) || fsync(fd))
		good = false;
	if (fclose(stream))
		good = false;
	return good ? CLI_DONE
		    : print_error(ca->cli, CLI_FAILED, "%s/%s: cannot be written: %s",
				  ca->directory, file, strerror(errno));
}

static FILE *open_pem(struct ca *ca, const char *file)
{
	int fd = openat(ca->dir, file, O_RDONLY | O_CLOEXEC);
	FILE *stream = fd < 0 ? NULL : fdopen(fd, "r");

	if (!stream) {
		print_error(ca->cli, CLI_FAILED, "%s/%s: %s", ca->directory, file, strerror(errno));
		if (fd >= 0)
			close(fd);
	}
	return stream;
}

static enum cli_status load_ca(struct ca *ca)
{
	FILE *stream = open_pem(ca, CA_CERTIFICATE);

	if (!stream)
		return CLI_FAILED;
	ca->certificate = PEM_read_X509(stream, NULL, NULL, NULL);
	fclose(stream);
	stream = open_pem(ca, CA_KEY);
	if (!stream)
		return CLI_FAILED;
	/* An encrypted key would ask on the terminal; "" makes it fail instead. */
	ca->key = PEM_read_PrivateKey(stream, NULL, NULL, (void *)"");
	fclose(stream);
	if (!ca->certificate || !ca->key)
		return print_error(ca->cli, CLI_FAILED, "%s: %s and %s cannot be read: %s",
				   ca->directory, CA_CERTIFICATE, CA_KEY, openssl_reason());
	if (X509_check_private_key(ca->certificate, ca->key) != 1)
		return print_error(ca->cli, CLI_FAILED, "%s: %s is not the key of %s",
				   ca->directory, CA_KEY, CA_CERTIFICATE);
	return CLI_DONE;
}

/* The CA that is there, or a new one for the names of @args. */
static enum cli_status get_ca(struct ca *ca, const char *const *names, size_t count)
{
	bool has_certificate = present(ca, CA_CERTIFICATE), has_key = present(ca, CA_KEY);

	if (has_certificate && has_key)
		return load_ca(ca);
	if (has_certificate || has_key)
		return print_error(ca->cli, CLI_FAILED,
				   "%s has %s but not %s: use another directory", ca->directory,
				   has_key ? CA_KEY : CA_CERTIFICATE,
				   has_key ? CA_CERTIFICATE : CA_KEY);
	ca->key = x509_key_create();
	ca->certificate = ca->key ? x509_ca_create(ca->key, names, count, CA_DAYS) : NULL;
	if (!ca->certificate)
		return print_error(ca->cli, CLI_FAILED, "the CA cannot be made: %s",
				   openssl_reason());
	ca->ca_made = true;
	return write_pem(ca, CA_KEY, NULL, ca->key)
		       ?: write_pem(ca, CA_CERTIFICATE, ca->certificate, NULL);
}

static enum cli_status issue(struct ca *ca, const char *const *names, size_t count, int days,
			     const char *certificate_file, const char *key_file)
{
	EVP_PKEY *key = x509_key_create();
	enum cli_status status = CLI_FAILED;
	const char *fault;
	X509 *leaf;

	leaf = key ? x509_leaf_create(key, ca->certificate, ca->key, names, count, days) : NULL;
	if (!leaf) {
		print_error(ca->cli, CLI_FAILED, "the certificate cannot be made: %s",
			    openssl_reason());
		goto out;
	}
	fault = x509_chain_fault(ca->certificate, leaf);
	if (fault) {
		print_error(ca->cli, CLI_FAILED,
			    "the CA in %s does not fit these names: %s; it was "
			    "made for other names, or is no longer valid: use a new directory",
			    ca->directory, fault);
		goto out;
	}
	status = write_pem(ca, key_file, NULL, key) ?: write_pem(ca, certificate_file, leaf, NULL);
out:
	X509_free(leaf);
	EVP_PKEY_free(key);
	return status;
}

static enum cli_status report(const struct ca *ca, const char *certificate_file,
			      const char *key_file)
{
	static const char *const keys[] = {"ca", "certificate", "key"};
	const char *files[] = {CA_CERTIFICATE, certificate_file, key_file};
	yyjson_mut_doc *doc = NULL;
	yyjson_mut_val *root = NULL;
	enum cli_status status = CLI_DONE;
	char path[PATH_MAX];
	size_t i;

	if (ca->cli->json) {
		doc = yyjson_mut_doc_new(NULL);
		root = yyjson_mut_obj(doc);
		yyjson_mut_doc_set_root(doc, root);
	}
	for (i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", ca->directory, files[i]);
		if (root)
			yyjson_mut_obj_add_strcpy(doc, root, keys[i], path);
		else if (!doc)
			print_field(ca->cli, 13, keys[i], path, PRINT_PLAIN);
	}
	if (!ca->cli->json && ca->ca_made)
		puts("This CA is for development and tests. Clients have to be told to trust it.");
	if (ca->cli->json)
		status = root ? print_json_mut(doc)
			      : print_error(ca->cli, CLI_FAILED, "out of memory");
	yyjson_mut_doc_free(doc);
	return status;
}

static enum cli_status open_directory(struct ca *ca)
{
	ca->dir_made = !mkdir(ca->directory, 0755);
	if (ca->dir_made || errno == EEXIST)
		ca->dir = open(ca->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (ca->dir >= 0)
		return CLI_DONE;
	print_error(ca->cli, CLI_FAILED, "%s: %s", ca->directory, strerror(errno));
	return CLI_FAILED;
}

static void undo(struct ca *ca)
{
	while (ca->written_count)
		unlinkat(ca->dir, ca->written[--ca->written_count], 0);
	if (ca->dir_made)
		rmdir(ca->directory);
}

static enum cli_status run_ca(struct cli *cli, const struct cli_args *args)
{
	const char *const *names = args->positional + 1;
	const char *out = args_value(args, "out") ?: "server", *days = args_value(args, "days");
	char certificate_file[FILE_MAX], key_file[FILE_MAX];
	struct ca ca = {.cli = cli, .directory = args->positional[0], .dir = -1};
	size_t count = args->positional_count - 1;
	unsigned long number = 90;
	enum cli_status status;

	if (count > X509_NAMES_MAX)
		return print_error(cli, CLI_USAGE, "ca: at most %d names", X509_NAMES_MAX);
	if (days)
		check_number(days, 1, CA_DAYS, &number);
	snprintf(certificate_file, sizeof(certificate_file), "%s.pem", out);
	snprintf(key_file, sizeof(key_file), "%s.key", out);
	status = open_directory(&ca);
	if (!status && (present(&ca, certificate_file) || present(&ca, key_file)))
		status = print_error(cli, CLI_FAILED,
				     "%s/%s or .key is there already and is never "
				     "overwritten: remove it, or choose another name with --out",
				     ca.directory, certificate_file);
	status = status ?: get_ca(&ca, names, count);
	status = status ?: issue(&ca, names, count, (int)number, certificate_file, key_file);
	if (status)
		undo(&ca);
	else
		status = report(&ca, certificate_file, key_file);
	X509_free(ca.certificate);
	EVP_PKEY_free(ca.key);
	if (ca.dir >= 0)
		close(ca.dir);
	return status;
}

static const char *check_days(const char *text)
{
	unsigned long days;

	return check_number(text, 1, CA_DAYS, &days) ? "must be a number of days from 1 to 365"
						     : NULL;
}

static const char *check_out(const char *text)
{
	if (!text[0] || text[0] == '.' || strchr(text, '/') || strlen(text) > 64)
		return "must be a file name of at most 64 characters, without a directory";
	return strcmp(text, "ca") ? NULL : "must not be ca: that is the CA itself";
}

static const struct cli_option ca_options[] = {
	{.name = "out",
	 .kind = CLI_VALUE,
	 .value = "FILE",
	 .check = check_out,
	 .help = "FILE.pem and FILE.key are written (server)"},
	{.name = "days",
	 .kind = CLI_VALUE,
	 .value = "N",
	 .check = check_days,
	 .help = "how long the certificate is valid (90)"},
	{},
};

static const struct cli_positional ca_positionals[] = {
	{.name = "DIRECTORY", .help = "where the CA is, or is made", .check = check_text},
	{.name = "NAME",
	 .help = "host name, *.host name or address to certify",
	 .repeated = true,
	 .check = x509_check_name},
	{},
};

const struct cli_command ca_commands[] = {
	{
		.path = "ca",
		.summary = "make a test CA and a server certificate for development",
		.details =
			"Writes DIRECTORY/ca.pem and ca.key where there is no CA yet, then a key "
			"and a\n"
			"certificate for the names. For a node: '*.NODE.BASE' '*.BASE'. The CA is "
			"good\n"
			"for the names it was made with and what is below them, for nothing else.",
		.options = ca_options,
		.positionals = ca_positionals,
		.run = run_ca,
	},
	{},
};
