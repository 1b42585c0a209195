/* Nothing but the header, twice: it stands by itself in every standard. */
#include "homing.h"
#include "homing.h"
