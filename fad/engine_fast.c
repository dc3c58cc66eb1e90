/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Plans in the kernel: which of them can be carried out there, when they are
 * placed, written anew and taken out, and what the kernel counted by them.
 *
 * A flow's plan is placed when a packet has gone by it here.  It is void when a
 * wildcard comes or goes, as all are, and is made again by the next packet or
 * the next round, whichever is first.  Must not know how the table is shared.
 * PREC-10, FIX-5, FIX-9.
 */
#include "fad/engine_priv.h"

#define ROUND_TICKS  10   /* ticks in which every plan is looked at once: half a second */
#define ROUND_VISITS 2000 /* in one tick, if there are as many: cheap, and few flows are then looked at in each */

static const struct passage fresh = {.kind = PASSAGE_FRESH, .resume = AFFINITY_RANK_BEFORE_ALL};

void engine_use_plans(struct engine *e, struct plantab *plans)
{
	e->plans = plans;
}

const struct plantab_stats *engine_plans(const struct engine *e)
{
	return e->plans ? plantab_stats(e->plans) : NULL;
}

void engine_void_plans(struct engine *e)
{
	e->generation++;
	if (e->plans)
		plantab_renew(e->plans);
}

void engine_guards_changed(struct engine *e)
{
	if (e->plans)
		plantab_renew(e->plans);
}

static void compose(struct engine *e, struct flow *f)
{
	if (f->plan.generation != e->generation || f->plan.guarded)
		engine_compose(e, &f->key, false, f->fixed, &fresh, &f->plan);
}

/* The interest bits that bring a packet up, and whether that is for a decision. */
static void interests(const struct engine *e, const struct flow *f, struct plantab_plan *out, bool *all)
{
	uint16_t up = 0;

	for (int i = 0; i < f->plan.count; i++) {
		const struct plan_step *s = &f->plan.steps[i];
		uint16_t bits = 0;

		for (int k = 0; k < s->a->interest_count; k++) {
			const struct wire_interest *c = &s->a->interest[k];

			bits |= c->interest | c->data | c->copy | c->hold;
			out->asks |= c->data || c->hold;
		}
		/* The first data is the agent's to see; what comes after is not the first. */
		if ((bits & WIRE_INTEREST_FIRST_DATA) && !engine_data_seen(e, s, &f->key))
			bits |= WIRE_INTEREST_DATA;
		up |= bits;
	}
	*all = up & WIRE_INTEREST_ALL;
	/* Fragments come up in any case. */
	out->up = up & (uint16_t) ~(WIRE_INTEREST_ALL | WIRE_INTEREST_FRAGMENT | WIRE_INTEREST_FIRST_DATA);
}

static uint64_t expiry(const struct flow_plan *plan)
{
	uint64_t first = UINT64_MAX;

	for (int i = 0; i < plan->count; i++)
		if (plan->steps[i].a->expires_ms < first)
			first = plan->steps[i].a->expires_ms;
	return first;
}

/* False: it is more than the kernel's side can do, or nothing. */
static bool describe(const struct engine *e, const struct flow *f, struct plantab_plan *out)
{
	const struct flow_plan *plan = &f->plan;
	bool all;

	*out = (struct plantab_plan){.key = f->key, .edit = plan->edit, .delta = plan->delta};
	if (!plan->count || plan->drop || plan->far || !addr_is_zero(&plan->next_hop) || !plan_has_ports(f->key.proto))
		return false;
	interests(e, f, out, &all);
	out->expires_ms = expiry(plan);
	return !all;
}

/* True: packets came. */
static bool fold(struct engine *e, struct flow *f)
{
	struct plantab_traffic t = plantab_take(e->plans, f->place - 1);

	if (!t.packets)
		return false;
	compose(e, f);
	engine_account(e, &f->plan, &f->key, t.packets, t.bytes);
	e->counters[ENGINE_FORWARDED] += t.packets;
	e->counters[ENGINE_FORWARDED_BYTES] += t.bytes;
	return true;
}

void engine_fast_unplace(struct engine *e, struct flow *f)
{
	if (!e->plans || !f->place)
		return;
	plantab_remove(e->plans, f->place - 1);
	fold(e, f);
	f->place = 0;
}

static bool may_stand(const struct engine *e, const struct flow *f)
{
	return !(e->out->guards && e->out->guards(e->ctx, &f->key)) && !hold_find(e->hold, &f->key);
}

void engine_fast_place(struct engine *e, struct flow *f, uint64_t now_ms)
{
	struct plantab_plan plan;
	uint32_t at;

	if (!may_stand(e, f)) {
		engine_fast_unplace(e, f);
		return;
	}
	compose(e, f);
	if (!describe(e, f, &plan) || plan.expires_ms <= now_ms) {
		engine_fast_unplace(e, f);
		return;
	}
	at = plantab_put(e->plans, f->place ? f->place - 1 : PLANTAB_NOWHERE, &plan, f);
	f->place = at == PLANTAB_NOWHERE ? 0 : at + 1;
}

void engine_fast_change(struct engine *e, struct flow *f, uint64_t now_ms)
{
	if (!e->plans || !f->place)
		return;
	fold(e, f);
	engine_fast_place(e, f, now_ms);
}

/* ---- rounds ---- */

struct round {
	struct engine *e;
	uint64_t now_ms;
};

static void visit(void *ctx, void *owner)
{
	struct round *r = ctx;
	struct flow *f = owner;

	if (fold(r->e, f)) {
		const struct packet p = {.key = f->key};

		engine_refresh(r->e, &f->plan, &p, r->now_ms);
	}
	if (f->plan.generation != r->e->generation || !plantab_is_current(r->e->plans, f->place - 1, expiry(&f->plan)))
		engine_fast_place(r->e, f, r->now_ms);
}

void engine_fast_tick(struct engine *e, uint64_t now_ms)
{
	struct round r = {e, now_ms};
	uint32_t n;

	if (!e->plans)
		return;
	plantab_least_mtu(e->plans, e->out->least_mtu ? e->out->least_mtu(e->ctx) : 0);
	n = (uint32_t)plantab_stats(e->plans)->placed / ROUND_TICKS + 1;
	plantab_sweep(e->plans, n < ROUND_VISITS ? ROUND_VISITS : n, visit, &r);
}

static void visit_to_count(void *ctx, void *owner)
{
	fold(ctx, owner);
}

void engine_fold_plans(struct engine *e)
{
	if (e->plans)
		plantab_sweep(e->plans, UINT32_MAX, visit_to_count, e);
}
