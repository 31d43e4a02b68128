// Splits element-wise work over rows among the pool's threads.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/thread_pool.h"

namespace guildhall {

// body(begin, end, worker) over all of [0, rows) in chunks of about `kChunkElements` elements; a batch too
// small to share runs on the caller. Rows are independent, so the chunks change no result.
template <typename Body>
void ForRowChunks(ThreadPool& pool, int64_t rows, int64_t row_elements, Body&& body) {
  constexpr int64_t kChunkElements = 32 * 1024;
  if (rows <= 0) return;
  const int64_t chunk = std::max<int64_t>(1, kChunkElements / std::max<int64_t>(1, row_elements));
  if (rows <= chunk || pool.threads() == 1) {
    body(int64_t{0}, rows, 0);
    return;
  }
  pool.Run((rows + chunk - 1) / chunk,
           [&](int64_t item, int worker) { body(item * chunk, std::min(rows, (item + 1) * chunk), worker); });
}

}  // namespace guildhall
