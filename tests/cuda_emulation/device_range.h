// The memory of one emulated device: addresses that host code cannot touch, with pages that come and go.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>

namespace guildhall::emulation {

// Addresses are never used twice, so that what was freed faults from then on. Fresh memory is full of 0xff:
// NaN in each float format. Thread-safe.
class DeviceRange {
 public:
  explicit DeviceRange(size_t memory_bytes);
  ~DeviceRange();
  DeviceRange(const DeviceRange&) = delete;
  DeviceRange& operator=(const DeviceRange&) = delete;

  // Addresses without memory. Null: none are left.
  std::byte* Reserve(size_t bytes, size_t alignment);
  // Of the device's bytes. False: so many are not left.
  bool Charge(size_t bytes);
  void Uncharge(size_t bytes);
  size_t memory_bytes() const { return memory_bytes_; }
  size_t free_bytes() const;

  // From here on [begin, begin + bytes) is memory; kernels may read and write it where `open`. Pages that it
  // begins or ends in are its own.
  void Create(std::byte* begin, size_t bytes, bool open);
  // Lets kernels in, or keeps them out. False: part of it is no memory.
  bool SetAccess(std::byte* begin, size_t bytes, bool open);
  // And from here on it is none. It may be given back in other pieces than it was made in.
  void Destroy(std::byte* begin, size_t bytes);

  // Where the runtime itself finds those bytes. Null: not all of them are memory.
  std::byte* Inside(const void* begin, size_t bytes) const;

  // While kernels run, their device's memory is open to this process.
  void Open();
  void Close();

  bool Contains(const void* address) const;
  // One run of memory, as it was made.
  struct Piece {
    const std::byte* begin = nullptr;
    size_t bytes = 0;
    bool open = false;
  };
  // The last one that begins at the address or before; of zero bytes where there is none.
  Piece FindBefore(const void* address) const;
  // "device memory that was freed or never handed out"; for who found a bad address.
  std::string Describe(const void* address) const;
  size_t pieces() const;

 private:
  void Protect(const std::byte* begin, size_t bytes, int access) const;
  void Split(const std::byte* at);

  const size_t memory_bytes_;
  int file_ = -1;
  std::byte* outside_ = nullptr;  // what is handed out
  std::byte* inside_ = nullptr;   // the same memory for the runtime
  mutable std::mutex mutex_;
  size_t taken_;        // of the addresses
  size_t charged_ = 0;  // of the memory
  bool opened_ = false;
  std::map<const std::byte*, Piece> alive_;  // by their begin
};

}  // namespace guildhall::emulation
