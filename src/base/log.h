// SPDX-License-Identifier: Apache-2.0
// Log: whole sentences to stderr, with the journal's level prefixes (sd-daemon(3)) when that is the
// journal, else with the level's name. Control threads only: workers never log.
#pragma once

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

void weft_log_set_level(enum log_level level);
enum log_level weft_log_level(void); // as it is now
const char *weft_log_level_name(enum log_level level);

// "error" | "warning" | "info" | "debug"; 0 or -EINVAL.
int weft_log_level_parse(const char *text, enum log_level *out);

void weft_log(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define weft_log_error(...)   weft_log(LOG_LEVEL_ERROR, __VA_ARGS__)
#define weft_log_warning(...) weft_log(LOG_LEVEL_WARNING, __VA_ARGS__)
#define weft_log_info(...)    weft_log(LOG_LEVEL_INFO, __VA_ARGS__)
#define weft_log_debug(...)   weft_log(LOG_LEVEL_DEBUG, __VA_ARGS__)
