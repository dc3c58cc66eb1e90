/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Many agents in one process, for loading a manager: each with its own
 * identity and address, all behind one socket.  They say hello, answer and
 * ask challenges, take the wildcards they are shown, and then ask about new
 * flows under those, each with its SYN.  Every answer is compared with its
 * question: key, cookie, packet, and a translation to a server that a
 * wildcard named.
 *
 * Speaks the protocol as anybody has to; must not know how smd decides.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "proto/auth.h"
#include "proto/session.h"
#include "proto/wire.h"

#define BATCH         64
#define SLOT_BYTES    2048
#define FIRST_ID      0x10000u
#define KEY_ID        1
#define COOKIE        32
#define PACKET        40
#define LOST_US       2000000u
#define DRAIN_US      1000000u
#define HELLO_US      10000000u
#define HELLO_WAIT_US 500000u /* until one is repeated that drew nothing */
#define HELLO_PACE_US 300u
#define MOST_AGENTS   4000u
#define MOST_OPEN     65536u
#define BUCKETS_HIST  4096u /* of latencies, one per 1/64 of a power of two of microseconds */
#define SERVERS_BITS  14
#define PORTS         60000u

struct options {
	struct in_addr manager, first; /* the agents have this address and those after it */
	uint16_t port, own_port;
	uint64_t identity;
	const char *key;
	unsigned agents, open, wildcards, refresh;
	uint64_t flows, rate, seed;
	double seconds, ready_seconds;
};

struct agent {
	struct session *session;
	struct in_addr addr;
	uint64_t hello_us;
	unsigned wildcards;
	bool known;
};

/* What was asked and not answered yet. */
struct open_question {
	struct flow_key key;
	uint64_t sent_us;
	uint32_t generation, agent;
	bool busy, refresh;
	struct addr server; /* that a refresh has to name again */
	uint8_t memo[WIRE_MAX_OPAQUE];
	uint16_t memo_len;
};

struct service {
	uint8_t vip[4];
	uint16_t port;
	uint32_t precedence;
};

struct server {
	uint8_t addr[4];
	uint16_t port;
	bool used;
};

struct queue {
	unsigned count;
	struct mmsghdr messages[BATCH];
	struct iovec parts[BATCH];
	uint8_t bytes[BATCH][SLOT_BYTES];
	uint8_t control[BATCH][CMSG_SPACE(sizeof(struct in_pktinfo))];
};

struct load {
	struct options o;
	int fd;
	struct sockaddr_in to;
	struct auth_ring *ring;
	struct agent *agents;
	struct open_question *open;
	uint32_t *idle; /* numbers of those that are not busy */
	unsigned idle_count;
	struct service *services;
	unsigned service_count, service_room;
	struct server servers[1u << SERVERS_BITS];
	struct queue in, out;
	uint64_t asked, answered, refreshed, unanswered, wrong, dropped, strays, next_flow;
	unsigned next_agent, ready;
	uint64_t histogram[BUCKETS_HIST];
	const char *last_wrong;
};

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static void random_bytes(void *ctx, void *bytes, size_t len)
{
	(void)ctx;
	if (getrandom(bytes, len, 0) != (ssize_t)len)
		abort();
}

/* ---- latencies ---- */

static unsigned bucket_of(uint64_t us)
{
	unsigned shift = us < 64 ? 0 : 57u - (unsigned)__builtin_clzll(us);
	uint64_t b = (uint64_t)shift * 64 + (us >> shift);

	return b < BUCKETS_HIST ? (unsigned)b : BUCKETS_HIST - 1;
}

static uint64_t quantile(const struct load *l, double share)
{
	uint64_t total = 0, sum = 0;

	for (unsigned i = 0; i < BUCKETS_HIST; i++)
		total += l->histogram[i];
	for (unsigned i = 0; i < BUCKETS_HIST; i++) {
		sum += l->histogram[i];
		if (total && (double)sum >= share * (double)total)
			return i < 128 ? i : (uint64_t)(i % 64 + 64) << (i / 64 - 1);
	}
	return 0;
}

/* ---- out ---- */

static void flush(struct load *l)
{
	unsigned done = 0;

	while (done < l->out.count) {
		int n = sendmmsg(l->fd, l->out.messages + done, l->out.count - done, 0);

		if (n < 0 && errno != EINTR) {
			l->dropped++; /* this one; the others go on */
			n = 1;
		}
		done += n > 0 ? (unsigned)n : 0;
	}
	l->out.count = 0;
}

static void send_message(struct load *l, struct agent *a, uint64_t destination, struct wire_msg *m)
{
	unsigned i = l->out.count;
	struct in_pktinfo from = {.ipi_spec_dst = a->addr};
	struct msghdr *h = &l->out.messages[i].msg_hdr;
	struct cmsghdr *c = (struct cmsghdr *)l->out.control[i];
	ssize_t len;

	session_stamp(a->session, destination, &m->h);
	auth_prepare(l->ring, m);
	len = wire_encode(m, l->out.bytes[i], SLOT_BYTES);
	if (len < 0 || !auth_sign(l->ring, l->out.bytes[i], (size_t)len)) {
		fprintf(stderr, "agents: a message cannot be made\n");
		exit(1);
	}
	l->out.parts[i] = (struct iovec){l->out.bytes[i], (size_t)len};
	c->cmsg_level = IPPROTO_IP;
	c->cmsg_type = IP_PKTINFO;
	c->cmsg_len = CMSG_LEN(sizeof(from));
	memcpy(CMSG_DATA(c), &from, sizeof(from));
	*h = (struct msghdr){.msg_name = &l->to,
			     .msg_namelen = sizeof(l->to),
			     .msg_iov = &l->out.parts[i],
			     .msg_iovlen = 1,
			     .msg_control = c,
			     .msg_controllen = sizeof(l->out.control[i])};
	if (++l->out.count == BATCH)
		flush(l);
}

static void set_identity(const struct agent *a, struct wire_msg *m)
{
	m->identity.addr = addr_make(4, (const uint8_t *)&a->addr);
	snprintf(m->identity.name, sizeof(m->identity.name), "load-%08x", ntohl(a->addr.s_addr));
	wire_set(m, WIRE_SEG_IDENTITY, false);
}

static void say_hello(struct load *l, struct agent *a)
{
	static const uint8_t abilities[] = {WIRE_SEG_NAT, WIRE_SEG_ADVERTISE, WIRE_SEG_INTEREST, WIRE_SEG_RANGES};
	struct wire_msg m;

	wire_start(&m, WIRE_HELLO);
	set_identity(a, &m);
	m.list.count = sizeof(abilities);
	memcpy(m.list.types, abilities, sizeof(abilities));
	wire_set(&m, WIRE_SEG_ACTION_LIST, false);
	send_message(l, a, 0, &m);
	a->hello_us = now_us();
}

static void say_nonce(struct load *l, struct agent *a, enum wire_type type, const struct wire_nonce *nonce)
{
	struct wire_msg m;

	wire_start(&m, type);
	set_identity(a, &m);
	m.nonce = *nonce;
	wire_set(&m, WIRE_SEG_NONCE, true);
	send_message(l, a, l->o.identity, &m);
}

/* ---- questions ---- */

/* An IPv4 and a TCP header, with sums that are right. */
static uint16_t sum_of(uint32_t sum, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void make_packet(const struct flow_key *k, uint8_t p[PACKET])
{
	memset(p, 0, PACKET);
	p[0] = 0x45;
	put16(p + 2, PACKET);
	p[8] = 64;
	p[9] = k->proto;
	memcpy(p + 12, k->src, 4);
	memcpy(p + 16, k->dst, 4);
	put16(p + 10, sum_of(0, p, 20));
	put16(p + 20, k->sport);
	put16(p + 22, k->dport);
	p[27] = 1;    /* sequence number */
	p[32] = 0x50; /* 20 bytes of header */
	p[33] = 0x02; /* SYN */
	put16(p + 34, 65535);
	put16(p + 36, sum_of(IPPROTO_TCP + 20u, p + 12, 28));
}

static struct flow_key new_key(struct load *l)
{
	const struct service *s = &l->services[l->next_flow % l->service_count];
	uint64_t n = l->next_flow++ / l->service_count + l->o.seed;
	uint32_t client = htonl(0x0b000000u + (uint32_t)(n / PORTS));
	struct flow_key k = {.family = 4, .proto = IPPROTO_TCP, .dport = s->port};

	k.sport = (uint16_t)(1024 + n % PORTS);
	memcpy(k.src, &client, 4);
	memcpy(k.dst, s->vip, 4);
	return k;
}

static void put_question(struct load *l, uint32_t slot, enum wire_type type)
{
	struct open_question *q = &l->open[slot];
	uint8_t cookie[COOKIE] = {0}, packet[PACKET];
	struct wire_msg m;

	wire_start(&m, type);
	m.identifier.key = q->key;
	m.identifier.reasons = type == WIRE_REFRESH ? 0 : WIRE_INTEREST_ALL;
	wire_set(&m, WIRE_SEG_IDENTIFIER, true);
	memcpy(cookie, &slot, sizeof(slot));
	memcpy(cookie + 4, &q->generation, sizeof(q->generation));
	m.fa_data = (struct wire_blob){cookie, COOKIE};
	wire_set(&m, WIRE_SEG_FA_DATA, false);
	if (q->memo_len) {
		m.sm_data = (struct wire_blob){q->memo, q->memo_len};
		wire_set(&m, WIRE_SEG_SM_DATA, false);
	}
	if (type != WIRE_REFRESH) {
		make_packet(&q->key, packet);
		m.packet = (struct wire_blob){packet, PACKET};
		wire_set(&m, WIRE_SEG_IP_PACKET, true);
	}
	q->sent_us = now_us();
	send_message(l, &l->agents[q->agent], l->o.identity, &m);
	l->asked++;
}

static void ask_new(struct load *l)
{
	uint32_t slot = l->idle[--l->idle_count];
	struct open_question *q = &l->open[slot];
	uint32_t generation = q->generation + 1;

	*q = (struct open_question){.busy = true, .generation = generation, .agent = l->next_agent};
	l->next_agent = (l->next_agent + 1) % l->o.agents;
	q->key = new_key(l);
	put_question(l, slot, WIRE_MATCH_WILDCARD);
}

static void set_idle(struct load *l, uint32_t slot)
{
	l->open[slot].busy = false;
	l->idle[l->idle_count++] = slot;
}

/* ---- answers ---- */

static struct server *server_place(struct load *l, const uint8_t addr[4], uint16_t port)
{
	uint32_t a, mask = (1u << SERVERS_BITS) - 1, i;

	memcpy(&a, addr, 4);
	i = (a ^ port * 2654435761u) * 2654435761u >> (32 - SERVERS_BITS);
	while (l->servers[i].used && (memcmp(l->servers[i].addr, addr, 4) != 0 || l->servers[i].port != port))
		i = (i + 1) & mask;
	return &l->servers[i];
}

/* NULL: the answer is right. */
static const char *judge(struct load *l, const struct open_question *q, const struct wire_msg *m)
{
	const struct wire_nat *n = &m->nat[0];
	uint8_t packet[PACKET];

	make_packet(&q->key, packet);
	if (memcmp(&m->fixed.key, &q->key, sizeof(q->key)) != 0)
		return "another key";
	if (!m->fixed.ttl || m->fixed.flags)
		return "no affinity to keep";
	if (m->nat_count != 1 || n->set != (WIRE_NAT_DST | WIRE_NAT_DPORT))
		return "no translation of the destination";
	if (!server_place(l, n->dst.b, n->dport)->used)
		return "a server that no wildcard names";
	if (q->refresh ? wire_has(m, WIRE_SEG_IP_PACKET)
		       : m->packet.len != PACKET || memcmp(m->packet.data, packet, PACKET) != 0)
		return "another packet";
	if (q->refresh && !addr_equal(&q->server, &n->dst))
		return "another server than before";
	return NULL;
}

static void take_answer(struct load *l, const struct wire_msg *m, uint32_t agent)
{
	struct open_question *q;
	uint32_t slot, generation;
	const char *fault;
	bool more;

	if (m->fa_data.len != COOKIE) {
		l->strays++;
		return;
	}
	memcpy(&slot, m->fa_data.data, sizeof(slot));
	memcpy(&generation, m->fa_data.data + 4, sizeof(generation));
	q = slot < l->o.open ? &l->open[slot] : NULL;
	if (!q || !q->busy || q->generation != generation || q->agent != agent) {
		l->strays++;
		return;
	}
	fault = judge(l, q, m);
	if (fault) {
		l->wrong++;
		l->last_wrong = fault;
	} else {
		l->histogram[bucket_of(now_us() - q->sent_us)]++;
		*(q->refresh ? &l->refreshed : &l->answered) += 1;
	}
	more = !fault && !q->refresh && l->answered % 100 < l->o.refresh && m->sm_data.len <= sizeof(q->memo);
	if (!more) {
		set_idle(l, slot);
		return;
	}
	q->refresh = true;
	q->generation++;
	q->server = m->nat[0].dst;
	q->memo_len = m->sm_data.len;
	memcpy(q->memo, m->sm_data.data, m->sm_data.len);
	put_question(l, slot, WIRE_REFRESH);
}

static void add_service(struct load *l, const struct wire_msg *m)
{
	for (unsigned i = 0; i < l->service_count; i++)
		if (l->services[i].port == m->wildcard.dport && !memcmp(l->services[i].vip, m->wildcard.dst, 4))
			return;
	if (l->service_count == l->service_room) {
		l->service_room = l->service_room ? 2 * l->service_room : 64;
		l->services = reallocarray(l->services, l->service_room, sizeof(*l->services));
		if (!l->services)
			abort();
	}
	l->services[l->service_count] = (struct service){.port = m->wildcard.dport};
	memcpy(l->services[l->service_count++].vip, m->wildcard.dst, 4);
}

/* The first agent learns for all what there is; each counts what it was shown before it is ready. */
static void take_wildcard(struct load *l, struct agent *a, const struct wire_msg *m)
{
	const struct wire_wildcard *w = &m->wildcard;
	struct server *s;

	if (w->family != 4 || w->proto != IPPROTO_TCP || !w->ttl)
		return;
	if (++a->wildcards == l->o.wildcards)
		l->ready++;
	if (a != l->agents || a->wildcards > l->o.wildcards)
		return;
	if (w->dport) {
		add_service(l, m);
		return;
	}
	s = server_place(l, w->src, w->sport);
	s->used = true;
	memcpy(s->addr, w->src, 4);
	s->port = w->sport;
}

static void accepted(struct load *l, struct agent *a, const uint8_t *buf, size_t len)
{
	struct wire_diagnosis why;
	struct wire_msg m;

	if (wire_decode(buf, len, &m, &why) != WIRE_OK)
		l->dropped++;
	else if (m.h.type == WIRE_WILDCARD_UPDATE)
		take_wildcard(l, a, &m);
	else if (m.h.type == WIRE_FIXED_UPDATE)
		take_answer(l, &m, (uint32_t)(a - l->agents));
	else
		l->strays++;
}

static void receive_one(struct load *l, struct agent *a, uint8_t *buf, size_t len)
{
	struct wire_nonce reply = {0}, nonce = {0};
	struct wire_security security;
	struct wire_diagnosis why;
	struct wire_header h;
	struct wire_msg m;
	uint64_t now_ms = now_us() / 1000;

	if (wire_peek(buf, len, &h, &security) != WIRE_OK || auth_check(l->ring, buf, len, &h, &security) != AUTH_OK ||
	    h.source != l->o.identity) {
		l->dropped++;
		return;
	}
	if (h.type == WIRE_CHALLENGE || h.type == WIRE_CHALLENGE_RESPONSE) {
		if (wire_decode(buf, len, &m, &why) != WIRE_OK)
			return;
		nonce = m.nonce;
	}
	switch (session_receive(a->session, &h, &nonce, now_ms, &reply)) {
	case SESSION_ACCEPT:
		accepted(l, a, buf, len);
		break;
	case SESSION_CHALLENGE:
		say_nonce(l, a, WIRE_CHALLENGE, &reply);
		break;
	case SESSION_ANSWER:
		say_nonce(l, a, WIRE_CHALLENGE_RESPONSE, &reply);
		if (!a->known && session_ask(a->session, &h, now_ms, &reply) == SESSION_CHALLENGE)
			say_nonce(l, a, WIRE_CHALLENGE, &reply);
		break;
	case SESSION_KNOWN:
		a->known = true;
		say_hello(l, a);
		break;
	default:
		break;
	}
}

/* By the address it was sent to.  NULL: none of ours. */
static struct agent *agent_of(struct load *l, struct msghdr *h)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		struct in_pktinfo to;
		uint32_t i;

		if (c->cmsg_level != IPPROTO_IP || c->cmsg_type != IP_PKTINFO)
			continue;
		memcpy(&to, CMSG_DATA(c), sizeof(to));
		i = ntohl(to.ipi_addr.s_addr) - ntohl(l->o.first.s_addr);
		return i < l->o.agents ? &l->agents[i] : NULL;
	}
	return NULL;
}

/* All that is there. */
static void receive(struct load *l)
{
	int n = BATCH;

	while (n == BATCH) {
		for (unsigned i = 0; i < BATCH; i++) {
			l->in.parts[i] = (struct iovec){l->in.bytes[i], SLOT_BYTES};
			l->in.messages[i].msg_hdr = (struct msghdr){.msg_iov = &l->in.parts[i],
								    .msg_iovlen = 1,
								    .msg_control = l->in.control[i],
								    .msg_controllen = sizeof(l->in.control[i])};
		}
		n = recvmmsg(l->fd, l->in.messages, BATCH, MSG_DONTWAIT, NULL);
		for (int i = 0; i < n; i++) {
			struct agent *a = agent_of(l, &l->in.messages[i].msg_hdr);

			if (a)
				receive_one(l, a, l->in.bytes[i], l->in.messages[i].msg_len);
		}
	}
}

static void wait_and_receive(struct load *l, int timeout_us)
{
	struct pollfd p = {.fd = l->fd, .events = POLLIN};
	struct timespec t = {.tv_nsec = timeout_us * 1000L};

	flush(l);
	if (ppoll(&p, 1, &t, NULL) > 0)
		receive(l);
}

/* ---- phases ---- */

/* Who has nothing to show for its hello says it again; not all at once. */
static bool get_ready(struct load *l)
{
	uint64_t end = now_us() + (uint64_t)(l->o.ready_seconds * 1e6), paced = 0;
	unsigned next = 0;

	while (now_us() < end && l->ready < l->o.agents) {
		uint64_t now = now_us();
		struct agent *a = &l->agents[next];

		if (now - paced >= HELLO_PACE_US) {
			if (!a->known && now - a->hello_us >= HELLO_WAIT_US) {
				say_hello(l, a);
				paced = now;
			}
			next = (next + 1) % l->o.agents;
		}
		wait_and_receive(l, HELLO_PACE_US);
	}
	return l->ready == l->o.agents;
}

static void keep_alive(struct load *l, uint64_t now, unsigned *next)
{
	struct agent *a = &l->agents[*next];

	*next = (*next + 1) % l->o.agents;
	if (now - a->hello_us >= HELLO_US)
		say_hello(l, a);
}

static void give_up(struct load *l, uint64_t now, uint64_t after_us)
{
	for (uint32_t i = 0; i < l->o.open; i++)
		if (l->open[i].busy && now > l->open[i].sent_us + after_us) { /* it may be of after now */
			l->unanswered++;
			set_idle(l, i);
		}
}

/* How many may be asked now: as many as are idle, or as the rate allows. */
static uint64_t allowed(const struct load *l, uint64_t since_us)
{
	uint64_t most = l->idle_count, left = l->o.flows ? l->o.flows - l->next_flow : UINT64_MAX;

	if (l->o.rate) {
		uint64_t due = since_us * l->o.rate / 1000000;

		due = due > l->next_flow ? due - l->next_flow : 0;
		most = due < most ? due : most;
	}
	return most < left ? most : left;
}

static double run(struct load *l)
{
	uint64_t start = now_us(), end = start + (uint64_t)(l->o.seconds * 1e6), looked = start, now;
	unsigned next = 0;
	double took;

	while ((now = now_us()) < end && (!l->o.flows || l->next_flow < l->o.flows)) {
		for (uint64_t n = allowed(l, now - start); n; n--)
			ask_new(l);
		wait_and_receive(l, 200);
		keep_alive(l, now, &next);
		if (now - looked > LOST_US / 4) {
			give_up(l, now, LOST_US);
			looked = now;
		}
	}
	took = (double)(now_us() - start) / 1e6;
	l->o.refresh = 0;
	for (uint64_t until = now_us() + DRAIN_US; now_us() < until && l->idle_count < l->o.open;)
		wait_and_receive(l, 1000);
	give_up(l, now_us() + 1, 0);
	return took;
}

static void print_result(const struct load *l, double took)
{
	printf("{\"agents\": %u, \"services\": %u, \"open\": %u, \"seconds\": %.3f, \"asked\": %llu, \"answered\": "
	       "%llu, "
	       "\"refreshed\": %llu, \"unanswered\": %llu, \"wrong\": %llu, \"dropped\": %llu, \"strays\": %llu, "
	       "\"per_s\": %.0f, \"p50_us\": %llu, \"p99_us\": %llu, \"p999_us\": %llu}\n",
	       l->o.agents, l->service_count, l->o.open, took, (unsigned long long)l->asked,
	       (unsigned long long)l->answered, (unsigned long long)l->refreshed, (unsigned long long)l->unanswered,
	       (unsigned long long)l->wrong, (unsigned long long)l->dropped, (unsigned long long)l->strays,
	       (double)(l->answered + l->refreshed) / took, (unsigned long long)quantile(l, 0.5),
	       (unsigned long long)quantile(l, 0.99), (unsigned long long)quantile(l, 0.999));
	fflush(stdout);
}

/* ---- start ---- */

static bool add_key(struct load *l)
{
	char secret[AUTH_MAX_SECRET + 2];
	FILE *f = fopen(l->o.key, "r");
	size_t len;

	if (!f)
		return false;
	len = fread(secret, 1, sizeof(secret), f);
	fclose(f);
	if (len && secret[len - 1] == '\n')
		len--;
	return auth_ring_add(l->ring, KEY_ID, WIRE_SCHEME_HMAC_SHA256, secret, len, NULL, 0) &&
	       auth_ring_use(l->ring, KEY_ID);
}

static bool open_socket(struct load *l)
{
	struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(l->o.own_port)};
	int on = 1, bytes = 8 << 20;

	l->to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(l->o.port), .sin_addr = l->o.manager};
	l->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (l->fd < 0)
		return false;
	setsockopt(l->fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	setsockopt(l->fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
	return setsockopt(l->fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on)) == 0 &&
	       bind(l->fd, (const struct sockaddr *)&own, sizeof(own)) == 0;
}

static bool start(struct load *l)
{
	uint64_t incarnation = now_us() | 1;

	l->ring = auth_ring_new();
	l->agents = calloc(l->o.agents, sizeof(*l->agents));
	l->open = calloc(l->o.open, sizeof(*l->open));
	l->idle = calloc(l->o.open, sizeof(*l->idle));
	if (!l->ring || !l->agents || !l->open || !l->idle)
		return false;
	for (uint32_t i = 0; i < l->o.open; i++)
		set_idle(l, i);
	for (uint32_t i = 0; i < l->o.agents; i++) {
		l->agents[i].addr.s_addr = htonl(ntohl(l->o.first.s_addr) + i);
		l->agents[i].session = session_new(FIRST_ID + i, incarnation, random_bytes, NULL);
		if (!l->agents[i].session)
			return false;
	}
	return add_key(l) && open_socket(l);
}

static bool parse(struct options *o, int argc, char **argv)
{
	static const struct option names[] = {
		{"manager", 1, NULL, 'm'},  {"first", 1, NULL, 'f'},
		{"key", 1, NULL, 'k'},      {"agents", 1, NULL, 'a'},
		{"open", 1, NULL, 'o'},     {"wildcards", 1, NULL, 'w'},
		{"flows", 1, NULL, 'n'},    {"rate", 1, NULL, 'r'},
		{"seconds", 1, NULL, 's'},  {"ready", 1, NULL, 'y'},
		{"identity", 1, NULL, 'i'}, {"refresh", 1, NULL, 'e'},
		{"seed", 1, NULL, 'd'},     {0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1)
		switch (c) {
		case 'm':
			inet_pton(AF_INET, optarg, &o->manager);
			break;
		case 'f':
			inet_pton(AF_INET, optarg, &o->first);
			break;
		case 'k':
			o->key = optarg;
			break;
		case 'a':
			o->agents = (unsigned)strtoul(optarg, NULL, 0);
			break;
		case 'o':
			o->open = (unsigned)strtoul(optarg, NULL, 0);
			break;
		case 'w':
			o->wildcards = (unsigned)strtoul(optarg, NULL, 0);
			break;
		case 'n':
			o->flows = strtoull(optarg, NULL, 0);
			break;
		case 'r':
			o->rate = strtoull(optarg, NULL, 0);
			break;
		case 's':
			o->seconds = strtod(optarg, NULL);
			break;
		case 'y':
			o->ready_seconds = strtod(optarg, NULL);
			break;
		case 'i':
			o->identity = strtoull(optarg, NULL, 0);
			break;
		case 'e':
			o->refresh = (unsigned)strtoul(optarg, NULL, 0);
			break;
		case 'd':
			o->seed = strtoull(optarg, NULL, 0);
			break;
		default:
			return false;
		}
	return o->manager.s_addr && o->first.s_addr && o->key && o->agents && o->agents <= MOST_AGENTS && o->open &&
	       o->open <= MOST_OPEN && o->wildcards >= 2;
}

/* Prints "ready" when all agents have their wildcards, waits for a line, runs, and prints the result as JSON. */
int main(int argc, char **argv)
{
	struct load *l = calloc(1, sizeof(*l));
	char line[8];

	if (!l)
		return 1;
	l->o = (struct options){.port = WIRE_PORT,
				.own_port = WIRE_PORT,
				.identity = 1,
				.agents = 1,
				.open = 64,
				.wildcards = 2,
				.seconds = 2,
				.ready_seconds = 30};
	if (!parse(&l->o, argc, argv)) {
		fprintf(stderr,
			"agents: --manager ADDRESS --first ADDRESS --key FILE [--agents N] [--open N] [--wildcards N]\n"
			"        [--flows N] [--rate N] [--seconds S] [--ready S] [--identity ID] [--refresh PERCENT] "
			"[--seed N]\n");
		free(l);
		return 2;
	}
	if (!start(l)) {
		perror("agents");
		return 1;
	}
	if (!get_ready(l)) {
		fprintf(stderr, "agents: %u of %u have their wildcards; the first has %u of %u\n", l->ready,
			l->o.agents, l->agents[0].wildcards, l->o.wildcards);
		return 1;
	}
	printf("ready\n");
	fflush(stdout);
	do
		if (!fgets(line, sizeof(line), stdin))
			return 1;
	while (!strchr(line, '\n'));
	print_result(l, run(l));
	if (l->wrong)
		fprintf(stderr, "agents: wrong answers, the last one: %s\n", l->last_wrong);
	return l->wrong != 0;
}
