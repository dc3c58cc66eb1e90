/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Message authentication.  Expected MACs come from other functions than the
 * ones under test, and those are held against RFC 4231 and RFC 1321; the golden
 * messages (proto/vectors_test.c) were signed by another program altogether.
 */
#include "proto/auth.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#define SELF  0xa1
#define OTHER 0xa2

static const uint8_t packet4[20] = {0x45, 0, 0, 20, [9] = 6};

/* A deny of segment type 200, or an IP packet only. */
static void start(struct wire_msg *m, enum wire_type type)
{
	wire_start(m, type);
	m->h.source = SELF;
	m->h.incarnation = 1;
	m->h.destination = 0xb1;
	m->h.sequence = 1;
	m->list = (struct wire_list){1, {200}};
	m->packet = (struct wire_blob){packet4, sizeof packet4};
	wire_set(m, type == WIRE_PACKET ? WIRE_SEG_IP_PACKET : WIRE_SEG_ACTION_LIST, true);
}

static size_t signed_message(struct auth_ring *ring, enum wire_type type, uint8_t buf[256])
{
	struct wire_msg m;
	start(&m, type);
	auth_prepare(ring, &m);
	ssize_t n = wire_encode(&m, buf, 256);
	ck_assert_int_gt(n, 0);
	ck_assert(auth_sign(ring, buf, (size_t)n));
	return (size_t)n;
}

static enum auth_verdict check(struct auth_ring *ring, uint8_t *buf, size_t n)
{
	struct wire_header h;
	struct wire_security s;
	uint8_t before[256];
	ck_assert_int_eq(wire_peek(buf, n, &h, &s), WIRE_OK);
	memcpy(before, buf, n);
	enum auth_verdict v = auth_check(ring, buf, n, &h, &s);
	ck_assert_mem_eq(before, buf, n);
	return v;
}

static struct auth_ring *ring_of(uint32_t id, unsigned scheme, const char *secret)
{
	struct auth_ring *ring = auth_ring_new();
	ck_assert_ptr_nonnull(ring);
	ck_assert(auth_ring_add(ring, id, scheme, secret, strlen(secret), NULL, 0));
	ck_assert(auth_ring_use(ring, id));
	return ring;
}

/* The MAC by other means: libcrypto's one-shot functions over the message with MAC bytes zero. */
static void expect_mac(const uint8_t *buf, size_t n, unsigned scheme, const void *secret, size_t len)
{
	uint8_t joined[256 + 2 * AUTH_MAX_SECRET], digest[EVP_MAX_MD_SIZE];
	struct wire_header h;
	struct wire_security s;
	ck_assert_int_eq(wire_peek(buf, n, &h, &s), WIRE_OK);
	ck_assert_uint_eq(s.scheme, scheme);
	memcpy(joined, secret, len);
	memcpy(joined + len, buf, n);
	memcpy(joined + len + n, secret, len);
	memset(joined + len + s.mac_offset, 0, s.mac_len);
	if (scheme == WIRE_SCHEME_MD5)
		ck_assert_int_eq(EVP_Digest(joined, n + 2 * len, digest, NULL, EVP_md5(), NULL), 1);
	else
		ck_assert_ptr_nonnull(HMAC(EVP_sha256(), secret, (int)len, joined + len, n, digest, NULL));
	ck_assert_mem_eq(digest, buf + s.mac_offset, s.mac_len);
}

/*
 * RFC 4231, test case 2 (key "Jefe") and RFC 1321, appendix A.5: the algorithms
 * that expect_mac() compares with are the published ones.
 */
START_TEST(test_SEC_3_reference_algorithms)
{
	static const uint8_t rfc4231[] = {0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e,
					  0x6a, 0x04, 0x24, 0x26, 0x08, 0x95, 0x75, 0xc7};
	static const uint8_t rfc1321[] = {0x90, 0x01, 0x50, 0x98, 0x3c, 0xd2, 0x4f, 0xb0,
					  0xd6, 0x96, 0x3f, 0x7d, 0x28, 0xe1, 0x7f, 0x72};
	uint8_t digest[EVP_MAX_MD_SIZE];
	const char *what = "what do ya want for nothing?";
	ck_assert_ptr_nonnull(HMAC(EVP_sha256(), "Jefe", 4, (const uint8_t *)what, strlen(what), digest, NULL));
	ck_assert_mem_eq(digest, rfc4231, sizeof rfc4231);
	ck_assert_int_eq(EVP_Digest("abc", 3, digest, NULL, EVP_md5(), NULL), 1);
	ck_assert_mem_eq(digest, rfc1321, sizeof rfc1321);
}
END_TEST

/* Key lengths as in RFC 4231: shorter than, as long as and longer than a block of SHA-256 (64 bytes). */
START_TEST(test_SEC_3_macs_are_as_documented)
{
	static const size_t lengths[] = {1, 4, 20, 25, 63, 64, 65, AUTH_MAX_SECRET};
	static const struct {
		unsigned key, seen;
		enum wire_type type;
	} cases[] = {
		{WIRE_SCHEME_HMAC_SHA256, WIRE_SCHEME_HMAC_SHA256, WIRE_DENY},
		{WIRE_SCHEME_HMAC_SHA256, WIRE_SCHEME_HMAC_SHA256_8, WIRE_PACKET},
		{WIRE_SCHEME_MD5, WIRE_SCHEME_MD5, WIRE_DENY},
		{WIRE_SCHEME_MD5, WIRE_SCHEME_MD5, WIRE_PACKET},
	};
	for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
		for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
			uint8_t secret[AUTH_MAX_SECRET], buf[256];
			memset(secret, 0xaa, sizeof secret);
			struct auth_ring *ring = auth_ring_new();
			ck_assert(auth_ring_add(ring, 7, cases[c].key, secret, lengths[i], NULL, 0));
			ck_assert(auth_ring_use(ring, 7));
			/* Twice: the contexts inside are used again. */
			for (int twice = 0; twice < 2; twice++) {
				size_t n = signed_message(ring, cases[c].type, buf);
				expect_mac(buf, n, cases[c].seen, secret, lengths[i]);
				ck_assert_int_eq(check(ring, buf, n), AUTH_OK);
			}
			auth_ring_free(ring);
		}
	}
}
END_TEST

START_TEST(test_SEC_2_nothing_expected_nothing_looked_at)
{
	struct auth_ring *none = auth_ring_new(), *ring = ring_of(1, WIRE_SCHEME_HMAC_SHA256, "secret");
	uint8_t buf[256];
	ck_assert(!auth_ring_expects(none));
	ck_assert(auth_ring_expects(ring));
	size_t n = signed_message(none, WIRE_DENY, buf);
	ck_assert_int_eq(check(none, buf, n), AUTH_OK);
	ck_assert_int_eq(check(ring, buf, n), AUTH_ABSENT);
	n = signed_message(ring, WIRE_DENY, buf);
	ck_assert_int_eq(check(none, buf, n), AUTH_OK);
	buf[n - 1] ^= 1;
	ck_assert_int_eq(check(none, buf, n), AUTH_OK);
	ck_assert_int_eq(check(ring, buf, n), AUTH_WRONG);
	auth_ring_free(none);
	auth_ring_free(ring);
}
END_TEST

START_TEST(test_SEC_2_wrong_is_refused)
{
	struct auth_ring *ring = ring_of(1, WIRE_SCHEME_HMAC_SHA256, "secret");
	struct auth_ring *other = ring_of(1, WIRE_SCHEME_HMAC_SHA256, "Secret");
	struct auth_ring *md5 = ring_of(1, WIRE_SCHEME_MD5, "secret"), *second = ring_of(2, WIRE_SCHEME_MD5, "secret");
	uint8_t buf[256];
	size_t n = signed_message(ring, WIRE_DENY, buf);
	ck_assert_int_eq(check(ring, buf, n), AUTH_OK);
	ck_assert_int_eq(check(other, buf, n), AUTH_WRONG);
	ck_assert_int_eq(check(md5, buf, n), AUTH_SCHEME);
	ck_assert_int_eq(check(second, buf, n), AUTH_UNKNOWN_KEY);
	/* Every byte is covered, those of the header too. */
	for (size_t i = 16; i < n; i++) {
		if (i >= WIRE_HEADER_LEN && i < WIRE_HEADER_LEN + 12)
			continue; /* those change what is found there: their own verdicts above */
		buf[i] ^= 0x80;
		ck_assert_int_eq(check(ring, buf, n), AUTH_WRONG);
		buf[i] ^= 0x80;
	}
	ck_assert_int_eq(check(ring, buf, n), AUTH_OK);
	auth_ring_free(ring);
	auth_ring_free(other);
	auth_ring_free(md5);
	auth_ring_free(second);
}
END_TEST

START_TEST(test_SEC_3_keys_roll_without_an_outage)
{
	struct auth_ring *a = ring_of(1, WIRE_SCHEME_MD5, "old"), *b = ring_of(1, WIRE_SCHEME_MD5, "old");
	uint8_t buf[256];
	/* First everybody learns the new key, then one after the other signs with it. */
	ck_assert(auth_ring_add(a, 2, WIRE_SCHEME_HMAC_SHA256, "new", 3, NULL, 0));
	ck_assert(auth_ring_add(b, 2, WIRE_SCHEME_HMAC_SHA256, "new", 3, NULL, 0));
	for (int step = 0; step < 3; step++) {
		if (step >= 1)
			ck_assert(auth_ring_use(a, 2));
		if (step >= 2)
			ck_assert(auth_ring_use(b, 2));
		size_t n = signed_message(a, WIRE_DENY, buf);
		ck_assert_int_eq(check(b, buf, n), AUTH_OK);
		n = signed_message(b, WIRE_DENY, buf);
		ck_assert_int_eq(check(a, buf, n), AUTH_OK);
	}
	auth_ring_free(a);
	auth_ring_free(b);
}
END_TEST

START_TEST(test_MSG_13_identities_are_bound_to_keys)
{
	static const uint64_t mine[] = {SELF, 0xa3}, others[] = {OTHER};
	struct auth_ring *signer = ring_of(1, WIRE_SCHEME_HMAC_SHA256, "shared");
	uint8_t buf[256];
	size_t n = signed_message(signer, WIRE_DENY, buf);
	struct auth_ring *ring = auth_ring_new();
	ck_assert(auth_ring_add(ring, 1, WIRE_SCHEME_HMAC_SHA256, "shared", 6, mine, 2));
	ck_assert_int_eq(check(ring, buf, n), AUTH_OK);
	auth_ring_free(ring);
	ring = auth_ring_new();
	ck_assert(auth_ring_add(ring, 1, WIRE_SCHEME_HMAC_SHA256, "shared", 6, others, 1));
	ck_assert_int_eq(check(ring, buf, n), AUTH_IDENTITY);
	auth_ring_free(ring);
	auth_ring_free(signer);
}
END_TEST

START_TEST(test_SEC_3_short_mac_for_packets_only)
{
	struct auth_ring *ring = ring_of(1, WIRE_SCHEME_HMAC_SHA256, "secret");
	struct wire_msg m;
	uint8_t buf[256];
	/* A deny with a short MAC that is right as far as it goes. */
	start(&m, WIRE_DENY);
	m.security = (struct wire_security){.scheme = WIRE_SCHEME_HMAC_SHA256_8, .key_id = 1};
	wire_set(&m, WIRE_SEG_SECURITY, false);
	size_t n = (size_t)wire_encode(&m, buf, sizeof buf);
	ck_assert(!auth_sign(ring, buf, n));
	uint8_t digest[EVP_MAX_MD_SIZE];
	HMAC(EVP_sha256(), "secret", 6, buf, n, digest, NULL);
	memcpy(buf + WIRE_HEADER_LEN + 12, digest, 8);
	ck_assert_int_eq(check(ring, buf, n), AUTH_SCHEME);
	/* In a packet the long one is fine, too. */
	start(&m, WIRE_PACKET);
	m.security = (struct wire_security){.scheme = WIRE_SCHEME_HMAC_SHA256, .key_id = 1};
	wire_set(&m, WIRE_SEG_SECURITY, false);
	n = (size_t)wire_encode(&m, buf, sizeof buf);
	ck_assert(auth_sign(ring, buf, n));
	ck_assert_int_eq(check(ring, buf, n), AUTH_OK);
	auth_ring_free(ring);
}
END_TEST

START_TEST(test_SEC_1_rings_refuse_what_cannot_be)
{
	uint8_t secret[AUTH_MAX_SECRET + 1] = {1};
	struct auth_ring *ring = auth_ring_new();
	ck_assert(!auth_ring_add(ring, 1, WIRE_SCHEME_HMAC_SHA256, secret, 0, NULL, 0));
	ck_assert(!auth_ring_add(ring, 1, WIRE_SCHEME_HMAC_SHA256, secret, AUTH_MAX_SECRET + 1, NULL, 0));
	ck_assert(!auth_ring_add(ring, 1, WIRE_SCHEME_HMAC_SHA256_8, secret, 16, NULL, 0));
	ck_assert(!auth_ring_add(ring, 1, 0, secret, 16, NULL, 0));
	ck_assert(!auth_ring_expects(ring));
	ck_assert(!auth_ring_use(ring, 1));
	ck_assert(auth_ring_add(ring, 1, WIRE_SCHEME_HMAC_SHA256, secret, 16, NULL, 0));
	ck_assert(!auth_ring_add(ring, 1, WIRE_SCHEME_MD5, secret, 16, NULL, 0));
	ck_assert(!auth_ring_use(ring, 2));

	struct wire_msg m;
	uint8_t buf[256];
	/* Nothing to sign with yet: nothing is signed, and that is no failure. */
	size_t n = signed_message(ring, WIRE_DENY, buf);
	ck_assert(auth_ring_use(ring, 1));
	/* Now a message without room for a MAC is one. */
	ck_assert(!auth_sign(ring, buf, n));
	start(&m, WIRE_DENY);
	m.security = (struct wire_security){.scheme = WIRE_SCHEME_HMAC_SHA256, .key_id = 99};
	wire_set(&m, WIRE_SEG_SECURITY, false);
	n = (size_t)wire_encode(&m, buf, sizeof buf);
	ck_assert(!auth_sign(ring, buf, n));
	ck_assert(!auth_sign(ring, buf, n - 1));
	auth_ring_free(ring);
	auth_ring_free(NULL);
}
END_TEST

START_TEST(verdicts_have_names)
{
	for (int v = AUTH_OK; v <= AUTH_WRONG; v++)
		ck_assert_str_ne(auth_verdict_name((enum auth_verdict)v), "unknown");
	ck_assert_str_eq(auth_verdict_name((enum auth_verdict)(AUTH_WRONG + 1)), "unknown");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("auth");
	TCase *tc = tcase_create("auth");
	tcase_add_test(tc, test_SEC_3_reference_algorithms);
	tcase_add_test(tc, test_SEC_3_macs_are_as_documented);
	tcase_add_test(tc, test_SEC_2_nothing_expected_nothing_looked_at);
	tcase_add_test(tc, test_SEC_2_wrong_is_refused);
	tcase_add_test(tc, test_SEC_3_keys_roll_without_an_outage);
	tcase_add_test(tc, test_MSG_13_identities_are_bound_to_keys);
	tcase_add_test(tc, test_SEC_3_short_mac_for_packets_only);
	tcase_add_test(tc, test_SEC_1_rings_refuse_what_cannot_be);
	tcase_add_test(tc, verdicts_have_names);
	suite_add_tcase(suite, tc);
	SRunner *sr = srunner_create(suite);
	if (getenv("TAP_FILE") != NULL)
		srunner_set_tap(sr, getenv("TAP_FILE"));
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
