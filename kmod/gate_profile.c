// SPDX-License-Identifier: GPL-2.0-only
/*
 * Profiles by name, and what is in them: a table is checked completely when it
 * comes in, so that deciding a call needs no check of its own.
 *
 * Every function that writes wants hoody_net.lock held; gate_lock is taken
 * inside it. Fail direction: a table with anything unknown in it is refused;
 * a replacement whose hooks cannot be placed changes nothing.
 */
#include <linux/log2.h>
#include <linux/slab.h>

#include "gate.h"

/* Conditions of a call up to which it is tried to need fewer. */
#define MERGE_CONDS	64

static unsigned int max_profiles __read_mostly = 4096;
module_param(max_profiles, uint, 0444);
MODULE_PARM_DESC(max_profiles, "syscall profiles that one network namespace may load");

static int action_valid(const struct hoody_table *head, u8 action)
{
	return action < head->actions;
}

static const char *head_fault(const struct hoody_table *head, size_t size)
{
	size_t wanted = sizeof(*head);

	if (head->magic != HOODY_TABLE_MAGIC)
		return "table: bad magic";
	if (head->version != HOODY_TABLE_VERSION)
		return "table: version not known to this module";
	if (!head->actions || head->actions > HOODY_TABLE_ACTIONS)
		return "table: number of actions";
	if (head->conds > HOODY_TABLE_CONDS)
		return "table: too many conditions";
	if (head->rules > HOODY_TABLE_RULES)
		return "table: too many rules";
	for (unsigned int arch = 0; arch < HOODY_ARCHS; arch++) {
		if (head->checks[arch] > HOODY_TABLE_CHECKS)
			return "table: too many checked calls";
		if (!action_valid(head, head->beyond[arch]))
			return "table: no such action for numbers past the table";
		wanted += head->checks[arch] * sizeof(struct hoody_table_check);
	}
	if (memchr_inv(head->pad, 0, sizeof(head->pad)))
		return "table: padding is not zero";
	wanted += head->conds * sizeof(struct hoody_table_cond) +
		  head->rules * sizeof(struct hoody_table_rule);
	if (head->size != size || wanted != size)
		return "table: size does not agree with its parts";
	return NULL;
}

static const char *actions_fault(const struct hoody_table *head)
{
	if (head->action[0].kind != HOODY_ACTION_ALLOW)
		return "table: action 0 is not 'allow'";
	for (unsigned int i = 0; i < HOODY_TABLE_ACTIONS; i++) {
		const struct hoody_table_action *action = &head->action[i];

		if (action->kind > HOODY_ACTION_MAX)
			return "table: unknown action";
		if (i >= head->actions && (action->kind || action->error))
			return "table: an action past the last one";
		if (action->error > MAX_ERRNO)
			return "table: errno above 4095";
		if (action->error && action->kind != HOODY_ACTION_ERRNO &&
		    action->kind != HOODY_ACTION_TRAP)
			return "table: errno with an action that has none";
	}
	return NULL;
}

static const char *decisions_fault(const struct hoody_table *head)
{
	for (unsigned int arch = 0; arch < HOODY_ARCHS; arch++) {
		for (unsigned int nr = 0; nr < HOODY_TABLE_CALLS; nr++) {
			u8 decision = head->decision[arch][nr];

			if (decision & HOODY_TABLE_CHECKED) {
				if ((decision & ~HOODY_TABLE_CHECKED) >= head->checks[arch])
					return "table: decision names no check";
			} else if (!action_valid(head, decision)) {
				return "table: decision names no action";
			}
		}
	}
	return NULL;
}

/* The parts of a table, in the order that they stand in behind its head. */
struct table_parts {
	const struct hoody_table_cond	*conds;
	const struct hoody_table_check	*checks[HOODY_ARCHS];
	const struct hoody_table_rule	*rules;
};

static struct table_parts table_parts(const struct hoody_table *head)
{
	struct table_parts parts;

	parts.conds = (const void *)(head + 1);
	parts.checks[0] = (const void *)(parts.conds + head->conds);
	parts.checks[1] = parts.checks[0] + head->checks[0];
	parts.rules = (const void *)(parts.checks[1] + head->checks[1]);
	return parts;
}

static const char *parts_fault(const struct hoody_table *head)
{
	const struct table_parts parts = table_parts(head);
	unsigned int i;

	for (i = 0; i < head->conds; i++) {
		const struct hoody_table_cond *cond = &parts.conds[i];

		if (cond->arg > 5 || cond->op > HOODY_OP_MAX)
			return "table: condition on an unknown argument or operator";
		if (memchr_inv(cond->pad, 0, sizeof(cond->pad)))
			return "table: padding is not zero";
	}
	for (i = 0; i < head->checks[0] + head->checks[1]; i++) {
		const struct hoody_table_check *check = &parts.checks[0][i];

		if (!check->rules || check->rule + check->rules > head->rules ||
		    !action_valid(head, check->otherwise))
			return "table: check with bad rules or action";
		if (memchr_inv(check->pad, 0, sizeof(check->pad)))
			return "table: padding is not zero";
	}
	for (i = 0; i < head->rules; i++) {
		const struct hoody_table_rule *rule = &parts.rules[i];

		if (!rule->conds || rule->cond + rule->conds > head->conds ||
		    !action_valid(head, rule->action))
			return "table: rule with bad conditions or action";
	}
	return NULL;
}

/* What the call's register has to be, see struct gate_cond. */
static void cond_prepare(struct gate_cond *out, const struct hoody_table_cond *cond,
			 unsigned int arch)
{
	u64 value = cond->value;

	out->offset = gate_arg_offset(arch, cond->arg);
	out->mask = arch == HOODY_ARCH_IA32 ? (u32)cond->mask : cond->mask;
	switch (cond->op) {
	case HOODY_OP_EQ:
		out->low = value;
		out->span = 0;
		return;
	case HOODY_OP_NE:
		out->low = value + 1;
		out->span = U64_MAX - 1;
		return;
	case HOODY_OP_LT:
		out->low = 0;
		out->span = value - 1;
		if (!value)
			break;
		return;
	case HOODY_OP_LE:
		out->low = 0;
		out->span = value;
		return;
	case HOODY_OP_GT:
		out->low = value + 1;
		out->span = U64_MAX - out->low;
		if (value == U64_MAX)
			break;
		return;
	default:
		out->low = value;
		out->span = U64_MAX - value;
		return;
	}
	/* Nothing is below the least, nor above the most. */
	out->mask = 0;
	out->low = 1;
	out->span = 0;
}

/* Writes the conditions of @check to @out; returns the place behind them. */
static struct gate_cond *check_prepare(struct gate_cond *out, const struct table_parts *parts,
				       const struct hoody_table_check *check, unsigned int arch)
{
	for (unsigned int i = 0; i < check->rules; i++) {
		const struct hoody_table_rule *rule = &parts->rules[check->rule + i];

		for (unsigned int j = 0; j < rule->conds; j++, out++) {
			cond_prepare(out, &parts->conds[rule->cond + j], arch);
			out->rest = rule->conds - 1 - j;
			out->action = rule->action;
		}
	}
	return out;
}

/* Is @cond all of its rule, and "the argument, masked, is this value"? */
static bool cond_is_value(const struct gate_cond *first, const struct gate_cond *cond)
{
	return !cond->rest && (cond == first || !cond[-1].rest) && !cond->span &&
	       !(cond->low & ~cond->mask);
}

/*
 * Values that differ in one bit are one value without that bit: a list as that of
 * personality(2) in Docker's default, 0, 8, 0x20000, 0x20008 and 0xffffffff, is
 * tried in two steps instead of five. Among rules of one action that stand together
 * order means nothing. Returns the new end.
 */
static struct gate_cond *check_merge(struct gate_cond *first, struct gate_cond *end)
{
	struct gate_cond *one = first, *other;

	if (end - first > MERGE_CONDS)
		return end;
	while (one < end) {
		for (other = one + 1; other < end && other->action == one->action; other++)
			if (cond_is_value(first, one) && cond_is_value(first, other) &&
			    one->offset == other->offset && one->mask == other->mask &&
			    is_power_of_2(one->low ^ other->low))
				break;
		if (other == end || other->action != one->action) {
			one++;
			continue;
		}
		one->mask &= ~(one->low ^ other->low);
		one->low &= one->mask;
		end--;
		memmove(other, other + 1, (end - other) * sizeof(*other));
		/* It may fit one before it now. */
		one = first;
	}
	return end;
}

static size_t check_conds(const struct table_parts *parts, const struct hoody_table_check *check)
{
	size_t conds = 0;

	for (unsigned int i = 0; i < check->rules; i++)
		conds += parts->rules[check->rule + i].conds;
	return conds;
}

/* Lays out the conditions as they are tried, for a table without a fault. */
static int table_prepare(struct gate_table *table, struct netlink_ext_ack *extack)
{
	const struct table_parts parts = table_parts(&table->head);
	unsigned int checks = table->head.checks[0] + table->head.checks[1], i;
	struct gate_check *check;
	struct gate_cond *cond;
	size_t conds = 0;

	for (i = 0; i < checks; i++)
		conds += check_conds(&parts, &parts.checks[0][i]);
	/* Rules may share conditions, and checks rules: within reason. */
	if (conds > 4 * HOODY_TABLE_CONDS) {
		NL_SET_ERR_MSG(extack, "table: checks with too many conditions in all");
		return -E2BIG;
	}
	if (!checks)
		return 0;
	table->parts = kvzalloc(conds * sizeof(*cond) + checks * sizeof(*check),
				GFP_KERNEL_ACCOUNT);
	if (!table->parts)
		return -ENOMEM;
	cond = table->parts;
	check = (struct gate_check *)(cond + conds);
	table->checks[0] = check;
	table->checks[1] = check + table->head.checks[0];
	for (i = 0; i < checks; i++, check++) {
		check->first = cond;
		cond = check_prepare(cond, &parts, &parts.checks[0][i],
				     i >= table->head.checks[0]);
		cond = check_merge((struct gate_cond *)check->first, cond);
		check->end = cond;
		check->otherwise = parts.checks[0][i].otherwise;
	}
	return 0;
}

static void table_discard(struct gate_table *table)
{
	kvfree(table->parts);
	kvfree(table);
}

static void table_free_rcu(struct rcu_head *rcu)
{
	table_discard(container_of(rcu, struct gate_table, rcu));
}

/* The table in @attr, checked and ready, or an ERR_PTR. */
static struct gate_table *table_create(const struct nlattr *attr, struct netlink_ext_ack *extack)
{
	size_t size = nla_len(attr);
	struct gate_table *table;
	const char *fault;
	unsigned int call;
	int err;

	if (size < sizeof(table->head)) {
		NL_SET_ERR_MSG_ATTR(extack, attr, "table: shorter than its head");
		return ERR_PTR(-EINVAL);
	}
	table = kvzalloc(offsetof(struct gate_table, head) + size, GFP_KERNEL_ACCOUNT);
	if (!table)
		return ERR_PTR(-ENOMEM);
	memcpy((u8 *)table + offsetof(struct gate_table, head), nla_data(attr), size);
	fault = head_fault(&table->head, size) ?: actions_fault(&table->head) ?:
		decisions_fault(&table->head);
	fault = fault ?: parts_fault(&table->head);
	if (fault) {
		NL_SET_ERR_MSG_ATTR_FMT(extack, attr, "%s", fault);
		kvfree(table);
		return ERR_PTR(-EINVAL);
	}
	err = table_prepare(table, extack);
	if (err) {
		kvfree(table);
		return ERR_PTR(err);
	}
	for (call = 0; call < GATE_CALLS; call++)
		if (table->head.decision[call / HOODY_TABLE_CALLS][call % HOODY_TABLE_CALLS])
			__set_bit(call, table->restricted);
	return table;
}

static void table_free(struct gate_table *table)
{
	call_rcu(&table->rcu, table_free_rcu);
}

struct hoody_profile *hoody_profile_find(struct hoody_registry *registry, const char *name)
{
	struct hoody_profile *profile;

	list_for_each_entry(profile, &registry->profiles, node)
		if (!strcmp(profile->name, name))
			return profile;
	return NULL;
}

static int profile_add(struct hoody_registry *registry, const char *name, u64 generation,
		       struct gate_table *table, struct netlink_ext_ack *extack)
{
	struct hoody_profile *profile;

	if (registry->profiles_count >= max_profiles) {
		NL_SET_ERR_MSG(extack, "too many profiles: see the module's max_profiles");
		return -ENOSPC;
	}
	profile = kzalloc(sizeof(*profile), GFP_KERNEL_ACCOUNT);
	if (!profile)
		return -ENOMEM;
	strscpy(profile->name, name, sizeof(profile->name));
	profile->generation = generation;
	RCU_INIT_POINTER(profile->table, table);
	list_add_tail(&profile->node, &registry->profiles);
	registry->profiles_count++;
	return 0;
}

static int profile_replace(struct hoody_profile *profile, u64 generation, struct gate_table *table,
			   struct netlink_ext_ack *extack)
{
	struct gate_table *before;
	int err;

	mutex_lock(&gate_lock);
	/* Hooks of both while both may be read: no call slips in between. */
	err = gate_calls_get(table->restricted, profile->users, extack);
	if (!err) {
		before = rcu_replace_pointer(profile->table, table, lockdep_is_held(&gate_lock));
		gate_calls_put(before->restricted, profile->users);
		table_free(before);
		profile->generation = generation;
	}
	mutex_unlock(&gate_lock);
	return err;
}

/* hoody_profile_set() - load or replace the profile @name with the table in @attr. */
int hoody_profile_set(struct hoody_registry *registry, const char *name, u64 generation,
		      const struct nlattr *attr, enum hoody_set_mode mode,
		      struct netlink_ext_ack *extack)
{
	struct hoody_profile *profile = hoody_profile_find(registry, name);
	struct gate_table *table;
	int err;

	if (!profile && mode == HOODY_SET_REPLACE) {
		NL_SET_ERR_MSG(extack, "no such profile to replace");
		return -ENOENT;
	}
	if (profile && mode == HOODY_SET_CREATE) {
		NL_SET_ERR_MSG(extack, "profile is loaded already");
		return -EEXIST;
	}
	if (profile && generation < profile->generation) {
		NL_SET_ERR_MSG(extack, "a newer generation is loaded");
		return -ESTALE;
	}
	table = table_create(attr, extack);
	if (IS_ERR(table))
		return PTR_ERR(table);
	if (profile)
		err = profile_replace(profile, generation, table, extack);
	else
		err = profile_add(registry, name, generation, table, extack);
	if (err)
		table_discard(table);
	return err;
}

static void profile_free(struct hoody_registry *registry, struct hoody_profile *profile)
{
	list_del(&profile->node);
	registry->profiles_count--;
	table_free(rcu_dereference_protected(profile->table, true));
	/* A task that found a member just before it was taken out reads on. */
	kfree_rcu(profile, rcu);
}

int hoody_profile_delete(struct hoody_registry *registry, const char *name, u64 generation,
			 struct netlink_ext_ack *extack)
{
	struct hoody_profile *profile = hoody_profile_find(registry, name);

	if (!profile) {
		NL_SET_ERR_MSG(extack, "no such profile");
		return -ENOENT;
	}
	if (generation && generation < profile->generation) {
		NL_SET_ERR_MSG(extack, "a newer generation is loaded");
		return -ESTALE;
	}
	/* Users come and go under hoody_net.lock, which the caller holds. */
	if (profile->users) {
		NL_SET_ERR_MSG_FMT(extack, "%u containers have this profile", profile->users);
		return -EBUSY;
	}
	profile_free(registry, profile);
	return 0;
}

/* The namespace has gone and its containers with it. */
void hoody_profile_free_all(struct hoody_registry *registry)
{
	struct hoody_profile *profile, *next;

	list_for_each_entry_safe(profile, next, &registry->profiles, node)
		profile_free(registry, profile);
}
