/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The admin bus, what both sides need: names and paths, the pid file's lock,
 * finding daemons, and the pump between ZeroMQ and sd-event.
 *
 * Must not know of requests and replies: see bus_server.c and bus_client.c.
 */
#include "lib/bus_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BUS_MAX_NAME 63
#define PUMP_BATCH   64 /* messages before other event sources get their turn */

/* How long to try for the lock: a daemon just killed holds it until its last thread is gone. */
#define LOCK_TRIES    20
#define LOCK_PAUSE_US 25000

static const char socket_suffix[] = ".sock";

/* ---- names and paths ---- */

static bool name_ok(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
	size_t len = strlen(name);

	return len > 0 && len <= BUS_MAX_NAME && name[0] != '.' && strspn(name, allowed) == len;
}

int bus_endpoint(char out[BUS_ENDPOINT], const char *run_dir, const char *name, const char *suffix)
{
	struct sockaddr_un un;
	size_t len;

	if (!name_ok(name) || !*run_dir)
		return -EINVAL;
	len = strlen(run_dir) + 1 + strlen(name) + strlen(suffix);
	if (len >= sizeof(un.sun_path))
		return -ENAMETOOLONG;
	snprintf(out, BUS_ENDPOINT, "ipc://%s/%s%s", run_dir, name, suffix);
	return 0;
}

static int pid_path(char out[PATH_MAX], const char *run_dir, const char *name)
{
	if (!name_ok(name) || !*run_dir)
		return -EINVAL;
	if (snprintf(out, PATH_MAX, "%s/%s.pid", run_dir, name) >= PATH_MAX)
		return -ENAMETOOLONG;
	return 0;
}

/* mkdir -p; the last one is for us and our group only. */
static int make_directory(const char *path)
{
	char part[PATH_MAX];

	if (snprintf(part, sizeof(part), "%s", path) >= (int)sizeof(part))
		return -ENAMETOOLONG;
	for (char *p = part + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(part, 0755) < 0 && errno != EEXIST)
			return -errno;
		*p = '/';
	}
	return mkdir(path, 0750) < 0 && errno != EEXIST ? -errno : 0;
}

const char *bus_explain(int error, const char *run_dir, const char *name, char *buf, size_t size)
{
	int e = error < 0 ? -error : error;

	switch (e) {
	case EWOULDBLOCK:
		snprintf(buf, size, "another instance of %s runs in %s; stop it, or choose another --run-dir or --name",
			 name, run_dir);
		break;
	case ENAMETOOLONG:
		snprintf(buf, size,
			 "%s/%s.events is too long for a socket's path (at most %zu bytes); choose a shorter --run-dir",
			 run_dir, name, sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1);
		break;
	case EINVAL:
		snprintf(buf, size,
			 "'%s' is not a daemon's name: 1 to %d letters, digits, '-', '_' or '.', not starting with '.'",
			 name, BUS_MAX_NAME);
		break;
	case ENOENT:
		snprintf(buf, size, "%s is not running in %s", name, run_dir);
		break;
	case ETIMEDOUT:
		snprintf(buf, size, "%s in %s runs but did not answer in time", name, run_dir);
		break;
	case EPROTO:
		snprintf(buf, size, "%s in %s gave an answer that cannot be read; is it of another version?", name,
			 run_dir);
		break;
	case EACCES:
	case EPERM:
		snprintf(buf, size, "no permission for %s in %s; are you root or in the directory's group?", name,
			 run_dir);
		break;
	default:
		snprintf(buf, size, "%s in %s: %s", name, run_dir, strerror(e));
		break;
	}
	return buf;
}

/* ---- the lock ---- */

/* Open file description locks: they end with the last descriptor, so with the
 * process however it dies, and closing another descriptor of the file does not
 * drop them as it would POSIX locks. */
static int take_lock(int fd)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char text[16];
	int len = snprintf(text, sizeof(text), "%ld\n", (long)getpid());

	for (int tries = 1; fcntl(fd, F_OFD_SETLK, &lock) < 0; tries++) {
		if ((errno == EAGAIN || errno == EACCES) && tries < LOCK_TRIES) {
			usleep(LOCK_PAUSE_US);
			continue;
		}
		return errno == EAGAIN || errno == EACCES ? -EWOULDBLOCK : -errno;
	}
	errno = 0;
	if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)len, 0) != len)
		return errno ? -errno : -EIO;
	return 0;
}

int bus_lock(const char *run_dir, const char *name)
{
	char endpoint[BUS_ENDPOINT], path[PATH_MAX];
	int fd = -1, r;

	/* The sockets come later; say now that they will not fit. */
	r = bus_endpoint(endpoint, run_dir, name, ".events");
	if (r == 0)
		r = pid_path(path, run_dir, name);
	if (r == 0)
		r = make_directory(run_dir);
	if (r == 0) {
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
		r = fd < 0 ? -errno : take_lock(fd);
	}
	if (r < 0) {
		if (fd >= 0)
			close(fd);
		errno = -r;
		return -1;
	}
	return fd;
}

bool bus_alive(const char *run_dir, const char *name)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char path[PATH_MAX];
	bool alive;
	int fd;

	if (pid_path(path, run_dir, name) < 0)
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == EACCES; /* cannot tell: let the caller try */
	alive = fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
	close(fd);
	return alive;
}

/* ---- finding daemons ---- */

static int is_socket(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name), suffix = sizeof(socket_suffix) - 1;

	return len > suffix && entry->d_name[0] != '.' && strcmp(entry->d_name + len - suffix, socket_suffix) == 0;
}

int bus_list(const char *run_dir, char ***names, size_t *count)
{
	struct dirent **entries;
	int n = scandir(run_dir, &entries, is_socket, alphasort);
	int r = 0;

	*names = NULL;
	*count = 0;
	if (n < 0)
		return -errno;
	*names = calloc((size_t)n + 1, sizeof(**names));
	for (int i = 0; i < n; i++) {
		size_t len = strlen(entries[i]->d_name) - (sizeof(socket_suffix) - 1);
		char *name = *names ? strndup(entries[i]->d_name, len) : NULL;

		if (!name)
			r = -ENOMEM;
		else if (name_ok(name))
			(*names)[(*count)++] = name;
		else
			free(name);
		free(entries[i]);
	}
	free(entries);
	if (r < 0) {
		for (size_t i = 0; i < *count; i++)
			free((*names)[i]);
		free(*names);
		*names = NULL;
		*count = 0;
	}
	return r;
}

/* ---- sockets ---- */

void *bus_context_new(void)
{
	void *context = zmq_ctx_new();

	if (context)
		zmq_ctx_set(context, ZMQ_BLOCKY, 0); /* no lingering by default */
	return context;
}

void *bus_socket_new(void *context, int type, int hwm, int64_t max_message)
{
	void *s = zmq_socket(context, type);
	int zero = 0;

	if (!s)
		return NULL;
	if (zmq_setsockopt(s, ZMQ_LINGER, &zero, sizeof(zero)) < 0 ||
	    zmq_setsockopt(s, ZMQ_SNDHWM, &hwm, sizeof(hwm)) < 0 ||
	    zmq_setsockopt(s, ZMQ_RCVHWM, &hwm, sizeof(hwm)) < 0 ||
	    zmq_setsockopt(s, ZMQ_MAXMSGSIZE, &max_message, sizeof(max_message)) < 0) {
		zmq_close(s);
		return NULL;
	}
	return s;
}

int bus_receive_parts(void *socket, zmq_msg_t *body)
{
	int parts = 0;
	int more = 1;

	while (more) {
		zmq_msg_t part;

		zmq_msg_init(&part);
		if (zmq_msg_recv(&part, socket, ZMQ_DONTWAIT) < 0) {
			zmq_msg_close(&part);
			return parts > 0 ? parts : -1;
		}
		more = zmq_msg_more(&part);
		if (parts++ == 0)
			zmq_msg_move(body, &part);
		zmq_msg_close(&part);
	}
	return parts;
}

/* ---- the pump ---- */

static bool readable(void *socket)
{
	int events = 0;
	size_t len = sizeof(events);

	/* Asking also makes the socket take in what its thread left for it. */
	return zmq_getsockopt(socket, ZMQ_EVENTS, &events, &len) == 0 && (events & ZMQ_POLLIN);
}

static void pump(struct bus_pump *p)
{
	for (int i = 0; i < PUMP_BATCH; i++) {
		if (!readable(p->socket) || !p->receive)
			return;
		p->receive(p->ctx);
	}
	bus_pump_again(p);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *ctx)
{
	(void)source;
	(void)fd;
	(void)revents;
	pump(ctx);
	return 0;
}

static int on_again(sd_event_source *source, void *ctx)
{
	(void)source;
	pump(ctx);
	return 0;
}

int bus_pump_open(struct bus_pump *p, sd_event *loop, void *socket, void (*receive)(void *ctx), void *ctx)
{
	size_t len = sizeof(int);
	int fd, r;

	*p = (struct bus_pump){.socket = socket, .receive = receive, .ctx = ctx};
	if (zmq_getsockopt(socket, ZMQ_FD, &fd, &len) < 0)
		return -errno;
	r = sd_event_add_io(loop, &p->io, fd, EPOLLIN, on_io, p);
	if (r >= 0) /* enabled once from the start: connecting may have used up the first edge */
		r = sd_event_add_defer(loop, &p->again, on_again, p);
	if (r < 0)
		bus_pump_close(p);
	return r < 0 ? r : 0;
}

void bus_pump_again(struct bus_pump *p)
{
	sd_event_source_set_enabled(p->again, SD_EVENT_ONESHOT);
}

void bus_pump_close(struct bus_pump *p)
{
	p->io = sd_event_source_disable_unref(p->io);
	p->again = sd_event_source_disable_unref(p->again);
}
