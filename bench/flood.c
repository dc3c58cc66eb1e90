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
 *                                     RATE: packets a second, WINDOW: so many at most on their way; 0: any.
 *                                     Both 0, of UDP only: all that goes, made in the kernel
 *     trace                           numbers of flows as they arrived since the last `trace`, the first 4096
 *
 * Must not know what lies between.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <limits.h>
#include <linux/if_packet.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>

#include "bench/frame.h"
#include "bench/tools.h"
#include "bench/traffic.skel.h"

#define BATCH     64
#define SETTLE_NS 100000000u
#define WAIT_NS   50000u
#define LOST_NS   200000000u /* what has not arrived after so long never will */

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

struct measured {
	struct arrived before, after;
	uint64_t begin, ns;
	uint64_t sent, lost; /* 0 where nobody counts */
};

struct sender {
	int fd;
	struct mmsghdr out[BATCH];
	struct iovec io[BATCH];
	uint8_t frames[BATCH][128] __attribute__((aligned(8)));
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

static struct measured measure_begin(const struct flood *f)
{
	return (struct measured){.before = arrived(f), .begin = tools_now_ns()};
}

static void measure_end(const struct flood *f, struct measured *m)
{
	m->after = arrived(f);
	m->ns = tools_now_ns() - m->begin;
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

/* ---- all that goes, in the kernel ---- */

static void *generate(void *ctx)
{
	const struct flood *f = ctx;
	uint8_t frame[FRAME_UDP] = {0};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = sizeof(frame), .repeat = INT_MAX,
		    .flags = BPF_F_TEST_XDP_LIVE_FRAMES);

	/* Until there is a signal. */
	return (void *)(long)bpf_prog_test_run_opts(bpf_program__fd(f->bpf->progs.generate), &opts);
}

/* Counted while the generator runs: neither its start nor its end are in it, which take the kernel 20 ms each. */
static struct measured run_flat_out(struct flood *f, const struct order *o)
{
	struct measured m;
	pthread_t thread;
	void *end;
	int r = pthread_create(&thread, NULL, generate, f);

	if (r)
		tools_fail("thread", r);
	tools_sleep_ns(SETTLE_NS);
	m = measure_begin(f);
	tools_sleep_ns((uint64_t)(o->seconds * 1e9));
	measure_end(f, &m);
	pthread_kill(thread, SIGUSR1);
	pthread_join(thread, &end);
	if ((long)end != -EINTR)
		tools_fail("generator", (int)(long)end);
	return m;
}

/* ---- so many, from user space ---- */

static void open_sender(struct sender *s, uint32_t ifindex)
{
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = (int)ifindex};
	const int one = 1;

	memset(s, 0, sizeof(*s));
	s->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (s->fd < 0 || bind(s->fd, (struct sockaddr *)&to, sizeof(to)) < 0 ||
	    setsockopt(s->fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one)) < 0)
		tools_fail("sender", errno);
	for (int i = 0; i < BATCH; i++) {
		s->io[i].iov_base = s->frames[i];
		s->out[i].msg_hdr.msg_iov = &s->io[i];
		s->out[i].msg_hdr.msg_iovlen = 1;
	}
}

static void emit(const struct flood *f, struct sender *s, bool syn)
{
	struct frame_settings *settings = &f->bpf->bss->settings;

	for (int i = 0; i < BATCH; i++) {
		struct ethhdr *eth = (struct ethhdr *)s->frames[i];
		const struct flow flow =
			flows_get(settings->kind, frame_number(settings), settings->dst, (uint16_t)settings->dport);

		s->io[i].iov_len = syn ? FRAME_TCP : FRAME_UDP;
		(syn ? frame_syn : frame_udp)(settings, eth, &flow);
	}
	for (int sent = 0, r; sent < BATCH; sent += r)
		if ((r = sendmmsg(s->fd, s->out + sent, (unsigned)(BATCH - sent), 0)) <= 0 && (r = 1) &&
		    errno != ENOBUFS)
			tools_fail("sending", errno);
}

/* Wait until there is room for a batch.  What has not arrived for a while got lost: there is room again. */
static void wait_window(const struct flood *f, const struct order *o, struct measured *m)
{
	uint64_t last = 0, since = tools_now_ns();

	for (;;) {
		struct arrived a = arrived(f);
		uint64_t there = a.good + a.other - m->before.good - m->before.other, now = tools_now_ns();

		if (there + m->lost + o->window >= m->sent + BATCH)
			return;
		if (there != last) {
			last = there;
			since = now;
		} else if (now - since > LOST_NS) {
			m->lost = m->sent - there;
			return;
		}
		tools_sleep_ns(WAIT_NS); /* others need the processor */
	}
}

static struct measured run_paced(struct flood *f, const struct order *o)
{
	struct measured m;
	struct sender s;
	uint64_t end, now;

	open_sender(&s, f->bpf->bss->settings.ifindex);
	m = measure_begin(f);
	end = m.begin + (uint64_t)(o->seconds * 1e9);
	while ((now = tools_now_ns()) < end) {
		uint64_t due = o->rate > 0 ? m.begin + (uint64_t)((double)m.sent * 1e9 / o->rate) : now;

		if (due > now) {
			tools_sleep_ns(due - now);
			continue;
		}
		if (o->window)
			wait_window(f, o, &m);
		emit(f, &s, o->syn);
		m.sent += BATCH;
	}
	measure_end(f, &m);
	close(s.fd);
	return m;
}

static void report(struct flood *f, const struct order *o)
{
	struct measured m = o->rate > 0 || o->window ? run_paced(f, o) : run_flat_out(f, o);

	printf("{\"sent\": %llu, \"lost\": %llu, \"seconds\": %.6f, \"good\": %llu, \"other\": %llu}\n",
	       (unsigned long long)m.sent, (unsigned long long)m.lost, (double)m.ns / 1e9,
	       (unsigned long long)(m.after.good - m.before.good),
	       (unsigned long long)(m.after.other - m.before.other));
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
	if (o.syn && o.rate <= 0 && !o.window)
		return false;
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

static void on_signal(int number)
{
	(void)number;
}

int main(int argc, char **argv)
{
	const struct sigaction action = {.sa_handler = on_signal};
	struct flood f = {.processors = libbpf_num_possible_cpus()};
	char line[512];

	if (argc != 3 || f.processors < 1 || f.processors > 256) {
		fputs("usage: flood CLIENT-NAMESPACE SERVER-NAMESPACE\n", stderr);
		return 2;
	}
	f.client = argv[1];
	f.server = argv[2];
	sigaction(SIGUSR1, &action, NULL);
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
