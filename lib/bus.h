/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The admin bus: ZeroMQ sockets under a run directory, carrying the messages
 * of proto/admin.proto, on an sd-event loop.
 *
 * A daemon binds two sockets: RUN_DIR/NAME.sock (ROUTER, requests) and
 * RUN_DIR/NAME.events (PUB, events).  RUN_DIR/NAME.pid is locked first, because
 * a second bind on an ipc path would silently steal it; the lock also tells
 * peers that the daemon lives.  A stale file of a killed daemon is no obstacle.
 *
 * ZeroMQ starts threads: call bus_server_new() after capabilities were dropped.
 * ZMQ_FD is edge-triggered: this file drains on ZMQ_EVENTS after every send and
 * receive, so callers never need to know.  Must not know what requests mean.
 *
 * What ZeroMQ does not tell: a peer that died (there is no end-of-stream), and
 * events dropped because a subscriber was slow.  A follower therefore watches
 * the arrival of heartbeat events itself and the events' sequence numbers.
 *
 * A name is 1 to 63 letters, digits, '-', '_' and '.', not starting with '.'.
 * A socket's path has at most 107 bytes, else -ENAMETOOLONG.  ARCH-7.
 */
#ifndef TURNOUT_LIB_BUS_H
#define TURNOUT_LIB_BUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "proto/admin.pb-c.h"

/* What a handler returns for a request that its daemon has nothing to say on. */
#define BUS_NOT_KNOWN "not known here"

/* Is the daemon NAME running, that is, is its pid file locked? */
bool bus_alive(const char *run_dir, const char *name);
/* A sentence for people: what a negative (or positive) errno from this file
 * means for this directory and daemon, and what to do next.  Returns buf. */
const char *bus_explain(int error, const char *run_dir, const char *name, char *buf, size_t size);

/* ---- daemon side ---- */

struct bus_server;

/*
 * Answer a request: fill *reply (initialised, with id and source set).  What
 * it points to must stay valid until `release` (optional) is called with the
 * same ctx, which happens after an error too; what was filled in then is not sent.
 * Return NULL on success or a static message for Reply.error.  Must not free
 * the server.
 */
typedef const char *(*bus_handler)(void *ctx, const Turnout__Request *request, Turnout__Reply *reply);
typedef void (*bus_release)(void *ctx, Turnout__Reply *reply);

/* Take the lock RUN_DIR/NAME.pid (directory is created, mode 0750).
 * Returns a descriptor to keep open, or -1 with errno; EWOULDBLOCK: another instance holds it.
 * The file stays when the daemon ends: removing it would race with the next one's lock. */
int bus_lock(const char *run_dir, const char *name);

/* Returns 0 and *server, or a negative errno. */
int bus_server_new(struct bus_server **server, sd_event *loop, const char *run_dir, const char *name,
		   bus_handler handler, bus_release release, void *ctx);
/* Publish an event; source and seq are filled in.  Never blocks. */
void bus_publish(struct bus_server *server, Turnout__Event *event);
/* Rows of this bus's own counters, strings static; at most BUS_COUNTERS.  Returns the count. */
#define BUS_COUNTERS 8
size_t bus_server_counters(const struct bus_server *server, Turnout__CounterRow rows[BUS_COUNTERS]);
/* Removes the sockets too: call it while the lock is held. */
void bus_server_free(struct bus_server *server);

/* ---- client side, asynchronous: routed-glue following fad ---- */

struct bus_client;
typedef void (*bus_on_reply)(void *ctx, const Turnout__Reply *reply);
typedef void (*bus_on_event)(void *ctx, const Turnout__Event *event);

/* Connect to daemon NAME under run_dir (it need not be there yet, and may be
 * restarted: ZeroMQ connects again by itself).  Both callbacks are optional and
 * must not free the client. */
int bus_client_new(struct bus_client **client, sd_event *loop, const char *run_dir, const char *name,
		   bus_on_reply on_reply, bus_on_event on_event, void *ctx);
/* Never blocks.  A few requests wait for a daemon that is not there; then -EAGAIN.
 * A request may get lost when the daemon dies: tell replies apart by id, ask again. */
int bus_client_send(struct bus_client *client, Turnout__Request *request);
void bus_client_free(struct bus_client *client);

/* ---- client side, blocking: turnoutctl ---- */

/* One request, one reply, within timeout_ms.  *reply is freed with
 * turnout__reply__free_unpacked().  Returns 0, -ETIMEDOUT, -ENOENT (no such
 * daemon: no socket, or its pid file is not locked), -EPROTO (the reply cannot
 * be read), or another -errno. */
int bus_call(const char *run_dir, const char *name, Turnout__Request *request, int timeout_ms, Turnout__Reply **reply);
/* Names of the daemons whose sockets lie in run_dir, sorted; caller frees each
 * and the array.  A socket may be a dead daemon's.  -ENOENT: no such directory. */
int bus_list(const char *run_dir, char ***names, size_t *count);

#endif
