/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The admin bus, a daemon's side: one ROUTER socket for requests, one PUB
 * socket for events.
 *
 * Whatever arrives, a peer gets one Reply a message or is dropped and counted.
 * Must not know what requests mean: the handler does.
 */
#include "lib/bus_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "lib/counter.h"

enum {
	COUNT_REQUESTS,
	COUNT_REFUSED,
	COUNT_MALFORMED,
	COUNT_UNDELIVERED,
	COUNT_OVERSIZED,
	COUNT_EVENTS,
	COUNT_EVENTS_LOST,
	COUNT_END,
};
_Static_assert((int)COUNT_END <= BUS_COUNTERS, "bus.h promises the number");

static const struct counter_desc descriptions[COUNT_END] = {
	[COUNT_REQUESTS] = {"bus", "requests", "requests read"},
	[COUNT_REFUSED] = {"bus", "refused", "requests answered with an error"},
	[COUNT_MALFORMED] = {"bus", "malformed", "messages that are not a request"},
	[COUNT_UNDELIVERED] = {"bus", "undelivered", "replies to a client that was gone or did not read"},
	[COUNT_OVERSIZED] = {"bus", "oversized", "replies larger than allowed, answered with an error"},
	[COUNT_EVENTS] = {"bus", "events", "events published"},
	[COUNT_EVENTS_LOST] = {"bus", "events-lost", "events that could not be published"},
};

struct bus_server {
	char *name;
	char request_endpoint[BUS_ENDPOINT]; /* empty: not bound by us */
	char event_endpoint[BUS_ENDPOINT];
	void *context;
	void *router;
	void *publisher;
	struct bus_pump requests;
	struct bus_pump subscriptions;
	bus_handler handler;
	bus_release release;
	void *ctx;
	uint64_t seq;
	uint64_t counters[COUNT_END];
};

/* ---- more clients than descriptors ---- */

/* The last quarter of what the process may have open is for its own work: checks, questions to the kernel. */
static bool is_spare(int fd)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_NOFILE, &limit) < 0 || (rlim_t)fd < limit.rlim_cur - limit.rlim_cur / 4;
}

/*
 * In front of the C library's, for ZeroMQ: up to 4.3.4 at least it takes EMFILE and a lack of memory at a listener for
 * a mistake of its own and aborts, so that whoever may connect could end the daemon.  ENFILE it takes for what all are:
 * that client waits.  It would ask again at once, and never stop; hence the pause, in its own thread.
 */
int accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
	const struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};
	int r = (int)syscall(SYS_accept4, fd, addr, len, flags);

	if (r >= 0 && !is_spare(r)) {
		close(r);
		errno = ECONNABORTED; /* as if it had hung up by itself; it tries again */
		return -1;
	}
	if (r < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)) {
		nanosleep(&pause, NULL);
		errno = ENFILE;
	}
	return r;
}

/* ---- replies ---- */

/* Send a packed reply to the peer with this routing id, which is used up. */
static void send_packed(struct bus_server *s, zmq_msg_t *peer, const Turnout__Reply *reply, size_t len)
{
	zmq_msg_t body;

	if (zmq_msg_init_size(&body, len) < 0) {
		s->counters[COUNT_UNDELIVERED]++;
		return;
	}
	turnout__reply__pack(reply, zmq_msg_data(&body));
	/* ROUTER_MANDATORY: a peer that left or does not read is an error of the
	 * first part; then nothing of the message was taken. */
	if (zmq_msg_send(peer, s->router, ZMQ_DONTWAIT | ZMQ_SNDMORE) < 0 ||
	    zmq_msg_send(&body, s->router, ZMQ_DONTWAIT) < 0)
		s->counters[COUNT_UNDELIVERED]++;
	zmq_msg_close(&body);
	bus_pump_again(&s->requests);
}

static void send_error(struct bus_server *s, zmq_msg_t *peer, uint64_t id, const char *error)
{
	Turnout__Reply reply = TURNOUT__REPLY__INIT;

	reply.id = id;
	reply.source = s->name;
	reply.error = (char *)(uintptr_t)error;
	s->counters[COUNT_REFUSED]++;
	send_packed(s, peer, &reply, turnout__reply__get_packed_size(&reply));
}

static void answer(struct bus_server *s, zmq_msg_t *peer, const Turnout__Request *request)
{
	Turnout__Reply reply = TURNOUT__REPLY__INIT;
	const char *error;

	reply.id = request->id;
	reply.source = s->name;
	error = s->handler(s->ctx, request, &reply);
	if (error) {
		send_error(s, peer, request->id, error);
	} else {
		size_t len = turnout__reply__get_packed_size(&reply);

		if (len <= BUS_MAX_REPLY) {
			send_packed(s, peer, &reply, len);
		} else {
			s->counters[COUNT_OVERSIZED]++;
			send_error(s, peer, request->id, "the reply is too large; ask for fewer rows a page");
		}
	}
	if (s->release)
		s->release(s->ctx, &reply);
}

/* ---- requests ---- */

/* One message: the routing id that ROUTER puts in front, then one part. */
static void on_request(void *ctx)
{
	struct bus_server *s = ctx;
	Turnout__Request *request = NULL;
	zmq_msg_t peer, body;
	int parts = 0;

	zmq_msg_init(&peer);
	zmq_msg_init(&body);
	if (zmq_msg_recv(&peer, s->router, ZMQ_DONTWAIT) < 0)
		goto out;
	if (zmq_msg_more(&peer))
		parts = bus_receive_parts(s->router, &body);
	if (parts == 1)
		request = turnout__request__unpack(NULL, zmq_msg_size(&body), zmq_msg_data(&body));
	if (request) {
		s->counters[COUNT_REQUESTS]++;
		answer(s, &peer, request);
		turnout__request__free_unpacked(request, NULL);
	} else {
		s->counters[COUNT_MALFORMED]++;
		send_error(s, &peer, 0, "malformed request");
	}
out:
	zmq_msg_close(&body);
	zmq_msg_close(&peer);
}

/* ---- set up, events ---- */

static int bind_socket(void *socket, char bound[BUS_ENDPOINT], const char *run_dir, const char *name,
		       const char *suffix)
{
	char endpoint[BUS_ENDPOINT];
	mode_t old;
	int r = bus_endpoint(endpoint, run_dir, name, suffix);

	if (r < 0)
		return r;
	/* The file is made in this call and this thread: by the umask it never
	 * has another mode than 0660.  A dead daemon's file is replaced. */
	old = umask(0117);
	r = zmq_bind(socket, endpoint) < 0 ? -errno : 0;
	umask(old);
	if (r == 0)
		memcpy(bound, endpoint, sizeof(endpoint));
	return r;
}

/* ZeroMQ leaves the file behind. */
static void close_socket(void *socket, const char *bound)
{
	if (socket)
		zmq_close(socket);
	if (*bound)
		unlink(bus_endpoint_path(bound));
}

static int open_sockets(struct bus_server *s, sd_event *loop, const char *run_dir)
{
	int one = 1;
	int r;

	s->context = bus_context_new();
	if (!s->context)
		return -errno;
	s->router = bus_socket_new(s->context, ZMQ_ROUTER, BUS_HWM_REPLIES, BUS_MAX_REQUEST);
	s->publisher = bus_socket_new(s->context, ZMQ_PUB, BUS_HWM_EVENTS, BUS_MAX_REQUEST);
	if (!s->router || !s->publisher || zmq_setsockopt(s->router, ZMQ_ROUTER_MANDATORY, &one, sizeof(one)) < 0)
		return -errno;
	r = bind_socket(s->router, s->request_endpoint, run_dir, s->name, ".sock");
	if (r == 0)
		r = bind_socket(s->publisher, s->event_endpoint, run_dir, s->name, ".events");
	if (r == 0)
		r = bus_pump_open(&s->requests, loop, s->router, on_request, s);
	if (r == 0)
		r = bus_pump_open(&s->subscriptions, loop, s->publisher, NULL, s);
	return r;
}

int bus_server_new(struct bus_server **server, sd_event *loop, const char *run_dir, const char *name,
		   bus_handler handler, bus_release release, void *ctx)
{
	struct bus_server *s = calloc(1, sizeof(*s));
	int r;

	*server = NULL;
	if (!s)
		return -ENOMEM;
	s->handler = handler;
	s->release = release;
	s->ctx = ctx;
	s->name = strdup(name);
	r = s->name ? open_sockets(s, loop, run_dir) : -ENOMEM;
	if (r < 0) {
		bus_server_free(s);
		return r;
	}
	*server = s;
	return 0;
}

void bus_publish(struct bus_server *s, Turnout__Event *event)
{
	zmq_msg_t body;

	event->source = s->name;
	event->seq = ++s->seq; /* counts the lost ones too: a gap tells */
	if (zmq_msg_init_size(&body, turnout__event__get_packed_size(event)) < 0) {
		s->counters[COUNT_EVENTS_LOST]++;
		return;
	}
	turnout__event__pack(event, zmq_msg_data(&body));
	if (zmq_msg_send(&body, s->publisher, ZMQ_DONTWAIT) < 0)
		s->counters[COUNT_EVENTS_LOST]++;
	else
		s->counters[COUNT_EVENTS]++;
	zmq_msg_close(&body);
	bus_pump_again(&s->subscriptions);
}

size_t bus_server_counters(const struct bus_server *s, Turnout__CounterRow rows[BUS_COUNTERS])
{
	return counter_rows(descriptions, s->counters, COUNT_END, rows);
}

void bus_server_free(struct bus_server *s)
{
	if (!s)
		return;
	bus_pump_close(&s->requests);
	bus_pump_close(&s->subscriptions);
	close_socket(s->router, s->request_endpoint);
	close_socket(s->publisher, s->event_endpoint);
	if (s->context)
		zmq_ctx_term(s->context);
	free(s->name);
	free(s);
}
