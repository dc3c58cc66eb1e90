/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The endpoint's send queue: messages are encoded and signed straight into
 * slots, and leave many a system call.
 *
 * An error of the kernel costs the message it is about, counted by its reason,
 * and nothing else.  MSG-11: large messages leave as IP fragments.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "lib/daemon.h"
#include "lib/endpoint_priv.h"

/* Before everything else in the loop: a batch ends where the source that made it ends. */
#define FLUSH_PRIORITY (SD_EVENT_PRIORITY_NORMAL - 10)
#define LOG_PER_SECOND 5

static uint8_t *slot_bytes(const struct endpoint_queue *q, size_t i)
{
	return q->bytes + i * ENDPOINT_SLOT_SIZE;
}

static int on_flush(sd_event_source *source, void *userdata)
{
	(void)source;
	endpoint_flush(userdata);
	return 0;
}

int endpoint_queue_open(struct endpoint *ep)
{
	struct endpoint_queue *q = &ep->queue;
	int r;

	/* Not touched before it is used, so most of it is never there. */
	q->bytes = calloc(ENDPOINT_SLOTS, ENDPOINT_SLOT_SIZE);
	if (q->bytes == NULL)
		return -ENOMEM;
	r = sd_event_add_defer(ep->loop, &q->flush, on_flush, ep);
	if (r >= 0)
		r = sd_event_source_set_priority(q->flush, FLUSH_PRIORITY);
	if (r >= 0)
		r = sd_event_source_set_enabled(q->flush, SD_EVENT_OFF);
	return r;
}

void endpoint_queue_close(struct endpoint *ep)
{
	sd_event_source_disable_unref(ep->queue.flush);
	free(ep->queue.bytes);
}

/* ---- out ---- */

static enum endpoint_count failure(int error)
{
	switch (error) {
	case ENOBUFS:
	case ENOMEM:
		return ENDPOINT_SEND_BUFFERS;
	case ECONNREFUSED:
		return ENDPOINT_SEND_REFUSED;
	case EPERM:
	case EACCES:
		return ENDPOINT_SEND_FORBIDDEN;
	case ENETUNREACH:
	case EHOSTUNREACH:
	case ENETDOWN:
	case EHOSTDOWN:
	case ENODEV:
	case EADDRNOTAVAIL:
		return ENDPOINT_SEND_UNREACHABLE;
	case EMSGSIZE:
		return ENDPOINT_SEND_SIZE;
	default:
		return ENDPOINT_SEND_FAILED;
	}
}

static void count_failure(struct endpoint *ep, const struct endpoint_slot *slot, int error)
{
	char text[ENDPOINT_STRLEN];
	struct addr to = {0};
	uint16_t port = 0;
	uint32_t missed;

	ep->counts[failure(error)]++;
	if (!log_allowed(&ep->send_log, daemon_now_ms(), LOG_PER_SECOND, &missed))
		return;
	addr_from_sockaddr(&slot->to, &to, &port);
	log_warning("cannot send to %s: %s%s", endpoint_print(&to, port, text), strerror(error),
		    missed ? " (and more such)" : "");
}

/* At most a batch, in one call.  Returns how many left the queue, 0: the kernel takes no more now. */
static size_t send_some(struct endpoint *ep)
{
	struct endpoint_queue *q = &ep->queue;
	struct mmsghdr messages[ENDPOINT_BATCH] = {0};
	struct iovec parts[ENDPOINT_BATCH];
	unsigned n = 0;
	int r;

	for (; n < ENDPOINT_BATCH && n < q->count; n++) {
		size_t i = (q->head + n) % ENDPOINT_SLOTS;

		parts[n] = (struct iovec){slot_bytes(q, i), q->slots[i].len};
		messages[n].msg_hdr = (struct msghdr){.msg_name = &q->slots[i].to,
						      .msg_namelen = q->slots[i].to_len,
						      .msg_iov = &parts[n],
						      .msg_iovlen = 1};
	}
	do
		r = sendmmsg(ep->unicast.fd, messages, n, MSG_DONTWAIT);
	while (r < 0 && errno == EINTR);
	if (r < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return 0;
	if (r < 0) {
		count_failure(ep, &q->slots[q->head], errno);
		return 1;
	}
	ep->counts[ENDPOINT_SENT] += (unsigned)r;
	for (int i = 0; i < r; i++)
		ep->counts[ENDPOINT_SENT_BYTES] += parts[i].iov_len;
	return (size_t)r;
}

static void set_blocked(struct endpoint *ep, bool blocked)
{
	if (ep->queue.blocked == blocked)
		return;
	ep->queue.blocked = blocked;
	sd_event_source_set_io_events(ep->unicast.source, blocked ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

void endpoint_flush(struct endpoint *ep)
{
	struct endpoint_queue *q = &ep->queue;

	while (q->count > 0) {
		size_t gone = send_some(ep);

		if (gone == 0)
			break;
		q->head = (q->head + gone) % ENDPOINT_SLOTS;
		q->count -= gone;
	}
	set_blocked(ep, q->count > 0);
}

/* ---- in ---- */

/* The next free slot's bytes; NULL: full, counted. */
static uint8_t *take_slot(struct endpoint *ep)
{
	struct endpoint_queue *q = &ep->queue;

	if (q->count < ENDPOINT_SLOTS)
		return slot_bytes(q, (q->head + q->count) % ENDPOINT_SLOTS);
	ep->counts[ENDPOINT_QUEUE_FULL]++;
	return NULL;
}

static void commit(struct endpoint *ep, const struct addr *to, uint16_t port, size_t len)
{
	struct endpoint_queue *q = &ep->queue;
	struct endpoint_slot *slot = &q->slots[(q->head + q->count) % ENDPOINT_SLOTS];

	slot->to_len = endpoint_sockaddr(ep, to, port, &slot->to);
	slot->len = len;
	q->count++;
	if (q->blocked)
		return;
	if (q->count >= ENDPOINT_BATCH)
		endpoint_flush(ep);
	else if (q->count == 1 && !q->batching)
		sd_event_source_set_enabled(q->flush, SD_EVENT_ONESHOT);
}

/* Do identity segments of this type name the sender?  In matches and what follows them they name the affinity's. */
static bool names_sender(uint8_t type)
{
	switch (type) {
	case WIRE_WILDCARD_UPDATE:
	case WIRE_FIXED_UPDATE:
	case WIRE_HELLO:
	case WIRE_CHALLENGE:
	case WIRE_CHALLENGE_RESPONSE:
	case WIRE_ASK:
		return true;
	default:
		return false;
	}
}

/* Returns the length of the signed message, 0 when there is none (counted). */
static size_t make(struct endpoint *ep, uint64_t destination, struct wire_msg *m, uint8_t *buf)
{
	bool named = names_sender(m->h.type) && !wire_has(m, WIRE_SEG_IDENTITY);
	ssize_t len;

	if (named) {
		m->identity = ep->self;
		wire_set(m, WIRE_SEG_IDENTITY, false);
	}
	m->present &= ~wire_bit(WIRE_SEG_SECURITY);
	m->required &= ~wire_bit(WIRE_SEG_SECURITY);
	session_stamp(ep->session, destination, &m->h);
	auth_prepare(ep->trust->ring, m);
	len = wire_encode(m, buf, WIRE_MAX);
	if (len < 0 && named) { /* the packet inside is what matters */
		m->present &= ~wire_bit(WIRE_SEG_IDENTITY);
		len = wire_encode(m, buf, WIRE_MAX);
	}
	if (len < 0) {
		ep->counts[ENDPOINT_UNENCODABLE]++;
		return 0;
	}
	if (!auth_sign(ep->trust->ring, buf, (size_t)len)) {
		ep->counts[ENDPOINT_UNSIGNED]++;
		return 0;
	}
	return (size_t)len;
}

bool endpoint_send(struct endpoint *ep, const struct endpoint_peer *to, struct wire_msg *m)
{
	uint8_t *buf = take_slot(ep);
	size_t len = buf != NULL ? make(ep, to->identity, m, buf) : 0;

	if (len > 0)
		commit(ep, &to->addr, to->port, len);
	return len > 0;
}

/* A copy of the message queued last, at bytes.  Returns where it is now; NULL: no room. */
static const uint8_t *send_again(struct endpoint *ep, const struct addr *to, uint16_t port, const uint8_t *bytes,
				 size_t len)
{
	uint8_t *buf = take_slot(ep);

	if (buf == NULL)
		return NULL;
	memcpy(buf, bytes, len);
	commit(ep, to, port, len);
	return buf;
}

/* The i-th of those that hear everything: groups, then configured peers. */
static const struct addr *listener(const struct endpoint *ep, size_t i, uint16_t *port)
{
	if (i < ep->group_count) {
		*port = ep->group_port;
		return &ep->groups[i].group;
	}
	*port = ep->peers[i - ep->group_count].port;
	return &ep->peers[i - ep->group_count].addr;
}

/* One message, one sequence number, to all from the first one on: who hears it twice drops the second. */
static bool send_from(struct endpoint *ep, size_t first, struct wire_msg *m)
{
	uint8_t *buf = take_slot(ep);
	size_t len = buf != NULL ? make(ep, 0, m, buf) : 0;
	const uint8_t *last = buf;
	uint16_t port = 0;
	bool ok = len > 0;

	for (size_t i = first; len > 0 && i < ep->group_count + ep->peer_count; i++) {
		const struct addr *to = listener(ep, i, &port);
		const uint8_t *copy = buf;

		if (i == first)
			commit(ep, to, port, len);
		else
			copy = send_again(ep, to, port, last, len);
		/* Slots are used again when all others were: the message is never far back. */
		last = copy != NULL ? copy : last;
		ok &= copy != NULL;
	}
	return ok;
}

bool endpoint_send_all(struct endpoint *ep, struct wire_msg *m)
{
	return send_from(ep, 0, m);
}

bool endpoint_send_peers(struct endpoint *ep, struct wire_msg *m)
{
	return ep->peer_count == 0 || send_from(ep, ep->group_count, m);
}
