/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the tap: leases, what each user sees, the limit, and that the
 * engine shows every packet it loses or hands over.
 */
#include "fad/tap.h"

#include "fad/classifier_name.h"
#include "fad/engine_fixture.h"

#define CLIENT "10.0.1.11"
#define VIP    "203.0.113.10"

/* Counts what is published. */
struct seen {
	unsigned count, turned;
	bool on;
	char kind[16], reason[32];
	uint32_t len, full;
	uint64_t skipped;
	uint8_t bytes[64];
};

static void on_publish(void *ctx, const struct tap_packet *p)
{
	struct seen *s = ctx;

	s->count++;
	snprintf(s->kind, sizeof(s->kind), "%s", p->kind);
	snprintf(s->reason, sizeof(s->reason), "%s", p->reason);
	s->len = p->len;
	s->full = p->full;
	s->skipped = p->skipped;
	memcpy(s->bytes, p->data, p->len < sizeof(s->bytes) ? p->len : sizeof(s->bytes));
}

static void on_looked_on(void *ctx, bool now)
{
	struct seen *s = ctx;

	s->on = now;
	s->turned++;
}

static const struct tap_out out = {on_publish, on_looked_on};

static const char *ask(struct tap *t, uint64_t user, const char *reason, bool drops, bool punts, uint64_t now_ms)
{
	Turnout__Capture r = TURNOUT__CAPTURE__INIT;

	r.user = user;
	r.drops = drops;
	r.punts = punts;
	if (reason)
		r.reason = (char *)(uintptr_t)reason;
	return tap_request(t, &r, now_ms);
}

/* A packet of no meaning but for its protocol byte. */
static void give(struct tap *t, enum engine_counter why, uint8_t protocol)
{
	uint8_t bytes[40] = {0x45, [9] = protocol};

	tap_packet(t, why, bytes, sizeof(bytes), 0);
}

START_TEST(test_ARCH_7_a_lease_ends_by_itself_unless_renewed)
{
	struct seen s = {0};
	struct tap *t = tap_new(&out, &s);

	tap_tick(t, 1000);
	ck_assert_uint_eq(s.turned, 0);
	ck_assert_ptr_null(ask(t, 7, NULL, false, false, 1000));
	ck_assert(s.on);
	ck_assert_ptr_null(ask(t, 7, NULL, false, false, 2500)); /* renewed */
	tap_tick(t, 2500 + TAP_LEASE_MS - 1);
	ck_assert(s.on);
	tap_tick(t, 2500 + TAP_LEASE_MS);
	ck_assert(!s.on);
	ck_assert_uint_eq(s.turned, 2);
	give(t, ENGINE_DROP_HOLD_FULL, 6);
	ck_assert_uint_eq(s.count, 0);
	tap_free(t);
}
END_TEST

START_TEST(test_ARCH_7_a_lease_can_be_given_up)
{
	Turnout__Capture end = TURNOUT__CAPTURE__INIT;
	struct seen s = {0};
	struct tap *t = tap_new(&out, &s);

	ask(t, 7, NULL, false, false, 1000);
	ask(t, 8, NULL, false, false, 1000);
	end.user = 7;
	end.end = true;
	ck_assert_ptr_null(tap_request(t, &end, 1100));
	ck_assert(s.on); /* the other one's */
	end.user = 8;
	ck_assert_ptr_null(tap_request(t, &end, 1100));
	ck_assert(!s.on);
	ck_assert_ptr_null(tap_request(t, &end, 1100)); /* one that is not there */
	tap_free(t);
}
END_TEST

START_TEST(test_ARCH_7_each_sees_what_it_asked_for)
{
	struct seen s = {0};
	struct tap *t = tap_new(&out, &s);

	ask(t, 7, NULL, true, false, 1000);
	give(t, ENGINE_PUNTS, 6);
	ck_assert_uint_eq(s.count, 0);
	give(t, ENGINE_DROP_HOLD_FULL, 6);
	ck_assert_uint_eq(s.count, 1);
	ck_assert_str_eq(s.kind, "drop");
	ck_assert_str_eq(s.reason, "hold-full");
	give(t, ENGINE_FORWARDED, 6); /* nothing one can ask for */
	ck_assert_uint_eq(s.count, 1);
	ask(t, 8, NULL, false, true, 1000); /* another user */
	give(t, ENGINE_PUNTS, 6);
	ck_assert_str_eq(s.kind, "punt");
	ask(t, 7, "hold-timeout", false, false, 1000);
	give(t, ENGINE_DROP_HOLD_FULL, 6);
	ck_assert_uint_eq(s.count, 2);
	give(t, ENGINE_DROP_HOLD_TIMEOUT, 6);
	ck_assert_uint_eq(s.count, 3);
	tap_free(t);
}
END_TEST

START_TEST(test_ARCH_7_filters_are_checked_and_run)
{
	/* ldb [9]; jeq 6: ret 65535, else ret 0 */
	uint64_t tcp[] = {0x30ull << 48 | 9, 0x15ull << 48 | 1ull << 32 | 6, 0x06ull << 48 | 65535, 0x06ull << 48};
	Turnout__Capture r = TURNOUT__CAPTURE__INIT;
	struct seen s = {0};
	struct tap *t = tap_new(&out, &s);

	r.user = 7;
	r.filter = tcp;
	r.n_filter = 4;
	ck_assert_ptr_null(tap_request(t, &r, 1000));
	give(t, ENGINE_DROP_HOLD_FULL, 17);
	ck_assert_uint_eq(s.count, 0);
	give(t, ENGINE_DROP_HOLD_FULL, 6);
	ck_assert_uint_eq(s.count, 1);
	tcp[1] = 0x15ull << 48 | 9ull << 40 | 6; /* jumps out of the program */
	ck_assert_ptr_nonnull(strstr(tap_request(t, &r, 1000), "no valid program"));
	r.n_filter = 3; /* does not end in a return */
	tcp[1] = 0x30ull << 48;
	tcp[2] = 0x30ull << 48;
	ck_assert_ptr_nonnull(tap_request(t, &r, 1000));
	give(t, ENGINE_DROP_HOLD_FULL, 6); /* the former filter is in force */
	ck_assert_uint_eq(s.count, 2);
	tap_free(t);
}
END_TEST

START_TEST(test_ARCH_7_bad_requests_are_named)
{
	struct seen s = {0};
	struct tap *t = tap_new(&out, &s);

	ck_assert_ptr_nonnull(ask(t, 0, NULL, false, false, 1000));
	ck_assert_ptr_nonnull(strstr(ask(t, 7, "no-such", false, false, 1000), "show counters"));
	ck_assert_ptr_nonnull(ask(t, 7, "forwarded", false, false, 1000));
	ck_assert(!s.on);
	for (uint64_t user = 1; user <= TAP_USERS; user++)
		ck_assert_ptr_null(ask(t, user, NULL, false, false, 1000));
	ck_assert_ptr_nonnull(strstr(ask(t, 99, NULL, false, false, 1000), "too many"));
	ck_assert_ptr_null(ask(t, 1, NULL, false, false, 1000)); /* renewing goes on */
	tap_free(t);
}
END_TEST

START_TEST(test_ARCH_7_what_is_published_a_second_is_bounded_and_counted)
{
	struct seen s = {0};
	struct tap *t = tap_new(&out, &s);

	tap_tick(t, 1000);
	ask(t, 7, NULL, false, false, 1000);
	for (int i = 0; i < 5000; i++)
		give(t, ENGINE_DROP_HOLD_FULL, 6);
	ck_assert_uint_eq(s.count, TAP_BURST);
	ck_assert_uint_eq(tap_skipped(t), 5000 - TAP_BURST);
	tap_tick(t, 1050);
	give(t, ENGINE_DROP_HOLD_FULL, 6);
	ck_assert_uint_eq(s.count, TAP_BURST + 1);
	ck_assert_uint_eq(s.skipped, 5000 - TAP_BURST); /* each says how many went before it unseen */
	ck_assert_uint_eq(tap_published(t), TAP_BURST + 1);
	tap_free(t);
}
END_TEST

START_TEST(test_ARCH_7_drops_of_the_kernel_are_drops_too)
{
	const uint8_t bytes[40] = {0x45, [9] = 6};
	struct seen s = {0};
	struct tap *t = tap_new(&out, &s);

	ck_assert(!tap_wants_drops(t));
	ck_assert_ptr_null(ask(t, 7, NULL, false, true, 1000));
	ck_assert(!tap_wants_drops(t)); /* punts only */
	tap_dropped(t, CLASSIFIER_DROPPED_ADVERTISED, bytes, sizeof(bytes), 3);
	ck_assert_uint_eq(s.count, 0);
	ck_assert_ptr_null(ask(t, 7, "interface-unmatched", false, false, 1000));
	ck_assert(tap_wants_drops(t));
	tap_dropped(t, CLASSIFIER_DROPPED_ADVERTISED, bytes, sizeof(bytes), 3);
	give(t, ENGINE_DROP_ADVERTISED, 6);
	ck_assert_uint_eq(s.count, 0);
	tap_unshown(t, 17);
	tap_dropped(t, CLASSIFIER_DROPPED_UNMATCHED, bytes, sizeof(bytes), 3);
	ck_assert_uint_eq(s.count, 1);
	ck_assert_str_eq(s.kind, "drop");
	ck_assert_str_eq(s.reason, "interface-unmatched");
	ck_assert_uint_eq(s.skipped, 17);
	ck_assert_ptr_nonnull(ask(t, 7, "punted-fixed", false, false, 1000)); /* no drop */
	tap_free(t);
}
END_TEST

/* One name, one reason. */
START_TEST(test_FA_9_reasons_have_names_of_their_own)
{
	static const char *const names[] = {
#define X(id, group, name, help) name,
		ENGINE_COUNTERS(X)
#undef X
	};

	for (unsigned i = 0; i < CLASSIFIER_COUNTERS; i++) {
		const struct classifier_name *n = classifier_name((enum classifier_counter)i);

		ck_assert_ptr_nonnull(n->group);
		for (size_t k = 0; strcmp(n->group, "drops") == 0 && k < ENGINE_COUNTER_COUNT; k++)
			ck_assert_str_ne(n->name, names[k]);
	}
}
END_TEST

START_TEST(test_ARCH_7_packets_are_cut_to_what_the_most_curious_wants)
{
	Turnout__Capture r = TURNOUT__CAPTURE__INIT;
	struct seen s = {0};
	struct tap *t = tap_new(&out, &s);

	r.user = 7;
	r.snap = 20;
	tap_request(t, &r, 1000);
	give(t, ENGINE_DROP_HOLD_FULL, 6);
	ck_assert_uint_eq(s.len, 20);
	ck_assert_uint_eq(s.full, 40);
	r.user = 8;
	r.snap = 30;
	tap_request(t, &r, 1000);
	give(t, ENGINE_DROP_HOLD_FULL, 6);
	ck_assert_uint_eq(s.len, 30);
	tap_free(t);
}
END_TEST

/* ---- the engine shows what it does ---- */

/* The last packet shown, and that it is counted under the same name. */
static void shown(const struct seen *s, const char *kind, const char *reason, const struct flow_key *k)
{
	ck_assert_str_eq(s->kind, kind);
	ck_assert_str_eq(s->reason, reason);
	ck_assert_mem_eq(s->bytes + 12, k->src, 4);
	ck_assert_mem_eq(s->bytes + 16, k->dst, 4);
}

START_TEST(test_ARCH_7_the_engine_shows_punts_returns_and_drops)
{
	struct seen s = {0};
	struct tap *t = tap_new(&out, &s);
	const struct engine_tap look = {tap_packet, t};
	struct wire_msg service = bed_service(), drop = bed_wildcard(VIP, 25), answer;
	struct flow_key k = bed_client(1000), k25 = bed_key(IPPROTO_TCP, CLIENT, 1, VIP, 25);
	struct bed *b = bed_new();

	ask(t, 7, NULL, false, false, b->now_ms);
	bed_message(b, 1, &service);
	bed_dispatch(&drop, NULL);
	bed_message(b, 1, &drop);
	bed_packet(b, &k, SYN, 0);
	ck_assert_uint_eq(s.count, 0); /* nobody looks on yet */
	engine_look(b->e, &look);
	bed_packet(b, &k25, SYN, 0);
	shown(&s, "drop", "affinity", &k25);
	answer = bed_answer(bed_last_sent(b), 60);
	bed_message(b, 1, &answer);
	shown(&s, "returned", "returned", &k);
	k = bed_client(1001);
	bed_packet(b, &k, SYN, 0);
	shown(&s, "punt", "punted", &k);
	for (int i = 0; i < 80; i++) /* later ones of its flow: held, then no more room */
		bed_packet(b, &k, ACK, 1);
	shown(&s, "drop", "hold-full", &k);
	bed_wait(b, 2000); /* repeated thrice, then given up */
	shown(&s, "drop", "hold-timeout", &k);
	engine_malformed(b->e, PACKET_SHORT, b->packet, 3);
	ck_assert_str_eq(s.reason, "malformed");
	ck_assert_uint_eq(s.full, 3);
	engine_look(b->e, NULL);
	s.count = 0;
	bed_packet(b, &k25, SYN, 0);
	ck_assert_uint_eq(s.count, 0);
	bed_free(b);
	tap_free(t);
}
END_TEST

static void add(TCase *t)
{
	tcase_add_test(t, test_ARCH_7_a_lease_ends_by_itself_unless_renewed);
	tcase_add_test(t, test_ARCH_7_a_lease_can_be_given_up);
	tcase_add_test(t, test_ARCH_7_each_sees_what_it_asked_for);
	tcase_add_test(t, test_ARCH_7_filters_are_checked_and_run);
	tcase_add_test(t, test_ARCH_7_bad_requests_are_named);
	tcase_add_test(t, test_ARCH_7_what_is_published_a_second_is_bounded_and_counted);
	tcase_add_test(t, test_ARCH_7_drops_of_the_kernel_are_drops_too);
	tcase_add_test(t, test_FA_9_reasons_have_names_of_their_own);
	tcase_add_test(t, test_ARCH_7_packets_are_cut_to_what_the_most_curious_wants);
	tcase_add_test(t, test_ARCH_7_the_engine_shows_punts_returns_and_drops);
}

int main(void)
{
	return bed_main("tap", add);
}
