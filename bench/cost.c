/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a program costs a packet, by BPF_PROG_TEST_RUN, packets of numbered
 * flows in random order; in the router's namespace.
 *
 *     cost tc INTERFACE PRIORITY nat|wild ADDRESS SERVER COUNT REPEAT ROUNDS
 *
 * Measures in turn: the empty program; the NAT program with a BPF hash map (of
 * kind nat only); and the one that is attached to the interface with that
 * handle and priority, as it is, with the tables of its daemon.  Prints a line
 * of JSON a round, in ns a packet, harness included.  A program that does not
 * do what it should is an error.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/pkt_cls.h>
#include <stdbool.h>

#include "bench/flows.h"
#include "bench/cost.h"
#include "bench/tools.h"
#include "bench/cost.skel.h"

#define HASHED   (1u << 20) /* flows in the hash map, whatever number is asked for */
#define BATCH    4096
#define TRIED    1000u
#define PATIENCE 10 /* seconds */
#define DST      30 /* in the frame: destination address, port */
#define DPORT    36

struct cost {
	struct cost_bpf *bpf;
	uint32_t ifindex;
	int turnout; /* the program */
	bool wild;
	struct in_addr vip, server;
	uint32_t count, repeat;
};

static void fill_hash(const struct cost *c, uint32_t count)
{
	struct nat_key *keys = calloc(BATCH, sizeof(*keys));
	struct nat_value *values = calloc(BATCH, sizeof(*values));

	if (!keys || !values)
		tools_fail("hash", ENOMEM);
	for (uint32_t n = 0; n < count;) {
		uint32_t room = count - n < BATCH ? count - n : BATCH;

		for (uint32_t i = 0; i < room; i++, n++) {
			const struct flow f = flows_get(FLOWS_NAT, n, ntohl(c->vip.s_addr), FLOWS_PORT);

			keys[i] = (struct nat_key){htonl(f.src), htonl(f.dst), htons(f.sport), htons(f.dport),
						   IPPROTO_UDP};
			values[i] = (struct nat_value){c->server.s_addr, htons(FLOWS_REAL_PORT), 0};
		}
		if (bpf_map_update_batch(bpf_map__fd(c->bpf->maps.nat), keys, values, &room, NULL) < 0)
			tools_fail("hash", errno);
	}
	free(keys);
	free(values);
}

static void attached(struct cost *c, uint32_t priority)
{
	DECLARE_LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)c->ifindex, .attach_point = BPF_TC_INGRESS);
	DECLARE_LIBBPF_OPTS(bpf_tc_opts, opts, .handle = priority, .priority = priority);
	int r = bpf_tc_query(&hook, &opts);

	if (r < 0)
		tools_fail("no program is attached", r);
	c->turnout = bpf_prog_get_fd_by_id(opts.prog_id);
	if (c->turnout < 0)
		tools_fail("the attached program", errno);
}

/* ns a packet; the last frame is left in `frame`, its verdict returned. */
static int measure(const struct cost *c, int program, uint32_t repeat, uint8_t *frame, double *ns)
{
	struct __sk_buff skb = {.ifindex = c->ifindex};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = FRAME_UDP, .data_out = frame,
		    .data_size_out = FRAME_UDP, .ctx_in = &skb, .ctx_size_in = sizeof(skb), .repeat = (int)repeat);
	const uint32_t zero = 0;
	int r;

	if (bpf_map_update_elem(bpf_map__fd(c->bpf->maps.target), &zero, &program, BPF_ANY) < 0)
		tools_fail("tail call", errno);
	r = bpf_prog_test_run_opts(bpf_program__fd(c->bpf->progs.drive), &opts);
	if (r < 0)
		tools_fail("run", r);
	*ns = opts.duration;
	return (int)opts.retval;
}

static void start_frame(const struct cost *c, uint8_t *frame)
{
	memset(frame, 0, FRAME_UDP);
	memcpy(frame, c->bpf->bss->settings.to, 6);
	frame[12] = 8;
}

static bool translated(const struct cost *c, const uint8_t *frame)
{
	const uint16_t port = htons(FLOWS_REAL_PORT);

	return !memcmp(frame + DST, &c->server, 4) && !memcmp(frame + DPORT, &port, 2);
}

/* One packet each of some flows: how many had done to them what is measured. */
static uint32_t good_of(const struct cost *c, int program, uint32_t tried)
{
	uint32_t good = 0;

	for (uint32_t i = 0; i < tried; i++) {
		uint8_t frame[FRAME_UDP];
		double ns;
		int verdict;

		start_frame(c, frame);
		verdict = measure(c, program, 1, frame, &ns);
		good += c->wild ? verdict == TC_ACT_REDIRECT : verdict == TC_ACT_UNSPEC && translated(c, frame);
	}
	return good;
}

/* A daemon that was just given much to do may need a while until its program does what it should. */
static void check(const struct cost *c, int program, const char *what)
{
	uint32_t good = 0;

	for (int i = 0; i < PATIENCE; i++) {
		good = good_of(c, program, TRIED);
		if (good >= TRIED * 99 / 100)
			return;
		tools_sleep_ns(1000000000u);
	}
	fprintf(stderr, "%s: did only %u of %u packets\n", what, good, TRIED);
	exit(1);
}

static double timed(const struct cost *c, int program)
{
	uint8_t frame[FRAME_UDP];
	double ns;

	start_frame(c, frame);
	measure(c, program, c->repeat, frame, &ns);
	return ns;
}

static void round_of(const struct cost *c)
{
	double empty = timed(c, bpf_program__fd(c->bpf->progs.nothing)), hash = 0;

	if (!c->wild)
		hash = timed(c, bpf_program__fd(c->bpf->progs.hash_nat));
	printf("{\"harness\": %.1f, \"bpf_hash\": %.1f, \"turnout\": %.1f}\n", empty, hash, timed(c, c->turnout));
	fflush(stdout);
}

static bool parse(struct cost *c, char **argv)
{
	c->ifindex = tools_ifindex(argv[2]);
	c->wild = !strcmp(argv[4], "wild");
	c->count = (uint32_t)strtoul(argv[7], NULL, 10);
	c->repeat = (uint32_t)strtoul(argv[8], NULL, 10);
	return !strcmp(argv[1], "tc") && inet_pton(AF_INET, argv[5], &c->vip) == 1 &&
	       inet_pton(AF_INET, argv[6], &c->server) == 1 && c->count && c->count <= HASHED && c->repeat;
}

static void prepare(struct cost *c, const char *interface)
{
	struct frame_settings *s;

	c->bpf = cost_bpf__open_and_load();
	if (!c->bpf)
		tools_fail("loading", errno);
	s = &c->bpf->bss->settings;
	s->random = tools_now_ns() | 1;
	tools_mac(interface, s->to);
	s->kind = c->wild ? FLOWS_WILD : FLOWS_NAT;
	s->dst = ntohl(c->vip.s_addr);
	s->dport = FLOWS_PORT;
	s->count = c->count;
	if (!c->wild)
		fill_hash(c, HASHED);
}

int main(int argc, char **argv)
{
	struct cost c = {0};

	if (argc != 10 || !parse(&c, argv)) {
		fputs("usage: cost tc INTERFACE PRIORITY nat|wild ADDRESS SERVER COUNT REPEAT ROUNDS\n", stderr);
		return 2;
	}
	prepare(&c, argv[2]);
	attached(&c, (uint32_t)strtoul(argv[3], NULL, 0));
	check(&c, c.turnout, "the attached program");
	if (!c.wild)
		check(&c, bpf_program__fd(c.bpf->progs.hash_nat), "the hash map's program");
	for (unsigned long i = strtoul(argv[9], NULL, 10); i; i--)
		round_of(&c);
	close(c.turnout);
	cost_bpf__destroy(c.bpf);
	return 0;
}
