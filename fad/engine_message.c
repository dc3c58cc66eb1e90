/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What service messages change: wildcard and fixed updates, returned packets,
 * and the denies that answer what cannot be done (FA-2).
 *
 * Must not know how messages are carried or authenticated.
 */
#include <stdlib.h>
#include <string.h>

#include "fad/engine_priv.h"
#include "lib/log.h"

/* Denies a manager may provoke in a second (MSG-14). */
#define DENIES_PER_SECOND 50

/* Action segments and extensions this agent acts upon. */
static const uint8_t supported[] = {WIRE_SEG_NAT,    WIRE_SEG_ADVERTISE, WIRE_SEG_SEQ_ADJUST, WIRE_SEG_INTEREST,
				    WIRE_SEG_RANGES, WIRE_SEG_TUNNEL,    WIRE_SEG_REJECT};

void engine_supported(struct wire_list *list)
{
	list->count = sizeof(supported);
	memcpy(list->types, supported, sizeof(supported));
}

/* ---- denies ---- */

static void list_add(struct wire_list *list, uint8_t type)
{
	if (!memchr(list->types, type, list->count) && list->count < WIRE_MAX_LIST)
		list->types[list->count++] = type;
}

static bool deny_allowed(struct deny_limit *l, uint64_t now_ms)
{
	if (now_ms - l->window_ms >= 1000) {
		l->window_ms = now_ms;
		l->sent = 0;
	}
	if (l->sent >= DENIES_PER_SECOND)
		return false;
	l->sent++;
	return true;
}

static const char *deny_text(enum wire_error_code code)
{
	switch (code) {
	case WIRE_ERROR_UNSUPPORTED:
		return "segment types this agent cannot act upon";
	case WIRE_ERROR_NOT_COVERED:
		return "no wildcard of this manager covers the flow";
	case WIRE_ERROR_NO_ROOM:
		return "table full";
	case WIRE_ERROR_FORBIDDEN:
		return "the operator of this agent does not permit it";
	}
	return "";
}

/* A deny that carries what identifies the update (MSG-7). */
static void send_deny(struct engine *e, const struct endpoint_peer *to, const struct wire_msg *update,
		      enum wire_error_code code, const struct wire_list *types)
{
	static const enum wire_segment returned[] = {WIRE_SEG_WILDCARD,   WIRE_SEG_RANGES, WIRE_SEG_FIXED,
						     WIRE_SEG_PRECEDENCE, WIRE_SEG_BACKUP, WIRE_SEG_IDENTITY,
						     WIRE_SEG_SM_DATA,    WIRE_SEG_FA_DATA};
	struct wire_msg m;

	wire_start(&m, WIRE_DENY);
	if (types)
		m.list = *types;
	wire_set(&m, WIRE_SEG_ACTION_LIST, true);
	for (size_t i = 0; i < sizeof(returned) / sizeof(returned[0]); i++)
		if (wire_has(update, returned[i]))
			wire_set(&m, returned[i], false);
	m.wildcard = update->wildcard;
	m.range_count = update->range_count;
	memcpy(m.ranges, update->ranges, sizeof(m.ranges));
	m.fixed = update->fixed;
	m.precedence = update->precedence;
	m.backup = update->backup;
	m.identity = update->identity;
	m.sm_data = update->sm_data;
	m.fa_data = update->fa_data;
	m.error.code = code;
	snprintf(m.error.text, sizeof(m.error.text), "%s", deny_text(code));
	wire_set(&m, WIRE_SEG_ERROR, false);
	e->out->send(e->ctx, to, &m);
}

/* The manager's wildcard that a refused update concerns: the one to be replaced, or the best that covers the flow. */
static struct wildcard *concerned(const struct engine *e, const struct manager *manager, const struct wire_msg *update)
{
	struct wildcard *wild[WILDTAB_MAX_MATCHES];
	size_t n;

	if (update->h.type == WIRE_WILDCARD_UPDATE)
		return wildtab_find(e->wild, manager, &update->wildcard, update->ranges, update->range_count,
				    affinity_rank_of(update));
	n = wildtab_match(e->wild, &update->fixed.key, 0, wild, WILDTAB_MAX_MATCHES);
	for (size_t i = 0; i < n; i++)
		if (wild[i]->a.manager == manager)
			return wild[i];
	return NULL;
}

/* The packet inside a denied update goes with it (FIX-8). */
static void lose_enclosed(struct engine *e, const struct wire_msg *m)
{
	if (!wire_has(m, WIRE_SEG_IP_PACKET))
		return;
	engine_count(e, ENGINE_DROP_DENIED);
	engine_show(e, ENGINE_DROP_DENIED, m->packet.data, m->packet.len, 0);
}

static void deny(struct engine *e, struct manager *manager, const struct wire_msg *update, enum wire_error_code code,
		 const struct wire_list *types, uint64_t now_ms)
{
	struct wildcard *w = concerned(e, manager, update);
	char name[WIRE_MAX_NAME + 1];

	engine_count(e, ENGINE_DENIES);
	manager->denied++;
	if (w)
		w->denies++;
	lose_enclosed(e, update);
	if (!deny_allowed(&manager->denies, now_ms)) {
		engine_count(e, ENGINE_DENIES_LIMITED);
		return;
	}
	engine_tell(e, &(struct engine_news){ENGINE_NEWS_DENIED, manager, NULL, deny_text(code)});
	log_info("denied a %s of %s: %s", wire_type_name(update->h.type), manager_name(manager, name), deny_text(code));
	send_deny(e, &manager->peer, update, code, types);
}

void engine_undecodable(struct engine *e, const struct endpoint_peer *from, const struct wire_msg *m,
			const struct wire_list *unknown)
{
	struct manager *known;

	engine_count(e, ENGINE_DENIES);
	lose_enclosed(e, m);
	HASH_FIND(hh, e->managers, &from->identity, sizeof(from->identity), known);
	if (known)
		known->denied++;
	if (deny_allowed(known ? &known->denies : &e->undecodable, e->ticked_ms))
		send_deny(e, from, m, WIRE_ERROR_UNSUPPORTED, unknown);
	else
		engine_count(e, ENGINE_DENIES_LIMITED);
}

/* The listed types that the agent cannot do (ACT-8); of a required one that is unknown nothing comes here (MSG-3). */
static bool find_unsupported(const struct wire_msg *m, struct wire_list *out)
{
	out->count = 0;
	for (int i = 0; wire_has(m, WIRE_SEG_ACTION_LIST) && i < m->list.count; i++)
		if (!memchr(supported, m->list.types[i], sizeof(supported)))
			list_add(out, m->list.types[i]);
	return out->count > 0;
}

/* ---- wildcard updates (figure 13, WILD-4) ---- */

/* Bits of a contiguous mask, or -1. */
static int mask_length(const uint8_t *mask, size_t len)
{
	size_t bits = 0;

	while (bits < len * 8 && (mask[bits / 8] & (0x80 >> bits % 8)))
		bits++;
	for (size_t i = bits; i < len * 8; i++)
		if (mask[i / 8] & (0x80 >> i % 8))
			return -1;
	return (int)bits;
}

/* Fill in what an advertise segment leaves to the wildcard's destination.  False: that is no prefix. */
static bool resolve_advertise(struct wildcard *w, const struct wire_msg *m)
{
	for (int i = 0; i < m->advertise_count; i++) {
		struct wire_advertise *a = &w->advertise[i];
		int plen;

		*a = m->advertise[i];
		if (a->addr.family)
			continue;
		plen = mask_length(m->wildcard.dst_mask, addr_len(m->wildcard.family));
		if (plen < 0)
			return false;
		a->addr = addr_make(m->wildcard.family, w->match.dst);
		a->plen = (uint8_t)plen;
	}
	w->advertise_count = m->advertise_count;
	return true;
}

static struct wildcard *wildcard_new(const struct wire_msg *m, struct manager *manager, uint64_t now_ms)
{
	const struct wire_wildcard *ww = &m->wildcard;
	struct wildcard *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->match = *ww;
	for (int i = 0; i < 16; i++) {
		w->match.src[i] &= ww->src_mask[i];
		w->match.dst[i] &= ww->dst_mask[i];
	}
	w->made_ms = now_ms;
	w->range_count = m->range_count;
	memcpy(w->ranges, m->ranges, sizeof(w->ranges));
	if (!resolve_advertise(w, m) ||
	    !affinity_init(&w->a, m, manager, ww->flags, &ww->forward, ww->ttl, ww->family, now_ms)) {
		free(w);
		return NULL;
	}
	return w;
}

static void wildcard_free(struct wildcard *w)
{
	affinity_clear(&w->a);
	free(w);
}

static bool advertises_same(const struct wildcard *x, const struct wildcard *y)
{
	if (x->advertise_count != y->advertise_count)
		return false;
	for (int i = 0; i < x->advertise_count; i++)
		if (!addr_equal(&x->advertise[i].addr, &y->advertise[i].addr) ||
		    x->advertise[i].plen != y->advertise[i].plen)
			return false;
	return true;
}

static bool same_interest(const struct wire_interest *x, const struct wire_interest *y)
{
	return x->interest == y->interest && x->data == y->data && x->copy == y->copy && x->hold == y->hold &&
	       x->port == y->port && addr_equal(&x->addr, &y->addr);
}

/* Would replacing x by y change what happens to any packet? */
static bool same_effect(const struct affinity *x, const struct affinity *y)
{
	if (x->flags != y->flags || x->reject != y->reject || x->backup != y->backup ||
	    !addr_equal(&x->forward, &y->forward) || memcmp(&x->edit, &y->edit, sizeof(x->edit)) != 0 ||
	    x->interest_count != y->interest_count || !affinity_same_wires(x, y))
		return false;
	for (int i = 0; i < x->interest_count; i++)
		if (!same_interest(&x->interest[i], &y->interest[i]))
			return false;
	return true;
}

/* A refresh changes nothing but time and the manager's data (PREC-10). */
static void refresh_wildcard(struct wildcard *old, struct wildcard *w)
{
	uint8_t *data = old->a.sm_data;

	old->a.sm_data = w->a.sm_data;
	old->a.sm_data_len = w->a.sm_data_len;
	w->a.sm_data = data;
	old->a.ttl_s = w->a.ttl_s;
	old->a.updated_ms = w->a.updated_ms;
	old->a.expires_ms = w->a.expires_ms;
	wildcard_free(w);
}

/* Takes w; frees it when there is no room for it. */
static bool store_wildcard(struct engine *e, struct wildcard *w, struct wildcard *old)
{
	if ((!old && wildtab_count(e->wild) >= e->conf.max_wildcards) || !wildtab_add(e->wild, w)) {
		wildcard_free(w);
		return false;
	}
	if (!engine_advertise(e, w)) { /* before the old one's go: no route flaps */
		wildtab_remove(e->wild, w);
		return false;
	}
	w->a.manager->wildcards++;
	engine_shed_yield(e, w);
	if (old) {
		engine_shed_end(e, old); /* counts under it, too */
		w->a.packets = old->a.packets;
		w->a.bytes = old->a.bytes;
		w->flows = old->flows;
		w->denies = old->denies;
		w->drops = old->drops;
		w->timeouts = old->timeouts;
		engine_silence_inherit(e, w, old);
		w->punt_ns = old->punt_ns;
		w->shed_flows = old->shed_flows;
		w->shed_ms = old->shed_ms;
		w->made_ms = old->made_ms;
		wildtab_replace(w, old);
		engine_wildcard_drop(e, old);
	}
	if (wildtab_count(e->wild) > e->marks.wildcards)
		e->marks.wildcards = wildtab_count(e->wild);
	engine_void_plans(e);
	return true;
}

static void wildcard_update(struct engine *e, struct manager *manager, const struct wire_msg *m, uint64_t now_ms)
{
	struct wildcard *old =
		wildtab_find(e->wild, manager, &m->wildcard, m->ranges, m->range_count, affinity_rank_of(m));
	struct wire_list types;
	struct wildcard *w;

	if (!m->wildcard.ttl) {
		engine_count(e, old ? ENGINE_WILDCARDS_DELETED : ENGINE_STALE_WILDCARD);
		if (old) {
			engine_tell(e, &(struct engine_news){ENGINE_NEWS_DELETED, manager, old, NULL});
			engine_wildcard_drop(e, old);
		}
		return;
	}
	if (find_unsupported(m, &types)) {
		deny(e, manager, m, WIRE_ERROR_UNSUPPORTED, &types, now_ms);
		return;
	}
	if ((m->wildcard.flags & WIRE_FLAG_PROTECTED) && !e->conf.permit_protected) {
		deny(e, manager, m, WIRE_ERROR_FORBIDDEN, NULL, now_ms);
		return;
	}
	w = wildcard_new(m, manager, now_ms);
	if (w && old && same_effect(&old->a, &w->a) && advertises_same(old, w)) {
		refresh_wildcard(old, w);
		engine_count(e, ENGINE_WILDCARDS_REFRESHED);
	} else if (!w || !store_wildcard(e, w, old)) {
		engine_count(e, ENGINE_WILDCARD_NO_ROOM);
		deny(e, manager, m, WIRE_ERROR_NO_ROOM, NULL, now_ms);
		return;
	} else {
		engine_count(e, ENGINE_WILDCARDS_ADDED);
		engine_tell(e, &(struct engine_news){ENGINE_NEWS_ADDED, manager, w, NULL});
	}
	engine_count(e, ENGINE_WILDCARD_UPDATES);
}

/* ---- fixed updates (figure 14, FIX-8) ---- */

static void store_fixed(struct engine *e, struct manager *manager, const struct wire_msg *m, struct affinity *a,
			struct fixed **stored, uint64_t now_ms)
{
	struct flow *f = fixtab_flow(e->fixed, &m->fixed.key);
	struct fixed *old = f ? fixtab_find(f, manager, a->rank) : NULL;

	*stored = NULL;
	if (!m->fixed.ttl) {
		if (old) {
			engine_count(e, ENGINE_FIXED_DELETED);
			engine_fixed_drop(e, old);
		}
		return;
	}
	*stored = fixtab_put(e->fixed, &m->fixed.key, a);
	if (!*stored)
		return;
	engine_fast_change(e, (*stored)->flow, now_ms);
	if (fixtab_count(e->fixed) > e->marks.fixed)
		e->marks.fixed = fixtab_count(e->fixed);
	engine_count(e, old ? ENGINE_FIXED_UPDATED : ENGINE_FIXED_ADDED);
	if (!old)
		manager->fixed++;
}

/* The interface a returned packet first came in by, whether it is protected, and the rank it had reached, by its
 * cookie. */
static bool read_cookie(struct engine *e, const struct wire_msg *m, struct packet *p, affinity_rank *resume,
			uint64_t now_ms)
{
	struct cookie c;

	if (!wire_has(m, WIRE_SEG_FA_DATA) || !cookie_check(e->conf.cookie_key, &p->key, m->fa_data.data,
							    m->fa_data.len, now_ms, ENGINE_COOKIE_LIFE_MS, &c))
		return false;
	p->ifindex = c.ifindex;
	p->guarded = c.guarded;
	*resume = c.rank;
	return true;
}

/* The question that this message answers, however long ago it was: a late answer must be known as such. */
static struct cookie question(const struct engine *e, const struct wire_msg *m, const struct flow_key *k,
			      uint64_t now_ms)
{
	struct cookie c;

	if (!wire_has(m, WIRE_SEG_FA_DATA) ||
	    !cookie_check(e->conf.cookie_key, k, m->fa_data.data, m->fa_data.len, now_ms, UINT64_MAX, &c))
		return (struct cookie){.made_ms = ENGINE_ASKED_UNKNOWN};
	return c;
}

/* The best rank at which this manager matches the key: where its packet is taken to have been punted.  It matches
 * nowhere: nobody was asked. */
static affinity_rank best_rank_of(struct engine *e, const struct manager *manager, const struct flow_key *k)
{
	struct wildcard *wild[WILDTAB_MAX_MATCHES];
	size_t n = wildtab_match(e->wild, k, 0, wild, WILDTAB_MAX_MATCHES);
	struct flow *f = fixtab_flow(e->fixed, k);
	affinity_rank best = AFFINITY_RANK_BEFORE_ALL; /* also the greatest value */

	for (size_t i = 0; i < n; i++)
		if (wild[i]->a.manager == manager && wild[i]->a.rank < best)
			best = wild[i]->a.rank;
	for (struct fixed *x = f ? f->fixed : NULL; x; x = x->next_in_flow)
		if (x->a.manager == manager && x->a.rank < best)
			best = x->a.rank;
	return best;
}

/* Parse the enclosed packet into a buffer of the engine, since the message's bytes are not ours to edit. */
static bool enclosed(struct engine *e, const struct wire_msg *m, struct packet *p)
{
	memset(p, 0, sizeof(*p));
	memcpy(e->returned, m->packet.data, m->packet.len);
	if (packet_parse(p, e->returned, m->packet.len) != PACKET_OK || packet_verify(p) != PACKET_OK) {
		engine_count(e, ENGINE_DROP_MALFORMED);
		engine_show(e, ENGINE_DROP_MALFORMED, m->packet.data, m->packet.len, 0);
		return false;
	}
	engine_count(e, ENGINE_RETURNED);
	engine_show(e, ENGINE_RETURNED, p->data, p->len, 0);
	return true;
}

/* The packet inside an update: processed with the update's actions, then whatever comes after (FIX-8, PREC-2). */
static void pass_enclosed(struct engine *e, const struct wire_msg *m, struct affinity *a, bool probe, uint64_t now_ms)
{
	struct passage way = {.kind = PASSAGE_RETURNED, .answer = a};
	struct packet p;

	if (!enclosed(e, m, &p))
		return;
	/* What the manager says counts from the next packet on: this one had gone on without him. */
	if (probe) {
		engine_lose(e, ENGINE_DROP_PROBED, &p);
		return;
	}
	if (p.embedded && memcmp(&p.flow, &m->fixed.key, sizeof(p.flow)) == 0)
		packet_follow(&p);
	if (packet_belongs(&p, &m->fixed.key))
		p.key = m->fixed.key; /* a later fragment gets its ports */
	if (memcmp(&p.key, &m->fixed.key, sizeof(p.key)) != 0) {
		engine_lose(e, ENGINE_DROP_MISMATCH, &p);
		return;
	}
	if (!read_cookie(e, m, &p, &way.resume, now_ms)) {
		way.resume = best_rank_of(e, a->manager, &p.key);
		if (a->rank < way.resume)
			way.resume = a->rank;
	}
	engine_pass(e, &p, &way, now_ms);
}

static void fixed_update(struct engine *e, struct manager *manager, const struct wire_msg *m, uint64_t now_ms)
{
	const struct wire_fixed *wf = &m->fixed;
	struct cookie asked = question(e, m, &wf->key, now_ms);
	struct wire_list types;
	struct affinity a;
	struct fixed *stored;
	struct held_packet *held;
	bool with_packet = wire_has(m, WIRE_SEG_IP_PACKET);

	if (wf->ttl || with_packet)
		engine_answered(e, manager, &wf->key);
	if ((wf->ttl || with_packet) && find_unsupported(m, &types)) {
		deny(e, manager, m, WIRE_ERROR_UNSUPPORTED, &types, now_ms);
		return;
	}
	/* A deletion needs no cover: the wildcard may have gone first, and the entry outlives it (FIX-6). */
	if ((wf->ttl || with_packet) && !e->conf.accept_uncovered && !wildtab_covers(e->wild, &wf->key, manager)) {
		deny(e, manager, m, WIRE_ERROR_NOT_COVERED, NULL, now_ms);
		return;
	}
	if (!affinity_init(&a, m, manager, wf->flags, &wf->forward, wf->ttl, wf->key.family, now_ms)) {
		engine_count(e, ENGINE_FIXED_NO_ROOM);
		deny(e, manager, m, WIRE_ERROR_NO_ROOM, NULL, now_ms);
		return;
	}
	store_fixed(e, manager, m, &a, &stored, now_ms);
	if (wf->ttl && !stored) {
		affinity_clear(&a);
		engine_count(e, ENGINE_FIXED_NO_ROOM);
		deny(e, manager, m, WIRE_ERROR_NO_ROOM, NULL, now_ms);
		return;
	}
	engine_count(e, ENGINE_FIXED_UPDATES);
	held = with_packet || stored ? engine_take_held(e, &wf->key, manager, asked.made_ms) : NULL;
	if (with_packet)
		pass_enclosed(e, m, stored ? &stored->a : &a, asked.probe, now_ms);
	if (!stored)
		affinity_clear(&a);
	engine_resume_held(e, held, now_ms);
}

/* ---- returned packets (figure 15, PREC-7, MSG-9) ---- */

/* Whose key was an ICMP error punted under?  The cookie tells; without one it is taken as one that just came. */
static void follow_returned(struct engine *e, const struct wire_msg *m, struct packet *p, uint64_t now_ms)
{
	struct packet own = *p, other = *p;
	affinity_rank rank;

	if (!p->embedded)
		return;
	packet_follow(&other);
	if (read_cookie(e, m, &other, &rank, now_ms))
		packet_follow(p);
	else if (!read_cookie(e, m, &own, &rank, now_ms))
		engine_follow(e, p);
}

static void returned_packet(struct engine *e, struct manager *manager, const struct wire_msg *m, uint64_t now_ms)
{
	struct passage way = {.kind = PASSAGE_RETURNED};
	struct held_packet *held;
	struct cookie asked;
	struct packet p;

	if (!enclosed(e, m, &p))
		return;
	engine_fragment_key(e, &p, now_ms);
	follow_returned(e, m, &p, now_ms);
	if (!read_cookie(e, m, &p, &way.resume, now_ms)) {
		if (!e->conf.authenticated) {
			engine_lose(e, ENGINE_DROP_COOKIE, &p);
			return;
		}
		way.resume = best_rank_of(e, manager, &p.key);
	}
	engine_answered(e, manager, &p.key);
	asked = question(e, m, &p.key, now_ms);
	held = engine_take_held(e, &p.key, manager, asked.made_ms);
	if (asked.probe)
		engine_lose(e, ENGINE_DROP_PROBED, &p);
	else
		engine_pass(e, &p, &way, now_ms);
	engine_resume_held(e, held, now_ms);
}

void engine_message(struct engine *e, const struct endpoint_peer *from, const struct wire_msg *m, uint64_t now_ms)
{
	struct manager *manager;

	if (m->h.type != WIRE_WILDCARD_UPDATE && m->h.type != WIRE_FIXED_UPDATE && m->h.type != WIRE_PACKET) {
		engine_count(e, ENGINE_UNEXPECTED);
		return;
	}
	manager = engine_manager(e, from, m, now_ms);
	if (!manager) {
		engine_count(e, ENGINE_MANAGERS_NO_ROOM);
		return;
	}
	switch (m->h.type) {
	case WIRE_WILDCARD_UPDATE:
		wildcard_update(e, manager, m, now_ms);
		break;
	case WIRE_FIXED_UPDATE:
		fixed_update(e, manager, m, now_ms);
		break;
	default:
		returned_packet(e, manager, m, now_ms);
		break;
	}
}
