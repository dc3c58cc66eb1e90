/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzing routed-glue's configuration: any text is one, or is refused with words.
 */
#include "routed-glue/config.h"
#include "tests/fuzz/mutate.h"

const char *__lsan_default_suppressions(void);

/* libfyaml 0.7.12 loses a scan buffer on some malformed input; a process that refuses its file ends anyway. */
const char *__lsan_default_suppressions(void)
{
	return "leak:libfyaml.so";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct glue_config config = {0};
	char errors[4096] = "", *text = malloc(size + 1);

	FUZZ_CHECK(text != NULL);
	memcpy(text, data, size);
	text[size] = '\0';
	if (glue_config_load_text("f", text, &config, errors, sizeof(errors)))
		glue_config_free(&config);
	else
		FUZZ_CHECK(errors[0] != '\0'); /* refused without saying why */
	free(text);
	return 0;
}
