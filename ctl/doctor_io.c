/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * turnoutctl doctor: facts of this host, as seen from this network namespace.
 *
 * /proc/sys/net shows the namespace of the process that opens it; /sys may show
 * another one's.  Must not judge.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl/doctor.h"

#define RULESET_MAX (32u << 20)

/* ---- settings of the kernel ---- */

static int sysctl(const char *name)
{
	char path[128], text[16];
	int value = FACT_UNKNOWN;
	FILE *in;

	snprintf(path, sizeof(path), "/proc/sys/net/%s", name);
	in = fopen(path, "re");
	if (in && fgets(text, sizeof(text), in) && *text >= '0' && *text <= '9')
		value = atoi(text);
	if (in)
		fclose(in);
	return value;
}

static void settings(struct fact_host *h)
{
	h->forward4 = sysctl("ipv4/ip_forward");
	h->forward6 = sysctl("ipv6/conf/all/forwarding");
	h->hash4 = sysctl("ipv4/fib_multipath_hash_policy");
	h->hash6 = sysctl("ipv6/fib_multipath_hash_policy");
	h->rp_all = sysctl("ipv4/conf/all/rp_filter");
	h->proxy_arp_all = sysctl("ipv4/conf/all/proxy_arp");
	h->proxy_ndp_all = sysctl("ipv6/conf/all/proxy_ndp");
}

/* ---- interfaces ---- */

static struct fact_interface *interface_named(struct fact_host *h, const char *name)
{
	struct fact_interface *grown;

	for (size_t i = 0; i < h->interface_count; i++)
		if (strcmp(h->interfaces[i].name, name) == 0)
			return &h->interfaces[i];
	grown = realloc(h->interfaces, (h->interface_count + 1) * sizeof(*grown));
	if (!grown)
		return NULL;
	h->interfaces = grown;
	grown = &grown[h->interface_count++];
	*grown = (struct fact_interface){
		.filters_before = FACT_UNKNOWN, .filters_ours = FACT_UNKNOWN, .sent = FACT_UNKNOWN};
	snprintf(grown->name, sizeof(grown->name), "%s", name);
	return grown;
}

static void add_address(struct fact_interface *i, const struct sockaddr *sa)
{
	const void *bytes = sa->sa_family == AF_INET
				    ? (const void *)&((const struct sockaddr_in *)(const void *)sa)->sin_addr
				    : (const void *)&((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;
	char text[INET6_ADDRSTRLEN];
	size_t len = strlen(i->addresses);

	if (inet_ntop(sa->sa_family, bytes, text, sizeof(text)))
		snprintf(i->addresses + len, sizeof(i->addresses) - len, "%s%s ", len > 0 ? "" : " ", text);
}

static int sysctl_of(const struct fact_interface *i, const char *family, const char *setting)
{
	char name[64];

	snprintf(name, sizeof(name), "%s/conf/%s/%s", family, i->name, setting);
	return sysctl(name);
}

static void details(struct fact_interface *i, int fd)
{
	struct ifreq r;

	memset(&r, 0, sizeof(r));
	memcpy(r.ifr_name, i->name, sizeof(i->name));
	if (fd >= 0 && ioctl(fd, SIOCGIFMTU, &r) == 0)
		i->mtu = (unsigned)r.ifr_mtu;
	i->rp_filter = sysctl_of(i, "ipv4", "rp_filter");
	i->forward4 = sysctl_of(i, "ipv4", "forwarding");
	i->accept_local = sysctl_of(i, "ipv4", "accept_local");
	if (i->accept_local == 0)
		i->accept_local = sysctl("ipv4/conf/all/accept_local");
	i->proxy_arp = sysctl_of(i, "ipv4", "proxy_arp");
	i->proxy_ndp = sysctl_of(i, "ipv6", "proxy_ndp");
	i->no_ipv6 = sysctl_of(i, "ipv6", "disable_ipv6");
}

static void interfaces(struct fact_host *h)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifaddrs *all;

	if (getifaddrs(&all) == 0) {
		for (const struct ifaddrs *a = all; a; a = a->ifa_next) {
			struct fact_interface *i = interface_named(h, a->ifa_name);

			if (!i)
				break;
			i->up = a->ifa_flags & IFF_UP;
			if (a->ifa_addr && (a->ifa_addr->sa_family == AF_INET || a->ifa_addr->sa_family == AF_INET6))
				add_address(i, a->ifa_addr);
		}
		freeifaddrs(all);
	}
	for (size_t i = 0; i < h->interface_count; i++)
		details(&h->interfaces[i], fd);
	if (fd >= 0)
		close(fd);
}

/* ---- systemd-networkd ---- */

/* The last ManageForeignRoutes= of a file; false if it has none. */
static bool read_keeps(const char *path, bool *keeps)
{
	static const char key[] = "ManageForeignRoutes=";
	FILE *in = fopen(path, "re");
	bool found = false;
	char line[256];

	while (in && fgets(line, sizeof(line), in)) {
		const char *value = line + sizeof(key) - 1;

		if (strncmp(line, key, sizeof(key) - 1) != 0)
			continue;
		found = true;
		*keeps = strncasecmp(value, "no", 2) == 0 || strncasecmp(value, "false", 5) == 0 || *value == '0' ||
			 strncasecmp(value, "off", 3) == 0;
	}
	if (in)
		fclose(in);
	return found;
}

static int is_conf(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);

	return len > 5 && strcmp(entry->d_name + len - 5, ".conf") == 0;
}

static void networkd(struct fact_host *h)
{
	static const char *const dirs[] = {"/usr/lib/systemd", "/run/systemd", "/etc/systemd"};
	char path[512];

	/* This link is there as long as the unit runs. */
	h->networkd = faccessat(AT_FDCWD, "/run/systemd/units/invocation:systemd-networkd.service", F_OK,
				AT_SYMLINK_NOFOLLOW) == 0
			      ? FACT_YES
			      : FACT_NO;
	read_keeps("/etc/systemd/networkd.conf", &h->networkd_keeps_routes);
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		struct dirent **entries;
		int n;

		snprintf(path, sizeof(path), "%s/networkd.conf.d", dirs[i]);
		n = scandir(path, &entries, is_conf, alphasort);
		for (int k = 0; k < n; k++) {
			snprintf(path, sizeof(path), "%s/networkd.conf.d/%s", dirs[i], entries[k]->d_name);
			read_keeps(path, &h->networkd_keeps_routes);
			free(entries[k]);
		}
		if (n >= 0)
			free(entries);
	}
}

/* ---- firewall ---- */

/* All of it as a string, allocated; NULL: too much, or no memory. */
static char *read_all(int fd)
{
	size_t len = 0, room = 0;
	char *text = NULL;

	while (len < RULESET_MAX) {
		ssize_t n;

		if (room - len < 2) {
			char *grown = realloc(text, room + 65536);

			if (!grown)
				break;
			text = grown;
			room += 65536;
		}
		n = read(fd, text + len, room - len - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			text[len] = '\0';
			return text;
		}
		len += (size_t)n;
	}
	free(text);
	return NULL;
}

/* 0 and its exit status, or an errno. */
static int run_nft(char **output, int *status)
{
	static const char *const paths[] = {"/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft", "/usr/local/sbin/nft"};
	const char *argv[] = {"nft", "-j", "list", "ruleset", NULL}, *envp[] = {"LC_ALL=C", NULL};
	posix_spawn_file_actions_t actions;
	int pipe_fds[2], r = ENOENT;
	pid_t pid;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return errno;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, pipe_fds[1], STDOUT_FILENO);
	posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	for (size_t i = 0; r == ENOENT && i < sizeof(paths) / sizeof(paths[0]); i++)
		r = posix_spawn(&pid, paths[i], &actions, NULL, (char *const *)(uintptr_t)argv,
				(char *const *)(uintptr_t)envp);
	posix_spawn_file_actions_destroy(&actions);
	close(pipe_fds[1]);
	if (r == 0) {
		*output = read_all(pipe_fds[0]);
		close(pipe_fds[0]); /* it ends even when it has more to say */
		while (waitpid(pid, status, 0) < 0 && errno == EINTR)
			;
		return 0;
	}
	close(pipe_fds[0]);
	return r;
}

static void firewall(struct fact_host *h)
{
	FILE *in;
	int status = 0, r = run_nft(&h->ruleset, &status);
	char line[32];

	h->nft = r == ENOENT ? FACT_ABSENT : r != 0 || status != 0 ? FACT_DENIED : FACT_YES;
	for (int v6 = 0; v6 < 2; v6++) {
		in = fopen(v6 ? "/proc/net/ip6_tables_names" : "/proc/net/ip_tables_names", "re");
		while (in && fgets(line, sizeof(line), in)) {
			size_t len = strlen(h->legacy_tables);

			line[strcspn(line, "\n")] = '\0';
			snprintf(h->legacy_tables + len, sizeof(h->legacy_tables) - len, " %s%s", line,
				 v6 ? "(v6)" : "");
		}
		if (in)
			fclose(in);
	}
}

/* ---- all ---- */

void facts_collect(struct ctl *c, struct facts *f)
{
	settings(&f->host);
	interfaces(&f->host);
	networkd(&f->host);
	firewall(&f->host);
	facts_collect_kernel(f);
	facts_collect_around(f);
	for (size_t i = 0; i < f->daemon_count; i++)
		if (fact_is(&f->daemons[i], "routed-glue"))
			facts_collect_frr(&f->daemons[i]);
	facts_collect_groups(f);
	facts_listen(c, f);
}

static void daemon_free(struct fact_daemon *d)
{
	for (size_t i = 0; i < FACT_LISTINGS; i++) {
		for (size_t k = 0; k < d->listings[i].count; k++)
			turnout__reply__free_unpacked(d->listings[i].pages[k], NULL);
		free(d->listings[i].pages);
	}
	for (size_t i = 0; i < d->frr_count; i++)
		free(d->frr[i].config);
	free(d->label);
	free(d->dir);
	free(d->name);
}

void facts_free(struct facts *f)
{
	for (size_t i = 0; i < f->daemon_count; i++)
		daemon_free(&f->daemons[i]);
	free(f->daemons);
	free(f->host.interfaces);
	free(f->host.subnets);
	free(f->host.rules);
	free(f->host.proxies);
	free(f->host.groups);
	free(f->host.ruleset);
	*f = (struct facts){0};
}
