// Who touched which byte last: for races, and for reads of what nobody wrote.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "tests/cuda_emulation/block.h"
#include "tests/cuda_emulation/checks/block_clock.h"

namespace guildhall::emulation {

// One access of a thread, and when it was.
struct Trace {
  uint32_t time = 0;
  uint32_t pc = 0;  // from the program's begin
  uint16_t thread = 0;
};

// What is known of one byte, or of four neighbours that were always touched together. Times before the launch
// (or the block, in shared memory) are as good as never.
struct Cell {
  Trace write, read;
  Trace read_of_lane;            // the last one by another lane of `read`'s warp
  Trace read_of_warp;            // the last one by another warp
  uint32_t first_read_time = 0;  // in this launch
  uint32_t split_time = 0;       // when the four bytes became cells of their own
  bool atomic = false;           // the write
  bool under_way = false;        // the write is an asynchronous copy's, which nobody waited for
};

enum class Fault { kNone, kRace, kRaceOfBlocks, kUnwritten, kUnderWay };

struct Finding {
  Fault fault = Fault::kNone;
  bool before_was_write = false;
  Trace before;  // what the access is in conflict with
};

// The access that is being looked at.
struct Toucher {
  Touch kind;
  Trace trace;
};

// Of 4096 bytes.
struct ShadowPage {
  std::array<Cell, 1024> words;
  std::unique_ptr<std::array<Cell, 4096>> bytes;  // where words are split
};

class Shadow {
 public:
  // `shared`: of shared memory, which begins unwritten with each block.
  explicit Shadow(const BlockClock& clock, bool shared) : clock_(clock), shared_(shared) {}

  // Forgets all: before each launch.
  void Clear();
  // Looks at an access and notes it. The first thing that is wrong.
  Finding Note(uintptr_t address, size_t bytes, const Toucher& toucher);
  // An asynchronous copy of the thread is complete.
  void Arrive(uintptr_t address, size_t bytes, const Trace& trace);

 private:
  uint32_t begin() const { return shared_ ? clock_.block_begin() : clock_.launch_begin(); }
  ShadowPage& PageOf(uintptr_t address);
  std::span<Cell> Cells(uintptr_t address, size_t bytes, size_t* covered);
  Finding NoteCell(Cell& cell, const Toucher& toucher) const;
  Finding CheckRead(const Cell& cell, const Toucher& toucher) const;
  Finding CheckAgainst(const Trace& before, bool write, const Toucher& toucher) const;

  const BlockClock& clock_;
  const bool shared_;
  std::unordered_map<uintptr_t, ShadowPage*> pages_;  // by address / 4096
  std::vector<std::unique_ptr<ShadowPage>> pool_;     // the first pages_.size() are in use
  uintptr_t last_number_ = 0;
  ShadowPage* last_ = nullptr;
};

}  // namespace guildhall::emulation
