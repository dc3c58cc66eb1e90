/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For tests that need the kernel: a network namespace of the test's own,
 * commands in it, and IP packets built from text.
 *
 * The kernel forgets it all when the test's process ends.
 */
#ifndef TURNOUT_FAD_NETNS_FIXTURE_H
#define TURNOUT_FAD_NETNS_FIXTURE_H

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fad/checksum.h"
#include "lib/addr.h"

/* Words separated by single spaces, run in the namespace.  Its standard output goes to this descriptor if not
 * negative; its standard error is ours. */
static inline int netns_spawn(const char *command, int output)
{
	char text[512], *words[40], *rest = NULL;
	char *environment[] = {(char *)(uintptr_t) "PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL};
	posix_spawn_file_actions_t actions;
	size_t n = 0;
	int status, r = -1;
	pid_t pid;

	snprintf(text, sizeof(text), "%s", command);
	for (char *w = strtok_r(text, " ", &rest); w && n < 39; w = strtok_r(NULL, " ", &rest))
		words[n++] = w;
	words[n] = NULL;
	posix_spawn_file_actions_init(&actions);
	if (output >= 0)
		posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
	if (n > 0)
		r = posix_spawnp(&pid, words[0], &actions, NULL, words, environment);
	posix_spawn_file_actions_destroy(&actions);
	if (r != 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static inline int netns_try(const char *command)
{
	return netns_spawn(command, -1);
}

/* What it printed, cut to size; not more than a pipe holds. */
static inline void netns_output(const char *command, char *text, size_t size)
{
	int ends[2];
	ssize_t n;

	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_msg(netns_spawn(command, ends[1]) == 0, "failed: %s", command);
	close(ends[1]);
	n = read(ends[0], text, size - 1);
	ck_assert_int_ge(n, 0);
	text[n] = '\0';
	close(ends[0]);
}

static inline void netns_run(const char *command)
{
	ck_assert_msg(netns_try(command) == 0, "failed: %s", command);
}

static inline void netns_write(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	ck_assert_msg(fd >= 0 && write(fd, value, strlen(value)) == (ssize_t)strlen(value), "%s: %s", path,
		      strerror(errno));
	close(fd);
}

static inline int netns_read_digit(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char c = 0;

	ck_assert_msg(fd >= 0 && read(fd, &c, 1) == 1, "%s: %s", path, strerror(errno));
	close(fd);
	return c - '0';
}

static inline void netns_enter(void)
{
	ck_assert_msg(
		unshare(CLONE_NEWNET) == 0,
		"cannot make a network namespace: %s; this test needs root (CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_BPF)",
		strerror(errno));
	netns_run("ip link set lo up");
	netns_write("/proc/sys/net/ipv4/ip_forward", "1");
	netns_write("/proc/sys/net/ipv6/conf/all/forwarding", "1");
}

static inline struct addr netns_addr(const char *text)
{
	struct addr a;

	ck_assert_msg(addr_parse(text, &a), "%s", text);
	return a;
}

/* Run f in a child without any right; returns its result. */
static inline int netns_unprivileged(int (*f)(void))
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		if (setgid(65534) < 0 || setuid(65534) < 0)
			_exit(255);
		_exit(f());
	}
	ck_assert(pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* A packet to build.  With fragment the field is written as it is (IPv4) or a fragment header is added (IPv6). */
struct netns_packet {
	const char *src, *dst;
	uint8_t proto;
	uint16_t sport, dport;
	uint8_t icmp_type;
	bool fragmented;
	uint16_t fragment;  /* offset and flags, as the family's header has them */
	uint8_t options;    /* IPv4: words of NOP options */
	uint8_t extensions; /* IPv6: empty destination options headers */
	uint8_t ttl;        /* 0: 64 */
	uint16_t payload;   /* bytes */
	/* ICMP: this packet is embedded, up to so many bytes; 0: all of it. */
	const struct netns_packet *about;
	uint16_t about_len;
};

static inline size_t netns_build(const struct netns_packet *d, uint8_t *at);

static inline size_t netns_transport(const struct netns_packet *d, uint8_t *at)
{
	size_t n = d->proto == IPPROTO_TCP ? 20 : 8;

	if (d->fragmented && (d->fragment & 0x1ff8)) {
		memset(at, 0xee, d->payload); /* not the first: looks like ports to whoever looks */
		return d->payload;
	}
	memset(at, 0, n + d->payload);
	if (d->proto == IPPROTO_TCP || d->proto == IPPROTO_UDP) {
		at[0] = (uint8_t)(d->sport >> 8);
		at[1] = (uint8_t)d->sport;
		at[2] = (uint8_t)(d->dport >> 8);
		at[3] = (uint8_t)d->dport;
	} else {
		at[0] = d->icmp_type;
	}
	if (d->about) {
		size_t embedded = netns_build(d->about, at + n);

		return n + (d->about_len && d->about_len < embedded ? d->about_len : embedded);
	}
	if (d->proto == IPPROTO_TCP) {
		at[12] = 5 << 4;
		at[13] = 0x10;
	} else if (d->proto == IPPROTO_UDP) {
		at[4] = (uint8_t)((n + d->payload) >> 8);
		at[5] = (uint8_t)(n + d->payload);
	}
	return n + d->payload;
}

static inline size_t netns_build4(const struct netns_packet *d, uint8_t *at)
{
	struct addr src = netns_addr(d->src), dst = netns_addr(d->dst);
	size_t header = 20 + 4u * d->options, len = header + netns_transport(d, at + header);
	uint16_t sum;

	memset(at, 1, header); /* NOP */
	memset(at, 0, 20);
	at[0] = (uint8_t)(0x40 | header / 4);
	at[2] = (uint8_t)(len >> 8);
	at[3] = (uint8_t)len;
	if (d->fragmented) {
		at[6] = (uint8_t)(d->fragment >> 8);
		at[7] = (uint8_t)d->fragment;
	}
	at[8] = d->ttl ? d->ttl : 64;
	at[9] = d->proto;
	memcpy(at + 12, src.b, 4);
	memcpy(at + 16, dst.b, 4);
	sum = checksum_finish(checksum_add(0, at, header));
	memcpy(at + 10, &sum, 2);
	return len;
}

static inline size_t netns_build6(const struct netns_packet *d, uint8_t *at)
{
	struct addr src = netns_addr(d->src), dst = netns_addr(d->dst);
	uint8_t *next = at + 6;
	size_t len = 40;

	memset(at, 0, 40);
	at[0] = 0x60;
	at[7] = d->ttl ? d->ttl : 64;
	memcpy(at + 8, src.b, 16);
	memcpy(at + 24, dst.b, 16);
	for (int i = 0; i < d->extensions + (d->fragmented ? 1 : 0); i++, len += 8) {
		bool fragment = d->fragmented && i == d->extensions;

		memset(at + len, 0, 8);
		*next = fragment ? IPPROTO_FRAGMENT : IPPROTO_DSTOPTS;
		next = at + len;
		if (fragment) {
			at[len + 2] = (uint8_t)(d->fragment >> 8);
			at[len + 3] = (uint8_t)d->fragment;
		} else {
			at[len + 2] = 1; /* PadN */
			at[len + 3] = 4;
		}
	}
	*next = d->proto;
	len += netns_transport(d, at + len);
	at[4] = (uint8_t)((len - 40) >> 8);
	at[5] = (uint8_t)(len - 40);
	return len;
}

/* Returns the length.  The transport checksum is zero. */
static inline size_t netns_build(const struct netns_packet *d, uint8_t *at)
{
	return strchr(d->dst, ':') ? netns_build6(d, at) : netns_build4(d, at);
}

#endif
