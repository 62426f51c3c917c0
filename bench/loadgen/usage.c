// The help text of loadgen.
#include "usage.h"

#include <stdio.h>

void usage_print(void) {
    fputs(
        "loadgen plays VMs on unixgram ports and measures what passes between them.\n"
        "\n"
        "  loadgen --endpoint 'name=a port=A.sock' --endpoint 'name=b port=B.sock' \\\n"
        "          --flow 'from=a to=b size=1514 rate=max duration=2'\n"
        "\n"
        "Plan (endpoints before the flows that name them; words parted by blanks or commas):\n"
        "  --endpoint WORDS    port=PATH [name=N] [own=PATH] [mac=M] [magic=yes] [rejoin=yes]\n"
        "                      [stream=yes]\n"
        "                      [send-buffer=BYTES] [extra-macs=K] [batch=FRAMES]\n"
        "                      [read=always|never|slow:MICROSECONDS]\n"
        "  --flow WORDS        from=NAME to=NAME|MAC|broadcast size=BYTES rate=max|FRAMES/S\n"
        "                      duration=SECONDS and/or count=FRAMES [start=SECONDS]\n"
        "                      [id=N] [name=N] [check=samples|full] [when-full=wait|drop]\n"
        "                      [spread=yes] [shape=SHAPE] [kind=KIND] [seed=N]\n"
        "                      spread rotates through the receiver's extra MACs; SHAPE is\n"
        "                      ethernet, tcp, or tcp-partial: its checksum is not finished\n"
        "  --scenario FILE     the same as lines 'endpoint WORDS' and 'flow WORDS'; '-' reads\n"
        "                      standard input up to its end or a line 'end'\n"
        "\n"
        "Hostile kinds of a flow (1000 datagrams unless count or duration is given, to the\n"
        "sender itself unless to is given): empty, one, thirteen, oversize (size=),\n"
        "ethertype, groupsource, zerosource, reserved, macflood, magic, fuzz.\n"
        "\n"
        "Run:\n"
        "  --ready             print {\"ready\":true} once everybody is attached and known\n"
        "  --hold              then wait for a line or the end of standard input\n"
        "  --no-hearing        do not wait for announcements of the flows' partners\n"
        "  --await-peer S      wait so long for port sockets and announcements (5)\n"
        "  --limit S           a process without flows ends after S seconds (at SIGTERM)\n"
        "  --quiet S           nothing is under way after S seconds without a frame (0.2)\n"
        "  --drain S           end after S seconds of draining even so (10)\n"
        "  --bin S             width of the receivers' time bins (0.1)\n"
        "  --frame-max BYTES   longest frame to expect\n"
        "  --one-process       senders as threads of the receiving process\n"
        "\n"
        "Prints one JSON object. Exit code: 0 done, 1 failed while running, 2 wrong usage.\n",
        stdout);
}
