/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * routed-glue's answers on the admin bus.  Rows borrow their strings; only
 * those of routes own theirs.  Must not know of sockets or netlink.
 */
#include "routed-glue/admin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/bus.h"

#define PAGE_ROWS 1000 /* unless fewer are asked for */

static const char out_of_memory[] = "out of memory";

static const struct counter_desc descriptions[GLUE_COUNTERS] = {
	[GLUE_EVENTS] = {"agents", "events", "events received from agents"},
	[GLUE_SNAPSHOTS] = {"agents", "snapshots", "whole sets received from agents and put in force"},
	[GLUE_LEASES_EXPIRED] = {"agents", "leases-expired", "sets withdrawn because their agent was silent"},
	[GLUE_STOPS] = {"agents", "stops", "planned stops that agents announced"},
	[GLUE_HOLDS_EXPIRED] = {"agents", "holds-expired",
				"times a stopped agent was not back in time with what was kept for it"},
	[GLUE_BAD_PREFIX] = {"message-drops", "bad-prefix", "prefixes that are none or may not be announced"},
	[GLUE_NO_ROOM] = {"message-drops", "no-room", "prefixes beyond the configured number"},
	[GLUE_ADDED] = {"routes", "added", "routes put into the kernel"},
	[GLUE_DELETED] = {"routes", "deleted", "routes taken out of the kernel"},
	[GLUE_REFUSED] = {"routes", "refused", "attempts that the kernel refused"},
	[GLUE_AUDITS] = {"audit", "audits", "comparisons with the kernel's table"},
	[GLUE_MISSING] = {"audit", "missing", "routes found gone, and put in again"},
	[GLUE_UNEXPECTED] = {"audit", "unexpected", "routes found that were not put there"},
	[GLUE_REPAIRS] = {"audit", "repairs", "times the device was put right"},
	[GLUE_KERNEL_ERRORS] = {"audit", "kernel-errors", "requests to the kernel that failed as a whole"},
	[GLUE_FRR_AUDITS] = {"audit", "frr-audits", "comparisons with FRRouting's table"},
	[GLUE_FRR_HEALED] = {"audit", "frr-healed", "routes put in anew because FRRouting had them wrong"},
	[GLUE_FRR_UNREACHABLE] = {"audit", "frr-unreachable", "times FRRouting could not be asked"},
};

/* What is so now, rather than what has happened. */
enum gauge { GAUGE_INSTALLED, GAUGE_CONFLICT, GAUGE_FAILED, GAUGE_CONFIGURED, GAUGE_SYNCED, GAUGE_DROPPED, GAUGES };

static const struct counter_desc gauges[GAUGES] = {
	[GAUGE_INSTALLED] = {"routes", "installed", "routes of ours in the kernel now"},
	[GAUGE_CONFLICT] = {"routes", "conflict", "prefixes that somebody else has a route for now"},
	[GAUGE_FAILED] = {"routes", "failed", "prefixes that the kernel refuses now"},
	[GAUGE_CONFIGURED] = {"agents", "configured", "agents to follow"},
	[GAUGE_SYNCED] = {"agents", "synced", "agents whose set is known to be current now"},
	[GAUGE_DROPPED] = {"drops", "unmatched", "packets to announced prefixes that no affinity took up"},
};

/* ---- memory of a reply ---- */

/* Room for rows of one type and for the pointers to them that protobuf wants. */
static bool make_rows(struct admin *a, size_t count, size_t size)
{
	a->rows = calloc(count ? count : 1, size);
	a->pointers = calloc(count ? count : 1, sizeof(void *));
	if (!a->rows || !a->pointers) {
		admin_release(a);
		return false;
	}
	for (size_t i = 0; i < count; i++)
		((void **)a->pointers)[i] = (char *)a->rows + i * size;
	return true;
}

/* The text of one route row. */
struct route_row {
	Turnout__RouteRow row; /* first: row pointers point here */
	char prefix[PREFIX_STRLEN];
	char *agents;
};

static void free_texts(struct admin *a)
{
	struct route_row *r = a->rows;

	for (size_t i = 0; i < a->row_count; i++)
		free(r[i].agents);
	a->row_count = 0;
}

void admin_release(struct admin *a)
{
	if (a->rows)
		free_texts(a);
	free(a->rows);
	free(a->pointers);
	a->rows = NULL;
	a->pointers = NULL;
}

/* ---- routes ---- */

static int by_prefix(const void *pa, const void *pb)
{
	const struct wanted_prefix *const *a = pa, *const *b = pb;

	return prefix_compare(&(*a)->prefix, &(*b)->prefix);
}

/* Everything worth listing, in prefix order; NULL: out of memory. */
static const struct wanted_prefix **sorted(const struct admin *a, size_t *count)
{
	const struct wanted *w = glue_wanted(a->glue);
	const struct wanted_prefix **list = calloc(wanted_count(w) + 1, sizeof(*list)), *p = NULL;

	*count = 0;
	if (!list)
		return NULL;
	while ((p = wanted_next(w, p)))
		if (glue_route_state(a->glue, p))
			list[(*count)++] = p;
	qsort(list, *count, sizeof(*list), by_prefix);
	return list;
}

/* "fad,fad2"; NULL: out of memory. */
static char *agent_names(const struct admin *a, uint64_t agents)
{
	size_t len = 1;
	char *text, *end;

	for (size_t i = 0; i < a->conf->agents.count; i++)
		if (agents >> i & 1)
			len += strlen(glue_config_agent(a->conf, i)) + 1;
	text = end = calloc(1, len);
	for (size_t i = 0; text && i < a->conf->agents.count; i++) {
		if (!(agents >> i & 1))
			continue;
		if (end != text)
			*end++ = ',';
		end = stpcpy(end, glue_config_agent(a->conf, i));
	}
	return text;
}

static bool fill_route(struct admin *a, const struct wanted_prefix *p, struct route_row *r)
{
	turnout__route_row__init(&r->row);
	r->agents = agent_names(a, wanted_by(p));
	if (!r->agents)
		return false;
	r->row.prefix = (char *)(uintptr_t)prefix_print(&p->prefix, r->prefix);
	r->row.state = (char *)(uintptr_t)glue_route_state(a->glue, p);
	r->row.agents = r->agents;
	r->row.references = (uint32_t)__builtin_popcountll(wanted_by(p));
	return true;
}

static const char *show_routes(struct admin *a, const Turnout__Request *request, Turnout__Reply *reply)
{
	size_t total, limit = request->limit && request->limit < PAGE_ROWS ? request->limit : PAGE_ROWS;
	const struct wanted_prefix **list = sorted(a, &total);
	size_t first = request->cursor < total ? request->cursor : total;
	size_t count = total - first < limit ? total - first : limit;
	const char *error = NULL;

	if (!list || !make_rows(a, count, sizeof(struct route_row))) {
		free(list);
		return out_of_memory;
	}
	for (; !error && a->row_count < count; a->row_count++)
		if (!fill_route(a, list[first + a->row_count], &((struct route_row *)a->rows)[a->row_count]))
			error = out_of_memory;
	free(list);
	reply->routes = a->pointers;
	reply->n_routes = count;
	reply->next = first + count < total ? first + count : 0;
	return error;
}

/* ---- counters, version ---- */

static void read_gauges(const struct admin *a, uint64_t values[GAUGES])
{
	const struct view *v = glue_view(a->glue);

	values[GAUGE_INSTALLED] = view_count(v, VIEW_INSTALLED);
	values[GAUGE_CONFLICT] = view_count(v, VIEW_CONFLICT);
	values[GAUGE_FAILED] = view_count(v, VIEW_FAILED);
	values[GAUGE_CONFIGURED] = glue_agents(a->glue);
	values[GAUGE_SYNCED] = 0;
	for (unsigned i = 0; i < glue_agents(a->glue); i++)
		values[GAUGE_SYNCED] += glue_follow(a->glue, i)->synced;
	values[GAUGE_DROPPED] = a->dropped;
}

static const char *show_counters(struct admin *a, Turnout__Reply *reply)
{
	size_t room = GLUE_COUNTERS + GAUGES + a->more_count, n;
	Turnout__CounterRow *rows;
	uint64_t values[GAUGES];

	if (!make_rows(a, room, sizeof(Turnout__CounterRow)))
		return out_of_memory;
	rows = a->rows;
	read_gauges(a, values);
	n = counter_rows(gauges, values, GAUGES, rows);
	n += counter_rows(descriptions, glue_counters(a->glue), GLUE_COUNTERS, rows + n);
	for (size_t i = 0; i < a->more_count; i++)
		rows[n++] = a->more[i];
	reply->counters = a->pointers;
	reply->n_counters = n;
	return NULL;
}

static const char *show_version(struct admin *a, Turnout__Reply *reply)
{
	static const char program[] = "routed-glue", version[] = TURNOUT_VERSION;

	turnout__version_row__init(&a->version);
	a->version.program = (char *)(uintptr_t)program;
	a->version.version = (char *)(uintptr_t)version;
	a->version.uptime_s = (a->now_ms - a->started_ms) / 1000;
	reply->version = &a->version;
	return NULL;
}

static const char *show_settings(struct admin *a, Turnout__Reply *reply)
{
	char text[ADDR_STRLEN];

	a->settings.count = 0;
	settings_add(&a->settings, "interface", "%s", a->conf->interface);
	settings_add(&a->settings, "address", "%s", addr_print(&a->conf->address, text));
	settings_add(&a->settings, "protocol", "%u", a->conf->protocol);
	settings_add(&a->settings, "frr", "%s", a->conf->frr);
	settings_give(&a->settings, reply);
	return NULL;
}

const char *admin_answer(struct admin *a, const Turnout__Request *request, Turnout__Reply *reply)
{
	switch (request->what_case) {
	case TURNOUT__REQUEST__WHAT_SHOW_ROUTES:
		return show_routes(a, request, reply);
	case TURNOUT__REQUEST__WHAT_SHOW_COUNTERS:
		return show_counters(a, reply);
	case TURNOUT__REQUEST__WHAT_VERSION:
		return show_version(a, reply);
	case TURNOUT__REQUEST__WHAT_SHOW_SETTINGS:
		return show_settings(a, reply);
	default:
		return BUS_NOT_KNOWN;
	}
}
