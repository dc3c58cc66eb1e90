/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tests of the admin bus with real sockets in a directory made for each test.
 * Daemons that must die or block are child processes; the others live on the
 * test's own event loop.
 */
#include "lib/bus.h"

#include <check.h>
#include <errno.h>
#include <ftw.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

struct fixture {
	char dir[64];
	pid_t child;
	sd_event *loop;
};

/* A daemon that answers `version` with what it was asked, `show_agents` with
 * `big` rows, and knows nothing else. */
struct daemon {
	struct bus_server *server;
	Turnout__VersionRow version;
	Turnout__AgentRow row;
	Turnout__AgentRow **rows;
	char text[64];
	char *filler;
	size_t big;
	unsigned answered, released;
};

static struct fixture *setup(void)
{
	struct fixture *f = calloc(1, sizeof(*f));

	snprintf(f->dir, sizeof(f->dir), "/tmp/turnout-bus-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(f->dir));
	f->child = -1;
	ck_assert_int_ge(sd_event_new(&f->loop), 0);
	return f;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void stop_child(struct fixture *f)
{
	if (f->child > 0) {
		kill(f->child, SIGKILL);
		waitpid(f->child, NULL, 0);
	}
	f->child = -1;
}

static void teardown(struct fixture *f)
{
	stop_child(f);
	sd_event_unref(f->loop);
	nftw(f->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(f);
}

static const char *handle(void *ctx, const Turnout__Request *request, Turnout__Reply *reply)
{
	struct daemon *d = ctx;

	d->answered++;
	switch (request->what_case) {
	case TURNOUT__REQUEST__WHAT_VERSION:
		turnout__version_row__init(&d->version);
		snprintf(d->text, sizeof(d->text), "%llu/%u", (unsigned long long)request->cursor, request->limit);
		d->version.version = d->text;
		reply->version = &d->version;
		return NULL;
	case TURNOUT__REQUEST__WHAT_SHOW_AGENTS:
		turnout__agent_row__init(&d->row);
		d->row.name = d->filler;
		d->rows = calloc(d->big, sizeof(*d->rows));
		for (size_t i = 0; i < d->big; i++)
			d->rows[i] = &d->row;
		reply->agents = d->rows;
		reply->n_agents = d->big;
		return NULL;
	default:
		return BUS_NOT_KNOWN;
	}
}

static void release(void *ctx, Turnout__Reply *reply)
{
	struct daemon *d = ctx;

	(void)reply;
	free(d->rows);
	d->rows = NULL;
	d->released++;
}

static uint64_t counter(const struct bus_server *server, const char *name)
{
	Turnout__CounterRow rows[BUS_COUNTERS];
	size_t n = bus_server_counters(server, rows);

	for (size_t i = 0; i < n; i++) {
		ck_assert_str_eq(rows[i].group, "bus");
		ck_assert_uint_gt(strlen(rows[i].help), 0);
		if (strcmp(rows[i].name, name) == 0)
			return rows[i].value;
	}
	ck_abort_msg("no counter %s", name);
}

/* Run the loop until *value reaches `wanted` or ms passed. */
static bool spin(struct fixture *f, const unsigned *value, unsigned wanted, int ms)
{
	uint64_t now, end;

	ck_assert_int_ge(sd_event_now(f->loop, CLOCK_MONOTONIC, &now), 0);
	end = now + (uint64_t)ms * 1000;
	while (*value < wanted && now < end) {
		sd_event_run(f->loop, 10000);
		sd_event_now(f->loop, CLOCK_MONOTONIC, &now);
	}
	return *value >= wanted;
}

/* ---- a daemon in a child process ---- */

static void child_main(const char *dir, const char *name, int ready)
{
	struct daemon d = {0};
	sd_event *loop;

	if (bus_lock(dir, name) < 0 || sd_event_new(&loop) < 0 ||
	    bus_server_new(&d.server, loop, dir, name, handle, release, &d) < 0 || write(ready, "1", 1) != 1)
		_exit(1);
	sd_event_loop(loop);
	_exit(0);
}

static void start_child(struct fixture *f, const char *name)
{
	int fds[2];
	char c;

	ck_assert_int_eq(pipe(fds), 0);
	f->child = fork();
	ck_assert_int_ge(f->child, 0);
	if (f->child == 0)
		child_main(f->dir, name, fds[1]);
	close(fds[1]);
	ck_assert_msg(read(fds[0], &c, 1) == 1, "the child daemon did not start");
	close(fds[0]);
}

static Turnout__Empty empty = TURNOUT__EMPTY__INIT;

static int ask(struct fixture *f, const char *name, uint64_t id, int timeout_ms, Turnout__Reply **reply)
{
	Turnout__Request request = TURNOUT__REQUEST__INIT;

	request.id = id;
	request.cursor = 7;
	request.limit = 3;
	request.what_case = TURNOUT__REQUEST__WHAT_VERSION;
	request.version = &empty;
	return bus_call(f->dir, name, &request, timeout_ms, reply);
}

START_TEST(test_ARCH_7_request_and_reply)
{
	struct fixture *f = setup();
	Turnout__Reply *reply;

	start_child(f, "fad");
	for (uint64_t id = 1; id <= 20; id++) {
		ck_assert_int_eq(ask(f, "fad", id, 5000, &reply), 0);
		ck_assert_uint_eq(reply->id, id);
		ck_assert_str_eq(reply->source, "fad");
		ck_assert_str_eq(reply->error, "");
		ck_assert_str_eq(reply->version->version, "7/3");
		turnout__reply__free_unpacked(reply, NULL);
	}
	teardown(f);
}
END_TEST

START_TEST(test_handler_error_reaches_the_client)
{
	struct fixture *f = setup();
	Turnout__Request request = TURNOUT__REQUEST__INIT;
	Turnout__Reply *reply;

	start_child(f, "fad");
	request.id = 9;
	ck_assert_int_eq(bus_call(f->dir, "fad", &request, 5000, &reply), 0);
	ck_assert_uint_eq(reply->id, 9);
	ck_assert_str_eq(reply->error, BUS_NOT_KNOWN);
	turnout__reply__free_unpacked(reply, NULL);
	teardown(f);
}
END_TEST

START_TEST(test_absent_daemon_is_told_from_a_slow_one)
{
	struct fixture *f = setup();
	Turnout__Reply *reply;
	char text[256];

	ck_assert_int_eq(ask(f, "fad", 1, 5000, &reply), -ENOENT);
	ck_assert_ptr_null(reply);
	start_child(f, "fad");
	ck_assert(bus_alive(f->dir, "fad"));
	kill(f->child, SIGSTOP);
	ck_assert_int_eq(ask(f, "fad", 1, 300, &reply), -ETIMEDOUT);
	ck_assert_ptr_null(reply);
	ck_assert_ptr_nonnull(strstr(bus_explain(-ETIMEDOUT, f->dir, "fad", text, sizeof(text)), "in time"));
	kill(f->child, SIGCONT);
	ck_assert_int_eq(ask(f, "fad", 2, 5000, &reply), 0);
	turnout__reply__free_unpacked(reply, NULL);
	teardown(f);
}
END_TEST

START_TEST(test_death_during_a_call_ends_it_early)
{
	struct fixture *f = setup();
	Turnout__Reply *reply;
	pid_t killer;

	start_child(f, "fad");
	kill(f->child, SIGSTOP);
	killer = fork();
	if (killer == 0) {
		usleep(300000);
		kill(f->child, SIGKILL);
		_exit(0);
	}
	alarm(8); /* far below the call's own limit */
	ck_assert_int_eq(ask(f, "fad", 1, 60000, &reply), -ENOENT);
	alarm(0);
	waitpid(killer, NULL, 0);
	teardown(f);
}
END_TEST

START_TEST(test_killed_daemon_leaves_no_obstacle)
{
	struct fixture *f = setup();
	char path[128], **names;
	struct stat st;
	size_t count;
	Turnout__Reply *reply;

	start_child(f, "fad");
	stop_child(f);
	snprintf(path, sizeof(path), "%s/fad.sock", f->dir);
	ck_assert_msg(stat(path, &st) == 0 && S_ISSOCK(st.st_mode), "SIGKILL leaves the socket file");
	ck_assert_int_eq(bus_list(f->dir, &names, &count), 0);
	ck_assert_uint_eq(count, 1);
	ck_assert_str_eq(names[0], "fad");
	free(names[0]);
	free(names);
	ck_assert(!bus_alive(f->dir, "fad"));
	ck_assert_int_eq(ask(f, "fad", 1, 5000, &reply), -ENOENT);

	start_child(f, "fad");
	ck_assert_int_eq(ask(f, "fad", 1, 5000, &reply), 0);
	turnout__reply__free_unpacked(reply, NULL);
	teardown(f);
}
END_TEST

START_TEST(test_second_instance_is_refused)
{
	struct fixture *f = setup();
	char path[256], text[16] = "", sentence[256];
	Turnout__Reply *reply;
	FILE *pid;
	int fd;

	start_child(f, "fad");
	ck_assert_int_eq(bus_lock(f->dir, "fad"), -1);
	ck_assert_int_eq(errno, EWOULDBLOCK);
	ck_assert_ptr_nonnull(
		strstr(bus_explain(errno, f->dir, "fad", sentence, sizeof(sentence)), "another instance"));
	ck_assert_int_eq(ask(f, "fad", 1, 5000, &reply), 0); /* the first one keeps its socket */
	turnout__reply__free_unpacked(reply, NULL);

	snprintf(path, sizeof(path), "%s/fad.pid", f->dir);
	pid = fopen(path, "r");
	ck_assert_ptr_nonnull(pid);
	ck_assert_ptr_nonnull(fgets(text, sizeof(text), pid));
	fclose(pid);
	ck_assert_int_eq(atoi(text), f->child);

	fd = bus_lock(f->dir, "smd"); /* another name is another daemon */
	ck_assert_int_ge(fd, 0);
	close(fd);
	stop_child(f);
	fd = bus_lock(f->dir, "fad");
	ck_assert_int_ge(fd, 0);
	close(fd);
	teardown(f);
}
END_TEST

START_TEST(test_names_and_long_paths_are_refused)
{
	static const char *const bad[] = {"", ".", "..", ".fad", "a/b", "../fad", "a b", "a\n"};
	struct fixture *f = setup();
	struct daemon d = {0};
	char deep[256], sentence[512];
	Turnout__Reply *reply;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_int_eq(bus_lock(f->dir, bad[i]), -1);
		ck_assert_int_eq(errno, EINVAL);
		ck_assert_int_eq(ask(f, bad[i], 1, 100, &reply), -EINVAL);
		ck_assert_int_eq(bus_server_new(&d.server, f->loop, f->dir, bad[i], handle, NULL, &d), -EINVAL);
		ck_assert_ptr_null(d.server);
	}
	snprintf(deep, sizeof(deep), "%s/%0100d", f->dir, 0);
	ck_assert_int_eq(bus_lock(deep, "fad"), -1);
	ck_assert_int_eq(errno, ENAMETOOLONG);
	ck_assert_ptr_nonnull(strstr(bus_explain(errno, deep, "fad", sentence, sizeof(sentence)), "107"));

	/* The longest that fits works: DIR/ZEROS "/fad.events" is 107 bytes. */
	snprintf(deep, sizeof(deep), "%s/%0*d", f->dir, (int)(107 - strlen(f->dir) - 1 - strlen("/fad.events")), 0);
	ck_assert_int_ge(bus_lock(deep, "fad"), 0);
	ck_assert_int_eq(bus_server_new(&d.server, f->loop, deep, "fad", handle, release, &d), 0);
	bus_server_free(d.server);
	teardown(f);
}
END_TEST

START_TEST(test_files_are_for_owner_and_group)
{
	struct fixture *f = setup();
	struct daemon d = {0};
	char dir[96], path[128], **names;
	struct stat st;
	size_t count;
	mode_t old = umask(0);

	snprintf(dir, sizeof(dir), "%s/new/er", f->dir);
	ck_assert_int_eq(bus_list(dir, &names, &count), -ENOENT);
	ck_assert_int_ge(bus_lock(dir, "fad"), 0);
	ck_assert_int_eq(bus_server_new(&d.server, f->loop, dir, "fad", handle, release, &d), 0);
	ck_assert_int_eq(umask(old), 0);
	ck_assert_int_eq(stat(dir, &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0750);
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/fad.%s", dir, i ? "events" : "sock");
		ck_assert_int_eq(stat(path, &st), 0);
		ck_assert_int_eq(st.st_mode & 0777, 0660);
	}
	bus_server_free(d.server);
	ck_assert_int_eq(bus_list(dir, &names, &count), 0);
	ck_assert_uint_eq(count, 0); /* a daemon that ends takes its sockets along */
	free(names);
	teardown(f);
}
END_TEST

/* ---- on one loop: followers ---- */

struct follower {
	unsigned replies, events;
	uint64_t last_seq, last_version;
	unsigned gaps;
	char source[32];
};

static void follow_reply(void *ctx, const Turnout__Reply *reply)
{
	struct follower *w = ctx;

	w->replies++;
	snprintf(w->source, sizeof(w->source), "%s", reply->source);
}

static void follow_event(void *ctx, const Turnout__Event *event)
{
	struct follower *w = ctx;

	w->events++;
	if (w->last_seq && event->seq != w->last_seq + 1)
		w->gaps++;
	w->last_seq = event->seq;
	if (event->what_case == TURNOUT__EVENT__WHAT_HEARTBEAT)
		w->last_version = event->heartbeat->version;
}

static void publish(struct bus_server *server, uint64_t version)
{
	Turnout__Event event = TURNOUT__EVENT__INIT;
	Turnout__Heartbeat heartbeat = TURNOUT__HEARTBEAT__INIT;

	heartbeat.version = version;
	event.what_case = TURNOUT__EVENT__WHAT_HEARTBEAT;
	event.heartbeat = &heartbeat;
	bus_publish(server, &event);
}

/* Publish until the subscription has arrived. */
static void settle(struct fixture *f, struct bus_server *server, struct follower *w)
{
	unsigned before = w->events;

	for (int i = 0; i < 500 && w->events == before; i++) {
		publish(server, 1);
		spin(f, &w->events, before + 1, 10);
	}
	ck_assert_uint_gt(w->events, before);
	w->last_seq = 0;
}

static int send_version(struct bus_client *client, uint64_t id)
{
	Turnout__Request request = TURNOUT__REQUEST__INIT;

	request.id = id;
	request.what_case = TURNOUT__REQUEST__WHAT_VERSION;
	request.version = &empty;
	return bus_client_send(client, &request);
}

/* Nothing but the burst itself wakes the loop: a lost edge would leave messages lying. */
START_TEST(test_bursts_are_drained_to_the_last_message)
{
	struct fixture *f = setup();
	struct daemon d = {0};
	struct follower w = {0};
	struct bus_client *client;

	ck_assert_int_eq(bus_server_new(&d.server, f->loop, f->dir, "fad", handle, release, &d), 0);
	ck_assert_int_eq(bus_client_new(&client, f->loop, f->dir, "fad", follow_reply, follow_event, &w), 0);
	settle(f, d.server, &w);
	for (unsigned round = 1; round <= 50; round++) {
		unsigned events = w.events;

		for (unsigned i = 0; i < 12; i++)
			ck_assert_int_eq(send_version(client, i), 0);
		for (unsigned i = 0; i < 300; i++)
			publish(d.server, round * 1000 + i);
		ck_assert_msg(spin(f, &w.replies, round * 12, 5000), "round %u: %u replies", round, w.replies);
		ck_assert_msg(spin(f, &w.events, events + 300, 5000), "round %u: %u events", round, w.events - events);
		ck_assert_uint_eq(w.last_version, round * 1000 + 299);
	}
	ck_assert_uint_eq(w.gaps, 0);
	ck_assert_str_eq(w.source, "fad");
	ck_assert_uint_eq(d.released, d.answered);
	ck_assert_uint_eq(counter(d.server, "requests"), 600);
	ck_assert_uint_eq(counter(d.server, "events-lost"), 0);
	bus_client_free(client);
	bus_server_free(d.server);
	teardown(f);
}
END_TEST

START_TEST(test_follower_finds_a_daemon_that_comes_and_comes_again)
{
	struct fixture *f = setup();
	struct daemon d = {0};
	struct follower w = {0};
	struct bus_client *client;
	int sent = 0;

	ck_assert_int_eq(bus_client_new(&client, f->loop, f->dir, "fad", follow_reply, follow_event, &w), 0);
	while (send_version(client, 1) == 0)
		ck_assert_int_lt(++sent, 1000); /* the queue for an absent daemon is bounded */
	ck_assert_int_gt(sent, 0);
	for (int life = 0; life < 3; life++) {
		unsigned before;

		ck_assert_int_eq(bus_server_new(&d.server, f->loop, f->dir, "fad", handle, release, &d), 0);
		settle(f, d.server, &w);
		before = w.replies;
		for (int i = 0; i < 500 && send_version(client, 2) < 0; i++)
			spin(f, &w.replies, before + 1, 10);
		ck_assert(spin(f, &w.replies, before + 1, 5000));
		bus_server_free(d.server);
	}
	bus_client_free(client);
	teardown(f);
}
END_TEST

START_TEST(test_lost_events_show_as_a_gap)
{
	struct fixture *f = setup();
	struct daemon d = {0};
	struct follower w = {0};
	struct bus_client *client;
	uint64_t last = 0;

	ck_assert_int_eq(bus_server_new(&d.server, f->loop, f->dir, "fad", handle, release, &d), 0);
	ck_assert_int_eq(bus_client_new(&client, f->loop, f->dir, "fad", NULL, follow_event, &w), 0);
	settle(f, d.server, &w);
	/* More than both queues and the kernel hold, while the follower does not read. */
	for (unsigned i = 0; i < 200000; i++)
		publish(d.server, ++last);
	for (unsigned i = 0; i < 500 && !w.gaps; i++) {
		publish(d.server, ++last);
		spin(f, &w.gaps, 1, 10);
	}
	ck_assert_uint_gt(w.gaps, 0);
	bus_client_free(client);
	bus_server_free(d.server);
	teardown(f);
}
END_TEST

/* ---- bad peers ---- */

static void *raw_dealer(struct fixture *f, void *context)
{
	void *s = zmq_socket(context, ZMQ_DEALER);
	int zero = 0;
	char endpoint[128];

	zmq_setsockopt(s, ZMQ_LINGER, &zero, sizeof(zero));
	snprintf(endpoint, sizeof(endpoint), "ipc://%s/fad.sock", f->dir);
	ck_assert_int_eq(zmq_connect(s, endpoint), 0);
	return s;
}

static unsigned raw_replies(void *s, const char *error)
{
	zmq_msg_t body;
	unsigned n = 0;

	zmq_msg_init(&body);
	while (zmq_msg_recv(&body, s, ZMQ_DONTWAIT) >= 0) {
		Turnout__Reply *reply = turnout__reply__unpack(NULL, zmq_msg_size(&body), zmq_msg_data(&body));

		ck_assert_ptr_nonnull(reply);
		if (strcmp(reply->error, error) == 0)
			n++;
		turnout__reply__free_unpacked(reply, NULL);
	}
	zmq_msg_close(&body);
	return n;
}

START_TEST(test_garbage_at_the_router_is_counted_and_answered)
{
	static const uint8_t cut[] = {0x52, 0x7f};             /* version of 127 bytes, none there */
	static const uint8_t field0[] = {0x00, 0x01};          /* field number 0 */
	static const uint8_t varint[12] = {[0 ... 11] = 0xff}; /* a number without an end */
	static const struct iovec junk[] = {{(void *)(uintptr_t)cut, sizeof(cut)},
					    {(void *)(uintptr_t)field0, sizeof(field0)},
					    {(void *)(uintptr_t)varint, sizeof(varint)}};
	struct fixture *f = setup();
	struct daemon d = {0};
	void *context = zmq_ctx_new(), *s;
	unsigned malformed = 0, answers = 0;

	ck_assert_int_eq(bus_server_new(&d.server, f->loop, f->dir, "fad", handle, release, &d), 0);
	s = raw_dealer(f, context);
	for (unsigned i = 0; i < 60; i++) {
		if (i % 4 == 3) { /* two parts */
			ck_assert_int_eq(zmq_send(s, "", 0, ZMQ_SNDMORE), 0);
			ck_assert_int_eq(zmq_send(s, "x", 1, 0), 1);
		} else {
			ck_assert_int_ge(zmq_send(s, junk[i % 3].iov_base, junk[i % 3].iov_len, 0), 0);
		}
		for (int n = 0; n < 500 && malformed <= i; n++) {
			sd_event_run(f->loop, 10000);
			malformed = (unsigned)counter(d.server, "malformed");
		}
		ck_assert_uint_eq(malformed, i + 1);
	}
	for (int n = 0; n < 500 && answers < 60; n++) {
		sd_event_run(f->loop, 10000);
		answers += raw_replies(s, "malformed request");
	}
	ck_assert_uint_eq(answers, 60);
	ck_assert_uint_eq(d.answered, 0);
	zmq_close(s);
	zmq_ctx_term(context);
	bus_server_free(d.server);
	teardown(f);
}
END_TEST

/* Random bytes below, at and above the ZeroMQ protocol; then a good request. */
START_TEST(test_noise_does_not_stop_the_daemon)
{
	struct fixture *f = setup();
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	void *context = zmq_ctx_new(), *s;
	uint8_t noise[512];
	char *huge = calloc(1, 1 << 20);
	Turnout__Reply *reply;

	start_child(f, "fad");
	snprintf(un.sun_path, sizeof(un.sun_path), "%s/fad.sock", f->dir);
	srandom(20260101);
	s = raw_dealer(f, context);
	for (int i = 0; i < 300; i++) {
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);
		size_t len = (size_t)random() % sizeof(noise);

		for (size_t k = 0; k < len; k++)
			noise[k] = (uint8_t)random();
		ck_assert_int_eq(connect(fd, (struct sockaddr *)&un, sizeof(un)), 0);
		ck_assert_int_ge(send(fd, noise, len, MSG_NOSIGNAL), 0);
		close(fd);
		zmq_send(s, noise, len, ZMQ_DONTWAIT);
	}
	zmq_send(s, huge, 1 << 20, ZMQ_DONTWAIT);
	ck_assert_int_eq(ask(f, "fad", 5, 5000, &reply), 0);
	ck_assert_uint_eq(reply->id, 5);
	turnout__reply__free_unpacked(reply, NULL);
	ck_assert_int_eq(waitpid(f->child, NULL, WNOHANG), 0);
	free(huge);
	zmq_close(s);
	zmq_ctx_term(context);
	teardown(f);
}
END_TEST

START_TEST(test_client_that_does_not_read_costs_bounded_memory)
{
	struct fixture *f = setup();
	struct daemon d = {.big = 1};
	struct follower w = {0};
	struct bus_client *client;
	Turnout__Request request = TURNOUT__REQUEST__INIT;
	uint8_t packed[64];
	size_t len;
	void *context = zmq_ctx_new(), *s;
	int one = 1;

	d.filler = malloc(100001);
	memset(d.filler, 'x', 100000);
	d.filler[100000] = '\0';
	ck_assert_int_eq(bus_server_new(&d.server, f->loop, f->dir, "fad", handle, release, &d), 0);
	s = raw_dealer(f, context);
	zmq_setsockopt(s, ZMQ_RCVHWM, &one, sizeof(one));
	request.what_case = TURNOUT__REQUEST__WHAT_SHOW_AGENTS;
	request.show_agents = &empty;
	len = turnout__request__pack(&request, packed);
	for (int i = 0; i < 400 && counter(d.server, "undelivered") == 0; i++) {
		zmq_send(s, packed, len, ZMQ_DONTWAIT);
		sd_event_run(f->loop, 20000);
	}
	ck_assert_uint_gt(counter(d.server, "undelivered"), 0);

	ck_assert_int_eq(bus_client_new(&client, f->loop, f->dir, "fad", follow_reply, NULL, &w), 0);
	ck_assert_int_eq(send_version(client, 1), 0);
	ck_assert(spin(f, &w.replies, 1, 5000)); /* others are served all the same */
	bus_client_free(client);
	zmq_close(s);
	zmq_ctx_term(context);
	bus_server_free(d.server);
	free(d.filler);
	teardown(f);
}
END_TEST

static void keep_error(void *ctx, const Turnout__Reply *reply)
{
	struct follower *w = ctx;

	w->replies++;
	snprintf(w->source, sizeof(w->source), "%s", reply->error);
}

/* From now on nobody in this process is accepted, for this reason. */
static void refuse_connections(int error)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_accept4, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

	ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	ck_assert_int_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

/* ZeroMQ would abort, or ask again without an end. */
START_TEST(test_lack_of_memory_or_descriptors_makes_a_client_wait_ARCH_10)
{
	static const int lacks[] = {EMFILE, ENFILE, ENOMEM, ENOBUFS};
	struct fixture *f = setup();
	const struct timespec while_ms = {.tv_nsec = 500000000};
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	struct daemon d = {0};
	clock_t before;
	int fd;

	refuse_connections(lacks[_i]);
	ck_assert_int_eq(bus_server_new(&d.server, f->loop, f->dir, "fad", handle, release, &d), 0);
	snprintf(to.sun_path, sizeof(to.sun_path), "%s/fad.sock", f->dir);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	before = clock(); /* of all threads */
	nanosleep(&while_ms, NULL);
	ck_assert_int_lt(clock() - before, CLOCKS_PER_SEC / 10);
	close(fd);
	bus_server_free(d.server);
	teardown(f);
}
END_TEST

START_TEST(test_reply_too_large_becomes_an_error)
{
	struct fixture *f = setup();
	struct daemon d = {.big = 400};
	struct follower w = {0};
	struct bus_client *client;
	Turnout__Request request = TURNOUT__REQUEST__INIT;

	d.filler = malloc(100001);
	memset(d.filler, 'x', 100000);
	d.filler[100000] = '\0';
	ck_assert_int_eq(bus_server_new(&d.server, f->loop, f->dir, "fad", handle, release, &d), 0);
	ck_assert_int_eq(bus_client_new(&client, f->loop, f->dir, "fad", keep_error, NULL, &w), 0);
	request.what_case = TURNOUT__REQUEST__WHAT_SHOW_AGENTS;
	request.show_agents = &empty;
	ck_assert_int_eq(bus_client_send(client, &request), 0);
	ck_assert(spin(f, &w.replies, 1, 5000));
	ck_assert_ptr_nonnull(strstr(w.source, "too large"));
	ck_assert_uint_eq(counter(d.server, "oversized"), 1);
	bus_client_free(client);
	bus_server_free(d.server);
	free(d.filler);
	teardown(f);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bus");
	TCase *calls = tcase_create("calls"), *loop = tcase_create("loop"), *peers = tcase_create("bad peers");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(calls, 30);
	tcase_add_test(calls, test_ARCH_7_request_and_reply);
	tcase_add_test(calls, test_handler_error_reaches_the_client);
	tcase_add_test(calls, test_absent_daemon_is_told_from_a_slow_one);
	tcase_add_test(calls, test_death_during_a_call_ends_it_early);
	tcase_add_test(calls, test_killed_daemon_leaves_no_obstacle);
	tcase_add_test(calls, test_second_instance_is_refused);
	tcase_add_test(calls, test_names_and_long_paths_are_refused);
	tcase_add_test(calls, test_files_are_for_owner_and_group);
	tcase_set_timeout(loop, 60);
	tcase_add_test(loop, test_bursts_are_drained_to_the_last_message);
	tcase_add_test(loop, test_follower_finds_a_daemon_that_comes_and_comes_again);
	tcase_add_test(loop, test_lost_events_show_as_a_gap);
	tcase_set_timeout(peers, 60);
	tcase_add_test(peers, test_garbage_at_the_router_is_counted_and_answered);
	tcase_add_test(peers, test_noise_does_not_stop_the_daemon);
	tcase_add_test(peers, test_client_that_does_not_read_costs_bounded_memory);
	tcase_add_loop_test(peers, test_lack_of_memory_or_descriptors_makes_a_client_wait_ARCH_10, 0, 4);
	tcase_add_test(peers, test_reply_too_large_becomes_an_error);
	suite_add_tcase(suite, calls);
	suite_add_tcase(suite, loop);
	suite_add_tcase(suite, peers);
	if (getenv("TAP_FILE"))
		srunner_set_tap(runner, getenv("TAP_FILE"));
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
