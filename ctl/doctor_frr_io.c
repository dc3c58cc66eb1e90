/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * turnoutctl doctor: FRRouting's running configuration, read at the vty sockets
 * of its daemons: a command and a NUL go out; text, three NULs and a return
 * code come back.  Nothing is changed.
 *
 * Must not know what a configuration means.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "ctl/doctor.h"

#define TRAILER      4 /* three NULs and the return code */
#define ANSWER_MAX   (64u << 20)
#define ANSWER_CHUNK (64u << 10)
#define TIMEOUT_S    3

static int connect_to(const char *dir, const char *name)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct timeval timeout = {.tv_sec = TIMEOUT_S};
	int fd, r;

	if (snprintf(un.sun_path, sizeof(un.sun_path), "%s/%s.vty", dir, name) >= (int)sizeof(un.sun_path))
		return -ENAMETOOLONG;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	if (connect(fd, (const struct sockaddr *)&un, sizeof(un)) == 0)
		return fd;
	r = -errno;
	close(fd);
	return r;
}

static bool complete(const char *answer, size_t len)
{
	return len >= TRAILER && memcmp(answer + len - TRAILER, "\0\0\0", 3) == 0;
}

/* The answer as a string, allocated; NULL: none, or an error. */
static char *ask(int fd, const char *command)
{
	size_t len = 0, room = 0;
	char *answer = NULL;

	if (send(fd, command, strlen(command) + 1, MSG_NOSIGNAL) < 0)
		return NULL;
	while (!complete(answer, len) && len < ANSWER_MAX) {
		ssize_t n;

		if (room - len < ANSWER_CHUNK) {
			char *grown = realloc(answer, room + 2 * ANSWER_CHUNK);

			if (!grown)
				break;
			answer = grown;
			room += 2 * ANSWER_CHUNK;
		}
		n = recv(fd, answer + len, ANSWER_CHUNK, 0);
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	if (complete(answer, len) && answer[len - 1] == 0)
		return answer; /* ends in NULs */
	free(answer);
	return NULL;
}

static void daemon_of(struct fact_daemon *d, const char *dir, const char *name)
{
	struct fact_frr *frr = &d->frr[d->frr_count];
	int fd = connect_to(dir, name);
	char *enabled;

	if (fd == -ENOENT)
		return;
	*frr = (struct fact_frr){.state = fd == -EACCES || fd == -EPERM ? FACT_DENIED : FACT_NO};
	snprintf(frr->name, sizeof(frr->name), "%s", name);
	d->frr_count++;
	if (fd < 0)
		return;
	enabled = ask(fd, "enable");
	if (enabled)
		frr->config = ask(fd, "show running-config");
	if (frr->config)
		frr->state = FACT_YES;
	free(enabled);
	close(fd);
}

void facts_collect_frr(struct fact_daemon *d)
{
	static const char *const names[FRR_DAEMONS] = {"zebra", "bgpd", "ospfd",  "ospf6d",
						       "isisd", "ripd", "ripngd", "babeld"};
	const char *dir = fact_setting(d, "frr");

	if (!*dir || strcmp(dir, "none") == 0)
		return;
	for (size_t i = 0; i < FRR_DAEMONS; i++)
		daemon_of(d, dir, names[i]);
}
