/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the C programs of the benchmarks share: time, ends with a message, and
 * other network namespaces.
 */
#ifndef TURNOUT_BENCH_TOOLS_H
#define TURNOUT_BENCH_TOOLS_H

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static inline uint64_t tools_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline __attribute__((noreturn)) void tools_fail(const char *what, int error)
{
	fprintf(stderr, "%s: %s\n", what, strerror(error < 0 ? -error : error));
	exit(1);
}

static inline void tools_sleep_ns(uint64_t ns)
{
	const struct timespec t = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};

	nanosleep(&t, NULL);
}

/* Go into the network namespace of a file. */
static inline void tools_enter(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
		tools_fail(path, errno);
	close(fd);
}

static inline uint32_t tools_ifindex(const char *name)
{
	uint32_t n = if_nametoindex(name);

	if (!n)
		tools_fail(name, errno);
	return n;
}

static inline void tools_mac(const char *name, uint8_t mac[6])
{
	struct ifreq request = {0};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	memcpy(request.ifr_name, name, strnlen(name, sizeof(request.ifr_name) - 1));
	if (fd < 0 || ioctl(fd, SIOCGIFHWADDR, &request) < 0)
		tools_fail(name, errno);
	memcpy(mac, request.ifr_hwaddr.sa_data, 6);
	close(fd);
}

#endif
