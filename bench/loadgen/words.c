// Splitting the words of a plan and reading numbers from them, with errors for people.
#define _GNU_SOURCE
#include "words.h"

#include "clock.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Noreturn void words_refuse(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("loadgen: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(2);
}

bool words_next(char **rest, char **key, char **value) {
    char *word = NULL;
    do {
        word = strsep(rest, " \t\r\n,");
    } while (word != NULL && *word == '\0');
    if (word == NULL || *word == '#') return false;
    char *equals = strchr(word, '=');
    if (equals == NULL) words_refuse("'%s' is not of the form key=value", word);
    *equals = '\0';
    *key = word;
    *value = equals + 1;
    return true;
}

uint64_t words_number(const char *key, const char *value, uint64_t low, uint64_t high) {
    char *end = NULL;
    errno = 0;
    unsigned long long number = strtoull(value, &end, 10);
    if (errno != 0 || end == value || *end != '\0' || *value == '-') {
        words_refuse("%s=%s: a whole number is wanted", key, value);
    }
    if (number < low || number > high) {
        words_refuse(
            "%s=%s: must lie between %llu and %llu", key, value, (unsigned long long)low,
            (unsigned long long)high);
    }
    return number;
}

uint64_t words_seconds(const char *key, const char *value) {
    char *end = NULL;
    double seconds = strtod(value, &end);
    if (end == value || *end != '\0' || !(seconds >= 0 && seconds <= 1e6)) {
        words_refuse("%s=%s: seconds are wanted, as in 0.25", key, value);
    }
    return (uint64_t)(seconds * (double)NANOSECONDS_PER_SECOND);
}

bool words_truth(const char *key, const char *value) {
    if (strcmp(value, "yes") == 0) return true;
    if (strcmp(value, "no") == 0) return false;
    words_refuse("%s=%s: yes or no is wanted", key, value);
}

bool words_mac(const char *value, mac_t *mac) {
    int used = 0;
    uint8_t *byte = mac->bytes;
    int found = sscanf(
        value, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", &byte[0], &byte[1], &byte[2], &byte[3],
        &byte[4], &byte[5], &used);
    return found == MAC_LENGTH && value[used] == '\0';
}

void words_copy(const char *key, const char *value, char *to, size_t size) {
    size_t length = strlen(value);
    if (length == 0 || length >= size) {
        words_refuse("%s=%s: must have 1 to %zu bytes", key, value, size - 1);
    }
    memcpy(to, value, length + 1);
}
