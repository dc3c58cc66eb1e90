/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The answer to a trace as a story in rows: the packet, who matches it, what it
 * looks like then, where it goes, and the outcome.
 * Must not know sockets or the kernel.
 */
#include "fad/admin_trace.h"

#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <string.h>

#include "fad/admin_priv.h"
#include "fad/engine_wrap.h"

/* ---- the question ---- */

static bool parse_flags(const char *text, uint8_t *flags)
{
	static const char letters[] = "FSRPAU"; /* in the order of their bits */

	*flags = 0;
	for (; *text; text++) {
		const char *at = strchr(letters, *text);

		if (at == NULL)
			return false;
		*flags |= (uint8_t)(1u << (at - letters));
	}
	return true;
}

#define FLAG_SYN 0x02
#define FLAG_PSH 0x08

const char *admin_trace_parse(const Turnout__Trace *request, struct admin_trace *t)
{
	struct addr src, dst;
	bool ports;

	memset(t, 0, sizeof(*t));
	t->route_error = 1;
	t->closed = "";
	if (!proto_parse(request->protocol, &t->key.proto) || t->key.proto == 0)
		return "protocol takes tcp, udp, icmp, icmpv6 or a number";
	if (!addr_parse(request->source, &src) || !addr_parse(request->destination, &dst))
		return "source and destination take an IPv4 or IPv6 address";
	if (src.family != dst.family)
		return "source and destination are of different families";
	ports = t->key.proto == IPPROTO_TCP || t->key.proto == IPPROTO_UDP;
	if (request->sport > UINT16_MAX || request->dport > UINT16_MAX)
		return "ports go from 0 to 65535";
	if (!ports && (request->sport || request->dport))
		return "only tcp and udp have ports";
	if (!parse_flags(request->flags, &t->tcp_flags))
		return "flags take letters of FSRPAU";
	if (*request->flags && t->key.proto != IPPROTO_TCP)
		return "only tcp has flags";
	if (t->key.proto == IPPROTO_TCP && !*request->flags)
		t->tcp_flags = FLAG_SYN;
	t->data = t->key.proto != IPPROTO_TCP || (t->tcp_flags & FLAG_PSH) != 0;
	t->key.family = src.family;
	t->key.sport = (uint16_t)request->sport;
	t->key.dport = (uint16_t)request->dport;
	memcpy(t->key.src, src.b, sizeof(t->key.src));
	memcpy(t->key.dst, dst.b, sizeof(t->key.dst));
	return NULL;
}

bool admin_trace_reaches(const struct admin_trace *t)
{
	return t->protected_by == NULL || t->permitted;
}

static bool drops_unmatched(const struct admin_trace *t)
{
	return t->engine.outcome == TRACE_UNMATCHED && *t->closed;
}

bool admin_trace_goes_to(const struct admin_trace *t, struct addr *to)
{
	*to = addr_make(t->key.family, t->key.dst);
	if (!admin_trace_reaches(t) || t->engine.outcome == TRACE_UNMATCHED)
		return true;
	if (t->engine.outcome != TRACE_FORWARDED)
		return false;
	if (t->engine.tunnel != NULL)
		*to = t->engine.tunnel->remote;
	else if (!addr_is_zero(&t->engine.next_hop))
		*to = t->engine.next_hop;
	else
		*to = addr_make(t->key.family, t->engine.after.dst);
	return true;
}

/* ---- the answer ---- */

static Turnout__TraceRow *step(struct admin *a, uint32_t *steps, const char *what)
{
	Turnout__TraceRow *r = ADMIN_ROW(a, TraceRow);

	if (r == NULL)
		return NULL;
	turnout__trace_row__init(r);
	r->step = ++*steps;
	r->what = admin_text(a, "%s", what);
	return r;
}

static void packet_row(struct admin *a, const struct admin_trace *t, uint32_t *steps)
{
	static const char *const names[] = {"FIN", "SYN", "RST", "PSH", "ACK", "URG"};
	Turnout__TraceRow *r = step(a, steps, "packet");
	char flags[64] = "";
	size_t len = 0;

	if (r == NULL)
		return;
	r->match = admin_key_text(a, &t->key);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (t->tcp_flags & 1u << i)
			len += (size_t)snprintf(flags + len, sizeof(flags) - len, "%s%s", len > 0 ? " " : "", names[i]);
	r->reason = admin_text(a, "%s%s%s", flags, len > 0 ? ", " : "", t->data ? "with data" : "without data");
}

static void protected_row(struct admin *a, const struct admin_trace *t, uint32_t *steps)
{
	Turnout__TraceRow *r = t->protected_by != NULL ? step(a, steps, "protected") : NULL;

	if (r == NULL)
		return;
	r->verdict = admin_text(a, t->permitted ? "permitted" : "untouched");
	r->reason = admin_text(a, "%s%s", t->protected_by,
			       t->permitted ? ", but permit_protected is set and a wildcard asks for it"
					    : ": no affinity ever matches that");
}

static const char *part_name(enum trace_part part)
{
	static const char *const names[] = {
		[TRACE_ACTS] = "used",          [TRACE_ASKS] = "asks",         [TRACE_SHADOWED] = "shadowed",
		[TRACE_BEYOND] = "not reached", [TRACE_LEFT_OUT] = "left out", [TRACE_ABSENT] = "silent",
	};

	return names[part];
}

static const char *part_reason(const struct trace_match *m)
{
	switch (m->part) {
	case TRACE_ACTS:
		return m->wildcard == NULL ? "its manager decided this flow" : "acts on all it covers";
	case TRACE_ASKS:
		return "its manager wants to decide";
	case TRACE_SHADOWED:
		return m->wildcard == NULL ? "another one of this precedence acts"
					   : "a fixed affinity, or a better wildcard, of this precedence acts";
	case TRACE_LEFT_OUT:
		return "too many precedences match this flow";
	case TRACE_ABSENT:
		return "its manager does not answer, and on-silence is route: as if it were not there";
	case TRACE_BEYOND:
		break;
	}
	return "an earlier one decides";
}

static char *port_text(struct admin *a, uint16_t port)
{
	return port != 0 ? admin_text(a, ":%u", port) : admin_text(a, "%s", "");
}

static void match_rows(struct admin *a, const struct admin_view *v, uint32_t *steps)
{
	const struct engine_trace *e = &v->trace->engine;

	for (size_t i = 0; i < e->count; i++) {
		const struct trace_match *m = &e->matches[i];
		Turnout__TraceRow *r = step(a, steps, m->wildcard != NULL ? "wildcard" : "fixed");
		const struct wildcard *w = m->wildcard;

		if (r == NULL)
			return;
		r->manager = admin_manager_text(a, m->a->manager);
		r->precedence = admin_rank_number(m->a->rank);
		if (w == NULL)
			r->match = admin_key_text(a, &v->trace->key);
		else
			r->match = admin_text(a, "%s %s%s > %s%s", admin_proto_text(a, w->match.proto),
					      admin_side_text(a, w, true), port_text(a, w->match.sport),
					      admin_side_text(a, w, false), port_text(a, w->match.dport));
		r->actions = admin_actions_text(a, m->a);
		r->verdict = admin_text(a, "%s", part_name(m->part));
		r->reason = admin_text(a, "%s", part_reason(m));
		r->age_s = (uint32_t)((v->now_ms - m->a->updated_ms) / 1000);
		r->left_s = admin_seconds_left(m->a->expires_ms, v->now_ms);
	}
}

static void result_row(struct admin *a, const struct admin_trace *t, uint32_t *steps)
{
	bool same = memcmp(&t->engine.after, &t->key, sizeof(t->key)) == 0;
	Turnout__TraceRow *r = t->engine.outcome == TRACE_FORWARDED ? step(a, steps, "result") : NULL;

	if (r == NULL)
		return;
	r->match = admin_key_text(a, &t->engine.after);
	r->verdict = admin_text(a, same ? "unchanged" : "translated");
	if (t->engine.renumbered)
		r->reason = admin_text(a, "sequence numbers adjusted");
}

static void tunnel_row(struct admin *a, const struct admin_trace *t, uint32_t *steps)
{
	const struct wire_tunnel *w = t->engine.outcome == TRACE_FORWARDED ? t->engine.tunnel : NULL;
	Turnout__TraceRow *r = w != NULL ? step(a, steps, "tunnel") : NULL;
	char remote[ENDPOINT_STRLEN], server[ADDR_STRLEN];

	if (r == NULL)
		return;
	if (w->kind == WIRE_TUNNEL_UDP)
		r->match = admin_text(a, "IP in UDP to %s", endpoint_print(&w->remote, w->port, remote));
	else
		r->match = admin_text(a, "IP in IP to %s", addr_print(&w->remote, remote));
	r->verdict = admin_text(a, "wrapped");
	r->reason = admin_text(a, "for server %s, %u bytes longer", addr_print(&t->engine.next_hop, server),
			       wrap_overhead(w));
}

static char *hops_text(struct admin *a, const struct route *r, bool interfaces)
{
	char all[ROUTE_MAX_HOPS * (ADDR_STRLEN + 4)] = "", gateway[ADDR_STRLEN];
	size_t used = 0;

	for (size_t i = 0; i < r->hop_count && i < ROUTE_MAX_HOPS; i++) {
		const struct route_hop *h = &r->hops[i];
		const char *one = interfaces                ? h->interface
				  : h->gateway.family == 0 ? "connected"
							   : addr_print(&h->gateway, gateway);

		used += (size_t)snprintf(all + used, sizeof(all) - used, "%s%s", i > 0 ? " or " : "", one);
	}
	return admin_text(a, "%s", all);
}

static char *route_reason(struct admin *a, const struct admin_trace *t)
{
	const struct route *r = &t->route;
	struct addr any = {.family = t->key.family};
	char prefix[ADMIN_PREFIX_LEN], table[12];

	if (t->route_error < 0)
		return admin_text(a, "the kernel cannot be asked: %s", strerror(-t->route_error));
	switch (r->kind) {
	case ROUTE_NONE:
		return admin_text(a, "the kernel has no route there");
	case ROUTE_REFUSED:
		return admin_text(a, "the kernel's route there refuses");
	case ROUTE_LOCAL:
		return admin_text(a, "it is this router's own address");
	case ROUTE_OTHER_SCOPE:
		return admin_text(a, "multicast or broadcast");
	case ROUTE_UNICAST:
		break;
	}
	if (r->table == RT_TABLE_MAIN)
		snprintf(table, sizeof(table), "main");
	else
		snprintf(table, sizeof(table), "%u", r->table);
	return admin_text(a, "route %s in table %s%s",
			  admin_prefix(r->prefix.family != 0 ? &r->prefix : &any, r->plen, prefix), table,
			  r->hop_count > 1 ? "; one of them, by the kernel's hash of the flow" : "");
}

static void route_row(struct admin *a, const struct admin_trace *t, uint32_t *steps)
{
	char addr[ADDR_STRLEN];
	Turnout__TraceRow *r;
	struct addr to;

	if (t->route_error > 0 || !admin_trace_goes_to(t, &to))
		return;
	r = step(a, steps, "route");
	if (r == NULL)
		return;
	r->match = admin_text(a, "%s", addr_print(&to, addr));
	r->next_hop = hops_text(a, &t->route, false);
	r->interface = hops_text(a, &t->route, true);
	r->reason = route_reason(a, t);
}

/* ---- the outcome ---- */

static void say(struct admin *a, Turnout__TraceRow *r, const char *verdict, const char *reason)
{
	r->verdict = admin_text(a, "%s", verdict);
	r->reason = admin_text(a, "%s", reason);
}

static bool routable(const struct admin_trace *t)
{
	return t->route_error != 0 || t->route.kind == ROUTE_UNICAST || t->route.kind == ROUTE_LOCAL ||
	       t->route.kind == ROUTE_OTHER_SCOPE;
}

static void say_unmatched(struct admin *a, const struct admin_trace *t, Turnout__TraceRow *r)
{
	say(a, r, "untouched", "no affinity matches: the kernel routes it as if there were no agent");
	if (drops_unmatched(t))
		r->reason = admin_text(
			a, "no affinity matches: the kernel routes it, but if it comes in by %s it is dropped",
			t->closed);
	else if (!routable(t))
		r->reason = admin_text(a, "no affinity matches, and the kernel has no way for it");
}

static void say_held(struct admin *a, const struct admin_view *v, Turnout__TraceRow *r)
{
	const struct held_flow *f = v->trace->engine.held;

	say(a, r, "hold", "");
	r->reason =
		admin_text(a,
			   "behind %u other%s of its flow: a manager was asked %u time%s, last %llu ms ago, and has "
			   "not answered",
			   f->count, f->count == 1 ? "" : "s", f->tries, f->tries == 1 ? "" : "s",
			   (unsigned long long)(v->now_ms - f->since_ms));
}

static void outcome_row(struct admin *a, const struct admin_view *v, uint32_t *steps)
{
	const struct admin_trace *t = v->trace;
	Turnout__TraceRow *r = step(a, steps, "outcome");
	bool told;

	if (r == NULL)
		return;
	if (!admin_trace_reaches(t)) {
		say(a, r, "untouched", "the kernel takes it as if there were no agent");
		return;
	}
	if (t->engine.decider != NULL)
		r->manager = admin_manager_text(a, t->engine.decider->manager);
	told = t->engine.decider != NULL && t->engine.decider->reject;
	switch (t->engine.outcome) {
	case TRACE_UNMATCHED:
		say_unmatched(a, t, r);
		return;
	case TRACE_ADVERTISED:
		say(a, r, "drop", "to an advertised address, and no affinity matches");
		return;
	case TRACE_HELD:
		say_held(a, v, r);
		return;
	case TRACE_PUNTED:
		say(a, r, "punt", "its manager is asked; the flow's packets wait for the answer");
		return;
	case TRACE_COPIED:
		say(a, r, "hold", "its manager gets a copy; the packet waits for the answer");
		return;
	case TRACE_SILENT:
		say(a, r, "drop", "its manager does not answer, and on-silence is drop; it is asked once a second");
		return;
	case TRACE_DROPPED:
		say(a, r, "drop", told ? "an affinity says so, and its sender is told" : "an affinity says so");
		return;
	case TRACE_FORWARDED:
		say(a, r, routable(t) ? "forward" : "drop",
		    routable(t) ? "decided here, without asking anybody" : "decided, but the kernel has no way for it");
		return;
	}
}

void admin_trace_rows(struct admin *a, const struct admin_view *v)
{
	uint32_t steps = 0;

	packet_row(a, v->trace, &steps);
	protected_row(a, v->trace, &steps);
	if (admin_trace_reaches(v->trace)) {
		match_rows(a, v, &steps);
		result_row(a, v->trace, &steps);
		tunnel_row(a, v->trace, &steps);
	}
	route_row(a, v->trace, &steps);
	outcome_row(a, v, &steps);
}
