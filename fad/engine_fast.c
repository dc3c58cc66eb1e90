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
/* Without OOM aborts inside uthash: a failed insertion leaves hh.tbl NULL. */
#define HASH_NONFATAL_OOM 1
#include <stdlib.h>
#include <uthash.h>

#include "fad/engine_priv.h"
#include "lib/hash.h"

#define LOOSE_IDLE_MS 10000
#define ROUND_TICKS   10   /* ticks in which every plan is looked at once: half a second */
#define ROUND_VISITS  2000 /* in one tick, if there are as many: cheap, and few flows are then looked at in each */

static const struct passage fresh = {.kind = PASSAGE_FRESH, .resume = AFFINITY_RANK_BEFORE_ALL};

/* A flow that wildcards alone decide: there is no fixed affinity that it could hang from.  Here only while it is
 * placed.
 */
struct loose {
	struct flow flow; /* first */
	uint64_t used_ms; /* when packets were seen last */
	UT_hash_handle hh;
};

static struct loose *loose_find(const struct engine *e, const struct flow_key *k)
{
	struct loose *l;

	HASH_FIND_BYHASHVALUE(hh, e->loose, k, sizeof(*k), (unsigned)hash_bytes(e->conf.hash_key, k, sizeof(*k)), l);
	return l;
}

static struct loose *loose_new(struct engine *e, const struct flow_key *k, uint64_t now_ms)
{
	struct loose *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->flow.key = *k;
	l->used_ms = now_ms;
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, e->loose, &l->flow.key, sizeof(l->flow.key),
				    (unsigned)hash_bytes(e->conf.hash_key, k, sizeof(*k)), l);
	if (l->hh.tbl)
		return l;
	free(l);
	return NULL;
}

/* If it is one of these and has no place any more. */
static void let_go(struct engine *e, struct flow *f)
{
	struct loose *l = (struct loose *)f;

	if (f->fixed || f->place)
		return;
	HASH_DEL(e->loose, l);
	free(l);
}

static void forget_loose(struct engine *e)
{
	struct loose *l, *next;

	HASH_ITER (hh, e->loose, l, next) {
		l->flow.place = 0;
		let_go(e, &l->flow);
	}
}

void engine_use_plans(struct engine *e, struct plantab *plans)
{
	if (!plans)
		forget_loose(e);
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
		engine_compose(e, &f->key, false, f->fixed, &fresh, &f->plan, NULL);
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

/*
 * Wildcards alone decided it, and one that covers it says drop where the agent has died (FA-6): that is to be done, as
 * with every data path.  A fixed affinity is a manager's word for its TTL, and is kept.
 */
static bool needs_agent(const struct engine *e, const struct flow *f)
{
	struct wildcard *wild[WILDTAB_MAX_MATCHES];

	return !f->fixed && wildtab_match(e->wild, &f->key, CLASSIFIER_SHAPE_DROP_GONE, wild, WILDTAB_MAX_MATCHES) > 0;
}

/* False: it is more than the kernel's side can do, or nothing. */
static bool describe(const struct engine *e, const struct flow *f, struct plantab_plan *out)
{
	const struct flow_plan *plan = &f->plan;
	bool all;

	*out = (struct plantab_plan){.key = f->key, .edit = plan->edit, .delta = plan->delta, .drop = plan->drop};
	if (!plan->count || plan->far || !plan_has_ports(f->key.proto))
		return false;
	/* Its packets ask now and then whether the manager that was left out answers again. */
	if (plan->silent)
		return false;
	/* Who is to be told that it was dropped is told here. */
	if (plan->drop && plan->steps[plan->count - 1].a->reject)
		return false;
	if (!addr_is_zero(&plan->next_hop))
		out->next_hop = plan->next_hop;
	interests(e, f, out, &all);
	out->expires_ms = expiry(plan);
	out->needs_agent = needs_agent(e, f);
	return !all;
}

/* True: packets came. */
static bool fold(struct engine *e, struct flow *f)
{
	struct plantab_traffic t = plantab_take(e->plans, f->place - 1);
	struct wildcard *last;

	if (!t.packets)
		return false;
	compose(e, f);
	engine_account(e, &f->plan, &f->key, t.packets, t.bytes);
	if (f->plan.drop) {
		last = f->plan.steps[f->plan.count - 1].wildcard;
		if (last)
			last->drops += t.packets;
		e->counters[ENGINE_DROP_AFFINITY] += t.packets;
	} else {
		e->counters[ENGINE_FORWARDED] += t.packets;
		e->counters[ENGINE_FORWARDED_BYTES] += t.bytes;
	}
	return true;
}

static void unplace(struct engine *e, struct flow *f)
{
	if (!f->place)
		return;
	plantab_remove(e->plans, f->place - 1);
	fold(e, f);
	f->place = 0;
}

void engine_fast_unplace(struct engine *e, struct flow *f)
{
	if (e->plans)
		unplace(e, f);
}

void engine_fast_wait(struct engine *e, const struct flow_key *k)
{
	struct flow *f = e->plans ? fixtab_flow(e->fixed, k) : NULL;
	struct loose *l = e->plans ? loose_find(e, k) : NULL;

	if (f)
		unplace(e, f);
	if (!l)
		return;
	unplace(e, &l->flow);
	let_go(e, &l->flow);
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
		unplace(e, f);
		return;
	}
	compose(e, f);
	if (!describe(e, f, &plan) || plan.expires_ms <= now_ms) {
		unplace(e, f);
		return;
	}
	if (f->place)
		fold(e, f);
	at = plantab_put(e->plans, f->place ? f->place - 1 : PLANTAB_NOWHERE, &plan, f);
	f->place = at == PLANTAB_NOWHERE ? 0 : at + 1;
}

/* Flows of wildcards alone may be made up by anybody: half of the table is the others'. */
void engine_fast_place_loose(struct engine *e, const struct flow_key *k, uint64_t now_ms)
{
	struct loose *l;

	if (!plan_has_ports(k->proto))
		return;
	l = loose_find(e, k);
	if (!l && HASH_COUNT(e->loose) < plantab_slots(e->plans) / 2)
		l = loose_new(e, k, now_ms);
	if (!l)
		return;
	l->used_ms = now_ms;
	engine_fast_place(e, &l->flow, now_ms);
	let_go(e, &l->flow);
}

void engine_fast_change(struct engine *e, struct flow *f, uint64_t now_ms)
{
	struct loose *l = e->plans ? loose_find(e, &f->key) : NULL;

	/* Wildcards decided up to now. */
	if (l) {
		unplace(e, &l->flow);
		let_go(e, &l->flow);
	}
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
		if (!f->fixed)
			((struct loose *)f)->used_ms = r->now_ms;
	} else if (!f->fixed && r->now_ms - ((struct loose *)f)->used_ms >= LOOSE_IDLE_MS) {
		unplace(r->e, f);
		let_go(r->e, f);
		return;
	}
	if (f->plan.generation != r->e->generation || !plantab_is_current(r->e->plans, f->place - 1, expiry(&f->plan)))
		engine_fast_place(r->e, f, r->now_ms);
	let_go(r->e, f);
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
