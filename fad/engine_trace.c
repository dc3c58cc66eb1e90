/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What would become of a packet, see engine_trace.h.
 *
 * Composes by engine_compose() and judges by engine_judge(), as packets are.
 * The engine is const here; must not send, count or remember anything.
 */
#include "fad/engine_trace.h"

#include <netinet/in.h>
#include <string.h>

#include "fad/engine_priv.h"

static const struct passage fresh = {.kind = PASSAGE_FRESH, .resume = AFFINITY_RANK_BEFORE_ALL};

static void add(struct engine_trace *t, const struct affinity *a, const struct wildcard *w)
{
	if (t->count < ENGINE_TRACE_MAX)
		t->matches[t->count++] = (struct trace_match){.a = a, .wildcard = w, .part = TRACE_BEYOND};
}

/* All that matches, merged by rank, fixed ones before wildcards (FIX-7). */
static void collect(const struct engine *e, const struct flow_key *k, bool guarded, const struct fixed *x,
		    struct engine_trace *t)
{
	uint16_t flags = guarded ? CLASSIFIER_SHAPE_PROTECTED : 0;
	struct wildcard *wild[WILDTAB_MAX_MATCHES];
	size_t n = wildtab_match(e->wild, k, flags, wild, WILDTAB_MAX_MATCHES), i = 0;

	while (x || i < n) {
		if (x && (i == n || x->a.rank <= wild[i]->a.rank)) {
			add(t, &x->a, NULL);
			x = x->next_in_flow;
		} else {
			add(t, &wild[i]->a, wild[i]);
			i++;
		}
	}
}

static bool in_plan(const struct flow_plan *plan, const struct affinity *a)
{
	for (int i = 0; i < plan->count; i++)
		if (plan->steps[i].a == a)
			return true;
	return false;
}

static bool ends(const struct flow_plan *plan)
{
	return plan->count && affinity_ends_cascade(plan->steps[plan->count - 1].a);
}

/* Those that do not act: why not? */
static void assign_parts(struct engine_trace *t, const struct flow_plan *plan, bool all)
{
	affinity_rank last = plan->count ? plan->steps[plan->count - 1].a->rank : 0;

	for (size_t i = 0; i < t->count; i++) {
		struct trace_match *m = &t->matches[i];

		if (in_plan(plan, m->a))
			m->part = TRACE_ACTS;
		else if (m->wildcard && engine_is_absent(m->wildcard) && (m->a->rank <= last || !ends(plan)))
			m->part = TRACE_ABSENT;
		else if (m->a->rank <= last)
			m->part = TRACE_SHADOWED;
		else
			m->part = all || plan->count < PLAN_MAX_STEPS ? TRACE_BEYOND : TRACE_LEFT_OUT;
	}
}

/* Everything from this affinity's rank on is not reached, but for itself. */
static void stop_at(struct engine_trace *t, const struct affinity *a)
{
	t->decider = a;
	for (size_t i = 0; i < t->count; i++) {
		if (t->matches[i].a == a)
			t->matches[i].part = TRACE_ASKS;
		else if (t->matches[i].a->rank > a->rank)
			t->matches[i].part = TRACE_BEYOND;
	}
}

static uint16_t bits_for(const struct engine *e, const struct plan_step *s, const struct flow_key *k, uint16_t all)
{
	return engine_data_seen(e, s, k) ? all & (uint16_t)~WIRE_INTEREST_FIRST_DATA : all;
}

/* Does somebody take the packet, or keep it waiting? */
static bool taken(struct engine_trace *t, const struct engine *e, const struct flow_plan *plan,
		  const struct flow_key *k, uint16_t all)
{
	for (int i = 0; i < plan->count; i++) {
		const struct plan_step *s = &plan->steps[i];
		uint16_t bits = bits_for(e, s, k, all);
		bool take = false, hold = false;

		for (int c = 0; c < s->a->interest_count; c++) {
			struct verdict v = engine_judge(&s->a->interest[c], bits);

			take |= v.take;
			hold |= v.hold;
		}
		if (!take && !hold)
			continue;
		t->outcome = take ? TRACE_PUNTED : TRACE_COPIED;
		if (s->wildcard && engine_is_silent(s->wildcard))
			t->outcome = TRACE_SILENT;
		stop_at(t, s->a);
		return true;
	}
	return false;
}

static struct flow_key edited(const struct flow_key *k, const struct plan_edit *edit)
{
	struct flow_key after = *k;

	if (edit->set & PLAN_SRC)
		memcpy(after.src, edit->src, sizeof(after.src));
	if (edit->set & PLAN_DST)
		memcpy(after.dst, edit->dst, sizeof(after.dst));
	if (edit->set & PLAN_SPORT)
		after.sport = edit->sport;
	if (edit->set & PLAN_DPORT)
		after.dport = edit->dport;
	return after;
}

void engine_trace(const struct engine *e, const struct flow_key *k, bool guarded, uint8_t tcp_flags, bool data,
		  struct engine_trace *t)
{
	const struct packet p = {.key = *k, .tcp_flags = tcp_flags, .len = data};
	const struct flow *f = fixtab_flow(e->fixed, k);
	struct plan_adjust adjusts[PLAN_MAX_ADJUSTS];
	struct flow_plan plan;
	bool all;

	memset(t, 0, sizeof(*t));
	t->after = *k;
	all = engine_compose(e, k, guarded, f ? f->fixed : NULL, &fresh, &plan, NULL);
	collect(e, k, guarded, f ? f->fixed : NULL, t);
	assign_parts(t, &plan, all);
	t->held = hold_find(e->hold, k);
	if (t->held) {
		/* Whom it waits for is who would be asked. */
		if (plan.watched)
			(void)taken(t, e, &plan, k, packet_interest(&p, true));
		t->outcome = TRACE_HELD;
		return;
	}
	if (!plan.count) {
		t->outcome = engine_advertised(e, k) ? TRACE_ADVERTISED : TRACE_UNMATCHED;
		return;
	}
	if (plan.watched && taken(t, e, &plan, k, packet_interest(&p, true)))
		return;
	if (plan.drop) {
		t->outcome = TRACE_DROPPED;
		t->decider = plan.steps[plan.count - 1].a;
		return;
	}
	t->outcome = TRACE_FORWARDED;
	t->after = edited(k, &plan.edit);
	t->next_hop = plan.next_hop;
	t->tunnel = plan.tunnel;
	t->renumbered = engine_adjusts(&plan, adjusts) > 0;
}

void engine_flow_plan(const struct engine *e, const struct flow *f, struct flow_plan *plan)
{
	if (f->plan.count && f->plan.generation == e->generation)
		*plan = f->plan;
	else
		engine_compose(e, &f->key, f->plan.guarded, f->fixed, &fresh, plan, NULL);
}
