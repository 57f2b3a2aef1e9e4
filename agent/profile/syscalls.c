// SPDX-License-Identifier: Apache-2.0
/*
 * Names of system calls, through libseccomp. On ia32 the socket and System V
 * IPC calls can be made in two ways, by a number of their own or through
 * socketcall(2) and ipc(2): libseccomp gives them pseudo numbers whose last two
 * digits are the multiplexer's first argument, and a rule has to cover both.
 */
#include "profile/profile_internal.h"

#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>

/* Numbers of their own, from arch/x86/entry/syscalls/syscall_32.tbl; 0: none. */
static const uint16_t socket_numbers[] = {
	0, 359, 361, 362, 363, 0, 367, 368, 360, 0, 0, 369, 371, 373, 366, 365, 370, 372, 364,
	337, 345,
};

static const uint16_t ipc_numbers[] = {
	[2] = 393, [3] = 394, [11] = 400, [12] = 401, [13] = 399, [14] = 402,
	[21] = 397, [22] = 398, [23] = 395, [24] = 396,
};

#define COUNT(array)	((int)(sizeof(array) / sizeof(*(array))))

static void ia32_target(int nr, struct syscall_target *target)
{
	if (nr >= 0 && nr < HOODY_TABLE_CALLS) {
		target->nr = nr;
		for (int i = 1; i < COUNT(socket_numbers); i++) {
			if (socket_numbers[i] == nr) {
				target->mux_nr = IA32_NR_SOCKETCALL;
				target->mux_call = i;
			}
		}
		for (int i = 1; i < COUNT(ipc_numbers); i++) {
			if (ipc_numbers[i] == nr) {
				target->mux_nr = IA32_NR_IPC;
				target->mux_call = i;
			}
		}
	} else if (nr <= -101 && nr > -100 - COUNT(socket_numbers)) {
		target->mux_nr = IA32_NR_SOCKETCALL;
		target->mux_call = -nr - 100;
		target->nr = socket_numbers[target->mux_call] ?: -1;
	} else if (nr <= -201 && nr > -200 - COUNT(ipc_numbers)) {
		target->mux_nr = IA32_NR_IPC;
		target->mux_call = -nr - 200;
		target->nr = ipc_numbers[target->mux_call] ?: -1;
	}
}

void profile_call_name(enum hoody_arch arch, unsigned int nr, char *name, size_t size)
{
	char *known = seccomp_syscall_resolve_num_arch(
		arch == HOODY_ARCH_IA32 ? SCMP_ARCH_X86 : SCMP_ARCH_X86_64, (int)nr);

	if (known)
		snprintf(name, size, "%s", known);
	else
		snprintf(name, size, "#%u", nr);
	free(known);
}

bool syscalls_resolve(const char *name, struct syscall_target targets[HOODY_ARCHS])
{
	int nr = seccomp_syscall_resolve_name_arch(SCMP_ARCH_X86_64, name);
	int nr32 = seccomp_syscall_resolve_name_arch(SCMP_ARCH_X86, name);

	for (unsigned int arch = 0; arch < HOODY_ARCHS; arch++)
		targets[arch] = (struct syscall_target){ .nr = -1, .mux_nr = -1 };
	if (nr >= 0 && nr < HOODY_TABLE_CALLS)
		targets[HOODY_ARCH_X86_64].nr = nr;
	if (nr32 != __NR_SCMP_ERROR)
		ia32_target(nr32, &targets[HOODY_ARCH_IA32]);
	return nr != __NR_SCMP_ERROR || nr32 != __NR_SCMP_ERROR;
}
