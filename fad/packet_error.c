// SPDX-License-Identifier: BSD-2-Clause
/*
 * ICMP errors edited, see packet_error.h.  Must not know of tables or of what decides.
 */
#include "fad/packet_error.h"

#include <netinet/in.h>

#include "fad/checksum.h"

#define ICMP_SUM 2
#define IPV4_SUM 10

/* The sum of all that the ICMP checksum covers, itself included. */
static uint64_t covered(const struct packet *p)
{
	size_t alen = addr_len(p->key.family), len = p->len - p->l4;
	uint64_t sum = 0;

	if (p->key.family == 6)
		sum = checksum_pseudo(p->data + 8, p->data + 24, alen, IPPROTO_ICMPV6, (uint32_t)len);
	/* A partial one covers, so far, the pseudo-header only. */
	return p->offload.partial ? sum : checksum_add(sum, p->data + p->l4, len);
}

/* The flow's edit as it looks from the other end. */
static struct plan_edit mirrored(const struct plan_edit *e)
{
	struct plan_edit m = {.family = e->family, .sport = e->dport, .dport = e->sport};

	m.set = (uint8_t)((e->set & PLAN_SRC ? PLAN_DST : 0) | (e->set & PLAN_DST ? PLAN_SRC : 0) |
			  (e->set & PLAN_SPORT ? PLAN_DPORT : 0) | (e->set & PLAN_DPORT ? PLAN_SPORT : 0));
	memcpy(m.src, e->dst, sizeof(m.src));
	memcpy(m.dst, e->src, sizeof(m.dst));
	return m;
}

/* Is the transport checksum within what is embedded? */
static bool has_sum(const struct packet *p)
{
	uint32_t offset = plan_sum_offset(p->flow.proto);

	return offset && p->embedded_l4 && p->embedded_l4 + offset + 2 <= p->len;
}

static void edit_embedded(struct packet *p, const struct plan_edit *e)
{
	struct plan_edit m = mirrored(e);
	struct flow_key k = flow_key_reverse(&p->flow);
	struct plan_delta d = plan_edit_delta(&m, &k);
	struct plan_target t = {
		.data = p->data + p->embedded,
		.len = p->len - p->embedded,
		.l4 = has_sum(p) ? (uint16_t)(p->embedded_l4 - p->embedded) : 0,
		.proto = k.proto,
	};
	uint8_t *ports = p->data + p->embedded_l4;

	plan_apply(&m, &d, &t);
	if (t.l4 || (k.proto != IPPROTO_TCP && k.proto != IPPROTO_UDP))
		return;
	/* Cut off before the checksum; the ports are there, else its flow were not known. */
	if (m.set & PLAN_SPORT)
		memcpy(ports, &(uint16_t){plan_be16(m.sport)}, 2);
	if (m.set & PLAN_DPORT)
		memcpy(ports + 2, &(uint16_t){plan_be16(m.dport)}, 2);
}

/* Its sender must find the numbers that he used (ACT-2). */
static void adjust_embedded(struct packet *p, const struct plan_adjust *adjust, uint32_t n)
{
	uint8_t *tcp = p->data + p->embedded_l4;
	uint64_t delta;

	if (!n || p->flow.proto != IPPROTO_TCP || !p->embedded_l4)
		return;
	delta = plan_adjust_header(adjust, n, tcp, p->len - p->embedded_l4, true);
	if (delta && has_sum(p))
		plan_fix_sum(tcp + plan_sum_offset(IPPROTO_TCP), delta, false);
}

static void edit_outer(struct packet *p, const struct plan_edit *e)
{
	bool v4 = p->flow.family == 4;
	size_t alen = addr_len(p->flow.family);
	uint8_t *src = p->data + (v4 ? 12 : 8), *dst = src + alen;
	uint64_t delta = 0;

	/* Whoever else says it, a router on the way, stays who he is. */
	if ((e->set & PLAN_SRC) && memcmp(src, p->flow.src, alen) == 0) {
		delta = plan_replace(delta, src, e->src, alen);
		memcpy(src, e->src, alen);
	}
	if (e->set & PLAN_DST) {
		delta = plan_replace(delta, dst, e->dst, alen);
		memcpy(dst, e->dst, alen);
	}
	if (v4 && delta)
		plan_fix_sum(p->data + IPV4_SUM, delta, false);
}

void packet_error_edit(struct packet *p, const struct plan_edit *e, const struct plan_adjust *adjust, uint32_t n)
{
	uint64_t before = covered(p), after;

	edit_embedded(p, e);
	adjust_embedded(p, adjust, n);
	edit_outer(p, e);
	after = covered(p);
	plan_fix_sum(p->data + p->l4 + ICMP_SUM, after + (uint16_t)~checksum_fold(before), p->offload.partial);
}
