// The result of a run as one JSON object.

#ifndef LOADGEN_REPORT_H
#define LOADGEN_REPORT_H

#include "run.h"

/// Prints the report to standard output, as one line.
void report_print(const run_t *run);

#endif
