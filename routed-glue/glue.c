/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The glue's reasoning: agents' words in, route operations out.
 *
 * Pure; must not know of sockets, protobuf or netlink.
 */
#include "routed-glue/glue.h"

#include <stdlib.h>

/* After a planned stop of an agent. */
struct stop {
	uint64_t until_ms; /* 0: none */
	uint64_t version;  /* of its last set; a later one is its successor's */
};

struct glue {
	struct glue_conf conf;
	struct follow *follow; /* conf.agents of them */
	struct stop *stops;    /* conf.agents of them */
	struct glue_ended ended;
	struct wanted *wanted;
	struct view *view;
	bool dirty;
	uint64_t counters[GLUE_COUNTERS];
};

struct glue *glue_new(const struct glue_conf *conf)
{
	struct glue *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	g->conf = *conf;
	g->follow = calloc(conf->agents, sizeof(*g->follow));
	g->stops = calloc(conf->agents, sizeof(*g->stops));
	g->wanted = wanted_new(&conf->limits);
	g->view = view_new(conf->metric);
	if (!g->follow || !g->stops || !g->wanted || !g->view) {
		glue_free(g);
		return NULL;
	}
	return g;
}

void glue_free(struct glue *g)
{
	if (!g)
		return;
	view_free(g->view);
	wanted_free(g->wanted);
	free(g->stops);
	free(g->follow);
	free(g);
}

/* ---- what agents say ---- */

static struct glue_ask from_start(struct glue *g, unsigned agent)
{
	wanted_discard(g->wanted, agent);
	return (struct glue_ask){.ask = true};
}

static struct glue_ask after(struct glue *g, unsigned agent, enum follow_event e)
{
	return e == FOLLOW_ASK ? from_start(g, agent) : (struct glue_ask){0};
}

/* A prefix that cannot be used costs itself only, not the agent's other ones. */
static void for_each_good(struct glue *g, unsigned agent, struct glue_prefixes list,
			  bool (*use)(struct wanted *w, unsigned agent, const struct prefix *p))
{
	struct prefix p;

	for (size_t i = 0; i < list.count; i++) {
		if (prefix_parse(list.text[i], &p))
			g->counters[GLUE_BAD_PREFIX]++;
		else if (!use(g->wanted, agent, &p))
			g->counters[GLUE_NO_ROOM]++;
	}
}

static bool use_removal(struct wanted *w, unsigned agent, const struct prefix *p)
{
	wanted_remove(w, agent, p);
	return true;
}

struct glue_ask glue_heartbeat(struct glue *g, unsigned agent, uint64_t seq, uint64_t version, uint64_t now_ms)
{
	g->counters[GLUE_EVENTS]++;
	return after(g, agent, follow_heartbeat(&g->follow[agent], seq, version, now_ms));
}

struct glue_ask glue_change(struct glue *g, unsigned agent, uint64_t seq, uint64_t version, struct glue_prefixes add,
			    struct glue_prefixes remove, uint64_t now_ms)
{
	enum follow_event e = follow_change(&g->follow[agent], seq, version, now_ms);

	g->counters[GLUE_EVENTS]++;
	if (e != FOLLOW_APPLY)
		return after(g, agent, e);
	for_each_good(g, agent, remove, use_removal);
	for_each_good(g, agent, add, wanted_add);
	return (struct glue_ask){0};
}

struct glue_ask glue_stopping(struct glue *g, unsigned agent, uint64_t seq, uint64_t hold_ms, uint64_t now_ms)
{
	struct follow *f = &g->follow[agent];
	enum follow_event e = follow_other(f, seq, now_ms);

	g->counters[GLUE_EVENTS]++;
	g->counters[GLUE_STOPS]++;
	if (hold_ms == 0) { /* that ends an earlier hold, too */
		wanted_unkeep(g->wanted, agent);
		wanted_withdraw(g->wanted, agent);
		g->stops[agent].until_ms = 0;
		return after(g, agent, e);
	}
	if (hold_ms > GLUE_STOP_HOLD_MAX_MS)
		hold_ms = GLUE_STOP_HOLD_MAX_MS;
	wanted_keep(g->wanted, agent);
	g->stops[agent] = (struct stop){.until_ms = now_ms + hold_ms, .version = f->version};
	return after(g, agent, e);
}

struct glue_ask glue_other(struct glue *g, unsigned agent, uint64_t seq, uint64_t now_ms)
{
	g->counters[GLUE_EVENTS]++;
	return after(g, agent, follow_other(&g->follow[agent], seq, now_ms));
}

struct glue_ask glue_page(struct glue *g, unsigned agent, uint64_t id, uint64_t version, uint64_t next,
			  struct glue_prefixes prefixes, uint64_t now_ms)
{
	struct follow *f = &g->follow[agent];
	enum follow_answer a = follow_answer(f, id, version, next != 0, now_ms);

	if (a == FOLLOW_IGNORE) {
		if (!f->paging)
			wanted_discard(g->wanted, agent);
		return (struct glue_ask){0};
	}
	if (a == FOLLOW_DISCARD_ASK)
		return from_start(g, agent);
	for_each_good(g, agent, prefixes, wanted_stage);
	if (a == FOLLOW_MORE)
		return (struct glue_ask){.ask = true, .cursor = next};
	wanted_commit(g->wanted, agent);
	g->counters[GLUE_SNAPSHOTS]++;
	return a == FOLLOW_COMMIT_ASK ? from_start(g, agent) : (struct glue_ask){0};
}

void glue_refused(struct glue *g, unsigned agent, uint64_t id, uint64_t now_ms)
{
	struct follow *f = &g->follow[agent];

	follow_refused(f, id, now_ms);
	if (!f->paging)
		wanted_discard(g->wanted, agent);
}

void glue_asked(struct glue *g, unsigned agent, uint64_t id, uint64_t cursor, uint64_t now_ms)
{
	struct follow *f = &g->follow[agent];

	if (cursor == 0) {
		wanted_discard(g->wanted, agent); /* of an earlier request, given up half way */
		f->paging = false;
	}
	follow_asked(f, id, now_ms);
}

bool glue_may_refresh(const struct glue *g, unsigned agent, uint64_t now_ms)
{
	return follow_may_refresh(&g->follow[agent], g->conf.lease_ms, now_ms);
}

/* ---- time ---- */

static void end_hold(struct glue *g, unsigned agent, uint64_t *bits)
{
	wanted_unkeep(g->wanted, agent);
	g->stops[agent].until_ms = 0;
	*bits |= UINT64_C(1) << agent;
}

/* Has a planned stop's hold come to its end?  Returns when it will, at the latest. */
static uint64_t step_hold(struct glue *g, unsigned agent, uint64_t now_ms)
{
	const struct stop *s = &g->stops[agent];
	const struct follow *f = &g->follow[agent];

	if (s->until_ms == 0)
		return UINT64_MAX;
	if (f->held && f->version > s->version && wanted_kept_only(g->wanted, agent) == 0) {
		end_hold(g, agent, &g->ended.back);
	} else if (now_ms >= s->until_ms) {
		end_hold(g, agent, &g->ended.late);
		g->counters[GLUE_HOLDS_EXPIRED]++;
	} else {
		return s->until_ms;
	}
	return UINT64_MAX;
}

static void expire(struct glue *g, unsigned agent, uint64_t *expired)
{
	wanted_withdraw(g->wanted, agent);
	if (g->stops[agent].until_ms != 0)
		return; /* it said so */
	g->counters[GLUE_LEASES_EXPIRED]++;
	*expired |= UINT64_C(1) << agent;
}

uint64_t glue_step(struct glue *g, uint64_t now_ms, uint64_t *expired)
{
	uint64_t again = UINT64_MAX, due;
	bool changed;

	*expired = 0;
	for (unsigned i = 0; i < g->conf.agents; i++) {
		if (follow_expired(&g->follow[i], g->conf.lease_ms, now_ms))
			expire(g, i, expired);
		due = step_hold(g, i, now_ms);
		again = due < again ? due : again;
	}
	due = wanted_step(g->wanted, now_ms, &changed);
	again = due < again ? due : again;
	g->dirty |= changed;
	for (unsigned i = 0; i < g->conf.agents; i++) {
		due = follow_deadline(&g->follow[i], g->conf.lease_ms);
		again = due < again ? due : again;
	}
	return again;
}

struct glue_ended glue_ended(struct glue *g)
{
	struct glue_ended ended = g->ended;

	g->ended = (struct glue_ended){0};
	return ended;
}

/* ---- the kernel ---- */

bool glue_dirty(const struct glue *g)
{
	return g->dirty;
}

ssize_t glue_plan(struct glue *g, struct route_op **ops)
{
	const struct wanted_prefix *e = NULL;
	size_t count = 0, room = wanted_count(g->wanted);
	struct prefix *announced = calloc(room ? room : 1, sizeof(*announced));
	ssize_t n;

	*ops = NULL;
	if (!announced)
		return -1;
	while ((e = wanted_next(g->wanted, e)))
		if (e->announced)
			announced[count++] = e->prefix;
	n = view_plan(g->view, announced, count, ops);
	free(announced);
	g->dirty = n < 0;
	return n;
}

bool glue_result(struct glue *g, const struct route_op *op, int error)
{
	bool add = op->kind == ROUTE_ADD;

	g->counters[error ? GLUE_REFUSED : add ? GLUE_ADDED : GLUE_DELETED]++;
	return view_result(g->view, op, error);
}

void glue_loaded(struct glue *g, const struct route *routes, size_t count)
{
	size_t unexpected, missing = view_load(g->view, routes, count, &unexpected);

	g->counters[GLUE_AUDITS]++;
	g->counters[GLUE_MISSING] += missing;
	g->counters[GLUE_UNEXPECTED] += unexpected;
	g->dirty = true;
}

void glue_retry(struct glue *g, const struct prefix *p)
{
	if (view_retry(g->view, p) > 0)
		g->dirty = true;
}

/* ---- for listings ---- */

uint64_t *glue_counters(struct glue *g)
{
	return g->counters;
}

const struct wanted *glue_wanted(const struct glue *g)
{
	return g->wanted;
}

const struct view *glue_view(const struct glue *g)
{
	return g->view;
}

const struct follow *glue_follow(const struct glue *g, unsigned agent)
{
	return &g->follow[agent];
}

size_t glue_agents(const struct glue *g)
{
	return g->conf.agents;
}

const char *glue_route_state(const struct glue *g, const struct wanted_prefix *p)
{
	if (!p->announced)
		return wanted_by(p) ? "damped" : NULL;
	switch (view_state(g->view, &p->prefix, NULL)) {
	case VIEW_INSTALLED:
		return p->agents ? "installed" : p->kept ? "kept" : "held";
	case VIEW_CONFLICT:
		return "conflict";
	case VIEW_FAILED:
		return "failed";
	case VIEW_ABSENT:
		break;
	}
	return "wanted";
}
