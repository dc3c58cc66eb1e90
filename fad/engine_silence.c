/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Managers that do not answer: when a wildcard's questions are in vain, so that
 * its packets need not wait for it, and when they are answered again.
 *
 * Must not know of packets: what becomes of them is engine_packet.c's.
 */
#include "fad/engine_priv.h"

/* The set of those that act has changed, and with it every plan. */
static void tell(struct engine *e, const struct wildcard *w, int what)
{
	bool routes = w->a.flags & WIRE_FLAG_ROUTE_SILENT;

	engine_void_plans(e);
	engine_tell(e,
		    &(struct engine_news){
			    .what = what, .manager = w->a.manager, .wildcard = w, .text = routes ? "route" : "drop"});
}

static void miss(struct answer_row *r, uint64_t asked_ms)
{
	if (!r->unanswered++)
		r->since_ms = asked_ms;
}

/* Many flows at once may wait for one short delay. */
static bool is_long(const struct answer_row *r, uint64_t now_ms)
{
	return r->unanswered >= ENGINE_SILENT_AFTER && now_ms - r->since_ms >= ENGINE_SILENT_MS;
}

void engine_unanswered(struct engine *e, struct manager *manager, struct wildcard *w, uint64_t asked_ms,
		       uint64_t now_ms)
{
	struct wild_silence *s = w ? &w->silence : NULL;

	if (manager)
		miss(&manager->row, asked_ms);
	if (!s || s->since_ms)
		return;
	e->unanswered += s->row.unanswered == 0;
	miss(&s->row, asked_ms);
	/* Who answers nobody else either need not be waited for as long under each of his wildcards. */
	if (!is_long(&s->row, now_ms) && !is_long(&w->a.manager->row, now_ms))
		return;
	s->since_ms = now_ms;
	s->probe_ms = now_ms + ENGINE_PROBE_MS;
	s->times++;
	w->a.manager->silent_wildcards++;
	engine_shed_end(e, w); /* what goes past it now is not to be dropped */
	engine_count(e, ENGINE_WILDCARDS_SILENT);
	tell(e, w, ENGINE_NEWS_UNANSWERED);
}

void engine_silence_inherit(struct engine *e, struct wildcard *w, const struct wildcard *older)
{
	w->silence = older->silence;
	e->unanswered += w->silence.row.unanswered > 0;
	w->a.manager->silent_wildcards += engine_is_silent(w);
}

void engine_silence_forget(struct engine *e, const struct wildcard *w)
{
	e->unanswered -= w->silence.row.unanswered > 0;
	w->a.manager->silent_wildcards -= engine_is_silent(w);
}

static void hear(struct engine *e, struct wildcard *w)
{
	struct wild_silence *s = &w->silence;
	bool silent = s->since_ms != 0;

	engine_silence_forget(e, w);
	s->row.unanswered = 0;
	s->since_ms = 0;
	if (!silent)
		return;
	engine_shed_end(e, w);   /* others come first now */
	engine_shed_yield(e, w); /* and it comes before others again */
	tell(e, w, ENGINE_NEWS_ANSWERED);
}

void engine_answered(struct engine *e, struct manager *manager, const struct flow_key *k)
{
	struct wildcard *wild[WILDTAB_MAX_MATCHES];
	size_t n;

	manager->row.unanswered = 0;
	if (!e->unanswered) /* as a rule */
		return;
	n = wildtab_match(e->wild, k, 0, wild, WILDTAB_MAX_MATCHES);
	for (size_t i = 0; i < n; i++)
		if (wild[i]->a.manager == manager)
			hear(e, wild[i]);
}
