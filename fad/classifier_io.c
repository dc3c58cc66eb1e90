/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The classifier's user side: load, attach at tc ingress, keep its maps.
 *
 * The filters are attached with a handle and a priority of their own, so that
 * a successor replaces them in place and filters of others stay as they are.
 * Must not know what an affinity does.
 */
#include "fad/classifier_io.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <uthash.h>

#include "fad/planslot.h"
#include "fad/classifier.skel.h"
#include "lib/daemon.h"
#include "lib/exitcode.h"
#include "lib/log.h"

#define FILTER_HANDLE   0x746e
#define FILTER_PRIORITY 0x746e

#define LOG_PER_SECOND 5
#define SHED_KEPT_NS   2000000000ull /* after its time is up */

/* A next hop that has an index. */
struct forward {
	struct addr addr;
	uint32_t index, references;
	UT_hash_handle by_addr, by_index;
};

/* Control endpoints, and how often each was added; with port 0 an address, and how often one with it was. */
struct peer {
	struct classifier_address key;
	uint32_t references;
	UT_hash_handle hh;
};

/* What the map of own addresses has, to ask without a system call. */
struct own {
	struct classifier_address key;
	UT_hash_handle hh;
};

/* What the keys of the sheds are; family 0: of a free one. */
struct shed {
	struct classifier_key key;
	uint64_t told; /* of its packets, how many the caller knows of */
};

struct attachment {
	uint32_t ifindex;
	UT_hash_handle hh;
};

struct classifier {
	struct classifier_bpf *skel;
	struct classifier_settings *settings; /* shared with the program */
	struct classifier_interface *per_cpu; /* room for one value a CPU */
	int cpus;
	struct forward *by_addr, *by_index;
	uint32_t last_index;
	struct peer *peers;
	struct own *own;
	struct shed sheds[CLASSIFIER_SHEDS];
	uint32_t shed_serial;
	struct attachment *attachments;
	uint32_t filtered[2][2][CLASSIFIER_FILTER_BITS]; /* how many set each bit of the filter */
	uint32_t hinted[CLASSIFIER_HINTS];               /* how many wildcards set each bit of the hints */
	struct plantab_memory plans;
	struct log_limit limit;
	uint64_t failures;
};

/* ---- opening ---- */

static int to_debug_log(enum libbpf_print_level level, const char *format, va_list args)
{
	char line[1024];
	size_t n;

	if (level == LIBBPF_DEBUG)
		return 0; /* hundreds of lines on relocations; the verifier's complaints are warnings */
	vsnprintf(line, sizeof(line), format, args);
	n = strlen(line);
	while (n > 0 && line[n - 1] == '\n')
		line[--n] = '\0';
	if (n > 0)
		log_debug("%s", line);
	return 0;
}

static int explain(const char *what, int error)
{
	char reason[128];

	libbpf_strerror(error, reason, sizeof(reason)); /* knows errno as well as libbpf's own numbers */
	switch (error) {
	case EPERM:
	case EACCES:
		log_error(
			"%s: %s: CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN are needed (CAP_SYS_ADMIN before Linux 5.8)%s",
			what, reason,
			error == EACCES ? "; to who has them this kernel's verifier says no: --debug shows its reasons"
					: "");
		return EXITCODE_PRIVILEGE;
	case ENOSYS:
	case EINVAL:
	case EOPNOTSUPP:
	case E2BIG:
		log_error("%s: %s: the kernel does not take it; Linux 5.16 or later with CONFIG_BPF_SYSCALL, "
			  "CONFIG_NET_CLS_BPF and "
			  "CONFIG_NET_SCH_INGRESS is needed, --debug shows its reasons",
			  what, reason);
		return EXITCODE_KERNEL;
	case ENODEV:
		log_error("%s: no such interface", what);
		return EXITCODE_INTERFACE;
	default:
		log_error("%s: %s", what, reason);
		return error >= __LIBBPF_ERRNO__START ? EXITCODE_KERNEL : EXITCODE_FAILURE;
	}
}

static int load(struct classifier *c, const struct classifier_limits *limits)
{
	int r;

	c->skel = classifier_bpf__open();
	if (!c->skel)
		return -errno;
	r = bpf_map__set_max_entries(c->skel->maps.fixed, limits->fixed + CLASSIFIER_TAILS);
	/* Each wildcard may have a second key, for fragments. */
	if (r == 0)
		r = bpf_map__set_max_entries(c->skel->maps.wildcards, limits->wildcards ? 2 * limits->wildcards : 1);
	if (r == 0)
		r = bpf_map__set_max_entries(c->skel->maps.gone, limits->wildcards ? 2 * limits->wildcards : 1);
	c->skel->rodata->plan_slots = limits->plans;
	if (r == 0 && limits->plans)
		r = bpf_map__set_max_entries(c->skel->maps.plans4, limits->plans);
	if (r == 0 && limits->plans)
		r = bpf_map__set_max_entries(c->skel->maps.plans6, limits->plans);
	if (r == 0 && limits->plans)
		r = bpf_map__set_max_entries(c->skel->maps.ways, limits->plans);
	if (r == 0 && limits->plans)
		r = bpf_map__set_max_entries(c->skel->maps.tags, 2 * limits->plans / PLANSLOT_BUCKET);
	return r == 0 ? classifier_bpf__load(c->skel) : r;
}

/* Every page of it, so that placing a plan never waits for one. */
static void *share(const struct bpf_map *map, size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, bpf_map__fd(map), 0);

	return at == MAP_FAILED ? NULL : at;
}

static int share_plans(struct classifier *c, uint32_t slots)
{
	if (!slots)
		return 0;
	c->plans.settings = &c->skel->bss->plans;
	c->plans.slots4 = share(c->skel->maps.plans4, slots * sizeof(struct planslot4));
	if (c->plans.slots4)
		c->plans.slots6 = share(c->skel->maps.plans6, slots * sizeof(struct planslot6));
	if (c->plans.slots6)
		c->plans.ways = share(c->skel->maps.ways, slots * sizeof(struct planway));
	if (c->plans.ways)
		c->plans.tags = share(c->skel->maps.tags, 2 * (size_t)slots / PLANSLOT_BUCKET * sizeof(uint64_t));
	c->plans.slots = slots;
	return c->plans.tags ? 0 : -errno;
}

static void unshare_plans(struct classifier *c)
{
	if (c->plans.slots4)
		munmap(c->plans.slots4, c->plans.slots * sizeof(struct planslot4));
	if (c->plans.slots6)
		munmap(c->plans.slots6, c->plans.slots * sizeof(struct planslot6));
	if (c->plans.ways)
		munmap(c->plans.ways, c->plans.slots * sizeof(struct planway));
	if (c->plans.tags)
		munmap(c->plans.tags, 2 * (size_t)c->plans.slots / PLANSLOT_BUCKET * sizeof(uint64_t));
}

bool classifier_plans(struct classifier *c, struct plantab_memory *out)
{
	*out = c->plans;
	return c->plans.slots != 0;
}

int classifier_open(struct classifier **out, uint32_t punt_ifindex, const struct classifier_limits *limits)
{
	struct classifier *c = calloc(1, sizeof(*c));
	int r;

	*out = NULL;
	if (!c)
		return explain("classifier", ENOMEM);
	libbpf_set_print(to_debug_log);
	c->cpus = libbpf_num_possible_cpus();
	if (c->cpus > 0)
		c->per_cpu = calloc((size_t)c->cpus, sizeof(*c->per_cpu));
	r = c->per_cpu ? load(c, limits) : -ENOMEM;
	if (r == 0)
		r = share_plans(c, limits->plans);
	if (r < 0) {
		int status = explain("loading the classifier into the kernel", -r);

		classifier_close(c, false);
		return status;
	}
	c->settings = &c->skel->bss->settings;
	c->settings->port_ifindex = punt_ifindex;
	daemon_random(NULL, c->settings->shed_key, sizeof(c->settings->shed_key));
	*out = c;
	return EXITCODE_OK;
}

static void free_tables(struct classifier *c)
{
	struct forward *f, *next_forward;
	struct peer *p, *next_peer;
	struct own *o, *next_own;
	struct attachment *a, *next_attachment;

	HASH_CLEAR(by_addr, c->by_addr);
	HASH_ITER (by_index, c->by_index, f, next_forward) {
		HASH_DELETE(by_index, c->by_index, f);
		free(f);
	}
	HASH_ITER (hh, c->peers, p, next_peer) {
		HASH_DEL(c->peers, p);
		free(p);
	}
	HASH_ITER (hh, c->own, o, next_own) {
		HASH_DEL(c->own, o);
		free(o);
	}
	HASH_ITER (hh, c->attachments, a, next_attachment) {
		HASH_DEL(c->attachments, a);
		free(a);
	}
}

void classifier_close(struct classifier *c, bool detach)
{
	struct attachment *a, *next;

	if (!c)
		return;
	if (detach)
		HASH_ITER (hh, c->attachments, a, next)
			classifier_detach(c, a->ifindex);
	free_tables(c);
	unshare_plans(c);
	classifier_bpf__destroy(c->skel);
	free(c->per_cpu);
	free(c);
}

/* ---- attaching ---- */

static int attach(struct classifier *c, uint32_t ifindex, const struct bpf_program *program)
{
	DECLARE_LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = BPF_TC_INGRESS);
	DECLARE_LIBBPF_OPTS(bpf_tc_opts, opts, .handle = FILTER_HANDLE, .priority = FILTER_PRIORITY,
			    .prog_fd = bpf_program__fd(program), .flags = BPF_TC_F_REPLACE);
	struct attachment *a;
	int r = bpf_tc_hook_create(&hook);

	if (r < 0 && r != -EEXIST)
		return r;
	r = bpf_tc_attach(&hook, &opts);
	if (r < 0)
		return r;
	HASH_FIND(hh, c->attachments, &ifindex, sizeof(ifindex), a);
	if (a)
		return 0;
	a = calloc(1, sizeof(*a));
	if (!a)
		return -ENOMEM;
	a->ifindex = ifindex;
	HASH_ADD(hh, c->attachments, ifindex, sizeof(a->ifindex), a);
	return 0;
}

/* The policy lies beside the interface's counters, which are kept if there are any. */
static int set_policy(struct classifier *c, uint32_t ifindex, bool drop_unmatched)
{
	int fd = bpf_map__fd(c->skel->maps.interfaces);

	if (bpf_map_lookup_elem(fd, &ifindex, c->per_cpu) < 0)
		memset(c->per_cpu, 0, (size_t)c->cpus * sizeof(*c->per_cpu));
	for (int i = 0; i < c->cpus; i++)
		c->per_cpu[i].drop_unmatched = drop_unmatched;
	return bpf_map_update_elem(fd, &ifindex, c->per_cpu, BPF_ANY);
}

int classifier_attach(struct classifier *c, const char *name, uint32_t ifindex, bool drop_unmatched)
{
	char what[64];
	int r = set_policy(c, ifindex, drop_unmatched);

	if (r == 0)
		r = attach(c, ifindex, c->skel->progs.classify);
	if (r == 0)
		return EXITCODE_OK;
	snprintf(what, sizeof(what), "attaching the classifier to %s", name);
	return explain(what, -r);
}

int classifier_interface_plans(struct classifier *c, uint32_t ifindex, bool carry_out)
{
	int fd = bpf_map__fd(c->skel->maps.interfaces), r = bpf_map_lookup_elem(fd, &ifindex, c->per_cpu);

	for (int i = 0; r == 0 && i < c->cpus; i++)
		c->per_cpu[i].plans = carry_out && c->plans.slots != 0;
	if (r == 0)
		r = bpf_map_update_elem(fd, &ifindex, c->per_cpu, BPF_ANY);
	return r == 0 ? EXITCODE_OK : explain("plans of an interface", -r);
}

bool classifier_former(uint32_t ifindex)
{
	DECLARE_LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = BPF_TC_INGRESS);
	DECLARE_LIBBPF_OPTS(bpf_tc_opts, opts, .handle = FILTER_HANDLE, .priority = FILTER_PRIORITY);

	return bpf_tc_query(&hook, &opts) == 0;
}

int classifier_attach_port(struct classifier *c, uint32_t kernel_ifindex)
{
	int r = attach(c, kernel_ifindex, c->skel->progs.forwarder);

	return r == 0 ? EXITCODE_OK : explain("attaching the forwarder to the punt port", -r);
}

void classifier_detach(struct classifier *c, uint32_t ifindex)
{
	DECLARE_LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = BPF_TC_INGRESS);
	DECLARE_LIBBPF_OPTS(bpf_tc_opts, opts, .handle = FILTER_HANDLE, .priority = FILTER_PRIORITY);
	struct attachment *a;
	int r = bpf_tc_detach(&hook, &opts);

	/* It may have gone with its interface. */
	if (r < 0)
		log_debug("detaching from interface %u: %s", ifindex, strerror(-r));
	HASH_FIND(hh, c->attachments, &ifindex, sizeof(ifindex), a);
	if (a) {
		HASH_DEL(c->attachments, a);
		free(a);
	}
	bpf_map_delete_elem(bpf_map__fd(c->skel->maps.interfaces), &ifindex);
}

/* ---- shared memory ---- */

static struct classifier_address address_key(const struct addr *a, uint16_t port)
{
	struct classifier_address k = {.family = a->family, .port = port};

	memcpy(k.addr, a->b, sizeof(k.addr));
	return k;
}

static uint64_t monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void classifier_heartbeat(struct classifier *c)
{
	__atomic_store_n(&c->settings->heartbeat_ns, monotonic_ns(), __ATOMIC_RELAXED);
}

void classifier_show_drops(struct classifier *c, bool show)
{
	__atomic_store_n(&c->settings->shown_left, show ? CLASSIFIER_SHOWN : 0, __ATOMIC_RELAXED);
	__atomic_store_n(&c->settings->looked_on, show, __ATOMIC_RELAXED);
}

void classifier_silence(struct classifier *c)
{
	__atomic_store_n(&c->settings->heartbeat_ns, monotonic_ns() - CLASSIFIER_STALE_NS - 1, __ATOMIC_RELAXED);
}

void classifier_permit_protected(struct classifier *c, bool permit)
{
	__atomic_store_n(&c->settings->permit_protected, permit, __ATOMIC_RELAXED);
}

void classifier_fallback(struct classifier *c, const struct addr *next_hop, uint32_t for_ms)
{
	c->settings->fallback[next_hop->family == 6] = address_key(next_hop, 0);
	__atomic_store_n(&c->settings->fallback_ns, (uint64_t)for_ms * 1000000, __ATOMIC_RELEASE);
}

void classifier_gone_until(struct classifier *c, uint64_t until_ms)
{
	__atomic_store_n(&c->settings->gone_until_ns, until_ms * 1000000, __ATOMIC_RELAXED);
}

/* Take a number out of its list.  The program may look meanwhile: it may see one shape twice, but misses none. */
static void unlist(struct classifier_settings *s, uint16_t number)
{
	uint32_t list = classifier_list(s->shapes[number].family, s->shapes[number].flags);
	uint32_t n = s->shape_count[list];

	for (uint32_t i = 0; i < n; i++) {
		if (s->shape_order[list][i] != number)
			continue;
		__atomic_store_n(&s->shape_order[list][i], s->shape_order[list][n - 1], __ATOMIC_RELEASE);
		__atomic_store_n(&s->shape_count[list], n - 1, __ATOMIC_RELEASE);
		break;
	}
	s->shapes[number].family = 0;
}

bool classifier_shape(struct classifier *c, uint16_t number, const struct classifier_shape *shape)
{
	struct classifier_settings *s = c->settings;
	uint32_t list;

	if (number >= CLASSIFIER_ALL_SHAPES || (shape && shape->family != 4 && shape->family != 6))
		return false;
	if (shape && !(shape->flags & CLASSIFIER_SHAPE_FRAGMENTS) != (number < CLASSIFIER_MAX_SHAPES))
		return false;
	if (shape && !memcmp(&s->shapes[number], shape, sizeof(*shape)))
		return true;
	if (s->shapes[number].family)
		unlist(s, number);
	if (!shape)
		return true;
	list = classifier_list(shape->family, shape->flags);
	s->shapes[number] = *shape;
	s->shape_order[list][s->shape_count[list]] = (uint8_t)number;
	__atomic_store_n(&s->shape_count[list], s->shape_count[list] + 1, __ATOMIC_RELEASE);
	return true;
}

/* ---- maps ---- */

/* A limit of the map, or of memory: the caller decides what that means. */
static bool failed(struct classifier *c, const char *what, int error)
{
	uint32_t missed;

	c->failures++;
	if (log_allowed(&c->limit, monotonic_ns() / 1000000, LOG_PER_SECOND, &missed))
		log_warning("the kernel's table '%s': %s (%llu failures so far)", what,
			    error == E2BIG ? "full" : strerror(error), (unsigned long long)c->failures);
	return false;
}

/* 1: it is new there, or was there; 0: it was there before, or not at all; -1: failed. */
static int map_put(struct classifier *c, const struct bpf_map *map, const void *key)
{
	const uint32_t value = CLASSIFIER_COVERS;
	int r = bpf_map_update_elem(bpf_map__fd(map), key, &value, BPF_NOEXIST);

	if (r == 0 || r == -EEXIST)
		return r == 0;
	failed(c, bpf_map__name(map), -r);
	return -1;
}

static int map_take(struct classifier *c, const struct bpf_map *map, const void *key)
{
	int r = bpf_map_delete_elem(bpf_map__fd(map), key);

	if (r == 0 || r == -ENOENT)
		return r == 0;
	failed(c, bpf_map__name(map), -r);
	return -1;
}

static bool map_add(struct classifier *c, const struct bpf_map *map, const void *key)
{
	return map_put(c, map, key) >= 0;
}

static bool map_del(struct classifier *c, const struct bpf_map *map, const void *key)
{
	return map_take(c, map, key) >= 0;
}

/* Something that needs these bits of its addresses is stored, or is no more. */
static void filter_count(struct classifier *c, uint8_t family, const uint8_t *dst, const uint8_t *dst_mask,
			 const uint8_t *src, const uint8_t *src_mask, bool add)
{
	static const uint8_t all[CLASSIFIER_FILTER_PREFIX(6)] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	const size_t prefix = CLASSIFIER_FILTER_PREFIX(family);
	bool by_dst = !memcmp(dst_mask, all, prefix), by_src = !by_dst && !memcmp(src_mask, all, prefix);
	uint32_t side = by_dst ? CLASSIFIER_FILTER_DST : CLASSIFIER_FILTER_SRC, bit, *count;
	struct classifier_filter *f = &c->skel->bss->filter;
	uint64_t *word;

	if (!by_dst && !by_src) {
		__atomic_store_n(&f->any[family == 6], f->any[family == 6] + (add ? 1 : UINT32_MAX), __ATOMIC_SEQ_CST);
		return;
	}
	bit = classifier_filter_bit(family, by_dst ? dst : src) % CLASSIFIER_FILTER_BITS;
	count = &c->filtered[family == 6][side][bit];
	*count += add ? 1 : UINT32_MAX;
	word = &f->bits[family == 6][side][bit / 64];
	if (*count)
		__atomic_store_n(word, *word | UINT64_C(1) << bit % 64, __ATOMIC_SEQ_CST);
	else
		__atomic_store_n(word, *word & ~(UINT64_C(1) << bit % 64), __ATOMIC_SEQ_CST);
}

/* A wildcard's masked key is stored, or is no more. */
static void hint_key(struct classifier *c, const struct classifier_key *k, bool add)
{
	uint32_t hint = classifier_hint(k), *count = &c->hinted[hint];
	uint64_t *word = &c->skel->bss->hints[hint / 64], bit = UINT64_C(1) << hint % 64;

	*count += add ? 1 : UINT32_MAX;
	__atomic_store_n(word, *count ? *word | bit : *word & ~bit, __ATOMIC_SEQ_CST);
}

static void filter_key(struct classifier *c, const struct classifier_key *k, bool add)
{
	static const uint8_t all[16] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
					0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	const struct classifier_shape *s = k->shape < CLASSIFIER_ALL_SHAPES ? &c->settings->shapes[k->shape] : NULL;

	filter_count(c, k->family, k->dst, s ? s->dst_mask : all, k->src, s ? s->src_mask : all, add);
	if (s)
		hint_key(c, k, add);
}

/* The filter first: whoever finds nothing there does not look any further. */
static bool key_add(struct classifier *c, const struct bpf_map *map, const struct classifier_key *key)
{
	int r;

	filter_key(c, key, true);
	r = map_put(c, map, key);
	if (r != 1)
		filter_key(c, key, false);
	return r >= 0;
}

static bool key_del(struct classifier *c, const struct bpf_map *map, const struct classifier_key *key)
{
	int r = map_take(c, map, key);

	if (r == 1)
		filter_key(c, key, false);
	return r >= 0;
}

bool classifier_wildcard_add(struct classifier *c, const struct classifier_key *key)
{
	return key_add(c, c->skel->maps.wildcards, key);
}

/* ---- too many questions ---- */

static void shed_end(struct classifier *c, uint32_t i)
{
	__atomic_store_n(&c->skel->bss->sheds[i].until_ns, 0, __ATOMIC_RELAXED);
	c->sheds[i].key.family = 0;
}

/* The number of the shed that this key has, or CLASSIFIER_SHEDS. */
static uint32_t shed_find(const struct classifier *c, const struct classifier_key *key)
{
	uint32_t i = 0;

	while (i < CLASSIFIER_SHEDS && (!c->sheds[i].key.family || memcmp(&c->sheds[i].key, key, sizeof(*key)) != 0))
		i++;
	return i;
}

/* Tell the kernel which one a key has; none: CLASSIFIER_SHEDS.  False: there is no such key, or no memory. */
static bool shed_name(struct classifier *c, const struct classifier_key *key, uint32_t i)
{
	uint32_t value = CLASSIFIER_COVERS | (i < CLASSIFIER_SHEDS ? (i + 1) << CLASSIFIER_SHED_SHIFT : 0);

	return bpf_map_update_elem(bpf_map__fd(c->skel->maps.wildcards), key, &value, BPF_EXIST) == 0;
}

/* A free one, if need be one whose time was up a while ago: its last packets have been asked for since. */
static uint32_t shed_take(struct classifier *c, const struct classifier_key *key, uint64_t now_ns)
{
	for (uint32_t i = 0; i < CLASSIFIER_SHEDS; i++) {
		struct classifier_shed *s = &c->skel->bss->sheds[i];

		if (c->sheds[i].key.family && s->until_ns + SHED_KEPT_NS >= now_ns)
			continue;
		if (c->sheds[i].key.family)
			shed_name(c, &c->sheds[i].key, CLASSIFIER_SHEDS);
		memset(s, 0, sizeof(*s));
		s->serial = ++c->shed_serial;
		c->sheds[i] = (struct shed){.key = *key};
		if (shed_name(c, key, i))
			return i;
		shed_end(c, i);
		break;
	}
	return CLASSIFIER_SHEDS;
}

static void shed_set(struct classifier *c, struct classifier_shed *s, const struct classifier_shed *limit)
{
	s->each_ns = limit->each_ns;
	s->burst_ns = limit->burst_ns;
	s->spare_ns = limit->spare_ns;
	s->share_ns = limit->share_ns;
	s->asks = limit->asks;
	s->by_target = limit->by_target;
	s->route = limit->route;
	__atomic_store_n(&s->until_ns, limit->until_ns, __ATOMIC_RELEASE);
	if (c->settings->shed_until_ns < limit->until_ns)
		__atomic_store_n(&c->settings->shed_until_ns, limit->until_ns, __ATOMIC_RELEASE);
}

uint64_t classifier_shed(struct classifier *c, const struct classifier_key *key, const struct classifier_shed *limit)
{
	uint32_t i = shed_find(c, key);
	struct classifier_shed *s;
	uint64_t n, told;

	if (i == CLASSIFIER_SHEDS && limit)
		i = shed_take(c, key, monotonic_ns());
	if (i == CLASSIFIER_SHEDS)
		return 0;
	s = &c->skel->bss->sheds[i];
	if (limit)
		shed_set(c, s, limit);
	n = __atomic_load_n(&s->shed, __ATOMIC_RELAXED);
	told = c->sheds[i].told;
	c->sheds[i].told = n;
	return n - told;
}

bool classifier_wildcard_gone(struct classifier *c, const struct classifier_key *key, uint64_t until_ms)
{
	const uint64_t until_ns = until_ms * 1000000;
	int r = bpf_map_update_elem(bpf_map__fd(c->skel->maps.gone), key, &until_ns, BPF_ANY);

	return r == 0 || failed(c, bpf_map__name(c->skel->maps.gone), -r);
}

bool classifier_wildcard_del(struct classifier *c, const struct classifier_key *key)
{
	uint32_t i = shed_find(c, key);

	if (i < CLASSIFIER_SHEDS)
		shed_end(c, i);
	if (key->shape < CLASSIFIER_ALL_SHAPES && c->settings->shapes[key->shape].flags & CLASSIFIER_SHAPE_DROP_GONE)
		map_del(c, c->skel->maps.gone, key);
	return key_del(c, c->skel->maps.wildcards, key);
}

static struct classifier_key fixed_key(const struct flow_key *key)
{
	struct classifier_key k = {.family = key->family,
				   .proto = key->proto,
				   .sport = key->sport,
				   .dport = key->dport,
				   .shape = CLASSIFIER_FIXED_SHAPE};

	memcpy(k.src, key->src, sizeof(k.src));
	memcpy(k.dst, key->dst, sizeof(k.dst));
	return k;
}

bool classifier_fixed_add(struct classifier *c, const struct flow_key *key)
{
	struct classifier_key k = fixed_key(key);

	return key_add(c, c->skel->maps.fixed, &k);
}

bool classifier_fixed_del(struct classifier *c, const struct flow_key *key)
{
	struct classifier_key k = fixed_key(key);

	return key_del(c, c->skel->maps.fixed, &k);
}

static bool advertised(struct classifier *c, const struct addr *a, uint8_t plen, bool add)
{
	struct classifier_prefix4 p4 = {.plen = plen};
	struct classifier_prefix6 p6 = {.plen = plen};
	const struct bpf_map *map = a->family == 4 ? c->skel->maps.advertised4 : c->skel->maps.advertised6;
	const void *key = a->family == 4 ? (const void *)&p4 : &p6;
	uint8_t mask[16] = {0};
	static const uint8_t nowhere[16];
	int r;

	if (addr_len(a->family) == 0 || plen > 8 * addr_len(a->family))
		return failed(c, "advertised prefixes", EINVAL);
	memcpy(p4.addr, a->b, sizeof(p4.addr));
	memcpy(p6.addr, a->b, sizeof(p6.addr));
	addr_mask(a->family, plen, mask);
	if (add)
		filter_count(c, a->family, a->b, mask, a->b, nowhere, true);
	r = add ? map_put(c, map, key) : map_take(c, map, key);
	if (r == 1 ? !add : add)
		filter_count(c, a->family, a->b, mask, a->b, nowhere, false);
	return r >= 0;
}

bool classifier_advertised_add(struct classifier *c, const struct addr *a, uint8_t plen)
{
	return advertised(c, a, plen, true);
}

bool classifier_advertised_del(struct classifier *c, const struct addr *a, uint8_t plen)
{
	return advertised(c, a, plen, false);
}

static struct own *own_find(const struct classifier *c, const struct classifier_address *key)
{
	struct own *o;

	HASH_FIND(hh, c->own, key, sizeof(*key), o);
	return o;
}

bool classifier_own_add(struct classifier *c, const struct addr *a)
{
	struct classifier_address k = address_key(a, 0);
	struct own *o = own_find(c, &k) ? NULL : calloc(1, sizeof(*o));

	if (o) {
		o->key = k;
		HASH_ADD(hh, c->own, key, sizeof(o->key), o);
	} else if (!own_find(c, &k)) {
		return failed(c, "own addresses", ENOMEM);
	}
	return map_add(c, c->skel->maps.own, &k);
}

bool classifier_own_del(struct classifier *c, const struct addr *a)
{
	struct classifier_address k = address_key(a, 0);
	struct own *o = own_find(c, &k);

	if (o) {
		HASH_DEL(c->own, o);
		free(o);
	}
	return map_del(c, c->skel->maps.own, &k);
}

static bool listed(const struct bpf_map *map, const struct classifier_address *key)
{
	uint32_t value;

	return bpf_map_lookup_elem(bpf_map__fd(map), key, &value) == 0;
}

bool classifier_is_own(struct classifier *c, const struct addr *a)
{
	struct classifier_address k = address_key(a, 0);

	return listed(c->skel->maps.own, &k);
}

bool classifier_is_peer(struct classifier *c, const struct addr *a, uint16_t port)
{
	struct classifier_address k = address_key(a, port);

	return listed(c->skel->maps.peers, &k);
}

static struct peer *peer_find(const struct classifier *c, const struct classifier_address *key)
{
	struct peer *p;

	HASH_FIND(hh, c->peers, key, sizeof(*key), p);
	return p;
}

static bool peer_hold(struct classifier *c, const struct classifier_address *key)
{
	struct peer *p = peer_find(c, key);

	if (!p) {
		p = calloc(1, sizeof(*p));
		if (!p)
			return failed(c, "peers", ENOMEM);
		if (!map_add(c, c->skel->maps.peers, key)) {
			free(p);
			return false;
		}
		p->key = *key;
		HASH_ADD(hh, c->peers, key, sizeof(p->key), p);
	}
	p->references++;
	return true;
}

static bool peer_drop(struct classifier *c, const struct classifier_address *key)
{
	struct peer *p = peer_find(c, key);

	if (!p || --p->references > 0)
		return true;
	HASH_DEL(c->peers, p);
	free(p);
	return map_del(c, c->skel->maps.peers, key);
}

/* An endpoint, and its address for fragments that show no port. */
bool classifier_peer_add(struct classifier *c, const struct addr *a, uint16_t port)
{
	struct classifier_address endpoint = address_key(a, port), any = address_key(a, 0);

	if (port == 0 || !peer_hold(c, &endpoint))
		return false;
	if (peer_hold(c, &any))
		return true;
	peer_drop(c, &endpoint);
	return false;
}

bool classifier_peer_del(struct classifier *c, const struct addr *a, uint16_t port)
{
	struct classifier_address endpoint = address_key(a, port), any = address_key(a, 0);
	bool done;

	if (port == 0 || !peer_find(c, &endpoint))
		return port != 0;
	done = peer_drop(c, &endpoint);
	return peer_drop(c, &any) && done;
}

static bool is_peer(const struct classifier *c, const struct addr *a, uint16_t port)
{
	struct classifier_address k = address_key(a, port);

	return peer_find(c, &k) != NULL;
}

bool classifier_guards(const struct classifier *c, const struct flow_key *key)
{
	const struct addr src = addr_make(key->family, key->src), dst = addr_make(key->family, key->dst);
	const struct classifier_address from = address_key(&src, 0), to = address_key(&dst, 0);

	if (classifier_local_scope(key->family, key->src, key->dst) || own_find(c, &from) || own_find(c, &to))
		return true;
	return key->proto == IPPROTO_UDP && (is_peer(c, &dst, key->dport) || is_peer(c, &src, key->sport));
}

/* ---- next hops ---- */

static struct forward *forward_by_index(struct classifier *c, uint32_t index)
{
	struct forward *f;

	HASH_FIND(by_index, c->by_index, &index, sizeof(index), f);
	return f;
}

/* Round the table, so that a number freed just now is not given out again while packets that carry it are under way. */
static uint32_t free_index(struct classifier *c)
{
	if (HASH_CNT(by_index, c->by_index) >= CLASSIFIER_MAX_FORWARDS - 1)
		return 0;
	do {
		c->last_index = c->last_index % (CLASSIFIER_MAX_FORWARDS - 1) + 1;
	} while (forward_by_index(c, c->last_index));
	return c->last_index;
}

static bool forward_write(struct classifier *c, uint32_t index, const struct classifier_address *hop)
{
	int r = bpf_map_update_elem(bpf_map__fd(c->skel->maps.forwards), &index, hop, BPF_ANY);

	return r == 0 || failed(c, "next hops", -r);
}

uint32_t classifier_forward_get(struct classifier *c, const struct addr *next_hop)
{
	struct classifier_address hop = address_key(next_hop, 0);
	struct forward *f;
	uint32_t index;

	HASH_FIND(by_addr, c->by_addr, next_hop, sizeof(*next_hop), f);
	if (f) {
		f->references++;
		return f->index;
	}
	index = free_index(c);
	f = index ? calloc(1, sizeof(*f)) : NULL;
	if (!f || !forward_write(c, index, &hop)) {
		free(f);
		return 0;
	}
	*f = (struct forward){.addr = *next_hop, .index = index, .references = 1};
	HASH_ADD(by_addr, c->by_addr, addr, sizeof(f->addr), f);
	HASH_ADD(by_index, c->by_index, index, sizeof(f->index), f);
	return index;
}

void classifier_forward_put(struct classifier *c, uint32_t index)
{
	static const struct classifier_address none;
	struct forward *f = forward_by_index(c, index);

	if (!f || --f->references > 0)
		return;
	forward_write(c, index, &none);
	HASH_DELETE(by_addr, c->by_addr, f);
	HASH_DELETE(by_index, c->by_index, f);
	free(f);
}

/* ---- counters ---- */

static uint64_t sum_counter(const struct classifier *c, int map, uint32_t which, uint64_t *room)
{
	uint64_t sum = 0;

	if (bpf_map_lookup_elem(map, &which, room) < 0)
		return 0;
	for (int cpu = 0; cpu < c->cpus; cpu++)
		sum += room[cpu];
	return sum;
}

void classifier_counters(struct classifier *c, uint64_t out[CLASSIFIER_COUNTERS])
{
	uint64_t *room = calloc((size_t)c->cpus, sizeof(*room));

	memset(out, 0, CLASSIFIER_COUNTERS * sizeof(*out));
	if (!room)
		return;
	for (uint32_t i = 0; i < CLASSIFIER_COUNTERS; i++)
		out[i] = sum_counter(c, bpf_map__fd(c->skel->maps.counters), i, room);
	free(room);
}

void classifier_interface_counters(struct classifier *c, uint32_t ifindex, struct classifier_interface *out)
{
	*out = (struct classifier_interface){0};
	if (bpf_map_lookup_elem(bpf_map__fd(c->skel->maps.interfaces), &ifindex, c->per_cpu) < 0)
		return;
	for (int cpu = 0; cpu < c->cpus; cpu++) {
		out->punted += c->per_cpu[cpu].punted;
		out->passed += c->per_cpu[cpu].passed;
		out->planned += c->per_cpu[cpu].planned;
	}
}
