/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The wildcards: making them from the services, sending them at the right
 * time, to the group and to single agents (SM-1).
 *
 * Must not know of flows.
 */
#include <stdlib.h>
#include <string.h>

#include "smd/manager_priv.h"

#define BURST         64u /* messages a tick: an agent's receive buffer takes a few hundred */
#define URGENT_TIMES  2u  /* a new one is sent so often */
#define URGENT_GAP_MS 300u

static uint32_t ttl_s(const struct manager *m)
{
	return (m->conf->wildcard_ttl + 999) / 1000;
}

static uint64_t cycle_period(const struct manager *m)
{
	return (uint64_t)ttl_s(m) * 1000 / 3;
}

/* How many should have been sent in this cycle by now. */
static uint32_t cycle_due(const struct manager *m, uint64_t now_ms)
{
	uint64_t due = (now_ms - m->cycle_ms) * m->announcement_count / cycle_period(m);

	return due < m->announcement_count ? (uint32_t)due : m->announcement_count;
}

/* ---- making ---- */

static void start(struct announcement *n, const struct service_key *key, const struct service_conf *conf)
{
	n->match.family = key->family;
	n->match.proto = key->proto;
	n->precedence = conf->precedence;
}

static void make_forward(struct announcement *n, const struct vip *v)
{
	start(n, &v->key, v->group->conf);
	n->forward = true;
	n->group = v->group;
	n->match.dport = v->key.port;
	memcpy(n->match.dst, v->key.addr, sizeof(n->match.dst));
	addr_mask(v->key.family, (uint8_t)(addr_len(v->key.family) * 8), n->match.dst_mask);
}

static void make_reverse(struct announcement *n, const struct backend *b)
{
	start(n, &b->key, b->group->conf);
	n->match.sport = b->key.port;
	memcpy(n->match.src, b->key.addr, sizeof(n->match.src));
	addr_mask(b->key.family, (uint8_t)(addr_len(b->key.family) * 8), n->match.src_mask);
}

/* Services may share a server: one wildcard for all of one precedence. */
static bool made_before(const struct services *s, const struct backend *b)
{
	for (const struct backend *head = services_backend_at(s, &b->key); head && head != b; head = head->next_same)
		if (head->group->conf->precedence == b->group->conf->precedence)
			return true;
	return false;
}

/* It is sent soon, more than once. */
static void set_urgent(struct manager *m, struct announcement *n, bool wanted, uint64_t now_ms)
{
	n->wanted = wanted;
	m->urgent += n->urgent == 0;
	n->urgent = URGENT_TIMES;
	n->due_ms = now_ms;
}

/* In the order in which they are sent; there is room for m's present ones behind them. */
bool announce_prepare(const struct manager *m, const struct services *s, struct announcements *as)
{
	as->count = 0;
	as->all = calloc(s->vip_count + s->backend_count + m->announcement_count, sizeof(*as->all));
	if (!as->all)
		return false;
	for (size_t i = 0; i < s->vip_count; i++)
		make_forward(&as->all[as->count++], &s->vips[i]);
	for (size_t i = 0; i < s->backend_count; i++)
		if (!made_before(s, &s->backends[i]))
			make_reverse(&as->all[as->count++], &s->backends[i]);
	return true;
}

bool announce_init(struct manager *m, uint64_t now_ms)
{
	struct announcements as;

	if (!announce_prepare(m, m->services, &as))
		return false;
	m->cycle_ms = now_ms;
	announce_replace(m, &as, now_ms);
	return true;
}

/* ---- changing ---- */

/* An order; equal ones are one wildcard to an agent.  Their masks are all of an address, or nothing of it. */
static int order(const struct announcement *a, const struct announcement *b)
{
	const struct wire_wildcard *x = &a->match, *y = &b->match;
	int r = memcmp(x->dst, y->dst, sizeof(x->dst));

	r = r ? r : memcmp(x->src, y->src, sizeof(x->src));
	r = r ? r : x->family - y->family;
	r = r ? r : x->proto - y->proto;
	r = r ? r : x->sport - y->sport;
	r = r ? r : x->dport - y->dport;
	return r ? r : (a->precedence > b->precedence) - (a->precedence < b->precedence);
}

static int compare(const void *x, const void *y)
{
	return order(*(const struct announcement *const *)x, *(const struct announcement *const *)y);
}

/* Pointers to them, sorted.  NULL: no memory. */
static struct announcement **sorted(struct announcement *all, uint32_t count)
{
	struct announcement **p = calloc((size_t)count + 1, sizeof(struct announcement *));

	for (uint32_t i = 0; p && i < count; i++)
		p[i] = &all[i];
	if (p)
		qsort(p, count, sizeof(struct announcement *), compare);
	return p;
}

/* Set what is wanted of a new one, by what was said of it before (NULL: nothing). */
static void take_over(struct manager *m, struct announcement *n, const struct announcement *before, uint64_t now_ms)
{
	bool wanted = !n->forward || n->group->state == GROUP_ANNOUNCED;

	if (before) {
		n->wanted = before->wanted;
		n->urgent = before->urgent;
		n->due_ms = before->due_ms;
		m->urgent += n->urgent > 0;
	}
	if (n->wanted != wanted)
		set_urgent(m, n, wanted, now_ms);
}

/* Send an old one's withdrawal, with the others. */
static void withdraw(struct manager *m, struct announcements *as, const struct announcement *old, uint64_t now_ms)
{
	struct announcement *n = &as->all[as->count];

	if (!old->wanted && !old->urgent)
		return;
	as->count++;
	*n = *old;
	n->group = NULL;
	n->urgent = 0;
	set_urgent(m, n, false, now_ms);
}

void announce_replace(struct manager *m, struct announcements *as, uint64_t now_ms)
{
	uint32_t made = as->count, i = 0;
	struct announcement **new = sorted(as->all, made), **old = sorted(m->announcements, m->announcement_count);

	m->urgent = 0;
	for (uint32_t n = 0; n < made; n++) {
		const struct announcement *key = &as->all[n];
		struct announcement **before =
			old ? bsearch(&key, old, m->announcement_count, sizeof(struct announcement *), compare) : NULL;

		take_over(m, &as->all[n], before ? *before : NULL, now_ms);
	}
	/* Without memory for the comparison the old ones expire by themselves. */
	for (uint32_t n = 0; new &&n < m->announcement_count; n++) {
		const struct announcement *key = &m->announcements[n];

		if (!bsearch(&key, new, made, sizeof(struct announcement *), compare))
			withdraw(m, as, key, now_ms);
	}
	free(new);
	free(old);
	free(m->announcements);
	m->announcements = as->all;
	m->announcement_count = as->count;
	m->cycle_next = cycle_due(m, now_ms);
	for (struct agent *a; (a = agents_next(m->agents, &i));)
		if (a->show_next != AGENT_SHOWN)
			a->show_next = 0;
}

void announce_removed(struct manager *m, const struct backend *b)
{
	struct announcement gone = {0};

	for (const struct backend *o = services_backend_at(m->services, &b->key); o; o = o->next_same)
		if (o->group->conf->precedence == b->group->conf->precedence && (!o->removed || o->flows))
			return;
	make_reverse(&gone, b);
	for (uint32_t i = 0; i < m->announcement_count; i++) {
		struct announcement *n = &m->announcements[i];

		if (order(n, &gone) == 0)
			set_urgent(m, n, false, 0);
	}
}

void announce_group(struct manager *m, const struct group *g, uint64_t now_ms)
{
	for (uint32_t i = 0; i < m->announcement_count; i++)
		if (m->announcements[i].group == g)
			set_urgent(m, &m->announcements[i], g->state == GROUP_ANNOUNCED, now_ms);
}

/* ---- sending ---- */

/* memo: must live until the message was sent. */
static void compose(const struct manager *m, const struct announcement *n, bool advertise, uint8_t memo[MEMO_MAX],
		    struct wire_msg *msg)
{
	const struct memo said = {.kind = MEMO_WILDCARD, .precedence = n->precedence};

	wire_start(msg, WIRE_WILDCARD_UPDATE);
	msg->wildcard = n->match;
	msg->wildcard.ttl = n->wanted ? ttl_s(m) : 0;
	wire_set(msg, WIRE_SEG_WILDCARD, true);
	msg->list.types[msg->list.count++] = WIRE_SEG_NAT;
	msg->list.types[msg->list.count++] = WIRE_SEG_INTEREST;
	if (n->forward && advertise) {
		msg->list.types[msg->list.count++] = WIRE_SEG_ADVERTISE;
		msg->advertise_count = 1; /* the wildcard's own destination */
		wire_set(msg, WIRE_SEG_ADVERTISE, true);
	}
	wire_set(msg, WIRE_SEG_ACTION_LIST, true);
	msg->precedence = (struct wire_precedence){.lower_first = true, .value = n->precedence};
	wire_set(msg, WIRE_SEG_PRECEDENCE, true);
	msg->interest[0] = (struct wire_interest){.interest = WIRE_INTEREST_ALL, .data = WIRE_INTEREST_ALL};
	msg->interest_count = 1;
	wire_set(msg, WIRE_SEG_INTEREST, true);
	msg->sm_data = (struct wire_blob){memo, (uint16_t)memo_write(&said, memo)};
	wire_set(msg, WIRE_SEG_SM_DATA, false);
}

/* Can it do what every service here needs? */
static bool able(const struct agent *a)
{
	return !(agent_cannot(a) & MANAGER_ESSENTIAL);
}

static bool advertises(const struct agent *a)
{
	return !(agent_cannot(a) & wire_bit(WIRE_SEG_ADVERTISE));
}

static void send_one(struct manager *m, const struct announcement *n, struct agent *a)
{
	uint8_t memo[MEMO_MAX];
	struct wire_msg msg;

	compose(m, n, advertises(a), memo, &msg);
	if (manager_send(m, a, &msg)) {
		manager_count(m, MANAGER_WILDCARDS);
		a->wildcards++;
	}
}

/* To the group; whoever cannot take it as it is gets it in another form (ACT-9). */
static unsigned send_group(struct manager *m, const struct announcement *n)
{
	uint8_t memo[MEMO_MAX];
	struct wire_msg msg;
	unsigned sent = 1;
	uint32_t i = 0;

	compose(m, n, true, memo, &msg);
	manager_count(m, m->out->send_all(m->ctx, &msg) ? MANAGER_WILDCARDS : MANAGER_UNSENT);
	for (struct agent *a; n->forward && n->wanted && (a = agents_next(m->agents, &i));)
		if (able(a) && !advertises(a)) {
			send_one(m, n, a);
			sent++;
		}
	return sent;
}

static unsigned send_urgent(struct manager *m, unsigned budget, uint64_t now_ms)
{
	unsigned sent = 0;

	for (uint32_t i = 0; m->urgent && i < m->announcement_count && sent < budget; i++) {
		struct announcement *n = &m->announcements[i];

		if (!n->urgent || n->due_ms > now_ms)
			continue;
		sent += send_group(m, n);
		n->due_ms = now_ms + URGENT_GAP_MS;
		m->urgent -= --n->urgent == 0;
	}
	return sent;
}

/* Every one once in a third of the TTL, evenly spread: a thousand do not burst. */
static unsigned send_cycle(struct manager *m, unsigned budget, uint64_t now_ms)
{
	uint64_t period = cycle_period(m);
	uint32_t due = cycle_due(m, now_ms);
	unsigned sent = 0;

	while (m->cycle_next < due && sent < budget) {
		const struct announcement *n = &m->announcements[m->cycle_next++];

		if (n->wanted && !n->urgent)
			sent += send_group(m, n);
	}
	if (m->cycle_next == m->announcement_count && now_ms - m->cycle_ms >= period) {
		m->cycle_next = 0;
		/* Not from now: the period would grow by each delay.  But never to catch up after a long sleep. */
		m->cycle_ms = now_ms - m->cycle_ms < 2 * period ? m->cycle_ms + period : now_ms;
	}
	return sent;
}

static unsigned show(struct manager *m, struct agent *a, unsigned budget)
{
	unsigned sent = 0;

	while (a->show_next < m->announcement_count && sent < budget) {
		const struct announcement *n = &m->announcements[a->show_next++];

		if (!n->wanted)
			continue;
		send_one(m, n, a);
		sent++;
	}
	if (a->show_next >= m->announcement_count)
		a->show_next = AGENT_SHOWN;
	return sent;
}

void announce_show(struct manager *m, struct agent *a, uint64_t now_ms)
{
	(void)m;
	if (!able(a))
		return;
	a->show_next = 0;
	a->shown_ms = now_ms;
}

bool announce_tick(struct manager *m, uint64_t now_ms)
{
	unsigned left = BURST, sent;
	bool more = false;
	uint32_t i = 0;

	sent = send_urgent(m, left, now_ms);
	left -= sent < left ? sent : left;
	sent = send_cycle(m, left, now_ms);
	left -= sent < left ? sent : left;
	for (struct agent *a; (a = agents_next(m->agents, &i));) {
		if (a->show_next == AGENT_SHOWN)
			continue;
		left -= show(m, a, left);
		more |= a->show_next != AGENT_SHOWN;
	}
	return more || m->urgent;
}

bool manager_withdraw(struct manager *m)
{
	unsigned sent = 0;

	while (m->withdraw_next < m->announcement_count && sent < BURST) {
		struct announcement *n = &m->announcements[m->withdraw_next++];
		uint32_t i = 0;

		n->wanted = false;
		sent += send_group(m, n);
		for (struct agent *a; (a = agents_next(m->agents, &i)); sent++)
			send_one(m, n, a);
	}
	return m->withdraw_next < m->announcement_count;
}
