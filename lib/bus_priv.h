/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the two halves of the admin bus, bus_server.c and bus_client.c, share:
 * paths, socket options and the pump that ties a ZeroMQ socket to sd-event.
 *
 * Private to lib/bus*.c; must not know of daemons or clients.
 */
#ifndef TURNOUT_LIB_BUS_PRIV_H
#define TURNOUT_LIB_BUS_PRIV_H

#include <zmq.h>

#include "lib/bus.h"

#define BUS_MAX_REQUEST (64 << 10) /* bytes; ZeroMQ hangs up on a peer that sends more */
#define BUS_MAX_REPLY   (32 << 20)
#define BUS_ENDPOINT    128 /* "ipc://" and a socket's path */

/* Messages waiting for one peer, each way, before they are dropped or refused. */
#define BUS_HWM_REQUESTS 16
#define BUS_HWM_REPLIES  16
#define BUS_HWM_EVENTS   1024

/* "ipc://RUN_DIR/NAME.SUFFIX" into out.  0, -EINVAL (name), -ENAMETOOLONG. */
int bus_endpoint(char out[BUS_ENDPOINT], const char *run_dir, const char *name, const char *suffix);
/* The path within what bus_endpoint() made. */
static inline const char *bus_endpoint_path(const char *endpoint)
{
	return endpoint + sizeof("ipc://") - 1;
}

/* A new context; every socket made in it must be closed before zmq_ctx_term(). */
void *bus_context_new(void);
/* A socket with bounded queues and no lingering.  NULL with errno. */
void *bus_socket_new(void *context, int type, int hwm, int64_t max_message);

/*
 * The pump: calls `receive` while the socket has something to receive.
 *
 * ZMQ_FD becomes readable on an edge, and any call on the socket may consume
 * that edge; so after every send, and when a run of receives was cut short for
 * fairness, the pump is armed to look again in the next loop iteration.
 */
struct bus_pump {
	void *socket;
	sd_event_source *io;
	sd_event_source *again;
	void (*receive)(void *ctx); /* takes one message; NULL: nothing can be received (PUB) */
	void *ctx;
};
int bus_pump_open(struct bus_pump *pump, sd_event *loop, void *socket, void (*receive)(void *ctx), void *ctx);
void bus_pump_again(struct bus_pump *pump); /* call after each send */
void bus_pump_close(struct bus_pump *pump); /* not the socket */

/* Receive one message's single part into *body (initialised).  Further parts
 * are discarded.  Returns the number of parts, or -1 if there is none. */
int bus_receive_parts(void *socket, zmq_msg_t *body);

#endif
