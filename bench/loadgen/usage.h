// The help text.

#ifndef LOADGEN_USAGE_H
#define LOADGEN_USAGE_H

/// Prints the help text to standard output.
void usage_print(void);

#endif
