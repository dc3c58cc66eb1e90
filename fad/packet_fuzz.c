/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzing what an agent does to a packet: any bytes are refused, or parse to
 * offsets inside the packet; then an edit is applied, of an ICMP error also to
 * what it embeds, and the packet cut and written out, all within its bounds.
 *
 * The first eight bytes say what is done; the rest is the packet.
 */
#include "fad/engine_wrap.h"
#include "fad/packet.h"
#include "fad/packet_error.h"
#include "fad/plan.h"
#include "fad/segment.h"
#include "tests/fuzz/mutate.h"
#include "tests/fuzz/shape_packet.h"

#define CHOICES 8
#define ROOM    48 /* the largest outer headers */
#define CHECK   FUZZ_CHECK

static void edit(struct packet *p, const uint8_t *choice)
{
	struct plan_edit e = {.set = choice[0] & 0x0f, .family = p->key.family, .sport = choice[1], .dport = 443};
	struct plan_target t = {p->data, p->len, p->l4, p->key.proto, p->offload.partial};
	const struct plan_adjust adjust = {choice[5], choice[6], choice[7], choice[1]};

	memset(e.src, choice[2], addr_len(e.family));
	memset(e.dst, choice[3], addr_len(e.family));
	if (p->embedded) {
		packet_error_edit(p, &e, &adjust, choice[0] >> 7);
		return;
	}
	struct plan_delta d = plan_edit_delta(&e, &p->key);
	plan_apply(&e, &d, &t);
	plan_adjust_apply(&adjust, choice[0] >> 7, &t);
}

/* A packet of n bytes with room before it, into a tunnel. */
static void into_tunnel(uint8_t *packet, size_t n, const uint8_t *choice)
{
	uint8_t family = choice[1] & 1 ? 6 : 4;
	struct wire_tunnel t = {.kind = choice[1] & 2 ? WIRE_TUNNEL_UDP : WIRE_TUNNEL_IP,
				.port = 1,
				.remote = {.family = family, .b = {choice[2]}},
				.local = {.family = family, .b = {choice[3]}}};
	struct packet outer = {.data = NULL};
	size_t len = wrap_write(&t, &t.local, packet, (uint32_t)n, choice[4], choice[5]);

	CHECK(len == 0 || len == n + wrap_overhead(&t));
	CHECK(len == 0 || packet_parse(&outer, packet - wrap_overhead(&t), len) == PACKET_OK);
	CHECK(len == 0 || packet_verify(&outer) == PACKET_OK);
}

/* What a vnet header may say of this packet: the kernel's word, but the sizes may be odd. */
static void offload(struct packet *p, const uint8_t *choice)
{
	bool tcp = p->key.proto == PLAN_TCP, whole = p->l4 && !p->fragment;

	p->offload.partial = choice[4] & 1 && whole && (tcp || p->key.proto == PLAN_UDP);
	p->offload.csum_start = p->l4;
	p->offload.csum_offset = tcp ? 16 : 6;
	p->offload.gso_size = (uint16_t)(choice[5] << 8 | choice[6]);
	p->offload.gso_type = choice[7] % 5;
}

/* What rejects it is well-formed, and is not answered itself. */
static void reject(const struct packet *p)
{
	static const struct addr router = {.family = 4, .b = {192, 0, 2, 1}}, router6 = {.family = 6, .b = {0x20, 1}};
	uint8_t reset[PACKET_RESET_MAX], error[PACKET_ERROR_MAX];
	struct packet r = {.data = NULL};
	size_t n = packet_reset(p, reset);

	CHECK(!n || (packet_parse(&r, reset, n) == PACKET_OK && packet_verify(&r) == PACKET_OK && r.len == n));
	CHECK(!n || (!packet_resettable(&r) && packet_answerable(&r)));
	if (!packet_answerable(p))
		return;
	n = packet_error_unreachable(p->data, p->len, true, p->key.family == 4 ? &router : &router6, error);
	CHECK(n > 0 && packet_parse(&r, error, n) == PACKET_OK && packet_verify(&r) == PACKET_OK);
	CHECK(!packet_answerable(&r));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t cap = 70000;
	struct packet p = {.data = NULL};

	if (size < CHOICES)
		return 0;
	size -= CHOICES;
	uint8_t *copy = malloc(size + 1),
		*out = malloc(cap); /* their own size, so that the sanitizer sees their ends */
	CHECK(copy && out);
	memcpy(copy, data + CHOICES, size);
	if (packet_parse(&p, copy, size) == PACKET_OK) {
		CHECK(p.len <= size && p.l4 <= p.len && p.payload <= p.len);
		CHECK(p.embedded <= p.len && p.embedded_l4 <= p.len && (p.embedded || !p.embedded_l4));
		CHECK(p.first_fragment == (p.fragment && !p.fragment_offset) && (p.fragment || !p.fragment_id));
		CHECK(packet_belongs(&p, &p.key));
		packet_verify(&p);
		packet_interest(&p, data[0] & 0x80);
		offload(&p, data);
		reject(&p);
		edit(&p, data);
		size_t count = segment_count(&p), sum = 0;
		for (size_t i = 0; i < count && i < 100; i++) {
			size_t n = segment_write(&p, i, out + ROOM, cap - ROOM);
			CHECK(n > 0 && n <= p.len);
			into_tunnel(out + ROOM, n, data);
			sum += n - (count > 1 ? p.payload : 0);
		}
		CHECK(count > 100 || sum == p.len - (count > 1 ? p.payload : 0));
	}
	free(copy);
	free(out);
	return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
	uint32_t chance = fuzz_seed(seed);

	if (size <= CHOICES || max <= CHOICES)
		return LLVMFuzzerMutate(data, size, max);
	if (fuzz_below(&chance, 8) == 0) {
		data[fuzz_below(&chance, CHOICES)] = (uint8_t)fuzz_below(&chance, 256);
		return size;
	}
	return CHOICES + packet_shape(data + CHOICES, size - CHOICES, max - CHOICES, &chance);
}
