/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The real engine under tests/model: reads a scenario line by line on standard
 * input and prints what the engine did.  Messages go both ways as bytes of the
 * wire format, through the real codec.
 *
 *	new NAME=VALUE ...            another engine; limits and switches, see configure()
 *	at MS                         ticks every 50 ms up to this time, and one at it
 *	pkt IFINDEX OFFLOAD HEX       a packet from the classifier
 *	msg ADDR PORT COOKIE HEX      a message; COOKIE: number of the match whose FA interest data it brings, or -
 *	fail send|forward 0|1         from now on that call fails, or not
 *	state                         the tables
 *
 * OFFLOAD is `-` or partial,start,offset,size,type as in struct packet_offload.
 * After each command come its events, one a line, then `.`:
 *
 *	f NEXTHOP OFFLOAD HEX         forwarded
 *	s IDENTITY ADDR PORT HEX      sent
 *	a +|- PREFIX/LEN              advertised, withdrawn
 *	k +|- KEY                     flow told to the kernel
 *	e FAULT                       could not be decoded, or parsed
 *	c GROUP/NAME CHANGE           counters
 *	w, x, h, v                    a wildcard, a fixed affinity, the holds, a forward address: of `state`
 *
 * Must not know what is right: that is the model's.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fad/engine.h"
#include "proto/wire.h"

#define TICK_MS 50
#define COOKIES 4096

struct replay {
	struct engine *e;
	uint64_t now_ms, sequence;
	uint64_t before[ENGINE_COUNTER_COUNT];
	bool fail_send, fail_forward;
	bool ending; /* what the engine takes back at its end is not printed */
	struct {
		uint8_t data[WIRE_MAX_OPAQUE];
		uint16_t len;
	} cookies[COOKIES];
	size_t cookie_count;
	uint8_t out[WIRE_MAX];
};

/* ---- text ---- */

static unsigned digit(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	if (c < 'a' || c > 'f')
		abort(); /* a bug of the model's side */
	return (unsigned)(c - 'a') + 10;
}

/* Exactly as long as the bytes, so that a sanitizer sees a read beyond them. */
static uint8_t *bytes_of(const char *text, size_t *len)
{
	size_t n = strlen(text) / 2;
	uint8_t *out = malloc(n ? n : 1);

	if (!out)
		abort();
	for (size_t i = 0; i < n; i++)
		out[i] = (uint8_t)(digit(text[2 * i]) << 4 | digit(text[2 * i + 1]));
	*len = n;
	return out;
}

static void put_hex(const uint8_t *data, size_t len)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		putchar(digits[data[i] >> 4]);
		putchar(digits[data[i] & 15]);
	}
	putchar('\n');
}

static const char *next_word(char **rest)
{
	const char *word = strsep(rest, " ");

	if (!word) {
		fputs("replay: a word is missing\n", stderr);
		exit(2);
	}
	return word;
}

/* ---- the world ---- */

static bool on_forward(void *ctx, const struct packet *p, const struct addr *next_hop)
{
	const struct replay *r = ctx;
	const struct packet_offload *o = &p->offload;
	char text[ADDR_STRLEN];

	if (r->fail_forward)
		return false;
	printf("f %s ", next_hop ? addr_print(next_hop, text) : "-");
	if (o->partial || o->gso_size)
		printf("%d,%u,%u,%u,%u ", o->partial, o->csum_start, o->csum_offset, o->gso_size, o->gso_type);
	else
		printf("- ");
	put_hex(p->data, p->len);
	return true;
}

/* Of the size of ways nothing is said. */
static bool on_route(void *ctx, const struct addr *to, struct engine_route *out)
{
	(void)ctx;
	*out = (struct engine_route){0};
	return addr_parse(to->family == 4 ? "10.9.0.254" : "2001:db8:9::fe", &out->source);
}

static bool on_send(void *ctx, const struct endpoint_peer *to, struct wire_msg *m)
{
	struct replay *r = ctx;
	char text[ADDR_STRLEN];
	ssize_t len;

	if (r->fail_send)
		return false;
	m->h.source = 0xfad;
	m->h.incarnation = 1;
	m->h.destination = to->identity;
	m->h.sequence = ++r->sequence;
	len = wire_encode(m, r->out, sizeof(r->out));
	if (len < 0) {
		printf("e unencodable\n");
		return false;
	}
	if (m->h.type != WIRE_DENY && wire_has(m, WIRE_SEG_FA_DATA) && r->cookie_count < COOKIES) {
		r->cookies[r->cookie_count].len = m->fa_data.len;
		memcpy(r->cookies[r->cookie_count++].data, m->fa_data.data, m->fa_data.len);
	}
	printf("s %" PRIu64 " %s %u ", to->identity, addr_print(&to->addr, text), to->port);
	put_hex(r->out, (size_t)len);
	return true;
}

static bool on_shape(void *ctx, uint16_t number, const struct classifier_shape *shape)
{
	(void)ctx;
	(void)number;
	(void)shape;
	return true;
}

static bool on_key(void *ctx, const struct classifier_key *key, bool add)
{
	(void)ctx;
	(void)key;
	(void)add;
	return true;
}

static bool on_flow(void *ctx, const struct flow_key *key, bool add)
{
	const struct replay *r = ctx;

	if (r->ending)
		return true;
	printf("k %c ", add ? '+' : '-');
	put_hex((const uint8_t *)key, sizeof(*key));
	return true;
}

static void on_advertise(void *ctx, const struct addr *prefix, uint8_t plen, bool add)
{
	const struct replay *r = ctx;
	char text[ADDR_STRLEN];

	if (!r->ending)
		printf("a %c %s/%u\n", add ? '+' : '-', addr_print(prefix, text), plen);
}

static void on_manager(void *ctx, const struct endpoint_peer *peer, bool add)
{
	(void)ctx;
	(void)peer;
	(void)add;
}

static const struct engine_out world = {
	.forward = on_forward,
	.route = on_route,
	.send = on_send,
	.shape = on_shape,
	.key = on_key,
	.flow = on_flow,
	.advertise = on_advertise,
	.manager = on_manager,
};

/* ---- commands ---- */

/* Without a word: the limits of the daemon. */
static void configure(struct engine_conf *conf, const char *word)
{
	const char *value = strchr(word, '=');
	uint32_t number = value ? (uint32_t)strtoul(value + 1, NULL, 10) : 0;

#define IS(name) (!strncmp(word, name "=", sizeof(name)))
	if (IS("fixed"))
		conf->max_fixed = number;
	else if (IS("wildcards"))
		conf->max_wildcards = number;
	else if (IS("flows"))
		conf->hold.flows = number;
	else if (IS("packets"))
		conf->hold.packets = number;
	else if (IS("bytes"))
		conf->hold.bytes = number;
	else if (IS("uncovered"))
		conf->accept_uncovered = number;
	else if (IS("protected"))
		conf->permit_protected = number;
	else if (IS("authenticated"))
		conf->authenticated = number;
	else
		exit(2);
#undef IS
}

static void do_new(struct replay *r, char *rest)
{
	struct engine_conf conf = {
		.max_fixed = 1000,
		.max_wildcards = 1000,
		.hold = {.flows = 1000, .packets = 64, .bytes = 16 << 20},
		.hash_key = {1, 2},
		.cookie_key = {3, 4},
	};

	while (rest && *rest)
		configure(&conf, next_word(&rest));
	r->ending = true;
	if (r->e)
		engine_free(r->e);
	memset(r, 0, sizeof(*r));
	r->now_ms = 1000000;
	r->e = engine_new(&conf, &world, r);
	if (!r->e)
		abort();
	engine_tick(r->e, r->now_ms);
}

static void do_at(struct replay *r, char *rest)
{
	uint64_t end = strtoull(next_word(&rest), NULL, 10);
	uint64_t grid = r->now_ms - r->now_ms % TICK_MS;

	while ((grid += TICK_MS) < end)
		engine_tick(r->e, grid);
	r->now_ms = end;
	engine_tick(r->e, end);
}

static void do_packet(struct replay *r, char *rest)
{
	struct packet p = {.ifindex = (uint32_t)strtoul(next_word(&rest), NULL, 10)};
	const char *offload = next_word(&rest);
	unsigned partial, start, offset, size, type;
	enum packet_fault fault;
	size_t len;
	uint8_t *data = bytes_of(next_word(&rest), &len);

	fault = packet_parse(&p, data, len);
	if (fault == PACKET_OK)
		fault = packet_verify(&p);
	if (sscanf(offload, "%u,%u,%u,%u,%u", &partial, &start, &offset, &size, &type) == 5)
		p.offload = (struct packet_offload){partial,        (uint16_t)start, (uint16_t)offset,
						    (uint16_t)size, (uint8_t)type,   false};
	if (fault == PACKET_OK) {
		engine_packet(r->e, &p, r->now_ms);
	} else {
		printf("e %s\n", packet_fault_name(fault));
		engine_malformed(r->e, fault, data, (uint32_t)len);
	}
	free(data);
}

static void do_message(struct replay *r, char *rest)
{
	struct endpoint_peer from = {0};
	struct wire_diagnosis why = {0};
	struct wire_msg m = {0};
	const char *cookie;
	uint8_t *data;
	size_t len;

	if (!addr_parse(next_word(&rest), &from.addr))
		exit(2);
	from.port = (uint16_t)strtoul(next_word(&rest), NULL, 10);
	cookie = next_word(&rest);
	data = bytes_of(next_word(&rest), &len);
	wire_decode(data, len, &m, &why);
	from.identity = m.h.source;
	if (*cookie != '-') {
		size_t n = strtoul(cookie, NULL, 10);

		if (n < r->cookie_count)
			m.fa_data = (struct wire_blob){r->cookies[n].data, r->cookies[n].len};
		else
			printf("e no such cookie\n");
	}
	switch (why.fault) {
	case WIRE_OK:
		engine_message(r->e, &from, &m, r->now_ms);
		break;
	case WIRE_FAULT_REQUIRED:
		engine_undecodable(r->e, &from, &m, &why.unknown);
		break;
	default:
		printf("e %s\n", wire_fault_name(why.fault));
	}
	free(data);
}

static void do_fail(struct replay *r, char *rest)
{
	const char *what = next_word(&rest);
	bool on = *next_word(&rest) == '1';

	if (!strcmp(what, "send"))
		r->fail_send = on;
	else
		r->fail_forward = on;
}

static void do_state(const struct replay *r)
{
	const struct flow *flow = NULL;

	for (const struct wildcard *w = wildtab_first(engine_wildcards(r->e)); w; w = w->next)
		printf("w %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", w->a.manager->peer.identity, w->a.packets,
		       w->a.bytes);
	while ((flow = fixtab_next(engine_fixed(r->e), flow)) != NULL)
		for (const struct fixed *x = flow->fixed; x; x = x->next_in_flow)
			printf("x %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", x->a.manager->peer.identity, x->a.packets,
			       x->a.bytes);
	printf("h %zu\n", hold_flows(engine_hold(r->e)));
	for (const struct forward_stat *s = engine_forwards(r->e); s; s = s->hh.next) {
		char text[ADDR_STRLEN];

		printf("v %s %" PRIu64 " %" PRIu64 "\n", addr_print(&s->addr, text), s->packets, s->bytes);
	}
}

static const char *const counter_names[] = {
#define X(id, group, name, help) [ENGINE_##id] = group "/" name,
	ENGINE_COUNTERS(X)
#undef X
};

static void put_counters(struct replay *r)
{
	const uint64_t *now = engine_counters(r->e);

	for (size_t i = 0; i < ENGINE_COUNTER_COUNT; i++) {
		if (now[i] == r->before[i])
			continue;
		printf("c %s %" PRIu64 "\n", counter_names[i], now[i] - r->before[i]);
		r->before[i] = now[i];
	}
}

static void do_line(struct replay *r, char *line)
{
	char *rest = line;
	const char *word = next_word(&rest);

	if (!strcmp(word, "new"))
		do_new(r, rest);
	else if (!r->e)
		exit(2);
	else if (!strcmp(word, "at"))
		do_at(r, rest);
	else if (!strcmp(word, "pkt"))
		do_packet(r, rest);
	else if (!strcmp(word, "msg"))
		do_message(r, rest);
	else if (!strcmp(word, "fail"))
		do_fail(r, rest);
	else if (!strcmp(word, "state"))
		do_state(r);
	else
		exit(2);
	put_counters(r);
	puts(".");
}

int main(void)
{
	struct replay *r = calloc(1, sizeof(*r));
	char *line = NULL;
	size_t size = 0;

	if (!r)
		return 1;
	while (getline(&line, &size, stdin) > 0) {
		line[strcspn(line, "\n")] = '\0';
		do_line(r, line);
	}
	if (r->e)
		engine_free(r->e);
	free(line);
	free(r);
	return 0;
}
