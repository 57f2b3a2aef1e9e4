// SPDX-License-Identifier: Apache-2.0
/* Posture over a tree of made-up files: each layer in both states, and unknown without one. */
#include "tap.h"
#include "control/posture.h"
#include "kernel/dm.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[] = "/tmp/hoody-posture.XXXXXX";
static struct posture posture;

/* Writes @text to @path below the root; its folders are made. */
static void put(const char *path, const char *text)
{
	char full[512];
	FILE *file;

	snprintf(full, sizeof(full), "%s%s", root, path);
	for (char *at = strchr(full + strlen(root) + 1, '/'); at; at = strchr(at + 1, '/')) {
		*at = '\0';
		mkdir(full, 0755);
		*at = '/';
	}
	file = fopen(full, "we");
	if (!file || fputs(text, file) < 0 || fclose(file))
		exit(1);
}

static const struct posture_layer *layer(const char *name)
{
	static const struct posture_layer none = { .name = "none", .verdict = 99 };

	for (size_t i = 0; i < posture.count; i++)
		if (!strcmp(posture.layers[i].name, name))
			return &posture.layers[i];
	return &none;
}

static void is(const char *name, enum posture_verdict verdict, const char *value)
{
	const struct posture_layer *got = layer(name);

	tap_ok(got->verdict == verdict && strstr(got->value, value), "%s_%s: %s", name,
	       posture_verdicts[verdict], got->value);
}

static void process(const char *status, const char *uid_map, const char *label)
{
	put("/proc/7/status", status);
	put("/proc/7/uid_map", uid_map);
	put("/proc/7/attr/current", label);
	put("/proc/7/ksm_stat", strstr(label, "unconfined") ? "ksm_merge_any: yes\n" : "ksm_merge_any: no\n");
	put("/proc/7/net/dev", "x\n");
	put("/proc/7/mountinfo", strstr(label, "unconfined") ? "20 1 0:1 / /\n" : "300 299 0:1 / /\n");
	posture = (struct posture){ .root = root };
	posture_process(&posture, 7);
}

/* The host's network namespace is process 1's, and 7's where @same. */
static void host_network(bool same)
{
	char from[64], to[64];

	snprintf(from, sizeof(from), "%s/proc/7/net/dev", root);
	snprintf(to, sizeof(to), "%s/proc/1/net/dev", root);
	put("/proc/1/net/dev", "x\n");
	put("/proc/1/mountinfo", "20 1 0:1 / /\n");
	if (same && (unlink(from) || link(to, from)))
		exit(1);
}

static void test_process(void)
{
	process("NSpid:\t7\n", "0 0 1\n", "x\n");
	is("network_namespace", POSTURE_UNKNOWN, "cannot be read");
	is("mount_namespace", POSTURE_UNKNOWN, "cannot be read");
	host_network(false);
	process("Name:\tx\nNSpid:\t7\t1\nCapBnd:\t000001ffffffffff\nNoNewPrivs:\t1\nSeccomp:\t2\n"
		"Seccomp_filters:\t3\n", "         0     100000      65536\n", "lxc-container-default (enforce)\n");
	is("user_namespace", POSTURE_HOLDS, "id 0 is 100000 of the host");
	is("pid_namespace", POSTURE_HOLDS, "7 1");
	is("network_namespace", POSTURE_HOLDS, "the host's is");
	is("mount_namespace", POSTURE_HOLDS, "root mount 300, the host's is 20");
	is("capabilities", POSTURE_HOLDS, "in a user namespace only");
	is("seccomp_floor", POSTURE_HOLDS, "3 filters");
	is("no_new_privileges", POSTURE_HOLDS, "1");
	is("mandatory_access_control", POSTURE_HOLDS, "lxc-container-default");
	is("memory_not_merged", POSTURE_HOLDS, "no");
	tap_ok(!strcmp(layer("seccomp_floor")->source, "/proc/7/status Seccomp"), "evidence_names_the_field");

	host_network(true);
	process("Name:\tx\nNSpid:\t7\nCapBnd:\t0000000000210000\nNoNewPrivs:\t0\nSeccomp:\t0\n",
		"         0          0 4294967295\n", "unconfined\n");
	is("user_namespace", POSTURE_FAILS, "id 0 is 0 of the host");
	is("pid_namespace", POSTURE_FAILS, "7");
	is("network_namespace", POSTURE_FAILS, "file");
	is("mount_namespace", POSTURE_FAILS, "root mount 20");
	is("capabilities", POSTURE_FAILS, "with sys_module, sys_admin");
	is("seccomp_floor", POSTURE_FAILS, "0, 0 filters");
	is("no_new_privileges", POSTURE_FAILS, "0");
	is("mandatory_access_control", POSTURE_FAILS, "unconfined");
	is("memory_not_merged", POSTURE_FAILS, "yes");

	process("Name:\tx\nNSpid:\t7\t1\nCapBnd:\t0000000000000400\n", "0 0 1\n", "x\n");
	is("capabilities", POSTURE_HOLDS, "400");
	is("seccomp_floor", POSTURE_UNKNOWN, "no such field");
	posture = (struct posture){ .root = root };
	posture_process(&posture, 8);
	is("process", POSTURE_UNKNOWN, "cannot be read");
}

static void test_cgroup(void)
{
	put("/cg/web/memory.max", "1048576\n");
	put("/cg/web/pids.max", "max\n");
	put("/cg/web/cgroup.procs", "");
	put("/cg/web/init.scope/cgroup.procs", "6\n7\n");
	put("/proc/6/status", "NSpid:\t6\t4\n");
	put("/proc/7/status", "NSpid:\t7\t1\n");
	posture = (struct posture){ .root = root };
	posture_cgroup(&posture, "/cg/web");
	is("memory_limit", POSTURE_HOLDS, "1048576");
	is("process_limit", POSTURE_FAILS, "max");
	tap_ok(posture_find_init(&posture, "/cg/web") == 7, "init_is_found_below");
	tap_ok(posture_find_init(&posture, "/cg/none") == 0, "no_cgroup_no_init");
	posture = (struct posture){ .root = root };
	posture_cgroup(&posture, "/cg/none");
	is("memory_limit", POSTURE_UNKNOWN, "cannot be read");
}

static void host(void)
{
	posture = (struct posture){ .root = root };
	posture_host(&posture, root);
}

static void test_host(void)
{
	char number[64], path[128];
	struct stat st;

	host();
	is("kernel_lockdown", POSTURE_UNKNOWN, "cannot be read");
	is("kexec_off", POSTURE_UNKNOWN, "cannot be read");
	is("disk_encryption", POSTURE_UNKNOWN, "no block device");
	put("/sys/kernel/security/lockdown", "none [integrity] confidentiality\n");
	put("/sys/module/module/parameters/sig_enforce", "Y\n");
	put("/proc/sys/kernel/kexec_load_disabled", "1\n");
	put("/sys/devices/system/cpu/vulnerabilities/meltdown", "Mitigation: PTI\n");
	put("/proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n");
	stat(root, &st);
	snprintf(number, sizeof(number), "%u:%u", (unsigned int)(st.st_dev >> 8 & 0xfff),
		 (unsigned int)((st.st_dev & 0xff) | (st.st_dev >> 12 & 0xfff00)));
	snprintf(path, sizeof(path), "/sys/dev/block/%s/slaves/dm-1/x", number);
	put(path, "");
	put("/sys/class/block/dm-1/dev", "253:1\n");
	put("/sys/dev/block/253:1/dm/uuid", "CRYPT-LUKS2-aaaa-root\n");
	host();
	is("kernel_lockdown", POSTURE_HOLDS, "[integrity]");
	is("only_signed_modules", POSTURE_HOLDS, "Y");
	is("kexec_off", POSTURE_HOLDS, "1");
	is("processor_mitigations", POSTURE_HOLDS, "1 known");
	is("swap_encryption", POSTURE_HOLDS, "no swap");
	is("disk_encryption", POSTURE_HOLDS, "CRYPT-LUKS2");
	is("disk_cipher", POSTURE_UNKNOWN, "only root");
	tap_ok(!strcmp(layer("disk_cipher")->source, POSTURE_TABLES " 253:1") &&
	       layer("swap_cipher")->verdict == 99, "cipher_layers_name_their_devices");
	put("/proc/swaps", "Filename\tType\n/dev/dm-1 partition 1 0 -2\n");
	host();
	is("swap_encryption", POSTURE_HOLDS, "/dev/dm-1 is encrypted");
	is("swap_cipher", POSTURE_UNKNOWN, "only root");

	put("/sys/kernel/security/lockdown", "[none] integrity confidentiality\n");
	put("/sys/module/module/parameters/sig_enforce", "N\n");
	put("/proc/sys/kernel/kexec_load_disabled", "0\n");
	put("/sys/devices/system/cpu/vulnerabilities/spectre_v2", "Vulnerable: eIBRS\n");
	put("/sys/dev/block/253:1/dm/uuid", "LVM-aaaa\n");
	put("/proc/swaps", "Filename\tType\n/dev/sda2 partition 1 0 -2\n");
	put("/sys/class/block/sda2/dev", "8:2\n");
	put("/sys/dev/block/8:2/size", "1\n");
	host();
	is("kernel_lockdown", POSTURE_FAILS, "[none]");
	is("only_signed_modules", POSTURE_FAILS, "N");
	is("kexec_off", POSTURE_FAILS, "0");
	is("processor_mitigations", POSTURE_FAILS, "spectre_v2");
	is("disk_encryption", POSTURE_FAILS, "nothing below it");
	is("swap_encryption", POSTURE_FAILS, "/dev/sda2 is not encrypted");
	put("/proc/swaps", "Filename\tType\n/swap file 1 0 -2\n");
	host();
	is("swap_encryption", POSTURE_UNKNOWN, "is not told");
	put("/proc/swaps", "Filename\tType\n/dev/zram0 partition 1 0 -2\n");
	host();
	is("swap_encryption", POSTURE_HOLDS, "");
}

static void test_cipher(void)
{
	static const struct {
		const char	*parameters;
		unsigned int	bits;
		const char	*text;
	} tables[] = {
		{ "aes-xts-plain64 :64:logon:cryptsetup:aaaa-d0 0 8:3 32768", 256, "aes-xts-plain64, AES-256" },
		{ "aes-xts-plain64 :32:logon:cryptsetup:aaaa-d0 0 8:3 32768", 128, "aes-xts-plain64, AES-128" },
		{ "aes-cbc-essiv:sha256 " "0123456789abcdef0123456789abcdef0123456789abcdef0123456789ABCDEF"
		  " 0 8:3 0", 256, "AES-256" },
		{ "capi:xts(aes)-plain64 :64:user:x 0 8:3 0 1 allow_discards", 256, "AES-256" },
		{ "serpent-xts-plain64 :64:logon:x 0 8:3 0", 0, "not AES-256" },
		{ "capi:authenc(hmac(sha256),xts(aes))-random :96:logon:x 0 8:3 0", 0, "not AES-256" },
		{ "aes:64-cbc-lmk :64:logon:x 0 8:3 0", 0, "not AES-256" },
		{ "aes-xts-plain64 - 0 8:3 0", 0, "not AES-256" },
		{ "aes-xts-plain64 :64 0 8:3 0", 0, "not AES-256" },
	};
	static const char *const none[] = { "", " ", "aes-xts-plain64", "aes-xts-plain64 ", "a b" };
	struct knl_dm_cipher cipher;

	for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++) {
		int ret = knl_dm_parse(tables[i].parameters, &cipher);

		tap_ok(!ret && cipher.aes_bits == tables[i].bits && strstr(cipher.text, tables[i].text) &&
		       !strstr(cipher.text, "0123"), "cipher_%zu_is_told: %s", i, cipher.text);
	}
	for (size_t i = 0; i < sizeof(none) / sizeof(*none); i++)
		tap_ok(knl_dm_parse(none[i], &cipher) == -EINVAL, "cipher_table_%zu_is_none", i);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

int main(void)
{
	if (!mkdtemp(root))
		return 1;
	tap_plan(24 + 5 + 3 + 10 + 6 + 2 + 9 + 5);
	test_process();
	test_cgroup();
	test_host();
	test_cipher();
	nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return tap_done();
}
