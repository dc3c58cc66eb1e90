/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Plans carried out in the kernel, by BPF_PROG_TEST_RUN: the packet vectors, to
 * the byte as the slow path's code has them; what goes up instead, and why.
 * Needs root; each test has its own namespace.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <time.h>

#include "fad/classifier_io.h"
#include "fad/netns_fixture.h"
#include "fad/packet.h"
#include "fad/vector_fixture.h"
#include "lib/check_main.h"
#include "lib/exitcode.h"

#define LO     1
#define FRAME  4096
#define FILTER 0x746e
#define SLOTS  64

struct fixture {
	struct classifier *c;
	struct plantab *plans;
	int program;
	uint32_t at; /* of the plan placed */
	size_t run;
	int verdict; /* of the latest packet */
	uint8_t frame[FRAME];
	size_t len;
};

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* A wildcard for any addresses, of a protocol that nobody here sends: nothing is passed unlooked at. */
static void cover_little(struct fixture *f, uint16_t number, uint8_t family)
{
	const struct classifier_shape shape = {.family = family, .proto_mask = 0xff};
	const struct classifier_key key = {.family = family, .proto = 253, .shape = number};

	ck_assert(classifier_shape(f->c, number, &shape));
	ck_assert(classifier_wildcard_add(f->c, &key));
}

static void uncover(struct fixture *f)
{
	for (uint16_t i = 0; i < 2; i++) {
		const struct classifier_key key = {.family = i ? 6 : 4, .proto = 253, .shape = i};

		ck_assert(classifier_wildcard_del(f->c, &key));
	}
}

static void begin(struct fixture *f)
{
	static const struct classifier_limits limits = {.fixed = 100, .wildcards = 100, .plans = SLOTS};
	DECLARE_LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = LO, .attach_point = BPF_TC_INGRESS);
	DECLARE_LIBBPF_OPTS(bpf_tc_opts, opts, .handle = FILTER, .priority = FILTER);
	static const uint64_t secret[2] = {1, 2};
	struct plantab_memory memory;

	memset(f, 0, sizeof(*f));
	netns_enter();
	ck_assert_int_eq(classifier_open(&f->c, LO, &limits), EXITCODE_OK);
	classifier_heartbeat(f->c);
	ck_assert_int_eq(classifier_attach(f->c, "lo", LO, false), EXITCODE_OK);
	ck_assert_int_eq(classifier_interface_plans(f->c, LO, true), EXITCODE_OK);
	ck_assert(classifier_plans(f->c, &memory));
	f->plans = plantab_new(&memory, secret);
	cover_little(f, 0, 4);
	cover_little(f, 1, 6);
	plantab_least_mtu(f->plans, 1500);
	ck_assert_int_eq(bpf_tc_query(&hook, &opts), 0);
	f->program = bpf_prog_get_fd_by_id(opts.prog_id);
	ck_assert_int_ge(f->program, 0);
}

static void end(struct fixture *f)
{
	close(f->program);
	plantab_free(f->plans);
	classifier_close(f->c, true);
}

static struct plantab_plan plan_of(const struct packet *p, const struct plan_edit *edit)
{
	return (struct plantab_plan){
		.key = p->key,
		.edit = *edit,
		.delta = plan_edit_delta(edit, &p->key),
		.expires_ms = now_ms() + 100000,
	};
}

/* The counters that the packet moved, other than the one of all; the heartbeat as it is. */
static uint32_t run_as_is(struct fixture *f, const uint8_t *packet, size_t len)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = f->frame, .data_out = f->frame, .data_size_out = FRAME,
		    .repeat = 1);
	uint64_t before[CLASSIFIER_COUNTERS], after[CLASSIFIER_COUNTERS];
	uint32_t moved = 0;

	memset(f->frame, 0, ETH_HLEN);
	f->frame[12] = packet[0] >> 4 == 6 ? 0x86 : 0x08;
	f->frame[13] = packet[0] >> 4 == 6 ? 0xdd : 0x00;
	memcpy(f->frame + ETH_HLEN, packet, len);
	opts.data_size_in = (uint32_t)(ETH_HLEN + len);
	classifier_counters(f->c, before);
	ck_assert_int_eq(bpf_prog_test_run_opts(f->program, &opts), 0);
	classifier_counters(f->c, after);
	f->len = opts.data_size_out - ETH_HLEN;
	for (int i = CLASSIFIER_SEEN + 1; i < CLASSIFIER_COUNTERS; i++)
		moved |= (uint32_t)(after[i] - before[i] == 1) << i;
	f->verdict = (int)opts.retval;
	return moved;
}

static uint32_t run(struct fixture *f, const uint8_t *packet, size_t len)
{
	classifier_heartbeat(f->c);
	return run_as_is(f, packet, len);
}

#define BIT(counter) (1u << CLASSIFIER_##counter)

/* ---- the vectors ---- */

/* What the kernel's side is to do by itself. */
static bool is_simple(const struct vector *v, const struct packet *p)
{
	return !v->partial && !v->wrapped && !v->adjust_count && plan_has_ports(p->key.proto) && !p->fragment &&
	       !p->embedded && p->l4 == (p->key.family == 4 ? 20 : 40);
}

static uint32_t unasked(const struct packet *p)
{
	bool v4 = p->key.family == 4;

	/* Of IPv6 a fragment header behind other extensions is one of these. */
	if (v4 ? p->fragment && (p->data[0] & 0x0f) == 5 : p->data[6] == IPPROTO_FRAGMENT)
		return BIT(PLAN_FRAGMENT);
	return BIT(PLAN_OPTIONS);
}

static void check_vector(void *ctx, struct vector *v)
{
	struct fixture *f = ctx;
	uint8_t copy[sizeof(v->in)];
	struct packet p = {0};
	struct plantab_plan plan;
	uint32_t at, moved;
	bool simple;

	memcpy(copy, v->in, v->in_len);
	ck_assert_int_eq(packet_parse(&p, copy, v->in_len), PACKET_OK);
	if (!plan_has_ports(p.key.proto))
		return;
	simple = is_simple(v, &p);
	plan = plan_of(&p, &v->edit);
	at = plantab_put(f->plans, PLANTAB_NOWHERE, &plan, f);
	ck_assert_uint_ne(at, PLANTAB_NOWHERE);
	if (simple || p.fragment || p.l4 != (p.key.family == 4 ? 20 : 40)) {
		moved = run(f, v->in, v->in_len);
		ck_assert_msg(moved == (simple ? BIT(PLAN) : BIT(PASSED) | unasked(&p)), "%s: %x", v->name, moved);
		ck_assert_int_eq(f->verdict, TC_ACT_UNSPEC);
		ck_assert_uint_eq(f->len, v->in_len);
		ck_assert_msg(!memcmp(f->frame + ETH_HLEN, simple ? v->out : v->in, v->in_len), "%s", v->name);
		ck_assert_uint_eq(plantab_take(f->plans, at).packets, simple);
		f->run += simple;
	}
	plantab_remove(f->plans, at);
}

START_TEST(test_ACT_1_KEY_3_vectors_in_the_kernel)
{
	struct fixture f;

	begin(&f);
	vectors_each(check_vector, &f);
	ck_assert_uint_gt(f.run, 300);
	end(&f);
}
END_TEST

/* ---- what goes up ---- */

static const struct netns_packet tcp4 = {"192.0.2.1", "203.0.113.10", IPPROTO_TCP, 40000, 80, .ttl = 64};
static const struct netns_packet tcp6 = {"2001:db8::1", "2001:db8:113::10", IPPROTO_TCP, 40000, 80, .ttl = 64};

static uint32_t run_described(struct fixture *f, const struct netns_packet *d, uint8_t flags)
{
	uint8_t packet[FRAME];
	size_t len = netns_build(d, packet);

	if (d->proto == IPPROTO_TCP && flags)
		packet[(packet[0] >> 4 == 4 ? 20 : 40) + 13] = flags;
	return run(f, packet, len);
}

static struct plantab_plan place(struct fixture *f, const struct netns_packet *d)
{
	struct plan_edit edit = {.set = PLAN_DPORT, .family = 4, .dport = 8080};
	struct plantab_plan plan;
	uint8_t packet[FRAME];
	struct packet p = {0};

	ck_assert_int_eq(packet_parse(&p, packet, netns_build(d, packet)), PACKET_OK);
	plan = plan_of(&p, &edit);
	f->at = plantab_put(f->plans, PLANTAB_NOWHERE, &plan, f);
	ck_assert_uint_ne(f->at, PLANTAB_NOWHERE);
	return plan;
}

START_TEST(test_FA_6_what_goes_up)
{
	struct fixture f;
	const struct netns_packet *both[] = {&tcp4, &tcp6};

	begin(&f);
	for (int i = 0; i < 2; i++) {
		struct netns_packet d = *both[i];
		struct plantab_plan plan = place(&f, &d);

		ck_assert_uint_eq(run_described(&f, &d, 0x10), BIT(PLAN));
		/* ACT-6: FIN and RST, and data */
		plan.up = 0x01 | 0x04 | PLANSLOT_DATA;
		plantab_put(f.plans, f.at, &plan, &f);
		ck_assert_uint_eq(run_described(&f, &d, 0x10), BIT(PLAN));
		ck_assert_uint_eq(run_described(&f, &d, 0x11), BIT(PLAN_INTEREST) | BIT(PASSED));
		ck_assert_uint_eq(run_described(&f, &d, 0x14), BIT(PLAN_INTEREST) | BIT(PASSED));
		d.payload = 1;
		ck_assert_uint_eq(run_described(&f, &d, 0x10), BIT(PLAN_INTEREST) | BIT(PASSED));
		plan.up = 0;
		plantab_put(f.plans, f.at, &plan, &f);
		/* FA-7 */
		d.ttl = 1;
		ck_assert_uint_eq(run_described(&f, &d, 0x10), BIT(PLAN_TTL) | BIT(PASSED));
		d.ttl = 2;
		ck_assert_uint_eq(run_described(&f, &d, 0x10), BIT(PLAN));
		/* PREC-10 */
		plantab_renew(f.plans);
		ck_assert_uint_eq(run_described(&f, &d, 0x10), BIT(PLAN_STALE) | BIT(PASSED));
		/* FIX-5 */
		plan.expires_ms = now_ms() - 20;
		plantab_put(f.plans, f.at, &plan, &f);
		ck_assert_uint_eq(run_described(&f, &d, 0x10), BIT(PLAN_EXPIRED) | BIT(PASSED));
		/* Only what was carried out is counted. */
		ck_assert_uint_eq(plantab_take(f.plans, f.at).packets, 3);
		plantab_remove(f.plans, f.at);
		ck_assert_uint_eq(run_described(&f, &d, 0x10), BIT(PASSED));
	}
	end(&f);
}
END_TEST

START_TEST(test_FA_7_too_large_goes_up)
{
	struct netns_packet d = tcp6;
	struct fixture f;

	begin(&f);
	place(&f, &tcp6);
	place(&f, &tcp4);
	d.payload = 1440;
	ck_assert_uint_eq(run_described(&f, &d, 0), BIT(PLAN));
	d.payload = 1441;
	ck_assert_uint_eq(run_described(&f, &d, 0), BIT(PLAN_MTU) | BIT(PASSED));
	d = tcp4;
	d.payload = 1461; /* without DF: the kernel cuts it */
	ck_assert_uint_eq(run_described(&f, &d, 0), BIT(PLAN));
	d.fragmented = true;
	d.fragment = 0x4000;
	ck_assert_uint_eq(run_described(&f, &d, 0), BIT(PLAN_MTU) | BIT(PASSED));
	end(&f);
}
END_TEST

/* ---- ways ---- */

static void add_neighbour(void)
{
	netns_run("ip link add w0 type veth peer name w1");
	netns_run("ip link set w0 mtu 1600");
	netns_run("ip addr add 10.9.0.1/24 dev w0");
	netns_run("ip addr add fd09::1/64 dev w0 nodad");
	netns_run("ip link set w0 up");
	netns_run("ip link set w1 up");
	netns_run("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
}

START_TEST(test_FIX_2_FA_7_to_a_next_hop)
{
	const struct netns_packet *both[] = {&tcp4, &tcp6};
	struct fixture f;

	begin(&f);
	add_neighbour();
	for (int i = 0; i < 2; i++) {
		struct netns_packet d = *both[i];
		struct plantab_plan plan = place(&f, &d);
		uint32_t ip = i ? 40 : 20;

		plan.next_hop = netns_addr(i ? "fd09::3" : "10.9.0.3");
		plantab_put(f.plans, f.at, &plan, &f);
		ck_assert_uint_eq(run_described(&f, &d, 0x10), BIT(PLAN) | BIT(FORWARDED));
		ck_assert_int_eq(f.verdict, TC_ACT_REDIRECT);
		ck_assert_uint_eq(f.frame[ETH_HLEN + (i ? 7 : 8)], 63);
		ck_assert_uint_eq(f.frame[ETH_HLEN + ip + 2] << 8 | f.frame[ETH_HLEN + ip + 3], 8080);
		if (!i)
			ck_assert_uint_eq(checksum_fold(checksum_add(0, f.frame + ETH_HLEN, 20)), 0xffff);
		/* The kernel does not cut it: the agent does. */
		d.payload = 1500;
		ck_assert_uint_eq(run_described(&f, &d, 0x10), BIT(PLAN_MTU) | BIT(PASSED));
		d.payload = 0;
		/* What is at its end goes up, and the other next hop has its own way. */
		d.ttl = 1;
		ck_assert_uint_eq(run_described(&f, &d, 0x10), BIT(PLAN_TTL) | BIT(PASSED));
		d.ttl = 64;
		plan.next_hop = netns_addr(i ? "fd0a::3" : "10.10.0.3"); /* nowhere */
		plantab_put(f.plans, f.at, &plan, &f);
		ck_assert_uint_eq(run_described(&f, &d, 0x10), BIT(PLAN) | BIT(DROPPED_NO_ROUTE));
		ck_assert_int_eq(f.verdict, TC_ACT_SHOT);
		plan.next_hop = (struct addr){0};
		plantab_put(f.plans, f.at, &plan, &f);
		ck_assert_uint_eq(run_described(&f, &d, 0x10), BIT(PLAN));
		ck_assert_int_eq(f.verdict, TC_ACT_UNSPEC);
	}
	end(&f);
}
END_TEST

/* The kernel does not see it, so nobody else would. */
START_TEST(test_FA_7_bad_sum_does_not_reach_the_next_hop)
{
	struct plantab_plan plan;
	uint8_t packet[FRAME];
	struct fixture f;
	size_t len;

	begin(&f);
	add_neighbour();
	plan = place(&f, &tcp4);
	plan.next_hop = netns_addr("10.9.0.3");
	plantab_put(f.plans, f.at, &plan, &f);
	len = netns_build(&tcp4, packet);
	packet[10] ^= 1;
	ck_assert_uint_eq(run(&f, packet, len), BIT(PLAN) | BIT(DROPPED_SUM));
	ck_assert_int_eq(f.verdict, TC_ACT_SHOT);
	end(&f);
}
END_TEST

START_TEST(test_FIX_3_drops)
{
	const struct netns_packet *both[] = {&tcp4, &tcp6};
	struct fixture f;

	begin(&f);
	for (int i = 0; i < 2; i++) {
		struct netns_packet d = *both[i];
		struct plantab_plan plan = place(&f, &d);

		plan.drop = true;
		plantab_put(f.plans, f.at, &plan, &f);
		d.ttl = 1; /* dropped first */
		d.payload = 1500;
		ck_assert_uint_eq(run_described(&f, &d, 0x10), BIT(PLAN));
		ck_assert_int_eq(f.verdict, TC_ACT_SHOT);
		ck_assert_uint_eq(plantab_take(f.plans, f.at).packets, 1);
		/* Somebody looks on: the agent shows it. */
		classifier_show_drops(f.c, true);
		ck_assert_uint_eq(run_described(&f, &d, 0x10), BIT(PLAN_INTEREST) | BIT(PASSED));
		classifier_show_drops(f.c, false);
		ck_assert_uint_eq(plantab_take(f.plans, f.at).packets, 0);
	}
	end(&f);
}
END_TEST

START_TEST(test_FA_6_plans_outlive_the_agent)
{
	struct fixture f;
	struct plantab_plan plan;

	begin(&f);
	plan = place(&f, &tcp4);
	plan.up = 1;
	plantab_put(f.plans, f.at, &plan, &f);
	for (int round = 0; round < 2; round++) {
		uint8_t frame[FRAME] = {[12] = 0x08};
		LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_out = frame, .data_size_out = FRAME,
			    .repeat = 1);
		uint64_t counters[CLASSIFIER_COUNTERS];
		uint64_t was;

		classifier_counters(f.c, counters);
		was = counters[CLASSIFIER_PLAN];
		opts.data_size_in = (uint32_t)(ETH_HLEN + netns_build(&tcp4, frame + ETH_HLEN));
		frame[ETH_HLEN + 20 + 13] = 0x11; /* FIN: nobody can be told any more */
		classifier_silence(f.c);
		ck_assert_int_eq(bpf_prog_test_run_opts(f.program, &opts), 0);
		classifier_counters(f.c, counters);
		/* What a manager would have to decide about is not for a plan alone. */
		ck_assert_uint_eq(counters[CLASSIFIER_PLAN], was + (round == 0));
		ck_assert_uint_eq(counters[CLASSIFIER_STALE], round);
		plan.asks = true;
		plantab_put(f.plans, f.at, &plan, &f);
	}
	end(&f);
}
END_TEST

/* ---- beside what wildcards say ---- */

/* TCP to port 80 of anything. */
static struct classifier_key cover_web(struct fixture *f, uint8_t family, uint16_t flags)
{
	const struct classifier_shape shape = {
		.family = family, .proto_mask = 0xff, .dport_mask = 0xffff, .flags = flags};
	const struct classifier_key key = {.family = family, .proto = IPPROTO_TCP, .dport = 80, .shape = family};

	ck_assert(classifier_shape(f->c, family, &shape));
	ck_assert(classifier_wildcard_add(f->c, &key));
	return key;
}

/* Too many ask: that is for those that would come up. */
START_TEST(test_FA_5_what_has_a_plan_is_not_shed)
{
	const struct netns_packet *both[] = {&tcp4, &tcp6};
	struct fixture f;

	begin(&f);
	for (int i = 0; i < 2; i++) {
		const struct classifier_shed nothing = {.until_ns = (now_ms() + 1000000) * 1000000,
							.each_ns = 1000000000000,
							.share_ns = 1000000000000,
							.asks = 0x8000};
		struct classifier_key key = cover_web(&f, i ? 6 : 4, 0);
		struct plantab_plan plan = place(&f, both[i]);
		struct netns_packet other = *both[i];

		plan.up = 0x02;
		plan.asks = true;
		plantab_put(f.plans, f.at, &plan, &f);
		classifier_shed(f.c, &key, &nothing);
		other.sport++;
		while (run_described(&f, &other, 0x10) == BIT(PUNTED_WILDCARD))
			;
		ck_assert_uint_eq(run_described(&f, &other, 0x10), BIT(DROPPED_SHED));
		ck_assert_uint_eq(run_described(&f, both[i], 0x10), BIT(PLAN));
		/* A question of its. */
		ck_assert_uint_eq(run_described(&f, both[i], 0x12), BIT(PLAN_INTEREST) | BIT(DROPPED_SHED));
		ck_assert_uint_eq(run_described(&f, both[i], 0x10), BIT(PLAN));
	}
	end(&f);
}
END_TEST

START_TEST(test_FA_6_what_is_dropped_without_an_agent)
{
	const struct netns_packet *both[] = {&tcp4, &tcp6};
	uint8_t packet[FRAME];
	struct fixture f;

	begin(&f);
	classifier_gone_until(f.c, now_ms() + 1000000);
	for (int i = 0; i < 2; i++) {
		struct plantab_plan plan = place(&f, both[i]);
		size_t len = netns_build(both[i], packet);
		struct classifier_key key = cover_web(&f, i ? 6 : 4, CLASSIFIER_SHAPE_DROP_GONE);

		ck_assert(classifier_wildcard_gone(f.c, &key, now_ms() + 1000000));
		classifier_silence(f.c);
		ck_assert_uint_eq(run_as_is(&f, packet, len), BIT(PLAN)); /* as a manager said */
		plan.needs_agent = true;
		plantab_put(f.plans, f.at, &plan, &f);
		ck_assert_uint_eq(run_as_is(&f, packet, len), BIT(DROPPED_GONE));
		ck_assert_int_eq(f.verdict, TC_ACT_SHOT);
		ck_assert_uint_eq(run(&f, packet, len), BIT(PLAN));
		ck_assert_uint_eq(plantab_take(f.plans, f.at).packets, 2);
	}
	end(&f);
}
END_TEST

/* ---- figures, when asked for: TURNOUT_BENCH=1 build/release/fad/fastpath_test ---- */

static void time_one(struct fixture *f, const struct netns_packet *d, const char *what)
{
	uint32_t best = UINT32_MAX;

	for (int i = 0; i < 15; i++) {
		uint8_t frame[FRAME] = {[12] = d == &tcp6 ? 0x86 : 0x08, [13] = d == &tcp6 ? 0xdd : 0x00};
		LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_out = frame, .data_size_out = FRAME,
			    .repeat = 300000);

		opts.data_size_in = (uint32_t)(ETH_HLEN + netns_build(d, frame + ETH_HLEN));
		classifier_heartbeat(f->c);
		ck_assert_int_eq(bpf_prog_test_run_opts(f->program, &opts), 0);
		best = opts.duration < best ? opts.duration : best;
	}
	printf("IPv%c, %-50s %4u ns\n", d == &tcp6 ? '6' : '4', what, best);
}

static void time_family(const struct netns_packet *d)
{
	struct plan_edit all = {.set = PLAN_SRC | PLAN_DST | PLAN_SPORT | PLAN_DPORT, .sport = 40000, .dport = 80};
	struct netns_packet other = *d;
	struct plantab_plan plan;
	struct fixture f;

	begin(&f);
	time_one(&f, d, "no plan, asked further, nothing matches");
	other.sport++;
	place(&f, &other);
	time_one(&f, d, "the same, plans of others in the table");
	/* To what it was, so that each round is the same. */
	plan = place(&f, d);
	all.family = plan.key.family;
	memcpy(all.src, plan.key.src, 16);
	memcpy(all.dst, plan.key.dst, 16);
	plan.edit = all;
	plan.delta = plan_edit_delta(&all, &plan.key);
	plantab_put(f.plans, f.at, &plan, &f);
	time_one(&f, d, "plan that sets all four fields");
	plan.edit.set = 0;
	plantab_put(f.plans, f.at, &plan, &f);
	time_one(&f, d, "plan without edits");
	plan.drop = true;
	plantab_put(f.plans, f.at, &plan, &f);
	time_one(&f, d, "plan that drops");
	uncover(&f);
	plantab_remove(f.plans, f.at);
	time_one(&f, d, "none of its bits is set");
	end(&f);
}

START_TEST(figures)
{
	time_family(&tcp4);
	time_family(&tcp6);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fastpath");
	TCase *t = tcase_create("fastpath");

	tcase_add_test(t, test_ACT_1_KEY_3_vectors_in_the_kernel);
	tcase_add_test(t, test_FA_6_what_goes_up);
	tcase_add_test(t, test_FA_7_too_large_goes_up);
	tcase_add_test(t, test_FIX_2_FA_7_to_a_next_hop);
	tcase_add_test(t, test_FA_7_bad_sum_does_not_reach_the_next_hop);
	tcase_add_test(t, test_FIX_3_drops);
	tcase_add_test(t, test_FA_6_plans_outlive_the_agent);
	tcase_add_test(t, test_FA_5_what_has_a_plan_is_not_shed);
	tcase_add_test(t, test_FA_6_what_is_dropped_without_an_agent);
	if (getenv("TURNOUT_BENCH"))
		tcase_add_test(t, figures);
	tcase_set_timeout(t, 120);
	suite_add_tcase(s, t);
	return check_main(s);
}
