/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The agents' sets, counted by reference: one entry a prefix, one bit an agent.
 *
 * Pure; must not know of the kernel or of messages.
 */
#include <stdlib.h>

#include "routed-glue/wanted.h"

struct wanted {
	struct wanted_limits limits;
	struct wanted_prefix *table; /* by prefix */
	bool dirty;                  /* some agent's set changed since the last step */
	uint64_t next_ms;            /* what the last step returned */
};

struct wanted *wanted_new(const struct wanted_limits *limits)
{
	struct wanted *w = calloc(1, sizeof(*w));

	if (w) {
		w->limits = *limits;
		w->next_ms = UINT64_MAX;
	}
	return w;
}

static void drop(struct wanted *w, struct wanted_prefix *e)
{
	HASH_DEL(w->table, e);
	free(e);
}

void wanted_free(struct wanted *w)
{
	struct wanted_prefix *e, *next;

	if (!w)
		return;
	HASH_ITER (hh, w->table, e, next)
		drop(w, e);
	free(w);
}

static struct wanted_prefix *lookup(const struct wanted *w, const struct prefix *p)
{
	struct wanted_prefix *e;

	HASH_FIND(hh, w->table, p, sizeof(*p), e);
	return e;
}

static struct wanted_prefix *obtain(struct wanted *w, const struct prefix *p)
{
	struct wanted_prefix *e = lookup(w, p);

	if (e || HASH_COUNT(w->table) >= w->limits.prefixes)
		return e;
	e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	e->prefix = *p;
	HASH_ADD(hh, w->table, prefix, sizeof(e->prefix), e);
	return e;
}

static uint64_t bit(unsigned agent)
{
	return UINT64_C(1) << agent;
}

bool wanted_stage(struct wanted *w, unsigned agent, const struct prefix *p)
{
	struct wanted_prefix *e = obtain(w, p);

	if (!e)
		return false;
	e->staged |= bit(agent);
	w->dirty = true; /* so that the entry is dropped if nothing comes of it */
	return true;
}

void wanted_commit(struct wanted *w, unsigned agent)
{
	struct wanted_prefix *e, *next;

	HASH_ITER (hh, w->table, e, next) {
		e->agents = (e->agents & ~bit(agent)) | (e->staged & bit(agent));
		e->staged &= ~bit(agent);
	}
	w->dirty = true;
}

void wanted_discard(struct wanted *w, unsigned agent)
{
	struct wanted_prefix *e, *next;

	HASH_ITER (hh, w->table, e, next)
		e->staged &= ~bit(agent);
	w->dirty = true;
}

bool wanted_add(struct wanted *w, unsigned agent, const struct prefix *p)
{
	struct wanted_prefix *e = obtain(w, p);

	if (!e)
		return false;
	e->agents |= bit(agent);
	w->dirty = true;
	return true;
}

void wanted_remove(struct wanted *w, unsigned agent, const struct prefix *p)
{
	struct wanted_prefix *e = lookup(w, p);

	if (!e)
		return;
	e->agents &= ~bit(agent);
	e->kept &= ~bit(agent);
	w->dirty = true;
}

void wanted_withdraw(struct wanted *w, unsigned agent)
{
	wanted_discard(w, agent);
	wanted_commit(w, agent); /* the empty set */
}

void wanted_keep(struct wanted *w, unsigned agent)
{
	struct wanted_prefix *e, *next;

	HASH_ITER (hh, w->table, e, next)
		e->kept |= e->agents & bit(agent);
}

void wanted_unkeep(struct wanted *w, unsigned agent)
{
	struct wanted_prefix *e, *next;

	HASH_ITER (hh, w->table, e, next)
		e->kept &= ~bit(agent);
	w->dirty = true;
}

size_t wanted_kept_only(const struct wanted *w, unsigned agent)
{
	struct wanted_prefix *e, *next;
	size_t n = 0;

	HASH_ITER (hh, w->table, e, next)
		n += (e->kept & ~e->agents & bit(agent)) != 0;
	return n;
}

static void pay_back(const struct wanted_limits *l, struct wanted_prefix *e, uint64_t now_ms)
{
	while (e->flaps > 0 && now_ms >= e->next_refill_ms) {
		e->flaps--;
		e->next_refill_ms += l->flap_refill_ms;
	}
}

static bool may_announce(const struct wanted_limits *l, const struct wanted_prefix *e)
{
	return l->flap_limit == 0 || e->flaps < l->flap_limit;
}

static void announce(const struct wanted_limits *l, struct wanted_prefix *e, uint64_t now_ms)
{
	e->announced = true;
	e->announced_ms = now_ms;
	if (e->flaps++ == 0)
		e->next_refill_ms = now_ms + l->flap_refill_ms;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Bring one entry up to date.  Returns when it is to be looked at again. */
static uint64_t step_entry(const struct wanted_limits *l, struct wanted_prefix *e, uint64_t now_ms)
{
	uint64_t hold_end = e->announced_ms + l->hold_ms;

	pay_back(l, e, now_ms);
	if (wanted_by(e) && !e->announced && may_announce(l, e))
		announce(l, e, now_ms);
	else if (!wanted_by(e) && e->announced && now_ms >= hold_end)
		e->announced = false;

	if (!wanted_by(e) && e->announced)
		return hold_end;
	return !e->announced && e->flaps > 0 ? e->next_refill_ms : UINT64_MAX;
}

uint64_t wanted_step(struct wanted *w, uint64_t now_ms, bool *changed)
{
	struct wanted_prefix *e, *next;
	uint64_t again = UINT64_MAX;

	*changed = false;
	if (!w->dirty && now_ms < w->next_ms)
		return w->next_ms;
	HASH_ITER (hh, w->table, e, next) {
		bool before = e->announced;

		again = earlier(again, step_entry(&w->limits, e, now_ms));
		*changed |= e->announced != before;
		if (!wanted_by(e) && !e->staged && !e->announced && e->flaps == 0)
			drop(w, e);
	}
	w->dirty = false;
	w->next_ms = again;
	return again;
}

const struct wanted_prefix *wanted_next(const struct wanted *w, const struct wanted_prefix *prev)
{
	return prev ? prev->hh.next : w->table;
}

const struct wanted_prefix *wanted_find(const struct wanted *w, const struct prefix *p)
{
	return lookup(w, p);
}

size_t wanted_count(const struct wanted *w)
{
	return HASH_COUNT(w->table);
}

size_t wanted_count_agent(const struct wanted *w, unsigned agent)
{
	struct wanted_prefix *e, *next;
	size_t n = 0;

	HASH_ITER (hh, w->table, e, next)
		n += (e->agents & bit(agent)) != 0;
	return n;
}
