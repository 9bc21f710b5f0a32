#include <intarsia/lambda_kernel.h>
INTARSIA_KERNEL(twice, (auto x), x + x)
