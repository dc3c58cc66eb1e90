/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rows for the admin bus; see admin.h.  Each listing makes one array of items,
 * a row and the texts it points to, and one array of pointers to the rows.
 *
 * Must not know of sockets or clocks.
 */
#include "smd/admin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/counter.h"

#define PAGE_ROWS     500u
#define PAGE_MOST     2000u
#define HEX_LEN       20u /* 0x and 16 digits */
#define ENDPOINT_MOST 64u /* counters of the control endpoint */

static const char NO_MEMORY[] = "out of memory";

/* A string of ours in a generated struct, which has no const. */
static char *borrow(const char *text)
{
	return (char *)(uintptr_t)text;
}

/* ---- pages ---- */

static uint32_t page_limit(const Turnout__Request *request)
{
	if (!request->limit)
		return PAGE_ROWS;
	return request->limit < PAGE_MOST ? request->limit : PAGE_MOST;
}

/* Arrays of `rows` pointers and items. */
static bool page_alloc(struct admin *a, size_t rows, size_t item_size)
{
	a->rows = calloc(rows + 1, sizeof(void *));
	a->items = calloc(rows + 1, item_size);
	return a->rows && a->items;
}

/* Which of `total` things are on this page: from *first, *count of them. */
static bool page_begin(struct admin *a, const Turnout__Request *request, Turnout__Reply *reply, size_t total,
		       size_t item_size, size_t *first, size_t *count)
{
	size_t limit = page_limit(request);

	*first = request->cursor < total ? (size_t)request->cursor : total;
	*count = total - *first < limit ? total - *first : limit;
	if (*first + *count < total)
		reply->next = *first + *count;
	return page_alloc(a, *count, item_size);
}

void admin_release(struct admin *a)
{
	free(a->rows);
	free(a->items);
	a->rows = a->items = NULL;
}

static const char *proto_text(uint8_t proto)
{
	return proto == 6 ? "tcp" : "udp";
}

static const char *method_text(int method)
{
	return method == BALANCER_MAGLEV ? "maglev" : "round-robin";
}

/* ---- agents ---- */

struct agent_item {
	Turnout__AgentRow row;
	char name[WIRE_MAX_NAME + 1], identity[HEX_LEN], address[ENDPOINT_STRLEN];
};

static void fill_agent(struct agent_item *i, const struct agent *g, uint64_t now_ms)
{
	bool unable = agent_cannot(g) & (wire_bit(WIRE_SEG_NAT) | wire_bit(WIRE_SEG_INTEREST));

	turnout__agent_row__init(&i->row);
	snprintf(i->name, sizeof(i->name), "%s", g->name);
	snprintf(i->identity, sizeof(i->identity), "0x%llx", (unsigned long long)g->peer.identity);
	endpoint_print(&g->peer.addr, g->peer.port, i->address);
	i->row.name = i->name;
	i->row.identity = i->identity;
	i->row.address = i->address;
	i->row.state = borrow(agent_silent(g, now_ms) ? "silent" : unable ? "unable" : "known");
	i->row.age_s = (uint32_t)((now_ms - g->heard_ms) / 1000);
	i->row.punts = g->punts;
	i->row.fixed = g->fixed;
}

static const char *show_agents(struct admin *a, const Turnout__Request *request, Turnout__Reply *reply, uint64_t now_ms)
{
	const struct agents *all = manager_agents(a->manager);
	uint32_t number = (uint32_t)request->cursor, limit = page_limit(request);
	struct agent_item *items;
	const struct agent *g;

	if (request->cursor > UINT32_MAX)
		return NULL;
	if (!page_alloc(a, limit, sizeof(*items)))
		return NO_MEMORY;
	items = a->items;
	reply->agents = a->rows;
	while (reply->n_agents < limit && (g = agents_next(all, &number))) {
		fill_agent(&items[reply->n_agents], g, now_ms);
		reply->agents[reply->n_agents] = &items[reply->n_agents].row;
		reply->n_agents++;
	}
	if (reply->n_agents == limit && agents_next(all, &(uint32_t){number}))
		reply->next = number;
	return NULL;
}

/* ---- services and servers ---- */

struct service_item {
	Turnout__ServiceRow row;
	char vip[ADDR_STRLEN];
};

static const char *show_services(struct admin *a, const Turnout__Request *request, Turnout__Reply *reply)
{
	const struct services *s = manager_services(a->manager);
	struct service_item *items;
	size_t first, count;

	if (!page_begin(a, request, reply, s->vip_count, sizeof(*items), &first, &count))
		return NO_MEMORY;
	items = a->items;
	reply->services = a->rows;
	for (; reply->n_services < count; reply->n_services++) {
		const struct vip *v = &s->vips[first + reply->n_services];
		struct service_item *i = &items[reply->n_services];
		struct addr addr = service_key_addr(&v->key);

		turnout__service_row__init(&i->row);
		addr_print(&addr, i->vip);
		i->row.name = v->group->conf->name;
		i->row.vip = i->vip;
		i->row.protocol = borrow(proto_text(v->key.proto));
		i->row.port = v->key.port;
		i->row.method = borrow(method_text(v->group->conf->method));
		i->row.state = borrow(group_state_name(v->group->state));
		i->row.servers = balancer_usable(v->group->balancer);
		i->row.flows = v->flows;
		i->row.decisions = v->decisions;
		reply->services[reply->n_services] = &i->row;
	}
	return NULL;
}

struct server_item {
	Turnout__ServerRow row;
	char address[ADDR_STRLEN];
};

static const char *show_servers(struct admin *a, const Turnout__Request *request, Turnout__Reply *reply)
{
	const struct services *s = manager_services(a->manager);
	struct server_item *items;
	size_t first, count;

	if (!page_begin(a, request, reply, s->backend_count, sizeof(*items), &first, &count))
		return NO_MEMORY;
	items = a->items;
	reply->servers = a->rows;
	for (; reply->n_servers < count; reply->n_servers++) {
		const struct backend *b = &s->backends[first + reply->n_servers];
		struct server_item *i = &items[reply->n_servers];
		struct addr addr = service_key_addr(&b->key);

		turnout__server_row__init(&i->row);
		addr_print(&addr, i->address);
		i->row.service = b->group->conf->name;
		i->row.name = b->conf->name;
		i->row.address = i->address;
		i->row.port = b->key.port;
		i->row.weight = b->conf->weight;
		i->row.state = borrow(health_state_name(backend_health(b)));
		i->row.flows = b->flows;
		i->row.decisions = b->decisions;
		i->row.check = b->check ? b->check->text : borrow("none");
		reply->servers[reply->n_servers] = &i->row;
	}
	return NULL;
}

/* ---- affinities ---- */

struct affinity_item {
	Turnout__AffinityRow row;
	char source[ENDPOINT_STRLEN], destination[ENDPOINT_STRLEN], actions[ENDPOINT_STRLEN + 8];
};

static void fill_affinity(const struct admin *a, struct affinity_item *i, const struct flow *f, bool forward,
			  uint64_t now_ms)
{
	const struct flow_key *k = forward ? &f->forward : &f->reverse;
	const struct backend *b = &manager_services(a->manager)->backends[f->backend];
	struct addr src = addr_make(k->family, k->src), dst = addr_make(k->family, k->dst);
	struct addr server = service_key_addr(&b->key), vip = addr_make(k->family, f->forward.dst);
	char where[ENDPOINT_STRLEN];

	turnout__affinity_row__init(&i->row);
	endpoint_print(&src, k->sport, i->source);
	endpoint_print(&dst, k->dport, i->destination);
	if (f->kind == FLOW_PASS)
		snprintf(i->actions, sizeof(i->actions), "none");
	else if (forward)
		snprintf(i->actions, sizeof(i->actions), "dnat %s", endpoint_print(&server, b->key.port, where));
	else
		snprintf(i->actions, sizeof(i->actions), "snat %s", endpoint_print(&vip, f->forward.dport, where));
	i->row.manager = borrow(a->name);
	i->row.protocol = borrow(proto_text(k->proto));
	i->row.source = i->source;
	i->row.destination = i->destination;
	i->row.actions = i->actions;
	i->row.precedence = b->group->conf->precedence;
	i->row.ttl_s = b->group->ttl_s;
	i->row.left_s = f->expires_ms > now_ms ? (uint32_t)((f->expires_ms - now_ms) / 1000) : 0;
	i->row.server = b->conf->name;
}

static void add_affinity(const struct admin *a, Turnout__Reply *reply, const struct flow *f, bool forward,
			 uint64_t now_ms)
{
	struct affinity_item *i = &((struct affinity_item *)a->items)[reply->n_affinities];

	fill_affinity(a, i, f, forward, now_ms);
	reply->affinities[reply->n_affinities++] = &i->row;
}

/* A flow has one or two rows, which stay on one page. */
static const char *show_affinities(struct admin *a, const Turnout__Request *request, Turnout__Reply *reply,
				   uint64_t now_ms)
{
	struct flows *all = manager_flows(a->manager);
	uint32_t slot = (uint32_t)request->cursor, limit = page_limit(request);
	const struct flow *f;

	if (request->cursor > UINT32_MAX)
		return NULL;
	if (!page_alloc(a, limit + 1, sizeof(struct affinity_item)))
		return NO_MEMORY;
	reply->affinities = a->rows;
	while (reply->n_affinities < limit && (f = flows_next(all, &slot))) {
		if (f->kind == FLOW_NAT)
			add_affinity(a, reply, f, true, now_ms);
		add_affinity(a, reply, f, false, now_ms);
	}
	if (reply->n_affinities >= limit && flows_next(all, &(uint32_t){slot}))
		reply->next = slot;
	return NULL;
}

/* ---- counters ---- */

static const struct counter_desc manager_descs[] = {
#define X(id, group, name, help) [MANAGER_##id] = {group, name, help},
	MANAGER_COUNTERS(X)
#undef X
};

static const struct counter_desc now_descs[] = {
	{"now", "agents", "agents known"},
	{"now", "flows", "flows remembered"},
};
#define NOW_COUNT (sizeof(now_descs) / sizeof(now_descs[0]))

static size_t endpoint_rows(const struct endpoint *ep, Turnout__CounterRow *rows)
{
	struct endpoint_counter c[ENDPOINT_MOST];
	size_t n = ep ? endpoint_counters(ep, c, ENDPOINT_MOST) : 0;

	for (size_t i = 0; i < n; i++)
		counter_row(&(struct counter_desc){c[i].group, c[i].name, c[i].help}, c[i].value, &rows[i]);
	return n;
}

static const char *show_counters(struct admin *a, Turnout__Reply *reply)
{
	const uint64_t now[NOW_COUNT] = {agents_count(manager_agents(a->manager)),
					 flows_count(manager_flows(a->manager))};
	Turnout__CounterRow *rows;
	size_t n;

	if (!page_alloc(a, MANAGER_COUNTER_COUNT + NOW_COUNT + ENDPOINT_MOST + BUS_COUNTERS, sizeof(*rows)))
		return NO_MEMORY;
	rows = a->items;
	n = counter_rows(now_descs, now, NOW_COUNT, rows);
	n += counter_rows(manager_descs, manager_counters(a->manager), MANAGER_COUNTER_COUNT, rows + n);
	n += endpoint_rows(a->endpoint, rows + n);
	n += a->bus ? bus_server_counters(a->bus, rows + n) : 0;
	reply->counters = a->rows;
	for (size_t i = 0; i < n; i++)
		reply->counters[i] = &rows[i];
	reply->n_counters = n;
	return NULL;
}

/* ---- version ---- */

struct version_item {
	Turnout__VersionRow row;
	char identity[HEX_LEN], incarnation[HEX_LEN];
};

static const char *show_version(struct admin *a, Turnout__Reply *reply, uint64_t now_ms)
{
	struct version_item *i;

	if (!page_alloc(a, 1, sizeof(*i)))
		return NO_MEMORY;
	i = a->items;
	turnout__version_row__init(&i->row);
	snprintf(i->identity, sizeof(i->identity), "0x%llx", (unsigned long long)manager_conf(a->manager)->identity);
	if (a->endpoint)
		snprintf(i->incarnation, sizeof(i->incarnation), "0x%llx",
			 (unsigned long long)endpoint_incarnation(a->endpoint));
	i->row.program = borrow("smd");
	i->row.version = borrow(TURNOUT_VERSION);
	i->row.identity = i->identity;
	i->row.incarnation = i->incarnation;
	i->row.uptime_s = (now_ms - a->started_ms) / 1000;
	reply->version = &i->row;
	return NULL;
}

const char *admin_answer(struct admin *a, const Turnout__Request *request, Turnout__Reply *reply, uint64_t now_ms)
{
	switch (request->what_case) {
	case TURNOUT__REQUEST__WHAT_SHOW_AGENTS:
		return show_agents(a, request, reply, now_ms);
	case TURNOUT__REQUEST__WHAT_SHOW_SERVICES:
		return show_services(a, request, reply);
	case TURNOUT__REQUEST__WHAT_SHOW_SERVERS:
		return show_servers(a, request, reply);
	case TURNOUT__REQUEST__WHAT_SHOW_AFFINITIES:
		return show_affinities(a, request, reply, now_ms);
	case TURNOUT__REQUEST__WHAT_SHOW_COUNTERS:
		return show_counters(a, reply);
	case TURNOUT__REQUEST__WHAT_VERSION:
		return show_version(a, reply, now_ms);
	default:
		return BUS_NOT_KNOWN;
	}
}
