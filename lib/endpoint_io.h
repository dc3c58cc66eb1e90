/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control sockets of a daemon: a unicast endpoint and a multicast
 * receiver (ARCH-5), batched both ways (recvmmsg, sendmmsg), with
 * authentication, replay protection, challenges and drop counters in front of
 * the daemon's handler.  What reaches the handler was decoded, authenticated,
 * fresh and of a known incarnation.
 *
 * I/O; must not know what a message means to its receiver.
 */
#ifndef TURNOUT_LIB_ENDPOINT_IO_H
#define TURNOUT_LIB_ENDPOINT_IO_H

#include <sys/socket.h>
#include <systemd/sd-event.h>

#include "lib/addr.h"
#include "lib/conf.h"
#include "lib/peer.h"
#include "proto/auth.h"
#include "proto/session.h"
#include "proto/wire.h"

/* ---- configuration: the `control:` and `security:` mappings, alike in fad and smd ---- */

struct endpoint_conf {
	struct addr address;     /* control.address: the unicast endpoint's own address, required */
	uint16_t port;           /* control.port, default 7510 */
	char *interface;         /* control.interface: for multicast; default: the one that has the address */
	struct conf_list groups; /* control.group, struct addr; default 239.255.75.10 or ff15::7510 by the address's
				  * family; at most 4 */
	uint16_t group_port;     /* control.group-port, default 7511 */
	uint16_t multicast_ttl;  /* control.multicast-ttl, default 8 */
	struct conf_list
		peers;  /* control.peers: struct conf_endpoint, default port 7510; also sent what goes to the group */
	bool multicast; /* control.multicast, default true */
};
extern const struct conf_mapping endpoint_conf_mapping;

struct security_key_conf {
	uint32_t id;
	int scheme; /* hmac-sha256 (default) | md5 */
	char *file; /* secret: the file's bytes without a trailing newline; must not be readable by others */
	struct conf_list identities; /* uint64_t; empty: anyone */
};
struct security_conf {
	struct conf_list keys;        /* struct security_key_conf; empty: nothing signed, nothing expected */
	uint32_t sign_with;           /* default: the first key */
	struct conf_list accept_from; /* struct conf_prefix: nobody else is heard; empty: anyone */
};
extern const struct conf_mapping security_conf_mapping;

/* ---- whom to believe ---- */

/* What `security:` says, with the keys read from their files. */
struct endpoint_trust;

/* Read the key files.  Returns 0, or an enum exitcode after one clear log line; nothing is kept open. */
int endpoint_trust_load(struct endpoint_trust **trust, const struct security_conf *conf);
void endpoint_trust_free(struct endpoint_trust *trust); /* wipes secrets; NULL is allowed */

/* ---- the endpoint ---- */

struct endpoint;

struct endpoint_handler {
	/* A message that passed all checks.  buf-backed pointers in m live until return. */
	void (*message)(void *ctx, const struct endpoint_peer *from, const struct wire_msg *m);
	/* The peer became known in a new incarnation (it answered our challenge). */
	void (*peer_known)(void *ctx, const struct endpoint_peer *peer);
	/* We answered the challenge of a peer that is known: it has no state of us; send it again.  (One not known is
	 * challenged back, and becomes known.) */
	void (*peer_asks)(void *ctx, const struct endpoint_peer *peer);
	/* A message dropped for a required segment of unknown type (MSG-3): may be denied.  m: its header and the
	 * segments that are known, not held against each other. */
	void (*undecodable)(void *ctx, const struct endpoint_peer *from, const struct wire_msg *m,
			    const struct wire_diagnosis *why);
	/* After a batch of received messages was handled; optional. */
	void (*batch_end)(void *ctx);
};

/*
 * Open the sockets.  incarnation is chosen here (wall clock in ns, never 0).
 * Returns 0, or an enum exitcode after one clear log line (address missing,
 * port in use, key file unreadable or readable by others, ...).
 */
int endpoint_open(struct endpoint **ep, sd_event *loop, uint64_t identity, const char *name,
		  const struct endpoint_conf *conf, const struct security_conf *security,
		  const struct endpoint_handler *handler, void *ctx);
void endpoint_close(struct endpoint *ep);
/* From now on sign and check by these; takes them.  Who is known stays known (SEC-3: keys roll without an outage). */
void endpoint_believe(struct endpoint *ep, struct endpoint_trust *trust);

/* Queue a message to one peer; header fields and security are filled in, and
 * our identity segment where the type allows it and none is set.
 * Sent at the end of the loop iteration, or when 64 are queued, or by flush.
 * false: would not encode, or the queue is full (counted). */
bool endpoint_send(struct endpoint *ep, const struct endpoint_peer *to, struct wire_msg *m);
/* To the multicast group(s) and the configured unicast peers, destination 0. */
bool endpoint_send_all(struct endpoint *ep, struct wire_msg *m);
/* To the configured unicast peers only, destination 0. */
bool endpoint_send_peers(struct endpoint *ep, struct wire_msg *m);
void endpoint_flush(struct endpoint *ep);

uint64_t endpoint_incarnation(const struct endpoint *ep);
uint64_t endpoint_identity(const struct endpoint *ep);

/* Counters, for listings: names and values, in a fixed order.  Returns the count. */
struct endpoint_counter {
	const char *group; /* "messages" or "message-drops" */
	const char *name;
	const char *help; /* one line for people */
	uint64_t value;
};
size_t endpoint_counters(const struct endpoint *ep, struct endpoint_counter *out, size_t cap);

#endif
