/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rows for listings: what the agent knows, as messages of the admin bus.
 * Must not know sockets or the kernel.
 */
#include "fad/admin.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

#include "fad/admin_priv.h"
#include "fad/classifier_name.h"
#include "lib/bus.h"
#include "lib/counter.h"

/* Listings of flows that are under way: where the next page starts. */
#define BOOKMARKS 16

struct bookmark {
	uint64_t cursor; /* flows before it; 0: free */
	struct flow_key last;
};

struct admin {
	void **rows; /* of the reply */
	size_t count, room;
	void **owned; /* rows and texts */
	size_t owned_count, owned_room;
	bool failed; /* out of memory */
	struct bookmark bookmarks[BOOKMARKS];
	size_t next_bookmark;
};

struct admin *admin_new(void)
{
	return calloc(1, sizeof(struct admin));
}

void admin_free(struct admin *a)
{
	if (a == NULL)
		return;
	admin_release(a);
	free(a->rows);
	free(a->owned);
	free(a);
}

void admin_release(struct admin *a)
{
	for (size_t i = 0; i < a->owned_count; i++)
		free(a->owned[i]);
	a->owned_count = a->count = 0;
	a->failed = false;
}

/* ---- memory ---- */

static bool append(void ***list, size_t *count, size_t *room, void *item)
{
	if (*count == *room) {
		size_t more = *room ? *room * 2 : 256;
		void **grown = realloc(*list, more * sizeof(**list));

		if (grown == NULL)
			return false;
		*list = grown;
		*room = more;
	}
	(*list)[(*count)++] = item;
	return true;
}

/* Freed with the reply. */
static void *own(struct admin *a, void *p)
{
	if (p != NULL && append(&a->owned, &a->owned_count, &a->owned_room, p))
		return p;
	free(p);
	a->failed = true;
	return NULL;
}

char *admin_text(struct admin *a, const char *format, ...)
{
	char *s = NULL, *kept;
	va_list ap;

	va_start(ap, format);
	if (vasprintf(&s, format, ap) < 0)
		s = NULL;
	va_end(ap);
	kept = own(a, s);
	return kept != NULL ? kept : (char *)(uintptr_t) "";
}

void *admin_row(struct admin *a, size_t size)
{
	void *p = own(a, calloc(1, size));

	if (p == NULL || !append(&a->rows, &a->count, &a->room, p)) {
		a->failed = true;
		return NULL;
	}
	return p;
}

/* ---- words ---- */

const char *admin_prefix(const struct addr *a, uint8_t plen, char buf[ADMIN_PREFIX_LEN])
{
	char addr[ADDR_STRLEN];

	snprintf(buf, ADMIN_PREFIX_LEN, "%s/%u", addr_print(a, addr), plen);
	return buf;
}

char *admin_manager_text(struct admin *a, const struct manager *m)
{
	char name[WIRE_MAX_NAME + 1];

	return admin_text(a, "%s", manager_name(m, name));
}

char *admin_endpoint_text(struct admin *a, const struct addr *addr, uint16_t port)
{
	char buf[ENDPOINT_STRLEN];

	return admin_text(a, "%s", endpoint_print(addr, port, buf));
}

char *admin_proto_text(struct admin *a, uint8_t proto)
{
	char buf[8];

	return admin_text(a, "%s", proto_name(proto, buf));
}

uint32_t admin_seconds_left(uint64_t expires_ms, uint64_t now_ms)
{
	return expires_ms > now_ms ? (uint32_t)((expires_ms - now_ms + 999) / 1000) : 0;
}

uint32_t admin_rank_number(affinity_rank rank)
{
	return rank > UINT32_MAX ? UINT32_MAX : (uint32_t)rank;
}

char *admin_actions_text(struct admin *a, const struct affinity *affinity)
{
	char buf[512];

	affinity_describe(affinity, buf, sizeof(buf));
	return admin_text(a, "%s", buf);
}

char *admin_key_text(struct admin *a, const struct flow_key *k)
{
	char buf[FLOW_KEY_STRLEN];

	return admin_text(a, "%s", flow_key_print(k, buf));
}

/* Bits of a contiguous mask, or -1. */
static int mask_length(const uint8_t *mask, size_t len)
{
	size_t bits = 0;

	while (bits < len * 8 && mask[bits / 8] & 0x80 >> bits % 8)
		bits++;
	for (size_t i = bits; i < len * 8; i++)
		if (mask[i / 8] & 0x80 >> i % 8)
			return -1;
	return (int)bits;
}

static void print_mask(FILE *out, uint8_t family, const uint8_t *addr, const uint8_t *mask)
{
	struct addr a = addr_make(family, addr), m = addr_make(family, mask);
	char one[ADDR_STRLEN], other[ADDR_STRLEN];
	int plen = mask_length(mask, addr_len(family));

	if (plen >= 0)
		fprintf(out, "%s/%d", addr_print(&a, one), plen);
	else
		fprintf(out, "%s/%s", addr_print(&a, one), addr_print(&m, other));
}

static void print_range(FILE *out, uint8_t family, const struct wire_range *g)
{
	struct addr low = addr_make(family, g->low), high = addr_make(family, g->high);
	char one[ADDR_STRLEN], other[ADDR_STRLEN];

	if (g->field == WIRE_RANGE_SPORT || g->field == WIRE_RANGE_DPORT)
		fprintf(out, ", port %u-%u", g->low_port, g->high_port);
	else
		fprintf(out, ", %s-%s", addr_print(&low, one), addr_print(&high, other));
}

char *admin_side_text(struct admin *a, const struct wildcard *w, bool source)
{
	const struct wire_wildcard *m = &w->match;
	uint8_t addresses = source ? WIRE_RANGE_SRC : WIRE_RANGE_DST;
	uint8_t ports = source ? WIRE_RANGE_SPORT : WIRE_RANGE_DPORT;
	char *buf = NULL;
	size_t size;
	FILE *out = open_memstream(&buf, &size);

	if (out == NULL) {
		a->failed = true;
		return (char *)(uintptr_t) "";
	}
	print_mask(out, m->family, source ? m->src : m->dst, source ? m->src_mask : m->dst_mask);
	for (int i = 0; i < w->range_count; i++)
		if (w->ranges[i].field == addresses || w->ranges[i].field == ports)
			print_range(out, m->family, &w->ranges[i]);
	fclose(out);
	buf = own(a, buf);
	return buf != NULL ? buf : (char *)(uintptr_t) "";
}

static char *advertise_text(struct admin *a, const struct wildcard *w)
{
	char all[WIRE_MAX_ACTIONS * (ADMIN_PREFIX_LEN + 2)] = "", one[ADMIN_PREFIX_LEN];
	size_t used = 0;

	for (int i = 0; i < w->advertise_count; i++)
		used += (size_t)snprintf(all + used, sizeof(all) - used, "%s%s", i > 0 ? ", " : "",
					 admin_prefix(&w->advertise[i].addr, w->advertise[i].plen, one));
	return admin_text(a, "%s", all);
}

/* ---- the agent itself ---- */

static void show_agents(struct admin *a, const struct admin_view *v)
{
	const uint64_t *counters = engine_counters(v->engine);
	Turnout__AgentRow *r = ADMIN_ROW(a, AgentRow);

	if (r == NULL)
		return;
	turnout__agent_row__init(r);
	r->name = admin_text(a, "%s", v->name);
	r->identity = admin_text(a, "0x%" PRIx64, v->identity);
	r->address = admin_endpoint_text(a, &v->addr, v->port);
	r->state = admin_text(a, "self");
	r->datapath = admin_text(a, "afpacket");
	r->punts = counters[ENGINE_MATCHES];
	r->fixed = fixtab_count(engine_fixed(v->engine));
}

static Turnout__VersionRow *version_row(struct admin *a, const struct admin_view *v)
{
	Turnout__VersionRow *r = own(a, calloc(1, sizeof(*r)));

	if (r == NULL)
		return NULL;
	turnout__version_row__init(r);
	r->program = admin_text(a, "fad");
	r->version = admin_text(a, "%s", TURNOUT_VERSION);
	r->identity = admin_text(a, "0x%" PRIx64, v->identity);
	r->incarnation = admin_text(a, "0x%" PRIx64, v->incarnation);
	r->uptime_s = (v->now_ms - v->started_ms) / 1000;
	return r;
}

static void show_interfaces(struct admin *a, const struct admin_view *v)
{
	for (size_t i = 0; i < v->interface_count; i++) {
		const struct admin_interface *from = &v->interfaces[i];
		Turnout__InterfaceRow *r = ADMIN_ROW(a, InterfaceRow);

		if (r == NULL)
			return;
		turnout__interface_row__init(r);
		r->name = admin_text(a, "%s", from->name);
		r->index = from->ifindex;
		r->datapath = admin_text(a, "%s", from->datapath);
		r->state = admin_text(a, "%s", from->state);
		r->punted = from->punted;
		r->passed = from->passed;
		r->planned = from->planned;
	}
}

/* ---- managers ---- */

static void show_managers(struct admin *a, const struct admin_view *v)
{
	for (const struct manager *m = engine_managers(v->engine); m != NULL; m = m->hh.next) {
		Turnout__ManagerRow *r = ADMIN_ROW(a, ManagerRow);

		if (r == NULL)
			return;
		turnout__manager_row__init(r);
		r->name = admin_manager_text(a, m);
		r->identity = admin_text(a, "0x%" PRIx64, m->peer.identity);
		r->address = admin_endpoint_text(a, &m->peer.addr, m->peer.port);
		r->state = admin_text(a, "%s", m->silent ? "silent" : "known");
		r->age_s = (uint32_t)((v->now_ms - m->heard_ms) / 1000);
		r->wildcards = m->wildcards;
		r->fixed = m->fixed;
		r->matches = m->matches;
		r->denies = m->denied;
		r->timeouts = m->timeouts;
		r->silent_wildcards = m->silent_wildcards;
	}
}

/* ---- wildcards: the cursor is the serial number of the first one to show ---- */

/* Does its manager get packets, or have them held? */
static bool asks(const struct affinity *a)
{
	for (int i = 0; i < a->interest_count; i++) {
		const struct wire_interest *c = &a->interest[i];

		if ((c->data & ~c->copy) || (c->copy & c->hold))
			return true;
	}
	return false;
}

static bool wildcard_row(struct admin *a, const struct admin_view *v, const struct wildcard *w)
{
	Turnout__WildcardRow *r = ADMIN_ROW(a, WildcardRow);

	if (r == NULL)
		return false;
	turnout__wildcard_row__init(r);
	r->manager = admin_manager_text(a, w->a.manager);
	r->protocol = admin_proto_text(a, w->match.proto);
	r->source = admin_side_text(a, w, true);
	r->destination = admin_side_text(a, w, false);
	r->sport = w->match.sport;
	r->dport = w->match.dport;
	r->precedence = admin_rank_number(w->a.rank);
	r->backup = w->a.backup;
	r->actions = admin_actions_text(a, &w->a);
	r->advertise = advertise_text(a, w);
	r->ttl_s = w->a.ttl_s;
	r->left_s = admin_seconds_left(w->a.expires_ms, v->now_ms);
	r->packets = w->a.packets;
	r->bytes = w->a.bytes;
	r->flows = w->flows;
	r->age_s = (uint32_t)((v->now_ms - w->made_ms) / 1000);
	r->denies = w->denies;
	r->drops = w->drops;
	r->timeouts = w->timeouts;
	r->on_silence = admin_text(a, "%s", !asks(&w->a) ? "" : w->a.flags & WIRE_FLAG_ROUTE_SILENT ? "route" : "drop");
	r->agent_gone = admin_text(a, "%s", w->a.flags & WIRE_FLAG_DROP_GONE ? "drop" : "route");
	if (w->silence.since_ms != 0) /* at least 1 */
		r->silent_s = (uint32_t)((v->now_ms - w->silence.since_ms) / 1000) + 1;
	r->silences = w->silence.times;
	return true;
}

static uint64_t show_wildcards(struct admin *a, const struct admin_view *v, uint64_t cursor, size_t limit)
{
	for (const struct wildcard *w = wildtab_first(engine_wildcards(v->engine)); w != NULL; w = w->next) {
		if (w->serial < cursor)
			continue;
		if (a->count >= limit)
			return w->serial;
		if (!wildcard_row(a, v, w))
			return 0;
	}
	return 0;
}

/* ---- fixed affinities: the cursor is the number of flows shown before ---- */

static bool affinity_row(struct admin *a, const struct admin_view *v, const struct flow *f, const struct fixed *x)
{
	struct addr src = addr_make(f->key.family, f->key.src), dst = addr_make(f->key.family, f->key.dst);
	Turnout__AffinityRow *r = ADMIN_ROW(a, AffinityRow);

	if (r == NULL)
		return false;
	turnout__affinity_row__init(r);
	r->manager = admin_manager_text(a, x->a.manager);
	r->protocol = admin_proto_text(a, f->key.proto);
	r->source = admin_endpoint_text(a, &src, f->key.sport);
	r->destination = admin_endpoint_text(a, &dst, f->key.dport);
	r->actions = admin_actions_text(a, &x->a);
	r->precedence = admin_rank_number(x->a.rank);
	r->ttl_s = x->a.ttl_s;
	r->left_s = admin_seconds_left(x->a.expires_ms, v->now_ms);
	r->packets = x->a.packets;
	r->bytes = x->a.bytes;
	return true;
}

/* The flow after the last one shown.  Normally its key was noted; if that flow has gone since, count. */
static struct flow *resume(struct admin *a, const struct fixtab *t, uint64_t cursor)
{
	struct flow *f = NULL;

	for (size_t i = 0; i < BOOKMARKS && cursor > 0; i++) {
		if (a->bookmarks[i].cursor != cursor)
			continue;
		f = fixtab_flow(t, &a->bookmarks[i].last);
		if (f != NULL)
			return fixtab_next(t, f);
	}
	f = fixtab_next(t, NULL);
	for (uint64_t skipped = 0; f != NULL && skipped < cursor; skipped++)
		f = fixtab_next(t, f);
	return f;
}

static void leave_bookmark(struct admin *a, uint64_t cursor, const struct flow *last)
{
	a->bookmarks[a->next_bookmark] = (struct bookmark){cursor, last->key};
	a->next_bookmark = (a->next_bookmark + 1) % BOOKMARKS;
}

static bool affinity_rows(struct admin *a, const struct admin_view *v, const struct flow *f)
{
	for (const struct fixed *x = f->fixed; x != NULL; x = x->next_in_flow)
		if (!affinity_row(a, v, f, x))
			return false;
	return true;
}

/* `give` makes the rows of one flow. */
static uint64_t show_by_flow(struct admin *a, const struct admin_view *v, uint64_t cursor, size_t limit,
			     bool (*give)(struct admin *a, const struct admin_view *v, const struct flow *f))
{
	const struct fixtab *t = engine_fixed(v->engine);
	const struct flow *last = NULL;
	struct flow *f = resume(a, t, cursor);

	/* Whole flows, so a page may be a few rows longer. */
	for (; f != NULL && a->count < limit; f = fixtab_next(t, f)) {
		if (!give(a, v, f))
			return 0;
		last = f;
		cursor++;
	}
	if (f == NULL || last == NULL)
		return 0;
	leave_bookmark(a, cursor, last);
	return cursor;
}

/* ---- counters: all on one page ---- */

static void counter(struct admin *a, const char *group, const char *name, uint64_t value, const char *help)
{
	const struct counter_desc d = {group, name, help};
	Turnout__CounterRow *r = ADMIN_ROW(a, CounterRow);

	if (r != NULL)
		counter_row(&d, value, r);
}

static void fragment_counter_rows(struct admin *a, const struct fragtab_stats *s)
{
	counter(a, "fragments", "datagrams", s->datagrams, "whose first fragment is remembered, now");
	counter(a, "fragments", "datagrams-most", s->datagrams_high, "the most there ever were at once");
	counter(a, "fragments", "waiting", s->waiting, "for the first one of their datagram, now");
	counter(a, "fragments", "waiting-most", s->waiting_high, "the most there ever were at once");
	counter(a, "fragments", "bytes", s->bytes, "of those waiting, now");
	counter(a, "fragments", "bytes-most", s->bytes_high, "the most there ever were at once");
	counter(a, "fragments", "forgotten", s->forgotten, "datagrams that gave way to younger ones");
}

static void engine_counter_rows(struct admin *a, const struct admin_view *v)
{
	static const struct counter_desc descriptions[ENGINE_COUNTER_COUNT] = {
#define X(id, group, name, help) {group, name, help},
		ENGINE_COUNTERS(X)
#undef X
	};
	const uint64_t *values = engine_counters(v->engine);
	const struct engine_marks *marks = engine_marks(v->engine);
	const struct hold *hold = engine_hold(v->engine);

	for (size_t i = 0; i < ENGINE_COUNTER_COUNT; i++)
		counter(a, descriptions[i].group, descriptions[i].name, values[i], descriptions[i].help);
	counter(a, "wildcards", "stored", wildtab_count(engine_wildcards(v->engine)), "now");
	counter(a, "wildcards", "stored-most", marks->wildcards, "the most there ever were at once");
	counter(a, "wildcards", "mask-shapes", wildtab_shapes(engine_wildcards(v->engine)),
		"now; a packet costs one look-up a shape");
	counter(a, "affinities", "stored", fixtab_count(engine_fixed(v->engine)), "now");
	counter(a, "affinities", "stored-most", marks->fixed, "the most there ever were at once");
	counter(a, "hold", "flows", hold_flows(hold), "waiting for an answer now");
	counter(a, "hold", "flows-most", hold_most_flows(hold), "the most that ever waited at once");
	counter(a, "hold", "bytes", hold_bytes(hold), "of their packets, now");
	counter(a, "hold", "bytes-most", hold_most_bytes(hold), "the most there ever were at once");
	fragment_counter_rows(a, engine_fragments(v->engine));
}

static void plan_counter_rows(struct admin *a, const struct plantab_stats *s)
{
	if (s == NULL)
		return;
	counter(a, "fastpath", "placed", s->placed, "plans in the kernel, now");
	counter(a, "fastpath", "placed-most", s->placed_high, "the most there ever were at once");
	counter(a, "fastpath", "no-room", s->no_room, "times that a plan found no place there");
}

static void classifier_counter_rows(struct admin *a, const struct admin_view *v)
{
	for (uint32_t i = 0; v->classifier != NULL && i < CLASSIFIER_COUNTERS; i++) {
		const struct classifier_name *n = classifier_name((enum classifier_counter)i);

		counter(a, n->group, n->name, v->classifier[i], n->help);
	}
}

static void port_counter_rows(struct admin *a, const struct port_counters *p)
{
	if (p == NULL)
		return;
	counter(a, "punt-port", "received", p->received, "packets read");
	counter(a, "punt-port", "received-bytes", p->received_bytes, "their bytes");
	counter(a, "punt-port", "sent", p->sent, "packets handed to the kernel to route");
	counter(a, "punt-port", "sent-bytes", p->sent_bytes, "their bytes");
	counter(a, "drops", "punt-port-send", p->send_drops, "the kernel did not take them");
	counter(a, "drops", "punt-port-ring", p->ring_drops, "came faster than they were read");
}

static void message_counter_rows(struct admin *a, const struct admin_view *v)
{
	for (size_t i = 0; i < v->message_count; i++)
		counter(a, v->messages[i].group, v->messages[i].name, v->messages[i].value, v->messages[i].help);
	for (size_t i = 0; i < v->bus_count; i++)
		counter(a, v->bus[i].group, v->bus[i].name, v->bus[i].value, v->bus[i].help);
}

static void tap_counter_rows(struct admin *a, const struct tap *t)
{
	if (t == NULL)
		return;
	counter(a, "capture", "published", tap_published(t), "packets shown to turnoutctl capture");
	counter(a, "capture", "skipped", tap_skipped(t), "not shown to it, for there were too many a second");
}

static void show_counters(struct admin *a, const struct admin_view *v)
{
	engine_counter_rows(a, v);
	plan_counter_rows(a, engine_plans(v->engine));
	classifier_counter_rows(a, v);
	port_counter_rows(a, v->punt_port);
	tap_counter_rows(a, v->tap);
	message_counter_rows(a, v);
}

/* ---- traffic by forward address (FIX-4): the cursor counts addresses ---- */

static uint64_t show_forwards(struct admin *a, const struct admin_view *v, uint64_t cursor, size_t limit)
{
	const struct forward_stat *s = engine_forwards(v->engine);
	uint64_t i = 0;

	for (; s != NULL; s = s->hh.next) {
		Turnout__ForwardRow *r;
		char addr[ADDR_STRLEN];

		if (i++ < cursor)
			continue;
		if (a->count >= limit)
			return i - 1;
		r = ADMIN_ROW(a, ForwardRow);
		if (r == NULL)
			return 0;
		turnout__forward_row__init(r);
		r->address = admin_text(a, "%s", addr_print(&s->addr, addr));
		r->packets = s->packets;
		r->bytes = s->bytes;
	}
	return 0;
}

/* ---- what is advertised: the cursor counts prefixes ---- */

static Turnout__Advertised *advertised(struct admin *a, const struct admin_view *v, uint64_t cursor, size_t limit,
				       uint64_t *next)
{
	Turnout__Advertised *all = own(a, calloc(1, sizeof(*all)));
	uint64_t version, i = 0;
	const struct advert *p = engine_adverts(v->engine, &version);
	char prefix[ADMIN_PREFIX_LEN];

	if (all == NULL)
		return NULL;
	turnout__advertised__init(all);
	all->version = v->withdrawn != 0 ? v->withdrawn : version;
	if (v->withdrawn != 0)
		return all;
	for (; p != NULL; p = p->hh.next) {
		char *name;

		if (i++ < cursor)
			continue;
		if (a->count >= limit) {
			*next = i - 1;
			break;
		}
		name = admin_text(a, "%s", admin_prefix(&p->addr, p->plen, prefix));
		if (!append(&a->rows, &a->count, &a->room, name)) {
			a->failed = true;
			break;
		}
	}
	all->n_prefixes = a->count;
	all->prefixes = (char **)a->rows;
	return all;
}

/* ---- requests ---- */

/* Only one kind of row is ever in a reply: a->rows are its pointers. */
#define GIVE(reply, a, lower, type)                                                                                    \
	do {                                                                                                           \
		(reply)->n_##lower = (a)->count;                                                                       \
		(reply)->lower = (Turnout__##type **)(a)->rows;                                                        \
	} while (0)

static const char *answer(struct admin *a, const struct admin_view *v, const Turnout__Request *request,
			  Turnout__Reply *reply)
{
	size_t limit = request->limit == 0 ? ADMIN_PAGE : request->limit;

	limit = limit > ADMIN_PAGE_MAX ? ADMIN_PAGE_MAX : limit;
	switch (request->what_case) {
	case TURNOUT__REQUEST__WHAT_SHOW_AGENTS:
		show_agents(a, v);
		GIVE(reply, a, agents, AgentRow);
		return NULL;
	case TURNOUT__REQUEST__WHAT_SHOW_MANAGERS:
		show_managers(a, v);
		GIVE(reply, a, managers, ManagerRow);
		return NULL;
	case TURNOUT__REQUEST__WHAT_SHOW_INTERFACES:
		show_interfaces(a, v);
		GIVE(reply, a, interfaces, InterfaceRow);
		return NULL;
	case TURNOUT__REQUEST__WHAT_SHOW_WILDCARDS:
		reply->next = show_wildcards(a, v, request->cursor, limit);
		GIVE(reply, a, wildcards, WildcardRow);
		return NULL;
	case TURNOUT__REQUEST__WHAT_SHOW_AFFINITIES:
		reply->next = show_by_flow(a, v, request->cursor, limit, affinity_rows);
		GIVE(reply, a, affinities, AffinityRow);
		return NULL;
	case TURNOUT__REQUEST__WHAT_SHOW_FLOWS:
		reply->next = show_by_flow(a, v, request->cursor, limit, admin_flow_row);
		GIVE(reply, a, flows, FlowRow);
		return NULL;
	case TURNOUT__REQUEST__WHAT_TRACE:
		admin_trace_rows(a, v);
		GIVE(reply, a, trace, TraceRow);
		return NULL;
	case TURNOUT__REQUEST__WHAT_SHOW_COUNTERS:
		show_counters(a, v);
		GIVE(reply, a, counters, CounterRow);
		return NULL;
	case TURNOUT__REQUEST__WHAT_SHOW_FORWARDS:
		reply->next = show_forwards(a, v, request->cursor, limit);
		GIVE(reply, a, forwards, ForwardRow);
		return NULL;
	case TURNOUT__REQUEST__WHAT_ADVERTISED:
		reply->advertised = advertised(a, v, request->cursor, limit, &reply->next);
		return NULL;
	case TURNOUT__REQUEST__WHAT_VERSION:
		reply->version = version_row(a, v);
		return NULL;
	default:
		return BUS_NOT_KNOWN;
	}
}

const char *admin_answer(struct admin *a, const struct admin_view *v, const Turnout__Request *request,
			 Turnout__Reply *reply)
{
	const char *error = answer(a, v, request, reply);

	return error == NULL && a->failed ? "out of memory" : error;
}
