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
	a->edit.family = family;
	for (int i = 0; i < m->nat_count; i++)
		fold_nat(&a->edit, &m->nat[i]);
	if (m->interest_count) {
		a->interest = calloc(m->interest_count, sizeof(*a->interest));
		if (!a->interest)
			return false;
		memcpy(a->interest, m->interest, m->interest_count * sizeof(*a->interest));
		a->interest_count = m->interest_count;
	}
	if (wire_has(m, WIRE_SEG_SM_DATA) && m->sm_data.len) {
		a->sm_data = malloc(m->sm_data.len);
		if (!a->sm_data) {
			affinity_clear(a);
			return false;
		}
		memcpy(a->sm_data, m->sm_data.data, m->sm_data.len);
		a->sm_data_len = (uint8_t)m->sm_data.len;
	}
	return true;
}

void affinity_clear(struct affinity *a)
{
	free(a->interest);
	free(a->sm_data);
	a->interest = NULL;
	a->sm_data = NULL;
	a->interest_count = a->sm_data_len = 0;
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

void affinity_describe(const struct affinity *a, char *buf, size_t size)
{
	struct text t = {.at = buf, .left = size};
	char name[ADDR_STRLEN];

	if (size)
		buf[0] = '\0';
	if (affinity_drops(a)) {
		text_item(&t);
		text_add(&t, "drop");
	} else if (a->flags & WIRE_FLAG_DISPATCH) {
		text_item(&t);
		text_add(&t, "dispatch to %s", addr_print(&a->forward, name));
	}
	describe_nat(&t, &a->edit, "snat", a->edit.src, PLAN_SRC, PLAN_SPORT, a->edit.sport);
	describe_nat(&t, &a->edit, "dnat", a->edit.dst, PLAN_DST, PLAN_DPORT, a->edit.dport);
	for (int i = 0; i < a->interest_count; i++)
		describe_interest(&t, &a->interest[i]);
	if (!t.any)
		text_add(&t, "none");
}
