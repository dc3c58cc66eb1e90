/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The admin bus, a client's side: asynchronous on an event loop (routed-glue)
 * and blocking, one question at a time (turnoutctl).
 *
 * Must not know what replies mean.
 */
#include "lib/bus_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "lib/log.h"

#define CALL_SLICE_MS 200 /* how often a blocking call looks whether the daemon still lives */

static int connect_socket(void *socket, const char *run_dir, const char *name, const char *suffix)
{
	char endpoint[BUS_ENDPOINT];
	int r = bus_endpoint(endpoint, run_dir, name, suffix);

	if (r < 0)
		return r;
	return zmq_connect(socket, endpoint) < 0 ? -errno : 0;
}

static int send_request(void *socket, const Turnout__Request *request)
{
	zmq_msg_t body;
	int r;

	if (zmq_msg_init_size(&body, turnout__request__get_packed_size(request)) < 0)
		return -ENOMEM;
	turnout__request__pack(request, zmq_msg_data(&body));
	r = zmq_msg_send(&body, socket, ZMQ_DONTWAIT) < 0 ? -errno : 0;
	zmq_msg_close(&body);
	return r;
}

/* ---- asynchronous ---- */

struct bus_client {
	void *context;
	void *dealer;
	void *subscriber;
	struct bus_pump replies;
	struct bus_pump events;
	bus_on_reply on_reply;
	bus_on_event on_event;
	void *ctx;
};

static void on_reply(void *ctx)
{
	struct bus_client *c = ctx;
	Turnout__Reply *reply = NULL;
	zmq_msg_t body;

	zmq_msg_init(&body);
	if (bus_receive_parts(c->dealer, &body) == 1)
		reply = turnout__reply__unpack(NULL, zmq_msg_size(&body), zmq_msg_data(&body));
	zmq_msg_close(&body);
	if (!reply)
		log_debug("admin bus: dropped a reply that cannot be read");
	else if (c->on_reply)
		c->on_reply(c->ctx, reply);
	turnout__reply__free_unpacked(reply, NULL);
}

static void on_event(void *ctx)
{
	struct bus_client *c = ctx;
	Turnout__Event *event = NULL;
	zmq_msg_t body;

	zmq_msg_init(&body);
	if (bus_receive_parts(c->subscriber, &body) == 1)
		event = turnout__event__unpack(NULL, zmq_msg_size(&body), zmq_msg_data(&body));
	zmq_msg_close(&body);
	if (!event)
		log_debug("admin bus: dropped an event that cannot be read");
	else if (c->on_event)
		c->on_event(c->ctx, event);
	turnout__event__free_unpacked(event, NULL);
}

static int open_client(struct bus_client *c, sd_event *loop, const char *run_dir, const char *name)
{
	int r;

	c->context = bus_context_new();
	if (!c->context)
		return -errno;
	c->dealer = bus_socket_new(c->context, ZMQ_DEALER, BUS_HWM_REQUESTS, BUS_MAX_REPLY);
	c->subscriber = bus_socket_new(c->context, ZMQ_SUB, BUS_HWM_EVENTS, BUS_MAX_REPLY);
	if (!c->dealer || !c->subscriber || zmq_setsockopt(c->subscriber, ZMQ_SUBSCRIBE, "", 0) < 0)
		return -errno;
	r = connect_socket(c->dealer, run_dir, name, ".sock");
	if (r == 0)
		r = connect_socket(c->subscriber, run_dir, name, ".events");
	if (r == 0)
		r = bus_pump_open(&c->replies, loop, c->dealer, on_reply, c);
	if (r == 0)
		r = bus_pump_open(&c->events, loop, c->subscriber, on_event, c);
	return r;
}

int bus_client_new(struct bus_client **client, sd_event *loop, const char *run_dir, const char *name,
		   bus_on_reply reply, bus_on_event event, void *ctx)
{
	struct bus_client *c = calloc(1, sizeof(*c));
	int r;

	*client = NULL;
	if (!c)
		return -ENOMEM;
	c->on_reply = reply;
	c->on_event = event;
	c->ctx = ctx;
	r = open_client(c, loop, run_dir, name);
	if (r < 0) {
		bus_client_free(c);
		return r;
	}
	*client = c;
	return 0;
}

int bus_client_send(struct bus_client *c, Turnout__Request *request)
{
	int r = send_request(c->dealer, request);

	bus_pump_again(&c->replies);
	return r;
}

void bus_client_free(struct bus_client *c)
{
	if (!c)
		return;
	bus_pump_close(&c->replies);
	bus_pump_close(&c->events);
	if (c->dealer)
		zmq_close(c->dealer);
	if (c->subscriber)
		zmq_close(c->subscriber);
	if (c->context)
		zmq_ctx_term(c->context);
	free(c);
}

/* ---- blocking ---- */

static int64_t clock_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Is there somebody to ask?  ZeroMQ would wait for a daemon to come. */
static int look(const char *run_dir, const char *name)
{
	char endpoint[BUS_ENDPOINT];
	int r = bus_endpoint(endpoint, run_dir, name, ".sock");

	if (r < 0)
		return r;
	if (access(bus_endpoint_path(endpoint), R_OK | W_OK) < 0)
		return errno == ENOTDIR ? -ENOENT : -errno;
	return bus_alive(run_dir, name) ? 0 : -ENOENT;
}

/* Take the reply to request `id`; 1: it was something else, wait on. */
static int take_reply(void *dealer, uint64_t id, Turnout__Reply **reply)
{
	zmq_msg_t body;
	int parts;

	zmq_msg_init(&body);
	parts = bus_receive_parts(dealer, &body);
	if (parts == 1)
		*reply = turnout__reply__unpack(NULL, zmq_msg_size(&body), zmq_msg_data(&body));
	zmq_msg_close(&body);
	if (parts < 0)
		return 1;
	if (!*reply)
		return -EPROTO;
	if ((*reply)->id == id)
		return 0;
	turnout__reply__free_unpacked(*reply, NULL);
	*reply = NULL;
	return 1;
}

static int wait_reply(void *dealer, const char *run_dir, const char *name, uint64_t id, int timeout_ms,
		      Turnout__Reply **reply)
{
	int64_t end = clock_ms() + timeout_ms;

	for (;;) {
		zmq_pollitem_t item = {.socket = dealer, .events = ZMQ_POLLIN};
		int64_t left = end - clock_ms();
		int n, r;

		if (left < 0)
			left = 0;
		n = zmq_poll(&item, 1, left < CALL_SLICE_MS ? (long)left : CALL_SLICE_MS);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			r = take_reply(dealer, id, reply);
			if (r <= 0)
				return r;
		} else if (!bus_alive(run_dir, name)) {
			return -ENOENT;
		} else if (left == 0) {
			return -ETIMEDOUT;
		}
	}
}

int bus_call(const char *run_dir, const char *name, Turnout__Request *request, int timeout_ms, Turnout__Reply **reply)
{
	void *context, *dealer;
	int r = look(run_dir, name);

	*reply = NULL;
	if (r < 0)
		return r;
	context = bus_context_new();
	if (!context)
		return -errno;
	dealer = bus_socket_new(context, ZMQ_DEALER, BUS_HWM_REQUESTS, BUS_MAX_REPLY);
	r = dealer ? connect_socket(dealer, run_dir, name, ".sock") : -errno;
	if (r == 0)
		r = send_request(dealer, request);
	if (r == 0)
		r = wait_reply(dealer, run_dir, name, request->id, timeout_ms, reply);
	if (dealer)
		zmq_close(dealer);
	zmq_ctx_term(context);
	return r;
}
