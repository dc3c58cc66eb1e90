// SPDX-License-Identifier: BSD-2-Clause
/*
 * ICMP errors on their way through the engine: those about a flow go that
 * flow's way (KEY-4), and what is larger than its way out is answered by one (FA-7).  So is what is rejected, or by a
 * TCP reset (FIX-3).
 *
 * Must not know how an error is written or edited.
 */
#include <netinet/in.h>
#include <string.h>

#include "fad/engine_priv.h"
#include "fad/engine_wrap.h"
#include "fad/packet_error.h"
#include "fad/segment.h"
#include "lib/hash.h"

/* Packets up to this size are not worth asking for their MTU: any link of today carries them. */
#define SMALL_IPV4 576
#define SMALL_IPV6 1280 /* there may be none that does not (RFC 8200) */

#define ERRORS_PER_SECOND    1000
#define ERRORS_PER_RECIPIENT 10   /* a second */
#define RESETS_PER_SECOND    1000 /* small, and of one address there may be many clients */
#define RESETS_PER_RECIPIENT 100

/* ---- about a flow ---- */

bool engine_knows(const struct engine *e, const struct flow_key *k)
{
	struct wildcard *one[1];

	return fixtab_flow(e->fixed, k) || hold_find(e->hold, k) || wildtab_match(e->wild, k, 0, one, 1) > 0;
}

static bool names_source(const struct wildcard *w)
{
	static const uint8_t any[16];

	for (int i = 0; i < w->range_count; i++)
		if (w->ranges[i].field == WIRE_RANGE_SRC)
			return true;
	return memcmp(w->match.src_mask, any, sizeof(any)) != 0;
}

/*
 * Is it refused for whom it comes from?  Its sender writes what it embeds, and must not slip past a filter by that.
 * What is refused whoever sends it is about flows, as this error is: what applies to its flow decides.
 */
static bool is_refused(const struct engine *e, const struct packet *p)
{
	const struct passage fresh = {.kind = PASSAGE_FRESH, .resume = AFFINITY_RANK_BEFORE_ALL};
	const struct flow *f = fixtab_flow(e->fixed, &p->key);
	struct flow_plan plan;
	const struct wildcard *w;

	engine_compose(e, &p->key, false, f ? f->fixed : NULL, &fresh, &plan, NULL);
	if (!plan.drop)
		return false;
	w = plan.steps[plan.count - 1].wildcard;
	return !w || names_source(w);
}

void engine_follow(const struct engine *e, struct packet *p)
{
	/* To the router itself: whoever asked to see that gets it as it is (FA-8). */
	if (p->embedded && !p->guarded && engine_knows(e, &p->flow) && !is_refused(e, p))
		packet_follow(p);
}

/* ---- what fits ---- */

/* Of a super-packet the segments count. */
static uint32_t size_on_wire(const struct packet *p)
{
	return segment_count(p) > 1 ? p->payload + p->offload.gso_size : p->len;
}

/* An IPv4 packet that routers may cut is nobody's fault: the kernel cuts it. */
static bool may_be_cut(const struct packet *p)
{
	return p->key.family == 4 && !(p->data[6] & 0x40);
}

static struct addr way_out(const struct flow_plan *plan, const struct packet *p)
{
	if (plan->tunnel)
		return plan->tunnel->remote;
	if (!addr_is_zero(&plan->next_hop))
		return plan->next_hop;
	return addr_make(p->key.family, plan->edit.set & PLAN_DST ? plan->edit.dst : p->key.dst);
}

/* The largest of these packets that gets through; 0: that is not known, or no less than the size.  The route is asked
 * for only where a packet of that size may be too large: who chooses addresses must not make us ask each time. */
static uint32_t room(struct engine *e, const struct flow_plan *plan, const struct packet *p, uint32_t size)
{
	struct addr to = way_out(plan, p);
	uint32_t overhead = plan->tunnel ? wrap_overhead(plan->tunnel) : 0;
	struct engine_route route;

	if (e->out->least_mtu && size + overhead <= e->out->least_mtu(e->ctx))
		return 0;
	if (!e->out->route || !e->out->route(e->ctx, &to, &route) || route.mtu <= overhead)
		return 0;
	return route.mtu - overhead;
}

/* ---- telling ---- */

/* At most so many a second, in all and towards one address.  Two addresses may share a place. */
static bool allowed(const struct engine *e, struct error_limit *l, const struct addr *to, uint32_t most, uint8_t each)
{
	uint8_t *place = &l->places[hash_bytes(e->conf.hash_key, to, sizeof(*to)) % ENGINE_ERROR_PLACES];

	if (e->ticked_ms - l->window_ms >= 1000) {
		memset(l, 0, sizeof(*l));
		l->window_ms = e->ticked_ms;
	}
	if (l->sent >= most || *place >= each)
		return false;
	l->sent++;
	(*place)++;
	return true;
}

static struct addr sender_of(const struct packet *p)
{
	bool v4 = p->data[0] >> 4 == 4;

	return addr_make(v4 ? 4 : 6, p->data + (v4 ? 12 : 8));
}

/* What was made about p goes to its sender. */
static bool answer(struct engine *e, const struct packet *p, uint8_t *bytes, size_t len)
{
	struct packet a = {.ifindex = p->ifindex};

	return len && packet_parse(&a, bytes, len) == PACKET_OK && e->out->forward(e->ctx, &a, NULL);
}

/* Tell the sender about his packet as he knows it, not as it would have gone out.  mtu: it is too big; 0: it is
 * unreachable, and prohibited says why. */
static bool tell(struct engine *e, const struct packet *p, uint32_t mtu, bool prohibited)
{
	struct addr sender = sender_of(p);
	uint8_t bytes[PACKET_ERROR_MAX];
	struct engine_route route;
	size_t len;

	/* The limit comes first: beyond it nothing is worth its cost. */
	if (!packet_answerable(p) || !allowed(e, &e->errors, &sender, ERRORS_PER_SECOND, ERRORS_PER_RECIPIENT) ||
	    !e->out->route || !e->out->route(e->ctx, &sender, &route) || route.source.family != sender.family)
		return false;
	len = segment_write(p, 0, e->scratch, sizeof(e->scratch));
	if (!len)
		return false;
	len = mtu ? packet_error_too_big(e->scratch, len, mtu, &route.source, bytes)
		  : packet_error_unreachable(e->scratch, len, prohibited, &route.source, bytes);
	if (!answer(e, p, bytes, len))
		return false;
	engine_count(e, ENGINE_ERRORS);
	return true;
}

static bool reset(struct engine *e, const struct packet *p)
{
	struct addr sender = sender_of(p);
	uint8_t bytes[PACKET_RESET_MAX];
	size_t len;

	if (!packet_resettable(p) || !allowed(e, &e->resets, &sender, RESETS_PER_SECOND, RESETS_PER_RECIPIENT))
		return false;
	len = packet_reset(p, bytes);
	if (!answer(e, p, bytes, len))
		return false;
	engine_count(e, ENGINE_RESETS);
	return true;
}

bool engine_reject(struct engine *e, enum wire_reject_kind kind, const struct packet *p)
{
	/* Of TCP it is a reset or nothing; a packet that follows a flow is an error, whatever the flow is. */
	if (p->key.proto == IPPROTO_TCP && !p->follows)
		return reset(e, p);
	return tell(e, p, 0, kind == WIRE_REJECT_PROHIBITED);
}

/* ---- too big ---- */

bool engine_fits(struct engine *e, const struct flow_plan *plan, const struct packet *p)
{
	uint32_t size = size_on_wire(p), mtu;

	if (size <= (p->key.family == 4 ? SMALL_IPV4 : SMALL_IPV6) || may_be_cut(p))
		return true;
	/* Unchanged it is the kernel's, which says it better. */
	if (!plan->edit.set && !plan->far && addr_is_zero(&plan->next_hop))
		return true;
	mtu = room(e, plan, p, size);
	if (!mtu || size <= mtu)
		return true;
	engine_lose(e, tell(e, p, mtu, false) ? ENGINE_DROP_TOO_BIG : ENGINE_DROP_TOO_BIG_UNTOLD, p);
	return false;
}

uint32_t engine_cut_to(struct engine *e, const struct flow_plan *plan, const struct packet *p)
{
	uint32_t size, mtu;

	if (addr_is_zero(&plan->next_hop) || plan->tunnel || !may_be_cut(p))
		return 0;
	size = size_on_wire(p);
	mtu = size > SMALL_IPV4 ? room(e, plan, p, size) : 0;
	return mtu && mtu < size ? mtu : 0;
}
