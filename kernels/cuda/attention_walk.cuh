// What attention over each format of cache has in common: how a step's rows are cut into tiles of queries,
// and what is known of each query.
//
// A row's order of summation depends on its position and window alone: keys in tiles of 64 at absolute
// positions, an online softmax over the tiles of a split (1024 tokens, at absolute positions, too), splits
// merged in ascending order. What a query does not see of a tile that its neighbours need has the weight 0,
// and a tile or split of which it sees nothing changes no bit. So splits may as well be computed apart.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/kv_layout.h"

namespace guildhall::cuda {

inline constexpr int kTileTokens = 64;
inline constexpr int kTileBlocks = kTileTokens / kKvBlockTokens;
inline constexpr int kSplitTokens = 1024;
inline constexpr int kAttentionThreads = 128;
inline constexpr int kQueryRows = 16;  // queries come in so many: the M of a matrix instruction
inline constexpr int kScoreStride = kTileTokens + 4;   // floats: rows begin in different banks
inline constexpr int kWeightStride = kTileTokens + 8;  // bf16

// Places in a block's shared memory, in bytes.
struct AttentionShared {
  int notes;    // (queries) QueryNote
  int queries;  // (queries, key columns)
  int keys, values;
  int scores;   // (queries, kScoreStride) floats
  int weights;  // (queries, kWeightStride) bf16
  int scales;   // (3, 64) floats: of the key's two parts and of the value
};

// What a kernel gets.
struct AttentionWork {
  const int32_t *positions, *sequence, *block_table;  // StepData's
  const int64_t* kv_place;
  int64_t rows, max_blocks;
  const std::byte* cache;
  int64_t block_stride;
  KvLayout layout;
  const float* q;
  float* y;
  int64_t q_stride, y_stride;
  int key_dim, window;
  float scale;
  int group = 0;                            // query heads of a key head
  int heads_at_once = 0, rows_at_once = 0;  // that one block takes
  int pieces = 0;                           // of a group
  int panel = 0;                            // value columns that one block takes
  AttentionShared shared = {};
};

// What one block computes: queries (rows, heads) of one sequence and one key head, some columns of y.
struct QueryTile {
  int64_t row;
  int rows;         // 0: nothing
  int head, heads;  // query heads
  int column, columns;
  int first_token, last_token;  // that any of its rows sees
  const int32_t* blocks;        // the sequence's row of the block table
  const std::byte* cache;       // the key head's place in the first block

  __device__ int queries() const { return rows * heads; }
};

// One query, in shared memory.
struct QueryNote {
  int64_t out;       // from y to its first number; -1: there is no such query
  int first, last;   // tokens that it sees
  float factor;      // of the sums so far, as a tile of keys is added
  float keep, take;  // of the splits so far and of one more
  float inverse;     // of the sum of all weights
};

__device__ inline int FirstToken(const AttentionWork& work, int position) {
  return work.window == 0 ? 0 : max(0, position - work.window + 1);
}

// Neighbouring rows whose queries one block takes: borders are at absolute positions, so that every row can
// tell whether a tile begins with it.
__device__ inline bool InOneTile(const AttentionWork& work, int64_t a, int64_t b) {
  return work.kv_place[a] >= 0 && work.kv_place[b] >= 0 && work.sequence[a] == work.sequence[b] &&
         work.positions[a] / work.rows_at_once == work.positions[b] / work.rows_at_once;
}

// The grid is (rows, key heads times pieces of a group, panels of columns); blocks of rows that begin no tile
// have nothing to do.
__device__ inline QueryTile FindTile(const AttentionWork& work) {
  QueryTile tile = {};
  tile.row = blockIdx.x;
  if (work.kv_place[tile.row] < 0) return tile;
  if (tile.row > 0 && InOneTile(work, tile.row - 1, tile.row)) return tile;
  tile.rows = 1;
  while (tile.row + tile.rows < work.rows && InOneTile(work, tile.row, tile.row + tile.rows)) ++tile.rows;
  const int kv_head = static_cast<int>(blockIdx.y) / work.pieces;
  const int piece = static_cast<int>(blockIdx.y) % work.pieces;
  tile.head = kv_head * work.group + piece * work.heads_at_once;
  tile.heads = min(work.heads_at_once, work.group - piece * work.heads_at_once);
  tile.column = static_cast<int>(blockIdx.z) * work.panel;
  tile.columns = min(work.panel, work.layout.value_columns - tile.column);
  tile.first_token = FirstToken(work, work.positions[tile.row]);
  tile.last_token = work.positions[tile.row + tile.rows - 1];
  tile.blocks = work.block_table + work.sequence[tile.row] * work.max_blocks;
  tile.cache = work.cache + kv_head * work.layout.head;
  return tile;
}

// Where the head's part of a token's block is; of the nearest that is there for tokens that nobody sees.
__device__ inline const std::byte* FindHead(const AttentionWork& work, const QueryTile& tile, int token) {
  const int block = min(max(token, tile.first_token), tile.last_token) / kKvBlockTokens;
  return tile.cache + tile.blocks[block] * work.block_stride;
}

__device__ inline const float* FindQuery(const AttentionWork& work, const QueryTile& tile, int query) {
  return work.q + (tile.row + query / tile.heads) * work.q_stride +
         int64_t{tile.head + query % tile.heads} * work.key_dim;
}

// The number of a query at a column of the cache's keys; 0 where a column fills up.
__device__ inline float QueryNumber(const KvLayout& layout, const float* query, int column) {
  if (column < layout.columns[0]) return column < layout.parts[0] ? query[column] : 0.0f;
  const int behind = column - layout.columns[0];
  return behind < layout.parts[1] ? query[layout.parts[0] + behind] : 0.0f;
}

// For as many queries as there is room for.
__device__ inline void NoteQueries(const AttentionWork& work, const QueryTile& tile, int room,
                                   QueryNote* notes) {
  for (int i = static_cast<int>(threadIdx.x); i < room; i += kAttentionThreads) {
    QueryNote note = {};
    note.out = note.last = -1;
    if (i < tile.queries()) {
      const int64_t row = tile.row + i / tile.heads;
      note.out = row * work.y_stride + int64_t{tile.head + i % tile.heads} * work.layout.value_dim;
      note.last = work.positions[row];
      note.first = FirstToken(work, note.last);
    }
    notes[i] = note;
  }
}

// Takes one split's sum of weighted values into y, where the splits before are, and makes it 0.
__device__ inline void MergeSplit(const QueryNote& note, bool first, bool last, float& sum, float* y) {
  const float before = first ? 0.0f : *y;
  const float merged = __fmaf_rn(sum, note.take, before * note.keep);
  // + 0: tiles that a query does not see may have made a sum of -0 one of 0.
  *y = last ? __fadd_rn(merged * note.inverse, 0.0f) : merged;
  sum = 0.0f;
}

}  // namespace guildhall::cuda
