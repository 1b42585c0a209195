/* The header alone, twice: it compiles by itself in every standard. */
#include "homing.h"
#include "homing.h"
