// SPDX-License-Identifier: Apache-2.0
/*
 * Answers and events of the kernel's family "hoody". libnl reads from the input, cut
 * into datagrams, instead of from a socket; the first byte chooses what was asked.
 * libnl is not built for sanitizers, so what it reads out of an attribute is checked
 * here: never more than the attribute has.
 */
#include "fuzz.h"
#include "kernel/genl_internal.h"
#include "kernel/genl_ksm.h"

#include <netlink/attr.h>
#include <netlink/errno.h>

#define FAMILY	0x1c

int __wrap_nl_send_auto(struct nl_sock *socket, struct nl_msg *message);
int __wrap_genl_connect(struct nl_sock *socket);
int __real_nl_recvmsgs(struct nl_sock *socket, struct nl_cb *callbacks);
int __wrap_nl_recvmsgs(struct nl_sock *socket, struct nl_cb *callbacks);
int __wrap_nl_recvmsgs_default(struct nl_sock *socket);
uint32_t __real_nla_get_u32(const struct nlattr *attr);
uint32_t __wrap_nla_get_u32(const struct nlattr *attr);

static struct fuzz_input waiting;

int __wrap_nl_send_auto(struct nl_sock *socket, struct nl_msg *message)
{
	nl_complete_msg(socket, message);
	return 1;
}

int __wrap_genl_connect(struct nl_sock *socket)
{
	return 0;
}

uint32_t __wrap_nla_get_u32(const struct nlattr *attr)
{
	fuzz_need(nla_len(attr) >= 4, "32 bits are in the attribute");
	return __real_nla_get_u32(attr);
}

static int receive(struct nl_sock *socket, struct sockaddr_nl *from, unsigned char **out,
		   struct ucred **credentials)
{
	struct fuzz_input part;

	if (!waiting.len)
		return -NLE_AGAIN;
	part = fuzz_part(&waiting);
	if (!part.len)
		return -NLE_AGAIN;
	memset(from, 0, sizeof(*from));
	from->nl_family = AF_NETLINK;
	*out = (unsigned char *)fuzz_copy(part, false);
	return (int)part.len;
}

static int any_sequence(struct nl_msg *message, void *arg)
{
	return NL_OK;
}

int __wrap_nl_recvmsgs(struct nl_sock *socket, struct nl_cb *callbacks)
{
	nl_cb_overwrite_recv(callbacks, receive);
	nl_cb_set(callbacks, NL_CB_SEQ_CHECK, NL_CB_CUSTOM, any_sequence, NULL);
	return __real_nl_recvmsgs(socket, callbacks);
}

int __wrap_nl_recvmsgs_default(struct nl_sock *socket)
{
	struct nl_cb *callbacks = nl_socket_get_cb(socket);
	int ret = __wrap_nl_recvmsgs(socket, callbacks);

	nl_cb_put(callbacks);
	return ret;
}

static size_t seen;

static void on_container(void *context, const struct knl_container *container)
{
	fuzz_need(container->addresses_count <= KNL_ADDRESSES_MAX, "addresses");
	seen += strlen(container->profile);
}

static void on_restart(void *context)
{
}

static void on_stat(void *context, const char *name, uint64_t value)
{
	seen += strlen(name);
}

static void on_profile(void *context, const char *name, uint32_t users)
{
	seen += strlen(name);
}

static void on_count(void *context, uint32_t arch, uint32_t nr, uint64_t count)
{
	seen += arch;
}

static void on_ksm(void *context, const struct knl_ksm *ksm)
{
	seen += ksm->count[0];
}

static void on_denial(void *context, const struct knl_denial *denial)
{
	seen += strlen(denial->comm);
}

static void ask(struct knl *knl, uint8_t what)
{
	static const uint8_t id[ID_LEN];
	struct knl_container container;
	struct hoody_table table = { .size = sizeof(table) };

	switch (what % 9) {
	case 0: knl_info_get(knl); break;
	case 1: knl_container_get(knl, id, &container); break;
	case 2: knl_dump(knl, on_restart, on_container, NULL); break;
	case 3: knl_stats(knl, on_stat, NULL); break;
	case 4: knl_profile_set(knl, "web", 1, &table); break;
	case 5: knl_profile_dump(knl, on_profile, NULL); break;
	case 6: knl_gate_counts(knl, id, on_count, NULL); break;
	case 7: knl_ksm_dump(knl, on_ksm, NULL); break;
	case 8: knl_denials(knl, on_denial, NULL); break;
	}
	fuzz_need(memchr(knl->fault, '\0', sizeof(knl->fault)) != NULL, "a fault ends");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct knl knl = { .family = FAMILY, .state = KNL_READY };
	struct fuzz_input input = { data, size };
	const uint8_t what = fuzz_byte(&input);

	knl.socket = nl_socket_alloc();
	knl.events = nl_socket_alloc();
	fuzz_need(knl.socket && knl.events, "memory");
	waiting = input;
	ask(&knl, what);
	nl_socket_free(knl.socket);
	nl_socket_free(knl.events);
	return 0;
}
