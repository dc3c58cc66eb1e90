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
#include "smd/keys.h"

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

/* ---- agents ---- */

struct agent_item {
	Turnout__AgentRow row;
	char name[WIRE_MAX_NAME + 1], identity[HEX_LEN], address[ENDPOINT_STRLEN];
};

static void fill_agent(struct agent_item *i, const struct agent *g, uint32_t needs, uint64_t now_ms)
{
	bool unable = agent_cannot(g) & needs;

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
		fill_agent(&items[reply->n_agents], g, manager_needs(a->manager), now_ms);
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

static void fill_service(struct service_item *i, const struct vip *v)
{
	struct addr addr = service_key_addr(&v->key);

	addr_print(&addr, i->vip);
	i->row.name = v->group->conf->name;
	i->row.vip = i->vip;
	i->row.protocol = borrow(proto_text(v->key.proto));
	i->row.port = v->key.port;
	i->row.method = borrow(balancer_method_name(v->group->conf->method));
	i->row.mode = borrow(smd_config_mode_name(v->group->conf->mode));
	i->row.state = borrow(group_state_name(v->group->state));
	i->row.servers = balancer_usable(v->group->balancer);
	i->row.flows = v->flows;
	i->row.decisions = v->decisions;
}

/* It decides nothing here: its rules are at the agents. */
static void fill_filter(struct service_item *i, const struct filter_conf *f)
{
	i->row.name = f->name;
	i->row.vip = borrow("any");
	i->row.protocol = borrow("any");
	i->row.method = borrow("filter");
	i->row.state = borrow(group_state_name(GROUP_ANNOUNCED));
}

/* The VIPs, then the filters. */
static const char *show_services(struct admin *a, const Turnout__Request *request, Turnout__Reply *reply)
{
	const struct services *s = manager_services(a->manager);
	const struct smd_conf *conf = manager_conf(a->manager);
	struct service_item *items;
	size_t first, count;

	if (!page_begin(a, request, reply, s->vip_count + conf->filters.count, sizeof(*items), &first, &count))
		return NO_MEMORY;
	items = a->items;
	reply->services = a->rows;
	for (; reply->n_services < count; reply->n_services++) {
		struct service_item *i = &items[reply->n_services];
		size_t n = first + reply->n_services;

		turnout__service_row__init(&i->row);
		if (n < s->vip_count)
			fill_service(i, &s->vips[n]);
		else
			fill_filter(i, smd_config_filter(conf, n - s->vip_count));
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
	for (size_t n = first; n < first + count; n++) {
		const struct backend *b = &s->backends[n];
		struct server_item *i = &items[reply->n_servers];
		struct addr addr = service_key_addr(&b->key);

		if (b->removed && !b->flows)
			continue;
		turnout__server_row__init(&i->row);
		addr_print(&addr, i->address);
		i->row.service = b->group->conf->name;
		i->row.name = b->conf->name;
		i->row.address = i->address;
		i->row.port = b->key.port;
		i->row.weight = b->conf->weight;
		i->row.state = borrow(backend_state_name(b));
		i->row.flows = b->flows;
		i->row.decisions = b->decisions;
		i->row.check = b->check ? b->check->text : borrow("none");
		i->row.connections = b->connections;
		reply->servers[reply->n_servers++] = &i->row;
	}
	return NULL;
}

/* ---- wildcards ---- */

struct wildcard_item {
	Turnout__WildcardRow row;
	char protocol[8], name[80], advertise[ADDR_STRLEN + 4], actions[320];
	char source[2 * ADDR_STRLEN], destination[2 * ADDR_STRLEN];
};

static void print_masked(uint8_t family, const uint8_t *bytes, const uint8_t *mask, char *text, size_t size)
{
	struct addr a = addr_make(family, bytes), m = addr_make(family, mask);
	char where[ADDR_STRLEN], which[ADDR_STRLEN];
	unsigned bits = 0;
	uint8_t prefix[16] = {0};

	for (size_t i = 0; i < addr_len(family); i++)
		bits += (unsigned)__builtin_popcount(mask[i]);
	addr_mask(family, (uint8_t)bits, prefix);
	if (memcmp(prefix, mask, addr_len(family)) == 0)
		snprintf(text, size, "%s/%u", addr_print(&a, where), bits);
	else /* a partition's: the low bits */
		snprintf(text, size, "%s/%s", addr_print(&a, where), addr_print(&m, which));
}

static void describe_wildcard(const struct manager_wildcard *w, char *text, size_t size)
{
	char where[ENDPOINT_STRLEN];
	size_t used;

	if (w->nat) {
		bool to = w->nat->set & WIRE_NAT_DST;

		snprintf(text, size, "%s %s", to ? "to" : "from",
			 endpoint_print(to ? &w->nat->dst : &w->nat->src, to ? w->nat->dport : w->nat->sport, where));
		return;
	}
	used = (size_t)snprintf(text, size, "%s",
				w->punts                               ? "ask about every packet"
				: w->rejects                           ? "reject"
				: w->match->flags & WIRE_FLAG_DISPATCH ? "drop"
								       : "go on");

	for (uint8_t i = 0; i < w->range_count && used < size; i++)
		used += (size_t)snprintf(text + used, size - used, "%s%u-%u", i ? "," : " of ports ",
					 w->ranges[i].low_port, w->ranges[i].high_port);
}

static void fill_wildcard(const struct admin *a, struct wildcard_item *i, const struct manager_wildcard *w)
{
	turnout__wildcard_row__init(&i->row);
	print_masked(w->match->family, w->match->src, w->match->src_mask, i->source, sizeof(i->source));
	print_masked(w->match->family, w->match->dst, w->match->dst_mask, i->destination, sizeof(i->destination));
	describe_wildcard(w, i->actions, sizeof(i->actions));
	if (w->filter)
		snprintf(i->name, sizeof(i->name), "%s rule %u", w->filter->name, w->rule);
	else if (w->service)
		snprintf(i->name, sizeof(i->name), "%s", w->service->name);
	i->row.manager = borrow(a->name);
	i->row.protocol = borrow(proto_name(w->match->proto, i->protocol));
	i->row.source = i->source;
	i->row.destination = i->destination;
	i->row.sport = w->match->sport;
	i->row.dport = w->match->dport;
	i->row.precedence = w->precedence;
	i->row.backup = w->backup;
	i->row.actions = i->actions;
	i->row.advertise = w->advertise ? i->destination : i->advertise;
	i->row.ttl_s = w->ttl_s;
	i->row.on_silence = borrow(!w->punts ? "" : w->match->flags & WIRE_FLAG_ROUTE_SILENT ? "route" : "drop");
	i->row.agent_gone = borrow(w->match->flags & WIRE_FLAG_DROP_GONE ? "drop" : "route");
	i->row.name = i->name;
}

/* What is announced at present. */
static const char *show_wildcards(struct admin *a, const Turnout__Request *request, Turnout__Reply *reply)
{
	uint32_t number = (uint32_t)request->cursor, limit = page_limit(request);
	struct manager_wildcard w;
	struct wildcard_item *items;

	if (request->cursor > UINT32_MAX)
		return NULL;
	if (!page_alloc(a, limit, sizeof(*items)))
		return NO_MEMORY;
	items = a->items;
	reply->wildcards = a->rows;
	for (; reply->n_wildcards < limit && (w = manager_wildcard(a->manager, number)).match; number++) {
		struct wildcard_item *i = &items[reply->n_wildcards];

		if (!w.wanted)
			continue;
		fill_wildcard(a, i, &w);
		reply->wildcards[reply->n_wildcards++] = &i->row;
	}
	if (reply->n_wildcards == limit && manager_wildcard(a->manager, number).match)
		reply->next = number;
	return NULL;
}

/* ---- affinities ---- */

struct affinity_item {
	Turnout__AffinityRow row;
	char source[ENDPOINT_STRLEN], destination[ENDPOINT_STRLEN], actions[2 * (ENDPOINT_STRLEN + 8)];
};

/* As agents say it: source first. */
static void describe_nat(const struct flow *f, const struct backend *b, bool forward, char *text, size_t size)
{
	struct addr vip = addr_make(f->forward.family, f->forward.dst);
	struct addr client = addr_make(f->forward.family, f->forward.src);
	struct addr server = service_key_addr(&b->key);
	uint16_t from = forward ? f->reverse.dport : f->forward.dport;
	uint16_t to = forward ? b->key.port : f->forward.sport;
	char source[ENDPOINT_STRLEN], destination[ENDPOINT_STRLEN];

	endpoint_print(&vip, from, source);
	endpoint_print(forward ? &server : &client, to, destination);
	if (flow_masqueraded(f))
		snprintf(text, size, "snat %s, dnat %s", source, destination);
	else
		snprintf(text, size, "%s %s", forward ? "dnat" : "snat", forward ? destination : source);
}

static void fill_affinity(const struct admin *a, struct affinity_item *i, const struct flow *f, bool forward,
			  uint64_t now_ms)
{
	const struct flow_key *k = forward ? &f->forward : &f->reverse;
	const struct backend *b = &manager_services(a->manager)->backends[f->backend];
	struct addr src = addr_make(k->family, k->src), dst = addr_make(k->family, k->dst);
	struct addr server = service_key_addr(&b->key);
	char where[ADDR_STRLEN];

	turnout__affinity_row__init(&i->row);
	endpoint_print(&src, k->sport, i->source);
	endpoint_print(&dst, k->dport, i->destination);
	if (f->kind == FLOW_PASS)
		snprintf(i->actions, sizeof(i->actions), "none");
	else if (!group_translates(b->group))
		snprintf(i->actions, sizeof(i->actions), "dispatch to %s", addr_print(&server, where));
	else
		describe_nat(f, b, forward, i->actions, sizeof(i->actions));
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
		if (f->kind == FLOW_BALANCED)
			add_affinity(a, reply, f, true, now_ms);
		if (f->kind == FLOW_PASS || group_translates(manager_services(a->manager)->backends[f->backend].group))
			add_affinity(a, reply, f, false, now_ms);
	}
	if (reply->n_affinities >= limit && flows_next(all, &(uint32_t){slot}))
		reply->next = slot;
	return NULL;
}

/* ---- flows ---- */

struct flow_item {
	Turnout__FlowRow row;
	char source[ENDPOINT_STRLEN], destination[ENDPOINT_STRLEN], agents[FLOW_AGENTS * (WIRE_MAX_NAME + 1) + 8];
};

static const char *flow_state(const struct flow *f)
{
	if (f->closed_ms || f->seen & (FLOW_FIN_FORWARD | FLOW_FIN_REVERSE | FLOW_RST))
		return "closing";
	return f->seen & FLOW_ANSWERED ? "open" : "new";
}

/* Who was told of it, by name. */
static void flow_agents(const struct admin *a, const struct flow *f, char *text, size_t size)
{
	char name[WIRE_MAX_NAME + 1];
	size_t used = 0;

	text[0] = '\0';
	if (flow_at_many_agents(f)) {
		snprintf(text, size, "many");
		return;
	}
	for (uint8_t i = 0; i < f->agent_count && used < size; i++) {
		const struct agent *g = agents_number(manager_agents(a->manager), f->agents[i]);

		if (g)
			used += (size_t)snprintf(text + used, size - used, "%s%s", used ? " " : "",
						 agent_name(g, name));
	}
}

static void fill_flow(const struct admin *a, struct flow_item *i, const struct flow *f, uint64_t now_ms)
{
	const struct flow_key *k = &f->forward;
	const struct backend *b = &manager_services(a->manager)->backends[f->backend];
	struct addr src = addr_make(k->family, k->src), dst = addr_make(k->family, k->dst);

	turnout__flow_row__init(&i->row);
	endpoint_print(&src, k->sport, i->source);
	endpoint_print(&dst, k->dport, i->destination);
	flow_agents(a, f, i->agents, sizeof(i->agents));
	i->row.protocol = borrow(proto_text(k->proto));
	i->row.source = i->source;
	i->row.destination = i->destination;
	i->row.service = b->group->conf->name;
	i->row.server = b->conf->name;
	i->row.state = borrow(flow_state(f));
	i->row.agents = i->agents;
	i->row.age_s = (uint32_t)((now_ms - f->made_ms) / 1000);
	i->row.left_s = f->expires_ms > now_ms ? (uint32_t)((f->expires_ms - now_ms) / 1000) : 0;
}

/* Balanced flows; a connection that was left unchanged is no flow of a service. */
static const char *show_flows(struct admin *a, const Turnout__Request *request, Turnout__Reply *reply, uint64_t now_ms)
{
	struct flows *all = manager_flows(a->manager);
	uint32_t slot = (uint32_t)request->cursor, limit = page_limit(request);
	struct flow_item *items;
	const struct flow *f;

	if (request->cursor > UINT32_MAX)
		return NULL;
	if (!page_alloc(a, limit, sizeof(*items)))
		return NO_MEMORY;
	items = a->items;
	reply->flows = a->rows;
	while (reply->n_flows < limit && (f = flows_next(all, &slot))) {
		if (f->kind != FLOW_BALANCED)
			continue;
		fill_flow(a, &items[reply->n_flows], f, now_ms);
		reply->flows[reply->n_flows] = &items[reply->n_flows].row;
		reply->n_flows++;
	}
	if (reply->n_flows == limit && flows_next(all, &(uint32_t){slot}))
		reply->next = slot;
	return NULL;
}

/* ---- an operator's will about a server ---- */

struct server_set_item {
	Turnout__ServerSetRow row;
	char text[128];
};

/* A reply being made. */
struct server_set_list {
	Turnout__Reply *reply;
	struct server_set_item *items;
	size_t room;
	enum server_will will;
};

static void server_set_text(struct server_set_item *i, enum server_will will, uint64_t connections)
{
	unsigned long long n = connections;

	switch (will) {
	case SERVER_DRAINING:
		snprintf(i->text, sizeof(i->text), "gets no new flows; %llu go on until they end", n);
		return;
	case SERVER_DISABLED:
		snprintf(i->text, sizeof(i->text),
			 "as if down: no new flows, datagrams go elsewhere; connections that stand may end by "
			 "themselves");
		return;
	case SERVER_ENABLED:
		break;
	}
	snprintf(i->text, sizeof(i->text), "gets new flows when its checks are good");
}

static void add_server_set(void *ctx, const struct backend *b, const char *before)
{
	struct server_set_list *l = ctx;
	struct server_set_item *i = &l->items[l->reply->n_server_set];

	if (l->reply->n_server_set == l->room)
		return;
	turnout__server_set_row__init(&i->row);
	server_set_text(i, l->will, b->connections);
	i->row.service = b->group->conf->name;
	i->row.server = b->conf->name;
	i->row.before = borrow(before);
	i->row.state = borrow(backend_state_name(b));
	i->row.flows = b->flows;
	i->row.text = i->text;
	l->reply->server_set[l->reply->n_server_set++] = &i->row;
}

static const char *server_set(struct admin *a, const Turnout__Request *request, Turnout__Reply *reply, uint64_t now_ms)
{
	const Turnout__ServerSet *set = request->server_set;
	struct server_set_list list = {.reply = reply, .room = manager_conf(a->manager)->services.count};

	if (!strcmp(set->action, "drain"))
		list.will = SERVER_DRAINING;
	else if (!strcmp(set->action, "disable"))
		list.will = SERVER_DISABLED;
	else if (strcmp(set->action, "enable") != 0)
		return "action takes drain, enable or disable";
	if (!page_alloc(a, list.room, sizeof(*list.items)))
		return NO_MEMORY;
	list.items = a->items;
	reply->server_set = a->rows;
	if (!manager_server_set(a->manager, set->service, set->server, list.will, add_server_set, &list, now_ms))
		return "no service here has that server; `turnoutctl show servers` lists them";
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

void admin_notice(const struct manager_notice *notice, Turnout__Notice *out)
{
	out->severity = borrow(notice->severity == LOG_LEVEL_ERROR     ? "error"
			       : notice->severity == LOG_LEVEL_WARNING ? "warning"
								       : "info");
	out->kind = borrow(notice->kind);
	out->subject = borrow(notice->subject);
	out->text = borrow(notice->text);
}

static const char *show_settings(struct admin *a, Turnout__Reply *reply)
{
	const struct smd_conf *conf = manager_conf(a->manager);

	a->settings.count = 0;
	settings_add_endpoint(&a->settings, &conf->control, &conf->security);
	settings_add(&a->settings, "limits.flows", "%llu", (unsigned long long)conf->limits.flows);
	settings_add(&a->settings, "limits.agents", "%llu", (unsigned long long)conf->limits.agents);
	settings_give(&a->settings, reply);
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
	case TURNOUT__REQUEST__WHAT_SHOW_WILDCARDS:
		return show_wildcards(a, request, reply);
	case TURNOUT__REQUEST__WHAT_SHOW_AFFINITIES:
		return show_affinities(a, request, reply, now_ms);
	case TURNOUT__REQUEST__WHAT_SHOW_COUNTERS:
		return show_counters(a, reply);
	case TURNOUT__REQUEST__WHAT_SHOW_FLOWS:
		return show_flows(a, request, reply, now_ms);
	case TURNOUT__REQUEST__WHAT_SERVER_SET:
		return server_set(a, request, reply, now_ms);
	case TURNOUT__REQUEST__WHAT_VERSION:
		return show_version(a, reply, now_ms);
	case TURNOUT__REQUEST__WHAT_SHOW_SETTINGS:
		return show_settings(a, reply);
	default:
		return BUS_NOT_KNOWN;
	}
}
