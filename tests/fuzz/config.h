/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For fuzzers only: any text is a program's configuration, or is refused with
 * words.  FUZZ_CONFIG makes that a fuzzer's entry point, for each program's own.
 *
 * Must not know what is in a configuration.
 */
#ifndef TURNOUT_TESTS_FUZZ_CONFIG_H
#define TURNOUT_TESTS_FUZZ_CONFIG_H

#include "tests/fuzz/mutate.h"

const char *__lsan_default_suppressions(void);

/* libfyaml 0.7.12 loses a scan buffer on some malformed input; a process that refuses its file ends anyway. */
const char *__lsan_default_suppressions(void)
{
	return "leak:libfyaml.so";
}

/* Its type, and the functions that read one from a text and free it. */
#define FUZZ_CONFIG(type, load_text, release)                                                                          \
	int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)                                                   \
	{                                                                                                              \
		type config = {0};                                                                                     \
		char errors[4096] = "", *text = malloc(size + 1);                                                      \
                                                                                                                       \
		FUZZ_CHECK(text != NULL);                                                                              \
		memcpy(text, data, size);                                                                              \
		text[size] = '\0';                                                                                     \
		if (load_text("f", text, &config, errors, sizeof(errors)))                                             \
			release(&config);                                                                              \
		else                                                                                                   \
			FUZZ_CHECK(errors[0] != '\0'); /* refused without saying why */                                \
		free(text);                                                                                            \
		return 0;                                                                                              \
	}

#endif
