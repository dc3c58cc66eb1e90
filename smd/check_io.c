/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Health checks on an event loop; see check_io.h.  Must not know what a result
 * means.
 */
#include "smd/check_io.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/daemon.h"
#include "lib/log.h"
#include "smd/check_http_io.h"

#define MAX_OPEN     512u /* connections at a time */
#define BUSY_WAIT_US 20000u
#define FIRST_GAP_US 200u /* between the first checks of two targets */
#define LEAST_GAP_US 10000u
#define ACCURACY_US  1000u

struct probe {
	struct checker *checker;
	struct check_target target;
	int fd;                  /* of a connect under way, or -1 */
	struct http_check *http; /* request under way, or NULL */
	sd_event_source *timer, *io;
	uint64_t started_ns;
	bool told; /* there was a result */
};

struct checker {
	sd_event *loop;
	const struct check_handler *handler;
	void *ctx;
	struct http_checks *http; /* NULL: not needed yet */
	struct probe *probes;
	size_t count;
	unsigned open;
	uint64_t random; /* state of a generator, for jitter only */
	struct log_limit log;
};

/* xorshift64: good enough to fall out of step. */
static uint64_t jitter(struct checker *c, uint64_t below)
{
	c->random ^= c->random << 13;
	c->random ^= c->random >> 7;
	c->random ^= c->random << 17;
	return below ? c->random % below : 0;
}

static void set_timer(struct probe *p, uint64_t delay_us)
{
	int r = sd_event_source_set_time_relative(p->timer, delay_us);

	if (r >= 0)
		r = sd_event_source_set_enabled(p->timer, SD_EVENT_ONESHOT);
	if (r < 0)
		log_error("a health check's timer cannot be set: %s", strerror(-r));
}

static void hang_up(struct probe *p)
{
	p->io = sd_event_source_disable_unref(p->io);
	if (p->fd >= 0) {
		close(p->fd);
		p->checker->open--;
	}
	p->fd = -1;
	if (p->http) {
		http_check_cancel(p->http);
		p->checker->open--;
	}
	p->http = NULL;
}

/* Again when the interval, give or take a tenth, has passed since this one began. */
static void schedule_next(struct probe *p)
{
	uint64_t interval_us = (uint64_t)p->target.interval_ms * 1000;
	uint64_t wait_us = interval_us * 9 / 10 + jitter(p->checker, interval_us / 5);
	uint64_t gone_us = (daemon_now_ns() - p->started_ns) / 1000;

	set_timer(p, wait_us > gone_us + LEAST_GAP_US ? wait_us - gone_us : LEAST_GAP_US);
}

static void finish(struct probe *p, bool good, const char *text)
{
	struct checker *c = p->checker;

	hang_up(p);
	schedule_next(p);
	p->told = true;
	c->handler->result(c->ctx, (size_t)(p - c->probes), good, text);
}

/* What became of the connect: 0 or an errno. */
static void finish_connect(struct probe *p, int error)
{
	uint64_t us = (daemon_now_ns() - p->started_ns) / 1000;
	char text[64];

	if (error == 0)
		snprintf(text, sizeof(text), "connected in %llu.%llu ms", (unsigned long long)us / 1000,
			 (unsigned long long)us / 100 % 10);
	else
		snprintf(text, sizeof(text), "%s", strerrordesc_np(error) ? strerrordesc_np(error) : "failed");
	finish(p, error == 0, text);
}

static int on_writable(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct probe *p = userdata;
	int error = 0;
	socklen_t len = sizeof(error);

	(void)source;
	(void)events;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	finish_connect(p, error);
	return 0;
}

static void tell_own(struct probe *p)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct addr addr;
	uint16_t port;

	if (getsockname(p->fd, (struct sockaddr *)&ss, &len) == 0 && addr_from_sockaddr(&ss, &addr, &port) &&
	    !addr_is_zero(&addr)) /* there was no way to the server */
		p->checker->handler->own(p->checker->ctx, &addr);
}

/* Something of ours is missing, which says nothing about the server: no result, try again. */
static void cannot_check(struct probe *p, const char *what, int error)
{
	struct checker *c = p->checker;
	uint32_t missed;

	if (log_allowed(&c->log, daemon_now_ms(), 1, &missed))
		log_error("health checks cannot be made: %s: %s", what, strerror(error));
	hang_up(p);
	schedule_next(p);
}

static void on_http(void *ctx, enum http_result result, const char *text)
{
	struct probe *p = ctx;

	p->http = NULL;
	p->checker->open--;
	if (result == HTTP_CANNOT)
		cannot_check(p, text, EIO);
	else
		finish(p, result == HTTP_GOOD, text);
}

/*
 * What connect() says at once comes out of this host's routing table: a route is missing, or is there to refuse.  What
 * routers say of the server comes later.  Of a server that was never checked it counts all the same: its service must
 * not wait for a route that may never be there.
 */
static bool no_way(const struct probe *p, int error)
{
	return p->told && (error == ENETUNREACH || error == EHOSTUNREACH || error == EACCES || error == EINVAL);
}

/* Where a request to this target would leave from: the kernel says so without sending anything.  0 or an errno. */
static int tell_own_to(struct probe *p, const struct sockaddr_storage *ss, socklen_t len)
{
	int error = 0;

	p->fd = socket(ss->ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (p->fd < 0)
		return errno;
	if (connect(p->fd, (const struct sockaddr *)ss, len) == 0)
		tell_own(p);
	else
		error = errno;
	close(p->fd);
	p->fd = -1;
	return error;
}

static void start_http(struct probe *p)
{
	const struct check_target *t = &p->target;
	struct checker *c = p->checker;
	struct sockaddr_storage ss;
	socklen_t len = (socklen_t)addr_to_sockaddr(&t->addr, t->port, &ss);
	int r = 0, error;

	p->started_ns = daemon_now_ns();
	error = tell_own_to(p, &ss, len);
	if (no_way(p, error)) {
		cannot_check(p, "no route", error);
		return;
	}
	if (!c->http)
		r = http_checks_new(&c->http, c->loop);
	if (r >= 0)
		r = http_check_start(&p->http, c->http, t->conf, t->type == CHECK_HTTPS, &t->addr, t->port, on_http, p);
	if (r < 0) {
		cannot_check(p, "HTTP", -r);
		return;
	}
	c->open++;
	set_timer(p, (uint64_t)t->timeout_ms * 1000);
}

static bool local_trouble(int error)
{
	return error == ENOMEM || error == ENOBUFS || error == EADDRNOTAVAIL || error == EAGAIN;
}

static void start_connect(struct probe *p)
{
	const struct linger reset = {.l_onoff = 1, .l_linger = 0};
	struct sockaddr_storage ss;
	socklen_t len = (socklen_t)addr_to_sockaddr(&p->target.addr, p->target.port, &ss);
	int error, r;

	p->started_ns = daemon_now_ns();
	p->fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (p->fd < 0) {
		cannot_check(p, "socket", errno);
		return;
	}
	p->checker->open++;
	setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	error = connect(p->fd, (struct sockaddr *)&ss, len) < 0 ? errno : 0;
	tell_own(p);
	if (local_trouble(error) || no_way(p, error)) {
		cannot_check(p, "connect", error);
	} else if (error == EINPROGRESS) {
		r = sd_event_add_io(p->checker->loop, &p->io, p->fd, EPOLLOUT, on_writable, p);
		if (r < 0)
			cannot_check(p, "event loop", -r);
		else
			set_timer(p, (uint64_t)p->target.timeout_ms * 1000);
	} else {
		finish_connect(p, error);
	}
}

static int on_time(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct probe *p = userdata;
	char text[64];

	(void)source;
	(void)usec;
	if (p->fd >= 0 || p->http) {
		snprintf(text, sizeof(text), "no answer within %u ms", p->target.timeout_ms);
		finish(p, false, text);
	} else if (p->checker->open >= MAX_OPEN) {
		set_timer(p, BUSY_WAIT_US);
	} else if (p->target.type == CHECK_HTTP || p->target.type == CHECK_HTTPS) {
		start_http(p);
	} else {
		start_connect(p);
	}
	return 0;
}

int checker_new(struct checker **checker, sd_event *loop, const struct check_target *targets, size_t count,
		const struct check_handler *handler, void *ctx)
{
	struct checker *c = calloc(1, sizeof(*c));
	int r = c ? 0 : -ENOMEM;

	if (c) {
		c->loop = sd_event_ref(loop);
		c->handler = handler;
		c->ctx = ctx;
		daemon_random(NULL, &c->random, sizeof(c->random));
		c->random |= 1; /* zero would stay zero */
		c->probes = calloc(count ? count : 1, sizeof(*c->probes));
		r = c->probes ? 0 : -ENOMEM;
	}
	for (size_t i = 0; r >= 0 && i < count; i++) {
		struct probe *p = &c->probes[i];

		*p = (struct probe){.checker = c, .target = targets[i], .fd = -1};
		c->count++;
		r = sd_event_add_time_relative(loop, &p->timer, CLOCK_MONOTONIC, i * FIRST_GAP_US, ACCURACY_US, on_time,
					       p);
	}
	if (r < 0) {
		checker_free(c);
		return r;
	}
	*checker = c;
	return 0;
}

void checker_free(struct checker *c)
{
	if (!c)
		return;
	for (size_t i = 0; c->probes && i < c->count; i++) {
		hang_up(&c->probes[i]);
		sd_event_source_disable_unref(c->probes[i].timer);
	}
	free(c->probes);
	http_checks_free(c->http);
	sd_event_unref(c->loop);
	free(c);
}
