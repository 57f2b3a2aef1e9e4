// SPDX-License-Identifier: GPL-2.0-only
/*
 * The registry: containers by id, by address and by cgroup.
 *
 * A write is checked and prepared completely before anything is visible, and
 * from then on cannot fail. Its steps are ordered so that a reader sees the
 * old or the new policy: claims of new keys go in, the policy pointer is
 * swapped, claims of keys that are gone go out. A reader that arrives through
 * a claim asks the policy whether it still has that key.
 *
 * Every function that writes wants hoody_net.lock held; readers are under RCU.
 */
#include <linux/cgroup.h>
#include <linux/slab.h>

#include "gate.h"
#include "ksm.h"

static unsigned int max_containers __read_mostly = 65536;
module_param(max_containers, uint, 0444);
MODULE_PARM_DESC(max_containers, "containers that one network namespace may register");

static const struct rhashtable_params by_id_params = {
	.key_len		= HOODY_ID_LEN,
	.key_offset		= offsetof(struct hoody_container, id),
	.head_offset		= offsetof(struct hoody_container, by_id),
	.automatic_shrinking	= true,
};

static const struct rhashtable_params by_addr_params = {
	.key_len		= sizeof(struct hoody_addr),
	.key_offset		= offsetof(struct hoody_claim, addr),
	.head_offset		= offsetof(struct hoody_claim, node),
	.automatic_shrinking	= true,
};

static const struct rhashtable_params by_cgroup_params = {
	.key_len		= sizeof(u64),
	.key_offset		= offsetof(struct hoody_claim, cgroup),
	.head_offset		= offsetof(struct hoody_claim, node),
	.automatic_shrinking	= true,
};

static void assert_writer(const struct hoody_registry *registry)
{
	lockdep_assert_held(&hoody_main_net(registry->net)->lock);
}

bool hoody_policy_has_addr(const struct hoody_policy *policy, const struct hoody_addr *addr)
{
	for (unsigned int i = 0; i < policy->addrs_count; i++)
		if (!memcmp(&policy->addrs[i], addr, sizeof(*addr)))
			return true;
	return false;
}

/*
 * Under RCU or hoody_net.lock. NULL where there is none. The lock alone keeps the
 * container; the table's buckets are replaced by a worker of the table's own, and
 * freed after a grace period, which is why the look-up is one of RCU in any case.
 */
struct hoody_container *hoody_container_find(struct hoody_registry *registry, const u8 *id)
{
	return rhashtable_lookup_fast(&registry->by_id, id, by_id_params);
}

/* Under RCU: the policy of the container that has @addr, or NULL. */
struct hoody_policy *hoody_container_find_addr(struct hoody_registry *registry,
					       const struct hoody_addr *addr)
{
	struct hoody_policy *policy;
	struct hoody_claim *claim;

	claim = rhashtable_lookup(&registry->by_addr, addr, by_addr_params);
	if (!claim)
		return NULL;
	policy = rcu_dereference(claim->container->policy);
	return hoody_policy_has_addr(policy, addr) ? policy : NULL;
}

/* A container that is being registered has this one until all of it is in place. */
static struct hoody_policy no_policy;

/*
 * struct change - the claims that a write has put in, so that they can be taken
 * out again when a later step fails.
 */
struct change {
	struct hoody_container	*container;
	struct hoody_claim	*claims[2 * HOODY_MAX_ADDRS + 1];
	unsigned int		claims_count;
};

static struct hoody_claim *claim_find(struct hoody_registry *registry,
				      const struct hoody_addr *addr, u64 cgroup)
{
	if (addr)
		return rhashtable_lookup_fast(&registry->by_addr, addr, by_addr_params);
	return rhashtable_lookup_fast(&registry->by_cgroup, &cgroup, by_cgroup_params);
}

static void claim_remove(struct hoody_registry *registry, struct hoody_claim *claim)
{
	if (claim->addr.family)
		rhashtable_remove_fast(&registry->by_addr, &claim->node, by_addr_params);
	else
		rhashtable_remove_fast(&registry->by_cgroup, &claim->node, by_cgroup_params);
	kfree_rcu(claim, rcu);
}

/* Puts in a claim of @addr or, where that is NULL, of @cgroup. -EEXIST: another's. */
static int claim_add(struct hoody_registry *registry, struct change *change,
		     const struct hoody_addr *addr, u64 cgroup)
{
	struct hoody_claim *claim = claim_find(registry, addr, cgroup);
	int err;

	if (claim)
		return claim->container == change->container ? 0 : -EEXIST;
	claim = kzalloc(sizeof(*claim), GFP_KERNEL_ACCOUNT);
	if (!claim)
		return -ENOMEM;
	claim->container = change->container;
	if (addr) {
		claim->addr = *addr;
		err = rhashtable_insert_fast(&registry->by_addr, &claim->node, by_addr_params);
	} else {
		claim->cgroup = cgroup;
		err = rhashtable_insert_fast(&registry->by_cgroup, &claim->node, by_cgroup_params);
	}
	if (err) {
		kfree(claim);
		return err;
	}
	change->claims[change->claims_count++] = claim;
	return 0;
}

static void change_undo(struct hoody_registry *registry, struct change *change)
{
	while (change->claims_count)
		claim_remove(registry, change->claims[--change->claims_count]);
}

/* Puts in what @policy claims and its container does not have yet. */
static int change_claim(struct hoody_registry *registry, struct change *change,
			const struct hoody_policy *policy, struct netlink_ext_ack *extack,
			struct hoody_addr *conflict)
{
	int err;

	for (unsigned int i = 0; i < policy->addrs_count; i++) {
		err = claim_add(registry, change, &policy->addrs[i], 0);
		if (err == -EEXIST) {
			*conflict = policy->addrs[i];
			NL_SET_ERR_MSG(extack, "address belongs to another container");
			err = -EADDRINUSE;
		}
		if (err)
			goto err_undo;
	}
	if (policy->cgroup) {
		err = claim_add(registry, change, NULL, policy->cgroup);
		if (err == -EEXIST) {
			NL_SET_ERR_MSG(extack, "cgroup belongs to another container");
			err = -EBUSY;
		}
		if (err)
			goto err_undo;
	}
	return 0;

err_undo:
	change_undo(registry, change);
	return err;
}

/* Takes out what @before claimed and @after (NULL: nothing) does not. */
static void claims_drop(struct hoody_registry *registry, const struct hoody_policy *before,
			const struct hoody_policy *after)
{
	for (unsigned int i = 0; i < before->addrs_count; i++) {
		if (after && hoody_policy_has_addr(after, &before->addrs[i]))
			continue;
		claim_remove(registry, claim_find(registry, &before->addrs[i], 0));
	}
	if (before->cgroup && !(after && after->cgroup == before->cgroup))
		claim_remove(registry, claim_find(registry, NULL, before->cgroup));
}

static struct hoody_policy *policy_of(struct hoody_registry *registry,
				      struct hoody_container *container)
{
	return rcu_dereference_protected(container->policy,
					 lockdep_is_held(&hoody_main_net(registry->net)->lock));
}

static int container_add(struct hoody_registry *registry, const u8 *id,
			 struct hoody_policy *policy, struct netlink_ext_ack *extack,
			 struct hoody_addr *conflict)
{
	struct change change = {};
	int err;

	if (registry->containers >= max_containers) {
		NL_SET_ERR_MSG(extack, "registry is full: see the module's max_containers");
		return -ENOSPC;
	}
	change.container = kzalloc(sizeof(*change.container), GFP_KERNEL_ACCOUNT);
	if (!change.container)
		return -ENOMEM;
	memcpy(change.container->id, id, HOODY_ID_LEN);
	RCU_INIT_POINTER(change.container->policy, &no_policy);
	/* Cyclic, so that a dump under way meets newcomers last or not at all. */
	err = xa_alloc_cyclic(&registry->slots, &change.container->slot, change.container,
			      xa_limit_31b, &registry->slot_next, GFP_KERNEL_ACCOUNT);
	if (err < 0)
		goto err_free;
	err = change_claim(registry, &change, policy, extack, conflict);
	if (err)
		goto err_slot;
	err = rhashtable_insert_fast(&registry->by_id, &change.container->by_id, by_id_params);
	if (err)
		goto err_claims;
	rcu_assign_pointer(change.container->policy, policy);
	hoody_gate_switch(NULL, policy->gate);
	registry->containers++;
	registry->changes++;
	return 0;

err_claims:
	change_undo(registry, &change);
err_slot:
	xa_erase(&registry->slots, change.container->slot);
err_free:
	/* A reader may have come by one of the claims. */
	kfree_rcu(change.container, rcu);
	return err;
}

/*
 * hoody_container_set() - register @id with @policy, or replace its policy.
 * On 0 @policy belongs to the registry, on an error it stays the caller's.
 * Where an address is another container's, @conflict says which.
 */
int hoody_container_set(struct hoody_registry *registry, const u8 *id, struct hoody_policy *policy,
			enum hoody_set_mode mode, struct netlink_ext_ack *extack,
			struct hoody_addr *conflict)
{
	struct change change = {};
	struct hoody_policy *before;
	int err;

	assert_writer(registry);
	change.container = rhashtable_lookup_fast(&registry->by_id, id, by_id_params);
	if (!change.container) {
		if (mode == HOODY_SET_REPLACE) {
			NL_SET_ERR_MSG(extack, "no such container to replace");
			return -ENOENT;
		}
		return container_add(registry, id, policy, extack, conflict);
	}
	if (mode == HOODY_SET_CREATE) {
		NL_SET_ERR_MSG(extack, "container is registered already");
		return -EEXIST;
	}
	before = policy_of(registry, change.container);
	if (policy->generation < before->generation) {
		NL_SET_ERR_MSG(extack, "a newer generation is registered");
		return -ESTALE;
	}
	err = change_claim(registry, &change, policy, extack, conflict);
	if (err)
		return err;
	rcu_assign_pointer(change.container->policy, policy);
	hoody_gate_switch(before->gate, policy->gate);
	if (before->cgroup != policy->cgroup)
		hoody_ksm_orphan(registry, id);
	registry->changes++;
	claims_drop(registry, before, policy);
	kfree_rcu(before, rcu);
	return 0;
}

static void container_remove(struct hoody_registry *registry, struct hoody_container *container,
			     struct hoody_policy *policy)
{
	claims_drop(registry, policy, NULL);
	rhashtable_remove_fast(&registry->by_id, &container->by_id, by_id_params);
	xa_erase(&registry->slots, container->slot);
	hoody_gate_switch(policy->gate, NULL);
	hoody_ksm_orphan(registry, container->id);
	registry->containers--;
	registry->changes++;
	kfree_rcu(policy, rcu);
	kfree_rcu(container, rcu);
}

/*
 * hoody_container_delete() - forget @id. With a @generation other than 0 only
 * where the registered one is not newer. @gone gets a copy of the policy.
 */
int hoody_container_delete(struct hoody_registry *registry, const u8 *id, u64 generation,
			   struct hoody_policy *gone, struct netlink_ext_ack *extack)
{
	struct hoody_container *container;
	struct hoody_policy *policy;

	assert_writer(registry);
	container = rhashtable_lookup_fast(&registry->by_id, id, by_id_params);
	if (!container) {
		NL_SET_ERR_MSG(extack, "no such container");
		return -ENOENT;
	}
	policy = policy_of(registry, container);
	if (generation && generation < policy->generation) {
		NL_SET_ERR_MSG(extack, "a newer generation is registered");
		return -ESTALE;
	}
	*gone = *policy;
	container_remove(registry, container, policy);
	return 0;
}

u32 hoody_container_max(void)
{
	return max_containers;
}

/* Makes the empty registry of @net. NULL: no memory. */
struct hoody_registry *hoody_container_registry_create(struct net *net)
{
	struct hoody_registry *registry = kzalloc(sizeof(*registry), GFP_KERNEL_ACCOUNT);

	if (!registry)
		return NULL;
	registry->net = net;
	INIT_LIST_HEAD(&registry->profiles);
	xa_init_flags(&registry->slots, XA_FLAGS_ALLOC);
	registry->stats = alloc_percpu_gfp(struct hoody_stats, GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!registry->stats)
		goto err_free;
	if (rhashtable_init(&registry->by_id, &by_id_params))
		goto err_stats;
	if (rhashtable_init(&registry->by_addr, &by_addr_params))
		goto err_by_id;
	if (rhashtable_init(&registry->by_cgroup, &by_cgroup_params))
		goto err_by_addr;
	if (hoody_deliver_net_init(registry))
		goto err_by_cgroup;
	return registry;

err_by_cgroup:
	rhashtable_destroy(&registry->by_cgroup);
err_by_addr:
	rhashtable_destroy(&registry->by_addr);
err_by_id:
	rhashtable_destroy(&registry->by_id);
err_stats:
	free_percpu(registry->stats);
err_free:
	kfree(registry);
	return NULL;
}

/*
 * The namespace has gone: its hooks are out, a grace period has passed and no
 * command can reach it, so nothing here needs the lock.
 */
void hoody_container_registry_free(struct hoody_registry *registry)
{
	struct hoody_container *container;
	struct hoody_agent *agent;
	unsigned long slot;

	hoody_deliver_net_exit(registry);
	xa_for_each(&registry->slots, slot, container)
		container_remove(registry, container,
				 rcu_dereference_protected(container->policy, true));
	hoody_gate_registry_exit(registry);
	xa_destroy(&registry->slots);
	rhashtable_destroy(&registry->by_cgroup);
	rhashtable_destroy(&registry->by_addr);
	rhashtable_destroy(&registry->by_id);
	agent = rcu_dereference_protected(registry->agent, true);
	if (agent) {
		cgroup_put(agent->cgroup);
		kfree(agent);
	}
	free_percpu(registry->stats);
	kfree(registry);
}
