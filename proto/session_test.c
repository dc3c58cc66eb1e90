/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sessions: two or more of them talk by headers alone; time and randomness are
 * the test's.
 */
#include "proto/session.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define AGENT   0xa
#define MANAGER 0xb
#define OTHER   0xc

/* Bytes that count, so that every nonce is another one. */
static void counting(void *ctx, void *bytes, size_t len)
{
	uint64_t *n = ctx;
	uint8_t *p = bytes;
	++*n;
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(i < 8 ? *n >> 8 * i : i);
}

struct world {
	uint64_t randomness;
	struct session *agent, *manager;
};

static void setup(struct world *w)
{
	w->randomness = 0x1234567;
	w->agent = session_new(AGENT, 100, counting, &w->randomness);
	w->manager = session_new(MANAGER, 200, counting, &w->randomness);
	ck_assert_ptr_nonnull(w->agent);
	ck_assert_ptr_nonnull(w->manager);
}

static void teardown(struct world *w)
{
	session_free(w->agent);
	session_free(w->manager);
}

static struct wire_header stamped(struct session *s, uint8_t type, uint64_t destination)
{
	struct wire_header h = {.type = type};
	session_stamp(s, destination, &h);
	return h;
}

static enum session_verdict hear(struct session *s, const struct wire_header *h, uint64_t now_ms)
{
	struct wire_nonce reply;
	return session_receive(s, h, NULL, now_ms, &reply);
}

/* Whatever `from` says to `to`, challenge and response: after that it is known. */
static void introduce(struct session *from, uint64_t from_id, struct session *to, uint64_t to_id, uint64_t now_ms)
{
	struct wire_nonce nonce, response, none;
	struct wire_header h = stamped(from, WIRE_HELLO, 0);
	ck_assert_int_eq(session_receive(to, &h, NULL, now_ms, &nonce), SESSION_CHALLENGE);
	h = stamped(to, WIRE_CHALLENGE, from_id);
	ck_assert_int_eq(session_receive(from, &h, &nonce, now_ms, &response), SESSION_ANSWER);
	h = stamped(from, WIRE_CHALLENGE_RESPONSE, to_id);
	ck_assert_int_eq(session_receive(to, &h, &response, now_ms, &none), SESSION_KNOWN);
}

static struct wire_header numbered(uint64_t source, uint64_t incarnation, uint64_t destination, uint64_t sequence)
{
	return (struct wire_header){.type = WIRE_HELLO,
				    .source = source,
				    .incarnation = incarnation,
				    .destination = destination,
				    .sequence = sequence};
}

START_TEST(test_SEC_4_unknown_incarnation_is_challenged_before_anything)
{
	struct world w;
	setup(&w);
	struct wire_nonce nonce, response, none;
	struct wire_header update = stamped(w.manager, WIRE_WILDCARD_UPDATE, 0);
	ck_assert_int_eq(session_receive(w.agent, &update, NULL, 1000, &nonce), SESSION_CHALLENGE);
	ck_assert_uint_eq(nonce.group_sequence, 0);
	ck_assert_uint_eq(session_incarnation(w.agent, MANAGER), 0);

	struct wire_header challenge = stamped(w.agent, WIRE_CHALLENGE, MANAGER);
	ck_assert_int_eq(session_receive(w.manager, &challenge, &nonce, 1000, &response), SESSION_ANSWER);
	ck_assert_mem_eq(response.nonce, nonce.nonce, WIRE_NONCE_LEN);
	ck_assert_uint_eq(response.group_sequence, 1);
	/* Who asked has proven nothing by asking. */
	ck_assert_uint_eq(session_incarnation(w.manager, AGENT), 0);

	struct wire_header answer = stamped(w.manager, WIRE_CHALLENGE_RESPONSE, AGENT);
	ck_assert_int_eq(session_receive(w.agent, &answer, &response, 1010, &none), SESSION_KNOWN);
	ck_assert_uint_eq(session_incarnation(w.agent, MANAGER), 200);

	/* The message that caused it is old by now; what comes next is not. */
	ck_assert_int_eq(hear(w.agent, &update, 1020), SESSION_REPLAY);
	update = stamped(w.manager, WIRE_WILDCARD_UPDATE, 0);
	ck_assert_int_eq(hear(w.agent, &update, 1020), SESSION_ACCEPT);
	update = stamped(w.manager, WIRE_FIXED_UPDATE, AGENT);
	ck_assert_int_eq(hear(w.agent, &update, 1020), SESSION_ACCEPT);
	teardown(&w);
}
END_TEST

START_TEST(test_SEC_4_everything_said_before_the_response_is_old)
{
	struct world w;
	setup(&w);
	struct wire_header group[3], unicast[3];
	for (int i = 0; i < 3; i++) {
		group[i] = stamped(w.manager, WIRE_WILDCARD_UPDATE, 0);
		unicast[i] = stamped(w.manager, WIRE_FIXED_UPDATE, AGENT);
	}
	introduce(w.manager, MANAGER, w.agent, AGENT, 1000);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(hear(w.agent, &group[i], 2000), SESSION_REPLAY);
		ck_assert_int_eq(hear(w.agent, &unicast[i], 2000), SESSION_REPLAY);
	}
	teardown(&w);
}
END_TEST

START_TEST(test_SEC_4_replay_and_out_of_order)
{
	struct world w;
	setup(&w);
	introduce(w.manager, MANAGER, w.agent, AGENT, 1000);
	struct wire_header h[5];
	for (int i = 0; i < 5; i++)
		h[i] = stamped(w.manager, WIRE_FIXED_UPDATE, AGENT);
	static const int order[] = {3, 0, 4, 2, 1};
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(hear(w.agent, &h[order[i]], 2000), SESSION_ACCEPT);
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(hear(w.agent, &h[i], 2000), SESSION_REPLAY);
	/* A challenge of a known peer counts like everything else. */
	struct wire_nonce nonce = {.nonce = {1}}, reply;
	struct wire_header challenge = stamped(w.manager, WIRE_CHALLENGE, AGENT);
	ck_assert_int_eq(session_receive(w.agent, &challenge, &nonce, 2000, &reply), SESSION_ANSWER);
	ck_assert_int_eq(session_receive(w.agent, &challenge, &nonce, 9000, &reply), SESSION_REPLAY);
	teardown(&w);
}
END_TEST

/* Each sequence of a window, at all distances that matter, and after jumps of all kinds. */
START_TEST(test_SEC_4_window_edges)
{
	static const uint64_t jumps[] = {1,
					 2,
					 63,
					 64,
					 65,
					 SESSION_WINDOW - 1,
					 SESSION_WINDOW,
					 SESSION_WINDOW + 1,
					 SESSION_WINDOW + 63,
					 SESSION_WINDOW + 64,
					 SESSION_WINDOW + 65,
					 3 * SESSION_WINDOW,
					 1ull << 40};
	struct world w;
	setup(&w);
	introduce(w.manager, MANAGER, w.agent, AGENT, 1000);
	uint64_t newest = 10000;
	struct wire_header h = numbered(MANAGER, 200, AGENT, newest);
	ck_assert_int_eq(hear(w.agent, &h, 2000), SESSION_ACCEPT);
	for (size_t i = 0; i < sizeof jumps / sizeof jumps[0]; i++) {
		uint64_t before = newest;
		h.sequence = newest += jumps[i];
		ck_assert_int_eq(hear(w.agent, &h, 2000), SESSION_ACCEPT);
		ck_assert_int_eq(hear(w.agent, &h, 2000), SESSION_REPLAY);
		for (uint64_t back = 1; back <= SESSION_WINDOW + 70; back++) {
			h.sequence = newest - back;
			bool fresh = back <= SESSION_WINDOW && h.sequence > before;
			/* On the first turn of the loop what lies before 10000 has not been used either. */
			if (i == 0 && h.sequence != before && back <= SESSION_WINDOW)
				fresh = true;
			ck_assert_int_eq(hear(w.agent, &h, 2000), fresh ? SESSION_ACCEPT : SESSION_REPLAY);
		}
	}
	h.sequence = UINT64_MAX;
	ck_assert_int_eq(hear(w.agent, &h, 2000), SESSION_ACCEPT);
	ck_assert_int_eq(hear(w.agent, &h, 2000), SESSION_REPLAY);
	teardown(&w);
}
END_TEST

START_TEST(test_SEC_4_group_and_unicast_windows_are_apart)
{
	struct world w;
	setup(&w);
	introduce(w.manager, MANAGER, w.agent, AGENT, 1000);
	struct wire_header group = numbered(MANAGER, 200, 0, 500), unicast = numbered(MANAGER, 200, AGENT, 500);
	ck_assert_int_eq(hear(w.agent, &group, 2000), SESSION_ACCEPT);
	ck_assert_int_eq(hear(w.agent, &unicast, 2000), SESSION_ACCEPT);
	/* One far ahead does not shut the other's window. */
	group.sequence = 100000;
	ck_assert_int_eq(hear(w.agent, &group, 2000), SESSION_ACCEPT);
	unicast.sequence = 501;
	ck_assert_int_eq(hear(w.agent, &unicast, 2000), SESSION_ACCEPT);
	group.sequence = 501;
	ck_assert_int_eq(hear(w.agent, &group, 2000), SESSION_REPLAY);
	teardown(&w);
}
END_TEST

START_TEST(test_SEC_4_our_sequences_count_for_each_destination)
{
	struct world w;
	setup(&w);
	introduce(w.manager, MANAGER, w.agent, AGENT, 1000); /* the agent has challenged once: sequence 1 */
	struct wire_header h = stamped(w.agent, WIRE_MATCH_WILDCARD, MANAGER);
	ck_assert_uint_eq(h.source, AGENT);
	ck_assert_uint_eq(h.incarnation, 100);
	ck_assert_uint_eq(h.destination, MANAGER);
	ck_assert_uint_eq(h.sequence, 2);
	h = stamped(w.agent, WIRE_HELLO, 0);
	ck_assert_uint_eq(h.destination, 0);
	ck_assert_uint_eq(h.sequence, 1);
	h = stamped(w.agent, WIRE_HELLO, 0);
	ck_assert_uint_eq(h.sequence, 2);
	h = stamped(w.agent, WIRE_MATCH_WILDCARD, OTHER);
	ck_assert_uint_eq(h.sequence, 1);
	h = stamped(w.agent, WIRE_MATCH_WILDCARD, MANAGER);
	ck_assert_uint_eq(h.sequence, 3);
	teardown(&w);
}
END_TEST

/* A receiver would take a number used twice for a replay: not even forgetting a peer may bring one back. */
START_TEST(test_SEC_4_no_sequence_twice_for_one_destination)
{
	struct world w;
	setup(&w);
	introduce(w.manager, MANAGER, w.agent, AGENT, 1000);
	uint64_t last = 0;
	for (int i = 0; i < 40; i++) {
		struct wire_header h = stamped(w.agent, WIRE_MATCH_WILDCARD, MANAGER);
		ck_assert_uint_gt(h.sequence, last);
		last = h.sequence;
		if (i % 10 == 5)
			session_forget(w.agent, MANAGER);
		if (i % 10 == 8) {
			h = numbered(MANAGER, 200, 0, 77);
			ck_assert_int_eq(hear(w.agent, &h, 1000 + 1000 * (uint64_t)i), SESSION_CHALLENGE);
		}
	}
	teardown(&w);
}
END_TEST

START_TEST(test_SEC_4_challenge_is_repeated_after_200_ms)
{
	struct world w;
	setup(&w);
	struct wire_nonce first, again, response, none;
	struct wire_header h = stamped(w.manager, WIRE_WILDCARD_UPDATE, 0);
	ck_assert_int_eq(session_receive(w.agent, &h, NULL, 1000, &first), SESSION_CHALLENGE);
	h = stamped(w.manager, WIRE_WILDCARD_UPDATE, 0);
	ck_assert_int_eq(hear(w.agent, &h, 1000), SESSION_PENDING);
	ck_assert_int_eq(hear(w.agent, &h, 1199), SESSION_PENDING);
	ck_assert_int_eq(session_receive(w.agent, &h, NULL, 1200, &again), SESSION_CHALLENGE);
	/* The same question: the answer to the first may be under way for longer than 200 ms. */
	ck_assert_mem_eq(first.nonce, again.nonce, WIRE_NONCE_LEN);
	ck_assert_int_eq(hear(w.agent, &h, 1399), SESSION_PENDING);

	h = stamped(w.agent, WIRE_CHALLENGE, MANAGER);
	ck_assert_int_eq(session_receive(w.manager, &h, &first, 1400, &response), SESSION_ANSWER);
	h = stamped(w.manager, WIRE_CHALLENGE_RESPONSE, AGENT);
	ck_assert_int_eq(session_receive(w.agent, &h, &response, 1500, &none), SESSION_KNOWN);
	/* Once. */
	h = stamped(w.manager, WIRE_CHALLENGE_RESPONSE, AGENT);
	ck_assert_int_eq(session_receive(w.agent, &h, &response, 1500, &none), SESSION_STALE);
	teardown(&w);
}
END_TEST

START_TEST(test_SEC_4_a_nonce_is_good_for_a_few_seconds)
{
	struct world w;
	setup(&w);
	struct wire_nonce nonce, next, none;
	struct wire_header h = numbered(MANAGER, 200, 0, 1);
	ck_assert_int_eq(session_receive(w.agent, &h, NULL, 1000, &nonce), SESSION_CHALLENGE);
	struct wire_header response = numbered(MANAGER, 200, AGENT, 1);
	response.type = WIRE_CHALLENGE_RESPONSE;
	ck_assert_int_eq(session_receive(w.agent, &response, &nonce, 6000, &none), SESSION_STALE);
	ck_assert_int_eq(session_receive(w.agent, &h, NULL, 6000, &next), SESSION_CHALLENGE);
	ck_assert_mem_ne(nonce.nonce, next.nonce, WIRE_NONCE_LEN);
	ck_assert_int_eq(session_receive(w.agent, &response, &nonce, 6001, &none), SESSION_STALE);
	ck_assert_int_eq(session_receive(w.agent, &response, &next, 6001, &none), SESSION_KNOWN);
	teardown(&w);
}
END_TEST

START_TEST(test_SEC_4_forged_nonce_is_stale)
{
	struct world w;
	setup(&w);
	struct wire_nonce nonce, forged = {.nonce = {0}}, none;
	struct wire_header response = numbered(MANAGER, 200, AGENT, 9);
	response.type = WIRE_CHALLENGE_RESPONSE;
	/* Never asked. */
	ck_assert_int_eq(session_receive(w.agent, &response, &forged, 1000, &none), SESSION_STALE);
	struct wire_header h = numbered(MANAGER, 200, 0, 1);
	ck_assert_int_eq(session_receive(w.agent, &h, NULL, 1000, &nonce), SESSION_CHALLENGE);
	ck_assert_int_eq(session_receive(w.agent, &response, &forged, 1001, &none), SESSION_STALE);
	/* Another's nonce. */
	response.source = OTHER;
	ck_assert_int_eq(session_receive(w.agent, &response, &nonce, 1001, &none), SESSION_STALE);
	h = numbered(OTHER, 300, 0, 1);
	ck_assert_int_eq(hear(w.agent, &h, 1001), SESSION_CHALLENGE);
	ck_assert_int_eq(session_receive(w.agent, &response, &nonce, 1001, &none), SESSION_STALE);
	ck_assert_uint_eq(session_incarnation(w.agent, OTHER), 0);
	ck_assert_uint_eq(session_incarnation(w.agent, MANAGER), 0);
	teardown(&w);
}
END_TEST

START_TEST(test_MSG_13_restart_replaces_only_when_proven)
{
	struct world w;
	setup(&w);
	introduce(w.manager, MANAGER, w.agent, AGENT, 1000);
	struct session *restarted = session_new(MANAGER, 201, counting, &w.randomness);
	struct wire_nonce nonce, response, none;
	struct wire_header h = stamped(restarted, WIRE_WILDCARD_UPDATE, 0);
	ck_assert_int_eq(session_receive(w.agent, &h, NULL, 2000, &nonce), SESSION_CHALLENGE);
	/* The old one goes on meanwhile. */
	ck_assert_uint_eq(session_incarnation(w.agent, MANAGER), 200);
	struct wire_header old = stamped(w.manager, WIRE_FIXED_UPDATE, AGENT);
	ck_assert_int_eq(hear(w.agent, &old, 2001), SESSION_ACCEPT);

	h = stamped(w.agent, WIRE_CHALLENGE, MANAGER);
	ck_assert_int_eq(session_receive(restarted, &h, &nonce, 2002, &response), SESSION_ANSWER);
	h = stamped(restarted, WIRE_CHALLENGE_RESPONSE, AGENT);
	ck_assert_int_eq(session_receive(w.agent, &h, &response, 2003, &none), SESSION_KNOWN);
	ck_assert_uint_eq(session_incarnation(w.agent, MANAGER), 201);

	/* Its sequences begin again, and the old one's messages are those of a stranger. */
	h = stamped(restarted, WIRE_WILDCARD_UPDATE, 0);
	ck_assert_uint_eq(h.sequence, 2);
	ck_assert_int_eq(hear(w.agent, &h, 2004), SESSION_ACCEPT);
	ck_assert_int_eq(hear(w.agent, &old, 2005), SESSION_CHALLENGE);
	session_free(restarted);
	teardown(&w);
}
END_TEST

/* Copies of a dead incarnation must neither throw out the living one nor keep a new one from being asked. */
START_TEST(test_SEC_4_copies_of_a_dead_incarnation_change_nothing)
{
	struct world w;
	setup(&w);
	introduce(w.manager, MANAGER, w.agent, AGENT, 1000);
	struct wire_nonce nonce, response, none;
	struct wire_header dead = numbered(MANAGER, 199, 0, 5000);
	ck_assert_int_eq(session_receive(w.agent, &dead, NULL, 2000, &nonce), SESSION_CHALLENGE);
	ck_assert_int_eq(hear(w.agent, &dead, 2001), SESSION_PENDING);
	struct wire_header next = numbered(MANAGER, 201, 0, 1);
	ck_assert_int_eq(hear(w.agent, &next, 2001), SESSION_CHALLENGE);

	/* The living one answers the question the copy caused, late: its windows do not go back to what it says. */
	struct wire_header h = stamped(w.agent, WIRE_CHALLENGE, MANAGER);
	ck_assert_int_eq(session_receive(w.manager, &h, &nonce, 2002, &response), SESSION_ANSWER);
	h = stamped(w.manager, WIRE_CHALLENGE_RESPONSE, AGENT);
	struct wire_header used = stamped(w.manager, WIRE_WILDCARD_UPDATE, 0);
	ck_assert_int_eq(hear(w.agent, &used, 2002), SESSION_ACCEPT);
	ck_assert_int_eq(session_receive(w.agent, &h, &response, 2003, &none), SESSION_KNOWN);
	ck_assert_uint_eq(session_incarnation(w.agent, MANAGER), 200);
	ck_assert_int_eq(hear(w.agent, &used, 2004), SESSION_REPLAY);
	teardown(&w);
}
END_TEST

/* Recorded messages of many of them, again and again, while a new one starts: few challenges, and one is for it. */
START_TEST(test_SEC_4_MSG_14_copies_of_many_dead_incarnations_draw_few_challenges)
{
	struct world w;
	unsigned challenges = 0, new_one = 0;

	setup(&w);
	introduce(w.manager, MANAGER, w.agent, AGENT, 1000);
	for (uint64_t now_ms = 2000; now_ms < 12000; now_ms++) {
		struct wire_header dead = numbered(MANAGER, 100 + now_ms % 90, 0, 5000);
		struct wire_header next = numbered(MANAGER, 201, 0, 1);

		challenges += hear(w.agent, &dead, now_ms) == SESSION_CHALLENGE;
		if (now_ms >= 8000 && now_ms % 50 == 0)
			new_one += hear(w.agent, &next, now_ms) == SESSION_CHALLENGE;
	}
	ck_assert_uint_le(challenges, 90 + 10 * 5 * 5); /* five in 200 ms; once, each that is the greatest so far */
	ck_assert_uint_ge(challenges, 10 * 5 * 4);
	ck_assert_uint_eq(new_one, 4 * 5);
	teardown(&w);
}
END_TEST

/* Nor does the living one's answer to a challenge that one drew make room for the next. */
START_TEST(test_SEC_4_copies_of_a_dead_incarnation_from_the_living_ones_address)
{
	struct world w;
	unsigned challenges = 0;

	setup(&w);
	introduce(w.manager, MANAGER, w.agent, AGENT, 1000);
	for (uint64_t now_ms = 2000; now_ms < 4000; now_ms++) {
		struct wire_header dead = numbered(MANAGER, 199, 0, 5000), h;
		struct wire_nonce nonce, response, none;

		if (session_receive(w.agent, &dead, NULL, now_ms, &nonce) != SESSION_CHALLENGE)
			continue;
		challenges++;
		h = stamped(w.agent, WIRE_CHALLENGE, MANAGER);
		ck_assert_int_eq(session_receive(w.manager, &h, &nonce, now_ms, &response), SESSION_ANSWER);
		h = stamped(w.manager, WIRE_CHALLENGE_RESPONSE, AGENT);
		ck_assert_int_eq(session_receive(w.agent, &h, &response, now_ms, &none), SESSION_KNOWN);
	}
	ck_assert_uint_eq(challenges, 10);
	teardown(&w);
}
END_TEST

START_TEST(test_SEC_4_strangers_answer_each_other)
{
	struct world w;
	setup(&w);
	introduce(w.manager, MANAGER, w.agent, AGENT, 1000);
	introduce(w.agent, AGENT, w.manager, MANAGER, 1000);
	ck_assert_uint_eq(session_incarnation(w.agent, MANAGER), 200);
	ck_assert_uint_eq(session_incarnation(w.manager, AGENT), 100);
	/* A copy of a stranger's challenge is not answered again at once; the repetition is. */
	struct wire_nonce nonce = {.nonce = {7}}, other = {.nonce = {8}}, reply;
	struct wire_header h = numbered(OTHER, 300, AGENT, 1);
	h.type = WIRE_CHALLENGE;
	ck_assert_int_eq(session_receive(w.agent, &h, &nonce, 3000, &reply), SESSION_ANSWER);
	ck_assert_int_eq(session_receive(w.agent, &h, &nonce, 3001, &reply), SESSION_PENDING);
	ck_assert_int_eq(session_receive(w.agent, &h, &other, 3001, &reply), SESSION_ANSWER);
	ck_assert_int_eq(session_receive(w.agent, &h, &nonce, 3200, &reply), SESSION_ANSWER);
	teardown(&w);
}
END_TEST

START_TEST(test_SEC_4_copy_of_a_strangers_challenge_waits_100_ms_for_an_answer)
{
	struct world w;
	setup(&w);
	struct wire_nonce nonce = {.nonce = {7}}, other = {.nonce = {8}}, reply;
	struct wire_header h = numbered(OTHER, 300, AGENT, 1);
	h.type = WIRE_CHALLENGE;
	ck_assert_int_eq(session_receive(w.agent, &h, &nonce, 3000, &reply), SESSION_ANSWER);
	for (uint64_t ms = 0; ms < SESSION_REPEAT_MS / 2; ms++)
		ck_assert_int_eq(session_receive(w.agent, &h, &nonce, 3000 + ms, &reply), SESSION_PENDING);
	/* Not put off by the copies, and counted anew. */
	ck_assert_int_eq(session_receive(w.agent, &h, &nonce, 3100, &reply), SESSION_ANSWER);
	ck_assert_int_eq(session_receive(w.agent, &h, &nonce, 3199, &reply), SESSION_PENDING);
	/* Another question is no copy. */
	ck_assert_int_eq(session_receive(w.agent, &h, &other, 3199, &reply), SESSION_ANSWER);
	teardown(&w);
}
END_TEST

START_TEST(test_MSG_13_not_for_us_and_ourselves)
{
	struct world w;
	setup(&w);
	introduce(w.manager, MANAGER, w.agent, AGENT, 1000);
	struct wire_header h = stamped(w.manager, WIRE_FIXED_UPDATE, OTHER);
	ck_assert_int_eq(hear(w.agent, &h, 1000), SESSION_NOT_FOR_US);
	h = numbered(OTHER, 1, MANAGER, 1);
	ck_assert_int_eq(hear(w.agent, &h, 1000), SESSION_NOT_FOR_US);
	h = stamped(w.agent, WIRE_HELLO, 0);
	ck_assert_int_eq(hear(w.agent, &h, 1000), SESSION_OURSELVES);
	h = numbered(AGENT, 999, AGENT, 1);
	h.type = WIRE_CHALLENGE;
	ck_assert_int_eq(hear(w.agent, &h, 1000), SESSION_OURSELVES);
	teardown(&w);
}
END_TEST

START_TEST(test_SEC_4_flood_of_strangers_displaces_nobody_known)
{
	struct world w;
	setup(&w);
	introduce(w.manager, MANAGER, w.agent, AGENT, 1000);
	for (uint64_t i = 1; i < SESSION_MAX_PEERS; i++) {
		struct wire_header h = numbered(1000 + i, 1, 0, 1);
		ck_assert_int_eq(hear(w.agent, &h, 2000), SESSION_CHALLENGE);
	}
	struct wire_header late = numbered(OTHER, 300, 0, 1);
	ck_assert_int_eq(hear(w.agent, &late, 2000), SESSION_FULL);
	/* Its challenge is answered all the same: that needs no room. */
	struct wire_nonce nonce = {.nonce = {1}}, reply, none;
	struct wire_header challenge = numbered(OTHER, 300, AGENT, 1);
	challenge.type = WIRE_CHALLENGE;
	ck_assert_int_eq(session_receive(w.agent, &challenge, &nonce, 2000, &reply), SESSION_ANSWER);
	/* Who did not answer in time makes room, and the newcomer becomes known. */
	ck_assert_int_eq(session_receive(w.agent, &late, NULL, 4000, &nonce), SESSION_CHALLENGE);
	for (uint64_t i = 0; i < 3 * SESSION_MAX_PEERS; i++) {
		struct wire_header h = numbered(100000 + i, 1, 0, 1);
		enum session_verdict v = hear(w.agent, &h, 4100);
		ck_assert(v == SESSION_CHALLENGE || v == SESSION_FULL);
	}
	struct wire_header h = numbered(OTHER, 300, AGENT, 2);
	h.type = WIRE_CHALLENGE_RESPONSE;
	ck_assert_int_eq(session_receive(w.agent, &h, &nonce, 4200, &none), SESSION_KNOWN);
	for (uint64_t i = 0; i < 3 * SESSION_MAX_PEERS; i++) {
		h = numbered(900000 + i, 1, 0, 1);
		hear(w.agent, &h, 9000 + i * 10);
	}
	ck_assert_uint_eq(session_incarnation(w.agent, OTHER), 300);
	ck_assert_uint_eq(session_incarnation(w.agent, MANAGER), 200);
	h = stamped(w.manager, WIRE_FIXED_UPDATE, AGENT);
	ck_assert_int_eq(hear(w.agent, &h, 200000), SESSION_ACCEPT);
	teardown(&w);
}
END_TEST

START_TEST(test_SEC_4_known_peers_fill_the_table)
{
	struct world w;
	setup(&w);
	for (uint64_t i = 0; i < SESSION_MAX_PEERS; i++) {
		struct wire_nonce nonce, none;
		struct wire_header h = numbered(1000 + i, 1, 0, 1);
		ck_assert_int_eq(session_receive(w.agent, &h, NULL, 1000, &nonce), SESSION_CHALLENGE);
		h = numbered(1000 + i, 1, AGENT, 1);
		h.type = WIRE_CHALLENGE_RESPONSE;
		ck_assert_int_eq(session_receive(w.agent, &h, &nonce, 1000, &none), SESSION_KNOWN);
	}
	struct wire_header h = numbered(OTHER, 1, 0, 1);
	ck_assert_int_eq(hear(w.agent, &h, 1000000), SESSION_FULL);
	session_forget(w.agent, 1000);
	ck_assert_uint_eq(session_incarnation(w.agent, 1000), 0);
	ck_assert_int_eq(hear(w.agent, &h, 1000000), SESSION_CHALLENGE);
	session_forget(w.agent, 4711); /* nobody */
	teardown(&w);
}
END_TEST

START_TEST(verdicts_have_names)
{
	for (int v = 0; v < SESSION_COUNT; v++) {
		ck_assert_str_ne(session_verdict_name((enum session_verdict)v), "unknown");
		for (int u = 0; u < v; u++)
			ck_assert_str_ne(session_verdict_name((enum session_verdict)v),
					 session_verdict_name((enum session_verdict)u));
	}
	ck_assert_str_eq(session_verdict_name(SESSION_COUNT), "unknown");
	session_free(NULL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("session");
	TCase *tc = tcase_create("session");
	tcase_add_test(tc, test_SEC_4_unknown_incarnation_is_challenged_before_anything);
	tcase_add_test(tc, test_SEC_4_everything_said_before_the_response_is_old);
	tcase_add_test(tc, test_SEC_4_replay_and_out_of_order);
	tcase_add_test(tc, test_SEC_4_window_edges);
	tcase_add_test(tc, test_SEC_4_group_and_unicast_windows_are_apart);
	tcase_add_test(tc, test_SEC_4_our_sequences_count_for_each_destination);
	tcase_add_test(tc, test_SEC_4_no_sequence_twice_for_one_destination);
	tcase_add_test(tc, test_SEC_4_challenge_is_repeated_after_200_ms);
	tcase_add_test(tc, test_SEC_4_a_nonce_is_good_for_a_few_seconds);
	tcase_add_test(tc, test_SEC_4_forged_nonce_is_stale);
	tcase_add_test(tc, test_MSG_13_restart_replaces_only_when_proven);
	tcase_add_test(tc, test_SEC_4_copies_of_a_dead_incarnation_change_nothing);
	tcase_add_test(tc, test_SEC_4_MSG_14_copies_of_many_dead_incarnations_draw_few_challenges);
	tcase_add_test(tc, test_SEC_4_copies_of_a_dead_incarnation_from_the_living_ones_address);
	tcase_add_test(tc, test_SEC_4_strangers_answer_each_other);
	tcase_add_test(tc, test_MSG_13_not_for_us_and_ourselves);
	tcase_add_test(tc, test_SEC_4_flood_of_strangers_displaces_nobody_known);
	tcase_add_test(tc, test_SEC_4_known_peers_fill_the_table);
	tcase_add_test(tc, verdicts_have_names);
	tcase_add_test(tc, test_SEC_4_copy_of_a_strangers_challenge_waits_100_ms_for_an_answer);
	suite_add_tcase(suite, tc);
	SRunner *sr = srunner_create(suite);
	if (getenv("TAP_FILE") != NULL)
		srunner_set_tap(sr, getenv("TAP_FILE"));
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
