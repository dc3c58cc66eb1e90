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

	e->generation++;
	engine_tell(e,
		    &(struct engine_news){
			    .what = what, .manager = w->a.manager, .wildcard = w, .text = routes ? "route" : "drop"});
}

void engine_unanswered(struct engine *e, struct wildcard *w, uint64_t asked_ms, uint64_t now_ms)
{
	struct wild_silence *s = &w->silence;

	if (s->since_ms)
		return;
	if (!s->unanswered++) {
		s->unanswered_ms = asked_ms;
		e->unanswered++;
	}
	/* Many flows at once may wait for one short delay. */
	if (s->unanswered < ENGINE_SILENT_AFTER || now_ms - s->unanswered_ms < ENGINE_SILENT_MS)
		return;
	s->since_ms = now_ms;
	s->probe_ms = now_ms + ENGINE_PROBE_MS;
	s->times++;
	w->a.manager->silent_wildcards++;
	engine_count(e, ENGINE_WILDCARDS_SILENT);
	tell(e, w, ENGINE_NEWS_UNANSWERED);
}

void engine_silence_inherit(struct engine *e, struct wildcard *w, const struct wildcard *older)
{
	w->silence = older->silence;
	e->unanswered += w->silence.unanswered > 0;
	w->a.manager->silent_wildcards += engine_is_silent(w);
}

void engine_silence_forget(struct engine *e, const struct wildcard *w)
{
	e->unanswered -= w->silence.unanswered > 0;
	w->a.manager->silent_wildcards -= engine_is_silent(w);
}

static void hear(struct engine *e, struct wildcard *w)
{
	struct wild_silence *s = &w->silence;
	bool silent = s->since_ms != 0;

	engine_silence_forget(e, w);
	s->unanswered = 0;
	s->since_ms = 0;
	if (silent)
		tell(e, w, ENGINE_NEWS_ANSWERED);
}

void engine_answered(struct engine *e, const struct manager *manager, const struct flow_key *k)
{
	struct wildcard *wild[WILDTAB_MAX_MATCHES];
	size_t n;

	if (!e->unanswered) /* as a rule */
		return;
	n = wildtab_match(e->wild, k, 0, wild, WILDTAB_MAX_MATCHES);
	for (size_t i = 0; i < n; i++)
		if (wild[i]->a.manager == manager)
			hear(e, wild[i]);
}
