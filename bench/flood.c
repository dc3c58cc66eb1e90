/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Packet rates: sends numbered flows into the client's veth, and counts what
 * comes out at the server's.
 *
 *     flood CLIENT-NAMESPACE SERVER-NAMESPACE
 *
 * Takes commands, a line each, and answers each with a line of JSON:
 *
 *     sink INTERFACE                  count what arrives at this interface of the server
 *     send udp|syn INTERFACE MAC ADDRESS PORT FLOWS random|sequence SECONDS RATE WINDOW
 *                                     RATE: packets a second, 0: all that goes; WINDOW: so many at most on
 *                                     their way, 0: any number
 *     trace                           numbers of flows as they arrived since the last `trace`, the first 4096
 *
 * Must not know what lies between.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdbool.h>

#include "bench/flows.h"
#include "bench/tools.h"
#include "bench/traffic.skel.h"

#define ALL_AT_ONCE 65536
#define PACED       64
#define LOST_NS     20000000u /* what has not arrived after so long never will */

struct flood {
	const char *client, *server;
	struct traffic_bpf *bpf;
	int processors;
};

struct order {
	bool syn;
	uint32_t flows;
	double seconds, rate;
	uint64_t window;
};

struct arrived {
	uint64_t good, other;
};

static uint64_t total(const struct flood *f, uint32_t which)
{
	uint64_t values[256] = {0}, sum = 0;

	bpf_map_lookup_elem(bpf_map__fd(f->bpf->maps.arrived), &which, values);
	for (int i = 0; i < f->processors; i++)
		sum += values[i];
	return sum;
}

static struct arrived arrived(const struct flood *f)
{
	return (struct arrived){total(f, 0), total(f, 1)};
}

static void add_sink(struct flood *f, const char *interface)
{
	struct bpf_link *link;

	tools_enter(f->server);
	/* Held until this program ends. */
	link = bpf_program__attach_xdp(f->bpf->progs.sink, (int)tools_ifindex(interface));
	if (!link)
		tools_fail("the sink", errno);
	tools_enter(f->client);
	puts("{\"ok\": true}");
}

static void emit(const struct flood *f, const struct order *o, uint32_t count)
{
	uint8_t frame[FRAME_TCP] = {0};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = o->syn ? FRAME_TCP : FRAME_UDP,
		    .repeat = (int)count, .flags = BPF_F_TEST_XDP_LIVE_FRAMES);
	int fd = bpf_program__fd(o->syn ? f->bpf->progs.generate_syn : f->bpf->progs.generate_udp);
	int r = bpf_prog_test_run_opts(fd, &opts);

	if (r < 0)
		tools_fail("generator", r);
}

/* Wait until less than a window of packets is on its way.  What got lost is taken for arrived. */
static void wait_window(const struct flood *f, const struct order *o, uint64_t sent, uint64_t base, uint64_t *lost)
{
	uint64_t last = 0, since = tools_now_ns();

	for (;;) {
		struct arrived a = arrived(f);
		uint64_t there = a.good + a.other - base, now = tools_now_ns();

		if (there + *lost + o->window >= sent + PACED)
			return;
		if (there != last) {
			last = there;
			since = now;
		} else if (now - since > LOST_NS) {
			*lost = sent - there;
			return;
		}
		sched_yield();
	}
}

static uint64_t run(const struct flood *f, const struct order *o)
{
	struct arrived before = arrived(f);
	uint64_t begin = tools_now_ns(), end = begin + (uint64_t)(o->seconds * 1e9), base = before.good + before.other;
	uint32_t once = o->rate > 0 || o->window ? PACED : ALL_AT_ONCE;
	uint64_t sent = 0, lost = 0, now;

	while ((now = tools_now_ns()) < end) {
		uint64_t due = o->rate > 0 ? begin + (uint64_t)((double)sent * 1e9 / o->rate) : now;

		if (due > now) {
			tools_sleep_ns(due - now);
			continue;
		}
		if (o->window)
			wait_window(f, o, sent, base, &lost);
		emit(f, o, once);
		sent += once;
	}
	return sent;
}

static void report(const struct flood *f, const struct order *o)
{
	struct arrived before = arrived(f), after;
	uint64_t begin = tools_now_ns(), sent = run(f, o), ns = tools_now_ns() - begin;

	after = arrived(f);
	printf("{\"sent\": %llu, \"seconds\": %.6f, \"good\": %llu, \"other\": %llu}\n", (unsigned long long)sent,
	       (double)ns / 1e9, (unsigned long long)(after.good - before.good),
	       (unsigned long long)(after.other - before.other));
}

static bool read_mac(const char *text, uint8_t *mac)
{
	return sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac[0], &mac[1], &mac[2], &mac[3], &mac[4], &mac[5]) == 6;
}

static bool do_send(struct flood *f, const char *line)
{
	char kind[8], interface[32], mac[32], address[32], order[16];
	struct frame_settings *s = &f->bpf->bss->settings;
	struct order o = {0};
	struct in_addr dst;
	unsigned long long window;

	if (sscanf(line, "send %7s %31s %31s %31s %u %u %15s %lf %lf %llu", kind, interface, mac, address, &s->dport,
		   &o.flows, order, &o.seconds, &o.rate, &window) != 10 ||
	    !read_mac(mac, s->to) || inet_pton(AF_INET, address, &dst) != 1 || !o.flows)
		return false;
	o.syn = !strcmp(kind, "syn");
	o.window = window;
	s->ifindex = tools_ifindex(interface);
	tools_mac(interface, s->from);
	s->kind = FLOWS_NAT;
	s->dst = ntohl(dst.s_addr);
	s->count = o.flows;
	s->sequence = !strcmp(order, "sequence");
	if (s->next >= s->count)
		s->next = 0;
	report(f, &o);
	return true;
}

static void do_trace(struct flood *f)
{
	uint32_t count = f->bpf->bss->traced;

	putchar('[');
	for (uint32_t i = 0; i < count; i++)
		printf("%s%u", i ? ", " : "", f->bpf->bss->trace[i] & FLOWS_SRC_MASK);
	puts("]");
	f->bpf->bss->traced = 0;
	f->bpf->bss->tracing = 1;
}

static bool obey(struct flood *f, char *line)
{
	char interface[32];

	if (sscanf(line, "sink %31s", interface) == 1)
		add_sink(f, interface);
	else if (!strcmp(line, "trace\n"))
		do_trace(f);
	else
		return do_send(f, line);
	return true;
}

int main(int argc, char **argv)
{
	struct flood f = {.processors = libbpf_num_possible_cpus()};
	char line[512];

	if (argc != 3 || f.processors < 1 || f.processors > 256) {
		fputs("usage: flood CLIENT-NAMESPACE SERVER-NAMESPACE\n", stderr);
		return 2;
	}
	f.client = argv[1];
	f.server = argv[2];
	setvbuf(stdout, NULL, _IOLBF, 0);
	f.bpf = traffic_bpf__open_and_load();
	if (!f.bpf)
		tools_fail("loading", errno);
	f.bpf->bss->settings.random = tools_now_ns() | 1;
	tools_enter(f.client);
	while (fgets(line, sizeof(line), stdin))
		if (!obey(&f, line)) {
			fprintf(stderr, "flood: not understood: %s", line);
			return 2;
		}
	traffic_bpf__destroy(f.bpf);
	return 0;
}
