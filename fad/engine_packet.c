/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The way of a packet through the engine: find what matches, report it to
 * managers as they asked, hold it, or edit it and send it on (FA-1).
 *
 *                      +-- hold exists for the flow --> held (FA-9)
 *   engine_packet -----+
 *                      +-- engine_pass: compose, report
 *                              |-- a manager takes it: punted, its flow held
 *                              |-- to be held (ACT-7):  copied and held
 *                              |-- drop (FIX-3)
 *                              +-- edited, forwarded
 */
#include <stdlib.h>
#include <string.h>

#include "fad/engine_priv.h"
#include "fad/packet_error.h"
#include "fad/segment.h"

/* ---- composing ---- */

/* Cursors over what matches a key, all sorted by rank. */
struct candidates {
	struct affinity *answer;
	struct fixed *fixed;
	struct wildcard **wild;
	size_t wild_left;
	/* Of a protected packet: all its wildcards, which are those that ask for such; else NULL. */
	struct wildcard *const *all;
	size_t all_count;
};

/* Of a protected packet only what a manager decided that asks for such counts (FA-8). */
static struct fixed *permitted(const struct candidates *c, struct fixed *x)
{
	for (; x && c->all; x = x->next_in_flow)
		for (size_t i = 0; i < c->all_count; i++)
			if (c->all[i]->a.manager == x->a.manager)
				return x;
	return x;
}

static bool next_rank(const struct candidates *c, affinity_rank *rank)
{
	bool any = false;

	*rank = AFFINITY_RANK_BEFORE_ALL; /* also the greatest value */
	if (c->answer && c->answer->rank < *rank)
		*rank = c->answer->rank, any = true;
	if (c->fixed && c->fixed->a.rank < *rank)
		*rank = c->fixed->a.rank, any = true;
	if (c->wild_left && c->wild[0]->a.rank < *rank)
		*rank = c->wild[0]->a.rank, any = true;
	return any;
}

/* The one that acts at this rank: the answer just given, else a fixed one, else a
 * wildcard (FIX-7) whose silence does not leave it out; NULL: none.  All of this rank are consumed. */
static struct plan_step take_rank(struct candidates *c, affinity_rank rank, struct engine_absent *absent)
{
	struct plan_step s = {NULL, NULL};

	if (c->answer && c->answer->rank == rank) {
		s.a = c->answer;
		c->answer = NULL;
	}
	for (; c->fixed && c->fixed->a.rank == rank; c->fixed = permitted(c, c->fixed->next_in_flow))
		if (!s.a)
			s.a = &c->fixed->a;
	for (; c->wild_left && c->wild[0]->a.rank == rank; c->wild++, c->wild_left--) {
		if (s.a)
			continue;
		if (!engine_is_absent(c->wild[0]))
			s = (struct plan_step){&c->wild[0]->a, c->wild[0]};
		else if (absent->count < PLAN_MAX_STEPS)
			absent->wild[absent->count++] = c->wild[0];
	}
	return s;
}

/* Who dispatches leaves the destination address as it is; what earlier ranks made of it stays (FIX-2). */
static void fold_edit(struct plan_edit *into, const struct plan_edit *e, bool last)
{
	uint8_t set = last ? e->set & (uint8_t)~PLAN_DST : e->set;

	if (set & PLAN_SRC)
		memcpy(into->src, e->src, 16);
	if (set & PLAN_DST)
		memcpy(into->dst, e->dst, 16);
	if (set & PLAN_SPORT)
		into->sport = e->sport;
	if (set & PLAN_DPORT)
		into->dport = e->dport;
	into->set |= set;
}

/*
 * A wildcard that drops what its manager does not let pass: this packet the
 * manager sent back, so it goes on (figure 15).
 */
static bool let_pass(const struct passage *way, const struct plan_step *s)
{
	return way->kind == PASSAGE_RETURNED && !way->answer && s->wildcard && affinity_drops(s->a) &&
	       s->a->rank == way->resume;
}

bool engine_compose(const struct engine *e, const struct flow_key *k, bool guarded, struct fixed *fixed,
		    const struct passage *way, struct flow_plan *plan, struct engine_absent *absent)
{
	struct engine_absent nobody_asks;
	struct wildcard *wild[WILDTAB_MAX_MATCHES];
	struct candidates c = {.answer = way->answer, .wild = wild, .all = guarded ? wild : NULL};
	affinity_rank rank;
	uint32_t adjusts = 0;
	bool all = true, last;

	absent = absent ? absent : &nobody_asks;
	absent->count = 0;
	memset(plan, 0, sizeof(*plan));
	plan->edit.family = k->family;
	plan->guarded = guarded;
	c.wild_left = c.all_count =
		wildtab_match(e->wild, k, guarded ? CLASSIFIER_SHAPE_PROTECTED : 0, wild, WILDTAB_MAX_MATCHES);
	plan->wild = c.wild_left > 0;
	c.fixed = permitted(&c, fixed);
	while (next_rank(&c, &rank)) {
		struct plan_step s = take_rank(&c, rank, absent);

		if (!s.a)
			continue;
		if (plan->count == PLAN_MAX_STEPS) {
			all = false;
			break;
		}
		plan->steps[plan->count++] = s;
		plan->watched |= s.a->interest_count > 0;
		plan->far |= s.a->adjust != NULL;
		adjusts += s.a->adjust != NULL;
		last = affinity_ends_cascade(s.a) && !let_pass(way, &s);
		fold_edit(&plan->edit, &s.a->edit, last);
		if (last) {
			plan->drop = affinity_drops(s.a);
			plan->next_hop = s.a->forward;
			plan->tunnel = s.a->tunnel;
			plan->far |= s.a->tunnel != NULL;
			break;
		}
	}
	plan->silent = absent->count > 0;
	plan->delta = plan_edit_delta(&plan->edit, k);
	plan->generation = e->generation;
	return all && adjusts <= PLAN_MAX_ADJUSTS;
}

/* ---- messages to managers ---- */

static struct endpoint_peer recipient(const struct affinity *a, const struct wire_interest *c)
{
	struct endpoint_peer to = a->manager->peer;

	if (!addr_is_zero(&c->addr))
		to.addr = c->addr;
	if (c->port)
		to.port = c->port;
	return to;
}

static void set_data(struct wire_msg *m, const struct affinity *a, const uint8_t cookie[COOKIE_LEN])
{
	if (a->sm_data_len) {
		m->sm_data = (struct wire_blob){a->sm_data, a->sm_data_len};
		wire_set(m, WIRE_SEG_SM_DATA, false);
	}
	if (a->manager->identity.name[0] || a->manager->identity.addr.family) {
		m->identity = a->manager->identity;
		wire_set(m, WIRE_SEG_IDENTITY, false);
	}
	m->fa_data = (struct wire_blob){cookie, COOKIE_LEN};
	wire_set(m, WIRE_SEG_FA_DATA, false);
}

static void set_identifier(struct wire_msg *m, const struct affinity *a, const struct flow_key *k, uint16_t reasons)
{
	m->identifier = (struct wire_identifier){.key = *k, .flags = a->flags, .reasons = reasons};
	wire_set(m, WIRE_SEG_IDENTIFIER, true);
}

/* A report about packet p to one recipient; data NULL: without the packet. */
static bool send_report(struct engine *e, const struct plan_step *s, const struct wire_interest *c,
			const struct verdict *v, const struct packet *p, const struct wire_blob *data, uint64_t now_ms)
{
	struct endpoint_peer to = recipient(s->a, c);
	struct cookie cookie = {
		.rank = s->a->rank, .ifindex = p->ifindex, .guarded = p->guarded, .probe = v->probe, .made_ms = now_ms};
	uint8_t cookie_bytes[COOKIE_LEN];
	struct wire_msg m;

	cookie_make(e->conf.cookie_key, &p->key, &cookie, cookie_bytes);
	wire_start(&m, !v->notice ? WIRE_PACKET : s->wildcard ? WIRE_MATCH_WILDCARD : WIRE_MATCH_FIXED);
	set_data(&m, s->a, cookie_bytes);
	if (v->notice)
		set_identifier(&m, s->a, &p->key, v->reasons);
	else
		m.present = wire_bit(WIRE_SEG_FA_DATA); /* IP packet only carries no manager's data */
	if (data) {
		m.packet = *data;
		wire_set(&m, WIRE_SEG_IP_PACKET, true);
	}
	if (!e->out->send(e->ctx, &to, &m))
		return false;
	s->a->manager->matches++;
	if (v->notice)
		engine_count(e, ENGINE_MATCHES);
	return true;
}

/* Cut segment i of p into the engine's scratch buffer. */
static bool segment_blob(struct engine *e, const struct packet *p, size_t i, struct wire_blob *blob)
{
	size_t len = segment_write(p, i, e->scratch, sizeof(e->scratch));

	*blob = (struct wire_blob){e->scratch, (uint16_t)len};
	return len > 0 && len <= UINT16_MAX;
}

/* Send copies of all that p stands for; the first with the notice. */
static void send_copies(struct engine *e, const struct plan_step *s, const struct wire_interest *c,
			const struct verdict *v, const struct packet *p, uint64_t now_ms)
{
	size_t n = segment_count(p);
	struct verdict rest = *v;
	struct wire_blob blob;

	rest.notice = false;
	for (size_t i = 0; i < n; i++)
		if (segment_blob(e, p, i, &blob) && send_report(e, s, c, i ? &rest : v, p, &blob, now_ms)) {
			engine_count(e, ENGINE_COPIES);
			engine_show(e, ENGINE_COPIES, blob.data, blob.len, p->ifindex);
		}
}

/*
 * mark, told: as in struct held_packet.  AFFINITY_RANK_BEFORE_ALL, or the rank whose hold bit keeps the packet (ACT-7),
 * or that punted the first of what it belongs to: then told says who that was, see struct passage.
 */
static void hold_packet(struct engine *e, struct held_flow *f, const struct packet *p, affinity_rank mark,
			uint64_t told)
{
	if (f && hold_push(e->hold, f, p, mark)) {
		f->last->told = told;
		engine_count(e, ENGINE_HELD);
	} else {
		engine_lose(e, ENGINE_DROP_HOLD_FULL, p);
	}
}

static struct held_flow *hold_get(struct engine *e, const struct flow_key *k, uint64_t now_ms)
{
	struct held_flow *f = hold_find(e->hold, k);

	if (f)
		return f;
	engine_fast_wait(e, k);
	return hold_begin(e->hold, k, now_ms);
}

/* Whose answer this flow waits for: of several punted packets the first one's, until that is back. */
static void asks(struct held_flow *f, const struct plan_step *s, bool punted)
{
	if (!f || f->punted)
		return;
	f->asked_manager = s->a->manager->peer.identity;
	f->asked_rank = s->a->rank;
	f->asked_under = s->wildcard ? s->wildcard->lineage : 0;
	f->asked_number = s->wildcard ? s->wildcard->number : 0;
	f->punted = punted;
}

/* Keep all but the first packet of a punted super-packet, in order (MSG-11). */
static void hold_rest(struct engine *e, struct held_flow *f, const struct packet *p, affinity_rank mark, uint64_t told)
{
	size_t n = segment_count(p);
	struct wire_blob blob;
	struct packet part;

	for (size_t i = 1; i < n; i++) {
		if (!segment_blob(e, p, i, &blob) || packet_parse(&part, e->scratch, blob.len) != PACKET_OK) {
			engine_lose(e, ENGINE_DROP_UNSENDABLE, p);
			continue;
		}
		memset(&part.offload, 0, sizeof(part.offload));
		part.ifindex = p->ifindex;
		part.guarded = p->guarded;
		hold_packet(e, f, &part, mark, told);
	}
}

/*
 * Each wildcard, and so each service, has a rate of its own: a flood of new flows to one leaves the others theirs.  And
 * no more of its questions are open than make up a moment of that rate: where those who decide do not get round to
 * them, others would wait behind them.  Under one, a source that asks little comes first: what it is ahead of the rate
 * by delays those that ask much (FA-5).  False: *why not.
 */
static bool may_ask(struct engine *e, struct wildcard *w, const struct flow_key *k, enum engine_counter *why,
		    uint64_t now_ms)
{
	uint64_t now_ns = now_ms * 1000000, each_ns, ahead_ns;
	uint32_t *open = engine_open(e, w), most;
	bool little;

	if (!e->conf.punt_rate)
		return true;
	each_ns = 1000000000 / e->conf.punt_rate;
	most = e->conf.punt_rate / (1000 / ENGINE_PUNT_OPEN_MS);
	if (most < ENGINE_PUNT_OPEN_LEAST)
		most = ENGINE_PUNT_OPEN_LEAST;
	if (w->punt_ns < now_ns)
		w->punt_ns = now_ns;
	ahead_ns = w->punt_ns - now_ns;
	*why = *open >= most ? ENGINE_DROP_PUNT_OPEN : ENGINE_DROP_PUNT_LIMIT;
	if (ahead_ns > ENGINE_PUNT_BURST_NS + ENGINE_PUNT_SPARE_NS || *open >= most + most / 2)
		return false;
	little = share_take(&e->shares, share_place(e->conf.hash_key, k, engine_names_source(w), w->lineage),
			    each_ns * ENGINE_PUNT_SHARES, now_ns);
	if (ahead_ns > ENGINE_PUNT_BURST_NS || *open >= most) {
		if (!little)
			return false;
		engine_count(e, ENGINE_PUNTS_SHARE);
	}
	w->punt_ns += each_ns;
	(*open)++;
	return true;
}

/* Its manager is silent: is it not to be asked now, but the packet dropped?  Else it is asked, and not again too soon.
 */
static bool is_in_vain(struct engine *e, struct wildcard *w, uint64_t now_ms)
{
	if (!w || !engine_is_silent(w))
		return false;
	if (now_ms < w->silence.probe_ms)
		return true;
	w->silence.probe_ms = now_ms + ENGINE_PROBE_MS;
	engine_count(e, ENGINE_PROBES);
	return false;
}

static void lose_in_vain(struct engine *e, struct wildcard *w, const struct packet *p, uint64_t now_ms)
{
	/* A flood takes as much from others here as one that is asked about. */
	if (e->conf.punt_rate && !e->conf.punt_excess_routed)
		engine_shed(e, w, now_ms);
	w->drops++;
	engine_lose(e, ENGINE_DROP_SILENT, p);
}

/* Too many ask under this wildcard. */
static void exceed(struct engine *e, struct wildcard *w, const struct packet *p, enum engine_counter why,
		   uint64_t now_ms)
{
	engine_shed(e, w, now_ms);
	if (e->conf.punt_excess_routed && e->out->forward(e->ctx, p, NULL)) {
		engine_count(e, ENGINE_EXCESS_ROUTED);
		return;
	}
	w->drops++;
	engine_lose(e, why, p);
}

/*
 * The packet itself goes to the manager; the rest of its flow waits (FA-9).  No more questions are open than flows can
 * wait: else each packet of the others would be another question.  A packet of which the manager has a copy is its
 * problem (ACT-7).
 */
static void punt(struct engine *e, const struct plan_step *s, const struct wire_interest *c, const struct verdict *v,
		 const struct packet *p, uint64_t now_ms)
{
	/* What the manager has seen already, and held, it is not told of again; nor is whoever got copies of it all. */
	uint64_t told = v->hold ? 0 : s->wildcard ? s->wildcard->lineage : ENGINE_TOLD_FIXED;
	bool first = !hold_find(e->hold, &p->key);
	enum engine_counter why;
	struct held_flow *f;
	struct wire_blob blob;

	if (is_in_vain(e, s->wildcard, now_ms)) {
		lose_in_vain(e, s->wildcard, p, now_ms);
		return;
	}
	if (s->wildcard && !may_ask(e, s->wildcard, &p->key, &why, now_ms)) {
		exceed(e, s->wildcard, p, why, now_ms);
		return;
	}
	f = hold_get(e, &p->key, now_ms);
	if (!f && !v->hold) {
		engine_lose(e, ENGINE_DROP_HOLD_FULL, p);
		return;
	}
	if (!segment_blob(e, p, 0, &blob) || !send_report(e, s, c, v, p, &blob, now_ms)) {
		engine_lose(e, ENGINE_DROP_UNSENDABLE, p);
		if (f && first)
			hold_release(e->hold, f); /* nobody was asked; it holds nothing */
		return;
	}
	engine_count(e, ENGINE_PUNTS);
	engine_show(e, ENGINE_PUNTS, blob.data, blob.len, p->ifindex);
	if (s->wildcard)
		s->wildcard->flows++;
	asks(f, s, true);
	hold_rest(e, f, p, s->a->rank, told);
}

/*
 * The original of a copied packet waits for a fixed affinity; what cannot wait,
 * or has waited long enough, goes to the manager itself (ACT-7).
 */
static void keep(struct engine *e, const struct plan_step *s, const struct wire_interest *c, const struct packet *p,
		 bool overdue, uint64_t now_ms)
{
	const struct verdict bare = {.take = true, .hold = true};
	struct held_flow *f;

	if (!overdue && is_in_vain(e, s->wildcard, now_ms)) {
		lose_in_vain(e, s->wildcard, p, now_ms);
		return;
	}
	f = overdue ? NULL : hold_get(e, &p->key, now_ms);
	if (f && hold_push(e->hold, f, p, s->a->rank)) {
		engine_count(e, ENGINE_HELD);
		asks(f, s, false);
	} else {
		punt(e, s, c, &bare, p, now_ms);
	}
}

/*
 * Report to whom this step's criteria name.  True: the packet is gone, to a
 * manager or into the hold.
 */
static bool report(struct engine *e, const struct plan_step *s, const struct packet *p, uint16_t bits, uint64_t now_ms)
{
	const struct wire_interest *keeper = NULL;
	bool taken = false;

	for (int i = 0; i < s->a->interest_count; i++) {
		const struct wire_interest *c = &s->a->interest[i];
		struct verdict v = engine_judge(c, bits);

		if (v.copy)
			send_copies(e, s, c, &v, p, now_ms);
		if (v.take && !taken)
			punt(e, s, c, &v, p, now_ms);
		else if (v.take)
			send_copies(e, s, c, &v, p, now_ms); /* somebody took the original already */
		else if (v.notice && !v.copy)
			send_report(e, s, c, &v, p, NULL, now_ms);
		taken |= v.take;
		if (v.hold && !keeper)
			keeper = c;
	}
	if (keeper && !taken)
		keep(e, s, keeper, p, false, now_ms);
	return taken || keeper;
}

/*
 * It was reported and held here.  True: it still is, or its manager has it, since no fixed affinity has come.  What a
 * fixed one itself held goes on when another has come for it.
 */
static bool still_held(struct engine *e, const struct plan_step *s, const struct packet *p, uint16_t bits, bool overdue,
		       uint64_t now_ms)
{
	for (int i = 0; (s->wildcard || overdue) && i < s->a->interest_count; i++) {
		const struct wire_interest *c = &s->a->interest[i];

		/* Nobody remembers whether it was the first data. */
		if (!engine_judge(c, bits).hold && !engine_judge(c, bits & (uint16_t)~WIRE_INTEREST_FIRST_DATA).hold)
			continue;
		keep(e, s, c, p, overdue, now_ms);
		return true;
	}
	return false;
}

/* The rest of what it punted, copies and notices of which are sent: it takes, or holds, the next one (MSG-11).  all:
 * its bits, and first data, which it was a part of. */
static bool report_rest(struct engine *e, const struct plan_step *s, const struct packet *p, uint16_t bits,
			uint16_t all, uint64_t now_ms)
{
	for (int i = 0; i < s->a->interest_count; i++) {
		struct verdict v = engine_judge(&s->a->interest[i], bits);

		if (!v.take)
			continue;
		punt(e, s, &s->a->interest[i], &v, p, now_ms);
		return true;
	}
	return still_held(e, s, p, all, false, now_ms);
}

/* Half the TTL is gone and the flow lives: ask for more before it runs out (FIX-9). */
static void refresh(struct engine *e, const struct plan_step *s, const struct packet *p, uint64_t now_ms)
{
	struct affinity *a = s->a;
	struct cookie cookie = {.rank = a->rank, .ifindex = p->ifindex, .guarded = p->guarded, .made_ms = now_ms};
	uint8_t cookie_bytes[COOKIE_LEN];
	struct wire_msg m;

	if (s->wildcard || a->refresh_sent || !a->ttl_s || now_ms < a->updated_ms + (uint64_t)a->ttl_s * 500)
		return;
	/* Anybody can make these, without being heard by either end: they are no life. */
	if (p->follows || (p->fragment && !p->first_fragment))
		return;
	cookie_make(e->conf.cookie_key, &p->key, &cookie, cookie_bytes);
	wire_start(&m, WIRE_REFRESH);
	set_data(&m, a, cookie_bytes);
	set_identifier(&m, a, &p->key, 0);
	a->refresh_sent = e->out->send(e->ctx, &a->manager->peer, &m);
	if (a->refresh_sent)
		engine_count(e, ENGINE_REFRESHES);
}

/* ---- sending on ---- */

void engine_account(struct engine *e, const struct flow_plan *plan, const struct flow_key *k, uint64_t packets,
		    uint64_t bytes)
{
	struct addr to = plan->next_hop;
	bool inform = false;

	if (addr_is_zero(&to))
		to = addr_make(k->family, plan->edit.set & PLAN_DST ? plan->edit.dst : k->dst);
	for (int i = 0; i < plan->count; i++) {
		struct affinity *a = plan->steps[i].a;

		a->packets += packets;
		a->bytes += bytes;
		inform |= a->flags & WIRE_FLAG_INFORMATION;
	}
	if (inform)
		engine_count_forward(e, &to, packets, bytes);
}

void engine_refresh(struct engine *e, const struct flow_plan *plan, const struct packet *p, uint64_t now_ms)
{
	for (int i = 0; i < plan->count; i++)
		refresh(e, &plan->steps[i], p, now_ms);
}

static uint8_t hop_limit(const struct packet *p)
{
	return p->data[p->key.family == 4 ? 8 : 7];
}

bool engine_forward(struct engine *e, const struct packet *p, const struct addr *next_hop)
{
	if (!e->out->forward(e->ctx, p, next_hop)) {
		engine_lose(e, ENGINE_DROP_FORWARD, p);
		return false;
	}
	engine_count(e, ENGINE_FORWARDED);
	e->counters[ENGINE_FORWARDED_BYTES] += p->len;
	return true;
}

/* The end of a plan that drops: without a word, or not (FIX-3). */
static void drop(struct engine *e, const struct plan_step *last, const struct packet *p)
{
	enum engine_counter why = ENGINE_DROP_AFFINITY;

	if (last->wildcard)
		last->wildcard->drops++;
	if (last->a->reject)
		why = engine_reject(e, last->a->reject, p) ? ENGINE_DROP_REJECTED : ENGINE_DROP_REJECTED_UNTOLD;
	engine_lose(e, why, p);
}

static void send_on(struct engine *e, const struct flow_plan *plan, struct packet *p)
{
	const struct addr *next_hop = addr_is_zero(&plan->next_hop) ? NULL : &plan->next_hop;
	struct plan_target target = engine_target(p);
	uint32_t cut_to;

	if (plan->drop) {
		drop(e, &plan->steps[plan->count - 1], p);
		return;
	}
	/* One whose way ends here: the kernel's error must show it as its sender knows it (FA-7).  One to the router
	 * itself the kernel would not refuse but take (FA-8). */
	if (hop_limit(p) <= 1 && !p->guarded) {
		engine_forward(e, p, NULL);
		return;
	}
	if (!engine_fits(e, plan, p))
		return;
	cut_to = engine_cut_to(e, plan, p);
	if (__builtin_expect(plan->far || cut_to, 0)) {
		engine_send_far(e, plan, p, cut_to);
		return;
	}
	if (p->follows)
		packet_error_edit(p, &plan->edit, NULL, 0);
	else
		plan_apply(&plan->edit, &plan->delta, &target);
	engine_forward(e, p, next_hop);
}

bool engine_data_seen(const struct engine *e, const struct plan_step *s, const struct flow_key *k)
{
	return s->wildcard ? firsttab_seen(e->first, k, s->wildcard->lineage) : s->a->data_seen;
}

/* The bits this packet sets for one affinity.  First data: kept a flow and affinity that asks for it (ACT-6). */
static uint16_t bits_for(struct engine *e, const struct plan_step *s, const struct flow_key *k, uint16_t all)
{
	uint16_t asked = 0;

	for (int i = 0; i < s->a->interest_count; i++) {
		const struct wire_interest *c = &s->a->interest[i];

		asked |= c->interest | c->data | c->copy | c->hold;
	}
	if (!(all & asked & WIRE_INTEREST_FIRST_DATA))
		return all;
	if (engine_data_seen(e, s, k))
		return all & (uint16_t)~WIRE_INTEREST_FIRST_DATA;
	if (!s->wildcard)
		s->a->data_seen = true;
	else if (!firsttab_note(e->first, k, s->wildcard->lineage))
		engine_count(e, ENGINE_FIRST_FORGOTTEN);
	return all;
}

/* Has this very wildcard reported what the packet belongs to? */
static bool is_rest(const struct passage *way, const struct plan_step *s)
{
	return way->kind == PASSAGE_REST && s->a->rank == way->resume && s->wildcard &&
	       s->wildcard->lineage == way->told;
}

/* Let every step after the resume point see the packet.  True: it is gone. */
static bool report_all(struct engine *e, const struct flow_plan *plan, const struct passage *way, struct packet *p,
		       uint64_t now_ms)
{
	uint16_t all = packet_interest(p, true);
	bool waited = way->kind == PASSAGE_WAITED || way->kind == PASSAGE_OVERDUE;

	for (int i = 0; i < plan->count; i++) {
		const struct plan_step *s = &plan->steps[i];

		uint16_t bits;

		if (!s->a->interest_count)
			continue;
		bits = bits_for(e, s, &p->key, all);
		if (s->a == way->answer)
			continue;
		if (waited && s->a->rank == way->resume) {
			if (still_held(e, s, p, all, way->kind == PASSAGE_OVERDUE, now_ms))
				return true;
		} else if (is_rest(way, s)) {
			if (report_rest(e, s, p, bits, all, now_ms))
				return true;
		} else if (affinity_rank_after(s->a->rank, way->resume) ||
			   (way->kind == PASSAGE_REST && s->a->rank == way->resume)) {
			if (report(e, s, p, bits, now_ms))
				return true;
		}
	}
	return false;
}

/* The first criterion that would take the packet, or have it held; NULL: none. */
static const struct wire_interest *who_decides(const struct engine *e, const struct plan_step *s,
					       const struct packet *p, struct verdict *v)
{
	uint16_t bits = packet_interest(p, true);

	if (engine_data_seen(e, s, &p->key))
		bits &= (uint16_t)~WIRE_INTEREST_FIRST_DATA;
	for (int i = 0; i < s->a->interest_count; i++) {
		*v = engine_judge(&s->a->interest[i], bits);
		if (v->take || v->hold)
			return &s->a->interest[i];
	}
	return NULL;
}

/* Now and then a copy of what goes on without them asks whether they answer again: the packet itself would be lost. */
static void probe(struct engine *e, struct wildcard *w, const struct packet *p, uint64_t now_ms)
{
	struct plan_step s = {&w->a, w};
	const struct wire_interest *c;
	struct wire_blob blob;
	struct verdict v;

	if (now_ms < w->silence.probe_ms)
		return;
	c = who_decides(e, &s, p, &v);
	if (!c)
		return;
	v.probe = true;
	w->silence.probe_ms = now_ms + ENGINE_PROBE_MS;
	if (segment_blob(e, p, 0, &blob) && send_report(e, &s, c, &v, p, &blob, now_ms))
		engine_count(e, ENGINE_PROBES);
}

/* The packet goes on as if these were not there.  What was held for a manager's word does not (FA-9). */
static void pass_absent(struct engine *e, const struct engine_absent *absent, const struct passage *way,
			const struct packet *p, uint64_t now_ms)
{
	bool any = false;

	for (size_t i = 0; i < absent->count && !way->held; i++) {
		if (!affinity_rank_after(absent->wild[i]->a.rank, way->resume))
			continue;
		any = true;
		probe(e, absent->wild[i], p, now_ms);
	}
	if (any)
		engine_count(e, ENGINE_SILENT_ROUTED);
}

/* The classifier's masks are coarser than ranges, and a wildcard may just have expired. */
static void unmatched(struct engine *e, struct packet *p, const struct passage *way)
{
	/* What a manager sent back it wants forwarded, whatever has gone in between (figure 15); what is protected is
	 * the kernel's (FA-8). */
	bool droppable = way->kind != PASSAGE_RETURNED && !p->guarded;

	if (droppable && engine_advertised(e, &p->key)) {
		engine_lose(e, ENGINE_DROP_ADVERTISED, p);
		return;
	}
	/* It was to be translated, nobody knows how: never untranslated (FA-9). */
	if (way->held) {
		engine_lose(e, ENGINE_DROP_HOLD_ORPHANED, p);
		return;
	}
	if (droppable && e->out->refuses && e->out->refuses(e->ctx, p->ifindex)) {
		engine_lose(e, ENGINE_DROP_UNMATCHED, p);
		return;
	}
	engine_count(e, ENGINE_UNMATCHED);
	if (!e->out->forward(e->ctx, p, NULL))
		engine_lose(e, ENGINE_DROP_FORWARD, p);
}

/* Does what it waited for act on it after all, or whatever else settles where it goes? */
static bool is_settled(const struct flow_plan *plan, affinity_rank asked)
{
	if (affinity_ends_cascade(plan->steps[plan->count - 1].a))
		return true;
	for (int i = 0; i < plan->count; i++)
		if (plan->steps[i].a->rank == asked)
			return true;
	return false;
}

void engine_pass(struct engine *e, struct packet *p, const struct passage *way, uint64_t now_ms)
{
	struct flow *f = fixtab_flow(e->fixed, &p->key);
	struct flow_plan local, *plan = f && way->kind != PASSAGE_RETURNED ? &f->plan : &local;

	engine_count(e, f ? ENGINE_FIXED_HITS : ENGINE_FIXED_MISSES);
	if (plan == &local || plan->generation != e->generation || plan->guarded != p->guarded || plan->silent) {
		struct engine_absent absent;

		if (!engine_compose(e, &p->key, p->guarded, f ? f->fixed : NULL, way, plan, &absent))
			engine_count(e, ENGINE_RANKS_IGNORED);
		engine_count(e, plan->wild ? ENGINE_WILDCARD_HITS : ENGINE_WILDCARD_MISSES);
		pass_absent(e, &absent, way, p, now_ms);
	}
	if (!plan->count) {
		unmatched(e, p, way);
		return;
	}
	if (plan->watched && report_all(e, plan, way, p, now_ms))
		return;
	if (way->held && !is_settled(plan, way->asked)) {
		engine_lose(e, ENGINE_DROP_HOLD_ORPHANED, p);
		return;
	}
	engine_account(e, plan, &p->key, segment_count(p), p->len);
	engine_refresh(e, plan, p, now_ms);
	send_on(e, plan, p);
	if (e->plans && way->kind != PASSAGE_RETURNED && !p->fragment && !p->follows) {
		if (f)
			engine_fast_place(e, f, now_ms);
		else
			engine_fast_place_loose(e, &p->key, now_ms);
	}
}

/* Of the wire or of the hold: behind those of its flow that are waiting. */
static void arrive(struct engine *e, struct packet *p, const struct passage *way, uint64_t now_ms)
{
	struct held_flow *f = hold_find(e->hold, &p->key);

	if (f)
		hold_packet(e, f, p, way->resume, way->told);
	else
		engine_pass(e, p, way, now_ms);
}

void engine_packet(struct engine *e, struct packet *p, uint64_t now_ms)
{
	const struct passage fresh = {.kind = PASSAGE_FRESH, .resume = AFFINITY_RANK_BEFORE_ALL};
	struct held_packet *followers;

	engine_count(e, ENGINE_PACKETS);
	e->counters[ENGINE_BYTES] += p->len;
	if (engine_fragment(e, p, &followers, now_ms))
		return;
	engine_follow(e, p);
	arrive(e, p, &fresh, now_ms);
	while (followers) {
		struct held_packet *next = followers->next;

		arrive(e, &followers->p, &fresh, now_ms);
		free(followers);
		followers = next;
	}
}

void engine_untimely(struct engine *e, const struct packet *p)
{
	engine_lose(e, ENGINE_DROP_STARTING, p);
}

void engine_malformed(struct engine *e, enum packet_fault fault, const uint8_t *data, uint32_t len)
{
	(void)fault;
	engine_count(e, ENGINE_DROP_MALFORMED);
	engine_show(e, ENGINE_DROP_MALFORMED, data, len, 0);
}

/* ---- the hold ---- */

/* Send one held packet through again; overdue: nobody answered in time. */
static void rerun_one(struct engine *e, struct held_packet *held, bool overdue, uint64_t now_ms)
{
	struct passage way = {.kind = PASSAGE_FRESH, .resume = held->mark, .held = true, .asked = held->asked};

	way.told = held->told;
	if (held->told)
		way.kind = PASSAGE_REST;
	else if (held->mark != AFFINITY_RANK_BEFORE_ALL)
		way.kind = overdue ? PASSAGE_OVERDUE : PASSAGE_WAITED;
	engine_count(e, ENGINE_RELEASED);
	arrive(e, &held->p, &way, now_ms);
}

/* Send all of a flow through again, in order; tries: punts their flow had without an answer. */
static void rerun(struct engine *e, struct held_packet *list, uint32_t tries, uint64_t now_ms)
{
	bool first = true;

	while (list) {
		struct held_packet *held = list;
		struct held_flow *f;

		list = held->next;
		rerun_one(e, held, first && tries, now_ms);
		f = first && tries ? hold_find(e->hold, &held->p.key) : NULL;
		if (f)
			f->tries += tries;
		free(held);
		first = false;
	}
}

struct held_packet *engine_take_held(struct engine *e, const struct flow_key *k, const struct manager *manager,
				     uint64_t asked_ms)
{
	struct held_flow *f = hold_find(e->hold, k);

	if (!f)
		return NULL;
	if (f->punted && f->asked_manager != manager->peer.identity)
		return NULL;
	/* An answer to an earlier question: the packet that asks now was before those held.  Slow is not silent. */
	if (f->punted && asked_ms < f->since_ms) {
		f->tries = 1;
		return NULL;
	}
	return hold_release(e->hold, f);
}

void engine_resume_held(struct engine *e, struct held_packet *list, uint64_t now_ms)
{
	rerun(e, list, 0, now_ms);
}

/* The wildcard under which the flow's packet was sent, if it is still there; every time-out is somebody's. */
static struct wildcard *count_timeout(struct engine *e, const struct held_flow *f, uint64_t now_ms)
{
	struct wildcard *wild[WILDTAB_MAX_MATCHES];
	size_t n = f->asked_under ? wildtab_match(e->wild, &f->key, 0, wild, WILDTAB_MAX_MATCHES) : 0;
	struct wildcard *under = NULL;
	struct manager *m;

	engine_count(e, ENGINE_TIMEOUTS);
	HASH_FIND(hh, e->managers, &f->asked_manager, sizeof(f->asked_manager), m);
	if (m)
		m->timeouts++;
	for (size_t i = 0; i < n && !under; i++)
		if (wild[i]->lineage == f->asked_under)
			under = wild[i];
	if (under)
		under->timeouts++;
	engine_unanswered(e, m, under, f->since_ms, now_ms);
	return under;
}

static void give_up(struct engine *e, struct held_flow *f, struct wildcard *asked_under)
{
	struct held_packet *list = hold_release(e->hold, f);

	while (list) {
		struct held_packet *next = list->next;

		engine_lose(e, ENGINE_DROP_HOLD_TIMEOUT, &list->p);
		if (asked_under)
			asked_under->drops++;
		free(list);
		list = next;
	}
}

void engine_hold_timeouts(struct engine *e, uint64_t now_ms)
{
	struct held_flow *f;

	while ((f = hold_oldest(e->hold)) && now_ms - f->since_ms >= ENGINE_PUNT_TIMEOUT_MS) {
		uint32_t tries = f->tries;
		struct wildcard *asked_under = count_timeout(e, f, now_ms);

		if (tries >= ENGINE_PUNT_TRIES)
			give_up(e, f, asked_under);
		else
			rerun(e, hold_release(e->hold, f), tries, now_ms);
	}
}
