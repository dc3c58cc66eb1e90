/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SYNs from random sources to one address and port, as many a second as asked for:
 *
 *     syn ADDRESS PORT RATE SECONDS
 *
 * Prints how many were sent, and how many that was a second.  Sources are of
 * 100.64.0.0/10, which no network routes.  For the lab's namespaces only; must
 * not know what is measured meanwhile.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>

#include "fad/checksum.h"

#define BATCH     64
#define SOURCES   0x64400000u /* 100.64.0.0 */
#define HOST_MASK 0x003fffffu

struct syn {
	struct iphdr ip;
	struct tcphdr tcp;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* xorshift64 */
static uint64_t next(uint64_t *random)
{
	*random ^= *random << 13;
	*random ^= *random >> 7;
	*random ^= *random << 17;
	return *random;
}

static void fill(struct syn *s, const struct sockaddr_in *to, uint64_t random)
{
	uint8_t *src = (uint8_t *)&s->ip.saddr, *dst = (uint8_t *)&s->ip.daddr;
	uint64_t sum;

	memset(s, 0, sizeof(*s));
	s->ip.version = 4;
	s->ip.ihl = 5;
	s->ip.tot_len = htons(sizeof(*s));
	s->ip.ttl = 64;
	s->ip.protocol = IPPROTO_TCP;
	s->ip.saddr = htonl(SOURCES | ((uint32_t)random & HOST_MASK));
	s->ip.daddr = to->sin_addr.s_addr;
	s->tcp.source = htons((uint16_t)(1024 + (random >> 24) % 60000));
	s->tcp.dest = to->sin_port;
	s->tcp.seq = (uint32_t)(random >> 32);
	s->tcp.doff = 5;
	s->tcp.syn = 1;
	s->tcp.window = 0xffff;
	sum = checksum_pseudo(src, dst, 4, IPPROTO_TCP, sizeof(s->tcp));
	s->tcp.check = checksum_finish(checksum_add(sum, &s->tcp, sizeof(s->tcp)));
}

/* How many were sent, or -1 with errno. */
static long long flood(int fd, struct sockaddr_in *to, double rate, double seconds, uint64_t random)
{
	const struct timespec pause = {.tv_nsec = 200000};
	struct syn syns[BATCH];
	struct iovec io[BATCH];
	struct mmsghdr out[BATCH];
	double start = now(), t;
	long long sent = 0;

	memset(out, 0, sizeof(out));
	for (int i = 0; i < BATCH; i++) {
		io[i] = (struct iovec){&syns[i], sizeof(syns[i])};
		out[i].msg_hdr =
			(struct msghdr){.msg_name = to, .msg_namelen = sizeof(*to), .msg_iov = &io[i], .msg_iovlen = 1};
	}
	while ((t = now() - start) < seconds) {
		int n;

		if ((double)sent > t * rate) {
			nanosleep(&pause, NULL);
			continue;
		}
		for (int i = 0; i < BATCH; i++)
			fill(&syns[i], to, next(&random));
		n = sendmmsg(fd, out, BATCH, 0);
		if (n < 0 && errno != ENOBUFS && errno != EAGAIN && errno != EINTR)
			return -1;
		sent += n > 0 ? n : 0;
	}
	return sent;
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	double rate, seconds;
	uint64_t random = 0;
	long long sent;
	int fd;

	if (argc != 5 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) {
		fputs("usage: syn ADDRESS PORT RATE SECONDS\n", stderr);
		return 2;
	}
	to.sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10));
	rate = strtod(argv[3], NULL);
	seconds = strtod(argv[4], NULL);
	fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
	if (fd < 0 || getrandom(&random, sizeof(random), 0) != sizeof(random)) {
		perror("syn");
		return 1;
	}
	sent = flood(fd, &to, rate, seconds, random | 1);
	if (sent < 0) {
		perror("syn: sending");
		return 1;
	}
	printf("%lld %.0f\n", sent, (double)sent / seconds);
	return 0;
}
