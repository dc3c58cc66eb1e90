/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The golden messages of tests/vectors: what is decoded, printed, encoded and
 * signed is compared with files that a stranger can read, and each of them is
 * cut and bent in every way that costs little.
 *
 * With --write the printed part of the good ones is written anew (make vectors);
 * read the difference before you keep it.
 */
#include "proto/auth.h"

#include <check.h>
#include <ctype.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#define DIRECTORY "tests/vectors/"
#define MAX_FILES 200

struct vector {
	char *name, *text, *tail; /* tail: after the line of dashes, in text */
	uint8_t bytes[4096];
	size_t len;
};

struct vectors {
	struct vector v[MAX_FILES];
	size_t count;
};

/* ---- reading ---- */

static char *read_file(const char *path)
{
	FILE *f = fopen(path, "re");
	ck_assert_msg(f != NULL, "%s cannot be read", path);
	char *text = calloc(1, 1 << 16);
	ck_assert_ptr_nonnull(text);
	size_t n = fread(text, 1, (1 << 16) - 1, f);
	ck_assert_msg(n > 0, "%s is empty", path);
	fclose(f);
	return text;
}

static unsigned hex_digit(const char *path, char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *p = c ? strchr(digits, c) : NULL;
	ck_assert_msg(p != NULL, "%s: '%c' where a hex digit should be", path, c);
	return (unsigned)(p - digits);
}

/* Bytes with one space between them; two spaces, and the rest of the line is for people. */
static void parse_line(struct vector *v, const char *line)
{
	while (isxdigit((unsigned char)*line)) {
		ck_assert_uint_lt(v->len, sizeof v->bytes);
		v->bytes[v->len++] = (uint8_t)(hex_digit(v->name, line[0]) << 4 | hex_digit(v->name, line[1]));
		line += 2;
		if (line[0] == ' ' && line[1] != ' ')
			line++;
	}
	ck_assert_msg(strchr(" \n#", *line) != NULL, "%s: line not understood: %s", v->name, line);
}

static void load(struct vector *v, const char *path)
{
	v->name = strdup(path);
	v->text = read_file(path);
	const char *line = v->text;
	while (strncmp(line, "---\n", 4) != 0) {
		if (*line != '#')
			parse_line(v, line);
		line = strchr(line, '\n');
		ck_assert_msg(line != NULL, "%s has no line of dashes", path);
		line++;
	}
	v->tail = v->text + (line - v->text) + 4;
}

static struct vectors *load_all(const char *directory)
{
	struct vectors *all = calloc(1, sizeof *all);
	struct dirent **names = NULL;
	char path[512];
	ck_assert_ptr_nonnull(all);
	snprintf(path, sizeof path, DIRECTORY "%s", directory);
	int n = scandir(path, &names, NULL, alphasort);
	for (int i = 0; i < n; i++) {
		const char *dot = strrchr(names[i]->d_name, '.');
		if (dot && strcmp(dot, ".txt") == 0) {
			ck_assert_uint_lt(all->count, MAX_FILES);
			snprintf(path, sizeof path, DIRECTORY "%s/%s", directory, names[i]->d_name);
			load(&all->v[all->count++], path);
		}
		free(names[i]);
	}
	free(names);
	ck_assert_msg(all->count > 0, "no vectors in %s", path);
	return all;
}

static void free_all(struct vectors *all)
{
	for (size_t i = 0; i < all->count; i++) {
		free(all->v[i].name);
		free(all->v[i].text);
	}
	free(all);
}

/* ---- what the tests share ---- */

static char *printed(const struct wire_msg *m)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	ck_assert_ptr_nonnull(out);
	wire_print(m, out, "");
	fclose(out);
	return text;
}

/* The keys of the vectors, as their README says. */
static struct auth_ring *key_ring(void)
{
	static const char one[] = "turnout vectors, key one", two[] = "turnout vectors, key two";
	struct auth_ring *ring = auth_ring_new();
	ck_assert_ptr_nonnull(ring);
	ck_assert(auth_ring_add(ring, 1, WIRE_SCHEME_HMAC_SHA256, one, strlen(one), NULL, 0));
	ck_assert(auth_ring_add(ring, 2, WIRE_SCHEME_MD5, two, strlen(two), NULL, 0));
	return ring;
}

static void decode_good(const struct vector *v, struct wire_msg *m)
{
	struct wire_diagnosis why;
	enum wire_fault fault = wire_decode(v->bytes, v->len, m, &why);
	ck_assert_msg(fault == WIRE_OK, "%s: %s at %u, segment %u", v->name, wire_fault_name(fault), why.offset,
		      why.segment);
}

/* Whatever the bytes are: no crash, and what is accepted can be printed and written again. */
static void bent(uint8_t *bytes, size_t len)
{
	uint8_t out[4096];
	struct wire_msg m, again;
	struct wire_header h;
	struct wire_security s;
	enum wire_fault peeked = wire_peek(bytes, len, &h, &s);
	if (wire_decode(bytes, len, &m, NULL) != WIRE_OK)
		return;
	ck_assert_int_eq(peeked, WIRE_OK);
	free(printed(&m));
	ssize_t n = wire_encode(&m, out, sizeof out);
	ck_assert_int_gt(n, 0);
	ck_assert_int_eq(wire_decode(out, (size_t)n, &again, NULL), WIRE_OK);
	ck_assert_uint_eq(again.present, m.present);
}

/* ---- tests ---- */

START_TEST(test_MSG_12_golden_messages_print_as_documented)
{
	static const char *const directories[] = {"messages", "messages-other"};
	for (int d = 0; d < 2; d++) {
		struct vectors *all = load_all(directories[d]);
		for (size_t i = 0; i < all->count; i++) {
			struct wire_msg m;
			decode_good(&all->v[i], &m);
			char *text = printed(&m);
			ck_assert_msg(strcmp(text, all->v[i].tail) == 0, "%s prints as:\n%sand should as:\n%s",
				      all->v[i].name, text, all->v[i].tail);
			free(text);
		}
		free_all(all);
	}
}
END_TEST

START_TEST(test_MSG_12_golden_messages_encode_to_their_bytes)
{
	struct vectors *all = load_all("messages");
	struct auth_ring *ring = key_ring();
	for (size_t i = 0; i < all->count; i++) {
		struct vector *v = &all->v[i];
		struct wire_msg m;
		uint8_t out[4096];
		decode_good(v, &m);
		ssize_t n = wire_encode(&m, out, sizeof out);
		ck_assert_msg(n == (ssize_t)v->len, "%s: %zd bytes instead of %zu", v->name, n, v->len);
		if (wire_has(&m, WIRE_SEG_SECURITY))
			ck_assert(auth_sign(ring, out, (size_t)n));
		for (size_t b = 0; b < v->len; b++)
			ck_assert_msg(out[b] == v->bytes[b], "%s: byte %zu is %02x instead of %02x", v->name, b, out[b],
				      v->bytes[b]);
		ck_assert_int_eq(wire_encode(&m, out, (size_t)n - 1), -1);
	}
	auth_ring_free(ring);
	free_all(all);
}
END_TEST

START_TEST(test_SEC_1_golden_messages_are_authentic)
{
	struct vectors *all = load_all("messages");
	struct auth_ring *ring = key_ring();
	unsigned schemes[4] = {0};
	for (size_t i = 0; i < all->count; i++) {
		struct vector *v = &all->v[i];
		struct wire_header h;
		struct wire_security s;
		ck_assert_int_eq(wire_peek(v->bytes, v->len, &h, &s), WIRE_OK);
		enum auth_verdict verdict = auth_check(ring, v->bytes, v->len, &h, &s);
		ck_assert_msg(verdict == (s.scheme ? AUTH_OK : AUTH_ABSENT), "%s: %s", v->name,
			      auth_verdict_name(verdict));
		ck_assert_uint_lt(s.scheme, 4);
		schemes[s.scheme]++;
	}
	for (int i = 0; i < 4; i++)
		ck_assert_msg(schemes[i] > 0, "no golden message of scheme %d", i);
	auth_ring_free(ring);
	free_all(all);
}
END_TEST

START_TEST(test_MSG_2_every_type_and_segment_has_a_golden_message)
{
	static const uint8_t types[] = {1, 2, 3, 4, 5, 6, 128, 129, 130, 131, 132, 133};
	static const uint8_t segments[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 128, 129, 130, 131, 132};
	static const uint8_t with_family[] = {1, 2, 3, 4, 5, 131, 133};
	uint32_t present = 0;
	bool seen[256][7] = {{false}};
	struct vectors *all = load_all("messages");
	for (size_t i = 0; i < all->count; i++) {
		struct wire_msg m;
		decode_good(&all->v[i], &m);
		present |= m.present;
		seen[m.h.type][0] = true;
		seen[m.h.type][m.wildcard.family] = true;
		seen[m.h.type][m.fixed.key.family] = true;
		seen[m.h.type][m.identifier.key.family] = true;
	}
	free_all(all);
	for (size_t i = 0; i < sizeof types; i++)
		ck_assert_msg(seen[types[i]][0], "no golden message of type %u", types[i]);
	for (size_t i = 0; i < sizeof segments; i++)
		ck_assert_msg(present & wire_bit(segments[i]), "no golden segment of type %u", segments[i]);
	for (size_t i = 0; i < sizeof with_family; i++)
		ck_assert_msg(seen[with_family[i]][4] && seen[with_family[i]][6], "type %u not of both families",
			      with_family[i]);
}
END_TEST

START_TEST(test_MSG_4_bad_messages_are_refused_by_name_and_place)
{
	struct vectors *all = load_all("messages-bad");
	unsigned seen[WIRE_FAULT_COUNT] = {0};
	for (size_t i = 0; i < all->count; i++) {
		struct vector *v = &all->v[i];
		struct wire_msg m;
		struct wire_diagnosis why;
		char got[100];
		enum wire_fault fault = wire_decode(v->bytes, v->len, &m, &why);
		snprintf(got, sizeof got, "%s at %u, segment %u\n", wire_fault_name(fault), why.offset, why.segment);
		ck_assert_msg(strcmp(got, v->tail) == 0, "%s: %sinstead of %s", v->name, got, v->tail);
		ck_assert_int_eq(why.fault, fault);
		seen[fault]++;
		/* A peek never objects to what a decode accepts, and to a header it objects alike. */
		struct wire_header h;
		struct wire_security s;
		enum wire_fault peeked = wire_peek(v->bytes, v->len, &h, &s);
		ck_assert(peeked == WIRE_OK || peeked == fault);
	}
	free_all(all);
	for (int f = WIRE_OK + 1; f < WIRE_FAULT_COUNT; f++)
		ck_assert_msg(seen[f] > 0, "no bad message for %s", wire_fault_name((enum wire_fault)f));
}
END_TEST

START_TEST(test_MSG_4_truncated_at_every_length)
{
	struct vectors *all = load_all("messages");
	for (size_t i = 0; i < all->count; i++) {
		struct vector *v = &all->v[i];
		for (size_t len = 0; len < v->len; len++) {
			struct wire_msg m;
			/* On the heap, so that a read beyond the end is seen. */
			uint8_t *bytes = malloc(len ? len : 1);
			ck_assert_ptr_nonnull(bytes);
			memcpy(bytes, v->bytes, len);
			ck_assert_int_eq(wire_decode(bytes, len, &m, NULL), WIRE_FAULT_SHORT);
			/* With a header that says so, it may be a message again; then a good one. */
			if (len >= WIRE_HEADER_LEN) {
				bytes[2] = (uint8_t)(len >> 8);
				bytes[3] = (uint8_t)len;
				bent(bytes, len);
			}
			free(bytes);
		}
	}
	free_all(all);
}
END_TEST

START_TEST(test_MSG_4_any_byte_changed_never_crashes)
{
	static const uint8_t values[] = {0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xff, 0x7f};
	static const char *const directories[] = {"messages", "messages-other", "messages-bad"};
	for (int d = 0; d < 3; d++) {
		struct vectors *all = load_all(directories[d]);
		for (size_t i = 0; i < all->count; i++) {
			struct vector *v = &all->v[i];
			uint8_t *bytes = malloc(v->len);
			ck_assert_ptr_nonnull(bytes);
			memcpy(bytes, v->bytes, v->len);
			for (size_t at = 0; at < v->len; at++) {
				for (size_t x = 0; x < sizeof values; x++) {
					bytes[at] = v->bytes[at] ^ values[x];
					bent(bytes, v->len);
				}
				bytes[at] = v->bytes[at];
			}
			free(bytes);
		}
		free_all(all);
	}
}
END_TEST

START_TEST(test_SEC_2_any_byte_changed_is_not_authentic)
{
	struct vectors *all = load_all("messages");
	struct auth_ring *ring = key_ring();
	for (size_t i = 0; i < all->count; i++) {
		struct vector *v = &all->v[i];
		for (size_t at = 0; at < v->len; at++) {
			struct wire_header h;
			struct wire_security s;
			v->bytes[at] ^= 0x04;
			if (wire_peek(v->bytes, v->len, &h, &s) == WIRE_OK)
				ck_assert_msg(auth_check(ring, v->bytes, v->len, &h, &s) != AUTH_OK, "%s, byte %zu",
					      v->name, at);
			v->bytes[at] ^= 0x04;
		}
	}
	auth_ring_free(ring);
	free_all(all);
}
END_TEST

/* ---- writing ---- */

static void write_directory(const char *directory)
{
	struct vectors *all = load_all(directory);
	for (size_t i = 0; i < all->count; i++) {
		struct vector *v = &all->v[i];
		struct wire_msg m;
		decode_good(v, &m);
		char *text = printed(&m);
		FILE *f = fopen(v->name, "we");
		ck_assert_msg(f != NULL, "%s cannot be written", v->name);
		fprintf(f, "%.*s%s", (int)(v->tail - v->text), v->text, text);
		fclose(f);
		free(text);
	}
	free_all(all);
}

/* Not among the tests, but Check's assertions work in its own test cases only. */
START_TEST(write_tails)
{
	write_directory("messages");
	write_directory("messages-other");
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_test(tc, test_MSG_12_golden_messages_print_as_documented);
	tcase_add_test(tc, test_MSG_12_golden_messages_encode_to_their_bytes);
	tcase_add_test(tc, test_SEC_1_golden_messages_are_authentic);
	tcase_add_test(tc, test_MSG_2_every_type_and_segment_has_a_golden_message);
	tcase_add_test(tc, test_MSG_4_bad_messages_are_refused_by_name_and_place);
	tcase_add_test(tc, test_MSG_4_truncated_at_every_length);
	tcase_add_test(tc, test_MSG_4_any_byte_changed_never_crashes);
	tcase_add_test(tc, test_SEC_2_any_byte_changed_is_not_authentic);
}

int main(int argc, char **argv)
{
	Suite *suite = suite_create("vectors");
	TCase *tc = tcase_create("vectors");
	tcase_set_timeout(tc, 120); /* many messages, on a machine that may be busy */
	if (argc == 2 && strcmp(argv[1], "--write") == 0)
		tcase_add_test(tc, write_tails);
	else
		add_tests(tc);
	suite_add_tcase(suite, tc);
	SRunner *sr = srunner_create(suite);
	if (getenv("TAP_FILE") != NULL)
		srunner_set_tap(sr, getenv("TAP_FILE"));
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
