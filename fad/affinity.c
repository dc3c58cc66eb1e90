/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Filling an affinity from a message and describing it in words.
 * Must not know of tables.
 */
#include "fad/affinity.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* Fold NAT segments into one edit; a later one wins for its field (PREC-8). */
static void fold_nat(struct plan_edit *e, const struct wire_nat *nat)
{
	size_t alen = addr_len(e->family);

	if (nat->set & WIRE_NAT_SRC)
		memcpy(e->src, nat->src.b, alen);
	if (nat->set & WIRE_NAT_DST)
		memcpy(e->dst, nat->dst.b, alen);
	if (nat->set & WIRE_NAT_SPORT)
		e->sport = nat->sport;
	if (nat->set & WIRE_NAT_DPORT)
		e->dport = nat->dport;
	e->set |= nat->set;
}

/* NULL also of nothing; *good is false when out of memory. */
static void *copy(const void *from, size_t size, bool *good)
{
	void *to = size ? malloc(size) : NULL;

	if (to)
		memcpy(to, from, size);
	*good &= to || !size;
	return to;
}

/* False: out of memory. */
static bool copy_owned(struct affinity *a, const struct wire_msg *m)
{
	const struct wire_seq_adjust *s = &m->seq_adjust;
	const struct affinity_adjust adjust = {.given = *s,
					       .now = {s->seq_delta, s->seq_initial, s->ack_delta, s->ack_initial}};
	size_t data = wire_has(m, WIRE_SEG_SM_DATA) ? m->sm_data.len : 0;
	bool good = true;

	a->interest = copy(m->interest, m->interest_count * sizeof(*a->interest), &good);
	a->sm_data = copy(m->sm_data.data, data, &good);
	a->adjust = copy(&adjust, wire_has(m, WIRE_SEG_SEQ_ADJUST) ? sizeof(adjust) : 0, &good);
	a->tunnel = copy(&m->tunnel, wire_has(m, WIRE_SEG_TUNNEL) ? sizeof(*a->tunnel) : 0, &good);
	a->interest_count = m->interest_count;
	a->sm_data_len = (uint8_t)data;
	return good;
}

bool affinity_init(struct affinity *a, const struct wire_msg *m, struct manager *manager, uint8_t flags,
		   const struct addr *forward, uint32_t ttl_s, uint8_t family, uint64_t now_ms)
{
	memset(a, 0, sizeof(*a));
	a->manager = manager;
	a->rank = affinity_rank_of(m);
	a->backup = wire_has(m, WIRE_SEG_BACKUP) ? m->backup : 0;
	a->ttl_s = ttl_s;
	a->updated_ms = now_ms;
	a->expires_ms = now_ms + (uint64_t)ttl_s * 1000;
	a->flags = flags;
	a->forward = *forward;
	a->reject = wire_has(m, WIRE_SEG_REJECT) ? m->reject : 0;
	a->edit.family = family;
	for (int i = 0; i < m->nat_count; i++)
		fold_nat(&a->edit, &m->nat[i]);
	if (copy_owned(a, m))
		return true;
	affinity_clear(a);
	return false;
}

void affinity_clear(struct affinity *a)
{
	free(a->interest);
	free(a->sm_data);
	free(a->adjust);
	free(a->tunnel);
	a->interest = NULL;
	a->sm_data = NULL;
	a->adjust = NULL;
	a->tunnel = NULL;
	a->interest_count = a->sm_data_len = 0;
}

static bool same_adjust(const struct affinity *a, const struct affinity *b)
{
	if (!a->adjust || !b->adjust)
		return a->adjust == b->adjust;
	return memcmp(&a->adjust->given, &b->adjust->given, sizeof(a->adjust->given)) == 0;
}

bool affinity_same_wires(const struct affinity *a, const struct affinity *b)
{
	const struct wire_tunnel *x = a->tunnel, *y = b->tunnel;

	if (!same_adjust(a, b))
		return false;
	if (!x || !y)
		return x == y;
	return x->kind == y->kind && x->hop_limit == y->hop_limit && x->port == y->port &&
	       addr_equal(&x->remote, &y->remote) && addr_equal(&x->local, &y->local);
}

void affinity_inherit(struct affinity *a, const struct affinity *older)
{
	a->packets += older->packets;
	a->bytes += older->bytes;
	a->data_seen |= older->data_seen;
	if (a->adjust && same_adjust(a, older))
		*a->adjust = *older->adjust;
}

/* A bounded string under construction. */
struct text {
	char *at;
	size_t left;
	bool any;
};

static void __attribute__((format(printf, 2, 3))) text_add(struct text *t, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(t->at, t->left, format, ap);
	va_end(ap);
	if (n < 0)
		return;
	if ((size_t)n >= t->left)
		n = t->left ? (int)t->left - 1 : 0;
	t->at += n;
	t->left -= (size_t)n;
}

static void text_item(struct text *t)
{
	text_add(t, "%s", t->any ? ", " : "");
	t->any = true;
}

static void describe_nat(struct text *t, const struct plan_edit *e, const char *what, const uint8_t *bytes,
			 uint8_t addr_bit, uint8_t port_bit, uint16_t port)
{
	char buf[ENDPOINT_STRLEN];
	struct addr a = addr_make(e->family, bytes);

	if (!(e->set & (addr_bit | port_bit)))
		return;
	text_item(t);
	if ((e->set & addr_bit) && (e->set & port_bit))
		text_add(t, "%s %s", what, endpoint_print(&a, port, buf));
	else if (e->set & addr_bit)
		text_add(t, "%s %s", what, addr_print(&a, buf));
	else
		text_add(t, "%s port %u", what, port);
}

static void describe_bits(struct text *t, uint16_t bits)
{
	static const struct {
		uint16_t bit;
		const char *name;
	} names[] = {
		{WIRE_INTEREST_FIN, "FIN"},           {WIRE_INTEREST_SYN, "SYN"},
		{WIRE_INTEREST_RST, "RST"},           {WIRE_INTEREST_PSH, "PSH"},
		{WIRE_INTEREST_ACK, "ACK"},           {WIRE_INTEREST_URG, "URG"},
		{WIRE_INTEREST_DATA, "data"},         {WIRE_INTEREST_FIRST_DATA, "first-data"},
		{WIRE_INTEREST_FRAGMENT, "fragment"}, {WIRE_INTEREST_ALL, "all"},
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (bits & names[i].bit)
			text_add(t, " %s", names[i].name);
}

static void describe_interest(struct text *t, const struct wire_interest *c)
{
	uint16_t punt = c->interest & c->data & (uint16_t)~c->copy;
	uint16_t notify = c->interest & (uint16_t) ~(c->data | c->copy);
	uint16_t copy = c->copy & (uint16_t)~c->hold, hold = c->copy & c->hold;
	const struct {
		uint16_t bits;
		const char *what;
	} rows[] = {{punt, "punt"}, {notify, "notify"}, {copy, "copy"}, {hold, "copy and hold"}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (!rows[i].bits)
			continue;
		text_item(t);
		text_add(t, "%s", rows[i].what);
		describe_bits(t, rows[i].bits);
	}
}

static void describe_delta(struct text *t, const char *what, uint32_t delta, uint32_t initial)
{
	if (!delta)
		return;
	text_item(t);
	/* Half of all deltas are negative ones. */
	text_add(t, "%s %+d from %u", what, (int)delta, initial);
}

static void describe_tunnel(struct text *t, const struct wire_tunnel *w)
{
	char buf[ENDPOINT_STRLEN];

	if (w->kind == WIRE_TUNNEL_UDP)
		text_add(t, " by IP in UDP to %s", endpoint_print(&w->remote, w->port, buf));
	else
		text_add(t, " by IP in IP to %s", addr_print(&w->remote, buf));
	if (w->local.family)
		text_add(t, " from %s", addr_print(&w->local, buf));
	if (w->hop_limit)
		text_add(t, " hop limit %u", w->hop_limit);
}

void affinity_describe(const struct affinity *a, char *buf, size_t size)
{
	struct text t = {.at = buf, .left = size};
	char name[ADDR_STRLEN];

	if (size)
		buf[0] = '\0';
	if (affinity_drops(a)) {
		text_item(&t);
		text_add(&t, "%s",
			 a->reject == WIRE_REJECT_PROHIBITED    ? "reject as prohibited"
			 : a->reject == WIRE_REJECT_UNREACHABLE ? "reject as unreachable"
								: "drop");
	} else if (a->flags & WIRE_FLAG_DISPATCH) {
		text_item(&t);
		text_add(&t, "dispatch to %s", addr_print(&a->forward, name));
		if (a->tunnel)
			describe_tunnel(&t, a->tunnel);
	}
	describe_nat(&t, &a->edit, "snat", a->edit.src, PLAN_SRC, PLAN_SPORT, a->edit.sport);
	describe_nat(&t, &a->edit, "dnat", a->edit.dst, PLAN_DST, PLAN_DPORT, a->edit.dport);
	if (a->adjust) {
		describe_delta(&t, "sequence", a->adjust->given.seq_delta, a->adjust->given.seq_initial);
		describe_delta(&t, "ack", a->adjust->given.ack_delta, a->adjust->given.ack_initial);
	}
	for (int i = 0; i < a->interest_count; i++)
		describe_interest(&t, &a->interest[i]);
	if (!t.any)
		text_add(&t, "none");
}
