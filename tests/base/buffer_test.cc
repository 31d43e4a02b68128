#include "base/buffer.h"

#include <sys/mman.h>

#include <catch2/catch.hpp>
#include <cstdint>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

using guildhall::Buffer;

TEST_CASE("a buffer is aligned, zeroed and writable to its last byte") {
  for (const size_t bytes : {size_t{1}, size_t{4096}, size_t{5000}, (size_t{2} << 20) - 1, size_t{2} << 20,
                             (size_t{6} << 20) + 3}) {
    auto buffer = Buffer::Allocate(bytes, "test");
    REQUIRE(buffer.ok());
    CHECK(buffer->size() == bytes);
    const size_t alignment = bytes >= (size_t{2} << 20) ? size_t{2} << 20 : 4096;
    CHECK(reinterpret_cast<uintptr_t>(buffer->data()) % alignment == 0);
    CHECK(buffer->data()[0] == std::byte{0});
    CHECK(buffer->data()[bytes - 1] == std::byte{0});
    buffer->data()[0] = std::byte{1};
    buffer->data()[bytes - 1] = std::byte{2};
  }
}

TEST_CASE("a buffer moves with its memory") {
  auto buffer = Buffer::Allocate(10000, "test");
  REQUIRE(buffer.ok());
  buffer->As<int>()[7] = 42;
  Buffer first = *std::move(buffer);
  Buffer second;
  second = std::move(first);
  CHECK(second.size() == 10000);
  CHECK(std::as_const(second).As<int>()[7] == 42);
}

// Bytes of the buffer that lie in memory.
size_t ResidentBytes(const Buffer& buffer) {
  const size_t pages = (buffer.size() + 4095) / 4096;
  std::vector<unsigned char> resident(pages);
  REQUIRE(mincore(const_cast<std::byte*>(buffer.data()), buffer.size(), resident.data()) == 0);
  size_t count = 0;
  for (const unsigned char page : resident) count += page & 1;
  return count * 4096;
}

TEST_CASE("released pages leave memory, their neighbours keep their bytes") {
  for (const size_t size : {size_t{64} << 10, size_t{8} << 20}) {
    auto buffer = Buffer::Allocate(size, "test");
    REQUIRE(buffer.ok());
    const auto fill = [&] { std::memset(buffer->data(), 7, size); };
    fill();
    REQUIRE(ResidentBytes(*buffer) == size);
    // From the middle of a page to the middle of another: 5 whole pages between.
    buffer->Release(4096 + 100, 6 * 4096);
    CHECK(ResidentBytes(*buffer) == size - 5 * 4096);
    CHECK(buffer->data()[2 * 4096 - 1] == std::byte{7});
    CHECK(buffer->data()[7 * 4096] == std::byte{7});
    CHECK(buffer->data()[2 * 4096] == std::byte{0});
    CHECK(buffer->data()[7 * 4096 - 1] == std::byte{0});
    buffer->data()[2 * 4096] = std::byte{9};
    CHECK(buffer->data()[2 * 4096] == std::byte{9});
    fill();
    buffer->Release(100, 4096);  // no whole page
    CHECK(ResidentBytes(*buffer) == size);
    buffer->Release(0, size);
    CHECK(ResidentBytes(*buffer) == 0);
    buffer->Release(size, 0);
  }
}

TEST_CASE("an empty buffer is no error") {
  auto buffer = Buffer::Allocate(0, "test");
  REQUIRE(buffer.ok());
  CHECK(buffer->size() == 0);
  CHECK(buffer->data() == nullptr);
}

TEST_CASE("memory that the system refuses is RESOURCE_EXHAUSTED with size and purpose") {
  for (const size_t bytes : {size_t{1} << 60, std::numeric_limits<size_t>::max()}) {
    const auto buffer = Buffer::Allocate(bytes, "KV cache");
    REQUIRE(!buffer.ok());
    CHECK(buffer.status().code() == absl::StatusCode::kResourceExhausted);
    const std::string message(buffer.status().message());
    CHECK(message.find("KV cache") != std::string::npos);
    CHECK(message.find(std::to_string(bytes)) != std::string::npos);
  }
}
