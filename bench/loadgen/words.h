// Values of a plan: words of the form key=value, and the mistakes in them.

#ifndef LOADGEN_WORDS_H
#define LOADGEN_WORDS_H

#include "plan.h"

#include <stdbool.h>
#include <stdint.h>

/// Says what is wrong with the plan and ends the program with exit code 2.
_Noreturn void words_refuse(const char *format, ...) __attribute__((format(printf, 1, 2)));

/// Takes the next key=value off `rest`, which it changes. Words are parted by blanks or commas.
/// - Returns: false at the end.
bool words_next(char **rest, char **key, char **value);

/// Whole number between `low` and `high`.
uint64_t words_number(const char *key, const char *value, uint64_t low, uint64_t high);

/// Seconds with an optional fraction, as nanoseconds.
uint64_t words_seconds(const char *key, const char *value);

/// "yes" or "no".
bool words_truth(const char *key, const char *value);

/// Six pairs of hexadecimal digits parted by colons.
/// - Returns: false if `value` is none.
bool words_mac(const char *value, mac_t *mac);

/// Copies `value` into `size` bytes, refusing what is too long.
void words_copy(const char *key, const char *value, char *to, size_t size);

#endif
