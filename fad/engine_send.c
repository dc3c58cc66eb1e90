/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The last stretch of packets that need more than other addresses and ports:
 * sequence numbers adjusted (ACT-2), wrapped into a tunnel (SVC-10).
 *
 * What an initial number cuts, and what goes into a tunnel, is made into the
 * packets it stands for, with complete checksums, and each goes by itself.
 * Must not know why a plan says what it says.
 */
#include <netinet/in.h>

#include "fad/cut.h"
#include "fad/engine_priv.h"
#include "fad/engine_wrap.h"
#include "fad/packet_error.h"
#include "fad/segment.h"
#include "lib/hash.h"

#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

/* How one packet of a plan goes. */
struct leg {
	const struct flow_plan *plan;
	struct plan_adjust adjusts[PLAN_MAX_ADJUSTS];
	uint32_t adjust_count;
	struct addr source; /* of the tunnel */
	uint32_t cut_to;    /* IPv4 without DF: into pieces of at most so many bytes; 0: it fits */
};

uint32_t engine_adjusts(const struct flow_plan *plan, struct plan_adjust out[PLAN_MAX_ADJUSTS])
{
	uint32_t n = 0;

	for (int i = 0; i < plan->count && n < PLAN_MAX_ADJUSTS; i++)
		if (plan->steps[i].a->adjust)
			out[n++] = plan->steps[i].a->adjust->now;
	return n;
}

static bool has_numbers(const struct packet *p)
{
	return p->l4 && !p->follows && p->key.proto == IPPROTO_TCP;
}

/* Fixed affinities only: a wildcard's initial numbers are many flows'. */
static void follow(const struct flow_plan *plan, const struct packet *p)
{
	const uint8_t *tcp = p->data + p->l4;

	if (!has_numbers(p) || p->tcp_flags & (TCP_SYN | TCP_RST))
		return; /* of these the numbers may be anything */
	for (int i = 0; i < plan->count; i++) {
		struct affinity_adjust *a = plan->steps[i].wildcard ? NULL : plan->steps[i].a->adjust;

		if (!a)
			continue;
		plan_follow(&a->now.seq_initial, &a->seq_far, plan_read32(tcp + 4));
		if (p->tcp_flags & TCP_ACK)
			plan_follow(&a->now.ack_initial, &a->ack_far, plan_read32(tcp + 8));
	}
}

static void edit(const struct leg *leg, struct packet *p)
{
	struct plan_target target = engine_target(p);

	if (p->follows) {
		packet_error_edit(p, &leg->plan->edit, leg->adjusts, leg->adjust_count);
		return;
	}
	plan_apply(&leg->plan->edit, &leg->plan->delta, &target);
	plan_adjust_apply(leg->adjusts, leg->adjust_count, &target);
}

/* The outer source: given, or what the kernel would take. */
static bool tunnel_source(struct engine *e, const struct wire_tunnel *t, struct addr *source)
{
	struct engine_route route;

	*source = t->local;
	if (source->family)
		return true;
	if (!e->out->route || !e->out->route(e->ctx, &t->remote, &route))
		return false;
	*source = route.source;
	return source->family == t->remote.family;
}

static bool wrap(struct engine *e, const struct leg *leg, const struct flow_key *flow, struct packet *p)
{
	const struct wire_tunnel *t = leg->plan->tunnel;
	uint64_t hash = hash_bytes(e->conf.hash_key, flow, sizeof(*flow));
	size_t len = wrap_write(t, &leg->source, p->data, p->len, hash, e->wrapped++);

	p->data -= len ? wrap_overhead(t) : 0;
	p->len = (uint32_t)len;
	return len > 0;
}

/* A piece that its next hop's link does not carry, in fragments (FA-7). */
static void send_cut(struct engine *e, const struct leg *leg, const struct packet *p, const struct addr *next_hop)
{
	size_t n = cut_count(p->data, p->len, leg->cut_to);

	for (size_t i = 0; i < n; i++) {
		size_t len = cut_write(p->data, p->len, leg->cut_to, i, e->scratch, sizeof(e->scratch));
		struct packet part = {.ifindex = p->ifindex};

		if (len && packet_parse(&part, e->scratch, len) == PACKET_OK && engine_forward(e, &part, next_hop))
			engine_count(e, ENGINE_FRAGMENTS_MADE);
	}
	if (!n)
		engine_lose(e, ENGINE_DROP_TOO_BIG_UNTOLD, p);
}

/* All that p stands for, one by one; p itself stays as it is. */
static void send_pieces(struct engine *e, const struct leg *leg, const struct packet *p)
{
	const struct wire_tunnel *t = leg->plan->tunnel;
	const struct addr *next_hop = t || addr_is_zero(&leg->plan->next_hop) ? NULL : &leg->plan->next_hop;
	uint8_t *at = e->piece + (t ? wrap_overhead(t) : 0);
	size_t n = segment_count(p);

	for (size_t i = 0; i < n; i++) {
		size_t len = segment_write(p, i, at, sizeof(e->piece) - (size_t)(at - e->piece));
		struct packet part = {.ifindex = p->ifindex};

		if (!len || packet_parse(&part, at, len) != PACKET_OK) {
			engine_lose(e, ENGINE_DROP_TUNNEL, p);
			continue;
		}
		if (p->follows)
			packet_follow(&part);
		edit(leg, &part);
		if (t && !wrap(e, leg, &p->key, &part)) {
			engine_lose(e, ENGINE_DROP_TUNNEL, p);
			continue;
		}
		if (leg->cut_to && part.len > leg->cut_to)
			send_cut(e, leg, &part, next_hop);
		else if (engine_forward(e, &part, next_hop) && t)
			engine_count(e, ENGINE_WRAPPED);
	}
}

static bool is_cut(const struct leg *leg, const struct packet *p)
{
	const uint8_t *seq = p->data + p->l4 + 4;

	return has_numbers(p) && segment_count(p) > 1 &&
	       plan_adjust_cuts(leg->adjusts, leg->adjust_count, plan_read32(seq), p->len - p->payload);
}

void engine_send_far(struct engine *e, const struct flow_plan *plan, struct packet *p, uint32_t cut_to)
{
	struct leg leg = {.plan = plan, .cut_to = cut_to};

	leg.adjust_count = engine_adjusts(plan, leg.adjusts);
	follow(plan, p);
	if (plan->tunnel && !tunnel_source(e, plan->tunnel, &leg.source)) {
		engine_lose(e, ENGINE_DROP_TUNNEL, p);
	} else if (plan->tunnel || cut_to || is_cut(&leg, p)) {
		send_pieces(e, &leg, p);
	} else {
		edit(&leg, p);
		engine_forward(e, p, addr_is_zero(&plan->next_hop) ? NULL : &plan->next_hop);
	}
}
