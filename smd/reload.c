/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Another configuration for a running manager (SM-1, SM-5, SM-6).
 *
 * New tables are made beside the old ones; then what is the same in both, by
 * addresses and ports, never by position, takes its state along: health and an
 * operator's will, states of groups, turns, counts, and each flow its backend.
 * What is told to agents is the difference of the two sets of wildcards, and
 * the deletion of flows whose VIP is gone.  Until the last allocation has
 * succeeded nothing is changed.
 *
 * Must not know how a configuration is read.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "smd/manager_priv.h"

/* ---- what corresponds to what ---- */

/* The backend of the old tables that goes on as this one: same place, same service by name. */
static struct backend *old_backend(const struct services *old, const struct backend *b)
{
	return services_backend_of(old, b->group->conf->name, &b->key);
}

/*
 * The VIP of the new tables at which this flow goes on.  At another precedence it is another one to agents, and
 * servers that are no longer translated to know nothing of its connection, nor the other way round.
 */
static struct vip *new_vip(const struct services *old, const struct services *new, const struct flow *f)
{
	const struct vip *before = services_vip(old, &f->forward);
	struct vip *v = services_vip(new, &f->forward);

	return before && v && before->group->conf->precedence == v->group->conf->precedence &&
			       group_translates(before->group) == group_translates(v->group)
		       ? v
		       : NULL;
}

static struct backend *new_backend(const struct services *new, const struct vip *v, const struct backend *o)
{
	struct addr addr = service_key_addr(&o->key);

	return group_backend(new, v->group, &addr, o->key.port);
}

/* Do packets get to the servers in another way, though as they are? */
static bool carried_otherwise(const struct service_conf *a, const struct service_conf *b)
{
	return a->mode != b->mode || a->tunnel.kind != b->tunnel.kind || a->tunnel.port != b->tunnel.port;
}

/* ---- before anything is changed ---- */

/* Servers that are no longer configured but have flows get a place. */
static bool keep_removed(struct manager *m, struct services *new)
{
	const struct flow *f;
	uint32_t slot = 0;

	while ((f = flows_next(m->flows, &slot))) {
		const struct backend *o = &m->services->backends[f->backend];
		struct vip *v = f->kind == FLOW_BALANCED ? new_vip(m->services, new, f) : NULL;

		if (v && !new_backend(new, v, o) && !services_add_removed(new, v->group, o))
			return false;
	}
	return true;
}

/* ---- carrying state over ---- */

static void carry_check(const struct backend *b, const struct backend *o)
{
	if (!b->check || !o->check || b->check->port != o->check->port || !addr_equal(&b->check->addr, &o->check->addr))
		return;
	b->check->health = o->check->health;
	snprintf(b->check->text, sizeof(b->check->text), "%s", o->check->text);
}

static void carry_backends(const struct services *old, struct services *new)
{
	for (size_t i = 0; i < new->backend_count; i++) {
		struct backend *b = &new->backends[i];
		const struct backend *o = old_backend(old, b);

		if (!o)
			continue;
		b->decisions = o->decisions;
		b->will = o->will;
		carry_check(b, o);
	}
}

/* The old group of the same service and family, if there is one. */
static const struct group *old_group(const struct services *old, const struct group *g)
{
	for (size_t i = 0; i < old->group_count; i++)
		if (old->groups[i].family == g->family && !strcmp(old->groups[i].conf->name, g->conf->name))
			return &old->groups[i];
	return NULL;
}

static void carry_turns(const struct services *old, struct group *g)
{
	const struct group *before = old_group(old, g);
	uint16_t from[CONFIG_MAX_SERVERS];

	if (!before)
		return;
	for (size_t i = 0; i < g->backend_count; i++) {
		const struct backend *o = old_backend(old, &g->backends[i]);

		from[i] = o && o->group == before ? o->index : BALANCER_NONE;
	}
	balancer_continue(g->balancer, before->balancer, from);
}

static void carry_group(const struct services *old, struct group *g)
{
	for (size_t i = 0; i < g->vip_count; i++) {
		struct vip *v = &g->vips[i], *before;

		HASH_FIND(hh, old->by_vip, &v->key, sizeof(v->key), before);
		if (!before)
			continue;
		v->decisions = before->decisions;
		if (g->state != GROUP_ANNOUNCED)
			g->state = before->group->state;
	}
	group_evaluate(g);
	carry_turns(old, g);
}

/* Each flow gets its backend of the new tables.  One whose VIP is gone is deleted at the agents: its keys are free. */
static void carry_flows(struct manager *m, struct services *new)
{
	struct flow *f;
	uint32_t slot = 0;

	while ((f = flows_next(m->flows, &slot))) {
		struct vip *v = f->kind == FLOW_BALANCED ? new_vip(m->services, new, f) : NULL;
		struct backend *b = v ? new_backend(new, v, &m->services->backends[f->backend])
				      : services_backend(new, &f->reverse);

		if (f->kind == FLOW_BALANCED ? !v || !b : !b) {
			decide_forget(m, f);
			continue;
		}
		if (v && carried_otherwise(m->services->backends[f->backend].group->conf, b->group->conf))
			decide_withdraw(m, f); /* the next packet is asked about, and sent the new way */
		f->backend = (uint32_t)(b - new->backends);
		if (!v)
			continue;
		v->flows++;
		b->flows++;
		if (!f->closed_ms)
			backend_connections(b, 1);
	}
}

/* ---- the whole ---- */

static void say_changes(struct manager *m, const struct services *old)
{
	for (size_t i = 0; i < m->services->group_count; i++) {
		const struct group *g = &m->services->groups[i], *before = old_group(old, g);

		if (!before || before->state != g->state || before->empty != g->empty)
			manager_say_group(m, g);
	}
	for (size_t i = 0; i < old->group_count; i++)
		if (!old_group(m->services, &old->groups[i]))
			manager_notify(m, LOG_LEVEL_INFO, "service", old->groups[i].conf->name, "IPv%u: removed",
				       old->groups[i].family);
}

static bool no_memory(struct services *new, struct announcements *as, char *why, size_t size)
{
	services_free(new);
	free(as->all);
	snprintf(why, size, "out of memory");
	return false;
}

bool manager_reload(struct manager *m, const struct smd_conf *conf, char *why, size_t size, uint64_t now_ms)
{
	const char *restart = smd_config_needs_restart(m->conf, conf);
	struct services *old = m->services, *new;
	struct announcements as = {0};

	if (restart) {
		snprintf(why, size, "a change of '%s' takes effect only by a restart", restart);
		return false;
	}
	new = services_new(conf, old->backend_count);
	if (!new || !keep_removed(m, new) || !announce_prepare(m, conf, new, &as))
		return no_memory(new, &as, why, size);
	carry_backends(old, new);
	for (size_t i = 0; i < new->group_count; i++)
		carry_group(old, &new->groups[i]);
	carry_flows(m, new);
	m->services = new;
	m->conf = conf;
	m->mixing_count = 0; /* this may have been the mending of it */
	announce_replace(m, &as, now_ms);
	manager_count(m, MANAGER_RELOADED);
	say_changes(m, old);
	manager_notify(m, LOG_LEVEL_INFO, "configuration", "smd", "reloaded: %zu services, %zu filters",
		       conf->services.count, conf->filters.count);
	services_free(old);
	m->sweeping = true; /* what ended at a removed server goes elsewhere when it begins anew */
	m->sweep_slot = 0;
	return true;
}

void manager_reload_refused(struct manager *m, const char *why)
{
	manager_count(m, MANAGER_RELOAD_REFUSED);
	manager_notify(m, LOG_LEVEL_ERROR, "configuration", "smd", "not reloaded: %s", why);
}
