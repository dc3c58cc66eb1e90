/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Too many questions under a wildcard: the kernel's classifier is told to drop
 * most of what the engine would drop, so that it takes nothing from the packets
 * of others on their way up (FA-5).  What the kernel lets through is a little
 * more than what was asked of late, so that the engine still sees that there
 * are too many, and decides.
 *
 * Pure; must not know how the classifier does it.
 */
#include "fad/engine_priv.h"

#define RENEW_MS 100 /* the kernel is told that often at most */
#define LASTS_MS 500 /* and without hearing it again, forgets after that */

#define SECOND_NS  1000000000ull
#define LEAST_RATE 100 /* questions a second */

bool engine_names_source(const struct wildcard *w)
{
	size_t n = w->match.family == 6 ? SHARE_IPV6 : SHARE_IPV4;

	for (size_t i = 0; i < n; i++)
		if (w->match.src_mask[i] != 0xff)
			return false;
	return true;
}

/* Which packets are taken: those that make a question each. */
static uint16_t asks(const struct affinity *a)
{
	uint16_t bits = 0;

	for (int i = 0; i < a->interest_count; i++)
		bits |= a->interest[i].data & (uint16_t)~a->interest[i].copy;
	return bits;
}

uint32_t *engine_open(struct engine *e, const struct wildcard *w)
{
	return &e->open[w->number];
}

void engine_open_count(struct engine *e)
{
	memset(e->open, 0, ((size_t)e->conf.max_wildcards + 1) * sizeof(*e->open));
	for (const struct held_flow *f = hold_oldest(e->hold); f; f = f->next)
		if (f->punted && f->asked_under)
			e->open[f->asked_number]++;
}

/* What it was between two questions since the kernel was told; no more than configured, nor next to nothing. */
static uint64_t lately_ns(const struct engine *e, const struct wildcard *w, uint64_t now_ms)
{
	uint64_t each_ns = SECOND_NS / e->conf.punt_rate, most_ns = SECOND_NS / LEAST_RATE;
	uint64_t since_ms = now_ms + RENEW_MS - w->shed_ms, asked = w->flows - w->shed_flows, lately;

	if (since_ms > LASTS_MS)
		return each_ns; /* it is only now that there are too many */
	lately = asked ? since_ms * 1000000 / asked : most_ns;
	if (lately > most_ns)
		lately = most_ns;
	return lately > each_ns ? lately : each_ns;
}

/* As told by the kernel.  What it routes instead is not lost. */
static void count_shed(const struct engine *e, struct wildcard *w, uint64_t packets)
{
	if (!e->conf.punt_excess_routed)
		w->drops += packets;
}

/*
 * Else the kernel could drop what another wildcard decides on.  It takes a look at all wildcards, so the answer is
 * kept, and no more are looked for at a time than the kernel has room for.
 */
static bool owns_key(struct engine *e, struct wildcard *w, uint64_t now_ms)
{
	if (w->owns_generation == e->generation)
		return w->owns_key;
	if (now_ms >= e->shed_look_ms) {
		e->shed_look_ms = now_ms + RENEW_MS;
		e->shed_looks = CLASSIFIER_SHEDS;
	}
	if (!e->shed_looks)
		return false;
	e->shed_looks--;
	w->owns_generation = e->generation;
	w->owns_key = wildtab_owns_key(e->wild, w, engine_is_absent);
	return w->owns_key;
}

void engine_shed(struct engine *e, struct wildcard *w, uint64_t now_ms)
{
	uint64_t each_ns = lately_ns(e, w, now_ms);
	struct classifier_shed limit = {
		.until_ns = (now_ms + LASTS_MS) * 1000000,
		.each_ns = each_ns - each_ns / 5,
		.burst_ns = ENGINE_PUNT_BURST_NS,
		.spare_ns = ENGINE_PUNT_SPARE_NS,
		.share_ns = each_ns * ENGINE_PUNT_SHARES,
		.asks = asks(&w->a),
		.by_target = engine_names_source(w),
		.route = e->conf.punt_excess_routed,
	};

	if (!e->out->shed || now_ms < w->shed_ms)
		return;
	w->shed_ms = now_ms + RENEW_MS;
	w->shed_flows = w->flows;
	if (!limit.asks || !owns_key(e, w, now_ms))
		return;
	count_shed(e, w, e->out->shed(e->ctx, wildtab_key(w), &limit));
	w->shed_until_ms = now_ms + LASTS_MS;
	e->shed_until_ms = w->shed_until_ms;
}

void engine_shed_end(struct engine *e, struct wildcard *w)
{
	const struct classifier_shed none = {.until_ns = 0};

	if (!w->shed_until_ms)
		return;
	count_shed(e, w, e->out->shed(e->ctx, wildtab_key(w), &none));
	w->shed_until_ms = 0;
}

void engine_shed_yield(struct engine *e, const struct wildcard *to)
{
	if (!e->shed_until_ms)
		return;
	for (struct wildcard *w = wildtab_first(e->wild); w; w = w->next)
		if (w->shed_until_ms && wildtab_may_precede(to, w))
			engine_shed_end(e, w);
}

void engine_shed_count(struct engine *e, uint64_t now_ms)
{
	if (!e->shed_until_ms)
		return;
	if (now_ms > e->shed_until_ms)
		e->shed_until_ms = 0; /* this is the last time */
	for (struct wildcard *w = wildtab_first(e->wild); w; w = w->next) {
		if (!w->shed_until_ms)
			continue;
		count_shed(e, w, e->out->shed(e->ctx, wildtab_key(w), NULL));
		if (now_ms > w->shed_until_ms)
			w->shed_until_ms = 0;
	}
}
