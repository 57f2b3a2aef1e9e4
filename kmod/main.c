// SPDX-License-Identifier: GPL-2.0-only
/*
 * Module and namespace life cycle. A namespace costs a mutex and a pointer
 * until a command writes to it; then it gets a registry (container.c), which
 * stays until the namespace goes.
 *
 * Order at unload: the netlink family first (no new writers), the socket
 * option next (no new sockets; open ones hold the module, so none is left),
 * then every namespace: hooks out, a grace period, memory.
 */
#include <net/netns/generic.h>

#include "gate.h"
#include "ksm.h"

static unsigned int hoody_net_id __read_mostly;

struct hoody_net *hoody_main_net(const struct net *net)
{
	return net_generic(net, hoody_net_id);
}

struct hoody_registry *hoody_main_registry(const struct net *net)
{
	/* Set once and freed with the namespace: no read-side section is needed. */
	return rcu_dereference_protected(hoody_main_net(net)->registry, true);
}

static int __net_init hoody_net_init(struct net *net)
{
	mutex_init(&hoody_main_net(net)->lock);
	return 0;
}

/* Nobody is left in the namespace; a grace period follows before .exit. */
static void __net_exit hoody_net_pre_exit(struct net *net)
{
	struct hoody_registry *registry = hoody_main_registry(net);

	if (registry)
		hoody_deliver_net_unhook(registry);
}

static void __net_exit hoody_net_exit(struct net *net)
{
	struct hoody_registry *registry = hoody_main_registry(net);

	if (registry)
		hoody_container_registry_free(registry);
}

/*
 * Registered as operations of a device, not of a subsystem: the registry's
 * routes hold the loopback device, and a namespace that goes waits for that
 * device after the exits of devices and before those of subsystems.
 */
static struct pernet_operations hoody_net_ops = {
	.init		= hoody_net_init,
	.pre_exit	= hoody_net_pre_exit,
	.exit		= hoody_net_exit,
	.id		= &hoody_net_id,
	.size		= sizeof(struct hoody_net),
};

static int __init hoody_init(void)
{
	int err;

	err = hoody_ksm_init();
	if (err)
		return err;
	err = register_pernet_device(&hoody_net_ops);
	if (err)
		goto err_ksm;
	err = hoody_realip_init();
	if (err)
		goto err_pernet;
	err = hoody_netlink_init();
	if (err)
		goto err_realip;
	return 0;

err_realip:
	hoody_realip_exit();
err_pernet:
	unregister_pernet_device(&hoody_net_ops);
err_ksm:
	hoody_ksm_exit();
	return err;
}

static void __exit hoody_exit(void)
{
	hoody_netlink_exit();
	hoody_realip_exit();
	unregister_pernet_device(&hoody_net_ops);
	hoody_gate_exit();
	hoody_ksm_exit();
	/* Objects whose freeing was left to RCU, and callers still returning. */
	rcu_barrier();
}

module_init(hoody_init);
module_exit(hoody_exit);
MODULE_LICENSE("GPL");
MODULE_AUTHOR("The hoody authors");
MODULE_DESCRIPTION("Host-side network and isolation layer for containers");
MODULE_VERSION(HOODY_VERSION);
