#include "base/buffer.h"

#include <catch2/catch.hpp>
#include <cstdint>
#include <limits>
#include <utility>

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
