#include "CShimsSystem.h"
