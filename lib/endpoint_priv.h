/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The endpoint's inside, shared by its files only: endpoint_io.c (life,
 * receiving), endpoint_send_io.c (the send queue), endpoint_socket_io.c (opening
 * and joining), endpoint_keys_io.c (key files).
 */
#ifndef TURNOUT_LIB_ENDPOINT_PRIV_H
#define TURNOUT_LIB_ENDPOINT_PRIV_H

#include <net/if.h>

#include "lib/endpoint_io.h"
#include "lib/log.h"

#define ENDPOINT_BATCH  64  /* datagrams a system call */
#define ENDPOINT_SLOTS  256 /* in the send queue, when the kernel takes no more */
#define ENDPOINT_GROUPS 4

/* Room for any datagram.  An odd number of cache lines, so that the beginnings
 * of the slots do not all compete for one cache set. */
#define ENDPOINT_SLOT_SIZE (65536 + 64)

/* Sources whose challenges are limited apart from each other (by hash). */
#define ENDPOINT_BUCKETS               256
#define ENDPOINT_CHALLENGES_PER_SECOND 256

/* id, group, name, help: the counters that have no enum of their own. */
#define ENDPOINT_COUNTERS(X)                                                                                           \
	X(RECEIVED, "messages", "received", "datagrams that came in")                                                  \
	X(RECEIVED_BYTES, "messages", "received-bytes", "their bytes")                                                 \
	X(ACCEPTED, "messages", "accepted", "handed to the daemon")                                                    \
	X(OWN, "messages", "own-heard", "our own, come back by the group")                                             \
	X(GROUP_HEARD, "messages", "group-heard", "of others, that came by a group")                                   \
	X(DIRECT_HEARD, "messages", "direct-heard", "of others, that came to our address")                             \
	X(SENT, "messages", "sent", "datagrams sent")                                                                  \
	X(SENT_BYTES, "messages", "sent-bytes", "their bytes")                                                         \
	X(CHALLENGES, "messages", "challenges-sent", "peers asked to prove that they live now")                        \
	X(RESPONSES, "messages", "responses-sent", "challenges of peers answered")                                     \
	X(KNOWN, "messages", "peers-known", "peers that proved it")                                                    \
	X(TRUST, "messages", "security-loaded", "times that keys and senders were taken from the configuration")       \
	X(SOURCE, "message-drops", "source", "no address to answer to")                                                \
	X(SENDER, "message-drops", "sender", "from an address that security.accept-from does not have")                \
	X(TWIN, "message-drops", "same-identity", "of another that has our identity")                                  \
	X(CHALLENGE_LIMITED, "message-drops", "challenge-limited",                                                     \
	  "challenges and answers not sent: too many to one address")                                                  \
	X(QUEUE_FULL, "message-drops", "send-queue-full", "the kernel takes no more, and the queue is full")           \
	X(UNENCODABLE, "message-drops", "send-unencodable", "does not fit into a message")                             \
	X(UNSIGNED, "message-drops", "send-unsigned", "the key cannot sign it")                                        \
	X(SEND_BUFFERS, "message-drops", "send-no-buffers", "the kernel has no memory for it")                         \
	X(SEND_REFUSED, "message-drops", "send-refused", "nobody listens there")                                       \
	X(SEND_FORBIDDEN, "message-drops", "send-not-permitted", "a firewall rule of this host forbids it")            \
	X(SEND_UNREACHABLE, "message-drops", "send-unreachable", "no route, or its interface is down")                 \
	X(SEND_SIZE, "message-drops", "send-too-large", "larger than a datagram can be")                               \
	X(SEND_FAILED, "message-drops", "send-failed", "another error of the kernel")

enum endpoint_count {
#define X(id, group, name, help) ENDPOINT_##id,
	ENDPOINT_COUNTERS(X)
#undef X
		ENDPOINT_COUNT_END
};

struct endpoint_socket {
	int fd;
	sd_event_source *source;
	struct endpoint *ep;
	struct addr group; /* family 0: the unicast socket */
};

struct endpoint_receive; /* buffers of one batch */

struct endpoint_slot {
	struct sockaddr_storage to;
	socklen_t to_len;
	size_t len;
};

struct endpoint_queue {
	uint8_t *bytes; /* ENDPOINT_SLOTS of ENDPOINT_SLOT_SIZE */
	struct endpoint_slot slots[ENDPOINT_SLOTS];
	size_t head, count;
	sd_event_source *flush; /* runs before the loop looks at anything else */
	bool blocked;           /* the kernel's buffer is full: waiting for EPOLLOUT */
	bool batching;          /* it is emptied at the end of the batch that is being received */
};

struct endpoint_bucket {
	uint64_t window_ms;
	uint32_t sent;
};

struct endpoint_trust {
	struct auth_ring *ring;
	struct conf_prefix *accept_from; /* count 0: anyone */
	size_t accept_count;
};

struct endpoint {
	sd_event *loop;
	uint64_t identity, incarnation;
	struct wire_identity self; /* what goes into identity segments */
	const struct endpoint_handler *handler;
	void *ctx;
	struct endpoint_trust *trust;
	struct session *session;

	/* Of the configuration, copied. */
	char interface[IFNAMSIZ]; /* as configured; empty: the one that has the address */
	uint16_t port, group_port;
	uint8_t multicast_ttl;
	struct conf_endpoint *peers;
	size_t peer_count;

	struct endpoint_socket unicast;
	struct endpoint_socket groups[ENDPOINT_GROUPS];
	size_t group_count;
	uint32_t ifindex;        /* multicast goes out here */
	sd_event_source *rejoin; /* looks whether the interface came back under another index */

	struct endpoint_receive *receive;
	struct endpoint_queue queue;
	uint64_t bucket_key[2];
	struct endpoint_bucket buckets[ENDPOINT_BUCKETS];
	struct log_limit receive_log, send_log;
	uint64_t group_ms, direct_ms; /* when another was last heard; first: when we began to listen */
	uint64_t counts[ENDPOINT_COUNT_END];
	uint64_t faults[WIRE_FAULT_COUNT];
	uint64_t auth[AUTH_WRONG + 1];
	uint64_t verdicts[SESSION_COUNT];
};

/* endpoint_keys_io.c: is this a sender that may be heard? */
bool endpoint_trust_hears(const struct endpoint_trust *trust, const struct addr *a);

/* endpoint_socket_io.c */
int endpoint_sockets_open(struct endpoint *ep, const struct endpoint_conf *conf, sd_event_io_handler_t on_io);
void endpoint_sockets_close(struct endpoint *ep);
/* Datagrams the kernel dropped because we did not read them in time. */
uint64_t endpoint_sockets_missed(const struct endpoint *ep);
socklen_t endpoint_sockaddr(const struct endpoint *ep, const struct addr *a, uint16_t port,
			    struct sockaddr_storage *ss);

/* endpoint_send_io.c */
int endpoint_queue_open(struct endpoint *ep);
void endpoint_queue_close(struct endpoint *ep);

#endif
