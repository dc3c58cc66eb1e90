/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A manager that knows nothing but numbered flows: gives one agent any number
 * of affinities by the real protocol, and ends.
 *
 *     load ADDRESS AGENT KEY-FILE RATE fixed COUNT VIP SERVER
 *     load ADDRESS AGENT KEY-FILE RATE wildcards COUNT SHAPES
 *
 * The fixed ones translate flow n to the server's address and port.  Wildcard n
 * is for a destination of its own; SHAPES: how many different masks they have.
 * RATE: messages a second.  Must not know what an agent does with them.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>

#include "bench/flows.h"
#include "bench/tools.h"
#include "lib/daemon.h"
#include "lib/endpoint_io.h"
#include "lib/exitcode.h"
#include "lib/log.h"

#define IDENTITY   0x7e57
#define TTL        7200
#define TICK_US    1000
#define CALL_US    300000
#define MAX_SHAPES 40
#define PORT       7519

struct load {
	sd_event *loop;
	struct endpoint *endpoint;
	struct endpoint_peer agent;
	bool wildcards;
	uint32_t count, shapes, next, per_tick;
	uint32_t vip;
	struct addr server;
};

static void put4(uint8_t *to, uint32_t host)
{
	const uint32_t net = htonl(host);

	memcpy(to, &net, 4);
}

static bool send_fixed(const struct load *l, uint32_t n)
{
	const struct flow f = flows_get(FLOWS_NAT, n, l->vip, FLOWS_PORT);
	struct wire_msg m;

	wire_start(&m, WIRE_FIXED_UPDATE);
	m.fixed.key = (struct flow_key){.family = 4, .proto = IPPROTO_UDP, .sport = f.sport, .dport = f.dport};
	put4(m.fixed.key.src, f.src);
	put4(m.fixed.key.dst, f.dst);
	m.fixed.ttl = TTL;
	wire_set(&m, WIRE_SEG_FIXED, true);
	m.nat_count = 1;
	m.nat[0] = (struct wire_nat){.set = WIRE_NAT_DST | WIRE_NAT_DPORT, .dst = l->server, .dport = FLOWS_REAL_PORT};
	wire_set(&m, WIRE_SEG_NAT, true);
	return endpoint_send(l->endpoint, &l->agent, &m);
}

/* Shape s: eight lengths of the destination's mask, and which of source, ports are given. */
static void fill_wildcard(struct wire_msg *m, uint32_t n, uint32_t shape, uint32_t ttl)
{
	const struct flow f = flows_get(FLOWS_WILD, n, 0, 0);
	struct wire_wildcard *w = &m->wildcard;
	uint32_t more = shape / 8;

	wire_start(m, WIRE_WILDCARD_UPDATE);
	w->family = 4;
	w->proto = IPPROTO_UDP;
	w->ttl = ttl;
	put4(w->dst, f.dst);
	put4(w->dst_mask, 0xffffffffu << (7 - shape % 8));
	w->dport = more == 1 || more == 3 ? f.dport : 0;
	w->sport = more == 2 || more == 3 ? f.sport : 0;
	if (more == 4) {
		put4(w->src, f.src);
		put4(w->src_mask, 0xffff0000u);
	}
	wire_set(m, WIRE_SEG_WILDCARD, true);
}

static bool send_wildcard(const struct load *l, uint32_t n)
{
	struct wire_msg m;

	fill_wildcard(&m, n, n % l->shapes, TTL);
	return endpoint_send(l->endpoint, &l->agent, &m);
}

/* Deletes what is not there, so that the agent asks who we are. */
static int on_call(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct load *l = userdata;
	struct wire_msg m;

	if (l->agent.identity)
		return 0;
	fill_wildcard(&m, 0, 0, 0);
	endpoint_send_all(l->endpoint, &m);
	endpoint_flush(l->endpoint);
	sd_event_source_set_time(source, usec + CALL_US);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int on_time(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct load *l = userdata;

	for (uint32_t i = 0; i < l->per_tick && l->next < l->count; i++, l->next++)
		if (!(l->wildcards ? send_wildcard : send_fixed)(l, l->next))
			break;
	endpoint_flush(l->endpoint);
	if (l->next == l->count)
		return sd_event_exit(l->loop, 0);
	sd_event_source_set_time(source, usec + TICK_US);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static void on_peer_known(void *ctx, const struct endpoint_peer *peer)
{
	struct load *l = ctx;

	if (l->agent.identity)
		return;
	l->agent = *peer;
	sd_event_add_time_relative(l->loop, NULL, CLOCK_MONOTONIC, 0, TICK_US, on_time, l);
}

static void on_message(void *ctx, const struct endpoint_peer *from, const struct wire_msg *m)
{
	(void)ctx;
	(void)from;
	if (m->h.type == WIRE_DENY)
		fprintf(stderr, "load: the agent denies: %s\n", m->error.text);
}

static void on_asks(void *ctx, const struct endpoint_peer *peer)
{
	(void)ctx;
	(void)peer;
}

static void on_undecodable(void *ctx, const struct endpoint_peer *from, const struct wire_msg *m,
			   const struct wire_diagnosis *why)
{
	(void)ctx;
	(void)from;
	(void)m;
	(void)why;
}

static const struct endpoint_handler handler = {
	.message = on_message, .peer_known = on_peer_known, .peer_asks = on_asks, .undecodable = on_undecodable};

static bool parse(struct load *l, struct endpoint_conf *c, struct conf_endpoint *agent, int argc, char **argv)
{
	struct addr vip;

	if (argc < 8 || !addr_parse(argv[1], &c->address) || !addr_parse(argv[2], &agent->addr))
		return false;
	agent->port = WIRE_PORT;
	l->per_tick = (uint32_t)strtoul(argv[4], NULL, 10) / (1000000 / TICK_US);
	l->count = (uint32_t)strtoul(argv[6], NULL, 10);
	l->wildcards = !strcmp(argv[5], "wildcards");
	if (!l->per_tick || !l->count)
		return false;
	if (l->wildcards) {
		l->shapes = (uint32_t)strtoul(argv[7], NULL, 10);
		return argc == 8 && l->shapes && l->shapes <= MAX_SHAPES;
	}
	if (argc != 9 || !addr_parse(argv[7], &vip) || !addr_parse(argv[8], &l->server))
		return false;
	memcpy(&l->vip, vip.b, 4);
	l->vip = ntohl(l->vip);
	return !strcmp(argv[5], "fixed");
}

int main(int argc, char **argv)
{
	struct conf_endpoint agent = {0};
	struct endpoint_conf conf = {.port = PORT, .group_port = WIRE_GROUP_PORT, .peers = {&agent, 1}};
	struct security_key_conf key = {.id = 1, .scheme = WIRE_SCHEME_HMAC_SHA256, .file = argc > 3 ? argv[3] : NULL};
	struct security_conf security = {.keys = {&key, 1}, .sign_with = 1};
	struct load l = {0};
	int status;

	if (!parse(&l, &conf, &agent, argc, argv)) {
		fputs("usage: load ADDRESS AGENT KEY-FILE RATE fixed COUNT VIP SERVER | wildcards COUNT SHAPES\n",
		      stderr);
		return EXITCODE_USAGE;
	}
	log_open("load", false);
	sd_event_default(&l.loop);
	status = endpoint_open(&l.endpoint, l.loop, IDENTITY, "load", &conf, &security, &handler, &l);
	if (status != EXITCODE_OK)
		return status;
	sd_event_add_time_relative(l.loop, NULL, CLOCK_MONOTONIC, 0, TICK_US, on_call, &l);
	status = sd_event_loop(l.loop);
	endpoint_close(l.endpoint);
	sd_event_unref(l.loop);
	return status < 0 ? EXITCODE_FAILURE : EXITCODE_OK;
}
