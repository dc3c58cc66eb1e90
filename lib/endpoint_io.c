/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The endpoint: receiving in batches, and the checks in front of the daemon's
 * handler, cheapest first: header, authentication, session, segments.  Each
 * message ends in exactly one counter.  SEC-2, SEC-4, MSG-4, ARCH-5.
 *
 * Must not know what a message means to its receiver.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#include "lib/daemon.h"
#include "lib/endpoint_priv.h"
#include "lib/exitcode.h"
#include "lib/hash.h"

#define LOG_PER_SECOND 5

struct endpoint_receive {
	struct mmsghdr messages[ENDPOINT_BATCH];
	struct iovec parts[ENDPOINT_BATCH];
	struct sockaddr_storage from[ENDPOINT_BATCH];
	uint8_t bytes[ENDPOINT_BATCH][ENDPOINT_SLOT_SIZE];
};

/* One datagram on its way through the checks. */
struct incoming {
	struct endpoint_peer from; /* identity: as claimed, until the session has judged */
	uint8_t *buf;
	size_t len;
	uint64_t now_ms;
	struct wire_header h;
	struct wire_msg m;
	bool decoded;
};

/* ---- drops ---- */

static void log_drop(struct endpoint *ep, const struct incoming *in, const char *what, const char *why)
{
	char from[ENDPOINT_STRLEN], claims[48] = "", more[48] = "";
	uint32_t missed;

	if (!log_allowed(&ep->receive_log, in->now_ms, LOG_PER_SECOND, &missed))
		return;
	if (in->from.identity != 0)
		snprintf(claims, sizeof(claims), ", identity 0x%" PRIx64, in->from.identity);
	if (missed > 0)
		snprintf(more, sizeof(more), " (and %u more)", missed);
	log_warning("dropped a message from %s%s: %s%s%s", endpoint_print(&in->from.addr, in->from.port, from), claims,
		    what, why, more);
}

static void drop_fault(struct endpoint *ep, const struct incoming *in, enum wire_fault fault,
		       const struct wire_diagnosis *why)
{
	char what[96] = "malformed: ";

	ep->faults[fault]++;
	if (fault == WIRE_FAULT_REQUIRED && why != NULL)
		snprintf(what, sizeof(what), "segment type %u unknown: ", why->unknown.types[0]);
	else if (why != NULL)
		snprintf(what, sizeof(what), "malformed in %s at byte %u: ",
			 why->segment != 0 ? wire_segment_name(why->segment) : "the header", why->offset);
	log_drop(ep, in, what, wire_fault_name(fault));
}

/* ---- replies ---- */

/* A flood from one source must not make us a source of a flood. */
static bool challenge_allowed(struct endpoint *ep, const struct incoming *in)
{
	uint64_t h = hash_bytes(ep->bucket_key, &in->from.addr, sizeof(in->from.addr));
	struct endpoint_bucket *b = &ep->buckets[h % ENDPOINT_BUCKETS];

	if (in->now_ms - b->window_ms >= 1000)
		*b = (struct endpoint_bucket){.window_ms = in->now_ms};
	return b->sent++ < ENDPOINT_CHALLENGES_PER_SECOND;
}

static void reply(struct endpoint *ep, const struct incoming *in, enum wire_type type, const struct wire_nonce *nonce)
{
	struct wire_msg m;

	if (!challenge_allowed(ep, in)) {
		ep->counts[ENDPOINT_CHALLENGE_LIMITED]++;
		return;
	}
	wire_start(&m, type);
	m.nonce = *nonce;
	wire_set(&m, WIRE_SEG_NONCE, true);
	if (endpoint_send(ep, &in->from, &m))
		ep->counts[type == WIRE_CHALLENGE ? ENDPOINT_CHALLENGES : ENDPOINT_RESPONSES]++;
}

/* ---- the checks ---- */

static bool decode(struct endpoint *ep, struct incoming *in, bool accepted)
{
	struct wire_diagnosis why;
	enum wire_fault fault;

	if (in->decoded)
		return true;
	fault = wire_decode(in->buf, in->len, &in->m, &why);
	in->decoded = fault == WIRE_OK;
	if (in->decoded)
		return true;
	drop_fault(ep, in, fault, &why);
	if (accepted && fault == WIRE_FAULT_REQUIRED && ep->handler->undecodable != NULL)
		ep->handler->undecodable(ep->ctx, &in->from, &in->m, &why);
	return false;
}

static void deliver(struct endpoint *ep, struct incoming *in)
{
	if (!decode(ep, in, true))
		return;
	ep->counts[ENDPOINT_ACCEPTED]++;
	ep->handler->message(ep->ctx, &in->from, &in->m);
}

/* We answered a challenge.  Our state goes to a peer that is proven; another one is asked back first. */
static void answered(struct endpoint *ep, struct incoming *in, bool proven)
{
	struct wire_nonce nonce = {0};

	if (proven && ep->handler->peer_asks != NULL)
		ep->handler->peer_asks(ep->ctx, &in->from);
	else if (!proven && session_ask(ep->session, &in->h, in->now_ms, &nonce) == SESSION_CHALLENGE)
		reply(ep, in, WIRE_CHALLENGE, &nonce);
}

static void judge(struct endpoint *ep, struct incoming *in)
{
	bool handshake = in->h.type == WIRE_CHALLENGE || in->h.type == WIRE_CHALLENGE_RESPONSE;
	uint64_t before = handshake ? session_incarnation(ep->session, in->h.source) : 0;
	struct wire_nonce nonce = {0};
	enum session_verdict v;

	/* The session wants to see the nonce; of other messages only the header. */
	if (handshake && !decode(ep, in, false))
		return;
	v = session_receive(ep->session, &in->h, handshake ? &in->m.nonce : NULL, in->now_ms, &nonce);
	ep->verdicts[v]++;
	switch (v) {
	case SESSION_ACCEPT:
		deliver(ep, in);
		return;
	case SESSION_CHALLENGE:
		log_debug("identity 0x%" PRIx64 " speaks in a new incarnation: challenged", in->h.source);
		reply(ep, in, WIRE_CHALLENGE, &nonce);
		return;
	case SESSION_ANSWER:
		reply(ep, in, WIRE_CHALLENGE_RESPONSE, &nonce);
		answered(ep, in, before == in->h.incarnation);
		return;
	case SESSION_KNOWN:
		if (before == in->h.incarnation)
			return; /* something old had us ask again one we knew */
		ep->counts[ENDPOINT_KNOWN]++;
		if (ep->handler->peer_known != NULL)
			ep->handler->peer_known(ep->ctx, &in->from);
		return;
	case SESSION_OURSELVES:
		ep->counts[in->h.incarnation == ep->incarnation ? ENDPOINT_OWN : ENDPOINT_TWIN]++;
		if (in->h.incarnation != ep->incarnation)
			log_drop(ep, in, "session: ", "it has the identity of this daemon");
		return;
	case SESSION_PENDING:
	case SESSION_NOT_FOR_US:
		return; /* nobody's mistake */
	default:
		log_drop(ep, in, "session: ", session_verdict_name(v));
	}
}

static void receive_one(struct endpoint *ep, struct incoming *in, bool truncated)
{
	struct wire_security security;
	enum wire_fault fault = truncated ? WIRE_FAULT_LONG : wire_peek(in->buf, in->len, &in->h, &security);
	enum auth_verdict v;

	if (fault != WIRE_OK) {
		drop_fault(ep, in, fault, NULL);
		return;
	}
	in->from.identity = in->h.source;
	v = auth_check(ep->trust->ring, in->buf, in->len, &in->h, &security);
	ep->auth[v]++;
	if (v != AUTH_OK) {
		log_drop(ep, in, "authentication: ", auth_verdict_name(v));
		return;
	}
	judge(ep, in);
}

/* What a group brings back to who sent it. */
static bool is_own(const struct endpoint *ep, const struct endpoint_peer *from)
{
	return from->port == ep->port && addr_equal(&from->addr, &ep->self.addr);
}

/* By which way others are heard tells what fails when they are not. */
static void note_way(struct endpoint *ep, bool group, uint64_t now_ms)
{
	ep->counts[group ? ENDPOINT_GROUP_HEARD : ENDPOINT_DIRECT_HEARD]++;
	*(group ? &ep->group_ms : &ep->direct_ms) = now_ms;
}

static void receive_batch(struct endpoint *ep, unsigned n, bool group)
{
	struct endpoint_receive *rx = ep->receive;
	uint64_t now_ms = daemon_now_ms();

	for (unsigned i = 0; i < n; i++) {
		struct incoming in;
		bool truncated = rx->messages[i].msg_hdr.msg_flags & MSG_TRUNC, own;

		/* Not the whole struct: decoding starts the message itself. */
		memset(&in.from, 0, sizeof(in.from));
		in.buf = rx->bytes[i];
		in.len = rx->messages[i].msg_len;
		in.now_ms = now_ms;
		in.decoded = false;
		ep->counts[ENDPOINT_RECEIVED]++;
		ep->counts[ENDPOINT_RECEIVED_BYTES] += in.len;
		if (!addr_from_sockaddr(&rx->from[i], &in.from.addr, &in.from.port) || in.from.port == 0) {
			ep->counts[ENDPOINT_SOURCE]++; /* nobody to answer to */
			continue;
		}
		own = is_own(ep, &in.from);
		if (!own)
			note_way(ep, group, now_ms);
		if (!own && !endpoint_trust_hears(ep->trust, &in.from.addr)) {
			ep->counts[ENDPOINT_SENDER]++;
			log_drop(ep, &in, "sender: ", "not in security.accept-from");
			continue;
		}
		receive_one(ep, &in, truncated);
	}
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct endpoint_socket *s = userdata;
	struct endpoint *ep = s->ep;
	struct endpoint_receive *rx = ep->receive;
	int n;

	(void)source;
	if (revents & EPOLLOUT)
		endpoint_flush(ep);
	if (!(revents & ~(uint32_t)EPOLLOUT))
		return 0;
	for (unsigned i = 0; i < ENDPOINT_BATCH; i++)
		rx->messages[i].msg_hdr.msg_namelen = sizeof(rx->from[i]);
	n = recvmmsg(fd, rx->messages, ENDPOINT_BATCH, MSG_DONTWAIT, NULL);
	if (n < 0) /* nothing there, or an error of the past that reading it has cleared */
		return 0;
	/* What it is answered with leaves here: nothing has to wake the loop for it once more. */
	ep->queue.batching = true;
	receive_batch(ep, (unsigned)n, s->group.family != 0);
	if (ep->handler->batch_end != NULL)
		ep->handler->batch_end(ep->ctx);
	ep->queue.batching = false;
	endpoint_flush(ep);
	return 0;
}

/* ---- life ---- */

static struct endpoint_receive *receive_new(void)
{
	struct endpoint_receive *rx = calloc(1, sizeof(*rx));

	for (unsigned i = 0; rx != NULL && i < ENDPOINT_BATCH; i++) {
		rx->parts[i] = (struct iovec){rx->bytes[i], ENDPOINT_SLOT_SIZE};
		rx->messages[i].msg_hdr =
			(struct msghdr){.msg_name = &rx->from[i], .msg_iov = &rx->parts[i], .msg_iovlen = 1};
	}
	return rx;
}

static uint64_t new_incarnation(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ((uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec) | 1;
}

/* Names go into messages, where only printable ASCII is allowed. */
static void set_name(struct endpoint *ep, const char *name)
{
	snprintf(ep->self.name, sizeof(ep->self.name), "%s", name);
	for (char *p = ep->self.name; *p != '\0'; p++)
		if (*p < 0x20 || *p > 0x7e)
			*p = '?';
}

/* False: out of memory. */
static bool take_conf(struct endpoint *ep, const struct endpoint_conf *conf)
{
	ep->self.addr = conf->address;
	ep->port = conf->port;
	ep->group_port = conf->group_port;
	ep->multicast_ttl = (uint8_t)conf->multicast_ttl;
	if (conf->interface != NULL)
		snprintf(ep->interface, sizeof(ep->interface), "%s", conf->interface);
	ep->peers = calloc(conf->peers.count + 1, sizeof(*ep->peers));
	if (ep->peers == NULL)
		return false;
	if (conf->peers.count > 0)
		memcpy(ep->peers, conf->peers.items, conf->peers.count * sizeof(*ep->peers));
	ep->peer_count = conf->peers.count;
	return true;
}

static int open_parts(struct endpoint *ep, const struct endpoint_conf *conf, const struct security_conf *security)
{
	struct endpoint_trust *trust;
	int status = endpoint_trust_load(&trust, security);

	if (status != EXITCODE_OK)
		return status;
	endpoint_believe(ep, trust);
	ep->session = session_new(ep->identity, ep->incarnation, daemon_random, NULL);
	ep->receive = receive_new();
	if (!take_conf(ep, conf) || ep->session == NULL || ep->receive == NULL || endpoint_queue_open(ep) < 0) {
		log_error("out of memory for the control endpoint");
		return EXITCODE_FAILURE;
	}
	return endpoint_sockets_open(ep, conf, on_io);
}

int endpoint_open(struct endpoint **out, sd_event *loop, uint64_t identity, const char *name,
		  const struct endpoint_conf *conf, const struct security_conf *security,
		  const struct endpoint_handler *handler, void *ctx)
{
	struct endpoint *ep = calloc(1, sizeof(*ep));
	int status;

	*out = NULL;
	if (ep == NULL) {
		log_error("out of memory for the control endpoint");
		return EXITCODE_FAILURE;
	}
	ep->loop = sd_event_ref(loop);
	ep->identity = identity;
	ep->incarnation = new_incarnation();
	ep->group_ms = ep->direct_ms = daemon_now_ms();
	ep->handler = handler;
	ep->ctx = ctx;
	set_name(ep, name);
	daemon_random(NULL, ep->bucket_key, sizeof(ep->bucket_key));
	status = open_parts(ep, conf, security);
	if (status != EXITCODE_OK) {
		endpoint_close(ep);
		return status;
	}
	*out = ep;
	return EXITCODE_OK;
}

void endpoint_believe(struct endpoint *ep, struct endpoint_trust *trust)
{
	endpoint_trust_free(ep->trust);
	ep->trust = trust;
	ep->counts[ENDPOINT_TRUST]++;
	if (!auth_ring_expects(trust->ring))
		log_warning("security.keys is empty: service messages are neither signed nor checked");
}

void endpoint_close(struct endpoint *ep)
{
	if (ep == NULL)
		return;
	endpoint_sockets_close(ep);
	endpoint_queue_close(ep);
	free(ep->receive);
	free(ep->peers);
	session_free(ep->session);
	endpoint_trust_free(ep->trust);
	sd_event_unref(ep->loop);
	free(ep);
}

uint64_t endpoint_incarnation(const struct endpoint *ep)
{
	return ep->incarnation;
}

uint64_t endpoint_identity(const struct endpoint *ep)
{
	return ep->identity;
}
