/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * FRRouting as seen from beside it.  Must not know of agents, nor of what is wanted.
 */
#include "routed-glue/frr_io.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/exitcode.h"
#include "lib/log.h"

#define VTY_GROUP    "frrvty"
#define ANSWER_MAX   (64 << 20) /* bytes */
#define ANSWER_CHUNK (64 << 10)
#define TIMEOUT_US   (5 * 1000000u)

static int connect_to(const char *dir, const char *name)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd, r;

	if (snprintf(un.sun_path, sizeof(un.sun_path), "%s/%s", dir, name) >= (int)sizeof(un.sun_path))
		return -ENAMETOOLONG;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&un, sizeof(un)) == 0)
		return fd;
	r = -errno;
	close(fd);
	return r;
}

/* ---- is it there? ---- */

/* 0: somebody listens there; else a negative errno. */
static int listens(const char *dir, const char *name)
{
	int fd = connect_to(dir, name);

	if (fd >= 0)
		close(fd);
	return fd >= 0 || fd == -EAGAIN ? 0 : fd; /* EAGAIN: it is busy, so it is there */
}

static bool refused(int error)
{
	return error == -EACCES || error == -EPERM;
}

int frr_present(const char *dir)
{
	const char *name = "zserv.api";
	int r = listens(dir, name);

	/* zebra's own socket is for its user only, and a dead zebra leaves it behind; the other one is for a group. */
	if (refused(r)) {
		name = "zebra.vty";
		r = listens(dir, name);
	}
	if (refused(r)) {
		/* Nothing needs either socket to announce routes, so it is no reason to stop. */
		log_warning("%s: %s: cannot see whether FRRouting runs, taking it that it does; the group %s may look",
			    dir, strerror(-r), VTY_GROUP);
		return EXITCODE_OK;
	}
	if (r == 0)
		return EXITCODE_OK;
	log_error("%s/%s: %s: FRRouting (zebra) does not run here; start it first, or set `frr` to its "
		  "run directory, or to `none`",
		  dir, name, strerror(-r));
	return EXITCODE_FRR;
}

void frr_join_group(void)
{
	const struct group *g = getgrnam(VTY_GROUP);
	gid_t groups[64];
	int n = getgroups(63, groups);

	if (!g || n < 0)
		return;
	for (int i = 0; i < n; i++)
		if (groups[i] == g->gr_gid)
			return;
	groups[n] = g->gr_gid;
	if (setgroups((size_t)n + 1, groups) < 0)
		log_debug("cannot join the group %s: %s", VTY_GROUP, strerror(errno));
}

/* ---- what has it? ---- */

struct frr {
	sd_event *loop;
	const char *dir, *interface;
	frr_on_table on_table;
	void *ctx;
	sd_event_source *io, *timeout;
	int fd;
	unsigned command; /* the one being answered */
	char *answer;
	size_t len, room;
	struct frr_table table;
};

static const char *const commands[] = {"show ip route kernel json", "show ipv6 route kernel json"};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void forget(struct frr *f)
{
	f->io = sd_event_source_disable_unref(f->io);
	f->timeout = sd_event_source_disable_unref(f->timeout);
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
	free(f->answer);
	f->answer = NULL;
	f->len = f->room = 0;
	frr_table_free(&f->table);
}

static void fail(struct frr *f, int error)
{
	forget(f);
	f->on_table(f->ctx, NULL, error);
}

static int send_command(struct frr *f)
{
	const char *text = commands[f->command];
	ssize_t n = send(f->fd, text, strlen(text) + 1, MSG_NOSIGNAL);

	return n == (ssize_t)strlen(text) + 1 ? 0 : n < 0 ? -errno : -EIO;
}

/* The answer is complete, `len` bytes of text.  0, or a negative errno. */
static int take_answer(struct frr *f, size_t len)
{
	if (!frr_table_add(&f->table, f->answer, len, f->interface))
		return -EPROTO;
	f->len = 0;
	if (++f->command < COMMANDS)
		return send_command(f);
	frr_table_sort(&f->table);
	f->on_table(f->ctx, &f->table, 0);
	forget(f);
	return 0;
}

/* Is it complete?  0, or a negative errno. */
static int look_at_answer(struct frr *f)
{
	size_t text;

	switch (frr_answer_end(f->answer, f->len, &text)) {
	case FRR_ANSWER_GOOD:
		return take_answer(f, text);
	case FRR_ANSWER_REFUSED:
		return -EPROTO;
	default:
		return 0;
	}
}

static int make_room(struct frr *f)
{
	char *grown;

	if (f->room - f->len >= ANSWER_CHUNK)
		return 0;
	if (f->room >= ANSWER_MAX)
		return -EMSGSIZE;
	grown = realloc(f->answer, f->room ? 2 * f->room : 2 * ANSWER_CHUNK);
	if (!grown)
		return -ENOMEM;
	f->room = f->room ? 2 * f->room : 2 * ANSWER_CHUNK;
	f->answer = grown;
	return 0;
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *ctx)
{
	struct frr *f = ctx;
	int r = make_room(f);
	ssize_t n;

	(void)source;
	(void)revents;
	if (r == 0) {
		n = recv(fd, f->answer + f->len, ANSWER_CHUNK, 0);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return 0;
		r = n < 0 ? -errno : n == 0 ? -ECONNRESET : 0;
		f->len += n > 0 ? (size_t)n : 0;
	}
	if (r == 0)
		r = look_at_answer(f);
	if (r < 0)
		fail(f, r);
	return 0;
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *ctx)
{
	(void)source;
	(void)usec;
	fail(ctx, -ETIMEDOUT);
	return 0;
}

static int begin(struct frr *f)
{
	int r;

	f->fd = connect_to(f->dir, "zebra.vty");
	if (f->fd < 0)
		return f->fd;
	f->command = 0;
	r = send_command(f);
	if (r == 0)
		r = sd_event_add_io(f->loop, &f->io, f->fd, EPOLLIN, on_io, f);
	if (r >= 0)
		r = sd_event_add_time_relative(f->loop, &f->timeout, CLOCK_MONOTONIC, TIMEOUT_US, 0, on_timeout, f);
	return r < 0 ? r : 0;
}

void frr_ask(struct frr *f)
{
	int r;

	if (f->fd >= 0)
		return;
	r = begin(f);
	if (r < 0)
		fail(f, r);
}

int frr_open(struct frr **frr, sd_event *loop, const char *dir, const char *interface, frr_on_table on_table, void *ctx)
{
	struct frr *f = calloc(1, sizeof(*f));

	*frr = f;
	if (!f)
		return -ENOMEM;
	*f = (struct frr){.loop = loop, .dir = dir, .interface = interface, .on_table = on_table, .ctx = ctx, .fd = -1};
	return 0;
}

void frr_close(struct frr *f)
{
	if (!f)
		return;
	forget(f);
	free(f);
}
