/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The wildcards: making them from the services, sending them at the right
 * time, to the group and to single agents (SM-1).
 *
 * Must not know of flows.
 */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "smd/filter.h"
#include "smd/manager_priv.h"

#define CALL_MS       1000u
#define BURST         64u /* messages a tick: an agent's receive buffer takes a few hundred */
#define URGENT_TIMES  2u  /* a new one is sent so often */
#define URGENT_GAP_MS 300u
#define PARTS_LEAST   4u
#define PARTS_MOST    256u

static uint32_t ttl_s(const struct manager *m)
{
	return (m->conf->wildcard_ttl + 999) / 1000;
}

static uint64_t cycle_period(const struct manager *m)
{
	return (uint64_t)ttl_s(m) * 1000 / 3;
}

static uint32_t own_ttl_s(const struct manager *m, const struct announcement *n)
{
	return n->ttl_s ? n->ttl_s : ttl_s(m);
}

/* How many should have been sent in this cycle by now. */
static uint32_t cycle_due(const struct manager *m, uint64_t now_ms)
{
	uint64_t due = (now_ms - m->cycle_ms) * m->announcement_count / cycle_period(m);

	due = due > m->rule_count ? due : m->rule_count;
	return due < m->announcement_count ? (uint32_t)due : m->announcement_count;
}

/* ---- making ---- */

uint32_t announce_needs(const struct service_conf *s)
{
	uint32_t action = s->mode == MODE_NAT      ? wire_bit(WIRE_SEG_NAT)
			  : s->mode == MODE_TUNNEL ? wire_bit(WIRE_SEG_TUNNEL)
						   : 0;

	return action | wire_bit(WIRE_SEG_INTEREST);
}

/* What agents do when nobody decides (FA-5, FA-6). */
static uint8_t flags_of(const struct service_conf *conf)
{
	return (conf->on_silence == UNDECIDED_ROUTE ? WIRE_FLAG_ROUTE_SILENT : 0) |
	       (conf->agent_gone == UNDECIDED_DROP ? WIRE_FLAG_DROP_GONE : 0);
}

static void start(struct announcement *n, const struct service_key *key, const struct service_conf *conf)
{
	n->match.flags = flags_of(conf);
	n->match.family = key->family;
	n->match.proto = key->proto;
	n->precedence = conf->precedence;
	n->needs = announce_needs(conf);
	n->conf = conf;
}

static void make_forward(struct announcement *n, const struct vip *v)
{
	start(n, &v->key, v->group->conf);
	n->kind = ANNOUNCEMENT_FORWARD;
	n->wishes = wire_bit(WIRE_SEG_ADVERTISE);
	n->group = v->group;
	n->match.dport = v->key.port;
	memcpy(n->match.dst, v->key.addr, sizeof(n->match.dst));
	addr_mask(v->key.family, (uint8_t)(addr_len(v->key.family) * 8), n->match.dst_mask);
}

static void make_reverse(struct announcement *n, const struct backend *b)
{
	start(n, &b->key, b->group->conf);
	n->kind = ANNOUNCEMENT_REVERSE;
	n->match.sport = b->key.port;
	memcpy(n->match.src, b->key.addr, sizeof(n->match.src));
	addr_mask(b->key.family, (uint8_t)(addr_len(b->key.family) * 8), n->match.src_mask);
	/* One for all services that share the server: the careful one has its way. */
	for (const struct backend *o = b->next_same; o; o = o->next_same) {
		uint8_t other = flags_of(o->group->conf);

		if (o->group->conf->precedence != b->group->conf->precedence || !group_translates(o->group))
			continue;
		n->match.flags = (n->match.flags & other & WIRE_FLAG_ROUTE_SILENT) |
				 ((n->match.flags | other) & WIRE_FLAG_DROP_GONE);
	}
}

/* A power of two, so that weights have something to divide. */
static uint32_t parts_of(const struct group *g)
{
	uint32_t parts = PARTS_LEAST;

	while (parts < 2 * g->backend_count && parts < PARTS_MOST)
		parts *= 2;
	return parts;
}

static size_t partitions_count(const struct services *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->group_count; i++)
		if (s->groups[i].conf->partition_ttl && s->groups[i].vip_count)
			n += parts_of(&s->groups[i]) + 2 * s->groups[i].backend_count;
	return n;
}

static void start_partition(struct announcement *n, const struct service_key *key, const struct group *g,
			    uint32_t backup)
{
	start(n, key, g->conf);
	n->kind = ANNOUNCEMENT_PARTITION;
	n->group = g;
	n->needs = wire_bit(WIRE_SEG_NAT);
	n->match.flags &= (uint8_t)~WIRE_FLAG_ROUTE_SILENT; /* it asks nobody */
	n->ttl_s = (g->conf->partition_ttl + 999) / 1000;
	n->backup = CONFIG_MAX_BACKUP + 1 + backup;
}

/*
 * By the low bits of the client's address, in both directions: to an agent wildcards of one match and precedence are
 * one, whatever their backup, and the usual ones look at no client (WILD-4).
 */
static void make_partitions(const struct smd_conf *conf, const struct group *g, struct announcements *as)
{
	size_t last = addr_len(g->family) - 1;
	uint32_t parts = parts_of(g);

	if (!g->conf->partition_ttl || !g->vip_count)
		return;
	for (uint32_t i = 0; i < parts; i++) {
		struct announcement *n = &as->all[as->count++];

		make_forward(n, g->vips);
		start_partition(n, &g->vips->key, g, conf->backup);
		n->part = i;
		n->parts = parts;
		n->match.src[last] = (uint8_t)i;
		n->match.src_mask[last] = (uint8_t)(parts - 1);
	}
	for (size_t i = 0; i < 2 * g->backend_count; i++) {
		struct announcement *n = &as->all[as->count++];

		make_reverse(n, &g->backends[i / 2]);
		start_partition(n, &g->backends[i / 2].key, g, conf->backup);
		n->server = &g->backends[i / 2];
		n->match.dst[last] = i % 2;
		n->match.dst_mask[last] = 1;
	}
}

static void make_rules(const struct smd_conf *conf, const struct filter_conf *f, struct announcements *as)
{
	struct filter_wildcard w[2];

	for (size_t i = 0; i < f->rules.count; i++) {
		size_t count = filter_compile(f, i, conf->backup, w);

		for (size_t j = 0; j < count; j++) {
			struct announcement *n = &as->all[as->count++];

			n->kind = ANNOUNCEMENT_RULE;
			n->match = w[j].match;
			n->range_count = w[j].range_count;
			memcpy(n->ranges, w[j].ranges, sizeof(n->ranges));
			n->precedence = f->precedence;
			n->backup = w[j].backup;
			n->needs = n->range_count ? wire_bit(WIRE_SEG_RANGES) : 0;
			n->wishes = w[j].rejects ? wire_bit(WIRE_SEG_REJECT) : 0;
			n->filter = f;
			n->rule = (uint32_t)i + 1;
		}
	}
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

static size_t rules_count(const struct smd_conf *conf)
{
	size_t n = 0;

	for (size_t i = 0; i < conf->filters.count; i++)
		n += 2 * smd_config_filter(conf, i)->rules.count;
	return n;
}

/* In the order in which they are sent; there is room for m's present ones behind them. */
bool announce_prepare(const struct manager *m, const struct smd_conf *conf, const struct services *s,
		      struct announcements *as)
{
	as->count = 0;
	as->all = calloc(rules_count(conf) + s->vip_count + s->backend_count + partitions_count(s) +
				 m->announcement_count + 1,
			 sizeof(*as->all));
	if (!as->all)
		return false;
	/* First: what they deny shall not be balanced meanwhile. */
	for (size_t i = 0; i < conf->filters.count; i++)
		make_rules(conf, smd_config_filter(conf, i), as);
	as->rule_count = as->count;
	for (size_t i = 0; i < s->vip_count; i++)
		make_forward(&as->all[as->count++], &s->vips[i]);
	for (size_t i = 0; i < s->backend_count; i++)
		if (group_translates(s->backends[i].group) && !made_before(s, &s->backends[i]))
			make_reverse(&as->all[as->count++], &s->backends[i]);
	for (uint32_t i = 0; i < as->count; i++)
		if (as->all[i].kind != ANNOUNCEMENT_RULE)
			as->all[i].backup = conf->backup;
	for (size_t i = 0; i < s->group_count; i++)
		make_partitions(conf, &s->groups[i], as);
	return true;
}

bool announce_init(struct manager *m, uint64_t now_ms)
{
	struct announcements as;

	if (!announce_prepare(m, m->conf, m->services, &as))
		return false;
	m->cycle_ms = now_ms;
	announce_replace(m, &as, now_ms);
	return true;
}

/* ---- changing ---- */

static int order_ranges(const struct announcement *a, const struct announcement *b)
{
	int r = a->range_count - b->range_count;

	for (uint8_t i = 0; !r && i < a->range_count; i++) {
		r = a->ranges[i].low_port - b->ranges[i].low_port;
		r = r ? r : a->ranges[i].high_port - b->ranges[i].high_port;
	}
	return r;
}

/* An order; equal ones are one wildcard to an agent. */
static int order(const struct announcement *a, const struct announcement *b)
{
	const struct wire_wildcard *x = &a->match, *y = &b->match;
	int r = memcmp(x->dst, y->dst, sizeof(x->dst));

	r = r ? r : memcmp(x->src, y->src, sizeof(x->src));
	r = r ? r : memcmp(x->dst_mask, y->dst_mask, sizeof(x->dst_mask));
	r = r ? r : memcmp(x->src_mask, y->src_mask, sizeof(x->src_mask));
	r = r ? r : x->family - y->family;
	r = r ? r : x->proto - y->proto;
	r = r ? r : x->sport - y->sport;
	r = r ? r : x->dport - y->dport;
	r = r ? r : order_ranges(a, b);
	return r ? r : (a->precedence > b->precedence) - (a->precedence < b->precedence);
}

static bool same_nat(const struct wire_nat *a, const struct wire_nat *b)
{
	return a->set == b->set && a->dport == b->dport && a->sport == b->sport && addr_equal(&a->dst, &b->dst) &&
	       addr_equal(&a->src, &b->src);
}

/* One wildcard to an agent, but does it do the same? */
static bool same_effect(const struct announcement *a, const struct announcement *b)
{
	return a->kind == b->kind && a->backup == b->backup && a->match.flags == b->match.flags &&
	       a->needs == b->needs && a->wishes == b->wishes && a->ttl_s == b->ttl_s && same_nat(&a->nat, &b->nat);
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

static bool usable(const struct backend *b)
{
	return backend_takes_new(b) && backend_health(b) == HEALTH_UP;
}

/* The usable server in whose share of all weights the middle of this part lies.  NULL: none is usable. */
static const struct backend *server_of_part(const struct group *g, uint32_t part, uint32_t parts)
{
	uint64_t total = 0, sum = 0;

	for (size_t i = 0; i < g->backend_count; i++)
		total += usable(&g->backends[i]) ? g->backends[i].conf->weight : 0;
	for (size_t i = 0; i < g->backend_count; i++) {
		sum += usable(&g->backends[i]) ? g->backends[i].conf->weight : 0;
		if (sum * 2 * parts > (2 * (uint64_t)part + 1) * total)
			return &g->backends[i];
	}
	return NULL;
}

/* What this partition has to do now.  False: nothing. */
static bool assign(struct announcement *n)
{
	const struct backend *b = server_of_part(n->group, n->part, n->parts ? n->parts : 1);
	const struct service_key *vip = &n->group->vips->key;

	if (!b || n->group->state != GROUP_ANNOUNCED)
		return false; /* and what it did stays said */
	n->nat = (struct wire_nat){0};
	if (n->server) {
		n->nat.set = WIRE_NAT_SRC | WIRE_NAT_SPORT;
		n->nat.src = service_key_addr(vip);
		n->nat.sport = vip->port;
	} else {
		n->nat.set = WIRE_NAT_DST | WIRE_NAT_DPORT;
		n->nat.dst = service_key_addr(&b->key);
		n->nat.dport = b->key.port;
	}
	return true;
}

/* Set what is wanted of a new one, by what was said of it before (NULL: nothing). */
static void take_over(struct manager *m, struct announcement *n, const struct announcement *before, uint64_t now_ms)
{
	bool wanted = n->kind != ANNOUNCEMENT_FORWARD || n->group->state == GROUP_ANNOUNCED;

	if (n->kind == ANNOUNCEMENT_PARTITION)
		wanted = assign(n);
	if (before) {
		n->told_ms = before->told_ms;
		n->wanted = before->wanted;
		n->urgent = before->urgent;
		n->due_ms = before->due_ms;
		m->urgent += n->urgent > 0;
	}
	if (n->wanted != wanted || (before && wanted && (!same_effect(n, before) || m->told_ttl_s != ttl_s(m))))
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
	n->server = NULL;
	n->conf = NULL;
	n->filter = NULL;
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
	for (uint32_t n = m->announcement_count; new &&n-- > 0;) { /* a filter's last rule first, as ever */
		const struct announcement *key = &m->announcements[n];

		if (!bsearch(&key, new, made, sizeof(struct announcement *), compare))
			withdraw(m, as, key, now_ms);
	}
	free(new);
	free(old);
	free(m->announcements);
	m->told_ttl_s = ttl_s(m);
	m->announcements = as->all;
	m->announcement_count = as->count;
	m->rule_count = as->rule_count;
	m->needed = m->wished = 0;
	for (uint32_t n = 0; n < made; n++) {
		m->needed |= as->all[n].needs;
		m->wished |= as->all[n].wishes;
		/* That one's answers carry it. */
		if (as->all[n].conf && as->all[n].conf->when_empty == WHEN_EMPTY_REJECT)
			m->wished |= wire_bit(WIRE_SEG_REJECT);
	}
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
		if (m->announcements[i].group == g && m->announcements[i].kind == ANNOUNCEMENT_FORWARD)
			set_urgent(m, &m->announcements[i], g->state == GROUP_ANNOUNCED, now_ms);
	announce_partitions(m, g, now_ms);
}

void announce_partitions(struct manager *m, const struct group *g, uint64_t now_ms)
{
	for (uint32_t i = 0; g->conf->partition_ttl && i < m->announcement_count; i++) {
		struct announcement *n = &m->announcements[i], before = *n;
		bool wanted;

		if (n->group != g || n->kind != ANNOUNCEMENT_PARTITION)
			continue;
		wanted = assign(n);
		if (wanted != before.wanted || !same_nat(&n->nat, &before.nat))
			set_urgent(m, n, wanted, now_ms);
	}
}

/* ---- sending ---- */

/* What the manager asks to see, and what it will answer with (ACT-8). */
static void compose_question(const struct announcement *n, bool advertise, uint8_t memo[MEMO_MAX], struct wire_msg *msg)
{
	const struct memo said = {.kind = MEMO_WILDCARD, .precedence = n->precedence};

	if (n->needs & wire_bit(WIRE_SEG_NAT))
		msg->list.types[msg->list.count++] = WIRE_SEG_NAT;
	if (n->needs & wire_bit(WIRE_SEG_TUNNEL))
		msg->list.types[msg->list.count++] = WIRE_SEG_TUNNEL;
	msg->list.types[msg->list.count++] = WIRE_SEG_INTEREST;
	if (n->kind == ANNOUNCEMENT_FORWARD && advertise) {
		msg->list.types[msg->list.count++] = WIRE_SEG_ADVERTISE;
		msg->advertise_count = 1; /* the wildcard's own destination */
		wire_set(msg, WIRE_SEG_ADVERTISE, true);
	}
	wire_set(msg, WIRE_SEG_ACTION_LIST, true);
	msg->interest[0] = (struct wire_interest){.interest = WIRE_INTEREST_ALL, .data = WIRE_INTEREST_ALL};
	msg->interest_count = 1;
	wire_set(msg, WIRE_SEG_INTEREST, true);
	msg->sm_data = (struct wire_blob){memo, (uint16_t)memo_write(&said, memo)};
	wire_set(msg, WIRE_SEG_SM_DATA, false);
}

/* It decides by itself: nobody is asked, so nothing comes back. */
static void compose_partition(const struct announcement *n, bool advertise, struct wire_msg *msg)
{
	if (!n->nat.set) /* never told of a server */
		return;
	msg->nat[0] = n->nat;
	msg->nat_count = 1;
	wire_set(msg, WIRE_SEG_NAT, true);
	if (!advertise)
		return;
	msg->advertise_count = 1;
	wire_set(msg, WIRE_SEG_ADVERTISE, true);
}

static void set_reject(struct wire_msg *msg)
{
	msg->list.types[msg->list.count++] = WIRE_SEG_REJECT;
	wire_set(msg, WIRE_SEG_ACTION_LIST, true);
	msg->reject = WIRE_REJECT_PROHIBITED;
	wire_set(msg, WIRE_SEG_REJECT, true);
}

/* cannot: what the receiver is not able to do.  memo: must live until the message was sent. */
static void compose(const struct manager *m, const struct announcement *n, uint32_t cannot, uint8_t memo[MEMO_MAX],
		    struct wire_msg *msg)
{
	uint32_t carries = n->wishes & ~cannot;

	wire_start(msg, WIRE_WILDCARD_UPDATE);
	msg->wildcard = n->match;
	msg->wildcard.ttl = n->wanted ? own_ttl_s(m, n) : 0;
	wire_set(msg, WIRE_SEG_WILDCARD, true);
	if (n->range_count) {
		msg->range_count = n->range_count;
		memcpy(msg->ranges, n->ranges, sizeof(n->ranges));
		wire_set(msg, WIRE_SEG_RANGES, true);
	}
	if (n->kind == ANNOUNCEMENT_PARTITION)
		compose_partition(n, carries & wire_bit(WIRE_SEG_ADVERTISE), msg);
	else if (n->kind != ANNOUNCEMENT_RULE)
		compose_question(n, carries & wire_bit(WIRE_SEG_ADVERTISE), memo, msg);
	if (carries & wire_bit(WIRE_SEG_REJECT) && n->wanted) /* who does not know it must not deny a withdrawal */
		set_reject(msg);
	msg->precedence = (struct wire_precedence){.lower_first = true, .value = n->precedence};
	wire_set(msg, WIRE_SEG_PRECEDENCE, true);
	if (n->backup) {
		msg->backup = n->backup;
		wire_set(msg, WIRE_SEG_BACKUP, true);
	}
}

/* Can it do what this one needs? */
static bool able(const struct agent *a, const struct announcement *n)
{
	return !(agent_cannot(a) & n->needs);
}

static void send_one(struct manager *m, const struct announcement *n, struct agent *a)
{
	uint8_t memo[MEMO_MAX];
	struct wire_msg msg;

	compose(m, n, agent_cannot(a), memo, &msg);
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

	compose(m, n, 0, memo, &msg);
	manager_count(m, m->out->send_all(m->ctx, &msg) ? MANAGER_WILDCARDS : MANAGER_UNSENT);
	for (struct agent *a; n->wishes && n->wanted && (a = agents_next(m->agents, &i));)
		if (able(a, n) && agent_cannot(a) & n->wishes) {
			send_one(m, n, a);
			sent++;
		}
	return sent;
}

/*
 * An agent that is named here may not know where we are, and says nothing when it starts: it is called.  What is sent
 * takes back what was never there.  An agent that knows us does nothing; any other challenges us, and is shown all.
 */
static void call_named(struct manager *m, uint64_t now_ms)
{
	struct wire_msg msg;

	if (!m->out->send_named || now_ms < m->call_ms)
		return;
	m->call_ms = now_ms + CALL_MS;
	wire_start(&msg, WIRE_WILDCARD_UPDATE);
	msg.wildcard = (struct wire_wildcard){.family = 4, .proto = IPPROTO_RAW};
	memset(msg.wildcard.src_mask, 0xff, 4);
	memset(msg.wildcard.dst_mask, 0xff, 4);
	wire_set(&msg, WIRE_SEG_WILDCARD, true);
	if (!m->out->send_named(m->ctx, &msg))
		manager_count(m, MANAGER_UNSENT);
}

static unsigned send_urgent(struct manager *m, unsigned budget, uint64_t now_ms)
{
	unsigned sent = 0;

	for (uint32_t i = 0; m->urgent && i < m->announcement_count && sent < budget; i++) {
		struct announcement *n = &m->announcements[i];

		if (!n->urgent || n->due_ms > now_ms)
			continue;
		sent += send_group(m, n);
		n->told_ms = now_ms;
		n->due_ms = now_ms + URGENT_GAP_MS;
		m->urgent -= --n->urgent == 0;
	}
	return sent;
}

/*
 * Rules come to agents first rule first, and leave them last rule first: what stands meanwhile, with a backup's rules
 * behind it (PREC-4) or without, then decides nothing that an earlier rule would have decided otherwise.  A manager
 * that dies leaves them to expire, in the order in which they were refreshed.
 */
static uint32_t backward(const struct manager *m, uint32_t n)
{
	return n < m->rule_count ? m->rule_count - 1 - n : n;
}

/* Will the next cycle be soon enough for a partition, which lives longer than the others? */
static bool waits(const struct manager *m, const struct announcement *n, uint64_t now_ms)
{
	return n->ttl_s && now_ms + cycle_period(m) <= n->told_ms + (uint64_t)n->ttl_s * 1000 / 3;
}

/* Every one once in a third of the TTL.  Rules at once, the others evenly spread: a thousand do not burst. */
static unsigned send_cycle(struct manager *m, unsigned budget, uint64_t now_ms)
{
	uint64_t period = cycle_period(m);
	uint32_t due = cycle_due(m, now_ms);
	unsigned sent = 0;

	while (m->cycle_next < due && sent < budget) {
		struct announcement *n = &m->announcements[backward(m, m->cycle_next++)];

		if (!n->wanted || n->urgent || waits(m, n, now_ms))
			continue;
		sent += send_group(m, n);
		n->told_ms = now_ms;
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

		if (!n->wanted || !able(a, n))
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
	a->show_next = 0;
	a->shown_ms = now_ms;
}

bool announce_tick(struct manager *m, uint64_t now_ms)
{
	unsigned left = BURST, sent;
	bool more = false;
	uint32_t i = 0;

	call_named(m, now_ms);
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
	return more || m->urgent || m->cycle_next < cycle_due(m, now_ms);
}

bool manager_withdraw(struct manager *m)
{
	unsigned sent = 0;

	while (m->withdraw_next < m->announcement_count && sent < BURST) {
		/* The services first: what rules deny shall not be balanced meanwhile. */
		uint32_t at = (m->withdraw_next++ + m->rule_count) % m->announcement_count, i = 0;
		struct announcement *n = &m->announcements[backward(m, at)];

		n->wanted = false;
		sent += send_group(m, n);
		for (struct agent *a; (a = agents_next(m->agents, &i)); sent++)
			send_one(m, n, a);
	}
	return m->withdraw_next < m->announcement_count;
}

/* ---- listing ---- */

struct manager_wildcard announce_row(const struct manager *m, uint32_t number)
{
	const struct announcement *n = &m->announcements[number];

	if (number >= m->announcement_count)
		return (struct manager_wildcard){0};
	return (struct manager_wildcard){
		.match = &n->match,
		.ranges = n->ranges,
		.range_count = n->range_count,
		.wanted = n->wanted,
		.advertise = n->wishes & wire_bit(WIRE_SEG_ADVERTISE),
		.punts = n->kind == ANNOUNCEMENT_FORWARD || n->kind == ANNOUNCEMENT_REVERSE,
		.nat = n->kind == ANNOUNCEMENT_PARTITION ? &n->nat : NULL,
		.rejects = n->wishes & wire_bit(WIRE_SEG_REJECT),
		.precedence = n->precedence,
		.backup = n->backup,
		.ttl_s = own_ttl_s(m, n),
		.service = n->conf,
		.filter = n->filter,
		.rule = n->rule,
	};
}
