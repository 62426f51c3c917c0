// The kernel's edge for Dataplane and Control: UNIX sockets, TAP devices, rtnetlink, files,
// threads.
//
// Every function returns a value >= 0, or -errno; none keeps state of its own, so each may be
// called from any thread. Names are cshims_<object>_<verb>. Nothing here decides: policy and
// messages are Swift's.
#pragma once

#include "descriptors.h"
#include "files.h"
#include "frames.h"
#include "memory.h"
#include "messages.h"
#include "netlink.h"
#include "process.h"
#include "sockets.h"
#include "spawn.h"
#include "tap.h"
#include "userns.h"
