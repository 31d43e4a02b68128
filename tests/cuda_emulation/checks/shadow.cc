#include "tests/cuda_emulation/checks/shadow.h"

#include <algorithm>

namespace guildhall::emulation {
namespace {

constexpr size_t kPage = 4096;

void NoteRead(Cell& cell, const Trace& read) {
  const unsigned warp = read.thread / 32;
  if (cell.read.thread / 32 != warp) {
    const bool has_lane = cell.read_of_warp.thread / 32 == warp && cell.read_of_warp.thread != read.thread;
    cell.read_of_lane = has_lane ? cell.read_of_warp : Trace{};
    cell.read_of_warp = cell.read;
  } else if (cell.read.thread != read.thread) {
    cell.read_of_lane = cell.read;
  }
  cell.read = read;
}

}  // namespace

// Pages keep their cells: all of their times are past.
void Shadow::Clear() {
  pages_.clear();
  last_ = nullptr;
}

ShadowPage& Shadow::PageOf(uintptr_t address) {
  const uintptr_t number = address / kPage;
  if (last_ != nullptr && number == last_number_) return *last_;
  ShadowPage*& page = pages_[number];
  if (page == nullptr) {
    if (pool_.size() < pages_.size()) pool_.push_back(std::make_unique<ShadowPage>());
    page = pool_[pages_.size() - 1].get();
  }
  last_number_ = number;
  last_ = page;
  return *page;
}

// The cells of as many bytes as lie in one word.
std::span<Cell> Shadow::Cells(uintptr_t address, size_t bytes, size_t* covered) {
  ShadowPage& page = PageOf(address);
  const size_t offset = address % kPage;
  Cell& word = page.words[offset / 4];
  *covered = std::min(bytes, 4 - offset % 4);
  const bool split = word.split_time >= begin();
  if (!split && *covered == 4) return {&word, 1};
  if (page.bytes == nullptr) page.bytes = std::make_unique<std::array<Cell, 4096>>();
  if (!split) {
    std::fill_n(page.bytes->data() + offset / 4 * 4, 4, word);
    word.split_time = clock_.now();
  }
  return {page.bytes->data() + offset, *covered};
}

Finding Shadow::Note(uintptr_t address, size_t bytes, const Toucher& toucher) {
  for (size_t covered = 0; bytes > 0; address += covered, bytes -= covered) {
    for (Cell& cell : Cells(address, bytes, &covered)) {
      const Finding finding = NoteCell(cell, toucher);
      if (finding.fault != Fault::kNone) return finding;
    }
  }
  return {};
}

void Shadow::Arrive(uintptr_t address, size_t bytes, const Trace& trace) {
  for (size_t covered = 0; bytes > 0; address += covered, bytes -= covered) {
    for (Cell& cell : Cells(address, bytes, &covered)) {
      cell.under_way = false;
      cell.write = {trace.time, cell.write.pc, trace.thread};
    }
  }
}

Finding Shadow::CheckAgainst(const Trace& before, bool write, const Toucher& toucher) const {
  if (before.time < begin()) return {};
  if (before.time < clock_.block_begin()) {
    const bool handed_over = !shared_ && clock_.HandedOver(before.time, toucher.trace.thread);
    return handed_over ? Finding{} : Finding{Fault::kRaceOfBlocks, write, before};
  }
  if (clock_.Before(before.time, before.thread, toucher.trace.thread)) return {};
  return {Fault::kRace, write, before};
}

Finding Shadow::NoteCell(Cell& cell, const Toucher& toucher) const {
  const bool written = cell.write.time >= begin();
  if (written && cell.under_way) return {Fault::kUnderWay, true, cell.write};
  if (shared_ && !written && (toucher.kind == Touch::kRead || toucher.kind == Touch::kAtomic)) {
    return {Fault::kUnwritten, false, {}};
  }
  if (!(toucher.kind == Touch::kAtomic && cell.atomic)) {
    const Finding finding = CheckAgainst(cell.write, true, toucher);
    if (finding.fault != Fault::kNone) return finding;
  }
  if (toucher.kind == Touch::kRead) {
    NoteRead(cell, toucher.trace);
    if (cell.first_read_time < begin()) cell.first_read_time = toucher.trace.time;
    return {};
  }
  const Finding finding = CheckRead(cell, toucher);
  if (finding.fault != Fault::kNone) return finding;
  cell.write = toucher.trace;
  cell.atomic = toucher.kind == Touch::kAtomic;
  cell.under_way = toucher.kind == Touch::kCopyIssued;
  return {};
}

// Of what writes.
Finding Shadow::CheckRead(const Cell& cell, const Toucher& toucher) const {
  for (const Trace& read : {cell.read, cell.read_of_lane, cell.read_of_warp}) {
    const Finding finding = CheckAgainst(read, false, toucher);
    if (finding.fault != Fault::kNone) return finding;
  }
  // Traces of earlier readers are gone: the first one stands for them.
  if (cell.first_read_time < clock_.block_begin())
    return CheckAgainst({cell.first_read_time, 0, 0}, false, toucher);
  return {};
}

}  // namespace guildhall::emulation
