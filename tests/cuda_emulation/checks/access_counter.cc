#include "tests/cuda_emulation/checks/access_counter.h"

#include <algorithm>
#include <utility>

namespace guildhall::emulation {
namespace {

constexpr uintptr_t kSector = 32;
constexpr uintptr_t kBanks = 32, kBankBytes = 4;

uint64_t Sectors(const std::vector<uintptr_t>& addresses, size_t bytes) {
  std::vector<uintptr_t> sectors;
  for (const uintptr_t address : addresses) {
    for (uintptr_t sector = address / kSector; sector <= (address + bytes - 1) / kSector; ++sector) {
      sectors.push_back(sector);
    }
  }
  std::sort(sectors.begin(), sectors.end());
  return static_cast<uint64_t>(std::unique(sectors.begin(), sectors.end()) - sectors.begin());
}

// Each bank gives one word a turn, to all lanes that want that word. Lanes of 8 (16) bytes come in two (four)
// parts, which is no conflict.
struct Turns {
  uint64_t taken = 0, needed = 0;
};
Turns SharedTurns(const std::vector<uintptr_t>& addresses, size_t bytes) {
  Turns turns;
  const size_t lanes_of_part = std::min(size_t{32}, 32 * kBankBytes / std::max(bytes, size_t{kBankBytes}));
  for (size_t begin = 0; begin < addresses.size(); begin += lanes_of_part) {
    std::vector<uintptr_t> words;
    for (size_t i = begin; i < std::min(begin + lanes_of_part, addresses.size()); ++i) {
      for (uintptr_t word = addresses[i] / kBankBytes; word <= (addresses[i] + bytes - 1) / kBankBytes;
           ++word) {
        words.push_back(word);
      }
    }
    std::sort(words.begin(), words.end());
    words.erase(std::unique(words.begin(), words.end()), words.end());
    std::array<uint64_t, kBanks> of_bank = {};
    for (const uintptr_t word : words) ++of_bank[word % kBanks];
    turns.taken += *std::max_element(of_bank.begin(), of_bank.end());
    turns.needed += (words.size() + kBanks - 1) / kBanks;
  }
  return turns;
}

}  // namespace

void AccessCounter::BeginBlock(unsigned threads) {
  BlockBarrier();
  warps_.resize((threads + 31) / 32);
}

void AccessCounter::Global(unsigned thread, uintptr_t address, size_t bytes, bool write, uint32_t place) {
  (write ? counts_.written_bytes : counts_.read_bytes) += bytes;
  Add(thread, address, bytes, place, /*shared=*/false);
}

void AccessCounter::Shared(unsigned thread, uintptr_t address, size_t bytes, uint32_t place) {
  Add(thread, address, bytes, place, /*shared=*/true);
}

void AccessCounter::Add(unsigned thread, uintptr_t address, size_t bytes, uint32_t place, bool shared) {
  Place& at = warps_[thread / 32].places[2 * place + (shared ? 1 : 0)];
  at.shared = shared;
  const uint32_t time = at.times[thread % 32]++;
  if (time >= at.accesses.size()) at.accesses.resize(time + 1);
  at.accesses[time].bytes = bytes;
  at.accesses[time].addresses.push_back(address);
}

void AccessCounter::BlockBarrier() {
  for (Warp& warp : warps_) CloseWarp(warp);
}

void AccessCounter::CloseWarp(Warp& warp) {
  for (const auto& [number, place] : warp.places) {
    for (const Access& access : place.accesses) {
      if (place.shared) {
        const Turns turns = SharedTurns(access.addresses, access.bytes);
        counts_.shared_passes += turns.taken;
        counts_.bank_conflicts += turns.taken - turns.needed;
      } else {
        ++counts_.warp_accesses;
        counts_.sectors += Sectors(access.addresses, access.bytes);
      }
    }
  }
  warp.places.clear();
}

KernelAccesses AccessCounter::Take() {
  BlockBarrier();
  return std::exchange(counts_, {});
}

}  // namespace guildhall::emulation
