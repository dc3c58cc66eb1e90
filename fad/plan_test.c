/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of edits: the packet vectors of tests/vectors/packets, and laws that
 * hold for any packet: completing a partial checksum and cutting a
 * super-packet give the same before and after an edit.
 *
 * Run from the top of the tree: the vectors are found from there.
 */
#include "fad/plan.h"

#include <check.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "fad/engine_wrap.h"
#include "fad/packet.h"
#include "fad/packet_error.h"
#include "fad/segment.h"
#include "fad/vector_fixture.h"

/* ---- the vectors ---- */

static void apply(struct packet *p, const struct plan_edit *edit)
{
	struct plan_delta delta = plan_edit_delta(edit, &p->key);
	struct plan_target t = {
		.data = p->data, .len = p->len, .l4 = p->l4, .proto = p->key.proto, .partial = p->offload.partial};

	plan_apply(edit, &delta, &t);
}

static void adjust(struct packet *p, const struct plan_adjust *adjusts, uint32_t n)
{
	struct plan_target t = {
		.data = p->data, .len = p->len, .l4 = p->l4, .proto = p->key.proto, .partial = p->offload.partial};

	plan_adjust_apply(adjusts, n, &t);
}

static void check_vector(void *ctx, struct vector *v)
{
	(void)ctx;
	struct packet p = {.offload = {.partial = v->partial != 0, .csum_start = v->partial}};
	size_t room = v->wrapped ? wrap_overhead(&v->tunnel) : 0, len = v->in_len;
	uint8_t *exact = malloc(room + v->in_len); /* no byte more: a write beyond is seen */

	memcpy(exact + room, v->in, v->in_len);
	ck_assert_msg(packet_parse(&p, exact + room, v->in_len) == PACKET_OK, "%s", v->name);
	if (v->partial)
		ck_assert_uint_eq(p.l4, v->partial);
	if (p.embedded) {
		packet_error_edit(&p, &v->edit, v->adjusts, v->adjust_count);
	} else {
		apply(&p, &v->edit);
		adjust(&p, v->adjusts, v->adjust_count);
	}
	if (v->wrapped)
		len = wrap_write(&v->tunnel, &v->tunnel.local, p.data, p.len, v->flow, v->id);
	ck_assert_uint_eq(len, v->out_len);
	for (size_t i = 0; i < v->out_len; i++)
		ck_assert_msg(exact[i] == v->out[i], "%s: byte %zu is %02x, not %02x", v->name, i, exact[i], v->out[i]);
	free(exact);
}

START_TEST(test_ACT_1_ACT_2_SVC_10_KEY_3_KEY_4_packet_vectors)
{
	ck_assert_uint_gt(vectors_each(check_vector, NULL), 2000);
}
END_TEST

/* ---- laws ---- */

static uint32_t next(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*state >> 32);
}

static void random_fill(uint64_t *r, void *to, size_t n)
{
	for (uint8_t *at = to; n; n--)
		*at++ = (uint8_t)next(r);
}

static void put16(uint8_t *at, size_t v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

/* A TCP or UDP packet of random content with a partial checksum; returns its length. */
static size_t random_packet(uint64_t *r, uint8_t *b, struct packet *p)
{
	bool v4 = next(r) % 2, tcp = next(r) % 2;
	size_t ip = v4 ? 20 : 40, l4 = tcp ? 20 : 8, data = next(r) % 3000, len = ip + l4 + data;
	uint8_t proto = tcp ? IPPROTO_TCP : IPPROTO_UDP;
	uint16_t sum;

	random_fill(r, b, len);
	b[0] = v4 ? 0x45 : 0x60;
	put16(b + (v4 ? 2 : 4), v4 ? len : len - ip);
	b[v4 ? 9 : 6] = proto;
	if (v4) {
		memset(b + 6, 0, 2);
		memset(b + 10, 0, 2);
		sum = checksum_finish(checksum_add(0, b, 20));
		memcpy(b + 10, &sum, 2);
	}
	if (tcp)
		b[ip + 12] = 0x50;
	else
		put16(b + ip + 4, l4 + data);
	sum = checksum_fold(
		checksum_pseudo(b + (v4 ? 12 : 8), b + (v4 ? 16 : 24), v4 ? 4 : 16, proto, (uint32_t)(l4 + data)));
	memcpy(b + ip + (tcp ? 16 : 6), &sum, 2);
	*p = (struct packet){.offload = {.partial = true,
					 .csum_start = (uint16_t)ip,
					 .csum_offset = tcp ? 16 : 6,
					 .gso_size = (uint16_t)(100 + next(r) % 1400),
					 .gso_type = !tcp ? PACKET_GSO_UDP_L4
						     : v4 ? PACKET_GSO_TCP4
							  : PACKET_GSO_TCP6}};
	ck_assert_int_eq(packet_parse(p, b, len), PACKET_OK);
	return len;
}

static struct plan_edit random_edit(uint64_t *r, uint8_t family)
{
	struct plan_edit e = {.set = next(r) % 16, .family = family};

	e.sport = (uint16_t)next(r);
	e.dport = (uint16_t)next(r);
	random_fill(r, e.src, addr_len(family));
	random_fill(r, e.dst, addr_len(family));
	return e;
}

/* Two checksums that mean the same: ones' complement has two zeros. */
static void same_packet(const uint8_t *x, const uint8_t *y, size_t len, size_t field)
{
	bool zero_x = (x[field] | x[field + 1]) == 0 || (x[field] & x[field + 1]) == 0xff;
	bool zero_y = (y[field] | y[field + 1]) == 0 || (y[field] & y[field + 1]) == 0xff;

	ck_assert(!memcmp(x, y, field));
	ck_assert(!memcmp(x + field + 2, y + field + 2, len - field - 2));
	ck_assert((zero_x && zero_y) || !memcmp(x + field, y + field, 2));
}

START_TEST(test_ACT_1_MSG_11_cut_then_edit_is_edit_then_cut)
{
	uint8_t *b = malloc(4096), *edited = malloc(4096), *x = malloc(4096), *y = malloc(4096);
	uint64_t r = 7;

	for (int round = 0; round < 3000; round++) {
		struct packet p, q, part = {0};
		size_t len = random_packet(&r, b, &p);
		struct plan_edit edit = random_edit(&r, p.key.family);

		memcpy(edited, b, len);
		q = p;
		q.data = edited;
		apply(&q, &edit);
		ck_assert_int_eq(packet_parse(&q, edited, len), PACKET_OK);
		for (size_t i = 0; i < segment_count(&p); i++) {
			size_t n = segment_write(&p, i, x, 4096);

			ck_assert_uint_gt(n, 0);
			ck_assert_uint_eq(segment_write(&q, i, y, 4096), n);
			ck_assert_int_eq(packet_parse(&part, x, n), PACKET_OK);
			apply(&part, &edit);
			same_packet(x, y, n, (size_t)p.offload.csum_start + p.offload.csum_offset);
		}
	}
	free(b);
	free(edited);
	free(x);
	free(y);
}
END_TEST

START_TEST(test_ACT_1_edit_and_its_inverse_restore_the_packet)
{
	uint8_t *b = malloc(4096), *x = malloc(4096), *y = malloc(4096);
	uint64_t r = 8;

	for (int round = 0; round < 3000; round++) {
		struct packet p;
		struct plan_edit edit, back;
		size_t len;

		random_packet(&r, b, &p);
		edit = random_edit(&r, p.key.family);
		p.offload.gso_size = 0;
		len = segment_write(&p, 0, x, 4096); /* with a complete checksum */
		memcpy(y, x, len);
		ck_assert_int_eq(packet_parse(&p, y, len), PACKET_OK);
		p.offload.partial = false;
		back = (struct plan_edit){
			.set = edit.set, .family = edit.family, .sport = p.key.sport, .dport = p.key.dport};
		memcpy(back.src, p.key.src, 16);
		memcpy(back.dst, p.key.dst, 16);
		apply(&p, &edit);
		ck_assert_int_eq(packet_parse(&p, y, len), PACKET_OK);
		apply(&p, &back);
		same_packet(x, y, len, (size_t)p.offload.csum_start + p.offload.csum_offset);
	}
	free(b);
	free(x);
	free(y);
}
END_TEST

START_TEST(test_ACT_1_shortest_transport_headers_are_not_written_beyond)
{
	struct plan_edit edit = {.set = PLAN_SRC | PLAN_DST, .family = 6, .src = {1}, .dst = {2}};

	for (size_t transport = 0; transport <= 8; transport++) {
		uint8_t *b = calloc(1, 40 + transport);
		struct packet p = {0};

		b[0] = 0x60;
		b[5] = (uint8_t)transport;
		b[6] = IPPROTO_ICMPV6;
		if (packet_parse(&p, b, 40 + transport) == PACKET_OK)
			apply(&p, &edit);
		else
			ck_assert_uint_lt(transport, 4);
		free(b);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("plan");
	TCase *t = tcase_create("plan");
	SRunner *r;
	int failed;

	tcase_add_test(t, test_ACT_1_ACT_2_SVC_10_KEY_3_KEY_4_packet_vectors);
	tcase_add_test(t, test_ACT_1_MSG_11_cut_then_edit_is_edit_then_cut);
	tcase_add_test(t, test_ACT_1_edit_and_its_inverse_restore_the_packet);
	tcase_add_test(t, test_ACT_1_shortest_transport_headers_are_not_written_beyond);
	tcase_set_timeout(t, 60); /* thousands of vectors, perhaps on a busy machine */
	suite_add_tcase(s, t);
	r = srunner_create(s);
	if (getenv("TAP_FILE"))
		srunner_set_tap(r, getenv("TAP_FILE"));
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
