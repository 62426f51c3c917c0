#include "CShimsRing.h"
