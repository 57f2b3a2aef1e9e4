// SPDX-License-Identifier: Apache-2.0
/* Layers of the host: hardening switches, encryption of disk and swap, see posture.h. */
#include "control/posture.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define STACK_MAX	8	/* devices on devices that are looked through */
#define CRYPTS_MAX	128	/* bytes of their numbers */

/* A file with one number, and the least that is good. */
static const struct {
	const char	*name, *path;
	long		least;
	const char	*advice;
} switches[] = {
	{ "kernel_pointers_hidden", "/proc/sys/kernel/kptr_restrict", 1,
	  "sysctl kernel.kptr_restrict=2" },
	{ "kernel_log_restricted", "/proc/sys/kernel/dmesg_restrict", 1,
	  "sysctl kernel.dmesg_restrict=1" },
	{ "unprivileged_bpf_off", "/proc/sys/kernel/unprivileged_bpf_disabled", 1,
	  "sysctl kernel.unprivileged_bpf_disabled=1" },
	{ "perf_restricted", "/proc/sys/kernel/perf_event_paranoid", 2,
	  "sysctl kernel.perf_event_paranoid=3" },
	{ "ptrace_restricted", "/proc/sys/kernel/yama/ptrace_scope", 1,
	  "sysctl kernel.yama.ptrace_scope=1" },
	{ "kexec_off", "/proc/sys/kernel/kexec_load_disabled", 1,
	  "sysctl kernel.kexec_load_disabled=1, once a crash kernel is loaded" },
	{ "address_randomisation", "/proc/sys/kernel/randomize_va_space", 2,
	  "sysctl kernel.randomize_va_space=2" },
	{ "protected_links", "/proc/sys/fs/protected_symlinks", 1, "sysctl fs.protected_symlinks=1" },
};

static void add_switches(struct posture *posture)
{
	char text[64], *rest;

	for (size_t i = 0; i < sizeof(switches) / sizeof(*switches); i++) {
		struct posture_layer *layer = posture_add(posture, switches[i].name,
							  switches[i].advice);
		long value;

		if (posture_read(posture, layer, switches[i].path, text, sizeof(text)))
			continue;
		value = strtol(text, &rest, 10);
		if (rest != text)
			layer->verdict = value >= switches[i].least ? POSTURE_HOLDS : POSTURE_FAILS;
	}
}

/* "none [integrity] confidentiality": the one in brackets is in force. */
static void add_lockdown(struct posture *posture)
{
	struct posture_layer *layer = posture_add(posture, "kernel_lockdown",
		"boot with lockdown=integrity; the module must then be signed");
	char text[128];

	if (!posture_read(posture, layer, "/sys/kernel/security/lockdown", text, sizeof(text)))
		layer->verdict = strstr(text, "[none]") ? POSTURE_FAILS : POSTURE_HOLDS;
}

static void add_module_signatures(struct posture *posture)
{
	struct posture_layer *layer = posture_add(posture, "only_signed_modules",
		"boot with module.sig_enforce=1, and sign the module");
	char text[16];

	if (!posture_read(posture, layer, "/sys/module/module/parameters/sig_enforce", text,
			  sizeof(text)))
		layer->verdict = text[0] == 'Y' ? POSTURE_HOLDS : POSTURE_FAILS;
}

static void add_processor(struct posture *posture)
{
	static const char folder[] = "/sys/devices/system/cpu/vulnerabilities";
	struct posture_layer *layer = posture_add(posture, "processor_mitigations",
		"do not boot with mitigations=off, and install the processor's microcode");
	struct posture_layer one = { 0 };
	char path[PATH_MAX], text[256];
	struct dirent *entry;
	unsigned int count = 0;
	DIR *directory;

	snprintf(path, sizeof(path), "%s%s", posture->root, folder);
	snprintf(layer->source, sizeof(layer->source), "%s/*", folder);
	directory = opendir(path);
	if (!directory) {
		snprintf(layer->value, sizeof(layer->value), "cannot be read: %s", strerror(errno));
		return;
	}
	while ((entry = readdir(directory))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		if (posture_read(posture, &one, path, text, sizeof(text)))
			continue;
		count++;
		if (strncmp(text, "Vulnerable", 10))
			continue;
		if (layer->verdict != POSTURE_FAILS)
			snprintf(layer->value, sizeof(layer->value), "%.32s: %.160s", entry->d_name, text);
		layer->verdict = POSTURE_FAILS;
	}
	closedir(directory);
	if (layer->verdict != POSTURE_FAILS && count) {
		layer->verdict = POSTURE_HOLDS;
		snprintf(layer->value, sizeof(layer->value), "%u known, none open", count);
	}
}

/*
 * Is the block device @number ("253:0"), or what it lies on, encrypted by dm-crypt?
 * 1, 0, or -1 where it cannot be told. Fills in what was read, and adds to @crypts
 * (CRYPTS_MAX) the numbers of the dm-crypt devices.
 */
static int device_encrypted(const struct posture *posture, struct posture_layer *layer,
			    const char *number, char *crypts, unsigned int depth)
{
	size_t used = strlen(crypts);
	struct posture_layer probe = { 0 };
	char path[PATH_MAX], text[256];
	struct dirent *entry;
	int found = 0, one;
	DIR *directory;

	snprintf(path, sizeof(path), "/sys/dev/block/%.32s/dm/uuid", number);
	if (!posture_read(posture, &probe, path, text, sizeof(text))) {
		memcpy(layer->source, probe.source, sizeof(layer->source));
		snprintf(layer->value, sizeof(layer->value), "%s", text);
		if (!strncmp(text, "CRYPT-", 6)) {
			snprintf(crypts + used, CRYPTS_MAX - used, " %.32s", number);
			return 1;
		}
	}
	snprintf(path, sizeof(path), "%s/sys/dev/block/%.32s", posture->root, number);
	directory = opendir(path);
	if (!directory)
		return -1;
	closedir(directory);
	strcat(path, "/slaves");
	directory = depth < STACK_MAX ? opendir(path) : NULL;
	/* Of a device on several, every one has to be. */
	while (directory && (entry = readdir(directory))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/sys/class/block/%.64s/dev", entry->d_name);
		one = posture_read(posture, &probe, path, text, sizeof(text)) ?
			      -1 : device_encrypted(posture, layer, text, crypts, depth + 1);
		if (one <= 0) {
			found = one;
			break;
		}
		found = 1;
	}
	if (directory)
		closedir(directory);
	return found;
}

/* The cipher is in the device's table, which the command line reads: see kernel/dm.h. */
static void add_cipher(struct posture *posture, const char *name, const char *crypts)
{
	struct posture_layer *layer;

	if (!*crypts)
		return;
	layer = posture_add(posture, name, "encrypt anew with AES-256: cryptsetup reencrypt, "
			    "--cipher aes-xts-plain64 --key-size 512");
	snprintf(layer->source, sizeof(layer->source), POSTURE_TABLES "%s",
		 strlen(crypts) == CRYPTS_MAX - 1 ? " too many devices" : crypts);
	snprintf(layer->value, sizeof(layer->value), "only root of the host reads it, by hoody posture");
}

static void add_disk(struct posture *posture, const char *directory)
{
	struct posture_layer *layer = posture_add(posture, "disk_encryption",
		"keep containers and the agent's state on LUKS");
	char number[32], crypts[CRYPTS_MAX] = "";
	struct stat st;
	int encrypted;

	snprintf(layer->source, sizeof(layer->source), "device of %s", directory);
	if (stat(directory, &st)) {
		snprintf(layer->value, sizeof(layer->value), "cannot be read: %s", strerror(errno));
		return;
	}
	snprintf(number, sizeof(number), "%u:%u", major(st.st_dev), minor(st.st_dev));
	snprintf(layer->value, sizeof(layer->value), "%s, no block device of its own", number);
	encrypted = device_encrypted(posture, layer, number, crypts, 0);
	if (encrypted >= 0)
		layer->verdict = encrypted ? POSTURE_HOLDS : POSTURE_FAILS;
	if (!encrypted)
		snprintf(layer->value, sizeof(layer->value), "%s, and nothing below it is dm-crypt",
			 number);
	else if (encrypted > 0)
		add_cipher(posture, "disk_cipher", crypts);
}

/* One line of /proc/swaps. -1 where it cannot be told. */
static int swap_encrypted(const struct posture *posture, struct posture_layer *layer,
			  const char *line, char *crypts)
{
	struct posture_layer probe = { 0 };
	char name[128], type[32], path[PATH_MAX], number[32];

	if (sscanf(line, "%127s %31s", name, type) != 2)
		return -1;
	if (strstr(name, "/zram"))
		return 1;
	if (strcmp(type, "partition") || !strrchr(name, '/'))
		return -1;
	snprintf(path, sizeof(path), "/sys/class/block%s/dev", strrchr(name, '/'));
	if (posture_read(posture, &probe, path, number, sizeof(number)))
		return -1;
	return device_encrypted(posture, layer, number, crypts, 0);
}

static void add_swap(struct posture *posture)
{
	struct posture_layer *layer = posture_add(posture, "swap_encryption",
		"put swap on dm-crypt with a key of each boot (crypttab: swap), or use none");
	char text[2048], crypts[CRYPTS_MAX] = "", *line, *rest;
	bool any = false;

	if (posture_read(posture, layer, "/proc/swaps", text, sizeof(text)))
		return;
	layer->verdict = POSTURE_HOLDS;
	strtok_r(text, "\n", &rest);
	while ((line = strtok_r(NULL, "\n", &rest))) {
		int encrypted = swap_encrypted(posture, layer, line, crypts);

		any = true;
		if (encrypted > 0) {
			snprintf(layer->value, sizeof(layer->value), "%.*s is encrypted, or in memory",
				 (int)strcspn(line, " \t"), line);
			continue;
		}
		snprintf(layer->value, sizeof(layer->value), "%.*s %s", (int)strcspn(line, " \t"), line,
			 encrypted ? "is not told" : "is not encrypted");
		layer->verdict = encrypted ? POSTURE_UNKNOWN : POSTURE_FAILS;
		break;
	}
	if (!any)
		snprintf(layer->value, sizeof(layer->value), "no swap");
	else if (layer->verdict == POSTURE_HOLDS)
		add_cipher(posture, "swap_cipher", crypts);
}

void posture_host(struct posture *posture, const char *state_directory)
{
	add_lockdown(posture);
	add_module_signatures(posture);
	add_switches(posture);
	add_processor(posture);
	add_disk(posture, state_directory);
	add_swap(posture);
}
