/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel's program against the engine, packet by packet: two engines get the
 * same random messages, one of them places its plans in the kernel.  What the
 * kernel carries out must be what the other engine does, to the byte and in the
 * counts; what comes up, both engines must treat alike.
 * Needs root; has its own namespace.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <time.h>

#include "fad/classifier_io.h"
#include "fad/engine_fixture.h"
#include "fad/netns_fixture.h"
#include "lib/check_main.h"
#include "lib/exitcode.h"

#define LO     1
#define FRAME  4096
#define FILTER 0x746e
#define SLOTS  256
#define STEPS  5000

struct pair {
	struct classifier *c;
	struct plantab *plans;
	struct bed *fast, *slow;
	int program;
	uint64_t random;
	size_t carried, dropped, redirected, up;
	uint8_t packet[FRAME], frame[FRAME];
	size_t len;
};

/* xorshift; the seed is printed when it differs. */
static uint32_t dice(struct pair *w, uint32_t sides)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return (uint32_t)(w->random >> 32) % sides;
}

static struct bed *bed_of_now(uint64_t now_ms)
{
	struct engine_conf conf = bed_conf();
	struct bed *b;

	conf.accept_uncovered = true;
	conf.max_fixed = conf.max_wildcards = 1000;
	b = bed_new_with(&conf);
	b->now_ms = now_ms;
	b->least_mtu = 1500;
	engine_tick(b->e, b->now_ms);
	return b;
}

/* Wildcards for any addresses, of a protocol that nobody here sends: nothing is passed unlooked at. */
static void look_at_all(struct pair *w)
{
	for (uint16_t i = 0; i < 2; i++) {
		const struct classifier_shape shape = {.family = i ? 6 : 4, .proto_mask = 0xff};
		const struct classifier_key key = {.family = shape.family, .proto = 253, .shape = i};

		ck_assert(classifier_shape(w->c, i, &shape));
		ck_assert(classifier_wildcard_add(w->c, &key));
	}
}

static void add_neighbours(void)
{
	netns_run("ip link add w0 type veth peer name w1");
	netns_run("ip addr add 10.9.0.1/24 dev w0");
	netns_run("ip addr add fd09::1/64 dev w0 nodad");
	netns_run("ip link set w0 up");
	netns_run("ip link set w1 up");
}

static void begin(struct pair *w, uint64_t seed)
{
	static const struct classifier_limits limits = {.fixed = 100, .wildcards = 100, .plans = SLOTS};
	DECLARE_LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = LO, .attach_point = BPF_TC_INGRESS);
	DECLARE_LIBBPF_OPTS(bpf_tc_opts, opts, .handle = FILTER, .priority = FILTER);
	static const uint64_t secret[2] = {1, 2};
	struct plantab_memory memory;
	struct timespec now;

	memset(w, 0, sizeof(*w));
	w->random = seed;
	netns_enter();
	add_neighbours();
	ck_assert_int_eq(classifier_open(&w->c, LO, &limits), EXITCODE_OK);
	ck_assert_int_eq(classifier_attach(w->c, "lo", LO, false), EXITCODE_OK);
	ck_assert_int_eq(classifier_interface_plans(w->c, LO, true), EXITCODE_OK);
	ck_assert(classifier_plans(w->c, &memory));
	w->plans = plantab_new(&memory, secret);
	look_at_all(w);
	ck_assert_int_eq(bpf_tc_query(&hook, &opts), 0);
	w->program = bpf_prog_get_fd_by_id(opts.prog_id);
	ck_assert_int_ge(w->program, 0);
	clock_gettime(CLOCK_MONOTONIC, &now);
	w->fast = bed_of_now((uint64_t)now.tv_sec * 1000);
	w->slow = bed_of_now(w->fast->now_ms);
	engine_use_plans(w->fast->e, w->plans);
}

static void end(struct pair *w)
{
	engine_use_plans(w->fast->e, NULL);
	bed_free(w->fast);
	bed_free(w->slow);
	close(w->program);
	plantab_free(w->plans);
	classifier_close(w->c, true);
}

/* ---- what both did ---- */

/* Refreshes are asked for at a packet, or in a round. */
static const struct bed_sent *next_sent(const struct bed *b, size_t *at)
{
	while (*at < b->sent_count && b->sent[*at].m.h.type == WIRE_REFRESH)
		(*at)++;
	return *at < b->sent_count ? &b->sent[(*at)++] : NULL;
}

static void same_doings(struct pair *w)
{
	const struct bed *a = w->fast, *b = w->slow;
	const struct bed_sent *x, *y;
	size_t i = 0, j = 0;

	ck_assert_uint_eq(a->forwarded_count, b->forwarded_count);
	for (size_t k = 0; k < a->forwarded_count; k++) {
		const struct bed_forwarded *f = &a->forwarded[k], *g = &b->forwarded[k];

		ck_assert_uint_eq(f->p.len, g->p.len);
		ck_assert_mem_eq(f->bytes, g->bytes, f->p.len);
		ck_assert_int_eq(f->dispatched, g->dispatched);
		ck_assert(addr_equal(&f->next_hop, &g->next_hop));
	}
	do {
		x = next_sent(a, &i);
		y = next_sent(b, &j);
		ck_assert_int_eq(x != NULL, y != NULL);
		if (!x)
			break;
		ck_assert_int_eq(x->m.h.type, y->m.h.type);
		ck_assert_uint_eq(x->to.identity, y->to.identity);
		ck_assert_mem_eq(&x->m.identifier, &y->m.identifier, sizeof(x->m.identifier));
	} while (true);
	bed_clear(w->fast);
	bed_clear(w->slow);
}

/* ---- messages ---- */

static const char *const clients[2][2] = {{"198.51.100.7", "198.51.100.8"}, {"2001:db8:5::7", "2001:db8:5::8"}};
static const char *const vips[2][2] = {{"203.0.113.10", "203.0.113.11"}, {"2001:db8:113::10", "2001:db8:113::11"}};
static const char *const servers[2][2] = {{"10.0.20.11", "10.0.20.12"}, {"fd00:20::11", "fd00:20::12"}};
static const char *const hops[2] = {"10.9.0.3", "fd09::3"};

static struct flow_key any_flow(struct pair *w)
{
	uint32_t six = dice(w, 2);

	return bed_key(dice(w, 3) ? IPPROTO_TCP : IPPROTO_UDP, clients[six][dice(w, 2)], (uint16_t)(1000 + dice(w, 3)),
		       vips[six][dice(w, 2)], 80);
}

static void add_actions(struct pair *w, struct wire_msg *m, uint32_t six)
{
	static const uint16_t bits[] = {FIN,
					SYN,
					RST,
					FIN | RST,
					WIRE_INTEREST_DATA,
					WIRE_INTEREST_FIRST_DATA,
					WIRE_INTEREST_FRAGMENT,
					WIRE_INTEREST_ALL};
	uint16_t bit = bits[dice(w, sizeof(bits) / sizeof(bits[0]))];

	if (dice(w, 4))
		bed_nat(m, WIRE_NAT_DST | WIRE_NAT_DPORT, servers[six][dice(w, 2)], (uint16_t)(8000 + dice(w, 3)));
	if (!dice(w, 4))
		bed_nat(m, WIRE_NAT_SRC | (dice(w, 2) ? WIRE_NAT_SPORT : 0), clients[six][dice(w, 2)], 99);
	if (!dice(w, 4))
		bed_dispatch(m, dice(w, 3) ? hops[six] : six ? "::" : "0.0.0.0");
	if (!dice(w, 3))
		bed_interest(m, bit, dice(w, 4) ? 0 : bit, dice(w, 4) ? 0 : bit, 0);
	bed_precedence(m, dice(w, 3));
}

static void say(struct pair *w)
{
	struct flow_key k = any_flow(w);
	struct wire_msg m;

	if (dice(w, 4)) {
		m = bed_fixed(&k, dice(w, 4) ? 2 + dice(w, 600) : 0);
	} else {
		m = bed_wildcard(vips[k.family == 6][dice(w, 2)], 80);
		m.wildcard.proto = k.proto;
		m.wildcard.ttl = dice(w, 3) ? 2 + dice(w, 60) : 0;
		m.wildcard.flags =
			(uint8_t)((dice(w, 2) ? WIRE_FLAG_ROUTE_SILENT : 0) | (dice(w, 2) ? WIRE_FLAG_DROP_GONE : 0));
	}
	add_actions(w, &m, k.family == 6);
	/* What the kernel did before a change is else counted for what decides after it. */
	engine_fold_plans(w->fast->e);
	bed_message(w->fast, 1 + k.sport % 2, &m);
	bed_message(w->slow, 1 + k.sport % 2, &m);
	same_doings(w);
}

/* ---- packets ---- */

static void build(struct pair *w)
{
	static const uint8_t all_flags[] = {ACK, ACK, ACK, ACK | PSH, SYN, ACK | FIN, RST};
	static const uint16_t sizes[] = {0, 1, 7, 1000, 1440, 1460, 1472, 1500};
	static const uint8_t ttls[] = {64, 64, 64, 2, 1};
	struct flow_key k = any_flow(w);
	uint8_t *ip = w->packet;
	uint16_t sum;

	w->len = bed_write(ip, &k, all_flags[dice(w, sizeof(all_flags))], sizes[dice(w, 8)]);
	for (size_t i = k.family == 4 ? 40 : 60; i < w->len; i++)
		ip[i] ^= (uint8_t)dice(w, 256); /* any sum will do: edits go by difference */
	if (k.family == 6) {
		ip[7] = ttls[dice(w, sizeof(ttls))];
		return;
	}
	ip[1] = (uint8_t)dice(w, 256);
	ip[6] = (uint8_t)(dice(w, 2) ? 0x40 : dice(w, 20) ? 0 : 0x20);
	ip[8] = ttls[dice(w, sizeof(ttls))];
	memset(ip + 10, 0, 2);
	sum = checksum_finish(checksum_add(0, ip, 20));
	memcpy(ip + 10, &sum, 2);
}

static void to_engine(struct bed *b, const uint8_t *bytes, size_t len)
{
	struct packet p = {.ifindex = 7};

	memcpy(b->packet, bytes, len);
	ck_assert_int_eq(packet_parse(&p, b->packet, len), PACKET_OK);
	engine_packet(b->e, &p, b->now_ms);
}

/* True: a plan was carried out. */
static bool to_kernel(struct pair *w, int *verdict)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = w->frame, .data_out = w->frame, .data_size_out = FRAME,
		    .repeat = 1);
	uint64_t before[CLASSIFIER_COUNTERS], after[CLASSIFIER_COUNTERS];

	memset(w->frame, 0, ETH_HLEN);
	w->frame[12] = w->packet[0] >> 4 == 6 ? 0x86 : 0x08;
	w->frame[13] = w->packet[0] >> 4 == 6 ? 0xdd : 0x00;
	memcpy(w->frame + ETH_HLEN, w->packet, w->len);
	opts.data_size_in = (uint32_t)(ETH_HLEN + w->len);
	classifier_heartbeat(w->c);
	classifier_counters(w->c, before);
	ck_assert_int_eq(bpf_prog_test_run_opts(w->program, &opts), 0);
	classifier_counters(w->c, after);
	ck_assert_uint_eq(opts.data_size_out, ETH_HLEN + w->len);
	*verdict = (int)opts.retval;
	return after[CLASSIFIER_PLAN] != before[CLASSIFIER_PLAN];
}

/* What it sends to a next hop itself has one hop less, which the engine leaves to the kernel. */
static void give_back_a_hop(uint8_t *ip)
{
	uint16_t sum;

	ip[ip[0] >> 4 == 4 ? 8 : 7]++;
	if (ip[0] >> 4 != 4)
		return;
	memset(ip + 10, 0, 2);
	sum = checksum_finish(checksum_add(0, ip, 20));
	memcpy(ip + 10, &sum, 2);
}

/* The kernel did this; what does the engine? */
static void compare(struct pair *w, int verdict)
{
	const struct bed *b = w->slow;
	size_t at = 0;

	ck_assert_ptr_null(next_sent(b, &at));
	w->carried++;
	if (verdict == TC_ACT_SHOT) {
		ck_assert_uint_eq(b->forwarded_count, 0);
		w->dropped++;
		bed_clear(w->slow);
		return;
	}
	ck_assert_uint_eq(b->forwarded_count, 1);
	ck_assert_uint_eq(b->forwarded[0].p.len, w->len);
	ck_assert_int_eq(b->forwarded[0].dispatched, verdict == TC_ACT_REDIRECT);
	if (verdict == TC_ACT_REDIRECT) {
		w->redirected++;
		give_back_a_hop(w->frame + ETH_HLEN);
	} else {
		ck_assert_int_eq(verdict, TC_ACT_UNSPEC);
	}
	ck_assert_mem_eq(b->forwarded[0].bytes, w->frame + ETH_HLEN, w->len);
	bed_clear(w->slow);
}

static void travel(struct pair *w)
{
	int verdict;

	build(w);
	to_engine(w->slow, w->packet, w->len);
	if (to_kernel(w, &verdict)) {
		compare(w, verdict);
		return;
	}
	ck_assert_mem_eq(w->frame + ETH_HLEN, w->packet, w->len);
	w->up++;
	to_engine(w->fast, w->packet, w->len);
	same_doings(w);
}

static void same_counts(struct pair *w)
{
	static const enum engine_counter counters[] = {ENGINE_FORWARDED, ENGINE_FORWARDED_BYTES, ENGINE_DROP_AFFINITY,
						       ENGINE_PUNTS,     ENGINE_COPIES,          ENGINE_MATCHES};
	const struct wildcard *x = wildtab_first(engine_wildcards(w->fast->e));
	const struct wildcard *y = wildtab_first(engine_wildcards(w->slow->e));

	engine_fold_plans(w->fast->e);
	for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++)
		ck_assert_msg(bed_counter(w->fast, counters[i]) == bed_counter(w->slow, counters[i]),
			      "counter %zu: %llu, not %llu", i, (unsigned long long)bed_counter(w->fast, counters[i]),
			      (unsigned long long)bed_counter(w->slow, counters[i]));
	for (; x && y; x = x->next, y = y->next) {
		ck_assert_uint_eq(x->a.packets, y->a.packets);
		ck_assert_uint_eq(x->a.bytes, y->a.bytes);
		ck_assert_uint_eq(x->drops, y->drops);
	}
	ck_assert(!x && !y);
}

static void wait_some(struct pair *w)
{
	for (uint32_t i = dice(w, 8); i > 0; i--) {
		engine_fold_plans(w->fast->e);
		bed_wait(w->fast, 50);
		bed_wait(w->slow, 50);
	}
	same_doings(w);
}

START_TEST(test_PREC_8_FIX_4_kernel_and_engine_do_the_same)
{
	uint64_t seed = (uint64_t)_i * 0x9e3779b97f4a7c15ull + 88172645463325252ull;
	struct pair w;

	begin(&w, seed);
	for (int i = 0; i < STEPS; i++) {
		uint32_t what = dice(&w, 100);

		if (what < 3)
			say(&w);
		else if (what < 4)
			wait_some(&w);
		else
			travel(&w);
		if (i % 100 == 0)
			same_counts(&w);
	}
	same_counts(&w);
	/* It was about something. */
	ck_assert_uint_gt(w.carried, STEPS / 10);
	ck_assert_uint_gt(w.up, STEPS / 10);
	ck_assert_uint_gt(w.dropped, 0);
	ck_assert_uint_gt(w.redirected, 0);
	end(&w);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fastpath_engine");
	TCase *t = tcase_create("fastpath_engine");

	tcase_add_loop_test(t, test_PREC_8_FIX_4_kernel_and_engine_do_the_same, 0, 4);
	tcase_set_timeout(t, 120);
	suite_add_tcase(s, t);
	return check_main(s);
}
