/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzing routed-glue's configuration.  See tests/fuzz/config.h.
 */
#include "tests/fuzz/config.h"

#include "routed-glue/config.h"

FUZZ_CONFIG(struct glue_config, glue_config_load_text, glue_config_free)
