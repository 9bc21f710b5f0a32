// The idx format, read from a file that is open already. The public function is in intarsia/data.h.
#pragma once
#include "data/file.h"
#include "intarsia/data.h"

namespace intarsia {

Array parse_idx(const std::shared_ptr<const MappedFile>& file, uint64_t limit = 0);

}  // namespace intarsia
